#!/usr/bin/perl

# A hostile server: an error message, within the time limit and bounded memory, and no
# URL of another host.

use strict;
use warnings;
use Test::More;
use Test::Cpanel::LogMeIn;
use Time::HiRes qw(sleep time);
use lib 't/lib';
use Servers qw(ca_file certificate lacks success);

my $lacking = lacks(qw(openssl IO::Socket::SSL remote));
plan skip_all => $lacking if $lacking;
require IO::Socket::SSL;

my $LONG    = q{The server's answer is too long.};
my $SLOW    = 'The server takes too long.';
my $STRANGE = 'The server does not answer as a cPanel server does.';
my $JSON    = '{"status":1,"security_token":"/cpsess0123456789"}';
my $COOKIE  = 'Set-Cookie: cpsession=alice%3ax';

# Sends data until the connection is closed.
sub repeat {
    my ( $connection, $first, $again, $pause ) = @_;
    $again x= 200 if !$pause;    # as fast as Perl can
    my $say = sub { my ($text) = @_; return $text eq q{} || print {$connection} $text };
    $say->($first) or return;
    while ( $say->($again) ) {
        $connection->flush;
        sleep $pause if $pause;
    }
    return;
}

my $OK       = "HTTP/1.1 200 OK\r\n";
my %BEHAVIOR = (
    'headers without end'  => [ $LONG, $OK,                  "X-Header: value\r\n" ],
    'cookies without end'  => [ $LONG, $OK,                  "$COOKIE\r\n" ],
    'folds without end'    => [ $LONG, "${OK}X: 1\r\n",      " more\r\n" ],
    'a header without end' => [ $LONG, "${OK}X: ",           'x' x 1000 ],
    'a cookie without end' => [ $LONG, "$OK$COOKIE",         'x' x 1000 ],
    'a status without end' => [ $LONG, 'HTTP/1.1 200 ',      'x' x 1000 ],
    'interim answers'      => [ $LONG, q{},                  "HTTP/1.1 100 Continue\r\n\r\n" ],
    'a body without end'   => [ $LONG, "$OK$COOKIE\r\n\r\n", q{ } x 1000 ],
    'a body that says so'  => [ $LONG, "${OK}Content-Length: 99999999999\r\n\r\n", 'x' x 1000 ],
    'chunks without end' => [ $LONG, "${OK}Transfer-Encoding: chunked\r\n\r\n", "5\r\n     \r\n" ],
    'trailers without end' =>
        [ $LONG, "${OK}Transfer-Encoding: chunked\r\n$COOKIE\r\n\r\n2\r\n{}\r\n0\r\n", "X: y\r\n" ],
    'a slow status'        => [ $SLOW, 'HTTP/1.1 200 ',      'O',                       0.4 ],
    'slow headers'         => [ $SLOW, $OK,                  'X',                       0.4 ],
    'a slow body'          => [ $SLOW, "$OK$COOKIE\r\n\r\n", q{ },                      0.4 ],
    'slow interim answers' => [ $SLOW, q{},          "HTTP/1.1 102 Processing\r\n\r\n", 0.4 ],
    'silence'              => [ $SLOW, q{},          q{},                               1 ],
    'half a header'        => [ $SLOW, "${OK}X-Hal", q{},                               1 ],
    'half a body'          => [ $SLOW, "${OK}Content-Length: 100\r\n\r\n$JSON", q{},    1 ],
    'noise' => [ qr/\A(?:\Q$STRANGE\E|\Q$LONG\E)\z/, "\0\1\2\3\r\n", "\xff\xfe\r\n" ],
);

# Generated malformed answers, the same in both processes.
my @STATUS = (
    'HTTP/1.1 200 OK',
    'HTTP/1.0 200 OK',
    'HTTP/1.1 200',
    'HTTP/1.1  200 OK',
    'HTTP/1.1 2000 OK',
    'HTTP/1.1 -200 OK',
    'HTTP/1.1 301 x',
    'HTTP/1.1 302 x',
    'HTTP/1.1 307 x',
    'HTTP/1.1 401 x',
    'HTTP/1.1 429 x',
    'HTTP/1.1 500 x',
    'HTTP/2 200',
    'HTTP/3 200 OK',
    'ICY 200 OK',
    'http/1.1 200 ok',
    q{},
    'RTSP/1.0 200 OK',
    "HTTP/1.1 200 \0OK",
    'HTTP/1.1 101 Switching',
);
my @TOKEN = (
    '/cpsess0123456789',       '@evil.example/',
    ':80@evil.example/',       '/cpsess0123456789@evil.example',
    '.evil.example/',          '//evil.example/',
    '\\\\evil.example',        '/\\\\evil.example',
    "/cpsess\x{663}123456789", '/cpsess0123456789\r\nX: y',
    '/cpsess0123456789\u0000', '/cpsess012345678９',
    '#',                       '?',
    '/',                       '/login',
    q{},                       '/../cpsess0123456789',
    '/cpsess0123456789/..',    'https://evil.example/',
    'javascript:alert(1)',     '/cpsess' . '0' x 5000,
    '0123456789',              '1',
);
my @VALUE = (
    'alice%3ax',                         'a b',
    'a,b',                               "a\rb",
    "a\r\n b",                           "a\r\nX-More: y",
    'a%0d%0aLocation:%20//evil.example', 'a%00b',
    q{},                                 'a&goto_uri=//evil.example',
    'a#@evil.example',                   '"a"',
    '<script>',                          'a' x 1024,
    'a' x 1025,                          'a' x 60_000,
    "\xe2\x98\xba",                      'a;b',
    '%',                                 '%zz',
    'a/../../@evil.example',             "a\0b",
    "\t\t",                              'a?b',
);
my @HEADER = (
    q{},
    'Location: https://evil.example/',
    'Refresh: 0;url=//evil.example',
    'Content-Encoding: gzip',
    'Content-Length: -1',
    'Content-Length: 3',
    'Content-Length: 999999',
    "Content-Length: 5\r\nContent-Length: 6",
    'Transfer-Encoding: chunked',
    'Transfer-Encoding: gzip',
    'Connection: upgrade',
    'Upgrade: h2c',
    'Retry-After: -1',
    'Retry-After: 99999999999',
    'Set-Cookie: cpsession',
    'Set-Cookie: =cpsession',
    ': empty',
    'no colon here',
    "X\0Y: z",
    'Alt-Svc: h2="evil.example:443"',
    'Strict-Transport-Security: max-age=1',
    'WWW-Authenticate: Basic realm=x',
    'Proxy-Authenticate: Negotiate',
);
my @BODY = (
    '{"status":1,"security_token":"%s"}',
    '{"status":1,"redirect":"%s"}',
    '{"status":1,"security_token":["%s"]}',
    '{"status":1,"security_token":{"a":"%s"}}',
    '{"status":"1","security_token":"%s"}',
    '[{"status":1}]',
    'null',
    q{},
    '{"status":1e0,"security_token":"%s"}',
    "\xef\xbb\xbf" . '{"status":1,"security_token":"%s"}',
    '{"status":1,"status":0,"security_token":"%s"}',
    '[' x 3000,
    '{"a":' x 3000,
    '{"status":0,"message":"%s"}',
    '{"status":1,"security_token":"%s"}' . "\0",
    '{"status":1,"security_token":"%s"',
    '"' x 1000,
    "\x1f\x8b\x08" . 'x' x 100,
    '{"status":99999999999999999999,"security_token":"%s"}',
    '<html><meta http-equiv=refresh content="0;url=%s">',
    '{"status":1,"security_token":"%s","login_url":"https://evil.example:2083/"}',
    '{"status":-1}',
    "{\"status\":1,\"\\ud800\":1}",
);

sub odd_answer {
    my ($number) = @_;
    srand $number;
    my $pick =
        sub { my ( $list, $usual ) = @_; return rand() < 0.6 ? $usual : $list->[ rand @{$list} ] };
    my $head = join "\r\n", $pick->( \@STATUS, $STATUS[0] ), $pick->( \@HEADER, 'X: y' ),
        'Set-Cookie: cpsession=' . $pick->( \@VALUE, $VALUE[0] ), q{}, q{};
    my $token = $pick->( \@TOKEN, $TOKEN[0] );
    return $head . $pick->( \@BODY, $BODY[0] ) =~ s/%s/$token/r;
}

my $site   = Test::Cpanel::LogMeIn->new( settings => { backend => 'remote', log => 'none' } );
my $server = do {
    my ( $cert, $key ) = certificate('good');
    Servers->new(
        cert   => $cert,
        key    => $key,
        quiet  => 1,
        answer => sub {
            my ( $connection, $request ) = @_;
            my ($what) = $request->{body} =~ /goto_uri=%2f([^&]*)/;
            $what =~ s/%20/ /g;
            $what =~ s/%25/%/g;
            $what =~ s/%20/ /g;
            return success('cpsession') if $what eq q{};
            if ( $what =~ /\A[0-9]+\z/ ) { print {$connection} odd_answer($what); return }
            my ( undef, @say ) = @{ $BEHAVIOR{$what} };
            repeat( $connection, @say );
            return;
        },
    );
};
$site->settings( 'port.cpanel' => $server->port, remote_ca_file => ca_file(), remote_timeout => 1 );
my $origin = 'https://localhost:' . $server->port;

sub kilobytes {
    my ($key) = @_;
    open my $file, '<', '/proc/self/status' or return 0;
    return ( grep { /^\Q$key\E:/ } <$file> )[0] =~ /([0-9]+)/ ? $1 : 0;
}

sub timed_login {
    my ($what)  = @_;
    my $started = time;
    my @answer  = $site->login( goto_uri => $what );
    return ( time - $started, @answer );
}

is( ( timed_login(q{/}) )[2], 'Login OK', 'control: the server can be honest' )
    or diag($Cpanel::LogMeIn::detail);
timed_login('/a body without end') for 1 .. 3;
my $before = kilobytes('VmHWM');
for my $what ( sort keys %BEHAVIOR ) {
    my ( $seconds, @answer ) = timed_login("/$what");
    my $sentence = $BEHAVIOR{$what}[0];
    like( $answer[1], ref $sentence ? $sentence : qr/\A\Q$sentence\E\z/, $what )
        or diag($Cpanel::LogMeIn::detail);
    cmp_ok( $seconds, '<', 3, sprintf '... in %.1f s, for a limit of 1', $seconds );
}
my $grown = kilobytes('VmHWM') - $before;
SKIP: {
    skip 'a sanitizer keeps what is freed', 1 if ( $ENV{LD_PRELOAD} // q{} ) =~ /asan/;
    cmp_ok( $grown, '<', 1024, "the process has grown by $grown KiB" );
}

# No data before the TLS handshake.
my $mute = Servers->new( answer => sub { sleep 20; return } );
SKIP: {
    $site->settings( 'port.cpanel' => $mute->port );
    kill 'STOP', $mute->{pid};
    my ( $seconds, @answer ) = timed_login(q{/});
    kill 'CONT', $mute->{pid};
    is( $answer[1], $SLOW, 'a port that accepts, and no more' );
    cmp_ok( $seconds, '<', 3, '... in time' );
    $site->settings( 'port.cpanel' => $server->port );
}

# The default limit.
$site->settings( remote_timeout => undef );
my ( $seconds, @answer ) = timed_login('/a slow body');
is( $answer[1], $SLOW, 'a slow body, with the limit that nobody set' );
cmp_ok( $seconds, '>', 9, '... is waited for' );
cmp_ok( $seconds, '<', 10.5, sprintf '... for %.2f s', $seconds );

# 500 malformed answers.
$site->settings( remote_timeout => 2 );
my $OURS   = qr/\A(?:Login OK|The login is invalid[.]|A two-factor code is needed[.])\z/;
my $THEIRS = qr/\AThe server[ '][\w' ]+[.]\z/;
my $WAIT   = qr/\AToo many failed logins[.] Please try again (?:in \d+ seconds|later)[.]\z/;
my $VALUE  = qr/[\w%.~:@!*=+\/-]+/;
my ( %said, @astray );
for my $number ( 1 .. 500 ) {
    my ( $took, $ok, $message, $url, $token ) = timed_login("/$number");
    $said{ $message // 'undef' }++;
    my $good =
          $ok
        ? $url =~
        m{\A\Q$origin\E((?:/cpsess[0-9]{10})?)/login/[?]session=$VALUE&goto_uri=%2f$number\z}
        && $1 eq $token
        : !defined $url
        && !defined $token;
    push @astray, "$number: " . join q{ }, map { $_ // 'undef' } $took, $ok, $message, $url
        if !$good || $took > 4 || $message !~ /$OURS|$THEIRS|$WAIT/;
}
is_deeply( \@astray, [], '500 odd answers: our sentences, or a URL of the host that was asked' );
note( join "\n", map { "$said{$_}: $_" } sort keys %said );
cmp_ok( $said{'Login OK'} // 0, '>', 0, 'control: some of them are good' );
cmp_ok( scalar keys %said,      '>', 4, 'control: and the others differ' );
done_testing();
