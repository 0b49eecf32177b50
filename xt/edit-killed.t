#!/usr/bin/perl

# A process that changes accounts is killed with signal 9 at random moments: each file
# is the whole old one or the whole new one, no account is half there and can log in, and
# the next change works. XT_LONG=1: 500 times instead of 50.

use strict;
use warnings;
use blib;
use Cpanel::LogMeIn::Session ();
use POSIX                    ();
use Test::More;
use Time::HiRes qw(sleep time);
use Test::Cpanel::LogMeIn;

my $TIMES   = $ENV{LOGMEIN_CYCLES} || ( $ENV{XT_LONG} ? 500 : 50 );
my %WHAT    = ( add => 1, passwd => 2, suspend => 3, unsuspend => 4, remove => 5 );
my $MAILBOX = 'info@alice.example';
my $site    = Test::Cpanel::LogMeIn->new(
    accounts => { map { $_ => 'secret' } 'alice', $MAILBOX, map { "user$_" } 1 .. 200 },
    domains  => { 'alice.example' => 'alice' },
    settings => { log             => 'none' },
);
my %file = (
    passwd  => $site->path('etc/passwd'),
    shadow  => $site->path('etc/shadow'),
    domains => $site->path('etc/userdomains'),
    mailbox => $site->mail_shadow('alice.example'),
);
my $strange = "::\n\xFF\0:\n#mallory\n";

for my $path ( sort values %file ) {
    my $text = content($path);
    $site->write_file( $path, "$text${strange}zz-end:\n", ( stat $path )[2] & oct 777 );
}
chown +( stat $site->path('home/alice') )[4], -1, $file{mailbox} if $< == 0;

sub content {
    my ($path) = @_;
    open my $file, '<:raw', $path or return q{};
    local $/ = undef;
    return scalar readline($file) // q{};
}

my $sessions = Cpanel::LogMeIn::Session->new;

sub change {
    my ( $word, $user, %more ) = @_;
    my %how    = ( pass => 'secret', prefix => '$5$', cost => 1000, %more );
    my @answer = $sessions->_change_account( $WHAT{$word}, user => $user, %how );
    return $answer[0];
}

# Every kind of change, again and again.
my @ROUND = (
    [ 'add',       'carol', domain => 'carol.example', reseller => 1 ],
    [ 'passwd',    'alice' ],
    [ 'suspend',   'carol' ],
    [ 'passwd',    $MAILBOX ],
    [ 'unsuspend', 'carol' ],
    [ 'remove',    'carol' ],
    [ 'suspend',   $MAILBOX ],
    [ 'unsuspend', $MAILBOX ],
    [ 'passwd',    'user200' ],
);

sub change_for_ever {
    my ($out) = @_;
    my $number = int rand @ROUND;
    while (1) {
        syswrite $out, "begin\n";
        change( @{ $ROUND[ $number++ % @ROUND ] } );
        syswrite $out, "end\n";
    }
    return;
}

# What a careless program would do: the control.
sub overwrite_for_ever {
    my ($out) = @_;
    my $text = content( $file{shadow} );
    while (1) {
        syswrite $out, "begin\n";
        open my $file, '>:raw', $file{shadow} or POSIX::_exit(9);
        for my $part ( $text =~ /(.{1,1000})/gs ) { syswrite $file, $part }
        close $file or POSIX::_exit(9);
        syswrite $out, "end\n";
    }
    return;
}

# The longest change takes less than that.
my $start = time;
change( @{ $ROUND[0] } );
my $span = 2.5 * ( time - $start );
change( 'remove', 'carol' );

# Starts it, kills it, and returns whether it was in the middle of a change.
sub interrupt {
    my ($function) = @_;
    pipe my $in, my $out or die $!;
    my $pid = fork // die "fork: $!";
    if ( !$pid ) { $function->($out); POSIX::_exit(9) }
    close $out;
    my $first = readline $in;
    sleep rand $span;
    kill KILL => $pid;
    my @lines = ( $first, <$in> );
    waitpid $pid, 0;
    return $lines[-1] eq "begin\n";
}

# A file without what changes: hashes with their day, and carol.
sub rest_of {
    my ($text) = @_;
    return $text =~ s/^carol(?:[.]example)?:.*\n//mgr =~
        s/^(alice|info|user200):!?\$5\$[^:]+:\d+:/$1:/mgr;
}
my %rest = map { $_ => rest_of( content( $file{$_} ) ) } keys %file;

# What is wrong: files that are neither, and an account that is half there.
sub complaints {
    my @bad = grep { rest_of( content( $file{$_} ) ) ne $rest{$_} } sort keys %file;
    my %has = map  { $_ => content( $file{$_} ) =~ /^carol/m ? 1 : 0 } qw(passwd shadow domains);
    my $all = $has{shadow} && $has{domains} && -e $site->path('var/cpanel/users/carol');
    push @bad, 'carol without all of hers' if $has{passwd} && !$all;
    push @bad, 'carol logs in'
        if !$has{passwd} && scalar $site->login( user => 'carol' );
    push @bad, 'mailbox of another owner'
        if ( stat $file{mailbox} )[4] != ( stat $site->path('home/alice') )[4];
    return @bad;
}

my ( @bad, $middle, %half );
for my $time ( 1 .. $TIMES ) {
    $middle += interrupt( \&change_for_ever ) ? 1 : 0;
    push @bad, map { "$time: $_" } complaints();
    $half{drafts}++ if grep { /logmein/ } glob $site->path('etc') . '/.*';
    my $has = content( $file{passwd} ) =~ /^carol/m;
    $half{whole}++ if $has;
    $half{left}++  if !$has && content( $file{shadow} ) =~ /^carol/m;
    my $next = change( 'passwd', 'alice' );
    push @bad, "$time: the next change: $next" if $next ne 'done';
}
is( "@bad", q{}, "killed $TIMES times: always the old file or the new one" );
my @found = map { $_ . q{: } . ( $half{$_} // 0 ) } qw(drafts left whole);
cmp_ok( $middle, '>', $TIMES / 2, "control: $middle times in the middle of a change, @found" );
note( "22: $TIMES times killed, " . @bad . ' files neither old nor new' );

change( 'remove', 'carol' );
is( change( 'add', 'carol', domain => 'carol.example' ), 'done', 'carol is added' );
is( scalar $site->login( user => 'carol' ),              1,      '... completely' );
is( change( 'remove', 'carol' ),                         'done', 'carol is removed' );
is( join( q{}, map { content( $file{$_} ) =~ /^carol/mg } sort keys %file ), q{},
    '... completely' );

my ( $broken, $restored ) = ( 0, 0 );
for ( 1 .. 50 ) {
    interrupt( \&overwrite_for_ever );
    $broken++ if complaints();
    $site->write_site;
    %rest = map { $_ => rest_of( content( $file{$_} ) ) } keys %file;
    $restored++ if !complaints();
}
is( $restored, 50, 'control: no complaints about whole files' );
cmp_ok( $broken, '>', 0, "control: $broken of 50 times a careless program leaves neither" );
done_testing;
