#!/usr/bin/perl

# Failed logins and the waits that follow them, with a fixed clock; and many parallel
# attempts.

use strict;
use warnings;
use lib 't/lib';
use AtOnce                   qw(at_once);
use Cpanel::LogMeIn::Session ();
use Stored                   ();
use Test::More;
use Test::Cpanel::LogMeIn;
use Logins qw($START at site);

my $site = site(
    accounts => { map { $_ => 'secret' } qw(alice bob carol mallory), map { "user$_" } 1 .. 9 },
    clock    => $START,
    waits    => 1,
);

# Returns 'ok', 'invalid', or the seconds to wait.
sub attempt {
    my (%login) = @_;
    my ( $ok, $message ) = $site->login(%login);
    return 'ok' if $ok;
    if ( $message =~ /\AToo many failed logins[.] Please try again in ([0-9]+) seconds[.]\z/ ) {
        return $1;
    }
    return $message eq 'The login is invalid.' ? 'invalid' : $message;
}
sub guess { my (%login) = @_; return attempt( pass => 'wrong', %login ) }

# A name: three free failures, then waits that double.
is( join( ' ', map { guess() } 1 .. 4 ), 'invalid invalid invalid 1', 'three failures are free' );
is( attempt(),              1,         'inside the wait the right password is refused, too' );
is( guess( user => 'bob' ), 'invalid', '... but not for another name' );
my $second = 0;
for my $wait ( 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900 ) {
    at( $second + $wait - 1 );
    is( guess(), 1, "a wait of $wait seconds: not before its end" ) if $wait > 1;
    at( $second += $wait );
    is( guess(), 'invalid', "... then one more guess, after $wait seconds" );
}
is( guess(), 900, 'no wait is longer than 900 seconds' );
at( $second += 900 );
is( attempt(), 'ok',      'after the wait the right password is let in' );
is( guess(),   'invalid', '... and the failures are forgotten' );

# Names that do not exist have the same waits.
is(
    join( ' ', map { guess( user => 'nobody' ) } 1 .. 4 ),
    'invalid invalid invalid 1',
    'a name that does not exist waits alike'
);
is(
    join( ' ', map { guess( user => 'x@alice.example', service => 'webmail' ) } 1 .. 4 ),
    'invalid invalid invalid 1',
    '... and so does a mailbox'
);

# Failures expire after a day.
at( $second += 90_000 );
guess( user => 'bob' ) for 1 .. 3;
is( guess( user => 'bob' ), 1, 'a name inside its wait' );
at( $second + 86_399 );
is( guess( user => 'bob' ), 'invalid', 'within a day the failures are remembered' );
is( guess( user => 'bob' ), 2,         '... and counted on' );
at( $second += 2 * 86_400 );
is(
    join( ' ', map { guess( user => 'bob' ) } 1 .. 4 ),
    'invalid invalid invalid 1',
    'a day without one forgets them'
);

# attempts_max
$site->{settings}{attempts_max} = 5;
at( $second += 90_000 );
guess( user => 'carol' ) for 1 .. 3;
for my $wait ( 1, 2 ) { at( $second += $wait ); guess( user => 'carol' ) }
is( guess( user => 'carol' ), 3600, 'from attempts_max on the wait is an hour' );
delete $site->{settings}{attempts_max};

# A source: thirty free failures, for all names together.
at( $second += 90_000 );
my @from = ( remote_addr => '192.0.2.66' );
is(
    join( ' ', map { guess( user => "user$_", @from ) } map { ( $_, $_, $_ ) } 1 .. 9 ),
    join( ' ', ('invalid') x 27 ),
    'a source guesses at nine names'
);
guess( user => "nobody$_", @from ) for 1 .. 3;
is( guess( user => 'alice', @from ), 1, '... and has thirty failures free' );
is( guess( user => 'alice', remote_addr => '192.0.2.67' ), 'invalid',
    'another source has its own' );
