package Plack::App::LogMeIn::Numbers;

use strict;
use warnings;
use Cpanel::LogMeIn ();

our $VERSION = '0.01';

# What the gateway tells about itself: is it alive, is it well, and what has it done.

my $LOOPBACK = '127.0.0.0/8 ::1';
my $TYPE     = 'text/plain; version=0.0.4; charset=utf-8';

# Any of these fields may come from a proxy, which speaks for somebody else.
my $FROM_PROXY = qr/\AHTTP_(?:FORWARDED|VIA|X_FORWARDED.*|X_REAL_IP)\z/;

# Takes sessions, a Cpanel::LogMeIn::Session, and answer, a Plack::App::LogMeIn::Answer.
sub new {
    my ( $class, %part ) = @_;
    return bless {%part}, $class;
}

# The answer to a request, or the name of a refusal; nothing if the path is not one of
# this class.
sub route {
    my ( $self, $request ) = @_;
    my ($name) = $request->path =~ m{\A/logmein/(live|health|metrics)\z} or return;
    return $self->{answer}->text( 200, 'ok' ) if $name eq 'live';
    return $self->_health($request)           if $name eq 'health';
    return 'not_found'                        if !$self->_is_trusted($request);
    return [ 200, $self->{answer}->headers($TYPE), [ $self->metrics ] ];
}

# False for whoever may come from outside: details are for programs of this machine. A
# page of another site that has this machine's address can't choose the name in Host.
sub _is_trusted {
    my ( $self, $request ) = @_;
    my $env  = $request->env;
    my $peer = $env->{REMOTE_ADDR} // q{};
    return !length $peer if $request->at_front;
    return 0 if !Cpanel::LogMeIn::address_in( $peer, $LOOPBACK ) || !$request->has_good_host;
    return 0 if grep { /$FROM_PROXY/ } keys %{$env};
    my $host = $request->host // 'localhost';
    return
           $host eq 'localhost'
        || Cpanel::LogMeIn::address_in( $host =~ s/\A\[(.*)\]\z/$1/r, $LOOPBACK )
        || eval { $self->{sessions}->serves($host) };
}

sub _health {
    my ( $self, $request ) = @_;
    my ( $well, $words )   = $self->{sessions}->_health_words;
    $words =~ s/ .*//s if !$self->_is_trusted($request);
    return $self->{answer}->text( $well ? 200 : 503, $words );
}

# All numbers, in the text format of Prometheus.
sub metrics { my ($self) = @_; return $self->{sessions}->_metrics }

1;

__END__

=head1 NAME

Plack::App::LogMeIn::Numbers - health and numbers of the gateway

=head1 DESCRIPTION

Internal to L<Plack::App::LogMeIn>, which describes the paths.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
