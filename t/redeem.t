#!/usr/bin/perl

# The redeeming table, row by row; dual-use cookies, whose first use decides their
# kind; and requests that never redeem.

use strict;
use warnings;
use lib 't/lib';
use Cpanel::LogMeIn::Session ();
use Stored                   ();
use Test::More;
use Test::Cpanel::LogMeIn;
use Logins qw($START at check_reason log_in redeem site access_of);

my $site = site(
    accounts  => { alice => 'secret', bob => 'secret' },
    resellers => ['alice'],
    clock     => $START,
);
my %BROWSER = ( address => '192.0.2.1', agent => 'Browser/1' );

# The arguments that redeem a new login's ticket.
sub ticket { my (%given) = @_; return ( log_in(%given), %BROWSER ) }

sub reason_of { my (@with) = @_; return ( redeem(@with) )[1] }

# How often is the session in the list?
sub times_listed {
    my ($session) = @_;
    my $next      = Cpanel::LogMeIn::Session->new->list;
    my $times     = 0;
    while ( my $one = $next->() ) { $times++ if $one->{id} eq $session->{id} }
    return $times;
}

# A browser that has a session already: the session.
sub new_session { my (%given) = @_; return scalar redeem( ticket(%given) ) }

# fresh, no cookie
my %ticket = ticket();
my ( $session, $reason ) = redeem(%ticket);
is( $reason,                'granted', 'fresh ticket, no cookie: granted' );
is( check_reason($session), 'granted', '... and the new cookie works' );

# fresh, a cookie of the same user
my $old = new_session();
%ticket = ticket();
( $session, $reason ) = redeem( %ticket, cookie => $old->{cookie} );
is( $reason,                'granted', 'fresh ticket, cookie of the same user: granted' );
is( check_reason($session), 'granted', '... the new cookie works' );
is( check_reason($old),     'unknown', '... the old session has ended' );

# fresh, a cookie of another user
my $bob = new_session( user => 'bob' );
%ticket = ticket();
( $session, $reason, my $confirm ) = redeem( %ticket, cookie => $bob->{cookie} );
is( $reason,  'confirm', 'fresh ticket, cookie of another user: to be confirmed' );
is( $session, undef,     '... which is no yes' );
is_deeply(
    $confirm,
    { current => 'bob', current_token => $bob->{token}, user => 'alice' },
    '... and tells who, and who else'
);
is( check_reason($bob), 'granted', "... the other user's session lives" );
( $session, $reason ) = redeem( %ticket, cookie => $bob->{cookie}, confirmed => 1 );
is( $reason,            'granted', 'confirmed: granted' );
is( $session->{user},   'alice',   '... to the user of the ticket' );
is( check_reason($bob), 'unknown', '... the other session has ended' );

# A dual-use cookie that was not used yet is a live session, too.
for my $case ( [ alice => 'granted' ], [ bob => 'confirm' ] ) {
    my ( $user, $expected ) = @{$case};
    my $unused = dual_use();
    %ticket = ticket( user => $user );
    is( reason_of( %ticket, cookie => $unused->{cookie} ),
        $expected, "fresh ticket of $user, a dual-use cookie of alice's not yet used: $expected" );
    is( check_reason($unused), $user eq 'alice' ? 'unknown' : 'granted', '... the session' );
}
my $unused = dual_use();
is( reason_of( ticket( user => 'bob' ), cookie => $unused->{cookie}, confirmed => 1 ),
    'granted', '... confirmed: granted' );
is( check_reason($unused), 'unknown', '... and the other session has ended' );
$unused = dual_use();
my $both = redeem(
    ticket  => $unused->{cookie},
    cookie  => $unused->{cookie},
    token   => $unused->{token},
    service => 'cpanel',
    %BROWSER
);
ok( $both, 'a dual-use cookie that is sent as ticket and as cookie: granted' );
is( check_reason($both),   'granted', '... and the new cookie works' );
is( check_reason($unused), 'unknown', '... but not the old one' );

# A cookie of another service and an ended one are ignored.
my $whm = new_session( service => 'whm' );
is( reason_of( ticket( user => 'bob' ), cookie => $whm->{cookie} ),
    'granted', "fresh ticket, another service's cookie: granted" );
is( check_reason($whm), 'granted', '... which lives on' );
is( reason_of( ticket( user => 'bob' ), cookie => 'alice%3a' . 'A' x 43 ),
    'granted', 'fresh ticket, a cookie that is none: granted' );

