#!/usr/bin/perl

# The races of t/core/race.c, often enough to be believed.

use strict;
use warnings;
use Test::More;

local $ENV{LMI_ROUNDS} = $ENV{LMI_ROUNDS} || 5000;
my @lines = `t/core/race 2>&1`;
is( $?, 0, "races in $ENV{LMI_ROUNDS} rounds" ) or diag(@lines);
is( scalar( grep {/\Aok/} @lines ), 6, '... with their controls' ) or diag(@lines);
note(@lines);
done_testing();
