#!/usr/bin/perl

# Three synchronous PostgreSQL servers, 12 clients, and a fault: the primary or a standby is
# killed, stopped or cut off, and the primary is replaced. No acknowledged session is lost, no
# ticket is granted twice, no session is accepted later than two seconds after its logout was
# acknowledged, and writes are possible again five seconds after the promotion. LMI_TRIALS:
# how often each fault happens, three times, with XT_LONG=1 twenty; LMI_FAULTS: which ones, a
# pattern.

use strict;
use warnings;
use blib;
use lib        qw(t/lib xt/lib);
use Cluster    ();
use Failover   ();
use Run        qw(logmein);
use List::Util qw(max sum0);
use Test::More;

plan skip_all => $_ for Cluster::lacks();
Cluster::enter();

my $TRIALS   = $ENV{LMI_TRIALS} || ( $ENV{XT_LONG} ? 20 : 3 );
my $FAULTS   = $ENV{LMI_FAULTS} // q{.};
my $WRITABLE = 5;                                                # seconds
my @RULES    = qw(undone late double lost refused);

my $cluster = Cluster->new;
my ( $site, $database ) = $cluster->site(
    accounts => { Failover::accounts() },
    settings => { Failover::settings() }
);

like(
    logmein(qw(doctor --verbose))->{out},
    qr/majority of the database servers acknowledges each write: in [0-9]+ ms/,
    'doctor measures a lease'
);

# Does a new connection accept the primary?
sub accepts {
    return Test::Cpanel::LogMeIn::in_child( sub { scalar $site->login( user => 'shared1' ) } );
}

# Some trials of a fault: the sums of their counts, and the greatest times.
sub trials {
    my ( $fault, $times, @given ) = @_;
    my @trials =
        map { Failover::trial( cluster => $cluster, site => $site, fault => $fault, @given ) }
        1 .. $times;
    my %all;
    for my $what ( @RULES, 'logouts' ) {
        $all{$what} = sum0( map { $_->{$what} } @trials );
    }
    for my $time (qw(seconds writable gap took)) {
        $all{$time} = max( map { $_->{$time} // 999 } @trials );
    }
    $all{texts}  = [ map { $_->{text} } map { @{ $_->{violations} } } @trials ];
    $all{events} = sum0( map { scalar @{ $_->{events} } } @trials );
    note(
        sprintf '%s: %d trials, %d events, %d logouts acknowledged, %d undone, %d late (%.2f s),'
            . ' %d double grants, %d lost, %d refused; failover %.2f s, writable %.2f s after the'
            . ' promotion, %.2f s without a write',
        $fault, $times,
        @all{qw(events logouts undone late seconds double lost refused took writable gap)} );
    return \%all;
}

my %sum = map { $_ => 0 } qw(faults undone double late);
for my $fault ( grep { /$FAULTS/ } Failover::faults() ) {
    my $all = trials( $fault, $TRIALS );
    cmp_ok( $all->{logouts}, '>', 20 * $TRIALS, "$fault: $all->{logouts} logouts" );
    is_deeply(
        { map { $_ => $all->{$_} } @RULES },
        { map { $_ => 0 } @RULES },
        '... nothing that was acknowledged is undone'
    ) or diag( join "\n", grep { defined } @{ $all->{texts} }[ 0 .. 9 ] );
    cmp_ok( $all->{writable}, '<', $WRITABLE, '... and writes are possible again' );
    $sum{faults}++;
    $sum{$_} += $all->{$_} for qw(undone double late);
}
note(
    sprintf '30: %d faults of three PostgreSQL servers, %d logouts undone, %d tickets granted'
        . ' twice, %d accepted later than two seconds',
    @sum{qw(faults undone double late)}
);
note("30: $TRIALS trials of each fault");

if ( 'controls' =~ /$FAULTS/ ) {

    # A lease that nobody acknowledges: a primary that was replaced goes on answering.
    my $lease =
        $cluster->sql( $database, q{SELECT pg_get_functiondef('logmein.lmi_lease_v1'::regproc)} );
    $cluster->sql( $database, $lease =~ s/PERFORM pg_logical_emit_message.*?;//r );
    my $all = trials( 'primary cut off from standbys and some clients', 1 );
    cmp_ok( $all->{late}, '>', 0, 'control: without a lease sessions are accepted too late' );
    $cluster->sql( $database, $lease );

    # The standby that has received less is promoted.
    $all = trials( 'primary killed, a standby is behind', 1, least => 1 );
    cmp_ok( $all->{undone} + $all->{lost}, '>', 0, 'control: the wrong standby loses something' );

    # A rule that one standby can meet which is then not promoted: with four names, a failover
    # manager that has stopped two of them has not stopped them all.
    $cluster->wait_for('ANY 1 (%s, n4, n5)');
    ok( !accepts(), 'a server that waits for one of four standbys is refused' );

    # A commit waits for no standby.
    $cluster->wait_for(q{});
    ok( !accepts(), 'a server without synchronous standbys is refused' );
    $site->settings( store_alone => 'yes' );
    $all = trials( 'primary cut off from standbys and some clients', 1 );
    cmp_ok( $all->{undone} + $all->{lost}, '>', 0, 'control: ... and would lose something' );
}
done_testing();
