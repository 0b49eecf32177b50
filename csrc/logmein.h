/*
 * The core's whole interface.
 *
 * Caveats first:
 *
 *  - A handle (struct lmi, struct lmi_sessions) is used by one thread at a
 *    time. Different threads use different handles.
 *  - Handles survive fork(): a child may go on using them.
 *  - Inputs are borrowed for the call. Outputs belong to the caller, who
 *    disposes of each with the one function named beside it; all of these
 *    accept NULL.
 *  - Times are seconds since 1970 by the server's clock.
 *  - Nothing here prints, exits or aborts.
 */
#ifndef LMI_LOGMEIN_H
#define LMI_LOGMEIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LMI_CHECK __attribute__((warn_unused_result))

/*
 * What can go wrong. A refusal is not among these: whether a login or a
 * session is good is a verdict, and verdicts come back in outputs that start
 * as the refusing value.
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
    LMI_ELSEWHERE, /* the login belongs to another machine */
    LMI_LIBRARY,   /* libcurl or jansson is missing */
    LMI_SOCKET,    /* the gateway's socket is not to be trusted, or is mute */
};

/* The name that people see: "SITE" for LMI_SITE. Static. */
const char *lmi_rc_name(enum lmi_rc rc);

/*
 * An error record; there is nothing to free. `place` is a path, with line and
 * key where known; it may be empty and is cut at its size. `text` and `remedy`
 * are static sentences without a full stop, or NULL.
 */
struct lmi_err {
    enum lmi_rc code;
    int os_errno; /* 0: none */
    const char *text;
    const char *remedy;
    char place[320];
};

/* Writes "PLACE: TEXT: OS ERROR (REMEDY)", cut at size, always terminated. */
void lmi_err_format(const struct lmi_err *err, char *out, size_t size);

/*
 * The library handle: a private OpenSSL context, with its random generator
 * started and tried once. The site's OpenSSL configuration does not apply to
 * it, and stays in force for the rest of the process.
 */
struct lmi;
LMI_CHECK enum lmi_rc lmi_new(struct lmi **out, struct lmi_err *err);

/* What was opened with the handle may be closed later than the handle. */
void lmi_free(struct lmi *core);

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

enum lmi_service { LMI_CPANEL = 1, LMI_WHM, LMI_WEBMAIL };

/* "cpanel", "whm" or "webmail". Static. */
const char *lmi_service_name(enum lmi_service service);

/* "cpaneld", "whostmgrd" or "webmaild", as logs name it. Static. */
const char *lmi_service_daemon(enum lmi_service service);

/*
 * The service that "cpanel", "cpaneld", "whm", "whostmgr", "whostmgrd",
 * "webmail" or "webmaild" names; false, and out untouched, for anything else.
 */
bool lmi_service_parse(const struct lmi_text *text, enum lmi_service *out);

#define LMI_USER_MAX 254               /* bytes */
#define LMI_PASS_MAX 511               /* bytes: libcrypt takes no more */
#define LMI_URI_MAX 2048               /* bytes, after encoding */
#define LMI_TOKEN_SIZE 18              /* "/cpsess" + 10 digits + NUL */
#define LMI_TICKET_SIZE 48             /* "lmt_" + 43 characters + NUL */
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
const char *lmi_uri_read(const struct lmi_text *text,
                         char out[LMI_URI_MAX + 1]);

/*
 * Is the address one of these, or inside one of these networks? The list is of
 * addresses and of ADDRESS/BITS, separated by blanks, as trusted_proxies is.
 * False for anything that is no address.
 */
bool lmi_address_listed(const struct lmi_text *address, const char *list);

/*
 * The settings: the file that LOGMEIN_CONF names (ignored in setuid programs),
 * else /etc/logmein.conf; without that one, the defaults.
 */
struct lmi_settings;
LMI_CHECK enum lmi_rc lmi_settings_load(struct lmi_settings **out,
                                        struct lmi_err *err);
void lmi_settings_free(struct lmi_settings *settings);

/*
 * Each of them, by a number from 0 on, with its value as the file would have
 * it; false at the end. Longer values are cut at size.
 */
bool lmi_settings_show(const struct lmi_settings *settings, size_t number,
                       const char **name_out, char *value_out, size_t size);

struct lmi_away;

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
    /*
     * Asked by a process of this machine, through a gateway: failures count
     * against remote_addr if there is one, else against that process's user.
     */
    bool has_caller;
    uint32_t caller_uid;
    bool starter;               /* the answer holds a cookie instead of a URL */
    struct lmi_away **away_out; /* NULL: the login must not leave */
};

