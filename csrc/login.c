#include <errno.h>
#include <ifaddrs.h>
#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <crypt.h>
#include <openssl/crypto.h>

#include "account.h"
#include "address.h"
#include "attempts.h"
#include "error.h"
#include "log.h"
#include "logmein.h"
#include "password.h"
#include "request.h"
#include "settings.h"
#include "site.h"
#include "store_lmdb.h"
#include "url.h"
#include "vault.h"

#define LOGIN_OK "Login OK"
#define SLOW_SECONDS 1 /* of test_fault = slow */
#define LOGIN_INVALID "The login is invalid."

/* Everything that one login works with; zeroed, then filled step by step. */
struct login {
    struct lmi *core;
    const struct lmi_login *ask;
    struct lmi_request *request;
    struct lmi_settings *settings;
    struct lmi_site *site;
    struct lmi_account account;
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

static uint32_t
port_of(const struct lmi_settings *settings, enum lmi_service service)
{
    switch (service) {
    case LMI_WHM:
        return settings->port_whm;
    case LMI_WEBMAIL:
        return settings->port_webmail;
    case LMI_CPANEL:
        break;
    }
    return settings->port_cpanel;
}

static void
give_message(struct lmi_login_answer *out, const char *text)
{
    snprintf(out->message, sizeof out->message, "%s", text);
}

static void
give_fault(struct lmi_login_answer *out, const struct lmi_err *err)
{
    snprintf(out->message, sizeof out->message,
             "Logins are not possible at the moment (%s).",
             lmi_rc_name(err->code));
    out->fault = true;
    lmi_err_format(err, out->detail, sizeof out->detail);
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

/* Is this a name of this machine? The site is asked last. */
static enum lmi_rc
names_machine(const struct lmi_settings *settings, struct lmi_site *site,
              const char *host, bool *here_out, struct lmi_err *err)
{
    *here_out = strcmp(host, "localhost") == 0 ||
                strcmp(host, "127.0.0.1") == 0 || strcmp(host, "[::1]") == 0 ||
                is_own_name(host) || is_own_address(host) ||
                is_word_of(settings->domains, host);
    if (*here_out || !settings->site_hostnames)
        return LMI_OK;
    return lmi_site_names_host(site, host, here_out, err);
}

/* Is the login this machine's? */
static enum lmi_rc
locate(struct login *login, bool *here_out, struct lmi_err *err)
{
    *here_out = login->settings->backend == LMI_BACKEND_LOCAL;
    if (login->settings->backend != LMI_BACKEND_AUTO)
        return LMI_OK;
    return names_machine(login->settings, login->site, login->request->hostname,
                         here_out, err);
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

static enum lmi_rc
check_location(struct login *login, bool always_here, struct lmi_err *err)
{
    bool here = true;
    enum lmi_rc rc = lmi_site_open(login->settings, &login->site, err);

    if (rc == LMI_OK && !always_here)
        rc = locate(login, &here, err);
    if (rc == LMI_OK && !here)
        rc = lmi_fail(err, LMI_ELSEWHERE, 0, NULL,
                      "the hostname is not this machine's, and this version "
                      "logs in on this machine only",
                      "name it in the setting domains, or set backend = "
                      "local");
    return rc;
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
    if (login->request->remote_addr[0] == '\0' && login->ask->has_caller) {
        lmi_address_of_uid(login->ask->caller_uid, out);
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
        .port = port_of(login->settings, login->request->service),
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

/* As cPanel's login_log has its lines, for the tools that read them. */
static void
log_login(const struct login *login, const struct lmi_login_answer *out)
{
    char line[LMI_DETAIL_SIZE + 2 * LMI_USER_MAX];
    char caller[32] = "";
    const struct lmi_request *request = login->request;
    const char *daemon = lmi_service_daemon(request->service);
    bool name_shown =
        login->account.exists || login->settings->log_unknown_users;

    if (login->ask->has_caller)
        snprintf(caller, sizeof caller, " by uid %u", login->ask->caller_uid);
    snprintf(line, sizeof line, "info [%s] %s - %s \"login%s\" %s LOGIN %s: %s",
             daemon,
             request->remote_addr[0] != '\0' ? request->remote_addr : "-",
             name_shown ? request->user : "-", caller,
             out->login_ok ? "SUCCESS" : "FAILED", daemon, out->detail);
    lmi_log(login->settings->log, out->fault, line);
}

static void
give_refusal(struct login *login, enum lmi_refusal refusal,
             struct lmi_login_answer *out)
{
    char fault[LMI_DETAIL_SIZE - 80] = "";

    give_message(out, LOGIN_INVALID);
    if (refusal == LMI_REFUSED_FAULT)
        lmi_err_format(&login->account.fault, fault, sizeof fault);
    snprintf(out->detail, sizeof out->detail, "%s%s%s",
             lmi_refusal_text(refusal), fault[0] != '\0' ? ": " : "", fault);
}

static void
give_wait(uint32_t wait, struct lmi_login_answer *out)
{
    out->wait = wait;
    snprintf(out->message, sizeof out->message,
             "Too many failed logins. Please try again in %u seconds.", wait);
    snprintf(out->detail, sizeof out->detail,
             "too many failures: a wait of %u seconds", wait);
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
        give_wait(wait, out);
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
    give_message(out, LOGIN_OK);
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
    struct login login = {.core = core, .ask = ask};
    struct lmi_err err = {.code = LMI_OK};
    const char *complaint = NULL;
    enum lmi_rc rc;

    memset(out, 0, sizeof *out);
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
        give_fault(out, &err);
    }
    if (login.settings != NULL)
        log_login(&login, out);
    login_wipe(&login);
}

void
lmi_login_answer_refuse(struct lmi_login_answer *out, const char *text)
{
    memset(out, 0, sizeof *out);
    give_message(out, text);
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
