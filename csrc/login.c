#include <errno.h>
#include <ifaddrs.h>
#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <crypt.h>
#include <openssl/crypto.h>

#include "account.h"
#include "address.h"
#include "answer.h"
#include "attempts.h"
#include "away.h"
#include "error.h"
#include "logmein.h"
#include "password.h"
#include "request.h"
#include "settings.h"
#include "site.h"
#include "store_lmdb.h"
#include "url.h"
#include "vault.h"

#define SLOW_SECONDS 1 /* of test_fault = slow */

/* Everything that one login works with; zeroed, then filled step by step. */
struct login {
    struct lmi *core;
    struct lmi_request *request;
    struct lmi_settings *settings;
    struct lmi_site *site;
    struct lmi_account account;
    bool here; /* the hostname is this machine's */
    bool match;
    struct lmi_sessions *sessions;
    struct lmi_attempt attempt;
    struct lmi_session_made made;
};

/*
 * The decision. Everything was computed before, whatever was found; a login
 * is granted only if the account exists, may log in at this service now, and
 * its own hash, not the decoy, matched.
 */
static enum lmi_refusal
decide(const struct lmi_account *account, bool match)
{
    if (account->refusal == LMI_REFUSED_NOT && match)
        return LMI_REFUSED_NOT;
    return account->refusal != LMI_REFUSED_NOT ? account->refusal
                                               : LMI_REFUSED_PASSWORD;
}

static bool
is_word_of(const char *list, const char *word)
{
    struct lmi_bytes rest = {list, strlen(list)}, next;

    while ((next = lmi_next_word(&rest)).len > 0)
        if (next.len == strlen(word) &&
            strncasecmp(next.ptr, word, next.len) == 0)
            return true;
    return false;
}

/* The machine's own name, as it is set; no query to any server. */
static bool
is_own_name(const char *host)
{
    char name[256];

    return gethostname(name, sizeof name) == 0 &&
           memchr(name, '\0', sizeof name) != NULL &&
           strcasecmp(name, host) == 0;
}

static bool
same_address(const struct sockaddr *own, const struct lmi_address *address)
{
    char text[LMI_ADDRESS_TEXT] = "";
    struct lmi_address other;

    if (own != NULL && own->sa_family == AF_INET)
        inet_ntop(AF_INET,
                  &((const struct sockaddr_in *)(const void *)own)->sin_addr,
                  text, sizeof text);
    if (own != NULL && own->sa_family == AF_INET6)
        inet_ntop(AF_INET6,
                  &((const struct sockaddr_in6 *)(const void *)own)->sin6_addr,
                  text, sizeof text);
    return lmi_address_parse(text, &other) &&
           memcmp(other.bytes, address->bytes, sizeof other.bytes) == 0;
}

/* An address of an interface of this machine; host passed the grammar. */
static bool
is_own_address(const char *host)
{
    char text[256];
    struct lmi_address address;
    struct ifaddrs *all = NULL;
    bool found = false;

    snprintf(text, sizeof text, "%s", host[0] == '[' ? host + 1 : host);
    text[strcspn(text, "]")] = '\0';
    if (!lmi_address_parse(text, &address) || getifaddrs(&all) != 0)
        return false;
    for (const struct ifaddrs *next = all; next != NULL; next = next->ifa_next)
        found = found || same_address(next->ifa_addr, &address);
    freeifaddrs(all);
    return found;
}

/* Is this a name of this machine, as far as can be said without the site? */
static bool
is_own_host(const struct lmi_settings *settings, const char *host)
{
    return strcmp(host, "localhost") == 0 || strcmp(host, "127.0.0.1") == 0 ||
           strcmp(host, "[::1]") == 0 || is_own_name(host) ||
           is_own_address(host) || is_word_of(settings->domains, host);
}

