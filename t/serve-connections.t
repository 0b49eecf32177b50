#!/usr/bin/perl

# `logmein serve`: what happens on a connection. Bodies, slow and greedy clients, long
# answers, and clear text at a port for TLS.

use strict;
use warnings;
use lib 't/lib';
use IO::Select ();
use Serve      qw(free_base raw request);
use Test::More;
use Test::Cpanel::LogMeIn;
use Time::HiRes qw(sleep time);

my $base = free_base(6);
my %port = ( cpanel => $base + 1, whm => $base + 3, webmail => $base + 5 );
my $site = Test::Cpanel::LogMeIn->new(
    settings => { log => 'none', map { ( "port.$_" => $port{$_} ) } keys %port } );
my $dir = $site->dir;
$site->write_file( "$dir/app.psgi", <<'APP');
use Plack::Builder;
my %page = (
    '/upload' => sub {
        my ($env) = @_;
        my ( $size, $sum ) = ( 0, 0 );
        while ( $env->{'psgi.input'}->read( my $part, 65_536 ) ) {
            $size += length $part;
            $sum = ( $sum + unpack '%32C*', $part ) % 65_536;
        }
        return [ 200, [ 'Content-Type' => 'text/plain' ], ["$size $sum"] ];
    },
    '/long'   => sub { [ 200, [ 'Content-Length' => 8_000_000 ], [ ('x' x 1000) x 8000 ] ] },
    '/stream' => sub {
        return sub {
            my $writer = $_[0]->( [ 200, [ 'Content-Type' => 'text/plain' ] ] );
            $writer->write( 'y' x 1000 ) for 1 .. 8000;
            $writer->close;
        };
    },
    '/dies'   => sub { die "dead\n" },
    '/split'  => sub { [ 200, [ 'X-A' => "b\r\nSet-Cookie: evil=1" ], ['split'] ] },
    '/none'   => sub { [ 204, [], [] ] },
);
builder {
    enable 'LogMeIn';
    sub { ( $page{ $_[0]{PATH_INFO} } // sub { [ 200, [], ["page $_[0]{PATH_INFO}"] ] } )->( $_[0] ) };
};
APP
my $server = Serve->new( '--app', "$dir/app.psgi", '--base', $base, '--no-socket', '--workers', 2 );
my $port   = $port{cpanel};
my $login  = request( $port, 1, '/login/', 'user=alice&pass=secret' );
is( $login->{status}, 302, 'a login' ) or diag( $login->{all} );
my ($token)  = $login->{header}{location}     =~ m{\A(/cpsess[0-9]{10})};
my ($cookie) = $login->{header}{'set-cookie'} =~ /\A([^;]*)/;
my $mine     = "Host: localhost\r\nCookie: $cookie\r\n";
my $form     = "Host: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n";

# Sends bytes and waits for an answer for some seconds; returns it, and whether the
# server has closed the connection by then.
sub ask {
    my ( $bytes, $seconds ) = @_;
    my $socket = Serve::connection( $port, 1 );
    print {$socket} $bytes;
    return hear( $socket, $seconds );
}

sub hear {
    my ( $socket, $seconds ) = @_;
    my ( $answer, $until )   = ( q{}, time + $seconds );
    my $select = IO::Select->new($socket);
    $socket->blocking(0);
    while ( time < $until ) {
        $select->can_read(0.05) if !$socket->can('pending') || !$socket->pending;
        my $got = sysread $socket, $answer, 65_536, length $answer;
        return ( $answer, 1 ) if defined $got ? !$got : !$!{EAGAIN};
    }
    return ( $answer, 0 );
}

# The head is judged before the body.
for my $case (
    [
        'a body without a session',
        "POST /x HTTP/1.1\r\n${form}Content-Length: 60000000\r\n\r\nx", 401
    ],
    [
        'a login form of 64 KiB',
        "POST /login/ HTTP/1.1\r\n${form}Content-Length: 65537\r\n\r\nx", 413
    ],
    [
        'a login in another coding',
        "POST /login/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/x\r\nContent-Length: 9\r\n\r\nx",
        415
    ],
    )
{
    my ( $name, $bytes, $status ) = @{$case};
    my ( $answer, $closed ) = ask( $bytes, 3 );
    like( $answer, qr{\AHTTP/1[.]1 $status },  "$name: $status at its head" );
    like( $answer, qr/^Connection: close\r$/m, '... is not kept' );
    ok( $closed, '... and closed' );
}
my ($continued) =
    ask( "POST /x HTTP/1.1\r\n${form}Expect: 100-continue\r\nContent-Length: 100000\r\n\r\n", 2 );
unlike( $continued, qr/100 Continue/, 'whose body is not wanted is not asked for it' );

# Uploads with a session
my $body = join q{}, map { chr( $_ % 251 ) } 1 .. 300_000;
my $sum  = ( unpack '%32C*', $body ) % 65_536;
my $head = "POST $token/upload HTTP/1.1\r\n${mine}Connection: close\r\nContent-Length: 300000\r\n";
like(
    raw( $port, 1, "$head\r\n$body" ),
    qr/\r\n\r\n(?:\S+\r\n)?300000 $sum\b/,
    'an upload arrives whole'
);
my $socket = Serve::connection( $port, 1 );
print {$socket} "${head}Expect: 100-continue\r\n\r\n";
sysread $socket, my $line, 100;
is(
    $line,
    "HTTP/1.1 100 Continue\r\n\r\n",
    'a client that asks before its upload is told to go on'
);
print {$socket} $body;
like( ( hear( $socket, 5 ) )[0], qr/300000 $sum\b/, '... and its upload arrives' );

# Late clients; all of them at once
my %late = (
    hello => Serve::connection( $port, 0 ),
    map { ( $_ => Serve::connection( $port, 1 ) ) } qw(head form upload),
);
print { $late{hello} } "\x16\x03\x01";
print { $late{head} } 'GET / HTTP/1.1';
print { $late{form} } "POST /login/ HTTP/1.1\r\n${form}Content-Length: 22\r\n\r\nuser=alice";
print { $late{upload} } "${head}\r\nx";
my $start = time;

# ... while others are served, by two workers.
my $answered = 0;
my @kept     = map { Serve::connection( $port, 1 ) } 1 .. 10;
for my $round ( 1 .. 3 ) {
    for my $connection (@kept) {
        print {$connection} "GET $token/$round HTTP/1.1\r\n$mine\r\n";
        my $answer = q{};
        sysread $connection, $answer, 65_536, length $answer
            or last
            while $answer !~ m{page /$round\r\n0\r\n\r\n\z}s;
        $answered += $answer =~ m{\AHTTP/1[.]1 200 .*^Connection: keep-alive\r$}ms;
    }
}
is( $answered, 30, 'thirty requests on ten kept connections are answered meanwhile' );
my %took;
while ( my @open = grep { !exists $took{$_} } sort keys %late ) {
    last if time - $start > 20;
    for my $name (@open) {
        my ( $answer, $closed ) = hear( $late{$name}, 0.2 );
        $took{$name} = [ time - $start, $answer ] if $closed || length $answer;
    }
}
for my $case ( [ hello => 5 ], [ head => 5 ], [ form => 10 ], [ upload => 10 ] ) {
    my ( $name, $seconds ) = @{$case};
    my ( $took, $answer )  = @{ $took{$name} // [ 99, q{} ] };
    cmp_ok( $took, '<', $seconds + 5,   "a late $name ends" );
    cmp_ok( $took, '>', $seconds - 1.5, '... at its deadline' );
}
note(
    "41: 4 kinds of late clients end at their deadlines, $answered of 30 requests of others are answered meanwhile"
);
like( $took{form}[1], qr{\AHTTP/1[.]1 408 }, 'whose form is late is told so' );

# Pipelines, and long answers
my $three     = join q{}, map { "GET $token/$_ HTTP/1.1\r\n$mine\r\n" } 1 .. 3;
my ($answers) = ask( "\r\n$three", 2 );
is( join( q{ }, $answers =~ m{page /(\d)}g ),
    '1 2 3', 'three requests at once, after an empty line' );
for my $name (qw(long stream)) {
    my $answer = raw( $port, 1, "GET $token/$name HTTP/1.0\r\n$mine\r\n" );
    my ( undef, $text ) = split /\r\n\r\n/, $answer, 2;
    is( length $text, 8_000_000, "$name: all of a long answer" );
}
my @unread = map { Serve::connection( $port, 1 ) } 1 .. 6;
print {$_} "GET $token/long HTTP/1.0\r\n$mine\r\n" for @unread;
sleep 0.5;
$start = time;
is( request( $port, 1, "$token/x", undef, "Cookie: $cookie" )->{body},
    'page /x', 'while six clients do not read' );
cmp_ok( time - $start, '<', 3, '... others get an answer' );
my ($read) = hear( $unread[0], 20 );
cmp_ok( length $read, '>', 8_000_000, '... and they get theirs, when they read' );

# Odd answers
like(
    request( $port, 1, "$token/dies", undef, "Cookie: $cookie" )->{all},
    qr{\AHTTP/1[.]1 500 },
    'an app that dies: 500'
);
my $split = request( $port, 1, "$token/split", undef, "Cookie: $cookie" );
is( $split->{status}, 500, 'an app whose header holds a line end: 500' );
unlike( $split->{all}, qr/evil/, '... and nothing of it' );
my ($both) = ask( "HEAD $token/x HTTP/1.1\r\n$mine\r\nGET $token/none HTTP/1.1\r\n$mine\r\n", 1 );
like(
    $both,
    qr{\AHTTP/1[.]1 200 [^\n]*\n(?:[^\n]+\n)*\r\nHTTP/1[.]1 204 (?s:(?!Transfer).)*\r\n\r\n\z},
    'HEAD and 204 have no body'
);

# Clear text at a port for TLS
like(
    raw( $port, 0, "GET /x?y HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" ),
    qr{\AHTTP/1[.]1 302 .*^Location: https://localhost:$port/x\r$}ms,
    'clear text at a TLS port is sent to https'
);
close $_ for @unread;
is( $server->stop, 0, 'it stops as always' );
done_testing();
