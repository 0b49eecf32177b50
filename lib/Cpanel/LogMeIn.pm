package Cpanel::LogMeIn;

use strict;
use warnings;
use XSLoader ();

our $VERSION = '0.01';

# What the last call found out: for the operator, and in a word for programs.
our $detail = '';
our $reason = '';

XSLoader::load( __PACKAGE__, $VERSION );

# Called by the XSUB at the first remote login: loading libcurl takes longer
# than a whole local login. Returns an empty string, or why loading failed.
sub _load_remote {    ## no critic (ProhibitUnusedPrivateSubroutines)
    local ( $@, $! );    ## no critic (RequireInitializationForLocalVars)
    local $SIG{__DIE__} = 'DEFAULT';
    return eval { require Cpanel::LogMeIn::Remote; 1 } ? q{} : ( split /\n/, $@ )[0];
}

1;

__END__

=encoding UTF-8

=head1 NAME

Cpanel::LogMeIn - log users in to cPanel-style services, and get the URL

=head1 SYNOPSIS

    use Cpanel::LogMeIn ();

    my ( $login_ok, $login_message, $login_url, $security_token ) =
        Cpanel::LogMeIn::get_loggedin_url(
        user     => 'alice',
        pass     => 'secret',
        hostname => 'localhost',
        service  => 'cpanel',
        goto_uri => '/',
        );

    if ($login_ok) {
        print "Location: $login_url\r\n\r\n";
    }
    else {
        print "Content-type: text/plain\r\n\r\n";
        print "LOGIN FAILED: $login_message\n";
        warn "$Cpanel::LogMeIn::detail\n";    # for you, not for the browser
    }

=head1 DESCRIPTION

Scripts written for cPanel & WHM call C<get_loggedin_url> to check a user's
password and to get a URL that opens the user's panel. This module offers the
same call on machines that have no cPanel: such scripts run unchanged. Logins at
another cPanel & WHM server are supported as well, with verified TLS, time
limits and clear messages: see L<logmein.conf(5)/REMOTE LOGINS>.

The password is checked with libcrypt against the machine's own account files,
in the layout that cPanel uses, so that a machine migrated from cPanel works
without changes. A successful login creates a session, kept in an LMDB store,
and returns a URL that holds a ticket: a secret which is valid for one browser.
The server at that URL exchanges the ticket for a cookie, and checks that cookie
and the security token at each request; L<Cpanel::LogMeIn::Session> does both. A
caller who may not read the account files, such as a CGI script, logs in through
the socket of the machine's gateway.

"cPanel" is a trademark of its owner. This project is independent of it and
not endorsed by it.

=head1 FUNCTIONS

Nothing is exported. No function throws an exception for user input.

=head2 get_loggedin_url

    my ( $login_ok, $login_message, $login_url, $security_token ) =
        Cpanel::LogMeIn::get_loggedin_url(%parameters);

Parameters come as pairs of a name and a value. Unknown names are ignored.

=over 4

=item C<user>

Required. The account, case-sensitive: a system user, or C<name@domain> for a
mailbox, whose domain is lower-cased. At most 254 bytes of letters, digits and
C<_ . @ + ->, not beginning with C<-> or C<.>, without C<..>.

=item C<pass>

Required. The password: 1 to 511 bytes, no NUL. A string whose characters all
fit a byte and whose bytes are valid UTF-8 is taken as these bytes; every other
string is encoded as UTF-8. So "é" is the bytes C3 A9, whether you have decoded
it or not, and Perl's internal flag makes no difference.

=item C<hostname>

Required. The host in the URL. It also decides where the password is
checked: a host name of letters, digits and hyphens, an IPv4 address, or an
IPv6 address in brackets; at most 253 bytes. It is lower-cased, and one trailing
dot is removed. Internationalized names must be given in their C<xn--> form.
This is configuration: never take it from a form.

=item C<service>

Required. C<cpanel>, C<whm> or C<webmail>; also C<cpaneld>, C<whostmgr>,
C<whostmgrd> and C<webmaild>, which mean the same.

