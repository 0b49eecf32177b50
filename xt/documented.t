#!/usr/bin/perl

# The vendor's documented script runs unchanged. Its text may not be copied: it is run
# from its path beside the checkout, or from LOGMEIN_SCRIPT. It logs in as XXXXXX with
# the password XXXXXX.

use strict;
use warnings;
use blib;
use Test::More;
use lib    qw(t/lib xt/lib);
use Author qw(run);
use Test::Cpanel::LogMeIn;
use Logins qw(check_reason);

my $script = $ENV{LOGMEIN_SCRIPT} // '../shared/login.pl';
plan skip_all => "$script is not here" if !-e $script;

my $site = Test::Cpanel::LogMeIn->new( accounts => { XXXXXX => 'XXXXXX' }, domains => {} );
my ( $status, $out ) = run( '.', "$^X -Mblib '$script'" );
is( $status, 0, 'the script runs' );
my @urls = $out =~ /\ALocation: (\S+)\r\n\r\nLocation: (\S+)\r\n\r\n\z/;
is( scalar @urls, 2, 'it prints two Location lines, and nothing else' ) or diag($out);
my $host = qr{\Ahttps://localhost:2083};
like( $urls[0], qr{$host/cpsess[0-9]{10}/[?]session=}, 'the first opens the home page' );
like(
    $urls[1],
    qr{$host/cpsess[0-9]{10}/frontend/jupiter/domains/index[.]html[?]session=},
    'the second opens the domains'
);
my @tokens = map { ( Test::Cpanel::LogMeIn::parse_url($_) )[1] } @urls;
is( $tokens[0], $tokens[1], 'both have one and the same token' );

for my $url (@urls) {
    my ($session) = $site->redeem($url);
    ok( $session, 'its ticket redeems' );
    is( check_reason($session), 'granted', 'and the session works' );
}

$site->{accounts}{XXXXXX} = 'another';
$site->write_site;
( undef, $out ) = run( '.', "$^X -Mblib '$script'" );
is(
    $out,
    "Content-type: text/plain\r\n\r\nLOGIN FAILED: The login is invalid.\n" x 2,
    'control: with another password it says so, twice'
);
done_testing();
