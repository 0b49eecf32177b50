package Cpanel::LogMeIn;

use strict;
use warnings;
use XSLoader ();

our $VERSION = '0.01';

# What the last call found out: for the operator, and in a word for programs.
our $detail = '';
our $reason = '';

XSLoader::load( __PACKAGE__, $VERSION );

# For the XSUB, at the first login that leaves the process: libcurl takes longer
# to load than all of a login here. Returns why it can't be had, if so.
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
password and to get a URL that opens the user's panel. This module is the same
call for machines that have no cPanel: such scripts run unchanged. Where they
log in at a cPanel & WHM server elsewhere, it does that as well, with verified
TLS, time limits and clear sentences: see L</Remote logins>.

The password is checked with libcrypt against the machine's own account files,
in the layout that cPanel uses, so that a machine which left cPanel works as it
is. A good login makes a session, kept in an LMDB store, and returns a URL that
holds a ticket: a secret which is good for one browser. What answers at that
URL swaps the ticket for a cookie, and checks that cookie and the security
token at each request; L<Cpanel::LogMeIn::Session> does both. A caller who may
not read the account files, such as a CGI script, asks the machine's gateway by
its socket.

"cPanel" is a trademark of its owner. This project is independent of it and
not endorsed by it.

=head1 FUNCTIONS

Nothing is exported. No function throws an exception for anything that a user
can type.

=head2 get_loggedin_url

    my ( $login_ok, $login_message, $login_url, $security_token ) =
        Cpanel::LogMeIn::get_loggedin_url(%parameters);

Parameters come as pairs of a name and a value. Unknown names are ignored.

=over 4

=item C<user>

Required. The account, case as given: a system user, or C<name@domain> for a
mailbox, whose domain is lower-cased. At most 254 bytes of letters, digits and
C<_ . @ + ->, not beginning with C<-> or C<.>, without C<..>.

=item C<pass>

Required. The password: 1 to 511 bytes, no NUL. A string whose characters all
fit a byte and whose bytes are valid UTF-8 is taken as these bytes; every other
string is encoded as UTF-8. So "é" is the bytes C3 A9, whether you have decoded
it or not, and Perl's internal flag makes no difference.

=item C<hostname>

Required. The name that stands in the URL, and that decides where the password
is checked: a host name of letters, digits and hyphens, an IPv4 address, or an
IPv6 address in brackets; at most 253 bytes. It is lower-cased, and one dot at
the end is removed. Names of other scripts come in their C<xn--> form. This is
configuration: never take it from a form.

=item C<service>

Required. C<cpanel>, C<whm> or C<webmail>; also C<cpaneld>, C<whostmgr>,
C<whostmgrd> and C<webmaild>, which mean the same.

=item C<goto_uri>

Optional, C</> by default. The page to open: a path with, perhaps, a query and
a fragment; at most 2,048 bytes. A slash in front is added if missing. Spaces,
bytes from 0x80 on and C<< " < > ^ ` { | } >> become percent-encoded, a C<%>
without two hex digits becomes C<%25>, other percent-encodings stay. In front,
C<&goto_uri=> and then C</json-api/dummy> are removed once each, for the
documentation of the original call has them. Refused are full URLs, control
bytes and backslashes (encoded or not), two slashes in front, the segments
C<.> and C<..> (encoded or not), and a query parameter named C<session>.

=item C<active_token_for_reuse>

Optional. The C<$security_token> of an earlier call, with or without its slash.
If a session of the same user and service with that token is alive, the new
session shares the token: all of them open under one path, and end together.
Anything else is ignored, and a new token is drawn. The password is checked
either way.

=item C<remote_addr>

Optional. The browser's address, IPv4 or IPv6, for the log and for counting
failed logins (see L</SECURITY>). If it is missing, C<REMOTE_ADDR> counts where
C<GATEWAY_INTERFACE> is set, as in a CGI script; otherwise only the name counts.

=item C<tfa_token>

Optional. A two-factor code, at most 64 printable ASCII characters. It is sent to
another server, if the login goes there; for a login on this machine its form is
checked, and no more.

=back

In list context there are always four elements:

=over 4

=item C<$login_ok>

1 if the login is good, otherwise 0. In scalar context, this is all.

=item C<$login_message>

