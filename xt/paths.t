#!/usr/bin/perl

# A hundred thousand request targets: what the gateway lets through means the same to
# a server that decodes and resolves it, and without a session nothing passes. What
# nginx makes of them is the subject of xt/long/paths.t.

use strict;
use warnings;
use blib;
use lib 't/lib';
use Encode ();
use Test::More;
use Gateway qw(ask cookie_of gateway header_of);
use Test::Cpanel::LogMeIn;

my $COUNT   = $ENV{LOGMEIN_PATHS} || 100_000;
my $site    = Test::Cpanel::LogMeIn->new( settings => { log => 'none' } );
my $app     = gateway();
my $open    = ask( $app, '/login/', form => 'user=alice&pass=secret' );
my ($token) = header_of( $open, 'Location' ) =~ m{\A(/cpsess[0-9]{10})/};
my @with    = ( HTTP_COOKIE => cookie_of($open) );

no warnings 'qw';    ## no critic (ProhibitNoWarnings)
my @PARTS = (
    qw(/ // . .. /./ /../ %2e %2E%2e %2f %2F %5c \\ ; ;a=b %00 %0d%0a %09 %20 %25 %252f %252e %7f
        %c0%af %e2%80%ae %ff %C3%A9 %zz % %1 : @ ! $ & ' ( ) * + ~ ^ | ` { } [ ] < > " _ - = a b
        %ed%a0%80 %f4%90%80%80 login json-api/ ? ?x=y ?session=x # %23 %3f), chr 0xe9, "\t", q{ }
);
srand 36;

sub target {
    my $start = rand() < 0.9 ? $token : q{};
    return $start . q{/} . join q{}, map { $PARTS[ rand @PARTS ] } 1 .. 1 + rand 5;
}

# The path as a server of a simple kind reads it; undef if it could read it in two
# ways: then the gateway must not let it through.
sub resolved {
    my ($target) = @_;
    my ($path)   = split /[?]/, $target, 2;
    return if $path =~ /[^!-~]|[#\\]|%(?![0-9A-Fa-f]{2})/ || $path =~ m{%(?:2f|5c|00)}i;
    my $plain = $path =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ger;
    return if $plain =~ m{//|[\x00-\x1f\x7f]};
    return if grep { /\A[.][.]?(?:;|\z)/ } split m{/}, $plain, -1;
    return if !eval { Encode::decode( 'UTF-8', my $copy = $plain, Encode::FB_CROAK ); 1 };
    return $plain;
}

my ( %count, @wrong );
for my $number ( 1 .. $COUNT ) {
    my $target = target();
    my $answer = ask( $app, $target, @with );
    my $passed = $answer->{status} =~ /\A2/ && $answer->{body} =~ /\APANEL/;
    $count{ $passed ? 'passed' : 'refused' }++;
    if ($passed) {
        my $path = resolved($target);
        my ($seen) = $answer->{body} =~ /\Q|$token|\E(.*)\|[0-9]+\z/s;
        push @wrong, $target if !defined $path || $path ne $token . ( $seen // q{} );
    }
    next if $number % 4;
    $count{alone}++;
    my $alone = ask( $app, $target );
    push @wrong, "without a session: $target" if $alone->{body} =~ /PANEL/;
}
is( scalar @wrong, 0, "$COUNT targets: the gateway and the app agree, and nobody gets in" )
    or diag( map { s/([^ -~\n])/sprintf '\\x%02x', ord $1/ger . "\n" }
        @wrong[ 0 .. ( $#wrong < 20 ? $#wrong : 20 ) ] );
note( "36: $COUNT request targets, " . @wrong . ' understood in two ways or let in' );
cmp_ok( $count{$_}, '>', $COUNT / 50, "control: $count{$_} are $_" ) for qw(passed refused alone);
is( resolved($_), undef, "control: '$_' has two meanings" )
    for '/a/%2e%2e/b', '/a%2fb', '//x', '/%ff';
done_testing();
