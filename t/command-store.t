#!/usr/bin/perl

# `logmein store`: backups, and moving to a new store.

use strict;
use warnings;
use Cpanel::LogMeIn::Session ();
use Digest::SHA              ();
use File::Find               ();
use File::Path               qw(make_path remove_tree);
use POSIX                    ();
use Test::Cpanel::LogMeIn    ();
use Test::More;
use Time::HiRes qw(sleep);
use lib 't/lib';
use AtOnce qw(at_once);
use Logins qw(access_of check_reason log_in open_session redeem site);
use Run    qw(forked logmein);

# More logins of one user than usually live together.
my $site   = site( waits => 1, settings => { attempts_max => 4, sessions_max => 10_000 } );
my $dir    = $site->{dir};
my $store  = "$dir/store";
my @known  = ( remote_addr => '192.0.2.9' );
my @others = ( remote_addr => '198.51.100.1' );
$ENV{LOGMEIN_CONF} or die 'no settings';

# What lies in a folder: names, modes, and digests of what is no file of LMDB's own locks.
sub contents {
    my ($folder) = @_;
    my %is;
    File::Find::find(
        {
            no_chdir => 1,
            wanted   => sub {
                return if /lock|volatile/ || !lstat;
                $is{$_} = sprintf '%o %s', ( lstat _ )[2],
                    -f _ ? Digest::SHA->new(256)->addfile($_)->hexdigest : q{};
            }
        },
        $folder
    );
    return \%is;
}

sub is_refused {
    my ( $status, $like, $name, @arguments ) = @_;
    my $before = contents($dir);
    my $answer = logmein(@arguments);
    is( $answer->{status}, $status, "$name: status $status" ) or diag( $answer->{err} );
    like( $answer->{err}, $like, '... a sentence' );
    is( $answer->{out}, q{}, '... nothing else' );
    is_deeply( contents($dir), $before, '... nothing changes' );
    return;
}

# Nobody is locked out where the name is known, which is the store's memory.
sub is_known {
    return Cpanel::LogMeIn::Session->is_known( user => 'alice', address => '192.0.2.9' );
}

sub done_well {
    my ( $name, @arguments ) = @_;
    my $answer = logmein(@arguments);
    is( $answer->{status}, 0,   $name ) or diag( $answer->{err} );
    is( $answer->{err},    q{}, '... without a message' );
    return $answer;
}

is_refused( 3, qr/there is no store/, 'backup of no store', 'store', 'backup', "$dir/b0" );

$site->login(@known);
my $session = open_session();
my %fresh   = log_in();
ok( is_known(), 'control: a known source' );

# A backup, while others log in.
my ( $well, @lines ) = at_once(
    3,
    sub {
        my ($worker) = @_;
        return logmein( qw(store backup --json), "$dir/live" )->{status} if $worker == 3;
        for ( 1 .. 10 ) { open_session( user => 'alice', @known ) or return 'no session' }
        return 0;
    }
);
is( $well, 3, 'a backup while others log in' );
is_deeply( \@lines, [ 0, 0, 0 ], '... and all went well' );
my $answer = done_well( 'a backup', qw(store backup), "$dir/backup" );
like( $answer->{out}, qr/\AThe key and 1 known source are in \S+backup[.]\n\z/, '... says what' );
is_deeply( [ map { s{.*/}{}r } sort glob "$dir/backup/*" ], [qw(key known)], '... two files' );
is( ( stat "$dir/backup" )[2] & oct 777,    oct 700,      '... in a closed folder' );
is( ( stat "$dir/backup/$_" )[2] & oct 777, oct 600,      "... $_ is closed" ) for qw(key known);
is( -s "$dir/backup/known",                 16 + 49 + 73, '... nothing but the source' );

