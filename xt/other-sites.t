#!/usr/bin/perl

# Pages of other origins in a real browser that is logged in: none of the requests
# that they can cause ends its session, or begins another one. One origin is a
# neighbour, another port of the same host, to whose requests the browser adds the
# cookie; the other one is another site.

use strict;
use warnings;
use blib;
use lib     qw(t/lib xt/lib);
use Author  qw(has_program read_file);
use Browser ();
use Front   ();

use Serve   qw(free_base);
use Servers qw(certificate);
use Test::More;
use Test::Cpanel::LogMeIn;

plan skip_all => "$_ is not installed"
    for grep { !has_program($_) } qw(chromium chromedriver nginx openssl);

my $base = free_base(7);
my $site = Test::Cpanel::LogMeIn->new(
    accounts => { alice => 'secret', bob => 'secret' },
    settings =>
        { 'port.cpanel' => $base + 1, 'port.whm' => $base + 3, 'port.webmail' => $base + 5 },
);
my $dir = $site->dir;
$site->settings( gateway_socket => "$dir/run/gateway.sock" );
my $home    = 'https://localhost:' . ( $base + 1 );
my %files   = Front::files( $dir, $base );
my $gateway = Serve->new( '--front', $files{front}, '--base', $base );
$site->write_file( "$dir/panel.psgi",
    'sub { [ 200, [ "Content-Type" => "text/html" ], [ "You are $_[0]{HTTP_X_LOGMEIN_USER}" ] ] }'
);
my $panel  = Serve::panel( $files{panel}, "$dir/panel.psgi" );
my $nginx  = Front::nginx(%files);
my $driver = Browser->driver( $base + 6, "$dir/driver.log" );

# What a page can do with a URL. The last four leave the page.
my %EMBEDDED = (
    img        => q{<img src="URL">},
    srcset     => q{<img srcset="URL 1x">},
    svg        => q{<svg><image href="URL"/></svg>},
    script     => q{<script src="URL"></script>},
    stylesheet => q{<link rel="stylesheet" href="URL">},
    import     => q{<style>@import "URL";</style>},
    background => q{<p style="background-image:url('URL')">x</p>},
    font       => q{<style>@font-face{font-family:F-ID;src:url('URL')}</style>}
        . q{<p style="font-family:F-ID">x</p>},
    iframe   => q{<iframe src="URL"></iframe>},
    object   => q{<object data="URL"></object>},
    embed    => q{<embed src="URL">},
    video    => q{<video preload="auto" src="URL"></video>},
    audio    => q{<audio preload="auto" src="URL"></audio>},
    prefetch => q{<link rel="prefetch" href="URL">},
    fetch    => q{<script>fetch('URL',{mode:'no-cors',credentials:'include'})</script>},
    cors     => q{<script>fetch('URL',{credentials:'include'})</script>},
    post => q{<script>fetch('URL',{method:'POST',mode:'no-cors',credentials:'include'})</script>},
    xhr  =>
        q{<script>x=new XMLHttpRequest;x.open('GET','URL');x.withCredentials=true;x.send()</script>},
    beacon      => q{<script>navigator.sendBeacon('URL','x=1')</script>},
    eventsource => q{<script>new EventSource('URL',{withCredentials:true})</script>},
);
my %LEAVING = (
    link => q{<a id="go" href="URL">x</a><script>document.getElementById('go').click()</script>},
    location => q{<script>location='URL'</script>},
    get      =>
        q{<form id="go" action="URL">FIELDS</form><script>document.getElementById('go').submit()</script>},
    form =>
        q{<form id="go" method="post" action="URL"></form><script>document.getElementById('go').submit()</script>},
);
my %kind = ( %EMBEDDED, %LEAVING );
is( scalar keys %kind, 24, '24 kinds of requests' );

# The pages of the other origins: what they show is in their path, encoded.
my ( $certificate, $key ) = certificate('neighbour');
my $other = Servers->new(
    cert   => $certificate,
    key    => $key,
    quiet  => 1,
    answer => sub {
        my ( undef, $request ) = @_;
        my $html = pack 'H*', ( $request->{path} =~ m{\A/([0-9a-f]+)\z} )[0] // q{};
        return join "\r\n", 'HTTP/1.1 200 OK', 'Content-Type: text/html; charset=utf-8',
            'Connection: close', 'Content-Length: ' . length $html, q{}, $html;
    }
);
my $PORT   = $other->port;
my %ORIGIN = ( neighbour => "https://localhost:$PORT", site => "https://127.0.0.1:$PORT" );
my $shown  = 0;

sub markup {
    my ( $kind, $url ) = @_;
    my $html = $kind{$kind};
    my ( undef, $query ) = split /[?]/, $url, 2;
    my $fields = join q{},
        map { sprintf '<input type="hidden" name="%s" value="%s">', split /=/, $_, 2 }
        split /&/, $query // q{};
    $shown++;
    return $html =~ s/FIELDS/$fields/r =~ s/URL/$url/gr =~ s/ID/$shown/gr;
}

