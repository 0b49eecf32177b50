#!/usr/bin/perl

# nginx in front of the gateway, and the gateway alone: no log holds a ticket, a
# cookie or a password of a thousand logins (ten thousand with XT_LONG=1), and no
# spelling of a field brings a client's word on who it is to the app.

use strict;
use warnings;
use blib;
use lib    qw(t/lib xt/lib);
use Author qw(has_program read_file);
use Front  ();
use Load   qw(heard in_parallel log_in);
use Serve  qw(free_base raw request);
use Test::More;
use Test::Cpanel::LogMeIn;

plan skip_all => 'nginx is not installed' if !has_program('nginx');

my $LOGINS = $ENV{XT_LONG} ? 10_000 : 1_000;
my ( $base, $plain ) = ( free_base(6), free_base(6) );
my $port     = $base + 1;
my $PASSWORD = 'secret';

# A name has a hundred sessions at most.
my @users = map { "user$_" } 1 .. $LOGINS / 20;
my $site  = Test::Cpanel::LogMeIn->new(
    accounts => { map { $_ => $PASSWORD } 'alice', @users },
    settings => {
        'port.cpanel'  => $port,
        'port.whm'     => $base + 3,
        'port.webmail' => $base + 5,
    }
);
my $dir = $site->dir;
chmod oct 755, $dir;
my %files = Front::files( $dir, $base );

# The app tells all that it is told.
$site->write_file( "$dir/echo.psgi", <<'PSGI' );
sub {
    my ($env) = @_;
    my $all = join "\n", 'PANEL', map { "$_=" . ( $env->{$_} // q{} ) } grep { !ref $env->{$_} } sort keys %{$env};
    return [ 200, [ 'Content-Type' => 'text/plain', 'Content-Length' => length $all ], [$all] ];
}
PSGI
my $gateway = Serve->new( '--front', $files{front}, '--no-socket', '--base', $base,
    '--log', "$dir/gateway.log" );
my $panel = Serve::panel( $files{panel}, "$dir/echo.psgi" );
my $nginx = Front::nginx(%files);

# Logins by URL and by form; each prints its secrets.
my $WORKERS = 4;
my @secrets = heard(
    in_parallel(
        $WORKERS,
        sub {
            my ($worker) = @_;
            for my $number ( 1 .. $LOGINS / $WORKERS / 2 ) {
                my $user = $users[ ( $number * $WORKERS + $worker ) % @users ];
                my ( undef, undef, $url ) = $site->login( user => $user );
                my ( $ticket, $token ) = Test::Cpanel::LogMeIn::parse_url($url);
                my $opened   = request( $port, 1, $url =~ s{\Ahttps://[^/]+}{}r );
                my ($first)  = ( $opened->{header}{'set-cookie'} // q{} ) =~ /%3a([\w-]{43})/;
                my $answer   = request( $port, 1, '/login/', "user=$user&pass=$PASSWORD" );
                my ($second) = ( $answer->{header}{'set-cookie'} // q{} ) =~ /%3a([\w-]{43})/;
                print map { "$_\n" } grep { defined } $ticket, $first, $second;
                request(
                    $port, 1, "$token/x?session=$ticket", undef,
                    "Cookie: cpsession=$user%3a$first",
                    "Referer: https://localhost/$url"
                );
                request( $port, 1, '/login/', "user=nobody&pass=$PASSWORD-wrong$number" );
            }
        }
    )
);
chomp @secrets;
cmp_ok( scalar @secrets, '>', $LOGINS * 1.4, 'control: there are ' . @secrets . ' secrets' );
$_->stop for $nginx, $gateway;
my %log = map { $_ => -e $_ ? read_file($_) : q{} } "$dir/nginx/access.log", "$dir/nginx/error.log",
    "$dir/nginx/out", "$dir/gateway.log", glob("$dir/*log*");
$log{site}    = $site->log_text;
$log{gateway} = $gateway->{said};

sub found {
    my (@wanted) = @_;
    my $any      = join q{|}, map { quotemeta } @wanted;
    return map { /$any/g } values %log;
}
my @seen = found( @secrets, $PASSWORD );
is( scalar @seen, 0, "$LOGINS logins: no log holds a secret" ) or diag("@seen[0 .. 0]");
note( "5: $LOGINS logins, " . @seen . ' secrets in a log' );
cmp_ok( scalar( found('user1') ),             '>', $LOGINS / 2,  'control: the logs tell of them' );
cmp_ok( length $log{"$dir/nginx/access.log"}, '>', 50 * $LOGINS, "control: nginx's, too" );

# Who a client says that it is.
$nginx = undef;
rename "$dir/nginx", "$dir/nginx.old" or die $!;
$gateway = Serve->new( '--front', $files{front}, '--no-socket', '--base', $base );
$nginx   = Front::nginx(%files);
my ( $token, $cookie ) = log_in( $port, 1 ) or BAIL_OUT('no login');

# The gateway alone serves the same sessions at other ports.
$site->settings(
    'port.cpanel'  => $plain + 1,
    'port.whm'     => $plain + 3,
    'port.webmail' => $plain + 5
);
my $alone = Serve->new( '--base', $plain, '--no-socket', '--app', "$dir/echo.psgi" );
my @NAMES = map { ( $_, tr/-/_/r, uc, lc ) }
    qw(X-LogMeIn-User X-LogMeIn-Service X-Remote-User Remote-User X-Forwarded-User);
my @SHAPES = (
    sub { "$_[0]: mallory\r\n" },
    sub { "$_[0]:mallory\r\n$_[0]: mallory\r\n" },
    sub { "A: b\r\n$_[0]:\tmallory\r\n" },
    sub { "$_[0]: alice, mallory\r\n" },
    sub { "$_[0]: mallory\r\nConnection: $_[0]\r\n" },
    sub { "$_[0] : mallory\r\n" },
    sub { "A: b\r\n $_[0]: mallory\r\n" },
    sub { "A: b\r$_[0]: mallory\r\n" },
);
my ( $sent, $passed, @told ) = ( 0, 0 );

for my $where ( [ $port, $token, $cookie ], [ $plain + 1, $token, $cookie ] ) {
    my ( $at, @own ) = @{$where};
    for my $name (@NAMES) {
        for my $shape (@SHAPES) {
            my $answer = raw( $at, 1,
                      "GET $own[0]/x HTTP/1.1\r\nHost: localhost:$at\r\nConnection: close\r\n"
                    . $shape->($name)
                    . "Cookie: $own[1]\r\n\r\n" ) // q{};
            $sent++;
            $passed++ if $answer =~ /^PANEL/m;
            push @told, "$at $name: $1"
                if $answer =~ /^((?:HTTP_\w*(?:USER|SERVICE)|REMOTE_USER)=.*mallory)/mi;
        }
    }
}

is( scalar @told, 0, "$sent raw requests: the app is told nothing by the client" )
    or diag( join "\n", @told );
note( "37: $sent raw requests, " . @told . ' of a client\'s names reach the app' );
cmp_ok( $passed, '>', $sent / 4, "control: $passed of them reach it" );
my $page = raw( $port, 1,
    "GET $token/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nCookie: $cookie\r\nX-Other: mallory\r\n\r\n"
);
like( $page, qr/^HTTP_X_OTHER=mallory/m,      'control: another field of a client does' );
like( $page, qr/^HTTP_X_LOGMEIN_USER=alice/m, 'control: and so does the name of the session' );
done_testing();
