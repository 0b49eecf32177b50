#!/usr/bin/perl

# Loading, calling and cloning under ithreads.

use strict;
use warnings;
use Config;
use Test::More;

BEGIN { plan skip_all => 'this perl has no ithreads' if !$Config{useithreads} }

use threads;
use Cpanel::LogMeIn::Session ();
use Test::Cpanel::LogMeIn;
use lib 't/lib';
use Logins qw(site access_of);

my $site     = site( settings => { sessions_max => 1000 } );    # so many, of one account
my $sessions = Cpanel::LogMeIn::Session->new;
my ( $ok, undef, $url ) = $site->login;
ok( $ok, 'a login in the first thread' );
my ($session) = $site->redeem($url);
my @access = access_of($session);
ok( $sessions->check(@access), '... whose object has the store open' );

sub work {
    my @log;
    for ( 1 .. 20 ) {
        my ( undef, $message, $mine ) = $site->login;
        push @log, $message;
        push @log, ( $sessions->check(@access) )[1];
        push @log, ( $site->redeem($mine) )[1];
    }
    return join ' ', @log;
}
my $all      = join ' ', ('Login OK granted granted') x 20;
my @threads  = map { threads->create( \&work ) } 1 .. 4;
my @finished = map { $_->join } @threads;
is( scalar( grep { $_ eq $all } @finished ),
    4, 'four threads log in, check a clone, and redeem, at once' )
    or diag( join "\n", @finished );
is( work(), $all, 'the first thread goes on as before' );

my $nested = threads->create( sub { threads->create( \&work )->join } )->join;
is( $nested, $all, 'a thread of a thread' );

my $detail = threads->create(
    sub {
        $site->login( pass => 'wrong' );
        return $Cpanel::LogMeIn::detail;
    }
)->join;
is( $detail, 'the password is wrong', 'each thread has its own $detail' );
unlike( $Cpanel::LogMeIn::detail, qr/wrong/, '... and not the others' );

my $loaded = threads->create(
    sub {
        my $hash = Cpanel::LogMeIn::hash_password( 'x', '$5$', 1000 );
        my $own  = Cpanel::LogMeIn::Session->new;
        undef $sessions;
        return $hash && $own->check(@access) ? 'works' : 'fails';
    }
)->join;
is( $loaded, 'works', 'a thread drops its clone and makes its own' );
ok( $sessions->check(@access), "... and the parent's object is untouched" );
done_testing();
