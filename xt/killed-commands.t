#!/usr/bin/perl

# Commands that change store and key are killed at every third system call that changes a
# file, with XT_LONG=1 at every system call: afterwards what was there before is in force, or what
# they were to bring is there as a whole, and running them again gets to the end.

use strict;
use warnings;
use blib;
use Cpanel::LogMeIn::Session ();
use File::Path               qw(remove_tree);
use Test::More;
use lib                   qw(t/lib xt/lib);
use Author                qw(has_program read_file run);
use Logins                qw(access_of check_reason open_session site);
use Run                   qw(logmein);
use Test::Cpanel::LogMeIn ();

plan skip_all => 'strace is not installed' if !has_program('strace');

my @CHANGES = qw(fchmodat fdatasync fsync ftruncate link linkat mkdir pwrite64 pwritev
    rename renameat renameat2 rmdir unlink unlinkat write);
my $site  = site( settings => { log => 'none' } );
my $dir   = $site->dir;
my $store = "$dir/store";
my $new   = "$dir/new";
my $trace = "$dir/trace";
my @known = ( user => 'alice', address => '192.0.2.9' );

# What each round begins with: a session, a known source, and a backup without the session.
$site->login( remote_addr => $known[3] );
is( logmein( qw(store backup), "$dir/saved" )->{status}, 0, 'a backup' );
my $session = open_session();
rename $store, "$dir/master" or die $!;

sub copy_of {
    my ( $from, $to ) = @_;
    remove_tree($to);
    system( 'cp', '-pr', $from, $to ) == 0 or die 'cp';
    return unlink glob "$to/*lock*";
}

# In a process of its own, as every command is.
sub answer_of { my ($job) = @_; return Test::Cpanel::LogMeIn::in_child($job) }

# "granted", "unknown", or what the fault says.
sub session_now {
    return answer_of(
        sub {
            my $reason = check_reason($session);
            return $reason eq 'fault' ? $Cpanel::LogMeIn::detail : $reason;
        }
    );
}

sub is_known {
    return answer_of( sub { return Cpanel::LogMeIn::Session->is_known(@known) } );
}

sub in_store {
    my ( $where, $job ) = @_;
    $site->write_settings( store => "lmdb:$where" );
    my $result = $job->();
    $site->write_settings( store => "lmdb:$store" );
    return $result;
}