=item C<goto_uri>

Optional, C</> by default. The page to open: a path, optionally with a query and
a fragment; at most 2,048 bytes. A missing leading slash is added. Spaces,
bytes from 0x80 on and C<< " < > ^ ` { | } >> become percent-encoded, a C<%>
without two hex digits becomes C<%25>, other percent-encodings stay. A leading
C<&goto_uri=> and then a leading C</json-api/dummy> are removed, once each,
because the documentation of the original call uses them. Refused are full URLs,
control bytes and backslashes (encoded or not), two leading slashes, the segments
C<.> and C<..> (encoded or not), and a query parameter named C<session>.

=item C<active_token_for_reuse>

Optional. The C<$security_token> of an earlier call, with or without its slash.
If a session of the same user and service with that token is active, the new
session shares the token: all these sessions have the same path prefix, and end
together at logout. Any other value is ignored, and a new token is generated. The
password is checked in both cases.

=item C<remote_addr>

Optional. The browser's address, IPv4 or IPv6, for the log and for counting
failed logins (see L</SECURITY>). If it is missing, C<REMOTE_ADDR> is used if
C<GATEWAY_INTERFACE> is set, as in a CGI script; otherwise failures are counted
by name only.

=item C<tfa_token>

Optional. A two-factor code, at most 64 printable ASCII characters. It is sent to
the other server in a remote login; in a local login only its form is checked.

=back

In list context there are always four elements:

=over 4

=item C<$login_ok>

1 if the login succeeded, otherwise 0. In scalar context only this value is
returned.

=item C<$login_message>

C<Login OK>, or an error message for a person. It never holds a path, internal
details or anything that was passed in, and may be shown in a browser: see
L</DIAGNOSTICS>.

=item C<$login_url>

The URL that opens the session, or undef. It holds a secret:

    https://HOST:PORT/cpsess##########GOTO_URI?session=TICKET

or, if C<login_url = login> is set,

    https://HOST:PORT/cpsess##########/login/?session=TICKET&goto_uri=ENCODED

A query in C<goto_uri> is kept, and the ticket is appended with C<&>; a fragment
stays last. In the second form C<&goto_uri=> is left out for C</>, so that the
caller may append one of its own: a URL with two is refused. An unredeemed ticket is
valid for C<session_idle> seconds.

For a login at another server it is what the original returns, with the unchanged
value of that server's cookie, and likewise without C<goto_uri> if that is C</>:

    https://HOST:PORT/cpsess##########/login/?session=VALUE&goto_uri=ENCODED

=item C<$security_token>

C</cpsess> and ten digits, or undef; empty if another server has such tokens
switched off. It is part of every URL of the session and protects against
cross-site request forgery. It is not a credential: without the cookie it gives
no access.

=back

C<$Cpanel::LogMeIn::detail> is set by every call: the reason, for the operator,
with path, line and remedy if available. It never holds a password or a
ticket, but do not show it in a browser.

C<$Cpanel::LogMeIn::reason> is set by every login, for programs. It is one of

    ok          the login is good
    invalid     "The login is invalid."
    wait        too many failures
    parameter   a parameter is missing or malformed
    fault       "Logins are not possible at the moment (CODE)."
    remote      the other server was not reached or not believed, is in
                trouble, or is not in remote_hosts
    tfa_needed  the other server wants a two-factor code
    tfa_wrong   the two-factor code is wrong

Compare this word, never C<$login_message>.

=head2 hash_password

    my $hash = Cpanel::LogMeIn::hash_password( $password );
    my $hash = Cpanel::LogMeIn::hash_password( $password, '$6$', 5000 );

Returns a hash for a shadow file, with a new salt of 128 random bits. The
second argument names the scheme as crypt_gensalt(3) does, the system's
preferred one by default; the third is its cost, 0 for the default. The
password follows the rules of C<pass>; bcrypt (C<$2b$>) takes at most 72 bytes.
Returns undef if there is no such hash; C<$Cpanel::LogMeIn::detail> says why.

