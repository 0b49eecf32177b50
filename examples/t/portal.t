#!/usr/bin/perl

# How a billing portal may test its login script, here examples/login.cgi.
# Run it with: prove -b examples/t

use strict;
use warnings;
use FindBin qw($Bin);
use Test::More;
use Test::Cpanel::LogMeIn;

plan skip_all => 'CGI.pm is not installed' if !eval { require CGI; 1 };

# A site in a temporary folder; needs neither root nor a network.
my $site = Test::Cpanel::LogMeIn->new(
    accounts => {
        alice                => 'secret',
        bob                  => { password => 'secret', suspended => 1 },
        'info@alice.example' => 'mail',
    },
    domains => { 'alice.example' => 'alice' },
);
my $script = "$Bin/../login.cgi";

# A customer with the right password is sent to the panel.
my $answer = run_cgi( $script, form => { user => 'alice', pass => 'secret' } );
is( $answer->{status}, 302, 'a customer is redirected' );
my $session =
    url_redeems_ok( $answer->{headers}{location}[0], '... to a URL that opens the panel' );
is( $session->{user}, 'alice', '... as the customer' );
session_ok( $session, '... with an active session' );

# All other users get the form again.
for my $who ( [ alice => 'wrong' ], [ bob => 'secret' ], [ carol => 'secret' ] ) {
    my ( $user, $pass ) = @{$who};
    $answer = run_cgi( $script, form => { user => $user, pass => $pass } );
    is( $answer->{status}, 401, "$user with '$pass' is refused" );
    like( $answer->{body}, qr/The login is invalid[.]/, '... with a message' );
}

# Sessions expire.
$site->clock(1_800_000_000);
my $url = login_ok( { user => 'alice', pass => 'secret' }, 'another login' );
$session = url_redeems_ok( $url, 'its link' );
$site->clock( 1_800_000_000 + 900 );
session_ended_ok( $session, 'after 15 idle minutes the session has ended' );
$site->clock(undef);

# A fault of the machine.
$site->fault('store-away');
$answer = run_cgi( $script, form => { user => 'alice', pass => 'secret' } );
like(
    $answer->{body},
    qr/not possible at the moment/,
    'a fault is not reported as a wrong password'
);
$site->fault(undef);
login_ok( { user => 'alice', pass => 'secret' }, 'logins work again' );

done_testing();
