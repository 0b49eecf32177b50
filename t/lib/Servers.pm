package Servers;

# Servers for the tests of remote logins: on loopback, on free ports, each with its
# own folder, and stopped when their object is destroyed. They record requests.

use strict;
use warnings;
use Carp             qw(croak);
use Exporter         qw(import);
use File::Temp       qw(tempdir);
use IO::Socket::INET ();
use IO::Socket::UNIX ();
use POSIX            ();
use Socket           qw(IPPROTO_TCP MSG_PEEK TCP_NODELAY);
use Time::HiRes      qw(sleep time);

our @EXPORT_OK = qw(lacks certificate ca_file success failure free_port);

# A missing package as a reason to skip; or nothing.
sub lacks {
    my (@needs) = @_;
    for my $need (@needs) {
        if ( $need =~ /::/ ) {
            return "$need is not installed" if !eval "require $need; 1";  ## no critic (StringyEval)
        }
        elsif ( $need eq 'remote' ) {
            next                              if eval { require Cpanel::LogMeIn::Remote; 1 };
            croak 'built without what CI has' if $ENV{CI};
            return 'built without libcurl or jansson';
        }
        else {
            return "$need is not installed"
                if !grep { -x "$_/$need" } split( /:/, $ENV{PATH} ), '/usr/sbin';
        }
    }
    return;
}

# Recorded answers.
sub success {
    my ( $name, %more ) = @_;
    my $token = $more{token} // '/cpsess5542387976';
    my $value = $more{value} // 'alice%3aXq3p2cPCn3bPGDJ0%2c0d3a7c';
    my $body =
          qq({"status":1,"redirect":"$token/frontend/jupiter/index.html?post_login=26386455459312")
        . qq(,"security_token":"$token"});
    return join "\r\n", 'HTTP/1.1 200 OK', 'Content-Type: text/plain; charset="utf-8"',
        'Cache-Control: no-cache, no-store, must-revalidate, private',
        "Set-Cookie: $name=$value; HttpOnly; path=/; port=2083; secure",
        'Content-Length: ' . length $body, q{}, $body;
}

sub failure {
    my ( $status, $message, @headers ) = @_;
    my $body = qq({"status":0,"message":"$message"});
    return join "\r\n", "HTTP/1.1 $status", 'Content-Type: text/plain; charset="utf-8"', @headers,
        'Content-Length: ' . length $body, q{}, $body;
}

# Certificates, created at first use, all with the same key.
my $folder;
my %made;

