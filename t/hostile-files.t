#!/usr/bin/perl

# Account files, settings, key and store that are missing, malformed, or of the wrong
# type: always an error message, never a crash, a warning or a login; and logins work
# again when the file is repaired.

use strict;
use warnings;
use lib 't/lib';
use POSIX        qw(mkfifo);
use SettingsFile qw(forget_settings settle);
use Test::More;
use Test::Cpanel::LogMeIn;

my @warnings;
local $SIG{__WARN__} = sub { push @warnings, @_ };
local $SIG{ALRM}     = sub { die "a call hangs\n" };

my $site = Test::Cpanel::LogMeIn->new(
    accounts => { alice          => 'secret', 'info@alice.example' => 'secret' },
    settings => { site_hostnames => 'no' },
);
my $root = $< == 0;

# The ways to damage a file: each function gets the path of an existing file.
my %spoilers = (
    missing         => sub { },
    'a folder'      => sub { mkdir $_[0]              or die "$_[0]: $!" },
    'a FIFO'        => sub { mkfifo( $_[0], oct 600 ) or die "$_[0]: $!" },
    'a link'        => sub { symlink "$_[0]-kept", $_[0] or die "$_[0]: $!" },
    'a dead link'   => sub { symlink '/nowhere',   $_[0] or die "$_[0]: $!" },
    'hard-linked'   => sub { link "$_[0]-kept", $_[0] or die "$_[0]: $!" },
    'group-written' => sub { copy_of( $_[0] ); chmod oct 664, $_[0] or die "$_[0]: $!" },
    'world-written' => sub { copy_of( $_[0] ); chmod oct 666, $_[0] or die "$_[0]: $!" },
    unreadable      => sub { copy_of( $_[0] ); chmod 0, $_[0] or die "$_[0]: $!" },
    "another's"     => sub { copy_of( $_[0] ); chown 54_321, -1, $_[0] or die "$_[0]: $!" },
    huge            => sub { copy_of( $_[0] ); truncate $_[0], 2**30 + 1 or die "$_[0]: $!" },
    empty           => sub { new_file( $_[0], '' ) },
    zeros           => sub { new_file( $_[0], "\0" x 4096 ) },
    binary          => sub {
        new_file( $_[0], join '', map { chr( $_ * 7 % 256 ) } 0 .. 9999 );
    },
    'one long line' => sub { new_file( $_[0], ':' x 1_000_000 ) },
);
delete $spoilers{ $root ? 'unreadable' : "another's" };

sub new_file {
    my ( $path, $text ) = @_;
    return $site->write_file( $path, $text, oct 600 );
}

# Keeps the owner of the file.
sub copy_of {
    my ($path) = @_;
    open my $in, '<', "$path-kept" or die "$path-kept: $!";
    my $text = do { local $/ = undef; <$in> };
    new_file( $path, $text );
    chown +( stat "$path-kept" )[4], -1, $path if $root;
    return;
}

sub spoil {
    my ( $path, $how ) = @_;
    rename $path, "$path-kept" or die "$path: $!";
    $spoilers{$how}->($path);
    settle($path);
    return;
}

sub mend {
    my ($path) = @_;
    if ( -d $path && !-l $path ) { rmdir $path or die "$path: $!" }
    else                         { unlink $path }
    return rename "$path-kept", $path || die "$path: $!";
}

my %sentences = (
    ok      => 'Login OK',
    invalid => 'The login is invalid.',
    map { $_ => "Logins are not possible at the moment ($_)." } qw(SITE RIGHTS SETTINGS STORE KEY),
);

sub attempt {
    my ( $expected, $name, %login ) = @_;
    alarm 20;
    my @answer = $site->login(%login);
    alarm 0;
    is( $answer[1], $sentences{$expected}, $name ) or diag($Cpanel::LogMeIn::detail);
    unlike( $answer[1], qr{/|alice|secret}, '... which tells nothing more' ) if $expected ne 'ok';
    if ( $expected eq 'ok' ) { ok( $answer[2], '... with a URL' ) }
    else { ok( !$answer[0] && !defined $answer[2] && !defined $answer[3], '... and no URL' ) }
    return;
}

my @cpanel  = ();
my @webmail = ( user => 'info@alice.example', service => 'webmail' );

