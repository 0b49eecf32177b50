#!/usr/bin/perl

# Every parameter with all kinds of values: an error message that names the parameter
# and its rule; never an exception, a warning or a crash.

use strict;
use warnings;
use Test::More;
use Test::Cpanel::LogMeIn;

my $site = Test::Cpanel::LogMeIn->new( accounts => { alice => 'secret', 'a' x 64 => 'secret' } );
my @warnings;
local $SIG{__WARN__} = sub { push @warnings, @_ };

sub message { return ( $site->login(@_) )[1] }

{

    package Stringy;
    use overload '""' => sub { 'alice' }, fallback => 1;
}

my %odd = (
    'undef'              => undef,
    'empty'              => '',
    'a reference'        => [],
    'an object'          => bless( {}, 'Stringy' ),
    'wide'               => "\x{263a}",
    'with NUL'           => "alice\0",
    'with CR LF'         => "alice\r\nx",
    'a megabyte'         => 'a' x ( 1 << 20 ),
    'a flagged megabyte' => "\x{e9}" x ( 1 << 20 ),
    'a wide megabyte'    => "\x{263a}" x ( 1 << 20 ),
);

# If a value is allowed, or ignored, the login succeeds.
my %fine = (
    goto_uri               => { map { $_ => 1 } 'undef', 'empty', 'wide' },
    active_token_for_reuse => { map { $_ => 1 } keys %odd },
    remote_addr            => { map { $_ => 1 } 'undef', 'empty' },
    tfa_token              => { map { $_ => 1 } 'undef', 'empty' },
);

# Treated as a wrong password.
my %invalid = ( pass => { map { $_ => 1 } 'wide', 'with CR LF' } );

for my $name (qw(user pass hostname service goto_uri active_token_for_reuse remote_addr tfa_token))
{
    for my $kind ( sort keys %odd ) {
        my $message = eval { message( $name => $odd{$kind} ) } // "died: $@";
        if ( $fine{$name}{$kind} ) {
            is( $message, 'Login OK', "$name, $kind: the login goes through" );
        }
        elsif ( $invalid{$name}{$kind} ) {
            is( $message, 'The login is invalid.', "$name, $kind: a wrong one" );
        }
        else {
            like( $message, qr/\AThe parameter '$name' \S.*[.]\z/, "$name, $kind: its sentence" );
        }
    }
    my @without = grep { $_ ne $name } qw(user pass hostname service);
    my %given = ( user => 'alice', pass => 'secret', hostname => 'localhost', service => 'cpanel' );
    my @answer = Cpanel::LogMeIn::get_loggedin_url( map { $_ => $given{$_} } @without );
    like(
        $answer[1],
        @without == 4 ? qr/\ALogin OK\z/ : qr/\AThe parameter '$name' .*[.]\z/,
        "$name, missing"
    );
}

