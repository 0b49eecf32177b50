package Cluster;

# Three PostgreSQL servers, n1, n2 and n3, one of them the primary and two its synchronous
# standbys, each with a network of its own; and what a failover manager does with them. To
# clients it is a Database whose URL names three hosts.

use strict;
use warnings;
use parent      qw(Database);
use Carp        qw(croak);
use Node        ();
use Servers     qw(ca_file);
use Time::HiRes qw(clock_gettime sleep CLOCK_MONOTONIC);

my @NAMES = qw(n1 n2 n3);

# Why there can be none here; nothing if there can.
sub lacks {
    return 'only root can make networks' if $> != 0;
    my ($reason) = Database::lacks();
    return $reason if defined $reason;
    for my $program (qw(ip nsenter openssl setpriv unshare)) {
        return "$program is not installed"
            if !grep { -x "$_/$program" } split /:/, $ENV{PATH};
    }
    my $try = 'ip link add bridge type bridge && ip link add n1 type veth peer name eth0';
    return 'no networks can be made here'
        if system("unshare --net sh -c '$try' >/dev/null 2>&1") != 0;
    return;
}

# Begins this program again, in a network namespace of its own: everything in it goes when
# its processes have ended.
sub enter {
    return if ( $ENV{LMI_TEST_NETWORK} // q{} ) eq $$;
    local $ENV{LMI_TEST_NETWORK} = $$;
    local $ENV{PERL5LIB}         = join q{:}, grep { !ref } @INC;
    exec qw(unshare --net), $^X, $0, @ARGV or croak "unshare: $!";
}

# Makes one, whose primary is n1.
sub new {
    my ($class) = @_;
    croak 'not in a network of its own' if ( $ENV{LMI_TEST_NETWORK} // q{} ) ne $$;
    my $self = bless { owner => $$, made => 0, primary => 'n1' }, $class;
    Node::make_bridge();
    $self->{node}{$_} = Node->new($_) for @NAMES;
    $self->node('n1')->found;
    $self->node($_)->copy_of( $self->primary ) for qw(n2 n3);
    $self->wait_for('ANY 1 (%s)');
    $self->_wait_for_standbys;
    return $self;
}

# From now on a commit waits for these standbys, as synchronous_standby_names has it; %s
# are the names of the other two.
sub wait_for {
    my ( $self, $rule ) = @_;
    for my $name (@NAMES) {
        my $others = join ', ', grep { $_ ne $name } @NAMES;
        $self->node($name)->change( synchronous_standby_names => $rule =~ s/%s/$others/r );
    }
    my $wanted = $self->primary->{settings}{synchronous_standby_names};
    _await(
        10,
        "a commit waits for $wanted",
        sub { return $self->sql( 'postgres', 'SHOW synchronous_standby_names' ) eq "$wanted\n" }
    );
    return;
}

sub node { my ( $self, $name ) = @_; return $self->{node}{$name} // croak "no node $name" }
sub primary { my ($self) = @_; return $self->node( $self->{primary} ) }

# The names of the others, in their order.
sub standbys {
    my ($self) = @_;
    return grep { $_ ne $self->{primary} } @NAMES;
}

sub sql { my ( $self, @arguments ) = @_; return $self->primary->sql(@arguments) }

sub session { my ( $self, @arguments ) = @_; return $self->primary->session(@arguments) }

sub url {
    my ( $self, $database, $user ) = @_;
    my $hosts = join q{,}, map { Node::address($_) } @NAMES;
    return "postgresql://$user\@$hosts/$database?sslrootcert=" . ca_file();
}

# The same URL for the other clients.
sub url_of_others {
    my ( $self, $url ) = @_;
    for my $name (@NAMES) {
        my ( $usual, $other ) = ( Node::address($name), Node::address( $name, 'others' ) );
        $url =~ s/\b\Q$usual\E\b/$other/;
    }
    return $url;
}

# Faults, and their ends. Nothing says that a node is cut off: what is sent goes nowhere.
sub kill9 { my ( $self, $name ) = @_; return $self->node($name)->crash }
sub stop  { my ( $self, $name ) = @_; return $self->node($name)->hang }
sub start { my ( $self, $name ) = @_; return $self->node($name)->start }
sub cont  { my ( $self, $name ) = @_; return $self->node($name)->go_on }

sub isolate_from_nodes {
    my ( $self, $name, @clients ) = @_;
    my @others = grep { $_ ne $name } @NAMES;
    $self->node($name)->cut_off( @others, @clients );
    $self->node($_)->cut_off($name) for @others;
    return;
}

sub isolate_from_nodes_and_others {
    my ( $self, $name ) = @_;
    return $self->isolate_from_nodes( $name, 'others' );
}

sub isolate {
    my ( $self, $name ) = @_;
    return $self->isolate_from_nodes( $name, qw(clients others) );
}

sub heal {
    my ( $self, $name ) = @_;
    my @others = grep { $_ ne $name } @NAMES;
    $self->node($name)->reach( @others, qw(clients others) );
    $self->node($_)->reach($name) for @others;
    return;
}

# The standby receives nothing more, and does not know it; until the returned function is
# called.
sub lag {
    my ( $self, $name ) = @_;
    my $pid = $self->node($name)->receiver // croak "$name receives nothing";
    kill STOP => $pid;
    return sub { return kill CONT => $pid };
}

sub _await {
    my ( $seconds, $what, $is_done ) = @_;
    my $until = clock_gettime(CLOCK_MONOTONIC) + $seconds;
    while ( clock_gettime(CLOCK_MONOTONIC) < $until ) {
        return if $is_done->();
        sleep 0.02;
    }
    croak "not within $seconds s: $what";
}

# These standbys follow nobody any more, now.
sub follow_nobody {
    my ( $self, @names ) = @_;
    $self->node($_)->follow for @names;
    for my $name (@names) {
        _await( 10, "$name follows nobody", sub { return !$self->node($name)->receiver } );
    }
    return;
}

# What a failover manager does when the primary is away. First it makes sure that no
# standby acknowledges anything more to it, so that what they have received is all that was
# acknowledged to clients: with ANY 1 of two, neither may follow it any more. Then the one
# that has received more is promoted (with `least`, wrongly, the other one), and the other
# follows it. Returns when the promotion began.
sub fail_over {
    my ( $self, %how ) = @_;
    my @standbys = map { $self->node($_) } $self->standbys;
    $self->follow_nobody( $self->standbys );
    my %received = map  { $_->{name} => $_->received } @standbys;
    my @sorted   = sort { $received{ $b->{name} } <=> $received{ $a->{name} } } @standbys;
    @sorted = reverse @sorted if $how{least};
    my ( $new, $other ) = @sorted;
    my $began = clock_gettime(CLOCK_MONOTONIC);
    $new->ask('SELECT pg_promote(true, 20)') eq "t\n"
        or croak "$new->{name} is not promoted";
    $other->follow( $new->{name} );

    # What they have, the new primary may not have.
    $self->{apart}{$_} = 1 for $self->{primary}, $how{least} ? $other->{name} : ();
    $self->{primary}   = $new->{name};
    return $began;
}

# All is well again, whatever has happened: the nodes hear each other, and each that is
# not the primary follows it. Who has what the primary has not gives it up.
sub restore {
    my ($self) = @_;
    for my $name (@NAMES) {
        $self->heal($name);
        $self->cont($name) if $self->node($name)->{pid};
    }
    my $apart = delete $self->{apart} // {};
    for my $name ( $self->standbys ) {
        my $node = $self->node($name);
        $node->crash if $apart->{$name} && $node->{pid};
        if    ( $apart->{$name} ) { $node->rejoin( $self->primary ) }
        elsif ( !$node->{pid} )   { $node->start }
        $node->follow( $self->{primary} );
    }
    return $self->_wait_for_standbys;
}

sub _wait_for_standbys {
    my ($self) = @_;
    _await(
        60,
        'both standbys follow ' . $self->{primary},
        sub {
            return 2 == $self->sql( 'postgres', <<'SQL' );
SELECT count(*) FROM pg_stat_replication
WHERE state = 'streaming' AND pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) < 65536
SQL
        }
    );
    $self->node($_)->open_session for $self->standbys;
    return;
}

# Its nodes end themselves.
sub DESTROY { return }

1;
