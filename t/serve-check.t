#!/usr/bin/perl

# `logmein serve --with-check`: logmeind starts, reloads, ends and dies together with the
# gateway, and is started again if it alone dies.

use strict;
use warnings;
use lib 't/lib';
use Checker          ();
use IO::Socket::UNIX ();
use Run              qw(logmein);
use Serve            qw(wait_until);
use Test::More;
use Test::Cpanel::LogMeIn;

my $site = Test::Cpanel::LogMeIn->new( settings => { login_url => 'direct' } );
my $dir  = $site->dir;
my ( $front, $socket ) = map { "$dir/$_.sock" } qw(front check);
$site->settings( gateway_socket => "$dir/run/gateway.sock", check_socket => $socket );
my $check   = Checker->at($socket);
my $session = $site->redeem( ( $site->login )[2] );

sub status {
    my $answer = $check->check( "$session->{token}/x", $session->{cookie}, @_ );
    return $answer ? $answer->{status} : 'none';
}

# The process of logmeind.
sub daemon_of {
    my ($serve) = @_;
    for my $pid ( $serve->workers ) {
        open my $file, '<', "/proc/$pid/cmdline" or next;
        return $pid if ( readline($file) // q{} ) =~ /logmeind/;
    }
    return;
}

# What is refused
my $answer = logmein( qw(serve --with-check --root), $dir );
is( $answer->{status}, 2, 'without --front: wrong usage' );
like( $answer->{err}, qr/^logmein: --with-check requires --front[.]/, '... and it says so' );
my @options = ( '--front', $front, '--with-check', '--workers', 2 );
{
    my $other = IO::Socket::UNIX->new( Local => $socket, Listen => 1 ) or die $!;
    $answer = logmein( 'serve', @options );
    is( $answer->{status}, 3, 'the socket is another process\'s: no start' );
    like( $answer->{err}, qr/\Q$socket\E: another process listens there/, '... and it says so' );
}
unlink $socket;
$site->settings( check_socket => "$dir/none/check.sock" );
$answer = logmein( 'serve', @options );
is( $answer->{status}, 3, 'a socket that can\'t be made: no start' );
like( $answer->{err}, qr{none/check[.]sock: No such file}, '... and it says so' );
unlike( $answer->{out}, qr/unix:/, '... before anything is served' );
$site->settings( check_socket => $socket );

# Together
my $serve = Serve->new(@options);
is( status(),                                            204, 'a session is known' );
is( status( Cookie => 'cpsession=alice%3a' . 'A' x 43 ), 401, 'another one is not' );
my ($pid) = daemon_of($serve);
ok( $pid, 'logmeind is the gateway\'s child' );

# A reload
$site->settings( cookie_prefix => 'own_' );
$serve->signal('HUP');
ok( wait_until( sub { status() == 401 } ), 'a reload: the cookie has another name' );
is( status( Cookie => "own_cpsession=$session->{cookie}" ), 204,  '... the new one' );
is( daemon_of($serve),                                      $pid, '... in the same process' );
$site->settings( cookie_prefix => undef );
$serve->signal('HUP');
ok( wait_until( sub { status() == 204 } ), '... and the old one again' );

# It dies alone
kill KILL => $pid;
ok( wait_until( sub { status() eq '204' } ), 'killed: it is started again' );
my ($again) = daemon_of($serve);
isnt( $again, $pid, '... as another process' );
ok( $serve->hear(qr/logmeind has ended, and is started again/), '... and that is said' );

# The end
is( $serve->stop, 0, 'SIGTERM' );
ok( !kill( 0 => $again ), '... ends both' );
is( status(), 'none', '... and nobody answers' );
$serve = Serve->new(@options);
$pid   = daemon_of($serve);
is( status(), 204, 'started again' );
$serve->stop('KILL');
ok( wait_until( sub { !kill 0 => $pid } ), 'the gateway is killed: logmeind ends, too' );
ok( wait_until( sub { !IO::Socket::UNIX->new( Peer => $front ) } ), '... and so do its workers' );

# Without it, a reload starts nothing beside
$serve = Serve->new( '--front', $front, '--workers', 2, '--log', "$dir/serve.log" );
for ( 1 .. 2 ) {
    $serve->signal('HUP');
    sleep 2;    # the master looks what is to be done, not twice in a second
}
is( status(), 'none', 'without --with-check, after a reload: nobody answers' );
ok( wait_until( sub { 2 == $serve->workers } ), '... once the old workers are gone there are two' );
is( $serve->stop, 0, '... which end' );
open my $log, '<', "$dir/serve.log" or die $!;
is( join( q{}, readline $log ), q{}, '... and nothing is said' );
done_testing();
