#!/usr/bin/perl

# A hundred parallel test files, each with its own site.

use strict;
use warnings;
use File::Temp qw(tempdir);
use Test::More;
use lib 'xt/lib';
use Author qw(run);

my $folder = tempdir( CLEANUP => 1 );
my $tmp    = tempdir( CLEANUP => 1 );
for my $number ( 1 .. 100 ) {
    open my $file, '>', "$folder/$number.t" or die $!;
    print {$file} <<"PERL";
use Test::More;
use Test::Cpanel::LogMeIn;
my \$site = Test::Cpanel::LogMeIn->new( accounts => { user$number => 'pass$number' } );
my \@login = ( user => 'user$number', pass => 'pass$number' );
my \$session = url_redeems_ok( scalar login_ok( { \@login }, 'mine' ), 'opens' );
is( \$session->{user}, 'user$number', 'is mine' );
session_ok( \$session, 'lives' );
login_fails( { user => 'user' . ( $number % 100 + 1 ), pass => 'pass' . ( $number % 100 + 1 ) }, 'not theirs' );
done_testing();
PERL
    close $file or die $!;
}
local $ENV{TMPDIR} = $tmp;
my ( $status, $out ) = run( '.', "prove -bj50 '$folder'" );
is( $status, 0, 'a hundred test files, fifty at a time' ) or diag($out);
like( $out, qr/Files=100, Tests=500/, '... all of them' );
is_deeply( [ glob "$tmp/*" ], [], '... leave nothing behind' );
done_testing();
