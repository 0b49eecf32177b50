package Cpanel::LogMeIn::Command::Key;

use strict;
use warnings;
use parent 'Cpanel::LogMeIn::Command';
use Cpanel::LogMeIn::Command::Terminal qw(paragraph print_json print_table);
use Cpanel::LogMeIn::Session           ();
use POSIX                              ();

our $VERSION = '0.01';

my $DAY = 86_400;

sub actions {
    return (
        retire => { options => [qw(json force|f)] },
        rotate => { options => [qw(json force|f)] },
        status => { options => ['json'] },
    );
}

sub run {
    my ( $class, $word, $option ) = @_;
    my $sessions = Cpanel::LogMeIn::Session->new;
    return _status( $sessions, $option ) if $word eq 'status';
    my $force  = $option->{force} ? 1 : 0;
    my $before = _sound( $sessions->_key_report );
    my $done   = _sound(
          $word eq 'rotate'
        ? $sessions->_key_rotate($force)
        : $sessions->_key_retire($force)
    );
    my $key = _look($sessions);
    print_json( _json( $key, done => $done->{done} ) ) if $option->{json};

    if ( $done->{done} ) {
        my $text =
              $done->{is_next}  ? _made_next($key)
            : $word eq 'rotate' ? _rotated($key)
            :                     "$before->{old_path} is removed.";
        print paragraph( $text, q{} ) if !$option->{json};
        return 0;
    }
    my $why = $done->{waits} ? _waits($key) : $word eq 'rotate' ? _kept($key) : _needed($key);
    print {*STDERR} paragraph( "logmein: $why", q{} );
    return 1;
}

# Dies with what is wrong.
sub _sound {
    my ($answer) = @_;
    die "$Cpanel::LogMeIn::detail\n" if $answer->{code};
    return $answer;
}

# The report, with the machines that share the store.
sub _look {
    my ($sessions) = @_;
    my $key = _sound( $sessions->_key_report );
    $key->{machines} = [ sort { $a->{name} cmp $b->{name} } $sessions->_machines(0) ];
    return $key;
}

sub _when {
    my ($time) = @_;
    return POSIX::strftime( '%Y-%m-%d %H:%M', localtime $time );
}

sub _age {
    my ($time) = @_;
    my $seconds = time - $time;
    return int( $seconds / $DAY ) . ' days'  if $seconds >= 2 * $DAY;
    return int( $seconds / 3600 ) . ' hours' if $seconds >= 7200;
    return int( $seconds / 60 ) . ' minutes';
}

sub _rotated {
    my ($key) = @_;
    my $line =
        $key->{old_is_set}
        ? "The setting 'key_file_old' names it already."
        : q{No line in the settings is needed.};
    return
          "$key->{path} is the new key. The old one, $key->{old_path}, is accepted for reading:"
        . " $line It may go after "
        . _when( $key->{needed_until} )
        . ": then 'logmein key retire' removes it, or earlier if nothing needs it any more.";
}

# Which step of a rotation this machine is at; those of others may be another.
sub _step {
    my ($key) = @_;
    return
          $key->{has_old} && !$key->{unfinished} ? 'retire'
        : $key->{has_next}                       ? 'rotate'
        :                                          'none';
}

sub _made_next {
    my ($key) = @_;
    return
          "$key->{next_path} is the next key: it is accepted for reading, and nothing is written"
        . ' with it yet. Copy it to the same place on every machine that uses the store, with its'
        . q{ owner and mode 0600. 'logmein key status' tells when all have it: then run}
        . q{ 'logmein key rotate' on each machine.};
}

# The machines that a step waits for, and what they lack.
sub _waits {
    my ($key)    = @_;
    my @behind   = grep { $_->{behind} } @{ $key->{machines} };
    my @stranger = grep { length $_->{next} && $_->{present} eq _here($key)->{present} } @behind;
    my $names    = join ', ', map { $_->{name} } @behind;
    my $why =
          _step($key) eq 'rotate' ? "have not got $key->{next_path} yet: copy it to them"
        : _step($key) eq 'retire' ? q{have not made it their key yet: 'logmein key rotate' there}
        : @stranger               ? "have a next key already: copy it here as $key->{next_path}"
        :   q{write with another key: end the rotation there first, with 'logmein key rotate'};
    return "these machines $why: $names. They count as long as they were seen during the last day;"
        . ' with --force they are not waited for, and lose sessions if they are in use.';
}

