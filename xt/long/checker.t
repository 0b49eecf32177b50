#!/usr/bin/perl

# logmeind needs no more memory after ten million checks than after ten thousand.
# LOGMEIN_CHECKS is another number.

use strict;
use warnings;
use blib;
use lib 't/lib';
use Checker ();
use Test::More;
use Test::Cpanel::LogMeIn;

my $CHECKS = $ENV{LOGMEIN_CHECKS} || 10_000_000;
my $FEW    = 10_000;
my $PART   = 200_000;
my $MORE   = 256;                                  # KiB that it may grow

my $site   = Test::Cpanel::LogMeIn->new( settings => { log => 'none' } );
my $daemon = Checker->new( $site->dir . '/check.sock' ) or BAIL_OUT('no logmeind');
my @session;
for ( 1 .. 10 ) {
    my $redeemed = $site->redeem( ( $site->login )[2] );
    push @session, [ @{$redeemed}{qw(cookie token)} ];
}

# Anonymous memory of the process: what it has written, and not what it has mapped of the
# store.
sub memory {
    open my $file, '<', '/proc/' . $daemon->pid . '/status' or die $!;
    my ($memory) = join( q{}, readline $file ) =~ /^RssAnon:\s+(\d+) kB/m;
    return $memory;
}

is( $daemon->check_many( $FEW, @session ), $FEW, "$FEW checks" );
my $before = memory();
my $done   = $FEW;
while ( $done < $CHECKS ) {
    my $part = $CHECKS - $done < $PART ? $CHECKS - $done : $PART;
    my $some = $daemon->check_many( $part, @session );
    $done += $some;
    last if $some < $part;
}
is( $done, $CHECKS, "$CHECKS checks" );
my $after = memory();
cmp_ok( $after,  '<=', $before + $MORE, "memory: $before KiB, and $after KiB in the end" );
cmp_ok( $before, '>',  500,             'control: it has some' );

# Control: a client that never ends its request takes memory that is seen.
my @open = map { $daemon->connection } 1 .. 200;
syswrite $_, 'GET / HTTP/1.1' . "\r\nX: " . 'x' x 8000 for @open;
select undef, undef, undef, 0.5;    ## no critic (ProhibitSleepViaSelect)
cmp_ok( memory(), '>', $after + $MORE, 'control: growth is seen' );
done_testing();
