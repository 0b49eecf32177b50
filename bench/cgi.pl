#!/usr/bin/perl

# Row 3: the smallest CGI script that logs somebody in. LOGMEIN_CONF is set.
use strict;
use warnings;
use Cpanel::LogMeIn ();

my ( $login_ok, $message, $url, $token ) = Cpanel::LogMeIn::get_loggedin_url(
    user     => 'alice',
    pass     => 'secret',
    hostname => 'localhost',
    service  => 'cpanel',
    goto_uri => '/',
);
exit( $login_ok ? 0 : 1 );
