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
        rotate => { options => ['json'] },
        status => { options => ['json'] },
    );
}

sub run {
    my ( $class, $word, $option ) = @_;
    my $sessions = Cpanel::LogMeIn::Session->new;
    return _status( $sessions, $option ) if $word eq 'status';
    my $force  = $option->{force} ? 1 : 0;
    my $before = _sound( $sessions->_key_report );
    my $done =
        _sound( $word eq 'rotate' ? $sessions->_key_rotate : $sessions->_key_retire($force) );
    my $key = _sound( $sessions->_key_report );
    print_json( _json( $key, done => $done->{done} ) ) if $option->{json};

    if ( $done->{done} ) {
        my $text = $word eq 'rotate' ? _rotated($key) : "$before->{old_path} is removed.";
        print paragraph( $text, q{} ) if !$option->{json};
        return 0;
    }
    print {*STDERR}
        paragraph( 'logmein: ' . ( $word eq 'rotate' ? _kept($key) : _needed($key) ), q{} );
    return 1;
}

# Dies with what is wrong.
sub _sound {
    my ($answer) = @_;
    die "$Cpanel::LogMeIn::detail\n" if $answer->{code};
    return $answer;
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
    $out{$_} = $flags{$_} ? JSON::PP::true() : JSON::PP::false() for keys %flags;
    return \%out;
}

sub _status {
    my ( $sessions, $option ) = @_;
    my $key = _sound( $sessions->_key_report );
    if ( $option->{json} ) {
        print_json( _json($key) );
        return 0;
    }
    my @rows = [ 'present', $key->{path}, _when( $key->{made} ), _age( $key->{made} ) ];
    push @rows, [ 'old', $key->{old_path}, _when( $key->{old_made} ), _age( $key->{old_made} ) ]
        if $key->{has_old};
    print_table( [qw(KEY FILE MADE AGE)], sub { return shift @rows } );
    my $text =
          $key->{unfinished} ? "A rotation was interrupted: run 'logmein key rotate' again."
        : $key->{needed}     ? ucfirst _needed($key)
        : $key->{has_old}    ? "Nothing needs the old key: 'logmein key retire' removes it."
        :                      return 0;
    print paragraph( $text, q{} );
    return 0;
}

1;

__END__

=head1 NAME

logmein-key - change the store's key

=head1 SYNOPSIS

    logmein key status
    logmein key rotate
    logmein key retire [--force]

=head1 DESCRIPTION

With the store's key records are signed, and names and addresses are made unreadable. Change
it when somebody may have seen it, when a backup was lost, and from time to time. Run these
commands as root, or as the owner of the store.

=head1 COMMANDS

=head2 status

    logmein key status

Shows the key, the old one if there is one, when their files were written, and what still
needs the old one.

=head2 rotate

    logmein key rotate

Writes a new key in the place of the present one, which stays as F<KEY.old> beside it, or
where C<key_file_old> says, and is accepted for reading. No session ends. Processes that log
in use the new key from their next call on, gateways within a second, and the settings stay
as they are. It says when the old key may go.

The change happens in one step; if the command is interrupted before it, the key stays as
it is, and the next C<rotate> goes on. While there is an old key, there is no other
rotation: exit status 1.

The key of a store in PostgreSQL can't be changed so: other machines that share the store
would not know the new one, and the command refuses.

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

=head1 OPTIONS

=over 4

=item C<--config FILE>

The settings file. By default the one that is in use: see L<logmein.conf(5)>.

=item C<-f>, C<--force>

C<retire>: removes an old key that is needed.

=item C<--json>

Prints an object: C<path>; C<made>, when its file was written; of the old key, or null
without one, C<old_path>, C<old_made>, C<rotated> (since when it is the old one),
C<sessions> and C<known>, how many tickets and cookies and known sources need it, and
C<needed_until>, at the latest; C<needed>, C<unfinished> (a rotation was interrupted), and
of C<rotate> and C<retire> C<done>, true or false. Times are seconds since 1970.

=back

=head1 EXIT STATUS

0 if it is done, 1 if it is refused, 2 for wrong usage, 3 for an error.

=head1 SEE ALSO

L<logmein(1)>, L<logmein-store(8)>, L<logmein.conf(5)>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
