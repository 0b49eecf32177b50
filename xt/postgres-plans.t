#!/usr/bin/perl

# What a login reads in PostgreSQL does not grow with what is there, even on a connection
# that was opened when there was little, and keeps its plans.

use strict;
use warnings;
use blib;
use lib      qw(t/lib xt/lib);
use Database ();
use Test::More;

plan skip_all => $_ for Database::lacks();

my $LOGINS   = 500;
my @ACCOUNTS = map { "user$_" } 1 .. 100;
my $server   = Database->new;

# How many rows of tables a login has read on average, since the server took notice of how
# little there was.
sub rows_of_a_login {
    my ( $site, $database ) = @_;
    Test::Cpanel::LogMeIn::in_child( sub { scalar $site->login( user => $ACCOUNTS[0] ) } );
    $server->sql( $database, $_ ) for 'VACUUM ANALYZE', 'SELECT pg_stat_reset()';
    my $done = Test::Cpanel::LogMeIn::in_child(
        sub {
            return
                scalar grep { ( $site->login( user => $ACCOUNTS[ $_ % @ACCOUNTS ] ) )[0] }
                1 .. $LOGINS;
        }
    );
    is( $done, $LOGINS, "$LOGINS logins" );
    return $server->sql( $database, <<'SQL' ) / $LOGINS;
SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_user_tables
SQL
}

sub site {
    return $server->site( accounts => { map { $_ => 'secret' } @ACCOUNTS } );
}

my $rows = rows_of_a_login( site() );
cmp_ok( $rows, '<', 30, sprintf '... each reads %.1f rows', $rows );

# Control: what is old is found by a condition that no index knows.
my ( $site, $database ) = site();
my $remove = $server->sql( $database, q{SELECT pg_get_functiondef('logmein.lmi_remove'::regproc)} );
$remove =~ s/id < old/id < int8send(clock_timestamp()::date - '1980-01-01'::date)/
    or die 'no condition';
$server->sql( $database, $remove );
$rows = rows_of_a_login( $site, $database );
cmp_ok( $rows, '>', 60, sprintf '... control: or %.1f', $rows );
done_testing();
