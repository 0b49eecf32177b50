#!/usr/bin/perl

# Hostile strings in all that a client may send: no session is different because of
# them, and nothing of them is in the store.

use strict;
use warnings;
use blib;
use lib qw(t/lib);
use Test::More;

# In memory, for each login is a commit.
BEGIN { $ENV{TMPDIR} = '/dev/shm' if -w '/dev/shm' }  ## no critic (RequireLocalizedPunctuationVars)
use Cpanel::LogMeIn::Session ();
use Gateway                  qw(ask cookie_of gateway header_of);
use Test::Cpanel::LogMeIn;

my $COUNT = $ENV{LOGMEIN_STRINGS} || 10_000;
my $MARK  = 'zqx9';
my @users = map { "user$_" } 1 .. 300;
my $site  = Test::Cpanel::LogMeIn->new(
    accounts => { map { $_ => 'secret' } @users },
    settings => { log => 'none' }
);
my $app     = gateway();
my $open    = ask( $app, '/login/', form => 'user=user1&pass=secret' );
my ($token) = header_of( $open, 'Location' ) =~ m{\A(/cpsess[0-9]{10})/};
my $cookie  = cookie_of($open);
ask( $app, "$token/x", HTTP_COOKIE => $cookie );

my @ENDS = ( "\r\n", "\n", "\r", "\0", q{=}, q{:}, q{;}, q{,}, "\t", "\x7f", "\x{85}", q{|}, q{"} );
my @FIELDS =
    ( 'user', 'root', 'hasroot', 'service', 'tfa_verified', 'successful_internal_auth', 'pass' );

srand 1;

sub hostile {
    return join q{}, map {
        $ENDS[ rand @ENDS ] . $FIELDS[ rand @FIELDS ] . ( q{=}, q{:}, "\0" )[ rand 3 ] . $MARK
    } 0 .. rand 3;
}
sub coded { my ($text) = @_; return $text =~ s/([^A-Za-z0-9])/sprintf '%%%02x', ord $1/ger }

# Each of them appends the string to one field after the other.
my $number = 0;

sub fields {
    my ( $user, $string ) = @_;
    my %field =
        ( user => $user, pass => 'secret', goto_uri => '/', active_token_for_reuse => $token );
    my @names = sort keys %field;
    $field{ $names[ $number % @names ] } .= $string;
    return %field;
}
my %entry = (
    call => sub {
        my %field = fields(@_);
        Cpanel::LogMeIn::get_loggedin_url( %field, hostname => 'localhost', service => 'cpanel' );
    },
    form => sub {
        my %field = fields(@_);
        ask(
            $app, '/login/',
            form => join q{&},
            map { "$_=" . coded( $field{$_} ) } sort keys %field
        );
    },
    JSON => sub {
        my %field = fields(@_);
        my $form  = join q{&}, map { "$_=" . coded( $field{$_} ) } sort keys %field;
        ask( $app, '/login/?login_only=1', form => $form );
    },
    cookie => sub { ask( $app, "$token/x", HTTP_COOKIE => $cookie . coded( $_[1] ) ) },
    Basic  => sub {
        require MIME::Base64;
        my $basic = MIME::Base64::encode_base64( "$_[0]:secret$_[1]", q{} );
        ask( $app, "$token/x", HTTP_AUTHORIZATION => "Basic $basic" );
    },
    browser => sub {
        ask( $app, '/login/', form => "user=$_[0]&pass=secret", HTTP_USER_AGENT => "x$_[1]" );
    },
);

# What is wrong with the sessions that there are.
sub differing {
    my ($next) = @_;
    my ( $sessions, @odd ) = (0);
    while ( my $session = $next->() ) {
        $sessions++;
        my $good =
               $session->{user} =~ /\Auser[0-9]{1,3}\z/
            && $session->{service} eq 'cpanel'
            && $session->{token} =~ m{\A/cpsess[0-9]{10}\z}
            && $session->{id}    =~ /\A[0-9a-f]{16}\z/
            && abs( $session->{created} - time ) < 3600;
        push @odd, join q{ }, %{$session} if !$good;
    }
    return ( $sessions, @odd );
}

sub in_store {
    my ($text) = @_;
    my $count = 0;
    for my $path ( glob( $site->dir . '/store/data.mdb' ),
        glob( $site->dir . '/store/volatile/*.mdb' ) )
    {
        open my $file, '<:raw', $path or die "$path: $!";
        local $/ = undef;
        $count += () = readline($file) =~ /\Q$text/g;
    }
    return $count;
}

my ( %in, @odd );
for ( 1 .. $COUNT ) {
    my $string = hostile();
    $number++;
    for my $name ( sort keys %entry ) {
        my $answer = $entry{$name}->( $users[ $number % @users ], $string );
        $in{$name}++ if ref $answer && $answer->{body} =~ /PANEL/;
    }
    next if $number % 500;
    $site->forget;
    push @odd, ( differing( Cpanel::LogMeIn::Session->new->list ) )[ 1 .. 3 ];
}
@odd = grep { defined } @odd;
is_deeply( \@odd, [], "$COUNT hostile strings: no session differs" );
is( in_store($MARK), 0, '... and nothing of them is in the store' );
is_deeply( \%in, {}, '... and none of them opens the panel' );
note( "1: $COUNT hostile strings at " .
        keys(%entry) . ' entry points, ' . ( @odd + in_store($MARK) ) . ' records differ' );
cmp_ok( ( differing( Cpanel::LogMeIn::Session->new->list ) )[0],
    '>', 1000, 'control: there are sessions' );
cmp_ok( in_store('user1'), '>', 0, 'control: what is in the store is found' );
my @forged = (
    {
        user    => "user1\nhasroot=1",
        service => 'cpanel',
        token   => $token,
        id      => 'a' x 16,
        created => time
    }
);
is( scalar( () = differing( sub { shift @forged } ) ),
    2, 'control: a session that differs would be' );
done_testing();
