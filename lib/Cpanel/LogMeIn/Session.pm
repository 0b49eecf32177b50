package Cpanel::LogMeIn::Session;

use strict;
use warnings;
use Cpanel::LogMeIn ();

our $VERSION = '0.01';

# An iterator: each call gives the next session, and at the end nothing.
sub list {
    my ( $self, %only ) = @_;
    my $place = q{};
    return sub {
        my ( $session, $next ) = $self->_next( $place, @only{qw(user service)} );
        $place = $next if $session;
        return $session;
    };
}

sub show {
    my ( $self, %which ) = @_;
    my $next = $self->list( user => $which{user} );
    while ( my $session = $next->() ) {
        return $session if $session->{id} eq $which{id};
    }
    return;
}

sub revoke {
    my ( $self, %which ) = @_;
    return $self->_revoke( @which{qw(id user)} );
}

1;

__END__

=head1 NAME

Cpanel::LogMeIn::Session - redeem login tickets, check and end sessions

=head1 SYNOPSIS

    use Cpanel::LogMeIn::Session ();

    my $sessions = Cpanel::LogMeIn::Session->new;

    # The first request, with session=lmt_... in its query.
    my ( $session, $reason ) = $sessions->redeem(
        ticket  => $ticket,
        token   => '/cpsess0123456789',    # from the path
        service => 'cpanel',               # from the port
    );
    my $cookie = $session->{cookie} if $session;

    # Every later one.
    ( $session, $reason ) = $sessions->check(
        cookie  => $cookie,
        token   => '/cpsess0123456789',
        service => 'cpanel',
    );

    # Logging out.
    $sessions->end( cookie => $cookie, token => '/cpsess0123456789', service => 'cpanel' );

=head1 DESCRIPTION

The other side of L<Cpanel::LogMeIn/get_loggedin_url>: for whatever answers at
the URLs which that call returns. Only an explicit yes is a yes: let a request
pass if the first value is true, and in no other case.

=head1 METHODS

Each method works on an object, which reads the settings and opens the store
once; or on the class, which does so at every call.

C<redeem>, C<check> and C<end> return two values, C<( $session, $reason )>, and
in scalar context the first. C<$session> is a reference to a hash if the reason
is C<granted>, otherwise undef. They never throw an exception for what comes
from a browser. A program's own errors do: an unknown argument, a missing or
unknown C<service>, an odd list, an object of another class.

=head2 new

    my $sessions = Cpanel::LogMeIn::Session->new;

Never fails: settings are read, and the store is opened, at the first call that
needs them. An object may be used before and after fork(), in the parent and in
its children. Cloned into a thread, it opens the store for itself there.

=head2 redeem

Swaps a ticket for a cookie, in one atomic and durable step: of any number of
processes that try the same ticket, one is granted.

=over 4

=item C<ticket>

The value of the parameter C<session>: C<lmt_> and 43 characters.

=item C<token>

The security token of the path, with or without its slash. A wrong one does
not spend the ticket.

=item C<service>

C<cpanel>, C<whm>, C<webmail>, or one of the other names of L<Cpanel::LogMeIn>.

=back

=head2 check

Does this cookie open this service, under this token? If so, the idle time
starts anew, noted at most once a minute: a session ends after between 14 and
15 minutes without a request if C<session_idle> is 900.

=over 4

=item C<cookie>

The cookie's value, percent-encoded or not.

=item C<token>, C<service>

As above.

=back

=head2 end

Logs out: if C<check> would grant, every session of that user, service and
token ends in one durable commit, and with them their tickets that nobody has
redeemed yet. Takes what C<check> takes, and returns what it would have.

=head1 WHAT A SESSION IS

=over 4

=item C<user>, C<service>

Whose it is, and for which service: C<cpanel>, C<whm> or C<webmail>.

=item C<token>

C</cpsess> and ten digits.

=item C<id>

A name for logs, 16 hex digits. It opens nothing.

=item C<created>, C<ends>, C<last_seen>

Seconds since 1970; C<ends> is the overall limit, C<last_seen> is good to a
minute.

=item C<cookie>

From C<redeem> only: C<USER%3aSECRET>, ready for C<Set-Cookie>. Give it the
attributes C<HttpOnly>, C<Secure>, C<Path=/> and C<SameSite=Lax>.

=back

=head1 DIAGNOSTICS

The reasons:

=over 4

=item C<granted>

The only yes.

=item C<spent>

The ticket was used before.

=item C<wrong_token>

The token is not this session's, or not one at all.

=item C<wrong_service>

The ticket or cookie belongs to another service.

=item C<unknown>

There is no such ticket or session, or it has ended, or the value has not the
form of one.

=item C<fault>

Settings, store or key are not in order; C<$Cpanel::LogMeIn::detail> says what.
Answer with status 503.

=back

Exceptions:

=over 4

=item C<The arguments must be pairs of a name and a value.>

=item C<There is no such argument; see the manual.>

=item C<The argument 'service' is missing.>

=item C<The service must be cpanel, whm or webmail.>

=item C<This is no Cpanel::LogMeIn::Session object.>

=back

=head1 SEE ALSO

L<Cpanel::LogMeIn>, which also describes settings, files and limits.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
