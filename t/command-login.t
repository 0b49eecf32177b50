#!/usr/bin/perl

# `logmein login` and `logmein hash`, as programs and operators use them.

use strict;
use warnings;
use JSON::PP ();
use lib 't/lib';
use Run qw(logmein);
use Test::More;
use Test::Cpanel::LogMeIn;

my $site = Test::Cpanel::LogMeIn->new(
    accounts => {
        alice                => 'secret',
        bob                  => { password => 'secret', suspended => 1 },
        'info@alice.example' => 'secret',
    },
    domains => { 'alice.example' => 'alice' },
);
my %given = ( stdin => "secret\n" );

sub log_in {
    my (@arguments) = @_;
    my $answer = logmein( { stdin => "secret\n" }, 'login', '--password-stdin', @arguments );
    $site->forget if $answer->{status} == 1;
    return $answer;
}

# A login
my $answer = log_in('alice');
is( $answer->{status}, 0,   'alice is logged in' );
is( $answer->{err},    q{}, '... without a message' );
like(
    $answer->{out},
    qr{\Ahttps://localhost:2083/cpsess\d{10}/\?session=lmt_[\w-]{43}\n\z},
    '... the URL on one line'
);
url_redeems_ok( $answer->{out} =~ s/\n\z//r, '... which opens the session' );
my $crlf = logmein( { stdin => "secret\r\nmore\n" }, 'login', 'alice', '--password-stdin' );
is( $crlf->{status}, 0, 'only the first line is the password, with any line end' );
$answer = log_in(qw(--service webmail --host panel.example --goto /a?b=c info@alice.example));
like( $answer->{out}, qr{\Ahttps://panel[.]example:2096/cpsess\d+/a\?b=c}, 'service, host, goto' )
    or diag( $answer->{err} );
log_in(qw(--address 192.0.2.7 alice));
like(
    $site->log_text,
    qr/192[.]0[.]2[.]7 - alice "login" SUCCESS/,
    'the address is that of the login'
);
is( log_in(qw(--host remote.example alice))->{status}, 0, 'always checked in this process' );

my $json = JSON::PP::decode_json( log_in( '--json', 'alice' )->{out} );
is_deeply( [ sort keys %{$json} ], [qw(login_ok message reason token url wait)], 'JSON: its keys' );
ok( $json->{login_ok}, '... login_ok' );
is( $json->{reason}, 'ok', '... reason' );
like( $json->{url}, qr/\Q$json->{token}\E/, '... URL and token' );

# Refusals
for my $case ( [ alice => "wrong\n" ], [ bob => "secret\n" ], [ carol => "secret\n" ] ) {
    my ( $user, $stdin ) = @{$case};
    my $refused = logmein( { stdin => $stdin }, 'login', '--password-stdin', $user );
    is( $refused->{status}, 1,                                  "$user is refused" );
    is( $refused->{out},    q{},                                '... no URL' );
    is( $refused->{err},    "logmein: The login is invalid.\n", '... a sentence for the user' );
    $site->forget;
}
my $refused = logmein( { stdin => "wrong\n" }, qw(login --password-stdin --json alice) );
$json = JSON::PP::decode_json( $refused->{out} );
is( $refused->{status}, 1, 'refused, with JSON' );
is_deeply(
    $json,
    {
        login_ok => JSON::PP::false(),
        message  => 'The login is invalid.',
        reason   => 'invalid',
        token    => undef,
        url      => undef,
        wait     => $json->{wait}
    },
    '... no URL and no token'
);
$site->forget;

# Bad input: 2, nothing on standard output; the password is not even asked for.
for my $arguments (
    [],                                      [q{}],
    [qw(alice bob)],                         [qw(--service ftp alice)],
    [ '--service', q{}, 'alice' ],           [ '--goto', "/a\nb", 'alice' ],
    [qw(--goto http://evil.example/ alice)], [qw(--goto //evil.example alice)],
    [qw(--address nowhere alice)],           [qw(--address 192.0.2.300 alice)],
    [ '--address', q{}, 'alice' ],           [qw(--host a/b alice)],
    [qw(--host a:80 alice)],                 [qw(--host a_b alice)],
    ["al\nice"],                             ['al ice'],
    ['../alice'],                            [ 'a' x 255 ],
    [qw(--password secret alice)],           [qw(--json=1 alice)],
    [qw(--host)],                            ['info@'],
    )
{
    my $bad  = log_in( @{$arguments} );
    my $name = join( q{ }, @{$arguments} ) =~ s/[^ -~]/?/gr;
    is( $bad->{status}, 2,   "wrong usage: '$name'" );
    is( $bad->{out},    q{}, '... no URL' );
    like( $bad->{err}, qr/\Alogmein: [A-Z'].*\nUsage:\n/, '... a sentence' );
}

# No password, and trouble
for my $stdin ( q{}, "\n" ) {
    my $none = logmein( { stdin => $stdin }, qw(login --password-stdin alice) );
    is( $none->{status}, 3, 'no password' );
    like( $none->{err}, qr/\Alogmein: .*password.*[.]\n\z/, '... a sentence' );
}
rename $site->path('etc/shadow'), $site->path('etc/shadow-') or die $!;
my $fault = log_in('alice');
is( $fault->{status}, 3,   'a missing file is trouble' );
is( $fault->{out},    q{}, '... no URL' );
like( $fault->{err}, qr{etc/shadow: is not there}, '... the detail on standard error' );
rename $site->path('etc/shadow-'), $site->path('etc/shadow') or die $!;
is( log_in('alice')->{status},                     0, 'control: alice' );
is( log_in(qw(--config /nowhere alice))->{status}, 3, 'no settings' );

# Hashes
for my $case (
    [ []                                     => qr/\A\$y\$/ ],
    [ [qw(--scheme sha512crypt --cost 1000)] => qr/\A\$6\$rounds=1000\$/ ],
    [ [qw(--scheme sha256crypt)]             => qr/\A\$5\$/ ],
    [ [qw(--scheme bcrypt --cost 4)]         => qr/\A\$2b\$04\$/ ],
    [ [qw(--scheme bcrypt)]                  => qr/\A\$2b\$10\$/ ],
    [ [qw(--scheme yescrypt --cost 1)]       => qr/\A\$y\$/ ],
    )
{
    my ( $arguments, $form ) = @{$case};
    my $hash = logmein( \%given, 'hash', '--password-stdin', @{$arguments} );
    is( $hash->{status}, 0, "hash @{$arguments}" );
    like( $hash->{out}, qr/$form\S+\n\z/, '... of this scheme' );
    $site->account( alice => { hash => $hash->{out} =~ s/\n\z//r } );
    ok( scalar $site->login, '... opens a session' );
}
my @two = map { logmein( \%given, qw(hash --password-stdin) )->{out} } 1 .. 2;
isnt( $two[0], $two[1], 'each with its own salt' );
for my $arguments (
    [qw(--scheme des)],                      [qw(--scheme)],
    [ '--scheme', q{} ],                     [qw(--scheme $6$)],
    [qw(--cost 5)],                          [qw(--scheme bcrypt --cost 0)],
    [qw(--scheme bcrypt --cost -1)],         [qw(--scheme bcrypt --cost 1e3)],
    [qw(--scheme bcrypt --cost 9999999999)], [qw(secret)],
    [qw(--password secret)],
    )
{
    my $bad = logmein( \%given, 'hash', '--password-stdin', @{$arguments} );
    is( $bad->{status}, 2,   "wrong usage: hash @{$arguments}" );
    is( $bad->{out},    q{}, '... no hash' );
}
for my $arguments ( [qw(sha512crypt 500001)], [qw(sha256crypt 999999999)], [qw(bcrypt 15)] ) {
    my ( $scheme, $cost ) = @{$arguments};
    my $start = time;
    my $dear  = logmein( \%given, qw(hash --password-stdin --scheme), $scheme, '--cost', $cost );
    is( $dear->{status}, 1,   "$scheme, $cost: no login would accept it" );
    is( $dear->{out},    q{}, '... it is not printed' );
    cmp_ok( time - $start, '<', 5, '... nor computed' );
}
is( logmein( \%given, qw(hash --password-stdin --scheme bcrypt --cost 3) )->{status},
    3, 'a cost that the scheme does not have' );
is( logmein( { stdin => "a\0b\n" },             qw(hash --password-stdin) )->{status}, 3, 'a NUL' );
is( logmein( { stdin => ( 'a' x 512 ) . "\n" }, qw(hash --password-stdin) )->{status},
    3, 'a password that is too long' );

done_testing;
