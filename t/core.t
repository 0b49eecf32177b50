#!/usr/bin/perl

# The C tests: each program below t/core prints TAP of its own.

use strict;
use warnings;
use Test::More;

my @programs = grep { -x && -f } map { s/[.]c\z//r } sort glob 't/core/*.c';
if ( !@programs ) {
    BAIL_OUT('the C tests were not built') if $ENV{CI};
    plan skip_all => 'the C tests were not built: run make';
}

for my $program (@programs) {
    my @lines = `$program 2>&1`;
    if ( $? == 0 && "@lines" =~ /\A1[.][.]0 # SKIP (.*)/ ) {
        pass("$program # skipped: $1");
        next;
    }
    my $good = $? == 0 && ( grep { /\A1[.][.][1-9]/ } @lines ) && !grep { /\Anot ok/ } @lines;
    ok( $good, "$program: " . grep( { /\Aok/ } @lines ) . ' hold' )
        or diag( join '', ( grep { !/\Aok/ } @lines ), "wait status $?" );
}

done_testing();
