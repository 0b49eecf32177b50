package Load;

# Clients of a server: a login, parallel clients that send requests without a pause,
# and honest ones whose answers are timed.

use strict;
use warnings;
use lib 't/lib';
use Exporter    qw(import);
use POSIX       ();
use Serve       ();
use Time::HiRes qw(alarm sleep time);

our @EXPORT_OK = qw(asker heard honest in_parallel log_in);

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
# answer. The fields are sent with each, and more may follow a target. A used connection
# may have been closed meanwhile; if a new one is closed, the status is 0.
sub asker {
    my ( $where, $tls, @fields ) = @_;
    my ( $socket, $left );
    return sub {
        my ( $target, @more ) = @_;
        my $bytes = join "\r\n", "GET $target HTTP/1.1", 'Host: localhost', @fields, @more, q{},
            q{};
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

my $CLIENTS  = 10;
my $PATIENCE = 15;    # seconds

# Logins and requests of honest clients at a TLS port, which begin evenly over a time.
# Each is sent on a connection of its own. Options: port; users, with the password
# 'secret'; count of logins; seconds; patience. Returns what happened, a hash each: what (login
# or page), status (0 without an answer) and took (seconds).
sub honest {
    my (%option) = @_;
    my $start    = time;
    my @readers  = in_parallel(
        $CLIENTS,
        sub {
            my ($client) = @_;
            for my $number ( grep { $_ % $CLIENTS == $client - 1 } 0 .. $option{count} - 1 ) {
                my $wait = $start + $number * $option{seconds} / $option{count} - time;
                sleep $wait if $wait > 0;
                _visit( $option{users}[ $number % @{ $option{users} } ], %option );
            }
        }
    );
    return map { _named($_) } heard(@readers);
}

sub _named {
    my ($line) = @_;
    my %visit;
    @visit{qw(what status took)} = split q{ }, $line;
    return \%visit;
}

# A login and a request of its session; prints a line for each.
sub _visit {
    my ( $user, %option ) = @_;
    my $ask = sub {
        my ( $what,  @request ) = @_;
        my ( $start, $answer )  = time;
        eval {
            local $SIG{ALRM} = sub { die "too long\n" };
            alarm $option{patience} // $PATIENCE;
            $answer = Serve::request( $option{port}, 1, @request );
        };
        alarm 0;
        printf "%s %s %.3f\n", $what, $answer ? $answer->{status} : 0, time - $start;
        return $answer->{header} // {};
    };
    my $login    = $ask->( login => '/login/', "user=$user&pass=secret" );
    my ($cookie) = ( $login->{'set-cookie'} // q{} ) =~ /\A([^;]*)/;
    $ask->( page => $login->{location} // q{/}, undef, 'Cookie: ' . ( $cookie // q{} ) );
    return;
}

1;
