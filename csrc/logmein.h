/*
 * The core's whole interface.
 *
 *  - A handle (struct lmi, struct lmi_remote) is used by one thread at a time.
 *  - Handles survive fork(): a child may go on using them.
 *  - Inputs are borrowed for the call. Outputs belong to the caller, who
 *    releases each with the function named beside it; all accept NULL.
 *  - Times are seconds since 1970 by the server's clock.
 *  - Nothing here exits or aborts, or prints, but for the log: see below.
 */
#ifndef LMI_LOGMEIN_H
#define LMI_LOGMEIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LMI_CHECK __attribute__((warn_unused_result))

/*
 * Faults. A refused login or session is none: it is a verdict, and comes back
 * in an output that starts as the refusing value.
 */
enum lmi_rc {
    LMI_OK = 0,
    LMI_MEMORY,    /* no memory */
    LMI_SETTINGS,  /* the settings file, or a value in it */
    LMI_SITE,      /* a file of the site */
    LMI_RIGHTS,    /* the caller may not read the site or own the store */
    LMI_STORE,     /* the store, or its folder */
    LMI_STOREFULL, /* no space for another session */
    LMI_KEY,       /* the store's key */
    LMI_CRYPTO,    /* OpenSSL gave no random bytes, or no hash */
    LMI_ELSEWHERE, /* the hostname is another machine's */
    LMI_LIBRARY,   /* libcurl, jansson or libpq is missing */
    LMI_SOCKET,    /* the gateway's socket is not trusted, or does not answer */
    LMI_LOG,       /* the log can't be written; no login fails for that */
};
#define LMI_RCS (LMI_LOG + 1)

/* The result of a function that can fail; it must not be ignored. */
#define LMI_RC LMI_CHECK enum lmi_rc

/* The name that people see: "SITE" for LMI_SITE. Static. */
const char *lmi_rc_name(enum lmi_rc rc);

/*
 * An error record; there is nothing to free. `location` is a path, with line
 * and key where known; it may be empty and is cut at its size. `text` and
 * `remedy` are static sentences without a full stop, or NULL. `name` is static
 * too, and stays when the sentences are reworded: for programs; NULL: none.
 */
struct lmi_err {
    enum lmi_rc code;
    int os_errno; /* 0: none */
    const char *text;
    const char *remedy;
    char location[320];
    const char *name; /* such as "key.mode" */
};

/* Writes "LOCATION: TEXT: OS ERROR (REMEDY)", cut at size, terminated. */
void lmi_err_format(const struct lmi_err *err, char *out, size_t size);

/*
 * A handle: a private OpenSSL context with its random generator, which is
 * started and tried here; the settings; and, opened when a call first needs
 * them, the site, the store and its key. The machine's OpenSSL configuration
 * does not apply to it, and stays in force for the rest of the process.
 *
 * `like` is a handle of the same thread whose OpenSSL context and counters the
 * new one shares; NULL: none.
 */
struct lmi;
LMI_RC lmi_new(const struct lmi *like, struct lmi **out, struct lmi_err *err);
void lmi_free(struct lmi *lmi);

/*
 * For servers with several threads: a handle for each, which shares the
 * counters of `other` and what lmi_defer() says of it, and is used by its
 * thread alone. One thread makes all of them, and frees them; the others may
 * use theirs meanwhile.
 */
LMI_RC lmi_new_beside(const struct lmi *other, struct lmi **out,
                      struct lmi_err *err);

/*
 * From now on checks with this handle, and with those made beside it later, do
 * not wait for what they write but note it in memory: that a session was seen,
 * a wrong token, that a session has ended. All these handles see it at once.
 * One thread calls lmi_session_write() with a handle of its own. Only the first
 * use of a dual-use cookie, or of one of several of a ticket, is still written
 * before it is granted.
 */
LMI_RC lmi_defer(struct lmi *lmi, struct lmi_err *err);

/*
 * The settings come from the file that LOGMEIN_CONF names (ignored in setuid
 * programs), else from /etc/logmein.conf; without that one they are the
 * defaults.
 *
 * By default a handle follows the file: each call compares its identity
 * (device, inode, size, times) and reads it again if that has changed. Good
 * settings are kept while the file is bad, missing, or was modified less than
 * two seconds ago, for an editor may still be writing; a bad or missing file
 * is logged once a minute. The first call fails with a bad file.
 *
 * lmi_pin() reads the settings now, and keeps them as long as the handle
 * lives: for servers, which reload by opening a new handle.
 */
LMI_RC lmi_pin(struct lmi *lmi, struct lmi_err *err);

/* Opens site, store and key now instead of when they are needed. */
LMI_RC lmi_open(struct lmi *lmi, struct lmi_err *err);

/* The settings in force; good until the next call with this handle. */
struct lmi_settings;
LMI_RC lmi_settings_get(struct lmi *lmi, const struct lmi_settings **out,
                        struct lmi_err *err);

/*
 * Each setting, by a number from 0 on, with its value as the file would have
 * it; false at the end. Longer values are cut at size.
 */
bool lmi_settings_show(const struct lmi_settings *settings, size_t number,
                       const char **name_out, char *value_out, size_t size);

/* The line of the settings file that sets it; 0 if none does. */
unsigned lmi_settings_line(const struct lmi_settings *settings, size_t number);

/* The same by name; false if there is no such setting. */
bool lmi_settings_find(const struct lmi_settings *settings, const char *name,
                       char *value_out, size_t size);

#define LMI_NOTES 32 /* in reports of what is wrong */

/*
 * The errors of a settings file, in the order of its lines; the place of each
 * is "FILE line NUMBER", and ", KEY" where there is one. An error of the call:
 * the file can't be read.
 */
struct lmi_settings_report {
    size_t count;
    uint64_t left_out;
    struct lmi_err errors[LMI_NOTES];
};
LMI_RC lmi_settings_survey(const char *path, struct lmi_settings_report *out,
                           struct lmi_err *err);

/*
 * The log: syslog, a file or standard error, as the settings say. A line that
 * can't be written fails no call: it is counted, standard error is told once a
 * minute, and when a line can be written again, another one says how many are
 * missing. Processes that a handle's process forks count together with it.
 *
 * lmi_log_try() writes the line "NOTICE text", and reads it back from a file:
 * for servers, which do not start without a log. LMI_OK if it is there, or if
 * nothing is to be logged; else LMI_LOG.
 */
LMI_RC lmi_log_try(struct lmi *lmi, const char *text, struct lmi_err *err);

/*
 * How the log is now, for a server's reports of its health. err is filled
 * unless lines can be written; while lines are missing, the one that says so
 * is tried.
 */
