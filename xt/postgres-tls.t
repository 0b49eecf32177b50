#!/usr/bin/perl

# A store in PostgreSQL at the end of a network: the server proves by a certificate who it
# is, and by SCRAM that it knows the password. Whoever stands between is refused.

use strict;
use warnings;
use blib;
use lib      qw(t/lib xt/lib);
use Database ();
use Run      qw(answers);
use Servers  qw(certificate ca_file);
use Test::More;
use Test::Cpanel::LogMeIn;

plan skip_all => $_ for Database::lacks(), Servers::lacks('openssl');

my $NAME = 'db.example';
my %pair = (
    good    => [ certificate( 'db',      names => "DNS:$NAME" ) ],
    expired => [ certificate( 'expired', names => "DNS:$NAME", start => -3, end => -1 ) ],
    other   => [ certificate( 'other',   names => 'DNS:other.example' ) ],
    forged  => [ certificate( 'forged',  names => "DNS:$NAME", issuer => 'another' ) ],
);

my $port   = Servers::free_port();
my $server = Database->new( port => $port, listen_addresses => '127.0.0.1' );
my ( $name, $at ) = ( 'logmein', '127.0.0.1/32' );
$server->sql( 'postgres', "CREATE DATABASE $name" );
$server->sql( 'postgres', q{ALTER USER postgres PASSWORD 'root''s'} );
$server->admit( 'local all postgres trust', "hostssl all all $at scram-sha-256" );
$server->reload( $server->tls( @{ $pair{good} } ) );

# URLs for a host whose address is known, so that nobody needs to be asked for it.
my $there = "$NAME:$port/$name?hostaddr=127.0.0.1&sslrootcert=" . ca_file();
my $url   = "postgresql://panel\@$there";
my $admin = "postgresql://postgres\@$there";
my $site  = Test::Cpanel::LogMeIn->new;
my $dir   = $site->dir;
$site->write_file( "$dir/password", "secret of panel\n", oct 600 );
chmod oct 600, "$dir/password" or die $!;
my %usual = (
    store               => $url,
    store_alone         => 'yes',
    store_password_file => "$dir/password",
    key_file            => "$dir/key"
);
$site->settings(%usual);

# A connection by psql with these parameters in place of ours: does it work?
sub connects {
    my (%given) = @_;
    local $ENV{PGPASSWORD} = $given{password} // 'secret of panel';
    my $target = "host=$NAME hostaddr=127.0.0.1 port=$port user=panel dbname=$name $given{how}";
    return system("psql -X -q -A -t -c 'SELECT 1' '$target' >/dev/null 2>&1") == 0;
}

# Refused by us, with a reason, although this server would take the password.
sub refused {
    my ( $what, $why, $how ) = @_;
    answers( 3, qr/postgresql at \Q$NAME\E .*$why.* can't be connected to/,
        $what, qw(session list) );
    return ok( connects( how => $how ), "... control: psql with $how connects" );
}

# Made and used
{
    local $ENV{PGPASSWORD} = q{root's};
    answers( 0, qr/The store is ready/, 'init over TLS', qw(store init --admin), $admin );
}
my ( $ok, undef, $first ) = $site->login;
ok( $ok,                   'a login' ) or diag($Cpanel::LogMeIn::detail);
ok( $site->redeem($first), '... that redeems' );
is(
    $server->sql(
        $name,
        q{SELECT ssl, version FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)}
            . q{ WHERE usename = 'panel'}
    ),
    "t|TLSv1.3\n",
    '... over TLS'
);
like( $server->sql( $name, q{SELECT rolpassword FROM pg_authid WHERE rolname = 'panel'} ),
    qr/\ASCRAM-SHA-256/, '... with SCRAM' );
answers( 0, qr/alice/, 'the command', qw(session list) );