/*
 * Its answer. message is a sentence for a person and never holds anything
 * that was passed in; detail is for the operator and never holds a secret.
 * URL and cookie hold secrets: wipe the answer when done.
 *
 * A starter's cookie is for login answers whose client decides later what it
 * is: shown as a cookie, it is one from then on; put into a login URL in the
 * place of a ticket, it is redeemed as one.
 */
struct lmi_login_answer {
    bool login_ok;
    bool fault;    /* not the user's: the same login may be good later */
    uint32_t wait; /* seconds until the next attempt, if that is why */
    char message[LMI_MESSAGE_SIZE];
    char detail[LMI_DETAIL_SIZE];
    char token[LMI_TOKEN_SIZE];   /* empty unless login_ok */
    char url[LMI_URL_SIZE];       /* empty unless login_ok, or with starter */
    char cookie[LMI_COOKIE_SIZE]; /* empty unless login_ok with starter */
};

/*
 * Logs in on this machine. Fills the answer whatever happens; there is no
 * error to handle, for a fault is a refusal with its own sentence. Settings
 * are read anew at every call: LOGMEIN_CONF, or /etc/logmein.conf.
 *
 * A login that has to leave the process, for another machine or for the
 * gateway's socket, is refused with LMI_ELSEWHERE or LMI_RIGHTS. If away_out
 * is given, it is nobody's yet: *away_out, otherwise NULL, then holds the
 * request, and remote.h carries it on, or lmi_away_fail() says why it can't.
 * The caller frees it with lmi_away_free().
 */
void lmi_login(struct lmi *core, const struct lmi_login *ask,
               struct lmi_login_answer *out);
void lmi_login_answer_wipe(struct lmi_login_answer *answer);

/*
 * A request that leaves the process, with the password in it and with the
 * settings in force. fail answers it with LMI_LIBRARY: what carries such
 * logins could not be loaded, for this reason.
 */
void lmi_away_free(struct lmi_away *away);
void lmi_away_fail(const struct lmi_away *away, const char *reason,
                   struct lmi_login_answer *out);

/*
 * The answer for a call that could not even be read; text is static.
 */
void lmi_login_answer_refuse(struct lmi_login_answer *out, const char *text);

/* What is known of a live session. */
struct lmi_session {
    char user[LMI_USER_MAX + 1];
    enum lmi_service service;
    char token[LMI_TOKEN_SIZE];
    char id[LMI_ID_SIZE];
    int64_t created;
    int64_t ends;      /* the overall limit */
    int64_t last_seen; /* good to a minute */
    bool redeemed; /* false: its ticket or starter waits for its first use */
};

/*
 * A door to the store: settings are read once and stay as they were until it
 * is closed. A store whose place another one has taken, perhaps with another
 * key, is opened anew within a second.
 */
struct lmi_sessions;
LMI_CHECK enum lmi_rc lmi_sessions_open(struct lmi *core,
                                        struct lmi_sessions **out,
                                        struct lmi_err *err);
void lmi_sessions_close(struct lmi_sessions *sessions);

/* What comes of a ticket, or of a cookie. */
enum lmi_outcome {
    LMI_UNKNOWN = 0,   /* no such ticket or session, or it has ended */
    LMI_WRONG_TOKEN,   /* the token in the path is not this session's */
    LMI_WRONG_SERVICE, /* it belongs to another service */
    LMI_SPENT,         /* the ticket was used before, by somebody else */
    LMI_CONFIRM,       /* the browser is logged in as another user: ask */
    LMI_PASSIVE,       /* the request is of a kind that never redeems */
    LMI_AGAIN,         /* spent, by the very session whose cookie is shown */
    LMI_GRANTED,
};

/* "unknown", "wrong_token" and so on: the names above. Static. */
const char *lmi_outcome_name(enum lmi_outcome outcome);

/*
 * What a request shows. token is the one from the path, with or without its
 * slash. address and agent are the browser's; unless both are given, and the
 * agent has at most 1,000 bytes, a spent ticket gets no second chance.
 */
