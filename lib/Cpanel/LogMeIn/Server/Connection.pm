package Cpanel::LogMeIn::Server::Connection;

use strict;
use warnings;
use AnyEvent                        ();
use AnyEvent::Handle                ();
use Cpanel::LogMeIn::Server::Answer ();
use Cpanel::LogMeIn::Server::Head   qw(read_head take_head);
use Errno                           qw(EAGAIN EINTR);
use Plack::TempBuffer               ();
use Plack::Util                     ();
use Socket                          qw(MSG_PEEK);

our $VERSION = '0.01';

# One connection of a worker. Nothing here waits: bytes are collected as they come,
# and each phase has a deadline. The phases: 'hello' (until the first byte, and the
# TLS handshake), 'head', 'body', 'answer' (until the last byte of the answer has been
# taken over by the kernel), 'idle' (kept for the next request), 'ending' (what still
# comes is discarded, so that the client can read the answer).

my %DEADLINE = (    # seconds
    hello  => 5,
    head   => 5,
    form   => 10,    # a whole form for the gateway
    body   => 10,    # ... BODY_STEP bytes of a body for the app
    answer => 30,    # ... the next part of an answer, of up to 64 KiB
    idle   => 15,
    ending => 2,
);
my $STREAM_MAX   = 3600;       # seconds until an app that streams has more to send
my $REQUESTS_MAX = 100;        # of one connection
my $BODY_STEP    = 10_000;     # bytes
my $UNREAD_MAX   = 262_144;    # bytes that a client may send before it is its turn
my $TLS_RECORD   = "\x16";     # the first byte of a handshake

open my $NO_INPUT, '<', \q{} or die "no input: $!\n";

# Arguments: worker, fh (an accepted connection), port (tls: is it a port for TLS;
# number: undef for a Unix socket), peer (address and port, q{} for a Unix socket).
sub new {
    my ( $class, %argument ) = @_;
    my $self = bless { %argument, phase => 'hello', since => AE::now() }, $class;
    AnyEvent::fh_unblock( $self->{fh} );
    $self->_set_deadline( $DEADLINE{hello} );
    return $self->_open(0) if !$self->{port}{tls};
    $self->{first_byte} = AE::io( $self->{fh}, 0, sub { $self->_look_at_first_byte } );
    return $self;
}

# When it began to wait for its client; undef if the client waits for an answer.
sub waits_since {
    my ($self) = @_;
    return $self->{phase} eq 'answer' ? undef : $self->{since};
}

sub is_open { my ($self) = @_; return defined $self->{fh} }

sub descriptor { my ($self) = @_; return fileno $self->{fh} }

# The worker ends: nothing new is begun here.
sub finish {
    my ($self) = @_;
    $self->close if $self->{phase} eq 'idle';
    return;
}

