package Serve;

# Starts `logmein serve` for a test, and sends raw requests to it.

use strict;
use warnings;
use lib 't/lib';
use parent           qw(Program);
use Carp             qw(croak);
use Exporter         qw(import);
use IO::Select       ();
use IO::Socket::INET ();
use IO::Socket::UNIX ();
use POSIX            ();
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(free_base raw request wait_until);

for my $module (qw(AnyEvent EV HTML::Template IO::Socket::SSL Net::Server Plack URI::Escape)) {
    my $file = $module =~ s{::}{/}gr . '.pm';
    plan skip_all => "$module is not installed" if !eval { require $file };
}

my $PATIENCE = 20;    # seconds

# Writing to a closed connection must not end the test. Not IGNORE, because the server
# would inherit it.
$SIG{PIPE} = sub { };    ## no critic (RequireLocalizedPunctuationVars)

# Waits until the job returns true, at most 30 seconds; false if it never does.
sub wait_until {
    my ($job) = @_;
    my $until = time + 30;
    while ( time < $until ) {
        return 1 if $job->();
        sleep 0.1;
    }
    return;
}

# The first of a number of consecutive free ports, below the kernel's range for
# clients.
sub free_base {
    my ($count) = @_;
    for ( 1 .. 200 ) {
        my $base = 10_000 + int rand 20_000;
        my @open = map {
            IO::Socket::INET->new( LocalAddr => '127.0.0.1', LocalPort => $_, Listen => 1 ) // ()
        } $base .. $base + $count - 1;
        return $base if @open == $count;
    }
    croak 'There are no free ports';
}

# The command to run it.
our $BEFORE = [];

# Writes a certificate for a name, and its key.
sub write_certificate {
    my ( $certificate, $key, $name ) = @_;
    require IO::Socket::SSL::Utils;
    my $pair = IO::Socket::SSL::Utils::KEY_create_ec('prime256v1');
    my ($made) =
        IO::Socket::SSL::Utils::CERT_create( key => $pair, subject => { commonName => $name } );
    IO::Socket::SSL::Utils::PEM_cert2file( $made, $certificate );
    IO::Socket::SSL::Utils::PEM_key2file( $pair, $key );
    return;
}

# An app without a gateway, at a Unix socket.
sub panel {
    my ( $path, $app ) = @_;
    my $code =
          'use Cpanel::LogMeIn::Server; use Plack::Util; $| = 1;'
        . 'my $app = Plack::Util::load_psgi(shift); Cpanel::LogMeIn::Server->serve( workers => 4,'
        . 'ports => [ { proto => q{unix}, host => q{localhost}, port => shift, mode => 0666 } ],'
        . 'load => sub { { app => $app } }, ready => sub { print qq{unix:\n} } )';
    return Serve->spawn( '-e', $code, $app, $path );
}

# Starts it, and waits until it serves; its output is in {said}.
sub new {
    my ( $class, @arguments ) = @_;
    return $class->spawn( 'blib/script/logmein', 'serve', @arguments );
}

sub spawn {
    my ( $class, @arguments ) = @_;
    pipe my $out, my $in or croak "pipe: $!";
    my $pid = fork // croak "fork: $!";
    if ( !$pid ) {
        open STDOUT, '>&', $in or POSIX::_exit(9);
        open STDERR, '>&', $in or POSIX::_exit(9);
        { exec @{$BEFORE}, $^X, qw(-Iblib/arch -Iblib/lib), @arguments }
        POSIX::_exit(9);
    }
    close $in or croak "pipe: $!";
    my $self = bless { pid => $pid, out => $out, said => q{}, owner => $$ }, $class;
    $self->hear(qr{^(?:https|unix):\S*\n\z}m);
    return $self;
}

# Waits for this output; false if the process ends, or after a timeout.
sub hear {
    my ( $self, $what ) = @_;
    my $until  = time + $PATIENCE;
    my $select = IO::Select->new( $self->{out} );
    while ( time < $until ) {
        next
            if $select->can_read(0.05) && sysread $self->{out}, $self->{said}, 4096,
            length $self->{said};
        return 1 if $self->{said} =~ $what;
        return   if !kill( 0 => $self->{pid} ) || $select->can_read(0);
    }
    return;
}

# The worker processes.
sub workers {
    my ($self) = @_;
    open my $file, '<', "/proc/$self->{pid}/task/$self->{pid}/children" or croak "workers: $!";
    return split q{ }, readline($file) // q{};
}

my $context;

# A connection: to a path, or to a port with or without TLS.
sub connection {
    my ( $where, $tls ) = @_;
    return IO::Socket::UNIX->new( Peer     => $where )                          if $where =~ m{/};
    return IO::Socket::INET->new( PeerAddr => '127.0.0.1', PeerPort => $where ) if !$tls;
    return IO::Socket::SSL->new(
        PeerAddr      => '127.0.0.1',
        PeerPort      => $where,
        SSL_reuse_ctx => $context //= IO::Socket::SSL::SSL_Context->new( SSL_verify_mode => 0 ),
    );
}

# Sends raw bytes, and returns the answer until the end of the connection.
sub raw {
    my ( $where, $tls, $bytes ) = @_;
    my $socket = connection( $where, $tls ) // return;
    print {$socket} $bytes;
    $socket->flush;
    my $answer = q{};
    while ( sysread $socket, $answer, 65_536, length $answer ) { }
    return $answer;
}

# Sends one request with the usual headers; a body makes it a POST.
sub request {
    my ( $where, $tls, $target, $body, @fields ) = @_;
    my $head =
        ( defined $body ? 'POST' : 'GET' ) . " $target HTTP/1.1\r\nHost: localhost:$where\r\n";
    $head =~ s/^Host: .*\r\n/Host: localhost:2083\r\n/m
        if $where =~ m{/} && !grep { /\AHost:/ } @fields;
    $head =~ s/^Host: .*\r\n//m if grep { /\AHost:/ } @fields;
    $head .= join q{}, map { "$_\r\n" } 'Connection: close', @fields;
    $head .=
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: "
        . length($body) . "\r\n"
        if defined $body;
    my $answer = raw( $where, $tls, "$head\r\n" . ( $body // q{} ) ) // return { status => 0 };
    my ($status) = $answer =~ m{\AHTTP/1[.]1 ([0-9]{3})};
    my %header;
    my ( $top, $text ) = split /\r\n\r\n/, $answer, 2;

    $text =~ s/\A[0-9a-f]+\r\n(.*)\r\n0\r\n\r\n\z/$1/s if defined $text;    # one chunk
    for my $line ( split /\r\n/, $top // q{} ) {
        my ( $name, $value ) = $line =~ /\A([\w-]+): (.*)\z/ or next;
        $header{ lc $name } //= $value;
    }
    return { status => $status // 0, header => \%header, body => $text, all => $answer };
}

1;