is( attempt( user => 'mallory', @from ), 1, "the source's wait holds for every name" );
at( ++$second );
is( attempt( user => 'mallory', @from ), 'ok', 'an account of its own lets it in' );
is( guess( user => 'alice', @from ), 'invalid', '... with one more guess' );
is( guess( user => 'alice', @from ),
    2, "... but its own login does not forget the source's failures" );
guess( user => 'bob', remote_addr => "2001:db8:0:1::$_" ) for 1 .. 3;
is( guess( user => 'bob', remote_addr => '2001:db8:0:1:ffff::9' ), 1, '(the name waits, too)' );
at( $second += 90_000 );

for my $number ( 1 .. 30 ) {
    guess( user => "none$number", remote_addr => "2001:db8:0:1::$number" );
}
is( guess( user => 'other', remote_addr => '2001:db8:0:1:abcd::' ),
    1, 'of IPv6, 64 bits are one source' );
is( guess( user => 'other', remote_addr => '2001:db8:0:2::1' ),
    'invalid', '... and others another' );
is( guess( user => 'third', remote_addr => '::ffff:192.0.2.99' ), 'invalid', 'a mapped address' );

# A translator's address counts by the IPv4 address in it.
at( $second += 90_000 );
guess( user => "none$_", remote_addr => '64:ff9b::192.0.2.70' ) for 1 .. 28;
guess( user => 'none29', remote_addr => '192.0.2.70' );
guess( user => 'none30', remote_addr => '::ffff:192.0.2.70' );
is( guess( user => 'none', remote_addr => $_ ), 1, "one source has had its thirty: $_" )
    for '64:ff9b::c000:246', '192.0.2.70';
is( guess( user => 'none', remote_addr => '64:ff9b::192.0.2.71' ),
    'invalid', 'behind a translator each IPv4 address is a source' );
for my $number ( 1 .. 30 ) { guess( user => "none$number", remote_addr => "64:ff9b::1:0:$number" ) }
is( guess( user => 'none', remote_addr => '64:ff9b::1:0:99' ),
    1, 'control: what is not a translator\'s has 64 bits' );

# Addresses that are not counted as sources.
at( $second += 90_000 );
$site->{settings}{trusted_proxies} = '198.51.100.0/24 2001:db8:9::/48 64:ff9b::203.0.113.9';
at($second);
for my $address (
    '127.0.0.1',       '127.9.9.9', '::1', '198.51.100.200',
    '2001:db8:9:9::9', '64:ff9b::203.0.113.9'
    )
{
    guess( user => "free$_", remote_addr => $address ) for 1 .. 31;
    is( guess( user => 'free-at-last', remote_addr => $address ),
        'invalid', "$address is no source" );
    $site->forget;
}
for my $address ( '198.51.101.1', '2001:db8:a::1', '64:ff9b::198.51.100.9' ) {
    guess( user => "free$_", remote_addr => $address ) for 1 .. 30;
    is( guess( user => 'free-at-last', remote_addr => $address ), 1, "control: $address is one" );
}
delete $site->{settings}{trusted_proxies};

# A known source: only failures of the pair of name and source count.
at( $second += 90_000 );
my @home = ( remote_addr => '203.0.113.5' );
is( attempt(@home), 'ok', 'the owner logs in from home' );
for my $number ( 1 .. 200 ) { guess( remote_addr => "192.0.2.$number" ) }
is( guess( remote_addr => '192.0.2.201' ), 1,    'an attacker hammers the name from everywhere' );
is( attempt(),                             1,    '... so that it waits' );
is( attempt(@home),                        'ok', '... but the owner gets in from home at once' );
is(
    join( ' ', map { guess(@home) } 1 .. 4 ),
    'invalid invalid invalid 1',
    'the pair has three free'
);
is( attempt(@home), 1, '... and then waits as well' );
at( ++$second );
is( attempt(@home), 'ok', '... and its failures are forgotten by success' );

