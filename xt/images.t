#!/usr/bin/perl

# The data file of a store is damaged in 5,000 ways, with XT_LONG=1 in 100,000: the core,
# in a child process, accepts no session that it has not written. With a core to which
# the MAC of every record is good, the same images are the control.

use strict;
use warnings;
use blib;
use Cwd        qw(realpath);
use File::Path qw(remove_tree);
use File::Temp qw(tempdir);
use Test::More;
use Test::Cpanel::LogMeIn;
use lib 'xt/lib';
use Author qw(has_program read_file run);

plan skip_all => 'cc is not installed'   if !has_program('cc');
plan skip_all => 'the core is not built' if !-e 'csrc/liblogmein.a';

my $IMAGES = $ENV{LOGMEIN_IMAGES} || ( $ENV{XT_LONG} ? 100_000 : 5000 );
my $MEMORY = '/dev/shm';

my $folder = realpath( tempdir( CLEANUP => 1, -w $MEMORY ? ( DIR => $MEMORY ) : ( TMPDIR => 1 ) ) );
local $ENV{TMPDIR} = $folder;
my $site = Test::Cpanel::LogMeIn->new(
    accounts => { map { $_ => { password => 'secret', reseller => 1 } } qw(alice carol david) },
    settings => { log => 'none' },
    clock    => 1_700_000_000,
);

# Settings like the site's, for another store.
sub settings_for {
    my ($name) = @_;
    my $text = join q{}, grep { !/\A(?:store|volatile_dir) / } split /^/, read_file( $site->conf );
    my $path = "$folder/$name.conf";
    $site->write_file( $path,
        "$text\nstore = lmdb:$folder/$name\nvolatile_dir = $folder/$name-v\n" );
    utime time - 10, time - 10, $path;
    return $path;
}
my @settings = map { settings_for($_) } qw(sound child1 child2);

sub count_with {
    my ( $program, $images, $flags ) = @_;
    my ( $status, $out ) = run( '.',
              "cc -std=c11 -D_GNU_SOURCE -O2 -g -Icsrc $flags -o '$folder/$program'"
            . ' xt/images/images.c csrc/liblogmein.a -lcrypto -lcrypt -llmdb -pthread' );
    is( $status, 0, "$program builds" ) or BAIL_OUT($out);
    remove_tree( map { ( "$folder/$_", "$folder/$_-v" ) } qw(sound child1 child2) );
    ( $status, $out ) = run( '.', "'$folder/$program' $images 1 @settings" );
    is( $status, 0, '... and runs' ) or diag($out);
    my ($line) = $out =~ /^(images=.*)/m;
    return { ( $line // q{} ) =~ /(\w+)=([0-9]+)/g };
}

my $count = count_with( 'images', $IMAGES, q{} );
is( $count->{images},   $IMAGES, "$IMAGES damaged images" );
is( $count->{accepted}, 0,       'no session is accepted that was not written' );
cmp_ok( $count->{opened}, '>', $IMAGES / 3, "control: $count->{opened} were opened" );
my $ends = $count->{crashes} + $count->{hangs};
cmp_ok( $ends, '<', $IMAGES / 3, "$ends children died of theirs" );
note(
    "29: $count->{images} images, $count->{accepted} accepted, at most $ends crashes in the child");
note("$count->{hangs} of these had no end; $count->{revived} times an ended session came back");

$count = count_with( 'blind', 1000, '-DBLIND -Wl,--wrap=lmi_keys_verify' );
cmp_ok( $count->{accepted}, '>', 50, "control: without MACs $count->{accepted} are accepted" );
done_testing();
