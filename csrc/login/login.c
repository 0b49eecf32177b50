#include "login/login.h"

#include <crypt.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "accounts/password.h"
#include "base/error.h"
#include "login/answer.h"
#include "login/machine.h"
#include "login/url.h"
#include "sessions/attempts.h"
#include "sessions/create.h"
#include "store/lmdb.h"

#define SLOW_SECONDS 1          /* of test_fault = slow */
#define MICROSECONDS 1000000ULL /* of a second */

/* Everything that one login works with; zeroed, then filled step by step. */
struct login {
    struct lmi *lmi;
    const struct lmi_login *ask;
    struct lmi_request *request;
    const struct lmi_settings *settings;
    struct lmi_account account;
    struct lmi_login_facts facts;
    struct lmi_attempt attempt;
    struct lmi_session_made made;
};

/* The only place that accepts a password. */
enum lmi_verdict
lmi_login_decide(const struct lmi_login_facts *facts)
{
    if (facts->wait > 0)
        return LMI_REFUSED_WAIT;
    if (facts->account != LMI_ALLOWED)
        return facts->account;
    return facts->match ? LMI_ALLOWED : LMI_REFUSED_PASSWORD;
}

/* Stops what is not for this machine. */
static enum lmi_rc
check_route(struct login *login, struct lmi_login_answer *out,
            struct lmi_err *err)
{
    enum lmi_rc rc = lmi_route_gather(login->lmi, login->request->hostname,
                                      login->ask->here, &out->facts, err);

    if (rc == LMI_OK &&
        lmi_route_choose(login->settings, &out->facts) == LMI_ROUTE_HOST)
        rc = lmi_fail(err, LMI_ELSEWHERE, 0, NULL,
                      "the hostname is not this machine's, and this caller "
                      "does not leave it",
                      "name it in the setting domains, or set backend = "
                      "local");
    return rc;
}

/*
 * After a fault: where does the login go on? At the host, or, if this caller
 * may not read the site or own the store, at the gateway.
 */
static enum lmi_route
route_of(const struct login *login, struct lmi_route_facts *facts,
         struct lmi_err *err)
{
    struct stat st;

    if (login->settings == NULL ||
        (err->code != LMI_ELSEWHERE && err->code != LMI_RIGHTS))
        return LMI_ROUTE_NONE;
    if (err->code == LMI_RIGHTS) {
        facts->denied = true;
        facts->has_gateway =
            lstat(login->settings->gateway_socket, &st) == 0 || errno != ENOENT;
    }
    enum lmi_route route = lmi_route_choose(login->settings, facts);
    if (route == LMI_ROUTE_NONE && !facts->here)
        err->remedy =
            "call as root or as the store's owner, or start the gateway";
    /* A host whose names could not be read is not known to be another. */
    return route == LMI_ROUTE_HOST && err->code == LMI_RIGHTS ? LMI_ROUTE_NONE
                                                              : route;
}

static enum lmi_rc
find_account(struct login *login, struct lmi_err *err)
{
    struct lmi_site *site;
    uint8_t mac[LMI_HASH];
    enum lmi_rc rc = lmi_enter_site(login->lmi, &site, err);

    if (rc == LMI_OK)
        rc =
            lmi_account_find(site, login->settings->accounts,
                             login->request->user, login->request->service,
                             lmi_now(login->lmi) / 86400, &login->account, err);
    login->facts.account = login->account.verdict;
    if (rc == LMI_OK)
        rc = lmi_keys_mac(lmi_keys_of(login->lmi), LMI_MAC_DECOY,
                          login->request->user, strlen(login->request->user),
                          mac, err);
    if (rc == LMI_OK)
        lmi_decoy_salt(&login->account.decoy, mac, sizeof mac);
    return rc;
}

/* A single host, neither this machine nor a proxy. */
static bool
is_source(const struct lmi_address *address,
          const struct lmi_settings *settings)
{
    return !lmi_address_is_loopback(address) &&
           !lmi_address_in(address, settings->trusted_proxies);
}

/* The source whose failures count; false if there is none. */
static bool
read_source(const struct login *login, struct lmi_address *out)
{
    if (login->request->remote_addr[0] == '\0' && login->request->has_caller) {
        lmi_address_of_uid(login->request->caller_uid, out);
        return true;
    }
    return lmi_address_parse(login->request->remote_addr, out) &&
           is_source(out, login->settings);
}

/* Reserves an attempt, unless there is a wait. */
static enum lmi_rc
begin_attempt(struct login *login, struct lmi_err *err)
{
    struct lmi_address source;
    bool has_source = read_source(login, &source);

    return lmi_attempt_begin(login->lmi, login->request->user,
                             has_source ? &source : NULL, &login->attempt,
                             &login->facts.wait, err);
}

