#!/usr/bin/perl

# A store in a real PostgreSQL: the contract of every store, the tests of sessions,
# tickets, failed logins and races, and what the database refuses.

use strict;
use warnings;
use blib;
use lib      qw(t/lib xt/lib);
use Author   qw(run);
use Database ();
use Run      qw(logmein);
use Test::More;
use Test::Cpanel::LogMeIn;

plan skip_all => 'PostgreSQL is not installed' if !Database::installed();
plan skip_all => 'this build has no PostgreSQL'
    if !-e 'blib/arch/auto/Cpanel/LogMeIn/logmein-postgres.so';

my $server = Database->new;
$server->sql( 'postgres', 'CREATE ROLE logmein LOGIN' );

# The contract
{
    my ( $url, $admin ) = $server->database;
    local @ENV{qw(LOGMEIN_TEST_STORE LOGMEIN_TEST_ADMIN)} = ( $url, $admin );
    my $said = `blib/core/postgres`;
    is( $?, 0, 'the contract of every store' );
    my @fails = grep { /^not ok/ } split /^/, $said;
    my $count = () = $said =~ /^ok/mg;
    is_deeply( \@fails, [], "... $count tests" );
    cmp_ok( $count, '>', 50, '... and that they were' );
}

# The tests of t, each site on a database of its own
for my $test (qw(session redeem attempts reuse ends suspended)) {
    local $ENV{LOGMEIN_TEST_SERVER} = $server->{dir};
    local $ENV{PERL5LIB}            = 'blib/lib:blib/arch:t/lib:xt/lib';
    my $said = `$^X -MOnDatabase t/$test.t 2>&1`;
    is( $?, 0, "t/$test.t" ) or diag $said;
}
done_testing();
