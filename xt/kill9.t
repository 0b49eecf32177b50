#!/usr/bin/perl

# A process that logs in is killed with signal 9 repeatedly: no acknowledged session
# is lost, and the store stays consistent.

use strict;
use warnings;
use blib;
use Cpanel::LogMeIn::Session ();
use POSIX                    ();
use Test::More;
use Time::HiRes qw(sleep);
use Test::Cpanel::LogMeIn;

my $CYCLES = $ENV{LOGMEIN_CYCLES} || 1000;

# Many names, because a killed login counts as a failure a minute later.
my @users = map { "user$_" } 1 .. 500;
my $site  = Test::Cpanel::LogMeIn->new( accounts => { map { $_ => 'secret' } @users } );

# Prints "begin" before each login, and the URL after it.
sub log_in_for_ever {
    my ( $out, $user ) = @_;
    while (1) {
        syswrite $out, "begin\n";
        my ( $ok, $message, $url ) = $site->login( user => $user );
        syswrite $out, ( $ok ? $url : "failed: $message $Cpanel::LogMeIn::detail" ) . "\n";
    }
    return;
}

# One cycle; returns the lines, without one that was cut short. With `patience`
# the signal waits for a login that is acknowledged.
sub cycle {
    my ( $user, $patience ) = @_;
    pipe my $in, my $out or die $!;
    my $pid = fork // die "fork: $!";
    log_in_for_ever( $out, $user ) if !$pid;
    close $out;
    my @first = scalar readline $in;
    push @first, scalar readline $in if $patience;
    sleep( 0.001 + rand 0.015 );
    kill KILL => $pid;
    my @lines = ( @first, <$in> );
    waitpid $pid, 0;
    chomp @lines;
    return @lines;
}

my ( @urls, @failures, $interrupted );
for my $number ( 1 .. $CYCLES ) {
    my @lines = cycle( $users[ $number % @users ], $number % 2 );
    $interrupted++ if $lines[-1] eq 'begin';
    push @urls,     grep { /\Ahttps:/ } @lines;
    push @failures, grep { /\Afailed:/ } @lines;
}
is_deeply( \@failures, [], "in $CYCLES cycles no login failed" );
cmp_ok( scalar @urls, '>=', $CYCLES / 2, @urls . ' sessions were acknowledged' );
cmp_ok(
    $interrupted, '>',
    $CYCLES / 10,
    "control: $interrupted times the signal struck in the middle of a login"
);
my @lost = grep { !$site->redeem($_) } @urls;
is( scalar @lost, 0, 'each of them redeems' ) or diag("$lost[0]: $Cpanel::LogMeIn::detail");
note( "25: $CYCLES times killed, " . @lost . ' acknowledged sessions lost' );
my @again = grep { $site->redeem($_) } @urls;
is( scalar @again, 0, 'control: once' );
done_testing();
