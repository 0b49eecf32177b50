#!/usr/bin/perl

# /logmein/live, /logmein/health and /logmein/metrics of the gateway: what they say, and
# to whom.

use strict;
use warnings;
use lib 't/lib';
use Gateway    qw(ask cookie_of gateway);
use Prometheus qw(parse_metrics);
use Test::More;
use Test::Cpanel::LogMeIn;

my $site = Test::Cpanel::LogMeIn->new(
    accounts => { alice           => 'secret' },
    settings => { trusted_proxies => '127.0.0.9' }
);
my ( $dir, $root ) = ( $site->dir, $site->root );
my $app = gateway();
my %own = ( REMOTE_ADDR => '127.0.0.1', HTTP_HOST => 'localhost:2083' );

sub health { return ask( $app, '/logmein/health', %own, @_ ) }

# Two numbers of one reading.
sub numbers {
    my $answer = ask( $app, '/logmein/metrics', %own );
    return parse_metrics( $answer->{body} );
}

sub sample {
    my ( $name, $labels ) = @_;
    return numbers()->{"logmein_$name"}{sample}{ "logmein_$name" . ( $labels // q{} ) };
}

# Who may see what
for my $case (
    [ 'a program of this machine', 1, {} ],
    [ '... by IPv6',              1, { REMOTE_ADDR          => '::1', HTTP_HOST => '[::1]:2083' } ],
    [ '... without Host',         1, { HTTP_HOST            => undef } ],
    [ '... by its address',       1, { HTTP_HOST            => '127.0.0.1:2083' } ],
    [ 'another machine',          0, { REMOTE_ADDR          => '192.0.2.7' } ],
    [ 'a trusted proxy',          0, { REMOTE_ADDR          => '127.0.0.9' } ],
    [ 'a page that names itself', 0, { HTTP_HOST            => 'evil.example:2083' } ],
    [ 'an invalid Host',          0, { HTTP_HOST            => 'a b' } ],
    [ 'a proxy on this machine',  0, { HTTP_X_FORWARDED_FOR => '127.0.0.1' } ],
    [ '... that names the scheme',  0, { HTTP_X_FORWARDED_PROTO => 'https' } ],
    [ '... by the standard header', 0, { HTTP_FORWARDED         => 'for=127.0.0.1' } ],
    [ '... by another header',      0, { HTTP_X_REAL_IP         => '127.0.0.1' } ],
    [ '... that names itself',      0, { HTTP_VIA               => '1.1 proxy' } ],
    [ 'no address',                 0, { REMOTE_ADDR            => undef } ],
    )
{
    my ( $name, $is_trusted, $env ) = @{$case};
    my %env = ( %own, %{$env} );
    delete @env{ grep { !defined $env{$_} } keys %env };
    is( ask( $app, '/logmein/metrics', %env )->{status}, $is_trusted ? 200 : 404,
        "$name: numbers" );
    rename "$root/etc/shadow", "$root/etc/away" or die $!;
    is(
        ask( $app, '/logmein/health', %env )->{body},
        $is_trusted ? "fault site\n" : "fault\n",
        '... a fault'
    );
    rename "$root/etc/away", "$root/etc/shadow" or die $!;
    is( ask( $app, '/logmein/live', %env )->{body}, "ok\n", '... life' );
}

# Each part
my ($key) = Cpanel::LogMeIn::Session->setting(q{key_file});
my %spoil = (
    site     => sub { rename "$root/etc/shadow", "$root/etc/away" },
    key      => sub { rename $key,               "$key.away" },
    settings => sub { $site->write_file( $ENV{LOGMEIN_CONF}, "nonsense\n" ); 1 },
    log      => sub { rename "$dir/log", "$dir/log.away";                    mkdir "$dir/log" },
);
my $conf = do { open my $in, '<', $ENV{LOGMEIN_CONF} or die $!; local $/ = undef; readline $in };
my %mend = (
    site     => sub { rename "$root/etc/away", "$root/etc/shadow" },
    key      => sub { rename "$key.away",      $key },
    settings => sub { $site->write_file( $ENV{LOGMEIN_CONF}, $conf ); 1 },
    log      => sub { rmdir "$dir/log"; rename "$dir/log.away", "$dir/log" },
);
is( health()->{body}, "ok\n", 'all is well' );
for my $part ( sort keys %spoil ) {
    my $is_fault = $part =~ /\A(?:site|key)\z/;
    ok( $spoil{$part}->(), "spoil: $part" );
    my $answer = health();
    is( $answer->{status}, $is_fault ? 503             : 200,                  '... the status' );
    is( $answer->{body},   $is_fault ? "fault $part\n" : "ok warning $part\n", '... the word' );
    is( sample( healthy => qq({part="$part"}) ), 0,   '... a number says so' );
    is( ask( $app, '/logmein/live' )->{status},  200, '... it lives' );
    ok( $mend{$part}->(), '... mended' );
    is( health()->{body},                        "ok\n", '... all is well' );
    is( sample( healthy => qq({part="$part"}) ), 1,      '... the number, too' );
}
$spoil{$_}->() for qw(key log settings site);
is( health()->{body}, "fault key site warning settings log\n", 'everything at once' );
$mend{$_}->() for qw(key log settings site);

# A key that is not the store's
rename $key, "$key.away" or die $!;
$site->write_file( $key, 'x' x 32 );
chmod 0600, $key;
is( health()->{body}, "fault key\n", 'the key of another store' );
rename "$key.away", $key or die $!;
is( health()->{body}, "ok\n", '... and this one\'s again' );

# What is counted, by how much
sub differs_by {
    my ( $name, $labels, $job ) = @_;
    my $before = sample( $name, $labels );
    $job->();
    return sample( $name, $labels ) - $before;
}

sub log_in {
    my ( $user, $pass ) = @_;
    return ask( $app, '/login/', form => "user=$user&pass=$pass" );
}
my $login;
my $bare = Plack::App::LogMeIn->new;
$bare->prepare_app;
for my $case (
    [ 'a login',          ok        => sub { $login = log_in( 'alice', 'secret' ) } ],
    [ 'a wrong password', invalid   => sub { log_in( 'alice', 'wrong' ) } ],
    [ 'an invalid name',  parameter => sub { log_in( 'a%2fb', 'x' ) } ],
    [ 'no name',          parameter => sub { log_in( q{},     'x' ) } ],
    [ 'waits',            wait      => sub { log_in( 'alice', 'wrong' ) for 1 .. 5 } ],
    [ 'no slot for it',   busy      => sub { $bare->refusal( env(), 503 ) } ],
    [ 'no other refusal', busy      => sub { $bare->refusal( env(), 400 ) } ],
    [
        'a fault',
        fault => sub {
            rename "$root/etc/shadow", "$root/etc/away";
            log_in( 'alice', 'secret' );
            rename "$root/etc/away", "$root/etc/shadow";
        }
    ],
    )
{
    my ( $name, $reason, $job ) = @{$case};
    my $want = $name eq 'no other refusal' ? 0 : $name eq 'waits' ? 3 : 1;
    is( differs_by( logins_total => qq({service="cpanel",reason="$reason"}), $job ),
        $want, "$name counts" );
}
is( sample( faults_total => '{code="SITE"}' ),       1, 'the fault\'s code' );
is( sample( faults_total => '{code="STORE"}' ),      0, '... and no other' );
is( sample( sessions     => '{service="cpanel"}' ),  1, 'one session lives' );
is( sample( sessions     => '{service="webmail"}' ), 0, '... of this service alone' );
is( numbers()->{logmein_login_wait_seconds}{sample}{logmein_login_wait_seconds_count},
    3, 'each wait' );
my $login_count = numbers()->{logmein_login_duration_seconds}{sample};
is( $login_count->{logmein_login_duration_seconds_count}, 9, 'each login took a time' );
cmp_ok( $login_count->{logmein_login_duration_seconds_sum}, '>', 0, '... some time' );

my ($token) = map { /\A(\/cpsess[0-9]{10})/ } Gateway::header_of( $login, 'Location' );
my %by_cookie = ( HTTP_COOKIE => cookie_of($login) );
is(
    differs_by(
        checks_total => '{outcome="granted"}',
        sub { ask( $app, "$token/x", %by_cookie ) }
    ),
    1,
    'a check counts'
);
is(
    differs_by(
        checks_total => '{outcome="wrong_token"}',
        sub { ask( $app, '/cpsess0000000000/x', %by_cookie ) }
    ),
    1,
    '... by its outcome'
);
is(
    differs_by(
        checks_total => '{outcome="unknown"}',
        sub { health() for 1 .. 3; log_in( 'x', 'y' ) }
    ),
    0,
    'neither health nor logins count as checks'
);
my ( undef, undef, $url ) = $site->login;
$site->forget;
( undef, undef, $url ) = $site->login;
my ($target) = $url =~ m{\Ahttps://[^/]+(.*)\z};
is( differs_by( redemptions_total => '{outcome="granted"}', sub { ask( $app, $target ) } ),
    1, 'a redemption counts' );
is(
    differs_by(
        redemptions_total => '{outcome="spent"}',
        sub { ask( $app, $target, HTTP_USER_AGENT => 'Other/1' ) }
    ),
    1,
    '... by its outcome'
);

# Processes forked later count together, also those of handles like it.
is(
    differs_by(
        logins_total => '{service="cpanel",reason="invalid"}',
        sub {
            Test::Cpanel::LogMeIn::in_child( sub { log_in( 'nobody', 'x' ); return 1 } ) for 1 .. 3;
            my $other = gateway();
            ask( $other, '/login/', form => 'user=nobody2&pass=x' );
        }
    ),
    4,
    'other processes, and another gateway'
);

# The parser is strict.
my $good = ask( $app, '/logmein/metrics', %own )->{body};
ok( eval { parse_metrics($good) }, 'the whole text is valid' ) or diag($@);
for my $wrong (
    [ 'no line end',       sub { s/\n\z// } ],
    [ 'no TYPE',           sub { s/^# TYPE logmein_sessions .*\n//m } ],
    [ 'no HELP',           sub { s/^# HELP logmein_sessions .*\n//m } ],
    [ 'a counter\'s name', sub { s/checks_total/checks/g } ],
    [ 'no last bucket',    sub { s/^logmein_check_\w+_bucket\{le="\+Inf"\}.*\n//m } ],
    [ 'another count',     sub { s/^(logmein_check_\w+_count) .*/$1 123456/m } ],
    [ 'no sum',            sub { s/^logmein_check_\w+_sum .*\n//m } ],
    [ 'buckets that fall', sub { s/^(logmein_check_\w+_bucket\{le="5e-05"\}) .*/$1 99999/m } ],
    [ 'a sample twice',    sub { s/^(logmein_sessions\{.*\n)/$1$1/m } ],
    [ 'a label unquoted',  sub { s/part="log"/part=log/ } ],
    [ 'a value in words',  sub { s/^(logmein_log_lost_lines_total) .*/$1 many/m } ],
    )
{
    my ( $name, $spoil ) = @{$wrong};
    local $_ = $good;
    $spoil->();
    isnt( $_, $good, "control: $name" );
    ok( !eval { parse_metrics($_) }, '... is refused' );
}

# The path
is( ask( $app, '/logmein/metrics/',  %own )->{status}, 401, 'no other path' );
is( ask( $app, '/logmein/metrics?x', %own )->{status}, 200, 'a query is ignored' );

sub env { return Gateway::env_of('/login/') }

done_testing;
