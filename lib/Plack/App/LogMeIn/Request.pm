package Plack::App::LogMeIn::Request;

use strict;
use warnings;
use Cpanel::LogMeIn ();
use Encode          ();
use Socket qw(AF_INET AF_INET6 AF_UNIX SOL_SOCKET SO_PEERCRED inet_ntop inet_pton sockaddr_family
    unpack_sockaddr_un);
use URI::Escape qw(uri_unescape);

our $VERSION = '0.01';

# One request to the gateway. All decisions use the bytes of the request target,
# because servers decode paths differently.

my $TOKEN     = qr{/cpsess[0-9]{10}};
my $TICKET    = qr/lmt_[A-Za-z0-9_-]{43}/;
my $BODY_MAX  = 65_536;
my $ALL_HOSTS = '::/0';

# The first 12 bytes of ::ffff:0:0/96 and 64:ff9b::/96.
my $IPV4_INSIDE = qr/\A(?:\0{10}\xff\xff|\0\x64\xff\x9b\0{8})\z/;

# $facts: service (optional), service_at (services by port), sessions,
# cookie_name (names by service).
sub new {
    my ( $class, $env, $facts ) = @_;
    my $self = bless { env => $env, facts => $facts }, $class;
    $self->_look_at_connection;
    $self->_look_at_target( $env->{REQUEST_URI} );
    $self->{method} = $env->{REQUEST_METHOD};
    $self->{clean} &&=
        $self->{decoded} eq ( $env->{SCRIPT_NAME} // q{} ) . ( $env->{PATH_INFO} // q{} );
    return $self;
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
sub caller_uid { my ($self) = @_; return $self->{caller_uid} }    # at the gateway's socket
sub agent      { my ($self) = @_; return $self->{env}{HTTP_USER_AGENT} }

sub purpose {
    my ($self) = @_;
    return $self->{env}{HTTP_SEC_PURPOSE} // $self->{env}{HTTP_PURPOSE};
}

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
    my $front = defined $path
        || Cpanel::LogMeIn::address_in( $peer, $facts->{sessions}->setting('trusted_proxies') );
    my ( $scheme, $port ) = @{$env}{qw(psgi.url_scheme SERVER_PORT)};
    $self->{address} = $peer;
    if ($front) {
        $scheme          = $env->{HTTP_X_FORWARDED_PROTO} // q{};
        $port            = $env->{HTTP_X_FORWARDED_PORT}  // $port;
        $self->{address} = $self->_forwarded_address;
    }
    delete $self->{address} if !Cpanel::LogMeIn::address_in( $self->{address}, $ALL_HOSTS );
    $self->{secure}  = $scheme eq 'https';
    $self->{service} = $facts->{service} // $facts->{service_at}{ $port // q{} };
    return;
}

sub at_gateway_socket { my ($self) = @_; return $self->{at_gateway_socket} }

# The last address that is not a trusted proxy's.
sub _forwarded_address {
    my ($self) = @_;
    my $env    = $self->{env};
    my @chain  = split /\s*,\s*/, $env->{HTTP_X_FORWARDED_FOR} // q{};
    pop @chain
        while @chain
        && Cpanel::LogMeIn::address_in( $chain[-1],
        $self->{facts}{sessions}->setting('trusted_proxies') );
    return @chain ? $chain[-1] : $env->{REMOTE_ADDR};
}

# The decoded bytes of a path. Returns nothing for a path with a control byte, an
# invalid percent-encoding, "//", an encoded slash, a backslash, a dot segment, a
# fragment, or invalid UTF-8: programs interpret such targets differently.
sub _decode {
    my ($path) = @_;
    return if $path =~ m{//} || $path =~ /%(?![0-9A-Fa-f]{2})/;
    return if $path =~ /%(?:2f|5c|7f|[01][0-9a-f])/i;
    my $bytes = uri_unescape($path);
    return if $bytes =~ m{/[.]{1,2}(?:[/;]|\z)};
    my $check = Encode::FB_CROAK | Encode::LEAVE_SRC;
    return defined eval { Encode::decode( 'UTF-8', $bytes, $check ) } ? $bytes : undef;
}

sub _look_at_target {
    my ( $self, $target ) = @_;
    @{$self}{qw(clean path query token rest)} = ( 0, q{}, undef, undef, q{} );
    return if ( $target // q{} ) !~ m{\A/[\x21-\x7e]*\z} || $target =~ /[\\#]/;
    @{$self}{qw(path query)} = split /[?]/, $target, 2;
    $self->{decoded} = _decode( $self->{path} );
    $self->{clean}   = defined $self->{decoded};
    $self->{rest}    = $self->{path};
    if ( $self->{path} =~ m{\A($TOKEN)(/.*)?\z} ) {
        @{$self}{qw(token rest)} = ( $1, $2 // q{} );
    }
    return;
}

# The pairs of a form or a query, in order. The only separator is "&", as in
# browsers: clients send raw semicolons in passwords.
sub _pairs {
    my ($text) = @_;
    return map {
        [ map { s/[+]/ /gr =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ger } split( /=/, $_, 2 ), q{} ]
    } grep { length } split /&/, $text // q{};
}

# The field's only value; undef if it is missing. A duplicate field makes the
# request unclean, because programs differ in which of the values they use.
sub _only {
    my ( $self, $name, @pairs ) = @_;
    my @values = map { $_->[1] } grep { $_->[0] eq $name } @pairs;
    $self->{clean} = 0 if @values > 1;
    return @values == 1 ? $values[0] : undef;
}

sub query {
    my ( $self, $name ) = @_;
    return $self->_only( $name, _pairs( $self->{query} ) );
}

# A ticket in the query, on any path. Other values of the parameter "session" belong
# to the panel.
sub ticket {
    my ($self) = @_;
    return if ( $self->{query} // q{} ) !~ /lmt_|%/;
    return $self->_only( 'session', grep { $_->[1] =~ /\A$TICKET\z/ } _pairs( $self->{query} ) );
}

# The path after the token with its query, without the ticket, in canonical form;
# undef if it is not a valid goto_uri.
sub goto_uri {
    my ($self) = @_;
    my @query = grep {
        my ($pair) = _pairs($_);
        !$pair || $pair->[0] ne 'session' || $pair->[1] !~ /\A$TICKET\z/
    } split /&/, $self->{query} // q{};
    return Cpanel::LogMeIn::goto_uri( join q{?}, $self->{rest}, @query ? join q{&}, @query : () );
}

# The status for a body that, by its head, is not a form or too long; 0 if it may be
# one.
sub form_fault {
    my ($self) = @_;
    my ( $length, $type ) = map { $_ // q{} } @{ $self->{env} }{qw(CONTENT_LENGTH CONTENT_TYPE)};
    return 413 if $length !~ /\A[0-9]*\z/ || ( $length || 0 ) > $BODY_MAX;
    return 415 if $type   !~ m{\A(?:application/x-www-form-urlencoded\s*(?:;.*)?)?\z}is;
    return 0;
}

# Reads the form; returns a status if it is none, otherwise 0.
sub read_form {
    my ($self) = @_;
    my $status = $self->form_fault;
    return $status if $status;
    my $body = q{};
    while ( length $body <= $BODY_MAX ) {
        my $got = $self->{env}{'psgi.input'}->read( $body, 16_384, length $body );
        return 400 if !defined $got;
        last       if !$got;
    }
    return 413 if length $body > $BODY_MAX;
    $self->{form} = [ _pairs($body) ];
    return 0;
}

sub form {
    my ( $self, $name ) = @_;
    return $self->_only( $name, @{ $self->{form} // [] } );
}

# All values of a parameter.
sub all {
    my ( $self, $name ) = @_;
    return map { $_->[1] }
        grep { $_->[0] eq $name } _pairs( $self->{query} ), @{ $self->{form} // [] };
}

# The value of the service's session cookie. If there are several different values,
# all are ignored: another site of the parent domain may have set one of them.
sub cookie {
    my ( $self, $service ) = @_;
    my $name = $self->{facts}{cookie_name}{ $service // $self->{service} };
    my %values;
    for my $pair ( split /;\s*/, $self->{env}{HTTP_COOKIE} // q{} ) {
        $values{$1} = 1 if $pair =~ /\A\s*\Q$name\E=(.*)\z/s;
    }
    my @values = keys %values;
    return @values == 1 ? $values[0] : undef;
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

# True if a page of another site caused the request.
sub is_cross_site {
    my ($self) = @_;
    my $env    = $self->{env};
    my $site   = $env->{HTTP_SEC_FETCH_SITE};
    return $site !~ /\A(?:same-origin|none)\z/ if defined $site;
    my $origin = $env->{HTTP_ORIGIN};
    return defined $origin && lc $origin ne lc( 'https://' . ( $env->{HTTP_HOST} // q{} ) );
}

# True if the client is a program, which gets no HTML pages.
sub wants_json {
    my ($self) = @_;
    return $self->{rest} =~ m{\A/(?:json-api|xml-api|execute)/}
        || ( $self->{env}{HTTP_ACCEPT} // q{} ) =~ m{\bapplication/json\b}i;
}

# Files that browsers request automatically.
sub is_incidental {
    my ($self) = @_;
    return scalar( $self->{path} =~ m{\A/(?:favicon[.]ico\z|robots[.]txt\z|[.]well-known/)} );
}

# The host of the Host header, without the port.
sub host {
    my ($self) = @_;
    my ($host) =
        ( $self->{env}{HTTP_HOST} // q{} ) =~ /\A([^:\[\]]+|\[[^\[\]]+\])(?::[0-9]{1,5})?\z/;
    return $host;
}

sub host_port {
    my ($self) = @_;
    my ($port) = ( $self->{env}{HTTP_HOST} // q{} ) =~ /:([0-9]{1,5})\z/;
    return $port;
}

1;

__END__

=head1 NAME

Plack::App::LogMeIn::Request - a request to the gateway

=head1 DESCRIPTION

Internal to L<Plack::App::LogMeIn>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