# Limits, and values on both sides of them. [ parameter, value, good? ]
my $label63 = 'a' x 63;
my $host253 = join '.', ($label63) x 3, 'b' x 61;
my @borders = (
    [ user        => 'a' x 254,               1, '254 bytes' ],
    [ user        => 'a' x 255,               0, '255 bytes' ],
    [ user        => '-alice',                0, 'a leading hyphen' ],
    [ user        => '.alice',                0, 'a leading dot' ],
    [ user        => 'al..ice',               0, 'two dots' ],
    [ user        => '../alice',              0, 'a path' ],
    [ user        => 'a_b.c+d-e',             1, 'all the allowed characters' ],
    [ user        => 'alice:x',               0, 'a colon' ],
    [ user        => 'alice ',                0, 'a blank' ],
    [ user        => "\x{e9}ric",             0, 'a letter beyond ASCII' ],
    [ user        => 'info@',                 0, 'no domain' ],
    [ user        => '@alice.example',        0, 'no name' ],
    [ user        => 'a@b@alice.example',     0, 'two at-signs' ],
    [ user        => 'info%alice.example',    0, 'a percent sign for an at-sign' ],
    [ pass        => 'a' x 511,               1, '511 bytes' ],
    [ pass        => 'a' x 512,               0, '512 bytes' ],
    [ pass        => "\x{e9}" x 255,          1, '255 characters of two bytes' ],
    [ pass        => "\x{e9}" x 256,          0, '256 characters of two bytes' ],
    [ hostname    => $host253,                1, '253 bytes' ],
    [ hostname    => "a$host253",             0, '254 bytes' ],
    [ hostname    => "$host253.",             1, '253 bytes and a dot' ],
    [ hostname    => "$label63.example",      1, 'a label of 63' ],
    [ hostname    => "a$label63.example",     0, 'a label of 64' ],
    [ hostname    => 'LOCALHOST.',            1, 'upper case and a trailing dot' ],
    [ hostname    => 'localhost..',           0, 'two trailing dots' ],
    [ hostname    => 'localhost:2083',        0, 'a port' ],
    [ hostname    => 'my_host.example',       0, 'an underscore' ],
    [ hostname    => '-a.example',            0, 'a leading hyphen' ],
    [ hostname    => 'a-.example',            0, 'a trailing hyphen' ],
    [ hostname    => 'a.example/x',           0, 'a slash' ],
    [ hostname    => 'user@a.example',        0, 'an at-sign' ],
    [ hostname    => "b\x{fc}cher.example",   0, 'a letter beyond ASCII' ],
    [ hostname    => 'xn--bcher-kva.example', 1, 'punycode' ],
    [ hostname    => '127.0.0.1',             1, 'an IPv4 address' ],
    [ hostname    => '127.0.0.256',           0, 'an impossible IPv4 address' ],
    [ hostname    => '127.1',                 0, 'a short IPv4 address' ],
    [ hostname    => '0x7f000001',            0, 'a hexadecimal address' ],
    [ hostname    => 'a.0x7f',                0, 'a hexadecimal last label' ],
    [ hostname    => '2130706433',            0, 'a decimal address' ],
    [ hostname    => '[::1]',                 1, 'an IPv6 address' ],
    [ hostname    => '::1',                   0, 'an IPv6 address without brackets' ],
    [ hostname    => '[::1',                  0, 'half a bracket' ],
    [ hostname    => '[::g]',                 0, 'an impossible IPv6 address' ],
    [ hostname    => '[fe80::1%eth0]',        0, 'an IPv6 zone' ],
    [ hostname    => '.',                     0, 'a dot alone' ],
    [ service     => 'cpanel ',               0, 'a blank behind it' ],
    [ service     => 'CPANEL',                0, 'upper case' ],
    [ service     => 'ftp',                   0, 'another service' ],
    [ remote_addr => '192.0.2.1',             1, 'IPv4' ],
    [ remote_addr => '2001:db8::1',           1, 'IPv6' ],
    [ remote_addr => '[2001:db8::1]',         0, 'IPv6 in brackets' ],
    [ remote_addr => '192.0.2.1, 10.0.0.1',   0, 'a list' ],
    [ tfa_token   => '1' x 64,                1, '64 bytes' ],
    [ tfa_token   => '1' x 65,                0, '65 bytes' ],
    [ tfa_token   => "1 2",                   0, 'a blank' ],
);
for my $case (@borders) {
    my ( $name, $value, $good, $what ) = @{$case};
    my $message = message( $name => $value );
    if ($good) {
        unlike( $message, qr/\AThe parameter/, "$name may be $what" );
    }
    else {
        like( $message, qr/\AThe parameter '$name' /, "$name may not be $what" );
    }
}

for my $alias ( [qw(cpanel cpaneld)], [qw(whm whostmgr whostmgrd)], [qw(webmail webmaild)] ) {
    my %port = ( cpanel => 2083, whm => 2087, webmail => 2096 );
    my $root =
        Test::Cpanel::LogMeIn->new( accounts => { alice => 'secret' }, resellers => ['alice'] );
    for my $service ( @{$alias} ) {
        my $url = ( $root->login( service => $service ) )[2] // '';
        like( $url, qr{\Ahttps://localhost:$port{ $alias->[0] }/}, "the service $service" );
    }
}

is( "@warnings", '', 'no warning anywhere' );
done_testing();
