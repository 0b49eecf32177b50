package Plack::App::LogMeIn::Slots;

use strict;
use warnings;
use Fcntl       qw(LOCK_EX LOCK_NB O_CREAT O_NOFOLLOW O_RDWR);
use POSIX       ();
use Time::HiRes ();

our $VERSION = '0.01';

# How many processors are there; the number is glibc's and musl's.
my $SC_NPROCESSORS_ONLN = 84;

my $LOOK_AGAIN = 0.02;    # seconds

# At most so many jobs at once, over all processes that use the folder: each
# holds the lock of one file.
sub new {
    my ( $class, $folder, $count ) = @_;
    $count ||= POSIX::sysconf($SC_NPROCESSORS_ONLN) || 1;
    return bless { folder => $folder, count => $count }, $class;
}

# A slot, which is free again when the value goes; undef if there was none for
# so many seconds. Dies if the folder is not in order.
sub take {
    my ( $self, $patience ) = @_;
    my $until = Time::HiRes::time() + $patience;
    while (1) {
        for my $number ( 1 .. $self->{count} ) {
            my $slot = $self->_open("$self->{folder}/login-slot.$number");
            return $slot if flock $slot, LOCK_EX | LOCK_NB;
        }
        return if Time::HiRes::time() >= $until;
        Time::HiRes::sleep($LOOK_AGAIN);
    }
    return;
}

# Made by root, it must stay usable for the folder's owner.
sub _open {
    my ( $self, $path ) = @_;
    sysopen my $file, $path, O_RDWR | O_CREAT | O_NOFOLLOW, oct 600
        or die "$path: $!\n";
    my $owner = ( stat $self->{folder} )[4];
    chown $owner, -1, $file if defined $owner && $> == 0 && ( stat $file )[4] != $owner;
    return $file;
}

1;

__END__

=head1 NAME

Plack::App::LogMeIn::Slots - no more password hashes at once than processors

=head1 DESCRIPTION

Internal to L<Plack::App::LogMeIn>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
