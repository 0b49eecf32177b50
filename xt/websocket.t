#!/usr/bin/perl

# WebSockets through nginx to the app behind it: for those who are logged in, and
# nothing but WebSockets.

use strict;
use warnings;
use blib;
use lib    qw(t/lib xt/lib);
use Author qw(has_program run);
use Front  ();
use Load   qw(log_in);
use Serve  qw(free_base raw);
use Test::More;
use Test::Cpanel::LogMeIn;

my $PYTHON = '/usr/bin/python3';    # whose modules are Debian packages
plan skip_all => 'nginx is not installed' if !has_program('nginx');
my ($no_websockets) = run( '.', "$PYTHON -c 'import websockets'" );
plan skip_all => 'python3-websockets is not installed' if $no_websockets;

my $base = free_base(6);
my $port = $base + 1;
my $site = Test::Cpanel::LogMeIn->new(
    settings => { 'port.cpanel' => $port, 'port.whm' => $base + 3, 'port.webmail' => $base + 5 } );
my $dir   = $site->dir;
my %files = Front::files( $dir, $base );

# The app: it returns what it gets, and who is there.
$site->write_file( "$dir/echo.py", <<'PYTHON' );
import asyncio, sys, websockets

async def echo(socket):
    user = socket.request_headers.get("X-LogMeIn-User")
    prefix = socket.request_headers.get("X-Forwarded-Prefix")
    async for message in socket:
        await socket.send(f"{user}|{prefix}|{socket.path}|{message}")

async def main():
    async with websockets.unix_serve(echo, sys.argv[1]):
        await asyncio.Future()

asyncio.run(main())
PYTHON

# A client: it sends messages, and prints the answers, or why there are none.
$site->write_file( "$dir/client.py", <<'PYTHON' );
import asyncio, ssl, sys, websockets

async def main(url, cookie, *messages):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with websockets.connect(url, ssl=context, extra_headers={"Cookie": cookie}) as socket:
            for message in messages:
                await socket.send(message)
                print((await socket.recv())[:80])
    except websockets.InvalidStatusCode as error:
        print("status", error.status_code)

asyncio.run(main(*sys.argv[1:]))
PYTHON

my $gateway = Serve->new( '--front', $files{front}, '--base', $base, '--no-socket' );
my $echo =
    Front::start( 'echo', "$dir/echo.log", $files{panel}, $PYTHON, "$dir/echo.py", $files{panel} );
my $nginx = Front::nginx(%files);
my ( $token, $cookie ) = log_in( $port, 1 ) or BAIL_OUT('no login');

sub talk {
    my ( $path, $with, @messages ) = @_;
    return ( run( '.', "$PYTHON $dir/client.py wss://localhost:$port$path '$with' @messages" ) )[1];
}
is(
    talk( "$token/a%2Bb?c=d", $cookie, qw(one two) ),
    join( q{}, map { "alice|$token|/a%2Bb?c=d|$_\n" } qw(one two) ),
    'messages reach the app, and its answers the client'
);
is(
    talk( "$token/", $cookie, 'x' x 100_000 ),
    substr( "alice|$token|/|" . 'x' x 80, 0, 80 ) . "\n",
    '... long ones, too'
);
is( talk( "$token/", 'cpsession=alice%3a' . 'A' x 43, 'one' ),
    "status 401\n", '... not without a session' );
is( talk( '/', $cookie, 'one' ), "status 401\n", '... nor without its token' );

# No other protocol: the first line of the answer to such a request.
sub upgrade {
    my ($protocol) = @_;
    my $socket = Serve::connection( $port, 1 );
    print {$socket} join "\r\n", "GET $token/ HTTP/1.1", "Host: localhost:$port",
        "Cookie: $cookie", "Upgrade: $protocol", 'Connection: Upgrade',
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version: 13', q{}, q{};
    $socket->flush;
    return scalar readline $socket;
}
like( upgrade('WebSocket'), qr{ 101 }, 'control: a connection is handed over' );
like( upgrade($_), qr{ 426 }, "... not for $_" ) for 'h2c', 'websocket, h2c', 'x';
done_testing();
