#!/usr/bin/perl

# Attacks on the gateway: it must not allow a request without a session, disclose
# information, reflect input, or redirect to other hosts.

use strict;
use warnings;
use lib 't/lib';
use Fcntl qw(LOCK_EX);
use Test::More;
use Gateway qw(ask cookie_of gateway header_of);
use Test::Cpanel::LogMeIn;

my $site = Test::Cpanel::LogMeIn->new(
    accounts => {
        alice     => { password => 'secret', reseller  => 1 },
        suspended => { password => 'secret', suspended => 1 },
        expired   => { password => 'secret', expired   => 1 },
        locked    => { password => 'secret', locked    => 1 },
        max       => { password => 'secret', changed   => 1, max => 1 },
    }
);
my $app      = gateway();
my @SERVICES = qw(cpanel whm webmail);

# A session of each service
my ( %token, %cookie );
for my $service (@SERVICES) {
    my $answer = ask(
        $app, '/login/',
        service => $service,
        form    => 'user=alice&pass=secret'
    );
    ( $token{$service} ) = header_of( $answer, 'Location' ) =~ m{\A(/cpsess[0-9]{10})/};
    $cookie{$service} = cookie_of($answer);
    my $page =
        ask( $app, "$token{$service}/", service => $service, HTTP_COOKIE => $cookie{$service} );
    is( $page->{status}, 200, "control: a session of $service opens $service" );
}

# Every pair of a port and a cookie, with every token; the cookie with its own name
# and with the name of the port's service
my %name = map { $_ => $cookie{$_} =~ /\A([^=]*)/ } @SERVICES;
my ( $pairs, @opened ) = (0);
for my $port (@SERVICES) {
    for my $of (@SERVICES) {
        for my $token (@SERVICES) {
            for my $name ( $name{$of}, $name{$port} ) {
                next if $port eq $of && $token eq $port;
                next if $of ne $port && $token ne $of && $token ne $port;
                $pairs++;
                my $cookie = $cookie{$of} =~ s/\A[^=]*/$name/r;
                my $page   = ask(
                    $app, "$token{$token}/json-api/x",
                    service     => $port,
                    HTTP_COOKIE => $cookie
                );
                my $wanted = $of ne $port && $token eq $of ? 'Permission denied' : 'Access denied';
                push @opened, "$port $of $token $name: $page->{status} $page->{body}"
                    if $page->{status} != 403 || $page->{body} !~ /\Q$wanted/;
            }
        }
    }
}
is_deeply( \@opened, [], "$pairs pairs of a port, a cookie and a token that don't agree" );
note( "8: $pairs pairs of a port and a cookie that do not agree, " . @opened . ' open' );
is( ask( $app, "$token{$_}/", service => $_, HTTP_COOKIE => $cookie{$_} )->{status},
    200, "control: after that the session of $_ still opens it" )
    for qw(cpanel);

# A token is not a credential, and unknown cookies are not adopted
my $let_in = 0;
for ( 1 .. 10_000 ) {
    $let_in++ if ask( $app, "$token{cpanel}/x" )->{status} != 401;
}
is( $let_in, 0, '10,000 requests with the right token and no cookie' );
note("3: 10,000 requests with the right token and no cookie, $let_in let in");
for my $number ( 1 .. 1_000 ) {
    my $made_up = sprintf 'cpsession=alice%%3a%043d', $number;
    my $answer  = ask( $app, "$token{cpanel}/x", HTTP_COOKIE => $made_up );
    $let_in++ if $answer->{status} != 401 || header_of( $answer, 'Set-Cookie' );
}
is( $let_in, 0, '1,000 cookies that nobody was given' );
note("7: 1,000 cookies that nobody was given, $let_in adopted");

