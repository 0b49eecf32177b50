#!/usr/bin/perl

# Both ends at once: get_loggedin_url() at a hostname that is not this
# machine's, against our own gateway over TLS; and in a process that may not
# read the account files, by the gateway's socket.

use strict;
use warnings;
use lib 't/lib';
use HTTP::Tiny ();
use POSIX      ();
use Test::More;
use Serve   ();
use Servers ();
use Test::Cpanel::LogMeIn;

my $lacking = Servers::lacks(qw(IO::Socket::SSL remote));
plan skip_all => $lacking if $lacking;

# The remote server, and this machine, which trusts only its certificate
my $there = Test::Cpanel::LogMeIn->new(
    accounts => {
        alice                => { password => 'secret', reseller => 1 },
        'info@alice.example' => 'mail'
    },
    domains => { 'alice.example' => 'alice' },
    clock   => time,                             # waits do not pass by themselves
    waits   => 1,
    gateway => 1,
);
my %port = Cpanel::LogMeIn::settings();
my $here = Test::Cpanel::LogMeIn->new(
    settings => {
        backend        => 'remote',
        remote_ca_file => $there->certificate,
        map { ( "port.$_" => $port{"port.$_"} ) } qw(cpanel whm webmail)
    }
);

# Opens a URL as a browser does, and returns the resulting page.
sub open_url {
    my ($url) = @_;
    my $browser = HTTP::Tiny->new(
        verify_SSL   => 1,
        SSL_options  => { SSL_ca_file => $there->certificate },
        max_redirect => 0
    );
    my $answer = $browser->get($url);
    return "$answer->{status} $answer->{content}" if $answer->{status} != 302;
    my ($base)   = $url                                =~ m{\A(https://[^/]+)};
    my ($cookie) = $answer->{headers}{'set-cookie'}[0] =~ /\A([^;]*)/;
    return $browser->get( "$base$answer->{headers}{location}",
        { headers => { Cookie => $cookie } } )->{content};
}

my $goto = quotemeta '&goto_uri=%2fa%20b.html%3fx%3d1';
for my $service (qw(cpanel whm webmail)) {
    my %who = $service eq 'webmail' ? ( user => 'info@alice.example', pass => 'mail' ) : ();
    my ( $ok, $message, $url, $token ) =
        $here->login( %who, service => $service, goto_uri => '/a b.html?x=1' );
    is( $message, 'Login OK', "a remote login to $service" ) or diag($Cpanel::LogMeIn::detail);
    like(
        $url // q{},
        qr{\A\Qhttps://localhost:$port{"port.$service"}$token/login/?session=\E[^&]+$goto\z},
        '... has a URL there'
    );
    my $user = $who{user} // 'alice';
    is( open_url($url), "$user $service /a b.html\n", '... that opens the page' );
}
my @first = $here->login( goto_uri => '/one' );
my @again = $here->login( goto_uri => '/two', active_token_for_reuse => $first[3] );
is( $again[3],             $first[3],             'a remote token is reused' );
is( open_url( $again[2] ), "alice cpanel /two\n", '... and the URL opens' );
is(
    ( $here->login( pass => 'wrong' ) )[1],
    'The login is invalid.',
    'a wrong password at the remote server'
);
is( ( $here->login( user => 'carol' ) )[1], 'The login is invalid.', '... an unknown user' );
$here->login( pass => 'wrong' ) for 1 .. 4;
like(
    ( $here->login )[1],
    qr/\AToo many failed logins[.] Please try again in [0-9]+ seconds[.]\z/,
    '... a wait'
);
$there->forget;
is( ( $here->login )[1], 'Login OK', 'control: when it is over, the login is good' );
$here->settings( remote_ca_file => undef );
like( ( $here->login )[1], qr/certificate/, 'control: another certificate is not believed' );
undef $_ for $here, $there;

# The socket of this machine's gateway
SKIP: {
    skip 'only root can be somebody without rights' if $< != 0;
    skip 'Starman is not installed'                 if !eval { require Starman::Server; 1 };
    my $site = Test::Cpanel::LogMeIn->new(
        accounts => { alice => 'secret' },
        clock    => time,
        waits    => 1
    );
    my $dir = $site->dir;
    chmod oct 755, $dir                      or die $!;
    chmod oct 600, $site->path('etc/shadow') or die $!;
    $site->settings( gateway_socket => "$dir/gateway.sock" );
    my $server = Serve->new( '--front', "$dir/front.sock" );
    my $nobody = getpwnam 'nobody';
    my $log_in = sub {
        my (@login) = @_;
        return split /\n/, Test::Cpanel::LogMeIn::in_child(
            sub {
                POSIX::setuid($nobody);
                my @answer = $site->login(@login);
                return join "\n", map { $_ // 'undef' } @answer, $Cpanel::LogMeIn::detail;
            }
        );
    };
    my ( $ok, $message, $url, $token ) = $log_in->( goto_uri => '/x' );
    is( $message, 'Login OK', 'a login of a process without rights' );
    like(
        $url,
        qr{\Ahttps://localhost:2083\Q$token\E/x\?session=lmt_[\w-]{43}\z},
        '... has a URL as any other'
    );
    is( url_redeems_ok( $url, '... that opens' )->{user}, 'alice', '... for its user' );
    like(
        $site->log_text,
        qr/alice "login by uid $nobody" SUCCESS LOGIN/,
        '... and is logged as that process'
    );
    like(
        ( $log_in->( goto_uri => '/info@alice.example' ) )[2],
        qr{\d/info\@alice[.]example\?},
        'a page of a mailbox'
    );
    is( ( $log_in->( pass => 'wrong' ) )[1], 'The login is invalid.', 'a wrong password' );
    is( ( $log_in->( user => 'a/b' ) )[1] =~ /\AThe parameter 'user' / ? 1 : 0,
        1, 'a parameter that is none' );
    $log_in->( pass => 'wrong' ) for 1 .. 4;
    like( ( $log_in->() )[1], qr/\AToo many failed logins[.]/, 'a wait' );
    $site->forget;
    is( ( $log_in->() )[1], 'Login OK', 'control: when it is over, the login is good' );
    $server->stop;
    like(
        ( $log_in->() )[1],
        qr/\ALogins are not possible at the moment [(][A-Z]+[)][.]\z/,
        'control: without the gateway there is no login'
    );
}

done_testing();
