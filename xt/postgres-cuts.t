#!/usr/bin/perl

# Connections to a real PostgreSQL that are cut, more than a hundred times in exchanges of
# each kind, by t/core/cuts.c; with XT_LONG=1 a thousand times: at every byte, twice.

use strict;
use warnings;
use lib      qw(t/lib xt/lib);
use Database ();
use Test::More;
use Time::HiRes qw(time);

plan skip_all => $_ for Database::lacks();

my $server = Database->new;
$server->sql( 'postgres', 'CREATE ROLE logmein LOGIN' );
my ( $url, $admin ) = $server->database;
local @ENV{qw(LOGMEIN_TEST_STORE LOGMEIN_TEST_ADMIN)} = ( $url, $admin );
local $ENV{LMI_ROUNDS} = $ENV{LMI_ROUNDS} || ( $ENV{XT_LONG} ? 2 : 0 );

my $start = time;
my @lines = `blib/core/cuts 2>&1`;
is( $?,                               0,  'cuts of connections' )     or diag(@lines);
is( scalar( grep { /\Aok/ } @lines ), 33, '... with their controls' ) or diag(@lines);
note( map { s{\A# }{}r } @lines );
note( sprintf '%.0f s', time - $start );
done_testing();
