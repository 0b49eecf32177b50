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
#define LMI_URL_SIZE (3 * LMI_URI_MAX + 512)
#define LMI_MESSAGE_SIZE 160
#define LMI_DETAIL_SIZE 640

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
};

/*
 * Its answer. message is a sentence for a person and never holds anything
 * that was passed in; detail is for the operator and never holds a secret.
 * The URL holds the ticket: wipe the answer when done.
 */
struct lmi_login_answer {
    bool login_ok;
    char message[LMI_MESSAGE_SIZE];
    char detail[LMI_DETAIL_SIZE];
    char token[LMI_TOKEN_SIZE]; /* empty unless login_ok */
    char url[LMI_URL_SIZE];     /* empty unless login_ok */
};

/*
 * Logs in on this machine. Fills the answer whatever happens; there is no
 * error to handle, for a fault is a refusal with its own sentence. Settings
 * are read anew at every call: LOGMEIN_CONF, or /etc/logmein.conf.
 */
void lmi_login(struct lmi *core, const struct lmi_login *ask,
               struct lmi_login_answer *out);
void lmi_login_answer_wipe(struct lmi_login_answer *answer);

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
};

/*
 * A door to the store: settings are read and the store is opened once, and
 * stay as they were until it is closed.
 */
struct lmi_sessions;
LMI_CHECK enum lmi_rc lmi_sessions_open(struct lmi *core,
                                        struct lmi_sessions **out,
                                        struct lmi_err *err);
void lmi_sessions_close(struct lmi_sessions *sessions);

/* Why a ticket or a cookie was, or was not, good. */
enum lmi_outcome {
    LMI_UNKNOWN = 0,   /* no such ticket or session, or it has ended */
    LMI_WRONG_TOKEN,   /* the token in the path is not this session's */
    LMI_WRONG_SERVICE, /* it belongs to another service */
    LMI_SPENT,         /* the ticket was used before */
    LMI_GRANTED,       /* the only yes */
};

/* "unknown", "wrong_token", "wrong_service", "spent", "granted". Static. */
const char *lmi_outcome_name(enum lmi_outcome outcome);

/*
 * Swaps a fresh ticket for a cookie, in one durable and atomic step: of any
 * number of callers with one ticket, one is granted. token is the one from
 * the path, with or without its slash. The cookie, USER%3aSECRET, is written
 * only if granted; wipe it after use. session_out is filled only if granted.
 */
LMI_CHECK enum lmi_rc
lmi_session_redeem(struct lmi_sessions *sessions, struct lmi_text ticket,
                   struct lmi_text token, enum lmi_service service,
                   enum lmi_outcome *outcome_out,
                   char cookie_out[LMI_COOKIE_SIZE],
                   struct lmi_session *session_out, struct lmi_err *err);

/*
 * Does this cookie open this service under this token? Granted checks are
 * noted, at most once a minute, so that the idle limit starts anew.
 */
LMI_CHECK enum lmi_rc
lmi_session_check(struct lmi_sessions *sessions, struct lmi_text cookie,
                  struct lmi_text token, enum lmi_service service,
                  enum lmi_outcome *outcome_out,
                  struct lmi_session *session_out, struct lmi_err *err);

/*
 * Logs out: if lmi_session_check() would grant, every session of that user,
 * service and token ends, tickets not yet redeemed included, in one durable
 * commit.
 */
LMI_CHECK enum lmi_rc
lmi_session_end(struct lmi_sessions *sessions, struct lmi_text cookie,
                struct lmi_text token, enum lmi_service service,
                enum lmi_outcome *outcome_out, struct lmi_session *session_out,
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
