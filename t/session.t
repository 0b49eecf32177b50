#!/usr/bin/perl

# Redeeming, checking and ending sessions: every outcome, every limit.

use strict;
use warnings;
use lib 't/lib';
use Cpanel::LogMeIn::Session ();
use Digest::SHA              ();
use File::Compare            qw(compare);
use MIME::Base64             qw(encode_base64url);
use Storable                 ();
use Stored                   ();
use Test::More;
use Test::Cpanel::LogMeIn;
use Logins qw($START at log_in redeem site access_of);

my $site = site(
    accounts  => { alice => 'secret', bob => 'secret', 'info@alice.example' => 'secret' },
    resellers => ['alice'],
    clock     => $START,
);

sub call { my ( $method, @with ) = @_; return Cpanel::LogMeIn::Session->$method(@with) }

sub outcome_is {
    my ( $expected, $name, $method, @with ) = @_;
    my ( $session, $reason ) = call( $method => @with );
    is( $reason,      $expected, $name ) or diag($Cpanel::LogMeIn::detail);
    is( ref $session, $expected eq 'granted' ? 'HASH' : '', '... and the session with it' );
    return $session;
}

# The keys of a session.
my %ticket  = log_in();
my $session = outcome_is( 'granted', 'a fresh ticket is redeemed', redeem => %ticket );
is_deeply(
    { %{$session}, cookie => undef, id => undef },
    {
        user        => 'alice',
        service     => 'cpanel',
        token       => $ticket{token},
        cookie      => undef,
        id          => undef,
        created     => $START,
        last_seen   => $START,
        ends        => $START + 86_400,
        redeemed    => 1,
        redeemed_at => $START,
        address     => '',
    },
    'a session has these fields'
);
like( $session->{id},     qr/\A[0-9a-f]{16}\z/,              'its id is 16 hex digits' );
like( $session->{cookie}, qr/\Aalice%3a[A-Za-z0-9_-]{43}\z/, 'its cookie is USER%3aSECRET' );
my $checked = outcome_is( 'granted', 'its cookie opens the service', check => access_of($session) );
is( $checked->{id}, $session->{id}, '... as the same session' );
ok( !exists $checked->{cookie}, '... and a check tells no cookie' );
is( scalar call( check => access_of($session) )->{user},
    'alice', 'in scalar context: the session' );

# Refusals.
outcome_is( 'spent', 'a spent ticket', redeem => %ticket );
my %fresh = log_in();
outcome_is(
    'wrong_token', 'a ticket under another token',
    redeem => %fresh,
    token  => '/cpsess0000000000'
);
outcome_is( 'wrong_token',   'a ticket without a token',    redeem => %fresh, token   => undef );
outcome_is( 'wrong_service', 'a ticket at another service', redeem => %fresh, service => 'whm' );
outcome_is(
    'granted', 'a ticket is not spent by that, and its token needs no slash',
    redeem => %fresh,
    token  => substr $fresh{token},
    1
);

my $secret     = substr $session->{cookie}, -43;
my %bad_values = (
    missing                         => undef,
    empty                           => '',
    'a reference'                   => [],
    'with a NUL'                    => "\0",
    'one MiB'                       => 'x' x 2**20,
    wide                            => "\x{263a}" x 50,
    'another ticket'                => 'lmt_' . 'A' x 43,
    'a short ticket'                => 'lmt_' . 'A' x 42,
    'in upper case'                 => uc $ticket{ticket},
    'with a newline'                => "$ticket{ticket}\n",
    'a cookie'                      => $session->{cookie},
    "a cookie's secret as a ticket" => "lmt_$secret",
);

