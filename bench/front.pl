#!/usr/bin/perl

# Row 11: requests through nginx that are not checked, that logmeind checks, and that the
# gateway checks; and what others do: Apache, without a check and with mod_auth_form
# (its passwords hashed with bare SHA-1, the cheapest kind), and Starman without and with
# Plack's session middleware. Prints a line for each round and kind: the kind, the
# microseconds of CPU that all its processes have used for a request, the requests in a
# second, and the longest of 99 % of them in milliseconds.
#
#     front.pl ROUNDS [CONNECTIONS]

use strict;
use warnings;
use Cpanel::LogMeIn::Session ();
use File::Basename           qw(dirname);
use POSIX                    ();
use Test::Cpanel::LogMeIn;
use Time::HiRes qw(sleep);

my ( $rounds, $connections ) = ( @ARGV, 16 );
my $SECONDS = 2;
my $TICK    = 1 / POSIX::sysconf( POSIX::_SC_CLK_TCK() );

my $site = Test::Cpanel::LogMeIn->new( settings => { log => 'none' } );
my $dir  = $site->dir;
my $top  = dirname(__FILE__) . '/..';
my $port = 20_000 + $$ % 10_000;
$site->settings( gateway_socket => "$dir/gateway.sock" );
my $session = $site->redeem( ( $site->login )[2] );

my %pid;

sub start {
    my ( $name, @command ) = @_;
    my $pid = fork // die "fork: $!\n";
    if ( !$pid ) {
        open STDOUT, '>',  '/dev/null' or POSIX::_exit(9);
        open STDERR, '>&', \*STDOUT    or POSIX::_exit(9);
        exec @command or POSIX::_exit(9);
    }
    return $pid{$name} = $pid;
}

END {
    local $? = 0;
    kill TERM => values %pid;
    waitpid $_, 0 for values %pid;
}

# A place whose requests are checked.
sub location {
    my ($name) = @_;
    return <<"LOCATION";
        location /$name/ {
            auth_request /check-$name;
            rewrite ^ /x break;
        }
        location = /check-$name {
            internal;
            proxy_pass http://$name/logmein/check;
            proxy_http_version 1.1;
            proxy_pass_request_body off;
            proxy_set_header Connection        "";
            proxy_set_header Content-Length    "";
            proxy_set_header Host              \$http_host;
            proxy_set_header X-Forwarded-Proto https;
            proxy_set_header X-Forwarded-Port  2083;
            proxy_set_header X-Forwarded-For   \$remote_addr;
            proxy_set_header X-Original-URI    \$original;
            proxy_set_header X-Original-Method \$request_method;
        }
LOCATION
}
mkdir "$dir/www" or die "$dir/www: $!\n";
chmod oct 755, $dir, "$dir/www";
$site->write_file( "$dir/www/x",      'x' x 100 );
$site->write_file( "$dir/nginx.conf", <<"CONF" );
daemon off;
user root;
worker_processes 1;
pid $dir/nginx.pid;
error_log $dir/nginx.log;
events { worker_connections 4096; }
http {
    access_log off;
    keepalive_requests 1000000000;
@{[ map { "    ${_}_temp_path $dir/$_;\n" } qw(client_body fastcgi proxy scgi uwsgi) ]}
    upstream daemon  { server unix:$dir/check.sock; keepalive 64; }
    upstream gateway { server unix:$dir/front.sock; keepalive 64; }
    map \$request_uri \$original { "~^/[a-z]+(?<rest>/.*)" \$rest; }
    server {
        listen 127.0.0.1:$port;
        root $dir/www;
@{[ map { location($_) } qw(daemon gateway) ]}
        location /static/ { rewrite ^ /x break; }
    }
}
CONF
start( daemon => "$top/blib/bin/logmeind", '--socket', "$dir/check.sock" );
start(
    gateway => $^X,
    "-I$top/blib/arch", "-I$top/blib/lib", "$top/blib/script/logmein",
    'serve', '--front', "$dir/front.sock", '--workers', 4
);
start( nginx => 'nginx', '-c', "$dir/nginx.conf", '-e', "$dir/nginx.log" );
my $at   = "http://127.0.0.1:$port";
my $mine = "Cookie: cpsession=$session->{cookie}";
my %kind = (
    static  => [ "$at/static$session->{token}/x",  $mine, 'nginx' ],
    daemon  => [ "$at/daemon$session->{token}/x",  $mine, qw(nginx daemon) ],
    gateway => [ "$at/gateway$session->{token}/x", $mine, qw(nginx gateway) ],
);
my @kinds = qw(static daemon gateway);

