#!/usr/bin/perl

# A caller who may not read the site logs in through the gateway's socket, and sends
# the password to no other process.

use strict;
use warnings;
use Cpanel::LogMeIn::Session ();
use File::Path               qw(make_path);
use POSIX                    ();
use Test::More;
use Test::Cpanel::LogMeIn;
use lib 't/lib';
use Servers qw(lacks);

my $lacking = lacks('remote');
plan skip_all => $lacking if $lacking;

my $NOBODY = 65_534;
my $site   = Test::Cpanel::LogMeIn->new( waits => 1, settings => { backend => 'auto' } );
my $run    = $site->dir . '/run';
my $socket = "$run/gateway.sock";
my %port   = ( cpanel => 8083, whm => 8087, webmail => 8096 );
$site->settings( gateway_socket => $socket, map { +"port.$_" => $port{$_} } keys %port );
make_path($run);
$site->login;    # makes the store

# Drops privileges: root becomes nobody, other users give up access to the site.
chmod oct 711, $site->dir;
chmod 0,       $site->path('etc/shadow') if $< != 0;

sub as_caller {
    my ($job) = @_;
    return Test::Cpanel::LogMeIn::in_child(
        sub {
            if ( $< == 0 ) {
                POSIX::setgid($NOBODY);
                POSIX::setuid($NOBODY);
            }
            return $job->();
        }
    );
}

