package Plack::App::LogMeIn::Request;

use strict;
use warnings;
use Cpanel::LogMeIn           ();
use Plack::App::LogMeIn::Form qw(urlencoded);
use Socket qw(AF_INET AF_INET6 AF_UNIX SOL_SOCKET SO_PEERCRED inet_ntop inet_pton sockaddr_family
    unpack_sockaddr_un);

our $VERSION = '0.01';

# One request to the gateway. What its head says is decided by the core: csrc/logmein.h
# has the grammar. The functions that are not here are in LogMeIn.xs; they are given
# copies, because a slice of a hash as an argument would put the keys into the hash.

my $BODY_MAX = 65_536;

# The first 12 bytes of ::ffff:0:0/96 and 64:ff9b::/96.
my $IPV4_INSIDE = qr/\A(?:\0{10}\xff\xff|\0\x64\xff\x9b\0{8})\z/;

# $facts: service (optional), service_at (services by port), sessions,
# cookie_name (names by service).
sub new {
    my ( $class, $env, $facts ) = @_;
    my $self = bless { env => $env, facts => $facts }, $class;
    _join_slashes($env);
    $self->_look_at_connection;
    $self->_look_at_target( $env->{REQUEST_URI} );
    $self->{method} = $env->{REQUEST_METHOD} // q{};
    my @decoded = @{$env}{qw(SCRIPT_NAME PATH_INFO)};
    $self->{clean} &&= _path_is( $self->{path}, @decoded );
    return $self;
}

