#!/usr/bin/perl

# Two machines on one PostgreSQL: a ticket that is redeemed at both at once opens one
# session; and a redeem that commits while its user logs out opens none. Then the races of
# t/core/race.c, by sixteen processes. With XT_LONG=1 ten times as many of all.

use strict;
use warnings;
use blib;
use lib                      qw(t/lib xt/lib);
use Cpanel::LogMeIn::Session ();
use Database                 ();
use IO::Handle               ();
use POSIX                    ();
use Test::More;
use Test::Cpanel::LogMeIn;
use Time::HiRes qw(sleep time);

plan skip_all => $_ for Database::lacks();

my $TICKETS = $ENV{LMI_ROUNDS} || ( $ENV{XT_LONG} ? 5000 : 500 );

my $server = Database->new;
$server->sql( 'postgres', 'CREATE ROLE logmein LOGIN' );
my @users = map { "user$_" } 1 .. 100;
my ( $site, $database ) = $server->site( accounts => { map { $_ => 'secret' } @users } );

# A process that redeems what it is told, as one browser: a function that tells it a
# URL and returns one that waits for the answer.
sub machine {
    my ($browser) = @_;
    pipe my $in,     my $teller or die $!;
    pipe my $reader, my $out    or die $!;
    my $pid = fork // die "fork: $!";
    if ( !$pid ) {
        close $teller;
        my $sessions = Cpanel::LogMeIn::Session->new;
        while ( my $url = <$in> ) {
            chomp $url;
            my ( $ticket, $token )  = Test::Cpanel::LogMeIn::parse_url($url);
            my ( undef,   $reason ) = $sessions->redeem(
                ticket  => $ticket,
                token   => $token,
                service => 'cpanel',
                address => '192.0.2.1',
                agent   => $browser
            );
            syswrite $out, "$reason\n";
        }
        POSIX::_exit(0);
    }
    $teller->autoflush;
    return sub {
        my ($url) = @_;
        print {$teller} "$url\n";
        return sub { my $answer = <$reader>; chomp $answer; return $answer };
    };
}

# How often the two answer what, by their answers in order.
sub races {
    my ( $times, @machines ) = @_;
    my %count;
    for my $number ( 1 .. $times ) {
        my ( $ok, $message, $url ) = $site->login( user => $users[ $number % @users ] );
        die "$message $Cpanel::LogMeIn::detail" if !$ok;
        my @answers = map { $_->($url) } $number % 2 ? @machines : reverse @machines;
        $count{ join q{ }, sort map { $_->() } @answers }++;
    }
    return \%count;
}