# An attacker who sends a hundred guesses a second, from ten addresses.
my ( $in, $waiting ) = ( 0, 0 );
for my $trial ( 1 .. 100 ) {
    at( ++$second );
    guess( remote_addr => '198.18.0.' . $_ % 10 ) for 1 .. 100;
    $waiting++ if attempt() ne 'ok';
    $in++      if attempt(@home) eq 'ok';
}
is( $in, 100, 'at a hundred guesses a second the owner gets in from home, each time' );
note("16: 100 guesses a second, the owner logs in from a known source $in times of 100");
cmp_ok( $waiting, '>', 90, "control: from elsewhere the name waits, $waiting times" );
at( $second += 29 * 86_400 );
for my $number ( 1 .. 9 ) { guess( remote_addr => "192.0.2.$number" ) }
is( attempt(@home), 'ok', 'a source is known for 30 days' );
at( $second += 30 * 86_400 + 1 );
for my $number ( 1 .. 9 ) { guess( remote_addr => "192.0.2.$number" ) }
is( attempt(@home), 1, '... and then is a stranger' );

# is_known() asks for the same, and changes nothing.
sub known {
    my ( $user, $address ) = @_;
    return Cpanel::LogMeIn::Session->is_known( user => $user, address => $address ) ? 'yes' : 'no';
}
at( $second += 90_000 );
$site->{settings}{trusted_proxies} = '198.51.100.7';
at($second);
my ( $ipv4, $ipv6 ) = qw(203.0.113.60 2001:db8:7:7::1);
guess( user => 'carol', remote_addr => $ipv4 ) for 1 .. 2;
is( known( 'carol', $ipv4 ), 'no', 'failures make no source known' );
for my $address ( $ipv4, $ipv6, '127.0.0.1', '198.51.100.7' ) {
    is( attempt( user => 'carol', remote_addr => $address ), 'ok', "carol logs in from $address" );
}
is( known( 'carol', $ipv4 ),                  'yes', '... then is_known() knows her source' );
is( known( 'carol', "::ffff:$ipv4" ),         'yes', '... in its mapped form, too' );
is( known( 'carol', "64:ff9b::$ipv4" ),       'yes', '... and behind a translator' );
is( known( 'carol', '203.0.113.61' ),         'no',  '... but not its neighbour' );
is( known( 'bob',   $ipv4 ),                  'no',  '... nor for another user' );
is( known( 'carol', '2001:db8:7:7:abcd::9' ), 'yes', '... of IPv6, 64 bits' );
is( known( 'carol', '2001:db8:7:8::1' ),      'no',  '... and no more' );
is( known( 'carol', $_ ), 'no', "... and never $_" ) for '127.0.0.1', '198.51.100.7';
$site->{settings}{trusted_proxies} .= " $ipv4";
at($second);
is( known( 'carol', $ipv4 ), 'no', '... nor what has become a proxy since' );
$site->{settings}{trusted_proxies} = '198.51.100.7';
at($second);
my $of_no_source = grep { known( @{$_} ) ne 'no' }
    map { ( [ 'carol', $_ ], [ $_, $ipv4 ] ) } undef, q{}, 'x', "$ipv4\n", "$ipv4:80", [$ipv4],
    "$ipv4\0", 'carol ', "carol\0", '../carol', '@carol', 'a' x 300, "\x{2028}";