=head2 goto_uri

    my $canonical = Cpanel::LogMeIn::goto_uri($text);

The canonical form of a C<goto_uri>, by the rules above, for programs that
redirect to one; undef if it breaks a rule, which C<$Cpanel::LogMeIn::detail>
names.

=head2 address_in

    my $yes = Cpanel::LogMeIn::address_in( '192.0.2.7', '198.51.100.1 192.0.2.0/24' );

True if the address is in the list of addresses and networks. The list is
written as in the setting C<trusted_proxies>. False if the first argument is not
an address.

=head2 services

    for my $service ( Cpanel::LogMeIn::services() ) {
        print "$service->{name} $service->{port}\n";
    }

The services, as hashes: C<name> (C<cpanel>), C<daemon> (C<cpaneld>), C<port>
and C<clear_port> (the usual ones), C<cookie> and C<relogin> (the names of the
cookies), and C<title> (of the login page).

=head2 settings

    my %setting = Cpanel::LogMeIn::settings();

All current settings with their values, including defaults, in the syntax of the
settings file; an empty list if the file is invalid.

=head2 versions

    my %version = Cpanel::LogMeIn::versions();

Pairs of C<libcrypt>, C<openssl> and C<lmdb> with the versions in use, for bug
reports.

=head1 CONFIGURATION

F</etc/logmein.conf>, or the file that the environment variable C<LOGMEIN_CONF>
names (ignored in setuid programs): see L<logmein.conf(5)>. If F</etc/logmein.conf>
does not exist, the defaults apply.

=head1 FILES

=head2 The account files

Below C<site_root>. They must belong to root or the caller, and must not be
writable by group or others. Each file is always read completely, so that the
response time does not reveal the position of a name. Only the line of the
requested account matters: if it is malformed, or occurs twice, the login is
refused; other malformed lines are ignored.

=over 4

=item F<etc/passwd>, F<etc/shadow>, F<etc/shells>

As in passwd(5), shadow(5) and shells(5).

=item F<etc/userdomains>

Lines C<domain: user>: the owner of each domain. C<*:> is ignored.

=item F<etc/localdomains>

One domain per line: additional names of this machine.

=item F<var/cpanel/users/USER>

If this file exists, USER is a cPanel account. Its content is not read.

=item F<var/cpanel/resellers>

Lines C<user:privilege,privilege>: users who may log in to C<whm>, besides root.

=item F<var/cpanel/suspended/USER>

If this file exists, USER and USER's mailboxes may not log in to any service.

=item F<HOME/etc/DOMAIN/shadow>

The mailboxes of DOMAIN, by the part before the C<@>. HOME is the sixth field
of its owner's line in F<etc/passwd>, below C<site_root>. Users control these
files, so they are restricted: symbolic links below the home are not followed,
the owner must be the account or root, and a file must have exactly one hard link
and at most 1 MiB.

=back

C<cpanel> is for the accounts of the key C<accounts>, C<whm> for root and
resellers, C<webmail> for mailboxes and for cPanel accounts by their own name.
Refused at all services are accounts without a hash or with a hash that begins
with C<!> or C<*>, suspended accounts, and accounts or passwords that have
expired according to F<etc/shadow>.

Accepted hashes: C<$1$>, C<$5$>, C<$6$>, C<$2a$>, C<$2b$>, C<$2y$>, C<$y$>,
C<$gy$> and C<$7$>. Excessively slow hashes are refused before they are
computed: more than 500,000 rounds of C<$5$> or C<$6$>, of which each costs more
with each 64 bytes of the password; more than 64 MiB of C<$y$>, C<$gy$> or C<$7$>;
a cost above 14 of C<$2*$>. Below homes the limits are a quarter of that.

Never accepted are the schemes C<$2x$>, C<$3$>, C<$sha1$>, C<$md5$>, and those of
DES: traditional, bigcrypt and BSDi. bcrypt reads 72 bytes of a
password: a longer one is refused for such a hash.