static enum lmi_rc
check_password(struct login *login, struct lmi_err *err)
{
    const struct lmi_request *request = login->request;
    struct lmi_bytes pass = {request->pass, request->pass_len};

    if (login->settings->test_fault == LMI_FAULT_SLOW)
        sleep(SLOW_SECONDS);
    return lmi_password_verify(
        pass, login->account.hash,
        login->account.below_home ? LMI_CEILING_HOME : LMI_CEILING_SITE,
        login->account.decoy.setting, &login->facts.match, err);
}

/* After a fault, rc, the attempt is void, and the first fault is reported. */
static enum lmi_rc
end_attempt(struct login *login, enum lmi_attempt_end end, enum lmi_rc rc,
            struct lmi_err *err)
{
    struct lmi_err second;
    enum lmi_rc noted = lmi_attempt_end(login->lmi, &login->attempt,
                                        rc == LMI_OK ? end : LMI_ATTEMPT_VOID,
                                        rc == LMI_OK ? err : &second);

    return rc != LMI_OK ? rc : noted;
}

static enum lmi_rc
make_session(struct login *login, struct lmi_login_answer *out,
             struct lmi_err *err)
{
    const struct lmi_request *request = login->request;
    struct lmi_store_value value;
    struct lmi_store_op remember;
    struct lmi_session_params params = {
        .user = request->user,
        .service = request->service,
        .hash = login->account.hash,
        .reuse = request->has_token ? request->digits : NULL,
        .dual_use = login->ask->dual_use};
    const struct lmi_url_parts parts = {
        .form = login->settings->login_url,
        .hostname = request->hostname,
        .port = login->settings->ports[request->service],
        .token = login->made.token,
        .goto_uri = request->goto_uri,
        .ticket = login->made.secret};
    enum lmi_rc rc;

    if (lmi_attempt_remember(&login->attempt, &value, &remember))
        params.with = &remember;
    rc = lmi_session_create(login->lmi, &params, &login->made, err);
    if (rc != LMI_OK)
        return rc;
    memcpy(out->token, login->made.token, sizeof out->token);
    if (params.dual_use)
        memcpy(out->cookie, login->made.secret, sizeof out->cookie);
    else if (!lmi_url_build(&parts, out->url))
        rc = lmi_fail(err, LMI_MEMORY, 0, NULL, "the URL is too long", NULL);
    snprintf(out->detail, sizeof out->detail, "session %s", login->made.id);
    return rc;
}

static void
give_refusal(struct login *login, enum lmi_verdict verdict,
             struct lmi_login_answer *out)
{
    char fault[LMI_DETAIL_SIZE - 80] = "";

    if (verdict == LMI_REFUSED_WAIT) {
        lmi_answer_wait(out, login->facts.wait, lmi_verdict_text(verdict));
        return;
    }
    lmi_answer_give(out, LMI_REASON_INVALID);
    if (verdict == LMI_REFUSED_FAULT)
        lmi_err_format(&login->account.fault, fault, sizeof fault);
    snprintf(out->detail, sizeof out->detail, "%s%s%s",
             lmi_verdict_text(verdict), fault[0] != '\0' ? ": " : "", fault);
}

/*
 * One login, from top to bottom. The store is opened before the password is
 * checked, so that a caller who can't make a session can't test passwords.
 * During a wait no hash is computed.
 */
static enum lmi_rc
log_in(struct login *login, struct lmi_login_answer *out, struct lmi_err *err)
{
    enum lmi_verdict verdict;
    enum lmi_rc rc = lmi_enter_settings(login->lmi, err);

    if (rc != LMI_OK)
        return rc;
    login->settings = lmi_settings_of(login->lmi);
    rc = check_route(login, out, err);
    if (rc == LMI_OK)
        rc = lmi_enter_store(login->lmi, true, err);
    if (rc == LMI_OK)
        rc = find_account(login, err);
    if (rc == LMI_OK)
        rc = begin_attempt(login, err);
    if (rc != LMI_OK)
        return rc;
    if (login->facts.wait == 0)
        rc = check_password(login, err);
    verdict = lmi_login_decide(&login->facts);
    if (login->facts.wait == 0)
        rc = end_attempt(login,
                         verdict == LMI_ALLOWED ? LMI_ATTEMPT_GOOD
                                                : LMI_ATTEMPT_FAILED,
                         rc, err);
    if (rc != LMI_OK)
        return rc;
    if (verdict != LMI_ALLOWED) {
        give_refusal(login, verdict, out);
        return LMI_OK;
    }
    rc = make_session(login, out, err);
    if (rc == LMI_OK)
        lmi_answer_give(out, LMI_REASON_OK);
    return rc;
}

