#!/usr/bin/perl

# The scripts in examples/ work as described.

use strict;
use warnings;
use Cpanel::LogMeIn::Session ();
use Test::More;
use Test::Cpanel::LogMeIn;

my @perl = ( $^X, map { "-I$_" } qw(blib/arch blib/lib) );
my $site = Test::Cpanel::LogMeIn->new;

sub output_of {
    my ( $input, @command ) = @_;
    $site->write_file( "$site->{dir}/input", $input );
    my $out = `@command <'$site->{dir}/input' 2>&1`;
    return $? == 0 ? $out : "status $?: $out";
}

# login.pl
my $page = output_of( "secret\n", @perl, 'examples/login.pl', 'alice localhost cpanel' );
my @urls = $page =~ m{^Location: (\S+)\r\n\r\n}mg;
is( scalar @urls, 2, 'login.pl prints two Location headers' ) or diag($page);
like( $urls[0], qr{\Ahttps://localhost:2083/cpsess[0-9]{10}/[?]session=}, '... for the home page' );
like(
    $urls[1],
    qr{\Ahttps://localhost:2083/cpsess[0-9]{10}/frontend/jupiter/domains/index[.]html[?]session=},
    '... and for the domains'
);
is(
    ( Test::Cpanel::LogMeIn::parse_url( $urls[0] ) )[1],
    ( Test::Cpanel::LogMeIn::parse_url( $urls[1] ) )[1],
    '... with one token'
);
ok( $site->redeem($_), '... that opens' ) for @urls;
is(
    output_of( "wrong\n", @perl, 'examples/login.pl', 'alice localhost cpanel' ),
    "Content-type: text/plain\r\n\r\nLOGIN FAILED: The login is invalid.\n" x 2,
    '... and refuses a wrong password'
);

# quickstart
SKIP: {
    skip 'Starman, HTML::Template or IO::Socket::SSL is not installed', 4
        if !eval { require HTML::Template; require IO::Socket::SSL; require Starman; 1 };
    my $tour = output_of( '', $^X, 'examples/quickstart --once' );
    like(
        $tour,
        qr/granted.*unknown.*whm: root.*webmail: info\@alice.*login_ok is 0.*You are alice, at \/.*Done[.]/s,
        'quickstart runs to the end'
    );
    my ($folder) = $tour =~ m{^\s+(/\S+)/site$}m;
    ok( $folder && !-e $folder, '... and leaves nothing behind' );

    # Without --once the gateway keeps running
    my $pid = open my $running, '-|', $^X, 'examples/quickstart' or die "fork: $!";
    my ( $said, $login_url ) = (q{});
    while ( my $line = readline $running ) {
        $said .= $line;
        ($login_url) = $line =~ m{\A    (https://localhost:[0-9]+/cpsess\S+)$} if !$login_url;
        last if $line =~ /runs until/;
    }
    my ( $port, $target ) = ( $login_url // q{} ) =~ m{\Ahttps://localhost:([0-9]+)(/.*)\z};
    my $socket = IO::Socket::SSL->new(
        PeerAddr        => '127.0.0.1',
        PeerPort        => $port,
        SSL_verify_mode => 0
    );
    print {$socket} "GET $target HTTP/1.1\r\nHost: localhost:$port\r\n\r\n";
    like( scalar readline $socket,
        qr/ 302 /, 'quickstart without --once: the URL that it prints opens' )
        or diag($said);
    kill INT => $pid;
    close $running;
    ok( !IO::Socket::INET->new("127.0.0.1:$port"), '... until it is stopped' );
}

# login.cgi, as a web server runs it
SKIP: {
    skip 'CGI.pm is not installed (Debian: libcgi-pm-perl)', 12 if !eval { require CGI; 1 };

    my $request = sub {
        my ( $method, $form, %more ) = @_;
        local %ENV = (
            %ENV,
            GATEWAY_INTERFACE => 'CGI/1.1',
            REQUEST_METHOD    => $method,
            REMOTE_ADDR       => '192.0.2.7',
            SERVER_NAME       => 'portal.example',
            SERVER_PORT       => 443,
            SERVER_PROTOCOL   => 'HTTP/1.1',
            SCRIPT_NAME       => '/login.cgi',
            CONTENT_TYPE      => 'application/x-www-form-urlencoded',
            CONTENT_LENGTH    => length $form,
            %more,
        );
        return output_of( $form, @perl, 'examples/login.cgi' );
    };
    my $form = $request->( 'GET', '' );
    like( $form, qr/\AStatus: 200.*autocomplete="current-password"/s, 'login.cgi shows a form' );
    like( $form, qr/^Cache-control: no-store\r$/mi, '... that is not to be kept' );

    my $good = $request->( 'POST', 'user=alice&pass=secret' );
    like( $good, qr{\AStatus: 302 Found\r\n}, '... sends on with 302' );
    my ($url) = $good =~ m{^Location: (\S+)\r$}mi;
    ok( $site->redeem($url), '... to a URL that opens' ) or diag($good);
    like( $good, qr/^Referrer-policy: no-referrer\r$/mi, '... which is told to nobody' );
    like(
        $site->log_text,
        qr/192[.]0[.]2[.]7 - alice "login" SUCCESS LOGIN/,
        '... and the log has the address'
    );

    my $bad = $request->( 'POST', 'user=%3Cb%3Ealice&pass=secret' );
    like( $bad, qr/\AStatus: 401.*role="alert"/s, '... shows an error' );
    unlike( $bad, qr/<b>/, '... without markup from the form' );
    unlike( $request->( 'POST', 'user=alice&pass=wrong' ), qr/wrong/, '... or the password' );
    like(
        $request->( 'GET', '', QUERY_STRING => 'user=alice&pass=secret' ),
        qr/\AStatus: 200/,
        '... takes no password from a query'
    );
    like(
        $request->( 'POST', 'user=alice&pass=secret', HTTP_SEC_FETCH_SITE => 'cross-site' ),
        qr/\AStatus: 403/,
        '... nor from another site'
    );
    like(
        $request->( 'POST', "user=alice\%0D\%0AX&pass=secret" ),
        qr/\AStatus: 401/,
        '... nor a name with a newline'
    );
}
done_testing();
