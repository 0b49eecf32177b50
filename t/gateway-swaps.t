#!/usr/bin/perl

# A browser that is logged in does not become somebody else without a word: every
# way into a session, from every kind of site.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Gateway qw(ask cookie_of gateway header_of);
use Test::Cpanel::LogMeIn;

my $site = Test::Cpanel::LogMeIn->new( accounts => { alice => 'secret', bob => 'secret' } );
my $app  = gateway();

# What a browser says of the site that a request comes from; true: our own, or the
# user's address bar.
my %from = (
    'no site'          => [ 1 => [] ],
    'the address bar'  => [ 1 => [ HTTP_SEC_FETCH_SITE => 'none' ] ],
    'the own page'     => [ 1 => [ HTTP_SEC_FETCH_SITE => 'same-origin' ] ],
    'a sister site'    => [ 0 => [ HTTP_SEC_FETCH_SITE => 'same-site' ] ],
    'another site'     => [ 0 => [ HTTP_SEC_FETCH_SITE => 'cross-site' ] ],
    'an old browser'   => [ 0 => [ HTTP_ORIGIN         => 'https://evil.example' ] ],
    'a hidden origin'  => [ 0 => [ HTTP_ORIGIN         => 'null' ] ],
    'an unknown value' => [ 0 => [ HTTP_SEC_FETCH_SITE => 'x' ] ],
);

# Ways to log in as alice; true: a form in which a user has typed a password.
my $FORM = 'user=alice&pass=secret';

sub link_of { return ( $site->login )[2] =~ s{\Ahttps://[^/]+}{}r }
my %way = (
    'a login URL'            => [ 0 => sub { ask( $app, link_of(), @_ ) } ],
    'a login URL of /login/' => [
        0 => sub {
            ask( $app, link_of() =~ s{/[?]session=(\S+)}{/login/?session=$1}r, @_ );
        }
    ],
    'the ticket in a form' => [
        0 => sub {
            my ( $token, $ticket ) = link_of() =~ m{\A(/cpsess\d+)/.*session=(\S+)};
            ask( $app, "$token/login/", form => "session=$ticket", @_ );
        }
    ],
    'the login form'         => [ 1 => sub { ask( $app, '/login/', form => $FORM, @_ ) } ],
    'a login answer in JSON' => [
        1 => sub { ask( $app, '/login/?login_only=1', form => $FORM, @_ ) }
    ],
);

# A cookie of bob's, which works.
sub bob {
    my $answer  = ask( $app, '/login/', form => 'user=bob&pass=secret' );
    my ($token) = header_of( $answer, 'Location' ) =~ m{\A(/cpsess[0-9]{10})/};
    my $cookie  = cookie_of($answer);
    return ( $cookie, sub { ask( $app, "$token/x", HTTP_COOKIE => $cookie )->{status} == 200 } );
}

sub sets_alice {
    my ($answer) = @_;
    return grep { /alice%3a/i } header_of( $answer, 'Set-Cookie' );
}

my ( $flows, @swaps, %typed, %alone ) = (0);
for my $way ( sort keys %way ) {
    my ( $is_form, $do ) = @{ $way{$way} };
    for my $from ( sort keys %from ) {
        my ( $is_own, $headers ) = @{ $from{$from} };
        my ( $cookie, $works )   = bob();
        $works->();
        my $answer = $do->( HTTP_COOKIE => $cookie, @{$headers} );
        $flows++;
        if ( $is_form && $is_own ) {
            $typed{$way}++ if sets_alice($answer);
            next;
        }
        push @swaps, "$way, $from: a cookie of alice's"   if sets_alice($answer);
        push @swaps, "$way, $from: bob's session is over" if !$works->();
        $alone{$way}++ if $is_own && sets_alice( $do->( @{$headers} ) );
    }
}
is_deeply( \@swaps, [], "$flows ways into a session, while bob is logged in" );
note( "6: $flows flows, " . @swaps . ' silent swaps' );
is( $typed{$_}, 3, "control: $_, typed at our own page, is a login" )
    for 'the login form', 'a login answer in JSON';
is( $alone{$_}, 3, "control: $_ is good in a browser without a session" )
    for grep { !$way{$_}[0] } sort keys %way;
done_testing();