# Clients build paths with two slashes before the token; for the app they are one, too.
sub _join_slashes {
    my ($env) = @_;
    my $target = $env->{REQUEST_URI};
    return if !_slash_is_double($target);
    s{\A//}{/} for grep { defined } @{$env}{qw(REQUEST_URI PATH_INFO)};
    return;
}

# The original request, in a check by a front server.
sub original {
    my ($self)   = @_;
    my $env      = $self->{env};
    my $original = bless { %{$self} }, ref $self;
    $original->_look_at_target( $env->{HTTP_X_ORIGINAL_URI} );
    $original->{method} = $env->{HTTP_X_ORIGINAL_METHOD} // 'GET';
    return $original;
}

sub env        { my ($self) = @_; return $self->{env} }
sub method     { my ($self) = @_; return $self->{method} }
sub clean      { my ($self) = @_; return $self->{clean} }
sub path       { my ($self) = @_; return $self->{path} }          # not decoded, without the query
sub token      { my ($self) = @_; return $self->{token} }         # undef: the path has none
sub rest       { my ($self) = @_; return $self->{rest} }          # the path after the token
sub service    { my ($self) = @_; return $self->{service} }       # undef: this port has none
sub secure     { my ($self) = @_; return $self->{secure} }
sub address    { my ($self) = @_; return $self->{address} }       # the browser's; undef: not known
sub at_front   { my ($self) = @_; return $self->{at_front} }      # it is trusted
sub caller_uid { my ($self) = @_; return $self->{caller_uid} }    # at the gateway's socket
sub agent      { my ($self) = @_; return $self->{env}{HTTP_USER_AGENT} }

sub destination { my ($self) = @_; return $self->{env}{HTTP_SEC_FETCH_DEST} }

# The local end of a connection over a Unix socket; undef for any other.
sub _socket_path {
    my ($self) = @_;
    my $io = $self->{env}{'psgix.io'};
    return if !defined $io || !defined eval { fileno $io };
    my $name = getsockname $io;
    return if !defined $name || sockaddr_family($name) != AF_UNIX;
    return unpack_sockaddr_un($name);
}

sub _look_at_connection {
    my ($self) = @_;
    my ( $env, $facts ) = @{$self}{qw(env facts)};
    my $peer = $env->{REMOTE_ADDR};
    my $path = length( $peer // q{} ) ? undef : $self->_socket_path;
    if ( defined $path && $path eq $facts->{sessions}->setting('gateway_socket') ) {
        my $peercred = getsockopt $env->{'psgix.io'}, SOL_SOCKET, SO_PEERCRED;
        $self->{caller_uid}        = ( unpack 'iII', $peercred )[1] if defined $peercred;
        $self->{at_gateway_socket} = 1;
        return;
    }
    my @said = @{$env}{
        qw(psgi.url_scheme SERVER_PORT HTTP_X_FORWARDED_FOR HTTP_X_FORWARDED_PROTO
            HTTP_X_FORWARDED_PORT)
    };
    my $port;
    ( @{$self}{qw(at_front secure address)}, $port ) =
        _client( $peer, $path, @said, $facts->{sessions}->setting('trusted_proxies') );
    $self->{service} = $facts->{service} // $facts->{service_at}{ $port // q{} };
    return;
}

sub at_gateway_socket { my ($self) = @_; return $self->{at_gateway_socket} }

sub _look_at_target {
    my ( $self, $target ) = @_;
    $self->{target} = $target // q{};
    @{$self}{qw(clean incidental path query token rest)} = _read_target($target);
    return;
}

# A duplicate field makes the request unclean, because programs differ in which of the
# values they use.
sub _note_count {
    my ( $self, $count ) = @_;
    $self->{clean} = 0 if $count > 1;
    return;
}

# The field's only value; undef if it is missing, or there twice.
sub query {
    my ( $self,  $name )  = @_;
    my ( $count, $value ) = _parameter( $self->{query}, $name );
    $self->_note_count($count);
    return $value;
}

sub has_query {
    my ( $self, $name ) = @_;
    my ($count) = _parameter( $self->{query}, $name );
    return $count > 0;
}

# A ticket in the query, on any path. Other values of the parameter "session" belong
# to the panel.
sub ticket {
    my ($self) = @_;
    my ( $count, $ticket ) = _ticket( $self->{query} );
    $self->_note_count($count);
    return $ticket;
}

# The path after the token with its query, without the ticket, in canonical form;
# undef if it is not a valid goto_uri.
sub goto_uri {
    my ($self) = @_;
    my ($uri)  = _page( @{$self}{qw(rest query)} );
    return $uri;
}

# Where a login URL leads: the path that contains the ticket, or goto_uri, which
# portals append to URLs with the path "/".
sub target_of_ticket {
    my ($self) = @_;
    my ( $uri, $twice ) = _ticket_page( @{$self}{qw(rest query)} );
    $self->{clean} = 0 if $twice;
    return $uri;
}

# What is wrong with a body, by its head: the name of a refusal; undef if it may be a
# form.
sub form_fault {
    my ($self) = @_;
    my $env    = $self->{env};
    my $length = $env->{CONTENT_LENGTH} // q{};
    return 'form_length'  if $length !~ /\A[0-9]*\z/ || ( $length || 0 ) > $BODY_MAX;
    return 'content_type' if !Plack::App::LogMeIn::Form::kind_of( $env->{CONTENT_TYPE} );
    return;
}

# Reads the form of a POST; returns the name of a refusal if it is none, otherwise
# undef.
sub read_form {
    my ($self) = @_;
    return if $self->{method} ne 'POST';
    my $env   = $self->{env};
    my $fault = $self->form_fault;
    return $fault if $fault;
    my $body = q{};
    while ( length $body <= $BODY_MAX ) {
        my $got = $env->{'psgi.input'}->read( $body, 16_384, length $body );
        return 'bad_form' if !defined $got;
        last              if !$got;
    }
    return 'form_length' if length $body > $BODY_MAX;
    $self->{form} = Plack::App::LogMeIn::Form::pairs_of( $env->{CONTENT_TYPE}, $body );
    return $self->{form} ? undef : 'bad_form';
}

sub form {
    my ( $self, $name ) = @_;
    my @values = map { $_->[1] } grep { $_->[0] eq $name } @{ $self->{form} // [] };
    $self->_note_count( scalar @values );
    return @values == 1 ? $values[0] : undef;
}

# All values of a parameter.
sub all {
    my ( $self, $name ) = @_;
    return map { $_->[1] }
        grep { $_->[0] eq $name } urlencoded( $self->{query} ), @{ $self->{form} // [] };
}

# The value of the service's session cookie. If there are several different values,
# all are ignored: another site of the parent domain may have set one of them.
sub cookie {
    my ( $self, $service ) = @_;
    my $field   = $self->{env}{HTTP_COOKIE};
    my $name    = $self->{facts}{cookie_name}{ $service // $self->{service} // q{} };
    my ($value) = _cookie( $field, $name );
    return $value;
}

# Where requests come from, for counting: an IPv4 address, the /64 of an IPv6
# address, or a user of this machine. IPv4 in IPv6 counts as IPv4.
sub source_of {
    my ( $class, $address, $uid ) = @_;
    return defined $uid ? "uid $uid" : 'unknown' if !defined $address;
    my $bytes = inet_pton( AF_INET, $address );
    return inet_ntop( AF_INET, $bytes ) if defined $bytes;
    $bytes = inet_pton( AF_INET6, $address ) // return 'unknown';
    return inet_ntop( AF_INET, substr $bytes, 12 )
        if substr( $bytes, 0, 12 ) =~ $IPV4_INSIDE;
    return inet_ntop( AF_INET6, substr( $bytes, 0, 8 ) . "\0" x 8 ) . '/64';
}

# True if there is a cookie of this name.
sub has_cookie {
    my ( $self, $name ) = @_;
    my $field = $self->{env}{HTTP_COOKIE};
    return ( _cookie( $field, $name ) )[1];
}

# Why the request was made.
sub _cause_of {
    my ($self) = @_;
    my @fields = @{ $self->{env} }{
        qw(HTTP_HOST HTTP_ORIGIN HTTP_SEC_FETCH_SITE HTTP_SEC_FETCH_DEST HTTP_SEC_PURPOSE
            HTTP_PURPOSE HTTP_X_PURPOSE HTTP_X_MOZ)
    };
    return _cause( $self->{method}, @fields );
}

# True if a page of another site caused the request.
sub is_cross_site { my ($self) = @_; return ( $self->_cause_of )[0] }

# True for a part of a page, as images, scripts and frames are: no navigation.
sub is_embedded { my ($self) = @_; return ( $self->_cause_of )[1] }

# True for link checkers and prefetching browsers: no user has followed the link.
sub is_passive { my ($self) = @_; return ( $self->_cause_of )[2] }

# Why a browser asks, if no user has followed the link: the first purpose that is a
# prefetch of some kind, otherwise the first one.
sub purpose { my ($self) = @_; return ( $self->_cause_of )[3] }

# True for a request that a program has made, and no browser or page.
sub is_by_program_alone {
    my ($self) = @_;
    return !grep { /\AHTTP_(?:ORIGIN|SEC_.*|(?:X_)?PURPOSE|X_MOZ)\z/ } keys %{ $self->{env} };
}

# Uses the target as it came, because invalid requests are refused in the same form.
sub _program_of {
    my ($self) = @_;
    my $accept = $self->{env}{HTTP_ACCEPT};
    return _program( $self->{target}, $accept );
}

# What a program gets instead of pages: "xml" or "json"; undef for browsers.
sub program {
    my ($self) = @_;
    my ($form) = $self->_program_of;
    return $form // ( $self->{at_gateway_socket} ? 'json' : undef );
}

# True for a login of a program that wants its answer in JSON.
sub is_login_only { my ($self) = @_; return ( $self->_program_of )[1] }

# True if the answer is that of a login.
sub is_login { my ($self) = @_; return ( $self->_program_of )[2] }

# Files that browsers request automatically.
sub is_incidental { my ($self) = @_; return $self->{incidental} }

sub _host_of {
    my ($self) = @_;
    my $field = $self->{env}{HTTP_HOST};
    return _host($field);
}

# True if the Host header is valid. HTTP/1.0 needs none.
sub has_good_host { my ($self) = @_; return ( $self->_host_of )[0] }

# The Host header's host, without the port.
sub host      { my ($self) = @_; return ( $self->_host_of )[1] }
sub host_port { my ($self) = @_; return ( $self->_host_of )[2] }

1;

__END__

=head1 NAME

Plack::App::LogMeIn::Request - a request to the gateway

=head1 DESCRIPTION

Internal to L<Plack::App::LogMeIn>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
