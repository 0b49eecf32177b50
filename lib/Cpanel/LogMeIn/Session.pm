package Cpanel::LogMeIn::Session;

use strict;
use warnings;
use Carp            qw(croak);
use Cpanel::LogMeIn ();

our $VERSION = '0.01';

# Dies of an argument that is not one of these, and names it.
sub _know {
    my ( $given, @known ) = @_;
    my %known = map { $_ => 1 } @known;
    my ($unknown) = grep { !$known{$_} } sort keys %{$given};
    croak "Unknown argument '$unknown'." if defined $unknown;
    return;
}

# As _next and _end_some take them.
my @ONLY = qw(user service id address older_than idle_for);

# Returns an iterator: each call returns the next session, or nothing at the end.
sub list {
    my ( $self, %only ) = @_;
    _know( \%only, @ONLY );
    for my $name (qw(older_than idle_for)) {
        croak "The argument '$name' must be a number of seconds."
            if ( $only{$name} // 0 ) !~ /\A[0-9]{1,10}\z/;
    }
    my $cursor = q{};
    return sub {
        my ( $session, $next ) = $self->_next( $cursor, @only{@ONLY} );
        $cursor = $next if $session;
        return $session;
    };
}

# What is wrong, as enum lmi_part numbers it.
my @PARTS = qw(store key site settings);

sub health {
    my ($self) = @_;
    my %wrong;
    for my $number ( 0 .. $#PARTS ) {
        my $detail = $self->_look($number) // next;
        $wrong{ $PARTS[$number] } = $detail;
    }
    my $log = $self->log_state;
    $wrong{log} = length $log->{detail} ? $log->{detail} : 'lines are missing'
        if !$log->{written} || $log->{since};
    return %wrong;
}

sub show {
    my ( $self, %which ) = @_;
    _know( \%which, qw(id user) );
    return if ( $which{id} // q{} ) !~ /\A[0-9a-f]{16}\z/;
    return $self->list(%which)->();
}

sub revoke {
    my ( $self, %which ) = @_;
    _know( \%which, qw(id user) );
    return $self->_revoke( @which{qw(id user)} );
}

sub is_known {
    my ( $self, %source ) = @_;
    _know( \%source, qw(user address) );
    return $self->_is_known( @source{qw(user address)} );
}

1;

__END__

=head1 NAME

Cpanel::LogMeIn::Session - redeem login tickets, check and end sessions

=head1 SYNOPSIS

    use Cpanel::LogMeIn::Session ();

    my $sessions = Cpanel::LogMeIn::Session->new;

    # Taken from each request.
    my %request = (
        token   => '/cpsess0123456789',    # from the path
        service => 'cpanel',               # from the port
        address => '192.0.2.7',
        agent   => 'Mozilla/5.0',
    );

    # The first request, with session=lmt_... in its query.
    my ( $session, $reason ) = $sessions->redeem( %request, ticket => $ticket );
    my $cookie = $session->{cookie} if $reason eq 'granted';

    # Each later request.
    ( $session, $reason ) = $sessions->check( %request, cookie => $cookie );

    # Logging out.
    $sessions->end( %request, cookie => $cookie );

    # For operators.
    my $next = $sessions->list( user => 'alice' );
    while ( my $session = $next->() ) {
        print "$session->{id} $session->{service}\n";
    }

=head1 DESCRIPTION

For servers that handle the login URLs of L<Cpanel::LogMeIn/get_loggedin_url>.
Allow a request only if the first returned value is true.

=head1 METHODS

Each method can be called on an object, which reads the settings once, or on the
class, which follows the settings file as functions do.

=head2 new

    my $sessions = Cpanel::LogMeIn::Session->new;

Never fails: settings are read, and the store is opened, at the first call that
needs them. An object may be used before and after fork(), in the parent and in
its children. A clone in another thread opens its own store handle.

=head2 redeem

    my ( $session, $reason, $confirm ) = $sessions->redeem(%request);

Exchanges a ticket for a cookie, in one atomic and durable step.

    ticket    live cookie of this service    reason
    fresh     none                           granted
    fresh     of the same user               granted; the old session ends
    fresh     of another user                confirm
    spent     of the ticket's own session    again: nothing is written
    spent     none, at most 10 s ago, from   granted: a new cookie; of all
              the same address and agent     cookies of the ticket, 32 at
                                             most, only the first that is used
                                             stays valid
    spent     any other                      spent
    unknown   any                            unknown

A dual-use cookie that was not used yet counts as a live cookie, too. If several
browsers use one ticket, one of them is granted; after several requests of one
browser, exactly one cookie works. C<confirm> requires a page: "You are logged in as
A. Continue as B?" C<$confirm> is then a hash with C<current>, the user A,
C<current_token>, the token of A's session, and C<user>, the user B; the page's POST
redeems with C<confirmed>.

=over 4

=item C<ticket>

The value of the parameter C<session>: C<lmt_> and 43 characters, or a dual-use
cookie (see L</log_in>).

=item C<cookie>

The cookie that the browser sent, if any, percent-encoded or not.

=item C<token>

The security token in the path, with or without its slash. A wrong token does
not spend the ticket.

=item C<service>

Required. C<cpanel>, C<whm>, C<webmail>, or one of the other names of
L<Cpanel::LogMeIn>.

=item C<address>, C<agent>

The browser's address and its C<User-Agent>, at most 1,000 bytes. If one is
missing, the second request of a double click is refused.

=item C<method>, C<destination>, C<purpose>

The method of the request, its C<Sec-Fetch-Dest>, and its C<Sec-Purpose>,
C<Purpose>, C<X-Purpose> or C<X-Moz>. Only navigations by GET and POST redeem: for
another method, another destination than C<document>, and prefetches the reason is
C<passive>. What is missing is not looked at.

=item C<confirmed>

True if the user has agreed to continue as the user of the ticket.

=back

=head2 check

    my ( $session, $reason ) = $sessions->check(%request);

Checks whether the cookie is valid for this service and token. If so, the idle
time starts again. This access is recorded at most once a minute: with
C<session_idle> 900 a session ends after 14 to 15 minutes without a request.
Whenever an access is recorded, the account is read again: the session ends if the
account is removed, suspended, expired, no longer allowed at this service, or has
another password. If the account files cannot be read, the reason is C<fault>, and
the session does not end.

Takes C<cookie>, C<token>, C<service> and, for the log, C<address>. Three
different wrong tokens, if well-formed, end a session. If C<foreign> is true, another
site has caused the request: wrong tokens then end nothing, but after three different
ones no such request of the session is granted any more, whatever its token. If
C<uncounted> is true, a wrong token is not counted at all, as for F</favicon.ico>,
F</robots.txt> and F</.well-known/>.

=head2 end

    my ( $session, $reason ) = $sessions->end(%request);

Logs out: if C<check> would grant access, every session of that user, service and
token ends in one durable commit, including their unredeemed tickets. Takes the
arguments of C<check>, and returns the same values. If C<any_token> is true, the
cookie alone identifies the session, for links to F</logout> without a token.

=head2 log_in

    my $answer = Cpanel::LogMeIn::Session->log_in(%parameters);

For a gateway that handles login requests itself. Takes the parameters of
L<Cpanel::LogMeIn/get_loggedin_url>, but no unknown ones, and always checks the
password on this machine. If the request comes from a local process,
C<caller_uid> is its user id: without C<remote_addr>, failures count against that
user, who is never a known source. Returns a reference to a hash:

=over 4

=item C<login_ok>, C<message>

As C<$login_ok> and C<$login_message> of that function.

=item C<reason>

As C<$Cpanel::LogMeIn::reason>.

=item C<wait>

Seconds until the next attempt, if the login was refused because of a wait;
otherwise 0.

=item C<fault>

1 if the user did not cause the failure: answer with status 503.

=item C<token>

The security token, if C<login_ok>.

=item C<cookie>

A dual-use cookie, if C<login_ok>: C<USER%3aSECRET>. Its first use decides its
kind. Sent as a cookie, with the right token, it is a cookie from then on; passed
as C<ticket> to C<redeem>, it is a fresh ticket. After that, it is no longer valid
as the other kind.

=back

=head2 log_in_by_url

The same, with C<url> instead of C<cookie>: a login URL with a ticket, as
C<get_loggedin_url> returns it. For a login form that another site has posted:
no cookie may be set then, but the browser can be redirected to the URL, where
the rules of L</redeem> apply.

=head2 list

    my $next = $sessions->list( user => 'alice', service => 'cpanel' );

Returns an iterator over the active sessions: each call returns one, or nothing at
the end. Sessions are not loaded in advance; those created or ended during the
iteration may or may not be included. All arguments are optional; a session must match
all that are given:

=over 4

=item C<user>, C<service>

A user and a service.

=item C<id>

An id, or several, separated by blanks.

=item C<address>

Where the session was redeemed: an address, or a network as C<192.0.2.0/24>, or
several, separated by blanks. Sessions whose address is not known do not match.

=item C<older_than>, C<idle_for>

Seconds: created at least so long ago, and not used for so long.

=back

=head2 show

    my $session = $sessions->show( id => '0123456789abcdef', user => 'alice' );

The session with this id, or nothing. With C<user>, only if it belongs to that
user; this is faster, because only that user's sessions are searched: without, it takes
about a second for each 100,000.

=head2 revoke

    my $session = $sessions->revoke( id => '0123456789abcdef', user => 'alice' );

Ends this session only, and returns it; returns nothing if it does not exist.

=head2 purge

    my $removed = $sessions->purge;

Removes the entries of expired sessions, and returns their number. It works in
small steps, so that logins are possible meanwhile. Each login removes some
entries, too.

=head2 discard

    my $found = $sessions->discard($ticket);

Ends a ticket, or a dual-use cookie, that was exposed, for example in clear text.
If it is spent, its session ends as well. True if it existed.

=head2 serves

    my $mine = Cpanel::LogMeIn::Session->serves('host.example');

True if this is a name of this machine, by the rules of C<backend = auto>. Use it
to check a C<Host> header before redirecting to that host.

=head2 is_known

    my $known = $sessions->is_known( user => 'alice', address => '192.0.2.7' );

True if this user has logged in from this address during the last 30 days, or, with
IPv6, from the same 64 bits: from there, failed logins of others don't make the user
wait. For servers that serve some logins before others; one read of the store, and
nothing is counted. False for loopback, for C<trusted_proxies>, and for what is no
user name or no address. An account that exists no more may be known.

=head2 settings, setting

    my %setting = $sessions->settings;
    my $hsts    = $sessions->setting('hsts');

The settings that the object has read, as L<Cpanel::LogMeIn/settings> has them,
and one of them.

=head2 open

    $sessions->open;

Opens store, key and account files now, and not when they are first needed. A server
that reloads makes a new object, opens it, and then lets the old one go: if the new
settings are invalid, it keeps the old object.

=head2 try_log

    $sessions->try_log('my server starts') or die "$Cpanel::LogMeIn::detail\n";

Writes the line C<NOTICE> with this text to the log, and reads it back from a file.
True if it is there, or if C<log = none> is set; otherwise false, and
C<$Cpanel::LogMeIn::detail> contains path, cause and remedy. For servers, which
should not start without a log.

=head2 log_state

    my $state = $sessions->log_state;
    warn "No log: $state->{detail}\n" if !$state->{written};

How the log is now, for a server's health report: C<written>, 1 if lines can be
written; C<lost>, the number of lines that could not be written since the object
was made; C<since>, when the first of the lines that are missing was lost, in
seconds since 1970, otherwise 0; C<detail>, the reason, if C<written> is 0. If lines
are missing, it tries to write the line that says so. Processes that were forked
after the object was first used count together.

=head2 health

    my %wrong = $sessions->health;

What is not in order: a sentence for each of C<store>, C<key>, C<site>, C<settings> and
C<log>; nothing if all is well. Only what a login or check would open anyway is opened or
made. C<settings>: the file has changed and can't be used, so that the old settings
stay in force. C<log>: lines can't be written, or are missing.

=head2 try_log, log_state

    $sessions->try_log('the server starts') or die $Cpanel::LogMeIn::detail;
    my $state = $sessions->log_state;

C<try_log> writes a line to the log, reads it back from a file, and returns whether it
is there. C<log_state> is a hash: C<written> (lines can be written), C<lost> (lines
lost so far), C<since> (when the first of those that are missing was lost; 0: none is)
and C<detail> (why not).

=head2 numbers

    my $numbers = $sessions->numbers;

What all objects of this process have done, and processes that it has forked, since
the module was loaded: a hash of

=over 4

=item C<logins>

By service, then by reason: see L<Cpanel::LogMeIn/get_loggedin_url>. Logins without a
valid service are those of C<none>. Logins at other servers are not counted.

=item C<redemptions>, C<checks>

By outcome, as C<redeem> and C<check> return it.

=item C<faults>

Of all of these, by the code that messages contain: C<SITE>, C<STORE> and so on.

=item C<login_seconds>, C<check_seconds>, C<wait_seconds>

The durations of logins and checks, and what remained of the wait when a login was
refused for one. Each is a hash of C<sum>, in seconds, and C<counts>, a list of pairs: a
bound in seconds, and how many were not longer, but longer than the bound before. The
last bound is undef.

=back

=head2 count_sessions

    my %live = $sessions->count_sessions;

The number of live sessions of each service. It looks at all of them, and dies if the
store is faulty.

=head2 count_refusal

    $sessions->count_refusal( $service, $reason );

For servers: counts a login that was refused before C<log_in> was called. The reason is
one of C<log_in>, or C<busy>; the service may be undef.

=head1 WHAT A SESSION IS

=over 4

=item C<user>, C<service>

The user, and the service: C<cpanel>, C<whm> or C<webmail>.

=item C<token>

C</cpsess> and ten digits.

=item C<id>

A name for logs, 16 hex digits. It gives no access.

=item C<created>, C<ends>, C<last_seen>

Seconds since 1970; C<ends> is the overall limit, C<last_seen> is accurate to a
minute.

=item C<redeemed>

0 until the first use of its ticket or dual-use cookie, then 1.

=item C<redeemed_at>

When that was, in seconds since 1970; 0 if it was not used, or if a version that did
not record this has created the session.

=item C<address>

The browser's address at that moment, as C<redeem> or C<check> was given it, in its
usual form; an empty string if it is not known.

=item C<cookie>

From C<redeem>, if C<granted>: C<USER%3aSECRET>, ready for C<Set-Cookie>. Give
it the attributes C<HttpOnly>, C<Secure>, C<Path=/> and C<SameSite=Lax>.

=back

=head1 DIAGNOSTICS

The reasons. With the first two, a session is returned. In scalar context,
C<redeem>, C<check> and C<end> return only the session.

=over 4

=item C<granted>

=item C<again>

The ticket was spent before, and the cookie belongs to its session.

=item C<confirm>

The browser is logged in as another user.

=item C<passive>

Requests of this kind never redeem: see C<method>, C<destination>, C<purpose>.

=item C<spent>

The ticket was used before, by another browser.

=item C<wrong_token>

The token is not this session's, or is malformed.

=item C<wrong_service>

The ticket or cookie belongs to another service.

=item C<unknown>

The ticket or session does not exist, has ended, or the value is malformed.

=item C<fault>

Settings, store, key or account files can't be used; C<$Cpanel::LogMeIn::detail>
contains the cause. Answer with status 503.

=back

No method throws an exception for data from a browser. Exceptions are thrown for
wrong calls, and for faults in all methods but C<redeem>, C<check>, C<end> and
the logins:

=over 4

=item C<The arguments must be pairs of a name and a value.>

=item C<Unknown argument 'NAME'.>

=item C<The argument 'service' is missing.>

=item C<The service must be cpanel, whm or webmail.>

=item C<This is not a Cpanel::LogMeIn::Session object.>

=item C<This is not a cursor of a list.>

=item C<The argument 'NAME' must be a number of seconds.>

=item C<The sessions can't be read: ...>

=back

=head1 SEE ALSO

L<Cpanel::LogMeIn>, which also describes settings, files and limits.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
