#!/usr/bin/perl

# A thousand logins through nginx (ten thousand with XT_LONG=1): no log holds a ticket,
# a cookie or a password of them. At nginx, Apache and the gateway alone: no spelling of
# a field brings a client's word on who and where it is to the app.

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

for my $program (qw(nginx apache2)) {
    plan skip_all => "$program is not installed" if !has_program($program);
}

my $LOGINS   = $ENV{LOGMEIN_LOGINS} || ( $ENV{XT_LONG} ? 10_000 : 1_000 );
my $base     = free_base(6);
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

# What of the wanted is in a text. Perl's expressions take hours for so many words.
sub found {
    my ( $text, @wanted ) = @_;
    $site->write_file( "$dir/text", $text );
    $site->write_file( "$dir/wanted", join q{}, map { "$_\n" } @wanted );
    my @found = `LC_ALL=C grep -aoF -f $dir/wanted $dir/text`;
    die "grep: $?\n" if $? >> 8 > 1 || $? & 127;
    return @found;
}
my $logs = join "\n", values %log;
my @seen = found( $logs, @secrets, $PASSWORD );
is( scalar @seen, 0, "$LOGINS logins: no log holds a secret" ) or diag("@seen[0 .. 0]");
note( "5: $LOGINS logins, " . @seen . ' secrets in a log' );
my @one   = found( $logs . $secrets[-1], @secrets );
my @lines = found( $logs,                'user1' );
is( scalar @one, 1, 'control: one would be found' );
cmp_ok( scalar @lines,                        '>', $LOGINS / 2,  'control: the logs tell of them' );
cmp_ok( length $log{"$dir/nginx/access.log"}, '>', 50 * $LOGINS, "control: nginx's, too" );

# Who a client says that it is, and where it and its server are.
my @NAMES = qw(X-LogMeIn-User X-LogMeIn-Service X-Remote-User Remote-User X-Forwarded-User
    Forwarded Proxy X-Forwarded-Prefix X-Real-IP);
my $FIELD  = join q{|}, map { 'HTTP_' . uc tr/-/_/r } @NAMES;
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

# The session is alice's; each server is asked with it in all shapes.
my ( $token, $cookie );
my ( $sent, $passed, @told ) = ( 0, 0 );

sub ask {
    my ( $at, @fields ) = @_;
    my $head = join "\r\n", "GET $token/x HTTP/1.1", "Host: localhost:$at", 'Connection: close',
        "Cookie: $cookie";
    return raw( $at, 1, join q{}, "$head\r\n", @fields, "\r\n" ) // q{};
}

sub try_at {
    my ( $at, $name ) = @_;
    for my $field ( map { ( $_, tr/-/_/r, uc, lc ) } @NAMES ) {
        for my $shape (@SHAPES) {
            my $answer = ask( $at, $shape->($field) );
            $sent++;
            $passed++ if $answer =~ /^PANEL/m;
            push @told, "$name, $field: $1"
                if $answer =~ /^((?:$FIELD|REMOTE_USER)=.*mallory)/mi;
        }
    }
    my $page = ask( $at, "X-Other: mallory\r\n" );
    like( $page, qr/^HTTP_X_OTHER=mallory/m, "control: $name: another field reaches the app" );
    like(
        $page,
        qr/^(?:HTTP_X_LOGMEIN|REMOTE)_USER=alice/m,
        'control: ... and so does the name of the session'
    );
    return;
}

sub front_gateway {
    my (@app) = @_;
    my @group = $< == 0 ? ( '--front-group', 'www-data' ) : ();
    return Serve->new( '--front', $files{front}, '--no-socket', '--base', $base, @group, @app );
}
$gateway = front_gateway();
$nginx   = Front::nginx( %files, name => 'second' );
( $token, $cookie ) = log_in( $port, 1 ) or BAIL_OUT('no login');
try_at( $port, 'nginx' );
$_->stop for $nginx, $gateway;

$gateway = front_gateway( '--app', "$dir/echo.psgi" );
my $apache = Front::apache(%files);
try_at( $port, 'Apache' );
$_->stop for $apache, $gateway;

$gateway = Serve->new( '--base', $base, '--no-socket', '--app', "$dir/echo.psgi" );
try_at( $port, 'the gateway alone' );

is( scalar @told, 0, "$sent raw requests: the app is told nothing by the client" )
    or diag( join "\n", @told );
note( "37: $sent raw requests, " . @told . ' of a client\'s names reach the app' );
cmp_ok( $passed, '>', $sent / 4, "control: $passed of them reach it" );
done_testing();
