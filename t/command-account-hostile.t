#!/usr/bin/perl

# `logmein account` where others have prepared the files, and where it may not write.

use strict;
use warnings;
use Fcntl qw(S_IMODE);
use POSIX qw(mkfifo);
use lib 't/lib';
use Run  qw(forked logmein);
use Tree qw(account content done_ok same_ok tree @CHEAP);
use Test::More;
use Test::Cpanel::LogMeIn;

my $IS_ROOT = $< == 0;
my $NO_LINK = 54_321;    # a uid of nobody's

my $site = Test::Cpanel::LogMeIn->new(
    accounts => { map { $_ => 'secret' } qw(alice bob info@alice.example) } );

# Homes that their owners have prepared. Each case gets the mailbox's file and a file
# outside the home, which must stay as it is.
my $file     = $site->path('home/alice/etc/alice.example/shadow');
my ($folder) = $file =~ m{\A(.*)/shadow\z};
my $target   = $site->dir . '/target';
my %prepared = (
    'a link to a file'  => sub { unlink $file; symlink $target, $file },
    'a link to nothing' => sub { unlink $file; symlink "$target-new", $file },
    'a FIFO'            => sub { unlink $file; mkfifo $file, oct 600 },
    'a folder'          => sub { unlink $file; mkdir $file },
    'a second name'     => sub { unlink $file; link $target, $file },
    'for all to write'  => sub { chmod oct 666,  $file },
    'a link as domain'  => sub { rename $folder, "$folder-"; symlink "$target-folder", $folder },
    'a link as etc'     => sub {
        rename $site->path('home/alice/etc'), $site->path('home/alice/etc-');
        symlink "$target-etc", $site->path('home/alice/etc');
    },
    $IS_ROOT
    ? (
        "another user's"        => sub { chown $NO_LINK, -1, $file },
        "another user's home"   => sub { chown $NO_LINK, -1, $site->path('home/alice') },
        "root's folder"         => sub { chown 0, 0, $folder; chmod oct 755, $folder },
        "another user's folder" => sub { chown $NO_LINK, -1, $folder; chmod oct 755, $folder },
        )
    : (),
);
my $line  = content($file);
my $owner = ( stat $site->path('home/alice') )[4];

sub prepare {
    system 'rm', '-rf', $site->path('home/alice'), glob("$target*");
    mkdir "$target-$_" for qw(folder etc);
    mkdir "$target-etc/alice.example";
    for my $path ( $target, "$target-folder/shadow", "$target-etc/alice.example/shadow", $file ) {
        $site->write_file( $path, $line, oct 640 );
    }
    if ($IS_ROOT) {
        system 'chown', '-R', "$owner:$owner", $site->path('home/alice'), glob "$target*";
    }
    return;
}
my ( $tries, $written ) = ( 0, 0 );
for my $how ( sort keys %prepared ) {
    prepare();
    $prepared{$how}->();
    my $home = tree( $site->dir );
    delete $home->{'/log'};
    for my $word (qw(add passwd remove)) {
        local $SIG{ALRM} = sub { die "$how: $word hangs\n" };
        alarm 20;
        my $name   = $word eq 'add' ? 'new@alice.example' : 'info@alice.example';
        my $answer = account( $word, $name );
        alarm 0;
        my $now = tree( $site->dir );
        delete $now->{'/log'};
        $tries++;
        $written += !same_ok( $now, $home, "$how: $word writes nothing" );
        isnt( $answer->{status}, 0, '... and says so' );
    }
}
note("21: $tries changes of prepared homes, $written written");
prepare();
done_ok( account( $_,    'info@alice.example' ), "control: $_" ) for qw(passwd suspend unsuspend);
done_ok( account( 'add', 'new@alice.example' ),  'control: add' );
is( S_IMODE( ( stat $file )[2] ), oct 640, 'the file keeps its permissions' );
is( ( stat $file )[4],            $owner,  '... and its owner' );
SKIP: {
    skip 'only root', 6 if !$IS_ROOT;
    chown -1, 8, $file or die $!;
    chmod oct 604, $file or die $!;
    done_ok( account( 'passwd', 'info@alice.example' ), 'a file of another group' );
    is( join( q{ }, ( stat $file )[ 4, 5 ] ), "$owner 8", '... keeps it' );
    is( S_IMODE( ( stat $file )[2] ),         oct 604,    '... and its permissions' );
    system 'rm', '-rf', $site->path('home/alice/etc');
    done_ok( account( 'add', 'first@alice.example' ), 'the first mailbox' );
    is( join( q{ }, ( stat $_ )[4] ), $owner, "... $_ is the owner's" ) for $folder, $file;
}
done_ok( account( 'remove', 'info@alice.example' ), 'control: remove' ) if !$IS_ROOT;

