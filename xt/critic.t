#!/usr/bin/perl

# perlcritic, severity 3; .perlcriticrc lists the exceptions and their reasons.

use strict;
use warnings;
use Test::More;
use lib 'xt/lib';
use Author qw(has_program perl_files run);

plan skip_all => 'perlcritic is not installed' if !has_program('perlcritic');

my @files = perl_files();
my ( $status, $out ) = run( '.', "perlcritic --quiet @files" );
is( $status, 0, 'perlcritic has nothing to say of ' . @files . ' files' ) or diag($out);
( undef, $out ) = run( '.', q{echo 'eval "x"; 1;' | perlcritic} );
like( $out, qr/Expression form of "eval"/, 'control: it would' );
done_testing();