=head2 The store's files

=over 4

=item F<data.mdb>, F<lock.mdb>

The sessions, in LMDB. Every commit is synchronous. The file is sparse and may
grow to 1 TiB; expired sessions are removed by later logins.

=item F<key>

32 random bytes, the key of each record's MAC. The owner of this file is the
owner of the store. If it is lost or changed, all calls fail with C<KEY> until it
is restored, or the store is emptied; then all users must log in again.

=item F<data.mdb.>I<16 digits>, F<key.>I<16 digits>

Temporary names of these files while they are made. Those of a killed process are
removed by a later one; so is every other name beside them, such as F<key.bak>, that
is a hard link to one of them.

=item F<write.lock>

The lock of processes that open the store or write, here and in F<volatile/>. It
holds no data, and is made anew after a restart.

=item F<volatile/>

When each session was last seen, and failed logins. If it is lost, sessions may
end early, and failures are forgotten. Its file name contains the kernel's boot
id; files of other boots are removed unopened.

=back

Every running process notices within a second that the store, or its key, was
moved or replaced by a backup. Sessions that are not in the new store have ended.

The store must not be on NFS. Root may use the store of any user, and accesses it
with that user's rights; other users may use only their own store.

=head2 The log

F</var/log/logmein/logins.log>, if C<log = file> is set.

=head1 DIAGNOSTICS

What C<$login_message> may be:

=over 4

=item C<Login OK>

=item C<The login is invalid.>

On another server: the login was refused for any reason. On this machine: unknown
user, wrong password, suspended, expired, locked, not allowed at this service, or
a fault in the account's own line or below its home. C<$detail> and the log
contain the reason.

=item C<Too many failed logins. Please try again in N seconds.>

See L</SECURITY>. Names that do not exist get it as well. Another server may
request a wait, too.

=item C<Too many failed logins. Please try again later.>

Another server requests a wait, without its length.

=item C<A two-factor code is needed.>

Another server requires a C<tfa_token>.

=item C<The two-factor code is wrong.>

=item C<The server's name is not known.>

The hostname has no address. This message and the following ones are about logins
at another server; C<$detail> and the log contain the cause.

=item C<The server refuses connections.>

No server listens at the service's port.

=item C<The server can't be reached.>

=item C<The server takes too long.>

Longer than C<remote_timeout>.

=item C<The server's certificate has expired.>

=item C<The server's certificate is for another name.>

=item C<The server's certificate is from an unknown issuer.>

It is self-signed, its issuer is not trusted by C<remote_ca_file> or the system,
or the server does not send an intermediate certificate.

=item C<The server's certificate is not valid.>

It is not valid yet, not intended for servers, or its signature is too weak.

=item C<There is no secure connection to the server.>

It does not support TLS 1.2 or newer.

=item C<The server's answer is too long.>

More than 64 KiB, headers included.

=item C<The server does not answer as a cPanel server does.>

The answer differs from the one in L<logmein.conf(5)/REMOTE LOGINS>, or is missing. C<$detail>
contains its status and its C<Location>, without user, password and query.

=item C<The server can't log anybody in at the moment.>

The status is 500 to 599.

=item C<Logins at this server are not allowed.>

C<remote_hosts> does not name it.

=item C<The parameter 'user' is missing or empty.>

Likewise C<'pass'> and C<'hostname'>.

=item C<The parameter 'user' must be a string, not a reference.>

Likewise C<'pass'>, C<'hostname'>, C<'goto_uri'>, C<'remote_addr'> and
C<'tfa_token'>.

=item C<The parameter 'user' must have at most 254 bytes.>

Likewise C<'pass'> with 511, C<'hostname'> with 253, C<'goto_uri'> with 2,048
(after encoding) and C<'tfa_token'> with 64.

=item C<The parameter 'user' must consist of letters, digits and _ . @ + -, not begin with - or ., and not hold two dots in a row.>

=item C<The parameter 'user' must be a name or name@domain.>

