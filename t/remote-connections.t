#!/usr/bin/perl

# Connections are kept for the next login, by each process and thread.

use strict;
use warnings;
use Config;
use if $Config{useithreads}, 'threads';
use POSIX ();
use Test::More;
use Test::Cpanel::LogMeIn;
use lib 't/lib';
use Servers qw(ca_file certificate lacks success);

my $lacking = lacks(qw(openssl IO::Socket::SSL remote));
plan skip_all => $lacking if $lacking;
require IO::Socket::SSL;

my ( $cert, $key ) = certificate('good');

sub new_server {
    my ($answer) = @_;
    return Servers->new( cert => $cert, key => $key, answer => $answer );
}
my $server = new_server( sub { success('cpsession') } );
my $site   = Test::Cpanel::LogMeIn->new(
    settings => {
        backend        => 'remote',
        'port.cpanel'  => $server->port,
        remote_ca_file => ca_file(),
        remote_timeout => 5,
    }
);
sub log_in { my ( undef, $message ) = $site->login; return $message }

# Returns the connections that the server has seen since the last call, in order.
sub connections {
    my %seen;
    my @all = grep { !$seen{$_}++ } $server->record =~ /^([0-9]+) got/mg;
    return @all;
}

is( log_in(),                    'Login OK', "login $_" ) for 1 .. 10;
is( $server->count('handshake'), 1,          'ten logins, one connection' );
my ($parent) = connections();

# Child processes.
my $said = Test::Cpanel::LogMeIn::in_child(
    sub {
        join ', ', map { log_in() } 1 .. 3;
    }
);
is( $said,                   'Login OK, Login OK, Login OK', 'a child of a warm parent logs in' );
is( scalar( connections() ), 2,                              '... by one connection of its own' );
is( log_in(),                'Login OK',                     '... and the parent goes on' );
is( scalar( connections() ), 2,                              "... by the parent's" );
$said = Test::Cpanel::LogMeIn::in_child(
    sub {
        my $mine = log_in();
        return join ', ', $mine, Test::Cpanel::LogMeIn::in_child( sub { log_in() } ), log_in();
    }
);
is( $said,                   'Login OK, Login OK, Login OK', 'a grandchild' );
is( scalar( connections() ), 4,                              '... has one of its own, too' );

# A child that does not log in, and exits normally.
my $pid = fork // die "fork: $!";
if ( !$pid ) {
    Test::More->builder->no_ending(1);
    undef $server;
    exit 0;
}
waitpid $pid, 0;
is( $?, 0, 'a child that only ends' );
$server->forget;
is( log_in(), 'Login OK', "... leaves the parent's connection" );
is_deeply( [ connections() ], [$parent], '... open' );

# Parallel children.
my @pids;
for my $child ( 1 .. 20 ) {
    $pid = fork // die "fork: $!";
    if ( !$pid ) {
        my @said = map { log_in() } 1 .. 5;
        POSIX::_exit( scalar grep { $_ ne 'Login OK' } @said );
    }
    push @pids, $pid;
}
is( log_in(), 'Login OK', 'the parent, while twenty children log in' ) for 1 .. 5;
my $well = grep { waitpid( $_, 0 ) == $_ && $? == 0 } @pids;
is( $well,                   20, '... which they all do' );
is( scalar( connections() ), 21, '... by a connection each' );

# Threads.
SKIP: {
    skip 'this perl has no ithreads', 4 if !$Config{useithreads};
    $server->forget;
    my @threads = map {
        threads->create(
            sub {
                join ' ', map { log_in() } 1 .. 5;
            }
        )
    } 1 .. 4;
    my @said = map { $_->join } @threads;
    is( scalar( grep { $_ eq join ' ', ('Login OK') x 5 } @said ), 4, 'four threads at once' )
        or diag("@said");
    is( $server->count('handshake'), 4,          '... have a connection each' );
    is( log_in(),                    'Login OK', '... and the first thread goes on' );
    is( ( connections() )[-1],       $parent,    '... by its own' ) or diag( $server->record );
}

# A server that closes its connections: the next login opens a new one, and the
# program gets no signal.
$server = new_server( sub { success('cpsession') =~ s/\r\n/\r\nConnection: close\r\n/r } );
$site->settings( 'port.cpanel' => $server->port );
is( log_in(),                    'Login OK', "a server that closes, $_" ) for 1 .. 3;
is( $server->count('handshake'), 3,          '... is connected to each time' );
my $tell = 0;
$server = new_server(
    sub {
        my ($connection) = @_;
        print {$connection} success('cpsession');
        return;    # and closes, without having said so
    }
);
$site->settings( 'port.cpanel' => $server->port );
{
    local $SIG{PIPE} = sub { $tell++ };
    for ( 1 .. 5 ) {
        is( log_in(), 'Login OK', "a server that closes without a word, $_" );
        select undef, undef, undef, 0.05;    ## no critic (ProhibitSleepViaSelect)
    }
}
is( $tell, 0, '... and no SIGPIPE is seen' );
done_testing();