C<Login OK>, or a sentence for a person. It never holds a path, an inner state
or anything that was passed in, and may be shown in a browser: see
L</DIAGNOSTICS>.

=item C<$login_url>

The URL that opens the session, or undef. It holds a secret:

    https://HOST:PORT/cpsess##########GOTO_URI?session=TICKET

or, if C<login_url = login> is set,

    https://HOST:PORT/cpsess##########/login/?session=TICKET&goto_uri=ENCODED

A query in C<goto_uri> is kept, and the ticket then follows behind C<&>; a
fragment stays last. An unredeemed ticket is good for C<session_idle> seconds.

For a login at another server it is what the original returns, with the value of
that server's cookie, as it came, and without C<goto_uri> if that is C</>:

    https://HOST:PORT/cpsess##########/login/?session=VALUE&goto_uri=ENCODED

=item C<$security_token>

C</cpsess> and ten digits, or undef; empty if another server has such tokens
switched off. It is part of every URL of the session and
guards against requests forged by other sites. It is no credential: without the
cookie it opens nothing.

=back

C<$Cpanel::LogMeIn::detail> is set by every call: the reason, for the operator,
with path, line and remedy where there are any. It never holds a password or a
ticket, but do not show it in a browser.

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

The canonical form of a C<goto_uri>, by the rules above, for those who redirect
to one; undef if it breaks a rule, and C<$Cpanel::LogMeIn::detail> says which.

=head2 address_in

    my $yes = Cpanel::LogMeIn::address_in( '192.0.2.7', '198.51.100.1 192.0.2.0/24' );

Is the address one of these, or inside one of these networks? Lists are written
as in the setting C<trusted_proxies>; what is no address is in no list.

=head2 settings

    my %setting = Cpanel::LogMeIn::settings();

All settings in force with their values, defaults included, as the file would
have them; an empty list if the file is not in order.

=head2 versions

    my %version = Cpanel::LogMeIn::versions();

Pairs of C<libcrypt>, C<openssl> and C<lmdb> with the versions that run, for
reports of bugs.

=head1 CONFIGURATION

F</etc/logmein.conf>, or the file that the environment variable C<LOGMEIN_CONF>
names (ignored in setuid programs). Without a file at F</etc/logmein.conf> the
defaults hold; a file that C<LOGMEIN_CONF> names must be there. Lines are
C<key = value>; lines that begin with C<#> are comments. The file belongs to
root or the caller, is not writable by group or others, and has at most 64 KiB.
An unknown key, a key twice, or a bad value is an error that names file, line
and key. The file is read anew at each call.

Some keys are for parts that this version does not have yet, as their text
says. They are checked all the same, so that one file serves all versions.

=head2 Where logins are checked

=over 4

=item C<backend>

C<auto> (default): here, if the hostname is this machine's: C<localhost>,
C<127.0.0.1>, C<[::1]>, the machine's own name, an address of one of its
interfaces, a name of C<domains>, or one of C<site_hostnames>; no DNS query is
made. Every other hostname is asked itself: see L</Remote logins>. C<local>:
always here. C<remote>: never here, whatever the hostname.

"Here" is this process, if it may read the account files and own the store; if
not, the gateway is asked by C<gateway_socket>.

=item C<site_root>

The folder of the account files, C</> by default: see L</FILES>.

=item C<accounts>

Who is an account of the service C<cpanel>. C<cpanel>: a user with a file in
F<var/cpanel/users>. C<passwd>: a user of F<etc/passwd> with a UID from 1000 to
59999 and a shell listed in F<etc/shells>. Unset: C<passwd> if there is no
F<var/cpanel>, otherwise C<cpanel>. Never root.

=item C<domains>

Further names of this machine, separated by spaces.

=item C<site_hostnames>

C<yes> (default) or C<no>: do the names in F<etc/userdomains> and
F<etc/localdomains>, and C<www.>, C<mail.>, C<webmail.>, C<cpanel.> and C<whm.>
before them, belong to this machine?

=back

=head2 The store

=over 4

=item C<store>

C<lmdb:/FOLDER>, by default C<lmdb:/var/lib/logmein>. The folder is made, mode
0700, at the first login. The forms C<redis://HOST:PORT/DB>, C<rediss://> and
C<redis+unix:/PATH> are known, but not served by this version.

