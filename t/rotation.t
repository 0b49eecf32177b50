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

# Rotation under load: each key has its turn until sessions from before it are over.
my $WORKERS = 4;
$site   = site( accounts => { map { ( "user$_" => 'secret' ) } 1 .. $WORKERS } );
$folder = "$site->{dir}/store";
$number = 0;
$site->login( user => 'user1' );
my @rounds = map { "$site->{dir}/rounds$_" } 1 .. $WORKERS;
my $end    = "$site->{dir}/end";

sub add_byte {
    my ($path) = @_;
    open my $file, '>>', $path or die "$path: $!";
    print {$file} q{.};
    return close $file;
}

# Waits until each worker has begun and ended another session.
sub all_get_on {
    my @wanted = map { ( -s $_ // 0 ) + 2 } @rounds;
    for my $worker ( 0 .. $#rounds ) {
        for ( my $tries = 0; ( -s $rounds[$worker] // 0 ) < $wanted[$worker]; $tries++ ) {
            die "worker $worker does not get on" if $tries > 6000;
            sleep 0.01;
        }
    }
    return;
}

sub rotate_often {
    my $well = eval {
        for ( 1 .. 5 ) { all_get_on(); rotate(1) }
        all_get_on();
        1;
    };
    add_byte($end);
    return $well ? 'rotated' : $@;
}

sub use_sessions {
    my ($worker) = @_;
    my $lost = 0;
    until ( -e $end ) {
        my $one = open_session( user => "user$worker" );
        $lost += !$one || check_reason($one) ne 'granted' for 1 .. 5;
        Cpanel::LogMeIn::Session->end( access_of($one) ) if $one;
        add_byte( $rounds[ $worker - 1 ] );
    }
    return "lost $lost";
}
my ( $well, @lines ) = at_once(
    $WORKERS + 1,
    sub {
        my ($worker) = @_;
        return $worker > $WORKERS ? rotate_often() : use_sessions($worker);
    }
);
is( $well, $WORKERS + 1, 'four processes log in and check while a fifth rotates the key' );
is_deeply( [ sort @lines ], [ ('lost 0') x $WORKERS, 'rotated' ], '... and no session is lost' );
done_testing();
