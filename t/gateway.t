#!/usr/bin/perl

# The gateway's answers: logging in, redeeming, checking requests, logging out.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Gateway qw(ask cookie_of gateway header_of);
use Test::Cpanel::LogMeIn;

my $START = 1_800_000_000;
my $site  = Test::Cpanel::LogMeIn->new(
    accounts => {
        alice                => { password => 'secret', reseller => 1 },
        bob                  => 'secret',
        'info@alice.example' => 'mail',
    },
    domains => { 'alice.example' => 'alice' },
    clock   => $START,
);
my $app  = gateway();
my $FORM = 'user=alice&pass=secret';

# The login page
my $answer = ask( $app, '/' );
is( $answer->{status}, 401, 'a request without a session is refused' );
like(
    $answer->{body},
    qr{<form id="login_form" method="post" action="/login/">},
    '... with the login page'
);
unlike( $answer->{body}, qr/role="alert"/, '... without an error message' );
unlike( $answer->{body}, qr/PANEL/,        '... and not the app' );
is( header_of( $answer, 'WWW-Authenticate' ), undef, '... without a browser dialog' );
like( header_of( $answer, 'Cache-Control' ), qr/no-store/, '... which is not cached' );
like(
    header_of( $answer, 'Content-Security-Policy' ),
    qr/\Adefault-src 'none'; style-src 'sha256-[A-Za-z0-9+\/]{43}='; /,
    '... and which can run no script'
);
$answer = ask( $app, '/login/?goto_uri=%2fmail%3Fa%3D1' );
is( $answer->{status}, 200, 'the login page at its own URL' );
like( $answer->{body}, qr/name="goto_uri" value="\/mail\?a=1"/, '... keeps goto_uri' );
$answer = ask( $app, '/cpsess0123456789/mail?x=%22%3E%3Cb%3E' );
like( $answer->{body}, qr/name="goto_uri" value="\/mail\?x=%22%3E%3Cb%3E"/, 'so does any page' );

for my $service (qw(cpanel whm webmail)) {
    like(
        ask( $app, '/', service => $service )->{body},
        qr/<body class="$service">/,
        "$service has a page of its own"
    );
}
is( ask( $app, '/login/', REQUEST_METHOD => 'HEAD' )->{body},  q{}, 'HEAD has no body' );
is( ask( $app, '/login/', REQUEST_METHOD => 'PUT' )->{status}, 405, 'PUT is refused' );

