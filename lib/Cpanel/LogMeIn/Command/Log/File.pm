package Cpanel::LogMeIn::Command::Log::File;

use strict;
use warnings;
use Fcntl       qw(SEEK_END SEEK_SET);
use Time::HiRes ();

our $VERSION = '0.01';

my $BLOCK   = 65_536;
my $LONGEST = 65_536;    # bytes of a line that is shown
my $PAUSE   = 0.2;       # seconds

sub new {
    my ( $class, $path ) = @_;
    my $self = bless { path => $path, rest => q{} }, $class;
    $self->_open or die "$path: $!\n";
    return $self;
}

sub _open {
    my ($self) = @_;
    open my $file, '<:raw', $self->{path} or return 0;
    $self->{file} = $file;
    $self->{at}   = 0;
    return 1;
}

sub _read_at {
    my ( $self, $from, $size ) = @_;
    seek $self->{file}, $from, SEEK_SET or die "$self->{path}: $!\n";
    my $got = read( $self->{file}, my $bytes, $size );
    die "$self->{path}: $!\n" if !defined $got;
    return $bytes;
}

# Calls a function with each line, the last one first, until it returns false. What is
# written from now on is for follow().
sub backwards {
    my ( $self, $take ) = @_;
    my $at   = $self->{at} = -s $self->{file};
    my $rest = q{};
    while ( $at > 0 ) {
        my $size = $at < $BLOCK ? $at : $BLOCK;
        $at -= $size;
        my @lines = split /\n/, $self->_read_at( $at, $size ) . $rest, -1;

        # What is behind the last line feed is a line that is still being written.
        $self->{rest} = pop @lines if $at + $size == $self->{at};
        $rest         = $at > 0 && @lines ? shift @lines : q{};
        $rest         = substr $rest, -$LONGEST if length $rest > $LONGEST;
        while (@lines) { $take->( pop @lines ) or return }
    }
    return;
}

# Calls a function with each line that is added, for ever; a file that takes the place of
# this one is read from its beginning.
sub follow {
    my ( $self, $take ) = @_;
    while (1) {
        $self->_read_on($take);
        Time::HiRes::sleep($PAUSE);
        my @here  = stat $self->{file};
        my @there = stat $self->{path} or next;
        my $same  = "@here[0, 1]" eq "@there[0, 1]";
        next                   if $same && $there[7] >= $self->{at};
        $self->_read_on($take) if !$same;
        $self->{rest} = q{};
        $self->_open;
    }
    return;
}

sub _read_on {
    my ( $self, $take ) = @_;
    while ( length( my $bytes = $self->_read_at( $self->{at}, $BLOCK ) ) ) {
        $self->{at} += length $bytes;
        my @lines = split /\n/, $self->{rest} . $bytes, -1;
        $self->{rest} = pop @lines // q{};
        $self->{rest} = substr $self->{rest}, 0, $LONGEST if length $self->{rest} > $LONGEST;
        $take->($_) for @lines;
    }
    return;
}

1;

__END__

=head1 NAME

Cpanel::LogMeIn::Command::Log::File - the lines of a log, backwards and as they come

=head1 DESCRIPTION

Internal to L<logmein-log(8)>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
