#!/usr/bin/perl

# `logmein account`, as an operator uses it: on a site made by hand, and on the helper's.

use strict;
use warnings;
use Cpanel::LogMeIn::Session ();
use Fcntl                    qw(S_IMODE);
use JSON::PP                 ();
use POSIX                    ();
use lib 't/lib';
use Run  qw(logmein);
use Tree qw(account content done_ok same_ok tree);
use Test::More;
use Test::Cpanel::LogMeIn;

my $IS_ROOT = $< == 0;

# A site made by hand. Without a var/cpanel the uid says who is an account, and who is not
# root makes accounts of the own uid only.
SKIP: {
    skip 'accounts of this uid may not log in', 1 if !$IS_ROOT && ( $< < 1000 || $< > 59_999 );
    my $site = Test::Cpanel::LogMeIn->new( accounts => {} );
    my $root = $site->dir . '/own';
    mkdir $_ or die "$_: $!" for $root, "$root/etc";
    $site->write_file( "$root/etc/shells", "/usr/sbin/nologin\n/bin/bash\n" );
    $site->settings( site_root => $root );
    my $added = account( 'add', 'alice', '--domain', 'alice.example' );
    done_ok( $added, 'by hand: the first account' );
    is( "$added->{out}$added->{err}", q{}, '... and nothing is said' );
    my $uid = $IS_ROOT ? '\d+' : $<;
    like( content("$root/etc/passwd"),
        qr{\Aalice:x:$uid:${uid}::/home/alice:/bin/bash\n\z}, 'passwd' );
    like( content("$root/etc/shadow"), qr{\Aalice:\$5\$[^:]+:\d+:0:99999:7:::\n\z}, 'shadow' );
    is( content("$root/etc/userdomains"), "alice.example: alice\n", 'userdomains' );
    is( S_IMODE( ( stat "$root/etc/shadow" )[2] ) & oct 7, 0,       'others do not read hashes' );
    ok( !-e "$root/var", 'no var/cpanel appears, which would change who may log in' );
    is( scalar $site->login, 1, 'alice logs in' );
    ok( !$site->login( service => 'whm' ), '... not to whm' );
    my $mailbox = 'info@alice.example';
    done_ok( account( 'add', $mailbox ), 'a mailbox' );
    is( scalar $site->login( user => $mailbox, service => 'webmail' ), 1, '... logs in' );
    done_ok( account( 'suspend', 'alice' ), 'suspended, without a var/cpanel' );
    like( content("$root/etc/shadow"), qr/\Aalice:!\$5\$/, '... in front of the hash' );
    ok( !$site->login,                                           '... and refused' );
    ok( !$site->login( user => $mailbox, service => 'webmail' ), '... with its mailboxes' );
    is( account( 'suspend', 'alice' )->{status}, 1, 'not twice' );
    done_ok( account( 'passwd', 'alice' ), 'a new password' );
    ok( !$site->login, '... does not end the suspension' );
    done_ok( account( 'unsuspend', 'alice' ), 'no longer suspended' );
    is( scalar $site->login,                             1, '... logs in' );
    is( account( 'unsuspend', 'alice' )->{status},       1, 'not twice' );
    is( account( 'add', 'bob', '--reseller' )->{status}, 1, 'no reseller without a var/cpanel' );

    if ($IS_ROOT) {
        done_ok( account( 'add', 'root' ), 'root' );
        is( scalar $site->login( user => 'root', service => 'whm' ), 1, '... logs in to whm' );
    }
    done_ok( account( 'remove', 'alice' ), 'alice is removed' );
    unlike( content("$root/etc/$_"), qr/alice/, "... from $_" ) for qw(passwd shadow userdomains);
    ok( -d "$root/home/alice", '... her home stays' );
    is( account( 'remove', 'alice' )->{status}, 1, 'not twice' );
    is(
        logmein(qw(account list))->{out},
        "ACCOUNT  SERVICES  STATE\n" . ( $IS_ROOT ? "root     whm       active\n" : q{} ),
        'a list'
    );
}

# The helper's site
my %accounts = (
    alice                => 'secret',
    bob                  => { password => 'secret', reseller   => 1 },
    carol                => { password => 'secret', suspended  => 1 },
    dave                 => { password => 'secret', expired    => 1 },
    erin                 => { password => 'secret', locked     => 1 },
    frank                => { password => 'secret', not_cpanel => 1 },
    grace                => { password => 'secret', changed    => 0 },
    heidi                => { password => 'secret', max        => 1 },
    ivan                 => 'secret',
    judy                 => 'secret',
    root                 => 'secret',
    'info@alice.example' => 'secret',
    'old@alice.example'  => { password => 'secret', expired => 1 },
    'off@alice.example'  => { password => 'secret', locked  => 1 },
    'info@carol.example' => 'secret',
);
my $site = Test::Cpanel::LogMeIn->new(
    accounts => \%accounts,
    domains  => { map { ( "$_.example" => $_ ) } qw(alice carol) },
);