my $browser = Browser->new($driver);

# The page is given once it is complete; what it asks for may still be under way.
sub show {
    my ( $origin, $html ) = @_;
    return $browser->go( "$ORIGIN{$origin}/" . unpack 'H*', "<!DOCTYPE html><body>$html" );
}

# Waits until nginx has answered requests with all these texts; returns those that
# are missing.
sub missing {
    my (@texts) = @_;
    my @missing;
    $browser->wait_for(
        sub {
            my $log = read_file( $nginx->{access} );
            @missing = grep { $log !~ /\Q$_\E[?"]/ } @texts;
            return !@missing;
        }
    );
    return @missing;
}

# Logs in by the form, and returns the token.
sub log_in {
    my ($user) = @_;
    $browser->go("$home/login/");
    $browser->type( '#user', $user );
    $browser->type( '#pass', 'secret' );
    $browser->click('#login_submit');
    $browser->wait_for( sub { $browser->text =~ /You are/ } );
    return ( $browser->url =~ m{(/cpsess[0-9]{10})} )[0];
}

sub is_user {
    my ( $token, $user, $name ) = @_;
    $browser->go("$home$token/");
    return is( $browser->text, "You are $user", $name );
}

sub ticket_url {
    my ($path) = @_;
    my ( $ok, $message, $url ) =
        $site->login( user => 'bob', hostname => 'localhost', goto_uri => "/$path" );
    BAIL_OUT($message) if !$ok;
    return $url;
}

# URLs that another site may use, and what of them the log shows: two logouts, a
# ticket, and wrong tokens.
sub targets {
    my ( $name, $token, @wrong ) = @_;
    my @paths = (
        "/logout/?k=$name", "$token/logout/?k=$name",
        map { sprintf '/cpsess%010d/%s', $_, $name } @wrong
    );
    return ( ticket_url("ticket-$name") => "/ticket-$name", map { ( "$home$_" => $_ ) } @paths );
}

for my $origin ( sort keys %ORIGIN ) {
    my $token = log_in('alice');
    is_user( $token, 'alice', "$origin: alice is logged in" );

    # Everything that a page embeds, at once
    my $html = q{};
    my @arrive;
    for my $kind ( sort keys %EMBEDDED ) {
        my %target = targets( "$origin-$kind", $token, 1 .. 3 );
        push @arrive, values %target;
        $html .= markup( $kind, $_ ) for sort keys %target;
    }
    show( $origin, $html );
    is_deeply( [ missing(@arrive) ], [], @arrive . ' requests of its pages have arrived' );
    is_user( $token, 'alice', '... and alice is still logged in' );

    # Pages that lead the browser away
    my $wrong = 3;
    my @lost;
    for my $kind ( sort keys %LEAVING ) {
        my %target = targets( "$origin-$kind", $token, ++$wrong );
        for my $url ( sort keys %target ) {
            show( $origin, markup( $kind, $url ) );
            push @lost, missing( $target{$url} );
        }
    }
    is_deeply( \@lost, [], '... pages that lead away have done so' );
    is_user( $token, 'alice', '... and she is still logged in' );
    my $cookies = $browser->devtools( 'Network.getCookies', urls => ["$home/"] )->{cookies};
    is( scalar( grep { $_->{name} eq 'cpsession' && $_->{value} =~ /\Aalice%3a/ } @{$cookies} ),
        1, '... with the cookie' );
}
my $log  = $site->log_text;
my %seen = map { $_ => scalar( () = $log =~ /\Q $_:\E/g ) } 'PURGE alice', 'NEW bob';
is_deeply( \%seen, { 'PURGE alice' => 0, 'NEW bob' => 0 }, 'no session has ended or begun' );
note(
    "44: 24 kinds of requests from pages of another origin, $seen{'PURGE alice'} sessions ended, $seen{'NEW bob'} begun"
);

# Controls: by the panel's own page, and by the user
{
    my $token = log_in('alice');
    is_user( $token, 'alice', 'control: alice is logged in' );
    $browser->script("new Image().src='/logout/?k=control'");
    is_deeply( [ missing('/logout/?k=control') ], [], '... a request of the own page' );
    $browser->go("$home$token/");
    unlike( $browser->text, qr/You are alice/, '... logs her out' );
    $token = log_in('alice');
    show( 'site', markup( link => "$home/logout/?k=click" ) );
    $browser->wait_for( sub { $browser->text =~ /Do you want to log out/ } );
    $browser->click('button[type=submit]');
    ok(
        $browser->wait_for( sub { $browser->text =~ /You have logged out/ } ),
        '... and so does a link of another site, once she has agreed'
    );
    my $url = ticket_url('control');
    show( 'site', markup( link => $url ) );
    ok(
        $browser->wait_for( sub { $browser->text =~ /You are bob/ } ),
        '... and a link of another site begins a session where there is none'
    );
}
done_testing();
