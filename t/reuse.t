#!/usr/bin/perl

# active_token_for_reuse: several URLs for one login.

use strict;
use warnings;
use lib 't/lib';
use Cpanel::LogMeIn::Session ();
use Test::More;
use Test::Cpanel::LogMeIn;
use Logins qw(at site access_of);

my $site = site(
    accounts  => { alice => 'secret', bob => 'secret' },
    resellers => ['alice']
);
my ( $ok, undef, $url, $token ) = $site->login;
ok( $ok, 'a first login' );

sub reuse {
    my ( $given, %more ) = @_;
    return ( $site->login( active_token_for_reuse => $given, %more ) )[ 0, 2, 3 ];
}

for my $form ( $token, substr $token, 1 ) {
    my ( $again, $url2, $token2 ) = reuse($form);
    ok( $again, "$form is taken" );
    is( $token2, $token, '... and is the token of the new URL' );
    isnt(
        ( Test::Cpanel::LogMeIn::parse_url($url2) )[0],
        ( Test::Cpanel::LogMeIn::parse_url($url) )[0],
        '... with a ticket of its own'
    );
    ok( $site->redeem($url2), '... that redeems' );
}
is( ( reuse( $token, pass => 'wrong' ) )[0], 0, 'the password is checked all the same' );

my %ignored = (
    'another user'       => [ $token, user    => 'bob' ],
    'another service'    => [ $token, service => 'whm' ],
    'a token nobody has' => ['/cpsess0000000000'],
    'zero'               => ['0'],
    'nine digits'        => ['/cpsess123456789'],
    'eleven digits'      => ["${token}1"],
    'a newline behind'   => ["$token\n"],
    'two slashes'        => ["/$token"],
    'letters'            => ['/cpsessabcdefghij'],
    'markup'             => ['<b>'],
);
for my $why ( sort keys %ignored ) {
    my ( $given, %more ) = @{ $ignored{$why} };
    my ( $again, undef, $token2 ) = reuse( $given, %more );
    ok( $again && $token2 ne $token && $token2 =~ m{\A/cpsess[0-9]{10}\z}, "$why: a new token" );
}

my ($session) = $site->redeem($url);
Cpanel::LogMeIn::Session->end( access_of($session) );
isnt( ( reuse($token) )[2], $token, 'after logging out the token is dead' );

at(0);
$token = ( $site->login )[3];
at(899);
is( ( reuse($token) )[2], $token, 'a second before it expires the token lives' );
at( 899 + 900 );
isnt( ( reuse($token) )[2], $token, 'and then no more' );
done_testing();
