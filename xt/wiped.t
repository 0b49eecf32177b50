#!/usr/bin/perl

# After a remote login no copy of the password is left in the process: neither ours,
# nor libcurl's, nor OpenSSL's, for all offered versions of HTTP.

use strict;
use warnings;
use blib;
use File::Temp qw(tempdir);
use Test::More;
use lib     qw(t/lib xt/lib);
use Author  qw(run);
use Servers qw(ca_file certificate failure free_port lacks success);
use Test::Cpanel::LogMeIn;

my $lacking = lacks(qw(cc openssl nginx IO::Socket::SSL remote));
plan skip_all => $lacking if $lacking;

my $program = tempdir( CLEANUP => 1 ) . '/remote';
my $libs    = '-lcurl -ljansson -lssl -lcrypto -lcrypt -llmdb -pthread';
my ( $status, $out ) = run( '.',
          "cc -std=c11 -D_GNU_SOURCE -O1 -g -Icsrc -o '$program' xt/wiped/remote.c"
        . " csrc/libremote.a csrc/liblogmein.a $libs" );
is( $status, 0, 'the program builds' ) or diag($out);

my ( $cert, $key ) = certificate('good');
my $site = Test::Cpanel::LogMeIn->new(
    settings => { backend => 'remote', remote_ca_file => ca_file(), log => 'none' } );

sub leaves_none {
    my ( $port, $sentence, $name ) = @_;
    $site->settings( 'port.cpanel' => $port );
    my ( undef, $said ) = run( '.', $program );
    my @lines = split /\n/, $said;
    is( $lines[ $_ - 1 ], "$sentence, 0 copies", "$name, time $_" ) for 1 .. 3;
    like( $lines[3] // q{}, qr/\Acontrol: [1-9]/, '... control: one would be found' )
        or diag($said);
    return;
}

for my $case (
    [ success('cpsession'),                     'Login OK',              'a good login' ],
    [ failure( '401 Denied', 'see_login_log' ), 'The login is invalid.', 'a refused one' ],
    [
        "HTTP/1.1 200 OK\r\n\r\n" . 'x' x 99_999,
        q{The server's answer is too long.},
        'a long answer'
    ],
    )
{
    my ( $answer, $sentence, $name ) = @{$case};
    my $server = Servers->new( cert => $cert, key => $key, answer => sub { return $answer } );
    leaves_none( $server->port, $sentence, $name );
}
my $port  = free_port();
my $nginx = Servers->nginx(<<"CONF");
ssl_certificate $cert;
ssl_certificate_key $key;
server {
    listen 127.0.0.1:$port ssl http2;
    add_header Set-Cookie 'cpsession=x';
    location / { return 200 '{"status":1}'; }
}
CONF
leaves_none( $port, 'Login OK', 'a server of HTTP/2' );
done_testing();
