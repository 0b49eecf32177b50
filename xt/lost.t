#!/usr/bin/perl

# Six ways to lose the log, while a gateway runs as the systemd unit starts it: logins are
# answered, the fault is noticed, and afterwards the log says how many lines are missing.

use strict;
use warnings;
use blib;
use lib    qw(t/lib xt/lib);
use DevLog ();
use Test::More;

my $HAS_DEV;
BEGIN { $HAS_DEV = DevLog::enter() }

use Author qw(read_file run);
use Fcntl  qw(O_NONBLOCK O_RDONLY);
use POSIX  ();
use Test::Cpanel::LogMeIn;
use Time::HiRes qw(sleep time);
use Unit        ();

plan skip_all => Unit::lacking()       if Unit::lacking();
plan skip_all => 'no name spaces here' if !$HAS_DEV;

my $PAGE   = 4096;                         # bytes
my $ID     = qr/[0-9a-f]{16}/;
my $WITHIN = 60;                           # seconds
my $QUICK  = 3;                            # ... for a login on a busy machine
my $site   = Test::Cpanel::LogMeIn->new;
my $dir    = $site->dir;
chmod oct 711, $dir;
Unit::hide(qw(/run /var/lib /var/log));
mkdir "$dir/work" or die $!;

# Tells a user how the log is, as a gateway's report does.
$site->write_file( "$dir/state.psgi", <<'PSGI' );
use Cpanel::LogMeIn::Session ();
sub {
    my $state = Cpanel::LogMeIn::Session->log_state;
    return [ 200, [ 'Content-Type' => 'text/plain' ], [ "written=$state->{written} $state->{detail}" ] ];
}
PSGI

sub must {
    my ($command) = @_;
    my ( $status, $out ) = run( '/', $command );
    return $status == 0 || BAIL_OUT("$command: $out");
}

# Fills the disk, and the last page of the log but for a part of a line.
sub fill {
    my ($folder) = @_;
    open my $file, '>', "$folder/big" or die "$folder/big: $!";
    1 while syswrite $file, 'x' x $PAGE;
    close $file;
    open my $log, '>>', "$folder/logins.log" or die "$folder/logins.log: $!";
    my $left = $PAGE - ( -s $log ) % $PAGE - 60;
    print {$log} '[] info ', 'x' x ( $left - 9 ), "\n";
    close $log or die "$folder/logins.log: $!";
    return;
}

# A gateway with this log, and the folder of its file, which is a small disk.
my $number = 0;

sub start {
    my ( $log, @more ) = @_;
    my $work = "$dir/work/" . ++$number;
    my $unit = Unit->start(
        work => $work,
        site => $dir,
        conf => 'site_root = ' . $site->root . "\nlog = $log\n",
        disk => '256k',
        app  => "$dir/state.psgi",
        @more
    );
    return wantarray ? ( $unit, "$work/log" ) : $unit;
}

# Breaks the log of a gateway, sees that logins are answered and the fault is noticed,
# and repairs it. Keys: break and repair, jobs; log, a job that returns the log's text;
# why, the reason; quiet, true if there is nothing that could be told.
sub loses {
    my ( $name, $unit, %way ) = @_;
    is( $unit->log_in( '192.0.2.7', 'secret' ), 302, "$name: control: a login" );
    my $page = $unit->session('192.0.2.7');
    like( $page->(), qr/\Awritten=1/, '... which is logged' );
    $way{log}->();
    my $before = length $unit->said;
    my $told   = sub { substr $unit->said, $before };
    $way{break}->();
    my ( $start, $slowest ) = ( time, 0 );

    for ( 1 .. 5 ) {
        my $from = time;
        is( $unit->log_in( '192.0.2.7', 'secret' ), 302, '... a login' );
        my $took = time - $from;
        $slowest = $took if $took > $slowest;
    }
    cmp_ok( $slowest, '<', $QUICK, "... is answered: the slowest took $slowest s" );
    my $noticed = wait_for( $start + $WITHIN,
        sub { $way{quiet} ? $page->() =~ /\Awritten=0 $way{why}/ : $told->() =~ $way{why} } );
    ok( $noticed, '... and the fault is noticed' ) or diag( $told->() );
    is( scalar( () = $told->() =~ /lines for the log are lost/g ), $way{quiet} ? 0 : 1,
        '... once' );
    $way{repair}->();
    is( $unit->log_in( '192.0.2.7', 'secret' ), 302, '... it is repaired' );
    my $text = $way{log}->();
    like( $text, qr/SUCCESS.*info LOST [1-5] lines since .*$way{why}/s, '... and the log tells' );
    like( $page->(), qr/\Awritten=1/,                                   '... is well again' );
    $unit->stop;
    return ( $noticed, $text );
}

