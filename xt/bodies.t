#!/usr/bin/perl

# Ten thousand login forms of a mebibyte: each is refused in next to no time.

use strict;
use warnings;
use blib;
use lib 't/lib';
use Test::More;
use Gateway qw(ask gateway);
use Test::Cpanel::LogMeIn;

my $COUNT = 10_000;
my $LIMIT = 1;                                                             # millisecond of CPU
my $site  = Test::Cpanel::LogMeIn->new( settings => { log => 'none' } );
my $app   = gateway();
my $form  = 'user=alice&pass=' . 'x' x 1_048_576;

# Milliseconds of CPU that a call takes, and how often it gets this status.
sub measure {
    my ( $count, $wanted, $job ) = @_;
    my ( $user, $system ) = times;
    my $times = grep { $job->()->{status} == $wanted } 1 .. $count;
    my ( $later, $also ) = times;
    return ( 1000 * ( $later - $user + $also - $system ) / $count, $times );
}

# The length is known from its field, and the body is not read: its text is made once.
open my $body, '<', \$form or die "memory: $!";
my @how = (
    REQUEST_METHOD => 'POST',
    CONTENT_TYPE   => 'application/x-www-form-urlencoded',
    'psgi.input'   => $body,
);
for my $case (
    [ 'with its length',  CONTENT_LENGTH => length $form ],
    [ 'without a length', CONTENT_LENGTH => undef ],
    )
{
    my ( $name, @length ) = @{$case};
    my ( $took, $times )  = measure( $COUNT, 413,
        sub { seek $body, 0, 0; return ask( $app, '/login/', @how, @length ) } );
    is( $times, $COUNT, "$COUNT forms of a mebibyte, $name, are refused" );
    cmp_ok( $took, '<=', $LIMIT, sprintf '... in %.2f ms each', $took );
    note( sprintf "17: %d bodies of 1 MiB $name, at most %.2f ms of CPU each", $COUNT, $took );
}
my ($honest) = measure( 20, 302, sub { ask( $app, '/login/', form => 'user=alice&pass=secret' ) } );
my ($costly) = measure(
    20, 302,
    sub {
        Cpanel::LogMeIn::hash_password( 'x' x 500, '$5$', 20_000 );
        return ask( $app, '/login/', form => 'user=alice&pass=secret' );
    }
);
cmp_ok( $honest, '>', 0,      'control: a login takes a while' );
cmp_ok( $costly, '>', $LIMIT, 'control: a costly one takes longer than allowed' );
done_testing();