my @machines = map { machine($_) } qw(Browser/1 Browser/2);
my $start    = time;
my $count    = races( $TICKETS, @machines );
is_deeply( $count, { 'granted spent' => $TICKETS }, "$TICKETS tickets, two machines: one wins" );
note(
    sprintf
        '4: %d tickets at two machines on PostgreSQL, %d with another number of winners than one',
    $TICKETS,
    $TICKETS - ( $count->{'granted spent'} // 0 )
);
note( sprintf '%.0f s', time - $start );

# Changes the body of a function of the store's, or of a copy by another name.
sub change {
    my ( $function, $from, $to ) = @_;
    my $text = $server->sql( $database, "SELECT pg_get_functiondef('logmein.$function'::regproc)" );
    $text =~ s/$from/$to/ or die "$function has changed";
    my $session = $server->session($database);
    $session->($text)->();
    return;
}

# Control: a database that doesn't compare
my $COMPARES = 'AND e.value = olds[i]';
change( 'lmi_apply_v1', qr/\Q$COMPARES\E/, 'AND (true OR e.value = olds[i])' );
$count = races( 100, @machines );
cmp_ok( $count->{'granted granted'} // 0,
    '>', 0, 'control: without a comparison both win, ' . ( $count->{'granted granted'} // 0 ) );
change( 'lmi_apply_v1', qr/\QAND (true OR e.value = olds[i])\E/, $COMPARES );
is_deeply( races( 20, @machines ), { 'granted spent' => 20 }, '... and with it one, again' );

# SQL for a batch of operations: verb, entry, value and old value. The group is SQL, too.
my $batches = 0;

my $age = 0;    # seconds

sub batch {
    my ( $function, $group, @ops ) = @_;
    my $id =
        sprintf q{int8send(extract(epoch FROM clock_timestamp())::bigint - %d) || '\x%032x'::bytea},
        $age, ++$batches;
    my @columns;
    for my $op (@ops) {
        my ( $verb, $entry, $value, $old ) = @{$op};
        my @row = (
            $verb,
            $entry ? "sha256('$entry')" : q{''::bytea},
            '9999999999',
            $verb == 3 ? q{''::bytea} : $group,
            0,
            $value ? "'$value'::bytea" : 'NULL::bytea',
            $old   ? "'$old'::bytea"   : 'NULL::bytea'
        );
        push @{ $columns[$_] }, $row[$_] for 0 .. $#row;
    }
    my $arrays = join ', ', map { 'ARRAY[' . join( ', ', @{$_} ) . ']' } @columns;
    return "SELECT outcome FROM logmein.$function($id, 0::smallint, true, 0, $arrays)";
}

# Does a process wait for a lock of this class, or on a group, within a second?
sub somebody_waits {
    my ($class) = @_;
    $class //= 2;
    my $until = time + 1;
    while ( time < $until ) {
        return 1 if $server->sql( $database, <<"SQL" ) > 0;
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
AND classid = logmein.lmi_lock_class($class)::oid
SQL
        sleep 0.02;
    }
    return 0;
}

sub entries {
    my ($group) = @_;
    return 0 + $server->sql( $database, "SELECT count(*) FROM logmein.entry WHERE grp = $group" );
}

my ( $ADD, $SWAP, $DROP_GROUP ) = ( 0, 1, 4 );
my @one = map { $server->session($database) } 1 .. 2;

# Two batches, the second begun before the first commits: whether it waited, what it
# answered, and how many entries the group then has.
sub one_during_other {
    my ( $function, $group, $first, $second ) = @_;
    $one[0]->('BEGIN')->();
    $one[0]->( batch( $function, $group, @{$first} ) )->();
    my $answer = $one[1]->( batch( $function, $group, @{$second} ) );
    my $waits  = somebody_waits();
    $one[0]->('COMMIT')->();
    chomp( my $outcome = $answer->() );
    return [ $waits, $outcome, entries($group) ];
}

# One of the two, while the other has not committed
my @redeem = ( [ $SWAP, 'ticket', 'spent', 'fresh' ], [ $ADD, 'cookie', 'live' ] );
my @logout = ( [$DROP_GROUP] );
my %case   = (
    'a redeem that commits during a logout' => [ \@redeem, \@logout, [ 1, 1, 0 ] ],
    'a redeem that begins during a logout'  => [ \@logout, \@redeem, [ 1, 0, 0 ] ],
);
for my $name ( sort keys %case ) {
    my ( $first, $second, $wanted ) = @{ $case{$name} };
    my $group = "'$name'::bytea";
    $one[0]->( batch( 'lmi_apply_v1', $group, [ $ADD, 'ticket', 'fresh' ] ) )->();
    is( entries($group), 1, "$name: there is a ticket" );
    is_deeply( one_during_other( 'lmi_apply_v1', $group, $first, $second ),
        $wanted, '... the second waits, and nothing is left of it' );
}

# Control: a copy without the locks. The cookie alone, for with its ticket it would wait
# for a row.
my $text = $server->sql( $database, q{SELECT pg_get_functiondef('logmein.lmi_apply_v1'::regproc)} );
$text =~ s/lmi_apply_v1/lmi_unlocked/g;
$text =~ s/PERFORM pg_advisory_xact_lock(?:_shared)?\(/PERFORM (/g == 2 or die 'other locks';
$one[0]->($text)->();
for my $function (qw(lmi_apply_v1 lmi_unlocked)) {
    my $locks = $function eq 'lmi_apply_v1';
    my $group = "'$function'::bytea";
    is_deeply(
        one_during_other( $function, $group, [ [ $ADD, "cookie $function", 'live' ] ], \@logout ),
        $locks ? [ 1, 1, 0 ] : [ 0, 1, 1 ],
        $locks
        ? 'a cookie that is added during a logout is gone'
        : 'control: without the locks it stays'
    );
}

# A store that is marked and emptied while a batch has not committed
{
    my $group = q{'marked'::bytea};
    my $mark  = 'SELECT logmein.lmi_mark_put_v1(0::smallint, %d::smallint, %s, %s)';
    $one[0]->('BEGIN')->();
    $one[0]->( batch( 'lmi_apply_v1', $group, [ $ADD, 'marked', 'live' ] ) )->();
    my $answer = $one[1]->( sprintf $mark, 1, q{'there'}, 'true' );
    ok( somebody_waits(1), 'a mark waits for a batch' );
    $one[0]->('COMMIT')->();
    $answer->();
    is( entries($group), 0, '... and then nothing is left' );
    is( $one[0]->( batch( 'lmi_apply_v1', $group, [ $ADD, 'marked', 'live' ] ) )->(),
        "2\n", '... and the next batch hears of it' );
    $one[1]->( sprintf $mark, 0, q{''}, 'false' )->();
    is( $one[0]->( batch( 'lmi_apply_v1', $group, [ $ADD, 'marked', 'live' ] ) )->(),
        "1\n", '... control: without a mark it is done' );
}

# What was on its way for long
for ( 50, 70 ) {
    $age = $_;
    my $group = "'$age'::bytea";
    eval { $server->sql( $database, batch( 'lmi_apply_v1', $group, [ $ADD, "at $age", 'x' ] ) ) };
    is( entries($group), $age < 60 ? 1 : 0, "a batch that comes after $age seconds" );
}
$age = 0;

# A session in the database: how to end it, and its group as SQL.
sub new_session {
    $one[0]->('DELETE FROM logmein.entry')->();
    my $session = $site->redeem( ( $site->login( user => $users[0] ) )[2] );
    my $hex     = $server->sql( $database,
        q{SELECT encode(grp, 'hex') FROM logmein.entry WHERE grp <> '' AND part = 0 LIMIT 1} );
    chomp $hex;
    my $end = sub {
        my $pid = fork // die "fork: $!";
        return $pid if $pid;
        my ( undef, $reason ) = Cpanel::LogMeIn::Session->end(
            cookie  => $session->{cookie},
            token   => $session->{token},
            service => 'cpanel'
        );
        return POSIX::_exit( $reason eq 'granted' ? 0 : 1 );
    };
    return ( $end, "decode('$hex', 'hex')" );
}

# The same by the module: its logout waits for a transaction that adds to the group.
{
    my ( $end, $group ) = new_session();
    my $before = entries($group);
    cmp_ok( $before, '>', 0, "control: the session's group has $before entries" );
    $one[0]->('BEGIN')->();
    $one[0]->( batch( 'lmi_apply_v1', $group, [ $ADD, 'cookie of another browser', 'live' ] ) )->();
    my $pid = $end->();
    ok( somebody_waits(), 'a logout waits' );
    for my $how ( 'pg_cancel_backend(pid)', 'pg_terminate_backend(pid, 1000)' ) {
        my $done = $server->sql( 'postgres', <<"SQL" );
SELECT $how FROM pg_stat_activity WHERE usename = 'logmein' AND wait_event = 'advisory'
SQL
        is( $done, "t\n", "... which is ended by $how" );
        ok( somebody_waits(), '... and waits again' );
    }
    $one[0]->('COMMIT')->();
    waitpid $pid, 0;
    is( $?,              0, '... and is done' );
    is( entries($group), 0, '... and what was added meanwhile is gone' );
}

# A deadlock: the logout has the group and waits for a row, the other has the row.
{
    my ( $end, $group ) = new_session();
    $one[0]->('BEGIN')->();
    $one[0]->("SELECT 1 FROM logmein.entry WHERE grp = $group FOR UPDATE")->();
    my $pid = $end->();
    sleep 0.02 while !$server->sql( $database, <<'SQL' );
SELECT 1 FROM pg_stat_activity WHERE usename = 'logmein' AND wait_event = 'transactionid'
SQL
    my $answer =
        $one[0]->( batch( 'lmi_apply_v1', $group, [ $ADD, 'cookie of a third browser', 'live' ] ) );
    is( $answer->(), "1\n", 'a deadlock: the other goes on' );
    like( $server->log_text, qr/ERROR:  deadlock detected/, '... control: it was one' );
    $one[0]->('COMMIT')->();
    waitpid $pid, 0;
    is( $?,              0, '... and the logout is tried again' );
    is( entries($group), 0, '... after which nothing is left' );
}

# The races of t/core/race.c
{
    my ( $url, $admin ) = $server->database;
    local @ENV{qw(LOGMEIN_TEST_STORE LOGMEIN_TEST_ADMIN)} = ( $url, $admin );
    local $ENV{LMI_ROUNDS} = $TICKETS / 10;
    $start = time;
    my @lines = `blib/core/race 2>&1`;
    is( $?,                               0,  "races in $ENV{LMI_ROUNDS} rounds" ) or diag(@lines);
    is( scalar( grep { /\Aok/ } @lines ), 10, '... with their controls' )          or diag(@lines);
    my ($rows) = $url =~ m{/(\w+)[?]};
    cmp_ok( $server->sql( $rows, 'SELECT count(*) FROM logmein.entry' ),
        '>', 10, 'control: in the database' );
    note( map { s{\A# }{}r } @lines );
    note( sprintf '%.0f s', time - $start );
}
done_testing();
