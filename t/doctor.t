#!/usr/bin/perl

# `logmein doctor`: each planted fault is found by its name, and nothing else; on a
# sound site nothing is found. As root, and as a user without rights.

use strict;
use warnings;
use Cpanel::LogMeIn::Command::Doctor ();
use Cpanel::LogMeIn::Session         ();
use File::Copy                       qw(copy);
use IO::Socket::INET                 ();
use IO::Socket::UNIX                 ();
use JSON::PP                         qw(decode_json);
use POSIX                            ();
use Sys::Hostname                    qw(hostname);
use lib 't/lib';
use Run qw(has_terminal);
use Test::More;
use Test::Cpanel::LogMeIn;

my $NOBODY = 65_534;
my $DAY    = 86_400;

my %is_installed = (
    ssl      => scalar eval { require IO::Socket::SSL::Utils; require Net::SSLeay; 1 },
    fail2ban => scalar( grep { -x "$_/fail2ban-client" } split /:/, $ENV{PATH} ),
);

# Ports that nobody listens at, for login URLs.
my @free =
    map { IO::Socket::INET->new( LocalAddr => '127.0.0.1', Listen => 1 ) // die "no port: $!" }
    1 .. 3;
my %port = map { $_ => shift(@free)->sockport } qw(port.cpanel port.whm port.webmail);

sub write_file { return Test::Cpanel::LogMeIn->write_file(@_) }

sub append {
    my ( $path, $text ) = @_;
    open my $file, '>>', $path or die "$path: $!";
    print {$file} $text;
    close $file or die "$path: $!";
    return;
}

# A store as a login leaves it, made once: commits take longer than all else.
my $template;

sub copy_store {
    my ($site) = @_;
    mkdir "$site->{dir}/store", oct 700 or die $!;
    for my $name (qw(data.mdb key)) {
        copy( "$template->{dir}/store/$name", "$site->{dir}/store/$name" ) or die $!;
        chmod oct 600, "$site->{dir}/store/$name";
    }
    append( "$site->{dir}/log", q{} );
    chmod oct 600, "$site->{dir}/log";
    return;
}

sub sound_site {
    my (%more) = @_;
    my $site = Test::Cpanel::LogMeIn->new(
        accounts => { alice   => 'secret', 'info@alice.example' => 'mail' },
        settings => { backend => 'auto',   %port },
        %more
    );
    chmod oct 755, $site->dir;    # mode 0700 would hide the faults of what is inside
    if ( $template && !%more ) {
        copy_store($site);
        return $site;
    }
    ( $site->login )[0] or die "no login: $Cpanel::LogMeIn::detail";
    $site->forget;
    return $site;
}

# Runs the doctor in a process of its own; returns its exit status and what it prints.
sub doctor {
    my (%option) = @_;
    my $before   = delete $option{before};
    my $out      = Test::Cpanel::LogMeIn::in_child(
        sub {
            open STDERR, '>', '/dev/null' or die $!;
            $before->() if $before;
            local $ENV{LOGMEIN_CONF} = delete $option{config} // $ENV{LOGMEIN_CONF};
            my $status =
                eval { Cpanel::LogMeIn::Command::Doctor->run( q{}, \%option ) } // "died: $@";
            return "\n$status";
        }
    );
    my ( $printed, $status ) = $out =~ /\A(.*)\n(.*?)\n?\z/s;
    return ( $status, $printed );
}

# The names of the findings; "*2" behind one that is there twice.
sub names_in {
    my ($json) = @_;
    my %count;
    $count{ $_->{name} }++ for @{ decode_json($json) };
    return join q{ }, map { $count{$_} > 1 ? "$_*$count{$_}" : $_ } sort keys %count;
}

# What the faults need.

sub key_of   { my ($site) = @_; return $site->dir . '/store/key' }
sub data_of  { my ($site) = @_; return $site->dir . '/store/data.mdb' }
sub shadow   { my ($site) = @_; return $site->path('etc/shadow') }
sub settings { my ( $site, @changes ) = @_; $site->settings(@changes); return }

# A socket for the gateway, in a folder of its own.
sub socket_of {
    my ( $site, $mode, $listen ) = @_;
    my $folder = $site->dir . '/run';
    mkdir $folder, oct 755 or die "$folder: $!";
    settings( $site, gateway_socket => "$folder/gateway.sock" );
    my $socket = IO::Socket::UNIX->new( Local => "$folder/gateway.sock", Listen => $listen // 5 )
        or die "socket: $!";
    chmod $mode, "$folder/gateway.sock" or die $!;
    $site->{test_socket} = $socket;
    return "$folder/gateway.sock";
}

sub volatile { my ($site) = @_; return $site->dir . '/store/volatile' }

# A program of another kind listens at the port, until the site is gone.
sub take {
    my ( $site, $port ) = @_;
    my $code = 'my $s = IO::Socket::INET->new( LocalAddr => q{127.0.0.1}, LocalPort => shift,'
        . 'Listen => 1, ReuseAddr => 1 ) or die; $| = 1; print qq{ready\n}; sleep 600';
    local $ENV{PERL5LIB} = q{};    # it may name folders that a user can't read
    $site->{test_pid} = open( my $out, '-|', $^X, '-MIO::Socket::INET', '-e', $code, $port )
        or die "perl: $!";
    readline $out;
    $site->{test_out} = $out;
    return;
}

# A certificate and its key, with more than 30 days to go.
sub certificate_of {
    my ( $site,        %more ) = @_;
    my ( $file,        $key )  = map { $site->dir . "/$_.pem" } qw(cert key);
    my ( $certificate, $made ) = IO::Socket::SSL::Utils::CERT_create(
        subject         => { commonName => 'alice.example' },
        subjectAltNames => [ [ DNS => 'alice.example' ] ],
        not_after       => time + 90 * $DAY,
        %more
    );
    IO::Socket::SSL::Utils::PEM_cert2file( $certificate, $file );
    IO::Socket::SSL::Utils::PEM_key2file( $made, $key );
    chmod oct 600, $key;
    return ( cert => $file, key => $key );
}

# A folder of fail2ban's configuration, with this jail.
sub jail_of {
    my ( $site, $jail ) = @_;
    my $folder = $site->dir . '/fail2ban';
    write_file( "$folder/fail2ban.conf",
        "[Definition]\nloglevel = INFO\nlogtarget = STDERR\ndbfile = None\n" );
    write_file( "$folder/jail.conf", "[DEFAULT]\n" );
    write_file( "$folder/jail.d/logmein.conf",
        "[logmein]\nenabled = true\nfilter = logmein\n$jail" );
    write_file( "$folder/filter.d/logmein.conf", "[Definition]\nfailregex = ^x <ADDR>\n" );
    return ( fail2ban => $folder );
}

sub give {
    my (@paths) = @_;
    chown( $NOBODY, $NOBODY, @paths ) == @paths or die "chown: $!";
    return;
}

# Each fault: its name, how it is planted, which returns options of the doctor, and what
# it needs: root, nobody, ssl, fail2ban, or a condition.
my @FAULTS = (

    # Settings
    [ 'settings.invalid' => sub { append( $_[0]->conf, "colour = blue\n" ) } ],
    [
        join( q{ },
            map { "settings.$_" }
                qw(callers insecure page-logo ports proxies proxies-all remote-ca-file test) ) =>
            sub {
            settings(
                $_[0],
                insecure_remote_skip_verify => 'yes',
                page_logo                   => '/nowhere/x',
                'port.whm'                  => $port{'port.cpanel'},
                remote_ca_file              => '/nowhere/x',
                socket_callers              => 'root no-such',
                test_fault                  => 'slow',
                trusted_proxies             => '0.0.0.0/0 192.0.2.0/33',
            );
        }
    ],
    [ 'settings.test' => sub { settings( $_[0], test_clock => time ) } ],

    # The account files
    [ 'site.root' => sub { settings( $_[0], site_root => '/nowhere', domains => 'a.example' ) } ],
    [
        'site.passwd-missing site.shadow-missing' => sub {
            unlink map { $_[0]->path("etc/$_") } qw(passwd shadow);
        }
    ],
    [
        'site.localdomains-unsafe site.mailbox-unsafe site.resellers-unsafe site.shells-unsafe' =>
            sub {
            chmod oct 666, $_[0]->mail_shadow('alice.example'),
                map { $_[0]->path($_) } qw(etc/localdomains etc/shells var/cpanel/resellers);
        }
    ],
    [ 'site.shadow-unreadable' => sub { chmod 0, shadow( $_[0] ) }, 'nobody' ],
    [
        'site.passwd-unsafe site.shadow-unsafe' =>
            sub { chmod oct 660, $_[0]->path('etc/passwd'), shadow( $_[0] ) }
    ],
    [ 'site.userdomains-unsafe' => sub { chmod oct 666, $_[0]->path('etc/userdomains') } ],
    [
        'site.domain-owner site.line*7 site.twice' => sub {
            append( $_[0]->path('etc/passwd'), "x:x:x\n" );
            append( shadow( $_[0] ),           "x:*:x\nalice:*:::::::\n" );
            append( $_[0]->path('etc/userdomains'),
                "a.example\nA.example: alice\nb.example: bob\n" );
            append( $_[0]->path('etc/localdomains'),     "host.example \n" );
            append( $_[0]->path('var/cpanel/resellers'), "alice\n" );
            append( $_[0]->mail_shadow('alice.example'), "x:*:x\n" );
        }
    ],
    [
        'site.line*32 site.more' => sub {
            append( shadow( $_[0] ), join q{}, map { "u$_:*\n" } 1 .. 40 );
        }
    ],
    [
        'hashes.cost hashes.form hashes.mixed hashes.scheme' => sub {
            $_[0]->account( des  => { hash => 'abJnggxhB/yWI' } );
            $_[0]->account( slow => { hash => '$6$rounds=900000$salt$' . 'x' x 86 } );
            $_[0]->account( odd  => { hash => '$5$rounds=1000$salt$x' } );
        }
    ],
    [
        'hashes.mixed' => sub {
            my $hash = Cpanel::LogMeIn::hash_password( 'secret', '$6$', 1000 );
            $_[0]->account( bob => { hash => $hash } );
        }
    ],
    [
        'hashes.cost' => sub {
            my $hash = Cpanel::LogMeIn::hash_password( 'mail', '$5$', 125_001 );
            $_[0]->account( 'info@alice.example' => { hash => $hash } );
        }
    ],
    [ 'accounts.no-users'         => sub { unlink glob $_[0]->path('var/cpanel/users/*') } ],
    [ 'accounts.users-unreadable' => sub { chmod 0, $_[0]->path('var/cpanel/users') }, 'nobody' ],
    [
        'accounts.none' => sub {
            write_file( $_[0]->path('etc/shells'), "/bin/other\n" );
            settings( $_[0], accounts => 'passwd' );
        }
    ],

    # Names
    [ 'names.unknown' => sub { return host => ['panel.example'] } ],
    [ 'names.none'    => sub { settings( $_[0], site_hostnames => 'no' ) }, hostname() !~ /[.]/ ],
    [
        'names.undecided site.userdomains-unreadable' => sub {
            chmod 0, $_[0]->path('etc/userdomains');
            return host => ['panel.example'];
        },
        'nobody'
    ],

    # The log
    [ 'log.file' => sub { settings( $_[0], log => 'file:/nowhere/log' ) } ],
    [
        'log.file' => sub {
            symlink '/dev/full', "$_[0]{dir}/full";
            settings( $_[0], log => "file:$_[0]{dir}/full" );
        }
    ],
    [ 'log.none' => sub { settings( $_[0], log => 'none' ) } ],
    [
        'log.folder-mode log.mode' => sub {
            chmod oct 644, "$_[0]{dir}/log";
            chmod oct 777, $_[0]->dir;
            settings( $_[0], gateway_socket => '/nowhere/g' );
        }
    ],
    [ 'log.syslog' => sub { settings( $_[0], log => 'syslog' ) }, !-e '/dev/log' ],
    [
        'log.stderr' => sub {
            settings( $_[0], log => 'stderr' );
            return before => sub { open STDERR, '<', '/dev/null' or die $! };
        }
    ],
    [
        'log.owner' => sub {
            give( map { ( $_, glob "$_/*" ) } "$_[0]{dir}/store" );
        },
        'root'
    ],

    # The store and its key
    [ 'store.mode' => sub { chmod oct 755, "$_[0]{dir}/store" } ],
    [
        'store.owner' => sub {
            settings( $_[0], store => 'lmdb:/usr', gateway_socket => '/nowhere/g' );
        },
        'nobody'
    ],
    [ 'store.owner'      => sub { settings( $_[0], store => 'lmdb:/usr/none/store' ) }, 'nobody' ],
    [ 'store.no-folder'  => sub { settings( $_[0], store => 'lmdb:/nowhere/none/store' ) } ],
    [ 'store.no-folder'  => sub { settings( $_[0], store => 'lmdb:' . $_[0]->conf ) } ],
    [ 'store.damaged'    => sub { write_file( data_of( $_[0] ), 'x' x 8192, oct 600 ) } ],
    [ 'store.file-mode'  => sub { chmod oct 644, data_of( $_[0] ) } ],
    [ 'store.file-kind'  => sub { unlink data_of( $_[0] ); mkdir data_of( $_[0] ) } ],
    [ 'store.links'      => sub { link data_of( $_[0] ), "$_[0]{dir}/x" } ],
    [ 'store.file-owner' => sub { give( data_of( $_[0] ) ) }, 'root' ],
    [ 'key.other'        => sub { write_file( key_of( $_[0] ), 'x' x 32, oct 600 ) } ],
    [ 'key.size'         => sub { write_file( key_of( $_[0] ), 'x' x 31, oct 600 ) } ],
    [ 'key.missing'      => sub { unlink key_of( $_[0] ) } ],
    [ 'key.mode'         => sub { chmod oct 640,        key_of( $_[0] ) } ],
    [ 'key.unusable'     => sub { chmod oct 660,        key_of( $_[0] ) } ],
    [ 'key.links'        => sub { link key_of( $_[0] ), "$_[0]{dir}/x" } ],
    [ 'key.owner'        => sub { give( key_of( $_[0] ) ) }, 'root' ],
    [ 'key.old-missing'  => sub { settings( $_[0], key_file_old => "$_[0]{dir}/none" ) } ],
    [ 'key.folder'       => sub { settings( $_[0], key_file     => '/nowhere/key' ) } ],
    [
        'volatile.mode' => sub {
            mkdir volatile( $_[0] );
            chmod oct 755, volatile( $_[0] );
        }
    ],
    [ 'volatile.kind' => sub { write_file( volatile( $_[0] ), 'x' ) } ],
    [ 'volatile.same' => sub { settings( $_[0], volatile_dir => "$_[0]{dir}/store" ) } ],
    [
        'volatile.owner' => sub { mkdir volatile( $_[0] ), oct 700; give( volatile( $_[0] ) ) },
        'root'
    ],

    # The clock
    [ 'clock.behind' => sub { settings( $_[0], test_clock => undef ) }, 1, clock => time + $DAY ],
    [
        'clock.ahead' => sub { settings( $_[0], test_clock => undef ) },
        1, clock => time - 400 * $DAY
    ],
    [ 'clock.past settings.test' => sub { settings( $_[0], test_clock => 1_000_000_000 ) } ],

    # The gateway's socket
    [ 'socket.kind' => sub { write_file( "$_[0]{dir}/gateway.sock", 'x' ) } ],
    [ 'socket.dead' => sub { socket_of( $_[0], oct 666 ); close $_[0]{test_socket} } ],
    [ 'socket.mode' => sub { socket_of( $_[0], oct 600 ) } ],
    [ 'socket.denied socket.mode' => sub { socket_of( $_[0], 0 ) }, 'nobody' ],
    [
        'socket.folder-mode' => sub { socket_of( $_[0], oct 666 ); chmod oct 775, "$_[0]{dir}/run" }
    ],
    [
        'socket.folder-owner socket.owner' =>
            sub { give( socket_of( $_[0], oct 666 ), "$_[0]{dir}/run" ) },
        'root'
    ],

    # The ports
    [ 'ports.taken' => sub { take( $_[0], $port{'port.whm'} ); return } ],

    # The certificate
    [ 'certificate.unreadable' => sub { return cert => '/nowhere/x' }, 'ssl' ],
    [ 'certificate.unreadable' => sub { return cert => $_[0]->conf },  'ssl' ],
    [
        'certificate.expired' => sub {
            return certificate_of( $_[0], not_before => time - 2 * $DAY, not_after => time - $DAY );
        },
        'ssl'
    ],
    [
        'certificate.expires' => sub { certificate_of( $_[0], not_after => time + 29 * $DAY ) },
        'ssl'
    ],
    [ 'certificate.not-yet' => sub { certificate_of( $_[0], not_before => time + $DAY ) }, 'ssl' ],
    [
        'certificate.name' => sub {
            settings( $_[0], domains => 'panel.example' );
            return certificate_of( $_[0] );
        },
        'ssl'
    ],
    [
        'certificate.unknown-name' => sub {
            return certificate_of( $_[0],
                subjectAltNames => [ map { [ DNS => $_ ] } 'alice.example', 'panel.example' ] );
        },
        'ssl'
    ],
    [
        'certificate.key-unreadable' =>
            sub { return ( certificate_of( $_[0] ), key => '/nowhere/x' ) },
        'ssl'
    ],
    [
        'certificate.key-mode certificate.key-other' => sub {
            my %file = certificate_of( $_[0] );
            IO::Socket::SSL::Utils::PEM_key2file(
                IO::Socket::SSL::Utils::KEY_create_ec('prime256v1'),
                $file{key} );
            chmod oct 644, $file{key};
            return %file;
        },
        'ssl'
    ],

    # fail2ban
    [ 'fail2ban.no-jail' => sub { jail_of( $_[0], "logpath = /nowhere/log\n" ) }, 'fail2ban' ],
    [
        'fail2ban.other-log' => sub { jail_of( $_[0], 'logpath = ' . $_[0]->conf . "\n" ) },
        'fail2ban'
    ],
    [ 'fail2ban.other-log' => sub { jail_of( $_[0], "backend = systemd\n" ) }, 'fail2ban' ],
    [
        'fail2ban.no-journal' => sub {
            settings( $_[0], log => 'stderr' );
            return jail_of( $_[0], "backend = systemd\n" );
        },
        $is_installed{fail2ban} && !-e '/run/systemd/journal/socket'
    ],
);

# What is sound, in the same form.
my @SOUND = (
    [ 'as it is'               => sub { } ],
    [ 'before the first login' => sub { settings( $_[0], store => "lmdb:$_[0]{dir}/new" ) } ],
    [
        'an empty store' => sub {
            mkdir "$_[0]{dir}/new", oct 700;
            settings( $_[0], store => "lmdb:$_[0]{dir}/new" );
        }
    ],
    [
        'a locked account' =>
            sub { $_[0]->account( bob => { password => 'x', locked => 1 } ); return }
    ],
    [ 'a gateway' => sub { socket_of( $_[0], oct 666 ); return } ],
    [
        'no rights, but a gateway' => sub {
            socket_of( $_[0], oct 666 );
            chmod 0, shadow( $_[0] );
            return;
        },
        'nobody'
    ],
    [ 'known names'   => sub { return host => [ 'localhost', 'www.alice.example' ] } ],
    [ 'a certificate' => sub { return certificate_of( $_[0] ) }, 'ssl' ],
    [ 'log = stderr'  => sub { settings( $_[0], log => 'stderr' ) } ],
    [ 'a jail'        => sub { jail_of( $_[0], "logpath = $_[0]{dir}/log\n" ) }, 'fail2ban' ],
    [ 'proxies'       => sub { settings( $_[0], trusted_proxies => '192.0.2.1 2001:db8::/32' ) } ],
);

sub applies {
    my ($need) = @_;
    return 1                    if !defined $need || $need eq '1';
    return $< == 0              if $need eq 'root';
    return $< != 0              if $need eq 'nobody';
    return $is_installed{$need} if exists $is_installed{$need};
    return;
}

# Runs them all as the current user. Lines: expected, found, the exit status.
sub results {
    my @lines;
    $template = undef;
    $template = sound_site();
    for my $case ( @FAULTS, map { [ q{}, @{$_}[ 1 .. $#{$_} ] ] } @SOUND ) {
        my ( $names, $plant, $need, @more ) = @{$case};
        if ( !applies($need) ) {
            push @lines, "skipped\t$names\n";
            next;
        }
        my $site     = sound_site(@more);
        my @returned = $plant->($site);
        my %option =
            ( $returned[0] // q{} ) =~ /\A(?:before|cert|fail2ban|host|key)\z/ ? @returned : ();
        my ( $status, $json ) = doctor( fail2ban => '/nowhere', %option, json => 1 );
        my $found   = eval { names_in($json) } // "no JSON: $json$@" =~ tr/\n/ /r;
        my $secrets = $json =~ /[\$][56][\$]|:"secret|abJngg/ ? 'secrets' : q{};
        push @lines, join( "\t", $names, $found, $status, $secrets ) . "\n";
        kill TERM => $site->{test_pid} if $site->{test_pid};
        close $site->{test_out} if $site->{test_out};
        chmod oct 700, $site->path('var/cpanel/users');
    }
    return @lines;
}

sub check {
    my ( $who, @lines ) = @_;
    is( scalar @lines, @FAULTS + @SOUND, "$who: every case has run" );
    my $count = 0;
    for my $line (@lines) {
        my ( $names, $found, $status, $secrets ) = split /\t/, $line =~ s/\n\z//r, -1;
        next if $names eq 'skipped';
        is( $found, $names, "$who: " . ( length $names ? "found: $names" : 'sound' ) );
        is( "$status $secrets", ( length $names ? '1 ' : '0 ' ), '... the status; no secret' );
        $count += split q{ }, $names;
    }
    cmp_ok( $count, '>=', 30, "$who: $count faults" );
    return;
}

check( $< == 0 ? 'root' : 'a user', results() );
if ( $< == 0 ) {
    my $lines = Test::Cpanel::LogMeIn::in_child(
        sub {
            local $) = "$NOBODY $NOBODY";
            POSIX::setgid($NOBODY);
            POSIX::setuid($NOBODY);
            return $< == $NOBODY ? results() : ();
        }
    );
    check( 'a user', $lines =~ /(.*\n)/g );
}

# The command
my $site  = sound_site();
my $clock = Cpanel::LogMeIn::Session->can('_store_report')->( Cpanel::LogMeIn::Session->new );
cmp_ok( abs( $clock->{clock} - time ), '<', 600, 'the first commit of a store notes the clock' );

sub logmein {
    my ( $arguments, $before ) = @_;
    $before //= q{};
    my $out = `$before $^X -Mblib blib/script/logmein doctor $arguments 2>&1 </dev/null`;
    return ( $? >> 8, $out );
}
my $conf = $site->conf;
my $bad  = $site->dir . '/bad.conf';
write_file( $bad, "log = none\nlog = none\n" );
for my $case (
    [ '--fail2ban /x',             0, qr/\ANothing wrong was found[.]\n\z/ ],
    [ '--fail2ban /x --quiet',     0, qr/\A\z/ ],
    [ '--fail2ban /x --json',      0, qr/\A\[\]\n\z/ ],
    [ '--fail2ban /x -v',          0, qr/^sound: the store and its key:\s.*^Nothing/ms ],
    [ "--config $conf --host a.b", 1, qr/\Aerror names[.]unknown\n    a[.]b: is no known name/ ],
    [ "--config $bad",             1, qr/\Aerror settings[.]invalid\n.*line 2, log:\s+is there/ ],
    [ "--config $bad -q",          1, qr/\A\z/ ],
    [ '--config /nowhere/x',       3, qr{\Alogmein: /nowhere/x: No such file} ],
    [ '--key x',                   2, qr/--key requires --cert/ ],
    [ 'extra',                     2, qr/Unexpected argument 'extra'/ ],
    )
{
    my ( $arguments, $status, $text ) = @{$case};
    my ( $got, $out ) = logmein($arguments);
    is( $got, $status, "logmein doctor $arguments: $status" );
    like( $out, $text, '... with its text' );
}

# What is printed
my @host = ( '--fail2ban /x', map { "--host $_.example" } qw(a b) );
for my $columns ( 40, 72 ) {
    my ( undef, $out ) = logmein( "@host", "COLUMNS=$columns" );
    my @wide = grep { length > $columns } split /\n/, $out;
    is_deeply( \@wide, [], "$columns columns are enough" );
    like( $out, qr/^Errors: 2, warnings: 0$/m, '... and the findings are counted' );
}
my ( undef, $json ) = logmein("@host --json");
is_deeply(
    decode_json($json)->[1],
    {
        name  => 'names.unknown',
        level => 'error',
        place => 'b.example',
        text  => 'is no known name of this machine: DNS is asked for it, and the password is sent'
            . ' there',
        remedy => 'add it to the setting domains',
    },
    'a finding as JSON'
);
SKIP: {
    skip 'there is no terminal', 3 if !has_terminal();
    my $command = "$^X -Mblib blib/script/logmein doctor @host";
    my $out     = `TERM=xterm script -qec '$command' /dev/null </dev/null`;
    like( $out, qr/\e\[31merror\e\[0m/, 'in colours, at a terminal' );
    $out = `TERM=xterm NO_COLOR=1 script -qec '$command' /dev/null </dev/null`;
    like( $out, qr/^error names/m, '... but not with NO_COLOR' );
    unlike( $out, qr/\e/, '... at all' );
}

# As the user of the gateway, who may read all files, and owns nothing but the store
SKIP: {
    my $as = "setpriv --reuid=$NOBODY --regid=$NOBODY --clear-groups";
    skip 'only root, with setpriv, becomes the user of the gateway', 4
        if $< != 0 || system("$as $^X -Mblib -e 1 >/dev/null 2>&1") != 0;
    give( map { ( $_, glob "$_/*" ) } $site->dir . '/store', $site->dir . '/log' );
    my ( $status, $out ) = logmein( '--fail2ban /x', $as );
    is( $status, 1, 'the user of the gateway, without a capability' );
    like( $out, qr/\Aerror site[.]shadow-unreadable\n/, '... may not read the site' );
    ( $status, $out ) = logmein( '--fail2ban /x',
        "$as --inh-caps=+dac_read_search --ambient-caps=+dac_read_search" );
    is( $status, 0, 'with CAP_DAC_READ_SEARCH' );
    like( $out, qr/\ANothing wrong/, '... all is sound' );
}

# A file system with little space, and one that can't be written
SKIP: {
    my $in = 'unshare -m sh -c';
    skip 'only root may mount', 2 if $< != 0 || system("$in true >/dev/null 2>&1") != 0;
    my ( $whole, $small ) = ( sound_site(), sound_site() );
    my $mount = "mount -t tmpfs -o size=8m,mode=700 none $small->{dir}/store"
        . " && cp -p $whole->{dir}/store/* $small->{dir}/store";
    my $look = "$^X -Mblib blib/script/logmein doctor --fail2ban /x --json";
    local $ENV{LOGMEIN_CONF} = $small->conf;
    is( names_in( scalar `$in '$mount && $look'` ), 'store.space', 'little space is found' );
    my $again = "$mount && $look --quiet; mount -o remount,ro $small->{dir}/store";
    is( names_in( scalar `$in '$again && $look'` ),
        'store.read-only', 'so is a read-only file system' );
}
done_testing();
