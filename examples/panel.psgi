#!/usr/bin/perl

# A small panel that shows user, service and path:
#
#     logmein serve --app examples/panel.psgi

use strict;
use warnings;

my %SERVICE = (
    cpanel  => [ 'Control panel',         qw(domains files mail) ],
    whm     => [ 'Server administration', qw(accounts services) ],
    webmail => [ 'Webmail',               qw(inbox drafts) ],
);

# Parts of the page come from the browser.
sub escape {
    my ($text) = @_;
    return $text =~ s/([&<>"'])/'&#' . ord($1) . ';'/ger;
}

# SCRIPT_NAME holds the security token: a link that begins with it stays in
# the session.
sub {
    my ($env) = @_;
    my ( $title, @pages ) = @{ $SERVICE{ $env->{'logmein.service'} } };
    my $base = escape( $env->{SCRIPT_NAME} );
    my $path = escape( $env->{PATH_INFO} );
    my $user = escape( $env->{REMOTE_USER} );
    my $exit = escape( $env->{'logmein.logout'} );
    my $list = join "\n", map { qq(<li><a href="$base/$_">$_</a></li>) } @pages;
    my $html = <<"HTML";
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
</head>
<body>
<h1>$title</h1>
<p>You are <strong id="user">$user</strong>, at <code id="path">$path</code>.</p>
<ul>
<li><a href="$base/">home</a></li>
$list
</ul>
<p><a id="logout" href="$exit">Log out</a></p>
</body>
</html>
HTML
    return [
        200, [ 'Content-Type' => 'text/html; charset=utf-8', 'Content-Length' => length $html ],
        [$html]
    ];
};
