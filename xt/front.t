#!/usr/bin/perl

# nginx, Apache and Caddy in front of the gateway, with the unchanged files in examples/;
# the systemd unit.

use strict;
use warnings;
use blib;
use lib        qw(t/lib xt/lib);
use Author     qw(has_program read_file run);
use Front      ();
use IO::Select ();
use JSON::PP   ();
use Serve      qw(free_base raw request);
use Test::More;
use Test::Cpanel::LogMeIn;

my $base = free_base(12);
my %port = ( cpanel => $base + 1, whm => $base + 3, webmail => $base + 5 );
my $site = Test::Cpanel::LogMeIn->new(
    accounts => {
        alice => { password => 'secret', reseller  => 1 },
        bob   => { password => 'secret', suspended => 1 },
    },
    settings => { map { ( "port.$_" => $port{$_} ) } keys %port },
);
my $dir   = $site->dir;
my %files = Front::files( $dir, $base );
$site->settings( gateway_socket => "$dir/run/gateway.sock" );

# The server behind nginx: it reports the request and the user.
$site->write_file( "$dir/echo.psgi", <<'PERL' );
sub {
    my ($env) = @_;
    my $seen = join '|', map { $_ // '-' } @{$env}{qw(REQUEST_METHOD REQUEST_URI HTTP_X_LOGMEIN_USER
        HTTP_X_LOGMEIN_SERVICE HTTP_X_FORWARDED_PREFIX HTTP_X_REMOTE_USER HTTP_REMOTE_USER
        HTTP_X_FORWARDED_USER HTTP_X_FORWARDED_FOR)};
    return [ 200, [ 'Content-Type' => 'text/plain' ], ["PANEL|$seen"] ];
};
PERL