/* Reads the request; false with the answer filled if that is not possible. */
static bool
read_request(struct login *login, struct lmi_login_answer *out,
             struct lmi_err *err)
{
    const char *complaint = NULL;
    enum lmi_rc rc =
        lmi_request_read(login->ask, &login->request, &complaint, err);

    memset(out, 0, sizeof *out);
    if (complaint != NULL)
        lmi_login_answer_refuse(out, complaint);
    else if (rc != LMI_OK)
        lmi_login_answer_fault(out, err);
    return login->request != NULL;
}

static void
count(const struct login *login, const struct lmi_login_answer *answer,
      const struct lmi_err *err, uint64_t start)
{
    struct lmi_counters *counters = lmi_counters_of(login->lmi);
    enum lmi_service service;

    if (!lmi_service_parse(login->ask->service, &service))
        service = 0;
    lmi_count_login(login->lmi, service, answer->reason);
    lmi_count_duration(counters, LMI_LOGIN_TIME, lmi_clock() - start);
    if (answer->reason == LMI_REASON_WAIT)
        lmi_count_duration(counters, LMI_WAIT_TIME,
                           answer->wait * MICROSECONDS);
    if (answer->reason == LMI_REASON_FAULT)
        lmi_count(counters, LMI_NUMBER(faults) + err->code);
}

void
lmi_login(struct lmi *lmi, const struct lmi_login *ask,
          struct lmi_login_answer *out)
{
    struct login login = {.lmi = lmi, .ask = ask};
    struct lmi_err err = {.code = LMI_OK};
    enum lmi_route route = LMI_ROUTE_HERE;
    uint64_t start = lmi_clock();

    if (!read_request(&login, out, &err)) {
        count(&login, out, &err, start);
        return;
    }
    if (log_in(&login, out, &err) != LMI_OK) {
        struct lmi_route_facts facts = out->facts;
        lmi_login_answer_wipe(out);
        route = route_of(&login, &facts, &err);
        lmi_login_answer_fault(out, &err);
        out->facts = facts;
        out->route = route;
    }
    /* What goes on elsewhere is logged at its end. */
    if (!ask->may_leave || route == LMI_ROUTE_HERE || route == LMI_ROUTE_NONE) {
        count(&login, out, &err, start);
        if (login.settings != NULL)
            lmi_answer_log(out, login.settings, login.request,
                           login.account.exists);
    }
    lmi_request_free(login.request);
    lmi_wipe(&login, sizeof login);
}

void
lmi_login_fail(struct lmi *lmi, const struct lmi_login *ask, const char *reason,
               struct lmi_login_answer *out)
{
    struct login login = {.lmi = lmi, .ask = ask};
    struct lmi_err err;

    if (!read_request(&login, out, &err))
        return;
    lmi_fail(&err, LMI_LIBRARY, 0, reason,
             "the login would leave the process, for which libcurl and jansson "
             "are needed",
             "Debian: install libcurl4-openssl-dev and libjansson-dev, and "
             "build Cpanel::LogMeIn again");
    lmi_login_answer_fault(out, &err);
    if (lmi_settings_of(lmi) != NULL)
        lmi_answer_log(out, lmi_settings_of(lmi), login.request, false);
    lmi_request_free(login.request);
}

enum lmi_rc
lmi_login_is_known(struct lmi *lmi, struct lmi_text user,
                   struct lmi_text address, bool *out, struct lmi_err *err)
{
    char name[LMI_USER_MAX + 1], *domain;
    struct lmi_address source;
    enum lmi_rc rc;

    *out = false;
    if (lmi_user_read(user, name, &domain) != NULL ||
        !lmi_address_read(address, &source))
        return LMI_OK;
    rc = lmi_enter(lmi, err);
    if (rc != LMI_OK || !is_source(&source, lmi_settings_of(lmi)))
        return rc;
    return lmi_attempt_is_known(lmi, name, &source, out, err);
}

void
lmi_login_answer_wipe(struct lmi_login_answer *answer)
{
    if (answer != NULL)
        lmi_wipe(answer, sizeof *answer);
}

enum lmi_rc
lmi_hash_password(struct lmi *lmi, struct lmi_text pass, const char *prefix,
                  unsigned long count, char out[LMI_HASH_SIZE],
                  struct lmi_err *err)
{
    return lmi_password_hash(lmi_crypto_of(lmi), pass, prefix, count,
                             LMI_CEILING_NONE, out, err);
}

void
lmi_versions_get(struct lmi_versions *out)
{
    snprintf(out->libcrypt, sizeof out->libcrypt, "%s", XCRYPT_VERSION_STR);
    snprintf(out->openssl, sizeof out->openssl, "%s",
             OpenSSL_version(OPENSSL_VERSION));
    snprintf(out->lmdb, sizeof out->lmdb, "%s", lmi_store_lmdb_version());
}