# Logging in, as programs do
my %COOKIE = (
    cpanel  => [ 'cpsession',       'cprelogin',       2083, 'alice' ],
    whm     => [ 'whostmgrsession', 'whostmgrrelogin', 2087, 'alice' ],
    webmail => [ 'webmailsession',  'webmailrelogin',  2096, 'info@alice.example' ],
);
for my $service ( sort keys %COOKIE ) {
    my ( $name, $relogin, $port, $user ) = @{ $COOKIE{$service} };
    my $pass = $user eq 'alice' ? 'secret' : 'mail';
    $answer = ask(
        $app, '/login/?login_only=1',
        service => $service,
        form    => "user=$user&pass=$pass&goto_uri=%2fx&active_token_for_reuse=0"
    );
    is( $answer->{status}, 200, "$service: a login" );
    like(
        $answer->{body},
        qr{\A\{"status":1,"redirect":"(/cpsess[0-9]{10})/x","security_token":"\1"\}\z},
        '... is answered in compact JSON'
    );
    my @cookies = header_of( $answer, 'Set-Cookie' );
    my $owner   = $user =~ s/@/%40/r;
    like(
        $cookies[0],
        qr/\A$name=$owner%3a[A-Za-z0-9_-]{43}; HttpOnly; path=\/; port=$port; secure; SameSite=Lax\z/,
        '... with the session cookie first'
    );
    is(
        $cookies[1],
        "$relogin=no; HttpOnly; path=/; port=$port; secure; SameSite=Lax",
        '... and its companion second'
    );
    my ($token) = $answer->{body} =~ m{(/cpsess[0-9]{10})};
    my $page = ask( $app, "$token/x", service => $service, HTTP_COOKIE => cookie_of($answer) );
    is( $page->{body}, "PANEL|GET|$user|$service|$token|/x|0", '... which opens the app' );
}
$answer = ask( $app, '/login/?login_only=1', form => 'user=alice&pass=wrong' );
is( $answer->{status}, 401, 'a wrong password' );
is(
    $answer->{body},
    '{"status":0,"message":"see_login_log","reason":"invalid"}',
    '... is answered as by cPanel, with our reason behind'
);
is( header_of( $answer, 'Set-Cookie' ), undef, '... and sets no cookie' );
$answer = ask( $app, '/login/?login_only=1', form => 'pass=secret' );
is( $answer->{body}, '{"status":0,"message":"no_username","reason":"parameter"}', 'no user name' );
$answer = ask( $app, '/login/?login_only=1', form => 'user=a/b&pass=secret' );
is( $answer->{status}, 400, 'no possible user name' );
like( $answer->{body}, qr/\A\{"status":0,"message":"The parameter 'user' /, '... is a sentence' );
is( ask( $app, '/login/?user=alice&pass=secret', form => 'x=1' )->{status},
    401, 'a password in the query is ignored' );

# Logging in, as browsers do
$answer = ask( $app, '/login/', form => "$FORM&goto_uri=mail%3Fa%3D1%26b%3D2" );
my ($token) = header_of( $answer, 'Location' ) =~ m{\A(/cpsess[0-9]{10})/};
my $jar = cookie_of($answer);
is( $answer->{status},                302,                   'a login by form' );
is( header_of( $answer, 'Location' ), "$token/mail?a=1&b=2", '... redirects on the same host' );
like( $answer->{body}, qr{CONTENT="2;URL=$token/mail\?a=1&amp;b=2"}, '... in HTML, too' );
like( $jar,            qr/\Acpsession=alice%3a/,                     '... with a cookie' );
is(
    ask( $app, "$token/mail?a=1", HTTP_COOKIE => $jar )->{body},
    "PANEL|GET|alice|cpanel|$token|/mail|0",
    '... that opens the app'
);
is( ask( $app, '/login/', form => 'user=alice&pass=a;b' )->{status},
    401, 'a semicolon is part of a password' );
$answer = ask( $app, '/login/', form => 'user=alice&pass=wrong&goto_uri=%2fmail' );
is( $answer->{status}, 401, 'a wrong password in the form' );
like( $answer->{body}, qr{role="alert">The login is invalid[.]<}, '... is told on the page' );
like( $answer->{body}, qr{name="goto_uri" value="/mail"},         '... which keeps goto_uri' );
is( header_of( $answer, 'Location' ), undef, '... without a redirect' );
like(
    ask( $app, '/login/', form => 'user=&pass=x' )->{body},
    qr/You must specify a username to log in[.]/,
    'no name in the form'
);

# Another login of the same browser
my $second = ask( $app, '/login/', form => $FORM, HTTP_COOKIE => $jar );
isnt( cookie_of($second), $jar, 'another login has a cookie of its own' );
is( ask( $app, "$token/", HTTP_COOKIE => $jar )->{status},
    401, '... and ends the previous session' );
($token) = header_of( $second, 'Location' ) =~ m{\A(/cpsess[0-9]{10})/};
$jar = cookie_of($second);
is( ask( $app, "$token/", HTTP_COOKIE => $jar )->{status}, 200, '... but not itself' );

# Waits and faults
$site->{waits} = 1;
ask( $app, '/login/', form => 'user=carol&pass=x' ) for 1 .. 4;
$answer = ask( $app, '/login/', form => 'user=carol&pass=x' );
is( $answer->{status},                   429, 'after too many failures a wait' );
is( header_of( $answer, 'Retry-After' ), 1,   '... with its seconds' );
like( $answer->{body}, qr/Please try again in 1 seconds/, '... is told on the page' );
$site->forget;
$site->fault('store-away');
my $faulty = gateway();    # a gateway reads its settings at the start

for my $login_only ( q{}, '?login_only=1' ) {
    $answer = ask( $faulty, "/login/$login_only", form => $FORM );
    is( $answer->{status}, 503, 'a fault is not a wrong password' );
    like( $answer->{body}, qr/Logins are not possible at the moment/, '... and is told' );
    is( header_of( $answer, 'Set-Cookie' ), undef, '... without a cookie' );
    like( $answer->{body}, qr/,"reason":"fault"\}\z/, '... for programs in a word' )
        if length $login_only;
}
$site->fault(undef);
$site->clock($START);

# Redeeming a login URL, in its forms
sub target_of { my ($url) = @_; return $url =~ s{\Ahttps://[^/]+}{}r }
my %form_of = (
    direct => sub { target_of( ( $site->login( goto_uri => '/mail?a=1', @_ ) )[2] ) },
    login  => sub {
        $site->settings( login_url => 'login' );
        my $url = ( $site->login( goto_uri => '/mail?a=1', @_ ) )[2];
        $site->settings( login_url => undef );
        return target_of($url);
    },
);
for my $form ( sort keys %form_of ) {
    my $target = $form_of{$form}->();
    my ($ours) = $target =~ m{\A(/cpsess[0-9]{10})};
    $answer = ask( $app, $target );
    is( $answer->{status},                302,              "a login URL of the form $form" );
    is( header_of( $answer, 'Location' ), "$ours/mail?a=1", '... redirects, without the ticket' );
    my $cookie = cookie_of($answer);
    is( ask( $app, "$ours/mail", HTTP_COOKIE => $cookie )->{status}, 200, '... with a cookie' );
    my $again = ask( $app, $target, HTTP_COOKIE => $cookie );
    is( $again->{status},                  302,   '... works again in the same browser' );
    is( header_of( $again, 'Set-Cookie' ), undef, '... which keeps its cookie' );
    $again = ask( $app, $target, HTTP_USER_AGENT => 'Other/1.0' );
    is( $again->{status}, 401, '... but not in another one' );
    like( $again->{body}, qr/This link has been used[.]/, '... which is told why' );
    $again = ask( $app, $target );
    is( header_of( $again, 'Location' ), "$ours/mail?a=1", '... a double click works' );
    is( ask( $app, "$ours/mail", HTTP_COOKIE => $cookie )->{status},
        200, '... also if it is the first answer that the browser keeps' );

    $target = $form_of{$form}->();
    for my $passive (
        { REQUEST_METHOD   => 'HEAD' },
        { REQUEST_METHOD   => 'OPTIONS' },
        { HTTP_SEC_PURPOSE => 'prefetch;prerender' },
        { HTTP_PURPOSE     => 'prefetch' }
        )
    {
        $answer = ask( $app, $target, %{$passive} );
        cmp_ok( $answer->{status}, '>=', 400, "@{[ %{$passive} ]} does not open it" );
        is( header_of( $answer, 'Set-Cookie' ), undef, '... and gets no cookie' );
    }
    is( ask( $app, $target )->{status}, 302, '... and leaves it unspent' );

    $target = $form_of{$form}->() =~ s{cpsess[0-9]{10}}{cpsess0000000000}r;
    $answer = ask( $app, $target );
    is( $answer->{status}, 401, "a login URL of the form $form with another token" );
    like( $answer->{body}, qr/Invalid Security Token/, '... is told' );
    $answer = ask( $app, $target =~ s/lmt_...../lmt_AAAAA/r );
    is( $answer->{status}, 401, 'an unknown ticket' );
    like( $answer->{body}, qr/This link is invalid or has expired[.] Please log in[.]/,
        '... is told' );
    like( $answer->{body}, qr{name="goto_uri" value="/mail\?a=1"}, '... and goto_uri kept' );
}
is( ask( $app, "$token/?session=panels-own", HTTP_COOKIE => $jar )->{status},
    200, 'a parameter of the panel that is called session' );

# Redeeming by POST
my ( $ticket, $ours ) = Test::Cpanel::LogMeIn::parse_url( ( $site->login )[2] );
$answer = ask( $app, "$ours/login", form => "session=$ticket&goto_uri=x" );
is( header_of( $answer, 'Location' ), "$ours/x", 'a ticket in a form' );
is( ask( $app, "$ours/x", HTTP_COOKIE => cookie_of($answer) )->{status}, 200, '... opens, too' );

# A dual-use cookie as a ticket
$answer = ask( $app, '/login/?login_only=1', form => $FORM );
($ours) = $answer->{body} =~ m{(/cpsess[0-9]{10})};
my ($pasted) = header_of( $answer, 'Set-Cookie' ) =~ /session=([^;]+)/;
$answer = ask( $app, "$ours/login/?session=$pasted" );
is( header_of( $answer, 'Location' ), "$ours/", 'a dual-use cookie in a URL' );
isnt( cookie_of($answer), "cpsession=$pasted", '... is exchanged for another' );
is( ask( $app, "$ours/", HTTP_COOKIE => "cpsession=$pasted" )->{status},
    401, '... and opens nothing itself' );
is( ask( $app, "$ours/", HTTP_COOKIE => cookie_of($answer) )->{status},
    200, '... as the other does' );

# Another user is logged in
my ( $bobs_token, %as_bob );

# Following the redirect of a login uses the dual-use cookie as a cookie.
sub become_bob {
    my $bobs = ask( $app, '/login/', form => 'user=bob&pass=secret' );
    ($bobs_token) = header_of( $bobs, 'Location' ) =~ m{\A(/cpsess[0-9]{10})/};
    %as_bob = ( HTTP_COOKIE => cookie_of($bobs) );
    return is( ask( $app, "$bobs_token/", %as_bob )->{status}, 200, 'bob logs in' );
}
become_bob();
for my $form ( sort keys %form_of ) {
    my $target = $form_of{$form}->();
    $answer = ask( $app, $target, %as_bob );
    is( $answer->{status},                  409, "bob opens a link of alice's, of the form $form" );
    is( header_of( $answer, 'Set-Cookie' ), undef, '... and stays bob' );
    like(
        $answer->{body},
        qr/You are logged in as bob[.] Continue as alice[?]/,
        '... but is asked'
    );
    like( $answer->{body}, qr{href="$bobs_token/">Stay logged in as bob<}, '... can stay' );
    my %hidden   = $answer->{body} =~ /name="([a-z_]+)" value="([^"]*)"/g;
    my ($action) = $answer->{body} =~ /action="([^"]*)"/;
    my %yes      = ( form => join q{&}, map { "$_=$hidden{$_}" } sort keys %hidden );
    my $sent     = ask( $app, $action, %as_bob, %yes, HTTP_SEC_FETCH_SITE => 'cross-site' );
    is( header_of( $sent, 'Set-Cookie' ), undef, '... and another site can not confirm for bob' );
    is( ask( $app, header_of( $sent, 'Location' ), %as_bob )->{status},
        409, '... who is asked again' );
    $answer = ask( $app, $action, %as_bob, %yes );
    is( $answer->{status}, 302, '... or can continue' );
    like( header_of( $answer, 'Location' ), qr{/mail\?a=1\z}, '... to the page of the link' );
    is( ask( $app, "$bobs_token/", %as_bob )->{status}, 401, '... and is no longer bob' );
    become_bob();
}

