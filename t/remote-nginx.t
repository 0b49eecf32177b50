#!/usr/bin/perl

# Remote logins at nginx, a common server: TLS, and HTTP/2, which it offers and we
# don't use; one server block for each recorded answer.

use strict;
use warnings;
use Test::More;
use Test::Cpanel::LogMeIn;
use lib 't/lib';
use Servers qw(ca_file certificate free_port lacks);

my $lacking = lacks(qw(openssl nginx remote));
plan skip_all => $lacking if $lacking;

my $VALUE = 'alice%3aXq3p2cPCn3bPGDJ0%2c0d3a7c';
my $TOKEN = '/cpsess5542387976';
my $GOOD  = qq({"status":1,"redirect":"$TOKEN/frontend/jupiter/index.html?post_login=2638")
    . qq(,"security_token":"$TOKEN"});

# Answers by the requested name, without its ".localhost".
my %ANSWER = (
    cpanel  => [ 200, $GOOD, "cpsession=$VALUE; HttpOnly; path=/; port=2083; secure" ],
    whm     => [ 200, $GOOD, "whostmgrsession=$VALUE; HttpOnly; path=/; port=2087; secure" ],
    webmail => [ 200, $GOOD, "webmailsession=$VALUE; HttpOnly; path=/; port=2096; secure" ],
    around  => [ 200, $GOOD, 'lang=en', 'xcpsession=x', "cpsession=$VALUE", 'cprelogin=no' ],
    none    => [ 200, '{"status":1,"redirect":"/"}',              "cpsession=$VALUE" ],
    evil    => [ 200, '{"status":1,"security_token":"@evil.x/"}', "cpsession=$VALUE" ],
    bare    => [ 200, $GOOD ],
    wrong   => [ 401, '{"status":0,"message":"see_login_log"}' ],
    code    => [ 401, '{"status":0,"message":"token_missing"}' ],
    busy    => [ 503, 'Service Unavailable' ],
    moved   => [ 301, 'https://cpanel.localhost/' ],
    page    => [ 200, '<html>Welcome to nginx!</html>' ],
);

my $dir = File::Temp::tempdir( CLEANUP => 1 );
my ( $cert, $key ) =
    certificate( 'nginx', names => join ', ', map { "DNS:$_.localhost" } sort keys %ANSWER );

# The front server records the requests; the answers are on an upstream server,
# because nginx reads the body of proxied requests only.
sub configuration {
    my ($port) = @_;
    my $conf = <<"CONF";
log_format record escape=json '\$server_protocol|\$request_method|\$request_uri|\$request_body';
ssl_certificate $cert;
ssl_certificate_key $key;
server {
    listen 127.0.0.1:$port ssl http2;
    access_log \@DIR\@/record record;
    location / {
        proxy_pass http://unix:\@DIR\@/behind.sock;
        proxy_set_header Host \$host;
    }
}
CONF
    for my $name ( sort keys %ANSWER ) {
        my ( $status, $body, @cookies ) = @{ $ANSWER{$name} };
        my $headers = join "\n", map { "add_header Set-Cookie '$_' always;" } @cookies;
        $conf .= <<"CONF";
server {
    listen unix:\@DIR\@/behind.sock;
    server_name $name.localhost;
    default_type 'text/plain; charset="utf-8"';
    $headers
    location / { return $status '$body'; }
}
CONF
    }
    return $conf;
}

my $port  = free_port();
my $nginx = Servers->nginx( configuration($port) );
my $site  = Test::Cpanel::LogMeIn->new(
    settings => {
        backend        => 'remote',
        remote_ca_file => ca_file(),
        map { +"port.$_" => $port } qw(cpanel whm webmail)
    }
);

sub log_in {
    my ( $name, %login ) = @_;
    return $site->login( hostname => "$name.localhost", %login );
}
plan skip_all => 'this libcurl asks a name server for names in localhost'
    if ( log_in('cpanel') )[1] =~ /not known/;

for my $service (qw(cpanel whm webmail)) {
    is_deeply(
        [ log_in( $service, service => $service, goto_uri => '/x' ) ],
        [
            1, 'Login OK',
            "https://$service.localhost:$port$TOKEN/login/?session=$VALUE&goto_uri=%2fx", $TOKEN
        ],
        "$service, from nginx"
    ) or diag($Cpanel::LogMeIn::detail);
}
my $record = $nginx->read("$nginx->{dir}/record");
my $form   = 'user=alice&pass=secret&goto_uri=%2fx&active_token_for_reuse=0';
is(
    ( split /\n/, $record )[-1],
    "HTTP/1.1|POST|/login/?login_only=1|$form",
    'a server of HTTP/2 was told what it should be, over HTTP/1.1'
);

my $STRANGE = 'The server does not answer as a cPanel server does.';
for my $case (
    [ around => 'Login OK' ],
    [ none   => 'Login OK' ],
    [ evil   => $STRANGE ],
    [ bare   => $STRANGE ],
    [ moved  => $STRANGE ],
    [ page   => $STRANGE ],
    [ wrong  => 'The login is invalid.' ],
    [ code   => 'A two-factor code is needed.' ],
    [ busy   => q{The server can't log anybody in at the moment.} ],
    )
{
    my ( $name, $sentence ) = @{$case};
    is( ( log_in($name) )[1], $sentence, "$name: $sentence" ) or diag($Cpanel::LogMeIn::detail);
}
is(
    ( log_in('none') )[2],
    "https://none.localhost:$port/login/?session=$VALUE",
    'a server without tokens'
);
is( ( log_in( 'cpanel', service => 'whm' ) )[1], $STRANGE, q{another service's cookie} );

# nginx stops after its own timeout, or immediately.
$nginx->stop;
is( ( log_in('cpanel') )[1], 'The server refuses connections.', 'nginx is gone' );
done_testing();
