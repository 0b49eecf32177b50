#!/usr/bin/perl

# Row 10: a request of somebody who is logged in, at a server, through the
# gateway and through Plack's session middleware with its file store.
#
#     gateway.pl ROUNDS
#
# Prints the server's seconds of CPU time for one request: ours, the
# baseline's, and so on by turns, after a round to warm up.

use strict;
use warnings;
use IO::Socket::UNIX ();
use POSIX            ();
use Plack::Middleware::LogMeIn;
use Plack::Middleware::Session  ();
use Plack::Session::Store::File ();
use Starman::Server             ();
use Test::Cpanel::LogMeIn;
use Time::HiRes qw(sleep);

my $REQUESTS = 2_000;

my $site = Test::Cpanel::LogMeIn->new;
my $dir  = $site->dir;
my $hello =
    sub { return [ 200, [ 'Content-Type' => 'text/plain', 'Content-Length' => 3 ], ["hi\n"] ] };
mkdir "$dir/sessions" or die "$dir/sessions: $!\n";
my $remembers = sub {
    my ($env) = @_;
    $env->{'psgix.session'}{user} //= 'alice';
    return $hello->($env);
};
my %app = (
    ours     => Plack::Middleware::LogMeIn->wrap($hello),
    baseline => Plack::Middleware::Session->wrap(
        $remembers, store => Plack::Session::Store::File->new( dir => "$dir/sessions" )
    ),
);

my %server;

sub start {
    my ($name) = @_;
    my $pid = fork // die "fork: $!\n";
    if ( !$pid ) {
        open STDERR, '>', '/dev/null' or POSIX::_exit(1);
        open STDOUT, '>', '/dev/null' or POSIX::_exit(1);
        Starman::Server->new->run( $app{$name},
            { listen => ["$dir/$name.sock"], workers => 1, max_requests => 1e9, keepalive => 1 } );
        POSIX::_exit(0);
    }
    $server{$name} = { pid => $pid };
    for ( 1 .. 200 ) {
        last if $server{$name}{io} = IO::Socket::UNIX->new("$dir/$name.sock");
        sleep 0.05;
    }
    $server{$name}{io} or die "the server does not start\n";
    return;
}

# One request on the connection that is kept; returns the answer's head.
sub fetch {
    my ( $name, $path, $cookie ) = @_;
    my $io = $server{$name}{io};
    print {$io} join "\r\n", "GET $path HTTP/1.1", 'Host: localhost', 'X-Forwarded-Proto: https',
        'X-Forwarded-Port: 2083', "Cookie: $cookie", q{}, q{};
    $io->flush;
    my $head = q{};
    while ( my $line = readline $io ) {
        $head .= $line;
        last if $line eq "\r\n";
    }
    my ($length) = $head =~ /^Content-Length: ([0-9]+)/mi;
    read $io, my $body, $length // 0;
    return $head;
}

# Of all children of the server.
sub cpu_time {
    my ($name) = @_;
    my $ticks = 0;
    for my $stat ( glob '/proc/[0-9]*/stat' ) {
        open my $file, '<', $stat or next;
        my @field = split q{ }, ( readline($file) // q{} ) =~ s/\A.*[)] //r;
        $ticks += $field[11] + $field[12] if @field > 12 && $field[1] == $server{$name}{pid};
    }
    return $ticks / POSIX::sysconf( POSIX::_SC_CLK_TCK() );
}

my %request;
start($_) for sort keys %app;
{
    my ( $ticket, $token ) = Test::Cpanel::LogMeIn::parse_url( ( $site->login )[2] );
    $request{ours} = [
        "$token/x", fetch( 'ours', "$token/x?session=$ticket", 'a=b' ) =~ /^Set-Cookie: ([^;]+)/mi
    ];
    $request{baseline} = [ '/x', fetch( 'baseline', '/x', 'a=b' ) =~ /^Set-Cookie: ([^;]+)/mi ];
}
for my $round ( 0 .. ( shift @ARGV ) ) {
    for my $name (qw(ours baseline)) {
        $server{$name}{io} = IO::Socket::UNIX->new("$dir/$name.sock") or die "connect: $!\n";
        my $before = cpu_time($name);
        for ( 1 .. $REQUESTS ) {
            fetch( $name, @{ $request{$name} } ) =~ m{\AHTTP/1[.]1 200} or die "$name: no\n";
        }
        print( ( cpu_time($name) - $before ) / $REQUESTS, "\n" );
    }
}
close $_->{io} for values %server;
kill TERM => map { $_->{pid} } values %server;
1 while wait > 0;
