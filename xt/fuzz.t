#!/usr/bin/perl

# Each parser with libFuzzer and the sanitizers. LOGMEIN_FUZZ_RUNS is the number of
# runs; xt/long/fuzz.t does ten million.

use strict;
use warnings;
use File::Temp qw(tempdir);
use Test::More;
use lib 'xt/lib';
use Author qw(has_program run);

plan skip_all => 'clang is not installed' if !has_program('clang');

my $runs    = $ENV{LOGMEIN_FUZZ_RUNS} || 500_000;
my $scratch = tempdir( 'logmein-fuzz-XXXXXX', TMPDIR => 1, CLEANUP => 1 );

my ( $status, $out ) = run( '.', 'make -s -j2 -C xt/fuzz' );
is( $status, 0, 'the targets build' ) or diag($out);

# New inputs are written to a temporary folder; a crashing one is printed, for the
# corpus.
sub fuzz {
    my ( $program, $corpus ) = @_;
    mkdir "$scratch/new";
    return run( '.',
              "$program -runs=$runs -max_len=4096 -verbosity=0 -print_final_stats=1"
            . " -artifact_prefix='$scratch/' '$scratch/new' $corpus; s=\$?; rm -r '$scratch/new'; exit \$s"
    );
}

# The threats that the parsers belong to.
my %ROW = ( http => 36, record => 1, request => 32, shadow => 21, wire => 34 );

for my $source ( glob 'xt/fuzz/*.c' ) {
    my ($name) = $source =~ m{([a-z]+)[.]c\z};
    my @seeds = glob "xt/fuzz/corpus/$name/*";
    ok( @seeds > 0, "$name: there are inputs to begin with" );
    ( $status, $out ) = fuzz( "xt/fuzz/bin/$name", "xt/fuzz/corpus/$name" );
    my ($done) = $out =~ /number_of_executed_units: ([0-9]+)/;
    is( $status, 0, "$name: no crash" ) or diag($out);
    cmp_ok( $done // 0, '>=', $runs, "... in $runs runs" );
    note("$ROW{$name}: $done runs of xt/fuzz/$name.c, $status crashes") if $ROW{$name} && $done;
}

open my $bad, '>', "$scratch/bad.c" or die $!;
print {$bad} <<'C';
#include <stdint.h>
#include <stdlib.h>
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 2 && data[0] == 'l' && data[1] == 'm' && data[2] == 't')
        abort();
    return 0;
}
C
close $bad or die $!;
( $status, $out ) = run( $scratch, 'clang -g -fsanitize=fuzzer -o bad bad.c' );
is( $status, 0, 'a target with a bug builds' ) or diag($out);
mkdir "$scratch/seeds";
( $status, $out ) = fuzz( "$scratch/bad", "$scratch/seeds" );
isnt( $status, 0, 'control: its bug is found' );
done_testing();