=item C<volatile_dir>

The folder of what need not outlast a restart. F</run/logmein/volatile> for the
default store, otherwise F<volatile> in the store's folder.

=item C<key_file>

The store's key, 32 bytes, mode 0600; F<key> in the store's folder by default.
Made with the store.

=item C<key_file_old>

The key before this one: what it has sealed is still read.

=item C<redis_user>

The user of a store in Redis.

=item C<redis_password_file>

The file that holds its password.

=item C<session_idle>

Seconds without a request after which a session ends, 60 to 86400, by default
900. Also the life of a ticket that nobody redeems.

=item C<session_max>

Seconds after which a session ends in any case, 60 to 2592000, by default 86400.

=back

=head2 What a login URL looks like

=over 4

=item C<login_url>

C<direct> (default) or C<login>: see L</get_loggedin_url>.

=item C<port.cpanel>

The port in the URL of this service, by default 2083.

=item C<port.whm>

Likewise, by default 2087.

=item C<port.webmail>

Likewise, by default 2096.

=item C<cookie_prefix>

What the gateway puts before the name of its session cookies, C<__Host-> where
every client is a browser: letters, digits, C<-> and C<_>.

=back

=head2 Limits, and who is believed

=over 4

=item C<attempts_max>

Failed logins in a row from which on a name, or a source, waits an hour after
each, 4 to 1000000, by default 100: see L</SECURITY>.

=item C<gateway_socket>

The socket of this machine's gateway, by default F</run/logmein/gateway.sock>: see
L<Plack::App::LogMeIn/THE SOCKET>. A caller who may not read the account files, or does not own the store, asks there,
and needs no right to any password file. Nothing is sent unless the socket, its
folder and who listens (this one with libcurl 7.80 or newer) belong to root or to
the store's owner, and nobody else can change the folder. If there is no such file, the fault is C<RIGHTS>, as without a
gateway. C<remote_timeout> holds here, too.

=item C<socket_callers>

Users whose word on the browser's address the gateway believes at that socket,
separated by spaces, by default C<www-data>.

=item C<trusted_proxies>

Addresses of proxies, and networks as C<192.0.2.0/24>, separated by spaces:
failed logins from there are not counted against the source, for it is
everybody's. The gateway believes what they say of the browser: see
L<Plack::App::LogMeIn/FRONT SERVERS>.

=item C<hsts>

C<no> (default), or the seconds of the gateway's C<Strict-Transport-Security>.
It covers every port of the name.

=back

=head2 Remote logins

A hostname that is not this machine's is asked itself, at the port that C<port.*>
names for the service: C<POST /login/?login_only=1> over TLS 1.2 or newer,
HTTP/1.1 (servers of HTTP/2 speak that as well), IPv4 or IPv6, to a server whose
certificate and name are good. No redirect is followed, and proxies that the environment names are passed over. A
connection is kept for the next login of the process, or thread; a child has its
own.

Of the answer, the cookie of the service (C<cpsession>, C<whostmgrsession> or
C<webmailsession>) and the security token are believed, if their form is right
and the status is 200 with C<"status":1>. Everything else is answered with one of
the sentences in L</DIAGNOSTICS>; nothing that a server writes is shown to people.

Such logins need libcurl and jansson (Debian: libcurl4-openssl-dev and
libjansson-dev to build, libcurl4 and libjansson4 to run), and so do those by the
gateway's socket; where they were missing when the module was built, the fault is
C<LIBRARY>. They are loaded at the first such login, as
L<Cpanel::LogMeIn::Remote>.

=over 4

=item C<remote_hosts>

Hosts that a remote login may go to, separated by spaces: names, addresses (IPv6
in brackets), C<*.domain> for all names below a domain, and C<*> (default) for
all.

=item C<remote_ca_file>

A file of certificates (PEM) to trust, instead of the system's.

=item C<remote_proxy>

The proxy to go through, as libcurl writes it: C<http://HOST:PORT>,
C<socks5h://HOST:PORT>. None by default.

=item C<remote_timeout>

Seconds for a whole remote login, 1 to 300, by default 10: from looking up the
name to the last byte of the answer.

=item C<remote_forward_to>

