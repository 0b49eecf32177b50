#!/usr/bin/perl

# `logmein serve` without a web server in front: ten slow or greedy clients of each kind,
# for a minute, while honest clients log in and ask for pages. Nothing else may run
# meanwhile.

use strict;
use warnings;
use blib;
use lib        qw(t/lib xt/lib);
use List::Util qw(max);
use Load       qw(honest);
use Serve      qw(free_base);
use Slow       ();
use Test::More;
use Test::Cpanel::LogMeIn;

my $SECONDS = $ENV{LOGMEIN_SECONDS} || 60;
my $COUNT   = 100;
my $LIMIT   = 2;                             # seconds
my $ROUNDS  = 3;                             # slow clients hold all of them, noise does not

my $base  = free_base(6);
my %port  = ( cpanel => $base + 1, whm => $base + 3, webmail => $base + 5 );
my @users = map { "user$_" } 1 .. 10;
my $site  = Test::Cpanel::LogMeIn->new(
    accounts => { map { $_ => 'secret' } @users },
    settings => { log => 'none', map { ( "port.$_" => $port{$_} ) } keys %port },
);
my $server = Serve->new( '--base', $base, '--app', 'examples/panel.psgi', '--no-socket' );
my %at     = ( count => 10, port => $port{cpanel} );
my @groups = (
    { %at, kind => 'silent' },
    { %at, kind => 'silent', port => $base },
    { %at, kind => 'hello' },
    { %at, kind => 'head' },
    { %at, kind => 'body' },
    { %at, kind => 'body', length => 20_000,    first  => 19_000,     every => 5 },
    { %at, kind => 'body', target => '/upload', length => 60_000_000, every => 5 },
    { %at, kind => 'unread' },
    { %at, kind => 'kept', every => 0.5 },
);
my $slow = Slow->new(@groups);
is( $slow->ready(20), 10 * @groups, 'ten slow clients of each kind are connected' );

my $all = 2 * $COUNT;
my ( $good, $longest );
for ( 1 .. $ROUNDS ) {
    my @visits =
        honest( port => $port{cpanel}, users => \@users, count => $COUNT, seconds => $SECONDS );
    $longest = max map { $_->{took} } @visits;
    my %status = ( login => 302, page => 200 );
    $good = grep { $_->{status} == $status{ $_->{what} } && $_->{took} <= $LIMIT } @visits;
    last if $good == $all;
    diag( map { "$_->{what} $_->{status} $_->{took}\n" } @visits );
}
is( $good, $all, sprintf "all honest logins and pages come within $LIMIT s: %.2f s", $longest );
note(     "41: 10 slow clients of each of @{[ scalar @groups ]} kinds at logmein serve,"
        . " $good of $all honest requests within $LIMIT s" );

my $report = $slow->report;
for my $kind (qw(body head hello silent)) {
    cmp_ok( $report->{$kind}{closed}, '>', 10, "control: slow $kind connections were closed" );
}
cmp_ok( $report->{kept}{answers}{200} // 0, '>', 2 * $SECONDS, 'control: kept ones were served' );
is( $report->{body}{answers}{302}, undef, 'nobody has logged in by half a form' );
undef $slow;
is( $server->stop, 0, 'it stops as always' );
done_testing();
