#!/usr/bin/perl

# logmeind behind nginx, by examples/nginx.conf: logins, pages and logouts; and, while
# clients ask without a pause, it is reloaded, restarted and killed: nobody is let in
# wrongly, and at a reload or restart no request is lost. With XT_LONG=1 a thousand times.

use strict;
use warnings;
use blib;
use lib              qw(t/lib xt/lib);
use Author           qw(has_program);
use Checker          ();
use Front            ();
use Load             qw(asker heard in_parallel log_in);
use Serve            qw(free_base request);
use IO::Socket::UNIX ();
use Test::More;
use Test::Cpanel::LogMeIn;
use Time::HiRes qw(sleep time);

plan skip_all => 'nginx is not installed' if !has_program('nginx');
my $TIMES = $ENV{XT_LONG} ? 1000 : 20;

my $base = free_base(6);
my %port = ( cpanel => $base + 1, whm => $base + 3, webmail => $base + 5 );
my $site = Test::Cpanel::LogMeIn->new(
    accounts => { alice => { password => 'secret', reseller => 1 } },
    settings => { log   => 'none', map { ( "port.$_" => $port{$_} ) } keys %port },
);
my $dir   = $site->dir;
my %files = Front::files( $dir, $base );
$site->settings( gateway_socket => "$dir/run/gateway.sock" );
my $listening = IO::Socket::UNIX->new( Local => "$dir/check.sock", Listen => 128 ) or die $!;
chmod oct 666, "$dir/check.sock";
my $daemon = Checker->new($listening) or BAIL_OUT('logmeind does not start');
my $serve  = Serve->new( '--front', $files{front}, '--base', $base );
$site->write_file( "$dir/panel.psgi",
    q{sub { return [ 200, [ 'Content-Type' => 'text/plain' ], ['PANEL'] ] }} );
my $panel = Serve::panel( $files{panel}, "$dir/panel.psgi" );

my $nginx = Front::nginx( %files, checked_at => "$dir/check.sock" );

# A user
my ( $token, $cookie ) = log_in( $port{cpanel}, 1 );
ok( $cookie, 'a login through nginx' );
my @mine = ( undef, "Cookie: $cookie" );
my $page = request( $port{cpanel}, 1, "$token/x", @mine );
is( $page->{status},                                       200, 'a page' );
is( request( $port{cpanel}, 1, "$token/x" )->{status},     401, 'none without the cookie' );
is( request( $port{whm}, 1, "$token/x", @mine )->{status}, 401, 'none at another service' );
is( request( $port{cpanel}, 1, '/cpsess0000000001/x', @mine )->{status},
    401, 'nor by a wrong token' );
is( request( $port{cpanel}, 1, "$token/logout/", @mine )->{status}, 200, 'a logout' );
is( request( $port{cpanel}, 1, "$token/x",       @mine )->{status}, 401, '... is seen at once' );

# Load: half of the requests are to be granted, the others refused.
( $token, $cookie ) = log_in( $port{cpanel}, 1 );

# What four clients got, a hash, while the work was done so many times.
sub under_load {
    my ( $times, $work ) = @_;
    $site->write_file( "$dir/go", q{} );
    my @readers = in_parallel(
        4,
        sub {
            my $right = asker( $port{cpanel}, 1, "Cookie: $cookie" );
            my $wrong = asker( $port{cpanel}, 1, 'Cookie: cpsession=alice%3a' . 'A' x 43 );
            my %seen;
            while ( -e "$dir/go" ) {
                $seen{ 'right=' . $right->("$token/x")->{status} }++;
                $seen{ 'wrong=' . $wrong->("$token/x")->{status} }++;
            }
            print "$_ $seen{$_}\n" for sort keys %seen;
        }
    );
    sleep 0.2;
    for ( 1 .. $times ) { $work->(); sleep 0.05 }
    unlink "$dir/go";
    my %count;
    for my $line ( heard(@readers) ) {
        my ( $what, $number ) = split q{ }, $line;
        $count{$what} += $number;
    }
    note join q{, }, map { "$_: $count{$_}" } sort keys %count;
    return %count;
}

sub check_load {
    my ( $what, $may_fail, %count ) = @_;
    cmp_ok( $count{'right=200'} // 0, '>', 100, "$what: answers" );
    is( $count{'wrong=200'}     // 0, 0, '... nobody is let in wrongly' );
    my @lost = grep { !/\A(?:right=200|wrong=401)\z/ } sort keys %count;
    @lost = grep { !/=503\z/ } @lost if $may_fail;
    is_deeply( \@lost, [], $may_fail ? '... others get 503' : '... and none is lost' );
    return;
}

# Another process takes the socket, after the first one has got this signal.
sub restart {
    my ($signal) = @_;
    return sub {
        $daemon->stop($signal);
        $daemon = Checker->new($listening);
        return;
    };
}

check_load( "$TIMES reloads",  0, under_load( $TIMES, sub { $daemon->reload } ) );
check_load( "$TIMES restarts", 0, under_load( $TIMES, restart('TERM') ) );
check_load( "$TIMES kills",    1, under_load( $TIMES, restart('KILL') ) );

# Many connections that say nothing: a process of its own has them, for its limit of open
# files.
my $IDLE = 10_000;
my $code =
      'use Socket; my @open; for ( 1 .. shift ) { socket my $s, AF_UNIX, SOCK_STREAM, 0 or last;'
    . 'connect $s, pack_sockaddr_un( $ARGV[0] ) or last; push @open, $s }'
    . '$| = 1; print scalar @open, qq{\n}; sleep 600';
my $pid = open my $open, '-|', 'sh', '-c',
    "ulimit -n @{[ $IDLE + 100 ]} && exec $^X -e '$code' $IDLE $dir/check.sock"
    or die "sh: $!";
is( readline $open, "$IDLE\n", "$IDLE connections are open" );
my $begun  = time;
my @checks = map { $daemon->check( "$token/x", $cookie =~ s/.*?=//r )->{status} } 1 .. 100;
is( "@checks", join( q{ }, (204) x 100 ), '... and 100 new ones are answered' );
cmp_ok( time - $begun, '<', 5, '... at once' );
is( request( $port{cpanel}, 1, "$token/x", undef, "Cookie: $cookie" )->{status},
    200, '... as are those through nginx' );
kill KILL => $pid;
close $open;

$daemon->stop('KILL');
undef $listening;
unlink "$dir/check.sock";
$page = request( $port{cpanel}, 1, "$token/x", undef, "Cookie: $cookie" );
is( $page->{status}, 503, 'without logmeind: 503' );
like( $page->{body}, qr/This is not possible at the moment/, '... with our text' );
done_testing();
