#!/usr/bin/perl

# The lines of 1,000 mixed logins through a real gateway add up in the answers, in the
# log, in the numbers, and in the sessions listed; of 200 without XT_LONG.

use strict;
use warnings;
use lib 't/lib';
use AtOnce                   qw(at_once);
use Prometheus               qw(parse_metrics);
use Serve                    qw(request);
use Cpanel::LogMeIn::Session ();
use JSON::PP                 ();
use Test::More;
use Test::Cpanel::LogMeIn;

my $CLIENTS = 8;
my $FACTOR  = $ENV{XT_LONG} ? 5 : 1;
my $ALL     = 200 * $FACTOR;
my $FAULTS  = 10 * $FACTOR;
my $INVALID = 12 * $FACTOR;
my $ADDRESS = 0;

# Users who log in well, users who don't, and users who come too often. Time stands
# still, so that no wait ends.
my @good  = map { "good$_" } 1 .. 9 * $FACTOR;
my @bad   = map { "bad$_" } 1 .. 16 * $FACTOR;
my @often = map { "often$_" } 1 .. 2 * $FACTOR;
my $site  = Test::Cpanel::LogMeIn->new(
    accounts  => { map { ( $_ => 'secret' ) } @good, @bad, @often },
    resellers => \@good,
    settings  => { log_format => 'json' },
    clock     => time,
);
my $dir    = $site->dir;
my $front  = "$dir/front";
my $server = Serve->new( '--front', $front, '--no-socket', '--workers', 4 );
my %port   = map { ( $_->{name} => $_->{port} ) } Cpanel::LogMeIn::services();

sub told {
    my ( $service, $address ) = @_;
    return (
        'X-Forwarded-Proto: https',
        "X-Forwarded-Port: $port{$service}",
        "X-Forwarded-For: $address"
    );
}

# What comes of a login, "SERVICE REASON" as the client is told. One that finds no
# place is sent again, and that is one more line.
sub outcome {
    my ($login) = @_;
    my @lines = _outcome($login);
    push @lines, _outcome($login) while $lines[-1] =~ /busy/ && @lines < 100;
    return @lines;
}

