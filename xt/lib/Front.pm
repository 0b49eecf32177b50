package Front;

# nginx and Apache in front of the gateway, from the files in examples/, with
# only ports and paths replaced.

use strict;
use warnings;
use Carp        qw(croak);
use POSIX       ();
use Time::HiRes qw(sleep time);
use lib         qw(t/lib xt/lib);
use parent      qw(Program);
use Author      qw(read_file);
use Serve       ();

my $PATIENCE = 20;    # seconds

my @PORTS = ( 2082, 2083, 2086, 2087, 2095, 2096 );

# The text of an example for this site, with its ports and paths replaced. Each of
# them must be in the text. LOGMEIN_EXAMPLES is another folder with the files, for
# xt/long/examples.t.
sub adapted {
    my ( $file, $base, %path ) = @_;
    my $text = read_file( ( $ENV{LOGMEIN_EXAMPLES} // 'examples' ) . "/$file" );
    for my $old ( sort { length $b <=> length $a } keys %path ) {
        $text =~ s/\Q$old\E/$path{$old}/g or croak "$file has no $old";
    }
    for my $index ( 0 .. $#PORTS ) {
        my $new = $base + $index;
        $text =~ s/\b$PORTS[$index]\b/$new/g or croak "$file has no $PORTS[$index]";
    }
    return $text;
}

sub _write {
    my ( $path, $text ) = @_;
    open my $file, '>', $path or croak "$path: $!";
    print {$file} $text;
    close $file or croak "$path: $!";
    return;
}

# Starts a program in the foreground, and waits until it listens at a port, or at the
# path of a Unix socket.
sub start {
    my ( $name, $log, $where, @command ) = @_;
    my $pid = fork // croak "fork: $!";
    if ( !$pid ) {
        open STDOUT, '>>', $log     or POSIX::_exit(9);
        open STDERR, '>&', \*STDOUT or POSIX::_exit(9);
        { exec @command }
        POSIX::_exit(9);
    }
    my $self  = bless { pid => $pid, owner => $$, name => $name, log => $log }, __PACKAGE__;
    my $until = time + $PATIENCE;
    while ( time < $until ) {
        return $self                                if Serve::connection( $where, 0 );
        croak "$name has ended: " . read_file($log) if waitpid( $pid, POSIX::WNOHANG() ) != 0;
        sleep 0.05;
    }
    croak "$name does not start: " . read_file($log);
}

# A folder for a server, which its workers can access.
sub _folder {
    my ( $dir, $name ) = @_;
    mkdir "$dir/$name" or croak "$dir/$name: $!";
    chmod oct 755, $dir, "$dir/$name";
    return "$dir/$name";
}

# The options of nginx() and apache(), for a site's folder and a base port; creates a
# certificate.
sub files {
    my ( $dir, $base ) = @_;
    my %files = (
        dir         => $dir,
        base        => $base,
        front       => "$dir/front.sock",
        panel       => "$dir/panel.sock",
        certificate => "$dir/one.crt",
        key         => "$dir/one.key",
    );
    Serve::write_certificate( @files{qw(certificate key)}, 'localhost' );
    return %files;
}

# The same options, and check, the socket of logmeind.
sub caddy {
    my (%option) = @_;
    my $dir      = _folder( $option{dir}, 'caddy' );
    my $text     = adapted(
        'Caddyfile', $option{base},
        '/run/logmein/front.sock'      => $option{front},
        '/run/logmein/check.sock'      => $option{check},
        '/run/panel/panel.sock'        => $option{panel},
        '/etc/ssl/certs/logmein.pem'   => $option{certificate},
        '/etc/ssl/private/logmein.key' => $option{key},
        '/var/log/caddy/logmein.log'   => "$dir/access.log",
    );
    $text =~ s/^(https?):\/\/(:\d+ \{)$/$1:\/\/$2\n\tbind 127.0.0.1/mg;
    _write( "$dir/Caddyfile", $text );
    local @ENV{qw(HOME XDG_DATA_HOME XDG_CONFIG_HOME)} = ($dir) x 3;
    my $self = start(
        'Caddy', "$dir/caddy.log",
        $option{base} + 1,
        qw(caddy run --adapter caddyfile --config),
        "$dir/Caddyfile"
    );
    $self->{access} = "$dir/access.log";
    $self->{errors} = "$dir/caddy.log";
    return $self;
}

# Options: dir (for its files), base, front and panel (sockets), certificate, key;
# name (of its folder); checked_at, the socket of logmeind; edit (returns a changed text
# of the example).
sub nginx {
    my (%option) = @_;
    my $dir      = _folder( $option{dir}, $option{name} // 'nginx' );
    my $text     = adapted(
        'nginx.conf', $option{base},
        '/run/logmein/front.sock'          => $option{front},
        '/run/panel/panel.sock'            => $option{panel},
        '/etc/ssl/certs/logmein.pem'       => $option{certificate},
        '/etc/ssl/private/logmein.key'     => $option{key},
        '/var/log/nginx/logmein.log'       => "$dir/access.log",
        '/var/log/nginx/logmein.error.log' => "$dir/site.error.log",
    );
    if ( my $check = $option{checked_at} ) {

        # As the comment in the file says.
        $text =~ s{(upstream logmein_check \{\n).*?\n\}}
            {$1    server unix:$check;\n    keepalive 64;\n\}}s
            or croak 'nginx.conf has no upstream for checks';
    }
    $text = $option{edit}->($text) if $option{edit};
    $text =~ s/\blisten (\d)/listen 127.0.0.1:$1/g;
    _write( "$dir/site.conf", $text );

    # What the example says about connections belongs into this file.
    my ( $files, $events ) = $text =~ /^# +(worker_rlimit_nofile .*)\n# +(events .*)\n/m
        or croak 'nginx.conf says nothing of connections';
    my $user      = $< == 0 ? "user root;\n" : q{};
    my $locations = join q{},
        map { "    ${_}_temp_path $dir/$_;\n" } qw(client_body fastcgi proxy scgi uwsgi);
    _write( "$dir/nginx.conf",
              "${user}daemon off;\nworker_processes 2;\npid $dir/pid;\nerror_log $dir/error.log;\n"
            . "$files\n$events\nhttp {\n${locations}    access_log off;\n    keepalive_requests 1000000;\n"
            . "    include $dir/site.conf;\n}\n" );
    my $self = start( 'nginx', "$dir/out", $option{base} + 1,
        'nginx', '-c', "$dir/nginx.conf", '-e', "$dir/error.log" );
    $self->{access} = "$dir/access.log";
    return $self;
}

sub apache {
    my (%option) = @_;
    my $dir      = _folder( $option{dir}, $option{name} // 'apache' );
    my $text     = adapted(
        'apache.conf', $option{base},
        '/run/logmein/front.sock'            => $option{front},
        '/etc/ssl/certs/logmein.pem'         => $option{certificate},
        '/etc/ssl/private/logmein.key'       => $option{key},
        '/var/log/apache2/logmein.log'       => "$dir/access.log",
        '/var/log/apache2/logmein.error.log' => "$dir/error.log",
    );
    $text = $option{edit}->($text) if $option{edit};
    $text =~ s/^( *Listen )/${1}127.0.0.1:/mg;
    my $modules = join q{},
        map { "LoadModule ${_}_module /usr/lib/apache2/modules/mod_$_.so\n" }
        qw(mpm_event authz_core headers macro proxy proxy_http reqtimeout setenvif ssl);
    _write( "$dir/apache.conf",
              "ServerRoot $dir\nServerName localhost\nPidFile $dir/pid\nErrorLog $dir/error.log\n"
            . "User www-data\nGroup www-data\nMutex file:$dir\n$modules$text" );
    my $self = start( 'apache', "$dir/out", $option{base} + 1,
        'apache2', '-DFOREGROUND', '-f', "$dir/apache.conf" );
    $self->{access} = "$dir/access.log";
    return $self;
}

1;
