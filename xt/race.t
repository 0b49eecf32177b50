#!/usr/bin/perl

# The races of t/core/race.c and the random values of t/core/forks.c, with many
# repetitions.

use strict;
use warnings;
use Test::More;

local $ENV{LMI_ROUNDS} = $ENV{LMI_ROUNDS} || 5000;
my @lines = `t/core/race 2>&1`;
is( $?,                               0, "races in $ENV{LMI_ROUNDS} rounds" ) or diag(@lines);
is( scalar( grep { /\Aok/ } @lines ), 7, '... with their controls' )          or diag(@lines);
note(@lines);

local $ENV{LMI_CHILDREN} = $ENV{LMI_CHILDREN} || 10_000;
@lines = `t/core/forks 2>&1`;
is( $?,                               0, "draws in $ENV{LMI_CHILDREN} children" ) or diag(@lines);
is( scalar( grep { /\Aok/ } @lines ), 3, '... with their control' )               or diag(@lines);
note(@lines);
done_testing();
