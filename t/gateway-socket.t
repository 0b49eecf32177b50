#!/usr/bin/perl

# The gateway's socket, with a real server: logins of local programs, and whose
# remote_addr is trusted. A front server with a separate Unix socket.

use strict;
use warnings;
use lib 't/lib';
use IO::Socket::UNIX ();
use POSIX            ();
use Test::More;
use Serve ();
use Test::Cpanel::LogMeIn;

my $site = Test::Cpanel::LogMeIn->new(
    accounts => {
        alice     => { password => 'secret', reseller  => 1 },
        suspended => { password => 'x',      suspended => 1 }
    },
    clock => time,
    waits => 1,
);
my $dir = $site->dir;
chmod oct 755, $dir or die $!;
$site->settings( gateway_socket => "$dir/gateway.sock" );

my $server = Serve->new( '--front', "$dir/front.sock" );
like( $server->{said}, qr/^unix:\Q$dir\E\/gateway[.]sock$/m, 'the gateway is there' );

# Sends one request; as another user if a uid is given.
sub say_to {
    my ( $socket, $request, $uid ) = @_;
    return Test::Cpanel::LogMeIn::in_child(
        sub {
            POSIX::setuid($uid) if $uid;
            my $io = IO::Socket::UNIX->new("$dir/$socket.sock") or return "connect: $!";
            $io->syswrite($request);
            local $/ = undef;
            return scalar readline $io;
        }
    );
}

