#!/usr/bin/perl

# Which parts may include which others, compared with the list in csrc/README.

use strict;
use warnings;
use Test::More;
use lib 'xt/lib';
use Author qw(read_file tracked);

my @rows = read_file('csrc/README') =~ /^    ([a-z_]+)  +\S/mg;
my %row  = map { $rows[$_] => $_ } 0 .. $#rows;

# The forbidden includes of a file.
sub offences {
    my ( $file, $text ) = @_;
    my ($part) = $file =~ m{([a-z_]+)[.][ch]\z};
    my @bad;
    for my $header ( $text =~ /^\s*#\s*include\s+"([^"]+)"/mg ) {
        my ($other) = $header =~ /\A([a-z_]+)[.]h\z/;
        next if $header eq 'logmein.h' || $header eq "$part.h";

        # A backend implements the interface above it.
        next if $part =~ /\Astore_/ && $header eq 'store.h';
        push @bad, "$file includes $header"
            if !defined $other || !defined $row{$other} || $row{$other} <= $row{$part};
    }
    return @bad;
}

my @files = tracked(qr{\Acsrc/.*[.][ch]\z});
cmp_ok( scalar @files, '>', 30, 'the core is there' );
my %parts =
    map { m{/([a-z_]+)[.][ch]\z} ? ( $1 => 1 ) : () } grep { $_ ne 'csrc/logmein.h' } @files;
is_deeply( [ sort keys %parts ], [ sort @rows ],  'the drawing names each part of the core, once' );
is_deeply( [ offences( $_, read_file($_) ) ], [], "$_ includes lower rows only" ) for @files;
is_deeply( [ grep { read_file($_) =~ /^#\s*include\s+[<"](?:perl|XSUB|EXTERN)[.]h/m } @files ],
    [], 'the core knows nothing of Perl' );
is_deeply( [ read_file('LogMeIn.xs') =~ m{#include "(csrc/[^"]+)"}g ],
    ['csrc/logmein.h'], 'the glue knows the interface alone' );

for my $bad (
    [ 'csrc/shadow.c', qq{#include "session.h"\n}, 'a higher row' ],
    [ 'csrc/site.c',   qq{#include "nosuch.h"\n},  'a row that is not drawn' ],
    [ 'csrc/text.h',   qq{#include "site.h"\n},    'a header that includes a higher one' ],
    [
        'csrc/log.c',
        qq{#include "store.h"\n},
        'the store interface, by a part that is not a backend'
    ],
    )
{
    my ( $file, $text, $what ) = @{$bad};
    is( scalar offences( $file, $text ), 1, "control: $what would be found" );
}
done_testing();
