#!/usr/bin/perl

# `logmein session`: list, show, end and purge, as root and as the store's owner.

use strict;
use warnings;
use Cpanel::LogMeIn::Command::Session ();
use Cpanel::LogMeIn::Session          ();
use Digest::SHA                       ();
use Fcntl                             qw(O_NOCTTY O_RDWR);
use File::Temp                        ();
use JSON::PP                          qw(decode_json);
use Pod::Usage                        ();
use Test::More;
use Test::Cpanel::LogMeIn;
use lib 't/lib';
use Logins qw($START at check_reason log_in redeem site);
use Run    qw(forked logmein);

my $NOBODY = 65_534;
my $site   = site(
    accounts  => { map { $_ => 'secret' } qw(alice bob carol), 'info@alice.example' },
    domains   => { 'alice.example' => 'alice' },
    resellers => ['alice'],
    clock     => $START,
);

# Logs in at a second, from an address.
sub session_at {
    my ( $second, $address, %login ) = @_;
    at($second);
    return scalar redeem( log_in(%login), address => $address, agent => 'Browser' );
}

my %id;
my %session = (
    alice  => session_at( 0,   '192.0.2.7' ),
    whm    => session_at( 10,  '192.0.2.8',    service => 'whm' ),
    bob    => session_at( 100, '2001:db8::7',  user    => 'bob' ),
    nobody => session_at( 200, undef,          user    => 'carol' ),
    mail   => session_at( 300, '198.51.100.1', user => 'info@alice.example', service => 'webmail' ),
);
$id{$_} = $session{$_}{id} for keys %session;
my %name_of = reverse %id;
at(400);
check_reason( $session{alice} );
my %unused = log_in( user => 'bob' );
my ($ticket) = grep { !$_->{redeemed} } all( user => 'bob' );
$name_of{ $ticket->{id} } = 'ticket';
my @ALL = qw(alice bob mail nobody ticket whm);

# The sessions there are.
sub all {
    my (%only) = @_;
    my ( $next, @all ) = Cpanel::LogMeIn::Session->list(%only);
    while ( my $one = $next->() ) { push @all, $one }
    return @all;
}

