package History;

# What clients have seen of a store, judged: was a session that had ended accepted again,
# did a ticket open two sessions, was one lost that had been acknowledged?
#
# An event is a hash: start and end, in seconds by one clock; client; kind, which is login,
# redeem, check or logout; ticket, of a login or redeem; session, of the others and of a
# redeem that was granted; browser, of a redeem; outcome: "yes", "no", or "unknown", after
# a fault, when it may have been done or not.

use strict;
use warnings;
use Exporter   qw(import);
use List::Util qw(first min uniq);

our @EXPORT_OK = qw(violations counts);

# Seconds from the acknowledgement of a logout: no check that begins later may accept the
# session; one that does even then has undone the logout.
our $BOUND = 2;
our $LONG  = 5;

# What breaks a promise, in any order of the events. Each is a hash: rule, which is
# "undone", "late", "double", "lost" or "refused"; what, the session or ticket; for the
# first two seconds, from the acknowledgement to the last acceptance; and text.
sub violations {
    my (@events) = @_;
    my $sessions = _by( 'session', @events );
    my $tickets  = _by( 'ticket',  @events );
    return (
        ( map { _accepted( $_, @{ $sessions->{$_} } ) } sort keys %{$sessions} ),
        ( map { _granted( $_, @{ $tickets->{$_} } ) } sort keys %{$tickets} ),
        ( map { _lost( $_, @{ $sessions->{$_} } ) } sort keys %{$sessions} ),
        ( map { _lost_ticket( $_, @{ $tickets->{$_} } ) } sort keys %{$tickets} ),
    );
}

# How many violations there are by each rule, and the greatest number of seconds.
sub counts {
    my (@violations) = @_;
    my %count = map { $_ => 0 } qw(undone late double lost refused seconds);
    for my $violation (@violations) {
        $count{ $violation->{rule} }++;
        my $seconds = $violation->{seconds} // 0;
        $count{seconds} = $seconds if $seconds > $count{seconds};
    }
    return \%count;
}

sub _by {
    my ( $what, @events ) = @_;
    my %by;
    push @{ $by{ $_->{$what} } }, $_ for grep { defined $_->{$what} } @events;
    return \%by;
}

# Those of these kinds, divided by blanks, and outcomes.
sub _of {
    my ( $kinds, $outcomes, @events ) = @_;
    my %kind    = map { $_ => 1 } split / /, $kinds;
    my %outcome = map { $_ => 1 } split / /, $outcomes;
    return grep { $kind{ $_->{kind} } && $outcome{ $_->{outcome} } } @events;
}

# A logout accepts the session that it ends, and a redeem the one that it opens.
sub _accepted {
    my ( $session, @events ) = @_;
    my $ended = min( map { $_->{end} } _of( 'logout', 'yes', @events ) ) // return;
    my ($last) =
        sort { $b->{start} <=> $a->{start} } _of( 'check logout redeem', 'yes', @events );
    my $seconds = $last->{start} - $ended;
    return if $seconds <= $BOUND;
    return {
        rule    => $seconds > $LONG ? 'undone' : 'late',
        what    => $session,
        seconds => $seconds,
        text    => sprintf 'session %s is accepted by the %s of %s, %.2f s after its logout',
        $session, @{$last}{qw(kind client)}, $seconds
    };
}

# The same browser may ask again.
sub _granted {
    my ( $ticket, @events ) = @_;
    my @granted  = _of( 'redeem', 'yes', @events );
    my @browsers = uniq map { $_->{browser} } @granted;
    my @sessions = uniq map { $_->{session} } @granted;
    return if @browsers < 2 && @sessions < 2;
    return {
        rule => 'double',
        what => $ticket,
        text => "ticket $ticket opens sessions @sessions for @browsers"
    };
}

# Refused though it was acknowledged before, and nobody can have ended it by then: the rule
# and the event, or nothing. It is lost unless it is accepted later. @uses: what asks for it.
sub _refusal {
    my ( $acknowledged, $ends, @uses ) = @_;
    my $refused = first {
        my $refusal = $_;
        $refusal->{start} >= $acknowledged && !grep { $_->{start} < $refusal->{end} } @{$ends}
    } grep { $_->{outcome} eq 'no' } @uses;
    return if !$refused;
    my $later = grep { $_->{outcome} eq 'yes' && $_->{start} >= $refused->{end} } @uses;
    return ( $later ? 'refused' : 'lost', $refused );
}

sub _lost {
    my ( $session, @events ) = @_;
    my $opened = min( map { $_->{end} } _of( 'redeem', 'yes', @events ) ) // return;
    my @ends   = _of( 'logout',       'yes unknown', @events );
    my @uses   = _of( 'check logout', 'yes no',      @events );
    my ( $rule, $refused ) = _refusal( $opened, \@ends, @uses ) or return;
    return {
        rule => $rule,
        what => $session,
        text => sprintf 'session %s is %s: the %s of %s refuses it, %.2f s after it was opened',
        $session, $rule, @{$refused}{qw(kind client)}, $refused->{start} - $opened
    };
}

# The same of a ticket that nobody else can have redeemed by then.
sub _lost_ticket {
    my ( $ticket, @events ) = @_;
    my $made    = min( map { $_->{end} } _of( 'login', 'yes', @events ) ) // return;
    my @redeems = _of( 'redeem', 'yes unknown', @events );
    my @uses    = _of( 'redeem', 'yes no',      @events );
    my ( $rule, $refused ) = _refusal( $made, \@redeems, @uses ) or return;
    return {
        rule => $rule,
        what => $ticket,
        text => sprintf 'ticket %s is %s: %s can not redeem it, %.2f s after the login',
        $ticket, $rule, $refused->{client}, $refused->{start} - $made
    };
}

1;