# spent, the session's own cookie
%ticket  = ticket();
$session = redeem(%ticket);
my ( $again, $why ) =
    redeem( %ticket, cookie => $session->{cookie}, address => '198.51.100.9', agent => 'x' );
is( $why,         'again',        'spent ticket, the cookie it was swapped for: again' );
is( $again->{id}, $session->{id}, '... as the same session' );
ok( !exists $again->{cookie}, '... without another cookie' );
is( check_reason($session), 'granted', '... whose cookie still works' );
at(3600);
is( reason_of( %ticket, cookie => $session->{cookie} ),
    'spent', '... but not once the session has ended' );
at(0);

# spent, no cookie, the same browser a moment later
%ticket  = ticket();
$session = redeem(%ticket);
at(10);
( my $second, $reason ) = redeem(%ticket);
is( $reason,       'granted',      'spent ticket, no cookie, same browser after 10 s: granted' );
is( $second->{id}, $session->{id}, '... the same session' );
isnt( $second->{cookie}, $session->{cookie}, '... by a new cookie' );
is( ( redeem( %ticket, cookie => $second->{cookie} ) )[1], 'again', '... that is one of it' );
is( times_listed($session), 1,         '... which is one session still' );
is( check_reason($second),  'granted', '... the cookie works' );
is( check_reason($session), 'unknown', '... and as it came first, the other one no more' );
is( reason_of( %ticket, cookie => $session->{cookie} ), 'granted', '... which is as good as none' );
at(11);
is( reason_of(%ticket),     'spent',   '... but not a second later' );
is( times_listed($session), 1,         '... which is one session still' );
is( check_reason($second),  'granted', '... and harms nobody' );
at(0);

# Nobody knows which of two answers a browser keeps.
for my $kept ( 0 .. 2 ) {
    %ticket = ticket();
    my @cookies = map { scalar redeem(%ticket) } 0 .. 2;
    is( check_reason( $cookies[$kept] ),
        'granted', "three answers, the browser keeps $kept: it works" );
    is( reason_of( ticket => $cookies[$_]{cookie}, token => $ticket{token}, service => 'cpanel' ),
        'unknown', '... none is a ticket' )
        for 0 .. 2;
    is( check_reason( $cookies[$_] ), $_ == $kept ? 'granted' : 'unknown', '... one lives' )
        for 0 .. 2;
    is( times_listed( $cookies[$kept] ), 1, '... and is listed once' );
    my $late = redeem(%ticket);
    is( check_reason( $cookies[$kept] ), 'granted', '... also when one more answer is lost' );
    is( check_reason($late),             'unknown', '... that came too late' );
    Cpanel::LogMeIn::Session->end( access_of( $cookies[$kept] ) );
    is( check_reason( $cookies[$_] ), 'unknown', '... until its end' ) for 0 .. 2;
}

# While they contend the session can be ended.
%ticket  = ticket();
$session = redeem(%ticket);
$second  = redeem(%ticket);
ok( Cpanel::LogMeIn::Session->revoke( id => $session->{id} ),
    'a session of several cookies is revoked' );
is( check_reason($_), 'unknown', '... with all of them' ) for $session, $second;

# A session that has ended takes its ticket with it.
%ticket  = ticket();
$session = redeem(%ticket);
Cpanel::LogMeIn::Session->revoke( id => $session->{id} );
is( reason_of(%ticket), 'unknown', 'a ticket whose session was revoked' );

# spent, any other
my %other = (
    'another address'                => [ address => '192.0.2.2' ],
    'another agent'                  => [ agent   => 'Browser/2' ],
    'no address'                     => [ address => undef ],
    'no agent'                       => [ agent   => undef ],
    'no address and agent'           => [ agent   => undef, address => undef ],
    'an address that is none'        => [ address => 'localhost' ],
    'a live cookie of the same user' => [ cookie  => new_session()->{cookie} ],
    'a live cookie of another user'  => [ cookie  => new_session( user => 'bob' )->{cookie} ],
);
for my $name ( sort keys %other ) {
    %ticket  = ticket();
    $session = redeem(%ticket);
    is( reason_of( %ticket, @{ $other{$name} } ), 'spent', "spent ticket, $name: spent" );
    is( check_reason($session), 'granted', '... the session it belongs to is untouched' );
}
%ticket = ticket( goto_uri => '/x' );
delete @ticket{qw(address agent)};
redeem(%ticket);
is( reason_of(%ticket), 'spent', 'without address and agent there is no second time' );
for my $case ( [ 1000, 'granted' ], [ 1100, 'spent' ], [ 100_000, 'spent' ] ) {
    my ( $size, $expected ) = @{$case};
    %ticket = ( ticket(), agent => 'x' x $size );
    redeem(%ticket);
    is( reason_of(%ticket), $expected, "... nor with an agent of $size bytes: $expected" );
}

