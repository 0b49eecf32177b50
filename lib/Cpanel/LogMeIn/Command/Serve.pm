package Cpanel::LogMeIn::Command::Serve;

use strict;
use warnings;
use parent 'Cpanel::LogMeIn::Command';
use Cpanel::LogMeIn          ();
use Cpanel::LogMeIn::Session ();
use File::Temp               qw(tempdir);
use FindBin                  ();
use IO::Socket::UNIX         ();
use Socket                   qw(AF_INET AF_INET6 inet_pton);
use Sys::Hostname            qw(hostname);

our $VERSION = '0.01';

my @SERVICES = Cpanel::LogMeIn::services();
my $PORT_MAX = 65_535 - 2 * @SERVICES + 1;

my %NEEDED = (
    'AnyEvent'                   => 'libanyevent-perl',
    'EV'                         => 'libev-perl',
    'HTML::Template'             => 'libhtml-template-perl',
    'HTTP::MultiPartParser'      => 'libhttp-multipartparser-perl',
    'HTTP::Parser::XS'           => 'libhttp-parser-xs-perl',
    'IO::Socket::SSL::Utils'     => 'libio-socket-ssl-perl',
    'Net::Server::PreForkSimple' => 'libnet-server-perl',
    'Plack'                      => 'libplack-perl',
    'URI::Escape'                => 'liburi-perl',
);

sub actions {
    my @options = qw(app=s base=i cert=s front=s front-group=s key=s listen=s@ log=s root=s
        socket! with-check workers=i);
    return ( q{} => { options => \@options } );
}