# A login makes a new cookie, whichever the browser sends
my $kept  = 0;
my $fixed = $cookie{cpanel};
for my $number ( 1 .. 1_000 ) {
    my $sent = $number % 2 ? $fixed : sprintf 'cpsession=alice%%3a%043d', $number;
    my $given =
        cookie_of( ask( $app, '/login/', form => 'user=alice&pass=secret', HTTP_COOKIE => $sent ) );
    $kept++ if !$given || $given eq $sent || $given eq $fixed;
    $fixed = $given;
}
is( $kept, 0, '1,000 logins of browsers that have a cookie: each gets another' );
note("7: 1,000 logins with a cookie, $kept keep it");
( $token{cpanel}, $cookie{cpanel} ) = do {
    my $answer = ask( $app, '/login/', form => 'user=alice&pass=secret' );
    ( header_of( $answer, 'Location' ) =~ m{\A(/cpsess[0-9]{10})/}, cookie_of($answer) );
};
ask( $app, "$token{cpanel}/x", HTTP_COOKIE => $cookie{cpanel} );
for my $fill (qw(A z)) {
    my $twice = "$cookie{cpanel}; cpsession=alice%3a" . $fill x 43;
    is( ask( $app, "$token{cpanel}/x", HTTP_COOKIE => $twice )->{status},
        401, 'of two different cookies none is used' );
}
is(
    ask( $app, "$token{cpanel}/x", HTTP_COOKIE => "$cookie{cpanel}; a=b; $cookie{cpanel}" )
        ->{status},
    200,
    'control: the same cookie twice is used'
);

# Answers contain no raw bytes of the request
my @raw;
my ( $looked, $packed ) = ( 0, 0 );

sub look {
    my ( $what, $answer ) = @_;
    $looked++;
    $packed++ if grep { lc eq 'content-encoding' } @{ $answer->{headers} };
    my @headers = @{ $answer->{headers} };
    push @raw, "$what: header" if grep { /[^\x20-\x7e]/ } @headers;
    push @raw, "$what: page"   if $answer->{body} =~ /[^\n\x20-\x7e]/;
    push @raw, "$what: $answer->{status}"
        if $answer->{status} =~ /\A2/ && $answer->{body} =~ /PANEL/;
    return;
}
my @bytes   = map { chr } 0 .. 31, 127;
my @headers = qw(HTTP_HOST HTTP_COOKIE HTTP_USER_AGENT HTTP_ACCEPT HTTP_ORIGIN HTTP_SEC_FETCH_SITE
    HTTP_SEC_PURPOSE HTTP_PURPOSE HTTP_X_FORWARDED_FOR HTTP_X_FORWARDED_PROTO HTTP_X_FORWARDED_PORT
    HTTP_X_ORIGINAL_URI HTTP_X_ORIGINAL_METHOD CONTENT_TYPE REQUEST_METHOD REMOTE_ADDR);
for my $byte (@bytes) {
    my $shown = sprintf '%%%02x', ord $byte;
    for my $field (qw(user pass goto_uri active_token_for_reuse tfa_token session confirmed x)) {
        for my $coded ( $byte, $shown ) {
            my %form = ( user => 'alice', pass => 'secret', $field => "a${coded}b" );
            my $form = join q{&}, map { "$_=$form{$_}" } sort keys %form;
            $site->forget;
            look( "form $field $shown", ask( $app, $_, form => $form ) )
                for '/login/', '/login/?login_only=1', "$token{cpanel}/login";
        }
    }
    for my $name (@headers) {
        for my $target ( '/login/', '/logmein/check', '/x', '/logout/' ) {
            look( "$name $shown", ask( $app, $target, $name => "a${byte}b" ) );
        }
        look( "$name $shown in front",
            ask( $app, '/logmein/check', HTTP_X_ORIGINAL_URI => '/x', $name => "a${byte}b" ) );
    }
    for my $coded ( $byte, $shown, uc $shown ) {
        for my $target ( "/a${coded}b", "$token{cpanel}/a${coded}b" ) {
            my $answer = ask( $app, $target, HTTP_COOKIE => $cookie{cpanel} );
            look( "path $shown", $answer );
            push @raw, "path $shown: $answer->{status}" if $answer->{status} != 400;
        }
        for my $target ( "/login/?goto_uri=a${coded}b", "/login/?session=a${coded}b",
            "/x?a=${coded}" )
        {
            look( "query $shown", ask( $app, $target ) );
        }
    }
}
is_deeply( \@raw, [], 'control bytes in every field, header and path' );
note( '32: ' . @bytes . " control bytes in $looked requests, " . @raw . ' raw in an answer' );
is( $packed, 0, 'no answer is compressed: its length tells nothing about secrets' );
note("32: $looked answers to clients that take gzip, $packed compressed");
ok( !scalar( $site->log_text =~ /[^\n\x20-\x7e]/ ), '... and none of them in the log' );
look( 'control', { status => 200, headers => [ 'X', "a\rb" ], body => "a\tPANEL" } );
is( scalar @raw, 3, 'control: it would be found' );
@raw = ();

