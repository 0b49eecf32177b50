#!/usr/bin/perl

# Functions for gateways, other than redeeming and checking.

use strict;
use warnings;
use Cpanel::LogMeIn::Session ();
use lib 't/lib';
use SettingsFile qw(forget_settings);
use Test::More;
use Test::Cpanel::LogMeIn;

my $site = Test::Cpanel::LogMeIn->new(
    accounts => { alice      => 'secret',  bob  => 'secret' },
    settings => { page_title => 'A title', hsts => 300 },
);

# Settings.
my %setting = Cpanel::LogMeIn::settings();
is( $setting{site_root},      $site->root, 'a setting of the file' );
is( $setting{page_title},     'A title',   '... a text' );
is( $setting{hsts},           300,         '... a number' );
is( $setting{'port.whm'},     2087,        'a default' );
is( $setting{site_hostnames}, 'yes',       '... a switch' );
is( $setting{accounts},       q{},         '... one that is unset' );
is( $setting{test_clock},     q{},         '... and another' );
is( scalar keys %setting,     42,          'all of them' );
$site->settings( hsts => 'no', accounts => 'cpanel', test_clock => 1_700_000_000 );
%setting = Cpanel::LogMeIn::settings();
is_deeply(
    [ @setting{qw(hsts accounts test_clock)} ],
    [ 'no', 'cpanel', 1_700_000_000 ],
    'as the file has them'
);
$site->settings( test_clock => undef );
forget_settings($site);
$site->write_settings( colour => 'blue' );
is_deeply( [ Cpanel::LogMeIn::settings() ], [], 'an invalid file has none' );
like( $Cpanel::LogMeIn::detail, qr/unknown key/, '... and the reason is reported' );
$site->write_settings;

# goto_uri
is( Cpanel::LogMeIn::goto_uri('a b?c=d#e'), '/a%20b?c=d#e', 'a canonical goto_uri' );
is( Cpanel::LogMeIn::goto_uri(undef),       q{/},           '... of nothing' );
is( Cpanel::LogMeIn::goto_uri($_),          undef,          "none: $_" )
    for '//x', 'https://x', '/a/../b', '/?session=1';
like( $Cpanel::LogMeIn::detail, qr/named session/, '... and the reason is reported' );

# serves
ok( Cpanel::LogMeIn::Session->serves($_), "$_ is this machine's" )
    for qw(localhost LOCALHOST. 127.0.0.1 [::1] alice.example www.alice.example host.example);
