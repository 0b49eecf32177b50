#!/usr/bin/perl

# Row 4 in Perl: checks the sessions that bin/sessions has made.
#
#     LOGMEIN_CONF=FILE perl check.pl COOKIES
use strict;
use warnings;
use FindBin qw($Bin);
use lib $Bin;
use Cpanel::LogMeIn::Session ();
use Worker                   ();

my @accesses;
open my $file, '<', $ARGV[0] or die "$ARGV[0]: $!\n";
while ( my $line = <$file> ) {
    chomp $line;
    push @accesses, [ split / /, $line ];
}
close $file or die "$ARGV[0]: $!\n";

my $sessions = Cpanel::LogMeIn::Session->new;
my $at       = 0;

# The stride of sessions.c, so that both see the same order.
sub check {
    my ($count) = @_;
    for ( 1 .. $count ) {
        $at = ( $at + 982451653 ) % @accesses;
        my ( $cookie, $token ) = @{ $accesses[$at] };
        $sessions->check( cookie => $cookie, token => $token, service => 'cpanel' )
            or die "bench: a session was not granted: $Cpanel::LogMeIn::detail\n";
    }
    return;
}

Worker::serve( 20_000, \&check );