# Ambiguous paths
my @tricks = (
    '/a%2fb',         '/a%2Fb',   '/%2f',      '/../x',
    '/./x',           '/a/..',    '/a/.',      '/%2e%2e/',
    '/%2E/',          '/.%2e/',   '//x',       '/a//b',
    '/..;/x',         '/a/.;x/b', '/a\\b',     '/a%5cb',
    '/%5C',           '/a%',      '/a%zz',     '/a%2',
    '/%c0%ae%c0%ae/', '/%ff',     '/a%c3',     '/%ed%a0%80',
    '/%f8%88%80',     '/a#b',     "/\xc3\xa9", "/a b",
    '/%00',           '/a%0d%0a', '/a%7f',     '/%252f/../x',
);
for my $trick (@tricks) {
    for my $target ( $trick, "$token{cpanel}$trick" ) {
        my $answer = ask( $app, $target, HTTP_COOKIE => $cookie{cpanel} );
        push @raw, "$target: $answer->{status}" if $answer->{status} != 400;
        $answer = ask(
            $app, '/logmein/check',
            HTTP_COOKIE         => $cookie{cpanel},
            HTTP_X_ORIGINAL_URI => $target
        );
        push @raw, "check of $target: $answer->{status}" if $answer->{status} != 401;
    }
}
for my $target ( 'http://host.example/', 'x', '*', q{}, '/cpsess', 'https://host.example:2083/x' ) {
    my $answer = ask( $app, $target, HTTP_COOKIE => $cookie{cpanel} );
    push @raw, "$target: $answer->{status}" if $answer->{status} !~ /\A40[01]\z/;
}
for my $target ( map { "$token{cpanel}$_" } '/a%252fb',
    '/a;b', '/%c3%a9', '/a.b/..c', '/a%20b+c', q{}, '/' )
{
    my $answer = ask( $app, $target, HTTP_COOKIE => $cookie{cpanel} );
    push @raw, "$target: $answer->{status}" if $answer->{status} != 200;
}
for my $target ( "$token{cpanel};x/", "$token{cpanel}1/", uc "$token{cpanel}/",
    "/x$token{cpanel}/" )
{
    my $answer =
        ask( $app, $target, HTTP_COOKIE => $cookie{cpanel}, HTTP_ACCEPT => 'application/json' );
    push @raw, "$target: $answer->{status}" if $answer->{status} != 403;
}
is_deeply( \@raw, [], 'ambiguous paths are refused; control: others are allowed' );
is( ask( $app, "$token{cpanel}/x", HTTP_COOKIE => $cookie{cpanel}, PATH_INFO => '/y' )->{status},
    400, 'a server that sees another path than the gateway' );
for my $case ( [ "\xe2\x82\xac", 200, 'control: bytes' ], [ "\x{20ac}", 400, 'a character' ] ) {
    my ( $seen, $status, $what ) = @{$case};
    my %more = ( HTTP_COOKIE => $cookie{cpanel}, PATH_INFO => "$token{cpanel}/$seen" );
    is( ask( $app, "$token{cpanel}/%e2%82%ac", %more )->{status},
        $status, "a server that decodes a path to $what" );
}