sub wait_for {
    my ( $until, $job ) = @_;
    while ( time < $until ) {
        return 1 if $job->();
        sleep 0.1;
    }
    return;
}
my $count = 0;

# A file
for my $way (
    [
        'a file was moved away, and its folder is root\'s',
        qr/can't be opened: Permission denied/,
        sub { rename "$_[0]/logins.log", "$_[0]/old" or die $!; chown 0, -1, $_[0] },
        sub { chown( ( getpwnam 'nobody' )[2], -1, $_[0] ) },
    ],
    [
        'a disk is read-only',
        qr/can't be opened: Read-only file system/,
        sub { must("mount -o remount,ro '$_[0]'") },
        sub { must("mount -o remount,rw '$_[0]'") },
    ],
    [
        'a disk is full',
        qr/can't be written: No space left on device/,
        sub { fill( $_[0] ) },
        sub { unlink "$_[0]/big" },
    ],
    )
{
    my ( $name, $why, $break, $repair ) = @{$way};
    my ( $unit,    $folder ) = start('file');
    my ( $noticed, $text )   = loses(
        $name, $unit,
        why    => qr{/var/log/logmein/logins[.]log: the log $why},
        break  => sub { $break->($folder) },
        repair => sub { $repair->($folder) },
        log    => sub { read_file("$folder/logins.log") },
    );
    my @lines = split /\n/, $text;
    my @torn = grep { !/\A\[[^][]*\] info (?:LOST |NOTICE |x+\z|\[cpaneld\] [^][]+ $ID\z)/ } @lines;
    is( scalar @torn, $name =~ /full/ ? 1 : 0, '... with lines torn: ' . @torn ) or diag(@torn);
    is( ( grep { /info.* info / } @lines ), 0, '... which spoil no other' );
    $count++ if $noticed;
}

# Syslog
my $daemon = DevLog->open;
for my $way (
    [
        'no syslog daemon runs',
        qr/No such file or directory/,
        sub { unlink '/dev/log' },
        sub { $daemon = DevLog->open }
    ],
    [
        'a syslog daemon hangs',
        qr/Resource temporarily unavailable/,
        sub { $daemon->fill },
        sub { $daemon->heard }
    ],
    )
{
    my ( $name, $why, $break, $repair ) = @{$way};
    my ($noticed) = loses(
        $name, scalar start('syslog'),
        why    => qr{/dev/log: syslog does not take the log's lines: $why},
        break  => $break,
        repair => $repair,
        log    => sub { return join q{}, $daemon->heard },
    );
    $count++ if $noticed;
}

# Standard error
my $fifo = "$dir/stderr";
POSIX::mkfifo( $fifo, oct 600 ) or die $!;
sub reader { sysopen my $reader, $fifo, O_RDONLY | O_NONBLOCK or die $!; return $reader }
my $reader = reader();
my ($noticed) = loses(
    'nobody reads standard error',
    scalar start( 'stderr', before => [ 'sh', '-c', 'exec "$@" 2>"$0"', $fifo ] ),
    quiet  => 1,
    why    => qr/standard error: the log can't be written: Broken pipe/,
    break  => sub { close $reader },
    repair => sub { $reader = reader() },
    log    => sub { sysread $reader, my $text, 65_536; return $text },
);
$count++ if $noticed;
is( $count, 6, 'all are noticed' );
note("45: $count ways to lose the log, each noticed");
done_testing();
