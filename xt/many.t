#!/usr/bin/perl

# The C tests that repeat something, with as many repetitions as the threats ask for.
# In memory if possible: on a disk most of the time goes into waiting for it.

use strict;
use warnings;
use File::Temp qw(tempdir);
use Test::More;

my $MEMORY = '/dev/shm';

# With XT_LONG=1 more sources than fit the table sixteen times.
my %MANY = (
    faults  => [ LMI_ERRORS    => 1 ],
    flood   => [ LMI_SOURCES   => $ENV{XT_LONG} ? 1_000_000 : 70_000 ],
    limits  => [ LMI_SCHEDULES => 1_000 ],
    stolen  => [ LMI_SESSIONS  => 100_000 ],
    token   => [ LMI_DRAWS     => 10_000_000 ],
    unknown => [ LMI_GUESSES   => 100_000 ],
);

for my $program ( sort keys %MANY ) {
    my ( $variable, $count ) = @{ $MANY{$program} };
    my $folder = tempdir( CLEANUP => 1, -w $MEMORY ? ( DIR => $MEMORY ) : ( TMPDIR => 1 ) );
    local $ENV{TMPDIR} = $folder;
    local $ENV{$variable} = $ENV{$variable} || $count;
    my @lines = `blib/core/$program 2>&1`;
    is( $?, 0, "$program with $variable=$ENV{$variable}" ) or diag(@lines);
    ok( ( grep { /\Aok .* control: / } @lines ), '... with a control' );
    note( map { s/\A# //r } grep { /\A# / } @lines );
}
done_testing();
