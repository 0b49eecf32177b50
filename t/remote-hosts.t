#!/usr/bin/perl

# Unusual hostnames: the request must go to exactly that host, at the service's port.
# A proxy that refuses all requests records the target.

use strict;
use warnings;
use Socket qw(AF_INET6 inet_pton);
use Test::More;
use Test::Cpanel::LogMeIn;
use lib 't/lib';
use Servers qw(lacks);

my $lacking = lacks('remote');
plan skip_all => $lacking if $lacking;

my $COUNT = $ENV{LOGMEIN_HOSTS} || 5000;
my $proxy = Servers->new( answer => sub { return "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n" } );
my $site  = Test::Cpanel::LogMeIn->new(
    settings => {
        backend      => 'remote',
        log          => 'none',
        remote_proxy => 'http://127.0.0.1:' . $proxy->port,
    }
);

my @PARTS = (
    'panel',              'example',          'evil.example',       'localhost',
    '127.0.0.1',          '[::1]',            '[::ffff:127.0.0.1]', '2130706433',
    '0x7f.1',             '017700000001',     '127.1',              '0',
    '::1',                '[fe80::1%25lo]',   '[fe80::1%lo]',       'xn--80ak6aa92e',
    'a-b',                '-a',               'a-',                 'a_b',
    '.',                  '..',               '@',                  ':',
    ':80',                ':2083',            '/',                  '//',
    '\\',                 '?',                '#',                  '%',
    '%00',                '%2f',              '%40',                '%0d%0a',
    "\0",                 "\r\n",             "\n",                 "\t",
    q{ },                 q{'},               q{"},                 '<',
    '>',                  '&',                ';',                  '|',
    '`id`',               '$(id)',            '{a,b}',              '*',
    '[',                  ']',                "\x{ff0e}",           "\x{2024}",
    "\x{e9}",             "\x{200b}",         'user:pass@',         'https://',
    'file:///etc/passwd', 'unix:/run/x.sock', 'a' x 63,             'a' x 64,
    'a.' x 120,           'PANEL.Example.',   '192.0.2.7',          '192.0.2.256',
    '1.2.3',              '[1::2::3]',        '[2001:DB8::0:1]',    'com',
    '1e100.net',          'a.1',              'a.0x1',
);

srand 35;
my @hosts = map {
    join q{},
        map { $PARTS[ rand @PARTS ] }
        0 .. ( rand() < 0.4 ? 0 : rand 4 )
} 1 .. $COUNT - 500;
push @hosts, map {
    join q{.},
        map { $PARTS[ rand 3 ] . int rand 100 }
        0 .. rand 4
} 1 .. 500;

# The canonical form of a host: addresses as their bytes.
sub same_form {
    my ($host) = @_;
    $host = lc $host =~ s/[.]\z//r;
    return $host =~ /\A\[(.*)\]\z/s ? unpack( 'H*', inet_pton( AF_INET6, $1 ) // q{} ) : $host;
}

my ( %wrong, $asked, $refused );
for my $host (@hosts) {
    $proxy->forget;
    my @answer = $site->login( hostname => $host );
    my @said   = $proxy->record =~ /^[0-9]+ got (.*?)(?:\\x0d|$)/mg;
    if ( $answer[1] =~ /\AThe parameter 'hostname'/ ) {
        $refused++;
        $wrong{$host} = "asked for @said" if @said;
        next;
    }
    $asked++;
    my ($target) = @said == 1 ? $said[0] =~ m{\ACONNECT (.*):2083 HTTP/1[.][01]\z} : ();
    $wrong{$host} = "$answer[1]: @said"
        if !defined $target
        || $target !~ /\A(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])\z/
        || same_form($target) ne same_form($host);
}
is_deeply( \%wrong, {}, @hosts . ' hosts: each is asked for by its name, or not at all' );
note( "35: $COUNT hosts, " . keys(%wrong) . ' connections elsewhere' );
cmp_ok( $asked,   '>', $COUNT / 10, "control: $asked are asked for" );
cmp_ok( $refused, '>', $COUNT / 10, "control: $refused are not" );
is( $site->login( hostname => 'localhost', service => $_ ), 0, "$_ is asked for" )
    for qw(whm webmail);
like( $proxy->record, qr/CONNECT localhost:2087 .*CONNECT localhost:2096 /s,
    '... at its own port' );
unlike( $proxy->record, qr/secret/, 'the proxy is told no password' );
done_testing();