Hosts, as in C<remote_hosts>, that are told C<remote_addr>: servers that run this
module's gateway and are to count failures against the browser. By default none.

=item C<insecure_remote_skip_verify>

C<no> (default) or C<yes>: accept any certificate of anybody. For test servers.
Each login logs a warning.

=back

=head2 Log and pages

=over 4

=item C<log>

C<syslog> (default, facility authpriv), C<file:/PATH> or C<none>. One line for
each login: service, address, name, outcome, and the same words as C<$detail>.
Never a password, a ticket or a cookie.

With C<file:/PATH>, the file is opened for each line, so that it can be rotated
at any time. Lines have the form of cPanel's own logs:

    [TIME] info [cpaneld] 192.0.2.7 - alice "login" SUCCESS LOGIN cpaneld: session ID
    [TIME] info [cpaneld] 192.0.2.7 - alice "login" FAILED LOGIN cpaneld: REASON
    [TIME] info [cpaneld] - - alice "login by uid 33" FAILED LOGIN cpaneld: REASON
    [TIME] info [cpaneld] 192.0.2.7 NEW alice:ID ticket
    [TIME] info [cpaneld] 192.0.2.7 REFUSED alice:ID REASON
    [TIME] info [cpaneld] 192.0.2.7 PURGE alice:ID logout
    [TIME] info FAULT REASON

The third is a login that a local program has asked the gateway for. NEW is a
ticket that was redeemed, REFUSED one that was not, PURGE the end of a
session: C<logout>, C<token> (three wrong ones), C<account> (it changed), C<operator> or
C<discarded>.

=item C<log_unknown_users>

C<no> (default): names of accounts that do not exist are logged as C<->, for
people type passwords into the wrong field. C<yes>: as they came.

=item C<page_title>

Title of the gateway's pages, in UTF-8. By default each service has its own.

=item C<page_logo>

Their logo: the path of a PNG, JPEG, GIF, SVG or WebP file of at most 65,536
bytes, which becomes a part of the page.

=item C<page_footer>

Their last line, in UTF-8.

=back

=head2 For tests

Both are refused where C<site_root> is the machine's own root, and logged
whenever a session object is opened. L<Test::Cpanel::LogMeIn> sets them for you.

=over 4

=item C<test_clock>

Seconds since 1970, at which the clock stands still.

=item C<test_fault>

C<none>, C<store-full>, C<store-away> or C<slow>: faults on demand. With C<slow>
each login takes a second longer.

=back

=head1 FILES

=head2 The account files

Below C<site_root>. They belong to root or the caller, and are not writable by
group or others. Each is read in one full pass, so that time tells nothing
about where in it a name is. Only the asked account's own line decides: if it
is malformed, or there twice, the login is refused; other bad lines are passed
over.

=over 4

=item F<etc/passwd>, F<etc/shadow>, F<etc/shells>

As in passwd(5), shadow(5) and shells(5).

=item F<etc/userdomains>

Lines C<domain: user>: whose domain is this? C<*:> is ignored.

=item F<etc/localdomains>

A domain a line: further names of this machine.

=item F<var/cpanel/users/USER>

That it is there makes USER a cPanel account. What it holds is not read.

=item F<var/cpanel/resellers>

Lines C<user:privilege,privilege>: who may log in to C<whm> besides root.

=item F<var/cpanel/suspended/USER>

That it is there refuses USER, and USER's mailboxes, everywhere.

=item F<HOME/etc/DOMAIN/shadow>

The mailboxes of DOMAIN, by the part before the C<@>. HOME is the sixth field
of its owner's line in F<etc/passwd>, below C<site_root>. Such files belong to
users, and are trusted accordingly: no links are followed below the home, the
owner is the account or root, there is one hard link, and at most 1 MiB.

=back

C<cpanel> is for the accounts of the key C<accounts>, C<whm> for root and
resellers, C<webmail> for mailboxes and for cPanel accounts by their own name.
Refused everywhere are accounts without a hash or with one that begins with
C<!> or C<*>, suspended accounts, and accounts or passwords that have expired
by the fields of F<etc/shadow>.