/* Is this a name of this machine? The site is asked last. */
static enum lmi_rc
names_machine(const struct lmi_settings *settings, struct lmi_site *site,
              const char *host, bool *here_out, struct lmi_err *err)
{
    enum lmi_rc rc = LMI_OK;

    *here_out = is_own_host(settings, host);
    if (!*here_out && settings->site_hostnames)
        rc = lmi_site_names_host(site, host, here_out, err);
    if (rc == LMI_RIGHTS)
        err->remedy = "name the host in the setting domains, or set backend = "
                      "local";
    return rc;
}

enum lmi_rc
lmi_serves_host(struct lmi_text host, bool *out, struct lmi_err *err)
{
    struct lmi_settings *settings = NULL;
    struct lmi_site *site = NULL;
    char name[256];
    enum lmi_rc rc;

    *out = false;
    if (lmi_hostname_read(&host, name) != NULL)
        return LMI_OK;
    rc = lmi_settings_load(&settings, err);
    if (rc == LMI_OK)
        rc = lmi_site_open(settings, &site, err);
    if (rc == LMI_OK)
        rc = names_machine(settings, site, name, out, err);
    lmi_site_close(site);
    lmi_settings_free(settings);
    return rc;
}

/*
 * Opens the site, and stops what is not for this machine. What can be said
 * without the site is said first: a caller who may not open it shall still be
 * sent to the gateway.
 */
static enum lmi_rc
check_location(struct login *login, bool always_here, struct lmi_err *err)
{
    const struct lmi_settings *settings = login->settings;
    const char *host = login->request->hostname;
    bool auto_backend = settings->backend == LMI_BACKEND_AUTO;
    enum lmi_rc rc;

    login->here = always_here || settings->backend == LMI_BACKEND_LOCAL ||
                  (auto_backend && is_own_host(settings, host));
    rc = lmi_site_open(settings, &login->site, err);
    if (rc == LMI_OK && !login->here && auto_backend)
        rc = names_machine(settings, login->site, host, &login->here, err);
    if (rc == LMI_OK && !login->here)
        rc = lmi_fail(err, LMI_ELSEWHERE, 0, NULL,
                      "the hostname is not this machine's, and this caller "
                      "does not leave it",
                      "name it in the setting domains, or set backend = "
                      "local");
    return rc;
}

/*
 * Does the login go on outside this process? To another machine, or, where
 * this caller may not read the site or own the store, to the gateway: if there
 * is none, the fault says what would help.
 */
static bool
leaves(const struct login *login, const struct lmi_login *ask,
       struct lmi_err *err)
{
    struct stat st;

    if (ask->away_out == NULL)
        return false;
    if (err->code == LMI_ELSEWHERE)
        return true;
    if (err->code != LMI_RIGHTS || !login->here || ask->here)
        return false;
    if (lstat(login->settings->gateway_socket, &st) == 0 || errno != ENOENT)
        return true;
    err->remedy = "call as root or as the store's owner, or start the gateway";
    return false;
}

/* Hands request and settings over; on failure err has another cause. */
static void
leave(struct login *login, const struct lmi_login *ask, struct lmi_err *err)
{
    enum lmi_door door =
        err->code == LMI_ELSEWHERE ? LMI_DOOR_HTTPS : LMI_DOOR_GATEWAY;
    struct lmi_request *request = login->request;
    struct lmi_settings *settings = login->settings;

    lmi_sessions_close(login->sessions);
    lmi_site_close(login->site);
    login->sessions = NULL;
    login->site = NULL;
    login->request = NULL;
    login->settings = NULL;
    if (lmi_away_new(door, request, settings, ask->away_out, err) != LMI_OK)
        *ask->away_out = NULL;
}

static enum lmi_rc
find_account(struct login *login, struct lmi_err *err)
{
    int64_t today = lmi_settings_now(login->settings) / 86400;

    return lmi_account_find(login->site, login->settings->accounts,
                            login->request->user, login->request->service,
                            today, &login->account, err);
}