# Restored into the same store it is refused; by force all sessions end.
is_refused(
    1,
    qr/there is a store already/,
    'a store that exists',
    qw(store restore),
    "$dir/backup"
);
is( check_reason($session), 'granted', 'control: the session lives' );
my $pinned = Cpanel::LogMeIn::Session->new;
is( ( $pinned->check( access_of($session) ) )[1], 'granted', '... for a server, too' );
$answer = done_well( 'restored by force', qw(store restore --force --json), "$dir/backup" );
like( $answer->{out}, qr/"known" : 1\b/, '... says how much' );
is( check_reason($session),                       'unknown', '... and no session is back' );
is( ( $pinned->check( access_of($session) ) )[1], 'unknown', '... for a server, too' );
is( ( redeem(%fresh) )[1],                        'unknown', '... nor a ticket' );
ok( is_known(),     '... but the known source is' );
ok( open_session(), '... and logins are good' );

# Into a store that does not exist.
remove_tree($store);
done_well( 'restored into no store', qw(store restore), "$dir/backup" );
ok( is_known(),     '... the source is known' );
ok( open_session(), '... and logins are good' );

# Another key in the place of the store's.
remove_tree($store);
$site->login;
my $other = contents($store)->{"$store/key"};
unlink "$store/data.mdb" or die $!;
is_refused( 1, qr/another key than the backup's/, 'another key', qw(store restore), "$dir/backup" );
done_well( '... replaced by force', qw(store restore --force), "$dir/backup" );
isnt( contents($store)->{"$store/key"}, $other, '... it is another one' );
is(
    contents($store)->{"$store/key"},
    contents("$dir/backup")->{"$dir/backup/key"},
    '... the backup\'s'
);
ok( is_known(), '... the source is known' );

# With an old key: what it has made is known, and stays so.
done_well( 'a rotation', qw(key rotate) );
done_well( 'a backup with an old key', qw(store backup), "$dir/two" );
ok( -e "$dir/two/key.old", '... has both' );
remove_tree($store);
done_well( '... restored', qw(store restore), "$dir/two" );
ok( is_known(), '... the source is known' );
remove_tree($store);
make_path( $store, { mode => oct 700 } );
done_well( '... and in an empty folder',         qw(store restore),         "$dir/two" );
done_well( '... without old key, over one with', qw(store restore --force), "$dir/backup" );
ok( !-e "$store/key.old", '... the old key does not stay' );

# Damaged backups: each byte counts.
sub damaged {
    my ( $name, $damage ) = @_;
    remove_tree("$dir/bad");
    system( 'cp', '-pr', "$dir/two", "$dir/bad" ) == 0 or die 'cp';
    $damage->("$dir/bad");
    is_refused( 3, qr/damaged|is not|is open|can be changed|32 bytes/,
        $name, qw(store restore --force), "$dir/bad" );
    return;
}

sub change_byte {
    my ( $path, $at ) = @_;
    open my $file, '+<:raw', $path or die "$path: $!";
    seek $file, $at, 0 or die $!;
    read $file, my $byte, 1;
    seek $file, $at, 0 or die $!;
    print {$file} chr( 255 & ~ord $byte );
    return close $file;
}
my $size = -s "$dir/two/known";
for my $at ( 3, 20, 50, 57, 66, 70, 90, $size - 1 ) {
    damaged( "byte $at changed", sub { change_byte( "$_[0]/known", $at ) } );
}
damaged( 'a part of it',    sub { truncate "$_[0]/known", 40 or die $! } );
damaged( 'more of it',      sub { open my $f, '>>', "$_[0]/known" or die $!; print {$f} 'x' } );
damaged( 'nothing of it',   sub { truncate "$_[0]/known", 0 or die $! } );
damaged( 'no known',        sub { unlink "$_[0]/known" } );
damaged( 'no key',          sub { unlink "$_[0]/key" } );
damaged( 'no old key',      sub { unlink "$_[0]/key.old" } );
damaged( 'another key',     sub { change_byte( "$_[0]/key",     1 ) } );
damaged( 'another old key', sub { change_byte( "$_[0]/key.old", 1 ) } );
damaged( 'half a key',      sub { truncate "$_[0]/key", 16 or die $! } );
damaged( 'an open key',     sub { chmod oct 644, "$_[0]/key" } );
damaged( 'an open file',    sub { chmod oct 666, "$_[0]/known" } );
remove_tree("$dir/bad");

# Other bad input.
mkdir "$dir/full" or die $!;
$site->write_file( "$dir/full/x", 'x' );
my @from = ( "lmdb:$store", "lmdb:$dir/new" );
for my $case (
    [ 3, qr/new or empty/,             'store', 'backup',  "$dir/full" ],
    [ 3, qr/new or empty/,             'store', 'backup',  "$dir/full/x" ],
    [ 3, qr/can't be made/,            'store', 'backup',  "$dir/none/x" ],
    [ 3, qr/not an absolute|can't/,    'store', 'restore', "$dir/none" ],
    [ 3, qr/complete/,                 'store', 'restore', "$dir/full" ],
    [ 3, qr/can't be opened/,          'store', 'restore', "$dir/full/x" ],
    [ 2, qr/'store' needs a word/,     'store' ],
    [ 2, qr/Unknown word/,             'store', 'move' ],
    [ 2, qr/Missing argument: DIR/,    'store', 'backup' ],
    [ 2, qr/DIR is empty/,             'store', 'backup', q{} ],
    [ 2, qr/Unexpected argument/,      'store', 'backup', "$dir/a",  "$dir/b" ],
    [ 2, qr/Unknown option: force/,    'store', 'backup', '--force', "$dir/a" ],
    [ 2, qr/Missing argument: DIR/,    'store', 'restore' ],
    [ 2, qr/Missing argument: TO/,     'store', 'copy', $from[0] ],
    [ 2, qr/is no store/,              'store', 'copy', $store,           $from[1] ],
    [ 2, qr/is no store/,              'store', 'copy', $from[0],         "$dir/new" ],
    [ 2, qr/is no store/,              'store', 'copy', $from[0],         'lmdb:new' ],
    [ 2, qr/the same store/,           'store', 'copy', $from[0],         $from[0] ],
    [ 1, qr/there is a store already/, 'store', 'copy', $from[0],         "lmdb:$store/." ],
    [ 3, qr/there is no store/,        'store', 'copy', "lmdb:$dir/none", $from[1] ],
    [ 3, qr/can't be made/,            'store', 'copy', $from[0],         "lmdb:$dir/none/a/b" ],
    [ 3, qr/open to group|opened as a folder/, 'store', 'copy', $from[0], "lmdb:$dir/full" ],
    )
{
    my ( $status, $like, @arguments ) = @{$case};
    chmod oct 755, "$dir/full";
    is_refused( $status, $like, "'@arguments'", @arguments );
}
remove_tree("$dir/full");

make_path( "$dir/new", { mode => oct 700 } );
$site->write_file( "$dir/new/key", 'x' x 32, oct 600 );
is_refused( 1, qr/is another key/, 'another key at the new store', qw(store copy), @from );
remove_tree("$dir/new");

# A copy, while others log in: all that was acknowledged is there.
$session = open_session();
%fresh   = log_in();
for my $pause ( 0, 0, 0, 1.1 ) {
    sleep $pause;
    $site->login( user => 'nobody', pass => 'x' );
}
$pinned = Cpanel::LogMeIn::Session->new;
is( ( $pinned->check( access_of($session) ) )[1], 'granted', 'before: a server' );
my $made = "$dir/made";
( $well, @lines ) = at_once(
    3,
    sub {
        my ($worker) = @_;
        if ( $worker == 3 ) {
            sleep 0.3;
            return logmein( qw(store copy), @from )->{status};
        }
        for ( 1 .. 5000 ) {
            my ( $ok, undef, $url ) = $site->login(@known);
            last if !$ok;
            open my $file, '>>', $made or die $!;
            print {$file} "$url\n";
        }
        return $Cpanel::LogMeIn::detail =~ /has moved/ ? 0 : $Cpanel::LogMeIn::detail;
    }
);
is_deeply( \@lines, [ 0, 0, 0 ], 'a copy, while others log in until the store has moved' );
is( check_reason($session), 'fault', 'the old store refuses checks' );
like(
    $Cpanel::LogMeIn::detail,
    qr{now lmdb:\Q$dir\E/new\): this store has moved},
    '... says where'
);
is( ( $pinned->check( access_of($session) ) )[1], 'fault',
    '... also of a server that has it open' );
is( ( redeem(%fresh) )[1], 'fault', '... and tickets' );
like( ( $site->login )[1], qr/not possible at the moment \(STORE\)/, '... and logins' );
ok( !eval { Cpanel::LogMeIn::Session->list->(); 1 }, '... and lists' );
is_refused( 3, qr/has moved/, 'a copy of the old store', qw(store copy), $from[0], "lmdb:$dir/b" );
is_refused( 3, qr/has moved/, 'a backup of it', qw(store backup), "$dir/b" );
$site->settings( store => $from[1] );
is( check_reason($session), 'granted', 'in the new store a session from before is good' );
ok( redeem(%fresh), '... and a ticket' );
ok( is_known(),     '... and the known source' );
like( ( $site->login( user => 'nobody', pass => 'x' ) )[1], qr/Too many/, '... and a wait' );
open my $file, '<', $made or die $!;
my @urls = <$file>;
chomp @urls;
cmp_ok( scalar @urls, '>', 5, 'while it was copied ' . @urls . ' logins were acknowledged' );
my @lost = grep { !$site->redeem($_) } @urls;
is( scalar @lost, 0, '... and each of their tickets redeems' );
is_refused(
    1,
    qr/there is a store already/,
    'the new store is new no more',
    qw(store copy), "lmdb:$dir/new", "lmdb:$dir/new/"
);

# Back, into the folder of old; and with a key of the settings.
remove_tree($store);
$answer = done_well( 'a copy back', qw(store copy --json), reverse @from );
like( $answer->{out}, qr/"key" : true/, '... with the key' );
$site->settings( store => $from[0] );
is( check_reason($session), 'granted', '... and the session is good' );
rename "$store/key", "$dir/key" or die $!;
$site->settings( key_file => "$dir/key", volatile_dir => "$dir/volatile" );
is( check_reason($session), 'granted', 'control: with a key elsewhere' );
remove_tree("$dir/new");
$answer = done_well( 'a copy with the key elsewhere', qw(store copy --json), @from );
like( $answer->{out}, qr/"key" : false/, '... without it' );
$site->settings( store => $from[1] );
is( check_reason($session), 'granted', '... and the session is good' );

# As root for the store's owner, and as the owner.
SKIP: {
    my ( $uid, $gid ) = ( getpwnam 'nobody' )[ 2, 3 ];
    skip 'only root can do that', 14 if $> != 0 || !$uid;
    my $owned = "$dir/owned";
    chmod oct 755, $dir;
    mkdir $owned, oct 700 or die $!;
    chown $uid, $gid, $owned or die $!;
    $site->settings( map { $_ => undef } qw(key_file volatile_dir) );
    $site->settings( store => "lmdb:$owned" );
    done_well( 'root restores for the owner', qw(store restore), "$dir/two" );
    ok( is_known(), '... the source is known' );
    done_well( '... retires',      qw(key retire --force) );
    done_well( '... and rotates',  qw(key rotate) );
    done_well( '... and backs up', qw(store backup), "$dir/by-root" );
    is( ( stat "$dir/by-root/key" )[4], 0, '... for root' );
    my @files = grep { -f } glob "$owned/*";
    cmp_ok( scalar @files, '>=', 4, 'the store has files' );
    is_deeply( [ grep { ( stat $_ )[4] != $uid } @files ], [], '... all of them the owner\'s' );
    chmod oct 644, $ENV{LOGMEIN_CONF};
    my @status = map { forked( { uid => $uid }, @{$_} )->{status} } (
        [qw(key status)], [qw(key retire --force)], [qw(key rotate)],
        [ qw(store backup),          "$dir/not-mine" ],
        [ qw(store restore --force), "$dir/by-root" ],
    );
    is( "@status", '0 0 0 3 3', 'the owner does all that, but where only root may go' );
}
done_testing();
