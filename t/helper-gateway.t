#!/usr/bin/perl

# The gateway of a test's site: it serves login URLs, and ends with the site, or when
# the test is killed.

use strict;
use warnings;
use HTTP::Tiny       ();
use IO::Socket::INET ();
use Test::More;
use Test::Cpanel::LogMeIn;

plan skip_all => 'The gateway needs Plack, HTML::Template and IO::Socket::SSL'
    if !eval { require HTML::Template; require HTTP::Server::PSGI; require IO::Socket::SSL; 1 };

my $served = Test::Cpanel::LogMeIn->new(
    accounts => { alice => { password => 'secret', reseller => 1 } },
    gateway  => 1
);
my $browser = HTTP::Tiny->new(
    verify_SSL   => 1,
    SSL_options  => { SSL_ca_file => $served->certificate },
    max_redirect => 0
);

# Opens a login URL, and follows its redirect.
my $open = sub {
    my ( $link, $agent ) = @_;
    my ($base)   = $link =~ m{\A(https://[^/]+)};
    my $redirect = $browser->get( $link, { headers => { 'User-Agent' => $agent // 'One' } } );
    my ($cookie) = ( $redirect->{headers}{'set-cookie'} // [q{}] )->[0] =~ /\A([^;]*)/;
    return $redirect->{status} if $redirect->{status} != 302;
    return $browser->get( "$base$redirect->{headers}{location}",
        { headers => { Cookie => $cookie } } )->{content};
};
my $url;
for my $service (qw(cpanel whm webmail)) {
    $url = login_ok( { service => $service, goto_uri => '/x' }, "a login to $service" );
    is( $open->($url),          "alice $service /x\n", '... whose URL opens a page' );
    is( $open->( $url, 'Two' ), 401,                   '... in one browser' );
}
$url = login_ok( {}, 'a login' );
$served->clock( time + 900 );
is( $open->($url), 401, 'the gateway has the clock of the test' );
my ( undef, undef, $port ) = Test::Cpanel::LogMeIn::parse_url($url);
my $listens = sub {
    my ($at) = @_;
    return IO::Socket::INET->new( PeerAddr => '127.0.0.1', PeerPort => $at );
};
ok( $listens->($port), 'it listens' );
undef $served;
ok( !$listens->($port), '... as long as there is a site' );

# A remote login, at the gateway of another site: its URL is opened there.
SKIP: {
    skip 'remote logins need libcurl and jansson', 1
        if !eval { require Cpanel::LogMeIn::Remote; 1 };
    my $there = Test::Cpanel::LogMeIn->new( accounts => { bob => 'hidden' }, gateway => 1 );
    my $here  = Test::Cpanel::LogMeIn->new(
        accounts => { alice => 'secret' },
        settings => {
            backend        => 'remote',
            remote_ca_file => $there->certificate,
            $there->ports
        }
    );
    my %bob    = ( user => 'bob', pass => 'hidden' );
    my $remote = login_ok( \%bob, 'a login at another site' );
    login_fails( {}, '... which does not know the accounts of this one' );
    unlike( $remote, qr/lmt_/, '... has no ticket' );
    my $session = url_redeems_ok( $remote, '... its URL opens there' );
    is( $session->{user}, 'bob', '... as the right user' );
    session_ok( $session, '... and lives there' );
    $there->account( bob => undef );
    $remote = ( $here->login(%bob) )[2];
    is( $remote, undef, 'an account that is gone there' );
    undef $there;
    my ( undef, $reason ) =
        $here->redeem('https://localhost:1/cpsess0123456789/login/?session=a%3ab');
    is( $reason, 'elsewhere', 'the URL of an unknown server' );
}

# This test is killed, and can't clean up.
my $pid = open( my $out, '-|' ) // die "fork: $!";
if ( !$pid ) {
    my $short = Test::Cpanel::LogMeIn->new( gateway => 1 );
    my ( undef, undef, $at ) = Test::Cpanel::LogMeIn::parse_url( ( $short->login )[2] );
    local $| = 1;
    print "$at ", $short->dir, "\n";
    kill KILL => $$;
}
my ( $at, $dir ) = split q{ }, readline $out;
close $out;
my $gone;
for ( 1 .. 100 ) {
    last if $gone = !$listens->($at);
    select undef, undef, undef, 0.05;    ## no critic (ProhibitSleepViaSelect)
}
ok( $gone, 'nobody listens when the test was killed' );
Test::Cpanel::LogMeIn::remove_tree($dir);

done_testing();
