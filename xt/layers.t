#!/usr/bin/perl

# Which folder may include which: the code against the drawing in csrc/README.

use strict;
use warnings;
use Test::More;
use lib 'xt/lib';
use Author qw(read_file tracked);

my $drawing = read_file('csrc/README');

# The arrows, and what can be reached along them.
my %below;
for my $line ( $drawing =~ /^ {4,}(\S.*->.*)$/mg ) {
    my @folders = split /\s*->\s*/, $line;
    $below{ $folders[$_] }{ $folders[ $_ + 1 ] } = 1 for 0 .. $#folders - 1;
}

# The folders that can be reached from one by the arrows.
sub reachable {
    my ( $arrows, $from ) = @_;
    my ( %seen, @next );
    push @next, keys %{ $arrows->{$from} // {} };
    while ( defined( my $folder = pop @next ) ) {
        push @next, keys %{ $arrows->{$folder} // {} } if !$seen{$folder}++;
    }
    return \%seen;
}

sub circles {
    my ($arrows) = @_;
    return grep { reachable( $arrows, $_ )->{$_} } sort keys %{$arrows};
}
is_deeply( [ circles( \%below ) ], [], 'arrows run one way' );
is_deeply( [ circles( { %below, base => { login => 1 } } ) ]->[0], 'accounts',
    'control: a circle' );
my %may = map { ( $_ => { $_ => 1, %{ reachable( \%below, $_ ) } } ) } keys %below, 'base';

# The parts that the drawing names, as FOLDER/PART.
my ( $folder, @parts );
for my $line ( split /\n/, $drawing ) {
    $folder = $1 if $line =~ m{\A([a-z]+)/ };
    push @parts, "$folder/$1" if $folder && $line =~ /\A    ([a-z_]+)  +\S/;
}

# What a file may not include, of what it includes.
sub offences {
    my ( $file, $text ) = @_;
    my ($own) = $file =~ m{\Acsrc/([a-z]+)/};
    my @bad;
    for my $header ( $text =~ /^\s*#\s*include\s+"([^"]+)"/mg ) {
        next if $header eq 'logmein.h';
        my ($other) = $header =~ m{\A([a-z]+)/[a-z_]+[.]h\z};
        push @bad, "$file includes $header" if !defined $other || !$may{$own}{$other};
    }
    return @bad;
}

my @files = tracked(qr{\Acsrc/[a-z]+/.*[.][ch]\z});
cmp_ok( scalar @files, '>', 40, 'the core is there' );
my %seen = map { m{\Acsrc/(.*)[.][ch]\z} ? ( $1 => 1 ) : () } @files;
is_deeply( [ sort keys %seen ], [ sort @parts ],  'the drawing names each part of the core, once' );
is_deeply( [ offences( $_, read_file($_) ) ], [], "$_ includes lower folders only" ) for @files;
is_deeply( [ grep { read_file($_) =~ /^#\s*include\s+[<"](?:perl|XSUB|EXTERN)[.]h/m } @files ],
    [], 'the core knows nothing of Perl' );
for my $glue (qw(LogMeIn.xs Remote.xs remote_login.h)) {
    is_deeply( [ grep { $_ ne 'csrc/logmein.h' } read_file($glue) =~ m{#include "(csrc/[^"]+)"}g ],
        [], "$glue knows the interface alone" );
}

for my $file ( tracked(qr{\Adaemon/.*[.][ch]\z}) ) {
    is_deeply(
        [ grep { $_ !~ /\A(?:logmein|answer)[.]h\z/ } read_file($file) =~ /#include "([^"]+)"/g ],
        [], "$file knows the interface alone" );
}

# No file reaches into the handle of another.
my @inside =
    grep { read_file($_) =~ /\blmi->(?!x)/ } grep { $_ ne 'csrc/sessions/handle.c' } @files;
is_deeply( \@inside, [], 'only handle.c looks into struct lmi' );

for my $bad (
    [ 'csrc/accounts/shadow.c', qq{#include "sessions/check.h"\n}, 'a higher folder' ],
    [ 'csrc/accounts/site.c',   qq{#include "nosuch/thing.h"\n},   'a folder that is not drawn' ],
    [ 'csrc/base/text.h',       qq{#include "accounts/site.h"\n}, 'a header from a higher folder' ],
    [ 'csrc/accounts/site.c',   qq{#include "store/store.h"\n},   'a folder beside it' ],
    [ 'csrc/login/url.c',       qq{#include "url.h"\n},           'a header without its folder' ],
    )
{
    my ( $file, $text, $what ) = @{$bad};
    is( scalar offences( $file, $text ), 1, "control: $what would be found" );
}
done_testing();