is( $of_no_source, 0, 'what is no user or no address is not known' );
my $before = Stored::volatile($site);
known( "user$_", "192.0.2.$_" ) for 1 .. 9;
ok( length $before && $before eq Stored::volatile($site), 'it changes no byte of the store' );
guess( user => 'user1', remote_addr => $ipv4 );
isnt( Stored::volatile($site), $before, 'control: a failed login does' );
at( $second + 30 * 86_400 - 1 );
is( known( 'carol', $ipv4 ), 'yes', 'a source is known for 30 days' );
at( $second += 30 * 86_400 );
is( known( 'carol', $ipv4 ), 'no', '... and no longer' );
ok(
    !eval { Cpanel::LogMeIn::Session->is_known( name => 'carol' ); 1 }
        && $@ =~ /\AUnknown argument 'name'[.]/,
    'an argument that it does not know'
);
$site->{settings}{test_fault} = 'store-away';
at($second);
ok( !eval { known( 'carol', $ipv4 ); 1 } && $@ =~ /\AThe sessions can't be read: /,
    'a fault is no answer' );
delete @{ $site->{settings} }{qw(test_fault trusted_proxies)};
at($second);

# REMOTE_ADDR is used in CGI scripts only.
at( $second += 90_000 );
{
    local $ENV{REMOTE_ADDR} = '192.0.2.50';
    guess( user => "cgi$_" ) for 1 .. 30;
    is( guess( user => 'cgi' ), 'invalid', 'REMOTE_ADDR alone is no source' );
    local $ENV{GATEWAY_INTERFACE} = 'CGI/1.1';
    guess( user => "gi$_" ) for 1 .. 30;
    is( guess( user => 'gi' ), 1, '... in a CGI script it is' );
}

# log_in returns the wait as a number.
at( $second += 90_000 );
guess( user => 'bob' ) for 1 .. 3;
my $answer = Cpanel::LogMeIn::Session->log_in(
    user     => 'bob',
    pass     => 'secret',
    hostname => 'localhost',
    service  => 'cpanel'
);
is_deeply(
    $answer,
    {
        login_ok => 0,
        fault    => 0,
        wait     => 1,
        reason   => 'wait',
        message  => 'Too many failed logins. Please try again in 1 seconds.'
    },
    'a login answer says how long to wait'
);

# The store contains neither names nor addresses.
unlike(
    Stored::volatile($site),
    qr/nobody|free-at-last|alice|192[.]0[.]2/,
    'the store holds no name and no address'
);

# Parallel attempts.
$site->forget;
delete $site->{settings}{test_clock};
$site->write_settings;

my ( undef, @honest ) = at_once( 20, sub { attempt( user => 'user1' ) } );
is( scalar( grep { $_ eq 'ok' } @honest ),
    20, 'twenty honest logins of one name at once all succeed' )
    or diag("@honest");
my ( undef, @guesses ) = at_once(
    64,
    sub {
        join ' ', map { guess( user => 'user2' ) } 1 .. 5;
    }
);
my $hashes = grep { $_ eq 'invalid' } map { split } @guesses;

# 32 at once, and each of the first two that fail makes room for another one.
cmp_ok( $hashes, '<=', 34,
    "64 processes that guess five times each get no more than 34 hashes ($hashes)" );
cmp_ok( $hashes, '>=', 3, '... and the three free ones' );
note("15: 64 processes guess 5 times each at one name, at most $hashes hashes");

# Where few could guess at once the wait is short, and may have ended meanwhile.
my ($last) = reverse map { guess( user => 'user2' ) } 1 .. 2;
like( $last, qr/\A[0-9]+\z/, '... and the name waits' );

# The same test with a non-atomic counter.
my $naive = "$site->{dir}/naive";

sub naive_guess {
    return 'wait' if ( -s $naive // 0 ) >= 3;
    select undef, undef, undef, 0.5;    ## no critic (ProhibitSleepViaSelect)
    open my $counter, '>>', $naive or die $!;
    syswrite $counter, '.';
    return 'invalid';
}
( undef, @guesses ) = at_once(
    64,
    sub {
        join ' ', map { naive_guess() } 1 .. 5;
    }
);
$hashes = grep { $_ eq 'invalid' } map { split } @guesses;
cmp_ok( $hashes, '>', 34, "control: a counter without reservations lets $hashes through" );
done_testing();
