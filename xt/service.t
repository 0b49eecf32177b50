#!/usr/bin/perl

# The port decides which service a login is for, and nothing that a client writes:
# at nginx, at Apache, and at `logmein serve` alone.

use strict;
use warnings;
use blib;
use lib    qw(t/lib xt/lib);
use Author qw(has_program);
use Front  ();
use Serve  qw(free_base raw);
use Test::More;
use Test::Cpanel::LogMeIn;

for my $program (qw(nginx apache2)) {
    plan skip_all => "$program is not installed" if !has_program($program);
}

my @SERVICES = qw(cpanel whm webmail);
my %COOKIE   = ( cpsession => 'cpanel', whostmgrsession => 'whm', webmailsession => 'webmail' );
my %DAEMON   = ( cpaneld   => 'cpanel', whostmgrd       => 'whm', webmaild       => 'webmail' );

my $base = free_base(6);
my %port = map { $SERVICES[$_] => $base + 2 * $_ + 1 } 0 .. $#SERVICES;
my $site = Test::Cpanel::LogMeIn->new(
    accounts => { alice => { password => 'secret', reseller => 1 } },
    settings => { map { ( "port.$_" => $port{$_} ) } keys %port },
);
my %files = Front::files( $site->dir, $base );

# The ways to name another port: the target, and the fields.
my @FORMS = (
    sub { my ($other) = @_; return ( '/login/', "Host: localhost:$other" ) },
    sub {
        my ($other) = @_;
        return ( "https://localhost:$other/login/", "Host: localhost:$other" );
    },
    sub {
        my ( $other, $own ) = @_;
        return ( '/login/', "Host: localhost:$own", "X-Forwarded-Port: $other" );
    },
    sub {
        my ( $other, $own ) = @_;
        return (
            '/login/',
            "Host: localhost:$own",
            "X-Forwarded-Host: localhost:$other",
            "Forwarded: for=192.0.2.1;proto=https;host=\"localhost:$other\""
        );
    },
);

# Logs in at a port by such a request: the services that the cookies and the log name.
sub services_of {
    my ( $at, $target, @fields ) = @_;
    my $form  = 'user=alice&pass=secret';
    my $bytes = join "\r\n", "POST $target HTTP/1.1", @fields, 'Connection: close',
        'X-Forwarded-Proto: https', 'Content-Type: application/x-www-form-urlencoded',
        'Content-Length: ' . length $form, q{}, $form;
    my $logged = length $site->log_text;
    my $answer = raw( $at, ( $at - $base ) % 2, $bytes ) // q{};
    my %named  = map { $COOKIE{$_} => 1 } $answer =~ /^Set-Cookie: (\w+session)=alice/mg;
    $named{ $DAEMON{$_} } = 1
        for substr( $site->log_text, $logged ) =~ /\[(\w+)\] \S+ - alice \S+ SUCCESS/g;
    return keys %named;
}

# Tries all at a front: the number of logins at the port's own service, and a list of
# those elsewhere.
sub tried {
    my ($front) = @_;
    my ( $own, @elsewhere ) = 0;
    for my $at ( $base .. $base + 5 ) {
        my $service = ( $at - $base ) % 2 ? $SERVICES[ ( $at - $base ) / 2 ] : 'none';
        for my $other ( grep { int( ( $_ - $base ) / 2 ) != int( ( $at - $base ) / 2 ) }
            $base .. $base + 5 )
        {
            for my $form ( 0 .. $#FORMS ) {
                for my $got ( services_of( $at, $FORMS[$form]->( $other, $at ) ) ) {
                    if ( $got eq $service ) { $own++ }
                    else { push @elsewhere, "$front: at $at, form $form for $other: $got" }
                }
            }
        }
    }
    return ( $own, @elsewhere );
}

my @all;

sub holds {
    my ($front) = @_;
    my ( $own, @elsewhere ) = tried($front);
    is( scalar @elsewhere, 0, "$front: no client chooses another service" )
        or diag( join "\n", @elsewhere );
    cmp_ok( $own, '>=', 3 * 4 * 2, "control: $own logins at the service of the port" );
    push @all, @elsewhere;
    return;
}

{
    my $alone = Serve->new( '--base', $base, '--app', 'examples/panel.psgi', '--no-socket' );
    holds('serve');
}
my @group   = $< == 0 ? ( '--front-group', 'www-data' ) : ();
my $gateway = Serve->new( '--front', $files{front}, '--base', $base, '--no-socket', @group );
{
    my $nginx = Front::nginx(%files);
    holds('nginx');
}
{
    my $apache = Front::apache(%files);
    holds('Apache');
}
note(     '42: 3 services, 6 ports, '
        . @FORMS
        . ' forms, 3 fronts, '
        . @all
        . ' logins at another service' );

# A port that follows the field Host
my $apache = Front::apache(
    %files,
    name => 'follows',
    edit => sub {
        my ($text) = @_;
        return $text =~ s/X-Forwarded-Port +\K\S+/expr=%{SERVER_PORT}/r;
    }
);
my ( undef, @elsewhere ) = tried('Apache');
cmp_ok( scalar @elsewhere, '>', 0, 'control: where it follows Host, a client chooses' );
done_testing();