# A form that another site has posted
for my $foreign (
    { HTTP_SEC_FETCH_SITE => 'cross-site' },
    { HTTP_SEC_FETCH_SITE => 'same-site' },
    { HTTP_ORIGIN         => 'https://evil.example' },
    { HTTP_ORIGIN         => 'null' }
    )
{
    $answer = ask( $app, '/login/', form => $FORM, %as_bob, %{$foreign} );
    is( header_of( $answer, 'Set-Cookie' ), undef, "@{[ %{$foreign} ]}: a login sets no cookie" );
    is( ask( $app, header_of( $answer, 'Location' ), %as_bob )->{status},
        409, '... but bob is asked' );
    $answer = ask( $app, '/login/', form => $FORM, %{$foreign} );
    like( cookie_of( ask( $app, header_of( $answer, 'Location' ) ) ),
        qr/=alice%3a/, '... and no session of alice is set' );
}
for my $own ( { HTTP_SEC_FETCH_SITE => 'same-origin' },
    { HTTP_ORIGIN => 'https://host.example:2083' } )
{
    like( cookie_of( ask( $app, '/login/', form => $FORM, %{$own} ) ),
        qr/=alice%3a/, "@{[ %{$own} ]}: a login sets its cookie" );
}

# Wrong tokens
$answer = ask( $app, '/login/', form => $FORM );
($token) = header_of( $answer, 'Location' ) =~ m{\A(/cpsess[0-9]{10})/};
$jar    = cookie_of($answer);
$answer = ask( $app, '/mail?a=1', HTTP_COOKIE => $jar );
is( $answer->{status}, 401, 'a cookie without a token' );
like( $answer->{body}, qr/<h1>Invalid Security Token/,               '... is told' );
like( $answer->{body}, qr/The security token is missing/,            '... what is missing' );
like( $answer->{body}, qr{href="/login/\?goto_uri=%2Fmail%3Fa%3D1"}, '... and can log in again' );
is( ask( $app, $_, HTTP_COOKIE => $jar )->{status}, 404, "$_ is no guess" )
    for qw(/favicon.ico /robots.txt /.well-known/x);

