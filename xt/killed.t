#!/usr/bin/perl

# A hundred times, under load, a worker of the gateway is killed or the store is made
# unavailable: requests without a session are never allowed, and those with one are
# allowed again within two seconds.

use strict;
use warnings;
use blib;
use lib        qw(t/lib xt/lib);
use List::Util qw(max);
use Load       qw(asker heard in_parallel log_in);
use Serve      qw(free_base);
use Test::More;
use Test::Cpanel::LogMeIn;
use Time::HiRes qw(sleep time);

my $TIMES    = $ENV{LOGMEIN_CYCLES} || 100;
my $PATIENCE = 2;                                                             # seconds
my $base     = free_base(6);
my $port     = $base + 1;
my %port     = ( cpanel => $port, whm => $base + 3, webmail => $base + 5 );
my $site     = Test::Cpanel::LogMeIn->new(
    settings => { log => 'none', map { ( "port.$_" => $port{$_} ) } keys %port } );
my $dir = $site->dir;

# The store's path is a symbolic link, which can be made dangling atomically.
mkdir "$dir/disk" or die "$dir/disk: $!";
$site->settings( store => "lmdb:$dir/mounted/store", volatile_dir => "$dir/mounted/volatile" );

sub mount {
    my ($what) = @_;
    symlink "$dir/$what", "$dir/link" or die "$dir/link: $!";
    rename "$dir/link", "$dir/mounted" or die "$dir/mounted: $!";
    return;
}
mount('disk');
my $server = Serve->new( '--base', $base, '--app', 'examples/panel.psgi', '--no-socket' );

my ( $token, $cookie ) = log_in( $port, 1 ) or BAIL_OUT( $server->{said} );
my $made_up = $cookie =~ s/(.)\z/$1 eq 'A' ? 'B' : 'A'/er;
my $target  = "$token/x";

# The clients report the numbers of their answers.
$site->write_file( "$dir/go", q{} );
my @readers = in_parallel(
    3,
    sub {
        my %asker = (
            alice  => asker( $port, 1, "Cookie: $cookie" ),
            forger => asker( $port, 1, "Cookie: $made_up" ),
            nobody => asker( $port, 1 ),
        );
        my %count;
        while ( -e "$dir/go" ) {
            for my $who ( keys %asker ) {
                my $got = $asker{$who}->($target);
                $count{"$who $got->{status}"}++;
                $count{"$who in"}++ if $got->{body} =~ /You are/;
            }
        }
        print map { "$_ $count{$_}\n" } keys %count;
    }
);

# The time until alice has access again, ten times in a row, because there are several
# workers.
sub recovery {
    my $start = time;
    my $asker = asker( $port, 1, "Cookie: $cookie", 'Connection: close' );
    my $row   = 0;
    while ( $row < 10 && time - $start < 10 ) {
        $row = $asker->($target)->{status} == 200 ? $row + 1 : 0;
    }
    return time - $start;
}

my ( @took, %noticed );
my $killed = 0;
for my $time ( 1 .. $TIMES ) {
    if ( $time % 2 ) {
        my @workers = $server->workers;
        $killed += kill KILL => $workers[ rand @workers ];
    }
    else {
        my $asker = asker( $port, 1, "Cookie: $cookie", 'Connection: close' );
        mount('nowhere');
        my $until = time + $PATIENCE;
        while ( time < $until ) {
            my $status = $asker->($target)->{status};
            $noticed{$status}++;
            last if $status == 503;
        }
        mount('disk');
    }
    push @took, recovery();
}
unlink "$dir/go";
my %count;
for my $line ( heard(@readers) ) {
    my ( $what, $number ) = $line =~ /\A(.*) (\d+)$/;
    $count{$what} += $number;
}
my $said = join ', ', map { "$_: $count{$_}" } sort keys %count;
is( $count{"$_ in"}, undef, "$TIMES times a worker is killed or the store gone: $_ is not let in" )
    for qw(forger nobody);
is( join( q{ }, grep { !/ (?:in|0|200|401|503)\z/ } keys %count ), q{}, "... answers: $said" );
cmp_ok( $count{"$_ 401"},   '>',  $TIMES, "control: $_ asked all the time" ) for qw(forger nobody);
cmp_ok( $count{'alice in'}, '>',  $TIMES, 'control: alice is let in' );
cmp_ok( $noticed{503} // 0, '>=', $TIMES * 0.4, 'control: she is not while the store is gone' );
is( $killed, int( ( $TIMES + 1 ) / 2 ), "control: $killed workers were killed" );
my $longest = max(@took);
my $forged  = ( $count{'forger in'} // 0 ) + ( $count{'nobody in'} // 0 );
note(
    sprintf '38: %d times a worker is killed or the store gone, %d let in without a session,'
        . ' back in at most %.2f s',
    $TIMES, $forged, $longest );
cmp_ok( $longest, '<', $PATIENCE, sprintf 'she is back within %.2f s', $longest );
is( $server->stop, 0, 'the gateway stops as always' );
done_testing();
