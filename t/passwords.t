#!/usr/bin/perl

# Which passwords match which hashes, and which hashes are never passed to crypt().

use strict;
use warnings;
use Test::More;
use Test::Cpanel::LogMeIn;
use Time::HiRes ();

my $site =
    Test::Cpanel::LogMeIn->new( accounts => { alice => 'secret', 'info@alice.example' => 'mail' } );

sub set_hash {
    my ($hash) = @_;
    $site->{accounts}{alice} = { hash => $hash };
    $site->write_site;
    return;
}

sub set_password { my ($pass) = @_; return set_hash( Test::Cpanel::LogMeIn::hash_of($pass) ) }

sub logs_in {
    my ($pass) = @_;
    my ( $ok, $message ) = $site->login( pass => $pass );
    die "unexpected: $message" if !$ok && $message ne 'The login is invalid.';
    return $ok;
}

# The bytes of a password do not depend on Perl's UTF-8 flag.
my $bytes   = "caf\xc3\xa9";
my $decoded = "caf\xe9";
my $flagged = $decoded;
utf8::upgrade($flagged);
my $flagged_bytes = $bytes;
utf8::upgrade($flagged_bytes);
set_password($bytes);
ok( logs_in($bytes),         'UTF-8 bytes' );
ok( logs_in($decoded),       'the same, decoded' );
ok( logs_in($flagged),       'the same, decoded and flagged' );
ok( logs_in($flagged_bytes), 'the bytes, flagged' );
ok( !logs_in('cafe'),        'control: another password' );
set_password("\xe2\x82\xac");
ok( logs_in("\x{20ac}"), 'a wide character is its UTF-8' );
set_password('12345');
ok( logs_in(12345), 'a number is its digits' );

# Every accepted scheme, with the right, a longer and a shorter password.
for my $scheme (
    [ '$1$',  0 ],
    [ '$5$',  1000 ],
    [ '$6$',  1000 ],
    [ '$2a$', 4 ],
    [ '$2b$', 4 ],
    [ '$2y$', 4 ],
    [ '$y$',  1 ],
    [ '$gy$', 1 ],
    [ '$7$',  6 ]
    )
{
    my ( $prefix, $count ) = @{$scheme};
    my $hash = Cpanel::LogMeIn::hash_password( 'right one', $prefix, $count );
SKIP: {
        skip "this libcrypt makes no $prefix hashes", 5 if !defined $hash;
        set_hash($hash);
        ok( logs_in('right one'),   "$prefix: the right password" );
        ok( !logs_in('right onex'), "$prefix: a longer one" );
        ok( !logs_in('right on'),   "$prefix: a shorter one" );
        set_hash( substr $hash, 0, -1 );
        ok( !logs_in('right one'), "$prefix: a hash cut by one character" );
        set_hash("${hash}x");
        ok( !logs_in('right one'), "$prefix: a hash with one more" );
    }
}

# bcrypt uses 72 bytes: a longer password must not match by its prefix.
my $long = 'x' x 72;
set_hash( Cpanel::LogMeIn::hash_password( $long, '$2b$', 4 ) );
ok( logs_in($long),       'bcrypt: 72 bytes' );
ok( !logs_in("${long}y"), 'bcrypt: 73 bytes never match' );
like( crypt( "${long}y", Cpanel::LogMeIn::hash_password( $long, '$2b$', 4 ) ),
    qr/\A\$2b\$/, 'control: crypt() itself would compare them' );
set_password( 'x' x 511 );
ok( logs_in( 'x' x 511 ), 'SHA-256: 511 bytes' );

# Hashes that never match, although crypt() supports them.
my $good = Test::Cpanel::LogMeIn::hash_of('secret');
for my $hash (
    '',
    '*',
    '!',
    '!!',
    '*0',
    '*1',
    'x',
    "!$good",
    "*$good",
    '$5$',
    '$5$salt',
    '$5$salt$',
    '$y$',
    '$y$j9T$',
    '$y$j9T$abc',
    '$2b$04$',
    crypt( 'secret', 'ab' ),
    '_J9..rasm',
    '$3$$8846f7eaee8fb117ad06bdd830b7586c',
    '$2x$04$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui',
    '$sha1$40000$jtNX3nZ2$hBNaIXkt4wBI2o5rsi8KejSjNqIq',
    '$md5$rounds=904$iPPKEBnEkp3JV8uX$0L6m7rOFTVFn.SGqo2M9W1',
    '$5$rounds=01000$salt$' . 'a' x 43,
    '$5$rounds=999$salt$' . 'a' x 43,
    '$1$$qRPK7m23GJusamGpoGLby/'
    )
{
    set_hash($hash);
    ok( !logs_in('secret'), "never a match: '$hash'" );
    ok( !logs_in($hash),    "nor is it its own password: '$hash'" ) if length $hash;
}
set_hash($good);
ok( logs_in('secret'), 'control: the hash that some of these were made of' );

# The cost limits of hashes. Refused hashes must not be computed.
my $sha   = 'a' x 43;
my $start = Time::HiRes::time();
for my $hash (
    "\$5\$rounds=500001\$salt\$$sha",        "\$5\$rounds=999999999\$salt\$$sha",
    "\$6\$rounds=999999999\$salt\$$sha$sha", '$2b$15$' . 'a' x 53,
    '$2b$31$' . 'a' x 53,                    "\$y\$jFT\$abcdefgh\$$sha",
    "\$y\$jzzzzzzz\$abcdefgh\$$sha",         "\$y\$j9T5\$abcdefgh\$$sha",
    "\$7\$zzzzzzzzzzzsalt\$$sha",            "\$7\$Nzzzzz....1salt\$$sha"
    )
{
    set_hash($hash);
    ok( !logs_in('secret'), "too costly, or not to be read: $hash" );
}
cmp_ok( Time::HiRes::time() - $start, '<', 30, 'and none of them was computed' );

# Below a home a quarter is allowed, because users control these files.
sub mailbox_logs_in {
    my ($hash) = @_;
    set_hash($good);
    $site->{accounts}{'info@alice.example'} = { hash => $hash };
    $site->write_site;
    return
        scalar $site->login( service => 'webmail', user => 'info@alice.example', pass => 'mail' );
}
my %rounds = map { $_ => Cpanel::LogMeIn::hash_password( 'mail', '$5$', $_ ) } 125_000, 125_001;
ok( mailbox_logs_in( $rounds{125_000} ),  'a mailbox: 125,000 rounds' );
ok( !mailbox_logs_in( $rounds{125_001} ), 'a mailbox: one more is refused' );
$site->{accounts}{alice} = { hash => $rounds{125_001} };
$site->write_site;
ok( $site->login( pass => 'mail' ), 'control: the same hash in etc/shadow is allowed' );

is( Cpanel::LogMeIn::hash_password("a\0b"),          undef, 'no hash of a password with NUL' );
is( Cpanel::LogMeIn::hash_password(''),              undef, 'no hash of an empty password' );
is( Cpanel::LogMeIn::hash_password( 'x', '$nope$' ), undef, 'no hash of an unknown scheme' );

# A property: passwords that differ in their last byte differ.
set_password('prefix-a');
is( scalar( grep { logs_in( 'prefix-' . chr ) } grep { $_ != 97 } 1 .. 127 ),
    0, 'of 126 other last bytes none matches' );

done_testing();
