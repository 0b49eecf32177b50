#!/usr/bin/perl

# What belongs to others stays: no file of the volatile folder is removed but those of
# other boots, the store's folder is not taken for it, and root's logins leave a log that
# the store's owner can write. A second name that a killed login left is removed.

use strict;
use warnings;
use Test::More;
use Test::Cpanel::LogMeIn;

my $site = Test::Cpanel::LogMeIn->new;
my $here = "$site->{dir}/store";

sub login_in_child {
    return Test::Cpanel::LogMeIn::in_child( sub { ( $site->login )[1] } );
}

sub make {
    my ($path) = @_;
    open my $file, '>', $path or die "$path: $!";
    close $file or die "$path: $!";
    return $path;
}

# The volatile folder.
is( login_in_child(), 'Login OK', 'a login makes the store' );
my @foreign = map { make("$here/volatile/$_") } qw(mail.mdb mail.mdb-lock boot.mdb notes);
my $old     = make("$here/volatile/01234567-89ab-cdef-0123-456789abcdef.mdb");
is( login_in_child(), 'Login OK', 'a login, beside foreign files' );
is_deeply( [ grep { !-e } @foreign ], [], '... which stay' );
ok( !-e $old, "control: another boot's file is removed" );

# A second name of the key, as between link and unlink.
for my $name (qw(key.0123456789abcdef key.bak data.mdb.0123456789abcdef)) {
    my ($of) = $name =~ /\A(.*)[.]/;
    link "$here/$of", "$here/$name" or die "$name: $!";
    is( login_in_child(), 'Login OK', "a login beside $name" );
    ok( !-e "$here/$name" && -e "$here/$of", '... which is removed' );
}

# The two folders in one.
my ( $device, $inode ) = stat "$here/data.mdb";
$site->settings( volatile_dir => $here );
my $message = login_in_child();
is(
    $message,
    'Logins are not possible at the moment (STORE).',
    'the folder of the store is not that of what may be lost'
);
is( ( stat "$here/data.mdb" )[1], $inode, '... and its file stays' );
$site->settings( volatile_dir => "$here/volatile" );
is( login_in_child(), 'Login OK', 'control: with folders of their own there is a login' );

# The log.
SKIP: {
    skip 'only root logs in for another owner', 3 if $< != 0;
    my ( $folder, $number ) = ( $site->path('../logs'), 54_321 );
    chmod oct 755, $site->{dir};    # the owner gets to the store by this way
    mkdir $folder, oct 755 or die "$folder: $!";
    chown $number, $number, $folder, $here, "$here/volatile", glob("$here/*"),
        glob "$here/volatile/*"
        or die $!;
    $site->settings( volatile_dir => "$here/volatile", log => "file:$folder/log" );
    is( login_in_child(), 'Login OK', 'root logs in at the store of another' );
    ok( -s "$folder/log", '... which is logged' );
    is( ( stat "$folder/log" )[4], $number, "... to a file of the store's owner" );
}
done_testing();
