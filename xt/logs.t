#!/usr/bin/perl

# The logs of both fronts, of errors too: no ticket in them, wherever it stands in a
# request and however it is encoded, and no query of a login. The gateway runs, and
# then it does not.

use strict;
use warnings;
use blib;
use lib    qw(t/lib xt/lib);
use Author qw(has_program read_file);
use Front  ();
use Serve  qw(free_base raw);
use Test::More;
use Test::Cpanel::LogMeIn;

my $base = free_base(6);
my $port = $base + 1;
my $site = Test::Cpanel::LogMeIn->new(
    settings => {
        'port.cpanel'  => $port,
        'port.whm'     => $base + 3,
        'port.webmail' => $base + 5,
    }
);
my $dir   = $site->dir;
my %files = Front::files( $dir, $base );

# What must not be seen; the beginning of a ticket is spelled in several ways.
my $SECRET = 'S3cr3t' . 'x' x 37;
my @BEGIN  = qw(lmt_ %6cmt_ l%6Dt_ lm%74_ lmt%5f %6C%6D%74%5F %256cmt_ lmt%25255F LMT_);

my @TARGETS = (
    ( map { "/cpsess0123456789/?session=$_$SECRET" } @BEGIN ),
    ( map { "/a/$_$SECRET" } @BEGIN ),
    ( map { "/a?b=c&d=$_$SECRET" } @BEGIN ),
    ( map { "$_?user=alice&word=$SECRET" } '/login', '/login/', '/cpsess0123456789/login/' ),
    ( map { "/../a/?$_$SECRET" } @BEGIN ),
    ( map { "/%zz$_$SECRET" } @BEGIN ),
    ( map { "/a/%2e%2e/?session=$_$SECRET" } @BEGIN ),
    ( map { "//a//?session=$_$SECRET" } @BEGIN ),
    "/a?pass=$SECRET",
    "/a?PASSWD=$SECRET",
    "/a?%70ass=$SECRET",
    "/a?session=alice%3a$SECRET",
    "https://localhost:$port/a?session=lmt_$SECRET",
    "/a?b=c?session=lmt_$SECRET",
    "/logmein/lmt_$SECRET",
    "/a\#lmt_$SECRET",
    "/a lmt_$SECRET",
    "*lmt_$SECRET",
);

# Other parts of a request that hold it; %s is the target.
my @REQUESTS = (
    "GET %s HTTP/1.1\r\nHost: localhost:$port\r\n",
    "POST %s HTTP/1.1\r\nHost: localhost:$port\r\nContent-Length: 3\r\n",
    "GET %s HTTP/1.1\r\nHost: lo\"cal/host\r\n",
    "GET %s HTTP/1.1\r\nHost: localhost\r\nReferer: https://localhost/?session=lmt_$SECRET\r\n",
);

# Sends all; returns how many were answered.
sub send_all {
    my $answered = 0;
    for my $target (@TARGETS) {
        for my $request (@REQUESTS) {
            my $answer = raw( $port, 1, sprintf "${request}Connection: close\r\n\r\na=b", $target );
            $answered++ if ( $answer // q{} ) =~ m{\AHTTP/1[.]1 };
        }
    }
    raw( $port, 1,
        "GET /plain/a%20b?c=d HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" );
    return $answered;
}

# The texts of a front's logs.
sub logs {
    my ($name) = @_;
    return join "\n", map { read_file($_) } grep { -f } glob "$dir/$name/*log $dir/$name/out";
}

for my $case ( [ nginx => 'nginx' ], [ apache => 'apache2' ] ) {
    my ( $name, $program ) = @{$case};
SKIP: {
        skip "$program is not installed", 1 if !has_program($program);
        my @group = $< == 0 ? ( '--front-group', 'www-data' ) : ();
        my $gateway =
            Serve->new( '--front', $files{front}, '--base', $base, '--no-socket', @group );
        my $front = Front->can($name)->(%files);
        my $count = @TARGETS * @REQUESTS;
        is( send_all(), $count, "$name: $count requests are answered" );
        my $said = $gateway->{said};
        $gateway->stop;
        is( send_all(), $count, '... and also without the gateway' );
        $front->stop;
        my @seen = grep { /S3cr3t/ } split /\n/, logs($name) . $said . $site->log_text;
        is( scalar @seen, 0, '... and no log tells a secret' )
            or diag( join "\n", @seen[ 0 .. 9 ] );
        cmp_ok( scalar( () = read_file( $front->{access} ) =~ /^127[.]0[.]0[.]1 /mg ),
            '>', $count, 'control: the log tells of them' );
        like( logs($name), qr{"GET /plain/a%20b[?]c=d" }, 'control: ... and of a harmless query' );
        $gateway = Serve->new( '--front', $files{front}, '--base', $base, '--no-socket', @group );
        $front   = Front->can($name)->(
            %files,
            name => "loose-$name",
            edit => sub {
                return $_[0] =~ s/\$request_method \$logmein_logged/\$request/r =~
                    s/%m %\{logmein_logged\}e/%r/r;
            }
        );
        send_all();
        $front->stop;
        like( logs("loose-$name"), qr/S3cr3t/, 'control: the usual format would tell' );
    }
}
done_testing();
