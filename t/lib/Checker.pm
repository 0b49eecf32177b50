package Checker;

# Starts logmeind for a test, and asks it.

use strict;
use warnings;
use lib 't/lib';
use parent           qw(Program);
use Exporter         qw(import);
use IO::Select       ();
use IO::Socket::UNIX ();
use POSIX            ();
use Socket           qw(SOCK_STREAM);
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(fields_of);

our $PROGRAM = 'blib/bin/logmeind';
plan skip_all => 'logmeind was not built: libmicrohttpd is missing' if !-x $PROGRAM;

$SIG{PIPE} = sub { };    ## no critic (RequireLocalizedPunctuationVars)

# With the settings in force, at the socket: a path, or a socket that listens already, as
# systemd hands it over. More options may follow.
sub new {
    my ( $class, $given, @options ) = @_;
    my $socket = ref $given ? $given->hostpath : $given;
    my $self   = bless { socket => $socket, said => q{}, owner => $$ }, $class;
    pipe my $out, my $in or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if ( !$pid ) {
        open STDERR, '>&', $in or POSIX::_exit(126);
        local @ENV{qw(LISTEN_PID LISTEN_FDS)} = ( $$, 1 );
        if ( ref $given ) {
            POSIX::dup2( fileno $given, 9 );
            POSIX::dup2( 9,             3 );
        }
        else {
            delete @ENV{qw(LISTEN_PID LISTEN_FDS)};
        }
        exec $PROGRAM, '--socket', $socket, @options or POSIX::_exit(126);
    }
    @{$self}{qw(pid out)} = ( $pid, $out );
    close $in;
    return $self->hear(qr/^logmeind: checks at /m) ? $self : undef;
}

# One that another program has started.
sub at { my ( $class, $socket ) = @_; return bless { socket => $socket, owner => $$ }, $class }

# Waits until it has said something; false if it ends before.
sub hear {
    my ( $self, $what ) = @_;
    my $until = time + 20;
    while ( time < $until ) {
        return 1 if $self->{said} =~ $what;
        next     if !IO::Select->new( $self->{out} )->can_read(0.1);
        sysread $self->{out}, $self->{said}, 4096, length $self->{said} or return;
    }
    return;
}

sub pid  { my ($self) = @_; return $self->{pid} }
sub said { my ($self) = @_; return $self->{said} }

sub connection {
    my ($self) = @_;
    return IO::Socket::UNIX->new( Type => SOCK_STREAM, Peer => $self->{socket} );
}

# One answer from a connection: status, headers (in lower case), body; undef at its end.
sub answer {
    my ( $self, $connection ) = @_;
    my $text = q{};
    while ( $text !~ /\r\n\r\n/ ) {
        return if !IO::Select->new($connection)->can_read(10);
        sysread $connection, $text, 65_536, length $text or return;
    }
    my ( $head, $body ) = split /\r\n\r\n/, $text, 2;
    my ($status) = $head =~ m{\AHTTP/1[.]1 ([0-9]{3}) };
    my %header   = map { /\A([^:]+): (.*)\z/s ? ( lc $1 => $2 ) : () } split /\r\n/, $head;
    while ( length $body < ( $header{'content-length'} // 0 ) ) {
        sysread $connection, $body, 65_536, length $body or last;
    }
    return { status => $status, header => \%header, body => $body, head => $head };
}

# The answer to a request with these fields, on a connection of its own or the given one.
sub ask {
    my ( $self, $path, $fields, $connection ) = @_;
    $connection //= $self->connection // return;
    my @host    = grep( { /\AHost:/i } @{$fields} ) ? () : 'Host: localhost';
    my $request = join "\r\n", "GET $path HTTP/1.1", @host, @{$fields}, q{}, q{};
    syswrite $connection, $request;
    return $self->answer($connection);
}

# Asks for so many checks, of sessions (a list of cookie and token) in turn, fifty at a
# time on one connection. How many of them were allowed; it stops at the first other one.
sub check_many {
    my ( $self, $count, @sessions ) = @_;
    my @requests = map {
        join "\r\n", 'GET /logmein/check HTTP/1.1', @{ fields_of( "$_->[1]/x", $_->[0] ) }, q{}, q{}
    } @sessions;
    my $connection = $self->connection // return 0;
    my ( $allowed, $at ) = ( 0, 0 );
    while ( $allowed < $count ) {
        my $some = $count - $allowed < 50 ? $count - $allowed : 50;
        syswrite $connection, join q{}, map { $requests[ ( $at + $_ ) % @requests ] } 1 .. $some;
        my $text = q{};
        while ( ( () = $text =~ /\r\n\r\n/g ) < $some ) {
            sysread $connection, $text, 65_536, length $text or return $allowed;
        }
        my $yes = () = $text =~ m{^HTTP/1[.]1 204 }mg;
        $allowed += $yes;
        return $allowed if $yes < $some;
        $at += $some;
    }
    return $allowed;
}

# What a front server sends for a request to be checked: target, cookie (undef: none),
# and fields that replace others, or are left out if undef.
sub fields_of {
    my ( $target, $cookie, %more ) = @_;
    my %field = (
        'Host'              => 'host.example:2083',
        'X-Original-URI'    => $target,
        'X-Original-Method' => 'GET',
        'X-Forwarded-Proto' => 'https',
        'X-Forwarded-Port'  => 2083,
        'X-Forwarded-For'   => '192.0.2.7',
        ( defined $cookie ? ( Cookie => "cpsession=$cookie" ) : () ),
        %more
    );
    return [ map { "$_: $field{$_}" } grep { defined $field{$_} } sort keys %field ];
}

# Reads the settings again; what it says of that.
sub reload {
    my ($self) = @_;
    $self->{said} = q{};
    $self->signal('HUP');
    $self->hear(qr/reloaded.*\n/) or return q{};
    return $self->{said};
}

sub check {
    my ( $self, @request ) = @_;
    return $self->ask( '/logmein/check', fields_of(@request) );
}

1;