sub _here {
    my ($key)  = @_;
    my ($here) = grep { $_->{here} } @{ $key->{machines} };
    return $here // { present => q{} };
}

sub _kept {
    my ($key) = @_;
    return "$key->{old_path} is the key before this one: 'logmein key retire' first.";
}

sub _needed {
    my ($key) = @_;
    return 'there is no old key.' if !$key->{has_old};
    return "the setting 'key_file_old' names $key->{old_path}: take it out of the settings, "
        . 'reload the gateway, and remove the file.'
        if $key->{old_is_set};
    return
          "$key->{old_path} is needed until "
        . _when( $key->{needed_until} )
        . ' at the latest, by '
        . _users($key)
        . '. With --force it is removed at once.';
}

sub _users {
    my ($key) = @_;
    my @users;
    push @users, "$key->{sessions} tickets and cookies" if $key->{sessions};
    push @users, "$key->{known} known sources"          if $key->{known};
    return @users ? join( ' and ', @users ) : 'the waits after failed logins, for a day';
}

# Times and numbers as numbers, the rest as it is; what is not known is null.
sub _json {
    my ( $key, %more ) = @_;
    require JSON::PP;
    my %out = ( path => $key->{path}, made => $key->{made} || undef );
    $out{$_} = $key->{has_old} ? $key->{$_} : undef
        for qw(old_path old_made rotated sessions known needed_until);
    my %flags = ( needed => $key->{needed}, unfinished => $key->{unfinished}, %more );
    $out{$_} = _flag( $flags{$_} ) for keys %flags;
    return \%out if !$key->{shared};
    $out{$_}       = $key->{has_next} ? $key->{$_} : undef for qw(next_path next_made);
    $out{step}     = _step($key);
    $out{machines} = [ map { _machine($_) } @{ $key->{machines} } ];
    return \%out;
}

sub _flag { return $_[0] ? JSON::PP::true() : JSON::PP::false() }

sub _machine {
    my ($machine) = @_;
    my %out = ( name => $machine->{name}, seen => $machine->{seen} || undef );
    $out{$_} = length $machine->{$_} ? $machine->{$_} : undef for qw(present next old);
    $out{$_} = _flag( $machine->{$_} )                        for qw(here behind);
    return \%out;
}

sub _status {
    my ( $sessions, $option ) = @_;
    my $key = _look($sessions);
    if ( $option->{json} ) {
        print_json( _json($key) );
        return 0;
    }
    my @rows = [ 'present', $key->{path}, _when( $key->{made} ), _age( $key->{made} ) ];
    for my $other ( grep { $key->{"has_$_"} } qw(next old) ) {
        my $made = $key->{"${other}_made"};
        push @rows, [ $other, $key->{"${other}_path"}, _when($made), _age($made) ];
    }
    print_table( [qw(KEY FILE MADE AGE)], sub { return shift @rows } );
    _print_machines($key) if $key->{shared};
    my $text =
          $key->{unfinished} ? "A rotation was interrupted: run 'logmein key rotate' again."
        : $key->{shared}     ? _next_step($key)
        : $key->{needed}     ? ucfirst _needed($key)
        : $key->{has_old}    ? "Nothing needs the old key: 'logmein key retire' removes it."
        :                      return 0;
    print paragraph( $text, q{} );
    return 0;
}

sub _print_machines {
    my ($key) = @_;
    my @rows;
    for my $machine ( @{ $key->{machines} } ) {
        my @names = map { length $machine->{$_} ? $machine->{$_} : q{-} } qw(present next old);
        push @rows,
            [
            $machine->{name},
            $machine->{seen}  ? _when( $machine->{seen} ) : q{-},
            $machine->{sound} ? @names                    : ( 'another', q{-}, q{-} )
            ];
    }
    print "\n";
    print_table( [qw(MACHINE SEEN PRESENT NEXT OLD)], sub { return shift @rows } );
    print "\n";
    return;
}

sub _next_step {
    my ($key) = @_;
    my $step = _step($key);
    return ucfirst _waits($key)        if $key->{behind};
    return 'No rotation is under way.' if $step eq 'none';
    return q{Every machine that was seen during the last day has the next key: run}
        . q{ 'logmein key rotate' on each of them.}
        if $step eq 'rotate';
    return 'Every machine writes with the present key. '
        . (
        $key->{needed}
        ? ucfirst _needed($key)
        : q{Nothing needs the old one: 'logmein key retire' removes it on each machine.}
        );
}

1;

__END__

=head1 NAME

logmein-key - change the store's key

