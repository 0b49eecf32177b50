package Program;

# A program that a test has started: it ends with its object, in the process
# that made it. A class for others to stand on; {pid} and {owner} are its own.

use strict;
use warnings;

sub signal { my ( $self, $name ) = @_; return kill $name => $self->{pid} }

# Tells it to stop; its wait status.
sub stop {
    my ( $self, $signal ) = @_;
    my $pid = delete $self->{pid} // return;
    local $? = 0;
    kill $signal // 'TERM' => $pid;
    waitpid $pid, 0;
    return $?;
}

sub DESTROY {
    my ($self) = @_;
    $self->stop if $self->{owner} == $$;
    return;
}

1;
