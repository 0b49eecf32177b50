#!/usr/bin/perl

# `logmein log tail`: both formats, filters, lines that are added, hostile lines.

use strict;
use warnings;
use JSON::PP              ();
use POSIX                 ();
use Test::Cpanel::LogMeIn ();
use Test::More;
use Time::HiRes qw(sleep time);
use lib 't/lib';
use Logins qw(access_of open_session site);
use Run    qw(logmein);

my $PATIENCE = 20;                                                           # seconds
my $site     = site( accounts => { alice => 'secret', bob => 'secret' } );
my $log      = "$site->{dir}/lines";
my @from     = ( remote_addr => '192.0.2.7' );

sub tail {
    my (@options) = @_;
    my $answer = logmein( qw(log tail), @options );
    is( $answer->{status}, 0, "tail @options" ) or diag( $answer->{err} );
    return $answer->{out};
}

sub objects {
    return map { JSON::PP::decode_json($_) } split /\n/, tail( '--json', @_ );
}

sub append {
    my ($bytes) = @_;
    open my $file, '>>:raw', $log or die "$log: $!";
    print {$file} $bytes;
    return close $file;
}

# The same events, written by the core in each format, are the same objects.
my %objects;
for my $format (qw(text json)) {
    unlink $log;
    $site->settings( log => "file:$log", log_format => $format );
    my $session = open_session(@from);
    $site->login( @from, pass => 'x' );
    $site->login( user => 'bob', service => 'webmail', remote_addr => '2001:db8::9' );
    $site->login( user => 'nobody', pass => 'x' );
    Cpanel::LogMeIn::Session->end( access_of($session) );
    $site->settings( test_fault => 'store-away' );
    $site->login;
    $site->settings( test_fault => undef );
    my @objects = objects();
    like( $_->{time}, qr/\A20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ\z/, '... a time' ) for @objects;
    my @ids = map { $_->{session} // () } @objects;
    cmp_ok( scalar @ids, '>=', 3, '... and ids of sessions' );
    delete @{$_}{qw(time level reason session)} for @objects;
    $_->{detail} =~ s/[0-9a-f]{16}/ID/ for @objects;
    $objects{$format} = \@objects;

    is( scalar objects('--failed'),                          3, '... three failed logins' );
    is( scalar objects(qw(--user alice)),                    4, '... four lines of alice' );
    is( scalar objects(qw(--address 2001:db8::9)),           1, '... one of an address' );
    is( scalar objects(qw(--event login)),                   5, '... five of an event' );
    is( scalar objects(qw(--service webmail)),               1, '... one of a service' );
    is( scalar objects(qw(--event login --user alice -n 1)), 1, '... of two the last one' );
    is( ( objects(qw(--event login --user alice -n 1)) )[0]{outcome}, 'failed', '... really' );
    is( scalar objects(qw(--since 1h)), scalar @objects, '... all in an hour' );
    like(
        tail(qw(--event new)),
        qr/\A\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  new  +cpanel  +-  +alice +ticket \([0-9a-f]{16}\)\n\z/,
        '... for a person'
    );
}
is_deeply( $objects{json}, $objects{text}, 'both formats tell the same' );
is_deeply(
    $objects{text}[0],
    {
        event   => 'login',
        service => 'cpanel',
        address => '192.0.2.7',
        user    => 'alice',
        outcome => 'success',
        detail  => 'session ID'
    },
    '... this'
);

# Where a time zone is not UTC, and of an old line.
unlink $log;
append(
    "[2024-02-29 23:30:00 -0130] info [cpaneld] - - alice \"login by uid 33\" FAILED LOGIN cpaneld: x\n"
);
is_deeply(
    [ objects() ],
    [
        {
            time       => '2024-03-01T01:00:00Z',
            event      => 'login',
            service    => 'cpanel',
            user       => 'alice',
            caller_uid => 33,
            outcome    => 'failed',
            detail     => 'x'
        }
    ],
    'a time with a zone, and a local program'
);
is( scalar objects(qw(--since 1w)), 0, '... an old line is left out' );

# Hostile and broken lines: nothing drives the terminal, nothing is lost, nothing dies.
my @hostile = (
    "[2024-02-29 23:30:00 +0000] info FAULT \e[31mred\a\n",
    "\e]0;title\a info\n",
    "{\"event\":\"login\",\"user\":\"\\u001b[2J\\u009b1m\",\"detail\":\"a\\nb\\u202e\"}\n",
    "\x{c2}\x{9b}31m \xff\xfe\n",
    "{\"event\":{},\"detail\":\"x\"}\n",
    "{\"event\":\"login\",\"detail\":\n",
    "{" x 3000 . "\n",
    "[9999-99-99 99:99:99 +9999] info FAULT x\n",
    "\n",
    "\0\0\0\n",
    'x' x 200_000 . "\n",
);
append($_) for @hostile;
my $shown = tail(qw(-n 100));
unlike( $shown, qr/[\x00-\x09\x0b-\x1f\x7f]/,     'hostile lines: no control characters' );
unlike( $shown, qr/\xc2[\x80-\x9f]|\xe2\x80\xae/, '... nor those of C1, nor bidi ones' );
like( $shown, qr/fault .*\?\[31mred\?$/m, '... in their place there is ?' );
like( $shown, qr/a\?b\?$/m,               '... in JSON too' );
my $json = logmein(qw(log tail --json -n 100))->{out};
unlike( $json, qr/[^\x20-\x7e\n]/, '... JSON is ASCII' );
is( scalar( () = $json =~ /\n/g ), @hostile, '... a line each, but for the empty one' );

# What is still being written is no line yet; the last line of many blocks is found.
unlink $log;
my $line = '[2024-02-29 23:30:00 +0000] info [cpaneld] - - u%d "login" FAILED LOGIN cpaneld: %s';
append( sprintf "$line\n", $_,   'y' x ( $_ % 700 ) ) for 1 .. 3000;
append( sprintf $line,     3001, 'not whole' );
is( join( q{ }, map { $_->{user} } objects(qw(-n 3)) ), 'u2998 u2999 u3000', 'the last lines' );
is(
    join( q{ }, map { $_->{user} } objects( '-n', 9999 ) ),
    join( q{ }, map { "u$_" } 1 .. 3000 ),
    '... all of them in their order'
);
is( ( objects(qw(--user u7)) )[0]{detail}, 'y' x 7, '... one from far above' );

# Lines that are added, also across a rotation.
sub wait_for {
    my ( $path, $text ) = @_;
    my $until = time + $PATIENCE;
    while ( time < $until ) {
        open my $file, '<', $path or die $!;
        local $/ = undef;
        return 1 if index( readline($file) // q{}, $text ) >= 0;
        sleep 0.05;
    }
    return 0;
}
unlink $log;
append( sprintf "$line\n", 1, 'first' );
my $out = "$site->{dir}/out";
$site->write_file( $out, q{} );
my $pid = fork // die "fork: $!";
if ( !$pid ) {
    open STDOUT, '>', $out or POSIX::_exit(1);
    exec $^X, qw(-Iblib/arch -Iblib/lib blib/script/logmein log tail -f --event login);
}
ok( wait_for( $out, 'first' ), '-f: what is there' );
append( sprintf $line, 2, 'sec' );
sleep 0.5;
append("ond\n");
ok( wait_for( $out, 'second' ), '... a line that comes in two parts' );
append("[2024-02-29 23:30:00 +0000] info FAULT hidden\n");
rename $log, "$log.1" or die $!;
sleep 0.5;
append( sprintf "$line\n", 3, 'third' );
ok( wait_for( $out, 'third' ), '... in another file, after a rotation' );
open my $emptied, '>', $log or die $!;
close $emptied;
sleep 0.5;
append( sprintf "$line\n", 4, 'fourth' );
ok( wait_for( $out, 'fourth' ), '... in the same one, emptied' );
kill TERM => $pid;
waitpid $pid, 0;
open my $file, '<', $out or die $!;
my @words = map { /(\w+)$/ } <$file>;
is( "@words", 'first second third fourth', '... each once, and only what is wanted' );

# Nothing to read, and bad input.

sub is_refused {
    my ( $status, $like, @arguments ) = @_;
    my $answer = logmein(@arguments);
    is( $answer->{status}, $status, "'@arguments': status $status" );
    like( $answer->{err}, $like, '... a sentence' );
    is( $answer->{out}, q{}, '... nothing else' );
    return;
}
for my $case (
    [ qr/'log' needs a word/,            'log' ],
    [ qr/Unknown word 'head'/,           'log', 'head' ],
    [ qr/Unexpected argument 'x'/,       qw(log tail x) ],
    [ qr/Unexpected argument/,           qw(log tail --), '-f' ],
    [ qr/must be from 1/,                qw(log tail -n 0) ],
    [ qr/must be from 1/,                qw(log tail -n -1) ],
    [ qr/must be from 1/,                qw(log tail -n 1000001) ],
    [ qr/invalid for option/,            qw(log tail -n x) ],
    [ qr/invalid for option/,            qw(log tail -n 1.5) ],
    [ qr/requires an argument/,          qw(log tail -n) ],
    [ qr/There is no event 'logins'/,    qw(log tail --event logins) ],
    [ qr/There is no event ''/,          qw(log tail --event), q{} ],
    [ qr/There is no event 'LOGIN'/,     qw(log tail --event LOGIN) ],
    [ qr/There is no service 'mail'/,    qw(log tail --service mail) ],
    [ qr/There is no service 'cpaneld'/, qw(log tail --service cpaneld) ],
    [ qr/'1' is no age/,                 qw(log tail --since 1) ],
    [ qr/'0d' is no age/,                qw(log tail --since 0d) ],
    [ qr/'yesterday' is no age/,         qw(log tail --since yesterday) ],
    [ qr/'-1h' is no age/,               qw(log tail --since=-1h) ],
    [ qr/'9999999999w' is no age/,       qw(log tail --since 9999999999w) ],
    [ qr/requires an argument/,          qw(log tail --user) ],
    [ qr/does not take an argument/,     qw(log tail --failed=1) ],
    )
{
    my ( $like, @arguments ) = @{$case};
    is_refused( 2, $like, @arguments );
}
for my $case (
    [ 'none',           qr/Nothing is logged: the settings have 'log = none'/ ],
    [ 'stderr',         qr/standard error: the settings have 'log = stderr'/ ],
    [ "file:$log-none", qr/\Q$log\E-none: No such file/ ],
    )
{
    $site->settings( log => $case->[0], log_format => undef );
    is_refused( 3, $case->[1], qw(log tail) );
}
$site->settings( log => 'syslog' );
{
    local $ENV{PATH} = '/nonexistent';
    is_refused( 3, qr/journalctl: No such file.*log = syslog/, qw(log tail) );
}
done_testing();
