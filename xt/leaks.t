#!/usr/bin/perl

# No call leaks Perl values or memory of the core.

use strict;
use warnings;
use blib;
use Cpanel::LogMeIn::Session ();
use Test::LeakTrace;
use Test::More;
use Test::Cpanel::LogMeIn;
use lib 't/lib';
use IO::Socket::SSL ();
use Servers         qw(ca_file certificate failure success);

# What is freed goes back to the system at once, or else later losses would be
# taken from it unseen. The C library reads this when a process starts.
my %malloc = (
    MALLOC_MMAP_THRESHOLD_ => 131_072,
    MALLOC_TOP_PAD_        => 0,
    MALLOC_TRIM_THRESHOLD_ => 0,
);
if ( !defined $ENV{MALLOC_TRIM_THRESHOLD_} ) {
    @ENV{ keys %malloc } = values %malloc;    ## no critic (RequireLocalizedPunctuationVars)
    exec $^X, $0 or die "$^X: $!\n";
}

my $site = Test::Cpanel::LogMeIn->new( settings => { log => 'none' } );

# Remote logins: at a server that accepts alice, and at a closed port.
my ( $cert, $key ) = certificate('good');
my $server = Servers->new(
    cert   => $cert,
    key    => $key,
    quiet  => 1,
    answer => sub {
        my ( undef, $request ) = @_;
        return $request->{body} =~ /user=alice/
            ? success('cpsession')
            : failure( '401 Denied', 'see_login_log' );
    },
);
my $remote = Test::Cpanel::LogMeIn->new(
    settings => {
        log            => 'none',
        backend        => 'remote',
        remote_ca_file => ca_file(),
        'port.cpanel'  => $server->port,
        'port.whm'     => 1,
    }
);

sub remote_login {
    my (@login) = @_;
    local $ENV{LOGMEIN_CONF} = $remote->conf;
    my @answer = $remote->login(@login);
    return $answer[1];
}
$ENV{LOGMEIN_CONF} = $site->conf;    ## no critic (RequireLocalizedPunctuationVars)
is( remote_login(),                'Login OK',              'control: a remote login' );
is( remote_login( user => 'bob' ), 'The login is invalid.', 'control: one that is refused' );
is(
    remote_login( service => 'whm' ),
    'The server refuses connections.',
    'control: one to a closed port'
);

my %calls = (
    'a good login'         => sub { my @answer = $site->login },
    'in scalar context'    => sub { my $ok     = $site->login },
    'a wrong password'     => sub { my @answer = $site->login( pass     => 'wrong' ) },
    'an unknown user'      => sub { my @answer = $site->login( user     => 'nobody' ) },
    'a bad parameter'      => sub { my @answer = $site->login( goto_uri => '//x' ) },
    'an odd list'          => sub { my @answer = Cpanel::LogMeIn::get_loggedin_url('x') },
    'a reference'          => sub { my @answer = $site->login( pass => {} ) },
    'wide characters'      => sub { my @answer = $site->login( pass => "\x{263a}" ) },
    'a fault'              => sub { local $ENV{LOGMEIN_CONF} = '/nowhere'; my @x = $site->login },
    'a remote login'       => sub { remote_login() },
    'one refused there'    => sub { remote_login( user    => 'bob' ) },
    'one to a closed port' => sub { remote_login( service => 'whm' ) },
    'a hash'               => sub { my $hash = Cpanel::LogMeIn::hash_password( 'x', '$5$', 1000 ) },
    'no hash'              => sub { my $hash = Cpanel::LogMeIn::hash_password( 'x', '$nix$' ) },
    'versions'             => sub { my %of       = Cpanel::LogMeIn::versions() },
    'an object'            => sub { my $sessions = Cpanel::LogMeIn::Session->new },
    'an exception'         => sub {
        eval { Cpanel::LogMeIn::Session->check('odd') }
    },
    'a forged object' => sub {
        eval { Cpanel::LogMeIn::Session::check( {}, service => 'whm' ) }
    },
    'redeem, check and end' => sub {
        my $sessions = Cpanel::LogMeIn::Session->new;
        my ( $ticket, $token ) = Test::Cpanel::LogMeIn::parse_url( ( $site->login )[2] );
        my @same    = ( token => $token, service => 'cpanel' );
        my $session = $sessions->redeem( @same, ticket => $ticket );
        my @again   = $sessions->redeem( @same, ticket => $ticket );
        my @checked = $sessions->check( @same, cookie => $session->{cookie} );
        my @wrong   = $sessions->check( @same, cookie => $session->{cookie}, token => 'x' );
        my @ended   = $sessions->end( @same, cookie => $session->{cookie} );
        die "not ended\n" if $ended[1] ne 'granted';
    },
);

# What the process has of its own, counted exactly: VmRSS lags behind by some pages.
sub kilobytes {
    open my $file, '<', '/proc/self/smaps_rollup' or die "smaps_rollup: $!\n";
    return ( grep { /^Anonymous:/ } <$file> )[0] =~ /([0-9]+)/ ? $1 : 0;
}

# The growth of the process in a hundred calls, after a warm-up.
sub growth {
    my ($call) = @_;
    $call->() for 1 .. 30;
    my $before = kilobytes();
    $call->() for 1 .. 100;
    return kilobytes() - $before;
}

for my $name ( sort keys %calls ) {
    $calls{$name}->();
    no_leaks_ok { $calls{$name}->() } $name;
    my $growth = growth( $calls{$name} );
    cmp_ok( $growth, '<', 100, "... and 100 times: $growth KiB" );
}
my @kept;
cmp_ok( leaked_count( sub { push @kept, [ 1 .. 10 ] } ), '>', 0, 'control: a leak would be seen' );
my $lost = growth( sub { push @kept, 'x' x 10_000 } );
cmp_ok( $lost, '>', 500, "control: and lost memory, too: $lost KiB" );
done_testing();
