#!/usr/bin/perl

# The example in the helper's manual is the file that it names.

use strict;
use warnings;
use Test::More;
use Test::Cpanel::LogMeIn;

sub read_text {
    my ($path) = @_;
    open my $file, '<', $path or die "$path: $!";
    local $/ = undef;
    return scalar readline $file;
}
my $example = read_text('examples/t/portal.t') =~ s/\A#!.*\n\n//r;
my ($pod) = read_text( $INC{'Test/Cpanel/LogMeIn.pm'} ) =~
    /^=head1 A COMPLETE EXAMPLE\n.*?\n((?:    \S.*\n|    .*\n|\n)+)^=head1 CAVEATS/ms;
$pod =~ s/\A\n+//;
$pod =~ s/^    //mg;
$pod =~ s/\n+\z/\n/;
is( $pod, $example, 'the manual has the example as it is' );
my $out = `$^X -Mblib examples/t/portal.t 2>&1`;
is( $?, 0, '... and it passes' ) or diag($out);
done_testing();
