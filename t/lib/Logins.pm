package Logins;

# A site with a clock that a test sets; logins there, their tickets, and checks
# of their sessions.

use strict;
use warnings;
use Carp                     qw(croak);
use Cpanel::LogMeIn::Session ();
use Exporter                 qw(import);
use Scalar::Util             qw(weaken);
use Test::Cpanel::LogMeIn    ();

our @EXPORT_OK = qw($START at check_reason log_in open_session redeem site access_of);

our $START = 1_700_000_000;

# The site that the functions below use.
my $site;

# Takes what Test::Cpanel::LogMeIn->new does.
sub site {
    my (%options) = @_;
    my $made = Test::Cpanel::LogMeIn->new(%options);
    weaken( $site = $made );
    return $made;
}

# Sets the clock to so many seconds after $START.
sub at {
    my ($seconds) = @_;
    $site->write_settings( test_clock => $START + $seconds );
    return;
}

# A login, as the arguments to redeem its ticket.
sub log_in {
    my (%given) = @_;
    my ( $ok, undef, $url ) = $site->login(%given);
    croak "no login: $Cpanel::LogMeIn::detail" if !$ok;
    my ( $ticket, $token ) = Test::Cpanel::LogMeIn::parse_url($url);
    return ( ticket => $ticket, token => $token, service => $given{service} // 'cpanel' );
}

sub redeem { my (@with) = @_; return Cpanel::LogMeIn::Session->redeem(@with) }

# A login that has been redeemed: the session.
sub open_session { my (%given) = @_; return scalar redeem( log_in(%given) ) }

# The arguments of a check of a session that was redeemed.
sub access_of {
    my ($session) = @_;
    return map { $_ => $session->{$_} } qw(cookie token service);
}

# The reason that a check gives; other arguments replace the session's.
sub check_reason {
    my ( $session, %other ) = @_;
    return ( Cpanel::LogMeIn::Session->check( access_of($session), %other ) )[1];
}

1;
