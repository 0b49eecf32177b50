package Plack::App::LogMeIn::Numbers;

use strict;
use warnings;
use Cpanel::LogMeIn ();

our $VERSION = '0.01';

# What the gateway tells about itself: is it alive, is it well, and what has it done.

my $LOOPBACK = '127.0.0.0/8 ::1';
my $TYPE     = 'text/plain; version=0.0.4; charset=utf-8';
my @PARTS    = qw(store key site settings log);

# Without these the gateway can't serve; the others are warnings.
my %NEEDED = map { $_ => 1 } qw(store key site);

# No gateway gives these reasons, which are other servers'.
my %ELSEWHERE = map { $_ => 1 } qw(remote tfa_needed tfa_wrong);

# Any of these fields may come from a proxy, which speaks for somebody else.
my $FROM_PROXY = qr/\AHTTP_(?:FORWARDED|VIA|X_FORWARDED.*|X_REAL_IP)\z/;

# Takes sessions, a Cpanel::LogMeIn::Session, and answer, a Plack::App::LogMeIn::Answer.
sub new {
    my ( $class, %part ) = @_;
    return bless {%part}, $class;
}

# The answer to a request, or the name of a refusal; nothing if the path is not one of
# this class.
sub route {
    my ( $self, $request ) = @_;
    my ($name) = $request->path =~ m{\A/logmein/(live|health|metrics)\z} or return;
    return $self->{answer}->text( 200, 'ok' ) if $name eq 'live';
    return $self->_health($request)           if $name eq 'health';
    return 'not_found'                        if !$self->_is_trusted($request);
    return [ 200, $self->{answer}->headers($TYPE), [ $self->metrics ] ];
}

# False for whoever may come from outside: details are for programs of this machine. A
# page of another site that has this machine's address can't choose the name in Host.
sub _is_trusted {
    my ( $self, $request ) = @_;
    my $env  = $request->env;
    my $peer = $env->{REMOTE_ADDR} // q{};
    return !length $peer if $request->at_front;
    return 0 if !Cpanel::LogMeIn::address_in( $peer, $LOOPBACK ) || !$request->has_good_host;
    return 0 if grep { /$FROM_PROXY/ } keys %{$env};
    my $host = $request->host // 'localhost';
    return
           $host eq 'localhost'
        || Cpanel::LogMeIn::address_in( $host =~ s/\A\[(.*)\]\z/$1/r, $LOOPBACK )
        || eval { $self->{sessions}->serves($host) };
}

sub _health {
    my ( $self, $request ) = @_;
    my %wrong    = $self->{sessions}->health;
    my @faults   = grep { $NEEDED{$_}  && defined $wrong{$_} } @PARTS;
    my @warnings = grep { !$NEEDED{$_} && defined $wrong{$_} } @PARTS;
    my @words    = @faults ? 'fault' : 'ok';
    push @words, @faults, @warnings ? ( 'warning', @warnings ) : ()
        if $self->_is_trusted($request);
    return $self->{answer}->text( @faults ? 503 : 200, "@words" );
}

# All numbers, in the text format of Prometheus.
sub metrics {
    my ($self)   = @_;
    my $sessions = $self->{sessions};
    my $number   = $sessions->numbers;
    my %wrong    = $sessions->health;
    my @live     = eval { $sessions->count_sessions };
    my @logins;
    for my $service ( sort keys %{ $number->{logins} } ) {
        my $count = $number->{logins}{$service};
        push @logins, map { [ qq(service="$service",reason="$_"), $count->{$_} ] }
            grep { !$ELSEWHERE{$_} } sort keys %{$count};
    }
    my @services;
    while ( my ( $service, $count ) = splice @live, 0, 2 ) {
        push @services, [ qq(service="$service"), $count ];
    }
    return join q{},
        _family( logins_total => counter => 'Logins, by service and reason.', @logins ),
        _family( sessions     => gauge   => 'Live sessions, by service.',     @services ),
        _family(
        redemptions_total => counter => 'Redeemed login URLs, by outcome.',
        _by( outcome => $number->{redemptions} )
        ),
        _family(
        checks_total => counter => 'Checks of session cookies, by outcome.',
        _by( outcome => $number->{checks} )
        ),
        _family(
        faults_total => counter => 'Faults of logins, redemptions and checks, by code.',
        _by( code => $number->{faults} )
        ),
        _histogram(
        login_duration_seconds => 'How long logins took, without waiting for their turn.',
        $number->{login_seconds}
        ),
        _histogram(
        check_duration_seconds => 'How long checks of session cookies took.',
        $number->{check_seconds}
        ),
        _histogram(
        login_wait_seconds =>
            'Waits that logins were refused for, after failed ones: what remained of them.',
        $number->{wait_seconds}
        ),
        _family(
        log_lost_lines_total => counter => 'Lines that could not be written to the log.',
        [ q{}, $sessions->log_state->{lost} ]
        ),
        _family(
        healthy => gauge => 'Whether this part of the gateway is in order: 1 or 0.',
        map { [ qq(part="$_"), defined $wrong{$_} ? 0 : 1 ] } @PARTS
        );
}

sub _by {
    my ( $label, $count ) = @_;
    return map { [ qq($label="$_"), $count->{$_} ] } sort keys %{$count};
}

# Samples are pairs of labels and a value.
sub _family {
    my ( $name, $type, $help, @samples ) = @_;
    return join q{}, "# HELP logmein_$name $help\n# TYPE logmein_$name $type\n",
        map { _sample( $name, @{$_} ) } @samples;
}

sub _sample {
    my ( $name, $labels, $value ) = @_;
    return sprintf "logmein_%s%s %.15g\n", $name, length $labels ? "{$labels}" : q{}, $value;
}

# The buckets of the format contain those below them.
sub _histogram {
    my ( $name, $help, $durations ) = @_;
    my ( $count, @samples ) = (0);
    for my $bucket ( @{ $durations->{counts} } ) {
        my ( $bound, $more ) = @{$bucket};
        $count += $more;
        my $le = defined $bound ? sprintf '%.15g', $bound : '+Inf';
        push @samples, _sample( "${name}_bucket", qq(le="$le"), $count );
    }
    return join q{}, _family( $name => histogram => $help ), @samples,
        _sample( "${name}_sum",   q{}, $durations->{sum} ),
        _sample( "${name}_count", q{}, $count );
}

1;

__END__

=head1 NAME

Plack::App::LogMeIn::Numbers - health and numbers of the gateway

=head1 DESCRIPTION

Internal to L<Plack::App::LogMeIn>, which describes the paths.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
