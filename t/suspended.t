#!/usr/bin/perl

# An account that may not log in any more has no access: neither by a ticket or
# dual-use cookie from before, nor by a live session, a minute after its account
# was read last.

use strict;
use warnings;
use Test::More;
use Test::Cpanel::LogMeIn;
use lib 't/lib';
use Logins qw($START at access_of check_reason log_in open_session redeem site);

my $site = site( clock => $START );

# How an account loses its access, and gets it back.
my %ways = (
    'is suspended'         => { password => 'secret', suspended  => 1 },
    'expires'              => { password => 'secret', expired    => 1 },
    'is locked'            => { password => 'secret', locked     => 1 },
    'loses a service'      => { password => 'secret', not_cpanel => 1 },
    'has another password' => 'another',
    'is removed'           => undef,
);

sub lose {
    my ($way) = @_;
    unlink $site->path('var/cpanel/users/alice') if $way eq 'loses a service';
    return $site->account( alice => $ways{$way} );
}

sub dual_use {
    my $answer = Cpanel::LogMeIn::Session->log_in(
        user     => 'alice',
        pass     => 'secret',
        hostname => 'localhost',
        service  => 'cpanel'
    );
    return { token => $answer->{token}, cookie => $answer->{cookie}, service => 'cpanel' };
}

for my $way ( sort keys %ways ) {
    $site->account( alice => 'secret' );
    at(0);
    my %fresh = log_in();
    my $dual  = dual_use();
    my $other = dual_use();
    my $live  = open_session();
    my %spent = ( log_in(), address => '192.0.2.7', agent => 'Browser' );
    redeem(%spent);
    lose($way);
    my ( undef, $reason ) = redeem(%fresh);
    is( $reason,             'unknown', "the account $way: a ticket from before opens nothing" );
    is( check_reason($dual), 'unknown', '... nor does the first use of a dual-use cookie' );
    is( ( redeem( %{$other}, ticket => $other->{cookie}, cookie => undef ) )[1],
        'unknown', '... nor its use as a ticket' );
    is( ( redeem(%spent) )[1], 'unknown', '... nor a double click' );
    at(59);
    is( check_reason($live), 'granted', '... a live session goes on for 59 seconds' );
    at(60);
    is( check_reason($live), 'unknown', '... and ends at its first check after 60' );
    $site->account( alice => 'secret' );
    is( check_reason($live),   'unknown', '... for good' );
    is( ( redeem(%fresh) )[1], 'unknown', '... as does the ticket' );
}

# Logging out needs no account.
$site->account( alice => 'secret' );
at(0);
my $session = open_session();
$site->account( alice => undef );
at(120);
is( ( Cpanel::LogMeIn::Session->end( access_of($session) ) )[1],
    'granted', 'a session of a removed account can be logged out' );

# Many tickets from before, one a minute.
$site->account( alice => 'secret' );
at(0);
my @tickets = map { +{ log_in() } } 1 .. 14;
$site->account( alice => { password => 'secret', suspended => 1 } );
my $opened = 0;
for my $minute ( 0 .. $#tickets ) {
    at( 60 * $minute );
    $opened += ( redeem( %{ $tickets[$minute] } ) )[1] eq 'granted';
}
is( $opened, 0, 'of 14 tickets from before a suspension none opens a session' );
$site->account( alice => 'secret' );
at(0);
is( ( redeem( log_in() ) )[1], 'granted', 'control: a ticket of an account in good standing does' );

# A fault of the account files ends nothing.
my %ticket = log_in();
rename $site->path('etc/shadow'), $site->path('etc/moved') or die $!;
is( ( redeem(%ticket) )[1], 'fault', 'a ticket, while accounts cannot be read' );
rename $site->path('etc/moved'), $site->path('etc/shadow') or die $!;
is( ( redeem(%ticket) )[1], 'granted', '... is good again afterwards' );
done_testing();
