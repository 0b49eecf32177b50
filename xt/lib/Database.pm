package Database;

# A PostgreSQL server of a test's own: its files in a temporary folder, run by an
# ordinary user, reached through a Unix socket.

use strict;
use warnings;
use lib 't/lib';
use parent      qw(Program);
use Carp        qw(croak);
use File::Temp  qw(tempdir);
use IPC::Open2  qw(open2);
use POSIX       ();
use Time::HiRes qw(sleep time);

my ($BIN) = reverse sort glob '/usr/lib/postgresql/*/bin';
my $PORT = 5432;

# Why there can be no store on such a server; nothing if there can.
sub lacks {
    return 'PostgreSQL is not installed' if !defined $BIN || !-x "$BIN/postgres";
    return 'this build has no PostgreSQL'
        if !-e 'blib/arch/auto/Cpanel/LogMeIn/logmein-postgres.so';
    return;
}

# The path of one of PostgreSQL's own programs.
sub program { my ($name) = @_; return "$BIN/$name" }

# Runs a command as an ordinary user, to its end.
sub _run {
    my ( $self, @command ) = @_;
    my $text = join q{ }, @{ $self->{before} }, @command;
    my $said = `$text 2>&1 </dev/null`;
    croak "$text: $said" if $? != 0;
    return $said;
}

# One without files yet, which listens at this port.
sub _with_folder {
    my ( $class, $port ) = @_;
    my $dir  = tempdir( 'postgres-XXXXXX', TMPDIR => 1, CLEANUP => 1 );
    my $self = bless {
        dir    => $dir,
        port   => $port // $PORT,
        owner  => $$,
        before => $> == 0 ? [qw(setpriv --reuid nobody --regid nogroup --clear-groups)] : [],
        made   => 0
    }, $class;
    $self->{settings} = {
        listen_addresses        => q{},
        max_connections         => 200,
        unix_socket_directories => $dir,
        port                    => $self->{port}
    };
    chmod 0755, $dir;
    $self->_give($dir);
    return $self;
}

# To the user who runs it.
sub _give {
    my ( $self, $path ) = @_;
    chown scalar getpwnam('nobody'), scalar getgrnam('nogroup'), $path if $> == 0;
    return $path;
}

# Writes a file of its own.
sub _write {
    my ( $self, $how, $name, @lines ) = @_;
    my $path = "$self->{dir}/$name";
    open my $file, $how, $path or croak "$path: $!";
    print {$file} map { "$_\n" } @lines;
    close $file or croak "$path: $!";
    return $self->_give($path);
}

# Settings, which it has, beside those before, when it starts or is told to read them. Their
# file is not among its data, of which it may get others.
sub configure {
    my ( $self, %settings ) = @_;
    my $all = $self->{settings} = { %{ $self->{settings} }, %settings };
    my $new = $self->_write( '>', 'new.conf', map { "$_ = '$all->{$_}'" } sort keys %{$all} );
    rename $new, $self->config_file or croak "postgresql.conf: $!";
    return;
}
sub config_file { my ($self) = @_; return "$self->{dir}/postgresql.conf" }

# Makes a server with these settings beside the usual ones, and starts it.
sub new {
    my ( $class, %settings ) = @_;
    my $self = $class->_with_folder( $settings{port} );
    $self->_run(
        "$BIN/initdb",       '-D',
        "$self->{dir}/data", qw(-A trust -U postgres --no-sync -E UTF8 --locale=C)
    );
    $self->configure(%settings);
    return $self->start;
}

