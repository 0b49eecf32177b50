package Cpanel::LogMeIn::Server;

use strict;
use warnings;
use parent                              qw(Net::Server::PreForkSimple);
use AnyEvent                            ();
use AnyEvent::TLS                       ();
use Cpanel::LogMeIn::Server::Connection ();
use Cpanel::LogMeIn::Server::Logins     ();
use EV                                  ();
use Errno                               qw(EAGAIN EINTR);
use IO::Socket::UNIX                    ();
use Net::Server::SIG                    qw(check_sigs);
use POSIX                               ();
use Socket      qw(AF_UNIX NI_NUMERICHOST NI_NUMERICSERV getnameinfo sockaddr_family);
use Time::HiRes qw(sleep);

our $VERSION = '0.01';

my $STOP            = 15;                                  # seconds for workers to end
my $START           = 10;                                  # seconds for the one beside to start
my $BACKLOG         = 1024;                                # connections
my $CONNECTIONS_MAX = 2000;                                # of a worker
my $DESCRIPTORS     = 64;                                  # of a worker, for other uses
my @SIGNALS         = qw(SIGHUP SIGTERM SIGINT SIGQUIT);

# ECDHE only, with AES-GCM or ChaCha20; TLS 1.3 has no others.
my $CIPHERS = 'ECDHE+AESGCM:ECDHE+CHACHA20';

# Serves until it is stopped. Options:
#   ports        a list of hashes: host, port, ipv, proto (tcp, ssl or unix); of a
#                unix socket the port is its path, with its mode and gid
#   workers      the number of worker processes
#   certificate  files with certificate and key of the ports of proto ssl
#   key
#   beside       a program to run beside the workers, a hash: command, a list; and
#                socket, the path that it listens at. It gets their signals, and is
#                started again if it ends.
#   ready        called when all ports are open
#   load         called at the start and on SIGHUP; returns a hash, or dies:
#                  app      the PSGI app
#                  gateway  the Plack::App::LogMeIn that judges requests by their
#                           heads; without it every request gets to the app
sub serve {
    my ( $class, %option ) = @_;
    my $self = $class->new;
    $self->{serve} = \%option;
    $self->_load;
    local @ARGV = ();
    return $self->run(
        host             => q{*},
        port             => [ map { _without_tls($_) } @{ $option{ports} } ],
        max_servers      => $option{workers},
        listen           => $BACKLOG,
        log_level        => 1,
        user             => $>,
        group            => $),
        no_client_stdout => 1,
    );
}

# TLS is not Net::Server's.
sub _without_tls {
    my ($port) = @_;
    return { %{$port}, $port->{proto} eq 'ssl' ? ( proto => 'tcp' ) : () };
}

# All or nothing.
sub _load {
    my ($self) = @_;
    my $serve  = $self->{serve};
    my @files  = grep { defined } @{$serve}{qw(certificate key)};
    my $tls    = @files ? _new_tls(@files) : undef;
    my $loaded = $serve->{load}->();
    @{$self}{qw(tls app gateway)} = ( $tls, @{$loaded}{qw(app gateway)} );
    return;
}

sub _new_tls {
    my ( $certificate, $key ) = @_;
    my $tls = eval {
        AnyEvent::TLS->new(
            method      => 'any',
            cert_file   => $certificate,
            key_file    => $key,
            cipher_list => $CIPHERS,
            map { ( $_ => 0 ) } qw(sslv2 sslv3 tlsv1 tlsv1_1 verify),
        );
    };
    return $tls // die "$certificate, $key: " . ( $@ =~ s/ at \S+ line [0-9]+[.]?\n\z//r ) . "\n";
}

# At the start, the caller reports the error.
sub fatal {
    my ( $self, $error ) = @_;
    die "$error\n";
}