sub ask {
    my (%login) = @_;
    my $said = as_caller(
        sub {
            join "\n", map { $_ // 'undef' } $site->login(%login);
        }
    );
    return split /\n/, $said;
}

sub detail_of {
    my (%login) = @_;
    return as_caller( sub { $site->login(%login); $Cpanel::LogMeIn::detail } );
}

sub reason_of {
    return as_caller( sub { $site->login; $Cpanel::LogMeIn::reason } );
}

# The gateway's answer is passed in a file, because it is another process.
my $answer_file = $site->dir . '/answer';

sub new_gateway {
    my $server = Servers->new(
        socket => $socket,
        answer => sub {
            my ( undef, $request ) = @_;
            open my $file, '<', $answer_file or die $!;
            local $/ = undef;
            my $text = readline $file;
            sleep 3 if $text eq 'slow';
            return $text;
        }
    );
    chmod oct 777, $socket;
    return $server;
}

sub json {
    my ( $status, $json, @headers ) = @_;
    return join "\r\n", "HTTP/1.1 $status", 'Content-Type: application/json', @headers,
        'Content-Length: ' . length $json, q{}, $json;
}

sub good {
    my (%want) = @_;
    my $token  = $want{token} // '/cpsess0123456789';
    my $url    = $want{url}   // "https://localhost:8083/cpsess0123456789/?session=lmt_x";
    return json( '200 OK',
        qq({"status":1,"redirect":"/","security_token":"$token","login_url":"$url"}) );
}
sub answers { my ($bytes) = @_; return $site->write_file( $answer_file, $bytes ) }
my %FAULT =
    map { $_ => [ 0, "Logins are not possible at the moment ($_).", 'undef', 'undef' ] }
    qw(RIGHTS SOCKET);

# No gateway.
is_deeply( [ ask() ], $FAULT{RIGHTS}, 'without a gateway, a fault' );
like( detail_of(), qr{etc/shadow|store.*start the gateway}s, '... with what helps' );

my $gateway = new_gateway();
answers( good() );
is_deeply(
    [ ask( remote_addr => '192.0.2.7' ) ],
    [
        1, 'Login OK', 'https://localhost:8083/cpsess0123456789/?session=lmt_x',
        '/cpsess0123456789'
    ],
    'with one, its answer'
) or diag( detail_of() );
like(
    $gateway->record,
    qr{got POST /login/\?login_only=1 HTTP/1[.]1\\x0d\\x0aHost: localhost:2083\\x0d},
    'it gets the request, and the standard port as the name of the service'
);
is_deeply(
    $gateway->form,
    {
        user                   => 'alice',
        pass                   => 'secret',
        goto_uri               => q{/},
        active_token_for_reuse => '0',
        remote_addr            => '192.0.2.7'
    },
    '... and the form, with the address of the browser'
);

for my $case ( [ whm => 2087 ], [ webmail => 2096 ] ) {
    my ( $service, $standard ) = @{$case};
    $gateway->forget;
    answers( good( url => "https://alice.example:$port{$service}/cpsess0123456789/?session=x" ) );
    is( ( ask( service => $service, hostname => 'alice.example' ) )[1],
        'Login OK', "$service, by a name of the site" );
    like( $gateway->record, qr/Host: alice[.]example:$standard\\/, '... as its port' );
}
$site->settings( backend => 'local' );
$gateway->forget;
answers( good( url => 'https://other.example:8083/cpsess0123456789/' ) );
is( ( ask( hostname => 'other.example', tfa_token => 'x' ) )[1],
    'Login OK', 'backend = local, any name' );
is( $gateway->form->{tfa_token}, 'x', '... and a two-factor code' );
$site->settings( backend => 'auto' );

# The gateway's messages are passed on.
for my $case (
    [ '401 Denied', invalid => 'The login is invalid.' ],
    [
        '429 Wait',
        wait => 'Too many failed logins. Please try again in 8 seconds.',
        'Retry-After: 8'
    ],
    [ '400 Bad',         parameter => q(The parameter 'user' must be a name or name@domain.) ],
    [ '503 Unavailable', fault     => 'Logins are not possible at the moment (STORE).' ],
    )
{
    my ( $status, $reason, $sentence, @headers ) = @{$case};
    my $json = qq({"status":0,"message":"$sentence","reason":"$reason"});
    answers( json( $status, $json, @headers ) );
    is_deeply( [ ask() ], [ 0, $sentence, 'undef', 'undef' ], "$status: its sentence" );
    is( reason_of(), $reason, '... and its reason' );
}

# Invalid answers.
for my $case (
    [ 'another host',      good( url   => 'https://evil.example:8083/cpsess0123456789/' ) ],
    [ 'another port',      good( url   => 'https://localhost:80830/cpsess0123456789/' ) ],
    [ 'the standard port', good( url   => 'https://localhost:2083/cpsess0123456789/' ) ],
    [ 'a user in the URL', good( url   => 'https://localhost:8083@evil.example/' ) ],
    [ 'a clear-text URL',  good( url   => 'http://localhost:8083/cpsess0123456789/' ) ],
    [ 'a newline',         good( url   => 'https://localhost:8083/\r\nX: y' ) ],
    [ 'a space',           good( url   => 'https://localhost:8083/ x' ) ],
    [ 'a quote',           good( url   => 'https://localhost:8083/\"' ) ],
    [ 'no URL',            good( url   => q{} ) ],
    [ 'a wrong token',     good( token => '@evil.example' ) ],
    [ 'no token',          good( token => q{} ) ],
    [ 'no JSON',           json( '200 OK', 'Login OK' ) ],
    [ 'status 0 with 200', json( '200 OK', '{"status":0,"message":"x","reason":"invalid"}' ) ],
    [ 'status 1 with 401', json( '401 x',  '{"status":1,"message":"x","reason":"invalid"}' ) ],
    [ 'no sentence',       json( '401 x',  '{"status":0,"reason":"invalid"}' ) ],
    [
        'a redirect',
        json( '302 x', '{"status":0,"message":"x","reason":"invalid"}', 'Location: /' )
    ],
    [ 'no reason',           json( '401 x', '{"status":0,"message":"x"}' ) ],
    [ 'an unknown reason',   json( '401 x', '{"status":0,"message":"x","reason":"y"}' ) ],
    [ 'a good reason',       json( '401 x', '{"status":0,"message":"x","reason":"ok"}' ) ],
    [ 'a sentence in lines', json( '401 x', '{"status":0,"message":"a\nb","reason":"invalid"}' ) ],
    [
        'a long sentence',
        json( '401 x', '{"status":0,"reason":"invalid","message":"' . 'a' x 160 . '"}' )
    ],
    [ 'a page',  json( '200 OK', 'x' x 70_000 ) ],
    [ 'nothing', q{} ],
    )
{
    my ( $name, $bytes ) = @{$case};
    answers($bytes);
    is_deeply( [ ask() ], $FAULT{SOCKET}, "not believed: $name" );
}
answers('slow');
$site->settings( remote_timeout => 1 );
my $started = time;
is_deeply( [ ask() ], $FAULT{SOCKET}, 'a gateway that does not answer' );
cmp_ok( time - $started, '<=', 2, '... is waited for no longer than remote_timeout' );
$site->settings( remote_timeout => undef );

# Callers who do not use the socket.
answers( good() );
$gateway->forget;
is(
    as_caller(
        sub {
            Cpanel::LogMeIn::Session->log_in(
                user     => 'alice',
                pass     => 'secret',
                hostname => 'localhost',
                service  => 'cpanel'
            )->{message};
        }
    ),
    $FAULT{RIGHTS}[1],
    'the gateway itself never asks'
);
chmod oct 640, $site->path('etc/shadow');
like( ( $site->login )[2], qr/session=lmt_[\w-]{43}/, 'nor does who may read the site' );
chmod 0, $site->path('etc/shadow') if $< != 0;
$site->settings( backend => 'remote', remote_hosts => 'none.invalid' );
is( ( ask() )[1], 'Logins at this server are not allowed.', 'nor does backend = remote' );
$site->settings( backend => 'auto', remote_hosts => undef );
is( $gateway->count('connected'), 0, '... and the gateway has heard nothing' );
is( ( ask() )[0],                 1, 'control: the others do' );
cmp_ok( $gateway->count('connected'), '>', 0, '... and it has heard of them' );

# Untrusted sockets, to which nothing is sent. Each case is undone afterwards.
sub refuses {
    my ( $name, $spoil, $mend ) = @_;
    $gateway->forget;
    $spoil->();
    my @answer = ask();
    $mend->();
    is_deeply( \@answer, $FAULT{SOCKET}, "no trust: $name" );
    unlike( $gateway->record, qr/secret/, '... and no password is sent' );
    is( ( ask() )[0], 1, '... control: as it was before' );
    return;
}
my $moved = "$run/moved.sock";
for my $mode ( 775, 757, 1777 ) {
    refuses( "a folder of mode $mode", sub { chmod oct $mode, $run }, sub { chmod oct 755, $run } );
}
refuses(
    'a link to the socket',
    sub { rename $socket, $moved; symlink $moved, $socket },
    sub { unlink $socket; rename $moved, $socket }
);
refuses(
    'a file',
    sub { rename $socket, $moved; $site->write_file( $socket, q{} ) },
    sub { unlink $socket; rename $moved, $socket }
);
SKIP: {
    skip 'only root can change owners', 10 if $< != 0;
    my @owner = ( 1234, 1234 );
    refuses( q{another's folder}, sub { chown @owner, $run },    sub { chown 0, 0, $run } );
    refuses( q{another's socket}, sub { chown @owner, $socket }, sub { chown 0, 0, $socket } );
    refuses(
        q{the caller's own socket},
        sub { chown $NOBODY, $NOBODY, $socket },
        sub { chown 0,       0,       $socket }
    );

    # A socket with the right owner, but another user's process listens.
    undef $gateway;
    unlink $socket;
    chown @owner, $run;
    my $other = do {
        local $> = 1234;    ## no critic (RequireLocalizedPunctuationVars)
        Servers->new( socket => $socket, answer => sub { good() } );
    };
    chmod oct 777, $socket;
    chown 0, 0, $run, $socket;
    is_deeply( [ ask() ], $FAULT{SOCKET}, q{no trust: another's process} );
    like( detail_of(), qr/who listens there/, '... of which the operator is told' );
    unlike( $other->record, qr/secret/, '... and no password is sent' );

    # The store's owner is trusted like root.
    chown @owner, $site->dir . '/store', $run, $socket;
    is( ( ask() )[1], 'Login OK', q{the store's owner is trusted} ) or diag( detail_of() );
}
done_testing();
