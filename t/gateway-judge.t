#!/usr/bin/perl

# What servers use that refuse a request before they read its body: judge by the head,
# the order of logins, and answers to what never reaches the gateway.

use strict;
use warnings;
use lib 't/lib';
use Fcntl            qw(LOCK_EX);
use IO::Socket::UNIX ();
use JSON::PP         ();
use Test::More;
use Gateway qw(answer_of ask cookie_of env_of gateway header_of panel);
use Test::Cpanel::LogMeIn;

my $site    = Test::Cpanel::LogMeIn->new( accounts => { alice => 'secret', bob => 'secret' } );
my $gateway = Plack::App::LogMeIn->new;
$gateway->prepare_app;
my $app  = gateway( gateway => $gateway );
my $FORM = 'user=alice&pass=secret';
my $LONG = 65_537;

sub log_in {
    my $answer = ask( $app, '/login/', form => $FORM );
    my ($token) = header_of( $answer, 'Location' ) =~ m{\A(/cpsess[0-9]{10})/};
    return ( $token, cookie_of($answer) );
}
my ( $token, $cookie ) = log_in();

# A head without its body.
sub head_of {
    my ( $target, %more ) = @_;
    my $env = env_of( $target, %more );
    delete $env->{'psgi.input'};
    return $env;
}

sub verdict_of {
    my $verdict = $gateway->judge( head_of(@_) );
    return ref $verdict ? $verdict->[0] : $verdict;
}

