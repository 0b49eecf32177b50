package DevLog;

# A /dev/log of the test's own. The test runs again in a private mount namespace, where
# /dev holds only what programs need, and what the test puts there. Needs root.

use strict;
use warnings;
use Carp             qw(croak);
use File::Temp       qw(tempdir);
use IO::Select       ();
use IO::Socket::UNIX ();
use Socket           qw(SOCK_DGRAM);

my $PATH  = '/dev/log';
my $NODES = 'null zero full random urandom tty';

my $SCRIPT = <<"SH";
set -e
mount -t tmpfs none "\$1"
for node in $NODES; do
    : >"\$1/\$node"
    mount --bind "/dev/\$node" "\$1/\$node"
done
mkdir "\$1/shm"
test ! -d /dev/shm || mount --rbind /dev/shm "\$1/shm"
ln -s /proc/self/fd "\$1/fd"
mount --rbind "\$1" /dev
shift
exec "\$@"
SH

# True in the namespace; otherwise the script begins again there, or, if that is not
# possible, false.
sub enter {
    return 1 if $ENV{LOGMEIN_DEV};
    return   if $< != 0 || system('unshare -m true >/dev/null 2>&1') != 0;
    my $folder = tempdir( 'logmein-dev-XXXXXX', TMPDIR => 1, CLEANUP => 1 );
    local $ENV{LOGMEIN_DEV} = 1;
    my @command = ( $^X, ( map { "-I$_" } grep { !ref } @INC ), $0 );
    my $status  = system 'unshare', '-m', 'sh', '-c', $SCRIPT, 'sh', $folder, @command;
    exit( $status >> 8 || ( $status ? 1 : 0 ) );
}

# What a syslog daemon would receive.
sub open {    ## no critic (ProhibitBuiltinHomonyms)
    my ($class) = @_;
    unlink $PATH;
    my $socket = IO::Socket::UNIX->new( Type => SOCK_DGRAM, Local => $PATH ) // croak "$PATH: $!";
    chmod oct 666, $PATH or croak "$PATH: $!";
    return bless { socket => $socket }, $class;
}

# What takes no datagrams.
sub stream { return IO::Socket::UNIX->new( Local => $PATH, Listen => 1 ) // croak "$PATH: $!" }

# Leaves no room for another datagram.
sub fill {
    my $client = IO::Socket::UNIX->new( Type => SOCK_DGRAM, Peer => $PATH ) // croak "$PATH: $!";
    $client->blocking(0);
    1 while $client->send('<86>filled');
    return;
}

# The datagrams that have arrived.
sub heard {
    my ($self) = @_;
    my ( @lines, $line );
    push @lines, $line
        while IO::Select->new( $self->{socket} )->can_read(0.2)
        && defined $self->{socket}->recv( $line, 8192 );
    return @lines;
}

1;