Accepted hashes: C<$1$>, C<$5$>, C<$6$>, C<$2a$>, C<$2b$>, C<$2y$>, C<$y$>,
C<$gy$> and C<$7$>. Hashes made to be slow are refused before they are
computed: more than 500,000 rounds of C<$5$> or C<$6$>, more than 64 MiB of
C<$y$>, C<$gy$> or C<$7$>, a cost above 14 of C<$2*$>; below homes a quarter of
that.

=head2 The store's files

=over 4

=item F<data.mdb>, F<lock.mdb>

The sessions, in LMDB. Every commit is synchronous. The file is sparse and may
grow to 1 TiB; expired sessions are removed by later logins.

=item F<key>

32 random bytes that seal each record. Whoever owns it owns the store. If it is
lost or changed, all calls end with the fault C<KEY> until it is brought back,
or the store is emptied, after which everybody logs in again.

=item F<volatile/>

When each session was last seen, and failed logins. It may be lost: sessions
may then end early, and failures are forgotten. Its file carries the kernel's
boot id; those of other boots are removed unopened.

=back

A store that is moved away, or replaced by a backup, is noticed by every running
process within a second, and so is its key; sessions that the new one does not
know have ended.

The store must not lie on NFS. Root may use a store of any user, and acts with
that user's rights there; everybody else only a store of their own.

=head1 DIAGNOSTICS

What C<$login_message> may be:

=over 4

=item C<Login OK>

=item C<The login is invalid.>

From another server: whatever reason it has. On this machine: unknown user, wrong password, suspended, expired, locked, not allowed at this
service, a fault in the account's own line or below its home: one sentence for
all. C<$detail> and the log tell them apart.

=item C<Too many failed logins. Please try again in N seconds.>

See L</SECURITY>. It is the same for names that do not exist. Another server may
ask for a wait as well.

=item C<Too many failed logins. Please try again later.>

Another server asks for a wait, and does not say how long.

=item C<A two-factor code is needed.>

Another server wants a C<tfa_token>.

=item C<The two-factor code is wrong.>

=item C<The server's name is not known.>

There is no address for the hostname. This sentence and those that follow are of
logins at another server; C<$detail> and the log tell the cause.

=item C<The server refuses connections.>

Nobody listens at the service's port.

=item C<The server can't be reached.>

=item C<The server takes too long.>

Longer than C<remote_timeout>.

=item C<The server's certificate has expired.>

=item C<The server's certificate is for another name.>

=item C<The server's certificate is from an unknown issuer.>

It is self-signed, its issuer is not among those in C<remote_ca_file> or the
system's, or the server does not send a certificate in between.

=item C<The server's certificate is not valid.>

It is not valid yet, not for servers, or its signature is too weak.

=item C<There is no secure connection to the server.>

It does not speak TLS 1.2 or newer.

=item C<The server's answer is too long.>

More than 64 KiB, headers included.

=item C<The server does not answer as a cPanel server does.>

An answer that is not as in L</Remote logins>, or none at all.

=item C<The server can't log anybody in at the moment.>

A status of 500 to 599.

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

A fault that is not the user's. C<$detail> and the log name path, cause and
remedy. CODE is one of

    SETTINGS   the settings file, or a value in it
    SITE       a file of the site
    RIGHTS     the caller may not read the site or own the store
    STORE      the store, or its folder
    STOREFULL  no space for another session
    KEY        the store's key is lost, or another one
    CRYPTO     OpenSSL gave no random bytes, or no hash
    ELSEWHERE  the hostname is not this machine's (other programs than Perl)
    LIBRARY    libcurl or jansson is missing, for a login outside this process
    SOCKET     the gateway's socket is not to be trusted, or does not answer
    MEMORY     no memory

=back

C<use Cpanel::LogMeIn> itself dies with C<Cpanel::LogMeIn can't start: ...> if
OpenSSL's random generator does not work.

=head1 SECURITY

The line that says yes is in the function C<decide> of F<csrc/login.c>: the
account exists, may log in at this service now, and its own hash matched.

Every login computes exactly one hash. For names that do not exist, and for
accounts that may not log in, it is a decoy of the commonest kind in
F<etc/shadow>, and its result is not looked at. A site of mixed schemes still
differs in time between accounts.

