package Plack::App::LogMeIn::Slots;

use strict;
use warnings;
use Fcntl       qw(LOCK_EX LOCK_NB LOCK_SH O_CREAT O_NOFOLLOW O_RDWR);
use POSIX       ();
use Time::HiRes ();

our $VERSION = '0.01';

# _SC_NPROCESSORS_ONLN of glibc and musl, which POSIX does not export.
my $SC_NPROCESSORS_ONLN = 84;

my $POLL_INTERVAL = 0.02;    # seconds

# Limits the number of parallel jobs of all processes that use the folder: each job
# holds the lock of one file.
sub new {
    my ( $class, $folder, $count ) = @_;
    $count ||= POSIX::sysconf($SC_NPROCESSORS_ONLN) || 1;
    return bless { folder => $folder, count => $count }, $class;
}

# Returns a slot, which is released when the value is destroyed; undef if none
# becomes free in the given number of seconds. Dies if the folder can't be used.
sub take {
    my ( $self, $timeout ) = @_;
    my $until = Time::HiRes::time() + $timeout;
    while (1) {
        my $slot = $self->take_now;
        return $slot if $slot;
        return       if Time::HiRes::time() >= $until;
        Time::HiRes::sleep($POLL_INTERVAL);
    }
    return;
}

# The same without waiting. If another process has asked to be let go first, only
# those with precedence get a slot.
sub take_now {
    my ( $self, $precedence ) = @_;
    return if !$precedence && $self->_others_go_first;
    for my $number ( 1 .. $self->{count} ) {
        my $slot = $self->_open("login-slot.$number");
        return $slot if flock $slot, LOCK_EX | LOCK_NB;
    }
    return;
}

# With a false value: somebody with precedence waits here, and others give way.
sub give_way {
    my ( $self, $willing ) = @_;
    return delete $self->{precedence} if $willing;
    $self->{precedence} //= do {
        my $file = $self->_open('login-first');
        flock $file, LOCK_SH;
        $file;
    };
    return;
}

sub _others_go_first {
    my ($self) = @_;
    return if $self->{precedence};
    return !flock $self->_open('login-first'), LOCK_EX | LOCK_NB;
}

# If root creates the file, the folder's owner must still be able to use it.
sub _open {
    my ( $self, $name ) = @_;
    my $path = "$self->{folder}/$name";
    sysopen my $file, $path, O_RDWR | O_CREAT | O_NOFOLLOW, oct 600
        or die "$path: $!\n";
    my $owner = ( stat $self->{folder} )[4];
    chown $owner, -1, $file if defined $owner && $> == 0 && ( stat $file )[4] != $owner;
    return $file;
}

1;

__END__

=head1 NAME

Plack::App::LogMeIn::Slots - limit the number of parallel password hashes

=head1 DESCRIPTION

Internal to L<Plack::App::LogMeIn>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
