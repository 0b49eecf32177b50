#!/usr/bin/perl

# Two machines with one store in PostgreSQL: each a gateway and logmeind behind nginx. A
# login at one is good at the other, a logout is seen by both, and so is the end of
# sessions by the operator's command.

use strict;
use warnings;
use blib;
use lib              qw(t/lib xt/lib);
use Author           qw(has_program read_file);
use Checker          ();
use Database         ();
use Front            ();
use Load             qw(log_in);
use Run              qw(logmein);
use Serve            qw(free_base request);
use IO::Socket::UNIX ();
use Test::More;
use Test::Cpanel::LogMeIn;

plan skip_all => 'nginx is not installed' if !has_program('nginx');
plan skip_all => $_ for Database::lacks();

my $server = Database->new;
my ( $url, $admin ) = $server->database;
my $site = Test::Cpanel::LogMeIn->new(
    accounts => { alice => 'secret' },
    settings => { store => $url, store_alone => 'yes' },
);
my $dir = $site->dir;
$site->settings( key_file => "$dir/key" );
is( logmein( qw(store init --admin), $admin )->{status}, 0, 'the store is made' );

# One machine: its ports, and all that serves them.
sub machine {
    my ($name) = @_;
    my $home = "$dir/$name";
    mkdir $home or die "$home: $!";
    chmod oct 755, $home or die "$home: $!";
    my $base = free_base(6);
    my %port = ( cpanel => $base + 1, whm => $base + 3, webmail => $base + 5 );
    my %own  = (
        gateway_socket => "$home/run/gateway.sock",
        map { ( "port.$_" => $port{$_} ) } keys %port
    );
    my $text = read_file( $site->{conf} ) =~ s/^gateway_socket = .*\n//mr;
    $text .= "$_ = $own{$_}\n" for sort keys %own;
    $site->write_file( "$home/logmein.conf", $text );
    local $ENV{LOGMEIN_CONF} = "$home/logmein.conf";
    my %files     = Front::files( $home, $base );
    my $check     = "$home/check.sock";
    my $listening = IO::Socket::UNIX->new( Local => $check, Listen => 128 ) or die $!;
    chmod oct 666, $check or die $!;
    my $daemon  = Checker->new($listening) or BAIL_OUT('logmeind does not start');
    my $gateway = Serve->new( '--front', $files{front}, '--base', $base );
    $site->write_file( "$home/panel.psgi",
        "sub { [ 200, [ 'Content-Type' => 'text/plain' ], ['$name'] ] }" );
    my $panel = Serve::panel( $files{panel}, "$home/panel.psgi" );
    my $nginx = Front::nginx( %files, checked_at => $check );
    return { port => $port{cpanel}, parts => [ $daemon, $gateway, $panel, $nginx ] };
}
my ( $one, $two ) = map { machine($_) } qw(one two);

sub page {
    my ( $machine, $token, $cookie, $path ) = @_;
    my $answer = request( $machine->{port}, 1, "$token/$path", undef, "Cookie: $cookie" );
    return "$answer->{status} " . ( $answer->{status} == 200 ? $answer->{body} : q{} );
}
for my $pair ( [ $one, $two, 'one', 'two' ], [ $two, $one, 'two', 'one' ] ) {
    my ( $here, $there, @name ) = @{$pair};
    my ( $token, $cookie ) = log_in( $here->{port}, 1 );
    ok( $cookie, "a login at machine $name[0]" );
    is( page( $there, $token, $cookie, 'x' ), "200 $name[1]", '... is good at the other one' );
    is( page( $here,  $token, $cookie, 'x' ), "200 $name[0]", '... as there' );
    like( page( $there, $token, $cookie, 'logout/' ), qr/\A200 /, 'a logout at the other one' );
    is( page( $_, $token, $cookie, 'x' ), '401 ', '... is seen by both' ) for $here, $there;
    ( $token, $cookie ) = log_in( $here->{port}, 1 );
    is( page( $there, $token, $cookie, 'x' ),     "200 $name[1]", 'another session' );
    is( logmein(qw(session end --all))->{status}, 0,              '... ended by the command' );
    is( page( $_, $token, $cookie, 'x' ),         '401 ', '... as both see' ) for $here, $there;
}
done_testing();
