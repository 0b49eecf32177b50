#!/usr/bin/perl

# The log: to a file, to standard error, to syslog; as text and as JSON; and what
# happens when it can't be written.

use strict;
use warnings;
use lib 't/lib';
use DevLog ();
use Test::More;

my $HAS_DEV;
BEGIN { $HAS_DEV = DevLog::enter() }    # starts anew, if it can

use Cpanel::LogMeIn::Session ();
use Fcntl                    qw(F_GETFL F_SETFL O_NONBLOCK);
use File::Temp               qw(tempdir);
use JSON::PP                 ();
use List::Util               qw(min);
use POSIX                    ();
use Sys::Syslog              ();
use Test::Cpanel::LogMeIn;
use Time::HiRes qw(time);

my $TIME = qr{\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] };
my $ID   = qr{[0-9a-f]{16}};
my $site = Test::Cpanel::LogMeIn->new( accounts => { alice => 'secret' } );
my $dir  = $site->dir;
my $file = "$dir/log";
my $mine = "file:$file";

# Not the failures of this test: Test::More has its own copy.
open STDERR, '>>', "$dir/stderr" or die $!;

sub text_of {
    my ($path) = @_;
    open my $in, '<', $path or return q{};
    local $/ = undef;
    return readline($in) // q{};
}

sub lines_of { my ($path) = @_; return split /\n/, text_of($path) }

# A child process runs the job with this descriptor 2; undef: closed. Returns the output.
sub with_stderr {
    my ( $fd, $job ) = @_;
    return Test::Cpanel::LogMeIn::in_child(
        sub {
            POSIX::close(2);
            POSIX::dup2( $fd, 2 ) if defined $fd;
            return $job->();
        }
    );
}

# One login that is good, and one that is not; their messages.
sub two_logins {
    my @messages =
        map { ( $site->login( pass => $_, remote_addr => '192.0.2.7' ) )[1] } qw(secret wrong);
    return join '|', @messages;
}
my $TWO = 'Login OK|The login is invalid.';

# The same by an object; the reasons.
my %login =
    ( hostname => 'localhost', service => 'cpanel', user => 'alice', remote_addr => '192.0.2.7' );

sub two_by {
    my ($sessions) = @_;
    my @reasons = map { $sessions->log_in( %login, pass => $_ )->{reason} } qw(secret wrong);
    $site->forget;
    return join '|', @reasons;
}

sub open_file {
    my ( $path, $flags ) = @_;
    return POSIX::open( $path, $flags, oct 600 ) // die "$path: $!";
}

# All kinds of lines, in a file.
my $from = { remote_addr => '192.0.2.7' };
my ( $url, $token ) = login_ok( $from, 'a login' );
my $session  = url_redeems_ok( $url, '... its URL' );
my ($ticket) = Test::Cpanel::LogMeIn::parse_url($url);
my %access   = ( token => $token, service => 'cpanel', address => '192.0.2.7', agent => 'x' );
Cpanel::LogMeIn::Session->redeem( %access, ticket => $ticket );
Cpanel::LogMeIn::Session->end( %access, cookie => $session->{cookie} );
login_fails( { %{$from}, pass => 'wrong' },  'a wrong password' );
login_fails( { %{$from}, user => 'nobody' }, 'no account' );
Cpanel::LogMeIn::Session->log_in(
    hostname   => 'localhost',
    service    => 'webmail',
    user       => 'alice',
    pass       => 'wrong',
    caller_uid => 33
);
$site->fault('store-away');
login_fails( {}, 'a fault' );
$site->fault(undef);
my $log   = text_of($file);
my $found = sub {
    my ($line) = @_;
    return scalar( () = $log =~ /^$TIME$line$/mg );
};

my $away = 'the store is simulated to be missing';
for my $line (
    qr/info \[cpaneld\] 192[.]0[.]2[.]7 - alice "login" SUCCESS LOGIN cpaneld: session $ID/,
    qr/info \[cpaneld\] - NEW alice:$session->{id} ticket/,
    qr/info \[cpaneld\] 192[.]0[.]2[.]7 REFUSED alice:$session->{id} spent/,
    qr/info \[cpaneld\] 192[.]0[.]2[.]7 PURGE alice:$session->{id} logout/,
    qr/info \[cpaneld\] 192[.]0[.]2[.]7 - alice "login" FAILED LOGIN cpaneld: the password is wrong/,
    qr/info \[cpaneld\] 192[.]0[.]2[.]7 - - "login" FAILED LOGIN cpaneld: there is no such account/,
    qr/info \[webmaild\] - - alice "login by uid 33" FAILED LOGIN webmaild: the password is wrong/,
    qr/info TEST test_clock or test_fault is set: this is a test site/,
    qr/info \[cpaneld\] - - - "login" FAILED LOGIN cpaneld: test_fault: $away/,
    )
{
    is( $found->($line), 1, "one line: $line" ) or diag($log);
}
unlike( $log, qr/secret|lmt_|$token|cpsess/, 'no line holds a secret' );
is( ( stat $file )[2] & oct 777, oct 600, 'the file is for its owner' );

