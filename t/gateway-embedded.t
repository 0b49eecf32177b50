#!/usr/bin/perl

# What other sites can do with a browser that is logged in here: nothing begins a
# session, ends one, or finds out its token.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Gateway qw(ask cookie_of gateway header_of);
use Test::Cpanel::LogMeIn;

my $site = Test::Cpanel::LogMeIn->new( accounts => { alice => 'secret', bob => 'secret' } );
my $app  = gateway();
my $FORM = 'user=alice&pass=secret';
my $HOST = 'host.example';

# A browser that is logged in as alice.
sub open_session {
    my $answer  = ask( $app, '/login/', form => $FORM );
    my ($token) = header_of( $answer, 'Location' ) =~ m{\A(/cpsess[0-9]{10})/};
    my %cookie  = ( HTTP_COOKIE => cookie_of($answer) );
    ask( $app, "$token/", %cookie );
    return ( $token, %cookie );
}

sub lives {
    my ( $token, %cookie ) = @_;
    return ask( $app, "$token/x", %cookie )->{status} == 200;
}
sub wrong { my ($number) = @_; return sprintf '/cpsess%010d', $number }

sub link_to_here {
    my (%login) = @_;
    return ( $site->login(%login) )[2] =~ s{\Ahttps://[^/]+}{}r;
}

# Requests as browsers describe them.
sub from {
    my ( $where, $destination, %more ) = @_;
    return ( HTTP_SEC_FETCH_SITE => $where, HTTP_SEC_FETCH_DEST => $destination, %more );
}
my @EMBEDDED = map { [ from( 'cross-site', $_ ) ] }
    qw(image script style iframe frame object embed video audio track font manifest empty worker);
push @EMBEDDED, [ from( 'same-site', 'image' ) ];
my @LINKS = map { [ from( $_, 'document' ) ] } qw(cross-site same-site);

# Logging out
my ( $token, %alice ) = open_session();
for my $path ( '/logout', '/logout/', "$token/logout/" ) {
    for my $embedded (@EMBEDDED) {
        my $answer = ask( $app, $path, %alice, @{$embedded} );
        is( $answer->{status},                  403,   "$path as @{$embedded}: refused" );
        is( header_of( $answer, 'Set-Cookie' ), undef, '... and sets no cookie' );
    }
    for my $link ( @LINKS, [ HTTP_ORIGIN => 'https://evil.example' ] ) {
        for my $method (qw(GET POST)) {
            my $answer = ask( $app, $path, %alice, @{$link}, REQUEST_METHOD => $method );
            is( $answer->{status},                  409,   "$path as $method @{$link}: asks" );
            is( header_of( $answer, 'Set-Cookie' ), undef, '... and sets no cookie' );
            my $action = $path =~ /cpsess/ ? "$token/logout/" : '/logout/';
            like(
                $answer->{body},
                qr{<form method="post" action="$action"><button type="submit">Log out</button>},
                '... by a button'
            );
            is( header_of( $answer, 'Referrer-Policy' ),
                'same-origin', '... which tells where it stands' );
        }
    }
}
ok( lives( $token, %alice ), '... and the session lives' );
unlike(
    ask( $app, '/logout/', @{ $LINKS[0] }, REQUEST_METHOD => 'POST' )->{body},
    qr/You have logged out/,
    '... also if the browser has kept its cookie back'
);
for my $own (
    [ from( 'same-origin', 'document' ), REQUEST_METHOD => 'POST' ],
    [ HTTP_ORIGIN => "https://$HOST:2083", REQUEST_METHOD => 'POST' ],
    [ HTTP_ORIGIN => "https://$HOST:2083", form           => 'x=1' ],
    [ from( 'same-origin', 'document' ) ],
    [ from( 'same-origin', 'empty' ) ],
    [ from( 'none',        'document' ) ],
    [],
    )
{
    my @session = open_session();
    my $answer  = ask( $app, "$session[0]/logout/", @session[ 1, 2 ], @{$own} );
    is( $answer->{status}, 200, "a logout as @{$own} needs no question" );
    ok( !lives(@session), '... and ends the session' );
}

# Redeeming: only navigations by GET and POST
for my $passive (
    @EMBEDDED,
    [ from( 'same-origin', 'image' ) ],
    [ from( 'same-origin', 'empty' ) ],
    [ from( 'none',        'iframe' ) ],
    [ HTTP_SEC_FETCH_DEST => q{} ],
    [ HTTP_X_MOZ          => 'prefetch' ],
    [ HTTP_X_PURPOSE      => 'preview' ],
    [ HTTP_X_PURPOSE      => 'prefetch', HTTP_SEC_PURPOSE => 'x' ],
    ( map { [ REQUEST_METHOD => $_ ] } qw(PUT DELETE PATCH TRACE CONNECT PROPFIND FOO get) ),
    )
{
    my $link = link_to_here();
    for my $target ( $link, $link =~ s{/[?]}{/login/?}r ) {
        my $answer = ask( $app, $target, @{$passive} );
        cmp_ok( $answer->{status}, '>=', 400, "a ticket as @{$passive}: refused" );
        is( header_of( $answer, 'Set-Cookie' ), undef, '... and sets no cookie' );
    }
    is( ask( $app, $link )->{status}, 302, '... and is not spent' );
}
for my $good (
    @LINKS,
    [ from( 'none', 'document' ) ],
    [ HTTP_SEC_FETCH_DEST => 'document', HTTP_SEC_PURPOSE => 'x' ], [],
    )
{
    like( cookie_of( ask( $app, link_to_here(), @{$good} ) ),
        qr/alice%3a/, "control: a ticket as @{$good} is a login" );
}

# A browser that has just logged in, and not used its cookie, is asked, too.
{
    my $answer = ask( $app, '/login/', form => 'user=bob&pass=secret' );
    is( ask( $app, link_to_here(), HTTP_COOKIE => cookie_of($answer), @{ $LINKS[0] } )->{status},
        409, 'a link to another session just after a login asks' );
}

# Wrong tokens
for my $foreign ( @EMBEDDED, @LINKS, [ HTTP_ORIGIN => 'https://evil.example' ] ) {
    my @session = open_session();
    ask( $app, wrong($_) . '/x', @session[ 1, 2 ], @{$foreign} ) for 1 .. 2;
    is( ask( $app, "$session[0]/x", @session[ 1, 2 ], @{$foreign} )->{status},
        200, "two wrong tokens as @{$foreign}: the right one is good" );
    ask( $app, wrong($_) . '/x', @session[ 1, 2 ], @{$foreign} ) for 3 .. 20;
    is( ask( $app, "$session[0]/x", @session[ 1, 2 ], @{$foreign} )->{status},
        401, '... after three it is not, from there' );
    ok( lives(@session), '... and the session lives' );
}
for my $own ( [], [ from( 'same-origin', 'image' ) ], [ from( 'none', 'document' ) ] ) {
    my @session = open_session();
    ask( $app, wrong($_) . '/x', @session[ 1, 2 ], @{$own} ) for 1 .. 3;
    ok( !lives(@session), "control: three wrong tokens as @{$own} end it" );
}

# The same by a front server's check
{
    my @session = open_session();
    my @check   = ( '/logmein/check', @session[ 1, 2 ], from( 'cross-site', 'image' ) );
    is( ask( $app, @check, HTTP_X_ORIGINAL_URI => "$session[0]/x" )->{status},
        204, 'a check of what another site embeds' );
    ask( $app, @check, HTTP_X_ORIGINAL_URI => wrong($_) . '/x' ) for 1 .. 5;
    is( ask( $app, @check, HTTP_X_ORIGINAL_URI => "$session[0]/x" )->{status},
        401, '... after three wrong tokens' );
    ok( lives(@session), '... and the session lives' );
}

# An Origin of the same host, with any scheme and port, is none of another site.
for my $origin ( "https://$HOST:2083", "https://$HOST", "http://$HOST:8080", "HTTP://HOST.Example" )
{
    for my $target ( '/login/', '/login/?login_only=1' ) {
        like( cookie_of( ask( $app, $target, form => $FORM, HTTP_ORIGIN => $origin ) ),
            qr/alice%3a/, "a login from $origin at $target" );
    }
    is(
        ask(
            $app, '/login/',
            form                => $FORM,
            HTTP_ORIGIN         => $origin,
            HTTP_SEC_FETCH_SITE => 'cross-site'
        )->{headers}[-1],
        ask( $app, '/login/', form => $FORM, HTTP_SEC_FETCH_SITE => 'cross-site' )->{headers}[-1],
        '... but Sec-Fetch-Site counts more'
    );
}
for my $origin (
    'https://evil.example',        "https://$HOST.evil.example",
    "https://x.$HOST",             "https://evil.example:2083",
    "https://$HOST\@evil.example", "https://evil.example/$HOST",
    $HOST,                         'null',
    q{},                           "https://$HOST/",
    'https://[::1]'
    )
{
    my $answer = ask( $app, '/login/', form => $FORM, HTTP_ORIGIN => $origin );
    is( header_of( $answer, 'Set-Cookie' ), undef, "a login from '$origin' sets no cookie" );
    $answer = ask( $app, '/login/?login_only=1', form => $FORM, HTTP_ORIGIN => $origin );
    is( $answer->{status},                  403,   '... and in JSON it is refused' );
    is( header_of( $answer, 'Set-Cookie' ), undef, '... without a cookie' );
}
done_testing();