for my $name ( sort keys %bad_values ) {
    outcome_is( 'unknown', "a ticket: $name", redeem => %ticket, ticket => $bad_values{$name} );
}
my %cookies = (
    %bad_values,
    'a ticket'                      => $ticket{ticket},
    "a ticket's secret as a cookie" => 'alice%3a' . substr( $fresh{ticket}, 4 ),
    'a whole ticket as a secret'    => "alice%3a$fresh{ticket}",
    "another user's name"           => "bob%3a$secret",
    'no user'                       => "%3a$secret",
    'a user with a newline'         => "alice%0a%3a$secret",
    'encoded twice'                 => "alice%253a$secret",
    'the secret alone'              => $secret,
    'one character off'             => "alice%3a" . ( $secret =~ tr/A-Za-y0-8/B-Za-z1-9/r ),
);
delete $cookies{'a cookie'};
for my $name ( sort keys %cookies ) {
    outcome_is(
        'unknown', "a cookie: $name",
        check  => access_of($session),
        cookie => $cookies{$name}
    );
}
for my $form ( "alice:$secret", "alice%3A$secret", "%61lice%3a$secret" ) {
    outcome_is( 'granted', "a cookie: $form", check => access_of($session), cookie => $form );
}
for my $token ( undef, '', '/cpsess0000000000', "$session->{token}0", "$session->{token}\n",
    "/$session->{token}" )
{
    outcome_is(
        'wrong_token', 'a cookie under the token ' . ( $token // 'undef' ),
        check => access_of($session),
        token => $token
    );
}

# A cookie is valid for its own service only.
my %owner = ( cpanel => 'alice', whm => 'alice', webmail => 'info@alice.example' );
for my $from ( sort keys %owner ) {
    my $opened = redeem( log_in( service => $from, user => $owner{$from} ) );
    for my $to ( sort keys %owner ) {
        outcome_is(
            $from eq $to ? 'granted' : 'wrong_service',
            "a cookie of $from at $to",
            check   => access_of($opened),
            service => $to
        );
    }
}

# The content of the store gives no access.
my $stored = Digest::SHA::sha256($secret);
my $image  = Stored::durable($site);
ok( index( $image, $stored ) >= 0, 'control: the SHA-256 of a secret is in the store' );
ok( index( $image, $secret ) < 0 && index( $image, substr $ticket{ticket}, 4 ) < 0,
    'no secret and no ticket is' );
ok( index( $image, 'secret' ) < 0, 'nor is a password' );
outcome_is(
    'unknown', 'a stored key as a cookie',
    check  => access_of($session),
    cookie => 'alice%3a' . encode_base64url($stored)
);
outcome_is(
    'unknown', 'a stored key as a ticket',
    redeem => %ticket,
    ticket => 'lmt_' . encode_base64url( Digest::SHA::sha256( $ticket{ticket} ) )
);

# Idle and overall limits, with a fixed clock.
at(0);
%ticket = log_in();
at(899);
outcome_is( 'granted', 'a ticket in its last second', redeem => %ticket );
at(0);
%ticket = log_in();
at(900);
outcome_is( 'unknown', 'a ticket that nobody redeemed in time', redeem => %ticket );

at(0);
$session = redeem( log_in() );
at(899);
outcome_is( 'granted', 'a session in its last idle second', check => access_of($session) );
at( 899 + 899 );
outcome_is( 'granted', '... from which on its idle time starts anew',
    check => access_of($session) );
at( 899 + 899 + 900 );
outcome_is( 'unknown', '... but not for ever', check => access_of($session) );

at(0);
$session = redeem( log_in() );
at(59);
is( call( check => access_of($session) )->{last_seen},
    $START, 'a check within the minute is not noted' );
at(60);
is( call( check => access_of($session) )->{last_seen}, $START + 60, 'after it, it is' );
at(120);
outcome_is(
    'wrong_token', 'a refused check',
    check => access_of($session),
    token => '/cpsess0000000000'
);
at( 60 + 900 );
outcome_is( 'unknown', '... keeps nothing alive', check => access_of($session) );

at(0);
$session = redeem( log_in() );
my $last = 0;
for ( my $second = 800; $second < 86_400; $second += 800 ) {
    at($second);
    $last = $second if call( check => access_of($session) );
}
is( $last, 85_600, 'a session in use lives on' );
at(86_399);
outcome_is( 'granted', '... for a day', check => access_of($session) );
at(86_400);
outcome_is( 'unknown', '... and no longer', check => access_of($session) );

at(301);
$session = redeem( log_in() );
at(1);
outcome_is( 'granted', 'a session from 300 seconds in the future', check => access_of($session) );
at(0);
outcome_is( 'unknown', '... from 301', check => access_of($session) );

# If the volatile part is lost, the idle time starts at redeeming. Each check runs in
# a new process, because an open file remains usable after its removal.
sub reason_in_child {
    my (@with) = @_;
    return Test::Cpanel::LogMeIn::in_child( sub { ( call( check => @with ) )[1] } );
}
for my $case ( [ 899, 'granted' ], [ 900, 'unknown' ] ) {
    my ( $second, $expected ) = @{$case};
    at(0);
    $session = redeem( log_in() );
    at(800);
    is( reason_in_child( access_of($session) ), 'granted', 'a check that is noted' );
    $site->forget;
    at($second);
    is( reason_in_child( access_of($session) ), $expected, "... and lost: $expected at $second" );
}

# Logging out.
at(0);
my @shared = ( { log_in() } );
push @shared, { log_in( active_token_for_reuse => $shared[0]{token} ) } for 1 .. 2;
my %other  = log_in();
my @opened = map { scalar redeem( %{$_} ) } @shared[ 0, 1 ];
outcome_is(
    'wrong_token', 'logging out with a wrong token',
    end   => access_of( $opened[0] ),
    token => $other{token}
);
outcome_is( 'granted', 'does nothing',                         check  => access_of( $opened[0] ) );
outcome_is( 'granted', 'logging out',                          end    => access_of( $opened[0] ) );
outcome_is( 'unknown', 'ends the session',                     check  => access_of( $opened[0] ) );
outcome_is( 'unknown', '... the other one of that token',      check  => access_of( $opened[1] ) );
outcome_is( 'unknown', '... and its ticket not yet redeemed',  redeem => %{ $shared[2] } );
outcome_is( 'unknown', 'logging out again',                    end    => access_of( $opened[0] ) );
outcome_is( 'granted', 'another login of the same user lives', redeem => %other );

# Objects.
my $sessions = Cpanel::LogMeIn::Session->new;
isa_ok( $sessions, 'Cpanel::LogMeIn::Session' );
%ticket = log_in();
ok( $session = $sessions->redeem(%ticket),   'an object redeems' );
ok( $sessions->check( access_of($session) ), '... and checks' );
ok( !$sessions->redeem(%ticket),             '... and refuses' );
my $copy = eval { Storable::dclone($sessions) };
ok( !$copy || !eval { $copy->check( access_of($session) ); 1 }, 'a deep copy is no object' );

for my $forged ( bless( [], 'Cpanel::LogMeIn::Session' ),
    bless( \do { my $n = 1234 }, 'Cpanel::LogMeIn::Session' ), {} )
{
    ok( !eval { Cpanel::LogMeIn::Session::check( $forged, access_of($session) ); 1 },
        'nor is ' . ref($forged) . ', forged' );
    like(
        $@,
        qr/\AThis is not a Cpanel::LogMeIn::Session object[.]/,
        '... and the exception says so'
    );
}

# Wrong calls.
for my $case (
    [ ['odd'], qr/pairs/ ],
    [ [ colour => 1,   service => 'cpanel' ], qr/Unknown argument/ ],
    [ [ cookie => 'x', token   => 'y' ],      qr/'service' is missing/ ],
    [ [ cookie => 'x', service => 'ftp' ],    qr/must be cpanel, whm or webmail/ ],
    [ [ cookie => 'x', service => undef ],    qr/must be cpanel, whm or webmail/ ],
    )
{
    my ( $with, $why ) = @{$case};
    ok( !eval { $sessions->check( @{$with} ); 1 }, "an exception: $why" );
    like( $@, $why, '... that says why' );
}
for my $method (qw(list show revoke check redeem end log_in log_in_by_url)) {
    ok( !eval { $sessions->$method( service => 'cpanel', colour => 1 ); 1 },
        "$method dies of an argument that it does not know" );
    like( $@, qr/\AUnknown argument 'colour'/, '... and names it' );
}

# The rest is about a store that is a folder.
if ( !-d "$site->{dir}/store" ) {
    done_testing();
    exit;
}

# A fault is neither "granted" nor "unknown".
at(0);
my $access = { access_of( redeem( log_in() ) ) };
chmod oct 750, "$site->{dir}/store" or die $!;
is( reason_in_child( %{$access} ), 'fault', 'a fault of the store' );
chmod oct 700, "$site->{dir}/store" or die $!;
outcome_is( 'granted', 'control: without it', check => %{$access} );

# The store that a handle has open is replaced by one with another key.
my ( $folder, $kept ) = map { "$site->{dir}/$_" } qw(store kept);
my $open = Cpanel::LogMeIn::Session->new;

sub move {
    while ( my ( $from, $to ) = splice @_, 0, 2 ) { rename $from, $to or die "$from: $!" }
    return;
}

sub follows {
    my ( $shown, $expected, $name ) = @_;
    is( ( $open->check( %{$shown} ) )[1], $expected, $name ) or diag($Cpanel::LogMeIn::detail);
    return;
}
follows( $access, 'granted', 'control: an open handle knows its session' );
move( $folder => $kept );
my $other = { access_of( redeem( log_in() ) ) };
is( compare( "$folder/key", "$kept/key" ), 1, 'another store, and key' );
sleep 2;
follows( $other,  'granted', '... whose session an open handle knows' );
follows( $access, 'unknown', '... and the old one no more' );
move( "$folder/key" => "$folder/key.kept", $folder => "$folder.2", $kept => $folder );
sleep 2;
follows( $access, 'granted', 'after restoring a backup its sessions are known' );
follows( $other,  'unknown', '... and no others' );
move( $folder => $kept, "$folder.2" => $folder );
sleep 2;
follows( $other, 'fault', 'a store whose key is gone: a fault' );
like( $Cpanel::LogMeIn::detail, qr/is missing, and the store was made with it/,
    '... that says so' );
move( "$folder/key.kept" => "$folder/key" );
follows( $other, 'granted', '... until it is back' );
done_testing();
