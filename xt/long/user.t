#!/usr/bin/perl

# The user tests in parallel, in random order, as the calling user, as an unprivileged one,
# and in a checkout of that one's own.

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
prove( 'the tests, as who I am', '' );
SKIP: {
    skip 'only root, with setpriv, becomes somebody else', 7 if !$other;
    my $nobody = 'HOME=/ setpriv --reuid=65534 --regid=65534 --clear-groups';
    is( ( run( $folder, "$nobody id -u" ) )[1], "65534\n", 'as somebody else' );
    prove( 'the tests, where they may not write', $nobody );
    run( $folder, 'chown -R 65534:65534 .' );
    prove( 'the tests, in a checkout of their own', $nobody );
}
done_testing();