sub names {
    return join q{ }, sort map { $name_of{$_} // $_ } @_;
}

sub listed {
    my (@filters) = @_;
    my $answer = forked( qw(session list --json), @filters );
    return "status $answer->{status}: $answer->{err}" if $answer->{status};
    return names( map { $_->{id} } @{ decode_json( $answer->{out} ) } );
}

# list
my $list = logmein(qw(session list));
is( $list->{status}, 0,   'list: success' );
is( $list->{err},    q{}, '... nothing on standard error' );
my @lines = split /\n/, $list->{out};
like( $lines[0], qr/\AID +USER +SERVICE +ADDRESS +AGE +IDLE\z/, '... a heading' );
is( names( map { /\A(\S+)/ } @lines[ 1 .. $#lines ] ), "@ALL", '... a line for each session' );
my %line = map { /\A([0-9a-f]+) +(.*)/ ? ( $name_of{$1} => $2 =~ s/ +/ /gr ) : () } @lines;
is( $line{alice},  'alice cpanel 192.0.2.7 6m 0s',  '... its address, age and idle time' );
is( $line{bob},    'bob cpanel 2001:db8::7 5m 5m',  '... of IPv6, too' );
is( $line{nobody}, 'carol cpanel - 3m 3m',          '... an address that is not known' );
is( $line{ticket}, 'bob cpanel not redeemed 0s 0s', '... and a ticket' );
is( $line{mail},   'info@alice.example webmail 198.51.100.1 100s 100s', '... and a mailbox' );
unlike( $list->{out}, qr/cpsess|lmt_|%3a/i, '... and no token, ticket or cookie' );

for my $case (
    [ 'all of them'            => "@ALL" ],
    [ 'of a user'              => 'alice whm',          qw(--user alice) ],
    [ 'of a mailbox'           => 'mail',               qw(--user info@ALICE.example) ],
    [ 'of nobody'              => q{},                  qw(--user nosuch) ],
    [ 'of a service'           => 'whm',                qw(--service whm) ],
    [ 'by its daemon'          => 'whm',                qw(--service whostmgrd) ],
    [ 'of a user at a service' => 'alice',              qw(--user alice --service cpanel) ],
    [ 'from an address'        => 'alice',              qw(--address 192.0.2.7) ],
    [ 'from a network'         => 'alice whm',          qw(--address 192.0.2.0/24) ],
    [ 'from IPv6'              => 'bob',                qw(--address 2001:DB8:0::/32) ],
    [ 'from anywhere'          => 'alice bob mail whm', qw(--address ::/0) ],
    [ 'from elsewhere'         => q{},                  qw(--address 203.0.113.0/24) ],
    [ 'old ones'               => 'alice whm',          qw(--older-than 301s) ],
    [ 'to the second'          => 'alice bob whm',      qw(--older-than 5m) ],
    [ 'older than all'         => q{},                  qw(--older-than 1d) ],
    [ 'idle ones'              => 'bob nobody whm',     qw(--idle-for 200s) ],
    [ 'old, but in use'        => 'whm',                qw(--older-than 301s --idle-for 2m) ],
    [ 'old ones of a user'     => 'alice whm',          qw(--older-than 2m --user alice) ],
    )
{
    my ( $what, $expected, @filters ) = @{$case};
    is( listed(@filters), $expected, "list: $what: @filters" );
}
my ($json) =
    grep { $_->{id} eq $id{alice} } @{ decode_json( forked(qw(session list --json))->{out} ) };
is_deeply(
    { %{$json}, redeemed => !!$json->{redeemed} },
    {
        id          => $id{alice},
        user        => 'alice',
        service     => 'cpanel',
        address     => '192.0.2.7',
        created     => $START,
        ends        => $START + 86_400,
        last_seen   => $START + 400,
        redeemed    => !!1,
        redeemed_at => $START,
    },
    'the keys of --json'
);
is( forked(qw(session list --json --user nosuch))->{out}, "[]\n", '... of none: an empty array' );

# show
my $show = logmein( qw(session show), $id{bob} );
is( $show->{status}, 0, 'show: success' );
like( $show->{out}, qr/^user +bob\n/m,            '... the user' );
like( $show->{out}, qr/^address +2001:db8::7\n/m, '... the address' );
like( $show->{out}, qr/^redeemed +2023-11-1\d /m, '... when' );
like(
    forked( qw(session show), $ticket->{id} )->{out},
    qr/^redeemed +no\n/m,
    '... of a ticket: no'
);
$show = decode_json( forked( qw(session show --json), $id{whm} )->{out} );
is_deeply( [ sort keys %{$show} ], [ sort keys %{$json} ], '... --json: the same keys' );
my $none = forked( qw(session show), '0' x 16 );
is_deeply(
    $none,
    { status => 1, out => q{}, err => "logmein: There is no session 0000000000000000.\n" },
    '... of none: no'
);

# What changes the store: its bytes.
sub store_bytes {
    return join q{ }, map { Digest::SHA->new(256)->addfile($_)->hexdigest }
        grep { -f && !/lock/ } glob "$site->{dir}/store/* $site->{dir}/store/volatile/*";
}

# Wrong usage changes nothing.
my $before = store_bytes();
my @FILTER = (
    [ qw(--user), q{} ],       [qw(--user a/b)],
    [qw(--user ../x)],         [ '--user', "a\nb" ],
    [ '--user', 'x' x 255 ],   [qw(--user)],
    [qw(--user -x)],           [qw(--service ftp)],
    [qw(--service CPANEL)],    [ '--service', q{} ],
    [qw(--address localhost)], [qw(--address 192.0.2.0/33)],
    [qw(--address 192.0.2)],   [ '--address', '192.0.2.1 192.0.2.2' ],
    [ '--address', q{} ],      [qw(--older-than 5)],
    [qw(--older-than -5m)],    [qw(--older-than 0s)],
    [qw(--idle-for 5w)],       [qw(--idle-for 1e3s)],
    [qw(--idle-for)],          [qw(--nonsense)],
);
my @ID = (
    q{},                  'x',                   '0' x 15,              '0' x 17,
    '0123456789ABCDEF',   "$id{bob}\n",          "$id{bob} $id{alice}", '%',
    '*',                  'g' x 16,              '../../etc/passwd',    "\0" x 16,
    'alice',              '-1',                  '--',                  '0x12345678901234',
    $session{bob}{token}, $session{bob}{cookie}, "alice:$id{alice}",    'all',
);
my %WRONG = (
    list => [ @FILTER, ['x'], [ $id{bob} ], ['--dry-run'], ['--all'] ],
    show => [ [], [ $id{bob}, $id{alice} ], [qw(--user alice)], ( map { [$_] } @ID ) ],
    end  => [
        [], ['--dry-run'], [ '--all', $id{bob} ],
        [qw(--all --user bob)], ['--json'],
        @FILTER, ( map { [ $id{alice}, $_ ] } grep { $_ ne '--' } @ID )
    ],
    purge => [
        map { [$_] } qw(x --all --user --dry-run --json --address=::1 --older-than=1s -x --force 1),
        $id{bob},
        q{},
        @ID[ 1 .. 10 ]
    ],
);
for my $word ( sort keys %WRONG ) {
    my @bad = @{ $WRONG{$word} };
    cmp_ok( scalar @bad, '>=', 20, "$word: bad arguments" );
    for my $arguments (@bad) {
        my $answer = forked( 'session', $word, @{$arguments} );
        my $shown  = "@{$arguments}" =~ s/[^ -~]/?/gr;
        is( "$answer->{status}$answer->{out}", 2, "$word $shown: wrong usage" );
        like( $answer->{err}, qr/\Alogmein: \S.*[.]\n(?:.*\n)*Usage:/, '... a sentence' );
    }
}
is( store_bytes(),                   $before, 'nothing was changed' );
is( names( map { $_->{id} } all() ), "@ALL",  '... and all sessions live' );

# end
sub ended {
    my (@arguments) = @_;
    my $answer = forked( qw(session end), @arguments );
    return "$answer->{status} $answer->{out}$answer->{err}";
}
is( ended(qw(--dry-run --user alice)),  "0 Would end 2 sessions.\n", 'end --dry-run: how many' );
is( store_bytes(),                      $before,                     '... and nothing is changed' );
is( ended(qw(--dry-run --user nosuch)), "1 Would end 0 sessions.\n", '... if any' );
is( ended( '0' x 16 ),                  "1 Ended 0 sessions.\n",     'end: no such session' );
is( ended( $id{alice}, qw(--user bob) ), "1 Ended 0 sessions.\n",    '... nor one of that user' );
is( listed(),                            "@ALL",                     '... and all others live' );
is( ended( $id{bob}, '0' x 16 ),         "0 Ended 1 session.\n",     'end: one by its id' );
is( check_reason( $session{bob} ),       'unknown', '... its cookie is no longer valid' );
is( listed(),                            'alice mail nobody ticket whm', '... and no other' );
like(
    $site->log_text,
    qr/ info \[cpaneld\] - PURGE bob:$id{bob} operator\n/,
    '... and the log has it'
);
is( ended(qw(--user bob)),                "0 Ended 1 session.\n", 'end: of a user, a ticket' );
is( ( redeem(%unused) )[1],               'unknown',              '... which opens nothing' );
is( ended(qw(--address 198.51.100.0/24)), "0 Ended 1 session.\n", 'end: of a network' );
is(
    ended(qw(--idle-for 200s --service cpanel)),
    "0 Ended 1 session.\n",
    'end: idle ones of a service'
);
is( listed(),                    'alice whm',             '... not those in use' );
is( ended( @id{qw(alice whm)} ), "0 Ended 2 sessions.\n", 'end: two ids' );
is( ended('--all'),              "1 Ended 0 sessions.\n", 'end --all: none is left' );

# Many: more than a batch, with one ticket for many users.
my @many  = map { session_at( 500, '192.0.2.9', user => 'bob', service => 'webmail' ) } 1 .. 40;
my $other = session_at( 500, '192.0.2.9', user => 'carol' );
is( ended(qw(--user bob)), "0 Ended 40 sessions.\n",             'end: 40 of a user' );
is( ( grep { check_reason($_) ne 'unknown' } @many ), 0,         '... all have ended' );
is( check_reason($other),                             'granted', "... another user's has not" );
is( ended('--all'),                                   "0 Ended 1 session.\n", 'end --all' );

# What begins after the start is not ended, and what is redeemed meanwhile is.
at(600);
my %late = log_in( user => 'carol' );
my ( $ended, $cursor ) = ( 0, q{} );
my $sessions = Cpanel::LogMeIn::Session->new;
( $ended, $cursor ) = $sessions->_end_some( q{}, 'carol', undef, undef, undef, 0, 0, $START + 599 );
is( $ended, 0, 'a session that began later stays' );
ok( !!redeem(%late), '... with its ticket' );
is( ended(qw(--user carol)), "0 Ended 1 session.\n", '... until the next time' );

# purge
session_at( 700, '192.0.2.9' ) for 1 .. 20;
is( forked(qw(session purge))->{out}, "Removed 0 expired entries.\n",
    'purge: nothing has expired' );
at(90_000);
my $purge = forked(qw(session purge));
is_deeply(
    $purge,
    { status => 0, out => "Removed 40 expired entries.\n", err => q{} },
    'purge: what has'
);
is( forked(qw(session purge))->{out}, "Removed 0 expired entries.\n", '... once' );

# The master of a terminal, and its name.
sub terminal {
    sysopen my $master, '/dev/ptmx', O_RDWR | O_NOCTTY or return;
    my $number = pack 'i', 0;
    ioctl $master, 0x40045431, $number or return;    # TIOCSPTLCK
    ioctl $master, 0x80045430, $number or return;    # TIOCGPTN
    return ( $master, '/dev/pts/' . unpack 'i', $number );
}
SKIP: {
    my ( $master, $name ) = terminal();
    skip 'no pseudo-terminal', 3 if !$name;
    at(0);
    my ( $count, $entries ) = ( 60, 120 );
    session_at( 0, '192.0.2.9', user => ( 'alice', 'bob', 'carol' )[ $_ % 3 ] ) for 1 .. $count;
    at(90_000);
    my $out = File::Temp->new;
    my $pid = fork // die $!;

    if ( !$pid ) {
        open STDERR, '>', $name          or die $!;
        open STDOUT, '>', $out->filename or die $!;
        exec $^X, qw(-Iblib/arch -Iblib/lib blib/script/logmein session purge);
    }
    waitpid $pid, 0;
    sysread $master, my $shown, 65_536;
    like(
        $shown,
        qr/\A(?:\rRemoved [0-9]+ [.]{3})+\r\e\[K\z/,
        'purge: a terminal sees how far it is'
    );
    is( $?, 0, '... and it succeeds' );
    is(
        do { local $/ = undef; readline $out },
        "Removed $entries expired entries.\n",
        '... with the result'
    );
}

# As somebody else: the store's owner, and a user without rights.
SKIP: {
    skip 'only root becomes somebody else', 5 if $< != 0;
    at(0);
    session_at( 0, '192.0.2.7' );
    my $denied = forked( { uid => $NOBODY }, qw(session list) );
    is( "$denied->{status}$denied->{out}", 3, "another user can't list" );
    like( $denied->{err}, qr/\Alogmein: The sessions can't be read: \S/, '... and is told why' );
    system 'chown', '-R', $NOBODY, $site->{dir};
    my $as_owner = forked( { uid => $NOBODY }, qw(session list --json) );
    is( scalar @{ decode_json( $as_owner->{out} || '[]' ) }, 1, "the store's owner can" )
        or diag( $as_owner->{err} );
    is(
        forked( { uid => $NOBODY }, qw(session end --all) )->{out},
        "Ended 1 session.\n",
        '... and end'
    );
    is( forked( { uid => $NOBODY }, qw(session purge) )->{status}, 0, '... and purge' );
}

# A store that can't be used is trouble, not an empty list.
open my $conf, '>', "$site->{dir}/bad.conf" or die $!;
print {$conf} "store = lmdb:/proc/nosuch/store\n";
close $conf or die $!;
for my $arguments ( ['list'], [ 'show', '0' x 16 ], [qw(end --all)], ['purge'] ) {
    my $answer = forked( 'session', @{$arguments}, '--config', "$site->{dir}/bad.conf" );
    is( "$answer->{status}$answer->{out}", 3, "@{$arguments}, without a store: trouble" );
}
done_testing;