struct lmi_log_health {
    bool written;  /* lines can be written, or nothing is to be logged */
    uint64_t lost; /* lines, since the handle was made */
    int64_t since; /* when the first of those that are missing was lost, 0:
                      none is missing */
};
LMI_RC lmi_log_look(struct lmi *lmi, struct lmi_log_health *out,
                    struct lmi_err *err);

/*
 * A string as a caller has it. LATIN1: one byte a character. UTF8: characters
 * coded as UTF-8 or its laxer Perl form. Which bytes a string means does not
 * depend on which of the two it is: characters that all fit a byte and whose
 * bytes are valid UTF-8 are taken as those bytes, every other string as the
 * UTF-8 of its characters.
 */
enum lmi_text_kind {
    LMI_TEXT_ABSENT = 0,
    LMI_TEXT_LATIN1,
    LMI_TEXT_UTF8,
    LMI_TEXT_NOT_A_STRING, /* a reference; ptr and len are ignored */
};
struct lmi_text {
    enum lmi_text_kind kind;
    const char *ptr;
    size_t len;
};

/* Bytes of any value in somebody else's memory. ptr is NULL: absent, which is
 * not the same as empty. */
struct lmi_bytes {
    const char *ptr;
    size_t len;
};

/*
 * The services, numbered from 1 on; each is one row of a table. NULL if there
 * is none of that number. Static.
 */
enum lmi_service { LMI_CPANEL = 1, LMI_WHM, LMI_WEBMAIL };
#define LMI_SERVICES 3
struct lmi_service_info {
    enum lmi_service service;
    const char *name;         /* "cpanel" */
    const char *daemon;       /* "cpaneld": as logs and some scripts name it */
    const char *alias;        /* another name that scripts pass, or NULL */
    uint32_t port;            /* TLS; setting port_setting changes it */
    uint32_t clear_port;      /* clear text, where the gateway redirects */
    const char *port_setting; /* "port.cpanel" */
    const char *cookie;       /* the session cookie's name */
    const char *relogin;      /* its companion's */
    const char *title;        /* of the login page */
};
const struct lmi_service_info *lmi_service_info(enum lmi_service service);

/* The service of this name, daemon or alias; false, and out untouched, for
 * anything else. */
bool lmi_service_parse(struct lmi_text text, enum lmi_service *out);

#define LMI_USER_MAX 254               /* bytes */
#define LMI_PASS_MAX 511               /* bytes: libcrypt takes no more */
#define LMI_URI_MAX 2048               /* bytes, after encoding */
#define LMI_TOKEN_SIZE 18              /* "/cpsess" + 10 digits + NUL */
#define LMI_TICKET_SIZE 48             /* "lmt_" + 43 characters + NUL */
#define LMI_ADDRESS_TEXT 46            /* the longest address + NUL */
#define LMI_ID_SIZE 17                 /* 16 hex digits + NUL */
#define LMI_COOKIE_SIZE (3 * 254 + 47) /* USER%3aSECRET + NUL */
#define LMI_VALUE_MAX 1024             /* bytes: another server's cookie */
#define LMI_URL_SIZE (3 * LMI_URI_MAX + LMI_VALUE_MAX + 512)
#define LMI_MESSAGE_SIZE 160
#define LMI_DETAIL_SIZE 640

/*
 * The canonical form of a goto_uri: no host, no dot segments, no control
 * bytes, every other byte that a URL may not hold percent-encoded. Returns
 * NULL if all is well, else a static sentence that names the rule.
 */
const char *lmi_uri_read(struct lmi_text text, char out[LMI_URI_MAX + 1]);

/*
 * Is the address one of these, or inside one of these networks? The list is of
 * addresses and of ADDRESS/BITS, separated by blanks, as trusted_proxies is.
 * False for anything that is not an address.
 */
bool lmi_address_listed(struct lmi_text address, const char *list);

/*
 * The grammar of a request over HTTP: what its head says, as the gateway reads
 * it. No handle, no I/O, no memory that stays. The bytes in a result are part
 * of those that came in, and live as long. Inputs may be of any length, hold
 * any bytes, NUL included, and be absent. The time is proportional to their
 * length; that of lmi_http_client_read() also to that of the list.
 *
 * Nothing here fails: what does not follow its grammar is absent in a result,
 * or has the refusing value. Every member of a result is always set. All
 * comparisons are of bytes; "blanks" are space, \t, \n, \v, \f and \r.
 *
 * These are the parts of a head that count. The value of a field is as servers
 * pass it: without blanks at its ends, and one for all fields of a name, joined
 * by ", ". A field without a value is empty, not absent.
 */
struct lmi_http_head {
    struct lmi_bytes method; /* "GET" */
    struct lmi_bytes target; /* "/path?query", as it came */
    struct lmi_bytes host, origin, cookie, accept;
    struct lmi_bytes sec_fetch_site, sec_fetch_dest;
    struct lmi_bytes sec_purpose, purpose, x_purpose, x_moz;
    struct lmi_bytes x_forwarded_for, x_forwarded_proto, x_forwarded_port;
};

/*
 * The request target: a slash, then bytes from 0x21 to 0x7e without "\" and
 * "#". Any other target is not clean, and has an empty path and rest alone.
 *
 * A path that servers and programs read in different ways is not clean, and
 * its request must be refused: one with "//", with a percent sign without two
 * hex digits behind it, with an encoded control byte (%00 to %1f, %7f), slash
 * or backslash, with a segment "." or ".." (written as it is or encoded, and
 * ended by a slash, a semicolon or the path's end), or one whose decoded bytes
 * are not UTF-8, or hold one of Unicode's noncharacters. The parts are there
 * all the same, for the answer.
 */
struct lmi_http_target {
    bool clean;
    bool incidental;        /* a file that browsers ask for by themselves:
                               favicon.ico, robots.txt, below .well-known */
    struct lmi_bytes path;  /* not decoded */
    struct lmi_bytes query; /* behind the first "?"; absent: there is none */
    struct lmi_bytes token; /* "/cpsess" and ten digits, if the path begins
                               with them and ends, or a slash follows */
    struct lmi_bytes rest;  /* the path behind the token, or all of it */
};
void lmi_http_target_read(struct lmi_bytes target, struct lmi_http_target *out);

/* Has the target two slashes before its token, as those of some clients? A
 * server may read them as one, before all else. */
bool lmi_http_slash_is_double(struct lmi_bytes target);

/* Are these, one behind the other, the decoded bytes of the path? They are
 * those that a program behind the server will see. */
bool lmi_http_path_is(struct lmi_bytes path, struct lmi_bytes first,
                      struct lmi_bytes second);

