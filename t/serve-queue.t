#!/usr/bin/perl

# `logmein serve`: who waits for whom when more people log in than processors can
# check passwords.

use strict;
use warnings;
use lib 't/lib';
use IO::Select ();
use Serve      qw(request);
use Test::More;
use Test::Cpanel::LogMeIn;
use Time::HiRes qw(sleep time);

my $GUESSERS = 300;
my $LOGINS   = 8;
my $LIMIT    = 2;     # seconds

# A hash that takes some 15 ms.
my $hash = crypt 'secret', '$2b$08$abcdefghijklmnopqrstuu';
plan skip_all => 'libcrypt has no $2b$ hashes' if ( $hash // q{} ) !~ /\A\$2b\$08\$/;

my $site = Test::Cpanel::LogMeIn->new(
    accounts => { map { $_ => { hash => $hash } } qw(alice bob) },
    settings => { attempts_max => 1000 },
);
my $front  = $site->dir . '/front';
my $server = Serve->new( '--front', $front, '--no-socket', '--app', 'examples/panel.psgi' );

sub told {
    my ($address) = @_;
    return ( 'X-Forwarded-Proto: https', 'X-Forwarded-Port: 2083', "X-Forwarded-For: $address" );
}

sub log_in {
    my ( $user, $address, @more ) = @_;
    my $start  = time;
    my $answer = request( $front, 0, '/login/' . ( @more ? '?login_only=1' : q{} ),
        "user=$user&pass=secret", told($address) );
    return { %{$answer}, took => time - $start };
}
is( log_in( 'alice', '192.0.2.9' )->{status}, 302, 'alice logs in, which makes her address known' );

# Guessers at many addresses, who always have a login waiting, until the pipe is closed.
sub guess {
    my ($first) = @_;
    my $number;
    my $select = IO::Select->new;
    while (1) {
        while ( $select->count < $GUESSERS / 3 ) {
            my $address = join q{.}, 198, 18, $first, $number++ % 250;
            my $socket  = Serve::connection( $front, 0 ) or last;
            my $body    = "user=guess$number&pass=wrong";
            syswrite $socket, join "\r\n", 'POST /login/ HTTP/1.1', 'Host: a:2083',
                told($address), 'Content-Type: application/x-www-form-urlencoded',
                'Content-Length: ' . length $body, q{}, $body;
            $select->add($socket);
        }
        for my $socket ( $select->can_read(0.1) ) {
            next if sysread $socket, my $answer, 65_536;
            $select->remove($socket);
        }
    }
    return;
}

sub started {
    my ($first) = @_;
    my $pid = fork // die "fork: $!";
    guess($first) if !$pid;
    return $pid;
}
my @guessers = map { started($_) } 1 .. 3;
sleep 4;

my ( @known, @others );
for ( 1 .. $LOGINS ) {
    push @known, log_in( 'alice', '192.0.2.9' );
    push @others, log_in( 'bob', "192.0.2.1$_", 'json' ) if $_ % 2 == 0;
}
kill TERM => @guessers;
waitpid $_, 0 for @guessers;

my $in = grep { $_->{status} == 302 } @known;
is( $in, $LOGINS, "while $GUESSERS addresses guess, a known one always logs in" )
    or diag( map { "$_->{status} $_->{took}\n" } @known );
note("16: $GUESSERS addresses guess, $in of $LOGINS logins from a known one");

sub median {
    my @took = sort { $a <=> $b } map { $_->{took} } @_;
    return $took[ @took / 2 ];
}
cmp_ok( median(@known), '<', median(@others), 'control: others wait longer' )
    or diag( map { "$_->{status} $_->{took}\n" } @known, @others );

my $busy = join q{}, map { $_->{all} } grep { $_->{status} == 503 } @others;
SKIP: {
    skip 'no login was refused', 3 if $busy eq q{};
    like( $busy, qr/^Retry-After: [0-9]+\r$/m,    'a 503 says when to try again' );
    like( $busy, qr/^Cache-Control: .*no-store/m, '... is not stored' );
    like(
        $busy,
        qr/^\{"status":0,"message":"Too many people[^"]*","reason":"fault"\}$/m,
        '... and is JSON for programs'
    );
}
is( $server->stop, 0, 'it stops as always' );
done_testing();
