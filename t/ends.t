#!/usr/bin/perl

# The end of sessions by wrong tokens and by changes of the account; list, show,
# revoke and purge; the log.

use strict;
use warnings;
use lib 't/lib';
use Cpanel::LogMeIn::Session ();
use Test::More;
use Test::Cpanel::LogMeIn;
use Logins qw($START at check_reason log_in open_session site);

my $site = site(
    accounts  => { alice => 'secret', bob => 'secret', 'info@alice.example' => 'secret' },
    resellers => ['alice'],
    clock     => $START,
);

sub wrong { my ($number) = @_; return sprintf '/cpsess%010d', $number }

# Three wrong tokens.
my $session = open_session();
is( check_reason( $session, token => wrong(1) ), 'wrong_token', 'a first wrong token' );
is( check_reason( $session, token => wrong(2) ), 'wrong_token', 'a second one' );
is( check_reason($session),                      'granted',     '... and the session lives' );
is( check_reason( $session, token => wrong(3) ), 'wrong_token', 'a third one' );
is( check_reason($session),                      'unknown',     '... and it has ended' );

$session = open_session();
my @harmless = ( '', '/cpsess1', 'cpsess', '/cpsess12345678901', "\0", undef );
for my $token ( @harmless, @harmless, map { wrong(7) } 1 .. 5 ) {
    check_reason( $session, token => $token );
}
is( check_reason($session), 'granted',
    'malformed tokens are no misses, and the same one counts once' );
check_reason( $session, token => wrong($_), uncounted => 1 ) for 1 .. 5;
is( check_reason($session), 'granted', 'nor are those for favicon.ico and the like' );
check_reason( $session, token => wrong($_) ) for 8 .. 9;
is( check_reason($session), 'unknown', 'control: two more, and it has ended' );

# What another site sends is no miss, but after three wrong tokens nothing of it is
# allowed.
$session = open_session();
is( check_reason( $session, foreign => 1 ),
    'granted', 'a request of another site with the right token' );
check_reason( $session, token => wrong($_), foreign => 1 ) for 1, 2, 2, 1;
check_reason( $session, token => $_, foreign => 1 ) for @harmless;
is( check_reason( $session, foreign => 1 ), 'granted', '... also after two wrong ones' );
check_reason( $session, token => wrong(3), foreign => 1 );
is( check_reason( $session, foreign => 1 ), 'wrong_token', '... but not after three' );
is( check_reason($session),                 'granted',     '... which end nothing' );
check_reason( $session, token => wrong($_), foreign => 1 ) for 4 .. 20;
check_reason( $session, token => wrong($_) ) for 21, 22;
is( check_reason($session), 'granted', '... nor do they count as misses' );
is( check_reason( open_session(), foreign => 1 ),
    'granted', '... and other sessions are not concerned' );
check_reason( $session, token => wrong(23) );
is( check_reason($session), 'unknown', 'control: three of its own end it' );

my ( $one, $two ) = ( open_session(), open_session() );
check_reason( $one, token => wrong($_) ) for 1 .. 3;
is( check_reason($two), 'granted', 'another session of the same user lives' );

# A changed account, detected at the next recorded access.
sub with_account {
    my ( $account, $name, $expected, %login ) = @_;
    my $user = $login{user} // 'alice';
    my $kept = $site->{accounts}{$user};
    at(0);
    my $opened = open_session(%login);
    $site->{accounts}{$user} = $account;
    delete $site->{accounts}{$user} if !defined $account;
    $site->write_site;
    at(59);
    is( check_reason($opened), 'granted', "$name: not asked within the minute" );
    at(60);
    is( check_reason($opened), $expected, '... then the answer is: ' . $expected );
    $site->{accounts}{$user} = $kept;
    $site->write_site;
    is(
        check_reason($opened),
        $expected eq 'unknown' ? 'unknown' : 'granted',
        '... and mending it brings back what had not ended'
    );
    return;
}
my $same = Test::Cpanel::LogMeIn::hash_of('secret');
with_account( { hash => $same },               'the same hash',           'granted' );
with_account( 'other',                         'another password',        'unknown' );
with_account( { hash => "!$same" },            'a locked hash',           'unknown' );
with_account( { hash => $same, expires => 1 }, 'an expired account',      'unknown' );
with_account( undef,                           'an account that is gone', 'unknown' );
with_account( { hash => "$same:x" },           'a malformed line',        'fault' );
with_account(
    'other', "a mailbox's new password", 'unknown',
    user    => 'info@alice.example',
    service => 'webmail'
);

at(0);
$session = open_session();
$site->write_file( $site->path('var/cpanel/suspended/alice'), '' );
at(60);
is( check_reason($session), 'unknown', 'a suspended account' );
unlink $site->path('var/cpanel/suspended/alice');
is( check_reason($session), 'unknown', '... whose session has ended for good' );

at(0);
$session = open_session( service => 'whm' );
$site->write_file( $site->path('var/cpanel/resellers'), '' );
at(60);
is( check_reason($session), 'unknown', 'a reseller no more' );
$site->write_site;

at(0);
$session = open_session();
rename $site->path('etc/shadow'), $site->path('etc/moved') or die $!;
at(60);
is( check_reason($session), 'fault', 'a site that cannot be read allows nothing' );
rename $site->path('etc/moved'), $site->path('etc/shadow') or die $!;
is( check_reason($session), 'granted', '... and ends nothing' );

# List, show, revoke.
$site->write_site;
$site->{settings}{store} = "lmdb:$site->{dir}/second";
at(0);
my $sessions = Cpanel::LogMeIn::Session->new;
my @opened   = ( open_session(), open_session( service => 'whm' ), open_session( user => 'bob' ) );
$site->login( user => 'bob' );

