#!/usr/bin/perl

# A full disk, a read-only file system, an unreadable key, no address space for the
# map: an error message, no data loss, and logins work again when the cause is
# removed. Needs root, for a small file system.

use strict;
use warnings;
use blib;
use Cpanel::LogMeIn::Session ();
use File::Temp               qw(tempdir);
use POSIX                    ();
use Test::More;
use lib 'xt/lib';
use Author qw(run);
use Test::Cpanel::LogMeIn;

plan skip_all => 'needs root' if $< != 0;
my $disk = tempdir( CLEANUP => 1 );
my ( $status, $out ) = run( '/', "mount -t tmpfs -o size=1m,mode=0700 none '$disk'" );
plan skip_all => "no tmpfs can be mounted: $out" if $status != 0;
my $owner = $$;
END { run( '/', "umount -l '$disk'" ) if defined $disk && $$ == ( $owner // 0 ) }

my $site = Test::Cpanel::LogMeIn->new(
    settings => { store => "lmdb:$disk/store", sessions_max => 10_000 },
    waits    => 1
);
my %fault =
    map { $_ => "Logins are not possible at the moment ($_)." } qw(STORE STOREFULL KEY RIGHTS);

sub login_message { return ( $site->login )[1] }

# A new process, which has not opened the store yet.
sub fresh_message {
    return Test::Cpanel::LogMeIn::in_child( sub { login_message() } );
}

# A read-only file system. No process may use it while it is remounted.
my $url = Test::Cpanel::LogMeIn::in_child( sub { ( $site->login )[2] } );
is( ( run( '/', "mount -o remount,ro '$disk'" ) )[0], 0, 'the file system becomes read-only' );
is( fresh_message(),                                  $fault{STORE}, '... and the store says so' );
run( '/', "mount -o remount,rw '$disk'" );
is( fresh_message(), 'Login OK', '... until it can be written again' );
is( Test::Cpanel::LogMeIn::in_child( sub { $site->redeem($url) ? 'redeemed' : 'lost' } ),
    'redeemed', '... with what was there' );

# A full disk. A failed login releases its pages, and another login may use them: the
# disk is full when several logins in a row fail.
my ( @urls, @answer, $failures );
while ( @urls < 5000 && ( $failures // 0 ) < 5 ) {
    @answer = $site->login;
    if ( $answer[0] ) { push @urls, $answer[2]; $failures = 0 }
    else              { $failures++ }
}
cmp_ok( scalar @urls, '>', 20, @urls . ' sessions fit a disk of 1 MiB' );
is( $answer[1], $fault{STOREFULL}, 'then it is full, and says so' );
like(
    $Cpanel::LogMeIn::detail,
    qr{\Q$disk/store\E.*No space left},
    '... to the operator, with the path'
);
my $other = Test::Cpanel::LogMeIn::in_child(
    sub {
        map { $_ // '' } ( $site->login )[ 2, 1 ];
    }
);
like(
    $other,
    qr/\A(?:https:.*|\Q$fault{STOREFULL}\E\z)/,
    '... or finds the pages that were given up'
);
push @urls, $other =~ /\A(https:.*)Login OK\z/;
my $session = $site->redeem( $urls[0] );
is( ( run( '/', "mount -o remount,size=16m '$disk'" ) )[0], 0,          'the disk grows' );
is( login_message(),                                        'Login OK', '... and all is well' );
my @lost = grep { !$site->redeem($_) } @urls[ 1 .. $#urls ];
is( scalar @lost, 0, '... and no session is lost' );
ok( $session || $site->redeem( $urls[0] ), '... nor the one that was tried on the full disk' );

# A full disk, and locks that are still to be made: they are written to through memory.
my ($readers) = map { m{([^/]+)\z} } glob "$disk/store/volatile/*-lock";
for my $lock ( 'lock.mdb', 'write.lock', 'volatile/write.lock', "volatile/$readers" ) {
    unlink "$disk/store/$lock" or die "$lock: $!";
    run( '/', "cat /dev/zero >'$disk/fill'" );
    is( fresh_message(), $fault{STOREFULL}, "a full disk without $lock" );
    unlink "$disk/fill" or die "$disk/fill: $!";
    is( fresh_message(), 'Login OK', '... which is made when there is space' );
}

# No address space for the map.
my $script = "$site->{dir}/script";
$site->write_file( $script, <<'PERL' );
use Cpanel::LogMeIn;
print +( Cpanel::LogMeIn::get_loggedin_url(
    user => 'alice', pass => 'secret', hostname => 'localhost', service => 'cpanel' ) )[1];
PERL
for my $case ( [ 900_000, $fault{STORE} ], [ 'unlimited', 'Login OK' ] ) {
    my ( $limit, $expected ) = @{$case};
    ( undef, $out ) = run( '.', "ulimit -v $limit; $^X -Mblib $script" );
    is( $out, $expected, "with $limit KiB of address space: $expected" );
}

# A key that can't be read: root can read all files, so its owner tries.
chmod 0711, $_ for $site->dir, $disk;    ## no critic (ProhibitLeadingZeros)
run( '/', "chown -R 65534 '$disk/store' '" . $site->dir . q{'} );

sub as_nobody {
    return Test::Cpanel::LogMeIn::in_child(
        sub {
            POSIX::setgid(65_534);
            POSIX::setuid(65_534);
            return login_message() . " $Cpanel::LogMeIn::detail";
        }
    );
}
like( as_nobody(), qr/\ALogin OK/, "the store's owner logs in" );
chmod 0, "$disk/store/key";
like( as_nobody(), qr/\A\Q$fault{RIGHTS}\E.*key/, 'an unreadable key' );
chmod 0600, "$disk/store/key";    ## no critic (ProhibitLeadingZeros)
like( as_nobody(), qr/\ALogin OK/, '... and a readable one' );

done_testing();