# The peers
sub start_apache {
    my $modules = '/usr/lib/apache2/modules';
    my $number  = $port + 1;
    my @modules =
        qw(alias auth_form authn_core authn_file authz_core authz_user mpm_event request session
        session_cookie);
    return if grep { !-e "$modules/mod_$_.so" } @modules;
    system("htpasswd -bcs $dir/htpasswd alice secret 2>/dev/null") == 0 or return;
    my $form = "AuthFormProvider file\nAuthUserFile $dir/htpasswd\nAuthType form\nAuthName x\n"
        . "Session On\nSessionCookieName session path=/\n";
    $site->write_file( "$dir/apache.conf", <<"CONF" );
@{[ map { "LoadModule ${_}_module $modules/mod_$_.so\n" } @modules ]}
ServerName localhost
ServerRoot $dir
PidFile $dir/apache.pid
ErrorLog $dir/apache.log
Listen 127.0.0.1:$number
DocumentRoot $dir/www
KeepAlive On
MaxKeepAliveRequests 0
User www-data
Group www-data
StartServers 1
MinSpareThreads 1
MaxSpareThreads 64
ServerLimit 1
ThreadsPerChild 64
MaxRequestWorkers 64
Alias /form $dir/www
<Location /login>
SetHandler form-login-handler
$form
Require all granted
</Location>
<Location /form>
$form
Require valid-user
</Location>
CONF
    start( apache => 'apache2', '-DFOREGROUND', '-f', "$dir/apache.conf" );
    sleep 1;
    my ($cookie) =
        `curl -si -d 'httpd_username=alice&httpd_password=secret' http://127.0.0.1:$number/login`
        =~ /^Set-Cookie: (session=[^;]+)/mi
        or return;
    $kind{'apache-static'} = [ "http://127.0.0.1:$number/x",      "Cookie: $cookie", 'apache' ];
    $kind{'apache-form'}   = [ "http://127.0.0.1:$number/form/x", "Cookie: $cookie", 'apache' ];
    return push @kinds, qw(apache-static apache-form);
}

sub start_plack {
    return if system("$^X -MStarman -MPlack::Middleware::Session -e 1 >/dev/null 2>&1") != 0;
    mkdir "$dir/sessions" or return;
    $site->write_file( "$dir/app.psgi", <<"PSGI" );
use Plack::Builder;
use Plack::Session::Store::File;
my \$app = sub { [ 200, [ 'Content-Type' => 'text/plain', 'Content-Length' => 3 ], ["hi\\n"] ] };
builder {
    mount '/open' => \$app;
    mount '/session' => builder {
        enable 'Session', store => Plack::Session::Store::File->new( dir => '$dir/sessions' );
        sub { \$_[0]{'psgix.session'}{user} //= 'alice'; \$app->( \$_[0] ) };
    };
};
PSGI
    my $number = $port + 2;
    start(
        plack => 'starman',
        '--listen',    "127.0.0.1:$number", '--workers', 16, '--max-requests',
        1_000_000_000, "$dir/app.psgi"
    );
    sleep 2;
    my ($cookie) = `curl -si http://127.0.0.1:$number/session` =~ /^Set-Cookie: ([^;]+)/mi
        or return;
    $kind{'plack-open'}    = [ "http://127.0.0.1:$number/open",    "Cookie: $cookie", 'plack' ];
    $kind{'plack-session'} = [ "http://127.0.0.1:$number/session", "Cookie: $cookie", 'plack' ];
    return push @kinds, qw(plack-open plack-session);
}
start_apache();
start_plack();
sleep 2;

# Seconds of CPU of these processes and their children.
sub cpu {
    my (@pids) = @_;
    my $ticks = 0;
    while ( defined( my $pid = shift @pids ) ) {
        open my $stat, '<', "/proc/$pid/stat" or next;
        my @field = split q{ }, readline($stat) =~ s/.*[)] //r;
        $ticks += $field[11] + $field[12];
        push @pids, split q{ }, `cat /proc/$pid/task/$pid/children`;
    }
    return $ticks * $TICK;
}

sub measure {
    my ($kind) = @_;
    my ( $url, $cookie, @programs ) = @{ $kind{$kind} };
    my @pids = @pid{@programs};
    my @load =
        ( 'wrk', '-t1', "-c$connections", "-d${SECONDS}s", '--latency', '-H', $cookie, $url );
    my $before = cpu(@pids);
    open my $wrk, '-|', @load or die "wrk: $!\n";
    my $said = do { local $/ = undef; readline $wrk };
    my $used = cpu(@pids) - $before;
    die "bench: $said" if $said =~ /Non-2xx/;
    my ($count) = $said =~ /^ +([0-9]+) requests in/m;
    my ($rate)  = $said =~ m{^Requests/sec: +([0-9.]+)}m;
    my ( $p99, $unit ) = $said =~ /^ +99% +([0-9.]+)(us|ms|s)$/m;
    $p99 *= { us => 1e-3, ms => 1, s => 1e3 }->{$unit};
    return sprintf "%s %.2f %.0f %.3f\n", $kind, 1e6 * $used / $count, $rate, $p99;
}
STDOUT->autoflush(1);
for ( 1 .. $rounds ) {
    print measure($_) for @kinds;
}