for my $wrong ( 1 .. 3 ) {
    is( ask( $app, "$token/", HTTP_COOKIE => $jar )->{status}, 200, 'the session lives' );
    $answer = ask( $app, "/cpsess000000000$wrong/", HTTP_COOKIE => $jar );
    like( $answer->{body}, qr/The security token in your request is invalid/,
        "wrong token $wrong" );
}
$answer = ask( $app, "$token/", HTTP_COOKIE => $jar );
is( $answer->{status}, 401, 'the third wrong token has ended the session' );
like( $answer->{body}, qr/Your session has expired[.] Please log in again[.]/, '... is told' );

# Logging out
for my $path (qw(/logout /logout/ TOKEN/logout TOKEN/logout/)) {
    my $login = ask( $app, '/login/', form => $FORM );
    ($token) = header_of( $login, 'Location' ) =~ m{\A(/cpsess[0-9]{10})/};
    $jar = cookie_of($login);
    my $target = $path =~ s/TOKEN/$token/r;
    ask( $app, $target, HTTP_COOKIE => $jar, HTTP_SEC_PURPOSE => 'prefetch' );
    is( ask( $app, "$token/", HTTP_COOKIE => $jar )->{status}, 200, 'a prefetch does not log out' );
    $answer = ask( $app, $target, HTTP_COOKIE => $jar );
    is( $answer->{status}, 200, "$path: logged out" );
    like( $answer->{body}, qr/role="status">You have logged out[.]</, '... is told' );
    is( header_of( $answer, 'Clear-Site-Data' ), '"cache"', '... and nothing stays in the cache' );
    my @cookies = header_of( $answer, 'Set-Cookie' );
    like( $_, qr/; Max-Age=0\z/, '... nor a cookie' ) for @cookies[ 0, 1 ];
    like(
        $cookies[2],
        qr/\Alogmein_left=[0-9]+; HttpOnly; .*; Max-Age=1\z/,
        '... and a cookie changes, so that no browser keeps a page for its back button'
    );
    is( scalar @cookies, 3, '... and no other is set' );
    is( ask( $app, "$token/", HTTP_COOKIE => $jar )->{status},
        401, '... and the session has ended' );
}
is( ask( $app, '/logout/' )->{status}, 200, 'logging out twice does no harm' );