sub log_in {
    my ( $form, $uid, $host ) = @_;
    $host //= 'panel.example:2083';
    my $request = join "\r\n", 'POST /login/?login_only=1 HTTP/1.1', "Host: $host",
        'Content-Type: application/x-www-form-urlencoded', 'Content-Length: ' . length $form,
        'Connection: close', q{}, $form;
    my $answer = say_to( 'gateway', $request, $uid );
    my ( $head, $body ) = split /\r\n\r\n/, $answer, 2;
    my ($status) = $head =~ m{\AHTTP/1[.]1 ([0-9]{3})};
    return ( $status, $body // q{}, $head );
}

my $GOOD = 'user=alice&pass=secret&goto_uri=%2fx&active_token_for_reuse=0';
for my $case ( [ 2083, 'cpanel' ], [ 2087, 'whm' ], [ 2096, 'webmail' ] ) {
    my ( $port,   $service ) = @{$case};
    my ( $status, $body )    = log_in( $GOOD, undef, "panel.example:$port" );
    is( $status, 200, "a login at the socket, for port $port" );
    my ($url) = $body =~ /"login_url":"([^"]+)"/;
    like(
        $url,
        qr{\Ahttps://panel[.]example:$port/cpsess\d{10}/x\?session=lmt_[\w-]{43}\z},
        '... has a login URL of that host'
    );
    like(
        $body,
        qr/\A\{"status":1,"redirect":"\/cpsess\d{10}\/x","security_token":"\/cpsess\d{10}"/,
        '... behind what every client reads'
    );
    is( url_redeems_ok( $url, '... that opens' )->{service}, $service, "... $service" );
}

# Refusals contain the messages of get_loggedin_url
my ( $status, $body, $head ) = log_in('user=alice&pass=wrong');
is( $status, 401, 'a wrong password' );
is(
    $body,
    '{"status":0,"message":"The login is invalid.","reason":"invalid"}',
    '... is told in a sentence'
);
( $status, $body ) = log_in('user=suspended&pass=x');
is(
    $body,
    '{"status":0,"message":"The login is invalid.","reason":"invalid"}',
    '... a suspended account likewise'
);
( $status, $body ) = log_in('pass=x');
is( $status, 400, 'no user' );
like( $body, qr/"message":"The parameter 'user' is missing/, '... is told' );
unlike( $head, qr/Set-Cookie/i, 'no cookie for a program' );

for my $host ( 'panel.example', 'panel.example:443', 'panel.example:2082', 'a b:2083', q{} ) {
    is( ( log_in( $GOOD, undef, $host ) )[0], 400, "Host '$host' names no service" );
}
is( ( log_in( $GOOD, undef, '-x.example:2083' ) )[0], 400, '... nor is that a host' );
for my $line (
    'GET /login/',
    'POST /',
    'GET /',
    'POST /logmein/check',
    'GET /logmein/health',
    'GET /cpsess0123456789/'
    )
{
    like(
        say_to( 'gateway', "$line HTTP/1.0\r\nHost: panel.example:2083\r\n\r\n" ),
        qr{\AHTTP/1[.][01] 400},
        "$line: nothing but logins"
    );
}
$site->forget;

# Whose remote_addr is trusted
my $nobody = getpwnam 'nobody';
SKIP: {
    skip 'only root can be another user' if $< != 0;
    my %with = ( owner => 0, caller => scalar getpwnam('www-data'), other => $nobody );
    $site->account( "u$_" => 'x' ) for keys %with;
    log_in( "user=u$_&pass=wrong&remote_addr=203.0.113.7", $with{$_} ) for sort keys %with;
    my $log = $site->log_text;
    like( $log, qr/203[.]0[.]113[.]7 - uowner "login by uid 0"/, 'root is believed' );
    like(
        $log,
        qr/203[.]0[.]113[.]7 - ucaller "login by uid $with{caller}"/,
        '... and socket_callers'
    );
    like( $log, qr/- - uother "login by uid $nobody"/, '... but not everybody' );

    # The other user has a separate count
    log_in( "user=nobody$_&pass=x", $nobody ) for 1 .. 31;
    ( $status, $body, $head ) = log_in( $GOOD, $nobody );
    is( $status, 429, 'after thirty failures a user waits' );
    like( $head, qr/^Retry-After: [0-9]+\r$/m, '... so long' );
    like(
        $body,
        qr/Too many failed logins[.] Please try again in [0-9]+ seconds[.]/,
        '... and is told'
    );
    is( ( log_in( "$GOOD&remote_addr=203.0.113.8", $nobody ) )[0],
        429, '... whatever address it names' );
    is( ( log_in( "$GOOD&remote_addr=203.0.113.8", $with{caller} ) )[0], 200, '... others do not' );
}
{
    my $answer = say_to( 'gateway',
        "POST /login/ HTTP/1.1\r\nHost: panel.example:2083\r\nX-Forwarded-For: 203.0.113.77\r\nConnection: close\r\n"
            . "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 22\r\n\r\nuser=alice&pass=wrongx"
    );
    like( $answer, qr{\AHTTP/1[.]1 401}, 'X-Forwarded-For at the socket' );
    unlike( $site->log_text, qr/203[.]0[.]113[.]77/, '... means nothing' );
}

# A front server's own socket
my ( $ticket, $token ) = Test::Cpanel::LogMeIn::parse_url( ( $site->login )[2] );
my $get = "GET $token/x?session=$ticket HTTP/1.1\r\nHost: panel.example\r\nConnection: close\r\n";
my $forward = "X-Forwarded-Port: 2083\r\nX-Forwarded-For: 203.0.113.78\r\n";
like(
    say_to( 'front', "${get}${forward}X-Forwarded-Proto: http\r\n\r\n" ),
    qr{\AHTTP/1[.]1 400},
    'a front that says clear text'
);
( $ticket, $token ) = Test::Cpanel::LogMeIn::parse_url( ( $site->login )[2] );
$get = "GET $token/x?session=$ticket HTTP/1.1\r\nHost: panel.example\r\nConnection: close\r\n";
my $answer = say_to( 'front', "${get}${forward}X-Forwarded-Proto: https\r\n\r\n" );
like( $answer,         qr{\AHTTP/1[.]1 302},              'a front that says TLS opens a ticket' );
like( $site->log_text, qr/203[.]0[.]113[.]78 NEW alice:/, '... for the browser behind it' );
my ($cookie) = $answer =~ /^Set-Cookie: (cpsession=[^;]+)/m;
my $check =
      "GET /logmein/check HTTP/1.1\r\nHost: x\r\nX-Original-URI: $token/x\r\nCookie: $cookie\r\n"
    . "X-Forwarded-Proto: https\r\nConnection: close\r\n";
like(
    say_to( 'front', "${check}${forward}\r\n" ),
    qr{\AHTTP/1[.]1 204},
    '... and may ask about requests'
);
like(
    say_to( 'front', "${check}X-Forwarded-Port: 2087\r\n\r\n" ),
    qr{\AHTTP/1[.]1 401},
    '... at their own port'
);
like( say_to( 'front', "$check\r\n" ), qr{\AHTTP/1[.]1 401}, '... which must be said' );
like(
    say_to( 'front', ( $check =~ s/^Cookie.*\n//mr ) . "$forward\r\n" ),
    qr{\AHTTP/1[.]1 401},
    'control: no cookie, no yes'
);

done_testing();
