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

    # What every request shows.
    my %request = (
        token   => '/cpsess0123456789',    # from the path
        service => 'cpanel',               # from the port
        address => '192.0.2.7',
        agent   => 'Mozilla/5.0',
    );

    # The first one, with session=lmt_... in its query.
    my ( $session, $reason ) = $sessions->redeem( %request, ticket => $ticket );
    my $cookie = $session->{cookie} if $reason eq 'granted';

    # Every later one.
    ( $session, $reason ) = $sessions->check( %request, cookie => $cookie );

    # Logging out.
    $sessions->end( %request, cookie => $cookie );

    # For operators.
    my $next = $sessions->list( user => 'alice' );
    while ( my $session = $next->() ) {
        print "$session->{id} $session->{service}\n";
    }

=head1 DESCRIPTION

The other side of L<Cpanel::LogMeIn/get_loggedin_url>: for whatever answers at
the URLs which that call returns. Only an explicit yes is a yes: let a request
pass if the first value is true, and in no other case.

=head1 METHODS

Each method works on an object, which reads the settings and opens the store
once; or on the class, which does so at every call.

=head2 new

    my $sessions = Cpanel::LogMeIn::Session->new;

Never fails: settings are read, and the store is opened, at the first call that
needs them. An object may be used before and after fork(), in the parent and in
its children. Cloned into a thread, it opens the store for itself there.

=head2 redeem

    my ( $session, $reason, $confirm ) = $sessions->redeem(%request);

Swaps a ticket for a cookie, in one atomic and durable step.

    ticket    live cookie of this service    reason
    fresh     none                           granted
    fresh     of the same user               granted; the old session ends
    fresh     of another user                confirm
    spent     of the ticket's own session    again: nothing is written
    spent     none, at most 10 s ago, from   granted: a new cookie; of all
              the same address and agent     that the ticket was swapped for,
                                             the first that is used lives
    spent     any other                      spent
    unknown   any                            unknown

Of many browsers with one ticket one is granted; of many requests of one
browser exactly one cookie works afterwards. C<confirm> asks for a page: "You
are logged in as A. Continue as B?" C<$confirm> is then a hash with C<current>,
who A is, C<current_token>, under which token, and C<user>, who B is; the
page's POST redeems with C<confirmed>.

=over 4

=item C<ticket>

The value of the parameter C<session>: C<lmt_> and 43 characters, or a starter
(see L</log_in>).

=item C<cookie>

The cookie that the browser shows, if any, percent-encoded or not.

=item C<token>

The security token of the path, with or without its slash. A wrong one does
not spend the ticket.

=item C<service>

Required. C<cpanel>, C<whm>, C<webmail>, or one of the other names of
L<Cpanel::LogMeIn>.

=item C<address>, C<agent>

The browser's address and its C<User-Agent>, at most 1,000 bytes. Without both
there is no second chance for a double click.

=item C<method>, C<purpose>

The method of the request, and its C<Sec-Purpose> or C<Purpose>. HEAD, OPTIONS
and prefetches never redeem: the reason is C<passive>.

=item C<confirmed>

True if the user has agreed to become the user of the ticket.

=back

=head2 check

    my ( $session, $reason ) = $sessions->check(%request);

Does this cookie open this service, under this token? If so, the idle time
starts anew, noted at most once a minute: a session ends after between 14 and
15 minutes without a request if C<session_idle> is 900. At that moment the
account is read again: the session ends if the account is gone, suspended,
expired, no longer allowed at this service, or has another password. If the
account files cannot be read, the reason is C<fault>, and nothing ends.

Takes C<cookie>, C<token>, C<service> and, for the log, C<address>. Three
different wrong tokens, well-formed ones, end a session; with a true
C<uncounted> a wrong token does not count, as for F</favicon.ico>,
F</robots.txt> and F</.well-known/>.

=head2 end

    my ( $session, $reason ) = $sessions->end(%request);

Logs out: if C<check> would grant, every session of that user, service and
token ends in one durable commit, and with them their tickets that nobody has
redeemed yet. Takes what C<check> takes, and returns what it would have. With a
true C<any_token> the cookie alone says which session it is, for links to
F</logout> without a token.