sub _set_phase {
    my ( $self, $phase, $seconds ) = @_;
    @{$self}{qw(phase since)} = ( $phase, AE::now() );
    return $self->_set_deadline( $seconds // $DEADLINE{$phase} );
}

sub _set_deadline {
    my ( $self, $seconds, $job ) = @_;
    $self->{deadline} = AE::timer( $seconds, 0, $job // sub { $self->_is_late } );
    return;
}

# A client that is late with a body learns why; any other has said too little.
sub _is_late {
    my ($self) = @_;
    return $self->{phase} eq 'body' ? $self->_refuse(408) : $self->close;
}

# Clear text at a port for TLS is a request of its own: the gateway redirects it.
sub _look_at_first_byte {
    my ($self) = @_;
    my $got    = recv $self->{fh}, my $byte, 1, MSG_PEEK;
    return              if !defined $got && ( $! == EAGAIN || $! == EINTR );
    return $self->close if !defined $got || !length $byte;
    delete $self->{first_byte};
    return $self->_open( $byte eq $TLS_RECORD );
}

sub _open {
    my ( $self, $tls ) = @_;
    my $end = sub { $self->close };
    $self->{tls}    = $tls;
    $self->{handle} = AnyEvent::Handle->new(
        fh         => $self->{fh},
        on_error   => $end,
        on_eof     => sub { $self->close if $self->{phase} ne 'answer' },
        on_stoptls => $end,
        on_read    => sub { $self->_read },
        rbuf_max   => $UNREAD_MAX,
        linger     => 0,
        $self->{port}{number} ? ( no_delay    => 1 )                                   : (),
        $tls                  ? ( on_starttls => sub { $self->_begin_head( $_[1] ) } ) : (),
    );
    return $self->_begin_head(1) if !$tls;
    $self->{handle}->starttls( 'accept', $self->{worker}->tls );
    return $self;
}

sub _begin_head {
    my ( $self, $success ) = @_;
    return $self->close if !$success;
    $self->_set_phase('head');
    $self->_read_head if length $self->{handle}{rbuf};
    return $self;
}

sub _read {
    my ($self) = @_;
    my $phase = $self->{phase};
    return $self->_read_head    if $phase eq 'head' || $phase eq 'idle';
    return $self->_read_body    if $phase eq 'body';
    $self->{handle}{rbuf} = q{} if $phase eq 'ending';
    return;
}

sub _read_head {
    my ($self) = @_;
    $self->_set_phase('head') if $self->{phase} eq 'idle';
    my $head = take_head( \$self->{handle}{rbuf} ) // return;
    $self->_set_phase('answer');
    my $env    = $self->_new_env;
    my $status = read_head( $head, $env );
    $self->{env}  = $env;
    $self->{left} = $env->{CONTENT_LENGTH} || 0;
    $self->{keep} = _wants_keep($env) && ++$self->{requests} < $REQUESTS_MAX;
    return $self->_refuse($status) if $status;
    return $self->_judge;
}

sub _new_env {
    my ($self) = @_;
    my ( $address, $port ) = @{ $self->{peer} };
    return {
        REMOTE_ADDR            => $address,
        REMOTE_PORT            => $port,
        SERVER_NAME            => $self->{port}{host},
        SERVER_PORT            => $self->{port}{number} // 0,
        SCRIPT_NAME            => q{},
        'psgi.version'         => [ 1, 1 ],
        'psgi.errors'          => *STDERR,
        'psgi.url_scheme'      => $self->{tls} ? 'https' : 'http',
        'psgi.nonblocking'     => Plack::Util::FALSE,
        'psgi.streaming'       => Plack::Util::TRUE,
        'psgi.run_once'        => Plack::Util::FALSE,
        'psgi.multithread'     => Plack::Util::FALSE,
        'psgi.multiprocess'    => Plack::Util::TRUE,
        'psgi.input'           => $NO_INPUT,
        'psgix.input.buffered' => Plack::Util::TRUE,
        'psgix.io'             => $self->{fh},
    };
}

sub _wants_keep {
    my ($env) = @_;
    my $connection = delete $env->{HTTP_CONNECTION} // q{};
    return $env->{SERVER_PROTOCOL} eq 'HTTP/1.1'
        ? $connection !~ /\bclose\b/i
        : $connection =~ /\bkeep-alive\b/i;
}

# The gateway judges a request by its head. Its body is read only if somebody is
# going to use it.
sub _judge {
    my ($self)  = @_;
    my $gateway = $self->{worker}->gateway;
    my $verdict = $gateway ? eval { $gateway->judge( $self->{env} ) } : 'pass';
    $self->{worker}->complain($@)   if $gateway && !defined $verdict;
    return $self->_answer($verdict) if ref $verdict;
    return $self->_answer(undef)    if ( $verdict // q{} ) !~ /\A(?:form|pass)\z/;
    $self->{is_form} = $verdict eq 'form';
    return $self->_have_body if !$self->{left};
    $self->{handle}->push_write("HTTP/1.1 100 Continue\r\n\r\n")
        if delete $self->{env}{HTTP_EXPECT} && $self->{env}{SERVER_PROTOCOL} eq 'HTTP/1.1';
    $self->{input} = Plack::TempBuffer->new( $self->{left} );
    $self->_set_phase( 'body', $DEADLINE{ $self->{is_form} ? 'form' : 'body' } );
    $self->{step} = $self->{left} - $BODY_STEP;
    return $self->_read_body;
}

sub _read_body {
    my ($self) = @_;
    my $part   = substr $self->{handle}{rbuf}, 0, $self->{left}, q{};
    $self->{input}->print($part);
    $self->{left} -= length $part;
    if ( !$self->{left} ) {
        $self->{env}{'psgi.input'} = ( delete $self->{input} )->rewind;
        return $self->_have_body;
    }
    if ( !$self->{is_form} && $self->{left} <= $self->{step} ) {
        $self->{step} = $self->{left} - $BODY_STEP;
        $self->_set_deadline( $DEADLINE{body} );
    }
    return;
}

# Logins wait for their turn in the worker's queue. What follows a form on its
# connection is not read.
sub _have_body {
    my ($self) = @_;
    $self->_set_phase('answer');
    $self->_pause;
    my ( $worker, $env ) = ( $self->{worker}, $self->{env} );
    my $order = $self->{is_form} ? eval { $worker->gateway->login_order($env) } : undef;
    $self->{keep} = 0 if $self->{is_form} && $env->{REQUEST_METHOD} eq 'POST';
    return $self->_answer( Plack::Util::run_app( $worker->app, $env ) ) if !$order;
    delete $self->{deadline};
    return $worker->logins->add(
        $env, %{$order},
        done    => sub { $self->_send_bytes( $_[0] ) },
        refused => sub { $self->_refuse(503) },
        is_gone => sub { !$self->{handle} },
    );
}

# Answers.

sub _refuse {
    my ( $self, $status ) = @_;
    my $gateway = $self->{worker}->gateway;
    my $answer  = $gateway && eval { $gateway->refusal( $self->{env}, $status ) };
    $self->{keep} = 0;
    return $self->_answer( $answer
            || [ $status, [ 'Content-Type' => 'text/plain' ], ["Status $status\n"] ] );
}

# A PSGI answer, which may stream. After a body that has not been read, the
# connection ends.
sub _answer {
    my ( $self, $response ) = @_;
    $self->_set_phase('answer');
    $self->_pause;
    return $self->_send($response) if ref $response ne 'CODE';
    return if eval {
        $response->( sub { $self->_send( $_[0] ) } );
        1;
    };
    $self->{worker}->complain("The app has failed: $@");
    return $self->{answer} ? $self->close : $self->_send(undef);
}

sub _send {
    my ( $self, $response ) = @_;
    my $keep = $self->{keep} && !$self->{left} && !$self->{worker}->is_ending;
    $self->{answer} =
        Cpanel::LogMeIn::Server::Answer->new( $self->{env}, $response, $keep );
    $self->_send_next;
    return if @{ $response // [] } != 2;
    return Plack::Util::inline_object(
        write => sub { $self->_send_more( write => @_ ) },
        close => sub { $self->_send_more('close') },
    );
}

# An app that streams has something to send.
sub _send_more {
    my ( $self, $what, @bytes ) = @_;
    my $answer = $self->{answer} or die "The client has gone\n";
    $answer->$what(@bytes);
    $self->_send_next if !$self->{is_sending};
    return;
}

# The bytes of an answer that another process has made.
sub _send_bytes {
    my ( $self, $bytes ) = @_;
    return                     if !$self->{handle};
    return $self->_refuse(503) if $bytes !~ m{\AHTTP/1[.]};
    $self->{left} = 1          if length $self->{handle}{rbuf};
    $self->_set_phase('answer');
    return $self->_write( $bytes, sub { $self->_end } );
}

# Writes, and does the job when the kernel has taken over all of it. The job is left to
# the event loop, which serves others in between.
sub _write {
    my ( $self, $bytes, $job ) = @_;
    my $handle = $self->{handle};
    $handle->push_write($bytes);
    $handle->on_drain(
        sub {
            $handle->on_drain(undef);
            AnyEvent::postpone { $job->() };
        }
    );
    return;
}

# Sends an answer part by part.
sub _send_next {
    my ($self) = @_;
    my ( $handle, $answer ) = @{$self}{qw(handle answer)};
    return if !$handle;
    my $part = $answer->next_part;
    if ( !defined $part ) {
        $self->{is_sending} = 0;
        return $self->_have_sent() if $answer->is_complete;
        return $self->_set_deadline($STREAM_MAX);
    }
    $self->{is_sending} = 1;
    $self->_set_deadline( $DEADLINE{answer} );
    return $self->_write( $part, sub { $self->_send_next } );
}

sub _have_sent {
    my ($self) = @_;
    my $keep = ( delete $self->{answer} )->keep;
    return $self->_end if !$keep || $self->{worker}->is_ending;
    delete @{$self}{qw(env is_form input keep left step)};
    $self->_set_phase('idle');
    $self->{handle}->start_read;
    return $self->_read_head if length $self->{handle}{rbuf};
    return;
}

# No bytes are read while an answer is made, so that the client has to wait. (Over TLS
# they are, up to a limit.)
sub _pause {
    my ($self) = @_;
    $self->{handle}->stop_read if $self->{handle};
    return;
}

# The end of a connection. If the client may still be sending, closing it at once would
# destroy the answer on its way.
sub _end {
    my ($self) = @_;
    my $handle = $self->{handle} // return;
    $handle->on_drain(undef);
    return $self->close if !$self->{left} && !length $handle->{rbuf};
    $self->_set_phase('ending');
    $handle->on_stoptls( sub { } );
    $handle->stoptls if $self->{tls};
    $handle->on_drain( sub { shutdown $self->{fh}, 1 if $self->{fh} } );
    $handle->{rbuf} = q{};
    $handle->start_read;
    return;
}

# Other processes may hold a copy of the descriptor: shutdown() ends the connection
# for all of them.
sub close {    ## no critic (ProhibitBuiltinHomonyms ProhibitAmbiguousNames)
    my ($self) = @_;
    my $fh = delete $self->{fh} // return;
    delete @{$self}{qw(answer deadline env first_byte input)};
    my $handle = delete $self->{handle};
    if ($handle) {
        $handle->stoptls if $handle->{tls};
        $handle->destroy;
    }
    shutdown $fh, 2;
    $self->{worker}->forget($self);
    return;
}

1;

__END__

=head1 NAME

Cpanel::LogMeIn::Server::Connection - one connection

=head1 DESCRIPTION

Internal to L<Cpanel::LogMeIn::Server>. Reading, writing and TLS are
L<AnyEvent::Handle>'s.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
