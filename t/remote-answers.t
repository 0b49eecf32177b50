#!/usr/bin/perl

# A login at another server: the request, and the handling of its answers.

use strict;
use warnings;
use Test::More;
use Test::Cpanel::LogMeIn;
use lib 't/lib';
use Servers qw(ca_file certificate failure lacks success);

my $lacking = lacks(qw(openssl IO::Socket::SSL remote));
plan skip_all => $lacking if $lacking;

my $site = Test::Cpanel::LogMeIn->new( settings => { backend => 'remote' } );
my ( $cert, $key ) = certificate('good');

# The answer is passed in a file, because the server is another process.
my $answer_file = $site->dir . '/answer';
my $server      = Servers->new(
    cert   => $cert,
    key    => $key,
    answer => sub {
        open my $file, '<', $answer_file or die $!;
        local $/ = undef;
        return scalar readline $file;
    },
);
my $port = $server->port;
$site->settings( remote_ca_file => ca_file(), map { +"port.$_" => $port } qw(cpanel whm webmail) );

sub answered {
    my ( $bytes, %login ) = @_;
    $site->write_file( $answer_file, $bytes );
    $server->forget;
    return $site->login(%login);
}
my $VALUE   = 'alice%3aXq3p2cPCn3bPGDJ0%2c0d3a7c';
my $STRANGE = 'The server does not answer as a cPanel server does.';
my $INVALID = 'The login is invalid.';

# The table of URLs.
for my $case (
    [ cpanel  => 'cpsession',       q{/},  q{} ],
    [ whm     => 'whostmgrsession', q{/},  q{} ],
    [ webmail => 'webmailsession',  q{/x}, '&goto_uri=%2fx' ],
    [
        cpanel => 'cpsession',
        '/frontend/jupiter/a b.html?x=1&y=2',
        '&goto_uri=%2ffrontend%2fjupiter%2fa%20b.html%3fx%3d1%26y%3d2'
    ],
    )
{
    my ( $service, $cookie, $goto, $more ) = @{$case};
    my @answer = answered( success($cookie), service => $service, goto_uri => $goto );
    is_deeply(
        \@answer,
        [
            1, 'Login OK', "https://localhost:$port/cpsess5542387976/login/?session=$VALUE$more",
            '/cpsess5542387976'
        ],
        "$service, $goto"
    ) or diag($Cpanel::LogMeIn::detail);
}

# The request that was sent.
my $two = "\x{e9}&=%+ \x{263a}";
answered( success('cpsession'), pass => $two, goto_uri => '/a?b=c' );
my ($head) = $server->record =~ /got (POST .*?)\\x0d\\x0a\\x0d\\x0a/;
like( $head, qr{\APOST /login/\?login_only=1 HTTP/},              'the request line' );
like( $head, qr/Host: localhost:$port\b/,                         '... and the host' );
like( $head, qr{Content-Type: application/x-www-form-urlencoded}, '... a form' );
unlike( $head, qr/Expect|Cookie|Authorization/, '... and nothing that nobody asked for' );
my $bytes = $two;
utf8::encode($bytes);
is_deeply(
    $server->form,
    { user => 'alice', pass => $bytes, goto_uri => '/a?b=c', active_token_for_reuse => '0' },
    '... user, pass, goto_uri and no token, exactly'
);
answered(
    success('cpsession'),
    active_token_for_reuse => 'cpsess0123456789',
    tfa_token              => '012 345' =~ s/ //r,
    remote_addr            => '192.0.2.7'
);
is_deeply(
    $server->form,
    {
        user                   => 'alice',
        pass                   => 'secret',
        goto_uri               => q{/},
        active_token_for_reuse => '/cpsess0123456789',
        tfa_token              => '012345'
    },
    'a token to reuse and a two-factor code are sent; the address is not'
);
$site->settings( remote_forward_to => 'other.example localhost' );
answered( success('cpsession'), remote_addr => '192.0.2.7' );
is( $server->form->{remote_addr}, '192.0.2.7', '... but to the hosts in remote_forward_to' );
$site->settings( remote_forward_to => '*.example' );
answered( success('cpsession'), remote_addr => '192.0.2.7' );
ok( !exists $server->form->{remote_addr}, '... and to no other' );