=item C<The parameter 'pass' must not hold a NUL byte.>

=item C<The parameter 'hostname' must be a host name of letters, digits and hyphens, an IPv4 address, or an IPv6 address in brackets.>

=item C<The parameter 'hostname' must be in ASCII: write names of other scripts in their xn-- form.>

=item C<The parameter 'hostname' must not hold an underscore.>

=item C<The parameter 'hostname' must not hold a port: the service decides it, and the port.* settings change it.>

=item C<The parameter 'service' must be cpanel, whm or webmail.>

=item C<The parameter 'goto_uri' must be a path, not a full URL.>

=item C<The parameter 'goto_uri' must not hold control bytes or backslashes, encoded or not.>

=item C<The parameter 'goto_uri' must not begin with two slashes.>

=item C<The parameter 'goto_uri' must not hold the segments . or ..>

=item C<The parameter 'goto_uri' must not hold a parameter named session.>

=item C<The parameter 'remote_addr' must be an IPv4 or IPv6 address.>

=item C<The parameter 'tfa_token' must be in printable ASCII.>

=item C<The parameters must be pairs of a name and a value.>

The list has an odd number of elements.

=item C<get_loggedin_url is a function: call it with ::, not with -E<gt>.>

=item C<Logins are not possible at the moment (CODE).>

A fault that the user did not cause. C<$detail> and the log name path, cause and
remedy. CODE is one of

    SETTINGS   the settings file, or a value in it, is invalid
    SITE       a file of the site is invalid or can't be read
    RIGHTS     the caller may not read the site, or does not own the store
    STORE      the store, or its folder, can't be used
    STOREFULL  no space for another session
    KEY        the store's key is lost or was changed
    CRYPTO     OpenSSL could not generate random bytes, or compute a hash
    ELSEWHERE  the hostname is not this machine's (other programs than Perl)
    LIBRARY    libcurl or jansson is missing, for a remote login
    SOCKET     the gateway's socket can't be trusted, or does not answer
    LOG        the log can't be written (in reports; logins go on)
    MEMORY     out of memory

=back

C<use Cpanel::LogMeIn> itself dies with C<Cpanel::LogMeIn can't start: ...> if
OpenSSL's random generator does not work.

=head1 SECURITY

The decision is made in the function C<lmi_login_decide> of
F<csrc/login/login.c>: a login succeeds if there is no wait, the account exists and
may log in at this service now, and its own hash matches.

Every login computes exactly one hash. For names that do not exist, and for
accounts that may not log in, it is a decoy of the most common kind in
F<etc/shadow>, and its result is ignored. On a site with several hash schemes the
response time still differs between accounts.

