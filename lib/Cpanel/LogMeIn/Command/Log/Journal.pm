package Cpanel::LogMeIn::Command::Log::Journal;

use strict;
use warnings;
use JSON::PP ();

our $VERSION = '0.01';

my $JSON = JSON::PP->new->utf8;

sub new { my ($class) = @_; return bless {}, $class }

# Runs journalctl, and calls a function with the bytes and the time of each line until it
# returns false.
sub _read {
    my ( $self, $take, @options ) = @_;
    my @command = ( qw(journalctl -t logmein -o json -q --no-pager), @options );
    local $ENV{LC_ALL} = 'C';
    my $pid = open my $out, '-|', @command
        or die "journalctl: $! (log = syslog: look where the system's log is)\n";
    while ( my $text = readline $out ) {
        my $entry = eval { $JSON->decode($text) };
        next if ref $entry ne 'HASH';
        $self->{cursor} //= $entry->{__CURSOR};
        my $time = ( $entry->{__REALTIME_TIMESTAMP} // q{} ) =~ /\A([0-9]{1,20})\z/ ? $1 / 1e6 : 0;
        next if $take->( _bytes( $entry->{MESSAGE} ), int $time );
        kill TERM => $pid;
        close $out;
        return;
    }
    close $out or die 'journalctl failed with status ' . ( $? >> 8 ) . ".\n";
    return;
}

# A message that is no text is an array of numbers, or null if it is very long.
sub _bytes {
    my ($message) = @_;
    return join q{}, map { chr( $_ & 255 ) } grep { !ref } @{$message} if ref $message eq 'ARRAY';
    my $text = $message // q{};
    utf8::encode($text) if !ref $text;
    return "$text";
}

# The last one first.
sub backwards {
    my ( $self, $take ) = @_;
    return $self->_read( $take, '-r' );
}

# Those that are added.
sub follow {
    my ( $self, $take ) = @_;
    my @from = defined $self->{cursor} ? "--after-cursor=$self->{cursor}" : qw(-n 0);
    @from = ( '--no-tail', @from ) if defined $self->{cursor};
    return $self->_read( sub { $take->(@_); return 1 }, '-f', @from );
}

1;

__END__

=head1 NAME

Cpanel::LogMeIn::Command::Log::Journal - the lines of the log in systemd's journal

=head1 DESCRIPTION

Internal to L<logmein-log(8)>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
