#!/usr/bin/perl

# The login that makes the store is killed at every second one of its system calls, with
# XT_LONG=1 at each: a login in the next process is good at once, and what the killed one
# left behind is removed. Names that it can't have left are refused.

use strict;
use warnings;
use blib;
use File::Path qw(remove_tree);
use Test::More;
use Test::Cpanel::LogMeIn;
use lib 'xt/lib';
use Author qw(has_program read_file run);

plan skip_all => 'strace is not installed' if !has_program('strace');

my $STEP = $ENV{XT_LONG} ? 1 : 2;
my $site = Test::Cpanel::LogMeIn->new( settings => { log => 'none' } );
my ( $store, $trace, $script ) = map { $site->dir . "/$_" } qw(store trace script);
my @names = map { "$store/$_" } qw(data.mdb key);
$site->write_file( $script, <<'PERL' );
use Cpanel::LogMeIn;
print +( Cpanel::LogMeIn::get_loggedin_url(
    user => 'alice', pass => 'secret', hostname => 'localhost', service => 'cpanel' ) )[1];
PERL

# A first login; all it printed, and its system calls.
sub first_login {
    my (@options) = @_;
    remove_tree($store);
    local $ENV{PERL_HASH_SEED} = 0;
    my ( undef, $out ) =
        run( '.', "strace -f -qq -o '$trace' @options $^X -Mblib '$script' || true" );
    return ( $out, -e $trace ? split /\n/, read_file($trace) : () );
}

sub links { my ($path) = @_; return ( stat $path )[3] // 0 }

sub drafts {
    return grep { /[.][0-9a-f]{16}\z/ } glob "$store/*";
}
sub old { my (@paths) = @_; return utime time - 120, time - 120, @paths }

# What the next process gets to hear: its ticket must be good, too.
sub next_login {
    return Test::Cpanel::LogMeIn::in_child(
        sub {
            my ( $ok, $message, $url ) = $site->login;
            return $ok && !$site->redeem($url) ? 'a ticket that is lost' : $message;
        }
    );
}

# A first login that is killed, and the next one. Is the first one's last call; undef if
# it came to its end. Counts what was left behind.
my ( %left, @bad );

sub killed_login {
    my (@options) = @_;
    my ( undef, @calls ) = first_login(@options);
    return if $calls[-1] !~ /killed by SIGKILL/;
    my $last = $calls[-2];
    $left{$_}++ for map { m{/(key|data)[^/]*\z} } drafts();
    $left{"two names of $_"}++ for map { m{/(key|data)[^/]*\z} } grep { links($_) > 1 } @names;
    old( drafts() );
    my $heard = next_login();
    push @bad, "$heard after $last" if $heard ne 'Login OK';
    push @bad, "$_ has not one name after $last" for grep { links($_) != 1 } @names;
    push @bad, "$_ stays after $last"            for drafts();
    return $last;
}

my ( $said, @calls ) = first_login();
plan skip_all => 'strace may not trace here' if $said =~ /ptrace/;
is( $said, 'Login OK', 'control: the first login makes the store' );

# From the first call that names the store on: strace counts the calls of each name.
my ( %count, @points );
for my $line (@calls) {
    my ($name) = $line =~ /\A[0-9]+ +(\w+)[(]/ or next;
    my $number = ++$count{$name};
    push @points, "$name:signal=KILL:when=$number" if @points || $line =~ /"\Q$store\E"/;
}
@points = map { $points[ $STEP * $_ ] } 0 .. $#points / $STEP;
my $killed = grep { killed_login("-e inject=$_") } @points;
is( join( "\n", @bad ), q{}, "killed at $killed system calls, the next login makes the store" );
cmp_ok( $killed,        '>', 0.95 * @points, 'control: out of ' . @points );
cmp_ok( scalar @points, '>', 200 / $STEP,    'control: there are many' );
cmp_ok( $left{$_} // 0, '>', 0,              "control: a draft was left of $_" ) for qw(data key);

# Where the file system knows no RENAME_NOREPLACE.
my @link = qw(-e inject=renameat2:error=EINVAL);
( $killed, @bad ) = (0);
while ( killed_login( @link, '-e inject=unlinkat:signal=KILL:when=' . ( $killed + 1 ) ) ) {
    $killed++;
}
is( join( "\n", @bad ),       q{}, "with links, killed at $killed calls of unlinkat" );
is( $left{"two names of $_"}, 1,   "control: two names were left of $_" ) for qw(data key);

# Other names in a store that exists.
my %fault = ( 'data.mdb' => 'STORE', key => 'KEY' );
for my $name ( sort keys %fault ) {
    my $other = "$store/other";
    for my $stray (qw(0123456789abcdef bak)) {
        link "$store/$name", "$store/$name.$stray" or die "$name.$stray: $!";
        is( next_login(), 'Login OK', "a second name, $name.$stray" );
        ok( !-e "$store/$name.$stray", '... is removed' );
    }
    link "$store/$name", $other or die "$other: $!";
    is(
        next_login(),
        "Logins are not possible at the moment ($fault{$name}).",
        'control: another name is refused'
    );
    ok( -e $other, '... and stays' );
    unlink $other or die "$other: $!";
    is( next_login(), 'Login OK', '... until it is gone' );
}

# Another process may be at work on a draft that is young; a copy is none.
my ( $young, $old, $copy ) =
    map { "$store/data.mdb.$_" } qw(00000000000000aa 00000000000000bb copy);
$site->write_file( $_, q{}, oct 600 ) for $young, $old, $copy;
old( $old, $copy );
is( next_login(), 'Login OK', 'drafts of another process' );
is_deeply( [ drafts() ], [$young], '... are removed after a minute' );
ok( -e $copy, 'control: a copy stays' );
done_testing();
