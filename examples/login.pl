#!/usr/bin/perl

# Logs a user in and prints the headers that redirect a browser to a page, as a CGI
# script does: first to the home page, then to another page of the same login.
#
#     examples/login.pl USER HOSTNAME SERVICE < FILE-WITH-THE-PASSWORD
#
# The password is read from standard input, because all users of the machine can see
# arguments.

use strict;
use warnings;
use Cpanel::Config::Constants ();
use Cpanel::LogMeIn           ();

my ( $user, $hostname, $service ) = @ARGV;
die "Usage: $0 USER HOSTNAME SERVICE < PASSWORD\n" if @ARGV != 3;
chomp( my $pass = readline(STDIN) // '' );

my $theme = $Cpanel::Config::Constants::DEFAULT_CPANEL_THEME;
my $token;

for my $goto_uri ( '/', "/frontend/$theme/domains/index.html" ) {
    my ( $login_ok, $login_message, $login_url, $security_token ) =
        Cpanel::LogMeIn::get_loggedin_url(
        user                   => $user,
        pass                   => $pass,
        hostname               => $hostname,
        service                => $service,
        goto_uri               => $goto_uri,
        active_token_for_reuse => $token,
        );
    if ($login_ok) {
        print "Location: $login_url\r\n\r\n";

        # The next URL uses the same token, so that both belong to one login.
        $token = $security_token;
    }
    else {
        print "Content-type: text/plain\r\n\r\n";
        print "LOGIN FAILED: $login_message\n";
    }
}
