#!/usr/bin/perl

# `logmein serve`: what it says at the start, the app of README, and SIGHUP, which loads
# settings, app, certificate and log, or nothing.

use strict;
use warnings;
use lib 't/lib';
use Serve           qw(free_base raw request wait_until);
use IO::Socket::SSL ();
use POSIX           ();
use Test::More;
use Test::Cpanel::LogMeIn;
use Time::HiRes qw(sleep time);

my $base = free_base(6);
my %port = ( cpanel => $base + 1, whm => $base + 3, webmail => $base + 5 );
my $site = Test::Cpanel::LogMeIn->new(
    accounts => { alice   => 'secret' },
    settings => { backend => 'auto', map { ( "port.$_" => $port{$_} ) } keys %port },
);
my ( $dir, $root ) = ( $site->dir, $site->root );
my ( $app, $cert, $key, $log ) = map { "$dir/$_" } qw(app.psgi own.crt own.key serve.log);

sub text_of {
    my ($path) = @_;
    open my $file, '<', $path or return q{};
    local $/ = undef;
    return scalar readline $file;
}

# The app of README, as it is there
my ($readme) = text_of('README') =~ /^(    use Plack::Builder;\n.*?^    \};\n)/ms;
ok( $readme, 'README has an app' );
$site->write_file( $app, $readme =~ s/^ {4}//gmr );

sub log_in {
    my $answer   = request( $port{cpanel}, 1, '/login/', 'user=alice&pass=secret' );
    my ($cookie) = ( $answer->{header}{'set-cookie'} // q{} ) =~ /\A([^;]*)/;
    return ( $answer->{header}{location} // q{}, "Cookie: $cookie" );
}

sub hello {
    my ( $location, $cookie ) = @_;
    return request( $port{cpanel}, 1, $location, undef, $cookie )->{body} // q{};
}

# What will not work is said, once for each.
my %sentence = (
    site => qr{^logmein: No login will work: \Q$root\E/?etc/shadow: }m,
    name => qr{^logmein: No public name of this machine is known[.] .* domains$}m,
);

sub said_at_start {
    my $server = Serve->new( '--app', $app, '--base', $base, '--no-socket' );
    my %found = map { ( $_ => scalar( () = $server->{said} =~ /$sentence{$_}/g ) ) } keys %sentence;
    $server->stop;
    return ( \%found, $server->{said} );
}
SKIP: {
    require Sys::Hostname;
    skip 'this machine has a public name', 1 if Sys::Hostname::hostname() =~ /[.]/;
    $site->write_file( "$root/etc/localdomains", "localhost\n" );
    $site->write_file( "$root/etc/userdomains",  "*: nobody\n" );
    my ( $found, $said ) = said_at_start();
    is_deeply( $found, { site => 0, name => 1 }, 'no public name: a sentence' ) or diag($said);
}
$site->settings( domains => 'panel.example' );
rename "$root/etc/shadow", "$root/etc/away" or die $!;
my ( $found, $said ) = said_at_start();
is_deeply( $found, { site => 1, name => 0 }, 'no shadow: a sentence' ) or diag($said);
rename "$root/etc/away", "$root/etc/shadow" or die $!;

# README's app: behind the gateway once
Serve::write_certificate( $cert, $key, 'one' );
my $server = Serve->new(
    '--app', $app,     '--base', $base,   '--no-socket', '--workers',
    2,       '--cert', $cert,    '--key', $key,          '--log',
    $log
);
unlike( text_of($log), qr/^logmein: /m, 'all is well: no sentence' );
my @session = log_in();
is( hello(@session),                            "Hello alice\n", 'the app of README' );
is( request( $port{cpanel}, 1, '/' )->{status}, 401,             '... for nobody else' );

# SIGHUP with one bad thing after the other, and everything else new
sub state_now {
    my $socket = Serve::connection( $port{cpanel}, 1 ) or return 'nothing';
    my $name   = $socket->peer_certificate('cn');
    my $page   = request( $port{cpanel}, 1, '/login/' )->{body};
    return join q{,}, $name, hello(@session) =~ /\A(\w+)/, $page =~ /<title>(.*?)</;
}

sub renew {
    my ($name) = @_;
    Serve::write_certificate( $cert, $key, $name );
    $site->settings( page_title => "Panel $name", log => "file:$dir/log" );
    $site->write_file( $app, $readme =~ s/^ {4}//gmr =~ s/Hello/Hello$name/r );
    return;
}

sub add_to {
    my ( $path, $text ) = @_;
    return $site->write_file( $path, text_of($path) . $text );
}
my $before  = state_now();
my @workers = sort $server->workers;
my %bad     = (
    settings => [ sub { add_to( $site->conf, "session_idle = soon\n" ) }, qr/session_idle/ ],
    app => [ sub { $site->write_file( $app, "die qq{no app today\\n};\n" ) }, qr/no app today/ ],
    certificate => [ sub { $site->write_file( $cert, 'broken' ) },         qr/\Q$cert\E/ ],
    log         => [ sub { $site->settings( log => "file:$dir/no/log" ) }, qr{\Q$dir\E/no/log} ],
    '--log'     => [ sub { rename $log, "$log.1"; mkdir $log },            qr/\Q$log\E/ ],
);
my %mend = (
    settings => sub { $site->write_settings },
    '--log'  => sub { rmdir $log; rename "$log.1", $log },
);
for my $what ( sort keys %bad ) {
    my ( $spoil, $why ) = @{ $bad{$what} };
    renew('two');
    $spoil->();
    my $log_now = $what eq '--log' ? "$log.1" : $log;
    my $had     = length text_of($log_now);
    my $lines   = $site->log_text;
    $server->signal('HUP');
    my $told = sub { substr text_of($log_now), $had };
    ok( wait_until( sub { $told->() =~ /^.*Not reloaded: .*\n/m } ), "a bad reload: $what" );
    my ($line) = $told->() =~ /^(.*Not reloaded: .*)$/m;
    like( $line, $why, '... the log says which' );
    is( state_now(), $before, '... nothing has changed' );
    is_deeply( [ sort $server->workers ], \@workers, '... the same processes serve' );
    is( $site->log_text, $lines, '... and no reload is in the log' );
    ( $mend{$what} // sub { } )->();
}
renew('two');
rename $log, "$log.old" or die $!;
$server->signal('HUP');
ok( wait_until( sub { state_now() eq 'two,Hellotwo,Log in - Panel two' } ),
    'control: all good, all new' )
    or diag( state_now() );
ok( -e $log, '... the log, too' );
like( $site->log_text, qr/NOTICE logmein serve [0-9.]+ reloads$/m, '... which the log tells' );
$server->stop;

# Reloads from the first moment on, each before the last one's workers have ended: one
# of them keeps a connection whose request is not complete.
{
    my $reloaded = Serve->new( '--app', $app, '--base', $base, '--no-socket', '--workers', 2 );
    $reloaded->signal('HUP');
    my $slow = Serve::connection( $port{cpanel}, 1 );
    print {$slow} "GET / HTTP/1.1\r\n";
    $slow->flush;
    for ( 1 .. 5 ) {
        $reloaded->signal('HUP');
        sleep 0.1;
    }
    ok( kill( 0 => $reloaded->{pid} ), 'reloaded as soon as it serves: it goes on' );
    ok( wait_until( sub { 2 == $reloaded->workers } ), '... and is left with its two workers' );
    sleep 1;
    is( scalar( $reloaded->workers ), 2, '... for good' );
    is( $reloaded->stop,              0, '... which end' );
}

# The same app by another server, at a port of no service
{
    my ( $plackup, $port ) = ( grep { -x } map { "$_/plackup" } split /:/, $ENV{PATH} );
    if ($plackup) {
        $port = free_base(1);
        pipe my $out, my $in or die $!;
        my $pid = fork // die $!;
        if ( !$pid ) {
            open STDOUT, '>&', $in or POSIX::_exit(9);
            open STDERR, '>&', $in or POSIX::_exit(9);
            exec $^X, qw(-Iblib/arch -Iblib/lib), $plackup, '--host', '127.0.0.1', '--port', $port,
                $app
                or POSIX::_exit(9);
        }
        close $in;
        my $answer = q{};
        wait_until( sub { $answer = request( $port, 0, '/' ); $answer->{all} } );
        kill TERM => $pid;
        waitpid $pid, 0;
        like( $answer->{all}, qr{\AHTTP/1[.]0 404 }, 'plackup: no service answers' );
        like(
            $answer->{all},
            qr/No service answers at this port[.] .*logmein serve --app.* service or ports/,
            '... and the page says what is missing'
        );
    }
}

done_testing;
