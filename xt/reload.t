#!/usr/bin/perl

# Repeated SIGHUP, under load, at ports with TLS: each request gets the right answer.
# With XT_LONG=1 a hundred times.

use strict;
use warnings;
use blib;
use lib   qw(t/lib xt/lib);
use Load  qw(heard in_parallel log_in);
use Serve qw(free_base);
use Test::More;
use Test::Cpanel::LogMeIn;
use Time::HiRes qw(sleep);

my $TIMES = $ENV{LOGMEIN_CYCLES} || ( $ENV{XT_LONG} ? 100 : 10 );
my $base  = free_base(6);
my %port  = ( cpanel => $base + 1, whm => $base + 3, webmail => $base + 5 );
my $site  = Test::Cpanel::LogMeIn->new(
    settings => { log => 'none', map { ( "port.$_" => $port{$_} ) } keys %port } );
my $dir    = $site->dir;
my $server = Serve->new( '--base', $base, '--app', 'examples/panel.psgi', '--no-socket' );

my ( $token, $cookie ) = log_in( $port{cpanel}, 1 ) or BAIL_OUT( $server->{said} );

# The status of the answer to a slow client: a new connection, whose TLS handshake
# starts late, and whose request follows later.
sub ask {
    my (@fields) = @_;
    my $connection = Serve::connection( $port{cpanel}, 0 ) or return 'no connection';
    sleep rand 0.1;
    IO::Socket::SSL->start_SSL( $connection, SSL_verify_mode => 0 ) or return 'no TLS';
    sleep rand 0.1;
    print {$connection} join "\r\n", "GET $token/x HTTP/1.0", 'Host: a', @fields, q{}, q{};
    my ($status) = ( readline($connection) // q{} ) =~ m{\AHTTP/1[.][01] ([0-9]{3})};
    return $status // 'no answer';
}

$site->write_file( "$dir/go", q{} );
my @readers = in_parallel(
    6,
    sub {
        my %fields = ( 200 => ["Cookie: $cookie"], 401 => [] );
        while ( -e "$dir/go" ) {
            for my $expected ( keys %fields ) {
                my $got = ask( @{ $fields{$expected} } );
                print $got eq $expected ? "RIGHT\n" : "WRONG $got\n";
            }
        }
    }
);

my %worker;
for ( 1 .. $TIMES ) {
    $worker{$_} = 1 for $server->workers;
    $server->signal('HUP');
    sleep 0.5;
}
unlink "$dir/go";
my @lines = heard(@readers);
my @wrong = grep { !/\ARIGHT/ } @lines;
my $right = @lines - @wrong;
is(
    "@wrong[ 0 .. ( $#wrong < 20 ? $#wrong : 20 ) ]",
    q{},
    "$TIMES reloads under load: each request is answered right"
);
cmp_ok( $right,              '>', 2 * $TIMES, "control: there were $right" );
cmp_ok( scalar keys %worker, '>', 2 * $TIMES, 'control: there were new workers each time' );
is( $server->stop, 0, 'it stops as always' );
done_testing();
