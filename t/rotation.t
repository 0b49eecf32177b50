#!/usr/bin/perl

# Another key: with key_file_old nothing is lost, neither sessions and tickets nor
# waits and known sources; without it, the store is refused.

use strict;
use warnings;
use Test::More;
use Test::Cpanel::LogMeIn;
use Time::HiRes qw(sleep);
use lib 't/lib';
use AtOnce qw(at_once);
use Logins qw($START access_of at check_reason log_in open_session redeem site);

my $site = site( clock => $START, waits => 1 );
my ( $folder, $number ) = ( "$site->{dir}/store", 0 );

# A new key, and the one before it for reading.
sub rotate {
    my ($with_old) = @_;
    my $old        = $site->{settings}{key_file} // "$folder/key";
    my $new        = "$folder/key" . ++$number;
    $site->write_file( $new, join( q{}, map { chr rand 256 } 1 .. 32 ), oct 600 );
    $site->settings( key_file => $new, key_file_old => $with_old ? $old : undef );
    return;
}
my @known = ( remote_addr => '192.0.2.9' );
$site->login(@known);    # a known source
my $session = open_session();
my %fresh   = log_in();
my %spent   = ( log_in(), address => '192.0.2.7', agent => 'Browser' );
redeem(%spent);
$site->login( user => 'nobody', pass => 'x' ) for 1 .. 4;
rotate(1);
is( check_reason($session), 'granted', 'after a rotation a session goes on' );
at(60);
is( check_reason($session), 'granted', '... also when its account is read again' );
at(0);
is( ( redeem(%spent) )[1], 'granted', 'a double click across the rotation' );
my ($renewed) = redeem(%fresh);
ok( $renewed, 'a ticket from before is redeemed' );
like( ( $site->login( user => 'nobody', pass => 'x' ) )[1], qr/Too many/, 'a wait goes on' );

at(1);
$site->login( user => 'nobody', pass => 'x' );    # which counts, and writes

# A known source keeps its own count: others can't lock the name out.
$site->login( pass => 'x', remote_addr => '198.51.100.1' ) for 1 .. 5;
like( ( $site->login( remote_addr => '198.51.100.1' ) )[1],
    qr/Too many/, 'a name waits elsewhere' );
is( ( $site->login(@known) )[1], 'Login OK', '... but not at its known source' );

# Once it is used, what was found under the old key is under the new one.
rotate(1);
is( check_reason($renewed), 'granted',
    'what was redeemed after the first rotation, after another' );
like( ( $site->login( user => 'nobody', pass => 'x' ) )[1], qr/Too many/, '... and the wait' );
is( ( $site->login(@known) )[1], 'Login OK', '... and the known source' );

# Without the old key the store is refused.
rotate(0);
like( ( $site->login )[1], qr/KEY/, 'control: without the old key, a fault' );
$site->settings( key_file => "$folder/key2", key_file_old => undef );
is( ( $site->login )[1], 'Login OK', '... until the key is back' );

# Rotation under load. Only one old key is read: before the next rotation each process
# must have ended the session that it had made before this one, which takes long on a
# busy machine. The sizes of files are the numbers of rounds.
$site   = site( accounts => { map { ( "user$_" => 'secret' ) } 1 .. 4 } );
$folder = "$site->{dir}/store";
$number = 0;
$site->login( user => 'user1' );
my ( $until, $done ) = ( time + 90, "$site->{dir}/done" );

sub rounds {
    return map { -s "$site->{dir}/rounds.$_" || 0 } 1 .. 4;
}

sub each_has_begun_and_ended_a_round {
    my @before = rounds();
    sleep 0.02 while time < $until && grep { ( rounds() )[$_] < $before[$_] + 2 } 0 .. 3;
    return;
}

my ( $well, @lines ) = at_once(
    5,
    sub {
        my ($worker) = @_;
        if ( $worker == 5 ) {
            for ( 1 .. 5 ) { rotate(1); each_has_begun_and_ended_a_round() }
            $site->write_file( $done, q{} );
            return time < $until ? 'rotated' : 'too slow';
        }
        my $lost = 0;
        open my $rounds, '>', "$site->{dir}/rounds.$worker" or die $!;
        while ( time < $until && !-e $done ) {
            my $one = open_session( user => "user$worker" );
            $lost += !$one || check_reason($one) ne 'granted' for 1 .. 5;
            Cpanel::LogMeIn::Session->end( access_of($one) ) if $one;
            syswrite $rounds, q{.} or die $!;
        }
        return "lost $lost";
    }
);
is( $well, 5, 'four processes log in and check while a fifth rotates the key' );
is_deeply( [ sort @lines ], [ ('lost 0') x 4, 'rotated' ], '... and no session is lost' );
done_testing();
