package Reference::Request;

# What xt/grammar.t compares the gateway's Request with: the same in Perl alone, as it
# was before the core had the grammar. Nothing else uses it.

use strict;
use warnings;
use Cpanel::LogMeIn ();
use Encode          ();
use Socket          qw(AF_UNIX SOL_SOCKET SO_PEERCRED sockaddr_family unpack_sockaddr_un);
use URI::Escape     qw(uri_unescape);

# All decisions use the bytes of the request target,
# because servers decode paths differently.

my $TOKEN     = qr{/cpsess[0-9]{10}};
my $TICKET    = qr/lmt_[A-Za-z0-9_-]{43}/;
my $HOST      = qr/[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]/;
my $ALL_HOSTS = '::/0';

# $facts: service (optional), service_at (services by port), sessions,
# cookie_name (names by service).
sub new {
    my ( $class, $env, $facts ) = @_;
    my $self = bless { env => $env, facts => $facts }, $class;
    _join_slashes($env);
    $self->_look_at_connection;
    $self->_look_at_target( $env->{REQUEST_URI} );
    $self->{method} = $env->{REQUEST_METHOD} // q{};
    $self->{clean} &&=
        $self->{decoded} eq ( $env->{SCRIPT_NAME} // q{} ) . ( $env->{PATH_INFO} // q{} );
    return $self;
}

# Clients build paths with two slashes before the token; for the app they are one, too.
sub _join_slashes {
    my ($env) = @_;
    return if ( $env->{REQUEST_URI} // q{} ) !~ m{\A/$TOKEN(?:[/?]|\z)};
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

# Why a browser asks, if no user has followed the link: the first purpose that is a
# prefetch of some kind, otherwise the first one.
sub purpose {
    my ($self) = @_;
    my @purposes =
        grep { defined }
        @{ $self->{env} }{qw(HTTP_SEC_PURPOSE HTTP_PURPOSE HTTP_X_PURPOSE HTTP_X_MOZ)};
    my ($early) = grep { /\A\s*pre/i } @purposes;
    return $early // $purposes[0];
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
    $self->{address}  = $peer;
    $self->{at_front} = $front;
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

# Some proxies append the browser's port.
sub _without_port {
    my ($text) = @_;
    return
          $text =~ /\A\[([^\[\]]*)\](?::[0-9]+)?\z/ ? $1
        : $text =~ /\A([0-9.]+):[0-9]+\z/           ? $1
        :                                             $text;
}

# The last address that is not a trusted proxy's.
sub _forwarded_address {
    my ($self) = @_;
    my $env    = $self->{env};
    my @chain  = map { _without_port($_) } split /\s*,\s*/, $env->{HTTP_X_FORWARDED_FOR} // q{};
    pop @chain
        while @chain
        && Cpanel::LogMeIn::address_in( $chain[-1],
        $self->{facts}{sessions}->setting('trusted_proxies') );
    return @chain ? $chain[-1] : $env->{REMOTE_ADDR};
}

# The pairs of a form or a query. The only separator is "&", as in browsers: clients
# send raw semicolons in passwords.
sub urlencoded {
    my ($text) = @_;
    return map {
        [ map { s/[+]/ /gr =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ger } split( /=/, $_, 2 ), q{} ]
    } grep { length } split /&/, $text // q{};
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
    $target //= q{};
    @{$self}{qw(target clean path query token rest)} = ( $target, 0, q{}, undef, undef, q{} );
    return if $target !~ m{\A/[\x21-\x7e]*\z} || $target =~ /[\\#]/;
    @{$self}{qw(path query)} = split /[?]/, $target, 2;
    $self->{decoded} = _decode( $self->{path} );
    $self->{clean}   = defined $self->{decoded};
    $self->{rest}    = $self->{path};

    if ( $self->{path} =~ m{\A($TOKEN)(/.*)?\z} ) {
        @{$self}{qw(token rest)} = ( $1, $2 // q{} );
    }
    return;
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
    return $self->_only( $name, urlencoded( $self->{query} ) );
}

sub has_query {
    my ( $self, $name ) = @_;
    return scalar grep { $_->[0] eq $name } urlencoded( $self->{query} );
}

# A ticket in the query, on any path. Other values of the parameter "session" belong
# to the panel.
sub ticket {
    my ($self) = @_;
    return if ( $self->{query} // q{} ) !~ /lmt_|%/;
    return $self->_only( 'session',
        grep { $_->[1] =~ /\A$TICKET\z/ } urlencoded( $self->{query} ) );
}

# The path after the token with its query, without the ticket, in canonical form;
# undef if it is not a valid goto_uri.
sub goto_uri {
    my ($self) = @_;
    my @query = grep {
        my ($pair) = urlencoded($_);
        !$pair || $pair->[0] ne 'session' || $pair->[1] !~ /\A$TICKET\z/
    } split /&/, $self->{query} // q{};
    return Cpanel::LogMeIn::goto_uri( join q{?}, $self->{rest}, @query ? join q{&}, @query : () );
}

# Where a login URL leads: the path that contains the ticket, or goto_uri, which
# portals append to URLs with the path "/".
sub target_of_ticket {
    my ($self)   = @_;
    my $appended = $self->{rest} =~ m{\A/?\z} ? $self->query('goto_uri') : undef;
    return defined $appended ? Cpanel::LogMeIn::goto_uri($appended) : $self->goto_uri;
}

sub form {
    my ( $self, $name ) = @_;
    return $self->_only( $name, @{ $self->{form} // [] } );
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
    my $name = $self->{facts}{cookie_name}{ $service // $self->{service} };
    my %values;
    for my $pair ( split /;\s*/, $self->{env}{HTTP_COOKIE} // q{} ) {
        $values{$1} = 1 if $pair =~ /\A\s*\Q$name\E=(.*)\z/s;
    }
    my @values = keys %values;
    return @values == 1 ? $values[0] : undef;
}

# True if there is a cookie of this name.
sub has_cookie {
    my ( $self, $name ) = @_;
    return ( $self->{env}{HTTP_COOKIE} // q{} ) =~ /(?:\A|;)\s*\Q$name\E=/;
}

# True if a page of another site caused the request. Programs copy the Origin of a
# browser, with another scheme or port.
sub is_cross_site {
    my ($self) = @_;
    my $env    = $self->{env};
    my $site   = $env->{HTTP_SEC_FETCH_SITE};
    return $site !~ /\A(?:same-origin|none)\z/ if defined $site;
    my $origin = $env->{HTTP_ORIGIN} // return 0;
    my ($host) = $origin =~ m{\A[a-z][a-z0-9+.-]*://($HOST)(?::[0-9]{1,5})?\z}i;
    return !defined $host || lc $host ne lc( $self->host // q{} );
}

# True for a part of a page, as images, scripts and frames are: no navigation.
sub is_embedded {
    my ($self) = @_;
    return ( $self->destination // 'document' ) ne 'document';
}

# True for a request that a program has made, and no browser or page.
sub is_by_program_alone {
    my ($self) = @_;
    return !grep { /\AHTTP_(?:ORIGIN|SEC_.*|(?:X_)?PURPOSE|X_MOZ)\z/ } keys %{ $self->{env} };
}

# What a program gets instead of pages: "xml" or "json"; undef for browsers. Uses the
# target as it came, because invalid requests are refused in the same form.
sub program {
    my ($self) = @_;
    my ($path) = split /[?]/, $self->{target}, 2;
    my ($api)  = ( $path // q{} ) =~ m{\A/+(?:cpsess[0-9]*/+)?(json-api|xml-api|execute)(?:/|\z)};
    return $api eq 'xml-api' ? 'xml' : 'json' if defined $api;
    return 'json'
        if $self->{at_gateway_socket}
        || $self->is_login_only
        || ( $self->{env}{HTTP_ACCEPT} // q{} ) =~ m{\bapplication/json\b}i;
    return;
}

# True for a login of a program that wants its answer in JSON.
sub is_login_only {
    my ($self) = @_;
    my ( undef, $query ) = split /[?]/, $self->{target}, 2;
    return scalar grep { $_->[0] eq 'login_only' && $_->[1] eq '1' } urlencoded($query);
}

# True if the answer is that of a login.
sub is_login {
    my ($self) = @_;
    return $self->{target} =~ m{\A/*(?:/cpsess[0-9]*)?/login/?(?:[?]|\z)} || $self->is_login_only;
}

# Files that browsers request automatically.
sub is_incidental {
    my ($self) = @_;
    return scalar( $self->{path} =~ m{\A/(?:favicon[.]ico\z|robots[.]txt\z|[.]well-known/)} );
}

# The Host header's host, without the port.
sub host {
    my ($self) = @_;
    my ($host) = ( $self->{env}{HTTP_HOST} // q{} ) =~ /\A($HOST)(?::[0-9]{0,5})?\z/;
    return $host;
}

sub host_port {
    my ($self) = @_;
    my ($port) = ( $self->{env}{HTTP_HOST} // q{} ) =~ /:([0-9]{1,5})\z/;
    return $port;
}

# True if the header is valid. HTTP/1.0 needs none.
sub has_good_host {
    my ($self) = @_;
    return !defined $self->{env}{HTTP_HOST}
        || defined $self->host && ( $self->host_port || 0 ) < 65_536;
}

# As it was in Plack::App::LogMeIn.
sub is_passive {
    my ($request) = @_;
    return $request->method !~ /\A(?:GET|POST)\z/ || ( $request->purpose // q{} ) =~ /\A\s*pre/i;
}

1;