/*
 * The parameters of a query or of a urlencoded form: pairs separated by "&"
 * alone, empty ones left out. A pair without "=" has an empty value. In both
 * halves "+" is a space and "%XX" a byte; any other percent sign is itself.
 *
 * lmi_http_pair_next() cuts the next pair, not decoded, from the rest; false
 * at the end. lmi_http_decode() writes what a half means, without a terminator,
 * to out, of at least its length, and returns the number of bytes.
 */
struct lmi_http_pair {
    struct lmi_bytes name, value;
};
bool lmi_http_pair_next(struct lmi_bytes *rest, struct lmi_http_pair *out);
size_t lmi_http_decode(struct lmi_bytes half, char *out);

/*
 * A parameter by its name, decoded. Programs differ in which of several values
 * they use: a request with two must be refused.
 */
struct lmi_http_parameter {
    size_t count;           /* how many there are */
    struct lmi_bytes value; /* of the only one, not decoded; or absent */
};
void lmi_http_parameter_find(struct lmi_bytes query, struct lmi_bytes name,
                             struct lmi_http_parameter *out);

/* The ticket in a query: a parameter "session" with a value of a ticket's
 * form. Others of this name are the panel's. Two tickets: refuse. */
struct lmi_http_ticket {
    size_t count;
    char ticket[LMI_TICKET_SIZE]; /* the only one, decoded; or empty */
};
void lmi_http_ticket_find(struct lmi_bytes query, struct lmi_http_ticket *out);

/*
 * The page that a target names: rest and query without the tickets, in the
 * form of lmi_uri_read(). Empty if that refuses it: "" is no page. Of "&" at
 * the query's end nothing is kept.
 *
 * lmi_http_ticket_page() is the page that a login URL leads to: if rest is
 * empty or "/", that of the only parameter "goto_uri", which portals append;
 * else the same as lmi_http_page(). *twice_out: there are several, refuse.
 */
struct lmi_http_page {
    char uri[LMI_URI_MAX + 1];
};
void lmi_http_page(const struct lmi_http_target *target,
                   struct lmi_http_page *out);
void lmi_http_ticket_page(const struct lmi_http_target *target,
                          struct lmi_http_page *out, bool *twice_out);

/*
 * The cookies of a name: pairs separated by ";", with any blanks before the
 * name, which is compared as it is. The value goes on to the next ";": quotes
 * and blanks in it are part of it, nothing is decoded. If there are several
 * different values, all are ignored, for another site of the parent domain may
 * have set one of them. There is no cookie without a name.
 */
struct lmi_http_cookie {
    bool there;             /* at least one */
    struct lmi_bytes value; /* absent: none, or several that differ */
};
void lmi_http_cookie_find(const struct lmi_http_head *head,
                          struct lmi_bytes name, struct lmi_http_cookie *out);

/*
 * Who asks. What a front server says by X-Forwarded-* counts if it is one: if
 * it connects through a Unix socket, or from an address in `proxies`, which is
 * as for lmi_address_listed(). It is the address that is not a proxy's and is
 * last in X-Forwarded-For, or, without any, the connection's own. Addresses
 * there are separated by "," and blanks, and may have a port: 192.0.2.1:80,
 * [2001:db8::1]:80, [2001:db8::1]. Anything else that is no proxy's address
 * makes the browser's one absent: what stands before it is not looked at.
 */
struct lmi_http_connection {
    struct lmi_bytes address; /* of the other end; absent or empty: none */
    struct lmi_bytes scheme;  /* "https", or anything else */
    struct lmi_bytes port;    /* in decimal, of this end */
    bool local;               /* a Unix socket for front servers */
};
struct lmi_http_client {
    bool at_front;
    bool secure; /* the browser has used TLS; at a front server only if
                    X-Forwarded-Proto is there, and "https" alone */
    struct lmi_bytes address; /* the browser's, of a valid form; or absent */
    struct lmi_bytes port;    /* that the browser connected to, as it is
                                 written; absent: not known */
};
void lmi_http_client_read(const struct lmi_http_head *head,
                          const struct lmi_http_connection *connection,
                          const char *proxies, struct lmi_http_client *out);

/* The field Host: letters, digits, "-", "_" and ".", or hex digits, ":" and
 * "." in brackets; then perhaps ":" and a port. */
struct lmi_http_host {
    bool good;             /* valid, with a port below 65536, or absent */
    struct lmi_bytes name; /* with its brackets; absent unless the field is of
                              this form, with at most five digits */
    struct lmi_bytes port; /* one to five digits behind a ":" at the end of
                              any field, also of one that is not good */
};
void lmi_http_host_read(const struct lmi_http_head *head,
                        struct lmi_http_host *out);

/*
 * Why a request was made, as the browser says. A page of another site has
 * caused it if Sec-Fetch-Site is there, but neither "same-origin" nor "none";
 * without it, if Origin is there, but not SCHEME://HOST or SCHEME://HOST:PORT
 * with the name of Host, in either case, for programs copy a browser's Origin
 * with another scheme or port.
 */
struct lmi_http_cause {
    bool cross_site;
    bool embedded; /* a part of a page: Sec-Fetch-Dest is not "document" */
    bool passive;  /* nobody has followed a link: any method but GET and POST,
                      or a purpose that begins with "pre", in either case */
    struct lmi_bytes purpose; /* of Sec-Purpose, Purpose, X-Purpose and X-Moz
                                 the first one of that kind, else the first;
                                 absent: none is there */
};
void lmi_http_cause_read(const struct lmi_http_head *head,
                         struct lmi_http_cause *out);

/*
 * In which form the answer is given. Of the target as it came, because invalid
 * requests, too, are refused in this form.
 */
enum lmi_http_form { LMI_HTTP_PAGE = 0, LMI_HTTP_JSON, LMI_HTTP_XML };
struct lmi_http_program {
    enum lmi_http_form form; /* XML below /xml-api/, JSON below /json-api/ and
                                /execute/, each also behind a token with any
                                number of digits; else JSON with login_only,
                                or if Accept has application/json */
    bool login_only;         /* the query has login_only=1: a program's login */
    bool login;              /* login_only, or the path is that of a login */
};
void lmi_http_program_read(const struct lmi_http_head *head,
                           struct lmi_http_program *out);

/* Why a login is as it is: for programs. */
enum lmi_reason {
    LMI_REASON_FAULT = 0,  /* not the user's; the same login may work later */
    LMI_REASON_INVALID,    /* every refusal of "The login is invalid." */
    LMI_REASON_WAIT,       /* too many failures: `wait` seconds */
    LMI_REASON_PARAMETER,  /* missing or malformed */
    LMI_REASON_REMOTE,     /* the other server was not reached, not believed,
                              is in trouble, or is not allowed */
    LMI_REASON_TFA_NEEDED, /* the other server wants a two-factor code */
    LMI_REASON_TFA_WRONG,  /* ... another one */
    LMI_REASON_OK,
};
#define LMI_REASONS (LMI_REASON_OK + 1)