# The expected answer, unless the kind of damage has its own. A valid file without the
# account refuses the account.
my @content =
    ( empty => 'invalid', zeros => 'invalid', binary => 'invalid', 'one long line' => 'invalid' );
my @files = (
    [ 'etc/passwd', \@cpanel, 'SITE', @content, 'hard-linked' => 'ok', unreadable => 'RIGHTS' ],
    [ 'etc/shadow', \@cpanel, 'SITE', @content, 'hard-linked' => 'ok', unreadable => 'RIGHTS' ],
    [
        'etc/userdomains', \@webmail, 'SITE', @content,
        missing       => 'invalid',
        'hard-linked' => 'ok',
        unreadable    => 'RIGHTS',
    ],
    [
        'var/cpanel/resellers', \@cpanel, 'SITE',
        missing       => 'ok',
        'hard-linked' => 'ok',
        unreadable    => 'RIGHTS',
        map { $_ => 'ok' } qw(empty zeros binary), 'one long line',
    ],

    # Only whether it is there matters.
    [
        'var/cpanel/users/alice', \@cpanel, 'SITE',
        missing       => 'invalid',
        'hard-linked' => 'ok',
        map { $_ => 'ok' } qw(empty zeros binary unreadable), 'one long line',
    ],
    [ 'home/alice/etc/alice.example/shadow', \@webmail, 'invalid' ],
);
for my $case (@files) {
    my ( $file, $login, $usual, %special ) = @{$case};
    my $path = $site->path($file);
    attempt( 'ok', "control: $file as it should be", @{$login} );
    for my $how ( sort keys %spoilers ) {
        spoil( $path, $how );
        attempt( $special{$how} // $usual, "$file: $how", @{$login} );
        mend($path);
    }
    attempt( 'ok', "$file, mended", @{$login} );
}

# Folders in the path of a mailbox.
for my $folder ( 'home/alice/etc/alice.example', 'home/alice/etc' ) {
    my $path = $site->path($folder);
    for my $how ( 'missing', 'a FIFO', 'a link', 'a dead link', 'empty' ) {
        spoil( $path, $how );
        attempt( 'invalid', "$folder: $how", @webmail );
        mend($path);
    }
}
attempt( 'ok', 'the mailbox with its folders back', @webmail );
SKIP: {
    skip 'only root gives a home away', 8 if !$root;
    my $home  = $site->path('home/alice');
    my $owner = ( stat $home )[4];
    chown 54_321, -1, $home or die $!;
    attempt( 'invalid', "a home that is another user's", @webmail );
    chown $owner, -1, $home or die $!;
    rename $home, "$home-kept" or die $!;
    symlink 'alice-kept', $home or die $!;
    attempt( 'ok', "control: a home behind root's link", @webmail );
    system qw(chown -h 54321), $home;
    attempt( 'invalid', "a home behind a user's link", @webmail );
    mend($home);
    attempt( 'ok', 'the home, mended', @webmail );
}

# Settings. The message is the generic one, and $detail contains the path.
for my $how ( sort keys %spoilers ) {
    next if $how eq 'empty';    # the machine's own accounts: not for a test
    forget_settings($site);
    spoil( $site->{conf}, $how );
    my $expected =
          $how eq 'hard-linked' ? 'ok'
        : $how eq 'unreadable'  ? 'RIGHTS'
        :                         'SETTINGS';
    attempt( $expected, "the settings: $how" );
    like( $Cpanel::LogMeIn::detail, qr{\A\Q$site->{conf}\E}, '... and $detail names the file' )
        if $expected ne 'ok';
    mend( $site->{conf} );
}
attempt( 'ok', 'the settings, mended' );

# The store, each time in a new process, which has not opened it before.
sub attempt_in_child {
    my ( $expected, $name ) = @_;
    my $said = Test::Cpanel::LogMeIn::in_child( sub { alarm 20; ( $site->login )[1] } );
    my $pattern =
        $expected eq 'cut' ? "$sentences{ok}|\Q$sentences{STORE}\E" : "\Q$sentences{$expected}\E";
    return like( $said, qr/\A(?:$pattern)\z/, $name );
}

# How many there are of them that must be refused, and how many were not.
my ( $planted, $accepted ) = ( 0, 0 );

sub refused_in_child {
    my ( $expected, $name ) = @_;
    $planted++;
    $accepted += !attempt_in_child( $expected, $name );
    return;
}

# The key. If it is lost or damaged, logins are refused until it is restored.
$spoilers{'another one'}       = sub { new_file( $_[0], 'k' x 32 ) };
$spoilers{'open to the group'} = sub { copy_of( $_[0] ); chmod oct 640, $_[0] or die "$_[0]: $!" };
my $key = "$site->{dir}/store/key";
for my $how ( sort keys %spoilers ) {
    spoil( $key, $how );
    refused_in_child( $how eq 'unreadable' ? 'RIGHTS' : 'KEY', "the key, in a new process: $how" );
    attempt( $how eq 'unreadable'          ? 'RIGHTS' : 'KEY', "the key: $how" );
    mend($key);
}
attempt( 'ok', 'the key, mended' );

# The store.
my $data = "$site->{dir}/store/data.mdb";
for my $how ( grep { $_ ne 'missing' && $_ ne 'empty' } sort keys %spoilers ) {
    spoil( $data, $how );
    my $expected = $how eq 'unreadable' ? 'RIGHTS' : 'STORE';
    $expected = 'ok' if $how eq 'huge';    # sparse: its pages are sound
    if ( $expected eq 'ok' ) { attempt_in_child( $expected, "data.mdb: $how" ) }
    else                     { refused_in_child( $expected, "data.mdb: $how" ) }
    mend($data);
}
my $size = -s $data;
for my $short ( 1, 100, 4096, 4097, 8192, $size - 4096, $size - 1 ) {
    rename $data, "$data-kept" or die $!;
    copy_of($data);
    truncate $data, $short or die $!;
    attempt_in_child( 'cut', "data.mdb cut to $short bytes" );
    mend($data);
}
attempt_in_child( 'ok', 'data.mdb, mended' );

# The folder of the store.
my $folder = "$site->{dir}/store";
for my $case (
    [ 'open to the group' => sub { chmod oct 750, $folder },     sub { chmod oct 700, $folder } ],
    [ 'open to others'    => sub { chmod oct 701, $folder },     sub { chmod oct 700, $folder } ],
    [ 'a link'            => sub { spoil( $folder, 'a link' ) }, sub { mend($folder) } ],
    [ 'a FIFO'            => sub { spoil( $folder, 'a FIFO' ) }, sub { mend($folder) } ],
    [ 'a file'            => sub { spoil( $folder, 'zeros' ) },  sub { mend($folder) } ],
    )
{
    my ( $name, $do, $undo ) = @{$case};
    $do->();
    refused_in_child( 'STORE', "the store's folder: $name" );
    $undo->();
}

# Planted before a store is made.
for my $case ( [ 'key', 'KEY' ], [ 'data.mdb', 'STORE' ], [ 'lock.mdb', 'STORE' ] ) {
    my ( $name, $code ) = @{$case};
    rename $folder, "$folder-kept" or die $!;
    for my $how ( 'a folder', 'a FIFO', 'a dead link', 'group-written', 'world-written' ) {
        mkdir $folder, oct 700 or die "$folder: $!";
        new_file( "$folder/$name-kept", 'x' x 32 );
        $spoilers{$how}->("$folder/$name");
        unlink "$folder/$name-kept";
        refused_in_child( $code, "planted before the start, $name: $how" );
        system 'rm', '-rf', $folder;
    }
    rename "$folder-kept", $folder or die $!;
}
attempt_in_child( 'ok', "the store's folder, mended" );

note("24: $planted planted files and folders of the store, $accepted taken");

# Files of a store that is made under any umask are their owner's alone.
my $umask = umask 0;
my $open  = Test::Cpanel::LogMeIn->new;
is( ( $open->login )[0], 1, 'a store that is made with the umask 0' );
umask $umask;
my @loose = grep { ( stat $_ )[2] & oct 77 } map { glob "$open->{dir}/store$_" } q{}, '/*', '/*/*';
is_deeply( \@loose, [], '... is for its owner alone' );
chmod oct 644, "$open->{dir}/store/key" or die $!;
ok( ( ( stat "$open->{dir}/store/key" )[2] & oct 77 ), 'control: it could be for others' );

is_deeply( \@warnings, [], 'and never a warning' );
done_testing();
