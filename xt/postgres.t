#!/usr/bin/perl

# A store in a real PostgreSQL: the contract of every store, the tests of sessions,
# tickets, failed logins and races, and what the database refuses.

use strict;
use warnings;
use blib;
use lib      qw(t/lib xt/lib);
use Database ();
use POSIX    ();
use Run      qw(answers);
use Test::More;
use Test::Cpanel::LogMeIn;
use Cpanel::LogMeIn::Session ();
use Time::HiRes              qw(sleep);

plan skip_all => $_ for Database::lacks();

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

# As an operator uses it
my ( $url, $admin ) = $server->database;
my $mine = $url =~ s{//logmein}{//panel}r;
my $site = Test::Cpanel::LogMeIn->new;
my $dir  = $site->dir;

answers( 3, qr/made when it is first used/, 'a store in LMDB needs no init', qw(store init) );
answers( 2, qr/write postgresql:/, 'no URL', qw(store init --admin), 'host=db' );
my $copied = ( $site->login )[2];
$site->settings( store => $mine, key_file => "$dir/key" );
answers( 3, qr/role "panel" does not exist/,     'before it',      qw(session list) );
answers( 3, qr/panel.* can't be prepared/,       'by nobody',      qw(store init --admin), $mine );
answers( 0, qr/The store is ready/,              'init',           qw(store init --admin), $admin );
answers( 3, qr/no majority .*store_alone = yes/, 'a server alone', qw(session list) );
is( $site->login, 0, '... a login is refused' );
like( $Cpanel::LogMeIn::detail, qr/no majority/, '... as a fault' );
$site->settings( store_alone => 'yes' );
my $session = $site->redeem( ( $site->login )[2] );
ok( $session, 'store_alone: a login' );
answers( 0, qr/alice .* cpanel/x,      '... that is listed',          qw(session list) );
answers( 0, qr/the database server's/, 'doctor',                      qw(doctor --verbose) );
answers( 0, qr/has no standbys, and store_alone allows it/, 'doctor', qw(doctor --verbose) );
answers( 0, qr/The store is ready/, 'init once more',    qw(store init --admin), $admin );
answers( 0, qr/alice .* cpanel/x,   '... loses nothing', qw(session list) );

# The store's user
my ($name) = $url =~ m{/(\w+)[?]};
for my $statement (
    'SELECT * FROM logmein.entry',
    'DELETE FROM logmein.batch',
    'SELECT logmein.lmi_remove(0::smallint, 1, 1)',
    q{SELECT logmein.lmi_admit('panel', NULL)},
    'CREATE TABLE logmein.own (x integer)',
    )
{
    ok( !eval { $server->sql( $name, "SET ROLE panel; $statement" ); 1 }, "refused: $statement" );
}
ok( eval { $server->sql( $name, 'SET ROLE panel; SELECT * FROM logmein.lmi_hello_v1()' ) },
    'control: a function is allowed' );

# A key that other machines have, too: xt/postgres-keys.t has them
answers( 0, qr/is the next\s+key.*Copy\s+it/s, 'a rotation begins', qw(key rotate) );
ok( !-e "$dir/key.old" && -e "$dir/key.next", '... with a next key' );
answers( 0, qr/MACHINE +SEEN +PRESENT +NEXT/, 'its state can be seen',   qw(key status) );
answers( 0, qr/is the new\s+key/,             'the next key is the key', qw(key rotate) );
answers( 0, qr/alice .* cpanel/x,             '... which loses nothing', qw(session list) );

# What the settings may not say
for my $case (
    [ "$mine&sslmode=disable",            qr/another sslmode than verify-full/ ],
    [ $mine =~ s/panel@/panel:secret@/r,  qr/holds a password/ ],
    [ "$mine&nonsense=1",                 qr/not a URL as libpq reads it/ ],
    [ 'postgresql://panel@127.0.0.1:1/x', qr/Connection refused.* can't be connected to/ ],
    )
{
    my ( $store, $why ) = @{$case};
    $site->settings( store => $store );
    answers( 3, $why, $store, qw(session list) );
}
$site->settings( store => $mine, store_password_file => "$dir/password" );
answers( 3, qr/password.*No such file/, 'no password file', qw(session list) );
$site->write_file( "$dir/password", "secret\n" );
for my $mode (qw(604 640)) {
    chmod oct $mode, "$dir/password" or die $!;
    answers( 3, qr/others than its owner may read/, "one of mode $mode", qw(session list) );
}
chmod oct 600, "$dir/password" or die $!;
answers( 0, qr/alice/, 'one that they don\'t', qw(session list) );
answers( 0, qr/The store is ready/, 'init with a password', qw(store init --admin), $admin );
like( $server->sql( $name, q{SELECT rolpassword FROM pg_authid WHERE rolname = 'panel'} ),
    qr/\ASCRAM-SHA-256/, '... which the server knows by a verifier' );
$site->settings( store_password_file => undef );

# Clocks that differ
my $hello = $server->sql( $name, q{SELECT pg_get_functiondef('logmein.lmi_hello_v1'::regproc)} );
for my $seconds ( -7, 7 ) {
    $server->sql( $name,
        $hello =~ s/(clock_timestamp[(][)][)][)])::bigint/$1::bigint + $seconds/r );
    answers(
        3,
        qr/the server's clock differs/,
        "a clock that is $seconds seconds ahead",
        qw(session list)
    );
    $server->sql( $name, $hello );
}
answers( 0, qr/alice/, 'control: equal ones', qw(session list) );

# The server's processes for the store's user
sub connections {
    return split /\n/,
        $server->sql( 'postgres', q{SELECT pid FROM pg_stat_activity WHERE usename = 'panel'} );
}

# A handle that is open, while its process forks and another store comes in its place
my $sessions = Cpanel::LogMeIn::Session->new;
my @access   = ( cookie => $session->{cookie}, token => $session->{token}, service => 'cpanel' );
my $check    = sub { ( $sessions->check(@access) )[1] };
is( $check->(), 'granted', 'an open handle' );
my @kept = connections();
my $pid  = fork // die "fork: $!";
POSIX::_exit( $check->() ne 'granted' ? 1 : connections() > @kept ? 0 : 2 ) if !$pid;
waitpid $pid, 0;
is( $?,         0,         '... a forked process uses it, with a connection of its own' );
is( $check->(), 'granted', '... and so does this one' );
my %now = map { $_ => 1 } connections();
is_deeply( [ grep { !$now{$_} } @kept ], [], '... which has kept its connections' );
cmp_ok( scalar @kept, '>', 0, '... control: it had some' );
$server->sql( $name, 'UPDATE logmein.identity SET incarnation = gen_random_uuid()' );
$server->sql( 'postgres',
    q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'panel'} );
sleep 0.02 while connections();
is( $check->(), 'fault',   '... whose store was replaced: a fault' );
is( $check->(), 'granted', '... and then it is opened again' );

# There and back, with the key where it is
my ( $there, $by ) = $server->database;
rename "$dir/store/key", "$dir/own.key" or die $!;
$site->settings( store => $there, key_file => "$dir/own.key" );
answers( 0, qr/The store is ready/, 'another database', qw(store init --admin), $by );
$site->settings( store => undef );
answers( 0, qr/1 ticket .* are in \Q$there\E/, 'a copy', qw(store copy), "lmdb:$dir/store",
    $there );
answers( 3, qr/has moved/, '... the old store refuses', qw(session list) );
$site->settings( store => $there );
answers( 0, qr/not redeemed/,             '... the new one has the session', qw(session list) );
answers( 0, qr/1 ticket .* are in lmdb:/, 'back', qw(store copy), $there, "lmdb:$dir/back" );
answers( 3, qr/has moved/,                '... the database refuses', qw(session list) );
$site->settings( store => "lmdb:$dir/back" );
ok( $site->redeem($copied), '... and the ticket opens a session' );
done_testing();