ok( !Cpanel::LogMeIn::Session->serves($_), ( $_ // 'undef' ) . ' is not' )
    for 'evil.example', 'localhost.evil.example', 'localhost:2083', 'alice.example/x', q{}, "a\nb",
    undef, [];
rename $site->path('etc/userdomains'), $site->path('etc/kept') or die $!;
mkdir $site->path('etc/userdomains') or die $!;
ok( !eval { Cpanel::LogMeIn::Session->serves('evil.example'); 1 }, 'a fault is an exception' );
rmdir $site->path('etc/userdomains') or die $!;
rename $site->path('etc/kept'), $site->path('etc/userdomains') or die $!;

# discard
my $url = ( $site->login )[2];
my ($ticket) = Test::Cpanel::LogMeIn::parse_url($url);
ok( Cpanel::LogMeIn::Session->discard($ticket), 'a ticket is discarded' );
is( ( $site->redeem($url) )[1], 'unknown', '... and opens nothing' );
ok( !Cpanel::LogMeIn::Session->discard($_), 'what is no ticket is not' ) for $ticket, 'x', undef;
my $answer = Cpanel::LogMeIn::Session->log_in(
    user     => 'alice',
    pass     => 'secret',
    hostname => 'localhost',
    service  => 'cpanel'
);
ok( Cpanel::LogMeIn::Session->discard( $answer->{cookie} ),
    'an unused dual-use cookie is discarded' );
is(
    (
        Cpanel::LogMeIn::Session->check(
            cookie  => $answer->{cookie},
            token   => $answer->{token},
            service => 'cpanel'
        )
    )[1],
    'unknown',
    '... of any use'
);
my $session = url_redeems_ok( scalar login_ok( {}, 'a session' ), 'that is opened' );
ok( !Cpanel::LogMeIn::Session->discard( $session->{cookie} ), 'a used cookie is not a ticket' );
session_ok( $session, '... and its session lives' );

$url     = ( $site->login )[2];
$session = $site->redeem($url);
ok( Cpanel::LogMeIn::Session->discard( ( Test::Cpanel::LogMeIn::parse_url($url) )[0] ),
    'a spent ticket' );
session_ended_ok( $session, '... ends with its session' );
$session = url_redeems_ok( scalar login_ok( {}, 'another session' ), 'that is opened' );

# log_in_by_url
$answer = Cpanel::LogMeIn::Session->log_in_by_url(
    user     => 'alice',
    pass     => 'secret',
    hostname => 'other.example',
    service  => 'cpanel',
    goto_uri => '/x'
);
like(
    $answer->{url},
    qr{\Ahttps://other[.]example:2083\Q$answer->{token}\E/x[?]session=lmt_},
    'a login by URL'
);
ok( !exists $answer->{cookie}, '... has no cookie' );
url_redeems_ok( $answer->{url}, '... and opens' );

# address_in
for my $case (
    [ '192.0.2.7',          '192.0.2.7',                 1 ],
    [ '192.0.2.7',          '198.51.100.1 192.0.2.0/24', 1 ],
    [ '::ffff:192.0.2.7',   '192.0.2.0/24',              1 ],
    [ '2001:db8::1',        '2001:db8::/32',             1 ],
    [ '192.0.3.7',          '192.0.2.0/24',              q{} ],
    [ '192.0.2.7',          q{},                         q{} ],
    [ "192.0.2.7\n",        '192.0.2.7',                 q{} ],
    [ '192.0.2.7, 1.2.3.4', '192.0.2.7',                 q{} ],
    [ undef,                '192.0.2.7',                 q{} ],
    )
{
    my ( $address, $list, $in ) = @{$case};
    is( Cpanel::LogMeIn::address_in( $address, $list ),
        $in, ( $address // 'no address' ) . " in '$list'" );
}

# A local process that logs in through the gateway
$site->{waits} = 1;

sub ask_as {
    return Cpanel::LogMeIn::Session->log_in( hostname => 'localhost', service => 'cpanel', @_ );
}
my %right = ( user => 'alice', pass => 'secret', caller_uid => 33 );
ok( ask_as(%right)->{login_ok}, 'a login for user 33' );
like( $site->log_text, qr/alice "login by uid 33" SUCCESS LOGIN/, '... is logged as such' );
ask_as( user => "nobody$_", pass => 'x', caller_uid => 33 ) for 1 .. 31;
cmp_ok( ask_as(%right)->{wait}, '>', 0, 'thirty failures of user 33 make it wait, known or not' );
is( ask_as( %right, caller_uid  => 34 )->{wait}, 0, '... but not user 34' );
is( ask_as( %right, remote_addr => '192.0.2.7' )->{wait},
    0, '... nor a browser whose address it passes' );
$site->forget;

# end without a token
my %who = ( cookie => $session->{cookie}, service => 'cpanel' );
is( ( Cpanel::LogMeIn::Session->check( %who, any_token => 1 ) )[1],
    'wrong_token', 'a check needs its token, in spite of any_token' );
is( ( Cpanel::LogMeIn::Session->end(%who) )[1], 'wrong_token', 'so does an end' );
is( ( Cpanel::LogMeIn::Session->end( %who, service => 'whm', any_token => 1 ) )[1],
    'wrong_service', '... and its service' );
is( ( Cpanel::LogMeIn::Session->end( %who, any_token => 1 ) )[1],
    'granted', '... unless any_token is set' );
session_ended_ok( $session, '... and the session has ended' );
done_testing();
