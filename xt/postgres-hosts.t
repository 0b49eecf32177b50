#!/usr/bin/perl

# A store in PostgreSQL at several hosts: one that is dead, hangs or only reads is passed
# over, and the one that was good is then asked first; and a standby takes the primary's
# place.

use strict;
use warnings;
use blib;
use lib              qw(t/lib xt/lib);
use Database         ();
use File::Temp       qw(tempdir);
use IO::Select       ();
use IO::Socket::INET ();
use IO::Socket::UNIX ();
use POSIX            ();
use Program          ();
use Run              qw(logmein);
use Servers          qw(certificate ca_file);
use Test::More;
use Test::Cpanel::LogMeIn;
use Time::HiRes qw(time);

plan skip_all => $_ for Database::lacks(), Servers::lacks('openssl');

my $HANG = 0.95;    # seconds: what a host that hangs costs at least
my $SOON = 1.9;     # ... and at most

my ( $cert, $key ) = certificate('good');
my @tcp     = ( listen_addresses => '127.0.0.1' );
my $primary = Database->new( port => Servers::free_port(), @tcp );
$primary->reload( $primary->tls( $cert, $key ) );

# Many names, for a login whose outcome is not known counts as failed.
my @users = map { "user$_" } 1 .. 100;
my ( $site, $name ) = $primary->site( accounts => { map { $_ => 'secret' } @users } );
my $standby = $primary->standby( port => Servers::free_port() );
my $empty   = tempdir( CLEANUP => 1 );

# The database at these hosts, of which each is a folder, or a server's own.
sub at {
    my (@hosts) = @_;
    my @folders = map { ref $_ ? $_->{dir}  : $_ } @hosts;
    my @ports   = map { ref $_ ? $_->{port} : 5432 } @hosts;
    local $" = q{,};
    $site->settings( store => "postgresql://logmein@/$name?host=@folders&port=@ports" );
    return;
}

# In a process of its own, which connects anew each time: how long so many logins took,
# each with the answer: nothing if it was good.
sub logins {
    my ($count) = @_;
    pipe my $in, my $out or die $!;
    my $pid = fork // die "fork: $!";
    if ( !$pid ) {
        for ( 1 .. $count ) {
            my $start = time;
            my $ok    = $site->login( user => $users[ rand @users ] );
            my $why   = $ok ? q{} : $Cpanel::LogMeIn::detail =~ s/\n/ /gr;
            syswrite $out, sprintf "%.2f %s\n", time - $start, $why;
            $primary->sql( 'postgres', <<'SQL' ) if $count > 1;
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'logmein'
SQL
        }
        POSIX::_exit(0);
    }
    close $out or die $!;
    chomp( my @lines = readline $in );
    waitpid $pid, 0;
    return map { [ split / /, $_, 2 ] } @lines;
}

# Two logins whose first host is not good: the first finds the second host soon, the
# next at once.
sub passed_over {
    my ( $what,  $least ) = @_;
    my ( $first, $next )  = logins(2);
    is( "$first->[1]$next->[1]", q{}, "$what is passed over" );
    cmp_ok( $first->[0], '<',  $least ? $SOON : $HANG, "... within $first->[0] s" );
    cmp_ok( $first->[0], '>=', $least,                 '... control: it had hung' ) if $least;
    cmp_ok( $next->[0],  '<',  $HANG, "... and the next login takes $next->[0] s" );
    return note("$what: $first->[0] s, then $next->[0] s");
}

at( $empty, $primary );
passed_over( 'a folder without a socket', 0 );

my $path     = "$empty/.s.PGSQL.5432";
my $listener = IO::Socket::UNIX->new( Local => $path, Listen => 20 ) or die $!;
passed_over( 'a socket that nobody answers at', $HANG );
close $listener or die $!;
passed_over( 'a socket that nobody listens at', 0 );

