#!/usr/bin/perl

# Calls with scalars of every kind: numbers, references, globs, tied and overloaded ones
# whose code changes or frees the other arguments. Nothing crashes or is granted, and a
# call dies only with a sentence of the manual. LMI_CALLS is the number of calls of each
# function, LMI_SEED makes a run again.

use strict;
use warnings;
use Scalar::Util qw(dualvar);
use Test::More;
use Test::Cpanel::LogMeIn;
use lib 't/lib';
use Logins qw(open_session site);

my $CALLS = $ENV{LMI_CALLS} || 500;
my $SEED  = $ENV{LMI_SEED}  || time;
srand $SEED;
note("LMI_SEED=$SEED");

my @warnings;
local $SIG{__WARN__} = sub {
    push @warnings, grep { !/uninitialized|isn't numeric/ } @_;
};
my $site    = site( settings => { log => 'none', backend => 'local' } );
my $session = open_session();

# The arguments of the call that is running.
my @arguments;

# What the code of an argument does to the others; not while it is at it, for that would
# be too much for Perl itself.
our $busy;

sub meddle {
    return if $busy;
    local $busy = 1;
    my $how = int rand 5;
    @arguments = () if $how == 0;
    shift @arguments if $how == 1;
    $_         = 'x' x ( 1 + rand 2e3 ) for $how == 2 ? grep { !ref } @arguments : ();
    @arguments = map                                         { rand } 1 .. 40 if $how == 3;
    return;
}
{

    package Doer;
    use overload
        '""'     => sub { $_[0]->() },
        '0+'     => sub { $_[0]->() },
        'bool'   => sub { $_[0]->() },
        fallback => 1;
    sub TIESCALAR { my ( $class, $does ) = @_; return bless $does, $class }
    sub FETCH     { my ($self) = @_; return $self->() }
    sub STORE     { }
}

sub meddler {
    my ($value) = @_;
    return bless sub { meddle(); $value }, 'Doer';
}

sub bytes {
    return join q{}, map { chr rand 256 } 1 .. rand 40;
}

sub wide {
    return join q{}, map { chr 256 + rand 60_000 % 0xD000 } 0 .. rand 20;
}

sub flagged {
    my $text = bytes();
    utf8::upgrade($text);
    return $text;
}
our $GLOB = 'x';
my @kinds = (
    sub { },
    sub { q{} },
    sub { int rand 2**40 },
    sub { ( 0, -1, 1.5, 9**9**9, -9**9**9, 1e300 )[ rand 6 ] },
    \&bytes,
    \&wide,
    \&flagged,
    sub { 'x' x rand 70_000 },
    sub { 'a' . chr(0) . 'b' },
    sub {
        ( [], {}, \1, sub { 1 }, \*GLOB, \my $text, \v1.2 )[ rand 7 ];
    },
    sub { *GLOB },
    sub { ( qr/alice/, ${qr/alice/}, v1.2.3, !!1, !!0 )[ rand 5 ] },
    sub { dualvar 5, 'alice' },
    sub { meddler(1) },
    sub { bless {},                                                  'Nothing' },
    sub { bless [ ( undef, 'alice', 1, [], meddler(1) )[ rand 5 ] ], 'Tied' },
    sub { ( 'alice', 'secret', 'cpanel', 'localhost', 'whm', '192.0.2.1', '/' )[ rand 7 ] },
    sub { ( @{$session}{qw(token id)}, 'lmt_' . 'a' x 43, 'alice%3a' . 'a' x 43 )[ rand 4 ] },
);

sub any { return scalar $kinds[ rand @kinds ]->() }

# Ties the arguments that are to be tied, in their place.
sub set_arguments {
    @arguments = @_;
    for (@arguments) {
        next if ref ne 'Tied';
        my $value = $_->[0];
        $_ = undef;
        tie $_, 'Doer', meddler($value);
    }
    return;
}

sub names_and_values {
    my (@names) = @_;
    return map { ( $_, scalar any() ) } grep { rand() < 0.7 } @names;
}
my @access = qw(ticket cookie token service address agent method purpose confirmed uncounted);
my @login  = qw(user pass hostname service goto_uri active_token_for_reuse remote_addr tfa_token);

sub sessions { return 'Cpanel::LogMeIn::Session' }
my $sentences = join q{|}, 'The arguments? ', 'Unknown argument ', 'An argument must ',
    'The service must ', q{The sessions can't be read: }, 'This is not ', 'Wide character ',
    'Usage: ';

# Each function with its arguments; true if it has granted what nobody was given.
my %calls = (
    get_loggedin_url => [
        sub { ( ( any() ) x ( rand() < 0.1 ), names_and_values(@login) ) },
        sub { 4 != ( () = Cpanel::LogMeIn::get_loggedin_url(@_) ) }
    ],
    hash_password => [
        sub { ( any(), '$5$', 1000 + rand 9 ) },
        sub { ( Cpanel::LogMeIn::hash_password(@_) // '$' ) eq q{} }
    ],
    goto_uri =>
        [ sub { scalar any() }, sub { ( Cpanel::LogMeIn::goto_uri( $_[0] ) // q{/} ) !~ m{\A/} } ],
    address_in => [
        sub { ( any(), any() ) },
        sub { Cpanel::LogMeIn::address_in( $_[0], $_[1] ) && !defined $_[1] }
    ],
    redeem =>
        [ sub { names_and_values( @access, 'any_token' ) }, sub { !!sessions()->redeem(@_) } ],
    check  => [ sub { names_and_values(@access) },                sub { !!sessions()->check(@_) } ],
    end    => [ sub { names_and_values( @access, 'any_token' ) }, sub { !!sessions()->end(@_) } ],
    log_in => [
        sub { names_and_values( @login, 'caller_uid' ) },
        sub { ref sessions()->log_in(@_) ne 'HASH' }
    ],
    discard => [ sub { scalar any() }, sub { !!sessions()->discard( $_[0] ) } ],
    serves  => [ sub { scalar any() }, sub { sessions()->serves( $_[0] ); 0 } ],
    revoke  => [
        sub { scalar any() },
        sub { ( $_[0] // q{} ) ne $session->{id} && sessions()->_revoke( $_[0], 'nobody' ) }
    ],
    next =>
        [ sub { ( any() // q{}, any(), any() ) }, sub { sessions()->_next( @_[ 0 .. 2 ] ); 0 } ],
);
for my $name ( sort keys %calls ) {
    my ( $make,    $call ) = @{ $calls{$name} };
    my ( $granted, %odd )  = (0);
    for ( 1 .. $CALLS ) {
        set_arguments( $make->() );
        $granted += eval { $call->(@arguments) } ? 1 : 0;
        $odd{$@}++ if $@ && $@ !~ /\A(?:$sentences)/;
    }
    is( $granted, 0, "$name, $CALLS times" );
    is_deeply( \%odd, {}, '... dies with known sentences only' );
}
is_deeply( \@warnings, [], 'no warning' );

# A boolean is read before the cookie that its code sets.
my %check   = map { $_ => $session->{$_} } qw(cookie token service);
my $cookie  = 'none';
my $setting = bless sub { $cookie = $check{cookie}; 1 }, 'Doer';
ok( sessions()->check( %check, cookie => $cookie, uncounted => $setting ),
    'a boolean whose code sets the cookie' );

# What an argument's code frees is used by other strings at once.
my @strings;
my @checked = ( %check, address => undef, uncounted => 0 );
tie $checked[7], 'Doer', sub {
    @checked = ();
    @strings = map { "string $_" } 1 .. 99;
    undef;
};
ok( eval { sessions()->check(@checked) }, 'an argument whose code frees the others' )
    or diag($@);
is( scalar @strings, 99, 'control: it has run' );
done_testing();
