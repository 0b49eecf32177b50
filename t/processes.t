#!/usr/bin/perl

# Many processes at once, on one store that does not exist yet.

use strict;
use warnings;
use lib 't/lib';
use AtOnce                   qw(at_once);
use Cpanel::LogMeIn::Session ();
use Test::More;
use Test::Cpanel::LogMeIn;
use Logins qw(log_in open_session redeem site access_of);

my $PROCESSES = 200;
my @users     = map { "user$_" } 1 .. 20;
my $site      = site( accounts => { map { $_ => 'secret' } @users }, domains => {} );

my ( $well, @urls ) = at_once(
    $PROCESSES,
    sub {
        my ($number) = @_;
        my $user = $users[ $number % @users ];
        my ( $ok, $message, $url, $token ) = $site->login( user => $user );
        return $ok ? "$user $url" : "$user $message $Cpanel::LogMeIn::detail";
    }
);
is( $well, $PROCESSES, "$PROCESSES processes log in to a store that they have to make" );
is( scalar( grep { m{ https://} } @urls ), $PROCESSES, '... and each login is good' )
    or diag( join "\n", grep { !m{ https://} } @urls );
my ( %tokens, %tickets, $redeemed );
for my $line (@urls) {
    my ( $user, $url ) = split / /, $line, 2;
    my ( $ticket, $token ) = Test::Cpanel::LogMeIn::parse_url($url);
    $tokens{$token}++;
    $tickets{$ticket}++;
    my $session = $site->redeem($url);
    $redeemed++ if $session && $session->{user} eq $user;
}
is( scalar keys %tokens,  $PROCESSES, 'all tokens are distinct' );
is( scalar keys %tickets, $PROCESSES, 'all tickets are distinct' );
is( $redeemed,            $PROCESSES, 'every ticket redeems, for its user' );

# One ticket, many browsers: one wins.
my $rounds = 50;
my %wins;
for my $round ( 1 .. $rounds ) {
    my @ticket = log_in( user => 'user1' );
    my ( undef, @reasons ) = at_once( 8, sub { ( redeem(@ticket) )[1] } );
    $wins{ join ' ', sort @reasons }++;
}
is_deeply(
    \%wins,
    { join( ' ', 'granted', ('spent') x 7 ) => $rounds },
    "of eight processes with one ticket exactly one is granted, $rounds times"
);

# Objects and forks, in both directions.
my $sessions = Cpanel::LogMeIn::Session->new;
my @access   = access_of( open_session( user => 'user2' ) );
ok( $sessions->check(@access), 'an object that has the store open' );
my $said = Test::Cpanel::LogMeIn::in_child(
    sub {
        my @seen = ( $sessions->check(@access) )[1];
        push @seen, Test::Cpanel::LogMeIn::in_child( sub { ( $sessions->check(@access) )[1] } );
        push @seen, ( $site->login( user => 'user3' ) )[1];
        push @seen, ( $sessions->end(@access) )[1];
        return join ', ', @seen;
    }
);
is( $said, 'granted, granted, Login OK, granted', 'serves a child and a grandchild' );
is( ( $sessions->check(@access) )[1], 'unknown',  '... and the parent sees what they did' );
ok( ( $site->login( user => 'user2' ) )[0], '... and logs in' );

# Random bytes after a fork: a child must not draw what its parent draws.
my %drawn;
for ( 1 .. 50 ) {
    my $child = Test::Cpanel::LogMeIn::in_child( sub { ( $site->login( user => 'user4' ) )[2] } );
    $drawn{$_}++
        for map { ( Test::Cpanel::LogMeIn::parse_url($_) )[0] } $child,
        ( $site->login( user => 'user4' ) )[2];
}
is( scalar keys %drawn, 100, 'parent and children draw different tickets' );
done_testing();