/* "fault", "invalid", "tfa_needed" and so on: the names above. Static. */
const char *lmi_reason_name(enum lmi_reason reason);
bool lmi_reason_parse(const char *name, enum lmi_reason *out);

/* Where a login is checked. */
enum lmi_route {
    LMI_ROUTE_HERE = 0, /* in this process */
    LMI_ROUTE_GATEWAY,  /* by this machine's gateway, at its socket */
    LMI_ROUTE_HOST,     /* by the host that the request names, over HTTPS */
    LMI_ROUTE_NONE,     /* nowhere: the fault in the answer says why */
};

/* What the route depends on, beside the settings. */
struct lmi_route_facts {
    bool here;        /* the caller wants it in this process */
    bool own_name;    /* settings or interfaces name the host as this machine */
    bool site_name;   /* the site's files do */
    bool denied;      /* no right to read the site or to own the store */
    bool has_gateway; /* there is something at gateway_socket */
};

/*
 * One login, as get_loggedin_url() is given it. active_token_for_reuse is
 * with or without its slash; what is not such a token is ignored. remote_addr
 * is the browser's address; if it is absent, REMOTE_ADDR counts where
 * GATEWAY_INTERFACE is set.
 */
struct lmi_login {
    struct lmi_text user, pass, hostname, service, goto_uri;
    struct lmi_text active_token_for_reuse;
    struct lmi_text remote_addr, tfa_token;
    bool here; /* check in this process, whatever hostname and settings say */
    bool may_leave; /* the caller goes on with lmi_remote_login() */
    /*
     * Asked by a process of this machine, through a gateway: failures count
     * against remote_addr if there is one, else against that process's user.
     */
    bool has_caller;
    uint32_t caller_uid;
    bool dual_use; /* the answer holds a cookie instead of a URL */
};

/*
 * Its answer: a login is good only with LMI_REASON_OK. message is a sentence
 * for a person and never holds anything that was passed in; detail is for the
 * operator and never holds a secret. URL and cookie hold secrets: wipe the
 * answer when done.
 *
 * A dual-use cookie is for login answers whose client decides later what it
 * is: sent as a cookie, it is one from then on; put into a login URL in the
 * place of a ticket, it is redeemed as one.
 */
struct lmi_login_answer {
    enum lmi_reason reason;
    enum lmi_route route; /* GATEWAY, HOST: not checked yet, ask there */
    struct lmi_route_facts facts; /* what the route was worked out from */
    uint32_t wait;                /* seconds until the next attempt */
    char message[LMI_MESSAGE_SIZE];
    char detail[LMI_DETAIL_SIZE];
    char token[LMI_TOKEN_SIZE];   /* empty unless the login is good */
    char url[LMI_URL_SIZE];       /* empty unless good, or with dual_use */
    char cookie[LMI_COOKIE_SIZE]; /* empty unless good with dual_use */
};

/*
 * Logs in on this machine. Fills the answer whatever happens; there is no
 * error to handle, for a fault is a refusal with its own sentence.
 *
 * A login that has to leave the process is a fault, LMI_ELSEWHERE or
 * LMI_RIGHTS. With may_leave, `route` is then where to ask, nothing has been
 * logged yet, and lmi_remote_login() goes on with the same arguments and this
 * answer, or lmi_login_fail() says why it can't.
 */
void lmi_login(struct lmi *lmi, const struct lmi_login *ask,
               struct lmi_login_answer *out);
void lmi_login_answer_wipe(struct lmi_login_answer *answer);

/* Answers a login that would leave the process with LMI_LIBRARY: what carries
 * such logins could not be loaded, for this reason. */
void lmi_login_fail(struct lmi *lmi, const struct lmi_login *ask,
                    const char *reason, struct lmi_login_answer *out);

/*
 * Has this user logged in from this address during the last 30 days, or, with
 * IPv6, from the same 64 bits? From there a user's failures are counted apart.
 * False for an address that never counts: this machine's, a proxy's; and for
 * what is no user or no address. One read of the store; whether there is such
 * an account is not looked at.
 */
LMI_RC lmi_login_is_known(struct lmi *lmi, struct lmi_text user,
                          struct lmi_text address, bool *out,
                          struct lmi_err *err);

/* The answer for wrong parameters, with this text; and the one for a fault
 * before the login began. */
void lmi_login_answer_refuse(struct lmi_login_answer *out, const char *text);
void lmi_login_answer_fault(struct lmi_login_answer *out,
                            const struct lmi_err *err);

/*
 * The rest is in libremote.a, and needs libcurl and jansson.
 *
 * lmi_remote_login() asks as answer->route says, which is worked out again
 * from the same settings; any other route is a fault. Another host is asked
 * over TLS 1.2 or newer only, with a good certificate and name, within
 * remote_timeout, and once: no redirect is followed. The gateway is asked only
 * if its socket, the socket's folder and the listening process belong to root
 * or to the store's owner. Fills the answer, whatever happens, and logs it.
 *
 * A handle keeps its connections for the next login; after a fork() the
 * child's copy lets go of them, and the parent's connections stay as they are.
 *
 * lmi_remote_start() is called once in a process, before the others and in
 * one thread, as libcurl asks. False if libcurl can't be used.
 */
struct lmi_remote;
LMI_CHECK bool lmi_remote_start(void);
LMI_CHECK struct lmi_remote *
lmi_remote_new(void); /* NULL: no memory, a fault */
void lmi_remote_free(struct lmi_remote *remote);
void lmi_remote_login(struct lmi_remote *remote,
                      const struct lmi_settings *settings,
                      const struct lmi_login *ask,
                      struct lmi_login_answer *answer);

/* What is known of a live session. */
struct lmi_session {
    char user[LMI_USER_MAX + 1];
    enum lmi_service service;
    char token[LMI_TOKEN_SIZE];
    char id[LMI_ID_SIZE];
    int64_t created;
    int64_t ends;        /* the overall limit */
    int64_t last_seen;   /* good to a minute */
    bool redeemed;       /* false: ticket or dual-use cookie not used yet */
    int64_t redeemed_at; /* 0: not yet, or not known: made by an old version */
    char address[LMI_ADDRESS_TEXT]; /* from where it was redeemed; empty if
                                       that is not known */
};

/* The outcome for a ticket or a cookie. */
enum lmi_outcome {
    LMI_UNKNOWN = 0,   /* no such ticket or session, or it has ended */
    LMI_WRONG_TOKEN,   /* the token in the path is not this session's */
    LMI_WRONG_SERVICE, /* it belongs to another service */
    LMI_SPENT,         /* the ticket was used before, by another browser */
    LMI_CONFIRM,       /* the browser is logged in as another user: ask */
    LMI_PASSIVE,       /* the request is of a kind that never redeems */
    LMI_AGAIN,         /* spent, by the session whose cookie is sent */
    LMI_GRANTED,
};
#define LMI_OUTCOMES (LMI_GRANTED + 1)

