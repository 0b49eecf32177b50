#!/usr/bin/perl

# What a login loads into the process, and what it does not change: core modules only,
# no HTTP library, the site's OpenSSL configuration.

use strict;
use warnings;
use blib;
use File::Temp       ();
use Module::CoreList ();
use Test::More;
use lib 'xt/lib';
use Author qw(run);
use Test::Cpanel::LogMeIn;

my $site  = Test::Cpanel::LogMeIn->new( settings => { backend => 'auto' } );
my $login = q{Cpanel::LogMeIn::get_loggedin_url( user => 'alice', pass => 'secret',}
    . q{ hostname => 'localhost', service => 'cpanel', goto_uri => '/' ) or die;};

# The modules in %INC, and the mapped libraries, after a script.
sub loaded_by {
    my ($code) = @_;
    my $report = q{print map {"$_\n"} keys %INC; open my $m, '<', '/proc/self/maps'; print <$m>;};
    my ( $status, $out ) =
        run( '.', "$^X -Iblib/lib -Iblib/arch -e '" . quoted("$code $report") . q{'} );
    is( $status, 0, 'the script runs' ) or diag($out);
    my @modules   = map { s{/}{::}gr } $out =~ m{^(\w[\w/]*)[.]pm$}mg;
    my %libraries = map { $_ => 1 } $out    =~ m{/(lib[\w+]+)[^/\n]*[.]so}g;
    return ( \@modules, \%libraries );
}
sub quoted { my ($text) = @_; return $text =~ s/'/'\\''/gr }

sub foreign {
    my ($modules) = @_;
    return grep { !/\ACpanel::/ && !Module::CoreList::is_core( $_, undef, $] ) } @{$modules};
}

my ( $modules, $libraries ) =
    loaded_by("use Cpanel::LogMeIn; use Cpanel::LogMeIn::Session; $login");
is_deeply(
    [ foreign($modules) ],
    [],
    'a login loads no module from outside the core: ' . join ' ',
    sort @{$modules}
);
my $remote_login = $login =~ s/'localhost'/'nowhere.invalid'/r =~ s/or die//r;
my ( undef, $with_curl ) = loaded_by("use Cpanel::LogMeIn; $remote_login");
ok( $with_curl->{$_},        "a remote login loads $_" ) for qw(libcurl libjansson);
ok( $libraries->{libcrypto}, 'control: mapped libraries are seen' );
ok( !$libraries->{$_},       "... and $_ is not among them" ) for qw(libssl libcurl libjansson);
is_deeply( [ foreign( ['Net::SSLeay'] ) ],
    ['Net::SSLeay'], 'control: a foreign module would be seen' );

# The minimum TLS version of a context that is created after some code, if the
# machine's OpenSSL configuration sets one.
my $policy = File::Temp->new;
print {$policy} <<'CONF';
openssl_conf = start
[start]
ssl_conf = modules
[modules]
system_default = policy
[policy]
MinProtocol = TLSv1.3
CONF
$policy->flush;

sub least_tls_after {
    my ( $conf, $code ) = @_;
    my $ask =
          q{require Net::SSLeay; Net::SSLeay::initialize();}
        . q{ my $c = Net::SSLeay::CTX_new_with_method(Net::SSLeay::TLS_method());}
        . q{ printf 'least %x', Net::SSLeay::CTX_get_min_proto_version($c);};
    local $ENV{OPENSSL_CONF} = $conf;
    return ( run( '.', "$^X -Iblib/lib -Iblib/arch -e '" . quoted("$code $ask") . q{'} ) )[1];
}
is( least_tls_after( "$policy", "use Cpanel::LogMeIn; $login" ),
    'least 304', "after a login the site's TLS policy is in force" );
is( least_tls_after( '/dev/null', "use Cpanel::LogMeIn; $login" ),
    'least 0', 'control: where there is one' );
print {$policy} "[\n";
$policy->flush;
like( least_tls_after( "$policy", "use Cpanel::LogMeIn; $login" ),
    qr/\Aleast/, 'a broken OpenSSL configuration does not stop a login' );

# The only symbol that the object exports.
my ( undef, $names ) = run( '.', 'nm -D --defined-only blib/arch/auto/Cpanel/LogMeIn/LogMeIn.so' );
like( $names, qr/\A[0-9a-f]+ T boot_Cpanel__LogMeIn\n\z/, 'the object exports boot_ alone' );
done_testing();
