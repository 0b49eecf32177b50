#!/usr/bin/perl

# The vendor's documented script, tested as a user would test it, in ten lines.

use strict;
use warnings;
use blib;
use Test::More;
use Test::Cpanel::LogMeIn;
my $script = $ENV{LOGMEIN_SCRIPT} // '../shared/login.pl';
plan skip_all => "$script is not here" if !-e $script;
my $site   = Test::Cpanel::LogMeIn->new( accounts => { XXXXXX => 'XXXXXX' } );
my $answer = run_cgi($script);
is( $answer->{status}, 302, 'it sends the browser on' );
session_ok( url_redeems_ok( $answer->{headers}{location}[0], 'to a URL' ), 'with a session' );
$site->account( XXXXXX => 'another' );
like( run_cgi($script)->{body}, qr/LOGIN FAILED: The login is invalid/, 'or says why not' );
done_testing();