/* "unknown", "wrong_token" and so on: the names above. Static. */
const char *lmi_outcome_name(enum lmi_outcome outcome);

/*
 * What a request carries. token is the one from the path, with or without its
 * slash. address and agent are the browser's; unless both are given, and the
 * agent has at most 1,000 bytes, a spent ticket gets no second chance.
 */
struct lmi_access {
    struct lmi_text ticket; /* a ticket, or a dual-use cookie */
    struct lmi_text cookie;
    struct lmi_text token;
    enum lmi_service service;
    struct lmi_text address, agent;
    struct lmi_text method;      /* only GET and POST redeem, or none */
    struct lmi_text destination; /* Sec-Fetch-Dest: only "document", or none */
    struct lmi_text purpose;     /* Sec-Purpose or the like: not "prefetch" */
    bool confirmed; /* the user has agreed to become the ticket's user */
    bool foreign;   /* another site caused the request: see check */
    bool uncounted; /* a wrong token is not counted: for favicon.ico */
    bool any_token; /* end: the cookie alone says which session */
};

/* cookie, USER%3aSECRET, only if granted: wipe it after use. */
struct lmi_redeemed {
    struct lmi_session session;     /* if granted or again; with CONFIRM: who
                                       the ticket's user is */
    char current[LMI_USER_MAX + 1]; /* with CONFIRM: who the browser is now, */
    char current_token[LMI_TOKEN_SIZE]; /* and under which token */
    char cookie[LMI_COOKIE_SIZE];
};

/*
 * Swaps a ticket for a cookie, in one durable and atomic step. The rules:
 *
 *   ticket   live cookie of this service,     outcome
 *            a dual-use cookie included
 *   fresh    none, or of the same user        GRANTED; the old session ends
 *   fresh    of another user                  CONFIRM; if confirmed, GRANTED
 *   spent    of the ticket's own session      AGAIN; nothing is written
 *   spent    none, at most 10 s ago, same     GRANTED: a new cookie; of all
 *            address and agent, and fewer     that the ticket was swapped for,
 *            than 32 cookies so far           the first that is used lives
 *   spent    any other                        SPENT
 *   unknown  any                              UNKNOWN
 *
 * Of many browsers with one ticket one is granted; of many requests of one
 * browser exactly one cookie works afterwards.
 */
LMI_RC lmi_session_redeem(struct lmi *lmi, const struct lmi_access *access,
                          enum lmi_outcome *outcome_out,
                          struct lmi_redeemed *out, struct lmi_err *err);

/*
 * Does this cookie open this service under this token? Granted checks are
 * noted, at most once a minute, so that the idle limit starts anew; at that
 * moment the account is read again, and a session ends whose account may not
 * log in any more, or has another password. Three different wrong tokens end
 * a session, too. Those of foreign requests don't, but after three of them no
 * foreign request is granted any more.
 */
LMI_RC lmi_session_check(struct lmi *lmi, const struct lmi_access *access,
                         enum lmi_outcome *outcome_out, struct lmi_session *out,
                         struct lmi_err *err);

/*
 * Writes what is noted of one session; waits for it at most so many
 * milliseconds. written_out is false if there is nothing, or with a fault,
 * which is logged: it stays noted, so call again a little later. See
 * lmi_defer().
 */
LMI_RC lmi_session_write(struct lmi *lmi, unsigned milliseconds,
                         bool *written_out, struct lmi_err *err);

/*
 * Logs out: if lmi_session_check() would grant, every session of that user,
 * service and token ends, tickets not yet redeemed included, in one durable
 * commit. With any_token the access needs no token.
 */
LMI_RC lmi_session_end(struct lmi *lmi, const struct lmi_access *access,
                       enum lmi_outcome *outcome_out, struct lmi_session *out,
                       struct lmi_err *err);

/*
 * The live sessions, one after the other, without loading them all: those for
 * which all is true that is asked for. A zeroed list is of all sessions, and
 * at its beginning; what is made or ended meanwhile may or may not be seen.
 * found_out is false at the end.
 */
struct lmi_session_list {
    struct lmi_text user;     /* absent: all */
    enum lmi_service service; /* 0: all */
    const char *ids;          /* their public ids, separated by blanks; NULL:
                                 all */
    const char *networks;     /* redeemed from there: a list, as that of
                                 lmi_address_listed(); NULL: all, also those of
                                 which that is not known */
    int64_t older_than;       /* made so many seconds ago, or before; 0: all */
    int64_t idle_for;         /* not used for so many seconds; 0: all */
    int64_t until;            /* made then or before; 0: all */
    size_t cursor_len;        /* 0: at the beginning */
    uint8_t cursor[128];      /* where it goes on: bytes to keep as they are */
};
LMI_RC lmi_session_next(struct lmi *lmi, struct lmi_session_list *list,
                        bool *found_out, struct lmi_session *out,
                        struct lmi_err *err);

/* The number of live sessions, by service. Looks at all of them: about one
 * second for each 100,000. */
LMI_RC lmi_session_count(struct lmi *lmi, uint64_t out[LMI_SERVICES + 1],
                         struct lmi_err *err);

/*
 * Ends the one session with this public id, for an operator or for its user:
 * with a user, only if it is that user's. Looks at all of them, or of the
 * user's. found_out tells whether there was one.
 */
LMI_RC lmi_session_end_id(struct lmi *lmi, struct lmi_text id,
                          struct lmi_text user, bool *found_out,
                          struct lmi_session *out, struct lmi_err *err);

/*
 * Ends the next 128 of a list, or as many as there are, in one durable commit,
 * and logs each as lmi_session_end_id() does. Then it pauses, so that logins
 * go on. ended_out is below 128 at the end of the list. A ticket that somebody
 * redeems meanwhile becomes another entry, which may be missed: set `until`,
 * and begin again until nothing is found.
 */
#define LMI_END_AT_ONCE 128
LMI_RC lmi_session_end_some(struct lmi *lmi, struct lmi_session_list *list,
                            uint32_t *ended_out, struct lmi_err *err);

/*
 * Ends a ticket, or a dual-use cookie, that was sent in clear text; a spent
 * one with the session it was swapped for. found_out tells whether there was
 * one.
 */
LMI_RC lmi_session_discard(struct lmi *lmi, struct lmi_text ticket,
                           bool *found_out, struct lmi_err *err);