# Programs get JSON
$answer = ask( $app, '/login/?login_only=1', form => $FORM );
($token) = $answer->{body} =~ m{(/cpsess[0-9]{10})};
my %as_program = ( HTTP_COOKIE => cookie_of($answer), HTTP_ACCEPT => 'application/json' );
is( ask( $app, "$token/json-api/x", %as_program )->{status}, 200, 'a program with all it needs' );
for my $case (
    [ {},                                    'cpanel',  '/json-api/x',       'Access denied' ],
    [ {},                                    'cpanel',  '/execute/x',        'Access denied' ],
    [ { HTTP_ACCEPT => 'application/json' }, 'cpanel',  '/x',                'Access denied' ],
    [ {%as_program},                         'cpanel',  '/json-api/x',       'Access denied' ],
    [ {%as_program},                         'whm',     "$token/json-api/x", 'Permission denied' ],
    [ {%as_program},                         'webmail', "$token/execute/x",  'Permission denied' ],
    )
{
    my ( $env, $service, $path, $error ) = @{$case};
    $answer = ask( $app, $path, service => $service, %{$env} );
    is( $answer->{status}, 403,                               "a program at $service $path" );
    is( $answer->{body},   qq({"status":0,"error":"$error"}), '... is told so' );
}

# Clear text
my %clear = ( 'psgi.url_scheme' => 'http', HTTP_HOST => 'host.example:2082', SERVER_PORT => 2082 );
( $ticket, $ours ) = Test::Cpanel::LogMeIn::parse_url( ( $site->login )[2] );
$answer = ask( $app, "$ours/x?session=$ticket", %clear );
is(
    header_of( $answer, 'Location' ),
    "https://host.example:2083$ours/x",
    'clear text redirects to TLS'
);
is( header_of( $answer, 'Set-Cookie' ), undef, '... without a cookie' );
is( ask( $app, "$ours/x?session=$ticket" )->{status},
    401, '... and a ticket that was seen there has ended' );
