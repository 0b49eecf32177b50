#!/usr/bin/perl

# `logmein key`: a new key, the old one beside it, and when that may go.

use strict;
use warnings;
use Cpanel::LogMeIn::Session ();
use JSON::PP                 ();
use Test::Cpanel::LogMeIn    ();
use Test::More;
use Time::HiRes qw(sleep);
use lib 't/lib';
use AtOnce qw(at_once);
use Logins qw(access_of check_reason log_in open_session redeem site);
use Run    qw(logmein);

my $DAY   = 86_400;
my $NOW   = time;
my $site  = site( waits => 1 );
my $store = "$site->{dir}/store";
my @known = ( remote_addr => '192.0.2.9' );
my ( $key, $old ) = ( "$store/key", "$store/key.old" );

sub bytes_of {
    my ($path) = @_;
    open my $file, '<:raw', $path or return 'none';
    local $/ = undef;
    return scalar readline $file;
}

sub keys_now {
    return join q{ }, map { unpack 'H*', bytes_of($_) } $key, $old;
}

sub status { return JSON::PP::decode_json( logmein(qw(key status --json))->{out} ) }

sub is_refused {
    my ( $status, $like, @arguments ) = @_;
    my $before = keys_now();
    my $answer = logmein(@arguments);
    is( $answer->{status}, $status, "'@arguments': status $status" ) or diag( $answer->{err} );
    like( $answer->{err} =~ s/\s+/ /gr, $like, '... a sentence' );
    is( keys_now(), $before, '... nothing changes' );
    return;
}

sub done_well {
    my ( $name, @arguments ) = @_;
    my $answer = logmein(@arguments);
    is( $answer->{status}, 0,   $name ) or diag( $answer->{err} );
    is( $answer->{err},    q{}, '... without a message' );
    return $answer->{out} =~ s/\s+/ /gr;
}

sub is_known {
    return Cpanel::LogMeIn::Session->is_known( user => 'alice', address => '192.0.2.9' );
}

# Sets the clock so many seconds after now.
sub at { my ($seconds) = @_; $site->write_settings( test_clock => $NOW + $seconds ); return }

for my $word (qw(status rotate retire)) {
    is_refused( 3, qr/there is no store/, 'key', $word );
}
$site->login(@known);
my $session = open_session();
my %fresh   = log_in();
my %spent   = ( log_in(), address => '192.0.2.7', agent => 'Browser' );
redeem(%spent);
my $server = Cpanel::LogMeIn::Session->new;
is( ( $server->check( access_of($session) ) )[1], 'granted', 'a server has the store open' );
is_refused( 1, qr/there is no old key/, qw(key retire) );
like(
    done_well( 'status', qw(key status) ),
    qr/\AKEY FILE MADE AGE present \Q$key\E \S+ \S+ 0 minutes \z/,
    '... the key'
);
is( status()->{needed}, JSON::PP::false(), '... in JSON: no old one is needed' );
is( status()->{$_},     undef,             "... $_ is null" )
    for qw(old_path old_made rotated sessions known needed_until);

# A rotation.
my $first = bytes_of($key);
like(
    done_well( 'rotate', qw(key rotate) ),
    qr/\Q$key\E is the new key.*No line in the settings is needed.*It may go after 2/,
    '... says what is to be done'
);
isnt( bytes_of($key), $first, '... there is a new key' );
is( bytes_of($old),                               $first,    '... and the old one' );
is( ( stat $_ )[2] & oct 777,                     oct 600,   '... closed' ) for $key, $old;
is( length bytes_of($key),                        32,        '... of 32 bytes' );
is( check_reason($session),                       'granted', 'a session from before' );
is( ( $server->check( access_of($session) ) )[1], 'granted', '... at the server' );
my $after = open_session();
is( ( $server->check( access_of($after) ) )[1],
    'granted', 'a session made with the new key, there' );
