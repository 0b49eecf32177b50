package Cpanel::LogMeIn::Server;

use strict;
use warnings;
use parent            qw(Starman::Server);
use IO::Select        ();
use IO::Socket::SSL   ();
use Plack::TempBuffer ();
use POSIX             ();

our $VERSION = '0.01';

my $HANDSHAKE   = 5;                                        # seconds, for TLS to begin
my $HEAD        = 5;                                        # ... for a request's head to arrive
my $PAUSE       = 30;                                       # ... between two parts of its body
my $STOP        = 15;                                       # ... for workers to end
my $HEAD_MAX    = 65_536;                                   # bytes
my $BODY_MAX    = 67_108_864;                               # bytes
my $CHUNK       = 65_536;                                   # bytes
my $LOGINS_MAX  = 32;                                       # of one worker at once
my $LOGIN_NICE  = 5;
my $TLS_VERSION = 'SSLv23:!SSLv3:!SSLv2:!TLSv1:!TLSv1_1';

my $TOKEN_BYTES = q{!#$%&'*+.^_`|~0-9A-Za-z-};

# Serves until it is stopped. Options:
#   app          the PSGI app
#   ports        a list of hashes: host, port, proto (tcp, ssl or unix); of a
#                unix socket the port is its path, with its mode and gid
#   workers      the number of worker processes
#   certificate  files with certificate and key of the ports of proto ssl
#   key
#   ready        called when all ports are open
#   reload       called on SIGHUP; returns the reloaded app, or dies
sub serve {
    my ( $class, %option ) = @_;
    my $self = $class->new;
    $self->{serve} = \%option;
    return $self->run(
        $option{app},
        {
            workers           => $option{workers},
            listen            => ['localhost:1'],
            proctitle         => 0,
            keepalive_timeout => 1,
            server_ready      => $option{ready},
            net_server_args   => {
                serialize => 'flock',
                log_level => 1,
                $self->_tls,
            },
        }
    );
}

# Certificate and TLS versions of ports of proto ssl.
sub _tls {
    my ($self) = @_;
    return (
        SSL_cert_file   => $self->{serve}{certificate},
        SSL_key_file    => $self->{serve}{key},
        SSL_version     => $TLS_VERSION,
        SSL_verify_mode => IO::Socket::SSL::SSL_VERIFY_NONE(),
    );
}

# At the start, the caller reports the error; in a worker, it ends the connection.
sub fatal {
    my ( $self, $error ) = @_;
    die "$error\n";
}

# Starman's own option for ports does not support IPv6.
sub post_configure_hook {
    my ($self) = @_;
    $self->{server}{port}       = $self->{serve}{ports};
    $self->{server}{multi_port} = 1;    # even for a single port: see accept_multi_port
    return;
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
    return $self->SUPER::pre_loop_hook;
}

# SIGHUP in the master. If something is invalid, nothing is changed. The ports stay
# open. New workers are started before the old ones end, which they do after their
# current request.
sub sig_hup {
    my ($self) = @_;
    my $reload = $self->{serve}{reload};
    my $done   = eval {
        my $app = $reload->();
        $self->_set_certificate($_) for grep { $_->NS_proto eq 'SSL' } @{ $self->{server}{sock} };
        $self->{app} = $app;
        1;
    };
    return $self->log( 0, "Not reloaded: $@" ) if !$done;
    my @old = keys %{ $self->{server}{children} };
    $self->run_n_children( scalar @old );
    kill HUP => @old;
    return;
}

# If the new certificate is invalid, the socket keeps its current one.
sub _set_certificate {
    my ( $self, $socket ) = @_;
    return $socket->configure_SSL( { $self->_tls, SSL_server => 1, SSL_startHandshake => 0 } )
        || die "$IO::Socket::SSL::SSL_ERROR\n";
}

# The master ends after its workers, so that the ports are free then.
sub close_children {
    my ($self) = @_;
    my @workers = keys %{ $self->{server}{children} // {} };
    kill TERM => @workers;
    my $until = time + $STOP;
    local $SIG{CHLD} = 'DEFAULT';
    while ( @workers && time < $until ) {
        @workers = grep { waitpid( $_, POSIX::WNOHANG() ) == 0 } @workers;
        select undef, undef, undef, 0.02 if @workers;    ## no critic (ProhibitSleepViaSelect)
    }
    kill KILL => @workers;
    $self->{server}{children} = {};
    return;
}

# In a worker.

# A signal does not end a worker while it handles a connection: the signal is noted,
# and the pipe ends the wait for the next connection. Reading and writing are
# restarted, because a TLS handshake would fail with EINTR.
sub child_init_hook {
    my ($self) = @_;
    my $property = $self->{server};
    srand;
    $0 = 'logmein serve (worker)';    ## no critic (RequireLocalizedPunctuationVars)
    pipe my $reader, my $writer or die "pipe: $!\n";
    $self->{signalled} = $reader;
    $self->{wait}      = IO::Select->new( $reader, @{ $property->{sock} } );
    my $end = sub {
        $property->{SigHUPed} = 1;
        syswrite $writer, q{.};
        return;
    };
    _on_signal( POSIX::SIGHUP(), $end );
    _on_signal( $_,              sub { $self->_end_logins; return $end->() } )
        for POSIX::SIGTERM(), POSIX::SIGINT(), POSIX::SIGQUIT();
    return;
}

# The handler runs between two Perl operations; system calls are restarted.
sub _on_signal {
    my ( $signal, $job ) = @_;
    my $action = POSIX::SigAction->new( $job, POSIX::SigSet->new, POSIX::SA_RESTART() );
    $action->safe(1);
    POSIX::sigaction( $signal, $action ) or die "sigaction: $!\n";
    return;
}

sub accept_multi_port {
    my ($self) = @_;
    my @ready = $self->{wait}->can_read;

    # Immediately: this process holds the lock that the next worker waits for.
    POSIX::_exit(0) if $self->{server}{SigHUPed};
    my @open = grep { $_ != $self->{signalled} } @ready;
    return @open ? $open[ rand @open ] : undef;
}

sub _end_logins {
    my ($self) = @_;
    $self->_forget_logins;
    kill TERM => keys %{ $self->{logins} };
    return;
}

sub _forget_logins {
    my ($self) = @_;
    delete $self->{logins}{$_}
        for grep { waitpid( $_, POSIX::WNOHANG() ) != 0 } keys %{ $self->{logins} };
    return;
}

# Dies if the job takes longer.
sub _in_time {
    my ( $self, $seconds, $job ) = @_;
    my $result;
    my $done = eval {
        local $SIG{ALRM} = sub { die "too slow\n" };
        alarm $seconds;
        $result = $job->();
        alarm 0;
        1;
    };
    my $why = $@;
    alarm 0;
    die $why if !$done;
    return $result;
}

# A failed connection does not end the worker.
sub run_client_connection {
    my ($self) = @_;
    return if eval { $self->SUPER::run_client_connection; 1 };
    my $why = $@;
    $self->log( 1, "A connection has failed: $why" )
        if $why !~ /too slow|Read error|SSL connection|write error/;
    $self->_drop;
    return;
}

# Closes the connection in this process only, without a TLS shutdown: another
# process may still use it.
sub _drop {
    my ($self) = @_;
    my $connection = $self->{server}{client};
    $self->{client}{keepalive} = 0;
    return $connection->close( SSL_no_shutdown => 1 ) if $connection->isa('IO::Socket::SSL');
    return $connection->close;
}

sub post_accept {
    my ( $self, @more ) = @_;
    return $self->_in_time( $HANDSHAKE, sub { $self->SUPER::post_accept(@more) } );
}

# Reads the head of a request; true if it is valid. Ambiguous requests, which
# programs may interpret differently, are refused here, before they are parsed.
sub _read_headers {    ## no critic (ProhibitUnusedPrivateSubroutines)
    my ($self) = @_;
    my $client = $self->{client};
    my $head   = eval {
        $self->_in_time( $HEAD, sub { $self->_head } );
    } // return;
    my $status = _status_of( \$head );
    if ($status) {
        $self->_http_error( $status, { SERVER_PROTOCOL => 'HTTP/1.1', REQUEST_METHOD => 'GET' } );
        return;
    }
    $client->{headerbuf} = $head;
    return 1;
}

# Appends the available data; false at the end.
sub _read {
    my ( $self, $buffer, $most ) = @_;
    return sysread $self->{server}{client}, ${$buffer}, $most, length ${$buffer};
}

# The head, including the empty line. The rest stays in the buffer.
sub _head {
    my ($self) = @_;
    my $buffer = \$self->{client}{inputbuf};
    while (1) {
        return $1         if ${$buffer} =~ s/\A(.*?\n\r?\n)//s;
        return ${$buffer} if length ${$buffer} > $HEAD_MAX;
        $self->_read( $buffer, $CHUNK ) or return;
    }
    return;
}

# The status for an invalid head; 0 if it is valid. Fields with unusual names are
# removed, because CGI maps different characters to an underscore.
sub _status_of {
    my ($head) = @_;
    return 431 if length ${$head} > $HEAD_MAX;
    return 400 if ${$head} =~ /\0|\r(?!\n)|(?<!\r)\n/;
    my ( $request, @fields ) = split /\r\n/, ${$head};
    return 400 if $request !~ m{\A[A-Z]{1,20} [\x21-\x7e]+ HTTP/1[.][01]\z};
    my %values;
    for my $field (@fields) {
        my ( $name, $value ) = $field =~ /\A([$TOKEN_BYTES]+):[ \t]*(.*?)[ \t]*\z/ or return 400;
        push @{ $values{ lc $name } }, $value;
    }
    ${$head} = join "\r\n", $request, grep( { /\A[A-Za-z0-9-]+:/ } @fields ), q{}, q{};
    return _status_of_fields( \%values );
}

sub _status_of_fields {
    my ($values) = @_;
    my ( $host, $length, $coding ) =
        map { $values->{$_} // [] } qw(host content-length transfer-encoding);
    return 400 if @{$host} > 1 || @{$length} > 1 || ( @{$length} && @{$coding} );
    return 411 if @{$coding};
    return 0   if !@{$length};
    return 400 if $length->[0] !~ /\A[0-9]{1,15}\z/;
    return $length->[0] > $BODY_MAX ? 413 : 0;
}

# The process that answers the request reads the body.
sub _prepare_env { return }    ## no critic (ProhibitUnusedPrivateSubroutines)

sub _read_body {
    my ( $self, $env ) = @_;
    my $left   = $env->{CONTENT_LENGTH} || 0;
    my $buffer = Plack::TempBuffer->new($left);
    my $part   = substr $self->{client}{inputbuf}, 0, $left, q{};
    while (1) {
        $buffer->print($part);
        $left -= length $part;
        last if $left <= 0;
        $part = q{};
        my $most = $left < $CHUNK ? $left : $CHUNK;
        $self->_in_time( $PAUSE, sub { $self->_read( \$part, $most ) } ) or die "Read error\n";
    }
    $env->{'psgi.input'} = $buffer->rewind;
    return;
}

sub dispatch_request {
    my ( $self, $env ) = @_;
    return $self->_fork_login($env) if _is_login($env);
    return $self->_answer($env);
}

sub _answer {
    my ( $self, $env ) = @_;
    $self->_read_body($env);
    $self->{client}{keepalive} = 0 if $self->{server}{SigHUPed};
    return $self->SUPER::dispatch_request($env);
}

sub _is_login {
    my ($env) = @_;
    return $env->{REQUEST_METHOD} eq 'POST'
        && $env->{REQUEST_URI} =~ m{\A(?:/cpsess[0-9]{10})?/login/?(?:[?]|\z)};
}

# A login takes long, or waits for a processor. It runs in a process of its own,
# which takes over the connection, so that this process can answer other requests.
sub _fork_login {
    my ( $self, $env ) = @_;
    $self->_forget_logins;
    my $pid = keys %{ $self->{logins} } < $LOGINS_MAX ? fork : undef;
    return $self->_http_error( 503, $env ) if !defined $pid;
    if ($pid) {
        $self->{logins}{$pid} = 1;
        $self->_drop;
        return;
    }
    ## no critic (RequireLocalizedPunctuationVars)
    $SIG{$_} = 'DEFAULT' for qw(TERM INT QUIT HUP);
    $0 = 'logmein serve (login)';
    POSIX::nice($LOGIN_NICE);
    $_->isa('IO::Socket::SSL') ? $_->close( SSL_no_shutdown => 1 ) : $_->close
        for @{ $self->{server}{sock} };
    close $self->{server}{lock_fh} if $self->{server}{lock_fh};
    $self->{client}{keepalive} = 0;
    eval { $self->_answer($env); 1 } or $self->log( 1, "A login has failed: $@" );
    $self->{server}{client}->close;
    POSIX::_exit(0);
    return;
}

1;

__END__

=head1 NAME

Cpanel::LogMeIn::Server - the web server of C<logmein serve>

=head1 DESCRIPTION

Internal to L<logmein>, which describes it. It extends L<Starman> by stricter checks
of requests, and by a separate process for each login.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
