#!/usr/bin/perl

# valgrind reports no errors for the C tests, nor for Perl programs that call the
# module.

use strict;
use warnings;
use blib;
use File::Temp ();
use Test::More;
use lib 'xt/lib';
use Author qw(has_program run);
use Test::Cpanel::LogMeIn;
use lib 't/lib';
use IO::Socket::SSL ();
use Servers         qw(ca_file certificate success);

plan skip_all => 'valgrind is not installed' if !has_program('valgrind');

# Children are not checked: they must not close a parent's LMDB environment.
my $valgrind = 'valgrind -q --error-exitcode=99 --leak-check=full --num-callers=30'
    . ' --child-silent-after-fork=yes --suppressions=xt/valgrind.supp';

# The C tests: no errors, and no definite leaks. decide, decoy, known, password and race
# take minutes with valgrind, and are run with the sanitizers; faults and wipe check
# memory themselves. Those that do the same thing thousands of times are for
# XT_LONG=1.
my @left_out = (
    qw(decide decoy faults known password race wipe),
    $ENV{XT_LONG} ? () : qw(busy evict flood forks record stolen token unknown)
);
for my $program ( map { m{(\w+)[.]c\z} } sort glob 't/core/*.c' ) {
    next if grep { $_ eq $program } @left_out;
    my ( $status, $out ) =
        run( '.', "$valgrind --errors-for-leak-kinds=definite blib/core/$program" );
    is( $status, 0, "valgrind: $program" ) or diag( join "\n", grep { !/^ok/ } split /\n/, $out );
}

# Perl keeps memory until its end that looks leaked: only reports with our code in the
# stack count.
sub complaints_about_us {
    my ($out)  = @_;
    my @blocks = split /^==[0-9]+== \n/m, $out;
    return grep { /(?:LogMeIn|Remote)[.](?:so|xs|c)|lmi_/ } @blocks;
}

my $site = Test::Cpanel::LogMeIn->new;

sub under_valgrind {
    my ($code) = @_;
    my $script = File::Temp->new;
    print {$script} $code;
    $script->flush;
    local $ENV{PERL_DESTRUCT_LEVEL} = 2;
    return ( run( '.', "$valgrind $^X -Mblib $script" ) )[1];
}

my $out = under_valgrind(<<'PERL');
use Cpanel::LogMeIn::Session;
my @login = (
    user    => 'alice',  pass     => 'secret', hostname => 'localhost',
    service => 'cpanel', goto_uri => '/a?b#c',
);
for ( 1 .. 3 ) {
    my $url = ( Cpanel::LogMeIn::get_loggedin_url(@login) )[2];
    my ( $token, $ticket ) = $url =~ m{(/cpsess\d+)/.*session=(lmt_[\w-]+)} or die;
    my @with     = ( token => $token, service => 'cpanel' );
    my $sessions = Cpanel::LogMeIn::Session->new;
    my $session  = $sessions->redeem( @with, ticket => $ticket ) or die;
    my @cookie   = ( cookie => $session->{cookie} );
    $sessions->check( @with, @cookie ) or die;
    $sessions->end( @with, @cookie )   or die;
    Cpanel::LogMeIn::get_loggedin_url( @login, $_ => "\x{263a}" )
        for qw(user pass goto_uri hostname service remote_addr);
    Cpanel::LogMeIn::get_loggedin_url( @login, user => 'nobody' );
    Cpanel::LogMeIn::hash_password( 'x', '$5$', 1000 );
}
my $pid = fork // die;
if ( !$pid ) { Cpanel::LogMeIn::get_loggedin_url(@login); exit }
waitpid $pid, 0;
print 'ran';
PERL
like( $out, qr/ran/, 'a Perl program with all calls runs under valgrind' );
is_deeply( [ complaints_about_us($out) ], [], '... and nothing is ours of what it says' );

{
    # What Perl keeps of the code that a scalar runs is no leak of ours: see xt/leaks.t.
    my $no_leaks = $valgrind =~ s/--leak-check=full/--leak-check=no/r;
    local $ENV{LMI_CALLS} = 60;
    ( undef, $out ) = run( '.', "$no_leaks $^X -Mblib t/scalars.t" );
    unlike( $out, qr/^not ok/m, 'calls with odd scalars run under valgrind' );
    is_deeply( [ complaints_about_us($out) ], [], '... and nothing is ours of what it says' );
}

$out = under_valgrind(<<'PERL');
use threads;
use Cpanel::LogMeIn::Session;
my $sessions = Cpanel::LogMeIn::Session->new;
my @with     = ( cookie => 'x', token => 'x', service => 'whm' );
$sessions->check(@with);
my $nested = sub {
    $sessions->check(@with);
    threads->create( sub { $sessions->check(@with) } )->join;
};
$_->join for map { threads->create($nested) } 1 .. 2;
$sessions->check(@with);
print 'ran';
PERL
like( $out, qr/ran/, 'threads run under valgrind' );
is_deeply( [ complaints_about_us($out) ], [], '... and nothing is ours of what it says' );

# A remote login, before and after a fork, including libcurl's memory.
my ( $cert, $key ) = certificate('good');
my $server = Servers->new( cert => $cert, key => $key, answer => sub { success('cpsession') } );
$site->settings(
    backend        => 'remote',
    remote_ca_file => ca_file(),
    remote_timeout => 100,
    'port.cpanel'  => $server->port
);
$out = under_valgrind(<<'PERL');
use Cpanel::LogMeIn;
my @login = ( user => 'alice', pass => 'secret', hostname => 'localhost', service => 'cpanel' );
sub log_in { Cpanel::LogMeIn::get_loggedin_url(@login) or die $Cpanel::LogMeIn::detail }
log_in() for 1 .. 3;
my $pid = fork // die;
if ( !$pid ) { log_in(); exit }
waitpid $pid, 0;
log_in();
Cpanel::LogMeIn::get_loggedin_url( @login, hostname => 'nowhere.invalid' );
print $? == 0 ? 'ran' : 'failed';
PERL
like( $out, qr/ran/, 'remote logins run with valgrind' ) or diag($out);
is_deeply( [ complaints_about_us($out) ], [], '... and nothing is ours of what it says' );

ok(
    complaints_about_us(
        "==1== \n==1== 8 bytes in 1 blocks are definitely lost\n==1==    by 0x1: lmi_new (crypto.c:9)\n==1== \n"
    ),
    'control: what is ours would be seen'
);
done_testing();
