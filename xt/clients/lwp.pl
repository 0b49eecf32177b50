#!/usr/bin/perl

# Perl with LWP::UserAgent; see xt/clients.t for what each recipe is to print.

use strict;
use warnings;
use HTTP::Request::Common qw(GET POST);
use JSON::PP              qw(decode_json);
use LWP::UserAgent        ();
use URI                   ();

my ( $BASE, $CLEAR ) = @ENV{qw(BASE CLEAR)};
my $ONLY = "$BASE/login/?login_only=1";
my @FORM = ( user => $ENV{LOGIN}, pass => $ENV{PASS} );

# A client with a cookie jar, which follows the redirect of a POST.
sub client {
    my $client = LWP::UserAgent->new(
        cookie_jar => {},
        ssl_opts   => { SSL_ca_file => $ENV{CA}, verify_hostname => 1 }
    );
    push @{ $client->requests_redirectable }, 'POST';
    return $client;
}

sub shown {
    my ($answer) = @_;
    return $answer->code . q{ } . ( split /\n/, $answer->content )[0];
}

# With the token opens a page, or returns status and "status" of a refusal.
sub open_with {
    my ( $page, $request, $slash ) = @_;
    my $client = client();
    my $answer = $client->request($request);
    my $said   = decode_json( $answer->content );
    return $answer->code . " $said->{status}" if !$said->{security_token};
    return shown( $client->get( $BASE . ( $slash // q{} ) . "$said->{security_token}$page" ) );
}

# Opens a page with one of the cookies, put into a header by hand.
sub with_cookie {
    my ( $page, $choose ) = @_;
    my $answer = client()->request( POST $ONLY, \@FORM );
    my ($token) = $answer->content =~ /"security_token":"([^"]+)"/;
    my ($cookie) =
        $choose->( map { /\A([^;]*)/ } $answer->header('Set-Cookie') );
    return shown( client()->get( "$BASE$token$page", Cookie => $cookie ) );
}

sub refresh {
    my $client = client();
    my $answer = $client->simple_request( POST "$BASE/login/", [ @FORM, goto_uri => '/refresh' ] );
    $client->cookie_jar->extract_cookies($answer);
    my ($target) = $answer->content =~ m{META HTTP-EQUIV="refresh" CONTENT="2;URL=(/cpsess[^"]*)"};
    return shown( $client->get("$BASE$target") );
}

# The query of a URL.
sub in_query {
    my ($url) = @_;
    my $made = URI->new($url);
    $made->query_form( $made->query_form, @FORM );
    return $made;
}

sub theme {
    my $answer = client()->get( $ENV{THEME} );
    return $answer->request->uri =~ m{/frontend/([^/]+)/} ? $1 : 'none';
}

sub followed {
    my $answer = client()->request( POST "$CLEAR/login/", \@FORM );
    return ( $answer->request->uri . $answer->content ) =~ /cpsess/
        ? 'cpsess'
        : 'none';
}

my %recipe = (
    json => sub { open_with( '/json', POST $ONLY, \@FORM ) },
    jar  => sub {
        shown( client()->post( "$BASE/login/", [ @FORM, goto_uri => '/jar' ] ) );
    },
    refresh => \&refresh,
    first   => sub {
        with_cookie( '/first', sub { $_[0] } );
    },
    named => sub {
        with_cookie(
            '/named',
            sub {
                grep { /\A\w+session=/ } @_;
            }
        );
    },
    multipart => sub {
        open_with( '/multipart', POST $ONLY, \@FORM, Content_Type => 'form-data' );
    },
    origin  => sub { open_with( '/origin', POST $ONLY, \@FORM, Origin => $CLEAR ) },
    foreign => sub {
        open_with( '/foreign', POST $ONLY, \@FORM, Origin => 'https://portal.example' );
    },
    slashes  => sub { open_with( '/slashes', POST( $ONLY, \@FORM ), q{/} ) },
    appended => sub { shown( client()->get("$ENV{URL}&goto_uri=/appended") ) },
    login    => sub { shown( client()->get("$ENV{LOGIN_URL}&goto_uri=%2flogin-form") ) },
    theme    => \&theme,
    wrong    => sub { open_with( '/wrong', POST $ONLY, [ @FORM[ 0 .. 2 ], 'wrong' ] ) },
    get      => sub { open_with( '/get',   GET in_query($ONLY) ) },
    query    => sub { open_with( '/query', POST in_query($ONLY) ) },
    clear    => sub { open_with( '/clear', POST "$CLEAR/login/?login_only=1", \@FORM ) },
    followed => \&followed,
);

for my $name (@ARGV) {
    print "$name: ", $recipe{$name}->(), "\n";
}
