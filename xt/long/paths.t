#!/usr/bin/perl

# nginx with logmeind, logmeind itself, and the middleware agree about each of 20,000
# request targets (LOGMEIN_PATHS is the number); requests without a session are refused;
# and while nginx, the gateway and logmeind reload, all answers are right.

use strict;
use warnings;
use blib;
use lib    qw(t/lib xt/lib);
use Author qw(has_program read_file);
use Front  ();
use Load   qw(asker heard in_parallel log_in);
use Serve  qw(free_base);
use Test::More;
use Test::Cpanel::LogMeIn;
use Time::HiRes qw(sleep time);

plan skip_all => 'nginx is not installed'             if !has_program('nginx');
plan skip_all => 'libmicrohttpd-dev is not installed' if !-x 'blib/bin/logmeind';

my $COUNT   = $ENV{LOGMEIN_PATHS} // 20_000;
my $WORKERS = 4;
my ( $base, $plain ) = ( free_base(6), free_base(6) );
my $site = Test::Cpanel::LogMeIn->new(
    settings => {
        'port.cpanel'  => $base + 1,
        'port.whm'     => $base + 3,
        'port.webmail' => $base + 5,
        log            => 'none'
    }
);
my $dir   = $site->dir;
my $check = "$dir/check.sock";
$site->settings( check_socket => $check );
chmod oct 755, $dir;
my %files = Front::files( $dir, $base );
$site->write_file( "$dir/echo.psgi",
    q{sub { [ 200, [ 'Content-Type' => 'text/plain', 'Content-Length' => 6 ], ["PANEL\n"] ] }} );

# The middleware at a separate socket, which counts as a port with TLS; both use the
# same store.
my $gateway =
    Serve->new( '--front', $files{front}, '--no-socket', '--base', $base, '--with-check' );
my $middleware = Serve->new( '--front', "$dir/middleware.sock", '--no-socket', '--base', $base,
    '--app', "$dir/echo.psgi" );
my $panel = Serve::panel( $files{panel}, "$dir/echo.psgi" );
my $nginx = Front::nginx( %files, checked_at => $check );

# The fields of a front server.
my @front = (
    'X-Forwarded-Proto: https',
    'X-Forwarded-Port: ' . ( $base + 1 ),
    'X-Forwarded-For: 192.0.2.9'
);
my ( $token, $cookie ) = log_in( $files{front}, 0, @front ) or BAIL_OUT('no login');

