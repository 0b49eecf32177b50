#!/usr/bin/perl

# Row 12: what a check costs in logmeind if its store has a thousand sessions, which are
# used in turn, and if it has a million, of which ten thousand are. Prints seconds of CPU,
# a line for each, one time more than ROUNDS: of a check among the many, and among the few.
#
#     many.pl ROUNDS [STORED [IN_USE]]

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/../t/lib";
use Checker    ();
use List::Util qw(sum);
use Test::Cpanel::LogMeIn;

chdir "$Bin/.." or die "$Bin/..: $!\n";
my ( $rounds, $stored, $in_use ) = @ARGV;
my $CHECKS = 50_000;
my $few    = start( 1000,                 900 );
my $many   = start( $stored // 1_000_000, $in_use // 10_000 );

# logmeind on a store with so many sessions, and those of them that are used.
sub start {
    my ( $count, $used ) = @_;
    my $site = Test::Cpanel::LogMeIn->new(
        accounts => { busy => 'secret' },
        settings => { log  => 'none', session_idle => 21_600 }
    );
    my ($hash) = `cat '@{[ $site->path('etc/shadow') ]}'` =~ /^busy:([^:]+)/m;
    my @sessions = map { [split] } `bench/bin/make $count busy $used '$hash'`;
    die "bench: make failed\n" if $? != 0 || @sessions != $used;
    my $daemon = Checker->new( $site->dir . '/check.sock' ) // die "bench: no logmeind\n";
    my $self   = { site => $site, daemon => $daemon, sessions => \@sessions };
    seconds($self);    # each is used once: the first time it is written
    return $self;
}

# The CPU of a process.
sub cpu {
    my ($pid) = @_;
    return sum map { ( split q{ }, `cat $_` )[0] / 1e9 } glob "/proc/$pid/task/*/schedstat";
}

sub seconds {
    my ($self)  = @_;
    my $before  = cpu( $self->{daemon}->pid );
    my $allowed = $self->{daemon}->check_many( $CHECKS, @{ $self->{sessions} } );
    die "bench: only $allowed of $CHECKS checks were allowed\n" if $allowed != $CHECKS;
    return ( cpu( $self->{daemon}->pid ) - $before ) / $CHECKS;
}

STDOUT->autoflush(1);
for ( 0 .. $rounds ) {
    printf "%.9f\n", seconds($_) for $many, $few;
}