sub ids {
    my (%only) = @_;
    my ( @ids, $found );
    my $next = $sessions->list(%only);
    push @ids, $found->{id} while $found = $next->();
    return join ' ', sort @ids;
}
my @id = map { $_->{id} } @opened;
is( ids( user    => 'alice' ), join( ' ', sort @id[ 0, 1 ] ), 'the sessions of one user' );
is( ids( user    => 'alice', service => 'whm' ), $id[1], '... at one service' );
is( ids( service => 'whm' ),                     $id[1], 'those of one service' );
is( ids( user    => 'nobody' ),                  '',     'nobody has none' );
is( ids( user    => 'al' ),                      '',     '... nor has the beginning of a name' );
is( scalar( split / /, ids() ), 4, 'all of them, one not yet redeemed' );
my $bobs     = $sessions->list( user => 'bob' );
my %redeemed = map { $_->{redeemed} => 1 } $bobs->(), $bobs->();
is_deeply( \%redeemed, { 0 => 1, 1 => 1 }, '... which is said' );
is( $sessions->show( id => $id[2] )->{user}, 'bob', 'one of them by its id' );
is( $sessions->show( id => $id[2], user => 'alice' ), undef,
    '... but not as that of another user' );
is( $sessions->show( id => 'x' ), undef, 'an id that is none' );
is( $sessions->revoke( id => $id[2], user => 'alice' ),
    undef, "another user's session is not revoked" );
is( $sessions->revoke( id => $id[2], user => 'bob' )->{id}, $id[2],    'a session is revoked' );
is( check_reason( $opened[2] ),                             'unknown', '... and has ended' );
is( check_reason( $opened[0] ),                             'granted', '... and no other' );
is( $sessions->revoke( id => $id[2] ),                      undef,     '... once' );
like(
    $site->log_text,
    qr/info \[cpaneld\] - PURGE bob:$id[2] operator$/m,
    '... and the log has it'
);

for my $bytes ( 'x', "\377" x 120, "\377" x 128, "\0" x 100 ) {
    ok( !eval { $sessions->_next( $bytes, undef, undef ); 1 },
        'bytes that are not a cursor of a list' );
    like( $@, qr/not a cursor of a list/, '... are an exception' );
}
at(86_400);
is( Cpanel::LogMeIn::Session->new->list->(), undef, 'what has expired is not listed' );

# Purge.
at(0);
open_session() for 1 .. 40;
at(86_401);
my $removed = Cpanel::LogMeIn::Session->purge;
cmp_ok( $removed, '>=', 40 * 2, "a purge removes what has expired: $removed entries" );
is( Cpanel::LogMeIn::Session->purge, 0, '... once' );
at(0);
$session = open_session();
Cpanel::LogMeIn::Session->purge;
is( check_reason($session), 'granted', '... and leaves what lives' );

# A fault while listing is not reported as the end of the list.
chmod oct 750, "$site->{dir}/second" or die $!;
my $said = Test::Cpanel::LogMeIn::in_child(
    sub {
        eval { Cpanel::LogMeIn::Session->new->list->(); 1 } ? 'no exception' : $@;
    }
);
like( $said, qr/\AThe sessions can't be read: .*second/, 'a fault while listing is an exception' );
chmod oct 700, "$site->{dir}/second" or die $!;

# The log.
unlink "$site->{dir}/log";
at(0);
my @who = ( address => '192.0.2.7' );
my ( $ticket, $token ) =
    Test::Cpanel::LogMeIn::parse_url( ( $site->login( remote_addr => '192.0.2.7' ) )[2] );
my @with = ( token => $token, service => 'cpanel', @who );
$session = Cpanel::LogMeIn::Session->redeem( @with, ticket => $ticket );
Cpanel::LogMeIn::Session->redeem( @with, ticket => $ticket );
Cpanel::LogMeIn::Session->redeem( @with, ticket => 'lmt_' . 'x' x 43 );
Cpanel::LogMeIn::Session->check( @with, cookie => $session->{cookie} );
Cpanel::LogMeIn::Session->end( @with, cookie => $session->{cookie} );
$site->login( pass => 'wrong-pass', remote_addr => '192.0.2.7' );
$site->login( user => 'typed-password', pass => 'x', remote_addr => '2001:DB8::1' );
my $log   = $site->log_text;
my @lines = grep { !/\Ainfo TEST / } map { s/\A\[[^]]+\] //r } split /\n/, $log;
like( $log, qr/info TEST test_clock or test_fault is set/, 'a frozen clock is in the log' );
is_deeply(
    \@lines,
    [
        qq{info [cpaneld] 192.0.2.7 - alice "login" SUCCESS LOGIN cpaneld: session $session->{id}},
        "info [cpaneld] 192.0.2.7 NEW alice:$session->{id} ticket",
        "info [cpaneld] 192.0.2.7 REFUSED alice:$session->{id} spent",
        "info [cpaneld] 192.0.2.7 PURGE alice:$session->{id} logout",
        'info [cpaneld] 192.0.2.7 - alice "login" FAILED LOGIN cpaneld: the password is wrong',
        'info [cpaneld] 2001:db8::1 - - "login" FAILED LOGIN cpaneld: there is no such account',
    ],
    'the log has a line for each of these'
);
unlike( $log, qr/lmt_|%3a|wrong-pass|typed-password|cpsess/, '... and no secret in any' );
$site->write_settings( log_unknown_users => 'yes' );
$site->login( user => 'typed-password', pass => 'x' );
like( $site->log_text, qr/typed-password/, 'control: unless it is told to' );
done_testing();