sub complaint {
    my ( $class, undef, $option ) = @_;
    my %option = %{$option};
    return 'Give either --app FILE or --root FOLDER.'
        if ( defined $option{app} && defined $option{root} )
        || !grep { defined } @option{qw(app root front)};
    return '--cert and --key must be given together.'
        if defined $option{cert} xor defined $option{key};
    return '--front-group requires --front.' if defined $option{'front-group'} && !$option{front};
    return '--with-check requires --front.'  if $option{'with-check'} && !defined $option{front};
    return '--front can\'t be combined with --cert or --listen.'
        if defined $option{front} && grep { defined } @option{qw(cert listen)};
    return "--base must be a port from 1 to $PORT_MAX."
        if defined $option{base} && ( $option{base} < 1 || $option{base} > $PORT_MAX );
    return '--workers must be a number from 2 to 1000.'
        if defined $option{workers} && ( $option{workers} < 2 || $option{workers} > 1000 );
    my ($odd) = grep { !_is_address($_) } @{ $option{listen} // [] };
    return "--listen must be an IP address; '$odd' is not." if defined $odd;
    return;
}

sub _is_address {
    my ($text) = @_;
    return defined inet_pton( AF_INET, $text ) || defined inet_pton( AF_INET6, $text );
}

# Serves until it is stopped; dies with a message if it can't start.
sub run {
    my ( $class, undef, $option ) = @_;
    my $self = bless { option => $option }, $class;
    $self->_load;
    $self->_use_log( $self->_open_log );
    $self->{sessions} = $self->_read_settings;
    my @ports = ( $self->_public_ports, $self->_front, $self->_gateway_socket );
    $self->_find_certificate if grep { $_->{proto} eq 'ssl' } @ports;
    Cpanel::LogMeIn::Server->serve(
        ports       => \@ports,
        workers     => $option->{workers} // 10,
        certificate => $self->{certificate},
        key         => $self->{key},
        beside      => scalar $self->_check,
        ready       => sub { $self->_say_where(@ports) },
        load        => sub { $self->_app },
    );
    return;
}

sub _load {
    for my $module ( sort keys %NEEDED ) {
        my $file = $module =~ s{::}{/}gr . '.pm';
        eval { require $file } or die "$module is missing: install $NEEDED{$module} (Debian).\n";
    }
    require Cpanel::LogMeIn::Server;
    require Plack::App::Directory;
    require Plack::Middleware::LogMeIn;
    require Plack::Util;
    return;
}

# The file of --log, opened at the start and on SIGHUP; undef: standard error.
sub _open_log {
    my ($self) = @_;
    my $path = $self->{option}{log} // return;
    open my $log, '>>', $path or die "$path: $!\n";
    return $log;
}

sub _use_log {
    my ( $self, $log ) = @_;
    return if !$log;
    open STDERR, '>>&', $log or die "$self->{option}{log}: $!\n";
    STDERR->autoflush(1);
    return;
}

# A handle with the settings of now. A reload also opens its store, key and site
# before the old ones are replaced.
sub _read_settings {
    my ($self) = @_;
    my $sessions = Cpanel::LogMeIn::Session->new;
    eval { $sessions->settings; 1 } or die "$Cpanel::LogMeIn::detail\n";
    $self->_check_ports($sessions) if defined $self->{option}{base};
    return $sessions;
}

sub _setting {
    my ( $self, $name ) = @_;
    return $self->{sessions}->setting($name);
}

# The clear-text port of a service is the one before its TLS port.
sub _port_at {
    my ( $self, $service, $tls ) = @_;
    my $base = $self->{option}{base};
    return $service->{ $tls ? 'port' : 'clear_port' } if !defined $base;
    my ($index) = grep { $SERVICES[$_] == $service } 0 .. $#SERVICES;
    return $base + 2 * $index + ( $tls ? 1 : 0 );
}

# Login URLs contain the ports of the settings, so these must match the served
# ports.
sub _check_ports {
    my ( $self, $sessions ) = @_;
    my $base  = $self->{option}{base};
    my %wants = map { ( "port.$_->{name}" => $self->_port_at( $_, 1 ) ) } @SERVICES;
    my @lines = map { "$_ = $wants{$_}\n" }
        grep { $sessions->setting($_) != $wants{$_} } map { "port.$_->{name}" } @SERVICES;
    my $file = $self->settings_file;
    die "Login URLs would not name the ports of --base $base. Add to $file:\n", @lines
        if @lines;
    return;
}

sub _public_ports {
    my ($self) = @_;
    return if defined $self->{option}{front};
    my @ports;
    for my $host ( @{ $self->{option}{listen} // ['127.0.0.1'] } ) {
        my %at = ( host => $host, ipv => $host =~ /:/ ? 6 : 4 );
        for my $service (@SERVICES) {
            push @ports, { %at, port => $self->_port_at( $service, 0 ), proto => 'tcp' },
                { %at, port => $self->_port_at( $service, 1 ), proto => 'ssl' };
        }
    }
    return @ports;
}

# A Unix socket. Dies if another process listens at its path.
sub _socket {
    my ( $self, $path, %more ) = @_;
    die "$path: only letters, digits, / - _ and . are allowed\n" if $path !~ m{\A/[\w./-]+\z};
    die "$path: another process listens there\n" if IO::Socket::UNIX->new( Peer => $path );
    return { proto => 'unix', host => 'localhost', port => $path, %more };
}

# Clients of this socket are trusted as front servers, so access is restricted to
# their group.
sub _front {
    my ($self) = @_;
    my ( $path, $group ) = @{ $self->{option} }{qw(front front-group)};
    return                                          if !defined $path;
    return $self->_socket( $path, mode => oct 600 ) if !defined $group;
    my $gid = getgrnam($group) // die "There is no group '$group'.\n";
    return $self->_socket( $path, mode => oct 660, gid => $gid );
}

# For all local processes; they send nothing unless socket and folder belong to
# root or to the store's owner.
sub _gateway_socket {
    my ($self) = @_;
    return if !( $self->{option}{socket} // 1 );
    my $path     = $self->_setting('gateway_socket');
    my $hint     = 'or use --no-socket';
    my ($folder) = $path =~ m{\A(.*)/};
    die "$folder: $!; create it, $hint\n" if !-d $folder && !mkdir $folder, oct 755;
    my ( $mode, $uid ) = ( stat $folder )[ 2, 4 ];
    my $owner = ( stat $self->_setting('key_file') )[4] // $>;
    die "$folder belongs neither to root nor to the store's owner; change that, $hint\n"
        if $uid != 0 && $uid != $owner;
    die "$folder is writable by others; change that, $hint\n" if $mode & oct 22;
    die "$folder is not writable; change that, $hint\n"       if !-w $folder;
    return $self->_socket( $path, mode => oct 666 );
}

# logmeind, which checks requests for the web server in front.
sub _check {
    my ($self) = @_;
    return if !$self->{option}{'with-check'};
    my ($program) = grep { -x } map { "$FindBin::Bin/${_}logmeind" } q{}, '../bin/';
    die "logmeind is missing: install libmicrohttpd-dev (Debian), and build again\n"
        if !defined $program;
    my $path  = $self->_socket( $self->_setting('check_socket') )->{port};
    my $group = $self->{option}{'front-group'};
    return {
        socket  => $path,
        command => [
            $program, '--with-parent', '--socket', $path,
            defined $group ? ( '--group', $group ) : ()
        ],
    };
}

# Without --cert, a certificate for this run is created.
sub _find_certificate {
    my ($self) = @_;
    @{$self}{qw(certificate key)} = @{ $self->{option} }{qw(cert key)};
    return if defined $self->{certificate};
    $self->{folder} = tempdir( 'logmein-XXXXXX', TMPDIR => 1, CLEANUP => 1 );
    @{$self}{qw(certificate key)} = map { "$self->{folder}/$_" } qw(certificate key);
    $self->_make_certificate;
    return;
}

sub _make_certificate {
    my ($self)        = @_;
    my @names         = ( 'localhost', '127.0.0.1', '::1', @{ $self->{option}{listen} // [] } );
    my $key           = IO::Socket::SSL::Utils::KEY_create_ec('prime256v1');
    my ($certificate) = IO::Socket::SSL::Utils::CERT_create(
        key             => $key,
        subject         => { commonName => 'localhost' },
        subjectAltNames => [ map { [ _is_address($_) ? 'IP' : 'DNS', $_ ] } @names ],
    );
    IO::Socket::SSL::Utils::PEM_cert2file( $certificate, $self->{certificate} );
    IO::Socket::SSL::Utils::PEM_key2file( $key, $self->{key} );
    return;
}

# The gateway and the app behind it, at the start and on SIGHUP. Without a log of
# logins nothing is served. What can fail comes first, so that a reload that fails
# leaves everything as it was.
sub _app {
    my ($self)   = @_;
    my $is_start = !$self->{is_loaded};
    my $log      = $is_start ? undef             : $self->_open_log;
    my $sessions = $is_start ? $self->{sessions} : $self->_read_again;
    my $loaded   = $self->_gateway($sessions);
    my $begins   = $is_start ? 'starts' : 'reloads';
    $sessions->try_log("logmein serve $VERSION $begins") or die "$Cpanel::LogMeIn::detail\n";
    $self->_use_log($log);
    $self->_say_what_is_missing($sessions) if $is_start;
    @{$self}{qw(is_loaded sessions)} = ( 1, $sessions );
    return $loaded;
}

sub _gateway {
    my ( $self, $sessions ) = @_;
    my ( $file, $folder )   = @{ $self->{option} }{qw(app root)};
    my $behind = defined $file ? _load_app($file) : defined $folder ? _folder($folder) : undef;

    # With --base, clear text does not use the default ports.
    my $gateway = Plack::App::LogMeIn->new(
        sessions => $sessions,
        ports    => { map { ( $self->_port_at( $_, 0 ) => $_->{name} ) } @SERVICES },
    );
    $gateway->prepare_app;
    my $app =
        $behind
        ? Plack::Middleware::LogMeIn->wrap( $behind, gateway => $gateway )
        : sub { return $gateway->call( $_[0] ) };
    return { app => $app, gateway => $gateway };
}

# What will not work, a sentence for each.
sub _say_what_is_missing {
    my ( $self, $sessions ) = @_;
    my %wrong = $sessions->health;
    print {*STDERR} "logmein: No login will work: $wrong{$_}\n"
        for grep { defined $wrong{$_} } qw(store key site);
    print {*STDERR}
        'logmein: No public name of this machine is known. Logins of programs by such a'
        . " name would be sent to the host that DNS names: add it to the setting domains\n"
        if !_has_name($sessions);
    return;
}

# True if a line of the file begins with a name other than localhost.
sub _has_public_name {
    my ($path) = @_;
    open my $file, '<', $path or return;
    return scalar grep { /\A\s*(?!localhost)[\w-]+[.]/ } readline $file;
}

# True if there is a name other than localhost by which the core takes a login as one
# for this machine.
sub _has_name {
    my ($sessions) = @_;
    my ( $backend, $domains, $by_site, $root ) =
        map { $sessions->setting($_) } qw(backend domains site_hostnames site_root);
    return
           $backend eq 'local'
        || $domains   =~ /\S/
        || hostname() =~ /[.](?!localdomain\z)/
        || ( $by_site eq 'yes' && grep { _has_public_name("$root/etc/$_") }
        qw(userdomains localdomains) );
}

# New settings, with store, key and site opened before the old ones go.
sub _read_again {
    my ($self) = @_;
    my $sessions = $self->_read_settings;
    $sessions->open;
    return $sessions;
}

sub _load_app {
    my ($file) = @_;
    my $app = eval { Plack::Util::load_psgi($file) };
    die "$file: $@" if !$app;
    return $app;
}

# The files of a folder. Names that begin with a dot are not served.
sub _folder {
    my ($folder) = @_;
    die "$folder is not a folder\n" if !-d $folder;
    my $files = Plack::App::Directory->new( { root => $folder } )->to_app;
    return sub {
        my ($env) = @_;
        my $path = $env->{PATH_INFO};
        return [ 404, [ 'Content-Type' => 'text/plain' ], ["Not found.\n"] ]
            if $path =~ m{/[.]};
        $env->{PATH_INFO} .= 'index.html' if $path =~ m{/\z} && -f "$folder$path/index.html";
        return $files->($env);
    };
}

sub _say_where {
    my ( $self, @ports ) = @_;
    for my $port (@ports) {
        my $host   = $port->{host} =~ /:/    ? "[$port->{host}]" : $port->{host};
        my $scheme = $port->{proto} eq 'ssl' ? 'https'           : 'http';
        print $port->{proto} eq 'unix'
            ? "unix:$port->{port}\n"
            : "$scheme://$host:$port->{port}/\n";
    }
    STDOUT->flush;
    $0 = 'logmein serve';    ## no critic (RequireLocalizedPunctuationVars)
    return;
}

1;

__END__

=head1 NAME

logmein-serve - serve login pages and an app behind them

=head1 SYNOPSIS

    logmein serve --app panel.psgi
    logmein serve --root /srv/panel --listen 192.0.2.1 --cert cert.pem --key key.pem
    logmein serve --front /run/logmein/front.sock --front-group www-data

=head1 DESCRIPTION

Serves the login page, login URLs, logout, and the protected app or folder, until
it is stopped. It prints its addresses when all of them are open. The settings
determine who may log in, and where sessions are stored: see
L<logmein.conf(5)>.

=head1 OPTIONS

=over 4

=item C<--app FILE>

The PSGI app to protect; only logged-in users can reach it.
L<Plack::Middleware::LogMeIn> describes its environment.

=item C<--root FOLDER>

The folder of files to protect, instead of an app. Names that begin with a dot are
not served.

=item C<--listen ADDRESS>

An IP address to listen at; 127.0.0.1 by default. May be given more than once.

=item C<--base PORT>

The first of six consecutive ports to use instead of the default ones, here or at
the web server in front: cpanel in clear text, cpanel, whm in clear text, whm,
webmail in clear text, webmail. The settings C<port.cpanel>, C<port.whm> and
C<port.webmail> must match, because login URLs contain them; if they don't, serve
prints the lines to add. Without C<--base> the ports are 2082, 2083, 2086, 2087,
2095 and 2096.

=item C<--config FILE>

The settings file, instead of the one that is in use.

=item C<--cert FILE>, C<--key FILE>

The certificate, followed by its chain, and its key, in PEM format. Without them a
self-signed certificate is created, and browsers show a warning.

=item C<--front PATH>

A Unix socket for a web server in front, instead of ports. The headers of
L<Plack::App::LogMeIn/FRONT SERVERS> are trusted from every client of this socket,
so only this user may connect. Without C<--app> and C<--root> the gateway serves
no pages behind the login, and the web server protects its own pages.

=item C<--front-group GROUP>

The web server's group, which may connect to that socket.

=item C<--no-socket>

Does not open the gateway's socket. By default it is opened at the path of the
setting C<gateway_socket>, for local programs that may not read the password
files. Its folder must belong to root or to the store's owner.

=item C<--with-check>

Also runs L<logmeind(8)>, which checks requests for the web server in front in place of
the gateway, at a fifth of the CPU. Its socket is at the path of the setting
C<check_socket>, and for the group of C<--front-group>. It is reloaded and stopped
together with the gateway, and started again if it ends. Requires C<--front>. A unit of
its own for systemd, in F<examples/systemd/>, keeps its socket open when it is restarted.

=item C<--workers NUMBER>

The number of parallel requests, not including logins; 10 by default.

=item C<--log FILE>

A file for error messages, instead of standard error. Logins are logged as the
setting C<log> determines.

=back

=head1 MESSAGES AND SIGNALS

Before the addresses, it says on standard error what will not work: store, key or
account files that can't be used, and no public name of this machine in the settings or
the site. It does not start if the log of the setting C<log> can't be written.

SIGTERM and SIGINT stop it, after current requests are answered. On SIGHUP it
reopens the log, and reloads the certificate, the settings and the app; if one of
them is invalid, it logs C<Not reloaded> with the reason, and continues unchanged with
all of the old ones. Ports and sockets do not change.

L<Plack::App::LogMeIn> describes F</logmein/live>, F</logmein/health> and
F</logmein/metrics>, for monitoring.

=head1 EXIT STATUS

0 after a signal, 2 for wrong usage, 3 if it could not start; the message says why.

=head1 CAVEATS

Ambiguous requests are refused with 400: several C<Host> or C<Content-Length>
fields, C<Content-Length> together with C<Transfer-Encoding>, folded fields, line
ends other than CR LF. C<Transfer-Encoding> alone is answered with 411, a body of
more than 64 MiB with 413. Fields whose names contain characters other than letters,
digits and hyphens are removed.

A request is judged by its head. Without a session, and unless it is a login or
another form for the gateway, it is answered at once and its body is not read. A client
has 5 seconds for the TLS handshake, 5 for the head of a request, 10 for a form, 10
for each 10,000 bytes of any other body, and 30 to read each 64 KiB of an answer; a
connection without a request is closed after 15, and any after 100 requests. A worker holds up to 2,000
connections, but not more than the limit of open files allows; beyond that, the one
that has waited longest for its client is closed.

Each login has its own process, so that other requests do not wait for password
hashes. The number of hashes computed in parallel is limited to the number of
processors; others wait for up to 5 seconds. A user's login goes first if it comes
from a source that the user has lately logged in from, and at most 8 logins of one
source wait in a worker.

An app that takes long to answer makes the other connections of its worker wait. An
app that streams without end needs a web server of its own.

=head1 SEE ALSO

L<logmein(1)>, L<Plack::App::LogMeIn>, L<Plack::Middleware::LogMeIn>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