# Passwords
for my $case (
    [ 'another password', "not it\n", qr/password authentication failed/ ],
    [ 'no password file', undef,      qr/no password supplied/ ],
    )
{
    my ( $what, $text, $why ) = @{$case};
    $site->write_file( "$dir/wrong", $text // q{} );
    chmod oct 600, "$dir/wrong" or die $!;
    $site->settings( store_password_file => defined $text ? "$dir/wrong" : undef );
    answers( 3, $why, $what, qw(session list) );
}
$site->settings(%usual);

# Bound to the channel, so that nobody can pass the proof on
$site->settings( store => "$url&channel_binding=require" );
answers( 0, qr/alice/, 'SCRAM that is bound to the channel', qw(session list) );
$server->admit( 'local all postgres trust', "hostssl all all $at password" );
$server->reload;
answers(
    3,
    qr/channel binding required/,
    '... a server that asks for the password itself',
    qw(session list)
);
$site->settings(%usual);
answers( 0, qr/alice/, '... control: without channel_binding it gets it', qw(session list) );
$server->admit( 'local all postgres trust', "hostssl all all $at scram-sha-256" );
$server->reload;

# What a certificate must be
$server->reload( $server->tls( @{ $pair{forged} } ) );
refused( 'a certificate of another CA', qr/certificate verify failed/, 'sslmode=require' );
$server->reload( $server->tls( @{ $pair{expired} } ) );
refused( 'an expired certificate', qr/certificate verify failed/, 'sslmode=require' );
$server->reload( $server->tls( @{ $pair{other} } ) );
refused(
    'a certificate for another name',
    qr/certificate for "other[.]example" does not match host name "\Q$NAME\E"/,
    'sslmode=require'
);
ok(
    connects( how => 'sslmode=verify-ca sslrootcert=' . ca_file() ),
    '... control: and so does one that looks at the CA only'
);
{
    local $ENV{PGPASSWORD} = q{root's};
    answers(
        3,
        qr/does not match host name .* can't be prepared/,
        '... nor is the store made there',
        qw(store init --admin), $admin
    );
    answers(
        3,
        qr/does not match host name .* can't be prepared/,
        '... whatever the URL says of it',
        qw(store init --admin),
        "$admin&sslmode=disable"
    );
}
$server->reload( $server->tls( @{ $pair{good} } ) );
answers( 0, qr/alice/, 'control: the right certificate', qw(session list) );

# Which authorities
$site->settings( store => $url =~ s/&sslrootcert=.*//r );
{
    local $ENV{HOME} = $dir;
    answers( 3, qr/root certificate file .* does not exist/, 'no authorities', qw(session list) );
}
$site->settings( store => $url =~ s/sslrootcert=\K.*/$dir\/none/r );
answers( 3, qr/root certificate file .* does not exist/, '... nor their file', qw(session list) );
$site->settings(%usual);

# A server without TLS, or somebody who answers in its place that it has none
$server->admit( 'local all postgres trust', "host all all $at password" );
$server->reload( ssl => 'off' );
refused( 'a server without TLS', qr/server does not support SSL/, 'sslmode=prefer' );
{
    local $ENV{PGSSLMODE} = 'disable';
    answers( 3, qr/server does not support SSL/, '... with PGSSLMODE, too', qw(session list) );
}
for my $way (qw(sslmode=require sslmode=verify-ca sslmode=prefer ssl=true requiressl=1)) {
    $site->settings( store => "$url&$way" );
    answers( 3, qr/another sslmode than verify-full|not a URL as libpq reads it/,
        $way, qw(session list) );
}
$site->write_file( "$dir/service.conf", "[plain]\nsslmode=disable\n" );
{
    local $ENV{PGSERVICEFILE} = "$dir/service.conf";
    $site->settings( store => "$url&service=plain" );
    answers( 3, qr/server does not support SSL/, '... nor a service file', qw(session list) );
}

# A Unix socket has no TLS, and needs none.
$site->settings( store => "postgresql://panel@/$name?host=$server->{dir}&port=$port" );
$server->admit('local all all trust');
$server->reload;
answers( 0, qr/alice/, 'the same store by a Unix socket', qw(session list) );
done_testing();
