package Cpanel::LogMeIn::Command::Attempts;

use strict;
use warnings;
use parent 'Cpanel::LogMeIn::Command';
use Cpanel::LogMeIn::Command::Terminal qw(paragraph print_json print_table);
use Cpanel::LogMeIn::Command::Words    qw(is_user plural user_of);
use Cpanel::LogMeIn::Session           ();

our $VERSION = '0.01';

sub actions {
    return (
        clear => { options => ['source=s'], arguments => ['NAME?'] },
        list  => { options => ['json'] },
    );
}

sub complaint {
    my ( $class, $action, $option, $name ) = @_;
    return if $action ne 'clear';
    my $source   = $option->{source};
    my $sessions = 'Cpanel::LogMeIn::Session';
    return "'attempts clear' needs a NAME, or --source ADDRESS."
        if !defined $name && !defined $source;
    return "'$name' is no name of an account." if defined $name && !is_user($name);
    return                                     if !defined $source;
    return "'$source' is no source: write an address, a network of 48 or 64 bits, or uid:NUMBER."
        if $source =~ /\0/ || !$sessions->_is_attempts_source($source);
    return "'$source' is no source of one name: write an address."
        if defined $name && $source =~ m{/48\z};
    return;
}

sub run {
    my ( $class, $action, $option, $name ) = @_;
    my $sessions = Cpanel::LogMeIn::Session->new;
    return _clear( $sessions, $name, $option->{source} ) if $action eq 'clear';
    my ( $rows, $unnamed ) = $sessions->_attempts;
    return $option->{json} ? _print_json( $rows, $unnamed ) : _print( $rows, $unnamed );
}

sub _print_json {
    my ( $rows, $unnamed ) = @_;
    for my $row ( @{$rows} ) {
        $row->{$_} //= undef for qw(user source);
    }
    my %unnamed =
        map { $_->{kind} => { rows => int $_->{rows}, waiting => int $_->{waiting} } } @{$unnamed};
    print_json( { attempts => $rows, unnamed => \%unnamed } );
    return 0;
}

sub _print {
    my ( $rows, $unnamed ) = @_;
    my $number = 0;
    print_table(
        [qw(KIND NAME SOURCE FAILURES WAIT)],
        sub {
            my $row = $rows->[ $number++ ] // return;
            return [ $row->{kind}, map { $row->{$_} // q{-} } qw(user source failures wait), ];
        }
    );
    for my $count ( grep { $_->{rows} } @{$unnamed} ) {
        print paragraph(
            'Not named: '
                . plural( $count->{rows}, $count->{kind} )
                . ", of which $count->{waiting} wait.",
            q{}
        );
    }
    print paragraph( 'Of names and sources only hashes are kept: see logmein attempts --help.',
        q{} )
        if grep { $_->{rows} } @{$unnamed};
    return 0;
}

sub _clear {
    my ( $sessions, $name, $source ) = @_;
    my $removed = $sessions->_clear_attempts( defined $name ? user_of($name) : undef, $source );
    print 'Cleared ', plural( $removed, 'entry', 'entries' ), ".\n";
    return $removed ? 0 : 1;
}

1;

__END__

=head1 NAME

logmein-attempts - who waits after failed logins

=head1 SYNOPSIS

    logmein attempts list [--json]
    logmein attempts clear NAME [--source ADDRESS]
    logmein attempts clear --source ADDRESS

=head1 DESCRIPTION

After some failed logins each further attempt has to wait: see
L<Cpanel::LogMeIn/SECURITY>. Shows who waits and how long, and lets somebody try again at
once. Run it as the owner of the store who can read the account files, or as root.

Failures are kept by

=over 4

=item C<name>

A name, whether there is such an account or not.

=item C<pair>

A name from one known source, an address that it has logged in from during the last 30
days. From there only these failures count for the name.

=item C<source>

An address, of IPv6 its 64 bits, or a user of this machine who logs in through the
socket of C<logmein serve>, as C<uid:33>.

=item C<network>

48 bits of IPv6 addresses.

=back

=head1 COMMANDS

=head2 list

Lists the entries with failures: their number, and the seconds until the next attempt
is allowed, 0 if it is allowed now.

Of names and sources the store holds hashes only, from which they can't be read. An
entry can be named only if the name or source is known from elsewhere: names of the
accounts in F<etc/passwd> and of mailboxes in the first 1,000 domains of
F<etc/userdomains>; sources, networks and pairs of the active sessions, whose addresses
are known; and local users with numbers up to 65,535. All others are counted, not named.

=head2 clear

Forgets the failures of a name: its own, and those of its pairs with the addresses of
its active sessions. A pair with another address has to be named: C<clear NAME --source
ADDRESS> forgets that pair only. Without a name, C<--source> forgets those of a source
or network; the name of somebody who waits because of both has to be cleared, too. Other
entries stay. Prints how many entries were cleared, and logs it; the exit status is 1 if
there was none.

=head1 OPTIONS

=over 4

=item C<--source ADDRESS>

An address; a network of 64 or 48 bits, as the list shows them; or C<uid:NUMBER>.

=item C<--json>

An object. C<attempts> is an array of objects with C<kind>, C<user>, C<source>,
C<failures> and C<wait>; C<user> or C<source> is null where the kind has none.
C<unnamed> has for each kind an object of C<rows> and C<waiting>, the numbers of the
entries that are not named, and of those among them that wait.

=item C<--config FILE>

The settings file, instead of the one that is in use: see L<logmein.conf(5)>.

=back

=head1 EXIT STATUS

0 if it was done, 1 if there was nothing to clear, 2 for wrong usage, 3 if the store or
the account files can't be used.

=head1 SEE ALSO

L<logmein(1)>, L<logmein-session(8)>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
