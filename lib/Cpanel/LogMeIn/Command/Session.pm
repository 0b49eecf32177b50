package Cpanel::LogMeIn::Command::Session;

use strict;
use warnings;
use parent 'Cpanel::LogMeIn::Command';
use Cpanel::LogMeIn                    ();
use Cpanel::LogMeIn::Command::Terminal qw(print_json print_json_list print_table);
use Cpanel::LogMeIn::Command::Words    qw(is_network is_user plural seconds_of user_of);
use Cpanel::LogMeIn::Session           ();
use POSIX                              ();
use Time::HiRes                        ();

our $VERSION = '0.01';

my @FILTERS = qw(user service address older-than idle-for);
my $EVERY   = 0.2;                                            # seconds between numbers shown

sub actions {
    my @filters = map { "$_=s" } @FILTERS;
    return (
        end   => { options => [ @filters, qw(all dry-run) ], arguments => ['ID...?'] },
        list  => { options => [ @filters, 'json' ] },
        purge => {},
        show  => { options => ['json'], arguments => ['ID'] },
    );
}

sub complaint {
    my ( $class, $action, $option, @ids ) = @_;
    my ($wrong) = grep { !/\A[0-9a-f]{16}\z/ } @ids;
    return "'$wrong' is no id of a session: it has 16 digits of 0-9 and a-f."
        if defined $wrong;
    my $complaint = _filter_complaint($option);
    return $complaint if defined $complaint || $action ne 'end';
    my $chosen = @ids + grep { defined $option->{$_} } @FILTERS;
    return "'session end' needs an ID, a filter such as --user, or --all."
        if !$chosen && !$option->{all};
    return '--all goes with no ID and no filter.' if $chosen && $option->{all};
    return;
}

sub _filter_complaint {
    my ($option) = @_;
    my %given = map { $_ => $option->{$_} } grep { defined $option->{$_} } @FILTERS;
    return "'$given{user}' is no name of an account."
        if defined $given{user} && !is_user( $given{user} );
    return "'$given{address}' is no address and no network: write ADDRESS or ADDRESS/BITS."
        if defined $given{address} && !is_network( $given{address} );
    my $services = join q{|}, map { @{$_}{qw(name daemon)} } Cpanel::LogMeIn::services();
    return "'$given{service}' is no service: use cpanel, whm or webmail."
        if defined $given{service} && $given{service} !~ /\A(?:$services)\z/;
    for my $name ( grep { defined $given{$_} } qw(older-than idle-for) ) {
        return "'$given{$name}' is no age: write a number and s, m, h or d."
            if !seconds_of( $given{$name} );
    }
    return;
}

sub run {
    my ( $class, $action, $option, @ids ) = @_;
    my $sessions = Cpanel::LogMeIn::Session->new;
    return _show( $sessions, $option, @ids ) if $action eq 'show';
    return _end( $sessions, $option, @ids )  if $action eq 'end';
    return _purge($sessions)                 if $action eq 'purge';
    return _list( $sessions, $option );
}

# The arguments of the sessions' list.
sub _only {
    my ( $option, @ids ) = @_;
    my %only = map { $_ => $option->{$_} } grep { defined $option->{$_} } qw(service address);
    $only{user}       = user_of( $option->{user} )            if defined $option->{user};
    $only{older_than} = seconds_of( $option->{'older-than'} ) if defined $option->{'older-than'};
    $only{idle_for}   = seconds_of( $option->{'idle-for'} )   if defined $option->{'idle-for'};
    $only{id}         = join q{ }, @ids if @ids;
    return %only;
}

# What is told of a session. Its token is not.
sub _json_of {
    my ($session) = @_;
    my %told = map { $_ => $session->{$_} } qw(id user service);
    $told{$_}          = int $session->{$_} for qw(created ends last_seen redeemed_at);
    $told{address}     = length $session->{address} ? $session->{address} : undef;
    $told{redeemed}    = $session->{redeemed}       ? JSON::PP::true()    : JSON::PP::false();
    $told{redeemed_at} = undef if !$told{redeemed_at};
    return \%told;
}