=head2 log_in

    my $answer = Cpanel::LogMeIn::Session->log_in(%parameters);

For a gateway that answers logins itself. Takes the parameters of
L<Cpanel::LogMeIn/get_loggedin_url>, and always checks the password on this
machine. If a process of this machine has asked the gateway, C<caller_uid> is
the number of its user: without C<remote_addr>, failures count against that
user, who is never a known source. Returns a reference to a hash:

=over 4

=item C<login_ok>, C<message>

As there.

=item C<wait>

Seconds until the next attempt, if that is why; otherwise 0.

=item C<fault>

1 if the refusal is not the user's fault: answer with status 503.

=item C<token>

The security token, if C<login_ok>.

=item C<cookie>

A starter, if C<login_ok>: C<USER%3aSECRET>. Its first use decides what it is.
Shown as a cookie, with the right token, it is one from then on; in the place
of a ticket it is a fresh ticket. After the one it is worthless as the other.

=back

=head2 log_in_by_url

The same, with C<url> instead of C<cookie>: a login URL with a ticket, as
C<get_loggedin_url> returns it. For a login form that another site has posted:
no cookie may be set then, but the browser can be sent to the URL, where the
table of L</redeem> decides.

=head2 list

    my $next = $sessions->list( user => 'alice', service => 'cpanel' );

Returns an iterator over the live sessions: each call gives one, and at the end
nothing. Both arguments are optional. Nothing is loaded ahead; what is made or
ended meanwhile may or may not be seen.

=head2 show

    my $session = $sessions->show( id => '0123456789abcdef', user => 'alice' );

The session with this id, or nothing. With a C<user>, only if it is that
user's, and faster, for only the user's are looked at.

=head2 revoke

    my $session = $sessions->revoke( id => '0123456789abcdef', user => 'alice' );

Ends this one session, and returns it; nothing if there is none.

=head2 purge

    my $removed = $sessions->purge;

Removes the entries of sessions that have expired, in steps between which
logins go on, and returns how many. Each login removes some, too.

=head2 discard

    my $found = $sessions->discard($ticket);

Ends a ticket, or a starter, that was seen where it must not be: in clear text,
for example. A spent one ends with the session that it was swapped for. True if
there was one.

=head2 serves

    my $mine = Cpanel::LogMeIn::Session->serves('host.example');

Is this a name of this machine, as C<backend = auto> decides? For redirects, so
that a C<Host> of the browser's choice is not sent on to.

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

=item C<redeemed>

0 while its ticket or starter waits for its first use.

=item C<cookie>

From C<redeem>, if C<granted>: C<USER%3aSECRET>, ready for C<Set-Cookie>. Give
it the attributes C<HttpOnly>, C<Secure>, C<Path=/> and C<SameSite=Lax>.

=back

=head1 DIAGNOSTICS

The reasons. With the first two there is a session; in scalar context,
C<redeem>, C<check> and C<end> return just that.

=over 4

=item C<granted>

=item C<again>

The ticket was spent by the very session whose cookie is shown.

=item C<confirm>

The browser is logged in as another user.

=item C<passive>

The request is of a kind that never redeems.

=item C<spent>

The ticket was used before, by somebody else.

=item C<wrong_token>

The token is not this session's, or not one at all.

=item C<wrong_service>

The ticket or cookie belongs to another service.

=item C<unknown>

There is no such ticket or session, or it has ended, or the value has not the
form of one.

=item C<fault>

Settings, store, key or account files are not in order;
C<$Cpanel::LogMeIn::detail> says what. Answer with status 503.

=back

No method throws an exception for what comes from a browser. Exceptions are for
a program's own mistakes, and for faults while listing, revoking and purging:

=over 4

=item C<The arguments must be pairs of a name and a value.>

=item C<There is no such argument; see the manual.>

=item C<The argument 'service' is missing.>

=item C<The service must be cpanel, whm or webmail.>

=item C<This is no Cpanel::LogMeIn::Session object.>

=item C<This is no place in a list.>

=item C<The sessions can't be read: ...>

=back

=head1 SEE ALSO

L<Cpanel::LogMeIn>, which also describes settings, files and limits.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