at( $standby, $primary );
passed_over( 'a standby', 0 );
my $both = $primary->url( $name, 'postgres' );
$both =~
    s/host=[^&]+&port=\d+/host=$standby->{dir},$primary->{dir}&port=$standby->{port},$primary->{port}/
    or die "no host: $both";
is( logmein( qw(store init --admin), $both )->{status}, 0, '... by init, too' );
at($standby);
my ($alone) = logins(1);
like( $alone->[1], qr/read-only|can't be connected to/, 'control: a standby alone is a fault' );
note("a standby alone: $alone->[1]");

# Over TCP and TLS
{
    my $dead = Servers::free_port();
    my $base = "/$name?sslrootcert=" . ca_file();
    $site->settings(
        store => "postgresql://logmein\@localhost:$dead,localhost:$primary->{port}$base" );
    passed_over( 'a port that refuses', 0 );
    my $hanging = IO::Socket::INET->new( LocalAddr => '127.0.0.1', Listen => 20 ) or die $!;
    my $ports   = join q{,}, $hanging->sockport, $primary->{port};
    $site->settings(
        store => "postgresql://logmein\@/$name?host=localhost,localhost&port=$ports&sslrootcert="
            . ca_file() );
    passed_over( 'a port that nobody answers at', $HANG );
}

# Passes on what comes to a socket, in both directions.
sub pass_on {
    my ( $socket, $to ) = @_;
    my $all = IO::Select->new($socket);
    my %other;
    while ( my @ready = $all->can_read ) {
        for my $ready ( grep { $all->exists($_) } @ready ) {
            if ( $ready == $socket ) {
                my @pair = ( $socket->accept, IO::Socket::UNIX->new( Peer => $to ) );
                @other{@pair} = reverse @pair;
                $all->add(@pair);
                next;
            }
            my $bytes;
            next if sysread( $ready, $bytes, 65_536 ) && syswrite $other{$ready}, $bytes;
            my @pair = ( $ready, $other{$ready} );
            $all->remove(@pair);
            delete @other{@pair};
            close $_ for @pair;
        }
    }
    return;
}

# A program that does, and can be stopped.
sub relay {
    my ( $from, $to ) = @_;
    my $socket = IO::Socket::UNIX->new( Local => $from, Listen => 20 ) or die $!;
    my $pid    = fork // die "fork: $!";
    return bless { pid => $pid, owner => $$ }, 'Program' if $pid;
    pass_on( $socket, $to );
    return POSIX::_exit(1);
}

# A login by this process, which keeps its connection: how long it took, and why not.
sub login {
    my ($what) = @_;
    my $start = time;
    my ( $ok, undef, $url ) = $site->login( user => $users[ rand @users ] );
    my $login = { url => $url, why => $ok ? q{} : $Cpanel::LogMeIn::detail, time => time - $start };
    note( sprintf '%s: %.2f s %s', $what, $login->{time}, $login->{why} =~ s/\n/ /gr );
    return $login;
}

# A host that stops answering while it is used
unlink $path or die $!;
my $relay = relay( $path, "$primary->{dir}/.s.PGSQL.$primary->{port}" );
at( $empty, $primary );
my $good = login('by a host that answers');
is( $good->{why}, q{}, 'a login by a host that answers' );
$relay->signal('STOP');
my @after = map { login("$_ after it stopped answering") } 1 .. 3;
is( $after[0]{why}, q{}, 'it stops: the next host is asked' );
cmp_ok( $after[0]{time}, '<', $SOON, '... soon' );
is( $after[1]{why}, q{}, '... the next login is good' );
cmp_ok( $after[1]{time}, '<', $SOON, '... and soon' );
is( $after[2]{why}, q{}, '... and the next' );
cmp_ok( $after[2]{time}, '<', $HANG, '... at once' );
$relay->signal('CONT');
$relay->stop;
unlink $path or die $!;

# A database with the same content, on another server
my $copy = Database->new( port => $primary->{port} );
$copy->sql( 'postgres', "CREATE DATABASE $name" );
my $init = logmein( qw(store init --admin), $copy->url( $name, 'postgres' ) );
is( $init->{status}, 0, 'another server, with a store in it' );
chomp( my $incarnation = $primary->sql( $name, 'SELECT incarnation FROM logmein.identity' ) );
$copy->sql( $name, "UPDATE logmein.identity SET incarnation = '$incarnation'" );
$relay = relay( $path, "$primary->{dir}/.s.PGSQL.$primary->{port}" );
at( $empty, $copy );
is( login('at the one')->{why}, q{}, 'two servers: a login at the one' );
$relay->stop;
unlink $path or die $!;
like(
    join( q{}, map { login('at the other')->{why} } 1 .. 2 ),
    qr/another store has come in this one's place/,
    '... whose place is taken by the other: a fault'
);
$copy->stop;

# What standbys have not acknowledged is not acknowledged.
$primary->sql( 'postgres', 'ALTER ROLE logmein SET synchronous_commit = local' );
$primary->reload( synchronous_standby_names => 'nobody' );
at( $standby, $primary );
$site->settings( store_alone => undef );
my $unheard = login('no standby acknowledges');
like( $unheard->{why}, qr/has not answered within two seconds/,
    'no standby acknowledges: a fault' );
cmp_ok( $unheard->{time}, '<', 2 * $SOON, '... after two seconds' );
my $own = 'CREATE TABLE own (); SET synchronous_commit = local';
ok(
    eval { $primary->sql( $name, "BEGIN; $own; COMMIT" ); 1 },
    '... control: who asks for less does not wait'
);
my $pid = fork // die "fork: $!";

if ( !$pid ) {
    my $until = time + 2;
    while ( time < $until ) {
        POSIX::_exit(0) if $primary->sql( 'postgres', <<'SQL' );
SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE usename = 'logmein' AND wait_event = 'SyncRep'
SQL
    }
    POSIX::_exit(1);
}
$unheard = login('the wait is cancelled');
waitpid $pid, 0;
is( $?, 0, 'the wait for a standby is cancelled' );
like( $unheard->{why}, qr/has not answered within two seconds/, '... a fault, too' );
like(
    $primary->log_text,
    qr/WARNING:  canceling wait for synchronous replication/,
    '... control: of which the server warns'
);

# The standby takes the primary's place. What was acknowledged lies at both.
$primary->reload( synchronous_standby_names => 'walreceiver' );
my @before = map { login('before') } 1 .. 3;
is( join( q{}, map { $_->{why} } @before ), q{}, 'a primary with a synchronous standby' );
ok( $site->redeem( $before[0]{url} ), '... one of three tickets is used' );
$primary->crash;
my @faults = map { login('the primary is dead') } 1 .. 2;
like( $faults[0]{why}, qr/can't be connected to|has not answered/, 'the primary dies: a fault' );
cmp_ok( $faults[0]{time}, '<', 2 * $SOON, '... after two seconds' );
like( $faults[1]{why}, qr/can't be connected to/, '... then a fault' );
cmp_ok( $faults[1]{time}, '<', $HANG, '... at once' );
my $start = time;
$standby->sql( 'postgres', 'SELECT pg_promote()' );
note( sprintf 'promotion: %.2f s', time - $start );
like( login('promoted')->{why}, qr/no majority/, 'it is promoted, and alone: refused' );
$site->settings( store_alone => 'yes' );
my $again = login('with store_alone');
is( $again->{why}, q{}, '... but for store_alone: logins are good' );
cmp_ok( $again->{time}, '<', $HANG, '... at once' );
ok( $site->redeem( $before[$_]{url} ), '... a ticket from before is good' ) for 1, 2;
ok( !$site->redeem( $before[0]{url} ), '... but not the used one' );
done_testing();