/* Is this a name of this machine, by settings and site? False for no name. */
LMI_RC lmi_serves_host(struct lmi *lmi, struct lmi_text host, bool *out,
                       struct lmi_err *err);

/*
 * What an operator should know of the site's files. name is "site.line",
 * "site.twice", "site.domain-owner", "hashes.scheme", "hashes.cost",
 * "hashes.form" or "hashes.mixed"; NULL if the file itself can't be used: then
 * err.name is "missing", "owner" or NULL. The place in err is a path, with a
 * line where there is one; it is no error of the call. Notes beyond the last
 * one are counted in left_out. Lines of other accounts are not looked at by a
 * login, and slow down none: only this call does. It reads every file of the
 * site, and of its first 1,000 domains; no hash leaves it.
 */
struct lmi_note {
    const char *name;
    struct lmi_err err;
};
struct lmi_site_report {
    size_t count;
    uint64_t left_out;
    struct lmi_note notes[LMI_NOTES];
};
LMI_RC lmi_site_report_get(struct lmi *lmi, struct lmi_site_report *out,
                           struct lmi_err *err);

/*
 * The state of the open store. If it can't be opened, err->name says why where
 * that is known: "store." or "key.", and a word.
 */
struct lmi_store_report {
    int64_t clock; /* of the last commit that noted it; 0: none did; of a
                      database, its server's now, and what follows is 0 but
                      for the last two */
    uint32_t readers, readers_max;
    uint64_t behind;     /* commits since the oldest view that is read from */
    int64_t behind_pid;  /* the process that has it; 0: none has */
    uint64_t free_bytes; /* for the store's owner, in its file system */
    bool majority; /* a database: most of its machines acknowledge each write */
    int64_t lease; /* how many milliseconds that took; 0: there is none */
};
LMI_RC lmi_store_report_get(struct lmi *lmi, struct lmi_store_report *out,
                            struct lmi_err *err);

/*
 * The store's key, and the one before it, which is accepted for reading. The
 * old one is needed while an entry of the store was made with it, and for a
 * day by the waits after failed logins. Both files are dated by the system's
 * clock. The next one, which is accepted likewise, there can be with a store
 * that machines share only.
 */
#define LMI_PATH_SIZE 320
struct lmi_key_report {
    char path[LMI_PATH_SIZE], old_path[LMI_PATH_SIZE], next_path[LMI_PATH_SIZE];
    bool shared; /* the store is in a database */
    bool has_old, has_next;
    bool unfinished; /* both are the same: a rotation was interrupted */
    bool old_is_set; /* key_file_old names it: the settings go first */
    int64_t made;    /* when the key was written; 0: not known */
    int64_t old_made, next_made;
    int64_t rotated;      /* when the old one became old, on the last machine */
    uint64_t sessions;    /* tickets and cookies made with the old one */
    uint64_t known;       /* sources known since before */
    uint64_t behind;      /* machines that the next step waits for */
    bool needed;          /* the old one */
    int64_t needed_until; /* at the latest */
};
LMI_RC lmi_key_report_get(struct lmi *lmi, struct lmi_key_report *out,
                          struct lmi_err *err);

/* What a step has come to. */
enum lmi_key_step {
    LMI_STEP_KEPT = 0, /* nothing has changed, and the report says why */
    LMI_STEP_WAITS,    /* likewise: there are machines behind */
    LMI_STEP_NEXT,     /* there is a next key now, to be copied */
    LMI_STEP_DONE,
};

/*
 * Writes a new key, and keeps the one before it for reading. It is done at the
 * moment when the new one gets its name; until then the old one is the key.
 * LMI_STEP_KEPT: there is an old one already. Processes with an open handle
 * follow at their next call, pinned ones within a second.
 *
 * With a store in a database the new key comes beside the present one first,
 * for the operator to copy to all machines; the second call, on each machine,
 * puts it in the place of the present one. Between these calls machines are at
 * different steps, and read what the others write, for each has both keys. A
 * machine that was seen during the last day and has not come so far is waited
 * for, unless forced: what is made with the new key can't be read there.
 */
LMI_RC lmi_key_rotate(struct lmi *lmi, bool force, enum lmi_key_step *out,
                      struct lmi_err *err);

/*
 * Removes the old key. LMI_STEP_KEPT: there is none; it is needed, unless
 * forced: what was made with it is lost then; or key_file_old names it.
 * LMI_STEP_WAITS, unless forced: a machine writes with another key than this
 * one.
 */
LMI_RC lmi_key_retire(struct lmi *lmi, bool force, enum lmi_key_step *out,
                      struct lmi_err *err);

/*
 * The files of a site that decide who may log in. Path: below site_root, but
 * for the mailboxes. Static.
 */
enum lmi_site_file {
    LMI_SITE_PASSWD,
    LMI_SITE_SHADOW,
    LMI_SITE_SHELLS,
    LMI_SITE_DOMAINS,
    LMI_SITE_RESELLERS,
    LMI_SITE_USERS,
    LMI_SITE_SUSPENDED,
    LMI_SITE_MAILBOXES,
};
#define LMI_SITE_FILES 8
const char *lmi_site_file_path(enum lmi_site_file file);

/*
 * The machines that share a store in a database, and were seen during the last
 * day, this one among them: each leaves a note when it opens the store, and
 * every hour. A machine is known by its host name and /etc/machine-id. Of a
 * store in LMDB there are none.
 *
 * Keys are named by the first digits of a MAC made with them; "" for none. With
 * `site` the account files are looked at before the first machine comes, which
 * is noted, and `differs` has a bit for each file that was another there when
 * that was done last; a machine's own `looked` is then the present time. Begin
 * with zeros.
 */
#define LMI_MACHINE_NAME 65
#define LMI_KEY_NAME 9
struct lmi_machine {
    char name[LMI_MACHINE_NAME]; /* "?" if the note's form is not known */
    bool here;                   /* this one */
    bool sound;   /* the note was made with a key that is accepted here */
    bool behind;  /* the next step of a rotation waits for it */
    int64_t seen; /* at least; it is written once an hour */
    char present[LMI_KEY_NAME], next[LMI_KEY_NAME], old[LMI_KEY_NAME];
    int64_t looked;   /* when its account files were; 0: not known, or not
                         comparable */
    uint32_t differs; /* 1 << LMI_SITE_PASSWD, and so on */
};
struct lmi_machine_list {
    bool site;
    bool begun;
    uint8_t at[33];                   /* whose note was read last */
    uint8_t sums[LMI_SITE_FILES][32]; /* of this machine's files */
};
LMI_RC lmi_machine_next(struct lmi *lmi, struct lmi_machine_list *list,
                        bool *found_out, struct lmi_machine *out,
                        struct lmi_err *err);

