#!/usr/bin/perl

# The module loads; what it stands on is printed for bug reports.

use strict;
use warnings;
use Test::More tests => 4;

use_ok('Cpanel::LogMeIn');
use_ok('Cpanel::LogMeIn::Session');
use_ok('Cpanel::Config::Constants');

my %versions = ( perl => $], Cpanel::LogMeIn::versions() );
is( join( ' ', sort keys %versions ), 'libcrypt lmdb openssl perl', 'all versions are known' );
diag( join ', ', map { "$_ $versions{$_}" } sort keys %versions );
