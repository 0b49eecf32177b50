#!/usr/bin/perl

# Perl with HTTP::Tiny, which has no cookie jar of its own; see xt/clients.t for what
# each recipe is to print.

use strict;
use warnings;
use HTTP::Tiny ();
use JSON::PP   qw(decode_json);

my ( $BASE, $CLEAR ) = @ENV{qw(BASE CLEAR)};
my $ONLY   = "$BASE/login/?login_only=1";
my @FORM   = ( user => $ENV{LOGIN}, pass => $ENV{PASS} );
my $client = HTTP::Tiny->new(
    verify_SSL   => 1,
    SSL_options  => { SSL_ca_file => $ENV{CA} },
    max_redirect => 0
);

sub shown {
    my ($answer) = @_;
    return "$answer->{status} " . ( split /\n/, $answer->{content} )[0];
}

# What the answer wants to be sent back: NAME=VALUE of each cookie.
sub cookies {
    my ($answer) = @_;
    my $lines = $answer->{headers}{'set-cookie'} // [];
    return map { /\A([^;]*)/ } ref $lines ? @{$lines} : $lines;
}

# Follows redirects with all cookies; the answer gets its address.
sub follow {
    my ( $url, $answer, @jar ) = @_;
    push @jar, cookies($answer);
    $answer->{url} = $url;
    return $answer if $answer->{status} !~ /\A3/;
    my ($origin) = $url =~ m{\A(https?://[^/]+)};
    my $target = $answer->{headers}{location} =~ s{\A/}{$origin/}r;
    return follow( $target, get( $target, join q{; }, @jar ), @jar );
}

sub get {
    my ( $url, $cookie ) = @_;
    return $client->get( $url, { headers => $cookie ? { Cookie => $cookie } : {} } );
}

sub post {
    my ( $url, $form, %headers ) = @_;
    return $client->post_form( $url, $form, { headers => \%headers } );
}

# With the token opens a page, or returns status and "status" of a refusal.
sub open_with {
    my ( $page, $answer, %how ) = @_;
    my $said = decode_json( $answer->{content} );
    return "$answer->{status} $said->{status}" if !$said->{security_token};
    my @cookies =
        $how{choose} ? $how{choose}->( cookies($answer) ) : cookies($answer);
    my $url = $BASE . ( $how{slash} // q{} ) . "$said->{security_token}$page";
    return shown( get( $url, join q{; }, @cookies ) );
}

sub refresh {
    my $answer = post( "$BASE/login/", [ @FORM, goto_uri => '/refresh' ] );
    my ($target) =
        $answer->{content} =~ m{META HTTP-EQUIV="refresh" CONTENT="2;URL=(/cpsess[^"]*)"};
    return shown( get( "$BASE$target", join q{; }, cookies($answer) ) );
}

sub multipart {
    my $boundary = 'form-' . time;
    my %field    = @FORM;
    my $body     = join q{},
        map { qq(--$boundary\r\nContent-Disposition: form-data; name="$_"\r\n\r\n$field{$_}\r\n) }
        sort keys %field;
    return $client->post(
        $ONLY,
        {
            content => "$body--$boundary--\r\n",
            headers => { 'Content-Type' => "multipart/form-data; boundary=$boundary" }
        }
    );
}

sub followed {
    my $answer = follow( "$CLEAR/login/", post( "$CLEAR/login/", \@FORM ) );
    return "$answer->{url}$answer->{content}" =~ /cpsess/ ? 'cpsess' : 'none';
}

sub theme {
    my $answer = follow( $ENV{THEME}, get( $ENV{THEME} ) );
    return $answer->{url} =~ m{/frontend/([^/]+)/} ? $1 : 'none';
}

my $query  = $client->www_form_urlencode( \@FORM );
my %recipe = (
    json => sub { open_with( '/json', post( $ONLY, \@FORM ) ) },
    jar  => sub {
        shown( follow( "$BASE/login/", post( "$BASE/login/", [ @FORM, goto_uri => '/jar' ] ) ) );
    },
    refresh => \&refresh,
    first   => sub {
        open_with( '/first', post( $ONLY, \@FORM ), choose => sub { $_[0] } );
    },
    named => sub {
        open_with(
            '/named',
            post( $ONLY, \@FORM ),
            choose => sub {
                grep { /\A\w+session=/ } @_;
            }
        );
    },
    multipart => sub { open_with( '/multipart', multipart() ) },
    origin    => sub {
        open_with( '/origin', post( $ONLY, \@FORM, Origin => 'https://localhost' ) );
    },
    foreign => sub {
        open_with( '/foreign', post( $ONLY, \@FORM, Origin => 'https://portal.example' ) );
    },
    slashes  => sub { open_with( '/slashes', post( $ONLY, \@FORM ), slash => q{/} ) },
    appended => sub {
        my $url = "$ENV{URL}&goto_uri=/appended";
        shown( follow( $url, get($url) ) );
    },
    login => sub {
        my $url = "$ENV{LOGIN_URL}&goto_uri=%2flogin-form";
        shown( follow( $url, get($url) ) );
    },
    theme => \&theme,
    wrong => sub { open_with( '/wrong', post( $ONLY, [ @FORM[ 0 .. 2 ], 'wrong' ] ) ) },
    get   => sub { open_with( '/get',   get("$ONLY&$query") ) },
    query => sub { open_with( '/query', $client->post("$ONLY&$query") ) },
    clear => sub {
        my $url = "$CLEAR/login/?login_only=1";
        open_with( '/clear', follow( $url, post( $url, \@FORM ) ) );
    },
    followed => \&followed,
);

for my $name (@ARGV) {
    print "$name: ", $recipe{$name}->(), "\n";
}
