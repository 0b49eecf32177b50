#!/usr/bin/perl

# Which hostnames are this machine's; passwords are not sent to other hosts, unless
# remote_hosts allows it.

use strict;
use warnings;
use Sys::Hostname ();
use Test::More;
use Test::Cpanel::LogMeIn;

my $site =
    Test::Cpanel::LogMeIn->new( settings => { backend => 'auto', remote_hosts => 'none.invalid' } );
my $OTHER_HOST =
    eval { require Cpanel::LogMeIn::Remote; 1 }
    ? 'Logins at this server are not allowed.'
    : 'Logins are not possible at the moment (LIBRARY).';

sub answers { my ($host) = @_; return ( $site->login( hostname => $host ) )[1] }
sub here_ok { my ( $host, $why ) = @_; is( answers($host), 'Login OK', "$host: $why" ); return }

sub elsewhere_ok {
    my ( $host, $why ) = @_;
    is( answers($host), $OTHER_HOST, "$host: $why" );
    return;
}

here_ok( $_,                        'this machine' ) for qw(localhost LocalHost 127.0.0.1 [::1]);
here_ok( Sys::Hostname::hostname(), "the machine's own name" )
    if Sys::Hostname::hostname() =~ /\A[a-z0-9-]+\z/;
here_ok( $_, 'userdomains and its forms' )
    for map { "${_}alice.example" } '', 'www.', 'mail.', 'webmail.', 'cpanel.', 'whm.';
here_ok( $_, 'localdomains and its forms' ) for qw(host.example www.host.example);
elsewhere_ok( $_, 'not this machine' )
    for
    qw(other.example ftp.alice.example www.www.alice.example example xalice.example 192.0.2.1 [2001:db8::1]);
like(
    $Cpanel::LogMeIn::detail,
    qr/remote_hosts|libcurl4-openssl-dev/,
    'the operator is told what helps'
);

$site->write_settings( domains => 'other.example  Third.example' );
here_ok( $_, 'named in domains' ) for qw(other.example third.example);
elsewhere_ok( 'fourth.example', 'not named' );

$site->write_settings( site_hostnames => 'no' );
elsewhere_ok( $_, 'site_hostnames = no' ) for qw(alice.example host.example);
here_ok( 'localhost', 'site_hostnames = no, but still this machine' );

$site->write_settings( backend => 'local' );
here_ok( 'other.example', 'backend = local' );
$site->write_settings( backend => 'remote' );
elsewhere_ok( 'localhost', 'backend = remote' );

done_testing();
