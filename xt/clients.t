#!/usr/bin/perl

# Programs as the public has written them for cPanel's login, in six languages, at three
# services: what is to succeed leads to the panel, and nothing else looks like a success.
# The clients are in xt/clients/; each tries the recipes whose names it is given, and
# prints NAME: STATUS TEXT.

use strict;
use warnings;
use blib;
use lib        qw(t/lib xt/lib);
use File::Temp qw(tempdir);
use Author     qw(has_program run);
use Clients    qw(has run_client);
use Front      ();
use Load       qw(heard in_parallel);
use Serve      qw(free_base request);
use Servers    qw(ca_file certificate);
use Test::More;
use Test::Cpanel::LogMeIn;

my $AT_ONCE = 2;    # clients

# The commands, by the names of their users.
my $folder = tempdir( CLEANUP => 1 );
my %client = (
    curl   => [qw(bash xt/clients/client.sh)],
    go     => ["$folder/client"],
    lwp    => [ $^X, 'xt/clients/lwp.pl' ],
    node   => [qw(node xt/clients/client.js)],
    php    => [qw(php xt/clients/client.php)],
    python => [qw(python3 xt/clients/client.py)],
    tiny   => [ $^X, 'xt/clients/tiny.pl' ],
);
my %needs = (
    curl   => 'curl --version',
    go     => 'go version',
    lwp    => qq($^X -MLWP::Protocol::https -e 1),
    node   => q(node -e 'fetch'),
    php    => q(php -r 'exit(function_exists("curl_init") ? 0 : 1);'),
    python => 'python3 -c "import requests"',
    tiny   => qq($^X -MHTTP::Tiny -MIO::Socket::SSL -e 1),
);
for my $name ( sort keys %client ) {
    next                                          if has( $needs{$name} );
    die "$name: its packages are not installed\n" if $ENV{CI};
    note("$name: its packages are not installed");
    delete $client{$name};
}
if ( $client{go} ) {
    my ( $status, $out ) =
        run( '.', "GOCACHE=$folder/cache go build -o $folder/client xt/clients/client.go" );
    is( $status, 0, 'the Go client builds' ) or diag($out);
}

my $base = free_base(6);
my %port = ( cpanel => $base + 1, whm => $base + 3, webmail => $base + 5 );
my $site = Test::Cpanel::LogMeIn->new(
    accounts => {
        owner => 'secret',
        map { ( $_ => { password => 'secret', reseller => 1 }, "$_\@owner.example" => 'secret' ) }
            keys %client
    },
    domains  => { 'owner.example' => 'owner' },
    settings => { map { ( "port.$_" => $port{$_} ) } keys %port },
);
my $dir   = $site->dir;
my %files = Front::files( $dir, $base );
@files{qw(certificate key)} = certificate('good');
my $ca = ca_file();

# The panel: its home page leads to the one of a theme.
$site->write_file( "$dir/panel.psgi", <<'PERL' );
sub {
    my ($env) = @_;
    my $path  = $env->{PATH_INFO};
    my $token = $env->{SCRIPT_NAME} || $env->{HTTP_X_FORWARDED_PREFIX};
    return [ 302, [ Location => "$token/frontend/jupiter/index.html" ], [] ] if $path eq '/';
    my $text = join q{ }, 'PANEL', $env->{REQUEST_METHOD}, grep { defined } @{$env}{qw(HTTP_X_LOGMEIN_USER
        HTTP_X_LOGMEIN_SERVICE REMOTE_USER logmein.service)};
    return [ 200, [ 'Content-Type' => 'text/plain' ], ["$text $path\n"] ];
};
PERL

# A login URL of this client at this service.
sub url_of {
    my ( $user, $service, %more ) = @_;
    my ( undef, undef, $url ) =
        $site->login( user => $user, pass => 'secret', service => $service, %more );
    return $url;
}

