#!/usr/bin/perl

# fail2ban, with the unchanged filter and jail in examples/, bans by the log of a gateway
# that runs as the systemd unit lets it: in the journal, by syslog and by standard error;
# in a file, as text and as JSON; in a file of a syslog daemon. And logrotate.

use strict;
use warnings;
use blib;
use lib    qw(t/lib xt/lib);
use DevLog ();
use Test::More;

my $HAS_DEV;
BEGIN { $HAS_DEV = DevLog::enter() }

use Author  qw(has_program read_file run);
use Unit    ();
use POSIX   ();
use Program ();
use Test::Cpanel::LogMeIn;
use Time::HiRes qw(sleep time);

my $PATIENCE = 30;                                                                         # seconds
my $JOURNALD = ( grep { -x } map { "$_/systemd/systemd-journald" } qw(/lib /usr/lib) )[0];
plan skip_all => 'fail2ban is not installed' if !has_program('fail2ban-regex');

my $site = Test::Cpanel::LogMeIn->new(
    accounts => { alice => 'secret', bob => { password => 'secret', suspended => 1 } } );
my $dir = $site->dir;
chmod oct 711, $dir;

# How many of these lines the filter matches.
sub matched {
    my ($lines) = @_;
    $site->write_file( "$dir/lines", $lines );
    my ( undef, $out ) = run( '.', "fail2ban-regex '$dir/lines' examples/fail2ban/filter.conf" );
    my ($count) = $out =~ /Lines: \d+ lines, \d+ ignored, (\d+) matched/ or diag($out);
    my ($dates) = $out =~ /Date template hits:\n(.*?)\n\n/s;
    return $count;
}

