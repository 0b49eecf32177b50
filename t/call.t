#!/usr/bin/perl

# The documented call: parameters, return values, and that it never dies.

use strict;
use warnings;
use Test::More;
use Test::Cpanel::LogMeIn;

my $site = Test::Cpanel::LogMeIn->new;
my @warnings;
local $SIG{__WARN__} = sub { push @warnings, @_ };

sub call { return Cpanel::LogMeIn::get_loggedin_url(@_) }

my @good = (
    user     => 'alice',
    pass     => 'secret',
    hostname => 'localhost',
    service  => 'cpanel',
    goto_uri => '/',
);

my @answer = call(@good);
is( scalar @answer, 4,          'a list of four' );
is( $answer[0],     1,          'login_ok' );
is( $answer[1],     'Login OK', 'login_message' );
like( $answer[2], qr{\Ahttps://localhost:2083/cpsess[0-9]{10}/\?session=lmt_[\w-]{43}\z},
    'login_url' );
like( $answer[3],               qr{\A/cpsess[0-9]{10}\z},     'security_token' );
like( $Cpanel::LogMeIn::detail, qr{\Asession [0-9a-f]{16}\z}, '$detail names the session' );
is( index( $answer[2], "https://localhost:2083$answer[3]/" ), 0, 'the URL holds the token' );

is( scalar( call(@good) ),                    1, 'in scalar context: login_ok' );
is( scalar( call( @good, pass => 'wrong' ) ), 0, 'in scalar context: 0 on failure' );

is_deeply(
    [ call( @good, pass => 'wrong' ) ],
    [ 0, 'The login is invalid.', undef, undef ],
    'a wrong password: four elements, one sentence'
);
is( $Cpanel::LogMeIn::detail, 'the password is wrong', '$detail tells the operator' );
is(
    ( call( @good, user => 'nobody' ) )[1],
    'The login is invalid.',
    'a user that does not exist: the same sentence'
);

ok( ( call( @good, colour => 'blue', [] => 1 ) )[0], 'unknown names are ignored' );
ok( ( call( pass => 'wrong', @good ) )[0], 'of two values for a name the later one counts' );

my $object = bless {}, 'Cpanel::LogMeIn';
my %calls  = (
    'no parameters'    => [ sub { call() },                qr/'user' is missing/ ],
    'an odd list'      => [ sub { call( @good, 'user' ) }, qr/pairs of a name and a value/ ],
    'a class method'   => [ sub { Cpanel::LogMeIn->get_loggedin_url(@good) }, qr/function/ ],
    'an object method' => [ sub { $object->get_loggedin_url(@good) },         qr/function/ ],
    'one undef'        => [ sub { call(undef) }, qr/pairs of a name and a value/ ],
);

for my $name ( sort keys %calls ) {
    my ( $code, $sentence ) = @{ $calls{$name} };
    my @got = eval { $code->() };
    is( $@, '', "$name: no exception" );
    is_deeply( [ @got[ 0, 2, 3 ] ], [ 0, undef, undef ], "$name: a failure of four elements" );
    like( $got[1], $sentence, "$name: its sentence" );
    isnt( $Cpanel::LogMeIn::detail, '', "$name: \$detail is set" );
}

# Messages must not contain parameters: scripts print them to browsers.
for my $name (qw(user pass hostname service goto_uri remote_addr tfa_token)) {
    my $message = ( call( @good, $name => "<b>zq\x01xj</b>" ) )[1];
    unlike( $message, qr/zq|xj|<b>/, "$name: the message does not echo it" );
}

# The caller's values are not changed.
my $number = 12345;
call( @good, user => $number );
require B;
ok( !( B::svref_2object( \$number )->FLAGS & B::SVf_POK() ), 'a number stays a number' );
my $wide = "\x{e9}\x{20ac}";
chop $wide;
call( @good, pass => $wide );
ok( utf8::is_utf8($wide), 'a flagged string stays flagged' );

# Tied arguments are read once each.
{

    package Counter;

    sub TIESCALAR {
        my ( $class, $value ) = @_;
        return bless { value => $value, reads => 0 }, $class;
    }
    sub FETCH { my ($self) = @_; $self->{reads}++; return $self->{value} }
}
tie my $tied, 'Counter', 'secret';
ok( ( call( @good, pass => $tied ) )[0], 'a tied password works' );
is( tied($tied)->{reads}, 1, 'and is read once' );

is( "@warnings", '', 'no warning anywhere' );
done_testing();