# For each command: what is done before a round; whether all is well after a kill, which
# returns what is not, and whether the old was in force.
my %COMMAND = (
    rotate => {
        words => [qw(key rotate)],
        after => sub {
            return 'the session is ' . session_now() if session_now() ne 'granted';
            my $again = logmein(qw(key rotate))->{status};
            return "status $again"                              if $again > 1;
            return 'afterwards the session is ' . session_now() if session_now() ne 'granted';
            return 'the key is the old one'
                if read_file("$store/key") eq read_file("$store/key.old");
            return ( q{}, $again == 0 );
        },
    },
    retire => {
        words  => [qw(key retire --force)],
        before => sub {
            $site->write_file( "$store/key.old", 'x' x 32, oct 600 );
            return;
        },
        after => sub {
            return 'the session is ' . session_now() if session_now() ne 'granted';
            my $again = logmein(qw(key retire --force))->{status};
            return "status $again"        if $again > 1;
            return 'the old key is there' if -e "$store/key.old";
            return ( q{}, $again == 0 );
        },
    },
    backup => {
        words  => [ qw(store backup), "$dir/made" ],
        before => sub { return remove_tree("$dir/made") },
        after  => sub {
            return 'the session is ' . session_now() if session_now() ne 'granted';
            remove_tree($new);
            my $restored =
                in_store( $new, sub { return logmein( qw(store restore), "$dir/made" ) } );
            my $is_whole = $restored->{status} == 0;
            return "restore says $restored->{err}"
                if !$is_whole && $restored->{err} !~ /no complete backup|can't be opened/;
            return 'a store was made'        if !$is_whole && -e "$new/data.mdb";
            return 'the source is not known' if $is_whole  && !in_store( $new, \&is_known );
            return ( q{}, !$is_whole );
        },
    },
    restore => {
        words => [ qw(store restore --force), "$dir/saved" ],
        after => sub {
            my $now = session_now();
            return "the session is $now"
                if $now !~ /\A(?:granted|unknown)\z|has not been restored completely/;
            return 'the source is not known' if $now eq 'unknown' && !is_known();
            my $again = logmein( qw(store restore --force), "$dir/saved" );
            return "again: $again->{err}"            if $again->{status} != 0;
            return 'the session is ' . session_now() if session_now() ne 'unknown';
            return 'the source is not known'         if !is_known();
            return ( q{}, $now eq 'granted' );
        },
    },
    copy => {
        words  => [ qw(store copy), "lmdb:$store", "lmdb:$new" ],
        before => sub { return remove_tree($new) },
        after  => sub {
            my $now    = session_now();
            my $is_old = $now eq 'granted';
            return "the session is $now" if !$is_old && $now !~ /this store has moved/;
            my $again = $is_old ? logmein( qw(store copy), "lmdb:$store", "lmdb:$new" ) : undef;
            if ( $again && $again->{status} == 1 ) {    # whole, and not in force
                remove_tree($new);
                $again = logmein( qw(store copy), "lmdb:$store", "lmdb:$new" );
            }
            return "again: $again->{err}"    if $again && $again->{status} != 0;
            return 'the old store is in use' if session_now() !~ /this store has moved/;
            my $there = in_store( $new, \&session_now );
            return "in the new store the session is $there" if $there ne 'granted';
            return 'the source is not known'                if !in_store( $new, \&is_known );
            return ( q{}, $is_old );
        },
    },
);

# Runs a command; its system calls.
sub traced {
    my ( $command, @options ) = @_;
    copy_of( "$dir/master", $store );
    $command->{before}->() if $command->{before};
    local $ENV{PERL_HASH_SEED} = 0;
    my $words = join q{ }, map { "'$_'" } @{ $command->{words} };
    run( '.', "strace -f -qq -o '$trace' @options $^X -Mblib blib/script/logmein $words || true" );
    return split /\n/, read_file($trace);
}

# Where a command can be killed, from the first call that names what it works on.
sub points {
    my (@calls) = @_;
    my $wanted  = join q{|}, @CHANGES;
    my ( %count, @points, $begun );
    for my $line (@calls) {
        my ($name) = $line =~ /\A[0-9]+ +(\w+)[(]/ or next;
        my $number = ++$count{$name};
        $begun ||= $line =~ /"\Q$dir\E/ && $line !~ /conf/;
        next if !$begun || ( !$ENV{XT_LONG} && $name !~ /\A(?:$wanted)\z/ );
        push @points, "$name:signal=KILL:when=$number";
    }
    my $step = $ENV{XT_LONG} ? 1 : 3;
    return map { $points[ $step * $_ ] } 0 .. $#points / $step;
}

for my $name ( sort keys %COMMAND ) {
    my $command = $COMMAND{$name};
    my @points  = points( traced($command) );
    if ( $name eq 'backup' && @points == 0 ) { plan skip_all => 'strace may not trace here' }
    my ( $killed, $before, @bad ) = ( 0, 0 );
    for my $point (@points) {
        my @calls = traced( $command, "-e inject=$point" );
        next if $calls[-1] !~ /killed by SIGKILL/;
        $killed++;
        my ( $bad, $is_old ) = $command->{after}->();
        $before++ if $is_old;
        push @bad, "$bad, after $point: $calls[-2]" if length $bad;
    }
    is( join( "\n", @bad ), q{}, "$name, killed at $killed calls" );
    cmp_ok( $killed, '>', 0.9 * @points, '... control: out of ' . @points );
    note("$name: $killed times killed, $before of them before the decisive step");
    cmp_ok( $before, '>', 0, '... control: some before the decisive step' );
}
done_testing();
