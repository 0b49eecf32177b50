package Worker;

# The Perl side of worker.h: answers words with CPU seconds per operation.

use strict;
use warnings;
use Time::HiRes qw(clock_gettime CLOCK_PROCESS_CPUTIME_ID);

sub serve {
    my ( $batch, $work ) = @_;
    local $| = 1;
    print "ready\n";
    while ( readline STDIN ) {
        my $start = clock_gettime(CLOCK_PROCESS_CPUTIME_ID);
        $work->($batch);
        printf "%.9f\n", ( clock_gettime(CLOCK_PROCESS_CPUTIME_ID) - $start ) / $batch;
    }
    return;
}

1;
