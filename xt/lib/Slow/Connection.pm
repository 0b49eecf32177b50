package Slow::Connection;

# One client of Slow. It never blocks: act() does what is due, hear() reads.

use strict;
use warnings;
use Carp            qw(croak);
use Errno           qw(EAGAIN EINPROGRESS);
use IO::Socket::SSL ();
use Socket          qw(inet_aton pack_sockaddr_in AF_INET SOCK_STREAM);
use Time::HiRes     qw(time);

my $AGAIN  = 0.2;      # seconds until a closed connection is opened again
my $POLL   = 0.1;      # ... between two looks at one that is being opened
my $NEVER  = 9e15;
my $CHUNK  = 65_536;
my $PIPED  = 100;      # requests in a row
my $ROUNDS = 20;       # ... so many times at once, if the server takes them

my %KIND = map { $_ => 1 } qw(silent hello head body unread kept);

my $context = IO::Socket::SSL::SSL_Context->new( SSL_verify_mode => 0 );

# See Slow->new.
sub new {
    my ( $class, %given ) = @_;
    croak "Unknown kind '$given{kind}'" if !$KIND{ $given{kind} };
    my $is_clear = $given{kind} =~ /\A(?:silent|hello)\z/;
    my $from     = $given{from} // ['127.0.0.1'];
    return bless {
        tls    => !$is_clear,
        target => '/login/',
        fields => [],
        length => 1000,
        first  => 0,
        every  => $given{kind} eq 'kept' ? 0.5 : 1,
        %given,
        from    => $from->[ $given{number} % @{$from} ],
        state   => 'closed',
        due     => 0,
        opened  => 0,
        closed  => 0,
        answers => {},
    }, $class;
}

sub act {
    my ( $self, $now ) = @_;
    my $state = $self->{state};
    return $self->_open($now)      if $state eq 'closed';
    return $self->_connected($now) if $state eq 'connecting';
    return $self->_shake($now)     if $state eq 'handshake';
    return $self->_go_on($now);
}

sub _open {
    my ( $self, $now ) = @_;
    my $socket = IO::Socket::INET->new;
    socket $socket, AF_INET, SOCK_STREAM, 0 or croak "socket: $!";
    bind $socket, pack_sockaddr_in( 0, inet_aton( $self->{from} ) ) or croak "bind: $!";
    $socket->blocking(0);
    connect $socket, pack_sockaddr_in( $self->{port}, inet_aton('127.0.0.1') )
        or $! == EINPROGRESS
        or return $self->_lost($now);
    @{$self}{qw(socket fd state begun)} = ( $socket, fileno $socket, 'connecting', $now );
    return $self->_connected($now);
}

sub _connected {
    my ( $self, $now ) = @_;
    my $socket = $self->{socket};
    if ( !getpeername $socket ) {
        return $self->_lost($now)
            if $now > $self->{begun} + 5 || $socket->sockopt( Socket::SO_ERROR() );
        return $self->{due} = $now + $POLL;
    }
    return $self->_begin($now) if !$self->{tls};
    IO::Socket::SSL->start_SSL(
        $socket,
        SSL_reuse_ctx      => $context,
        SSL_startHandshake => 0
    ) or croak 'no TLS';
    $self->{state} = 'handshake';
    return $self->_shake($now);
}

sub _shake {
    my ( $self, $now ) = @_;
    $self->{listens} = 1;
    return $self->_begin($now) if $self->{socket}->connect_SSL;
    return $self->_lost($now)  if $! != EAGAIN;
    return $self->{due} = $now + $NEVER;
}

# The first bytes
sub _begin {
    my ( $self, $now ) = @_;
    my $kind = $self->{kind};
    $self->{opened}++;
    $self->{state}   = 'open';
    $self->{listens} = $kind ne 'unread';
    $self->{out} =
          $kind eq 'silent' ? q{}
        : $kind eq 'hello'  ? _half_a_hello()
        : $kind eq 'head'   ? $self->_head('GET') . 'X-Slow: '
        : $kind eq 'body'   ? $self->_form
        :                     q{};
    $self->{sent} = $self->{first};
    $self->{due}  = $now + ( $kind eq 'silent' || $kind eq 'hello' ? $NEVER : $self->{every} );
    return $kind =~ /\A(?:unread|kept)\z/ ? $self->_go_on($now) : $self->_send($now);
}

# A byte or request more
sub _go_on {
    my ( $self, $now ) = @_;
    my $kind = $self->{kind};
    $self->{due} = $now + $self->{every};
    if    ( $kind eq 'kept' ) { $self->{out} .= $self->_head('GET') . "\r\n" }
    elsif ( $kind eq 'unread' ) {
        my $request = $self->_head('GET') . "\r\n";
        for ( 1 .. $ROUNDS ) {
            $self->{out} = $request x $PIPED if $self->{out} eq q{};
            $self->_send($now) or last;
        }
        return;
    }
    else {
        $self->{out} .= 'a';
        return $self->_lost($now) if $kind eq 'body' && ++$self->{sent} > $self->{length};
    }
    return $self->_send($now);
}

sub _head {
    my ( $self, $method ) = @_;
    return join q{}, map { "$_\r\n" } "$method $self->{target} HTTP/1.1",
        "Host: localhost:$self->{port}", @{ $self->{fields} };
}

sub _form {
    my ($self) = @_;
    return
          $self->_head('POST')
        . "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: $self->{length}\r\n\r\n"
        . substr 'user=alice&pass='
        . 'a' x $self->{first}, 0, $self->{first};
}

my $hello;

sub _half_a_hello {
    return $hello if defined $hello;
    my $ssl  = Net::SSLeay::new( Net::SSLeay::CTX_new() );
    my @ends = map { Net::SSLeay::BIO_new( Net::SSLeay::BIO_s_mem() ) } 1, 2;
    Net::SSLeay::set_bio( $ssl, $ends[0], $ends[1] );
    Net::SSLeay::set_connect_state($ssl);
    Net::SSLeay::do_handshake($ssl);
    my $bytes = Net::SSLeay::BIO_read( $ends[1] );
    Net::SSLeay::free($ssl);
    return $hello = substr $bytes, 0, length($bytes) / 2;
}

# Sends what is to be sent; true if it is all sent.
sub _send {
    my ( $self, $now ) = @_;
    while ( length $self->{out} ) {
        my $sent = syswrite $self->{socket}, $self->{out}, $CHUNK;
        if ( !$sent ) {
            $self->_lost($now) if $! != EAGAIN;
            return;
        }
        substr $self->{out}, 0, $sent, q{};
    }
    return 1;
}

sub hear {
    my ($self) = @_;
    my $now = time;
    return                     if !$self->{socket};
    return $self->_shake($now) if $self->{state} eq 'handshake';
    while (1) {
        my $got = sysread $self->{socket}, my ($text), $CHUNK;
        return                    if !defined $got && $! == EAGAIN;
        return $self->_lost($now) if !$got;
        $self->{answers}{$1}++ while $text =~ m{^HTTP/1[.][01] ([0-9]{3}) }mg;
    }
    return;
}

sub _lost {
    my ( $self, $now ) = @_;
    $self->{closed}++ if $self->{state} eq 'open';
    $self->{socket}->close( SSL_no_shutdown => 1 )
        if $self->{socket} && $self->{tls} && $self->{socket}->isa('IO::Socket::SSL');
    delete $self->{socket};
    @{$self}{qw(state listens due)} = ( 'closed', 0, $now + $AGAIN );
    return;
}

1;