# Valid answers in all forms.
my $body = '{"status":1,"redirect":"/cpsess5542387976/","security_token":"/cpsess5542387976"}';
my $size = 'Content-Length: ' . length $body;
my $set  = "Set-Cookie: cpsession=$VALUE; HttpOnly; path=/; port=2083; secure";
my %good = (
    'HTTP/1.0'        => "HTTP/1.0 200 OK\r\n$set\r\n\r\n$body",
    'bare newlines'   => "HTTP/1.1 200 OK\n$set\n$size\n\n$body",
    'odd case'        => "HTTP/1.1 200 ok\r\nsET-cOOKIE:cpsession=$VALUE\r\n$size\r\n\r\n$body",
    'no reason'       => "HTTP/1.1 200\r\n$set\r\n$size\r\n\r\n$body",
    'a folded header' =>
        "HTTP/1.1 200 OK\r\nSet-Cookie:\r\n cpsession=$VALUE;\r\n\tpath=/\r\n$size\r\n\r\n$body",
    'cookies around' =>
        "HTTP/1.1 200 OK\r\nSet-Cookie: xcpsession=a\r\nSet-Cookie: cprelogin=no\r\n"
        . "Set-Cookie: whostmgrsession=b\r\n$set\r\nSet-Cookie: session=c\r\n$size\r\n\r\n$body",
    'a second of its own' =>
        "HTTP/1.1 200 OK\r\n$set\r\nSet-Cookie: cpsession=other\r\n$size\r\n\r\n$body",
    (
        map {
            +"one that ends $_" =>
                "HTTP/1.1 200 OK\r\nSet-Cookie: cpsession=$_; HttpOnly; path=/\r\n"
                . "$set\r\nSet-Cookie: cpsession=$_\r\n$size\r\n\r\n$body"
        } qw(expired closed deleted Expired),
        q{}
    ),
    chunked => "HTTP/1.1 200 OK\r\n$set\r\nTransfer-Encoding: chunked\r\n\r\n"
        . sprintf(
        "5\r\n%s\r\n%x;x=y\r\n%s\r\n0\r\nX-Trailer: 1\r\n\r\n",
        substr( $body, 0, 5 ),
        length($body) - 5,
        substr( $body, 5 )
        ),
    'an interim answer' =>
        "HTTP/1.1 102 Processing\r\nSet-Cookie: cpsession=bad\r\n\r\nHTTP/1.1 200 OK\r\n$set\r\n$size\r\n\r\n$body",
    'notices' => success('cpsession') =~
        s/Content-Length: (\d+)/'Content-Length: ' . ( $1 + 31 )/er =~
        s/\}\z/,"notices":[{"content":"Hello"}]}/r,
    'spaces in the JSON' => "HTTP/1.1 200 OK\r\n$set\r\n\r\n"
        . qq( {\n "security_token" : "/cpsess5542387976",\n "status" : 1 }\n),
);
$good{notices} =~ s/Content-Length: \d+\r\n//;
for my $name ( sort keys %good ) {
    my @answer = answered( $good{$name} );
    is( $answer[2], "https://localhost:$port/cpsess5542387976/login/?session=$VALUE",
        "good: $name" )
        or diag("$answer[1] $Cpanel::LogMeIn::detail");
}

# Tokens switched off.
for my $token ( q{}, ',"security_token":""', ',"security_token":null' ) {
    is_deeply(
        [ answered("HTTP/1.1 200 OK\r\n$set\r\n\r\n{\"status\":1$token}") ],
        [ 1, 'Login OK', "https://localhost:$port/login/?session=$VALUE", q{} ],
        "no token: $token"
    );
}

