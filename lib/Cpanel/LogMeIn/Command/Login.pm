package Cpanel::LogMeIn::Command::Login;

use strict;
use warnings;
use parent 'Cpanel::LogMeIn::Command';
use Cpanel::LogMeIn                    ();
use Cpanel::LogMeIn::Command::Terminal qw(print_json read_password);
use Cpanel::LogMeIn::Session           ();

our $VERSION = '0.01';

my $TROUBLE  = 3;
my %SERVICE  = map { $_->{name} => 1 } Cpanel::LogMeIn::services();
my $NETWORKS = '0.0.0.0/0 ::/0';

sub actions {
    my @options = qw(address=s goto=s host=s json password-stdin service=s);
    return ( q{} => { options => \@options, arguments => ['USER'] } );
}

# What can be known before the password is asked for.
sub complaint {
    my ( $class, undef, $option, $user ) = @_;
    my ( $service, $goto, $address ) = @{$option}{qw(service goto address)};
    return 'The user is empty.' if !length $user;
    return "Unknown service '$service': use " . join( ', ', sort keys %SERVICE ) . q{.}
        if defined $service && !$SERVICE{$service};
    return $Cpanel::LogMeIn::detail
        if defined $goto && !defined Cpanel::LogMeIn::goto_uri($goto);
    return "'$address' is not an IP address."
        if defined $address && !Cpanel::LogMeIn::address_in( $address, $NETWORKS );
    return;
}

sub run {
    my ( $class, undef, $option, $user ) = @_;
    my $sessions = Cpanel::LogMeIn::Session->new;
    my $answer   = $sessions->log_in_by_url(
        user     => $user,
        pass     => read_password( stdin => $option->{'password-stdin'} ),
        hostname => $option->{host}    // 'localhost',
        service  => $option->{service} // 'cpanel',
        goto_uri => $option->{goto}    // q{/},
        defined $option->{address} ? ( remote_addr => $option->{address} ) : (),
    );
    die { sentence => $answer->{message}, class => $class } if $answer->{reason} eq 'parameter';
    _print( $answer, $option->{json} );
    return $answer->{login_ok} ? 0 : $answer->{fault} ? $TROUBLE : 1;
}

sub _print {
    my ( $answer, $json ) = @_;
    my %shown = map { $_ => $answer->{$_} } qw(message reason token url wait);
    print_json( { %shown, login_ok => $answer->{login_ok} ? \1 : \0 } ) if $json;
    if ( $answer->{login_ok} ) {
        print "$answer->{url}\n" if !$json;
        return;
    }
    my $detail = $answer->{fault} ? " $Cpanel::LogMeIn::detail" : q{};
    print {*STDERR} "logmein: $answer->{message}$detail\n";
    return;
}

1;

__END__

=head1 NAME

logmein-login - log a user in, and print the URL

=head1 SYNOPSIS

    logmein login alice
    logmein login --service webmail --password-stdin info@alice.example < password
    logmein login --host panel.example --goto /reports --json alice

=head1 DESCRIPTION

Checks the user's password, creates a session, and prints the login URL on one line: for
programs in any language, such as PHP or Node, and for a login by hand. The URL is a
secret, is good once, and for a short time only; open it in the user's browser.

The password is always checked by this process, with the account files and the store of
the settings, whatever the host is. The user who runs it must therefore be able to read
the account files, and own the store, or be root. Failed logins count as everywhere, and
are followed by waits.

=head1 OPTIONS

=over 4

=item C<--service SERVICE>

cpanel, whm or webmail; cpanel by default.

=item C<--goto URI>

Where the browser goes after the login: a path with an optional query. F</> by default.

=item C<--host HOST>

The host in the URL; localhost by default.

=item C<--address ADDRESS>

The IP address of the user's browser. Failures count against the user and this address;
from addresses that the user usually logs in from, others' failures don't matter.

=item C<--password-stdin>

Reads the password from the first line of standard input, instead of asking for it at the
terminal. No option takes the password, because other users can see arguments.

=item C<--json>

Prints a JSON object with these keys, also if the login is refused:

=over 4

=item C<login_ok>

True or false.

=item C<message>

A sentence for the user.

=item C<reason>

C<ok>, C<invalid>, C<wait> or C<fault>. What is wrong usage is not printed.

=item C<token>, C<url>

The security token, F</cpsess> and ten digits, and the login URL; null if the login is
refused.

=item C<wait>

The seconds until the next attempt is possible; 0 if it is possible now.

=back

=item C<--config FILE>

The settings file, instead of the one that is in use.

=back

=head1 EXIT STATUS

0 if the user is logged in; 1 if the login is refused, with the message on standard error;
2 for wrong usage; 3 if logins are not possible: standard error says why.

=head1 SEE ALSO

L<logmein(1)>, L<logmein-hash(1)>, L<logmein-doctor(8)>, L<Cpanel::LogMeIn>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
