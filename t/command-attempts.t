#!/usr/bin/perl

# `logmein attempts`: who waits after failed logins, and clearing that.

use strict;
use warnings;
use Cpanel::LogMeIn::Command::Attempts ();
use Cpanel::LogMeIn::Session           ();
use Digest::SHA                        ();
use JSON::PP                           qw(decode_json);
use Pod::Usage                         ();
use Test::More;
use Test::Cpanel::LogMeIn;
use lib 't/lib';
use Logins qw($START at log_in redeem site);
use Run    qw(forked logmein);

my $NOBODY = 65_534;
my $HOME   = '192.0.2.7';
my $site   = site(
    accounts => { map { $_ => 'secret' } qw(alice bob carol), 'info@alice.example' },
    domains  => { 'alice.example' => 'alice' },
    clock    => $START,
    waits    => 1,
);

# Failed logins of a name, one source after the other.
sub guess {
    my ( $count, $user, $from, %more ) = @_;
    for ( 1 .. $count ) {
        my ($ok) = $site->login( user => $user, pass => 'wrong', remote_addr => $from, %more );
        die "$user logs in\n" if $ok;
    }
    return;
}

sub attempts { return decode_json( forked(qw(attempts list --json))->{out} ) }

# Each named entry: "name bob: 3, 1 s".
sub named {
    my ($attempts) = @_;
    return [
        map {
            join( q{ }, $_->{kind}, grep { defined } @{$_}{qw(user source)} )
                . ": $_->{failures}, $_->{wait} s"
        } @{ ( $attempts // attempts() )->{attempts} }
    ];
}

sub unnamed {
    my ($kind) = @_;
    my $count = attempts()->{unnamed}{$kind};
    return "$count->{rows}, $count->{waiting} wait";
}

# An empty list
my $empty = attempts();
is_deeply( $empty->{attempts}, [], 'at first there is nothing' );
is_deeply(
    $empty->{unnamed},
    { map { $_ => { rows => 0, waiting => 0 } } qw(name pair source network) },
    '... of any kind'
);
is( forked(qw(attempts list))->{out}, "KIND  NAME  SOURCE  FAILURES  WAIT\n",
    '... an empty table' );

# Names
guess( 3, 'bob' );
guess( 2, 'info@alice.example', undef, service => 'webmail' );
guess( 4, 'nosuch' );
guess( 1, "other$_" ) for 1 .. 3;
is_deeply(
    named(),
    [ 'name bob: 3, 1 s', 'name info@alice.example: 2, 0 s' ],
    'accounts are named'
);
is( unnamed('name'), '4, 1 wait', '... other names are counted' );
at(1);
guess( 1, 'bob' );
is( named()->[0], 'name bob: 4, 2 s', 'the wait after another failure' );
at(2);
is( named()->[0], 'name bob: 4, 1 s', '... gets shorter' );
at(4);
is( named()->[0], 'name bob: 4, 0 s', '... and ends' );

# A known source, and other sources.
at(10);
my $session =
    redeem( log_in( user => 'carol', remote_addr => $HOME ), address => $HOME, agent => 'x' );
at(20);
guess( 3, 'carol', $HOME );
redeem(
    log_in( user => 'alice', remote_addr => '2001:db8:1:2::3' ),
    address => '2001:db8:1:2::3',
    agent   => 'x'
);
guess( 1, "v6name$_", '2001:db8:1:2::4' ) for 1 .. 31;
guess( 1, "v4name$_", '198.51.100.9' )    for 1 .. 31;
guess( 1, "uid$_",    undef, )            for 1 .. 2;
Cpanel::LogMeIn::Session->log_in(
    user       => 'x',
    pass       => 'wrong',
    hostname   => 'localhost',
    service    => 'cpanel',
    caller_uid => 33
) for 1 .. 2;
is_deeply(
    [ grep { !/^name/ } @{ named() } ],
    [
        "pair carol $HOME: 3, 1 s",
        'source 2001:db8:1:2::/64: 30, 1 s',
        'source uid:33: 2, 0 s',
        'network 2001:db8:1::/48: 30, 0 s',
    ],
    'sources that sessions or numbers of users tell are named'
);
is( unnamed('source'), '1, 1 wait', '... others are counted' );
my $list = logmein(qw(attempts list));
is( $list->{status}, 0, 'list: success' );
like( $list->{out}, qr/^pair +carol +192[.]0[.]2[.]7 +3 +1$/m, '... a line for each' );
like(
    $list->{out},
    qr/^Not named: 67 names, of which 0 wait[.]\n/m,
    '... the number of other names'
) or diag( $list->{out} );
like( $list->{out}, qr/^Not named: 1 source, of which 1 wait[.]\n/m, '... and sources' );
like( $list->{out}, qr/only hashes are kept/,                        '... and why' );
unlike( $list->{out}, qr/nosuch|198[.]51/, '... and no such name' );

# Wrong usage changes nothing.
sub store_bytes {
    return join q{ }, map { Digest::SHA->new(256)->addfile($_)->hexdigest }
        grep { -f && !/lock/ } glob "$site->{dir}/store/* $site->{dir}/store/volatile/*";
}
my $before = store_bytes();
my %WRONG  = (
    list => [
        ( map { [$_] } 'x', q{}, '-x', 'alice', $HOME, "\n" ),
        map { ["--$_"] }
            qw(source source=::1 user name=x all dry-run force kind=name quiet JSON json=1 js clear v)
    ],
    clear => [
        [],
        [ 'alice', 'bob' ],
        ['--all'],
        ['--json'],
        [qw(--source)],
        [qw(alice --source)],
        (
            map { [$_] } q{},
            'a b',   'a/b', '../x', '-x', '.x', 'a..b', "a\nb", "a\0", 'x' x 255, '@x', 'a@',
            'a@b@c', '*'
        ),
        (
            map { [ '--source', $_ ] } q{}, 'x',
            '192.0.2',                      '192.0.2.7/24',
            '192.0.2.7/64',                 '2001:db8::/32',
            '2001:db8::/128',               '::1/',
            'uid:',                         'uid:x',
            'uid:-1',                       'uid:4294967296',
            '192.0.2.7 ',                   "::1\n",
            '[::1]',                        '1.2.3.4:5',
            'localhost'
        ),
        [qw(alice --source x)],
        [qw(alice --source 2001:db8::/48)],
        [qw(a/b --source ::1)],
    ],
);
for my $word ( sort keys %WRONG ) {
    my @bad = @{ $WRONG{$word} };
    cmp_ok( scalar @bad, '>=', 20, "$word: bad arguments" );
    for my $arguments (@bad) {
        my $answer = forked( 'attempts', $word, @{$arguments} );
        my $shown  = "@{$arguments}" =~ s/[^ -~]/?/gr;
        is( "$answer->{status}$answer->{out}", 2, "$word $shown: wrong usage" );
        like( $answer->{err}, qr/\Alogmein: \S.*[.]\n(?:.*\n)*Usage:/, '... a sentence' );
    }
}
is( store_bytes(), $before, 'nothing was changed' );

# clear
sub clear {
    my (@arguments) = @_;
    my $answer = forked( qw(attempts clear), @arguments );
    return "$answer->{status} $answer->{out}$answer->{err}";
}

sub wait_of {
    my (%login) = @_;
    my ( $ok, $message ) = $site->login(%login);
    return $ok ? 'ok' : $message =~ /([0-9]+) seconds/ ? $1 : 'no wait';
}
my $count = @{ named() };
is( clear('mallory'),                "1 Cleared 0 entries.\n", 'clear: a name without failures' );
is( clear(qw(--source 203.0.113.1)), "1 Cleared 0 entries.\n", '... a source without any' );
is( clear(qw(carol --source 203.0.113.1)), "1 Cleared 0 entries.\n", '... or both' );
is( store_bytes(),                         $before,                  '... changes nothing' );
at(21);
guess( 4, 'bob' );
is( wait_of( user => 'bob' ),    4,                      'control: a name waits' );
is( clear('bob'),                "0 Cleared 1 entry.\n", 'clear: a name' );
is( wait_of( user => 'bob' ),    'ok',                   '... that logs in at once' );
is( scalar @{ named() },         $count - 1,             '... and no other is cleared' );
is( wait_of( user => 'nosuch' ), 'no wait',              'a name that does not exist' );
is( wait_of( user => 'nosuch' ), 2,                      '... waits' );
is( clear('nosuch'),             "0 Cleared 1 entry.\n", '... and is cleared by its name' );
is( wait_of( user => 'carol', remote_addr => $HOME, pass => 'wrong' ), 'no wait', 'a pair' );
is( wait_of( user => 'carol', remote_addr => $HOME ),                  2,         '... waits' );
is(
    clear('carol'),
    "0 Cleared 1 entry.\n",
    '... and is cleared with the name, whose session tells the source'
);
is( wait_of( user => 'carol', remote_addr => $HOME ), 'ok', '... that logs in at once' );
guess( 3, 'carol', $HOME );
forked(qw(session end --user carol));
is( clear('carol'), "1 Cleared 0 entries.\n", 'without a session nothing tells the pair' );
is(
    clear( qw(carol --source), $HOME ),
    "0 Cleared 1 entry.\n",
    '... but it is cleared by name and source'
);
is( wait_of( user => 'carol', remote_addr => $HOME ), 'ok', '... and carol logs in at once' );
guess( 1, 'another', '198.51.100.9' );
is( wait_of( remote_addr => '198.51.100.9', user => 'bob' ), 2, 'a source waits' );
is( clear(qw(--source 198.51.100.9)), "0 Cleared 1 entry.\n",   'clear: a source' );
is( wait_of( remote_addr => '198.51.100.9', user => 'bob' ),
    'ok', '... from which a login succeeds' );
is( clear(qw(--source 2001:db8:1:2::/64)), "0 Cleared 1 entry.\n", 'clear: a source of 64 bits' );
is(
    clear(qw(--source 2001:db8:1:2:ffff::1)),
    "1 Cleared 0 entries.\n",
    '... by any of its addresses, once'
);
is( clear(qw(--source 2001:db8:1::/48)), "0 Cleared 1 entry.\n", '... a network' );
is( clear(qw(--source uid:33)),          "0 Cleared 1 entry.\n", '... a user of this machine' );
is( clear(qw(info@ALICE.example)),       "0 Cleared 1 entry.\n", '... a mailbox' );
is_deeply( attempts()->{attempts}, [], 'nothing that has a name is left' );
like( unnamed('name'), qr/\A6[0-9], 0 wait\z/, '... other names are' );
like(
    $site->log_text,
    qr/ NOTICE the operator cleared attempts of carol from \Q$HOME\E\n/,
    'the log has it'
);

# Failures under the key before this one are found, too.
guess( 3, 'bob' );
my $dir = "$site->{dir}/store";
rename "$dir/key", "$dir/old" or die $!;
$site->write_file( "$dir/key", 'k' x 32, oct 600 );
$site->settings( key_file_old => "$dir/old" );
at(22);
is( named()->[0], 'name bob: 3, 0 s',     'after a change of the key a name is found' );
is( clear('bob'), "0 Cleared 1 entry.\n", '... and cleared' );
is( named()->[0], undef,                  '... which removes it' );

SKIP: {
    skip 'only root becomes somebody else', 4 if $< != 0;
    guess( 3, 'bob' );
    my $denied = forked( { uid => $NOBODY }, qw(attempts list) );
    is( "$denied->{status}$denied->{out}", 3, "another user can't list" );
    like( $denied->{err}, qr/\Alogmein: \S/, '... and is told why' );
    system 'chown', '-R', $NOBODY, $site->{dir};
    is(
        forked( { uid => $NOBODY }, qw(attempts clear bob) )->{out},
        "Cleared 1 entry.\n",
        "the store's owner clears"
    );
    is( forked( { uid => $NOBODY }, qw(attempts list) )->{status}, 0, '... and lists' );
}
open my $conf, '>', "$site->{dir}/bad.conf" or die $!;
print {$conf} "store = lmdb:/proc/nosuch/store\n";
close $conf or die $!;
for my $arguments ( ['list'], [qw(clear alice)] ) {
    my $answer = forked( 'attempts', @{$arguments}, '--config', "$site->{dir}/bad.conf" );
    is( "$answer->{status}$answer->{out}", 3, "@{$arguments}, without a store: trouble" );
}
done_testing;
