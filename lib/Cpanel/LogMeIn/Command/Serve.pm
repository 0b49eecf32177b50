package Cpanel::LogMeIn::Command::Serve;

use strict;
use warnings;
use Cpanel::LogMeIn          ();
use Cpanel::LogMeIn::Session ();
use File::Temp               qw(tempdir);
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

# The options, for Getopt::Long.
sub options {
    return qw(app=s base=i cert=s front=s front-group=s key=s listen=s@ log=s root=s socket!
        workers=i);
}

# An error message about the options; undef if they are valid.
sub complaint {
    my ( $class, %option ) = @_;
    return 'Give either --app FILE or --root FOLDER.'
        if ( defined $option{app} && defined $option{root} )
        || !grep { defined } @option{qw(app root front)};
    return '--cert and --key must be given together.'
        if defined $option{cert} xor defined $option{key};
    return '--front-group requires --front.' if defined $option{'front-group'} && !$option{front};
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
    my ( $class, %option ) = @_;
    my $self = bless { option => \%option }, $class;
    $self->_load;
    $self->_use_log( $self->_open_log );
    $self->{sessions} = $self->_read_settings;
    my @ports = ( $self->_public_ports, $self->_front, $self->_gateway_socket );
    $self->_find_certificate if grep { $_->{proto} eq 'ssl' } @ports;
    Cpanel::LogMeIn::Server->serve(
        ports       => \@ports,
        workers     => $option{workers} // 10,
        certificate => $self->{certificate},
        key         => $self->{key},
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
    my $file = $ENV{LOGMEIN_CONF} // '/etc/logmein.conf';
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

Cpanel::LogMeIn::Command::Serve - the subcommand C<serve> of L<logmein>

=head1 DESCRIPTION

Internal to L<logmein>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