# Runs these recipes of all clients at a service. Returns the results, by client
# and recipe, and the URLs that they have opened and those that are left.
sub results_of {
    my ( $service, @recipes ) = @_;
    my %environment;
    for my $name ( keys %client ) {
        my $user = $service eq 'webmail' ? "$name\@owner.example" : $name;
        $environment{$name} = {
            BASE                => "https://localhost:$port{$service}",
            CLEAR               => 'http://localhost:' . ( $port{$service} - 1 ),
            CA                  => $ca,
            NODE_EXTRA_CA_CERTS => $ca,
            LOGIN               => $user,
            PASS                => 'secret',
            URL                 => url_of( $user, $service ),
            THEME               => url_of( $user, $service ),
        };
    }
    $site->settings( login_url => 'login' );
    $_->{LOGIN_URL} = url_of( $_->{LOGIN}, $service ) for values %environment;
    $site->settings( login_url => undef );
    my @names = sort keys %client;
    my @lines = heard(
        in_parallel(
            $AT_ONCE,
            sub {
                my ($number) = @_;
                for my $name ( @names[ grep { $_ % $AT_ONCE == $number - 1 } 0 .. $#names ] ) {
                    local @ENV{ keys %{ $environment{$name} } } =
                        values %{ $environment{$name} };
                    print map { "$name $_\n" } split /\n/,
                        run_client( @{ $client{$name} }, @recipes );
                }
            }
        )
    );
    my %result;
    for my $line (@lines) {
        my ( $name, $recipe, $text ) = $line =~ /\A(\w+) (\w+): (.*)\n\z/ or diag($line);
        $result{$name}{$recipe} = $text if defined $recipe;
    }
    return ( \%result, \%environment );
}

# What each recipe comes to; PANEL and the path stand for what the panel says.
my %EXPECTED = (
    json      => 'PANEL /json',          # by login_only, with a cookie jar
    jar       => 'PANEL /jar',           # by form, with redirects followed
    refresh   => 'PANEL /refresh',       # by form, with the META element found by its text
    first     => 'PANEL /first',         # with the first cookie alone
    named     => 'PANEL /named',         # with the cookie whose name ends in "session"
    multipart => 'PANEL /multipart',     # as multipart/form-data
    origin    => 'PANEL /origin',        # with an Origin of another scheme or port
    slashes   => 'PANEL /slashes',       # with two slashes before the token
    appended  => 'PANEL /appended',      # a login URL with goto_uri put on
    login     => 'PANEL /login-form',    # the same with login_url = login
    theme     => 'jupiter',              # the theme in the address where a login URL leads
    foreign   => '403 0',                # with an Origin of another site
    wrong     => '401 0',                # a wrong password
    get       => '405 0',                # by GET
    query     => '401 0',                # by POST, with user and pass in the query
    clear     => '400 0',                # in clear text, by login_only
    followed  => 'none',                 # the same by form, with redirects followed
);
my %BY_GET = ( get => 'PANEL /get', query => 'PANEL /query' );

# With XT_LONG=1 all recipes are tried everywhere.
my @ALL = sort keys %EXPECTED;
my @FEW = $ENV{XT_LONG} ? @ALL : qw(appended jar json multipart slashes theme wrong);

sub check {
    my ( $where, $service, %expected ) = @_;
    my ( $result, $environment ) = results_of( $service, sort keys %expected );
    for my $name ( sort keys %client ) {
        my $user = $environment->{$name}{LOGIN};
        my %wanted =
            map { $_ => $expected{$_} =~ s/\APANEL/200 PANEL GET $user $service/r } keys %expected;
        is_deeply( $result->{$name}, \%wanted, "$where, $service: $name" )
            or diag( explain( $result->{$name} ) );
        next if !$expected{theme};
        my $left = $environment->{$name}{THEME} =~ s{\Ahttps://[^/]+}{}r;
        my $page = request( $port{$service}, 1, $left, undef, 'User-Agent: the customer' );
        is( $page->{status}, 401, '... and the URL that it has opened is good for nobody else' );
        like( $page->{body}, qr/This link has been used/, '... who is told why' );
    }
    return;
}

sub expected {
    my (@recipes) = @_;
    return map { $_ => $EXPECTED{$_} } @recipes;
}

my @direct = (
    '--app',       "$dir/panel.psgi", '--base',            $base,
    '--no-socket', '--cert',          $files{certificate}, '--key',
    $files{key}
);
{
    my $gateway = Serve->new(@direct);
    check( 'logmein serve', $_, expected( $_ eq 'cpanel' ? @ALL : @FEW ) ) for sort keys %port;
}
{
    $site->settings( login_by_get => 'yes' );
    my $gateway = Serve->new(@direct);
    check( 'with login_by_get', $_, %BY_GET ) for $ENV{XT_LONG} ? sort keys %port : 'cpanel';
    $site->settings( login_by_get => undef );
}
SKIP: {
    skip 'nginx is not installed', 1 if !has_program('nginx');
    my $gateway = Serve->new( '--front', $files{front}, '--base', $base, '--no-socket' );
    my $panel   = Serve::panel( $files{panel}, "$dir/panel.psgi" );
    my $nginx   = Front::nginx(%files);
    check( 'nginx', $_, expected( @FEW, 'clear' ) ) for $ENV{XT_LONG} ? sort keys %port : 'cpanel';
}
SKIP: {
    skip 'XT_LONG=1 is not set',    1 if !$ENV{XT_LONG};
    skip 'Apache is not installed', 1 if !has_program('apache2');
    my @group   = $< == 0 ? qw(--front-group www-data) : ();
    my $gateway = Serve->new( '--front', $files{front}, @group, '--app', "$dir/panel.psgi",
        '--base', $base, '--no-socket' );
    my $apache = Front::apache(%files);
    check( 'Apache', $_, expected(@ALL) ) for sort keys %port;
}
done_testing();
