#!/usr/bin/perl

# goto_uri: the page of a login URL, and that it never leads to another host. The
# number of generated values is LOGMEIN_URIS.

use strict;
use warnings;
use Test::More;
use Test::Cpanel::LogMeIn;

my $COUNT = $ENV{LOGMEIN_URIS} || 3000;
my $site  = Test::Cpanel::LogMeIn->new( settings => { log => 'none' } );

sub login { my ($uri) = @_; return $site->login( goto_uri => $uri ) }

# What is left of the URL without host, token and ticket.
sub page {
    my ($uri) = @_;
    my ( $ok, $message, $url ) = login($uri);
    return $message if !$ok;
    $url        =~ s{\Ahttps://localhost:2083/cpsess[0-9]{10}}{};
    $url        =~ s{([?&])session=lmt_[\w-]{43}}{$1 eq '?' ? '' : '&'}e;
    return $url =~ s/&(?=#|\z)//r;
}

my @kept = (
    [ '/',                                '/' ],
    [ 'frontend/index.html',              '/frontend/index.html' ],
    [ '/a b',                             '/a%20b' ],
    [ "/\x{e9}",                          '/%C3%A9' ],
    [ "/\x{20ac}",                        '/%E2%82%AC' ],
    [ '/100%',                            '/100%25' ],
    [ '/%zz%4',                           '/%25zz%254' ],
    [ '/%41%c3%a9',                       '/%41%c3%a9' ],
    [ '/a"<>`{|}^b',                      '/a%22%3C%3E%60%7B%7C%7D%5Eb' ],
    [ '/x?y=1&z=2',                       '/x?y=1&z=2' ],
    [ '/x?y=1#frag?ment',                 '/x?y=1#frag?ment' ],
    [ '/x#session=1',                     '/x#session=1' ],
    [ '/x?sessions=1&mysession=2',        '/x?sessions=1&mysession=2' ],
    [ '/a//b',                            '/a//b' ],
    [ '/...',                             '/...' ],
    [ '/.hidden',                         '/.hidden' ],
    [ '/a?b=../c',                        '/a?b=../c' ],
    [ '/a?u=http://b.example/',           '/a?u=http://b.example/' ],
    [ '&goto_uri=/frontend/',             '/frontend/' ],
    [ '&goto_uri=frontend/',              '/frontend/' ],
    [ '&goto_uri=',                       '/' ],
    [ '&goto_uri=&goto_uri=/x',           '/&goto_uri=/x' ],
    [ '/json-api/dummy',                  '/' ],
    [ '/json-api/dummy/x',                '/x' ],
    [ 'json-api/dummy/x',                 '/x' ],
    [ '/json-api/dummy?a=1',              '/?a=1' ],
    [ '/json-api/dummy#f',                '/#f' ],
    [ '/json-api/dummyx',                 '/json-api/dummyx' ],
    [ '/json-api/dummy/json-api/dummy/x', '/json-api/dummy/x' ],
    [ '&goto_uri=/json-api/dummy/x',      '/x' ],
    [ '?a=1',                             '/?a=1' ],
    [ '#f',                               '/#f' ],
);
is( page( $_->[0] ), $_->[1], "kept: $_->[0]" =~ s/([^ -~])/sprintf '\\x{%x}', ord $1/ger )
    for @kept;

my %refused = (
    'full URL' =>
        [ 'https://evil.example/', 'javascript:alert(1)', '&goto_uri=http://evil.example' ],
    'two slashes' => [
        '//evil.example',   '/%2fevil.example',
        '/%2Fevil.example', '%2fevil.example',
        '///x',             '&goto_uri=//evil.example',
        '/json-api/dummy//evil.example'
    ],
    'backslashes' =>
        [ '/\\evil.example', '\\\\evil.example', '/%5cevil.example', '/a%5Cb', '/x?y=\\' ],
    'control bytes' => [
        map( { ( "/a" . chr . "b", sprintf '/a%%%02xb', $_ ) } 1 .. 31, 127 ),
        '/%00', "/\0x", "/\tevil", "/x?y=%0d%0a"
    ],
    'segments' => [
        '/..',         '/.',               '/a/../b', '/a/./b',
        '/%2e%2e/x',   '/.%2e/login/?a=1', '/%2E/',   '/a/%2e%2e',
        '/a%2f..%2fb', '/..%2fx',          '..',      '../x',
        '/../?x',      '/json-api/dummy/../x'
    ],
    'named session' => [
        '/?session=1',      '/x?a=1&session=2',
        '/x?session',       '/x?%73ession=1',
        '/x?s%65ssio%6E=1', '/x?a;session=1',
        '/.%2e/login/?session=x'
    ],
);
for my $why ( sort keys %refused ) {
    for my $uri ( @{ $refused{$why} } ) {
        my ( $ok, $message, $url ) = login($uri);
        my $name = "refused ($why): $uri" =~ s/([^ -~])/sprintf '\\x{%x}', ord $1/ger;
        ok( !$ok && !defined $url && $message =~ /\AThe parameter 'goto_uri' must /, $name )
            or diag($message);
    }
}

is( length page( '/' . 'a' x 2047 ), 2048, '2,048 bytes are allowed' );
like( page( '/' . 'a' x 2048 ), qr/at most 2,048 bytes/, '2,049 are not' );
like( page( '/' . ' ' x 683 ),  qr/at most 2,048 bytes/, 'encoding counts' );

# Ports, and the other form of the URL.
$site->write_settings( 'port.cpanel' => 443 );
like( ( login('/') )[2], qr{\Ahttps://localhost:443/}, 'port.cpanel' );
$site->write_settings( login_url => 'login' );
like(
    ( login('/a b?x=1&y=2') )[2],
    qr{/cpsess[0-9]{10}/login/\?session=lmt_[\w-]{43}&goto_uri=%2fa%2520b%3fx%3d1%26y%3d2\z},
    'login_url = login: goto_uri is a parameter, encoded as a whole'
);
for my $home ( q{/}, q{}, undef, '&goto_uri=/', '/json-api/dummy' ) {
    like(
        ( login($home) )[2],
        qr{/cpsess[0-9]{10}/login/\?session=lmt_[\w-]{43}\z},
        '... and left out for the home page: ' . ( $home // 'undef' )
    );
}
$site->write_settings;

# Where a browser goes: tabs and line ends dropped, backslashes turned, dot
# segments resolved. The host, the token's segment, and the rest.
sub browse {
    my ($url) = @_;
    $url =~ tr/\t\r\n//d;
    $url =~ s/[?#].*//s;
    $url =~ tr{\\}{/};
    my ( $host, $path ) = $url =~ m{\Ahttps:/+([^/]*)(.*)\z}s or return ( 'none', '' );
    $host =~ s/.*@//s;
    my @out;
    for my $segment ( split m{/}, $path =~ s{\A/}{}r, -1 ) {
        my $plain = $segment =~ s/%2e/./gir;
        if    ( $plain eq '..' ) { pop @out }
        elsif ( $plain ne '.' )  { push @out, $segment }
    }
    return ( $host, $out[0] // '' );
}

is( ( browse('https://localhost:2083@evil.example/x') )[0],
    'evil.example', 'control: the browser leaves for @evil' );
is( ( browse("https://localhost:2083/cpsess1/\\../..//x") )[1],
    '', 'control: the browser walks out of the token' );
is( ( browse('https://localhost:2083/cpsess1/%2e%2E/x') )[1], 'x', 'control: encoded dots count' );

my $seed = $ENV{TEST_SEED} // time;
srand $seed;
note("TEST_SEED=$seed");
my @pieces = (
    qw(/ // \\ . .. %2e %2f %5c @ : ? & = ; a session= login evil.example https: %09 %0a %00 % %25 ~),
    '#', "\t", "\r\n", "\0", ' ', "\x{e9}", "\x{ff0f}", '&goto_uri=', '/json-api/dummy'
);
my ( $accepted, $off ) = ( 0, 0 );

for ( 1 .. $COUNT ) {
    my $uri = join '', map { $pieces[ rand @pieces ] } 1 .. 1 + rand 6;
    my ( $ok, undef, $url, $token ) = login($uri);
    next if !$ok;
    $accepted++;
    my ( $host, $first ) = browse($url);
    next if $host eq 'localhost:2083' && "/$first" eq $token && $url !~ /[^!-~]/;
    $off++;
    diag("off: $uri -> $url");
}
is( $off, 0, "none of $COUNT hostile values leads to another host" );
note("31: $COUNT generated goto_uri, $off lead to another host");
cmp_ok( $accepted, '>', 100, "and $accepted were accepted, so that this says something" );

done_testing();
