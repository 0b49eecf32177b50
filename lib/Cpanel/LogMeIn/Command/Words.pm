package Cpanel::LogMeIn::Command::Words;

use strict;
use warnings;
use Cpanel::LogMeIn ();
use Exporter        qw(import);

our $VERSION   = '0.01';
our @EXPORT_OK = qw(is_network is_user plural seconds_of user_of);

my %SECONDS = ( s => 1, m => 60, h => 3600, d => 86_400 );

# 90s, 15m, 12h, 30d in seconds; undef for anything else.
sub seconds_of {
    my ($age) = @_;
    my ( $number, $unit ) = $age =~ /\A([0-9]{1,5})([smhd])\z/ or return;
    return $number * $SECONDS{$unit};
}

# An account's name, as logins accept it.
sub is_user {
    my ($name) = @_;
    my $part = qr/[A-Za-z0-9_+][A-Za-z0-9_.+-]*/;
    return $name =~ /\A$part(?:[@]$part)?\z/ && length $name <= 254 && $name !~ /[.]{2}/;
}

# As the core keeps it: a mailbox's domain has small letters.
sub user_of {
    my ($name) = @_;
    return $name =~ s/@(.*)/@\L$1/sr;
}

# ADDRESS or ADDRESS/BITS: then it contains its own address.
sub is_network {
    my ($text) = @_;
    return 0 if $text =~ /\s/;
    return Cpanel::LogMeIn::address_in( $text =~ s{/.*}{}sr, $text );
}

# "1 session", "2 sessions"; the plural may be given.
sub plural {
    my ( $count, $one, $many ) = @_;
    return "$count " . ( $count == 1 ? $one : $many // "${one}s" );
}

1;

__END__

=head1 NAME

Cpanel::LogMeIn::Command::Words - values of options of logmein

=head1 DESCRIPTION

Internal to L<logmein>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
