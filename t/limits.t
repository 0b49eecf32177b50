#!/usr/bin/perl

# How many sessions an account may have, how long their entries stay on disk, and
# what a clock that was set wrong may remove.

use strict;
use warnings;
use Test::More;
use Test::Cpanel::LogMeIn;
use lib 't/lib';
use Logins qw($START access_of check_reason log_in open_session redeem site);

my $site = site( clock => $START, settings => { sessions_max => 5 } );

# Sets the clock, and a setting.
sub at {
    my ($seconds) = @_;
    return $site->settings( test_clock => $START + $seconds );
}

sub listed {
    my $next  = Cpanel::LogMeIn::Session->list( user => 'alice' );
    my $count = 0;
    $count++ while $next->();
    return $count;
}

# sessions_max
sub opened_at {
    my ($second) = @_;
    at($second);
    return scalar open_session();
}
my @sessions = map { opened_at($_) } 1 .. 3;
at(4);
my %unused = log_in();
at(5);
my %unused2 = log_in();
is( listed(), 5, 'five sessions, two of them not redeemed' );
at(6);
my %new = log_in();
is( listed(),               5,         'a sixth login makes room' );
is( ( redeem(%unused) )[1], 'unknown', '... of the oldest that nobody has redeemed' );
at(7);
ok( open_session(), 'another login' );
ok( !!redeem(%new), '... leaves the later one' );
at(8);
is( check_reason( $sessions[0] ), 'granted', 'and the redeemed ones' );
at(70);
is( check_reason( $sessions[0] ), 'granted', 'the first session is used again' );
at(71);
log_in();
is( check_reason( $sessions[1] ), 'unknown', 'without unredeemed ones the longest unseen goes' );
is( check_reason( $sessions[0] ), 'granted', '... not the one that was used' );
$site->settings( sessions_max => 2 );
log_in() for 1 .. 4;
is( listed(), 2, 'a lower limit holds after a few logins' );
my %whm = ( service => 'webmail' );
ok( open_session(%whm), 'another service has a limit of its own' );
is( listed(), 3, '... beside it' );

# One browser redeems its ticket again and again.
my @again   = ( log_in(), address => '192.0.2.7', agent => 'Browser' );
my @cookies = grep { defined } map { scalar redeem(@again) } 1 .. 40;
is( scalar @cookies,              32,        'a ticket is swapped for 32 cookies at most' );
is( ( redeem(@again) )[1],        'spent',   '... then it is spent' );
is( check_reason( $cookies[-1] ), 'granted', '... and the last of them is good' );

# Idled-out sessions leave the disk; those in use stay.
$site = site( clock => $START );
my $idle = open_session();
my $busy = open_session();
for my $minutes ( map { $_ * 10 } 1 .. 18 ) {
    at( 60 * $minutes );
    is( check_reason($busy), 'granted', "a session in use, after $minutes minutes" )
        if $minutes % 60 == 0;
    check_reason($busy);
}
Cpanel::LogMeIn::Session->purge;
is( check_reason($busy), 'granted', 'a purge after three hours leaves it' );
is( check_reason($idle), 'unknown', '... and the idle one has ended' );
my $next = Cpanel::LogMeIn::Session->list;
my @left = map { $_->{id} } grep { defined } map { $next->() } 1 .. 3;
is_deeply( \@left, [ $busy->{id} ], '... alone' );

# Two hours after its last use nothing of a session is left.
$site = site( clock => $START );
open_session();
at(7200);
is( Cpanel::LogMeIn::Session->purge, 2,
    'cookie and ticket of an idle session go within two hours' );
$site = site( clock => $START );
open_session();
at(3000);
is( Cpanel::LogMeIn::Session->purge, 0, 'control: not at once' );

# Nobody has to call purge: what has expired goes with the logins that follow.
$site = site( clock => $START );
open_session();
for my $hour ( 1 .. 3 ) {
    at( 3600 * $hour );
    log_in();
}
is( Cpanel::LogMeIn::Session->purge, 0, 'hourly logins have removed what had expired' );
at( 5 * 3600 );
is( Cpanel::LogMeIn::Session->purge, 1, 'control: the last one is left' );

# ticket_life
$site = site( clock => $START, settings => { ticket_life => 30 } );
my %short = log_in();
my %kept  = log_in();
at(29);
is( ( redeem(%kept) )[1], 'granted', 'a ticket in its last second' );
at(30);
is( ( redeem(%short) )[1], 'unknown', '... and after it' );
my $session = scalar redeem( log_in() );
at(300);
is( check_reason($session), 'granted', '... which ends no session' );

# A clock that is ahead for one login.
$site = site( clock => $START );
my $survivor = open_session();
$site->{waits} = 1;
$site->login( user => 'nobody', pass => 'x' ) for 1 .. 4;
at( 2 * 86_400 );
log_in();
at(0);
is( check_reason($survivor), 'granted', 'a login two days ahead removes no session' );
like( ( $site->login( user => 'nobody', pass => 'x' ) )[1], qr/Too many/, '... and no wait' );
done_testing();
