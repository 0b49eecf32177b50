#!/usr/bin/perl

# What a PostgreSQL server must promise: a majority of the machines acknowledges each
# commit. Where it does not, or stops to wait while a commit waits, nothing is done as far
# as its clients are told.

use strict;
use warnings;
use blib;
use lib        qw(t/lib xt/lib);
use Database   ();
use IO::Select ();
use Test::More;
use Test::Cpanel::LogMeIn;
use Time::HiRes qw(sleep time);

plan skip_all => $_ for Database::lacks();

my $server = Database->new;
$server->sql( 'postgres', 'CREATE ROLE logmein LOGIN' );
my ( $site, $database ) = $server->site;

# Is it a majority? n1 is the server itself.
my @CASES = (
    [ q{},                       'f' ],
    [ 'n2',                      't' ],
    [ 'n2, n3',                  't' ],
    [ 'ANY 1 (n2, n3)',          't' ],
    [ 'ANY 1(n2,n3)',            't' ],
    [ 'any 1 (n1, n2, n3)',      't' ],
    [ 'FIRST 1 (n2, n3)',        't' ],
    [ '1 (n2, n3)',              't' ],
    [ 'ANY 1 (n2, n3, n4)',      'f' ],
    [ 'n2, n3, n4',              'f' ],
    [ 'ANY 1 (n2, n3, n4, n5)',  'f' ],
    [ 'ANY 2 (n2, n3, n4)',      't' ],
    [ 'ANY 2 (n2, n3, n4, n5)',  't' ],
    [ 'ANY 2 (a, b, c, d, e)',   'f' ],
    [ 'ANY 3 (a, b, c, d, e)',   't' ],
    [ q{*},                      'f' ],
    [ 'ANY 1 (*)',               'f' ],
    [ 'ANY 9 (n2, "*")',         'f' ],
    [ 'ANY 1 (n2, N2, "n2")',    't' ],
    [ 'ANY 1 ("a,b", "c d")',    't' ],
    [ 'ANY 1 ("a,b", "c d", e)', 'f' ],
    [ 'n1',                      'f' ],
    [ 'anyone',                  't' ],
);
my $wrong = 0;
for my $case (@CASES) {
    my ( $names, $majority ) = @{$case};
    my $said = $server->sql( $database, "SELECT logmein.lmi_is_majority('$names', 'n1')" );
    is( $said, "$majority\n", "'$names'" );
    $wrong++ if $majority eq 'f' && $said ne "f\n";
}
note( '30: ' . @CASES . " rules whom a server waits for, $wrong without a majority accepted" );

# The server's setting, for which it need not be started again: for the next time that it
# is read, and at once.
sub prepare_names {
    my ($names) = @_;
    $server->sql( 'postgres', "ALTER SYSTEM SET synchronous_standby_names = '$names'" );
    return;
}

sub names {
    my ($names) = @_;
    prepare_names($names);
    $server->sql( 'postgres', 'SELECT pg_reload_conf()' );
    sleep 0.1 while $server->sql( 'postgres', 'SHOW synchronous_standby_names' ) ne "$names\n";
    return;
}

# What a login says, in another process: a function that waits for it, and as long as it
# has not come calls what it is given.
sub login {
    my $pid = open my $out, '-|';
    if ( !$pid ) {
        my @answer = $site->login;
        print "$answer[0] $Cpanel::LogMeIn::detail\n";
        exit;
    }
    return sub {
        my ($meanwhile) = @_;
        my $select = IO::Select->new($out);
        $meanwhile->() while $meanwhile && !$select->can_read(0);
        my $line = <$out>;
        close $out or warn "login: $?";
        return $line;
    };
}

# Waits until so many commits wait for standbys.
sub waiting {
    my ($count) = @_;
    my $until   = time + 10;
    my $ask     = q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'};
    while ( $server->sql( 'postgres', $ask ) < $count ) {
        die "no commit waits\n" if time > $until;
        sleep 0.02;
    }
    return;
}

like( login()->(), qr/\A1 /, 'store_alone: a login' );
for my $case ( [ 'ANY 1 (n2, n3)', 'ANY 1 (a, b, c, d)' ], [ 'ANY 1 (n2, n3)', q{*} ] ) {
    my ( undef, $names ) = @{$case};
    names($names);
    $site->settings( store_alone => undef );
    like( login()->(), qr/\A0 .*no majority of the machines/, "refused: $names" );
}

# Nobody acknowledges
names('ANY 1 (n2, n3)');
my $start = time;
like( login()->(), qr/\A0 .*may have been made or not/, 'no standby: it is not known' );
cmp_ok( time - $start, '<', 4, '... soon' );

# The same, of a table whose rows wait likewise, to see what the server itself says
names(q{});
$server->sql( $database, 'CREATE TABLE seen (number integer)' );
for my $case (
    [ 'cancelled', q{pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'} ],
    [ 'ended by a configuration without names', 'pg_reload_conf()' ] )
{
    my ( $way, $end ) = @{$case};
    names('ANY 1 (n2, n3)');
    prepare_names(q{});
    sleep 1;
    my $row   = $server->session($database)->('INSERT INTO seen VALUES (1) RETURNING number');
    my $login = login();
    waiting(2);
    my $act = sub { $server->sql( 'postgres', "SELECT $end" ) };
    $act->();
    is( $row->(), "1\n", "a wait that is $way: control: the server says that it was done" );
    my $said = $login->($act);
    like( $said, qr/\A0 .*(?:may have been made or not|no majority)/, '... a login does not' );
}
names(q{});

# A configuration that is read again, and says the same
$site->settings( store_alone => 'yes' );
like( login()->(), qr/\A1 /, 'control: without names, store_alone' );
my @all = map { login() } 1 .. 3;
$server->sql( 'postgres', 'SELECT pg_reload_conf()' ) for 1 .. 3;
like( $_->(), qr/\A1 /, 'a login while the configuration is read' ) for @all;
done_testing();
