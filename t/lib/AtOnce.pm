package AtOnce;

use strict;
use warnings;
use Exporter qw(import);
use POSIX    ();

our @EXPORT_OK = qw(at_once);

# Starts processes that run the job at the same time. Returns the lines that they
# print, and how many succeeded.
sub at_once {
    my ( $count, $job ) = @_;
    pipe my $gate,   my $opener or die $!;
    pipe my $reader, my $writer or die $!;
    my @pids;
    for my $number ( 1 .. $count ) {
        my $pid = fork // die "fork: $!";
        if ( !$pid ) {
            close $opener;
            close $reader;
            sysread $gate, my $nothing, 1;
            syswrite $writer, $job->($number) . "\n";
            POSIX::_exit(0);
        }
        push @pids, $pid;
    }
    close $writer;
    close $opener;    # the gate opens
    my @lines = <$reader>;
    chomp @lines;
    my $well = grep { waitpid( $_, 0 ) == $_ && $? == 0 } @pids;
    return ( $well, @lines );
}

1;
