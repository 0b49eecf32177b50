#!/usr/bin/perl

# The user tests in parallel, in random order, as an unprivileged user. With
# XT_LONG=1 also as the calling user, and in a checkout of the unprivileged one.

use strict;
use warnings;
use Test::More;
use lib 'xt/lib';
use Author qw(built_clone has_program run);

my $folder = built_clone();

sub prove {
    my ( $name,   $as )  = @_;
    my ( $status, $out ) = run( $folder, "$as prove -bj4 --shuffle t/*.t blib/core/*" );
    is( $status, 0, $name ) or diag($out);
    my ($tests) = $out =~ /Tests=([0-9]+)/;
    cmp_ok( $tests // 0, '>', 1000, '... ' . ( $tests // 'no' ) . ' of them' );
    unlike( $out, qr/uninitialized|at \S+ line [0-9]+[.]$/m, '... without a warning' );
    return;
}

my $other = $< == 0 && has_program('setpriv');
prove( 'the tests, as who I am', '' ) if $ENV{XT_LONG} || !$other;
SKIP: {
    skip 'only root, with setpriv, becomes somebody else', 4 if !$other;
    my $nobody = 'HOME=/ setpriv --reuid=65534 --regid=65534 --clear-groups';
    is( ( run( $folder, "$nobody id -u" ) )[1], "65534\n", 'as somebody else' );
    prove( 'the tests, where they may not write', $nobody );
    last SKIP if !$ENV{XT_LONG};
    run( $folder, 'chown -R 65534:65534 .' );
    prove( 'the tests, in a checkout of their own', $nobody );
}
done_testing();