for my $twice ( 'query', 'form' ) {
    my @urls    = map { ( $site->login )[2] } 1 .. 2;
    my @tickets = map { ( Test::Cpanel::LogMeIn::parse_url($_) )[0] } @urls;
    my $both    = join q{&}, map { "session=$_" } @tickets;
    ask(
        $app,   '/login/' . ( $twice eq 'query' ? "?$both" : q{} ),
        %clear, form => $twice eq 'form' ? $both : 'x=1'
    );
    is( ask( $app, $_ =~ s{\Ahttps://[^/]+}{}r )->{status}, 401, "... each of two in the $twice" )
        for @urls;
}
is( ask( $app, '/', %clear, HTTP_HOST => 'evil.example' )->{status},
    400, '... and not to any host' );
is( ask( $app, '/login/', %clear, form => $FORM )->{status}, 302, '... a password neither' );
is( header_of( ask( $app, '/login/', %clear, form => $FORM ), 'Set-Cookie' ),
    undef, '... logs nobody in' );
is( ask( $app, '/', SERVER_PORT => 5000 )->{status}, 404, 'a port without a service' );
is( ask( gateway( service => 'cpanel' ), '/', SERVER_PORT => 5000 )->{status},
    401, '... unless it is said' );

# For front servers
$answer = ask( $app, '/login/?login_only=1', form => $FORM );
($token) = $answer->{body} =~ m{(/cpsess[0-9]{10})};
my %by_cookie = ( HTTP_COOKIE => cookie_of($answer) );
$answer = ask( $app, '/logmein/check', %by_cookie, HTTP_X_ORIGINAL_URI => "$token/x?y" );
is( $answer->{status},                                   204,      'a check of a good request' );
is( header_of( $answer, 'X-LogMeIn-User' ),              'alice',  '... tells whose' );
is( header_of( $answer, 'X-LogMeIn-Service' ),           'cpanel', '... and where' );
is( ask( $app, '/logmein/check', %by_cookie )->{status}, 401,      'a check of nothing' );
$answer = ask( $app, '/logmein/check', HTTP_X_ORIGINAL_URI => "$token/x?y" );
is( $answer->{status}, 401, 'a check of a request without a cookie' );
is( header_of( $answer, 'X-LogMeIn-Login' ),
    '/login/?goto_uri=%2Fx%3Fy', '... tells where to log in' );
is( header_of( $answer, 'X-LogMeIn-User' ), undef, '... and no name' );
is(
    ask(
        $app, '/logmein/check', %by_cookie,
        HTTP_X_ORIGINAL_URI => "$token/x",
        'psgi.url_scheme'   => 'http'
    )->{status},
    401,
    'a check of a request in clear text'
);
is( ask( $app, '/logmein/check', %by_cookie, HTTP_X_ORIGINAL_URI => "$token/%2e%2e/x" )->{status},
    401, 'a check of an invalid path' );
$answer = ask( $app, '/logmein/health' );
is( $answer->{status}, 200,    'the gateway is well' );
is( $answer->{body},   "ok\n", '... and says so' );

# The store is unavailable, and available again
{
    rename $site->dir . '/store', $site->dir . '/moved' or die $!;
    my $poor = gateway();
    $site->write_file( $site->dir . '/store', 'a file instead of the folder' );
    is( ask( $poor, "$token/x", %by_cookie )->{status}, 503, 'no store: a fault, never a yes' );
    is( ask( $poor, "$token/json-api/x", %by_cookie )->{status}, 503, '... for programs, too' );
    is( ask( $poor, '/logmein/check',    %by_cookie, HTTP_X_ORIGINAL_URI => "$token/x" )->{status},
        503, '... and for front servers' );
    is( ask( $poor, '/logmein/health' )->{status}, 503, '... which are told' );
    is( ask( $poor, '/logout', %by_cookie )->{status},
        503, '... and nobody is told that they are logged out' );
    is( ask( $poor, '/login/', form => $FORM )->{status}, 503,
        '... or that the password is wrong' );
    unlink $site->dir . '/store';
    rename $site->dir . '/moved', $site->dir . '/store' or die $!;
    is( ask( $poor, "$token/x", %by_cookie )->{status},
        200, 'the store is available again: so is the gateway' );
}

# The app's own pages
my %names =
    map { ( "HTTP_$_" => 'root' ) } qw(REMOTE_USER X_REMOTE_USER X_FORWARDED_USER X_LOGMEIN_USER);
$answer = ask( $app, "$token/x", %by_cookie, %names );
is( header_of( $answer, 'Cache-Control' ), 'no-store', 'a page of the app is not cached' );
my $plain = Plack::Middleware::LogMeIn->wrap(
    sub {
        my ($env) = @_;
        [
            200,
            [ 'Content-Type' => 'text/html', 'Cache-Control' => 'max-age=5' ],
            [ join q{,}, grep { $names{$_} } sort keys %{$env} ]
        ];
    }
);
$answer = ask( $plain, "$token/x", %by_cookie, %names );
is( header_of( $answer, 'Cache-Control' ), 'max-age=5', '... unless the app says otherwise' );
is( $answer->{body}, q{}, '... and client headers with user names are removed' );
is(
    ask( $app, "$token/x", %by_cookie, form => 'a=1' )->{body},
    "PANEL|POST|alice|cpanel|$token|/x|3",
    'a POST to the app has its body'
);
is( ask( Plack::App::LogMeIn->new->to_app, "$token/x", %by_cookie )->{status},
    404, 'the gateway alone has no pages' );

# Times
$site->clock( $START + 900 );
is( ask( gateway(), "$token/x", %by_cookie )->{status},
    401, 'after the idle time the session has ended' );

done_testing();