# Refusals, with our own messages.
for my $case (
    [ failure( '401 Access Denied', 'see_login_log' ),   $INVALID ],
    [ failure( '401 Access Denied', 'invalid_login' ),   $INVALID ],
    [ failure( '401 Access Denied', 'something new' ),   $INVALID ],
    [ failure( '403 Forbidden',     'no_username' ),     $INVALID ],
    [ failure( '400 Bad',           q{<b>bold</b>} ),    $INVALID ],
    [ failure( '401 Access Denied', 'token_missing' ),   'A two-factor code is needed.' ],
    [ failure( '401 Access Denied', 'token_incorrect' ), 'The two-factor code is wrong.' ],
    [
        failure( '429 Too Many', 'x', 'Retry-After: 17' ),
        'Too many failed logins. Please try again in 17 seconds.'
    ],
    [ failure( '429 Too Many', 'x' ), 'Too many failed logins. Please try again later.' ],
    [
        failure( '429 Too Many', 'x', 'Retry-After: Wed, 21 Oct 2026 07:28:00 GMT' ),
        'Too many failed logins. Please try again later.'
    ],
    [ failure( '503 Busy', 'x' ),   q{The server can't log anybody in at the moment.} ],
    [ failure( '500 Broken', 'x' ), q{The server can't log anybody in at the moment.} ],
    [ "HTTP/1.1 401 Denied\r\nWWW-Authenticate: Basic realm=x\r\n\r\n<html>", $STRANGE ],
    [ "HTTP/1.1 404 Not Found\r\n\r\n",                                       $STRANGE ],
    )
{
    my ( $said, $sentence ) = @{$case};
    my ($status) = $said =~ /\AHTTP\S+ ([^\r]*)/;
    is_deeply( [ answered($said) ], [ 0, $sentence, undef, undef ], "refused: $status" );
    unlike( "@{[ $site->log_text ]}$Cpanel::LogMeIn::detail", qr/bold|secret/, '... and no echo' );
}

# Invalid answers.
my $ok  = "HTTP/1.1 200 OK\r\n";
my $yes = '{"status":1,"security_token":"/cpsess5542387976"}';
my %bad = (
    'a redirect' => "HTTP/1.1 302 Found\r\n$set\r\nLocation: https://localhost:$port/\r\n\r\n$yes",
    '201'        => "HTTP/1.1 201 Made\r\n$set\r\n\r\n$yes",
    '204'        => "HTTP/1.1 204 None\r\n$set\r\n\r\n",
    'no cookie'  => "$ok\r\n$yes",
    'another service' => "${ok}Set-Cookie: whostmgrsession=$VALUE\r\n\r\n$yes",
    'a longer name'   => "${ok}Set-Cookie: xcpsession=$VALUE\r\n\r\n$yes",
    'another case'    => "${ok}Set-Cookie: CPSESSION=$VALUE\r\n\r\n$yes",
    'an empty cookie' => "${ok}Set-Cookie: cpsession=\r\n\r\n$yes",
    (
        map { +"a cookie $_" => "${ok}Set-Cookie: cpsession=$_\r\n\r\n$yes" }
            qw(expired closed deleted Expired)
    ),
    'only ended ones' =>
        "${ok}Set-Cookie: cpsession=expired\r\nSet-Cookie: cpsession=closed\r\n\r\n$yes",
    'a bad one behind' =>
        "${ok}Set-Cookie: cpsession=expired\r\nSet-Cookie: cpsession=a b\r\n\r\n$yes",
    'a comma'               => "${ok}Set-Cookie: cpsession=a,b\r\n\r\n$yes",
    'a space'               => "${ok}Set-Cookie: cpsession=a b\r\n\r\n$yes",
    'an ampersand'          => "${ok}Set-Cookie: cpsession=a&goto_uri=b\r\n\r\n$yes",
    'a hash'                => "${ok}Set-Cookie: cpsession=a#b\r\n\r\n$yes",
    'a quote'               => "${ok}Set-Cookie: cpsession=\"a\"\r\n\r\n$yes",
    'markup'                => "${ok}Set-Cookie: cpsession=<b>\r\n\r\n$yes",
    'an encoded newline'    => "${ok}Set-Cookie: cpsession=a%0d%0aX:y\r\n\r\n$yes",
    'half an encoding'      => "${ok}Set-Cookie: cpsession=a%3\r\n\r\n$yes",
    'a NUL'                 => "${ok}Set-Cookie: cpsession=a\0b\r\n\r\n$yes",
    'eight bits'            => "${ok}Set-Cookie: cpsession=a\xe9\r\n\r\n$yes",
    'a long cookie'         => "${ok}Set-Cookie: cpsession=" . 'a' x 1025 . "\r\n\r\n$yes",
    'a cookie in a trailer' => "${ok}Transfer-Encoding: chunked\r\n\r\n"
        . sprintf( "%x\r\n%s\r\n0\r\n%s\r\n\r\n", length $yes, $yes, $set ),
    'no JSON'       => "$ok$set\r\n\r\nLogin OK",
    'an array'      => "$ok$set\r\n\r\n[$yes]",
    'half a JSON'   => "$ok$set\r\n\r\n" . substr( $yes, 0, -1 ),
    'more JSON'     => "$ok$set\r\n\r\n$yes$yes",
    'two statuses'  => "$ok$set\r\n\r\n{\"status\":0,\"status\":1}",
    'status 0'      => "$ok$set\r\n\r\n{\"status\":0}",
    'status "1"'    => "$ok$set\r\n\r\n{\"status\":\"1\"}",
    'status true'   => "$ok$set\r\n\r\n{\"status\":true}",
    'status 1.0'    => "$ok$set\r\n\r\n{\"status\":1.0}",
    'no status'     => "$ok$set\r\n\r\n{}",
    'an empty body' => "$ok$set\r\n\r\n",
    'HTTP/0.9'      => $yes,
);
for my $token (
    '@evil.example/',     '/cpsess554238797',
    '/cpsess55423879760', '/cpsess5542387976/',
    'cpsess5542387976',   '/cpsess5542387976\n',
    '/cpsessabcdefghij',  '//evil.example',
    '.evil.example/',     '/cpsess5542387976\u0000',
    '/CPSESS5542387976',  ' /cpsess5542387976'
    )
{
    $bad{"the token $token"} = "$ok$set\r\n\r\n{\"status\":1,\"security_token\":\"$token\"}";
}
$bad{"the token $_"} = "$ok$set\r\n\r\n{\"status\":1,\"security_token\":$_}" for qw(1 true [] {});
for my $name ( sort keys %bad ) {
    is_deeply( [ answered( $bad{$name} ) ], [ 0, $STRANGE, undef, undef ], "not believed: $name" );
}

# What the operator is told of an answer that is none: its status, and where it points.
sub detail_of {
    answered(@_);
    return $Cpanel::LogMeIn::detail =~ s{\Aat https://localhost:$port: }{}r;
}
for my $status ( 301, 302, 303, 307, 308, 401, 404 ) {
    is(
        detail_of("HTTP/1.1 $status x\r\nLocation: /x\r\n\r\n"),
        "status $status, Location /x: not an answer to a login",
        "the detail of $status"
    );
}
my %told = (
    "HTTP/1.1 302 Found\r\n" => 'status 302: not an answer to a login',
    "HTTP/1.1 302 Found\r\nLocation: /a\r\nLocation: /b\r\n" =>
        'status 302, Location /a: not an answer to a login',
    "HTTP/1.1 102 x\r\nLocation: /x\r\n\r\nHTTP/1.1 302 Found\r\n" =>
        'status 302: not an answer to a login',
    "HTTP/1.1 200 OK\r\nLocation: /x\r\n"     => 'status 200, Location /x: no JSON with "status":1',
    "HTTP/1.1 500 Broken\r\nLocation: /x\r\n" => 'status 500',
);
for my $head ( sort keys %told ) {
    is( detail_of("$head\r\n"), $told{$head}, $told{$head} );
}
my %shown = (
    'https://h.example:2083/cpsess1/?session=SECRET&x#SECRET' => 'https://h.example:2083/cpsess1/',
    '/a#?SECRET'                                              => '/a',
    'https://SECRET:SECRET@h.example/a@b'                     => 'https://h.example/a@b',
    '//SECRET@SECRET@h.example'                               => '//h.example',
    "/\e[31m\x7f\\\xe9 \x01\t<" => '/\x1b[31m\x7f\x5c\xe9\x20\x01\x09<',
    q{/} . 'a' x 199            => q{/} . 'a' x 199,
    q{/} . 'a' x 900            => q{/} . 'a' x 199 . '...',
    q{/} . "\x01" x 900         => q{/} . '\x01' x 49 . '...',
    '/back/secret/'             => 'not shown',
    '/back/%73ecre%74/'         => 'not shown',
);
for my $location ( sort keys %shown ) {
    is(
        detail_of("HTTP/1.1 302 Found\r\nLocation: $location\r\n\r\n"),
        "status 302, Location $shown{$location}: not an answer to a login",
        "... and its Location $shown{$location}"
    );
}
is(
    detail_of("HTTP/1.1 302 Found\r\nLocation: ?SECRET\r\n\r\n"),
    'status 302: not an answer to a login',
    '... of which a query is nothing'
);
unlike( $site->log_text, qr/SECRET|secret/, 'neither is in the log' );

my @longest =
    answered( success( 'cpsession', value => 'a' x 1024 ), goto_uri => q{/} . q{&} x 2047 );
is(
    length $longest[2],
    length("https://localhost:$port/cpsess5542387976/login/?session=&goto_uri=") + 1024 + 3 * 2048,
    'control: the longest cookie and the longest goto_uri make a URL'
) or diag("@longest");

# Settings.
answered( failure( '401 x', 'see_login_log' ) );
unlike( ( split /\n/, $site->log_text )[-1], qr/alice/, 'who was refused is not logged' );
$site->settings( log_unknown_users => 'yes' );
answered( failure( '401 x', 'see_login_log' ) );
like(
    ( split /\n/, $site->log_text )[-1],
    qr/ - alice "login" FAILED LOGIN cpaneld: at https:..localhost/,
    '... unless wanted'
);
answered( success('cpsession') );
like( ( split /\n/, $site->log_text )[-1], qr/ - alice "login" SUCCESS LOGIN/,
    'success is logged' );
unlike( $site->log_text . $Cpanel::LogMeIn::detail,
    qr/\Q$VALUE\E|secret/, '... and no secret ever' );

for my $case (
    [ 'other.example *.localhost', 0 ],
    [ 'localhost',                 1 ],
    [ 'LocalHost x',               1 ],
    [ '*',                         1 ],
    [ '*host',                     0 ],
    [ 'local*',                    0 ],
    [ '*.example',                 0 ],
    [ 'host',                      0 ],
    [ '.localhost',                0 ],
    )
{
    my ( $list, $allowed ) = @{$case};
    $site->settings( remote_hosts => $list );
    my @answer = answered( success('cpsession') );
    is(
        $answer[1],
        $allowed ? 'Login OK' : 'Logins at this server are not allowed.',
        "remote_hosts = $list"
    );
    is( $server->count('got'), $allowed, '... and what is sent' ) if !$allowed;
}
$site->settings( remote_hosts => '*.localhost' );
SKIP: {
    my @answer = answered( success('cpsession'), hostname => 'a.b.localhost' );
    skip 'this libcurl asks a name server for names in localhost', 1 if $answer[1] =~ /not known/;
    is(
        $answer[1],
        q{The server's certificate is for another name.},
        'remote_hosts = *.localhost lets names below pass'
    );
}
$site->settings( remote_hosts   => undef );
$site->settings( remote_ca_file => '/nowhere' );
is(
    ( answered( success('cpsession') ) )[1],
    'Logins are not possible at the moment (SETTINGS).',
    'no remote_ca_file'
);
like( $Cpanel::LogMeIn::detail, qr{/nowhere}, '... is named' );
$site->settings( remote_ca_file => ca_file() );

# Environment variables are ignored.
{
    local @ENV{qw(http_proxy https_proxy HTTPS_PROXY ALL_PROXY all_proxy)} =
        ('http://127.0.0.1:1') x 5;
    is( ( answered( success('cpsession') ) )[1],
        'Login OK', 'proxies in the environment are passed over' );
}
$site->settings( remote_proxy => 'http://127.0.0.1:1' );
{
    local $ENV{no_proxy} = '*';
    is(
        ( answered( success('cpsession') ) )[1],
        'The server refuses connections.',
        'remote_proxy is not'
    );
}
$site->settings( remote_proxy => undef );

# No server: the port of a stopped server may be in use by another process.
$server->stop;
$site->settings( 'port.cpanel' => 1 );
is( ( $site->login )[1], 'The server refuses connections.', 'nobody listens' );
is(
    ( $site->login( hostname => 'nowhere.invalid' ) )[1],
    q{The server's name is not known.},
    'an unknown name'
);
done_testing();
