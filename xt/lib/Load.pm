package Load;

# Clients of a server: a login, and parallel clients that send requests without a
# pause.

use strict;
use warnings;
use lib 't/lib';
use Exporter qw(import);
use POSIX    ();
use Serve    ();

our @EXPORT_OK = qw(asker heard in_parallel log_in);

# Logs alice in by the form: returns token and cookie, or nothing.
sub log_in {
    my ( $where, $tls, @fields ) = @_;
    my $answer = Serve::request( $where, $tls, '/login/', 'user=alice&pass=secret', @fields );
    return if $answer->{status} != 302;
    my ($token)  = $answer->{header}{location}     =~ m{\A(/cpsess[0-9]{10})};
    my ($cookie) = $answer->{header}{'set-cookie'} =~ /\A([^;]*)/;
    return ( $token, $cookie );
}

# Sends requests over a persistent connection; returns the status and body of each
# answer. A used connection may have been closed meanwhile; if a new one is closed, the
# status is 0.
sub asker {
    my ( $where, $tls, @fields ) = @_;
    my ( $socket, $left );
    return sub {
        my ($target) = @_;
        my $bytes    = join "\r\n", "GET $target HTTP/1.1", 'Host: localhost', @fields, q{}, q{};
        my $answer;
        while ( !$answer ) {
            my $is_new = !$socket;
            if ($is_new) { $left = q{}; $socket = Serve::connection( $where, $tls ) }
            $answer = _answer( $socket, \$left ) if $socket && syswrite $socket, $bytes;
            undef $socket                        if !$answer || $answer->{close};
            last                                 if $is_new;
        }
        return $answer // { status => 0, body => q{} };
    };
}

sub _answer {
    my ( $socket, $left ) = @_;
    sysread $socket, ${$left}, 65_536, length ${$left} or return while ${$left} !~ /\r\n\r\n/;
    my ( $head, $rest ) = split /\r\n\r\n/, ${$left}, 2;
    ${$left} = $rest;
    my ($status) = $head =~ m{\AHTTP/1[.][01] ([0-9]{3})};
    my $close    = $head =~ /^Connection: close/mi;
    my $body     = q{};
    if ( $head =~ /^Transfer-Encoding: chunked/mi ) {
        sysread $socket, ${$left}, 65_536, length ${$left}
            or return
            while ${$left} !~ /(?:\A|\n)0\r\n\r\n\z/;
        ( $body, ${$left} ) = ( ${$left}, q{} );
    }
    elsif ( $head =~ /^Content-Length: ([0-9]+)/mi ) {
        my $length = $1;
        sysread $socket, ${$left}, 65_536, length ${$left}
            or return
            while length ${$left} < $length;
        $body = substr ${$left}, 0, $length, q{};
    }
    return { status => $status // 0, body => $body, close => $close };
}

# Starts a number of processes that run the job, each with its number, and print their
# results as lines.
sub in_parallel {
    my ( $count, $job ) = @_;
    my @readers;
    for my $number ( 1 .. $count ) {
        my $pid = open( my $reader, '-|' ) // die "fork: $!";
        if ( !$pid ) {
            $job->($number);
            STDOUT->flush;
            POSIX::_exit(0);
        }
        push @readers, $reader;
    }
    return @readers;
}

# Returns their output until they end.
sub heard {
    my (@readers) = @_;
    return map { readline $_ } @readers;
}

1;