struct lmi_visit {
    struct lmi_text ticket; /* a ticket, or a starter's cookie */
    struct lmi_text cookie;
    struct lmi_text token;
    enum lmi_service service;
    struct lmi_text address, agent;
    struct lmi_text method;  /* HEAD and OPTIONS never redeem */
    struct lmi_text purpose; /* Sec-Purpose or Purpose: "prefetch" neither */
    bool confirmed; /* the user has agreed to become the ticket's user */
    bool uncounted; /* a wrong token is no miss: for favicon.ico and the like */
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
 *   ticket   live cookie of this service      outcome
 *   fresh    none, or of the same user        GRANTED; the old session ends
 *   fresh    of another user                  CONFIRM; if confirmed, GRANTED
 *   spent    of the ticket's own session      AGAIN; nothing is written
 *   spent    none, at most 10 s ago, same     GRANTED: a new cookie; of all
 *            address and agent                that the ticket was swapped for,
 *                                             the first that is used lives
 *   spent    any other                        SPENT
 *   unknown  any                              UNKNOWN
 *
 * Of many browsers with one ticket one is granted; of many requests of one
 * browser exactly one cookie works afterwards.
 */
LMI_CHECK enum lmi_rc lmi_session_redeem(struct lmi_sessions *sessions,
                                         const struct lmi_visit *visit,
                                         enum lmi_outcome *outcome_out,
                                         struct lmi_redeemed *out,
                                         struct lmi_err *err);

/*
 * Does this cookie open this service under this token? Granted checks are
 * noted, at most once a minute, so that the idle limit starts anew; at that
 * moment the account is read again, and a session ends whose account may not
 * log in any more, or has another password. Three different wrong tokens end
 * a session, too.
 */
LMI_CHECK enum lmi_rc lmi_session_check(struct lmi_sessions *sessions,
                                        const struct lmi_visit *visit,
                                        enum lmi_outcome *outcome_out,
                                        struct lmi_session *out,
                                        struct lmi_err *err);

/*
 * Logs out: if lmi_session_check() would grant, every session of that user,
 * service and token ends, tickets not yet redeemed included, in one durable
 * commit. With any_token the visit needs no token.
 */
LMI_CHECK enum lmi_rc lmi_session_end(struct lmi_sessions *sessions,
                                      const struct lmi_visit *visit,
                                      enum lmi_outcome *outcome_out,
                                      struct lmi_session *out,
                                      struct lmi_err *err);

/*
 * The live sessions, one after the other, without loading them all: all of
 * them, one user's, or one service's. Begin with a zeroed place; what is made
 * or ended meanwhile may or may not be seen. found_out is false at the end.
 */
struct lmi_session_list {
    struct lmi_text user;     /* absent: all */
    enum lmi_service service; /* 0: all */
    size_t place_len;         /* 0: at the beginning */
    uint8_t place[128];       /* where it goes on: bytes to keep as they are */
};
LMI_CHECK enum lmi_rc lmi_session_next(struct lmi_sessions *sessions,
                                       struct lmi_session_list *list,
                                       bool *found_out, struct lmi_session *out,
                                       struct lmi_err *err);

/*
 * Ends the one session with this public id, for an operator or for its user:
 * with a user, only if it is that user's. Looks at all of them, or of the
 * user's. found_out tells whether there was one.
 */
LMI_CHECK enum lmi_rc lmi_session_end_id(struct lmi_sessions *sessions,
                                         struct lmi_text id,
                                         struct lmi_text user, bool *found_out,
                                         struct lmi_session *out,
                                         struct lmi_err *err);

/*
 * Ends a ticket, or a starter, that was seen where it must not be, in clear
 * text for example; a spent one with the session it was swapped for. found_out
 * tells whether there was one.
 */
LMI_CHECK enum lmi_rc lmi_session_discard(struct lmi_sessions *sessions,
                                          struct lmi_text ticket,
                                          bool *found_out, struct lmi_err *err);

/* Is this a name of this machine, by settings and site? False for no name. */
LMI_CHECK enum lmi_rc lmi_serves_host(struct lmi_text host, bool *out,
                                      struct lmi_err *err);

/* Removes what has expired, in steps between which logins go on. */
LMI_CHECK enum lmi_rc lmi_sessions_purge(struct lmi_sessions *sessions,
                                         uint64_t *removed_out,
                                         struct lmi_err *err);

#define LMI_HASH_SIZE 384 /* as libcrypt's CRYPT_OUTPUT_SIZE */

/*
 * A hash of a password, for a shadow file. prefix names the scheme as
 * crypt_gensalt(3) does, "$6$" for example; NULL is the system's preferred
 * one. count is the scheme's cost, 0 its default.
 */
LMI_CHECK enum lmi_rc lmi_hash_password(struct lmi *core, struct lmi_text pass,
                                        const char *prefix, unsigned long count,
                                        char out[LMI_HASH_SIZE],
                                        struct lmi_err *err);

/* Overwrites what a caller no longer needs; never optimised away. */
void lmi_wipe(void *ptr, size_t len);

/* The versions of libcrypt, OpenSSL and LMDB that run: for bug reports. */
struct lmi_versions {
    char libcrypt[32], openssl[32], lmdb[32];
};
void lmi_versions_get(struct lmi_versions *out);

#endif
