package Cpanel::LogMeIn::Command::Log;

use strict;
use warnings;
use parent 'Cpanel::LogMeIn::Command';
use Cpanel::LogMeIn::Command::Log::File    ();
use Cpanel::LogMeIn::Command::Log::Journal ();
use Cpanel::LogMeIn::Command::Log::Line    ();
use Cpanel::LogMeIn::Session               ();
use IO::Handle                             ();

our $VERSION = '0.01';

my $LINES = 20;
my %UNIT  = ( s => 1, m => 60, h => 3600, d => 86_400, w => 604_800 );

sub actions {
    my @filters = qw(address=s event=s failed service=s since=s user=s);
    return ( tail => { options => [ 'follow|f', 'json', 'lines|n=i', @filters ] } );
}

sub _list { return join ', ', @_ }

sub complaint {
    my ( $class, undef, $option ) = @_;
    my @events   = Cpanel::LogMeIn::Command::Log::Line::events();
    my @services = map { $_->{name} } Cpanel::LogMeIn::services();
    return '--lines must be from 1 to 1000000.'
        if defined $option->{lines} && ( $option->{lines} < 1 || $option->{lines} > 1_000_000 );
    return "There is no event '$option->{event}': use one of " . _list(@events) . q{.}
        if defined $option->{event} && !grep { $_ eq $option->{event} } @events;
    return "There is no service '$option->{service}': use one of " . _list(@services) . q{.}
        if defined $option->{service} && !grep { $_ eq $option->{service} } @services;
    return "'$option->{since}' is no age: write 90s, 15m, 2h, 3d or 1w."
        if defined $option->{since} && !_age( $option->{since} );
    return;
}

sub _age {
    my ($text) = @_;
    my ( $number, $unit ) = $text =~ /\A([0-9]{1,9})([smhdw])\z/ or return;
    return $number * $UNIT{$unit};
}

sub run {
    my ( $class, undef, $option ) = @_;
    my $self = bless { option => $option }, $class;
    my $log  = _source( Cpanel::LogMeIn::Session->new->setting('log') );
    $self->{since} = time - _age( $option->{since} ) if defined $option->{since};
    STDOUT->autoflush(1);
    $self->_print($_) for $self->_last($log);
    $log->follow( sub { $self->_print( $self->_wanted(@_) ); return 1 } ) if $option->{follow};
    return 0;
}

sub _source {
    my ($where) = @_;
    if ( $where =~ /\Afile:(.*)\z/s ) {
        return Cpanel::LogMeIn::Command::Log::File->new($1);
    }
    return Cpanel::LogMeIn::Command::Log::Journal->new         if $where eq 'syslog';
    die "Nothing is logged: the settings have 'log = none'.\n" if $where eq 'none';
    die "The log is each program's standard error: the settings have 'log = stderr'.\n";
}

# The last lines that are wanted, in their order.
sub _last {
    my ( $self, $log ) = @_;
    my $most = $self->{option}{lines} // $LINES;
    my @lines;
    $log->backwards(
        sub {
            my $line = Cpanel::LogMeIn::Command::Log::Line::parse(@_);
            return 0 if $self->_is_before($line);
            unshift @lines, $line if $self->_fits($line);
            return @lines < $most;
        }
    );
    return @lines;
}

# The line, or nothing.
sub _wanted {
    my ( $self, @raw ) = @_;
    my $line = Cpanel::LogMeIn::Command::Log::Line::parse(@raw);
    return $self->_is_before($line) || !$self->_fits($line) ? undef : $line;
}

sub _is_before {
    my ( $self, $line ) = @_;
    return defined $self->{since} && defined $line->{seconds} && $line->{seconds} < $self->{since};
}

sub _fits {
    my ( $self, $line ) = @_;
    my $option = $self->{option};
    return 0 if !length( $line->{detail} // q{} ) && !defined $line->{event};
    for my $key (qw(address event service user)) {
        return 0 if defined $option->{$key} && ( $line->{$key} // q{} ) ne $option->{$key};
    }
    return 1 if !$option->{failed};
    return ( $line->{outcome} // q{} ) eq 'failed' || ( $line->{event} // q{} ) eq 'refused';
}

sub _print {
    my ( $self, $line ) = @_;
    return if !$line;
    print $self->{option}{json}
        ? Cpanel::LogMeIn::Command::Log::Line::json($line)
        : Cpanel::LogMeIn::Command::Log::Line::show($line);
    return;
}

1;

__END__

=head1 NAME

logmein-log - show the log

=head1 SYNOPSIS

    logmein log tail [-n N] [-f] [--user U] [--address A] [--event E]
        [--service S] [--failed] [--since AGE] [--json]

=head1 DESCRIPTION

Reads the log that the settings name: a file, in either format, or the system's journal,
with journalctl, for C<log = syslog>. What lines there are, and what their fields mean, is
in L<logmein.conf(5)>, C<log_format>. Reading the journal takes root, or the group
C<systemd-journal>; of standard error there is nothing to read.

=head1 COMMANDS

=head2 tail

    logmein log tail [OPTIONS]

Shows the last lines that are wanted: the time in the local time zone, event, service,
address, user, and the text; C<-> for what is not known. A text line does not say
its level, nor in one word why a login failed: C<level> and C<reason> are only known of
JSON. Control characters are
shown as C<?>.

=head1 OPTIONS

=over 4

=item C<-n N>, C<--lines N>

How many lines, 1 to 1000000, by default 20.

=item C<-f>, C<--follow>

Goes on with the lines that are added, until it is interrupted; also when the file is
rotated.

=item C<--user NAME>, C<--address ADDRESS>

Only lines of this user, or of this browser's address, as they are in the log.

=item C<--event EVENT>

Only these: C<fault>, C<login>, C<lost>, C<new>, C<notice>, C<purge>, C<refused>, C<test> or
C<warning>.

=item C<--service SERVICE>

Only lines of C<cpanel>, C<whm> or C<webmail>.

=item C<--failed>

Only failed logins and refused tickets.

=item C<--since AGE>

Only lines that are not older than so many seconds, minutes, hours, days or weeks:
C<90s>, C<15m>, C<2h>, C<3d>, C<1w>.

=item C<--config FILE>

The settings file. By default the one that is in use.

=item C<--json>

Prints one object a line, with the keys of C<log_format = json>, those that are known. A
line that is none of this module's has only C<detail>, and C<time> if it is known.

=back

=head1 EXIT STATUS

0, also if there are no such lines; 2 for wrong usage, 3 if the log can't be read.

=head1 SEE ALSO

L<logmein(1)>, L<logmein.conf(5)>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
