#!/usr/bin/perl

# `logmein serve`: its ports, its sockets, its certificate; refused requests; stopping
# and reloading.

use strict;
use warnings;
use lib 't/lib';
use Serve qw(free_base raw request);
use Test::More;
use Test::Cpanel::LogMeIn;
use Time::HiRes qw(sleep time);

my $base = free_base(6);
my %port = ( cpanel => $base + 1, whm => $base + 3, webmail => $base + 5 );
my $site = Test::Cpanel::LogMeIn->new(
    accounts => {
        alice                => { password => 'secret', reseller => 1 },
        'info@alice.example' => 'mail',
    },
    settings => { map { ( "port.$_" => $port{$_} ) } keys %port },
    domains  => { 'alice.example' => 'alice' },
);
my $dir  = $site->dir;
my $lane = "$dir/run/gateway.sock";
$site->settings( gateway_socket => $lane );
my @panel = ( '--app', 'examples/panel.psgi', '--base', $base );

# The command line
sub logmein {
    my ($arguments) = @_;
    my $out = `$^X -Iblib/arch -Iblib/lib blib/script/logmein $arguments 2>&1 </dev/null`;
    return ( $? >> 8, $out );
}
for my $case (
    [ '--help',                              0, qr/^COMMANDS\n.*logmein-serve/ms ],
    [ 'serve --help',                        0, qr/--front-group.*^EXIT STATUS/ms ],
    [ '--version',                           0, qr/\Alogmein [0-9.]+\n\z/ ],
    [ q{},                                   2, qr/A command is missing/ ],
    [ 'dance',                               2, qr/Unknown command 'dance'/ ],
    [ 'serve',                               2, qr/Give either --app.*Usage:/s ],
    [ 'serve --colour',                      2, qr/Unknown option: colour/ ],
    [ 'serve --app x --root y',              2, qr/Give either/ ],
    [ 'serve --root . extra',                2, qr/Unexpected argument 'extra'/ ],
    [ 'serve --root . --base 70000',         2, qr/--base must be/ ],
    [ 'serve --root . --cert x',             2, qr/must be given together/ ],
    [ 'serve --root . --listen www.example', 2, qr/'www[.]example' is not/ ],
    [ 'serve --front /x --listen ::1',       2, qr/can't be combined/ ],
    [ "serve --root /nowhere --base $base",  3, qr{/nowhere is not a folder} ],
    [ "serve --app /nowhere --base $base",   3, qr{/nowhere: } ],
    [ 'serve --root . --base 9000',          3, qr/^port[.]cpanel = 9001\nport[.]whm = 9003\n/m ],
    [ "serve --root . --base $base --cert x --key y",   3, qr/x, y: / ],
    [ "serve --front $dir/front --front-group no-such", 3, qr/no group/ ],
    )
{
    my ( $arguments, $status, $text ) = @{$case};
    my ( $got, $out ) = logmein($arguments);
    is( $got, $status, "logmein $arguments: $status" );
    like( $out, $text, '... with a message' );
}

# Six ports, three of them with TLS, and the socket
my $server = Serve->new(@panel);
is(
    $server->{said},
    join( q{},
        map { ( "http://127.0.0.1:$_/\n", 'https://127.0.0.1:' . ( $_ + 1 ) . "/\n" ) } $base,
        $base + 2, $base + 4 )
        . "unix:$lane\n",
    'it says where it serves'
);

my %user = ( cpanel => 'alice', whm => 'alice', webmail => 'info@alice.example' );
my %cookie;
for my $service ( sort keys %port ) {
    my $pass = $service eq 'webmail' ? 'mail' : 'secret';
    my ( $ok, $message, $url ) = $site->login(
        user     => $user{$service},
        pass     => $pass,
        service  => $service,
        goto_uri => '/a?b'
    );
    like( $url, qr{\Ahttps://localhost:$port{$service}/}, "$service: a login URL names its port" );
    my $opened = request( $port{$service}, 1, $url =~ s{\Ahttps://[^/]+}{}r );
    is( $opened->{status}, 302, '... and opens there' );
    my ($cookie) = $opened->{header}{'set-cookie'} =~ /\A([^;]*)/;
    my $page = request( $port{$service}, 1, $opened->{header}{location}, undef, "Cookie: $cookie" );
    my $name = $user{$service} =~ s/@/@/r;
    like( $page->{body}, qr{id="user">\Q$name\E<.*id="path">/a<}s, '... the panel' );
    like( $page->{body}, qr{href="/cpsess[0-9]{10}/logout/"},      '... with a way out' );
    $cookie{$service} = [ $opened->{header}{location}, $cookie ];

    my $clear = request( $port{$service} - 1, 0, '/x?y', undef, "Host: localhost:9" );
    is(
        $clear->{header}{location},
        "https://localhost:$port{$service}/x",
        '... clear text leads there'
    );
}
my ( $where, $cookie ) = @{ $cookie{cpanel} };
is( request( $port{whm}, 1, $where, undef, "Cookie: $cookie" )->{status},
    401, 'a cookie opens nothing at another port' );
my $answer = request( $port{cpanel}, 1, '/login/', 'user=alice&pass=secret&goto_uri=x' );
is( $answer->{status}, 302, 'a login by form' );
like( $answer->{header}{location}, qr{\A/cpsess[0-9]{10}/x\z}, '... leads on' );
is( request( $port{cpanel}, 1, '/login/', 'user=alice&pass=wrong' )->{status},
    401, 'a wrong password' );

# The gateway's socket
is( ( stat $lane )[2] & oct 777,      oct 666, 'the socket is open to all' );
is( ( stat "$dir/run" )[2] & oct 777, oct 755, '... its folder to none' );
$answer = request( $lane, 0, '/login/', 'user=alice&pass=secret' );
like( $answer->{body}, qr{"login_url":"https://localhost:$port{cpanel}/cpsess}, '... it logs in' );
is( request( $lane, 0, '/' )->{status}, 400, '... and does nothing else' );
my ( $status, $out ) = logmein("serve --root . --base $base");
is( $status, 3, 'another server there is refused' );
like( $out, qr/another process listens there/, '... and is told why' );
( $status, $out ) = logmein("serve --no-socket --root . --base $base");
is( $status, 3, 'ports that are taken, too' );
like( $out, qr/Address already in use/, '... and is told why' );
chmod oct 777, "$dir/run";
( $status, $out ) = logmein("serve --root . --base $base");
like(
    $out,
    qr/is writable by others; change that, or use --no-socket/,
    'a folder for all is refused'
);
chmod oct 755, "$dir/run";

# Ambiguous requests
my $good = "GET $where HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: $cookie\r\n";
like( raw( $port{cpanel}, 1, "$good\r\n" ), qr{\AHTTP/1.1 200 }, 'control: a good request' );
for my $case (
    [ "${good}Host: localhost\r\n\r\n",    400, 'two hosts' ],
    [ "${good}host: evil.example\r\n\r\n", 400, 'two different hosts' ],
    [
        "${good}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400, 'length and coding'
    ],
    [ "${good}Transfer-Encoding: x\r\ncontent-length: 1\r\n\r\na", 400, 'coding and length' ],
    [ "${good}Content-Length: 1\r\nContent-Length: 1\r\n\r\na",    400, 'two lengths' ],
    [ "${good}Content-Length: 1, 1\r\n\r\na",                      400, 'two lengths in one' ],
    [ "${good}Content-Length: +1\r\n\r\na",                        400, 'an odd length' ],
    [ "${good}Content-Length: 0x1\r\n\r\na",                       400, 'a hexadecimal length' ],
    [ "${good}Content-Length : 1\r\n\r\na",                    400, 'a blank before the colon' ],
    [ "${good}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",    411, 'coding alone' ],
    [ "${good}Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n", 411, 'an odd coding' ],
    [ "${good}Content-Length: 67108865\r\n\r\n",               413, 'a huge body' ],
    [ "${good}A: b\r\n c\r\n\r\n",                             400, 'a folded field' ],
    [ "${good} A: b\r\n\r\n",                                  400, 'a field with a blank first' ],
    [ "${good}A: b\nC: d\r\n\r\n",                             400, 'a bare newline' ],
    [ "${good}A: b\rC: d\r\n\r\n",                             400, 'a bare return' ],
    [ "${good}A: \0\r\n\r\n",                                  400, 'a NUL' ],
    [ "${good}no colon\r\n\r\n",                               400, 'a field without a colon' ],
    [ $good =~ s/Host: localhost\r\n//r . "\r\n",              400, 'no host' ],
    [ "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",                    400, 'two blanks' ],
    [ "GET / HTTP/2.0\r\nHost: a\r\n\r\n",                     400, 'another version' ],
    [ "get / HTTP/1.1\r\nHost: a\r\n\r\n",                     400, 'an odd method' ],
    [ "\r\n\r\n",                                              400, 'nothing' ],
    [ "${good}A: " . 'x' x 70_000 . "\r\n\r\n",                431, 'a huge head' ],
    )
{
    my ( $bytes, $code, $name ) = @{$case};
    like( raw( $port{cpanel}, 1, $bytes ) // q{}, qr{\AHTTP/1.1 $code }, "$name: $code" );
}
my $smuggled =
    "POST /login/ HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nx=1\nGET $where HTTP/1.1\r\nHost: a\r\nCookie: $cookie\r\n\r\n";
my @answers = raw( $port{cpanel}, 1, $smuggled ) =~ m{^HTTP/1.1 (\d+)}mg;
is( "@answers", '401', 'what follows a login on its connection is not answered' );
$answer = request( $port{cpanel}, 1, $where, undef, 'X_Remote_User: root',
    'Cookie: x=y', "Coo_kie: $cookie" );
is( $answer->{status}, 401, 'a field with an underscore is none' );

# Logins do not delay other requests
$site->settings( test_fault => 'slow' );
$server->signal('HUP');
sleep 1;

sub begin_login {
    my $socket = Serve::connection( $port{cpanel}, 1 );
    print {$socket} "POST /login/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 22\r\n"
        . "Content-Type: application/x-www-form-urlencoded\r\n\r\nuser=alice&pass=secret";
    return $socket;
}
my $start = time;
my @slow  = map { begin_login() } 1 .. 20;
my @took;
for ( 1 .. 20 ) {
    my $before = time;
    my $page   = request( $port{cpanel}, 1, $where, undef, "Cookie: $cookie" );
    push @took, time - $before;
    is( $page->{status}, 200, 'while 20 logins wait, a page' ) if $page->{status} != 200;
}
my ($slowest) = sort { $b <=> $a } @took;
cmp_ok( $slowest, '<', 1, "while 20 logins wait, 20 pages come: the slowest after $slowest s" );
my $first = $slow[0];
sysread $first, my $line, 12;
cmp_ok( time - $start, '>=', 0.9, 'control: a login takes a second' );
close $_ for @slow;
$site->settings( test_fault => undef );

# SIGHUP: the certificate, the log, the settings
$server->stop;
my ( $cert, $key, $log ) = map { "$dir/$_" } qw(own.crt own.key serve.log);

sub name_shown {
    my $socket = Serve::connection( $port{cpanel}, 1 );
    return $socket && $socket->peer_certificate('cn');
}

# Old workers answer until the new ones have started.
sub wait_until {
    my ($job) = @_;
    for ( 1 .. 200 ) {
        return if $job->();
        sleep 0.1;
    }
    return;
}

# A connection that a worker has accepted, before its TLS handshake.
sub accepted {
    my $connection = Serve::connection( $port{cpanel}, 0 );
    sleep 0.3;
    return $connection;
}

# ... and a request on it, some time later.
sub answer_to {
    my ($connection) = @_;
    sleep 0.3;
    IO::Socket::SSL->start_SSL( $connection, SSL_verify_mode => 0 ) or return q{};
    print {$connection} "GET /login/ HTTP/1.0\r\nHost: a\r\n\r\n";
    return readline $connection;
}

sub text_of {
    my ($path) = @_;
    open my $file, '<', $path or return q{};
    local $/ = undef;
    return scalar readline $file;
}

Serve::write_certificate( $cert, $key, 'one' );
$server = Serve->new( @panel, '--cert', $cert, '--key', $key, '--log', $log );
is( name_shown(), 'one', 'a certificate of the site' );
my $early = accepted();
Serve::write_certificate( $cert, $key, 'two' );
rename $log, "$log.1";
$server->signal('HUP');
like( answer_to($early), qr/ 200 /, 'SIGHUP: TLS that has yet to begin is answered' );
wait_until(
    sub {
        !grep { ( name_shown() || q{} ) ne 'two' } 1 .. 20;
    }
);
is( name_shown(), 'two', 'after SIGHUP the new one is shown' );
ok( -e $log, '... and the log is opened anew' );
$site->write_file( $cert, 'broken' );
$server->signal('HUP');
wait_until( sub { text_of($log) =~ /Not reloaded/ } );
is( name_shown(), 'two', 'an invalid certificate is not loaded' );
like( text_of($log), qr/Not reloaded/, '... and the log says so' );
$site->settings( cookie_prefix => 'mine_' );
Serve::write_certificate( $cert, $key, 'three' );
$server->signal('HUP');
my $login = q{};
wait_until(
    sub {
        $login = request( $port{cpanel}, 1, '/login/', 'user=alice&pass=secret' )->{all};
        return $login =~ /mine_/;
    }
);
like( $login, qr/^Set-Cookie: mine_cpsession=/m, 'settings are read anew' );
$site->settings( cookie_prefix => undef );

# Stopping
my $held = Serve::connection( $port{cpanel}, 1 );
print {$held} "GET /login/ HTTP/1.1\r\nHost: a\r\n";
$early = accepted();
$server->signal('TERM');
like( answer_to($early), qr/ 200 /, 'SIGTERM: so is TLS that has yet to begin' );
print {$held} "\r\n";
ok( sysread( $held, $line, 12 ), 'a request that has begun is answered' );
is( $line,         'HTTP/1.1 200', '... well' );
is( $server->stop, 0,              'SIGTERM: it stops, with 0' );
ok( !-e $lane,                   '... its socket goes' );
ok( !Serve::connection( $_, 0 ), "... nobody listens at $_" ) for $base .. $base + 5;

# A folder, behind a front server's socket
$site->write_file( "$dir/www/index.html", 'INDEX' );
$site->write_file( "$dir/www/.secret",    'SECRET' );
$server = Serve->new( '--front', "$dir/front", '--root', "$dir/www", '--no-socket' );
is( $server->{said}, "unix:$dir/front\n",        'a socket for a front server, and nothing else' );
is( ( stat "$dir/front" )[2] & oct 777, oct 600, '... for this user only' );
my @told = ( 'X-Forwarded-Proto: https', 'X-Forwarded-Port: 2083', 'X-Forwarded-For: 192.0.2.9' );
$answer = request( "$dir/front", 0, '/login/', 'user=alice&pass=secret', @told );
is( $answer->{status}, 302, 'a login' );
like(
    $site->log_text,
    qr/192[.]0[.]2[.]9 - alice "login" SUCCESS/,
    '... from where the front server says'
);
( $where, $cookie ) =
    ( $answer->{header}{location}, $answer->{header}{'set-cookie'} =~ /\A([^;]*)/ );
is( request( "$dir/front", 0, $where, undef, @told, "Cookie: $cookie" )->{body},
    'INDEX', '... a file of the folder' );
is( request( "$dir/front", 0, "$where.secret", undef, @told, "Cookie: $cookie" )->{status},
    404, '... but none that is hidden' );
is( request( "$dir/front", 0, $where, undef, @told )->{status},
    401, '... and none without a cookie' );
is( $server->stop('INT'), 0, 'SIGINT: it stops, with 0' );
done_testing();
