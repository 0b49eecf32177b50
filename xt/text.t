#!/usr/bin/perl

# Line widths, white space and function lengths that the formatters do not check.

use strict;
use warnings;
use Test::More;
use lib 'xt/lib';
use Author qw(read_file tracked);

my @files = grep { !m{/corpus/} } tracked(qr/./);
for my $file (@files) {
    my $text = read_file($file);
    my $tabs = $file =~ m{(?:\A|/)(?:Caddyfile|Makefile)\z|\A(?:Makefile[.]PL|typemap)\z};
    unlike( $text, qr/[ \t]$/m, "$file: no blanks at the end of a line" );
    unlike( $text, qr/\t/,      "$file: no tabs" ) if !$tabs;
    like( $text, qr/[^\n]\n\z/, "$file: one newline at the end" );
}

sub too_wide {
    my ( $text, $width ) = @_;
    return grep { length > $width } split /\n/, $text;
}

# The two commands of the README are single lines, for copying.
my $readme = read_file('README') =~ s/^    apt-get update.*\n//mgr;
is_deeply( [ too_wide( $readme,               78 ) ], [], 'README: 78 columns' );
is_deeply( [ too_wide( read_file('SECURITY'), 78 ) ], [], 'SECURITY: 78 columns' );
for my $file ( grep { m{[.][ch]\z|\Acsrc/README\z|[.]xs\z} } @files ) {
    is_deeply( [ too_wide( read_file($file), 80 ) ], [], "$file: 80 columns" );
}
is( scalar too_wide( 'x' x 81, 80 ), 1, 'control: 81 columns are too many' );

# The functions of a file that are longer than 60 lines.
sub long_functions {
    my ($text) = @_;
    my ( $start, $number, @long );
    for my $line ( split /\n/, $text ) {
        $number++;
        $start = $number if $line eq '{';
        push @long, "$start to $number"
            if $line eq '}' && defined $start && $number - $start > 61;
        undef $start if $line eq '}';
    }
    return @long;
}
is_deeply( [ long_functions( read_file($_) ) ], [], "$_: functions of 60 lines at most" )
    for grep { m{[.][ch]\z|[.]xs\z} } @files;
is( scalar long_functions( "{\n" . "x;\n" x 61 . "}\n" ), 1, 'control: 61 lines are too many' );
is( scalar long_functions( "{\n" . "x;\n" x 60 . "}\n" ), 0, 'control: 60 are not' );
done_testing();
