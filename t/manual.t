#!/usr/bin/perl

# The example in the helper's manual is the file that it names; its shorter texts run.

use strict;
use warnings;
use File::Temp qw(tempdir);
use Test::More;
use Test::Cpanel::LogMeIn;

sub read_text {
    my ($path) = @_;
    open my $file, '<', $path or die "$path: $!";
    local $/ = undef;
    return scalar readline $file;
}
my $example = read_text('examples/t/portal.t') =~ s/\A#!.*\n\n//r;
my $manual  = read_text( $INC{'Test/Cpanel/LogMeIn.pm'} );
my ($pod) =
    $manual =~ /^=head1 A COMPLETE EXAMPLE\n.*?\n((?:    \S.*\n|    .*\n|\n)+)^=head1 CAVEATS/ms;
$pod =~ s/\A\n+//;
$pod =~ s/^    //mg;
$pod =~ s/\n+\z/\n/;
is( $pod, $example, 'the manual has the example as it is' );
my $out = `$^X -Mblib examples/t/portal.t 2>&1`;
is( $?, 0, '... and it passes' ) or diag($out);

sub is_missing {
    my ($module) = @_;
    my $file = $module =~ s{::}{/}gr . '.pm';
    return !eval { require $file };
}

# The other texts, each as a test of its own.
my $scratch = tempdir( CLEANUP => 1 );
my @texts   = $manual =~ /^=for comment The text below is run by a test[.]\n\n((?:    .*\n|\n)+)/mg;
is( scalar @texts, 2, 'the manual has two more' );
for my $text (@texts) {
SKIP: {
        my @needed =
            $text =~ /gateway/
            ? qw(Cpanel::LogMeIn::Remote HTML::Template HTTP::Server::PSGI IO::Socket::SSL)
            : ();
        my ($lacking) = grep { is_missing($_) } @needed;
        skip "$lacking is missing", 2 if defined $lacking;
        open my $file, '>', "$scratch/text.t" or die $!;
        print {$file} "use strict; use warnings; use Test::More; use Test::Cpanel::LogMeIn;\n",
            $text, "done_testing();\n";
        close $file or die $!;
        $out = `$^X -Mblib $scratch/text.t 2>&1`;
        is( $?, 0, 'a text that runs' ) or diag($out);
        like( $out, qr/^ok 2/m, '... and tests' );
    }
}
done_testing();