# JSON
unlink $file;
$site->settings( log_format => 'json' );
$session = url_redeems_ok( scalar login_ok( $from, 'a login' ), '... its URL' );
login_fails( { %{$from}, pass => 'wrong' },  'a wrong password' );
login_fails( { %{$from}, user => 'nobody' }, 'no account' );
my @json = map { JSON::PP->new->utf8->decode($_) } lines_of($file);
like( $_->{time}, qr/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\z/, 'JSON: a time in UTC' ) for @json;
delete $_->{time} for @json;
my %same = ( level => 'info', service => 'cpanel' );
my %both = ( %same, address => '192.0.2.7', event => 'login' );
is_deeply(
    \@json,
    [
        {
            user    => 'alice',
            session => $session->{id},
            outcome => 'success',
            reason  => 'ok',
            detail  => "session $session->{id}",
            %both
        },
        { event => 'new', user => 'alice', session => $session->{id}, detail => 'ticket', %same },
        {
            user    => 'alice',
            outcome => 'failed',
            reason  => 'invalid',
            detail  => 'the password is wrong',
            %both
        },
        {
            outcome => 'failed',
            reason  => 'invalid',
            detail  => 'there is no such account',
            %both
        },
    ],
    '... the same lines'
) or diag( text_of($file) );

# A path that is not as paths should be, in a fault's line
my $odd = "$dir/\xC3\xA9\xC2\x9B\xFF\"\\/key";
for my $format (qw(text json)) {
    unlink $file;
    $site->settings( log_format => $format, key_file => $odd );
    login_fails( {}, 'a fault' );
    my ($line) = grep { /key/ } lines_of($file);
    unlike( $line, qr/\xC2\x9B|[\x00-\x1f\x7f]/, "$format: no control character is written" );
    next if $format eq 'text';
    my $decoded = JSON::PP->new->utf8->decode($line);
    like( $decoded->{detail}, qr{\A\Q$dir\E/\x{fffd}{2}\x{9b}\x{fffd}"\\/key: }, '... JSON holds' );
}
$site->settings( log_format => undef, key_file => undef );
forget_log();

sub forget_log { unlink $file; return }

# A file that is moved away is made again; what is no ordinary file is none.
two_logins();
rename $file, "$file.1" or die $!;
is( two_logins(),               $TWO, 'the file is moved away' );
is( scalar lines_of($file),     2,    '... and made again' );
is( scalar lines_of("$file.1"), 2,    '... with nothing lost' );
my $sessions = Cpanel::LogMeIn::Session->new;
is_deeply( $sessions->log_state, { written => 1, lost => 0, since => 0, detail => q{} },
    'all is well' );
my $errors = "$dir/errors";

for my $case (
    [ 'a link',   sub { symlink "$dir/elsewhere", $file }, qr/can't be opened/ ],
    [ 'a folder', sub { mkdir $file },                     qr/can't be opened/ ],
    [ 'a FIFO',   sub { POSIX::mkfifo( $file, oct 600 ) }, qr/can't be opened/ ],
    [
        'a second name',
        sub { $site->write_file( "$dir/data", 'DATA' ); link "$dir/data", $file },
        qr/no ordinary file/
    ],
    [
        'no folder',
        sub { $site->settings( log => "file:$dir/nowhere/log" ) },
        qr{nowhere/log: .*opened}
    ],
    )
{
    my ( $name, $make, $why ) = @{$case};
    forget_log();
    $make->();
    my $fresh = Cpanel::LogMeIn::Session->new;
    $fresh->settings;
    unlink $errors;
    my $fd = open_file( $errors, POSIX::O_WRONLY() | POSIX::O_CREAT() );
    is( with_stderr( $fd, sub { two_by($fresh) } ), 'ok|invalid', "$name: logins are answered" );
    POSIX::close($fd);
    my @told = lines_of($errors);
    is( scalar @told, 1, '... standard error is told once' );
    like( $told[0], qr/\Alogmein: lines for the log are lost, 1 of them: .*$why/, '... why' );
    my $state = $fresh->log_state;
    is( $state->{written}, 0, '... and it is known' );
    is( $state->{lost},    2, '... how many lines are lost' );
    like( $state->{detail}, $why, '... with the reason' );
    cmp_ok( time - $state->{since}, '<', 60, '... and since when' );
    ok( !$fresh->try_log('x'), '... a try fails' );
    like( $Cpanel::LogMeIn::detail, $why, '... and says why' );
    $site->settings( log => $mine );
    rmdir $file if -d $file && !-l $file;
    forget_log();
}
is( text_of("$dir/data"), 'DATA', 'a file with a second name is not written' );
ok( !-e "$dir/elsewhere", '... nor what a link leads to' );

# All processes that have the object from one another count together.
mkdir $file or die $!;
$sessions = Cpanel::LogMeIn::Session->new;
unlink $errors;
my $fd = open_file( $errors, POSIX::O_WRONLY() | POSIX::O_CREAT() );
$sessions->settings;
with_stderr( $fd, sub { two_by($sessions) } ) for 1 .. 3;
is( $sessions->log_state->{lost}, 6, 'lines that other processes have lost are counted' );
is( scalar lines_of($errors),     1, '... and told once' );
rmdir $file;
is( $sessions->log_state->{written}, 1, 'it can be written again' );
is( $sessions->log_state->{since},   0, '... and nothing is missing' );
is( $sessions->log_state->{lost},    6, '... what is lost stays so' );
like(
    text_of($file),
    qr/\A${TIME}info LOST 6 lines since [\d: +-]+: \Q$file\E: .*\n\z/,
    '... which the log tells'
);
forget_log();
ok( $sessions->try_log("a\nb"), 'a try' ) or diag($Cpanel::LogMeIn::detail);
like( text_of($file), qr/\A${TIME}info NOTICE a[?]b\n\z/, '... is one line' );

# What a full disk has left of a line is ended before the next.
SKIP: {
    skip 'prlimit is missing', 3 if system('prlimit --version >/dev/null 2>&1') != 0;
    forget_log();
    my $shared = Cpanel::LogMeIn::Session->new;
    $shared->try_log('one');
    my $limit = 30 + -s $file;
    my $said  = Test::Cpanel::LogMeIn::in_child(
        sub {
            local $SIG{XFSZ} = 'IGNORE';
            system "prlimit --pid $$ --fsize=$limit";
            return join q{|}, map { $shared->try_log($_) ? 'written' : 'lost' } qw(two three);
        }
    );
    is( $said, 'lost|lost', 'lines on a full disk' );
    ok( $shared->try_log('four'), '... and with room again' );
    like(
        text_of($file),
        qr/\A[^\n]* one\n[^\n]{30}\n${TIME}info NOTICE four\n${TIME}info LOST 2 lines [^\n]*\n\z/,
        '... what is torn spoils no line'
    );
}

forget_log();
$site->settings( log => 'none' );
ok( Cpanel::LogMeIn::Session->try_log('x'), 'no log can always be written' );

# Root makes the file for the store's owner.
SKIP: {
    skip 'only root makes files for others', 2 if $< != 0;
    my $nobody = ( getpwnam 'nobody' )[2];
    my $other  = Test::Cpanel::LogMeIn->new;
    mkdir $other->dir . '/store', oct 700;
    chown $nobody, -1, $other->dir, $other->dir . '/store';
    $other->fault('store-away');
    login_fails( {}, 'a login of root, while the store has no key yet' );
    is( ( stat $other->dir . '/log' )[4], $nobody,
        '... makes the log for the owner of its folder' );
}

# Standard error
$site->settings( log => 'stderr' );
$fd = open_file( $errors, POSIX::O_WRONLY() | POSIX::O_CREAT() | POSIX::O_TRUNC() );
is( with_stderr( $fd, \&two_logins ), $TWO, 'log = stderr' );
my @lines = lines_of($errors);
is( scalar @lines, 2, '... two lines' );
like( $_, qr/\A${TIME}info \[cpaneld\] 192[.]0[.]2[.]7 - alice "login"/, '... with time' )
    for @lines;
POSIX::close($fd);

# Whether the log could be written, after two logins with this descriptor 2.
sub state_after {
    my ($with) = @_;
    my $shared = Cpanel::LogMeIn::Session->new;
    $shared->settings;
    my $said = with_stderr(
        $with,
        sub {
            local $SIG{PIPE} = sub { print 'SIGPIPE ' };
            my $start = time;
            return join q{|}, two_by($shared), time - $start < 2 ? 'quick' : 'slow';
        }
    );
    return join q{|}, $said, $shared->log_state->{lost};
}
is( state_after(undef), 'ok|invalid|quick|2', 'a closed standard error loses lines' );
pipe my $reader, my $writer or die $!;
close $reader;
is( state_after( fileno $writer ),
    'ok|invalid|quick|2', '... so does a pipe that nobody reads, without SIGPIPE' );
pipe $reader, $writer or die $!;
my $flags = fcntl $writer, F_GETFL, 0;
fcntl $writer, F_SETFL, $flags | O_NONBLOCK;
1 while syswrite $writer, 'x' x 4096;
fcntl $writer, F_SETFL, $flags;
is( state_after( fileno $writer ), 'ok|invalid|quick|2', '... and a full pipe, without waiting' );
sysread $reader, my $room, 65_536;
is( state_after( fileno $writer ), 'ok|invalid|quick|0', 'control: with room in it' );
$fd = open_file( "$dir/data", POSIX::O_RDWR() );
is( state_after($fd),     'ok|invalid|quick|2', 'a file of data is no standard error' );
is( text_of("$dir/data"), 'DATA',               '... and stays as it is' );
POSIX::close($fd);
my $client = IO::Socket::INET->new( LocalAddr => '127.0.0.1', Listen => 1 ) or die $!;
is( state_after( fileno $client ), 'ok|invalid|quick|2', '... nor is a connection of the network' );

# As the journal wants it
socketpair my $journal, my $gateway, Socket::AF_UNIX(), Socket::SOCK_STREAM(), 0 or die $!;
{
    local $ENV{JOURNAL_STREAM} = join q{:}, ( stat $gateway )[ 0, 1 ];
    is( state_after( fileno $gateway ), 'ok|invalid|quick|0', 'for the journal' );
    $site->fault('store-away');
    state_after( fileno $gateway );
    $site->fault(undef);
    sysread $journal, my $said, 65_536;
    my @said = split /\n/, $said;
    like( $said[0], qr/\A<6>info \[cpaneld\] 192/, '... each line begins with its level' );
    like( $said[1], qr/\A<6>info .* FAILED/,       '... and has no time' );
    is( ( grep { /\A<3>info .* FAILED .*the store is simulated to be missing/ } @said ),
        2, '... a fault is worse' )
        or diag($said);
}
SKIP: {
    skip 'only root has a /dev of its own', 1 if !$HAS_DEV;
    $site->settings( log => 'syslog' );
    syslog_lines();
}

sub syslog_lines {
    my $daemon = DevLog->open;
    my $head   = qr{(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ 1-3]\d \d\d:\d\d:\d\d };

    # The host program has its own tag, and another name than it was started by.
    Sys::Syslog::setlogsock('native');
    Sys::Syslog::openlog( 'host', 'ndelay', 'user' );
    local $0 = 'something else';
    is( two_logins(), $TWO, 'log = syslog' );
    Sys::Syslog::syslog( 'info', 'of the host program' );
    my @heard = $daemon->heard;
    is( scalar @heard, 3, '... two datagrams, and the one of the host program' );
    like(
        $heard[0],
        qr/\A<86>${head}logmein\[$$\]: info \[cpaneld\] 192.* SUCCESS [^\n]*\z/,
        '... with the tag logmein'
    );
    like( $heard[1], qr/\A<86>${head}logmein\[$$\]: info \[cpaneld\] 192.* FAILED /, '... always' );
    like( $heard[2], qr/\A<14>${head}host: of the host program/, '... and it keeps its own' );
    $site->settings( log_format => 'json' );
    two_logins();
    @heard = $daemon->heard;
    like( $heard[0], qr/\A<86>${head}logmein\[$$\]: \{"time":.*\}\z/, 'JSON' );
    $site->settings( log_format => undef );

    # A daemon that has stopped reading: the first line that finds no room waits a
    # little, the next ones don't.
    my $shared  = Cpanel::LogMeIn::Session->new;
    my $written = -1;
    my ( $good, @took );
    do {
        my $start = time;
        $good = $shared->try_log('fills the socket');
        @took = ( time - $start );
        $written++;
    } while ($good);
    for ( 1 .. 3 ) {
        my $start = time;
        ok( !$shared->try_log('x'), 'a full socket' );
        push @took, time - $start;
    }
    cmp_ok( shift @took, '>', 0.09, '... is waited for' );
    cmp_ok( min(@took),  '<', 0.05, '... but not while lines are missing' );
    is( $shared->log_state->{lost}, 4, '... and the lines are counted' );
    @heard = $daemon->heard;
    is( scalar @heard,                 $written, '... the others are there' );
    is( $shared->log_state->{written}, 1,        'the daemon reads again' );
    @heard = $daemon->heard;
    like( $heard[0], qr/\A<83>.*logmein\[$$\]: info LOST 4 lines since /, '... and is told' );

    # No daemon, and none that takes datagrams
    for my $case ( [ 'none', sub { } ], [ 'another one', \&DevLog::stream ] ) {
        my ( $name, $make ) = @{$case};
        unlink '/dev/log';
        my $other = $make->();
        is( two_logins(), $TWO, "$name: logins are answered" );
        ok( !$shared->try_log('x'), '... and a try fails' );
        like(
            $Cpanel::LogMeIn::detail,
            qr{\A/dev/log: syslog does not take the log's lines: .*log = stderr},
            '... and says what to do'
        );
    }
    return;
}
done_testing();