/* The source whose failures count; false: nobody's. */
static bool
read_source(const struct login *login, struct lmi_address *out)
{
    if (login->request->remote_addr[0] == '\0' && login->request->has_caller) {
        lmi_address_of_uid(login->request->caller_uid, out);
        return true;
    }
    return lmi_address_parse(login->request->remote_addr, out) &&
           !lmi_address_is_loopback(out) &&
           !lmi_address_in(out, login->settings->trusted_proxies);
}

/* Reserves an attempt; *wait_out are the seconds if it must not go on. */
static enum lmi_rc
begin_attempt(struct login *login, uint32_t *wait_out, struct lmi_err *err)
{
    struct lmi_address source;
    bool has_source = read_source(login, &source);

    return lmi_attempt_begin(login->sessions, login->request->user,
                             login->account.exists, has_source ? &source : NULL,
                             &login->attempt, wait_out, err);
}

static enum lmi_rc
check_password(struct login *login, struct lmi_err *err)
{
    const struct lmi_request *request = login->request;
    struct lmi_bytes pass = {request->pass, request->pass_len};

    return lmi_password_verify(pass, login->account.hash,
                               login->account.below_home ? LMI_CEILING_HOME
                                                         : LMI_CEILING_SITE,
                               login->account.decoy, &login->match, err);
}

/*
 * What the attempt has come to is noted before anybody is told. After a fault,
 * rc, it has come to nothing, and the first fault is the one to tell of.
 */
static enum lmi_rc
end_attempt(struct login *login, enum lmi_attempt_end end, enum lmi_rc rc,
            struct lmi_err *err)
{
    struct lmi_err second;
    enum lmi_rc noted = lmi_attempt_end(login->sessions, &login->attempt,
                                        rc == LMI_OK ? end : LMI_ATTEMPT_VOID,
                                        rc == LMI_OK ? err : &second);

    return rc != LMI_OK ? rc : noted;
}

static bool
build_url(const struct login *login, struct lmi_login_answer *out)
{
    const struct lmi_url_parts parts = {
        .form = login->settings->login_url,
        .hostname = login->request->hostname,
        .port = lmi_settings_port(login->settings, login->request->service),
        .token = out->token,
        .goto_uri = login->request->goto_uri,
        .ticket = login->made.secret};

    return lmi_url_build(&parts, out->url);
}

static enum lmi_rc
make_session(struct login *login, bool starter, struct lmi_login_answer *out,
             struct lmi_err *err)
{
    const struct lmi_request *request = login->request;
    struct lmi_store_value value;
    struct lmi_store_op remember;
    struct lmi_session_wish wish = {
        .user = request->user,
        .service = request->service,
        .hash = login->account.hash,
        .reuse = request->has_token ? request->digits : NULL,
        .starter = starter};
    enum lmi_rc rc;

    if (lmi_attempt_remember(&login->attempt, &value, &remember))
        wish.with = &remember;
    rc = lmi_session_create(login->sessions, &wish, &login->made, err);
    if (rc != LMI_OK)
        return rc;
    memcpy(out->token, login->made.token, sizeof out->token);
    if (starter)
        memcpy(out->cookie, login->made.secret, sizeof out->cookie);
    else if (!build_url(login, out))
        rc = lmi_fail(err, LMI_MEMORY, 0, NULL, "the URL is too long", NULL);
    return rc;
}

static void
give_refusal(struct login *login, enum lmi_refusal refusal,
             struct lmi_login_answer *out)
{
    char fault[LMI_DETAIL_SIZE - 80] = "";

    lmi_answer_say(out, LMI_LOGIN_INVALID);
    if (refusal == LMI_REFUSED_FAULT)
        lmi_err_format(&login->account.fault, fault, sizeof fault);
    snprintf(out->detail, sizeof out->detail, "%s%s%s",
             lmi_refusal_text(refusal), fault[0] != '\0' ? ": " : "", fault);
}

