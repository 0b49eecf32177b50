package Test::Cpanel::LogMeIn::Gateway;

use strict;
use warnings;
use Carp                       qw(croak);
use Cpanel::LogMeIn            ();
use HTTP::Server::PSGI         ();
use IO::Select                 ();
use IO::Socket::SSL            ();
use IO::Socket::SSL::Utils     qw(CERT_create KEY_create_ec PEM_cert2file PEM_key2file);
use Plack::Middleware::LogMeIn ();
use POSIX                      ();

our $VERSION = '0.01';

my $HANDSHAKE = 5;    # seconds

# Listens at three free ports, with a new certificate. Requests are not answered
# before start().
sub new {
    my ( $class, $dir, $app ) = @_;
    pipe my $alive, my $keep or croak "pipe: $!";
    my $self = bless {
        app         => $app,
        alive       => $alive,
        keep        => $keep,
        authority   => "$dir/authority.crt",
        certificate => "$dir/gateway.crt",
        key         => "$dir/gateway.key",
    }, $class;
    $self->_make_certificate;
    $self->{at}{ $_->{name} } = $self->_listen for Cpanel::LogMeIn::services();
    return $self;
}

sub authority { my ($self) = @_; return $self->{authority} }

sub port {
    my ( $self, $service ) = @_;
    return $self->{at}{$service}->sockport;
}

sub ports {
    my ($self) = @_;
    return map { $_->sockport } values %{ $self->{at} };
}

# A certificate of a CA that only this test uses.
sub _make_certificate {
    my ($self)      = @_;
    my @keys        = map { KEY_create_ec('prime256v1') } 1 .. 2;
    my ($authority) = CERT_create(
        key     => $keys[0],
        CA      => 1,
        subject => { commonName => 'Test::Cpanel::LogMeIn' },
    );
    my ($certificate) = CERT_create(
        key             => $keys[1],
        issuer          => [ $authority, $keys[0] ],
        purpose         => 'server',
        subject         => { commonName => 'localhost' },
        subjectAltNames => [ [ DNS => 'localhost' ], [ IP => '127.0.0.1' ] ],
    );
    PEM_cert2file( $authority,   $self->{authority} );
    PEM_cert2file( $certificate, $self->{certificate} );
    PEM_key2file( $keys[1], $self->{key} );
    return;
}

sub _listen {
    my ($self) = @_;
    return IO::Socket::SSL->new(
        LocalAddr       => '127.0.0.1',
        LocalPort       => 0,
        Listen          => 128,
        Timeout         => $HANDSHAKE,
        SSL_server      => 1,
        SSL_cert_file   => $self->{certificate},
        SSL_key_file    => $self->{key},
        SSL_verify_mode => IO::Socket::SSL::SSL_VERIFY_NONE(),
    ) // croak "Can't listen: $! $IO::Socket::SSL::SSL_ERROR";
}

# Starts one process for each service. Each reads the settings.
sub start {
    my ($self) = @_;
    for my $service ( sort keys %{ $self->{at} } ) {
        my $pid = fork // croak "fork: $!";
        $self->_serve($service) if !$pid;
        push @{ $self->{pids} }, $pid;
    }
    return;
}

sub stop {
    my ($self) = @_;
    my @pids = @{ delete $self->{pids} // [] };
    kill TERM => @pids;
    waitpid $_, 0 for @pids;
    return;
}

# Never returns. The process must not run the test's END blocks.
sub _serve {
    my ( $self, $service ) = @_;
    ## no critic (RequireLocalizedPunctuationVars)
    $SIG{$_} = 'DEFAULT' for qw(TERM INT);
    close $self->{keep} or POSIX::_exit(1);
    eval {
        HTTP::Server::PSGI->new(
            listen_sock =>
                Test::Cpanel::LogMeIn::Listener->new( $self->{at}{$service}, $self->{alive} ),
            ssl     => 1,
            timeout => $HANDSHAKE,
        )->run( Plack::Middleware::LogMeIn->wrap( $self->{app}, service => $service ) );
        1;
    } or print {*STDERR} "The gateway has stopped: $@";
    POSIX::_exit(1);
    return;
}

# A listening socket that ends the process when the test has ended for any reason.
package Test::Cpanel::LogMeIn::Listener;    ## no critic (ProhibitMultiplePackages)

sub new {
    my ( $class, $socket, $alive ) = @_;
    return
        bless { socket => $socket, select => IO::Select->new( $socket, $alive ), alive => $alive },
        $class;
}

sub sockhost { my ($self) = @_; return $self->{socket}->sockhost }
sub sockport { my ($self) = @_; return $self->{socket}->sockport }

sub accept {    ## no critic (ProhibitBuiltinHomonyms)
    my ($self) = @_;
    my @ready = $self->{select}->can_read;
    POSIX::_exit(0) if grep { $_ == $self->{alive} } @ready;
    return $self->{socket}->accept;
}

1;

__END__

=head1 NAME

Test::Cpanel::LogMeIn::Gateway - the gateway of a test's site

=head1 DESCRIPTION

Internal to L<Test::Cpanel::LogMeIn>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
