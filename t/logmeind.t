#!/usr/bin/perl

# logmeind: its answers are those of the gateway; what ends a session is seen at once;
# faults refuse; reloads, stops and restarts.

use strict;
use warnings;
use lib 't/lib';
use Checker     qw(fields_of);
use Gateway     qw(ask gateway header_of);
use Socket      qw(AF_UNIX SOCK_STREAM);
use Time::HiRes qw(sleep time);
use Test::More;
use Test::Cpanel::LogMeIn;

my $site =
    Test::Cpanel::LogMeIn->new( accounts => { map { $_ => 'secret' } qw(alice bob root) } );
my ( $dir, $root ) = ( $site->dir, $site->root );
my $socket = "$dir/check.sock";
my $app    = gateway();

sub session {
    my (@which) = @_;
    my $url     = ( $site->login(@which) )[2];
    my $session = $site->redeem($url);
    return @{$session}{qw(cookie token)};
}

# The program
for my $case (
    [ '--help'                             => 0, qr/^Usage: logmeind / ],
    [ '--version'                          => 0, qr/\Alogmeind [0-9.]+\n\z/ ],
    [ '--nonsense'                         => 2, qr/Usage/ ],
    [ 'x'                                  => 2, qr/Unexpected argument 'x'/ ],
    [ '--threads 0'                        => 2, qr/--threads must be/ ],
    [ '--threads 65'                       => 2, qr/--threads must be/ ],
    [ '--threads 1x'                       => 2, qr/--threads must be/ ],
    [ "--socket $dir"                      => 3, qr/\Q$dir\E: / ],
    [ '--socket /nowhere/s'                => 3, qr{/nowhere/s: No such file or directory} ],
    [ '--socket ' . 'x' x 200              => 3, qr/File name too long/ ],
    [ "--socket $socket --group none-such" => 3, qr/There is no group 'none-such'/ ],
    )
{
    my ( $options, $status, $text ) = @{$case};
    my $out = `$Checker::PROGRAM $options 2>&1 </dev/null`;
    is( $? >> 8, $status, "logmeind $options: $status" );
    like( $out, $text, '... and says so' );
}

my $daemon = Checker->new( $socket, '--threads', 2 ) or BAIL_OUT('logmeind does not start');
is( ( stat $socket )[2] & oct(7777), oct 600, 'the socket is the user\'s own' );
is( Checker->new($socket),           undef,   'a second one does not take the socket' );
my ( $cookie, $token ) = session();

# The same answers as the gateway's, which takes a request by a Unix socket for a front
# server's
socketpair my $front, my $behind, AF_UNIX, SOCK_STREAM, 0 or die $!;
my @HEADERS = qw(X-LogMeIn-User X-LogMeIn-Service X-LogMeIn-Login Retry-After Cache-Control);

