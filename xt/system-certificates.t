#!/usr/bin/perl

# Without remote_ca_file the system's certificates are used: an issuer is added to
# them, in a private mount namespace. Needs root.

use strict;
use warnings;
use blib;
use File::Temp qw(tempdir);
use Test::More;
use lib     qw(t/lib xt/lib);
use Author  qw(run);
use Servers qw(ca_file certificate lacks success);
use Test::Cpanel::LogMeIn;

my $FOLDER  = '/etc/ssl/certs';
my $lacking = lacks(qw(openssl unshare IO::Socket::SSL remote));
plan skip_all => $lacking              if $lacking;
plan skip_all => 'needs root'          if $< != 0;
plan skip_all => "no $FOLDER here"     if !-d $FOLDER;
plan skip_all => 'no name spaces here' if ( run( '/', 'unshare -m true' ) )[0] != 0;

my ( $cert, $key ) = certificate('good');
my $server = Servers->new( cert => $cert, key => $key, answer => sub { success('cpsession') } );
my $site   = Test::Cpanel::LogMeIn->new(
    settings => { backend => 'remote', 'port.cpanel' => $server->port } );
my $script = $site->dir . '/script';
$site->write_file( $script, <<'PERL' );
use Cpanel::LogMeIn;
print +( Cpanel::LogMeIn::get_loggedin_url(
    user => 'alice', pass => 'secret', hostname => 'localhost', service => 'cpanel' ) )[1];
PERL

# The message of a login if this folder replaces the system's.
sub said_with {
    my ($folder) = @_;
    return ( run( '.', "unshare -m sh -c 'mount --bind $folder $FOLDER && $^X -Mblib $script'" ) )
        [1];
}
my ( $hashed, $bundle, $empty ) = map { tempdir( CLEANUP => 1 ) } 1 .. 3;
my ($hash) = ( run( '.', 'openssl x509 -noout -hash -in ' . ca_file() ) )[1] =~ /^([0-9a-f]{8})$/m;
run( '/', 'cp ' . ca_file() . " $hashed/$hash.0" );
run( '/', 'cp ' . ca_file() . " $bundle/ca-certificates.crt" );

is( said_with($hashed), 'Login OK', 'an issuer in a folder by hashes' );
is( said_with($bundle), 'Login OK', 'an issuer in the one file, where there are no hashes' );
isnt( said_with($empty),  'Login OK', 'control: without it' );
isnt( said_with($FOLDER), 'Login OK', q{control: with the machine's own} );
done_testing();
