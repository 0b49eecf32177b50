#!/usr/bin/perl

# A real run's writes and syncs are recorded, and the power is cut at each point of it:
# what no sync covers is there, or not, or torn. The core opens each of 100,000 such
# states, with XT_LONG=1 of a million: no acknowledged login, redemption or logout is
# lost. LMDB's unsafe flags are the controls.

use strict;
use warnings;
use blib;
use Cwd        qw(realpath);
use File::Path qw(remove_tree);
use File::Temp qw(tempdir);
use Test::More;
use Test::Cpanel::LogMeIn;
use lib 'xt/lib';
use Author qw(has_program read_file run);

plan skip_all => 'cc is not installed'   if !has_program('cc');
plan skip_all => 'the core is not built' if !-e 'csrc/liblogmein.a';

my $STATES = $ENV{LOGMEIN_STATES} || ( $ENV{XT_LONG} ? 1_000_000 : 100_000 );
my $MEMORY = '/dev/shm';

# In memory, where there is some: the states are many, and nobody needs them on a disk.
my $folder = realpath( tempdir( CLEANUP => 1, -w $MEMORY ? ( DIR => $MEMORY ) : ( TMPDIR => 1 ) ) );
local $ENV{TMPDIR} = $folder;
my $site = Test::Cpanel::LogMeIn->new(
    accounts => { map { $_ => { password => 'secret', reseller => 1 } } qw(alice bob carol) },
    settings => { log => 'none' },
    clock    => 1_700_000_000,
);

# Settings like the site's, for another store.
sub settings_for {
    my ($name) = @_;
    my $text = join q{}, grep { !/\A(?:store|volatile_dir) / } split /^/, read_file( $site->conf );
    my $path = "$folder/$name.conf";
    $site->write_file( $path,
        "$text\nstore = lmdb:$folder/$name\nvolatile_dir = $folder/$name-v\n" );
    utime time - 10, time - 10, $path;
    return $path;
}
my @workers = map { settings_for("worker$_") } 1, 2;

my $cc   = 'cc -std=c11 -D_GNU_SOURCE -O2 -g -Icsrc';
my $libs = 'csrc/liblogmein.a -lcrypto -lcrypt -llmdb -pthread -ldl';
for my $command (
    "$cc -fPIC -shared -o '$folder/record.so' xt/power/record.c -ldl",
    "$cc -o '$folder/work' xt/power/work.c $libs",
    "$cc -o '$folder/replay' xt/power/replay.c xt/power/disk.c $libs",
    )
{
    my ( $status, $out ) = run( '.', $command );
    is( $status, 0, 'a program builds' ) or BAIL_OUT($out);
}

# Records so many steps in a new store; the trace, and is it complete?
sub record {
    my ( $flags, $steps ) = @_;
    my ( $store, $trace ) = ( "$folder/store", "$folder/trace" );
    remove_tree( $store, "$store-v", $trace );
    local $ENV{LOGMEIN_CONF} = settings_for('store');
    my ( $status, $out ) = run( '.',
              "POWER_FLAGS=$flags POWER_FOLDER='$store' POWER_TRACE='$trace'"
            . " LD_PRELOAD='$folder/record.so' '$folder/work' $steps 1" );
    is( $status, 0, "$steps steps are recorded" ) or BAIL_OUT($out);
    ( $status, $out ) = run( '.', "'$folder/replay' '$trace' '$store'" );
    is( $status, 0, '... and the trace tells of all that is in the folder' ) or diag($out);
    return $trace;
}

# The counts, and what the program says.
sub replay {
    my ( $trace,  $states ) = @_;
    my ( $status, $out )    = run( '.', "'$folder/replay' '$trace' $states 1 @workers" );
    my ($line) = $out =~ /^(states=.*)/m;
    is( $status, 0, '... and replayed' ) or diag($out);
    my %count = ( $line // q{} ) =~ /(\w+)=([0-9]+)/g;
    $count{bad} = $count{lost} + $count{failures} + $count{crashes};
    return ( \%count, $out );
}

my ( $count, $out ) = replay( record( q{}, $ENV{XT_LONG} ? 1500 : 500 ), $STATES );
is( $count->{states},   $STATES, "$STATES power cuts, $count->{different} of them different" );
is( $count->{lost},     0,       'nothing acknowledged is lost' ) or diag($out);
is( $count->{failures}, 0,       'each store opens' )             or diag($out);
is( $count->{crashes},  0,       'and none crashes' );
cmp_ok( $count->{used}, '>', $STATES / 100, "control: $count->{used} were used afterwards" );
is( $count->{unmade}, 0, 'a cut while the store is made leaves one that opens' ) or diag($out);
$count->{failures} += $count->{crashes};
note("26: $count->{states} states, $count->{lost} lost, $count->{failures} open failures");

# A map that is flushed at each commit loses nothing: MDB_WRITEMAP has to be unsafe on
# top of that.
for my $flags (qw(NOSYNC NOMETASYNC WRITEMAP+MAPASYNC)) {
    ( $count, $out ) = replay( record( $flags, 40 ), 2000 );
    cmp_ok( $count->{bad}, '>', 20, "control: $flags: $count->{bad} bad states" ) or diag($out);
}
( $count, $out ) = replay( record( 'WRITEMAP', 40 ), 2000 );
note("WRITEMAP: $count->{bad} bad states of $count->{states}");
done_testing();
