#!/usr/bin/perl

# examples/login.cgi with a real web server, as www-data, without access to password
# files: the gateway checks the password.

use strict;
use warnings;
use HTTP::Tiny ();
use Test::More;
use blib;
use lib 'xt/lib', 't/lib';
use Author  qw(has_program run);
use Front   ();
use Serve   ();
use Servers ();
use Test::Cpanel::LogMeIn;

plan skip_all => 'only root can start a server as www-data' if $< != 0;
local $ENV{PATH} = "$ENV{PATH}:/usr/sbin";
plan skip_all => 'lighttpd is not installed' if !has_program('lighttpd');
my $lacking = Servers::lacks(qw(Starman::Server CGI::Util remote));
plan skip_all => $lacking if $lacking;

my $site = Test::Cpanel::LogMeIn->new( accounts => { alice => 'secret' }, waits => 1 );
my $dir  = $site->dir;
chmod oct 755, $dir                      or die $!;
chmod oct 600, $site->path('etc/shadow') or die $!;
$site->settings( gateway_socket => "$dir/gateway.sock" );

my $gateway = Serve->new( '--front', "$dir/front.sock" );
mkdir "$dir/www" or die $!;
run( '.',
          "cp -r blib '$dir/blib' && cp examples/login.cgi '$dir/www/login.cgi'"
        . " && chmod -R a+rX '$dir/blib' '$dir/www' && chmod 755 '$dir/www/login.cgi'" );
$site->write_file(
    "$dir/www/who.cgi",
    qq(#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\nid -un\ncat '@{[ $site->path('etc/shadow') ]}' 2>&1\n),
    oct 755
);
my $port = Servers::free_port();
$site->write_file( "$dir/lighttpd.conf", <<"CONF" );
server.modules       = ( "mod_setenv", "mod_cgi" )
server.bind          = "127.0.0.1"
server.port          = $port
server.document-root = "$dir/www"
server.username      = "www-data"
server.groupname     = "www-data"
cgi.assign           = ( ".cgi" => "" )
setenv.add-environment = (
    "LOGMEIN_CONF" => "$dir/logmein.conf",
    "PERL5LIB"     => "$dir/blib/lib:$dir/blib/arch",
)
CONF
my $server = Front::start( 'lighttpd', "$dir/server-log", $port, 'lighttpd', '-D', '-f',
    "$dir/lighttpd.conf" );

my $browser = HTTP::Tiny->new( max_redirect => 0 );
my $base    = "http://127.0.0.1:$port";
my $who     = $browser->get("$base/who.cgi")->{content};
like( $who, qr/\Awww-data\n/,       'control: scripts run as www-data' );
like( $who, qr/Permission denied/i, '... which may not read the password file' );
my $answer = $browser->get("$base/login.cgi");
like( $answer->{content}, qr/<form method="post"/, 'the form' );
$answer = $browser->post_form( "$base/login.cgi", { user => 'alice', pass => 'secret' } );
is( $answer->{status}, 302, 'a right password' ) or diag( $answer->{content} );
is( url_redeems_ok( $answer->{headers}{location}, '... leads to a URL that opens' )->{user},
    'alice', '... for its user' );
my $uid = getpwnam 'www-data';
like(
    $site->log_text,
    qr/\] 127[.]0[.]0[.]1 - alice "login by uid $uid" SUCCESS/,
    '... for the browser that asked'
);
$answer = $browser->post_form( "$base/login.cgi", { user => 'alice', pass => 'wrong' } );
is( $answer->{status}, 401, 'a wrong one' );
like( $answer->{content}, qr/The login is invalid[.]/, '... is told' );
$gateway->stop;
$answer = $browser->post_form( "$base/login.cgi", { user => 'alice', pass => 'secret' } );
like(
    $answer->{content},
    qr/Logins are not possible at the moment/,
    'control: without the gateway there is no login'
);
unlike( $answer->{content}, qr/\Q$dir/, '... and no path in the page' );
done_testing();
