#!/usr/bin/perl

# A million sessions are listed, ended by their user, and purged, while logins go on:
# how long the longest login took meanwhile, and how much memory the command needed.
# LOGMEIN_SESSIONS is another number; nothing else may run meanwhile.

use strict;
use warnings;
use blib;
use Cpanel::LogMeIn ();
use File::Temp      ();
use IO::Handle      ();
use List::Util      qw(max);
use POSIX           ();
use Test::More;
use Test::Cpanel::LogMeIn;
use Time::HiRes qw(sleep time);
use lib 'xt/lib';
use Author qw(has_program run);

plan skip_all => 'cc is not installed'   if !has_program('cc');
plan skip_all => 'the core is not built' if !-e 'csrc/liblogmein.a';

my $COUNT   = $ENV{LOGMEIN_SESSIONS} || 1_000_000;
my $LONGEST = 1;                                                         # seconds of a login
my $MEMORY  = 64 * 1024;                                                 # KiB of the command's own
my $EVERY   = 0.05;                                                      # seconds between logins
my @LOGMEIN = ( $^X, qw(-Iblib/arch -Iblib/lib blib/script/logmein) );
my $site    = Test::Cpanel::LogMeIn->new(
    accounts => { map { $_ => 'secret' } qw(alice busy) },
    settings => { session_idle => 21_600 },                  # none idles out before its turn
);
my ( $status, $out ) = run( '.',
          "cc -std=c11 -D_GNU_SOURCE -O2 -Icsrc -o '$site->{dir}/make' xt/sessions/make.c"
        . ' csrc/liblogmein.a -lcrypto -lcrypt -llmdb -pthread' );
is( $status, 0, 'the program that makes sessions builds' ) or BAIL_OUT($out);
my $start = time;
( $status, $out ) = run( '.', "'$site->{dir}/make' $COUNT busy" );
is( $status, 0, "$COUNT active sessions, and as many that have expired" ) or BAIL_OUT($out);
diag(
    sprintf 'made in %.0f s, %d MiB',
    time - $start,
    ( -s "$site->{dir}/store/data.mdb" ) / 2**20
);

# A process that logs in again and again until it is told to stop. It prints how many
# logins there were, and how long the longest took.
sub start_logins {
    pipe my $stop, my $tell or die $!;
    my $pid = open( my $result, '-|' ) // die $!;
    if ( !$pid ) {
        close $tell;
        my ( $count, $longest, $failed ) = ( 0, 0, 0 );
        until ( select my $ready = _bit($stop), undef, undef, $EVERY ) {
            my $begun = time;
            my ($ok) = Cpanel::LogMeIn::get_loggedin_url(
                user     => 'alice',
                pass     => 'secret',
                hostname => 'localhost',
                service  => 'cpanel'
            );
            $failed++ if !$ok;
            $count++;
            $longest = max( $longest, time - $begun );
        }
        print "$count $longest $failed\n";
        STDOUT->flush;
        POSIX::_exit(0);
    }
    return ( $tell, $result );
}

sub _bit { my ($handle) = @_; vec( my $bits = q{}, fileno $handle, 1 ) = 1; return $bits }

# The KiB of memory that a process has for itself, without the store's file.
sub memory_of {
    my ($pid) = @_;
    open my $file, '<', "/proc/$pid/status" or return 0;
    while ( my $line = readline $file ) {
        return $1 if $line =~ /\ARssAnon:\s+([0-9]+)/;
    }
    return 0;
}

# Runs the command while logins go on: what it prints, or the number of lines.
sub meanwhile {
    my ( $what, @arguments ) = @_;
    my ( $tell, $result )    = start_logins();
    my $begun = time;
    my $pid   = open( my $command, '-|', @LOGMEIN, @arguments ) // die $!;
    my ( $lines, $last, $peak, $looked ) = ( 0, q{}, 0, 0 );
    my $rest = q{};
    my $bits = _bit($command);
    while (1) {
        if ( select my $ready = $bits, undef, undef, $EVERY ) {
            sysread( $command, my $bytes, 65_536 ) or last;
            $lines += $bytes =~ tr/\n//;
            $last = substr $last . $bytes, -100;
        }
        next if time - $looked < $EVERY;
        $looked = time;
        $peak   = max( $peak, memory_of($pid) );
    }
    close $command;
    my $took = time - $begun;
    close $tell;
    my ( $count, $longest, $failed ) = split q{ }, readline $result;
    close $result;
    is( $failed, 0, "$what: all $count logins succeed" );
    cmp_ok( $longest, '<', $LONGEST, sprintf '... the longest in %.3f s', $longest );
    cmp_ok( $peak, '<', $MEMORY, "... in $peak KiB" );
    diag( sprintf '%s: %.0f s, %d logins, longest %.3f s, %d KiB',
        $what, $took, $count, $longest, $peak );
    return ( $last, $lines, $longest, $peak );
}

my ( undef, undef, $alone ) =
    meanwhile( 'control, with a command that does little', 'doctor', '--quiet' );
my ( $last, $lines, @list ) = meanwhile( 'list', qw(session list) );
cmp_ok( $lines, '>=', $COUNT + 1, "... $lines lines" );
my ( undef, $json_lines, @json ) = meanwhile( 'list --json', qw(session list --json) );
cmp_ok( $json_lines, '>=', $COUNT + 2, "... $json_lines lines" );
( $last, undef, my @end ) = meanwhile( 'end', qw(session end --user busy) );
my $busy = $COUNT - POSIX::ceil( $COUNT / 10 );
like( $last, qr/\AEnded $busy sessions[.]\n\z/, "... $busy sessions" );
( $last, undef, my @purge ) = meanwhile( 'purge', qw(session purge) );
my ($removed) = $last =~ /\ARemoved ([0-9]+) expired entries[.]\n\z/;
cmp_ok( $removed // 0, '>', 1.5 * $COUNT, '... ' . ( $removed // $last ) . ' entries' );
my ($left) = `@LOGMEIN session list --user busy` =~ tr/\n//;
is( $left, 1, 'none of the user is left' );
note(
    sprintf '%d sessions listed, ended by user and purged: longest login %.2f s, at most %d MiB',
    $COUNT,
    max( $list[0], $json[0], $end[0], $purge[0] ),
    max( $list[1], $json[1], $end[1], $purge[1] ) / 1024 + 1
);
done_testing;
