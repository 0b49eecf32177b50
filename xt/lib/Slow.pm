package Slow;

# Hostile clients: one process that holds many connections to a server, and uses
# little CPU. Connections that the server closes are opened again.

use strict;
use warnings;
use lib 't/lib';
use parent           qw(Program);
use Carp             qw(croak);
use IO::Select       ();
use JSON::PP         ();
use POSIX            ();
use Socket           qw(AF_UNIX PF_UNSPEC SOCK_STREAM);
use Slow::Connection ();
use Time::HiRes      qw(sleep time);

my $TICK   = 0.05;    # seconds
my $STARTS = 50;      # connections that are begun in a tick

# Raises the limit of open files of this process and of those that it starts; false if
# that is impossible.
sub may_open {
    my ($count) = @_;
    return
        system( "prlimit --pid $$ --nofile=$count:$count 2>/dev/null"
            . " || prlimit --pid $$ --nofile=$count: 2>/dev/null" ) == 0;
}

# Starts the clients: groups of them, each a hash.
#   kind     silent  sends nothing
#            hello   sends the first half of a TLS ClientHello
#            head    sends the head of a request, and a byte of it from time to time
#            body    sends a head, the beginning of a form, and a byte from time to time
#            unread  sends requests, and reads no answer
#            kept    sends requests from time to time, and reads their answers
#   count    number of connections
#   port     of 127.0.0.1
#   tls      true by default; not for silent and hello
#   from     addresses to connect from, a list; each connection takes the next one
#   target   of the requests; /login/ by default
#   fields   header fields, a list
#   length   of a body: the Content-Length (1,000 by default)
#   first    the number of its bytes that are sent at once (0)
#   every    seconds between two bytes (1) or two requests (0.5)
sub new {
    my ( $class, @groups ) = @_;
    my @connections;
    for my $group (@groups) {
        push @connections,
            map { Slow::Connection->new( %{$group}, number => $_ ) } 1 .. $group->{count};
    }
    socketpair my $mine, my $its, AF_UNIX, SOCK_STREAM, PF_UNSPEC or croak "socketpair: $!";
    my $pid = fork // croak "fork: $!";
    if ( !$pid ) {
        close $mine;
        local $SIG{PIPE} = 'IGNORE';
        local $SIG{TERM} = 'DEFAULT';
        eval { _run( $its, @connections ); 1 } or warn $@;
        POSIX::_exit(1);
    }
    close $its;
    return bless { pid => $pid, owner => $$, control => $mine, count => scalar @connections },
        $class;
}

# What has happened: for each kind a hash of
#   opened   connections that have been opened and have sent their first bytes
#   open     ... that are open now
#   first    clients that have had such a connection
#   closed   connections that the server has closed
#   answers  numbers of answers, by their status
sub report {
    my ($self) = @_;
    syswrite $self->{control}, "?\n" or croak "the hostile clients have ended: $!";
    my $line = readline $self->{control} // croak 'the hostile clients have ended';
    return JSON::PP::decode_json($line);
}

# Waits until each client has had an open connection; returns the number of those
# that have, also if that takes longer than the given seconds.
sub ready {
    my ( $self, $patience ) = @_;
    my $until = time + $patience;
    my $had   = 0;
    while (1) {
        $had = 0;
        $had += $_->{first} for values %{ $self->report };
        last if $had == $self->{count} || time > $until;
        sleep 0.1;
    }
    return $had;
}

# In the process of the clients.
sub _run {
    my ( $control, @connections ) = @_;
    while (1) {
        my ( $now, $starts ) = ( time, $STARTS );
        for my $connection (@connections) {
            next if $connection->{due} > $now;
            next if !$connection->{socket} && $starts-- <= 0;
            $connection->act($now);
        }
        my $bits = q{};
        vec( $bits, fileno $control, 1 ) = 1;
        my %at = map { $_->{fd} => $_ } grep { $_->{listens} } @connections;
        vec( $bits, $_, 1 ) = 1 for keys %at;
        my $count = select $bits, undef, undef, $TICK;
        next if $count <= 0;
        _answer( $control, @connections ) if vec $bits, fileno $control, 1;
        $at{$_}->hear for grep { vec $bits, $_, 1 } keys %at;
    }
    return;
}

sub _answer {
    my ( $control, @connections ) = @_;
    POSIX::_exit(0) if !sysread $control, my $line, 100;
    my %of;
    for my $connection (@connections) {
        my $count = $of{ $connection->{kind} } //=
            { open => 0, opened => 0, first => 0, closed => 0, answers => {} };
        $count->{open}++  if $connection->{state} eq 'open';
        $count->{first}++ if $connection->{opened};
        $count->{$_} += $connection->{$_} for qw(opened closed);
        $count->{answers}{$_} += $connection->{answers}{$_} for keys %{ $connection->{answers} };
    }
    syswrite $control, JSON::PP::encode_json( \%of ) . "\n";
    return;
}

1;