# A standby of this one, with other settings where these say so.
sub standby {
    my ( $self, %settings ) = @_;
    my $standby = ( ref $self )->_with_folder( $settings{port} // $self->{port} );
    $self->_run( "$BIN/pg_basebackup", qw(-R -c fast --no-sync -U postgres -h),
        $self->{dir}, '-p', $self->{port}, '-D', "$standby->{dir}/data" );
    my %own = map { $_ => $standby->{settings}{$_} } qw(unix_socket_directories port);
    $standby->configure( %{ $self->{settings} }, %own, %settings );
    return $standby->start;
}

# Has a running one use these settings, which a new session then shows.
sub reload {
    my ( $self, %settings ) = @_;
    my $number = ++$self->{reloads};
    $self->configure( %settings, 'logmein.reloads' => $number );
    $self->signal('HUP');
    for ( 1 .. 300 ) {
        return if $self->sql( 'postgres', 'SHOW logmein.reloads' ) == $number;
        sleep 0.1;
    }
    croak 'PostgreSQL does not read its settings';
}

# TLS with this certificate and its key: settings.
sub tls {
    my ( $self, $cert, $key ) = @_;
    my %setting = ( ssl => 'on' );
    for my $pair ( [ ssl_cert_file => $cert ], [ ssl_key_file => $key ] ) {
        my ( $name, $from ) = @{$pair};
        open my $file, '<', $from or croak "$from: $!";
        chomp( my @lines = readline $file );
        $setting{$name} =
            $self->_write( '>', sprintf( '%s%d', $name, $self->{reloads} // 0 ), @lines );
        chmod 0600, $setting{$name};
    }
    return %setting;
}

# Who may connect how, by lines as in pg_hba.conf, when it next reads its settings.
sub admit {
    my ( $self, @lines ) = @_;
    $self->_write( '>', 'data/pg_hba.conf', @lines );
    return;
}

# One that another process has started, by the folder of its socket.
sub at {
    my ( $class, $dir ) = @_;
    return bless { dir => $dir, port => $PORT, owner => 0, made => 0 }, $class;
}

sub start {
    my ($self) = @_;
    $self->{pid} = fork // croak "fork: $!";
    if ( !$self->{pid} ) {
        open STDOUT, '>>', "$self->{dir}/log" or POSIX::_exit(9);
        open STDERR, '>&', \*STDOUT           or POSIX::_exit(9);
        my @command = ( "$BIN/postgres", '-D', "$self->{dir}/data" );
        { exec @{ $self->{before} }, @command, '-c', 'config_file=' . $self->config_file }
        POSIX::_exit(9);
    }
    my $until = time + 30;
    while ( time < $until ) {
        return $self if system( "$BIN/pg_isready", '-q', $self->_at ) == 0;
        sleep 0.1;
    }
    croak 'PostgreSQL does not start: ' . $self->log_text;
}

# A fast shutdown, unless told otherwise.
sub stop { my ( $self, $signal ) = @_; return $self->SUPER::stop( $signal // 'INT' ) }

# The processes that it has started.
sub children {
    my ($self) = @_;
    open my $file, '<', "/proc/$self->{pid}/task/$self->{pid}/children" or return;
    return split q{ }, readline($file) // q{};
}

# A process that has ended, and that nobody has waited for, does not.
sub _lives {
    my ($pid) = @_;
    open my $file, '<', "/proc/$pid/stat" or return 0;
    return ( readline($file) // q{) Z} ) !~ /[)] [ZX]/;
}

# All its processes at once, by signal 9.
sub crash {
    my ($self) = @_;
    kill STOP => $self->{pid};    # it starts no more
    my @children = $self->children;
    kill KILL => $self->{pid}, @children;
    $self->stop('KILL');
    sleep 0.01 while grep { _lives($_) } @children;
    return;
}

sub log_text {
    my ($self) = @_;
    open my $file, '<', "$self->{dir}/log" or croak "log: $!";
    local $/ = undef;
    return readline $file;
}

# Runs a statement as the superuser; the rows as lines, their fields separated by "|".
sub sql {
    my ( $self, $database, $statement ) = @_;
    open my $psql, '-|', "$BIN/psql", qw(-X -q -A -t -v ON_ERROR_STOP=1 -U postgres),
        $self->_at, '-d', $database, '-c', $statement
        or croak "psql: $!";
    local $/ = undef;
    my $said = readline $psql;
    close $psql or croak "psql: $statement";
    return $said;
}

# A session of the superuser's: a function that runs a statement in it. It returns a
# function that waits for the rows, which are as those of sql().
sub session {
    my ( $self, $database ) = @_;
    my $pid = open2( my $out, my $in, "$BIN/psql", qw(-X -q -A -t -U postgres),
        $self->_at, '-d', $database );
    my $number = 0;
    return sub {
        my ($statement) = @_;
        my $end         = sprintf 'end %d of %d', ++$number, $pid;
        print {$in} "$statement;\n\\echo $end\n";
        $in->flush;
        return sub {
            my $rows = q{};
            while ( my $line = <$out> ) {
                return $rows if $line eq "$end\n";
                $rows .= $line;
            }
            croak "psql ends: $statement";
        };
    };
}

# Where programs of PostgreSQL find it.
sub _at { my ($self) = @_; return ( '-h', $self->{dir}, '-p', $self->{port} ) }

# Where a user finds a database.
sub url {
    my ( $self, $database, $user ) = @_;
    my $port = $self->{port} == $PORT ? q{} : "&port=$self->{port}";
    return "postgresql://$user@/$database?host=$self->{dir}$port";
}

# A new database, as the setting `store` names it: for `logmein store init`.
sub database {
    my ($self) = @_;
    my $name   = sprintf 'store%dx%d', ++$self->{made}, $$;
    $self->sql( 'postgres', "CREATE DATABASE $name" );
    return ( $self->url( $name, 'logmein' ), $self->url( $name, 'postgres' ) );
}

# A site whose sessions are in a new database, and that database's name.
sub site {
    my ( $self, %given ) = @_;
    require Test::Cpanel::LogMeIn;
    return $self->site_by( sub { Test::Cpanel::LogMeIn->new(@_) }, %given );
}

# The same, made by this function.
sub site_by {
    my ( $self, $make, %given ) = @_;
    my ( $url, $admin ) = $self->database;
    require Cpanel::LogMeIn::Session;
    my %settings = (
        store       => $url,
        store_alone => 'yes',
        key_file    => tempdir( CLEANUP => 1 ) . '/key',
        %{ $given{settings} // {} }
    );
    my $site     = $make->( %given, settings => \%settings );
    my $sessions = Cpanel::LogMeIn::Session->new;
    my $done     = $sessions->_store_init($admin);
    croak $Cpanel::LogMeIn::detail if $done->{code};
    my ($name) = $url =~ m{/(\w+)[?]};
    return ( $site, $name );
}

1;