# unknown, and wrong tokens
is( reason_of( %ticket, ticket => 'lmt_' . 'A' x 43 ), 'unknown', 'an unknown ticket' );
%ticket = ticket();
at(900);
is( reason_of(%ticket), 'unknown', 'a ticket that has expired' );
at(0);
%ticket = ticket();
is( reason_of( %ticket, token   => '/cpsess0000000000' ), 'wrong_token',   'a wrong token' );
is( reason_of( %ticket, service => 'webmail' ),           'wrong_service', 'another service' );
is( reason_of(%ticket), 'granted', '... spends nothing' );

# Requests that only look.
%ticket = ticket();
for my $look (
    [ method      => 'HEAD' ],
    [ method      => 'OPTIONS' ],
    [ method      => 'head' ],
    [ method      => 'get' ],
    [ destination => 'Document' ],
    [ method      => 'PUT' ],
    [ method      => 'TRACE' ],
    [ method      => 'FOO' ],
    [ method      => q{} ],
    [ destination => 'image' ],
    [ destination => 'empty' ],
    [ destination => 'iframe' ],
    [ destination => 'documents' ],
    [ destination => q{} ],
    [ purpose     => 'prefetch' ],
    [ purpose     => 'prefetch;anonymous-client-ip' ],
    [ purpose     => 'Prefetch' ],
    [ purpose     => 'prerender' ],
    [ purpose     => 'preview' ],
    )
{
    is( reason_of( %ticket, @{$look} ), 'passive', "@{$look} only looks" );
}
is( reason_of( %ticket, method => 'GET', purpose => '', destination => 'document' ),
    'granted', 'control: GET redeems' );
is( reason_of( ticket(), method => 'POST' ), 'granted', 'control: POST, too' );

