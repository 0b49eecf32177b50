#!/usr/bin/perl

# The user tests in parallel, in random order, twice; as root and as an unprivileged
# user.

use strict;
use warnings;
use Test::More;
use lib 'xt/lib';
use Author qw(built_clone has_program run);

my $folder = built_clone();

sub prove {
    my ( $name,   $as )  = @_;
    my ( $status, $out ) = run( $folder, "$as prove -bj4 --shuffle t" );
    is( $status, 0, $name ) or diag($out);
    my ($tests) = $out =~ /Tests=([0-9]+)/;
    cmp_ok( $tests // 0, '>', 1000, '... ' . ( $tests // 'no' ) . ' of them' );
    unlike( $out, qr/uninitialized|at \S+ line [0-9]+[.]$/m, '... without a warning' );
    return;
}

prove( 'the tests, as who I am', '' );
SKIP: {
    skip 'I am not root',                      7 if $< != 0;
    skip 'no setpriv to become somebody else', 7 if !has_program('setpriv');
    my $nobody = 'HOME=/ setpriv --reuid=65534 --regid=65534 --clear-groups';
    is( ( run( $folder, "$nobody id -u" ) )[1], "65534\n", 'as somebody else' );
    prove( 'the tests, where they may not write', $nobody );
    run( $folder, 'chown -R 65534:65534 .' );
    prove( 'the tests, in a checkout of their own', $nobody );
}
done_testing();