my ($renewed) = redeem(%fresh);
ok( $renewed, 'a ticket from before' );
is( ( redeem(%spent) )[1], 'granted', 'a double click' );
ok( is_known(), 'a known source' );
my $state = status();
cmp_ok( $state->{sessions}, '>', 2, "$state->{sessions} tickets and cookies need the old key" );
is( $state->{known},    1,    '... and the source' );
is( $state->{old_path}, $old, '... it is there' );
cmp_ok( abs( $state->{rotated} - time ),                  '<', 60, '... since now' );
cmp_ok( abs( $state->{needed_until} - time - 30 * $DAY ), '<', 60, '... until in 30 days' );
ok( $state->{needed}, '... and is needed' );
is_refused( 1, qr/is needed until .* by [0-9]+ tickets and cookies and 1 known sources/,
    qw(key retire) );
is_refused( 1, qr/is the key before this one/, qw(key rotate) );

# When the sessions are over, the source remains; then the waits; then nothing does.
at( $DAY + 60 );
is( status()->{sessions}, 0, 'a day later no session needs it' );
is( status()->{known},    1, '... but the source' );
is_refused( 1, qr/by 1 known sources[.]/, qw(key retire) );
at( 31 * $DAY );
is( status()->{needed}, JSON::PP::false(), 'a month later nothing does' );
like( done_well( '... says status', qw(key status) ), qr/Nothing needs the old key/, '...' );
my $present = bytes_of($key);
done_well( 'retire', qw(key retire) );
ok( !-e $old, '... it is gone' );
is( bytes_of($key), $present, '... and the key stays' );
$site->settings( test_clock => undef );
is( check_reason($after),   'granted', 'a session of the present key is good' );
is( check_reason($session), 'unknown', 'control: one of the old key is not' );

# By force; what is lost is said before.
done_well( 'another rotation', qw(key rotate) );
is( check_reason($after), 'granted', '... keeps the session' );
is_refused( 1, qr/--force/, qw(key retire) );
done_well( '... retired by force', qw(key retire --force) );
is( check_reason($after), 'unknown', '... ends it' );

# Where only the waits need it, in a store without anything else: a day.
$site->settings( store => "lmdb:$site->{dir}/waits" );
$site->login( user => 'nobody', pass => 'x' );
done_well( 'a rotation that only waits need', qw(key rotate) );
my $needs = status();
is( "@{$needs}{qw(sessions known)}", '0 0', 'no session and no source needs the old key' );
$NOW = time;
$site->settings( test_clock => $NOW + $DAY - 300 );
ok( status()->{needed}, 'in less than a day it is needed' );
is_refused( 1, qr/is needed until/, qw(key retire) );
$site->settings( test_clock => $NOW + $DAY + 300 );
ok( !status()->{needed}, '... and then no more' );
$site->settings( test_clock => undef, store => undef );
done_well( 'a rotation', qw(key rotate) );

# Interrupted between its steps: both are the same, and the next one goes on.
done_well( 'retired', qw(key retire --force) );
$session = open_session();
system( 'cp', '-p', $key, $old ) == 0 or die 'cp';
ok( status()->{unfinished}, 'an interrupted rotation is seen' );
like( done_well( '... and said', qw(key status) ), qr/was interrupted: run/, '...' );
is( check_reason($session), 'granted', '... and harms nobody' );
$first = bytes_of($key);
done_well( '... goes on', qw(key rotate) );
is( bytes_of($old), $first, '... with the same old key' );
isnt( bytes_of($key), $first, '... and a new one' );
is( check_reason($session), 'granted', '... keeps the session' );

# key_file_old is set: the line goes first.
$site->settings( key_file_old => $old );
is_refused( 1, qr/'key_file_old' names \Q$old\E: take it out/, qw(key retire --force) );
unlink $old or die $!;
is_refused( 3, qr/is not there/, qw(key rotate) );
system( 'cp', '-p', $key, $old ) == 0 or die 'cp';
like(
    done_well( 'a rotation with key_file_old', qw(key rotate) ),
    qr/'key_file_old' names it already/,
    '... says so'
);
$site->settings( key_file_old => undef );
done_well( '... and without', qw(key retire --force) );

