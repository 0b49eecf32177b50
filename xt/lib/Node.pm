package Node;

# One of the servers of a Cluster: a PostgreSQL server in a network namespace of its own,
# which ends with the process that made it, and is reached by TCP with TLS, and by its
# superuser through a Unix socket.

use strict;
use warnings;
use lib 't/lib';
use parent      qw(Database);
use Carp        qw(croak);
use File::Copy  qw(copy);
use File::Path  qw(remove_tree);
use Servers     qw(certificate);
use Time::HiRes qw(sleep time);

my $NOWHERE = '02:00:00:00:00:ee';    # nobody's address

# Clients are at the bridge, by two names, so that some can be cut off: "others" have a
# network of their own, in which each node has an address, too.
my %NUMBER  = ( n1 => 1, n2 => 2, n3 => 3, clients => 254, others => 254 );
my %CLIENTS = map { $_ => 1 } qw(clients others);
my %NETWORK = ( others => '10.77.1' );
my $USUAL   = '10.77.0';

sub address {
    my ( $name, $client ) = @_;
    my $network = $NETWORK{ $client // $name } // $USUAL;
    return "$network.$NUMBER{$name}";
}
sub _link { my ($name) = @_; return sprintf '02:00:00:00:00:%02x', $NUMBER{$name} }

# Runs commands of ip(8) in a node's namespace, or in that of the clients.
sub _ip {
    my ( $self, @commands ) = @_;
    my @program = ( $self ? @{ $self->{inside} } : (), qw(ip -batch -) );
    open my $ip, '|-', @program or croak "ip: $!";
    print {$ip} map { "$_\n" } @commands;
    close $ip or croak "ip: @commands";
    return;
}

# The bridge, with the clients' addresses.
sub make_bridge {
    _ip(
        undef,
        'link set lo up',
        'link add bridge address ' . _link('clients') . ' type bridge',
        ( map { "address add @{[ address($_) ]}/24 dev bridge" } sort keys %CLIENTS ),
        'link set bridge up'
    );
    return;
}

# Makes one, without data.
sub new {
    my ( $class, $name ) = @_;
    my $self = $class->_with_folder;
    $self->{name} = $name;
    $self->_make_namespace;
    my ( $certificate, $key ) = certificate(
        $name,
        names => join ', ',
        map { 'IP:' . address( $name, $_ ) } qw(clients others)
    );
    my ( $uid, $gid ) = ( stat $self->{dir} )[ 4, 5 ];
    my %copy = ( "$self->{dir}/server.pem" => $certificate, "$self->{dir}/server.key" => $key );
    for my $to ( sort keys %copy ) {
        copy( $copy{$to}, $to ) or croak "$to: $!";
        chmod 0600, $to;
        chown $uid, $gid, $to;
    }
    $self->configure(
        listen_addresses            => q{*},
        ssl                         => 'on',
        ssl_cert_file               => "$self->{dir}/server.pem",
        ssl_key_file                => "$self->{dir}/server.key",
        cluster_name                => $name,
        max_connections             => 100,
        shared_buffers              => '32MB',
        wal_log_hints               => 'on',
        wal_keep_size               => '512MB',
        wal_retrieve_retry_interval => '100ms',
        wal_receiver_timeout        => '5s',
        wal_sender_timeout          => '5s',
        primary_conninfo            => q{}
    );
    return $self;
}

# The namespace lives as long as a process in it, which reads until we end.
sub _make_namespace {
    my ($self) = @_;
    my $name   = $self->{name};
    my $pid    = open $self->{holder}, '|-', qw(unshare --net cat) or croak "unshare: $!";
    $self->{holder_pid} = $pid;
    my $until = time + 10;
    my $ours  = readlink '/proc/self/ns/net';
    sleep 0.01 while time < $until && ( readlink("/proc/$pid/ns/net") // $ours ) eq $ours;
    $self->{inside} = [ 'nsenter', "--net=/proc/$pid/ns/net" ];
    unshift @{ $self->{before} }, @{ $self->{inside} };
    splice @{ $self->{before} }, 3, 0, qw(--pdeathsig KILL);
    _ip(
        undef,
        "link add $name type veth peer name eth0 address @{[ _link($name) ]} netns $pid",
        "link set $name master bridge up"
    );
    $self->_ip(
        'link set lo up',
        ( map { "address add @{[ address( $name, $_ ) ]}/24 dev eth0" } sort keys %CLIENTS ),
        'link set eth0 up'
    );
    $self->reach( grep { $_ ne $name } sort keys %NUMBER );
    return;
}

# What it sends to them arrives, or nothing does, and nobody says so. Clients can, or can't,
# send to it either; for nodes that is a call of their own.
sub reach   { my ( $self, @peers ) = @_; return $self->_join( 1, @peers ) }
sub cut_off { my ( $self, @peers ) = @_; return $self->_join( 0, @peers ) }

sub _join {
    my ( $self, $joined, @peers ) = @_;
    my $to = sub {
        my ( $address, $name, $device ) = @_;
        my $link = $joined ? _link($name) : $NOWHERE;
        return "neigh replace $address lladdr $link dev $device nud permanent";
    };
    $self->_ip( map { $to->( address($_), $_, 'eth0' ) } @peers );
    my @back = map { $to->( address( $self->{name}, $_ ), $self->{name}, 'bridge' ) }
        grep { $CLIENTS{$_} } @peers;
    _ip( undef, @back ) if @back;
    return;
}

# Changes settings, at once if it runs.
sub change {
    my ( $self, %settings ) = @_;
    $self->configure(%settings);
    $self->signal('HUP') if $self->{pid};
    return;
}

# From now on it follows that node; none: it follows nobody, and stays as it is.
sub follow {
    my ( $self, $primary ) = @_;
    return $self->change( primary_conninfo => q{} ) if !defined $primary;
    return $self->change( primary_conninfo => "host=@{[ address($primary) ]} user=postgres"
            . " application_name=$self->{name} sslmode=disable connect_timeout=2" );
}

# Data for the first node of all.
sub found {
    my ($self) = @_;
    $self->_run( Database::program('initdb'),
        '-D', "$self->{dir}/data", qw(-A trust -U postgres --no-sync -E UTF8 --locale=C) );
    open my $file, '>>', "$self->{dir}/data/pg_hba.conf" or croak "pg_hba.conf: $!";
    print {$file} "host all,replication all $_.0/24 trust\n" for $USUAL, values %NETWORK;
    close $file or croak "pg_hba.conf: $!";
    return $self->start;
}

# Starts it as a standby, with a copy of another one's data; or with its own, brought to
# where the other one is if that can be done.
sub copy_of {
    my ( $self, $other ) = @_;
    remove_tree("$self->{dir}/data");
    $self->_run(
        Database::program('pg_basebackup'),
        qw(-U postgres --no-sync -c fast -h),
        $other->{dir}, '-D', "$self->{dir}/data"
    );
    return $self->_start_as_standby( $other->{name} );
}

sub rejoin {
    my ( $self, $other ) = @_;
    $other->sql( 'postgres', 'CHECKPOINT' );    # until then its files tell of no promotion
    my $source = "host=$other->{dir} user=postgres dbname=postgres";
    my $done   = eval {
        $self->_run(
            Database::program('pg_rewind'),
            '--config-file=' . $self->config_file,
            '--no-sync', '-D', "$self->{dir}/data", "--source-server='$source'"
        );
        1;
    };
    return $done ? $self->_start_as_standby( $other->{name} ) : $self->copy_of($other);
}

sub _start_as_standby {
    my ( $self, $primary ) = @_;
    $self->_run( 'touch', "$self->{dir}/data/standby.signal" );
    $self->follow($primary);
    return $self->start;
}

# All its processes hang; and go on.
sub hang {
    my ($self) = @_;
    kill STOP => $self->{pid}, $self->children;    # the first: it starts no more
    kill STOP => $self->children;
    return;
}

sub go_on {
    my ($self) = @_;
    return kill CONT => $self->children, $self->{pid};
}

# What receives from the primary.
sub receiver {
    my ($self) = @_;
    for my $pid ( $self->children ) {
        open my $file, '<', "/proc/$pid/cmdline" or next;
        return $pid if ( readline($file) // q{} ) =~ /walreceiver/;
    }
    return;
}

# Runs a statement in a session that is opened before there is any hurry.
sub ask {
    my ( $self, $statement ) = @_;
    $self->{session} //= $self->session('postgres');
    return $self->{session}->($statement)->();
}
sub open_session { my ($self) = @_; delete $self->{session}; return $self->ask('SELECT 1') }

# How far it has received, in bytes.
sub received {
    my ($self) = @_;
    my $place = $self->ask('SELECT greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())');
    my ( $high, $low ) = $place =~ m{\A([0-9A-F]+)/([0-9A-F]+)$} or croak "no place: $place";
    return hex($high) * 2**32 + hex $low;
}

sub DESTROY {
    my ($self) = @_;
    return       if $self->{owner} != $$;
    $self->go_on if $self->{pid};
    $self->crash if $self->{pid};
    local $? = 0;
    kill KILL => $self->{holder_pid} if $self->{holder_pid};
    close $self->{holder} if $self->{holder};
    return;
}

1;
