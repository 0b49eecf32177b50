package Unit;

# The gateway as examples/systemd/logmein.service starts it: its command, its user's
# rights, and a file system of which it may write its own folders only. Call
# DevLog::enter() first: everything happens in a mount namespace of the test's own.

use strict;
use warnings;
use lib        qw(t/lib xt/lib);
use Author     qw(has_program read_file run);
use Carp       qw(croak);
use Cwd        qw(getcwd);
use IO::Select ();
use Serve      qw(request);

my $UNIT = 'examples/systemd/logmein.service';
my $USER = 'nobody';

# Why this can't be done here.
sub lacking {
    return 'only root can become the service user' if $< != 0;
    my ($program) = grep { !has_program($_) } qw(setpriv unshare);
    return defined $program ? "$program is not installed" : undef;
}

# Empty folders in the place of the machine's, for this test alone.
sub hide {
    my (@folders) = @_;
    _mount( '-o mode=0755', $_ ) for @folders;
    return;
}

sub _mount {
    my ( $options, $folder ) = @_;
    my ( $status,  $out )    = run( '/', "mount -t tmpfs $options none '$folder'" );
    croak $out if $status != 0;
    return;
}

# What the unit names: settings, by key. A key may be there more than once.
sub settings_of {
    my ($text) = @_;
    my %setting;
    for my $line ( split /\n/, $text ) {
        my ( $key, $value ) = $line =~ /\A(\w+)=(.*)\z/ or next;
        push @{ $setting{$key} }, $value;
    }
    return \%setting;
}

# Makes the folders of the unit, seen by the gateway alone, and whatever the script
# wants; then becomes the user.
my $SCRIPT = <<'SH';
set -e
work=$1 checkout=$2 site=$3 socket=$4
mkdir -p "$work/tmp/$checkout" "$work/tmp/$site"
mount --bind "$checkout" "$work/tmp/$checkout"
mount --bind "$site" "$work/tmp/$site"
mount --bind "$work/run" /run/logmein
mount --bind "$work/state" /var/lib/logmein
mount --bind "$work/log" /var/log/logmein
test -z "$socket" || mount --bind "$socket" "$(readlink -f /dev/log)"
case $checkout$site in
/tmp/*) mount --rbind "$work/tmp/tmp" /tmp; chmod 1777 /tmp ;;
esac
mount -o remount,bind,ro /
cd "$checkout"
shift 4
exec "$@"
SH

# Starts it. Options: work, a new folder; site, a folder that it must see; conf, the
# text of its settings; app, what it protects; disk, the size of a disk for its log;
# socket, another one in the place of /dev/log; before, a command that runs its own.
sub start {
    my ( $class, %option ) = @_;
    my $unit    = settings_of( read_file($UNIT) );
    my $command = $unit->{ExecStart}[0] =~ s{\A\S*/logmein serve }{}r;
    my ( undef, undef, $uid, $gid ) = getpwnam $USER;
    my ($www) = map { scalar getgrnam $_ } @{ $unit->{SupplementaryGroups} };
    my $work = $option{work};
    mkdir $work       or croak "$work: $!";
    mkdir "$work/log" or croak "$work/log: $!";
    _mount( "-o size=$option{disk}", "$work/log" ) if defined $option{disk};

    for my $folder (
        [ run   => $unit->{RuntimeDirectoryMode}[0] ],
        [ state => $unit->{StateDirectoryMode}[0] ],
        [ log   => $unit->{LogsDirectoryMode}[0] ]
        )
    {
        my ( $name, $mode ) = @{$folder};
        -d "$work/$name" or mkdir "$work/$name" or croak "$work/$name: $!";
        chmod oct $mode, "$work/$name";
        chown $uid, $gid, "$work/$name";
    }
    for my $place (
        "/run/$unit->{RuntimeDirectory}[0]",
        "/var/lib/$unit->{StateDirectory}[0]",
        "/var/log/$unit->{LogsDirectory}[0]"
        )
    {
        -d $place or mkdir $place or croak "$place: $!";
    }
    my $caps = lc join q{,}, map { s/\ACAP_/+/r } @{ $unit->{AmbientCapabilities} };
    local $Serve::BEFORE = [
        'unshare',                  '-m',
        'sh',                       '-c',
        $SCRIPT,                    'sh',
        $work,                      getcwd(),
        $option{site},              $option{socket} // q{},
        @{ $option{before} // [] }, 'setpriv',
        "--reuid=$uid",             "--regid=$gid",
        "--groups=$gid,$www",       "--inh-caps=$caps",
        "--ambient-caps=$caps",     "--bounding-set=-all,$caps",
        $unit->{NoNewPrivileges}[0] eq 'yes' ? '--no-new-privs' : ()
    ];
    local $ENV{LOGMEIN_CONF} = "$work/conf";
    _write( "$work/conf", $option{conf} );
    my $server = Serve->new( split( q{ }, $command ),
        '--workers', 2, defined $option{app} ? ( '--app', $option{app} ) : () );
    my $disk = defined $option{disk} ? "$work/log" : undef;
    return bless { server => $server, front => "$work/run/front.sock", disk => $disk }, $class;
}

sub _write {
    my ( $path, $text ) = @_;
    open my $file, '>', $path or croak "$path: $!";
    print {$file} $text;
    close $file or croak "$path: $!";
    return;
}

# What the front server says of each request.
sub _fields {
    my ($address) = @_;
    return ( 'X-Forwarded-Proto: https', 'X-Forwarded-Port: 2083', "X-Forwarded-For: $address" );
}

# The answer to a login by form.
sub _login {
    my ( $self, $address, $pass ) = @_;
    return request( $self->{front}, 0, '/login/', "user=alice&pass=$pass", _fields($address) );
}

# Its status.
sub log_in {
    my ( $self, $address, $pass ) = @_;
    return $self->_login( $address, $pass )->{status};
}

# Logs in, and returns a function that opens the app's page.
sub session {
    my ( $self, $address ) = @_;
    my $header = $self->_login( $address, 'secret' )->{header};
    my ($cookie) = $header->{'set-cookie'} =~ /\A([^;]*)/;
    return sub {
        return request( $self->{front}, 0, $header->{location}, undef, _fields($address),
            "Cookie: $cookie" )->{body};
    };
}

# All that it has printed so far.
sub said {
    my ($self) = @_;
    my $server = $self->{server};
    my $select = IO::Select->new( $server->{out} );
    while ( $select->can_read(0) ) {
        last if !sysread $server->{out}, $server->{said}, 4096, length $server->{said};
    }
    return $server->{said};
}

sub stop {
    my ($self) = @_;
    my $status = $self->{server}->stop;
    run( '/', "umount '$self->{disk}'" ) if defined $self->{disk};
    return $status;
}

1;