sub ticket { return ( $site->login )[2] =~ s{\Ahttps://[^/]+}{}r }
my %clear = ( 'psgi.url_scheme' => 'http', HTTP_HOST => 'localhost:2082', SERVER_PORT => 2082 );
my $PUT   = { REQUEST_METHOD => 'PUT' };
my %long  = ( CONTENT_LENGTH => $LONG );
my %type  = ( CONTENT_TYPE   => 'application/json' );
my %in    = ( HTTP_COOKIE    => $cookie );

for my $case (
    [ 'pass', 'a session',            "$token/x", %in ],
    [ 'pass', '... with a long body', "$token/x", %in, form => 'x', %long ],
    [ 'pass', '... of any type',      "$token/x", %in, form => 'x', %type ],
    [ 401,    'no session',           "$token/x" ],
    [ 401,    '... but a body',       "$token/x", form => 'x', %long ],
    [ 401,    'a wrong token',        '/cpsess0000000000/x', %in, form => 'x' ],
    [ 200,    'the login page',       '/login/' ],
    [ 'form', 'a login',              '/login/',              form => $FORM ],
    [ 'form', '... below a token',    "$token/login",         form => $FORM ],
    [ 'form', '... for programs',     '/login/?login_only=1', form => $FORM ],
    [ 413,    '... that is too long', '/login/',              form => $FORM, %long ],
    [
        413, '... of which the length is no number', '/login/',
        form           => $FORM,
        CONTENT_LENGTH => '1x'
    ],
    [ 'form', '... of the longest',  '/login/', form => $FORM, CONTENT_LENGTH => $LONG - 1 ],
    [ 415,    '... of another type', '/login/', form => $FORM, %type ],
    [ 405,    '... by PUT',          '/login/', form => $FORM, %{$PUT} ],
    [ 400,    'an ambiguous path',   '/a%2fb',  form => $FORM ],
    [ 404,    'no service',          '/login/', form => $FORM, SERVER_PORT => 5000 ],
    [ 302,    'clear text',          '/x',      %clear ],
    [ 'form', '... with a form',     '/x',      %clear, form => 'x=1' ],
    [ 302,    '... with a long one', '/x',      %clear, form => 'x=1', %long ],
    [ 'form', '... with a login',    '/login/', %clear, form => $FORM ],
    [ 200,    'health',              '/logmein/health' ],
    [ 204,    'a check',             '/logmein/check', %in, HTTP_X_ORIGINAL_URI => "$token/x" ],
    [ 401,    '... of nothing',      '/logmein/check', HTTP_X_ORIGINAL_URI => "$token/x" ],
    )
{
    my ( $expected, $name, @request ) = @{$case};
    is( verdict_of(@request), $expected, "$name: $expected" );
}
is( verdict_of( ticket() ), 302, 'a login URL is redeemed at once' );

# A form is read when it is complete.
my $env = env_of( '/login/', form => $FORM );
is( $gateway->judge($env), 'form', 'a login waits for its form' );
my $answer = answer_of( $app->($env) );
is( $answer->{status}, 302, '... and is then answered by the app' );
like( cookie_of($answer), qr/alice%3a/, '... with a cookie' );
my $url = ticket() =~ s{/[?]session=}{/x?session=}r;
my ($secret) = $url =~ /session=(.*)/;
$env = env_of( '/login/', form => "session=$secret", %clear );
is( $gateway->judge($env),       'form', 'so does a form in clear text' );
is( $app->($env)->[0],           302,    '... which is redirected' );
is( ask( $app, $url )->{status}, 401,    '... and its ticket is ended' );

# An allowed request goes to the app, without a second check.
my $calls = 0;
my $inner = Plack::Middleware::LogMeIn->wrap( sub { $calls++; return panel(@_) } );
my $outer = Plack::Middleware::LogMeIn->wrap( $inner, gateway => $gateway );
$env = env_of( "$token/x", %in );
is( $gateway->judge($env), 'pass', 'an allowed request' );
is(
    join( q{}, @{ $outer->($env)->[2] } ),
    "PANEL|GET|alice|cpanel|$token|/x|0",
    '... reaches the app, by any number of gateways'
);
is( $calls, 1, '... once' );
$answer = ask( $outer, "$token/x", %in );
is( $answer->{body}, "PANEL|GET|alice|cpanel|$token|/x|0", '... also without judge' );
is( header_of( $answer, 'Cache-Control' ), 'no-store', '... and is not cached' );
is( ask( $outer, "$token/x" )->{status},   401,        'control: without a session it does not' );
is( $calls,                                2,          '... reach the app' );
$env = env_of( "$token/x", %in );
$gateway->judge($env);
is( $gateway->call($env)->[0], 404, 'the gateway alone has no pages' );
$env = env_of( "$token/x", %in );
$gateway->judge($env);
my $whm = Plack::Middleware::LogMeIn->wrap( \&panel, service => 'whm' );
is( $whm->($env)->[0], 403, 'an app that is for another service only stays closed' );

# The order of logins.
sub order_of {
    my (@request) = @_;
    my $asked     = env_of(@request);
    my $order     = $gateway->login_order($asked);
    my $rest      = do { local $/ = undef; readline $asked->{'psgi.input'} };
    my %more      = @request[ 1 .. $#request ];
    is( $rest, $more{form} // q{}, '... the form can be read again' );
    return $order ? $order->{source} : undef;
}
for my $case (
    [ '192.0.2.7'            => '192.0.2.7' ],
    [ '::ffff:192.0.2.7'     => '192.0.2.7' ],
    [ '64:ff9b::192.0.2.7'   => '192.0.2.7' ],
    [ '2001:db8:1:2:3:4:5:6' => '2001:db8:1:2::/64' ],
    [ '2001:db8:1:2:ffff::1' => '2001:db8:1:2::/64' ],
    [ '::1'                  => '::/64' ],
    )
{
    my ( $address, $source ) = @{$case};
    is( order_of( '/login/', form => $FORM, REMOTE_ADDR => $address ),
        $source, "a login from $address counts at $source" );
}
my ( $ours, $ticket ) = ticket() =~ m{\A(/cpsess[0-9]+)/.*session=(.*)};
for my $case (
    [ 'a ticket',     '/login/', form => "session=$ticket" ],
    [ 'no user',      '/login/', form => 'pass=x' ],
    [ 'two users',    '/login/', form => 'user=a&user=b&pass=x' ],
    [ 'clear text',   '/login/', form => $FORM, %clear ],
    [ 'another type', '/login/', form => $FORM, %type ],
    )
{
    my ( $name, @request ) = @{$case};
    is( order_of(@request), undef, "$name: no password will be checked" );
}
is(
    $gateway->login_order( env_of( '/login/', form => $FORM ) )->{known} ? 1 : 0,
    $gateway->sessions->can('is_known')                                  ? 1 : 0,
    'alice is known where she has logged in'
);
ok( !$gateway->login_order( env_of( '/login/', form => 'user=bob&pass=x' ) )->{known},
    '... but not bob' );

# At the gateway's socket
{
    my $path = $site->dir . '/gateway.sock';
    $site->settings( gateway_socket => $path );
    my $at_socket = Plack::App::LogMeIn->new;
    $at_socket->prepare_app;
    my $listener = IO::Socket::UNIX->new( Local => $path, Listen => 5 ) or die "$path: $!";
    my $accepted = sub {
        my $client = IO::Socket::UNIX->new($path) or die "$path: $!";
        return ( $client, $listener->accept );
    };
    my ( $client, $io ) = $accepted->();
    my %here    = ( REMOTE_ADDR => undef, 'psgi.url_scheme' => 'http', 'psgix.io' => $io );
    my $verdict = sub {
        my $given = $at_socket->judge( head_of(@_) );
        return ref $given ? $given->[0] : $given;
    };
    is( $verdict->( '/login/', form => $FORM, %here ),        'form', 'a login at the socket' );
    is( $verdict->( '/login/', form => $FORM, %here, %long ), 413,    '... that is too long' );
    is( $verdict->( '/login/', form => $FORM, %here, %type ), 415,    '... of another type' );
    is( $verdict->( '/login/', %here ),                       400,    '... by GET' );
    is( $verdict->( '/x', form => $FORM, %here ),             400,    '... at another path' );
    my $order = sub {
        my ( $socket, $form ) = @_;
        return $at_socket->login_order(
            env_of( '/login/', %here, 'psgix.io' => $socket, form => $form ) );
    };
    is( $order->( $io, $FORM )->{source}, "uid $<", '... counts for its user' );
    my $by_cgi = $order->( $io, "$FORM&remote_addr=192.0.2.7" );
    is( $by_cgi->{source}, '192.0.2.7', '... or for the browser that it names' );
    ok( $by_cgi->{known}, '... which is known' );
    is( $order->( $io, 'pass=x' ), undef, '... but not without a user' );
SKIP: {
        skip 'only root can be another user', 2 if $< != 0;
        chmod oct 755, $site->dir or die $!;
        chmod oct 666, $path      or die $!;
        my $nobody = getpwnam 'nobody';
        my @other  = do { local $> = $nobody; $accepted->() };
        my $named  = $order->( $other[1], "$FORM&remote_addr=192.0.2.7" );
        is( $named->{source}, "uid $nobody", '... a user who is not believed counts as such' );
        ok( !$named->{known}, '... and is never known' );
    }
    $site->settings( gateway_socket => undef );
}

# A server that limits the hashes itself.
{
    my $busy = gateway( logins_at_once => 1 );
    open my $slot, '+>', $site->dir . '/store/login-slot.1' or die $!;
    flock $slot, LOCK_EX or die $!;
    is( ask( $busy, '/login/', form => $FORM, 'logmein.slot' => 1 )->{status},
        302, 'a login with a slot of the server does not wait for another' );
    close $slot or die $!;
}

# What never reaches the gateway.
for my $status ( 400, 408, 411, 413, 431, 503 ) {
    for my $target ( '/x', '/a b', q{}, '*', "\xff", undef ) {
        my $broken = head_of( '/', REQUEST_URI => $target );
        is( $gateway->refusal( $broken, $status )->[0], $status, "refused with $status" );
    }
}
{
    my @warnings;
    local $SIG{__WARN__} = sub { push @warnings, @_ };
    my %few = ( REMOTE_ADDR => '192.0.2.7', SERVER_PORT => 2083, 'psgi.url_scheme' => 'https' );
    is( $gateway->refusal( \%few, 400 )->[0], 400, 'a request of which no line is known' );
    is_deeply( \@warnings, [], '... without a warning' );
}
$answer = answer_of( $gateway->refusal( head_of('/login/?login_only=1'), 503 ) );
is( header_of( $answer, 'Retry-After' ), 5, 'too many logins: with Retry-After' );
like( header_of( $answer, 'Cache-Control' ), qr/no-store/, '... not cached' );
is_deeply(
    JSON::PP::decode_json( $answer->{body} ),
    {
        status  => 0,
        message => 'Too many people are logging in at this moment. Please try again.',
        reason  => 'fault'
    },
    '... in JSON for programs'
);
$answer = answer_of( $gateway->refusal( head_of('/login/'), 503 ) );
like(
    $answer->{body},
    qr/<p class="alert" role="alert">Too many people are logging in/,
    '... and on a page for browsers'
);

done_testing();
