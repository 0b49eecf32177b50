#!/usr/bin/perl

# Bad certificates: not one byte of the password reaches their servers.

use strict;
use warnings;
use Test::More;
use Test::Cpanel::LogMeIn;
use lib 't/lib';
use Servers qw(ca_file certificate lacks success);

my $lacking = lacks(qw(openssl IO::Socket::SSL remote));
plan skip_all => $lacking if $lacking;
require IO::Socket::SSL;

my $PASSWORD = 'Wachtwoord-7319';
my $site     = Test::Cpanel::LogMeIn->new( settings => { backend => 'remote' } );
my ( $NAME, $EXPIRED ) = map { "The server's certificate $_." } 'is for another name',
    'has expired';
my ( $UNKNOWN, $INVALID ) =
    map { "The server's certificate $_." } 'is from an unknown issuer', 'is not valid';

# localhost, a NUL, and another name: in DER, for no program writes that.
my $nul  = "localhost\0.evil.example";
my $name = pack 'C/a', $nul;
my $der  = join q{:}, map { sprintf '%02X', ord } split //, "\x30" . pack 'C/a', "\x82$name";

certificate( 'middle', ca => 1, signs => 1 );
my @BAD = (
    [ 'expired',              $EXPIRED, { start  => -3, end => -1 } ],
    [ 'not yet valid',        $INVALID, { start  => 1,  end => 2 } ],
    [ 'of another name',      $NAME,    { names  => 'DNS:panel.example, DNS:localhost.example' } ],
    [ 'of an unknown issuer', $UNKNOWN, { issuer => 'stranger' } ],
    [ 'with a NUL in its name',          $NAME, { names => "DER:$der" } ],
    [ 'with a wildcard for two labels',  $NAME, { names => 'DNS:*.localhost' }, 'a.b.localhost' ],
    [ 'with a bare wildcard',            $NAME,    { names  => 'DNS:*' } ],
    [ 'with a weak signature',           $INVALID, { digest => 'sha1' } ],
    [ 'whose intermediate is missing',   $UNKNOWN, { issuer => 'middle' } ],
    [ 'for another use',                 $INVALID, { usage  => 'clientAuth' } ],
    [ 'of an address instead of a name', $NAME,    { names  => 'IP:127.0.0.1' } ],
    [ 'of a name instead of an address', $NAME,    { names  => 'DNS:127.0.0.1' }, '127.0.0.1' ],
);

sub serve {
    my ( $cert, $key, %more ) = @_;
    my $server = Servers->new(
        cert   => $cert,
        key    => $key,
        answer => sub { success('cpsession') },
        %more
    );
    $site->settings( 'port.cpanel' => $server->port, remote_ca_file => ca_file() );
    return $server;
}