=head1 SYNOPSIS

    logmein key status
    logmein key rotate [--force]
    logmein key retire [--force]

=head1 DESCRIPTION

With the store's key records are signed, and names and addresses are made unreadable. Change
it when somebody may have seen it, when a backup was lost, and from time to time. Run these
commands as root, or as the owner of the store.

=head1 COMMANDS

=head2 status

    logmein key status

Shows the key, the old one if there is one, when their files were written, and what still
needs the old one. Where machines share the store, it shows the next key too; each machine
that was seen during the last day, with the first digits of its keys' fingerprints; and
which step of a rotation can be done here, or what it waits for.

=head2 rotate

    logmein key rotate [--force]

Writes a new key in the place of the present one, which stays as F<KEY.old> beside it, or
where C<key_file_old> says, and is accepted for reading. No session ends. Processes that log
in use the new key from their next call on, gateways within a second, and the settings stay
as they are. It says when the old key may go.

The change happens in one step; if the command is interrupted before it, the key stays as
it is, and the next C<rotate> goes on. While there is an old key, there is no other
rotation: exit status 1.

Where machines share a store, the key is changed in three steps: see L</"MACHINES THAT
SHARE A STORE">.

A key that somebody has seen stays dangerous as long as it is accepted: use
C<retire --force> then, and all users log in again.

=head2 retire

    logmein key retire [--force]

Removes the old key, if nothing needs it: no session or ticket was made with it, no known
source is from before the rotation, which is so after 30 days or C<session_max> at the
latest, and the waits of that time are over, after one day. Otherwise exit status 1; with
C<--force> it is removed anyway, and what needs it is lost.

If C<key_file_old> is set, take it out of the settings, reload the gateway, and remove the
file.

=head1 MACHINES THAT SHARE A STORE

A store in PostgreSQL is used by several machines, and all need the new key before the
first of them writes with it. No session is lost and no login is refused while machines
are at different steps, for each has both keys:

=over 4

=item 1.

C<logmein key rotate> on one machine makes the next key, F<KEY.next> beside the present
one. It is accepted for reading, and nothing is written with it. Copy it to the same place
on every machine, with its owner and mode 0600. Until it is there as a whole it counts as
missing. Servers notice it within a second.

=item 2.

C<logmein key rotate> on each machine makes the next key the present one, and the present
one F<KEY.old>, as soon as every machine has the next one. Until then it changes nothing,
names the machines that lack it, and the exit status is 1.

=item 3.

C<logmein key retire> on each machine, once all of them write with the new key and nothing
needs the old one. The time since the rotation is that of the last machine.

=back

C<logmein key status> tells on each machine which step is next. A machine is known by its
host name and F</etc/machine-id>, and leaves a note in the store when it opens it, and once
an hour. One that has left none for a day is not waited for: start with one that was away
so long by copying the keys to it. A note that was not made with one of this machine's keys
is shown as C<another>, and its machine is waited for. With C<--force> no machine is waited
for: one that is in use can't read what the others write then.

A backup that is made between the steps holds the present key and the old one. C<logmein
store copy> waits until no next key is there.

=head1 OPTIONS

=over 4

=item C<--config FILE>

The settings file. By default the one that is in use: see L<logmein.conf(5)>.

=item C<-f>, C<--force>

C<retire>: removes an old key that is needed. C<rotate> and C<retire>: wait for no machine,
where machines share the store.

=item C<--json>

Prints an object: C<path>; C<made>, when its file was written; of the old key, or null
without one, C<old_path>, C<old_made>, C<rotated> (since when it is the old one),
C<sessions> and C<known>, how many tickets and cookies and known sources need it, and
C<needed_until>, at the latest; C<needed>, C<unfinished> (a rotation was interrupted), and
of C<rotate> and C<retire> C<done>, true or false. Times are seconds since 1970.

Where machines share the store also C<next_path> and C<next_made>, null without a next key;
C<step>, which is possible or waited for here: C<none> (a new rotation), C<rotate> or
C<retire>; and C<machines>, an array of objects: C<name>, C<here> (this machine), C<seen>,
C<present>, C<next> and C<old>, the first eight digits of the keys' fingerprints or null,
and C<behind>, true if the step waits for it.

=back

=head1 EXIT STATUS

0 if it is done, 1 if it is refused, 2 for wrong usage, 3 for an error.

=head1 SEE ALSO

L<logmein(1)>, L<logmein-store(8)>, L<logmein.conf(5)>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
