#!/usr/bin/perl

# Logins by several processes while all processes of PostgreSQL are killed with signal 9
# repeatedly, and those that log in are, too: no acknowledged session is lost, what could
# not be done is a fault that says so, and nobody waits for long.

use strict;
use warnings;
use blib;
use lib        qw(t/lib xt/lib);
use Database   ();
use IO::Select ();
use List::Util qw(max);
use Test::More;
use Time::HiRes qw(sleep time);

plan skip_all => $_ for Database::lacks();

my $LOGINS   = $ENV{LOGMEIN_CYCLES} || 1000;
my $CRASHES  = 8;
my $KILLED   = 11;                             # clients, at least
my $CLIENTS  = 4;
my $PATIENCE = 3;                              # seconds

my $server = Database->new;
$server->sql( 'postgres', 'CREATE ROLE logmein LOGIN' );

# Many names, because a killed login counts as a failure a minute later.
my @users = map { "user$_" } 1 .. 500;
my ( $site, $database ) = $server->site( accounts => { map { $_ => 'secret' } @users } );

# Prints for each login how long it took, and its URL or the fault.
sub log_in_for_ever {
    my ($out) = @_;
    srand $$;
    while (1) {
        my $start = time;
        my ( $ok, $message, $url ) = $site->login( user => $users[ rand @users ] );
        my $said = $ok ? $url : "$message $Cpanel::LogMeIn::detail";
        syswrite $out, sprintf "%.2f %s\n", time - $start, $said =~ s/\n/ /gr;
        sleep 0.05 if !$ok;
    }
    return;
}

my %client;    # by their process ids

sub start_client {
    pipe my $in, my $out or die $!;
    my $pid = fork // die "fork: $!";
    log_in_for_ever($out) if !$pid;
    $client{$pid} = { in => $in, text => q{} };
    return;
}

my @lines;

# Whole lines; what a killed client has begun to print was not answered.
sub hear {
    my ( $client, $seconds ) = @_;
    my @ready = IO::Select->new( map { $_->{in} } @{$client} )->can_read($seconds);
    for my $one (
        grep {
            my $in = $_->{in};
            grep { $_ == $in } @ready
        } @{$client}
        )
    {
        sysread $one->{in}, $one->{text}, 65_536, length $one->{text} or next;
        push @lines, $1 while $one->{text} =~ s/\A(.*)\n//;
    }
    return scalar @ready;
}

sub kill_client {
    my ($pid) = @_;
    my $client = delete $client{$pid};
    kill KILL => $pid;
    waitpid $pid, 0;
    hear( [$client], 0 );
    return;
}

sub urls {
    return map { m{\A[0-9.]+ (https:.*)} } @lines;
}

my ( $crashes, $killed, $last ) = ( 0, 0, time );
start_client() for 1 .. $CLIENTS;
my $until = time + 300;
while ( time < $until && ( urls() < $LOGINS || $crashes < $CRASHES || $killed < $KILLED ) ) {
    hear( [ values %client ], 0.1 );
    if ( urls() >= $LOGINS * ( $crashes + 1 ) / ( $CRASHES + 1 ) && $crashes < $CRASHES ) {
        $server->crash;
        hear( [ values %client ], 0 );
        sleep rand 1;
        $server->start;
        $crashes++;
    }
    if ( time - $last > 0.5 ) {
        my @pids = keys %client;
        kill_client( $pids[ rand @pids ] );
        start_client();
        $killed++;
        $last = time;
    }
}
kill_client($_) for keys %client;

my @urls   = urls();
my @faults = grep    { !m{\A[0-9.]+ https:} } @lines;
my @odd    = grep    { !/\A[0-9.]+ Logins are not possible at the moment \(STORE\)[.] / } @faults;
my @lost   = grep    { !$site->redeem($_) } @urls;
my $most   = max map { /\A([0-9.]+)/ } @lines;
cmp_ok( scalar @urls, '>=', $LOGINS, @urls . ' sessions were acknowledged' );
is( $crashes, $CRASHES, "... while the server was killed $CRASHES times" );
cmp_ok( $killed, '>=', $KILLED, "... and $killed clients" );
is( scalar @lost, 0, 'each of them redeems' ) or diag("$lost[0]: $Cpanel::LogMeIn::detail");
cmp_ok( scalar @faults, '>', 0, 'control: ' . @faults . ' logins were not possible' );
is_deeply( \@odd, [], '... and said so' );
cmp_ok( $most, '<', $PATIENCE, "the longest took $most s" );
note( "30: $crashes times PostgreSQL killed, " . @lost . ' acknowledged sessions lost' );
my @again = grep { $site->redeem($_) } @urls[ 0 .. 9 ];
is( scalar @again, 0, 'control: once' );

# What the database has forgotten is seen.
my $url = ( $site->login( user => $users[0] ) )[2];
$server->sql( $database, 'DELETE FROM logmein.entry' );
ok( !$site->redeem($url), 'control: an entry that was lost is no session' );

# A server that would forget is refused.
for my $setting (qw(fsync full_page_writes)) {
    my $careless = Database->new( $setting => 'off' );
    $careless->sql( 'postgres', 'CREATE ROLE logmein LOGIN' );
    my ($there) = $careless->site;
    my ( $ok, $message ) = $there->login;
    ok( !$ok, "a server with $setting off is refused" );
    like( $message,                 qr/STORE/,                         '... as a fault' );
    like( $Cpanel::LogMeIn::detail, qr/fsync or full_page_writes off/, '... that says why' );
    $careless->sql( 'postgres', "ALTER SYSTEM SET $setting = on" );
    $careless->stop;
    $careless->start;
    ok( scalar $there->login, '... control: switched on, it is not' )
        or diag($Cpanel::LogMeIn::detail);
}
done_testing();