/*
 * Writes a backup into a folder, which is made, mode 0700, or is empty: the
 * key, the old one, and the known sources; no session and no ticket, for one
 * that has ended since would come back. Logins go on. Until the file "known"
 * is there the backup is not complete.
 */
LMI_RC lmi_backup_make(struct lmi *lmi, const char *folder, uint64_t *known_out,
                       struct lmi_err *err);

/*
 * Brings a backup into the store of the settings, if that does not exist yet,
 * or, forced, in its place: then all sessions end at once. The backup is read
 * to its end first, and nothing changes if it is damaged. Until the end every
 * use of the store is a fault. Faults that mean no: "store.exists", and
 * "key.taken" for another key in the place of the store's.
 */
LMI_RC lmi_backup_restore(struct lmi *lmi, const char *folder, bool force,
                          uint64_t *known_out, struct lmi_err *err);

/*
 * Makes the store of the settings in a database, or brings it to this version:
 * as the user of admin_url, who may make schemas and users there. The user that
 * `store` names may then use it; it is made if need be, with the password of
 * store_password_file. Entries stay. A fault for a store in LMDB, which is made
 * when it is first used.
 */
LMI_RC lmi_store_init(struct lmi *lmi, const char *admin_url,
                      struct lmi_err *err);

/*
 * Moves all of a store to a new one, both as the setting `store` names them;
 * key_file and volatile_dir are those of the settings if they are set there,
 * and otherwise what they would be by default. At the end other processes'
 * changes wait, for the differences since the copying began. When the new
 * store is whole, every use of the old one becomes a fault, "store.moved", and
 * it is emptied. A copy that was interrupted is begun anew. "store.exists": the
 * new one is not new.
 */
struct lmi_copied {
    uint64_t sessions; /* tickets and cookies */
    uint64_t known;    /* sources */
    uint64_t others;   /* of both parts */
    bool has_key;      /* the key has been copied, too */
    int64_t held;      /* microseconds that others had to wait */
};
LMI_RC lmi_store_copy(struct lmi *lmi, const char *from, const char *to,
                      struct lmi_copied *out, struct lmi_err *err);

/*
 * Removes what has expired, in steps between which logins go on; or one such
 * step, after which more_out tells whether there are others. removed_out counts
 * tickets and cookies.
 */
LMI_RC lmi_session_purge(struct lmi *lmi, uint64_t *removed_out,
                         struct lmi_err *err);
LMI_RC lmi_session_purge_some(struct lmi *lmi, uint64_t *removed_out,
                              bool *more_out, struct lmi_err *err);

/*
 * Who has failed to log in, and how long they wait. The store has keyed hashes
 * of names and sources: a row has a name only where it can be guessed. Names
 * are guessed from the accounts of the site, mailboxes of its first 1,000
 * domains included; pairs of a name and a known source, sources (addresses, or
 * 64 bits of IPv6 ones) and networks (48 bits of these) from the live sessions,
 * with which their addresses are kept; local users from 0 to 65,535. All others
 * are only counted. Looks at all sessions, unless there are only names; needs
 * up to 100 bytes for each of at most 262,144 rows.
 */
struct lmi_attempts;
LMI_RC lmi_attempts_read(struct lmi *lmi, struct lmi_attempts **out,
                         struct lmi_err *err);
void lmi_attempts_free(struct lmi_attempts *list);

/*
 * The rows that have a name, by a number from 0 on; false at the end. Names
 * come first, then pairs, sources and networks, of each kind who waits longest.
 */
#define LMI_ATTEMPTS_SOURCE (LMI_ADDRESS_TEXT + 3)
struct lmi_attempts_row {
    const char *kind; /* "name", "pair", "source" or "network". Static. */
    char user[LMI_USER_MAX + 1];      /* of a name or pair, else empty */
    char source[LMI_ATTEMPTS_SOURCE]; /* "192.0.2.7", "2001:db8::/64", or /48,
                                         or "uid:33"; of a name empty */
    uint32_t failures;                /* at least 1 */
    uint32_t wait; /* seconds until the next attempt; 0: no wait */
};
bool lmi_attempts_get(const struct lmi_attempts *list, size_t number,
                      struct lmi_attempts_row *out);

/* How many rows of a kind, 0 to 3 in the same order, have no name. */
#define LMI_ATTEMPTS_KINDS 4
struct lmi_attempts_count {
    const char *kind;
    uint64_t rows, waiting;
};
void lmi_attempts_unnamed(const struct lmi_attempts *list, size_t kind,
                          struct lmi_attempts_count *out);

/*
 * Forgets failures, and logs that: of a name, and of its pairs with sources
 * that its live sessions tell; with a source, of the pair of both only; of a
 * source or network alone, as lmi_attempts_get() shows it, or an address. One
 * of the two may be NULL. removed_out is the number of rows, 0 also for what is
 * no name or source.
 */
LMI_RC lmi_attempts_clear(struct lmi *lmi, const char *user, const char *source,
                          uint64_t *removed_out, struct lmi_err *err);
bool lmi_attempts_source_ok(const char *source);

/*
 * Is this part in order, as far as can be seen without changing anything?
 * LMI_OK, or what is wrong with it: for a server's reports of its health.
 */
enum lmi_part {
    LMI_PART_STORE,   /* it can be opened, and both its parts read */
    LMI_PART_KEY,     /* the file holds the store's key; LMI_OK if the store is
                         faulty */
    LMI_PART_SITE,    /* etc/passwd and etc/shadow can be read */
    LMI_PART_SETTINGS /* the file can be used, should it be read again */
};
LMI_RC lmi_health_look(struct lmi *lmi, enum lmi_part part,
                       struct lmi_err *err);

/*
 * What a handle, those like it, and processes forked later have done since the
 * first of these handles was made. Logins that have left the process are not
 * counted.
 */
enum lmi_duration {
    LMI_LOGIN_TIME, /* of a login, without waiting for its turn */
    LMI_CHECK_TIME, /* of a check of a cookie */
    LMI_WAIT_TIME,  /* what remained of the wait, at each login refused so */
};
#define LMI_DURATIONS (LMI_WAIT_TIME + 1)
#define LMI_BOUNDS 10
struct lmi_durations {
    /* Those that are not longer than lmi_duration_bound() of the same number,
     * nor counted before; then all others. */
    uint64_t count[LMI_BOUNDS + 1];
    uint64_t sum; /* microseconds */
};
struct lmi_numbers {
    uint64_t logins[LMI_SERVICES + 1][LMI_REASONS]; /* 0: no valid service */
    uint64_t busy[LMI_SERVICES + 1]; /* logins refused before they began */
    uint64_t redemptions[LMI_OUTCOMES], redemption_faults;
    uint64_t checks[LMI_OUTCOMES], check_faults;
    uint64_t faults[LMI_RCS]; /* by enum lmi_rc, of all of these */
    struct lmi_durations durations[LMI_DURATIONS];
};
void lmi_numbers_get(const struct lmi *lmi, struct lmi_numbers *out);

