#!/usr/bin/perl

# Tests with a browser, with `logmein serve` and with nginx in front of it. A
# screenshot of each page is saved in a folder.

use strict;
use warnings;
use blib;
use lib        qw(t/lib xt/lib);
use Author     qw(has_program);
use Browser    ();
use File::Path qw(make_path);
use Front      ();
use Serve      qw(free_base);
use Test::More;
use Test::Cpanel::LogMeIn;

plan skip_all => "$_ is not installed" for grep { !has_program($_) } qw(chromium chromedriver);

my $base = free_base(7);
my %port = ( cpanel => $base + 1, whm => $base + 3, webmail => $base + 5 );
my $site = Test::Cpanel::LogMeIn->new(
    accounts => { alice => { password => 'secret', reseller => 1 }, bob => 'secret' },
    settings => { map { ( "port.$_" => $port{$_} ) } keys %port },
    waits    => 1,
);
my $dir = $site->dir;
$site->settings( gateway_socket => "$dir/run/gateway.sock" );
my $home     = "https://localhost:$port{cpanel}";
my $pictures = 'xt/pictures';
make_path($pictures);
diag("pictures are in $pictures");
my $driver = Browser->driver( $base + 6, "$dir/driver.log" );

sub login_url {
    my (%how) = @_;
    my ( $ok, $message, $url ) = $site->login(%how);
    BAIL_OUT($message) if !$ok;
    return $url;
}

sub type_password {
    my ( $browser, $user, $password ) = @_;
    $browser->type( '#user', $user );
    $browser->type( '#pass', $password );
    return $browser->click('button[type=submit]');
}