Failed logins are counted. A name has three free, whether it exists or not; a
source, an IPv4 address or 64 bits of an IPv6 one, thirty. From then on each
failure is followed by a wait of 1, 2, 4 seconds and so on up to 900, and from
C<attempts_max> on of 3600; a day without a failure forgets them. Inside a wait
no password is looked at. So that nobody is locked out by others, only the pair
of name and source counts, with three free of its own, where the name logged in
from that source during the last 30 days. Success forgets the failures of the
name, or of the pair, never those of the source. Loopback addresses and
C<trusted_proxies> are no sources. An attempt is reserved before the password
is looked at, so that many at once gain nothing. Names and addresses are kept
under a keyed hash only. The call never sleeps.

A ticket and the secret of a cookie have 256 random bits each, and only their
SHA-256 is stored. A ticket is not a cookie and no cookie is a ticket. A record
is binary, of fixed layout, and sealed with HMAC-SHA-256 over its place and its
content; nothing that an unauthenticated client has sent is in it.

The password is wiped from the module's memory before the call returns. Perl's
own copies are yours: keep them short.

Another server is told a password after it has proved its name, and a hostname
is only ever what its grammar allows, so that no other server can be meant. Of the
form that is sent, what the module and libcurl hold is wiped. The URL names the host
and port that were asked; nothing that a server answers can change that.

A login URL opens the session of whoever uses it first. Send it in a redirect
with C<Referrer-Policy: no-referrer> and C<Cache-Control: no-store>, and do not
log it. ASVS asks for no secrets in URLs; the documented call cannot work
without, hence the ticket that is spent at its first use.

OpenSSL is used in a context of the module's own, to which no configuration file
applies. The site's TLS policy stays in force for the rest of the process.

Please report what you find at L<https://logmein.example/bugs>; mark it as a
security matter and it will not be shown in public until there is a remedy.

=head1 CAVEATS

A script that serves browsers should pass C<remote_addr>, or run as CGI:
otherwise a stranger who guesses at a name makes its owner wait, too.

Hashes that were made from Latin-1 bytes do not match passwords with letters
beyond ASCII.

Accounts of PAM, LDAP, NIS or SSSD are not supported; only files are read.

One interpreter is used by one thread, as always; under ithreads each thread
has its own handles, and a session object that was cloned into a thread opens
the store for itself. fork() at any time is fine.

DES-style hashes, and C<$3$>, never match.

Where there is no gateway, a caller must be able to read F<etc/shadow>, and thus
runs as root or in the group C<shadow>, and own the store.

If C<hostname> could be one of C<site_hostnames>, but the caller may not read
F<etc/userdomains>, the password goes nowhere, and the fault is C<RIGHTS>: name the
host in C<domains>, or set C<backend = local>.

A login at another server without its two-factor code may succeed: such servers ask
for the code at the page behind the URL.

=head1 DIFFERENCES FROM CPANEL'S MODULE

=over 4

=item *

A hostname of this machine is checked on this machine. The original sends each
password to the host that it is given, without verifying the server's certificate
or name, and without a limit of time or size.

=item *

Of another server's answer, only a good security token and the service's own cookie
are believed. The original takes any cookie whose name ends in C<session>, and pastes
what the server calls a token behind the port, which lets it choose another host.

=item *

C<hostname> is checked for its form. What is no host name never becomes part of
a URL.

=item *

An unknown C<service> is an error. The original silently takes C<cpanel>.

=item *

A failure is answered with a sentence for people. The original returns a code,
or the whole page that the server sent. It takes redirects for success.

=item *

C<goto_uri> must stay on the host, and a C<session> parameter in it is refused.

=item *

The URL of a login on this machine holds a ticket for one browser. The original's
holds the session's cookie itself, and so opens it for everybody who reads it in a
log; so does that of a login at another server, which knows no tickets.

=item *

C<$Cpanel::LogMeIn::detail> tells the operator why.

=back

On a real cPanel server C<use lib '/usr/local/cpanel'> finds cPanel's own module
first, and that is right so.

=head1 SEE ALSO

L<Cpanel::LogMeIn::Session>, L<Cpanel::LogMeIn::Remote>, L<Test::Cpanel::LogMeIn>,
L<Cpanel::Config::Constants>, crypt(5), shadow(5);
F<csrc/README> in the sources for the C core, which other programs can use.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
