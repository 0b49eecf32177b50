#!/usr/bin/perl

# Headers, addresses and paths as clients and fronts send them: what is refused, what
# is read, and what reaches the app; and where a failed login leads.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Gateway qw(ask cookie_of gateway header_of);
use Test::Cpanel::LogMeIn;

my $site =
    Test::Cpanel::LogMeIn->new( accounts => { alice => { password => 'secret', reseller => 1 } } );
my $app  = gateway();
my $FORM = 'user=alice&pass=secret';

sub open_session {
    my $answer = ask( $app, '/login/', form => $FORM );
    my ($token) = header_of( $answer, 'Location' ) =~ m{\A(/cpsess[0-9]{10})/};
    return ( $token, HTTP_COOKIE => cookie_of($answer) );
}
my ( $token, %alice ) = open_session();

sub shown {
    my ($text) = @_;
    return q{'} . ( $text =~ s{([^ -~])}{sprintf '%%%02x', ord $1}ger ) . q{'};
}

# Hosts
for my $host (
    'a b',      'a/b',     'a@b',       'a,b',  "a\tb",     'a:b',
    'a:1:2',    'a:65536', 'a:123456',  q{},    ':2083',    "a\0",
    "\xc3\xa9", 'a%2fb',   'https://a', '[::1', '[x]:2083', '[]',
    'a?b',      'a#b',     'a\\b',      '<a>',  '"a"',      'a b:2083',
    )
{
    is( ask( $app, "$token/x", %alice, HTTP_HOST => $host )->{status},
        400, 'the host ' . shown($host) . ' is invalid' );
    is( ask( $app, '/login/', form => $FORM, HTTP_HOST => $host )->{status}, 400,
        '... at a login' );
    is(
        ask(
            $app, '/logmein/check', %alice,
            HTTP_HOST           => $host,
            HTTP_X_ORIGINAL_URI => "$token/x"
        )->{status},
        401,
        '... in a check'
    );
}
for my $host (
    'host.example',  'HOST.example.:2083',      'my_host', '192.0.2.1:2083',
    '[2001:db8::1]', '[::ffff:192.0.2.1]:2083', 'a:',      'a:65535',
    undef
    )
{
    is( ask( $app, "$token/x", %alice, HTTP_HOST => $host )->{status},
        200, 'control: ' . ( $host // 'no host' ) . ' is not' );
}

# Clients that name another service than the one of their port
{
    my %at   = ( 2082   => 'cpanel',    2086 => 'whm',             2095    => 'webmail' );
    my %tls  = ( 2083   => 'cpanel',    2087 => 'whm',             2096    => 'webmail' );
    my %name = ( cpanel => 'cpsession', whm  => 'whostmgrsession', webmail => 'webmailsession' );
    my %way  = (
        'Host'             => sub { return ( '/login/', HTTP_HOST => "host.example:$_[0]" ) },
        'an absolute URI'  => sub { return ("https://host.example:$_[0]/login/") },
        'X-Forwarded-Port' => sub {
            return ( '/login/', HTTP_X_FORWARDED_PORT => $_[0], HTTP_X_FORWARDED_PROTO => 'https' );
        },
        'Forwarded' => sub {
            return ( '/login/',
                map { ( $_ => "host=\"host.example:$_[0]\";proto=https" ) }
                    qw(HTTP_FORWARDED HTTP_X_FORWARDED_HOST) );
        },
    );
    my ( $tries, $own, @elsewhere ) = ( 0, 0 );
    for my $port ( sort keys %at, keys %tls ) {
        my $service = $tls{$port} // $at{$port};
        for my $other ( sort keys %tls ) {
            for my $way ( sort keys %way ) {
                my ( $target, @more ) = $way{$way}->($other);
                my $answer = ask(
                    $app, $target,
                    form              => 'user=alice&pass=secret',
                    PATH_INFO         => '/login/',
                    SERVER_PORT       => $port,
                    'psgi.url_scheme' => $tls{$port} ? 'https' : 'http',
                    @more
                );
                my $cookies = join q{ }, header_of( $answer, 'Set-Cookie' );
                $tries++;
                $own++ if $cookies =~ /\b$name{$service}=/;
                push @elsewhere, "$way at $port: $cookies"
                    if grep { $_ ne $service && $cookies =~ /\b$name{$_}=/ } keys %name;
            }
        }
    }
    is_deeply( \@elsewhere, [], "$tries logins that name another service: none is there" );
    is( $own, 27, 'control: those at TLS ports that are no absolute URI are at their own' );
    note(     "42: $tries logins at the gateway itself that name another service, "
            . @elsewhere
            . ' there' );
}

# What reaches the app
my @NEVER = qw(PROXY FORWARDED X_REAL_IP X_FORWARDED_PREFIX X_FORWARDED_USER REMOTE_USER
    X_REMOTE_USER X_LOGMEIN_USER);
my @FRONT = qw(X_FORWARDED_FOR X_FORWARDED_PROTO X_FORWARDED_PORT X_FORWARDED_HOST);
my $names = sub {
    my ($env) = @_;
    return [
        200,
        [ 'Content-Type' => 'text/plain' ],
        [ join q{ }, grep { /\AHTTP_/ } sort keys %{$env} ]
    ];
};
my %sent = (
    ( map { ( "HTTP_$_" => 'x' ) } @NEVER ),
    HTTP_X_FORWARDED_FOR   => '192.0.2.1',
    HTTP_X_FORWARDED_PROTO => 'https',
    HTTP_X_FORWARDED_PORT  => 2083,
    HTTP_X_FORWARDED_HOST  => 'host.example',
    HTTP_X_OTHER           => 'x',
);

sub arrives {
    my $given = ask( Plack::Middleware::LogMeIn->wrap($names), "$token/x", %alice, %sent );
    my %name  = map { $_ => 1 } split q{ }, $given->{body};
    ok( $name{HTTP_X_OTHER}, 'control: other headers reach the app' );
    is_deeply( [ grep { $name{"HTTP_$_"} } @NEVER ], [], '... but not those that it may believe' );
    return [ grep { $name{"HTTP_$_"} } @FRONT ];
}
is_deeply( arrives(), [], '... nor what a front would say' );
$site->settings( trusted_proxies => '192.0.2.7' );
is_deeply( arrives(), \@FRONT, '... unless a front says it' );

# Addresses with ports
my $front = gateway();
for my $case (
    [ '203.0.113.9:555'               => '203.0.113.9' ],
    [ '[2001:db8::9]:555'             => '2001:db8::9' ],
    [ '[2001:db8::9]'                 => '2001:db8::9' ],
    [ '2001:db8::9'                   => '2001:db8::9' ],
    [ '203.0.113.9, 192.0.2.7:80'     => '203.0.113.9' ],
    [ '198.51.100.1:1, 203.0.113.9:2' => '203.0.113.9' ],
    [ '203.0.113.9:'                  => q{-} ],
    [ '203.0.113.9:x'                 => q{-} ],
    [ '[203.0.113.9:1'                => q{-} ],
    [ '[evil]:1'                      => q{-} ],
    )
{
    my ( $forwarded, $address ) = @{$case};
    my $name = 'u' . int rand 1e9;
    $site->account( $name => 'x' );
    ask(
        $front, '/login/',
        form                   => "user=$name&pass=wrong",
        HTTP_X_FORWARDED_FOR   => $forwarded,
        HTTP_X_FORWARDED_PROTO => 'https',
        HTTP_X_FORWARDED_PORT  => 2083,
    );
    like( $site->log_text, qr/\] \Q$address\E - $name /,
        "X-Forwarded-For: $forwarded is $address" );
}
$site->settings( trusted_proxies => undef );

# Two slashes before the token are one.
my $echo = Plack::Middleware::LogMeIn->wrap(
    sub {
        my ($env) = @_;
        return [ 200, [], [ join q{ }, @{$env}{qw(SCRIPT_NAME PATH_INFO REQUEST_URI)} ] ];
    }
);
is(
    ask( $echo, "/$token/x?a=//b", %alice )->{body},
    "$token /x $token/x?a=//b",
    'two slashes before the token are one, for the app, too'
);
my $link = ( $site->login )[2] =~ s{\Ahttps://[^/]+}{}r;
is( ask( $app, "/$link" )->{status}, 302, '... also in a login URL' );
is( ask( $app, $_, %alice )->{status}, 400, "... but not in $_" )
    for "//$token/x", "$token//x", "/$token//x", '//x', '//cpsess1/x', "//evil.example$token/x";
is( ask( $app, '/logmein/check', %alice, HTTP_X_ORIGINAL_URI => "/$token/x" )->{status},
    401, '... nor in a check, whose front passes the path on' );

# goto_uri that a portal has appended
sub opened {
    my ( $goto_uri, $more ) = @_;
    my $url = ( $site->login( goto_uri => $goto_uri ) )[2] =~ s{\Ahttps://[^/]+}{}r;
    return ask( $app, $url . $more );
}
for my $case (
    [ '/',     '&goto_uri=%2fmail%3Fa%3D1'      => '/mail?a=1' ],
    [ '/',     '&goto_uri=mail'                 => '/mail' ],
    [ '/',     '&goto_uri=/json-api/dummy/x'    => '/x' ],
    [ '/',     '&goto_uri=//evil.example'       => '/' ],
    [ '/',     '&goto_uri=https://evil.example' => '/' ],
    [ '/',     '&goto_uri='                     => '/' ],
    [ '/',     q{}                              => '/' ],
    [ '/x',    '&goto_uri=%2fmail'              => '/x?goto_uri=%2fmail' ],
    [ '/?a=1', q{}                              => '/?a=1' ],
    )
{
    my ( $goto_uri, $more, $expected ) = @{$case};
    my $answer = opened( $goto_uri, $more );
    like(
        header_of( $answer, 'Location' ),
        qr{\A/cpsess[0-9]{10}\Q$expected\E\z},
        "a login URL for $goto_uri with '$more' leads to $expected"
    );
}
is( opened( '/', '&goto_uri=/a&goto_uri=/b' )->{status}, 400, '... but two are refused' );
is( ask( $app, "$token/?goto_uri=/a&goto_uri=/b", %alice )->{status},
    200, '... unless they are those of a page' );
is(
    header_of(
        ask( $app, '/logmein/check', HTTP_X_ORIGINAL_URI => '/?goto_uri=/a' ),
        'X-LogMeIn-Login'
    ),
    '/login/?goto_uri=%2F%3Fgoto_uri%3D%2Fa',
    '... which the browser comes back to'
);
$link = ( $site->login )[2] =~ s{\Ahttps://[^/]+}{}r;
$link =~ s{/[?]}{?};
like( header_of( ask( $app, "$link&goto_uri=/a" ), 'Location' ),
    qr{\d/a\z}, '... also without a slash' );
$link = ( $site->login )[2] =~ s{\Ahttps://[^/]+}{}r;
like(
    header_of(
        ask( $app, '/logmein/check', HTTP_X_ORIGINAL_URI => "$link&goto_uri=%2fmail" ),
        'X-LogMeIn-Login'
    ),
    qr{/login/\?session=lmt_[\w-]+&goto_uri=%2Fmail\z},
    '... and in a check'
);

# The page
my $page = ask( $app, '/login/' )->{body};
like( $page, qr/<\w+[^<>]* id="$_"/, "the page has $_" ) for qw(login_form login_submit user pass);
my $answer = ask( $app, '/login/', form => "$FORM&goto_uri=%2fx%3Fa%26b" );
my ($home) = header_of( $answer, 'Location' ) =~ m{\A(/cpsess\d+)};
like(
    $answer->{body},
    qr{<META HTTP-EQUIV="refresh" CONTENT="2;URL=$home/x\?a&amp;b">},
    '... and a login leads on by META, in the letters that clients look for'
);

# failurl
my %foreign = ( HTTP_SEC_FETCH_SITE => 'cross-site' );
my $BAD     = 'user=alice&pass=wrong';

sub coded { my ($text) = @_; return $text =~ s/([^A-Za-z0-9])/sprintf '%%%02x', ord $1/ger }

sub failed {
    my ( $gateway, $url, %more ) = @_;
    my $form   = delete $more{form}   // $BAD;
    my $target = delete $more{target} // '/login/';
    $site->forget;
    return ask( $gateway, $target, form => "$form&failurl=" . coded($url), %more );
}
my $GOOD = 'https://portal.example/failed?x=1&y=2#z';
$answer = failed( $app, $GOOD );
is( $answer->{status},                401,   'failurl leads nowhere by default' );
is( header_of( $answer, 'Location' ), undef, '... at all' );
$site->settings( failurl_hosts => 'portal.example Other.example:8443' );
my $portal = gateway();
for my $more (
    {}, \%foreign,
    { form => 'user=&pass=x' },
    { form => 'pass=x' },
    { form => 'user=bob&pass=x' }
    )
{
    $answer = failed( $portal, $GOOD, %{$more} );
    is( $answer->{status}, 302, 'a failed login of a browser' );
    is( header_of( $answer, 'Location' ),   $GOOD, '... leads to failurl' );
    is( header_of( $answer, 'Set-Cookie' ), undef, '... without a cookie' );
    unlike( $answer->{body}, qr/alice|wrong|cpsess/, '... and with nothing of the login' );
}
for my $case (
    [ 'https://portal.example'         => 'https://portal.example/' ],
    [ 'HTTPS://Portal.Example:443/a b' => 'https://portal.example/a%20b' ],
    [ 'https://portal.example?x'       => 'https://portal.example/?x' ],
    [ 'https://portal.example/%41?"<>' => 'https://portal.example/%41?%22%3C%3E' ],
    [ 'https://other.example:8443/x'   => 'https://other.example:8443/x' ],
    )
{
    my ( $url, $expected ) = @{$case};
    is( lc( header_of( failed( $portal, $url ), 'Location' ) // 'none' ),
        lc $expected, "failurl $url" );
}
my @refused = (
    'http://portal.example/',              '//portal.example/',
    'https://evil.example/',               'https://portal.example.evil.example/',
    'https://x.portal.example/',           'https://portal.example@evil.example/',
    'https://user:pw@portal.example/',     'https://portal.example:8443/',
    'https://other.example/',              'https://portal.example\\@evil.example/',
    'https://portal.example./',            'https://portal.example//x',
    'https://portal.example/../x',         "https://portal.example/\r\nX: y",
    "https://portal.example\t/",           'https:portal.example/',
    'https:/portal.example/',              'https:///portal.example/',
    ' https://portal.example/',            '/failed',
    'javascript:alert(1)',                 q{},
    "https://portal.example/\0",           'https://portal.example/' . 'x' x 3_000,
    'https://evil.example#portal.example', 'https://evil.example?portal.example',
    'https://portal.example/x?session=y',
);
for my $url (@refused) {
    $answer = failed( $portal, $url );
    is( header_of( $answer, 'Location' ),
        undef, 'failurl ' . shown( substr $url, 0, 40 ) . ' is refused' );
    is( $answer->{status}, 401, '... with the login page' );
}
for my $more (
    [ { form        => 'user=a/b&pass=x' },          400 ],
    [ { form        => "user=alice&user=x&pass=x" }, 400 ],
    [ { target      => '/login/?login_only=1' },     401 ],
    [ { HTTP_ACCEPT => 'application/json' },         401 ],
    )
{
    $answer = failed( $portal, $GOOD, %{ $more->[0] } );
    is( $answer->{status}, $more->[1],
        "... for @{[ %{ $more->[0] } ]} the answer is the usual one" );
}
$answer = failed( $portal, $GOOD, form => $FORM );
like( header_of( $answer, 'Location' ), qr{\A/cpsess}, 'control: a good login does not fail' );
is( ask( $portal, '/login/?failurl=' . coded($GOOD), form => $BAD )->{status},
    401, '... and failurl is a field of the form' );
for my $wrong ( 'https://portal.example', 'a/b', '*', 'a@b' ) {
    $site->settings( failurl_hosts => $wrong );
    ok( !eval { gateway(); 1 }, "failurl_hosts = $wrong is refused at the start" );
    like( $@, qr/\Afailurl_hosts: '\Q$wrong\E' is not a host name/, '... with the reason' );
}
done_testing();
