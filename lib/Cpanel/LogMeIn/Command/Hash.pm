package Cpanel::LogMeIn::Command::Hash;

use strict;
use warnings;
use parent 'Cpanel::LogMeIn::Command';
use Cpanel::LogMeIn                    ();
use Cpanel::LogMeIn::Command::Terminal qw(read_password);
use Cpanel::LogMeIn::Session           ();

our $VERSION = '0.01';

# As crypt(5) names them.
my %PREFIX = (
    bcrypt          => '$2b$',
    'gost-yescrypt' => '$gy$',
    scrypt          => '$7$',
    sha256crypt     => '$5$',
    sha512crypt     => '$6$',
    yescrypt        => '$y$',
);
my $COST_MAX = 999_999_999;
my $TROUBLE  = 3;

# libcrypt's own default, 5, is a matter of milliseconds.
my $BCRYPT_COST = 10;

sub actions {
    return ( q{} => { options => [qw(cost=s password-stdin scheme=s)] } );
}

sub complaint { return complaint_about( $_[2] ) }

# What is wrong with --scheme and --cost; undef if nothing is. For other commands, too.
sub complaint_about {
    my ($option) = @_;
    my ( $scheme, $cost ) = @{$option}{qw(scheme cost)};
    return "Unknown scheme '$scheme': use " . join( ', ', sort keys %PREFIX ) . q{.}
        if defined $scheme && !$PREFIX{$scheme};
    return "'$cost' is not a cost: use a number from 1 to $COST_MAX."
        if defined $cost && ( $cost !~ /\A[1-9][0-9]{0,8}\z/ );
    return '--cost requires --scheme.' if defined $cost && !defined $scheme;
    return;
}

# The prefix and the cost that the options mean; undef is libcrypt's preferred scheme,
# and the scheme's default cost.
sub scheme_of {
    my ($option) = @_;
    my $scheme = $option->{scheme} // return ( undef, 0 );
    return ( $PREFIX{$scheme}, $option->{cost} // ( $scheme eq 'bcrypt' ? $BCRYPT_COST : 0 ) );
}

sub run {
    my ( $class, undef, $option ) = @_;
    my $sessions = 'Cpanel::LogMeIn::Session';    # needs no settings
    my $password = read_password( stdin => $option->{'password-stdin'}, twice => 1 );
    my ( $hash, $fault ) = $sessions->_hash( $password, scheme_of($option) );
    if ( !defined $hash ) {
        print {*STDERR} "logmein: $Cpanel::LogMeIn::detail\n";
        return $fault eq 'hash.cost' ? 1 : $TROUBLE;
    }
    print "$hash\n";
    return 0;
}

1;

__END__

=head1 NAME

logmein-hash - print a hash of a password

=head1 SYNOPSIS

    logmein hash
    logmein hash --scheme sha512crypt --cost 100000 --password-stdin < password

=head1 DESCRIPTION

Asks for a password, twice, and prints a hash of it for a shadow file, with a random salt.
L<logmein-account(8)> writes hashes into such files.

=head1 OPTIONS

=over 4

=item C<--scheme SCHEME>

bcrypt, gost-yescrypt, scrypt, sha256crypt, sha512crypt or yescrypt: see crypt(5). By
default the one that libcrypt prefers, usually yescrypt. All hashes of a file should be of
one scheme and cost: see hashes.mixed in L<logmein-doctor(8)>.

=item C<--cost N>

How much work a hash is, as the scheme counts it: rounds for sha256crypt and sha512crypt,
a logarithm for the others. The scheme's default if it is not given, and 10 for bcrypt. A hash that is more
work than logins accept is not printed.

=item C<--password-stdin>

Reads the password from the first line of standard input, instead of asking for it at the
terminal.

=item C<--config FILE>

The settings file, instead of the one that is in use. The hash does not depend on it.

=back

=head1 EXIT STATUS

0 if a hash was printed, 1 if no login would accept it, 2 for wrong usage, 3 if there is
no password, or libcrypt makes no such hash.

=head1 SEE ALSO

L<logmein(1)>, L<logmein-account(8)>, crypt(5).

=head1 LICENSE

MIT: see the file LICENSE.

=cut