sub _outcome {
    my ($login) = @_;
    my ( $service, $user, $pass, $address ) = @{$login};
    my $answer = request( $front, 0, '/login/?login_only=1', "user=$user&pass=$pass",
        told( $service, $address ) );
    my ($json) = ( $answer->{body} // q{} ) =~ /(\{.*\})/s;
    my $told = eval { JSON::PP->new->decode($json) } // return "$service lost";
    my $reason =
          $told->{status}                                  ? 'ok'
        : ( $told->{message} // q{} ) =~ /Too many people/ ? 'busy'
        :                                                    $told->{reason};
    return "$service $reason";
}

# Each of several clients sends its share, one after the other; returns how often
# "SERVICE REASON" has come of it.
sub send_all {
    my (@jobs) = @_;
    my ( $well, @lines ) = at_once(
        $CLIENTS,
        sub {
            my ($number) = @_;
            my @mine     = map { $jobs[$_] } grep { $_ % $CLIENTS == $number - 1 } 0 .. $#jobs;
            return join "\n", map { outcome($_) } map { @{$_} } @mine;
        }
    );
    is( $well, $CLIENTS, 'all clients have come to an end' );
    my %count;
    $count{$_}++ for grep { length } @lines;
    return %count;
}

# Jobs are logins in a fixed order, each from an address of its own.
sub login {
    my ( $service, $user, $pass ) = @_;
    $ADDRESS++;
    return [ $service, $user, $pass, sprintf '10.0.%d.%d', $ADDRESS >> 8, $ADDRESS & 255 ];
}
my @service = qw(cpanel whm webmail);
my @jobs;
for my $user (@good) {
    push @jobs, [ map { login( $service[ $_ % 2 ], $user, 'secret' ) } 1 .. 10 ];
}
push @jobs, map { [ login( 'cpanel', $_, 'wrong' ), login( 'webmail', $_, 'wrong' ) ] } @bad;
push @jobs, map { [ login( $service[ $_ % 3 ], "nobody$_", 'x' ) ] } 1 .. 32 * $FACTOR;
for my $user (@often) {
    push @jobs, [ map { login( 'cpanel', $user, 'wrong' ) } 1 .. 12 ];
}
push @jobs, map { [ login( $service[ $_ % 3 ], "a%20b$_", 'x' ) ] } 1 .. $INVALID;
my %told = send_all(@jobs);

# Faults: the accounts can't be read.
rename $site->root . '/etc/shadow', "$dir/shadow" or die $!;
my %fault =
    send_all( map { [ login( $service[ $_ % 3 ], $good[ $_ % @good ], 'secret' ) ] } 1 .. $FAULTS );
is( join( q{ }, sort grep { !/busy/ } keys %fault ),
    'cpanel fault webmail fault whm fault', 'faults' )
    or diag( explain( \%fault ) );
my $health = request( $front, 0, '/logmein/health' );
is( $health->{body},   "fault site\n", '... of the site, as health says' );
is( $health->{status}, 503,            '... with 503' );
rename "$dir/shadow", $site->root . '/etc/shadow' or die $!;
$told{$_} += $fault{$_} for keys %fault;

# Each of its kind
my %sum;
for my $pair ( keys %told ) { $sum{ ( split q{ }, $pair )[1] } += $told{$pair} }
my $all = 0;
$all += $_ for values %sum;
my $busy = delete $sum{busy} // 0;
is( $all - $busy, $ALL, "$ALL logins" );
note( "of $ALL logins: ", join( ', ', map { "$sum{$_} $_" } sort keys %sum ),
    "; $busy sent again" );
is( $sum{lost},      undef,    '... all of them answered' );
is( $sum{fault},     $FAULTS,  '... faults' );
is( $sum{parameter}, $INVALID, '... invalid names' );
cmp_ok( $sum{$_}, '>', 0, "... $_" ) for qw(ok invalid wait);
is( $sum{ok}, 90 * $FACTOR, '... good ones' );

# The log: a wrong parameter has no line, nor has a login that did not begin.
my %logged;
for my $line ( split /\n/, $site->log_text ) {
    my $event = JSON::PP->new->decode($line);
    $logged{"$event->{service} $event->{reason}"}++ if $event->{event} eq 'login';
}
my %with_line = map { ( $_ => $told{$_} ) } grep { !/(?:parameter|busy)\z/ } keys %told;
is_deeply( \%logged, \%with_line, 'the log has a line for each' );

# The numbers, of all processes
my $text     = request( $front, 0, '/logmein/metrics' )->{body};
my $families = eval { parse_metrics($text) } or diag( "$@", $text );
my $logins   = $families->{logmein_logins_total}{sample};
my %counted;
for my $sample ( keys %{$logins} ) {
    my ( $service, $reason ) = $sample =~ /\{service="(\w+)",reason="(\w+)"\}/;
    $counted{"$service $reason"} = $logins->{$sample} if $logins->{$sample};
}
is_deeply( \%counted, \%told, 'the numbers are those that the clients were told' );
my $took = $families->{logmein_login_duration_seconds}{sample};
is( $took->{logmein_login_duration_seconds_count}, $ALL, 'each has taken a time' );
is( $families->{logmein_login_wait_seconds}{sample}{logmein_login_wait_seconds_count},
    $sum{wait}, 'each wait is counted' );
is( $families->{logmein_faults_total}{sample}{'logmein_faults_total{code="SITE"}'},
    $FAULTS, 'each fault' );
is( $families->{logmein_log_lost_lines_total}{sample}{logmein_log_lost_lines_total},
    0, 'no line is lost' );

# The sessions
my %listed;
my $next = Cpanel::LogMeIn::Session->list;
while ( my $session = $next->() ) { $listed{ $session->{service} }++ }
my %made = map { ( $_ => $told{"$_ ok"} // 0 ) } @service;
is_deeply( { map { ( $_ => $listed{$_} // 0 ) } @service }, \%made, 'a session for each good one' );
my $live = $families->{logmein_sessions}{sample};
is_deeply( { map { ( $_ => $live->{qq(logmein_sessions{service="$_"})} ) } @service },
    \%made, '... in the numbers' );

# A reload begins nothing anew.
my @old = sort $server->workers;
$server->signal('HUP');
for ( 1 .. 300 ) {
    my %now = map { ( $_ => 1 ) } $server->workers;
    last if !grep { $now{$_} } @old;
    select undef, undef, undef, 0.1;    ## no critic (ProhibitSleepViaSelect)
}
is(
    ( outcome( login( 'cpanel', 'nobody', 'x' ) ) )[-1],
    'cpanel invalid',
    'after SIGHUP, another login'
);
my $later = parse_metrics( request( $front, 0, '/logmein/metrics' )->{body} );
my $key   = 'logmein_logins_total{service="cpanel",reason="invalid"}';
is(
    $later->{logmein_logins_total}{sample}{$key},
    $told{'cpanel invalid'} + 1,
    '... is added to those before'
);

done_testing;