# Seconds in the largest unit of which there are two, or one that fits: 90s, 15m, 3h, 2d.
sub _age {
    my ($seconds) = @_;
    return "${seconds}s"                if $seconds < 120;
    return int( $seconds / 60 ) . 'm'   if $seconds < 7200;
    return int( $seconds / 3600 ) . 'h' if $seconds < 172_800;
    return int( $seconds / 86_400 ) . 'd';
}

# By the clock that the sessions go by.
sub _now {
    my ($sessions) = @_;
    return $sessions->setting('test_clock') || time;
}

sub _list {
    my ( $sessions, $option ) = @_;
    my $next = $sessions->list( _only($option) );
    if ( $option->{json} ) {
        require JSON::PP;
        print_json_list( sub { my $session = $next->() // return; return _json_of($session) } );
        return 0;
    }
    my $now = _now($sessions);
    print_table(
        [qw(ID USER SERVICE ADDRESS AGE IDLE)],
        sub {
            my $session = $next->() // return;
            my $address = length $session->{address} ? $session->{address} : q{-};
            return [
                @{$session}{qw(id user service)},
                $session->{redeemed} ? $address : 'not redeemed',
                map { _age( $now - $session->{$_} ) } qw(created last_seen)
            ];
        }
    );
    return 0;
}

sub _date {
    my ($epoch) = @_;
    return POSIX::strftime( '%Y-%m-%d %H:%M:%S %z', localtime $epoch );
}

sub _show {
    my ( $sessions, $option, $id ) = @_;
    my $session = $sessions->show( id => $id );
    if ( !$session ) {
        print {*STDERR} "logmein: There is no session $id.\n";
        return 1;
    }
    if ( $option->{json} ) {
        require JSON::PP;
        print_json( _json_of($session) );
        return 0;
    }
    my $redeemed = $session->{redeemed_at} ? _date( $session->{redeemed_at} ) : 'not known when';
    my @rows     = (
        [ 'id',        $session->{id} ],
        [ 'user',      $session->{user} ],
        [ 'service',   $session->{service} ],
        [ 'created',   _date( $session->{created} ) ],
        [ 'redeemed',  $session->{redeemed}       ? $redeemed           : 'no' ],
        [ 'address',   length $session->{address} ? $session->{address} : 'not known' ],
        [ 'last seen', _date( $session->{last_seen} ) ],
        [ 'ends',      _date( $session->{ends} ) ],
    );
    printf "%-10s %s\n", @{$_} for @rows;
    return 0;
}

# Shows how far a long work is, on a terminal; at its end removes it.
sub _progress {
    my ($text) = @_;
    my $shown = 0;
    return sub { }
        if !POSIX::isatty( fileno STDERR );
    return sub {
        my ($count) = @_;
        return print {*STDERR} "\r\e[K" if !defined $count;
        return                          if Time::HiRes::time() - $shown < $EVERY;
        $shown = Time::HiRes::time();
        print {*STDERR} "\r$text $count ...";
        return;
    };
}

# Ends what is there now, in small steps; returns how many. %only is as for the list;
# $progress is called with the number so far. A ticket that was redeemed between two steps
# is found when the list is gone through again. For other commands, too.
sub end_all {
    my ( $sessions, $progress, %only ) = @_;
    my @what = ( @only{qw(user service id address older_than idle_for)}, _now($sessions) );
    my ( $total, $cursor, $in_round, $ended ) = ( 0, q{}, 0, undef );
    while (1) {
        ( $ended, $cursor ) = $sessions->_end_some( $cursor, @what );
        $total    += $ended;
        $in_round += $ended;
        $progress->($total);
        next if $ended;
        last if !$in_round;
        ( $cursor, $in_round ) = ( q{}, 0 );
    }
    return $total;
}

sub _end {
    my ( $sessions, $option, @ids ) = @_;
    my %only = _only( $option, @ids );
    return _count( $sessions, %only ) if $option->{'dry-run'};
    my $progress = _progress('Ended');
    my $total    = end_all( $sessions, $progress, %only );
    $progress->(undef);
    print 'Ended ', plural( $total, 'session' ), ".\n";
    return $total ? 0 : 1;
}

sub _count {
    my ( $sessions, %only ) = @_;
    my $next  = $sessions->list(%only);
    my $count = 0;
    $count++ while $next->();
    print 'Would end ', plural( $count, 'session' ), ".\n";
    return $count ? 0 : 1;
}

sub _purge {
    my ($sessions) = @_;
    my $progress = _progress('Removed');
    my ( $total, $removed, $more ) = ( 0, 0, 1 );
    while ($more) {
        ( $removed, $more ) = $sessions->_purge_some;
        $total += $removed;
        $progress->($total);
    }
    $progress->(undef);
    print 'Removed ', plural( $total, 'expired entry', 'expired entries' ), ".\n";
    return 0;
}

1;

__END__

=head1 NAME

logmein-session - list, show, end and purge sessions

=head1 SYNOPSIS

    logmein session list [FILTERS] [--json]
    logmein session show ID [--json]
    logmein session end ID... [FILTERS] [--dry-run]
    logmein session end FILTERS | --all [--dry-run]
    logmein session purge

=head1 DESCRIPTION

Shows who is logged in, and logs out. Run it as the owner of the store, or as root. A
session begins when somebody logs in, with a ticket in a login URL; when the URL is
opened, the ticket is redeemed for a cookie.

=head1 COMMANDS

=head2 list

Lists the sessions that are active, and tickets not yet redeemed: all of them, or those
that match every filter. ADDRESS is where the session was redeemed: C<-> if that is not
known. AGE is the time since the login, IDLE the time since the last request, good to a
minute. Any number of sessions is listed in little memory, about 30,000 a second; those
that begin or end meanwhile may be missing.

=head2 show

Shows one session, with its times. The exit status is 1 if there is no such session.

=head2 end

Ends the sessions of these ids, or those that match every filter: their cookies and
tickets are no longer valid. Each is logged, as C<PURGE USER:ID operator>. At least one
id or filter, or C<--all>, is needed. Sessions that begin after the command was started
are not ended. It works in small steps, so that others log in meanwhile. Prints how many
were ended; the exit status is 1 if there was none.

=head2 purge

Removes the entries of expired sessions from the store, in small steps, and prints how
many. Logins remove them, too, a few at a time: a purge is of use after a quiet time.
The progress is shown on a terminal only, on standard error.

=head1 OPTIONS

=over 4

=item C<--user NAME>

Sessions of this account: a name, or C<name@domain> of a mailbox.

=item C<--service SERVICE>

C<cpanel>, C<whm> or C<webmail>.

=item C<--address ADDRESS>

Sessions that were redeemed from this address, or from a network, as C<192.0.2.0/24> or
C<2001:db8::/32>. Without C<trusted_proxies> it is the address of a proxy: see
L<logmein.conf(5)>. Sessions whose address is not known do not match.

=item C<--older-than AGE>, C<--idle-for AGE>

Sessions that began at least so long ago, or were not used for so long: a number and
C<s>, C<m>, C<h> or C<d>, for example C<90m>.

=item C<--all>

With C<end>: all sessions.

=item C<--dry-run>

With C<end>: ends nothing, and prints how many it would end.

=item C<--json>

With C<list> an array of objects, one in a line; with C<show> an object. Keys: C<id>,
C<user>, C<service>; C<created>, C<last_seen> and C<ends>, seconds since 1970;
C<redeemed>, a boolean; C<redeemed_at>, seconds since 1970, and C<address>, each null if
not known.

=item C<--config FILE>

The settings file, instead of the one that is in use: see L<logmein.conf(5)>.

=back

=head1 EXIT STATUS

0 if it was done, 1 if there was no such session, 2 for wrong usage, 3 if the store
can't be used.

=head1 EXAMPLES

    logmein session end --user alice
    logmein session end --address 198.51.100.7 --dry-run
    logmein session list --idle-for 10m --json

=head1 SEE ALSO

L<logmein(1)>, L<logmein-attempts(8)>, L<Cpanel::LogMeIn::Session>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