sub complain {
    my ( $self, $text ) = @_;
    return $self->log( 0, $text =~ s/\n+\z//r );
}

# Workers accept connections without a lock, hence without a file for it, which
# Net::Server::PreForkSimple would make.
sub post_bind {
    my ($self) = @_;
    $self->{server}{serialize} = 'none';
    return $self->Net::Server::post_bind();
}

# Sets owner and mode of the Unix sockets. Before this, Net::Server has changed
# their owner to the user that it runs as.
sub pre_loop_hook {
    my ($self) = @_;
    for my $port ( grep { $_->{proto} eq 'unix' } @{ $self->{serve}{ports} } ) {
        my $path = $port->{port};
        chown -1, $port->{gid}, $path or die "$path: $!\n" if defined $port->{gid};
        chmod $port->{mode}, $path or die "$path: $!\n";
    }
    if ( $self->{serve}{beside} ) {
        $self->_start_beside;
        $self->_wait_beside;
    }

    # Who has been told that it serves may send a signal at once.
    POSIX::sigprocmask( POSIX::SIG_BLOCK(), _signals() );
    return $self->{serve}{ready}->();
}

# In the master, when it has set its signals' handlers.
sub register_sig_pass {
    my ($self) = @_;
    POSIX::sigprocmask( POSIX::SIG_UNBLOCK(), _signals() );
    return check_sigs();
}

sub _start_beside {
    my ($self)  = @_;
    my $beside  = $self->{serve}{beside};
    my $command = $beside->{command};
    my $pid     = fork // die "fork: $!\n";
    if ( !$pid ) {
        { exec { $command->[0] } @{$command} }
        print {*STDERR} "logmein: $command->[0]: $!\n";
        POSIX::_exit(127);
    }
    @{$beside}{qw(pid since)} = ( $pid, time );
    return;
}

sub _wait_beside {
    my ($self) = @_;
    my $beside = $self->{serve}{beside};
    my $until  = time + $START;
    while ( !IO::Socket::UNIX->new( Peer => $beside->{socket} ) ) {
        die "$beside->{command}[0] does not start\n"
            if waitpid( $beside->{pid}, POSIX::WNOHANG() ) != 0;
        if ( time >= $until ) {
            kill KILL => $beside->{pid};
            die "$beside->{socket}: nobody answers after $START seconds\n";
        }
        sleep 0.02;
    }
    return;
}

# In the master, every ten seconds, and after each signal.
sub idle_loop_hook {
    my ($self) = @_;
    my $beside = $self->{serve}{beside} // return;
    return if defined $beside->{pid} || time <= $beside->{since};
    eval { $self->_start_beside; 1 } or $self->complain($@);
    return;
}

sub delete_child {
    my ( $self, $pid ) = @_;
    my $beside = $self->{serve}{beside};
    return $self->SUPER::delete_child($pid) if !$beside || $pid != ( $beside->{pid} // 0 );
    delete $beside->{pid};
    return $self->complain("$beside->{command}[0] has ended, and is started again");
}

# Its process, if there is one.
sub _beside {
    my ($self) = @_;
    my $beside = $self->{serve}{beside} // return;
    return $beside->{pid} // ();
}

# SIGHUP in the master. If something is invalid, nothing is changed. The ports stay
# open. New workers are started before the old ones end, which they do after their
# current requests; in Net::Server's words they are dequeued, and count no more.
sub sig_hup {
    my ($self) = @_;
    return $self->complain("Not reloaded: $@") if !eval { $self->_load; 1 };
    my %old = %{ $self->{server}{children} };
    $self->run_n_children( $self->{server}{max_servers} );
    $_->{status} = 'dequeue' for values %old;
    kill HUP => keys %old, $self->_beside;
    return;
}

# The master ends after its workers, so that the ports are free then.
sub close_children {
    my ($self) = @_;
    my @workers = ( keys %{ $self->{server}{children} // {} }, $self->_beside );
    kill TERM => @workers;
    my $until = time + $STOP;
    local $SIG{CHLD} = 'DEFAULT';
    while ( @workers && time < $until ) {
        @workers = grep { waitpid( $_, POSIX::WNOHANG() ) == 0 } @workers;
        sleep 0.02 if @workers;
    }
    kill KILL => @workers;
    $self->{server}{children} = {};
    return;
}

# A signal to a new worker waits until the worker handles signals.
sub run_n_children {
    my ( $self, $count ) = @_;
    my $before = POSIX::SigSet->new;
    $self->{master} = $$;
    POSIX::sigprocmask( POSIX::SIG_BLOCK(), _signals(), $before );
    $self->SUPER::run_n_children($count);
    POSIX::sigprocmask( POSIX::SIG_SETMASK(), $before );
    return;
}

sub _signals {
    return POSIX::SigSet->new( map { POSIX->can($_)->() } @SIGNALS );
}

# In a worker.

sub app     { my ($self) = @_; return $self->{app} }
sub gateway { my ($self) = @_; return $self->{gateway} }
sub logins  { my ($self) = @_; return $self->{logins} }
sub tls     { my ($self) = @_; return $self->{tls} }

sub child_init_hook {
    my ($self) = @_;
    srand;
    $0                   = 'logmein serve (worker)';  ## no critic (RequireLocalizedPunctuationVars)
    $self->{connections} = {};
    $self->{most}        = $CONNECTIONS_MAX;
    my $files = POSIX::sysconf( POSIX::_SC_OPEN_MAX() ) // 0;
    $self->{most}   = $files - $DESCRIPTORS if $files && $files - $DESCRIPTORS < $self->{most};
    $self->{logins} = Cpanel::LogMeIn::Server::Logins->new(
        app   => $self->{app},
        slots => $self->{gateway}->slots,
        begin => sub { $self->_close_others(@_) },
    ) if $self->{gateway};
    return;
}

# A worker's whole life. The event loop was made in the master, when EV was loaded:
# without loop_fork() all workers would share its descriptors.
sub accept {    ## no critic (ProhibitBuiltinHomonyms)
    my ($self) = @_;
    EV::default_loop()->loop_fork;
    EV::now_update();
    my @sockets = @{ $self->{server}{sock} };
    my @signals = map {
        EV::signal( POSIX->can($_)->(), sub { $self->_finish } )
    } @SIGNALS;
    POSIX::sigprocmask( POSIX::SIG_UNBLOCK(), _signals() );
    for my $index ( 0 .. $#sockets ) {
        my ( $socket, $port ) = ( $sockets[$index], $self->{serve}{ports}[$index] );
        my %port = (
            host   => $port->{host},
            number => $port->{proto} eq 'unix' ? undef : $port->{port},
            tls    => $port->{proto} eq 'ssl',
        );
        AnyEvent::fh_unblock($socket);

        # Requests that have arrived come before new connections, which another worker
        # may take.
        my $watcher = EV::io_ns( $socket, EV::READ, sub { $self->_accept( $socket, \%port ) } );
        $watcher->priority(EV::MINPRI);
        $watcher->start;
        push @{ $self->{listening} }, $watcher;
    }
    my $orphaned = EV::timer( 1, 1, sub { POSIX::_exit(0) if getppid != $self->{master} } );
    EV::run();
    return POSIX::_exit(0);
}

sub _accept {
    my ( $self, $socket, $port ) = @_;
    my $peer = CORE::accept( my $fh, $socket );
    if ( !$peer ) {
        return if $!{EAGAIN} || $!{EINTR} || $!{ECONNABORTED};
        $self->_make_room;
        return $self->complain("accept: $!");
    }
    $self->_make_room if keys %{ $self->{connections} } >= $self->{most};
    my @peer = ( q{}, q{} );
    if ( defined $port->{number} ) {
        my ( $error, @name ) = getnameinfo( $peer, NI_NUMERICHOST | NI_NUMERICSERV );
        @peer = @name if !$error;
    }
    my $connection = Cpanel::LogMeIn::Server::Connection->new(
        worker => $self,
        fh     => $fh,
        port   => $port,
        peer   => \@peer,
    );
    $self->{connections}{$connection} = $connection if $connection->is_open;
    return;
}

# Closes the connection that has waited longest for its client.
sub _make_room {
    my ($self) = @_;
    my ( $oldest, $since );
    for my $connection ( values %{ $self->{connections} } ) {
        my $waits = $connection->waits_since // next;
        ( $oldest, $since ) = ( $connection, $waits ) if !defined $since || $waits < $since;
    }
    $oldest->close if $oldest;
    return;
}

sub forget {
    my ( $self, $connection ) = @_;
    delete $self->{connections}{$connection};
    $self->_end_if_idle if $self->{is_ending};
    return;
}

sub is_ending { my ($self) = @_; return $self->{is_ending} }

# Whoever is connected still gets an answer.
sub _finish {
    my ($self) = @_;
    $self->{is_ending} = 1;
    $self->{listening} = [];
    $_->finish for values %{ $self->{connections} };
    return $self->_end_if_idle;
}

sub _end_if_idle {
    my ($self) = @_;
    EV::break(EV::BREAK_ALL) if !%{ $self->{connections} };
    return;
}

# In a process that has been started for one login: what belongs to others is closed.
sub _close_others {
    my ( $self, $own ) = @_;
    my @others = grep { $_ != fileno $own } grep { defined }
        map { $_->descriptor } values %{ $self->{connections} };
    POSIX::close($_) for @others, map { fileno $_ } @{ $self->{server}{sock} };
    return;
}

1;

__END__

=head1 NAME

Cpanel::LogMeIn::Server - the web server of C<logmein serve>

=head1 DESCRIPTION

Internal to L<logmein>, which describes it. L<Net::Server> starts and stops the worker
processes. In a worker, L<AnyEvent> collects requests of any number of connections, and
sends answers; the gateway judges a request by its head, and only the app itself makes
others wait.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
