package Program;

# A program that a test has started: it is stopped when the object is destroyed, in
# the process that created it. A base class; {pid} and {owner} belong to it.

use strict;
use warnings;

sub signal { my ( $self, $name ) = @_; return kill $name => $self->{pid} }

# Stops it; returns its wait status.
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
