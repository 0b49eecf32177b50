package Cpanel::LogMeIn::Command::Log::Line;

use strict;
use warnings;
use Cpanel::LogMeIn ();
use Encode          ();
use JSON::PP        ();
use POSIX           ();
use Time::Local     ();

our $VERSION = '0.01';

our @KEYS = qw(time level event service address user session caller_uid outcome reason detail);

my $DATE  = qr/[0-9]{4}(?:-[0-9]{2}){2}/;
my $CLOCK = qr/[0-9]{2}(?::[0-9]{2}){2}/;
my $JSON  = JSON::PP->new->utf8;
my %EVENT = map { $_ => 1 } qw(login new refused purge fault lost warning test notice);
my %DAEMON;

# The names of the events.
sub events {
    my @names = sort keys %EVENT;
    return @names;
}

sub _service_of {
    my ($daemon) = @_;
    %DAEMON = map { $_->{daemon} => $_->{name} } Cpanel::LogMeIn::services() if !%DAEMON;
    return $DAEMON{$daemon};
}

# Seconds since 1970, of "2026-11-24T12:00:00Z" and "2026-11-24 13:00:00 +0100".
sub _seconds {
    my ($text) = @_;
    my ( $date, $clock, $zone ) = $text =~ m{\A($DATE)[T ]($CLOCK)(Z| [+-][0-9]{4})\z}
        or return;
    my ( $year, $month,  $day )     = split /-/, $date;
    my ( $hour, $minute, $second )  = split /:/, $clock;
    my ( $sign, $hours,  $minutes ) = $zone =~ /([+-])(..)(..)/;
    my $time =
        eval { Time::Local::timegm( $second, $minute, $hour, $day, $month - 1, $year ) } // return;
    my $offset = 3600 * ( $hours // 0 ) + 60 * ( $minutes // 0 );
    return ( $sign // q{+} ) eq q{+} ? $time - $offset : $time + $offset;
}

# The text behind the time, in the form of cPanel's logs.
sub _read_text {
    my ($text) = @_;
    $text =~ s/\Ainfo // or return;
    if ( $text =~ /\A([A-Z]+) (.*)\z/s ) {
        return $EVENT{ lc $1 } ? { event => lc $1, detail => $2 } : undef;
    }
    $text =~ s/\A\[(\w+)\] (\S+) // or return;
    my %line = ( service => _service_of($1) // return, address => $2 );
    if ( $text =~ /\A- (\S+) "login(?: by uid ([0-9]+))?" (SUCCESS|FAILED) LOGIN \w+: (.*)\z/s ) {
        @line{qw(event user caller_uid detail)} = ( 'login', $1, $2, $4 );
        $line{outcome}                          = $3 eq 'FAILED' ? 'failed' : 'success';
        $line{session} = $1 if $line{detail} =~ /\Asession ([0-9a-f]{16})\z/;
    }
    elsif ( $text =~ /\A([A-Z]+) ([^\s:]+):(\S+) (.*)\z/s && $EVENT{ lc $1 } ) {
        @line{qw(event user session detail)} = ( lc $1, $2, $3, $4 );
    }
    else {
        return;
    }
    return \%line;
}

sub _read_json {
    my ($text) = @_;
    my $line = eval { $JSON->decode($text) };
    return if ref $line ne 'HASH' || grep { ref } values %{$line};
    return if !$EVENT{ $line->{event} // q{} };
    return { map { $_ => $line->{$_} } grep { defined $line->{$_} } @KEYS };
}

# A line of the log, in either format, as a hash of characters with the keys of the JSON
# format, and "seconds", its time. What is no line of ours has only "detail", and a time if
# one was given: a log of the system has it apart.
sub parse {
    my ( $bytes, $seconds ) = @_;
    my $line;
    if ( $bytes =~ /\A\s*[{]/ ) {
        $line = _read_json($bytes);
        $seconds //= _seconds( $line->{time} // q{} ) if $line;
    }
    else {
        my $text = Encode::decode( 'UTF-8', $bytes );
        $seconds //= _seconds($1) if $text =~ s/\A\[([^\]]{20,30})\] //;
        $line = _read_text($text);
    }
    $line //= { detail => Encode::decode( 'UTF-8', $bytes ) };
    delete @{$line}{ grep { !defined $line->{$_} || $line->{$_} eq q{-} } keys %{$line} };
    delete $line->{time};
    if ( defined $seconds ) {
        $line->{seconds} = $seconds;
        $line->{time}    = POSIX::strftime( '%Y-%m-%dT%H:%M:%SZ', gmtime $seconds );
    }
    return $line;
}

# Without control characters, which drive terminals.
sub _clean {
    my ($text) = @_;
    return $text =~ s/[\x00-\x1f\x7f-\x9f\x{2028}\x{2029}\x{202a}-\x{202e}\x{2066}-\x{2069}]/?/gr;
}

# For a person: one line, in the local time, as bytes.
sub show {
    my ($line) = @_;
    my $time =
        defined $line->{seconds}
        ? POSIX::strftime( '%Y-%m-%d %H:%M:%S', localtime $line->{seconds} )
        : q{-};
    my $event = $line->{outcome} ? "$line->{event} $line->{outcome}" : $line->{event};
    my $user  = $line->{user};
    $user .= " (uid $line->{caller_uid})" if defined $user && defined $line->{caller_uid};
    my @cells = ( $event, @{$line}{qw(service address)}, $user, $line->{detail} );
    my $text  = sprintf '%-19s  %-13s  %-7s  %-15s  %-12s  %s', $time, map { $_ // q{-} } @cells;
    $text .= " ($line->{session})"
        if defined $line->{session} && index( $text, $line->{session} ) < 0;
    return Encode::encode( 'UTF-8', _clean($text) ) . "\n";
}

# For a program: one line of JSON in ASCII, with the keys of the JSON format.
sub json {
    my ($line) = @_;
    my %out = map { $_ => $line->{$_} } grep { defined $line->{$_} } @KEYS;
    $out{caller_uid} += 0 if defined $out{caller_uid};
    return JSON::PP->new->ascii->canonical->encode( \%out ) . "\n";
}

1;

__END__

=head1 NAME

Cpanel::LogMeIn::Command::Log::Line - one line of the log

=head1 DESCRIPTION

Internal to L<logmein-log(8)>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