# The files of the site: the same care
for my $name (qw(etc/passwd etc/shadow)) {
    my $path = $site->path($name);
    for my $how ( 'a link', 'a second name' ) {
        rename $path, "$path-" or die $!;
        $how eq 'a link' ? symlink "$path-", $path : link "$path-", $path or die $!;
        my $tree = tree( $site->root . '/etc' );
        is( account( 'add', 'hugo' )->{status}, 3, "$name is $how: trouble" );
        my $now = tree( $site->root . '/etc' );
        delete @{$_}{qw(/shadow)} for $now, $tree;    # written before etc/passwd
        same_ok( $now, $tree, '... and is not changed' );
        unlink $path;
        rename "$path-", $path or die $!;
    }
}
done_ok( account( 'add', 'hugo' ), 'control: hugo' );

# Who may not write the site
SKIP: {
    skip 'only root becomes somebody else', 5 if !$IS_ROOT;
    system 'chmod', '755', $site->dir;
    my $tree = tree( $site->root );
    my $uid  = $owner;
    for my $word (qw(add passwd suspend remove)) {
        my $name     = $word eq 'add'        ? 'oscar' : 'bob';
        my @password = $word =~ /add|passwd/ ? @CHEAP  : ();
        my $answer =
            forked( { stdin => "secret\n", uid => $uid }, 'account', $word, @password, $name );
        is( $answer->{status}, 3, "$word, as another user: trouble" );
    }
    same_ok( tree( $site->root ), $tree, '... and nothing is changed' );
}

# A site that belongs to another user than root
SKIP: {
    skip 'only root becomes somebody else', 5 if !$IS_ROOT;
    my $own  = Test::Cpanel::LogMeIn->new( accounts => {} );
    my $root = $own->dir . '/own';
    system
        "chmod 755 '@{[ $own->dir ]}'; mkdir -p '$root/etc'; chown -R $NO_LINK:$NO_LINK '@{[ $own->dir ]}'";
    $own->settings( site_root => $root );
    my @as    = { stdin => "secret\n", uid => $NO_LINK };
    my $first = forked( @as, qw(account add alice --domain a.example), @CHEAP );
    done_ok( $first, 'the site of a user' );
    like( $first->{err}, qr/alice can't log in yet: /, '... without etc/shells: it says so' );
    $own->write_file( "$root/etc/shells", "/bin/sh\n" );
    system 'chown', $NO_LINK, "$root/etc/shells";
    done_ok( forked( @as, qw(account add info@a.example), @CHEAP ), '... a mailbox' );
    done_ok( forked( @as, qw(login --password-stdin alice) ), '... a login' );
    is( forked( @as, qw(account add bob --uid 1005), @CHEAP )->{status}, 1, '... no other uid' );
}

# The machine itself, by several names
symlink q{/}, $site->dir . '/slash' or die $!;
for my $root ( q{/}, $site->dir . '/slash' ) {
    $site->settings( site_root => $root );
    my @machine = map { [ stat $_ ]->[9] } qw(/etc /etc/passwd /etc/shadow);
    for my $case (
        [ [qw(add logmein-test --domain test.example)] => qr/^useradd .*logmein-test\n.*chpasswd/ ],
        [ [qw(passwd daemon)]                          => qr/\Alogmein hash .*daemon:.*chpasswd/ ],
        [ [qw(suspend daemon)]                         => qr/\A(?:usermod|touch) .*daemon\n\z/ ],
        [ [qw(unsuspend daemon)]                       => qr/\A(?:usermod|rm) .*daemon\n\z/ ],
        [ [qw(remove daemon)]                          => qr/userdel daemon\n\z/ ],
        )
    {
        my ( $arguments, $lines ) = @{$case};
        my $answer = account( @{$arguments} );
        is( $answer->{status}, 1, "$root: @{$arguments}" );
        like( $answer->{out}, $lines,                  '... prints what to run' );
        like( $answer->{err}, qr/Nothing was changed/, '... and says so' );
    }
    is( account( 'add', 'x', '--domain', q{a';reboot;'} )->{out}, q{}, '... never a bad domain' );
    is_deeply( [ map { [ stat $_ ]->[9] } qw(/etc /etc/passwd /etc/shadow) ],
        \@machine, '... nothing has changed' );
}

done_testing;