Failed logins are counted per name and per source. A name has three free failures,
whether it exists or not; a source, which is an IPv4 address (also inside
C<64:ff9b::/96>, a translator's prefix) or an IPv6 /64 network, has thirty, and an
IPv6 /48 network three hundred. After that, each failure is followed by a wait of 1,
2, 4 seconds and so on up to 900, and from C<attempts_max> on of 3600 seconds; a day
without a failure resets the count. During a wait no password is checked. To keep
others from locking out a user, only the pair of name and source is counted, with
three free failures of its own, if the name logged in from that source during the
last 30 days. A successful login resets the failures of the name, or of the pair,
never those of the source. Loopback addresses and C<trusted_proxies> are not counted
as sources. An attempt is reserved before the password is checked. A name or source
with free failures left may have 32 reservations at once, each of which counts if it
fails; after that it may have one. So many attempts at once get at most 34 passwords
of a name checked before its waits begin. The table has 65,536 rows of a kind; when
it is full, the row with the fewest failures makes room. Their names and addresses
are stored as keyed hashes only; L<logmein-attempts(8)> lists and clears rows. The call
never sleeps.

A ticket and the secret of a cookie have 256 random bits each, and only their
SHA-256 is stored. A ticket is not accepted as a cookie, nor a cookie as a ticket;
for the one exception see L<Cpanel::LogMeIn::Session/log_in>. A record is binary,
has a fixed layout, and is authenticated with HMAC-SHA-256 over its key and its
content; it holds nothing that an unauthenticated client has sent, except the address of
the browser that has redeemed the session, as 16 bytes.

The password is wiped from the module's memory before the call returns. Perl's
own copies are the caller's responsibility: keep their lifetime short.

A password is sent to another server only after that server's certificate and name
are verified. The hostname's syntax is validated, so that it can't redirect the
request to another server. The copies of the sent form in the module and libcurl
are wiped. The URL contains the requested host and port; nothing in a server's
answer can change that.

The first user of a login URL gets its session. Send the URL in a redirect with
C<Referrer-Policy: no-referrer> and C<Cache-Control: no-store>, and do not log it.
ASVS advises against secrets in URLs; the documented call requires one, therefore
the ticket is spent at its first use.

A process that opens the store or writes to it waits for others for at most 30
seconds, and for at most one second in which nobody has got a turn, unless the one
whose turn it is only waits for a processor. After that the fault is C<STORE>. A disk
that stalls during a commit is not covered by these limits.

An older copy of the whole store file is not detected: whoever can write the file can
bring back sessions that have ended but not expired.

If the program has used libcurl before, libcurl's own memory functions are not the
module's, and its copies of a sent password are not wiped.

OpenSSL is used in a context of the module's own, to which no configuration file
applies. The site's TLS policy stays in effect for the rest of the process.

Please report vulnerabilities at L<https://logmein.example/bugs>, marked as a
security issue; they will not be published before there is a fix.

=head1 CAVEATS

A script that serves browsers should pass C<remote_addr>, or run as CGI:
otherwise an attacker's failed logins make the owner of a name wait, too.

Hashes that were created from Latin-1 bytes do not match passwords with non-ASCII
letters.

Accounts of PAM, LDAP, NIS or SSSD are not supported; only files are read.

Under ithreads each thread has its own handles, and a session object that was
cloned into a thread opens its own store handle. fork() may be called at any time.

Without a gateway, a caller must be able to read F<etc/shadow>, and therefore run
as root or in the group C<shadow>, and must own the store.

If C<hostname> could be one of C<site_hostnames>, but the caller may not read
F<etc/userdomains>, the password is not sent anywhere, and the fault is C<RIGHTS>:
add the host to C<domains>, or set C<backend = local>.

A login at another server without its two-factor code may succeed: such servers ask
for the code on the page that the URL opens.

=head1 DIFFERENCES FROM CPANEL'S MODULE

=over 4

=item *

If C<hostname> is a name of this machine, the password is checked on this machine.
The original sends each password to the given host, without verifying the server's
certificate or name, and without a limit of time or size.

=item *

From another server's answer, only a valid security token and the service's own
cookie are used. The original accepts any cookie whose name ends in C<session>, and
appends the unvalidated token to the port, which lets the server choose another
host.

=item *

The syntax of C<hostname> is validated. An invalid host name never becomes part of
a URL.

=item *

An unknown C<service> is an error. The original silently uses C<cpanel>.

=item *

On failure there is a message for people. The original returns a code, or the whole
page that the server sent. It treats redirects as success.

=item *

C<goto_uri> must stay on the host, and a C<session> parameter in it is refused.

=item *

The URL of a login on this machine holds a ticket for one browser. The original's
URL holds the session's cookie itself, which gives access to everyone who can read
it in a log; so does the URL of a login at another server, which has no tickets.

=item *

C<$Cpanel::LogMeIn::detail> contains the reason, for the operator.

=back

On a real cPanel server C<use lib '/usr/local/cpanel'> finds cPanel's own module
first, as intended.

=head1 SEE ALSO

L<Cpanel::LogMeIn::Session>, L<Cpanel::LogMeIn::Remote>, L<Test::Cpanel::LogMeIn>,
L<Cpanel::Config::Constants>, crypt(5), shadow(5);
F<csrc/README> in the sources for the C core, which other programs can use.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
