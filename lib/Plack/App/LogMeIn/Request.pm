package Plack::App::LogMeIn::Request;

use strict;
use warnings;
use Cpanel::LogMeIn ();
use Encode          ();
use Socket          qw(AF_UNIX SOL_SOCKET SO_PEERCRED sockaddr_family unpack_sockaddr_un);
use URI::Escape     qw(uri_unescape);

our $VERSION = '0.01';

# One request, as the gateway looks at it. Everything is decided on the bytes
# of the request target, for each server in between has its own idea of what a
# decoded path is.

my $TOKEN     = qr{/cpsess[0-9]{10}};
my $TICKET    = qr/lmt_[A-Za-z0-9_-]{43}/;
my $BODY_MAX  = 65_536;
my $ALL_HOSTS = '::/0';

# $facts: service (if it is given), service_at (a port's), trusted_proxies,
# gateway_socket, cookie_name (a service's).
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

# The request that a front server asks about.
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
sub path       { my ($self) = @_; return $self->{path} }          # as it came, without the query
sub token      { my ($self) = @_; return $self->{token} }         # undef: there is none in the path
sub rest       { my ($self) = @_; return $self->{rest} }          # the path behind the token
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
    if ( defined $path && $path eq $facts->{gateway_socket} ) {
        my $peercred = getsockopt $env->{'psgix.io'}, SOL_SOCKET, SO_PEERCRED;
        $self->{caller_uid}        = ( unpack 'iII', $peercred )[1] if defined $peercred;
        $self->{at_gateway_socket} = 1;
        return;
    }
    my $front = defined $path || Cpanel::LogMeIn::address_in( $peer, $facts->{trusted_proxies} );
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

# The last address that no trusted proxy has.
sub _forwarded_address {
    my ($self) = @_;
    my $env    = $self->{env};
    my @chain  = split /\s*,\s*/, $env->{HTTP_X_FORWARDED_FOR} // q{};
    pop @chain
        while @chain
        && Cpanel::LogMeIn::address_in( $chain[-1], $self->{facts}{trusted_proxies} );
    return @chain ? $chain[-1] : $env->{REMOTE_ADDR};
}

# The bytes of a path without its encoding. No control byte, no bad
# percent-encoding, no "//", no encoded slash, no backslash, no dot segment, no
# fragment, no bad UTF-8: such a target means different things to different
# programs, and has none.
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

# Pairs of a form or a query, in order. Separated by "&" only, as browsers do
# it: clients send raw semicolons in passwords.
sub _pairs {
    my ($text) = @_;
    return map {
        [ map { s/[+]/ /gr =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ger } split( /=/, $_, 2 ), q{} ]
    } grep { length } split /&/, $text // q{};
}

# The field's only value; undef if there is none. Two of a name are a way to
# show two programs two things: the request is not clean then.
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

# A ticket in the query, on whatever path; a panel may have a parameter of that
# name for itself.
sub ticket {
    my ($self) = @_;
    return if ( $self->{query} // q{} ) !~ /lmt_|%/;
    return $self->_only( 'session', grep { $_->[1] =~ /\A$TICKET\z/ } _pairs( $self->{query} ) );
}

# The path behind the token with its query, less the ticket: where a browser
# goes on to. undef if that is no place to go to.
sub place {
    my ($self) = @_;
    my @query = grep {
        my ($pair) = _pairs($_);
        !$pair || $pair->[0] ne 'session' || $pair->[1] !~ /\A$TICKET\z/
    } split /&/, $self->{query} // q{};
    return Cpanel::LogMeIn::goto_uri( join q{?}, $self->{rest}, @query ? join q{&}, @query : () );
}

# Reads the body; false if it is no form, or too long.
sub read_form {
    my ($self) = @_;
    my $env = $self->{env};
    return if ( $env->{CONTENT_LENGTH} // 0 ) !~ /\A[0-9]+\z/;
    return if ( $env->{CONTENT_LENGTH} // 0 ) > $BODY_MAX;
    return
        if ( $env->{CONTENT_TYPE} // q{} ) !~
        m{\A(?:application/x-www-form-urlencoded\s*(?:;.*)?)?\z}is;
    my $body = q{};
    while ( length $body <= $BODY_MAX ) {
        my $got = $env->{'psgi.input'}->read( $body, 16_384, length $body );
        return if !defined $got;
        last   if !$got;
    }
    return if length $body > $BODY_MAX;
    $self->{form} = [ _pairs($body) ];
    return 1;
}

sub form {
    my ( $self, $name ) = @_;
    return $self->_only( $name, @{ $self->{form} // [] } );
}

# All that came under a name, however often.
sub all {
    my ( $self, $name ) = @_;
    return map { $_->[1] }
        grep { $_->[0] eq $name } _pairs( $self->{query} ), @{ $self->{form} // [] };
}

# The value of the service's session cookie. Of several different ones none
# counts: a neighbour's domain may have set the other.
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

# Has a page of another site made the browser send this?
sub is_cross_site {
    my ($self) = @_;
    my $env    = $self->{env};
    my $site   = $env->{HTTP_SEC_FETCH_SITE};
    return $site !~ /\A(?:same-origin|none)\z/ if defined $site;
    my $origin = $env->{HTTP_ORIGIN};
    return defined $origin && lc $origin ne lc( 'https://' . ( $env->{HTTP_HOST} // q{} ) );
}

# A program rather than a person: it wants no page.
sub wants_json {
    my ($self) = @_;
    return $self->{rest} =~ m{\A/(?:json-api|xml-api|execute)/}
        || ( $self->{env}{HTTP_ACCEPT} // q{} ) =~ m{\bapplication/json\b}i;
}

# What browsers ask for by themselves.
sub is_incidental {
    my ($self) = @_;
    return scalar( $self->{path} =~ m{\A/(?:favicon[.]ico\z|robots[.]txt\z|[.]well-known/)} );
}

# The name that the browser knows this machine by, without a port.
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

Plack::App::LogMeIn::Request - a request, as the gateway looks at it

=head1 DESCRIPTION

Internal to L<Plack::App::LogMeIn>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