# Duplicate parameters
for my $form (
    'user=alice&user=bob&pass=secret',
    'user=alice&pass=secret&pass=x',
    'session=a&session=b'
    )
{
    is( ask( $app, '/login/', form => $form )->{status}, 400, "$form is no login" );
}
my $url = ( $site->login )[2] =~ s{\Ahttps://[^/]+}{}r;
my ($ticket) = $url =~ /session=(.*)/;
is( ask( $app, "$url&session=$ticket" )->{status},         400, 'a duplicate ticket' );
is( ask( $app, "$url&goto_uri=/a&goto_uri=/b" )->{status}, 400, '... or page' );
is( ask( $app, $url )->{status},                           302, '... is not spent' );

# Redirects after a login
my @foreign = (
    '//evil.example',             '/\\evil.example',
    '/%5cevil.example',           "/\t/evil.example",
    '/%09/evil.example',          'https://evil.example',
    'https:evil.example',         '@evil.example',
    '/@evil.example',             '.evil.example',
    ':80@evil.example',           '/.%2e/login/?session=x',
    '/../../evil',                '///evil.example',
    '/%2f/evil.example',          'javascript:alert(1)',
    '/x?session=lmt_' . 'A' x 43, '/"><script>alert(1)</script>',
);
for my $foreign (@foreign) {
    my $coded = $foreign =~ s/([^A-Za-z0-9])/sprintf '%%%02x', ord $1/ger;
    for my $answer (
        ask( $app, '/login/', form => "user=alice&pass=secret&goto_uri=$coded" ),
        ask(
            $app,
            ( $site->login )[2] =~ s{\Ahttps://[^/]+(/cpsess\d+)/}{$1/login/}r . "&goto_uri=$coded"
        )
        )
    {
        my $target = header_of( $answer, 'Location' );
        push @raw, "$foreign: $target"
            if defined $target && $target !~ m{\A/cpsess[0-9]{10}(?:/(?![/\\])[^\\<>"]*)\z};
        push @raw, "$foreign: on the page"       if $answer->{body}   =~ /<script|javascript:/;
        push @raw, "$foreign: $answer->{status}" if $answer->{status} !~ /\A(?:302|400)\z/;
    }
}
is_deeply( \@raw, [], 'no goto_uri leads to another host, or into the page' );

# Generated strings in all fields that a page may contain
my @pieces =
    ( qw(< > " ' & ; / = ` script img onerror svg), ' ', '<!--', '-->', '&#x3c;', '{{', q{} );
for my $number ( 1 .. 2_000 ) {
    my $text = join q{},
        map { $pieces[ ( $number * 7 + $_ * $_ * 13 + int $number / $_ ) % @pieces ] } 1 .. 6;
    my $coded  = $text =~ s/([^A-Za-z0-9])/sprintf '%%%02x', ord $1/ger;
    my ($page) = map { $_->{body} } ask( $app, "/login/?goto_uri=$coded" );
    my $query  = ask( $app, "$token{cpanel}/x?$coded" )->{body};
    $page .= $query . ask( $app, '/login/', form => "user=$coded&pass=x&goto_uri=$coded" )->{body};
    push @raw, $text           if $page =~ /<(?:script|img src="[^d]|svg|!--)|value="[^"]*[<>]/;
    push @raw, "$text: quotes" if $page =~ /value="[^"]*"[^ >]/;
}
is_deeply( \@raw, [], '2,000 strings, none of them unescaped on a page' );
note( '32: 2,000 strings of markup, ' . @raw . ' unescaped on a page' );
like( '<input value="/"><script>', qr/value="[^"]*"[^ >]|<script/, 'control: it would be found' );

# The same answer for all refused accounts, and for names that do not exist
for my $target ( '/login/', '/login/?login_only=1' ) {
    my %answers;
    my @causes = (
        ( map { "user=$_&pass=secret" } qw(suspended expired locked max nobody no@where.example) ),
        'user=alice&pass=wrong',
        'user=alice&pass=' . 'x' x 300
    );
    for ( 1 .. 200 ) {
        for my $form (@causes) {
            my $answer = ask( $app, $target, form => "$form&goto_uri=/x" );
            my $text   = join "\n", $answer->{status}, @{ $answer->{headers} }, $answer->{body};
            $answers{ $text =~ s/^Date\n.*\n//mr } = $form;
        }
        $site->forget;
    }
    is( scalar keys %answers, 1, "$target: one answer for all that is refused" )
        or diag( join "\n", values %answers );
    note( '13: ' . @causes . ' causes of refusal, 200 times each, ' . keys(%answers) . ' answer' );
    my $other = ask( $app, $target, form => 'user=alice&pass=&goto_uri=/x' );
    ok( !$answers{ join "\n", $other->{status}, @{ $other->{headers} }, $other->{body} },
        'control: another one would be seen' );
}

# Large requests
my $long = ask( $app, '/login/', form => 'user=alice&pass=' . 'x' x 1_048_576 );
is( $long->{status}, 413, 'a login form of a mebibyte' );
is( ask( $app, '/login/', form => 'user=alice&pass=secret', CONTENT_TYPE => $_ )->{status},
    415, "a login form of the type $_" )
    for qw(application/json multipart/mixed text/plain);
is( ask( $app, '/login/', form => 'user=alice&pass=secret', CONTENT_LENGTH => $_ )->{status},
    413, "a login form with '$_' bytes" )
    for '-1', '1x', 99_999_999_999;
is(
    ask(
        $app, '/login/',
        form           => "user=alice&pass=secret&x=" . 'y' x 70_000,
        CONTENT_LENGTH => undef
    )->{status},
    413,
    'a long form without Content-Length'
);

# The number of parallel hashes is limited
{
    my $busy = gateway( logins_at_once => 1 );
    open my $slot, '+>', $site->dir . '/store/login-slot.1' or die $!;
    flock $slot, LOCK_EX or die $!;
    my $start  = time;
    my $answer = ask( $busy, '/login/', form => 'user=alice&pass=secret' );
    is( $answer->{status}, 503, 'while others log in, a login waits, and is then refused' );
    is( header_of( $answer, 'Retry-After' ), 5, '... for a while' );
    cmp_ok( time - $start, '>=', 4, '... after five seconds' );
    is( ask( $busy, "$token{cpanel}/", HTTP_COOKIE => $cookie{cpanel} )->{status},
        200, '... and those who are logged in do not wait' );
    close $slot or die $!;
    is( ask( $busy, '/login/', form => 'user=alice&pass=secret' )->{status},
        302, 'control: then it is good' );
}

# Trusted sources of the browser's address
my @believed = (
    [ q{},            '192.0.2.7',    '203.0.113.9',            '192.0.2.7' ],
    [ '192.0.2.7',    '192.0.2.7',    '203.0.113.9',            '203.0.113.9' ],
    [ '192.0.2.7',    '192.0.2.7',    '1.1.1.1, 203.0.113.9',   '203.0.113.9' ],
    [ '192.0.2.0/24', '192.0.2.7',    '203.0.113.9, 192.0.2.8', '203.0.113.9' ],
    [ '192.0.2.7',    '192.0.2.7',    "evil\n",                 q{-} ],
    [ '192.0.2.7',    '198.51.100.1', '203.0.113.9',            '198.51.100.1' ],
);
for my $case (@believed) {
    my ( $proxies, $peer, $forwarded, $wanted ) = @{$case};
    $site->settings( trusted_proxies => $proxies );
    my $front = gateway();
    my $name  = 'u' . int rand 1e9;
    $site->account( $name => 'x' );
    ask(
        $front, '/login/',
        form                   => "user=$name&pass=wrong",
        REMOTE_ADDR            => $peer,
        HTTP_X_FORWARDED_FOR   => $forwarded,
        HTTP_X_FORWARDED_PROTO => 'https',
        HTTP_X_FORWARDED_PORT  => 2083,
    );
    like(
        $site->log_text,
        qr/\] \Q$wanted\E - $name /,
        "from $peer, behind '$proxies', for '@{[ $forwarded =~ s{\n}{}r ]}': $wanted"
    );
}
$site->settings( trusted_proxies => '192.0.2.7' );
my $front = gateway();
my %good  = ( HTTP_COOKIE => $cookie{cpanel}, HTTP_X_FORWARDED_PORT => 2083 );
is( ask( $front, "$token{cpanel}/", %good, HTTP_X_FORWARDED_PROTO => 'https' )->{status},
    200, 'a front by TLS' );
is( ask( $front, "$token{cpanel}/", %good, HTTP_X_FORWARDED_PROTO => $_ )->{status},
    302, "a front by '$_' is clear text" )
    for 'http', 'https, http', q{};
is(
    ask(
        $app, "$token{cpanel}/", %good,
        'psgi.url_scheme'      => 'http',
        HTTP_X_FORWARDED_PROTO => 'https'
    )->{status},
    302,
    'control: other clients can not claim TLS'
);

# No secrets in the log
my $log = $site->log_text;
cmp_ok( length $log, '>', 10_000, 'there is a log' );
unlike( $log, qr/lmt_|secret/, '... without tickets and passwords' );
unlike( $log, qr/\Q$_\E/,      '... and without cookies' ) for map { /%3a(.*)/ } values %cookie;

done_testing();