sub summary {
    my ($answer) = @_;
    my $value =
        ref $answer->{headers}
        ? sub { header_of( $answer, $_[0] ) }
        : sub { $answer->{header}{ lc $_[0] } };
    return join q{ | }, $answer->{status}, map { $value->($_) // q{-} } @HEADERS;
}

sub both {
    my ( $target, $with, %more ) = @_;
    my %field      = map { split /: /, $_, 2 } @{ fields_of( $target, $with, %more ) };
    my $by_gateway = ask(
        $app, '/logmein/check',
        REMOTE_ADDR => undef,
        SERVER_PORT => q{},
        'psgix.io'  => $front,
        ( map { ( 'HTTP_' . uc(tr/-/_/r) => $field{$_} ) } keys %field ),
    );
    return ( summary( $daemon->check( $target, $with, %more ) ), summary($by_gateway) );
}

my $granted = 0;
for my $case (
    [ 'allowed',                 "$token/x" ],
    [ 'with a query',            "$token/x?y=%2f" ],
    [ 'the token alone',         $token ],
    [ 'no token',                '/x' ],
    [ 'a query without a token', '/x?goto_uri=/a&b=%26' ],
    [ 'not clean',               "$token/../x" ],
    [ 'an encoded slash',        "$token/a%2fb" ],
    [ 'two slashes',             "/$token/x" ],
    [ 'no target',               undef ],
    [ 'an empty one',            q{} ],
    [ 'a ticket',                "$token/x?session=lmt_" . 'A' x 43 ],
    [ 'two tickets',             "$token/x?session=lmt_" . 'A' x 43 . '&session=lmt_' . 'B' x 43 ],
    [ 'a ticket with goto_uri',  "$token/?session=lmt_" . 'A' x 43 . '&goto_uri=%2fa%20b' ],
    [ 'favicon.ico',             '/favicon.ico' ],
    [ 'a program',               "$token/json-api/x" ],
    [ 'a program without a session',  '/execute/x',        undef ],
    [ 'xml',                          '/xml-api/x',        undef ],
    [ 'a program at another service', "$token/json-api/x", $cookie, 'X-Forwarded-Port' => 2087 ],
    [ 'another service',              "$token/x",          $cookie, 'X-Forwarded-Port' => 2087 ],
    [ 'no service',                   "$token/x",          $cookie, 'X-Forwarded-Port' => 80 ],
    [ 'no port',                      "$token/x",          $cookie, 'X-Forwarded-Port' => undef ],
    [ 'a port that is none',          "$token/x",          $cookie, 'X-Forwarded-Port' => '2083x' ],
    [ 'clear text', "$token/x", $cookie, 'X-Forwarded-Proto' => 'http' ],
    [ 'no scheme',  "$token/x", $cookie, 'X-Forwarded-Proto' => undef ],
    [ 'no address', "$token/x", $cookie, 'X-Forwarded-For'   => undef ],
    [ 'a chain',    "$token/x", $cookie, 'X-Forwarded-For'   => '198.51.100.1, 192.0.2.7:99' ],
    [ 'no cookie',                "$token/x", undef ],
    [ 'another cookie',           "$token/x", 'alice%3a' . 'A' x 43 ],
    [ 'a cookie of another user', "$token/x", $cookie =~ s/\Aalice/bob/r ],
    [ 'a bad host',               "$token/x", $cookie, Host             => 'a b' ],
    [ 'another site',             "$token/x", $cookie, 'Sec-Fetch-Site' => 'cross-site' ],
    [ 'another origin',           "$token/x", $cookie, Origin           => 'https://evil.example' ],
    [ 'JSON',                     '/x',       undef,   Accept           => 'application/json' ],
    )
{
    my ( $name, $target, @more ) = @{$case};
    @more = ($cookie) if !@more;
    my ( $ours, $gateways ) = both( $target, @more );
    is( $ours, $gateways, "$name: " . substr $ours, 0, 60 );
    $granted += $ours =~ /\A204 /;
}
cmp_ok( $granted, '>', 4, "control: $granted of them are allowed" );

# What is no check
sub status_of { my ( $path, @fields ) = @_; return $daemon->ask( $path, \@fields )->{status} }
is( $daemon->ask( '/logmein/live',   [] )->{body}, "ok\n", 'it is alive' );
is( $daemon->ask( '/logmein/health', [] )->{body}, "ok\n", 'and well' );
like(
    $daemon->ask( '/logmein/metrics', [] )->{body},
    qr/^logmein_checks_total\{outcome="granted"\} [1-9]/m,
    'its numbers'
);
is( status_of('/x'), 404, 'another path' );
is( status_of( '/logmein/check', 'Content-Length: 5' ),          413, 'a body' );
is( status_of( '/logmein/check', 'Transfer-Encoding: chunked' ), 413, 'a chunked body' );
is(
    status_of( '/logmein/check', @{ fields_of( "$token/x", $cookie ) }, "X-Original-URI: $token/" ),
    400,
    'a field twice'
);
is( status_of( '/logmein/check', @{ fields_of( "$token/x", $cookie ) }, "cookie: cpsession=x" ),
    400, '... in another case' );
my $long = $daemon->check( "$token/" . 'x' x 16_000, $cookie );
is( $long->{status}, 204, 'a target of 16,000 bytes' );
is( $daemon->check( "$token/" . 'x' x 200_000, $cookie )->{status}, 431, 'one of 200,000' );
my $kept = $daemon->connection;
is( join( q{ }, map { $daemon->check( "$token/$_", $cookie )->{status} } 1 .. 3 ),
    '204 204 204', 'three checks on a kept connection' );

# What ends a session is seen by the next check
sub status { my (@request) = @_; return $daemon->check(@request)->{status} }
my $gateway = Cpanel::LogMeIn::Session->new;
is( status( "$token/x", $cookie ), 204, 'a live session' );
$gateway->end( cookie => $cookie, token => $token, service => 'cpanel' );
is( status( "$token/x", $cookie ), 401, '... not after logout at the gateway' );
( $cookie, $token ) = session();
my @wrong = map { sprintf '/cpsess%010d', $_ } 1 .. 5;
is(
    join( q{ }, map { status( "$_/favicon.ico", $cookie ) } @wrong ),
    '401 401 401 401 401',
    'five wrong tokens'
);
is( status( "$token/x", $cookie ), 401, '... end the session' );
sleep 0.5;
is( scalar( () = $site->log_text =~ /PURGE alice:\w+ token/g ), 1, '... which is logged once' );
( $cookie, $token ) = session();
status( "$wrong[0]/x", $cookie, 'Sec-Fetch-Site' => 'cross-site' ) for 1 .. 5;
status( "$_/x",        $cookie, 'Sec-Fetch-Site' => 'cross-site' ) for @wrong;
is( status( "$token/x", $cookie ), 204, 'those of other sites end nothing' );
is( status( "$token/x", $cookie, 'Sec-Fetch-Site' => 'cross-site' ), 401, '... but are refused' );

# An account that may not log in any more: 60 seconds after the last reading
sub at {
    my ($epoch) = @_;
    $site->clock($epoch);
    return like( $daemon->reload, qr/^logmeind: reloaded$/m, 'a reload' );
}
my $now = int time;
at($now);
( $cookie, $token ) = session();
is( status( "$token/x", $cookie ), 204, 'a live session' );
$site->write_file( $site->path('var/cpanel/suspended/alice'), q{} );
at( $now + 59 );
is( status( "$token/x", $cookie ), 204, 'a suspended account is allowed for less than a minute' );
at( $now + 61 );
is( status( "$token/x", $cookie ), 401, '... and then no more' );
unlink $site->path('var/cpanel/suspended/alice') or die $!;
is( status( "$token/x", $cookie ), 401, '... for good' );
( $cookie, $token ) = session();

for my $minute ( 1 .. 20 ) {
    $site->clock( $now + 61 + 60 * $minute );
    $daemon->reload;
    $daemon->check( "$token/x", $cookie );
}
is( status( "$token/x", $cookie ), 204, 'a session that is used for twenty minutes lives' );
sleep 0.5;
$gateway = Cpanel::LogMeIn::Session->new;
is( ( $gateway->check( cookie => $cookie, token => $token, service => 'cpanel' ) )[1],
    'granted', '... for the gateway, too' );

# Faults refuse
$site->fault('store-away');
like( $daemon->reload, qr/^logmeind: Not reloaded: /m, 'a reload without a store: not' );
is( status( "$token/x", $cookie ), 204, '... and the old one goes on' );
$site->fault('none');
$site->write_file( $site->conf, "nonsense\n" );
like( $daemon->reload, qr/Not reloaded: .*line 1/, 'a reload with invalid settings: not' );
is( status( "$token/x", $cookie ), 204, '... and the old ones stay' );
$site->write_settings;
rename "$dir/store", "$dir/away" or die $!;
$site->write_file( "$dir/store", q{} );
sleep 1.1;
my $answer = $daemon->check( "$token/x", $cookie );
is( $answer->{status},                             503,             'without a store: a fault' );
is( $answer->{header}{'retry-after'},              5,               '... to be tried again' );
is( $daemon->ask( '/logmein/health', [] )->{body}, "fault store\n", '... which health names' );
unlink "$dir/store";
rename "$dir/away", "$dir/store" or die $!;
sleep 1.1;
is( status( "$token/x", $cookie ), 204, 'it is back' );

# Restarts
my $last = $daemon->connection;
is( $daemon->ask( '/logmein/health', [], $last )->{status}, 200, 'a kept connection' );
$daemon->signal('TERM');
sleep 0.03;
my $dying = $daemon->ask( '/logmein/health', [], $last );
is( $dying->{status},                      503,     'while it ends, it is not well' );
is( $dying->{header}{connection},          'close', '... and closes what is open' );
is( $daemon->stop('TERM'),                 0,       'TERM ends it with success' );
is( $daemon->check( "$token/x", $cookie ), undef,   '... and nobody answers' );
$daemon = Checker->new($socket) or BAIL_OUT('no restart');
is( status( "$token/x", $cookie ), 204, 'it takes the socket that was left behind' );
$daemon->stop('KILL');
$daemon = Checker->new( $socket, '--group', scalar getgrgid $) );
is( status( "$token/x", $cookie ),   204,     '... also after a kill' );
is( ( stat $socket )[2] & oct(7777), oct 660, 'with --group the group may connect' );

# Many idle connections
my @idle = map { $daemon->connection // () } 1 .. 500;
is( scalar @idle,                  500, '500 connections' );
is( status( "$token/x", $cookie ), 204, '... do not keep it from others' );
syswrite $_, "GET /logmein/check HTTP/1.1\r\nHost: x\r\nCookie: " for @idle;
is( status( "$token/x", $cookie ), 204, '... nor unfinished requests' );
done_testing;