# Dual-use cookies.
sub dual_use {
    my (%given) = @_;
    my $answer = Cpanel::LogMeIn::Session->log_in(
        user     => 'alice',
        pass     => 'secret',
        hostname => 'other.example',
        service  => 'cpanel',
        goto_uri => '/',
        %given
    );
    return { %{$answer}, service => $given{service} // 'cpanel' };
}
my $dual_use = dual_use();
is( $dual_use->{login_ok}, 1, 'a login answer has a dual-use cookie' )
    or diag($Cpanel::LogMeIn::detail);
like( $dual_use->{cookie}, qr/\Aalice%3a[\w-]{43}\z/, '... of the form of a cookie' );
is( check_reason($dual_use), 'granted', 'shown as a cookie, it is one' );
is( check_reason($dual_use), 'granted', '... from then on' );
my @as_ticket = ( service => 'cpanel', %BROWSER );
is( reason_of( @as_ticket, token => $dual_use->{token}, ticket => $dual_use->{cookie} ),
    'unknown', '... and worthless in a URL' );

$dual_use = dual_use();
is(
    (
        Cpanel::LogMeIn::Session->check(
            cookie  => $dual_use->{cookie},
            token   => '/cpsess0000000000',
            service => 'cpanel'
        )
    )[1],
    'wrong_token',
    'a dual-use cookie under a wrong token'
);
( $session, $reason ) =
    redeem( @as_ticket, token => $dual_use->{token}, ticket => $dual_use->{cookie} );
is( $reason,                 'granted', '... is not used up: in a URL, it is a ticket' );
is( check_reason($session),  'granted', '... swapped for a cookie' );
is( check_reason($dual_use), 'unknown', '... and no cookie any more' );
is(
    reason_of(
        @as_ticket,
        token   => $dual_use->{token},
        ticket  => $dual_use->{cookie},
        address => '198.51.100.1'
    ),
    'spent',
    '... nor a ticket for somebody else'
);
is(
    reason_of(
        @as_ticket,
        token  => $dual_use->{token},
        ticket => $dual_use->{cookie},
        cookie => $session->{cookie}
    ),
    'again',
    '... but for the browser that has its cookie'
);
$dual_use = dual_use();
my @twice =
    map { scalar redeem( @as_ticket, token => $dual_use->{token}, ticket => $dual_use->{cookie} ) }
    1,
    2;
is( check_reason( $twice[0] ),
    'granted', 'a dual-use cookie swapped twice: the cookie that is used first' );
is( check_reason( $twice[1] ), 'unknown', '... not the other one' );
$dual_use = dual_use();
at(900);
is( check_reason($dual_use), 'unknown', 'a dual-use cookie that nobody used expires' );
at(0);
%ticket = ticket();
@twice  = map { scalar redeem(%ticket) } 1, 2;
at(900);
is( check_reason( $twice[1] ), 'unknown', '... and so do two cookies that nobody used' );
is( times_listed( $twice[1] ), 0,         '... with their session' );
at(0);
$dual_use = dual_use( pass => 'wrong' );
is_deeply(
    $dual_use,
    {
        login_ok => 0,
        reason   => 'invalid',
        message  => 'The login is invalid.',
        fault    => 0,
        wait     => 0,
        service  => 'cpanel'
    },
    'a refused login answer holds nothing'
);

# Where and when a session was redeemed stays with it.
sub place_of {
    my ($one) = @_;
    my $listed = Cpanel::LogMeIn::Session->show( id => $one->{id} ) // {};
    return join q{ }, map { $_ // 'undef' } @{$listed}{qw(address redeemed_at)};
}
at(0);
%ticket = ticket();
my $live = Cpanel::LogMeIn::Session->list( user => 'alice', idle_for => 0 );
my ($fresh) = grep { !$_->{redeemed} } map { $live->() // () } 1 .. 100;
is( place_of($fresh), ' 0', 'a ticket that was not used: no address, no time' );
at(10);
$session = redeem( %ticket, address => '192.0.2.7' );
is( $session->{address},     '192.0.2.7',                    'a redeemed ticket: the address' );
is( $session->{redeemed_at}, $START + 10,                    '... and the time' );
is( place_of($session),      '192.0.2.7 ' . ( $START + 10 ), '... also in the list' );
at(100);
is( check_reason( $session, address => '198.51.100.1' ), 'granted', 'a request from elsewhere' );
is( place_of($session), '192.0.2.7 ' . ( $START + 10 ),             '... leaves them' );

at(0);
my @twins = ticket();
at(3);
my ( undef, $twin ) = map { scalar redeem(@twins) } 1, 2;
at(5);
is( place_of($twin),     '192.0.2.1 ' . ( $START + 3 ), 'two cookies that contend' );
is( check_reason($twin), 'granted',                     '... one is used' );
is( place_of($twin),     '192.0.2.1 ' . ( $START + 3 ), '... and nothing changes' );

at(0);
$dual_use = dual_use();
at(7);
is( check_reason( $dual_use, address => '2001:DB8:0::9' ),
    'granted', 'a dual-use cookie as a cookie' );
at(20);
is(
    place_of( scalar Cpanel::LogMeIn::Session->check( access_of($dual_use) ) ),
    '2001:db8::9 ' . ( $START + 7 ),
    '... was redeemed at its first use, from there'
);
at(0);
$dual_use = dual_use();
at(8);
is(
    redeem( @as_ticket, token => $dual_use->{token}, ticket => $dual_use->{cookie} )->{redeemed_at},
    $START + 8,
    '... as a ticket: likewise'
);

# What is no address is not kept.
for my $bad ( undef, q{}, 'alice', '192.0.2.7, 10.0.0.1', "192.0.2.7\n", '192.0.2.7:80', '::', [] )
{
    at(0);
    my %given = ( ticket(), address => $bad );
    at(9);
    $session = redeem(%given);
    is(
        place_of($session),
        q{ } . ( $START + 9 ),
        'no address: ' . ( $bad // 'undef' ) =~ s/\s/?/gr
    );
}
my $bytes = Stored::durable($site);
ok( index( $bytes, '192.0.2' ) < 0, 'no text of an address is in the store' );
ok( index( $bytes, pack 'n C4', 0xffff, 192, 0, 2, 7 ) >= 0, 'control: its bytes are' );
done_testing();
