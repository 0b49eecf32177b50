#!/usr/bin/perl

# TLS of the examples: only ciphers with forward secrecy that authenticate what they
# encrypt, and no tickets of TLS sessions, whose key would decrypt all of them.

use strict;
use warnings;
use blib;
use lib    qw(t/lib xt/lib);
use Author qw(has_program run);
use Front  ();
use Serve  qw(free_base);
use Test::More;
use Test::Cpanel::LogMeIn;

my $base  = free_base(6);
my $port  = $base + 1;
my $site  = Test::Cpanel::LogMeIn->new;
my $dir   = $site->dir;
my %files = Front::files( $dir, $base );

# RSA, so that ciphers without forward secrecy are possible.
system( "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 2 -keyout $files{key}"
        . " -out $files{certificate} 2>/dev/null" ) == 0
    or plan skip_all => 'openssl is not installed';

# A connection by openssl: the cipher, or NONE, and whether there was a ticket.
sub tls {
    my (@options) = @_;
    my ( undef, $out ) =
        run( '.', "timeout 20 openssl s_client -connect 127.0.0.1:$port @options" );
    my ($cipher) = $out =~ /Cipher is (\S+)/;
    return ( $cipher // 'none', $out =~ /TLS session ticket:/ ? 'ticket' : 'no ticket' );
}

my @GOOD = map { "-tls1_2 -cipher ECDHE-RSA-$_" }
    qw(AES128-GCM-SHA256 AES256-GCM-SHA384 CHACHA20-POLY1305);
push @GOOD, '-tls1_3';
my @BAD = map { "-tls1_2 -cipher $_" }
    qw(ECDHE-RSA-AES128-SHA256 ECDHE-RSA-AES256-SHA384 ECDHE-RSA-AES128-SHA AES128-GCM-SHA256 AES256-SHA256 DHE-RSA-AES256-SHA);
push @BAD, '-tls1_1 -cipher DEFAULT@SECLEVEL=0';

sub is_strict {
    my ($name) = @_;
    unlike( ( tls($_) )[0], qr/NONE|none/, "$name takes $_" ) for @GOOD;
    like( ( tls($_) )[0], qr/NONE/, "... and not $_" )        for @BAD;
    is( ( tls( $GOOD[0] ) )[1], 'no ticket', '... and gives no ticket' );
    return;
}

for my $case ( [ nginx => 'nginx' ], [ apache => 'apache2' ] ) {
    my ( $name, $program ) = @{$case};
SKIP: {
        skip "$program is not installed", 1 if !has_program($program);
        my $front = Front->can($name)->(%files);
        is_strict($name);
        $front->stop;
        $front = Front->can($name)->(
            %files,
            name => "loose-$name",
            edit => sub {
                return $_[0] =~
                    s/^ *(?:ssl_ciphers|ssl_session_tickets|SSLCipherSuite|SSLSessionTickets) .*\n//gmir;
            }
        );
        my @loose = tls( $BAD[0] );
        isnt( $loose[0], '(NONE)', "control: $name without these lines takes others" );
        is( $loose[1], 'ticket', 'control: ... and gives tickets' );
    }
}
done_testing();
