package Cpanel::LogMeIn::Server::Answer;

use strict;
use warnings;
use HTTP::Date        qw(time2str);
use HTTP::Status      qw(status_message);
use Plack::TempBuffer ();
use Plack::Util       ();
use Scalar::Util      qw(reftype);

our $VERSION = '0.01';

my $CHUNK   = 65_536;                         # bytes to send at a time
my $CRLF    = "\r\n";
my $NO_BODY = qr/\A(?:1[0-9]{2}|[23]04)\z/;
my $FAILURE = [ 500, [ 'Content-Type' => 'text/plain' ], ["Internal Server Error\n"] ];

# The bytes of a PSGI answer to a request, in parts. The headers Connection and Date
# are this class's; without a Content-Length the body is chunked. $keep: will the
# connection be kept? That changes if the length of the body can't be told.
sub new {
    my ( $class, $env, $response, $keep ) = @_;
    $response = $FAILURE if !_is_valid($response);
    my ( $status, $headers, $body ) = @{$response};
    my $self   = bless { keep => $keep, body => $body, parts => [] }, $class;
    my $is_1_1 = ( $env->{SERVER_PROTOCOL} // q{} ) eq 'HTTP/1.1';
    my $none   = $status =~ $NO_BODY || $env->{REQUEST_METHOD} eq 'HEAD';
    my $length = Plack::Util::header_get( $headers, 'Content-Length' );
    $self->{chunked} = $is_1_1 && !$none && !defined $length;
    $self->{keep}    = 0 if !$is_1_1 && !$none && !defined $length;
    $self->_close_body if $none;
    my @lines = ( ( $is_1_1 ? 'HTTP/1.1' : 'HTTP/1.0' ) . " $status " . _message($status) );
    Plack::Util::header_iter( $headers,
        sub { push @lines, "$_[0]: $_[1]" if $_[0] !~ /\A(?:Connection|Transfer-Encoding)\z/i } );
    push @lines, 'Transfer-Encoding: chunked' if $self->{chunked};
    push @lines, 'Date: ' . time2str(time)    if !Plack::Util::header_exists( $headers, 'Date' );
    push @lines, 'Connection: ' . ( $self->{keep} ? 'keep-alive' : 'close' );
    push @{ $self->{parts} }, join $CRLF, @lines, q{}, q{};
    $self->{is_open} = @{$response} < 3 && !$none;
    push @{ $self->{parts} }, $self->_end if !$self->{is_open} && !$self->{body};
    return $self;
}

sub keep { my ($self) = @_; return $self->{keep} }

# No line end gets into a header.
sub _is_valid {
    my ($response) = @_;
    return
           ref $response eq 'ARRAY'
        && $response->[0] =~ /\A[1-5][0-9]{2}\z/
        && !grep { ( $_ // "\n" ) =~ /[\0\r\n]/ } @{ $response->[1] };
}

sub _message { my ($status) = @_; return status_message($status) // 'Unknown' }

# The next bytes to send; undef if there are none, at present or any more.
sub next_part {
    my ($self) = @_;
    while ( !@{ $self->{parts} } && $self->{body} ) {
        my $bytes = $self->_from_body;
        push @{ $self->{parts} }, $self->_framed($bytes) if length $bytes;
        push @{ $self->{parts} }, $self->_end            if !$self->{body};
    }
    my $part = shift @{ $self->{parts} } // return;
    unshift @{ $self->{parts} }, substr $part, $CHUNK, length $part, q{} if length $part > $CHUNK;
    return $part;
}

# True if all bytes have been returned.
sub is_complete {
    my ($self) = @_;
    return !$self->{is_open} && !$self->{body} && !@{ $self->{parts} };
}

# For an app that streams: it writes faster than the client may read, so what is
# not sent yet lies in a temporary file beyond a certain size.
sub write {    ## no critic (ProhibitBuiltinHomonyms)
    my ( $self, $bytes ) = @_;
    return if !$self->{is_open} || !length $bytes;
    if ( @{ $self->{parts} } < 16 && !$self->{spool} ) {
        push @{ $self->{parts} }, $self->_framed($bytes);
    }
    else {
        $self->{spool} //= Plack::TempBuffer->new;
        $self->{spool}->print($bytes);
    }
    return;
}

sub close {    ## no critic (ProhibitBuiltinHomonyms ProhibitAmbiguousNames)
    my ($self) = @_;
    return if !delete $self->{is_open};
    if ( my $spool = delete $self->{spool} ) { $self->{body} = $spool->rewind }
    else                                     { push @{ $self->{parts} }, $self->_end }
    return;
}

sub _from_body {
    my ($self) = @_;
    my $body = $self->{body};
    if ( ( reftype($body) // q{} ) eq 'ARRAY' ) {
        my @bytes = splice @{$body}, 0, 16;
        $self->_close_body if !@{$body};
        return join q{}, map { $_ // q{} } @bytes;
    }
    local $/ = \$CHUNK;
    my $bytes = $body->getline;
    $self->_close_body if !defined $bytes;
    return $bytes // q{};
}

sub _close_body {
    my ($self) = @_;
    my $body = delete $self->{body};
    $body->close if $body && ( reftype($body) // q{} ) ne 'ARRAY';
    return;
}

sub _framed {
    my ( $self, $bytes ) = @_;
    return $self->{chunked} ? sprintf( '%x', length $bytes ) . "$CRLF$bytes$CRLF" : $bytes;
}

sub _end {
    my ($self) = @_;
    return $self->{chunked} ? "0$CRLF$CRLF" : ();
}

sub DESTROY {
    my ($self) = @_;
    return $self->_close_body;
}

1;

__END__

=head1 NAME

Cpanel::LogMeIn::Server::Answer - the bytes of an answer

=head1 DESCRIPTION

Internal to L<Cpanel::LogMeIn::Server>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
