#!/usr/bin/perl

# Slow clients at both fronts, as many as the examples allow, for a minute each: honest
# ones are served at once. Nothing else may run meanwhile.

use strict;
use warnings;
use blib;
use lib        qw(t/lib xt/lib);
use Author     qw(has_program);
use Front      ();
use List::Util qw(max);
use Load       qw(honest);
use Serve      qw(free_base);
use Slow       ();
use Test::More;
use Test::Cpanel::LogMeIn;

my $SECONDS = $ENV{LOGMEIN_SECONDS} || 60;
my $LIMIT   = 2;                             # seconds for an honest request
my $HONEST  = 100;
my $ROUNDS  = 3;                             # slow clients hold all of them, noise does not

my $base  = free_base(6);
my $port  = $base + 1;
my @users = map { "user$_" } 1 .. 20;
my $site  = Test::Cpanel::LogMeIn->new(
    accounts => { map { $_ => 'secret' } @users },
    settings => {
        'port.cpanel'  => $port,
        'port.whm'     => $base + 3,
        'port.webmail' => $base + 5,
    }
);
my $dir   = $site->dir;
my %files = Front::files( $dir, $base );
plan skip_all => 'the limit of open files is too low' if !Slow::may_open(16_384);

# The number of honest requests that are answered as they should, and the longest time
# of one.
sub served {
    my (%option) = @_;
    my @all =
        honest( port => $port, users => \@users, count => $HONEST, seconds => $SECONDS, %option );
    my %status = ( login => 302, page => 200 );
    my @odd    = grep { $_->{status} != $status{ $_->{what} } } @all;
    diag( join ', ', map { "$_->{what}: $_->{status} after $_->{took} s" } splice @odd, 0, 5 )
        if @odd && !$option{patience};
    my $good = grep { $_->{status} == $status{ $_->{what} } && $_->{took} <= $LIMIT } @all;
    return ( $good, max( map { $_->{took} } @all ) );
}

# The kinds of slow clients of which less than half are ended by the server, in some
# more time.
sub never_ended {
    my ( $slow, @groups ) = @_;
    my $until = time + 25;
    my @never;
    while ( time < $until ) {
        my $report = $slow->report;
        @never =
            map { $_->{kind} } grep { $report->{ $_->{kind} }{closed} < $_->{count} / 2 } @groups;
        last if !@never;
        sleep 1;
    }
    return @never;
}

# Honest clients beside slow ones, which are groups of Slow.
sub holds {
    my ( $name, @groups ) = @_;
    my $count = 0;
    $count += $_->{count} for @groups;
    my $slow  = Slow->new( map { { port => $port, %{$_} } } @groups );
    my $ready = $slow->ready($SECONDS);
    is( $ready, $count, "$name: $count slow clients are connected" );
    my ( $good, $longest );
    for ( 1 .. $ROUNDS ) {
        ( $good, $longest ) = served();
        last if $good == 2 * $HONEST;
    }
    is(
        $good,
        2 * $HONEST,
        sprintf '... and all of %d honest requests are answered in %d s: the longest in %.2f s',
        2 * $HONEST,
        $LIMIT, $longest
    );
    my $report = $slow->report;
    my $open   = 0;
    $open += $_->{open} for values %{$report};
    cmp_ok( $open, '>', 0.8 * $count, "control: $open of them are still connected" );
    is( join( q{ }, never_ended( $slow, @groups ) ),
        q{}, '... and slow ones of each kind are ended' );
    my $all = 2 * $HONEST;
    note("41: $count slow clients at $name, $good of $all honest requests within $LIMIT s");
    return;
}

# Control: with fewer connections than slow clients the honest ones are not served.
sub fails {
    my ( $name, @groups ) = @_;
    my $slow = Slow->new( map { { port => $port, %{$_} } } @groups );
    $slow->ready(3);
    my ($good) = served( count => 10, seconds => 1, patience => 4 );
    cmp_ok( $good, '<', 20, "control: $name: $good of 20 are answered" );
    return;
}

sub gateway {
    my (@app) = @_;
    my @group = $< == 0 ? ( '--front-group', 'www-data' ) : ();
    return Serve->new( '--front', $files{front}, '--base', $base, '--no-socket', @group, @app );
}

SKIP: {
    skip 'nginx is not installed', 1 if !has_program('nginx');
    my @groups = (
        { kind => 'silent', count => 1000 },
        { kind => 'hello',  count => 1000 },
        { kind => 'body',   count => 345 },
    );
    my $gateway = gateway();
    $site->write_file( "$dir/panel.psgi",
        "sub { [ 200, [ 'Content-Type' => 'text/plain' ], ['Hello'] ] }\n" );
    my $panel = Serve::panel( $files{panel}, "$dir/panel.psgi" );
    my $nginx = Front::nginx(%files);
    holds( 'nginx', @groups );
    $nginx->stop;
    $nginx = Front::nginx(
        %files,
        name => 'small-nginx',
        edit => sub { return $_[0] =~ s/worker_connections \K\d+/256/r }
    );
    fails( 'nginx with 256 connections for each process', @groups );
}

SKIP: {
    skip 'Apache is not installed', 1 if !has_program('apache2');
    my $threads;
    my $gateway = gateway( '--app', 'examples/panel.psgi' );
    my $apache  = Front::apache( %files,
        edit => sub { ($threads) = $_[0] =~ /MaxRequestWorkers (\d+)/; return $_[0] } );
    my %drips = ( kind => 'body', length => 60_000, first => 20_000, every => 5 );
    note("Apache has $threads threads");
    my @groups = (
        { %drips, count => $threads - 64 },
        { kind => 'hello', count => 16 },
        { kind => 'head',  count => 16 },
    );
    holds( 'Apache', @groups );
    $apache->stop;
    $apache = Front::apache(
        %files,
        name => 'small-apache',
        edit => sub { return $_[0] =~ s/(?:MaxRequestWorkers|MaxSpareThreads) +\K\d+/256/gr }
    );
    fails( 'Apache with 256 threads', @groups );
}
done_testing();