# Adds lines to a file of the site.
sub append {
    my ( $name, $text ) = @_;
    my ( $path, $mode ) = ( $site->path($name), S_IMODE( ( stat $site->path($name) )[2] ) );
    return $site->write_file( $path, content($path) . $text, $mode );
}
my $strange = "::\nmallory\n#x:y\n\xFF:\0:\n" . ( 'z' x 40_000 ) . ":\n";
append( $_,           $strange ) for qw(etc/shadow etc/userdomains);
append( 'etc/passwd', "judy:x:1:1::/home/judy:/bin/sh\nivan\n" );
append( 'etc/shadow', "ivan:::\n" );
my %listed =
    map { $_->{user} => $_ } @{ JSON::PP::decode_json( logmein(qw(account list --json))->{out} ) };
is_deeply( [ sort keys %listed ], [ sort keys %accounts ], 'a list of all accounts' );
is_deeply(
    [ sort keys %{ $listed{alice} } ],
    [qw(home mailbox owner refusals reseller services state suspended uid user)],
    '... with its keys'
);
my $differs = 0;

for my $user ( sort keys %accounts ) {
    my @may = grep { scalar $site->login( user => $user, service => $_ ) } qw(cpanel whm webmail);
    is_deeply( $listed{$user}{services}, \@may, "$user may log in to: @may" );
    is( keys %{ $listed{$user}{refusals} }, 3 - @may, '... and why not to the others' );
    $differs += @may != 2;
}
cmp_ok( $differs, '>', 8, 'control: most are special' );
ok( $listed{carol}{suspended} && $listed{'off@alice.example'}{suspended}, 'who is suspended' );
ok( !$listed{alice}{suspended},                                           'control: alice is not' );
unlike( logmein(qw(account list --json))->{out}, qr/\$5\$/, 'no hashes' );
like( logmein(qw(account list))->{out}, qr/^carol +- +suspended$/m, 'the same in a table' );

# Lines of others
done_ok( account( 'add', 'zoe', '--reseller', '--domain', 'zoe.example' ), 'zoe, a reseller' );
is( scalar $site->login( user => 'zoe', service => $_ ), 1, "... logs in to $_" )
    for qw(cpanel whm);
ok( index( content( $site->path($_) ), $strange ) > 0, "$_: other lines stay as they are" )
    for qw(etc/shadow etc/userdomains);
is( content( $site->path('var/cpanel/users/zoe') ), "USER=zoe\n", 'her own file' );
done_ok( account( 'suspend', 'zoe' ), 'she is suspended' );
ok( -e $site->path('var/cpanel/suspended/zoe'), '... by a file' );
ok( !$site->login( user => 'zoe' ),             '... and refused' );
done_ok( account( 'remove', 'zoe' ), 'she is removed' );
ok( !-e $site->path("var/cpanel/$_/zoe"), "... from $_" ) for qw(users suspended);
is( scalar( () = content( $site->path($_) ) =~ /zoe/g ), 0, "... from $_" )
    for qw(etc/passwd etc/shadow etc/userdomains var/cpanel/resellers);
ok( content( $site->path('etc/userdomains') ) =~ /\*: nobody/, 'the last line is nobody\'s' );

# What an account of this name has left behind
$site->write_file( $site->path('var/cpanel/suspended/yann'), q{} );
append( 'etc/shadow',           "yann:\$5\$x:1::::::\n" );
append( 'var/cpanel/resellers', "yann:all\n" );
append( 'etc/userdomains',      "yann.example: yann\n" );
done_ok( account( 'add', 'yann' ), 'a name that has left something behind' );
is( scalar $site->login( user => 'yann' ), 1, '... is not suspended' );
ok( !$site->login( user => 'yann', service => 'whm' ),   '... is no reseller' );
ok( content( $site->path('etc/userdomains') ) !~ /yann/, '... has no domains' );

# Sessions
sub session_of {
    my ($user) = @_;
    my @answer = $site->login( user => $user, service => $user =~ /@/ ? 'webmail' : 'cpanel' );
    return ( $site->redeem( $answer[2] ) )[0];
}
$site->clock(2_000_000_000);