# The browser shows the panel with this user and path.
sub is_at_panel {
    my ( $browser, $user, $rest, $name ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $there = $browser->wait_for(
        sub {
            $browser->url =~ m{\A\Q$home\E/cpsess[0-9]{10}\Q$rest\E\z}
                && $browser->text =~ /You are \Q$user\E, at /;
        }
    );
    return ok( $there, $name ) || diag( $browser->url, "\n", $browser->text );
}

sub says {
    my ( $browser, $text, $name ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $there = $browser->wait_for( sub { $browser->text =~ $text } );
    return ok( $there, $name ) || diag( $browser->url, "\n", $browser->text );
}

sub browse {
    my ($at) = @_;
    my $picture = sub { my ( $browser, $name ) = @_; $browser->picture("$pictures/$at-$name.png") };

    # A login by form
    my $first = Browser->new($driver);
    $first->go("$home/some/page?x=1");
    says( $first, qr/Log in.*Username.*Password/s, "$at: a login page" );
    $picture->( $first, 'login' );
    type_password( $first, 'alice', 'guess' );
    says( $first, qr/The login is invalid[.]/, 'a wrong password' );
    $picture->( $first, 'wrong-password' );
    is( $first->script('return document.querySelector("#pass").value'),
        q{}, '... is not shown again' );
    $site->forget;
    type_password( $first, 'alice', 'secret' );
    is_at_panel( $first, 'alice', '/some/page?x=1',
        '... and the right one leads to where it was going to' );
    $picture->( $first, 'panel' );
    is( $first->script('return document.cookie'), q{},
        '... with a cookie that no script can read' );

    # A login URL
    for my $form (qw(direct login)) {
        $site->settings( login_url => $form );
        my $url = login_url( goto_uri => '/domains?a=b&c=d#part' );
        $site->settings( login_url => undef );
        my $browser = Browser->new($driver);
        $browser->go($url);
        is_at_panel( $browser, 'alice', '/domains?a=b&c=d#part',
            "a login URL of the form $form opens the panel" );
        unlike( $browser->url, qr/lmt_|session/, '... and no secret stays in the address bar' );
        unlike(
            $browser->script(
                'return document.referrer + performance.getEntriesByType("navigation")[0].name'),
            qr/lmt_/,
            '... nor where the page could find it'
        );
        $picture->( $browser, "url-$form" );
        $browser->reload;
        is_at_panel( $browser, 'alice', '/domains?a=b&c=d#part', '... reloading shows it again' );
        $browser->go('about:blank');
        $browser->go($url);
        is_at_panel( $browser, 'alice', '/domains?a=b&c=d#part',
            '... so does the URL in the same browser' );
        my $other = Browser->new($driver);
        $other->devtools( 'Network.setUserAgentOverride', userAgent => 'Another/1.0' );
        $other->go($url);
        says( $other, qr/This link has been used[.]/, '... another browser is refused' );
        $picture->( $other, 'used' );
        $browser->reload;
        is_at_panel( $browser, 'alice', '/domains?a=b&c=d#part', '... and the first is still in' );
    }

    # A double click
    my $clicker = Browser->new($driver);
    my $url     = login_url( goto_uri => '/mail' );
    $clicker->go("data:text/html,<p style='font-size:60px'><a id=link href='$url'>open</a></p>");
    $clicker->double_click('#link');
    is_at_panel( $clicker, 'alice', '/mail', 'a double click opens it' );
    $clicker->reload;
    is_at_panel( $clicker, 'alice', '/mail', '... and leaves one session that works' );

    # Another user is logged in
    my $bob = Browser->new($driver);
    $bob->go("$home/");
    type_password( $bob, 'bob', 'secret' );
    is_at_panel( $bob, 'bob', q{/}, 'bob logs in' );
    $url = login_url( goto_uri => '/files' );
    $bob->go($url);
    says(
        $bob,
        qr/You are logged in as bob[.] Continue as alice[?]/,
        "... and opens a link of alice's: is asked"
    );
    $picture->( $bob, 'question' );
    $bob->click('a.second');
    is_at_panel( $bob, 'bob', q{/}, '... stays bob' );
    $bob->go($url);
    says( $bob, qr/Continue as alice[?]/, '... is asked again' );
    $bob->click('button[type=submit]');
    is_at_panel( $bob, 'alice', '/files', '... and goes on as alice' );

    # Logging out
    $bob->click('#logout');
    says( $bob, qr/You have logged out[.]/, 'logging out is told' );
    $picture->( $bob, 'logged-out' );
    for my $times ( 1, 2 ) {
        $bob->back;
        says( $bob, qr/Log in|logged out|Invalid Security Token/, "the back button, $times" );
        unlike( $bob->text, qr/You are alice/, '... shows nothing that was protected' );
    }
    $picture->( $bob, 'back' );

    # Waits
    my $guesser = Browser->new($driver);
    $guesser->go("$home/");
    my $wait = qr/Too many failed logins[.] Please try again in [0-9]+ seconds[.]/;
    for my $try ( 1 .. 12 ) {
        type_password( $guesser, 'carol', "guess$try" );
        says( $guesser, qr/invalid[.]|Too many/, "guess $try" );
        last if $guesser->text =~ $wait;
    }
    says( $guesser, $wait, 'too many guesses: a wait' );
    $picture->( $guesser, 'wait' );
    $site->forget;

    # A small screen, in dark mode
    my $phone = Browser->new($driver);
    $phone->devtools(
        'Emulation.setDeviceMetricsOverride',
        width             => 320,
        height            => 640,
        deviceScaleFactor => 2,
        mobile            => JSON::PP::true()
    );
    my %colour;
    for my $scheme (qw(light dark)) {
        $phone->devtools( 'Emulation.setEmulatedMedia',
            features => [ { name => 'prefers-color-scheme', value => $scheme } ] );
        for my $service ( sort keys %port ) {
            $phone->go("https://localhost:$port{$service}/");
            cmp_ok( $phone->script('return document.documentElement.scrollWidth'),
                '<=', 320, "$service on a phone, $scheme: nothing is cut off" );
            $colour{$scheme} =
                $phone->script('return getComputedStyle(document.body).backgroundColor');
            $picture->( $phone, "phone-$scheme-$service" );
        }
    }
    isnt( $colour{dark}, $colour{light}, 'it is dark in the dark' );
    return;
}

{
    my $server = Serve->new( '--base', $base, '--app', 'examples/panel.psgi' );
    browse('serve');
}

SKIP: {
    skip 'nginx is not installed', 1 if !has_program('nginx');
    my %files = Front::files( $dir, $base );

    # The panel without the middleware.
    $site->write_file( "$dir/panel.psgi", <<'PERL' );
my $panel = Plack::Util::load_psgi('examples/panel.psgi');
sub {
    my ($env) = @_;
    @{$env}{qw(REMOTE_USER logmein.service SCRIPT_NAME)} =
        @{$env}{qw(HTTP_X_LOGMEIN_USER HTTP_X_LOGMEIN_SERVICE HTTP_X_FORWARDED_PREFIX)};
    $env->{'logmein.logout'} = "$env->{SCRIPT_NAME}/logout/";
    return $panel->($env);
};
PERL
    my $gateway = Serve->new( '--front', $files{front}, '--base', $base );
    my $panel   = Serve::panel( $files{panel}, "$dir/panel.psgi" );
    my $nginx   = Front::nginx(%files);
    browse('nginx');
}
done_testing();
