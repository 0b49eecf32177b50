#!/usr/bin/perl

# The races of t/core/race.c and the random values of t/core/forks.c, with many
# repetitions; with XT_LONG=1 twenty times as many. In memory if possible: on a disk
# most of the time goes into waiting for it.

use strict;
use warnings;
use File::Temp qw(tempdir);
use Test::More;

my $MEMORY = '/dev/shm';

my $folder = tempdir( CLEANUP => 1, -w $MEMORY ? ( DIR => $MEMORY ) : ( TMPDIR => 1 ) );
local $ENV{TMPDIR}     = $folder;
local $ENV{LMI_ROUNDS} = $ENV{LMI_ROUNDS} || ( $ENV{XT_LONG} ? 100_000 : 5000 );
my @lines = `blib/core/race 2>&1`;
is( $?,                               0,  "races in $ENV{LMI_ROUNDS} rounds" ) or diag(@lines);
is( scalar( grep { /\Aok/ } @lines ), 10, '... with their controls' )          or diag(@lines);
note( map { s{\A# }{}r } @lines );

local $ENV{LMI_CHILDREN} = $ENV{LMI_CHILDREN} || 10_000;
@lines = `blib/core/forks 2>&1`;
is( $?,                               0, "draws in $ENV{LMI_CHILDREN} children" ) or diag(@lines);
is( scalar( grep { /\Aok/ } @lines ), 3, '... with their control' )               or diag(@lines);
note( map { s{\A# }{}r } @lines );
done_testing();