sub is_granted {
    my ($session) = @_;
    my ($granted) =
        Cpanel::LogMeIn::Session->check( map { $_ => $session->{$_} } qw(cookie token service) );
    return $granted ? 1 : 0;
}
my %session = map { $_ => session_of($_) } qw(alice bob yann ivan);
is( is_granted( $session{$_} ), 1, "control: $_ has a session" ) for qw(alice bob yann);
like( account( 'remove', 'yann' )->{err}, qr/Sessions ended: 1/, 'removed with its session' );
is( is_granted( $session{yann} ), 0, '... which has ended at once' );
like( account( 'suspend', 'bob' )->{err}, qr/within a minute/, 'suspended: says when' );
done_ok( account( 'passwd', 'alice' ), 'alice has another password' );
$site->clock( 2_000_000_000 + 61 );
is( is_granted( $session{$_} ), 0, "$_: the session has ended a minute later" ) for qw(alice bob);
done_ok( account( 'unsuspend', 'bob' ), 'bob is back' );
$site->clock(undef);

# Many at a time
my @pids;
for my $name ( map { "many$_" } 1 .. 8 ) {
    my $pid = fork // die "fork: $!";
    POSIX::_exit( account( 'add', $name )->{status} ) if !$pid;
    push @pids, $pid;
}
my $failed = grep { waitpid $_, 0; $? != 0 } @pids;
is( $failed, 0, 'eight at a time wait for each other' );
my $many = () = content( $site->path('etc/passwd') ) =~ /^many\d:/mg;
is( $many, 8, '... and none is lost' );
my %uids = map { $_ => 1 } content( $site->path('etc/passwd') ) =~ /^many\d:x:(\d+)/mg;
is( keys %uids, $IS_ROOT ? 8 : 1, '... nor does root give a uid twice' );
account( 'remove', "many$_" ) for 1 .. 8;

# Bad input: nothing changes.
my %bad = (
    list => [ ['alice'], ['--nonsense'], ['--json=1'], ['--password-stdin'] ],
    add  => [
        [],
        [q{}],
        [qw(x y)],
        ['alice'],
        ['Alice'],
        ['1a'],
        ['-x'],
        ['a b'],
        ["a\nb"],
        ['a:b'],
        ['a/b'],
        ['../a'],
        ['nobody'],
        ['é'],
        [ 'a' x 33 ],
        ['a+b'],
        [qw(x --uid 0)],
        [qw(x --uid -1)],
        [qw(x --uid 4294967295)],
        [qw(x --uid x)],
        [qw(x --domain A.example)],
        [qw(x --domain a/b)],
        [qw(x --domain ..)],
        [ 'x', '--domain', q{} ],
        [qw(x --domain alice.example)],
        [qw(x --cost x)],
        [qw(x --scheme des)],
        [qw(x --password secret)],
        ['info@alice.example'],
        ['info@other.example'],
        ['@alice.example'],
        ['a@b@alice.example'],
        ['a+b@alice.example'],
        ['info@'],
        ['a/b@alice.example'],
        [qw(new@alice.example --reseller)],
        [qw(new@alice.example --uid 7)],
        [qw(x --scheme sha512crypt --cost 500001)],
        [qw(new@alice.example --scheme bcrypt --cost 13)],
    ],
    map {
        $_ => [
            [],           [q{}], ['zed'], [qw(alice bob)], ['Alice'],  ["alice\n"], ['alice:'],
            ['../alice'], ['.'], ['..'],  ['-x'],          ['nobody'], ['*'],       [ 'a' x 255 ],
            ['zed@alice.example'],
            ['info@other.example'], ['info@'], ['@alice.example'], [ q{}, '--json' ],
            [qw(alice --json)],
            ['info@alice.example/../x'],
            $_ eq 'passwd' ? [qw(alice --cost 0)] : [qw(alice --scheme bcrypt)],
        ]
    } qw(passwd suspend unsuspend remove)
);
push @{ $bad{$_} }, ['ivan'], ['judy'] for qw(passwd);
push @{ $bad{add} }, [ 'x', '--uid', ( stat $site->path('home/alice') )[4] ] if $IS_ROOT;
my $before = tree( $site->root );
for my $word ( sort keys %bad ) {
    for my $arguments ( @{ $bad{$word} } ) {
        my $answer = account( $word, @{$arguments} );
        my $name   = join( q{ }, $word, @{$arguments} ) =~ s/[^ -~]/?/gr;
        ok( $answer->{status} =~ /\A[12]\z/, "bad: $name: $answer->{status}" );
        is( $answer->{out}, q{}, '... nothing on standard output' );
        like( $answer->{err}, qr/\Alogmein: .*[.)]\n/, '... a sentence' );
    }
    same_ok( tree( $site->root ), $before, "$word: nothing has changed" );
}
is( logmein( { stdin => q{} }, qw(account add x --password-stdin) )->{status}, 3, 'no password' );
is( logmein(qw(account list --config /nowhere))->{status},                     3, 'no settings' );
same_ok( tree( $site->root ), $before, '... nothing has changed' );
done_ok( account( 'add', 'x' ), 'control: x' );
isnt( tree( $site->root )->{'/etc/passwd'}, $before->{'/etc/passwd'}, '... has changed something' );

done_testing;
