#!/usr/bin/perl

# Whether a name is known does not show in how long a refused login takes: Welch's
# t-test of 20,000 logins of each kind (TIMING_N is the number), as
# xt/timing/timing.c makes them. Two kinds count as equal if t is below 4.5, or
# the medians differ by less than 5 us. A control is half as many logins of a spoiled
# core; t, which grows as the square root of the number, has to be 40 for 20,000.

use strict;
use warnings;
use blib;
use File::Temp qw(tempdir);
use Test::More;
use lib     qw(t/lib xt/lib);
use Author  qw(run);
use Servers qw(lacks);

my $lacking = lacks('cc');
plan skip_all => $lacking if $lacking;

my $COUNT   = $ENV{TIMING_N} // 20_000;
my $MAX_T   = 4.5;
my $MAX_US  = 5;
my $CLEAR_T = 40 * sqrt( $COUNT / 20_000 );

# Files and store in memory, or their times would be the disk's.
local $ENV{TMPDIR} = -w '/dev/shm' ? '/dev/shm' : $ENV{TMPDIR};

my $program = tempdir( CLEANUP => 1 ) . '/timing';
my ( $status, $out ) = run( '.',
          "cc -std=c11 -D_GNU_SOURCE -O2 -g -Icsrc -It/core -o '$program' xt/timing/timing.c"
        . ' csrc/liblogmein.a -lcrypto -lcrypt -llmdb -lm -ldl -pthread' );
is( $status, 0, 'the program builds' ) or diag($out);

# t, and the difference of the medians.
sub compare {
    my ( $case, $count, $title ) = @_;
    my ( undef, $said ) = run( '.', "'$program' $case $count" );
    chomp $said;
    note("12: $title $said");
    my ( $t, $us ) = $said =~ /\At=(\S+), medians differ by (\S+) us/ or diag($said);
    return defined $us ? ( abs $t, abs $us ) : ();
}

for my $case (
    [ known     => $COUNT,     'known against unknown' ],
    [ passwd    => $COUNT,     'known against unknown, accounts of passwd' ],
    [ mailbox   => $COUNT,     'known against unknown mailbox' ],
    [ passwords => $COUNT,     'two passwords for unknown names' ],
    [ suspended => $COUNT / 2, 'suspended against unknown' ],
    [ locked    => $COUNT / 2, 'locked against unknown' ]
    )
{
    my ( $name, $count, $title ) = @{$case};
    my ( $t, $us ) = compare( $name, $count, $title );
    ok( defined $t && ( $t < $MAX_T || $us < $MAX_US ), $title );
}
for my $case (
    [ 'no-hash',    $CLEAR_T, 'no hash for unknown names' ],
    [ 'other-cost', $CLEAR_T, 'a decoy of 1,100 rounds instead of 1,000' ],
    [ 'short-salt', $CLEAR_T, 'a decoy with a salt of 4 characters instead of 16' ],
    [ 'one-salt',   $MAX_T,   'two passwords, one salt for all unknown names' ]
    )
{
    my ( $name, $least, $title ) = @{$case};
    my ( $t, $us ) = compare( $name, $COUNT / 2, $title );
    ok( defined $t && $t > $least && $us >= $MAX_US, "control: $title would show" );
}
done_testing();