/*
 * The same, the live sessions, and the health of each part, in the text format
 * of Prometheus. Counting the sessions takes about a second for each 100,000.
 */
LMI_RC lmi_metrics_write(struct lmi *lmi, char **out, size_t *len_out,
                         struct lmi_err *err);
void lmi_metrics_free(char *text);

/*
 * The health in words: "ok", or "fault" and which of store, key and site; then
 * " warning" and which of settings and log, if they are not in order. False for
 * a fault: neither logins nor checks are possible.
 */
#define LMI_HEALTH_SIZE 96
bool lmi_health_write(struct lmi *lmi, char out[LMI_HEALTH_SIZE]);

/* A bound in microseconds; number is below LMI_BOUNDS. */
uint64_t lmi_duration_bound(enum lmi_duration which, size_t number);

/* Counts a login that a server has refused itself: for this reason, or because
 * there was no place for it. service may be 0. */
void lmi_count_login(struct lmi *lmi, enum lmi_service service,
                     enum lmi_reason reason);
void lmi_count_busy(struct lmi *lmi, enum lmi_service service);

#define LMI_HASH_SIZE 384 /* as libcrypt's CRYPT_OUTPUT_SIZE */

/*
 * A hash of a password, for a shadow file. prefix names the scheme as
 * crypt_gensalt(3) does, "$6$" for example; NULL is the system's preferred
 * one. count is the scheme's cost, 0 its default.
 */
LMI_RC lmi_hash_password(struct lmi *lmi, struct lmi_text pass,
                         const char *prefix, unsigned long count,
                         char out[LMI_HASH_SIZE], struct lmi_err *err);

/*
 * The same, but a hash that no login would accept, for it is too much work, is
 * not computed: the error is named "hash.cost". A mailbox's may be a quarter of
 * other accounts' work.
 */
LMI_RC lmi_hash_for_login(struct lmi *lmi, struct lmi_text pass,
                          const char *prefix, unsigned long count, bool mailbox,
                          char out[LMI_HASH_SIZE], struct lmi_err *err);

/*
 * Changes of accounts, for an operator. user is an account of the site, or a
 * mailbox, NAME@DOMAIN, of a domain in etc/userdomains. Each file is replaced
 * at once, by root or by the one whom the site belongs to, and below a home
 * with the rights of the home's owner.
 *
 *   ADD       the account, with a home that belongs to uid, or 0 for a free
 *             one; a domain and the privileges of a reseller, if given
 *   PASSWORD  its new password; a suspended account stays so
 *   SUSPEND   refused from now on; sessions end when the account is next read,
 *             at most a minute later
 *   UNSUSPEND
 *   REMOVE    its lines and files, and its sessions; the home stays
 *
 * The order of the writes is such that an account of which only a part has been
 * written or removed can't log in; the same change again completes it. Where
 * there is no var/cpanel, and for mailboxes, "!" before the hash suspends: a
 * var/cpanel that appears would lock out all accounts without a file in it.
 */
enum lmi_change {
    LMI_CHANGE_ADD = 1,
    LMI_CHANGE_PASSWORD,
    LMI_CHANGE_SUSPEND,
    LMI_CHANGE_UNSUSPEND,
    LMI_CHANGE_REMOVE,
};
struct lmi_account_change {
    enum lmi_change what;
    struct lmi_text user;
    struct lmi_text pass; /* ADD, PASSWORD */
    const char *prefix;   /* of its hash, and the cost: see */
    unsigned long count;  /* lmi_hash_password() */
    const char *domain;   /* ADD: in lower case; NULL: none */
    uint32_t uid;
    bool reseller;
    bool look; /* changes nothing, says only whether it would be done */
};

/* What a change has come to; nothing has been changed unless it is done. */
enum lmi_changed {
    LMI_CHANGED_MISSING = 0, /* there is no such account */
    LMI_CHANGED_THERE,       /* there is one */
    LMI_CHANGED_SAME,        /* it is so already */
    LMI_CHANGED_NAME,        /* a name that no new account can have */
    LMI_CHANGED_DOMAIN,      /* the domain is malformed */
    LMI_CHANGED_OWNER,       /* the domain has another owner, or none */
    LMI_CHANGED_UID,         /* another account has it, or it is no account's */
    LMI_CHANGED_HOME,        /* the home is another user's */
    LMI_CHANGED_RESELLER,    /* there is no var/cpanel to list it in */
    LMI_CHANGED_FAULTY,      /* the account's own line */
    LMI_CHANGED_SYSTEM, /* a user of this machine: that is useradd's task */
    LMI_CHANGED_DONE,
};
#define LMI_CHANGEDS (LMI_CHANGED_DONE + 1)

/* "missing", "there" and so on; and a sentence for people. Static. */
const char *lmi_changed_name(enum lmi_changed changed);
const char *lmi_changed_text(enum lmi_changed changed);

LMI_RC lmi_account_change(struct lmi *lmi,
                          const struct lmi_account_change *change,
                          enum lmi_changed *out, struct lmi_err *err);

/*
 * The accounts of the site by their names, and then the mailboxes by their
 * domains. The files of the site are read at the beginning, a domain's
 * mailboxes when it is their turn; mailboxes in a file that can't be used are
 * left out, as are names that no request can ask for. The list is the caller's,
 * for lmi_account_list_free(), and ends before its handle does.
 */
struct lmi_account_list;
struct lmi_account_info {
    char user[LMI_USER_MAX + 1];
    /* Why it may not log in there, its password and waits apart; NULL: it may.
     * Static. */
    const char *refusal[LMI_SERVICES + 1];
    bool mailbox, suspended, reseller;
    uint32_t uid; /* a mailbox: of its owner */
    char home[512];
    char owner[LMI_USER_MAX + 1]; /* of a mailbox */
};
LMI_RC lmi_account_list_new(struct lmi *lmi, struct lmi_account_list **out,
                            struct lmi_err *err);
LMI_RC lmi_account_list_next(struct lmi_account_list *list, bool *found_out,
                             struct lmi_account_info *out, struct lmi_err *err);
void lmi_account_list_free(struct lmi_account_list *list);

/* Overwrites what a caller no longer needs; never optimised away. */
void lmi_wipe(void *ptr, size_t len);

/* The versions of libcrypt, OpenSSL and LMDB that run: for bug reports. */
struct lmi_versions {
    char libcrypt[32], openssl[32], lmdb[32];
};
void lmi_versions_get(struct lmi_versions *out);

#endif