sub log_in {
    my ($host) = @_;
    return $site->login( pass => $PASSWORD, hostname => $host // 'localhost' );
}

# Control: a client that does not verify certificates, as the original, leaks the
# password.
sub careless {
    my ( $server, @how ) = @_;
    my $client = IO::Socket::SSL->new(
        PeerAddr        => '127.0.0.1',
        PeerPort        => $server->port,
        SSL_verify_mode => 0,
        @how
    ) or return;
    my $body = "user=alice&pass=$PASSWORD";
    print {$client} "POST /login/ HTTP/1.0\r\nContent-Length: ", length $body, "\r\n\r\n$body";
    my @answer = <$client>;
    return;
}

my ( $told, $leaks ) = ( 0, 0 );

sub refused_ok {
    my ( $what, $server, $sentence, $host ) = @_;
    my @answer = log_in($host);
    is_deeply( \@answer, [ 0, $sentence, undef, undef ], "a certificate $what" )
        or diag($Cpanel::LogMeIn::detail);
    careless($server) if $server->count('connected') < 2;
    my @lines = grep { /got .*\Q$PASSWORD\E/ } split /\n/, $server->record;
    $told++;
    $leaks += @lines != 1;
    is( scalar @lines, 1, '... and a careless client alone tells it the password' )
        or diag( $server->record );
    like( $lines[0] // q{}, qr/Length: 31/, '... which is seen' );
    return;
}

# Control: valid certificates are accepted.
my $good = serve( certificate('good') );
is( ( log_in() )[1], 'Login OK', 'a good certificate' ) or diag($Cpanel::LogMeIn::detail);
is( ( log_in('127.0.0.1') )[1], 'Login OK', '... by its address' );
like( $good->record, qr/\Q$PASSWORD\E/, '... and the server is told the password' );
my ( $leaf, $leaf_key ) = certificate( 'below', issuer => 'middle' );
my ($middle) = certificate('middle');
my $chain = $site->dir . '/chain.pem';
$site->write_file( $chain, Servers->read($leaf) . Servers->read($middle) );
my $with_chain = serve( $chain, $leaf_key );
is( ( log_in() )[1], 'Login OK', 'a good chain, sent whole' ) or diag($Cpanel::LogMeIn::detail);
my $wild          = serve( certificate( 'wild', names => 'DNS:*.b.localhost' ) );
my ($wild_said)   = ( log_in('a.b.localhost') )[1];
my $no_subdomains = $wild_said =~ /not known/;
is( $wild_said, 'Login OK', 'a wildcard for one label' ) if !$no_subdomains;
SKIP: {
    my $ipv6 = eval { serve( certificate('good'), ipv6 => 1 ) };
    skip 'no IPv6 here', 1 if !$ipv6;
    is( ( log_in('[::1]') )[1], 'Login OK', 'IPv6' ) or diag($Cpanel::LogMeIn::detail);
}

# remote_ca_file replaces the system's certificates.
$good = serve( certificate('good') );
$site->settings( remote_ca_file => undef );
refused_ok( 'of an issuer that the system does not know', $good, $UNKNOWN );

my $number = 0;
for my $case (@BAD) {
    my ( $what, $sentence, $wanted, $host ) = @{$case};
    next if ( $host // q{} ) =~ /[.]localhost/ && $no_subdomains;
    my @weak = $wanted->{digest} ? ( weak => Net::SSLeay::TLS1_3_VERSION() ) : ();
    refused_ok( $what, serve( certificate( 'bad' . ++$number, %{$wanted} ), @weak ),
        $sentence, $host );
}
my $self_signed = ca_file() =~ s/ca[.]pem\z/stranger/r;
refused_ok( 'that is self-signed', serve( "$self_signed.pem", "$self_signed.key" ), $UNKNOWN );

# Old TLS.
SKIP: {
    my $old = serve( certificate('good'), weak => Net::SSLeay::TLS1_1_VERSION() );
    careless( $old, SSL_version => 'TLSv1_1', SSL_cipher_list => 'DEFAULT@SECLEVEL=0' );
    skip 'this OpenSSL has no TLS 1.1', 4 if $old->record !~ /\Q$PASSWORD\E/;
    $old->forget;
    is( ( log_in() )[1], 'There is no secure connection to the server.', 'TLS 1.1' )
        or diag($Cpanel::LogMeIn::detail);
    unlike( $old->record, qr/\Q$PASSWORD\E/, '... is told nothing' );
    my $conf = $site->dir . '/openssl.cnf';
    $site->write_file( $conf, <<'CONF');
openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = default
[default]
MinProtocol = TLSv1
CipherString = DEFAULT@SECLEVEL=0
CONF
    $site->write_file( $site->dir . '/log_in.pl', <<"PROGRAM");
use Cpanel::LogMeIn;
print +( Cpanel::LogMeIn::get_loggedin_url(
    user => 'alice', pass => '$PASSWORD', hostname => 'localhost', service => 'cpanel'
) )[1];
PROGRAM
    local $ENV{OPENSSL_CONF} = $conf;
    my $said = qx{$^X @{[ map { "-I$_" } @INC ]} @{[ $site->dir ]}/log_in.pl};
    is( $said, 'There is no secure connection to the server.', 'TLS 1.1 that the machine allows' );
    unlike( $old->record, qr/\Q$PASSWORD\E/, '... is told nothing' );
}
my $new = serve( certificate('good'), tls => { SSL_version => 'TLSv1_2' } );
is( ( log_in() )[1], 'Login OK', 'control: TLS 1.2' );

# No TLS at all.
my $clear = Servers->new( answer => sub { success('cpsession') } );
$site->settings( 'port.cpanel' => $clear->port );
is( ( log_in() )[1], 'There is no secure connection to the server.', 'a server without TLS' );
unlike( $clear->record, qr/\Q$PASSWORD\E/, '... is told nothing' );

note("33: $told bad servers, $leaks told the password");

# For test servers, with a warning.
my $stranger = serve( certificate('bad4') );
$site->settings( insecure_remote_skip_verify => 'yes' );
for my $time ( 1, 2 ) {
    is( ( log_in() )[1], 'Login OK', "insecure_remote_skip_verify, time $time" );
    like( $Cpanel::LogMeIn::detail, qr/not verified/, '... with a warning in the detail' );
    my @warnings = $site->log_text =~ /WARNING insecure_remote_skip_verify/g;
    is( scalar @warnings, $time, '... and in the log' );
}
$site->settings( insecure_remote_skip_verify => undef );
is( ( log_in() )[1], $UNKNOWN, '... and a connection that was not verified is not used again' );
done_testing();