# Opens a login URL in both forms, and returns the results.
sub open_url {
    my ( $form, @more ) = @_;
    $site->settings( login_url => $form );
    my ( undef, undef, $url ) = $site->login( goto_uri => '/x%2Bz?a=b', @more );
    $site->settings( login_url => undef );
    my $target   = $url =~ s{\Ahttps://[^/]+}{}r;
    my $answer   = request( $port{cpanel}, 1, $target );
    my ($cookie) = ( $answer->{header}{'set-cookie'} // q{} ) =~ /\A([^;]*)/;
    return ( $answer, $cookie, $target );
}

# What it reports for alice, by her token.
sub echoed {
    my ($token) = @_;
    return qr{\APANEL\|GET\|/x%2Bz\?a=b\|alice\|cpanel\|\Q$token\E\|alice\|-\|-\|127[.]0[.]0[.]1\z};
}

# Tests for any front server. $panel: the panel's text for alice.
sub serves_well {
    my ( $name, $panel, $front ) = @_;
    my $page = request( $port{cpanel}, 1, '/some/page?x=y' );
    is( $page->{status}, 401, "$name: nobody is let in without a login" );
    like(
        $page->{body},
        qr{name="goto_uri" value="/some/page\?x=y"},
        '... but sees the login page'
    );
    my @tickets;
    for my $form (qw(direct login)) {
        my ( $answer, $cookie, $target ) = open_url($form);
        push @tickets, $target =~ /(lmt_[\w-]{43})/;
        is( $answer->{status}, 302, "$name: a login URL of the form $form" );
        my $where = $answer->{header}{location};
        like( $where, qr{\A/cpsess[0-9]{10}/x%2Bz\?a=b\z}, '... leads on' );
        $page = request(
            $port{cpanel},
            1,
            $where,
            undef,
            "Cookie: $cookie",
            'X-Remote-User: root',
            'X_Remote_User: root',
            'Remote-User: root',
            'X-LogMeIn-User: root',
            'X_LogMeIn_User: root',
            'X-Forwarded-User: root',
            'X-Forwarded-For: 192.0.2.66'
        );
        is( $page->{status}, 200, '... to the panel' );
        like(
            $page->{body},
            $panel->( $where =~ m{\A(/cpsess[0-9]{10})} ),
            '... which knows who it is'
        );
        unlike( $page->{body}, qr/root|192[.]0[.]2[.]66/,
            '... and not who a browser claims to be' );
        my $again = request( $port{cpanel}, 1, $target, undef, 'User-Agent: other' );
        is( $again->{status}, 401, '... and the URL opens nothing to another browser' );
        is( request( $port{whm}, 1, $where, undef, "Cookie: $cookie" )->{status},
            401, '... nor the cookie another service' );
        is(
            request( $port{cpanel}, 1, $where =~ s{cpsess.}{cpsess}r =~ s{(?<=cpsess)}{x}r,
                undef, "Cookie: $cookie" )->{status},
            401,
            '... nor without its token'
        );
        ( my $token = $where ) =~ s{\A(/cpsess[0-9]{10}).*}{$1};
        is( request( $port{cpanel}, 1, "$token/json-api/x", undef, "Cookie: x=y" )->{status},
            403, '... and programs are told in JSON' );
        $page = request( $port{cpanel}, 1, "$token/logout/", undef, "Cookie: $cookie" );
        like( $page->{body}, qr/You have logged out/, '... logging out' );
        is( request( $port{cpanel}, 1, $where, undef, "Cookie: $cookie" )->{status},
            401, '... ends it' );
    }
    my $answer = request(
        $port{cpanel}, 1, '/login/',
        'user=alice&pass=secret&goto_uri=y',
        'Origin: https://localhost:' . $port{cpanel}
    );
    is( $answer->{status}, 302, "$name: a password" );
    like( $answer->{header}{'set-cookie'}, qr/\Acpsession=alice/, '... gets a cookie' );
    is( request( $port{cpanel}, 1, '/login/', 'user=alice&pass=wrong' )->{status},
        401, '... if it is right' );
    $site->forget;
    is( request( $port{cpanel}, 1, '/login/', 'a=' . 'b' x 70_000 )->{status},
        413, 'a login form has its limits' );
    $site->write_file( "$dir/long", 'a=' . 'b' x 5_000_000 );

    for my $case (
        [ '/login/',              413, qr/\AThe form is too long/ ],
        [ '/login/?login_only=1', 413, qr/\A[{]"status":0,/ ],
        [ '/x',                   401, qr/Log in/ ],
        [ '/json-api/x',          403, qr/\A[{]"status":0,/ ],
        )
    {
        my ( $target, $status, $text ) = @{$case};
        my ( undef, $told ) = run( '.',
            "curl -sk --http2 --data-binary '\@$dir/long' -w '%{http_code}' https://localhost:$port{cpanel}$target"
        );
        like( $told, qr/$status\z/, "$name: 5 MB to $target: $status" );
        next if $name eq 'Caddy';    # see there
        like( $told, $text, '... in the words of the gateway' );
    }
    is( request( $port{cpanel}, 1, "/logmein/$_", undef, 'X-Original-URI: /' )->{status},
        404, "$name: /logmein/$_ is not for browsers" )
        for qw(check health live metrics);

    # Clear text
    for my $clear ( $base, $name eq 'nginx' ? $port{cpanel} : () ) {
        my ( undef, undef, $url ) = $site->login;
        my ( $token, $ticket ) = $url =~ m{(/cpsess[0-9]{10})/\?session=(lmt_[\w-]{43})};
        $answer =
            request( $clear, 0, "$token/x?session=$ticket", undef, 'X-Forwarded-Proto: https' );
        is(
            $answer->{header}{location},
            "https://localhost:$port{cpanel}$token/x",
            "$name: clear text leads to TLS"
        );
        is( request( $port{cpanel}, 1, "$token/x?session=$ticket" )->{status},
            401, '... and ends the ticket that was seen there' );
        push @tickets, $ticket;
    }

    # Ambiguous requests
    my $good = "GET /login/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    like( raw( $port{cpanel}, 1, "$good\r\n" ), qr{\AHTTP/1.1 200 }, 'control: a good request' );
    like(
        raw( $port{cpanel}, 1, "${good}$_" ),
        qr{\AHTTP/1.1 (?:400|501) },
        "refused: @{[ s/\r\n/ /gr ]}"
        )
        for "Host: evil\r\n\r\n", "Content-Length: 5\r\nContent-Length: 6\r\n\r\n123456",
        (
        $name eq 'nginx'
        ? "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        : ()
        );

    like(
        raw(
            $port{cpanel}, 1, "GET $_ HTTP/1.1\r\nHost: local\"host\r\nConnection: close\r\n\r\n"
        ),
        qr{\AHTTP/1.1 400 },
        "$name: the gateway refuses a Host that is none, at $_"
    ) for '/login/', '/x', '/cpsess0123456789/x';

    # Fields that Connection names are not passed on.
    my @hidden = map { "X-Forwarded-$_" } qw(For Port Proto);
    $answer = raw( $port{cpanel}, 1,
              "POST /login/ HTTP/1.1\r\nHost: localhost:$port{cpanel}\r\nContent-Length: 22\r\n"
            . 'Connection: '
            . join( ', ', 'close', @hidden )
            . "\r\nX-Forwarded-For: 192.0.2.66\r\n"
            . "Content-Type: application/x-www-form-urlencoded\r\n\r\nuser=alice&pass=secret" );
    like( $answer, qr{\AHTTP/1.1 302 }, "$name: a client can't hide what the front says" );
    my ($last) = $site->log_text =~ /.*^([^\n]*alice "login" SUCCESS[^\n]*)/ms;
    like( $last, qr/ 127[.]0[.]0[.]1 - alice /, '... nor the address that it comes from' );

    my $log = read_file( $front->{access} );
    like(
        $log,
        $front->{logged} // qr{"GET /cpsess[0-9]{10}/(?:x\+z|x%2Bz)\?[.][.][.]" 302},
        "$name: the log has login URLs"
    );
    unlike( $log, qr/lmt_|session/, '... without their secrets' );
    my @left = grep { index( $log, $_ ) >= 0 } @tickets;
    is( "@left", q{}, '... none of ' . @tickets );
    return;
}

# The gateway is stopped and does not answer.
sub is_unavailable {
    my ($name) = @_;
    for my $target ( '/', '/login/', '/cpsess0123456789/x' ) {
        my $answer = request( $port{cpanel}, 1, $target );
        is( $answer->{status}, 503, "$name without the gateway: $target is 503" );
        like(
            $answer->{body},
            qr/\AThis is not possible at the moment[.] Please try again later[.]$/,
            '... in our words'
        );
    }
    return;
}

sub as_group {
    my ($gid) = ( getgrnam 'www-data' )[2];
    return $< == 0 && defined $gid ? ( '--front-group', 'www-data' ) : ();
}

SKIP: {
    skip 'nginx is not installed', 1 if !has_program('nginx');
    my $gateway = Serve->new( '--front', $files{front}, '--base', $base, '--no-socket' );
    my $panel   = Serve::panel( $files{panel}, "$dir/echo.psgi" );
    my $nginx   = Front::nginx(%files);
    serves_well( 'nginx', \&echoed, $nginx );

    # The gateway is stopped and started: never allowed
    my ( undef, $cookie, $target ) = open_url('direct');
    my ($where) = $target =~ m{\A(/cpsess[0-9]{10})};
    is( request( $port{cpanel}, 1, "$where/", undef, "Cookie: $cookie" )->{status},
        200, 'a session' );
    $gateway->stop;
    is( request( $port{cpanel}, 1, "$where/", undef, "Cookie: $cookie" )->{status},
        503, '... opens nothing while the gateway is stopped' );
    is_unavailable('nginx');
    for my $target ( '/login/?login_only=1', '/cpsess0123456789/json-api/x', '/execute/x' ) {
        my $told = eval { JSON::PP::decode_json( request( $port{cpanel}, 1, $target )->{body} ) };
        is( $told && $told->{status}, 0, "... $target is told so in JSON" );
    }
    like(
        request( $port{cpanel}, 1, '/xml-api/x' )->{body},
        qr{\A<[?]xml .*<status>0</status>}s,
        '... and /xml-api/x in XML'
    );
    $gateway = Serve->new( '--front', $files{front}, '--base', $base, '--no-socket' );
    is( request( $port{cpanel}, 1, "$where/", undef, "Cookie: $cookie" )->{status},
        200, '... and all again when it is back' );

    # Bodies: the gateway does not wait for them, and the panel gets them.
    my $waiting = Serve::connection( $port{cpanel}, 1 );
    print {$waiting} "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n";
    ok( IO::Select->new($waiting)->can_read(5), 'a refusal does not wait for the body' );
    my $answer = request( $port{cpanel}, 1, "$where/", 'a=' . 'b' x 200_000, "Cookie: $cookie" );
    like( $answer->{body}, qr{\APANEL\|POST\|/\|alice}, 'the panel gets long forms' );
    $answer = raw( $port{cpanel}, 1,
        "POST $where/ HTTP/1.1\r\nHost: localhost\r\nCookie: $cookie\r\nContent-Length: 70000000\r\n\r\n"
    );
    like( $answer, qr{\AHTTP/1.1 413 .*^The request is too long[.]$}ms, '... up to a limit' );
    my $store = "$site->{dir}/store";
    rename $store, "$store.away" or die "$store: $!";
    symlink '/nowhere', $store or die "$store: $!";
    select undef, undef, undef, 1.5;    ## no critic (ProhibitSleepViaSelect)
    is( request( $port{cpanel}, 1, "$where/", undef, "Cookie: $cookie" )->{status},
        503, '... nothing while the store is unavailable' );
    unlink $store or die "$store: $!";
    rename "$store.away", $store or die "$store: $!";
    is( $nginx->stop, 0, 'nginx stops' );
}

SKIP: {
    skip 'Apache is not installed', 1 if !has_program('apache2');
    my $gateway = Serve->new( '--front', $files{front}, '--base', $base, as_group(), '--app',
        'examples/panel.psgi', '--no-socket' );
    my $apache = Front::apache(%files);
    serves_well( 'Apache', sub { qr{id="user">alice<.*id="path">/x[+]z<}s }, $apache );
    $gateway->stop;
    is_unavailable('Apache');
    is( $apache->stop, 0, 'Apache stops' );
}

SKIP: {
    skip 'Caddy is not installed',             1 if !has_program('caddy');
    skip 'libmicrohttpd-dev is not installed', 1 if !-x 'blib/bin/logmeind';
    my @checked = ( '--front', $files{front}, '--base', $base, '--no-socket', '--with-check' );
    $site->settings( check_socket => "$dir/check.sock" );
    my $gateway = Serve->new(@checked);
    my $panel   = Serve::panel( $files{panel}, "$dir/echo.psgi" );
    my $caddy   = Front::caddy( %files, check => "$dir/check.sock" );
    $caddy->{logged} = qr{"uri":"/cpsess[0-9]{10}/x%2Bz[.]{3}".*"status":302};
    serves_well( 'Caddy', \&echoed, $caddy );
    my ( undef, $cookie, $target ) = open_url('direct');
    my ($where) = $target =~ m{\A(/cpsess[0-9]{10})};
    my @mine = ( $port{cpanel}, 1, "$where/", undef, "Cookie: $cookie" );
    is( request(@mine)->{status},                                         200, 'Caddy: a session' );
    is( request( $port{cpanel}, 1, "/$where/", @mine[ 3, 4 ] )->{status}, 200, '... two slashes' );
    my $page = request( $port{cpanel}, 1, "$where/", 'a=' . 'b' x 200_000, "Cookie: $cookie" );
    like( $page->{body}, qr{\APANEL\|POST\|/\|alice}, 'the panel gets long forms' );
    $gateway->stop;
    is( request(@mine)->{status}, 503, '... opens nothing while the gateway is stopped' );
    is_unavailable('Caddy');
    request( $port{cpanel}, 1, "$where/?session=lmt_" . 'A' x 43 );
    $gateway = Serve->new(@checked);
    is( request(@mine)->{status}, 200, '... and all again when it is back' );
    unlike( read_file( $caddy->{errors} ), qr/lmt_|cpsession=/, 'no log has a secret' );
    is( $caddy->stop, 0, 'Caddy stops' );
    $site->settings( check_socket => undef );
}

# systemd
SKIP: {
    skip 'systemd-analyze is not installed', 1 if !has_program('systemd-analyze');
    my $unit =
        read_file('examples/systemd/logmein.service') =~ s{/usr/local/bin/logmein}{/bin/true}r =~
        s{^Documentation.*\n}{}mr;
    $site->write_file( "$dir/logmein.service", $unit );
    my ( $status, $out ) = run( '.', "systemd-analyze verify '$dir/logmein.service'" );
    is( $out, q{}, 'systemd has nothing to say of the unit' );
    $site->write_file( "$dir/logmein.service", "$unit\nColour=blue\n" );
    ( $status, $out ) = run( '.', "systemd-analyze verify '$dir/logmein.service'" );
    like( $out, qr/Colour/, 'control: it would' );
}
SKIP: {
    skip 'only root can become the service user', 1 if $< != 0 || !has_program('setpriv');
    my ( undef, undef, $uid, $gid ) = getpwnam 'nobody';
    my $unit = read_file('examples/systemd/logmein.service');
    my ($command) = $unit =~ m{^ExecStart=/usr/local/bin/logmein serve (.*)$}m;
    mkdir "$dir/$_" for qw(service service/run service/state);
    chmod oct 700, "$dir/service/state";
    chmod oct 711, $dir;
    chown $uid, $gid, map { "$dir/service$_" } '', '/run', '/state';
    $site->settings(
        store          => "lmdb:$dir/service/state",
        volatile_dir   => "$dir/service/run/volatile",
        gateway_socket => "$dir/service/run/gateway.sock",
        log            => "file:$dir/service/log"
    );
    chown $uid, $gid, $site->conf;
    $command =~ s{/run/logmein}{$dir/service/run}g;
    my $www = getgrnam 'www-data';
    local $Serve::BEFORE = [
        'setpriv',                              "--reuid=$uid",
        "--regid=$gid",                         "--groups=$gid,$www",
        '--inh-caps=+dac_read_search',          '--ambient-caps=+dac_read_search',
        '--bounding-set=-all,+dac_read_search', '--no-new-privs'
    ];
    my $gateway = Serve->new( split q{ }, $command );
    my $front   = "$dir/service/run/front.sock";
    like(
        $gateway->{said},
        qr/front[.]sock\nunix:\S+gateway[.]sock\n/,
        'the service user starts the gateway with what the unit allows'
    );
    is(
        sprintf( '%o %d %d', ( stat $front )[ 2, 4, 5 ] ),
        "140660 $uid $www",
        '... whose front socket is the web server\'s'
    );
    my $answer = request(
        $front, 0, '/login/', 'user=alice&pass=secret',
        'X-Forwarded-Proto: https',
        "X-Forwarded-Port: $port{cpanel}",
        'X-Forwarded-For: 192.0.2.9'
    );
    is( $answer->{status}, 302, '... and who reads the password files that others may not' );
    is( ( stat $site->path('etc/shadow') )[2] & oct 7, 0, 'control: others may not' );
    is(
        request(
            "$dir/service/run/gateway.sock", 0,
            '/login/',                       'user=alice&pass=secret',
            "Host: localhost:2083"
        )->{status},
        200,
        '... for local programs, too'
    );
}
done_testing();