# Targets of all kinds: most begin with the session's token, so that a wrong decision
# is possible.
no warnings 'qw';    ## no critic (ProhibitNoWarnings)
my @PARTS = (
    qw(/ // . .. /./ /../ %2e %2E%2e %2f %2F %5c \\ ; ;a=b %00 %0d%0a %09 %20 %25 %252f %252e %7f
        %c0%af %e2%80%ae %ff %C3%A9 %zz % %1 : @ ! $ & ' ( ) * + ~ ^ | ` { } [ ] < > " _ - = a b login logout
        logmein check health cpsess0123456789 favicon.ico robots.txt .well-known/ json-api/ execute/ xml-api/
        ? ?? ?x=y ?session=x ?session=lmt_ &session= # %23 %3f ?a=%zz), chr 0xe9, "\t", q{ }
);

# Only two wrong tokens, because three would end the session.
my @WRONG = qw(/cpsess0123456789 /cpsess0000000000 /cpsess012345678 /cpsess /CPSESS0123456789);

sub target {
    my $kind  = rand;
    my $start = $kind < 0.8 ? $token : $kind < 0.9 ? $WRONG[ rand @WRONG ] : q{};
    my $text  = $start . ( rand > 0.2 ? q{/} : q{} ) . join q{},
        map { $PARTS[ rand @PARTS ] } 1 .. 1 + rand 5;
    $text =~ s/ +\z//;                          # nginx takes blanks there for the end of the target
    return $text =~ m{\A/} ? $text : "/$text";
}

my $start = time;
my @lines = heard(
    in_parallel(
        $WORKERS,
        sub {
            my ($number) = @_;
            srand $number;
            my $by_nginx  = asker( $base + 1,              1, "Cookie: $cookie" );
            my $by_itself = asker( "$dir/middleware.sock", 0, "Cookie: $cookie", @front );
            my $by_daemon = asker( $check, 0, "Cookie: $cookie", 'X-Original-Method: GET', @front );
            my $nobody    = asker( $base + 1, 1 );
            my %count;
            for my $try ( 1 .. $COUNT / $WORKERS ) {
                my $target = target();
                next
                    if $target =~ m{\A(?:/cpsess[0-9]{10})?/log(?:in|out)/?(?:[?]|\z)}
                    && ++$count{apart};

                # As nginx does, which takes two slashes before a token for one.
                my $joined  = $target =~ s{\A/(?=/cpsess[0-9]{10}(?:[/?]|\z))}{}r;
                my @answers = (
                    $by_nginx->($target), $by_itself->($target),
                    $by_daemon->( '/logmein/check', "X-Original-URI: $joined" )
                );
                my @yes      = grep { $_->{status} == 204 || $_->{body} =~ /PANEL/ } @answers;
                my @statuses = map  { $_->{status} } @answers;
                $count{ @yes ? 'yes' : 'no' }++;
                print "DIFFERENT @statuses $target\n" if @yes && @yes < @answers;
                print "ODD @statuses $target\n"       if grep { $_ == 0 || $_ >= 500 } @statuses;
                print "OPEN $target\n" if $try % 10 == 0 && $nobody->($target)->{body} =~ /PANEL/;
            }
            print "COUNT @{[ %count ]}\n";
        }
    )
);
my %total;
for my $line ( grep { /\ACOUNT/ } @lines ) {
    my %count = $line =~ /(\w+) (\d+)/g;
    $total{$_} += $count{$_} for qw(yes no apart);
}
my @wrong = grep { !/\ACOUNT/ } @lines;
is( scalar @wrong,
    0, "nginx, logmeind and the middleware agree about $COUNT targets, nobody gets in" )
    or diag( map { s/([^ -~\n])/sprintf '\\x%02x', ord $1/ger }
        @wrong[ 0 .. ( $#wrong < 30 ? $#wrong : 30 ) ] );
cmp_ok( $total{$_}, '>', $COUNT / 50, "control: $total{$_} times '$_'" ) for qw(yes no);
diag( sprintf '%d targets in %.0f s', $COUNT, time - $start );

# Reloading, under load
my $SECONDS = 12;
my @readers = in_parallel(
    $WORKERS,
    sub {
        my $with    = asker( $base + 1, 1, "Cookie: $cookie", 'Connection: close' );
        my $without = asker( $base + 1, 1, 'Connection: close' );
        my ( $end, $count ) = ( time + $SECONDS, 0 );
        while ( time < $end ) {
            my ( $yes, $no ) = ( $with->("$token/x"), $without->("$token/x") );
            $count += 2;
            print "WITH $yes->{status}\n"   if $yes->{status} != 200 || $yes->{body} !~ /PANEL/;
            print "WITHOUT $no->{status}\n" if $no->{status} != 401  || $no->{body}  =~ /PANEL/;
        }
        print "COUNT yes $count\n";
    }
);
for ( 1 .. 5 ) {
    $_->signal('HUP') for $nginx, $gateway;
    sleep 2;
}
@lines = heard(@readers);
my $asked = 0;
$asked += $_ for map { /COUNT yes (\d+)/ ? $1 : () } @lines;
@wrong = grep { !/\ACOUNT/ } @lines;
is( scalar @wrong, 0, "$asked requests while all reload five times: each is answered right" )
    or diag( @wrong[ 0 .. ( $#wrong < 20 ? $#wrong : 20 ) ] );
diag( read_file("$dir/nginx/error.log") ) if @wrong;
cmp_ok( $asked, '>', 100, 'control: there were requests' );
done_testing();
