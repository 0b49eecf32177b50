#!/usr/bin/perl

# A login form as a CGI script: it asks for user and password, and redirects the
# browser to a login URL. Copy it into a web server's cgi-bin, behind
# TLS, and set the two values below. Needs CGI.pm (Debian: libcgi-pm-perl).

use strict;
use warnings;
use CGI             ();
use Cpanel::LogMeIn ();

# These are configuration. Never take the hostname from the form: the password is
# sent to that machine.
my $HOSTNAME = $ENV{LOGIN_HOSTNAME} || 'localhost';
my $SERVICE  = $ENV{LOGIN_SERVICE}  || 'cpanel';

$CGI::POST_MAX        = 8192;
$CGI::DISABLE_UPLOADS = 1;

my %SAFE_HEADERS = (
    -type                    => 'text/html; charset=utf-8',
    -cache_control           => 'no-store',
    -referrer_policy         => 'no-referrer',
    -x_content_type_options  => 'nosniff',
    -content_security_policy => q(default-src 'none'; form-action 'self';)
        . q( frame-ancestors 'none'; base-uri 'none'),
);

my $cgi = CGI->new;

# A POST from another site is refused: it could log a user in to an attacker's
# account (login CSRF).
sub is_foreign {
    my $site = $ENV{HTTP_SEC_FETCH_SITE} // 'none';
    return $site eq 'cross-site' || $site eq 'same-site';
}

sub show_form {
    my ( $status, $message ) = @_;
    my $user  = $cgi->escapeHTML( scalar $cgi->param('user') // '' );
    my $alert = $message ? '<p role="alert">' . $cgi->escapeHTML($message) . '</p>' : '';
    print $cgi->header( %SAFE_HEADERS, -status => $status ), <<"PAGE";
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Log in</title>
</head>
<body>
<h1>Log in</h1>
$alert
<form method="post" autocomplete="on">
<p><label>User <input name="user" value="$user" autocomplete="username" required></label></p>
<p><label>Password <input name="pass" type="password" autocomplete="current-password" required></label></p>
<p><button>Log in</button></p>
</form>
</body>
</html>
PAGE
    return;
}

sub log_in {
    my ( $login_ok, $message, $url ) = Cpanel::LogMeIn::get_loggedin_url(
        user     => scalar $cgi->param('user'),
        pass     => scalar $cgi->param('pass'),
        hostname => $HOSTNAME,
        service  => $SERVICE,
        goto_uri => '/',
    );
    return show_form( '401 Unauthorized', $message ) if !$login_ok;
    print $cgi->redirect( %SAFE_HEADERS, -uri => $url, -status => '302 Found' );
    return;
}

# Credentials are accepted in the body of a POST only; queries are logged.
if    ( $cgi->request_method ne 'POST' ) { show_form('200 OK') }
elsif ( is_foreign() )                   { show_form( '403 Forbidden', 'Please log in here.' ) }
else                                     { log_in() }