/*
 * The story. The store is opened before the password is checked: a caller
 * who could not make a session learns nothing about passwords. Inside a wait
 * no hash is computed.
 */
static enum lmi_rc
log_in(struct login *login, const struct lmi_login *ask,
       struct lmi_login_answer *out, struct lmi_err *err)
{
    enum lmi_refusal refusal;
    uint32_t wait = 0;
    enum lmi_rc rc = check_location(login, ask->here, err);

    if (rc == LMI_OK)
        rc = lmi_sessions_new(login->core, login->settings, &login->sessions,
                              err);
    if (rc == LMI_OK)
        rc = find_account(login, err);
    if (rc == LMI_OK)
        rc = begin_attempt(login, &wait, err);
    if (rc != LMI_OK)
        return rc;
    if (wait > 0) {
        lmi_answer_wait(out, wait, "too many failures");
        return LMI_OK;
    }
    if (login->settings->test_fault == LMI_FAULT_SLOW)
        sleep(SLOW_SECONDS);
    rc = check_password(login, err);
    refusal = decide(&login->account, login->match);
    rc = end_attempt(login,
                     refusal == LMI_REFUSED_NOT ? LMI_ATTEMPT_GOOD
                                                : LMI_ATTEMPT_FAILED,
                     rc, err);
    if (rc != LMI_OK)
        return rc;
    if (refusal != LMI_REFUSED_NOT) {
        give_refusal(login, refusal, out);
        return LMI_OK;
    }
    rc = make_session(login, ask->starter, out, err);
    if (rc != LMI_OK)
        return rc;
    out->login_ok = true;
    lmi_answer_say(out, LMI_LOGIN_OK);
    snprintf(out->detail, sizeof out->detail, "session %s", login->made.id);
    return LMI_OK;
}

static void
login_wipe(struct login *login)
{
    lmi_sessions_close(login->sessions);
    lmi_site_close(login->site);
    lmi_settings_free(login->settings);
    lmi_request_free(login->request);
    lmi_wipe(login, sizeof *login);
}

void
lmi_login(struct lmi *core, const struct lmi_login *ask,
          struct lmi_login_answer *out)
{
    struct login login = {.core = core};
    struct lmi_err err = {.code = LMI_OK};
    const char *complaint = NULL;
    enum lmi_rc rc;

    memset(out, 0, sizeof *out);
    if (ask->away_out != NULL)
        *ask->away_out = NULL;
    rc = lmi_request_read(ask, &login.request, &complaint, &err);
    if (complaint != NULL) {
        lmi_login_answer_refuse(out, complaint);
        return;
    }
    if (rc == LMI_OK)
        rc = lmi_settings_load(&login.settings, &err);
    if (rc == LMI_OK)
        rc = log_in(&login, ask, out, &err);
    if (rc != LMI_OK) {
        lmi_login_answer_wipe(out);
        if (leaves(&login, ask, &err))
            leave(&login, ask, &err);
        lmi_answer_fault(out, &err);
    }
    if (login.settings != NULL)
        lmi_answer_log(out, login.settings, login.request,
                       login.account.exists);
    login_wipe(&login);
}

void
lmi_login_answer_refuse(struct lmi_login_answer *out, const char *text)
{
    memset(out, 0, sizeof *out);
    lmi_answer_say(out, text);
    snprintf(out->detail, sizeof out->detail, "%s", text);
}

void
lmi_login_answer_wipe(struct lmi_login_answer *answer)
{
    if (answer != NULL)
        lmi_wipe(answer, sizeof *answer);
}

void
lmi_versions_get(struct lmi_versions *out)
{
    snprintf(out->libcrypt, sizeof out->libcrypt, "%s", XCRYPT_VERSION_STR);
    snprintf(out->openssl, sizeof out->openssl, "%s",
             OpenSSL_version(OPENSSL_VERSION));
    snprintf(out->lmdb, sizeof out->lmdb, "%s", lmi_store_lmdb_version());
}