# Bad input, and files that are not as they must be.
for my $case (
    [ 2, qr/'key' needs a word/,        'key' ],
    [ 2, qr/Unknown word 'make'/,       'key', 'make' ],
    [ 2, qr/Unknown word ''/,           'key', q{} ],
    [ 2, qr/Unexpected argument 'x'/,   'key', 'rotate', 'x' ],
    [ 2, qr/Unexpected argument/,       'key', 'retire', q{} ],
    [ 2, qr/Unexpected argument/,       'key', 'status', 'x' ],
    [ 2, qr/Unknown option: force/,     'key', 'status', '--force' ],
    [ 2, qr/does not take an argument/, 'key', 'retire', '--force=1' ],
    [ 2, qr/Unknown option/,            'key', 'rotate', '--forc' ],
    [ 2, qr/requires an argument/,      'key', 'rotate', '--config' ],
    [ 3, qr/is missing/,                'key', 'rotate', '--config', '/none' ],
    )
{
    is_refused( @{$case} );
}
$site->login;
for my $case (
    [ qr/is open to others/,       sub { chmod oct 644,  $_[0] } ],
    [ qr/32 bytes/,                sub { truncate $_[0], 31 } ],
    [ qr/more than one hard link/, sub { link $_[0],     "$_[0]-x" } ],
    [
        qr/is not a regular file|can't be opened|link/,
        sub { unlink $_[0]; symlink "$store/k", $_[0] }
    ],
    [ qr/missing|is not there/, sub { unlink $_[0] } ],
    [ qr/is not the key/,       sub { $site->write_file( $_[0], 'x' x 32, oct 600 ) } ],
    )
{
    my ( $like, $damage ) = @{$case};
    system( 'cp', '-p', $key, "$store/k" ) == 0 or die 'cp';
    $damage->($key);
    is_refused( 3, $like, qw(key rotate) );
    unlink "$key-x", $key;
    rename "$store/k", $key or die $!;
}
my $stray = $site->write_file( $old, 'short', oct 600 );
is_refused( 3, qr/32 bytes/, qw(key rotate) );
unlink $old or die $!;
done_well( 'control: all is well again', qw(key status) );

# Under load: a server that keeps its settings, programs that log in, and the command.
my $WORKERS = 3;
my $end     = "$site->{dir}/end";

sub use_sessions {
    my ( $lost, $round ) = ( 0, 0 );
    my $kept = Cpanel::LogMeIn::Session->new;
    until ( -e $end ) {
        my $one = open_session();
        $lost += !$one || ( $kept->check( access_of($one) ) )[1] ne 'granted';
        $lost += !$one || check_reason($one) ne 'granted';
        my %ticket = log_in();
        $lost += !$kept->redeem(%ticket);
        $kept->end( access_of($one) ) if $one;
        $round++;
    }
    return $round > 10 ? "lost $lost" : "only $round rounds";
}

# A key goes when no session is left of it: servers follow within a second.
sub rotate_often {
    my @done;
    for ( 1 .. 3 ) {
        sleep 0.5;
        push @done, logmein(qw(key rotate))->{status};
        sleep 1.5;
        push @done, logmein(qw(key retire --force))->{status};
    }
    $site->write_file( $end, q{} );
    return "done @done";
}
$site->settings( sessions_max => 10_000 );
my ( $well, @lines ) = at_once(
    $WORKERS + 1,
    sub {
        my ($worker) = @_;
        return $worker > $WORKERS ? rotate_often() : use_sessions();
    }
);
is_deeply(
    [ sort @lines ],
    [ 'done ' . join( q{ }, (0) x 6 ), ('lost 0') x $WORKERS ],
    'three rotations under load, and no session is lost'
);
done_testing();