sub _folder { return $folder //= tempdir( CLEANUP => 1 ) }

sub _openssl {
    my ($arguments) = @_;
    my $out = `openssl $arguments 2>&1`;
    croak "openssl $arguments: $out" if $? != 0;
    return;
}

sub _write {
    my ( $path, $text ) = @_;
    open my $file, '>', $path or croak "$path: $!";
    print {$file} $text;
    close $file or croak "$path: $!";
    return $path;
}

# A self-signed certificate that may sign others.
sub _issuer {
    my ($name) = @_;
    my $base = _folder() . "/$name";
    return $base if $made{$name}++;
    _openssl("ecparam -name prime256v1 -genkey -noout -out $base.key");
    _openssl( "req -x509 -new -key $base.key -subj '/CN=$name' -days 2 -sha256 -out $base.pem"
            . q{ -addext 'keyUsage = critical, keyCertSign'} );
    _write( "$base.index",      q{} );
    _write( "$base.index.attr", "unique_subject = no\n" );
    _write( "$base.serial",     "01\n" );
    return $base;
}

sub ca_file { return _issuer('ca') . '.pem' }

# A certificate with the given options: issuer, names, start, end, digest, usage,
# more. Returns its file and its key.
sub certificate {
    my ( $name, %want ) = @_;
    my $base = _folder() . "/$name";
    return ( "$base.pem", "$base.key" ) if $made{$name}++;
    my $issuer = _issuer( $want{issuer} // 'ca' );
    my $day    = sub { POSIX::strftime( '%Y%m%d%H%M%SZ', gmtime( time + 86_400 * $_[0] ) ) };
    my $usage  = $want{usage} // 'serverAuth';
    my $names  = $want{names} // 'DNS:localhost, IP:127.0.0.1, IP:::1';
    my $ca     = $want{ca} ? 'critical, CA:TRUE' : 'CA:FALSE';
    _openssl("ecparam -name prime256v1 -genkey -noout -out $base.key");
    _openssl("req -new -key $base.key -subj '/CN=$name' -out $base.csr");
    _write( "$base.conf", <<"CONF" );
[ca]
default_ca = issuer
[issuer]
database = $issuer.index
serial = $issuer.serial
new_certs_dir = @{[ _folder() ]}
certificate = $issuer.pem
private_key = $issuer.key
policy = any
email_in_dn = no
[any]
commonName = supplied
[extensions]
basicConstraints = $ca
subjectAltName = $names
extendedKeyUsage = $usage
CONF
    my ( $start, $end ) = ( $day->( $want{start} // -1 ), $day->( $want{end} // 1 ) );
    my $digest = $want{digest} // 'sha256';
    _openssl( "ca -batch -notext -config $base.conf -extensions extensions -in $base.csr"
            . " -out $base.pem -md $digest -startdate $start -enddate $end" );

    if ( $want{signs} ) {
        _write( "$base.index",      q{} );
        _write( "$base.index.attr", "unique_subject = no\n" );
        _write( "$base.serial",     "01\n" );
        $made{$name} = 1;
    }
    return ( "$base.pem", "$base.key" );
}

sub free_port {
    my $socket = IO::Socket::INET->new( LocalAddr => '127.0.0.1', Listen => 1 )
        or croak "no free port: $!";
    return $socket->sockport;
}

# A test server. `answer` is called with the connection and each request, a hash of
# head, host, path and body. It returns the bytes to send; or it sends them itself and
# returns nothing, which closes the connection.
# cert and key switch on TLS; socket is a path to listen on.
sub new {
    my ( $class, %given ) = @_;
    my $self = bless { %given, dir => tempdir( CLEANUP => 1 ), owner => $$ }, $class;
    my %how  = ( Listen => 50 );
    my $listener =
        defined $given{socket} ? IO::Socket::UNIX->new( %how, Local => $given{socket} )
        : $given{ipv6}
        ? do { require IO::Socket::IP; IO::Socket::IP->new( %how, LocalHost => '::1' ) }
        : IO::Socket::INET->new( %how, LocalAddr => '127.0.0.1' );
    croak "no server: $!" if !$listener;
    $self->{context} = $self->_context     if $self->{cert};
    $self->{port}    = $listener->sockport if !defined $given{socket};
    defined( $self->{pid} = fork ) or croak "fork: $!";
    $self->_serve($listener) if !$self->{pid};
    return $self;
}

sub port { my ($self) = @_; return $self->{port} }

sub _serve {
    my ( $self, $listener ) = @_;
    setpgrp;
    local $SIG{CHLD} = 'IGNORE';
    local $SIG{PIPE} = 'IGNORE';
    local $SIG{TERM} = 'DEFAULT';
    my $parent = getppid;
    while ( getppid == $parent ) {
        my $ready = q{};
        vec( $ready, fileno $listener, 1 ) = 1;
        next if select( $ready, undef, undef, 1 ) < 1;
        my $connection = $listener->accept or next;
        next if fork;
        close $listener;
        alarm 60;
        eval { $self->_talk($connection); 1 } or $self->_note("died $@");
        POSIX::_exit(0);
    }
    return POSIX::_exit(0);
}

# Appends a line to the record: the connection, and the event.
sub _note {
    my ( $self, $text ) = @_;
    return if $self->{quiet};
    open my $record, '>>', "$self->{dir}/record" or return;
    $text =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge;
    syswrite $record, "$$ $text\n";
    return;
}

sub _talk {
    my ( $self, $connection ) = @_;
    $self->_note('connected');
    setsockopt $connection, IPPROTO_TCP, TCP_NODELAY, 1 if defined $self->{port};
    if ( $self->{cert} ) {
        $connection = IO::Socket::SSL->start_SSL(
            $connection,
            SSL_server    => 1,
            SSL_reuse_ctx => $self->{context}
        );
        return $self->_note( 'no handshake: ' . ( IO::Socket::SSL::errstr() // q{} ) )
            if !$connection;
        $self->_note('handshake');
    }
    my $buffer = q{};
    return print {$connection} "HTTP/1.1 400 This is no TLS\r\n\r\n"
        if !$self->{cert} && _begins_with( $connection, "\x16" );
    while ( my $request = $self->_read_request( $connection, \$buffer ) ) {
        my $bytes = $self->{answer}->( $connection, $request );
        last if !defined $bytes;
        print {$connection} $bytes or last;
        $connection->flush;
        last
            if $request->{head} =~ m{\A\S+ \S+ HTTP/1[.]0}
            || $bytes           =~ m{\AHTTP/1.0}
            || $bytes           !~ /^(?:content-length|transfer-encoding):/mi;
    }
    close $connection;
    return;
}

sub _begins_with {
    my ( $connection, $byte ) = @_;
    recv $connection, my $first, 1, MSG_PEEK;
    return ( $first // q{} ) eq $byte;
}

sub _context {
    my ($self) = @_;
    return $self->_weak_context if $self->{weak};
    return IO::Socket::SSL::SSL_Context->new(
        SSL_server    => 1,
        SSL_cert_file => $self->{cert},
        SSL_key_file  => $self->{key},
        %{ $self->{tls} // {} }
    ) // croak 'no TLS: ' . IO::Socket::SSL::errstr();
}

# A TLS context with old versions and weak signatures, which OpenSSL disables.
sub _weak_context {
    my ($self) = @_;
    my $context = Net::SSLeay::CTX_new();
    Net::SSLeay::CTX_set_security_level( $context, 0 );
    Net::SSLeay::CTX_set_min_proto_version( $context, Net::SSLeay::TLS1_VERSION() );
    Net::SSLeay::CTX_set_max_proto_version( $context, $self->{weak} );
    my $good = Net::SSLeay::CTX_use_certificate_chain_file( $context, $self->{cert} ) == 1
        && Net::SSLeay::CTX_use_PrivateKey_file( $context, $self->{key}, 1 ) == 1;
    croak "no such certificate: $self->{cert}" if !$good;
    return bless { context => $context }, 'IO::Socket::SSL::SSL_Context';
}

sub _read_request {
    my ( $self, $connection, $buffer ) = @_;
    my $need = sub {
        sysread( $connection, my $more, 65_536 ) or return;
        $self->_note("got $more");
        return ${$buffer} .= $more;
    };
    $need->() // return while ${$buffer} !~ /\r\n\r\n/;
    my ( $head, $rest ) = split /\r\n\r\n/, ${$buffer}, 2;
    my ($length) = $head =~ /^content-length: *([0-9]+)/mi;
    $length //= 0;
    while ( length $rest < $length ) {
        my $had = length ${$buffer};
        $need->() // return;
        $rest .= substr ${$buffer}, $had;
    }
    ${$buffer} = substr $rest, $length;
    my ($host) = $head =~ /^host: *(\S*)/mi;
    my ( $method, $path, $rest_ ) = split / /, $head;
    return {
        head   => $head,
        body   => substr( $rest, 0, $length ),
        host   => $host,
        method => $method,
        path   => $path
    };
}

# The whole record, and the number of matching entries.
sub record {
    my ($self) = @_;
    open my $record, '<', "$self->{dir}/record" or return q{};
    local $/ = undef;
    return scalar readline $record;
}

sub count {
    my ( $self, $what ) = @_;
    my $record = $self->record;
    return scalar( () = $record =~ /^[0-9]+ \Q$what\E/mg );
}

# The last form, decoded.
sub form {
    my ($self) = @_;
    my ($body) = $self->record =~ /.*\\x0d\\x0a\\x0d\\x0a(.*)$/m or return {};
    return {
        map { s/%([0-9a-f]{2})/chr hex $1/gier }
        map { /\A([^=]*)=(.*)\z/s } split /&/, $body
    };
}

sub forget { my ($self) = @_; unlink "$self->{dir}/record"; return }

sub stop {
    my ($self) = @_;
    return if $self->{owner} != $$ || !$self->{pid};
    local ( $?, $! );    ## no critic (RequireInitializationForLocalVars)
    kill 'TERM', $self->{pid};
    kill 'TERM', -$self->{pid} if $self->{answer};    # and who still talks
    waitpid delete $self->{pid}, 0;
    return;
}

sub DESTROY { my ($self) = @_; return $self->stop }

# A copy in a thread does not stop the server.
sub CLONE_SKIP { return 1 }

# nginx, with the inside of its http block; @DIR@ stands for its folder.
sub nginx {
    my ( $class, $http ) = @_;
    my $self = bless { dir => tempdir( CLEANUP => 1 ), owner => $$ }, $class;
    my $user = $< == 0 ? 'user root;' : q{};
    my $temp = join "\n",
        map { "${_}_temp_path \@DIR\@/$_;" } qw(client_body proxy fastcgi uwsgi scgi);
    my $conf = <<"CONF" =~ s/\@DIR\@/$self->{dir}/gr;
$user
daemon off;
worker_processes 1;
pid \@DIR\@/nginx.pid;
error_log \@DIR\@/error.log;
events { worker_connections 100; }
http {
access_log off;
$temp
$http
}
CONF
    _write( "$self->{dir}/nginx.conf", $conf );
    local $ENV{PATH} = "$ENV{PATH}:/usr/sbin";
    defined( $self->{pid} = fork ) or croak "fork: $!";

    if ( !$self->{pid} ) {
        open STDERR, '>', "$self->{dir}/stderr" or POSIX::_exit(126);
        my @command = ( 'nginx', '-p', $self->{dir}, '-e', "$self->{dir}/error.log" );
        exec @command, '-c', "$self->{dir}/nginx.conf" or POSIX::_exit(127);
    }
    my $until = time + 10;
    sleep 0.02 while !-s "$self->{dir}/nginx.pid" && time < $until;
    croak 'nginx does not start: ' . $self->read("$self->{dir}/stderr")
        if !-s "$self->{dir}/nginx.pid";
    return $self;
}

sub read {    ## no critic (ProhibitBuiltinHomonyms)
    my ( $self, $path ) = @_;
    open my $file, '<', $path or return q{};
    local $/ = undef;
    return scalar readline $file;
}

1;