# The filter, with lines of all kinds.
for my $format (qw(text json)) {
    unlink "$dir/log";
    $site->settings( log_format => $format, log_unknown_users => 'yes' );
    my @from = ( remote_addr => '192.0.2.7' );
    $site->login( pass => 'wrong',  @from );
    $site->login( user => 'nobody', @from );
    $site->login( user => 'nobody', remote_addr => '2001:db8::7' );
    $site->login( user => 'alice',  @from );
    $site->login( user => 'bob',    @from );
    $site->login( pass => 'wrong' );
    $site->fault('store-away');
    $site->login(@from);
    $site->fault(undef);
    my @lines = grep { /LOGIN|"login"/ } split /^/, $site->log_text;
    is( scalar @lines,               7, "$format: seven logins are logged" ) or diag(@lines);
    is( matched( join q{}, @lines ), 3, '... fail2ban counts the three that it should' )
        or diag(@lines);
    my $bare = sub { s/\A\[[^\]]*\] //r };

    for my $head ( 'Nov 24 12:00:00 host', '2026-11-24T12:00:00.123456+01:00 host' ) {
        my $syslog = join q{}, map { "$head logmein[12]: " . $bare->($_) } @lines;
        is( matched($syslog), 3, "... with the head '$head'" );
    }
    my ($line) = grep { /the password is wrong/ } @lines;
    is( matched($line), 1, 'one line' );
    is( matched( $line =~ s/192[.]0[.]2[.]7( - alice|",)/-$1/r ), 0, 'control: no address' );
    is( matched( $line =~ s/LOGIN|"login"/X/r ),                  0, 'control: another event' );
}
like(
    matched(
        "[2026-11-24 12:00:00 +0000] info [cpaneld] - - 192.0.2.7 \"login\" FAILED LOGIN cpaneld: the password is wrong\n"
    ),
    qr/\A0\z/,
    'control: an address as a name is none'
);
$site->settings( log_format => undef );

# Real daemons, and gateways as the unit starts them
my ($missing) = grep { !has_program($_) } qw(fail2ban-server logrotate rsyslogd systemd-cat);
my $lacking =
      Unit::lacking()    ? Unit::lacking()
    : !$HAS_DEV          ? 'no name spaces here'
    : defined $missing   ? "$missing is not installed"
    : !defined $JOURNALD ? 'systemd is not installed'
    : ( run( '/', '/usr/bin/python3 -c "import systemd.journal"' ) )[0] != 0
    ? 'python3-systemd is not installed'
    : undef;
if ( defined $lacking ) {
SKIP: { skip $lacking, 1 }
    done_testing();
    exit;
}
Unit::hide(qw(/run /var/lib /var/log));
mkdir "$dir/work" or die $!;

sub start_program {
    my (@command) = @_;
    my $pid = fork // die "fork: $!";
    if ( !$pid ) {
        open STDOUT, '>>', "$dir/programs" or POSIX::_exit(9);
        open STDERR, '>&', \*STDOUT        or POSIX::_exit(9);
        { exec @command }
        POSIX::_exit(9);
    }
    return bless { pid => $pid, owner => $$ }, 'Program';
}

# A child process that runs the job; returns its output.
sub open_child {
    my ($job) = @_;
    my $pid = open( my $out, '-|' ) // die "fork: $!";
    return $out if $pid;
    $job->();
    close STDOUT;
    POSIX::_exit(0);
    return;
}

sub wait_for {
    my ($job) = @_;
    my $until = time + $PATIENCE;
    while ( time < $until ) {
        return 1 if $job->();
        sleep 0.1;
    }
    return;
}

# The journal, and a syslog daemon
mkdir $_ for qw(/run/systemd /run/systemd/journal /run/log /run/log/journal /run/rsyslog);
symlink '/run/systemd/journal/dev-log', '/dev/log' or die "/dev/log: $!";
my $journald = start_program($JOURNALD);
$site->write_file( "$dir/rsyslog.conf", <<"CONF" );
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="/run/rsyslog/log")
authpriv.* action(type="omfile" file="/var/log/auth.log")
CONF
my $rsyslogd =
    start_program( 'rsyslogd', '-n', '-f', "$dir/rsyslog.conf", '-i', "$dir/rsyslog.pid" );
ok( wait_for( sub { -S '/run/systemd/journal/stdout' && -S '/run/rsyslog/log' } ),
    'journal and syslog daemon run' )
    or BAIL_OUT( read_file("$dir/programs") );

# The jail of examples/, and the same with the lines for a file, or for syslog's file.
my $jail        = read_file('examples/fail2ban/jail.conf');
my ($as_file)   = $jail =~ /^# For log = file.*\n((?:#\w.*\n)+)/m;
my ($as_syslog) = $jail =~ /^# .*a syslog daemon.*\n((?:#\w.*\n)+)/m;

sub jail_with {
    my ( $name, $lines ) = @_;
    return $jail =~ s/^\[logmein\]/[$name]/mr =~ s/^backend.*\n/$lines =~ s{^#}{}mgr/mer;
}
my $config = "$dir/fail2ban";
my $bans   = "$dir/bans";
$site->write_file( "$config/fail2ban.conf", <<"CONF" );
[Definition]
loglevel = INFO
logtarget = $dir/fail2ban.log
syslogsocket = auto
socket = $dir/fail2ban.sock
pidfile = $dir/fail2ban.pid
dbfile = None
dbpurgeage = 1d
CONF
$site->write_file( "$config/action.d/record.conf", <<"CONF" );
[Definition]
actionban = echo '<name> <ip>' >>$bans
CONF
$site->write_file( "$config/jail.conf",             "[DEFAULT]\naction = record\n" );
$site->write_file( "$config/filter.d/logmein.conf", read_file('examples/fail2ban/filter.conf') );
$site->write_file( "$config/jail.d/logmein.conf",   $jail );
$site->write_file( "$config/jail.d/file.conf",      jail_with( 'file',   $as_file ) );
$site->write_file( "$config/jail.d/syslog.conf",    jail_with( 'syslog', $as_syslog ) );

# Standard error to the journal, as systemd does it; output stays.
my @TO_JOURNAL = (
    'sh', '-c', <<'SH', 'sh'
exec 3>&1
exec systemd-cat -t logmein sh -c '
    JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2)
    export JOURNAL_STREAM
    exec "$@" >&3 3>&-' sh "$@"
SH
);

# The gateways: their jails, an address, settings, and where they differ.
my $base = 'site_root = ' . $site->root . "\n";
my %kind = (
    journal => [ 'logmein', '192.0.2.1', 'log = syslog' ],
    stderr  => [ 'logmein', '192.0.2.2', 'log = stderr', before => \@TO_JOURNAL ],
    file    => [ 'file',    '192.0.2.3', 'log = file' ],
    syslog  => [
        'syslog', '192.0.2.4', "log = syslog\nlog_format = json", socket => '/run/rsyslog/log'
    ],
);
my %gateway;
for my $name ( sort keys %kind ) {
    my ( undef, undef, $settings, @more ) = @{ $kind{$name} };
    $gateway{$name} = Unit->start(
        work => "$dir/work/$name",
        site => $dir,
        conf => "$base$settings\n",
        @more
    );
    is( $gateway{$name}->log_in( $kind{$name}[1], 'secret' ), 302, "a gateway: $name" )
        or diag( $gateway{$name}{server}{said} );
}
system 'mount', '--bind', "$dir/work/file/log", '/var/log/logmein';

my $fail2ban = start_program( 'fail2ban-server', '-xf', '-c', $config, 'start' );
ok(
    wait_for(
        sub {
            -e "$dir/fail2ban.log"
                && read_file("$dir/fail2ban.log") =~ /(?:Jail .\w+. started.*){3}/s;
        }
    ),
    q{fail2ban has three jails}
) or BAIL_OUT( read_file("$dir/programs") );

sub banned {
    return -e $bans ? { map { $_ => 1 } split /\n/, read_file($bans) } : {};
}

# Nine failures, at all gateways at once
sub nine_failures {
    my ($name) = @_;
    my @status = map { $gateway{$name}->log_in( $kind{$name}[1], 'wrong' ) } 1 .. 9;
    print "@status";
    return;
}
my %failures;
for my $name ( sort keys %kind ) {
    $failures{$name} = open_child( sub { nine_failures($name) } );
}
like( readline $failures{$_}, qr/\A(?:401 ?|429 ?){9}\z/, "$_: nine failures" ) for sort keys %kind;
sleep 2;
is_deeply( banned(), {}, 'control: nobody is banned for nine' );
$gateway{$_}->log_in( $kind{$_}[1], 'wrong' ) for sort keys %kind;
my %wanted = map { ( "$_->[0] $_->[1]" => 1 ) } values %kind;
wait_for( sub { keys %{ banned() } >= keys %wanted } );
is_deeply( banned(), \%wanted, 'the tenth failure bans, whatever the log is' )
    or diag( read_file("$dir/fail2ban.log") );

# What an operator sees
my ( undef, $out ) = run( '/', 'journalctl -q -t logmein -D /run/log/journal' );
is( scalar( () = $out =~ /info \[cpaneld\] 192[.]0[.]2[.]$_ /g ),
    11, "journalctl -t logmein: address $_" )
    for 1, 2;
( undef, $out ) = run( '/', 'journalctl -q -t logmein -p err -D /run/log/journal' );
is( $out, q{}, '... none of them an error' );
$site->write_file( "$dir/journal.conf", "log = syslog\n", oct 600 );
my $tail = "$^X -Mblib blib/script/logmein log tail --config '$dir/journal.conf' --json";
( undef, $out ) = run( '.', "$tail -n 100 --address 192.0.2.1 --failed" );
is( scalar( () = $out =~ /"event":"login".*"outcome":"failed"/g ), 10, 'logmein log tail: ten' );
my $newest = ( split /\n/, $out )[-1] // q{};
like( $newest, qr/"time":"20[^"]+Z","user":"alice"/, '... with their time' );
( undef, $out ) = run( '.', "timeout 3 $tail -f -n 1 & sleep 1; logger -t logmein now; wait" );
is( scalar( () = $out =~ /\n/g ), 2, '... and those that are added' ) or diag($out);
like( $out, qr/"detail":"now"/, '... each once' );

# logrotate, with the file in examples/
$site->write_file( "$dir/logrotate.conf",
    read_file('examples/logrotate/logmein') =~ s/\bsu logmein logmein/su nobody nogroup/r );
my $log   = '/var/log/logmein/logins.log';
my $whole = read_file($log);
( my $status, $out ) = run( '/', "logrotate -s '$dir/logrotate' -f '$dir/logrotate.conf'" );
is( $status,                                         0,      'logrotate works' ) or diag($out);
is( read_file("$log.1"),                             $whole, '... the file is moved away' );
is( $gateway{file}->log_in( '192.0.2.9', 'secret' ), 302,    '... a login' );
like( read_file($log), qr/\A\[[^\n]*SUCCESS[^\n]*\n\z/, '... makes it again' );
is( ( stat $log )[4], ( getpwnam 'nobody' )[2], '... for the gateway' );
$_->stop for values %gateway;
$_->stop for $fail2ban, $rsyslogd, $journald;
done_testing();
