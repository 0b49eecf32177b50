#!/usr/bin/perl

# The formatters do not change any file.

use strict;
use warnings;
use File::Temp ();
use Test::More;
use lib 'xt/lib';
use Author qw(has_program perl_files read_file run tracked);

my @c       = tracked(qr{\A(?:csrc|daemon|t|xt|bench)/.*[.][ch]\z});
my $scratch = File::Temp->new;

my %formatter = (
    'clang-format' => sub { ( run( '.', "clang-format '$_[0]'" ) )[1] },

    # In this process: the program takes half a second to begin with each file.
    perltidy => sub {
        my ($file) = @_;
        my ( $out, $complaints ) = ( q{}, q{} );
        Perl::Tidy::perltidy(
            argv        => q{},
            source      => $file,
            destination => \$out,
            stderr      => \$complaints,
            errorfile   => \$complaints
        );
        return $complaints eq q{} ? $out : $complaints;
    },
);

sub is_formatted { my ( $with, $file ) = @_; return $formatter{$with}->($file) eq read_file($file) }

for my $case ( [ 'clang-format', \@c, "int  x;\n" ],
    [ 'perltidy', [ perl_files() ], "my  \$x;\n" ] )
{
    my ( $with, $files, $crooked ) = @{$case};
SKIP: {
        skip "$with is not installed", 1
            if !has_program($with) || $with eq 'perltidy' && !eval { require Perl::Tidy };
        cmp_ok( scalar @{$files}, '>', 10, "$with has files to look at" );
        ok( is_formatted( $with, $_ ), "$with: $_" ) for @{$files};
        seek $scratch, 0, 0;
        truncate $scratch, 0;
        print {$scratch} $crooked;
        $scratch->flush;
        ok( !is_formatted( $with, "$scratch" ), "control: $with would change a crooked line" );
    }
}
done_testing();
