#include <string.h>
#include <time.h>

#include "account.h"
#include "address.h"
#include "error.h"
#include "logmein.h"
#include "secret.h"
#include "vault.h"

#define TOUCH_SECONDS 60
#define MISSES_MAX 3
#define PURGE_BATCH 16
#define PURGE_PAUSE 3     /* times as long as a step */
#define SECOND 1000000000 /* in nanoseconds */
#define ROUNDS 1000       /* each means that another request was faster */

const char *
lmi_outcome_name(enum lmi_outcome outcome)
{
    switch (outcome) {
    case LMI_UNKNOWN:
        return "unknown";
    case LMI_WRONG_TOKEN:
        return "wrong_token";
    case LMI_WRONG_SERVICE:
        return "wrong_service";
    case LMI_SPENT:
        return "spent";
    case LMI_CONFIRM:
        return "confirm";
    case LMI_PASSIVE:
        return "passive";
    case LMI_AGAIN:
        return "again";
    case LMI_GRANTED:
        return "granted";
    }
    return "unknown";
}

/* The visitor's address as the log shows it; empty if it is none. */
static void
show_address(const struct lmi_text *text, char out[LMI_ADDRESS_TEXT])
{
    struct lmi_address address;

    out[0] = '\0';
    if (lmi_address_read(text, &address))
        lmi_address_format(&address, out);
}

static void
log_end(struct lmi_sessions *sessions, const struct lmi_found *found,
        const struct lmi_visit *visit, const char *why)
{
    char address[LMI_ADDRESS_TEXT] = "";
    struct lmi_session session;
    struct lmi_err ignored;

    if (visit != NULL)
        show_address(&visit->address, address);
    if (lmi_vault_describe(sessions, &found->record, 0, &session, &ignored) ==
        LMI_OK)
        lmi_vault_log(sessions, &session, address, "PURGE", why);
}

/*
 * Is the account still one that may log in, with the hash that the session
 * was made with? A fault of its own entry is a fault: it ends nothing.
 */
static enum lmi_rc
account_agrees(struct lmi_sessions *sessions, const struct lmi_record *record,
               int64_t now, bool *agrees_out, struct lmi_err *err)
{
    const struct lmi_settings *settings = sessions->settings;
    uint8_t fingerprint[LMI_SHORT_SEAL];
    struct lmi_account account;
    struct lmi_site *site = NULL;
    enum lmi_rc rc = lmi_site_open(settings, &site, err);

    *agrees_out = false;
    if (rc == LMI_OK)
        rc = lmi_account_find(site, settings->accounts, record->user,
                              record->service, now / 86400, &account, err);
    lmi_site_close(site);
    if (rc != LMI_OK)
        return rc;
    if (account.refusal == LMI_REFUSED_FAULT) {
        *err = account.fault;
        rc = err->code;
    } else if (account.refusal == LMI_REFUSED_NOT) {
        rc = lmi_vault_fingerprint(sessions, account.hash, fingerprint, err);
        *agrees_out =
            rc == LMI_OK &&
            lmi_secret_equal(fingerprint, record->fingerprint, LMI_SHORT_SEAL);
    }
    lmi_account_wipe(&account);
    return rc;
}

/* Wrong tokens that a session has been shown, ten digits each. */
static bool
misses_have(const struct lmi_store_value *misses,
            const char digits[LMI_TOKEN_DIGITS])
{
    for (size_t i = 0; i < misses->len; i += LMI_TOKEN_DIGITS)
        if (memcmp(misses->bytes + i, digits, LMI_TOKEN_DIGITS) == 0)
            return true;
    return false;
}

/* Adds the token, unless it is there; *full_out once there are three. */
static enum lmi_rc
misses_add(struct lmi_sessions *sessions, const struct lmi_found *found,
           const char digits[LMI_TOKEN_DIGITS], int64_t now, bool *done_out,
           bool *full_out, struct lmi_err *err)
{
    struct lmi_store_id id = found->id;
    struct lmi_store_value old, value;
    bool there = false;
    enum lmi_rc rc;

    id.kind = LMI_KIND_MISS;
    rc = lmi_store_get(sessions->store, LMI_VOLATILE, &id, &there, &old, err);
    if (rc != LMI_OK)
        return rc;
    value = old;
    *done_out = misses_have(&old, digits);
    *full_out = old.len >= MISSES_MAX * LMI_TOKEN_DIGITS;
    if (*done_out || *full_out) {
        *done_out = true;
        return LMI_OK;
    }
    memcpy(value.bytes + value.len, digits, LMI_TOKEN_DIGITS);
    value.len += LMI_TOKEN_DIGITS;
    *full_out = value.len == MISSES_MAX * LMI_TOKEN_DIGITS;
    const struct lmi_store_op op = {.verb =
                                        there ? LMI_STORE_SWAP : LMI_STORE_ADD,
                                    .id = id,
                                    .expires = found->record.ends,
                                    .value = &value,
                                    .old = &old};
    return lmi_store_apply(sessions->store, LMI_VOLATILE, &op, 1, now, done_out,
                           err);
}

/* Counts a well-formed wrong token; the third one ends the session. */
static enum lmi_rc
miss(struct lmi_sessions *sessions, const struct lmi_found *found,
     const struct lmi_visit *visit, int64_t now, struct lmi_err *err)
{
    char digits[LMI_TOKEN_DIGITS];
    bool done = false, full = false;
    enum lmi_rc rc = LMI_OK;

    if (visit->uncounted || !lmi_token_parse(&visit->token, digits))
        return LMI_OK;
    for (int i = 0; rc == LMI_OK && !done && i < ROUNDS; i++)
        rc = misses_add(sessions, found, digits, now, &done, &full, err);
    if (rc != LMI_OK || !full)
        return rc;
    rc = lmi_vault_end(sessions, found, now, err);
    if (rc == LMI_OK)
        log_end(sessions, found, visit, "token");
    return rc;
}

/* What a live cookie, starter or contender is good for. */
static enum lmi_outcome
judge(const struct lmi_record *record, const struct lmi_visit *visit)
{
    if (record->state == LMI_STATE_FRESH || record->state == LMI_STATE_SPENT)
        return LMI_UNKNOWN;
    if (record->service != visit->service)
        return LMI_WRONG_SERVICE;
    if (visit->any_token || lmi_token_is(&visit->token, record->digits))
        return LMI_GRANTED;
    return LMI_WRONG_TOKEN;
}

/*
 * A starter or contender that is shown as a cookie is one from now on. A
 * contender takes its ticket in the same step, from which the others live.
 */
static enum lmi_rc
become_cookie(struct lmi_sessions *sessions, struct lmi_found *found,
              int64_t now, bool *done_out, struct lmi_err *err)
{
    struct lmi_found ticket = {.good = false};
    struct lmi_store_value values[2];
    struct lmi_store_op ops[2];
    enum lmi_rc rc = LMI_OK;

    *done_out = false;
    if (found->record.state == LMI_STATE_CONTENDER) {
        rc = lmi_vault_find_contended(sessions, &found->record, &ticket, err);
        if (rc != LMI_OK || !ticket.good)
            return rc;
        memcpy(ticket.record.peer, found->id.key, LMI_STORE_KEY);
        rc = lmi_vault_write(sessions, LMI_STORE_SWAP, &ticket.id,
                             &ticket.record, &ticket.value, &values[1], &ops[1],
                             err);
    }
    found->record.state = LMI_STATE_COOKIE;
    found->record.changed = now;
    if (rc == LMI_OK)
        rc = lmi_vault_write(sessions, LMI_STORE_SWAP, &found->id,
                             &found->record, &found->value, &values[0], &ops[0],
                             err);
    if (rc == LMI_OK)
        rc = lmi_store_apply(sessions->store, LMI_DURABLE, ops,
                             ticket.good ? 2 : 1, now, done_out, err);
    return rc;
}

/* Once a minute: the account is asked, and the time is noted. */
static enum lmi_rc
touch(struct lmi_sessions *sessions, const struct lmi_found *found,
      const struct lmi_visit *visit, int64_t now, bool *agrees_out,
      struct lmi_err *err)
{
    enum lmi_rc rc =
        account_agrees(sessions, &found->record, now, agrees_out, err);

    if (rc != LMI_OK)
        return rc;
    if (*agrees_out)
        return lmi_vault_touch(sessions, found, now, err);
    rc = lmi_vault_end(sessions, found, now, err);
    if (rc == LMI_OK)
        log_end(sessions, found, visit, "account");
    return rc;
}

/* One look; *done_out is false if another request was faster. */
static enum lmi_rc
check_once(struct lmi_sessions *sessions, const struct lmi_visit *visit,
           enum lmi_outcome *outcome_out, struct lmi_session *out,
           bool *done_out, struct lmi_err *err)
{
    struct lmi_found found;
    bool live = false, agrees = true;
    int64_t now = lmi_vault_now(sessions), seen = 0;
    enum lmi_rc rc =
        lmi_vault_find_cookie(sessions, &visit->cookie, &found, err);

    *done_out = true;
    if (rc == LMI_OK)
        rc = lmi_vault_is_live(sessions, &found, now, &live, &seen, err);
    if (rc != LMI_OK || !live)
        return rc;
    *outcome_out = judge(&found.record, visit);
    if (*outcome_out == LMI_WRONG_TOKEN)
        return miss(sessions, &found, visit, now, err);
    if (*outcome_out != LMI_GRANTED)
        return LMI_OK;
    if (found.record.state != LMI_STATE_COOKIE) {
        rc = become_cookie(sessions, &found, now, done_out, err);
        seen = now;
    } else if (now - seen >= TOUCH_SECONDS) {
        rc = touch(sessions, &found, visit, now, &agrees, err);
        seen = now;
    }
    if (rc == LMI_OK && !agrees)
        *outcome_out = LMI_UNKNOWN;
    else if (rc == LMI_OK)
        rc = lmi_vault_describe(sessions, &found.record, seen, out, err);
    return rc;
}

static enum lmi_rc
check(struct lmi_sessions *sessions, const struct lmi_visit *visit,
      enum lmi_outcome *outcome_out, struct lmi_session *out,
      struct lmi_err *err)
{
    enum lmi_outcome outcome = LMI_UNKNOWN;
    bool done = false;
    enum lmi_rc rc = lmi_vault_enter(sessions, err);

    *outcome_out = LMI_UNKNOWN;
    for (int i = 0; rc == LMI_OK && !done && i < ROUNDS; i++) {
        memset(out, 0, sizeof *out);
        outcome = LMI_UNKNOWN;
        rc = check_once(sessions, visit, &outcome, out, &done, err);
    }
    if (rc == LMI_OK && done && outcome == LMI_GRANTED) {
        *outcome_out = LMI_GRANTED;
        return LMI_OK;
    }
    memset(out, 0, sizeof *out);
    if (rc == LMI_OK && done)
        *outcome_out = outcome;
    return lmi_vault_fault(sessions, rc, err);
}

enum lmi_rc
lmi_session_check(struct lmi_sessions *sessions, const struct lmi_visit *visit,
                  enum lmi_outcome *outcome_out, struct lmi_session *out,
                  struct lmi_err *err)
{
    struct lmi_visit strict = *visit;

    strict.any_token = false;
    return check(sessions, &strict, outcome_out, out, err);
}

enum lmi_rc
lmi_session_end(struct lmi_sessions *sessions, const struct lmi_visit *visit,
                enum lmi_outcome *outcome_out, struct lmi_session *out,
                struct lmi_err *err)
{
    struct lmi_store_op op = {.verb = LMI_STORE_DROP_GROUP,
                              .group_len = LMI_GROUP};
    char address[LMI_ADDRESS_TEXT];
    enum lmi_outcome outcome;
    bool done = false;
    enum lmi_rc rc = check(sessions, visit, &outcome, out, err);

    *outcome_out = LMI_UNKNOWN;
    if (rc == LMI_OK && outcome == LMI_GRANTED) {
        rc = lmi_vault_group(sessions, out->user, out->service,
                             out->token + sizeof "/cpsess" - 1, op.group, err);
        if (rc == LMI_OK)
            rc = lmi_store_apply(sessions->store, LMI_DURABLE, &op, 1,
                                 lmi_vault_now(sessions), &done, err);
        lmi_vault_fault(sessions, rc, err);
    }
    if (rc != LMI_OK)
        return rc;
    *outcome_out = outcome;
    if (outcome == LMI_GRANTED) {
        show_address(&visit->address, address);
        lmi_vault_log(sessions, out, address, "PURGE", "logout");
    }
    return LMI_OK;
}

/* The beginning of the groups that the list asks for; false: nobody's. */
static bool
list_prefix(struct lmi_sessions *sessions, const struct lmi_session_list *list,
            uint8_t prefix[LMI_GROUP], size_t *len_out, enum lmi_rc *rc_out,
            struct lmi_err *err)
{
    char user[LMI_USER_MAX + 1];
    size_t len;

    *len_out = 0;
    *rc_out = LMI_OK;
    if (list->user.kind == LMI_TEXT_ABSENT)
        return true;
    len = lmi_text_bytes(&list->user, user, LMI_USER_MAX);
    if (list->user.kind == LMI_TEXT_NOT_A_STRING || len == 0 ||
        len > LMI_USER_MAX || memchr(user, '\0', len) != NULL)
        return false;
    user[len] = '\0';
    *rc_out = lmi_vault_group(sessions, user, list->service, "0000000000",
                              prefix, err);
    *len_out = list->service == 0 ? LMI_GROUP_USER : LMI_GROUP_SERVICE;
    return *rc_out == LMI_OK;
}

_Static_assert(sizeof(struct lmi_store_place) <=
                   sizeof((struct lmi_session_list *)0)->place,
               "a place fits");

/* Where the list goes on; NULL: at its beginning. A caller's bytes may lie. */
static enum lmi_rc
list_place(const struct lmi_session_list *list, struct lmi_store_place *place,
           const struct lmi_store_place **after_out, struct lmi_err *err)
{
    *after_out = NULL;
    if (list->place_len == 0)
        return LMI_OK;
    memcpy(place, list->place, sizeof *place);
    if (list->place_len != sizeof *place || place->group_len > LMI_STORE_GROUP)
        return lmi_fail(err, LMI_STORE, 0, NULL, "this is no place in a list",
                        NULL);
    *after_out = place;
    return LMI_OK;
}

/* A session has one that stands for it, whatever else it has. */
static bool
stands_for_session(const struct lmi_record *record)
{
    if (record->state == LMI_STATE_SPENT)
        return !lmi_record_has_peer(record);
    return record->state != LMI_STATE_CONTENDER;
}

/* The next live one, with its record. */
static enum lmi_rc
next_found(struct lmi_sessions *sessions, struct lmi_session_list *list,
           bool *found_out, struct lmi_found *out, int64_t *seen_out,
           struct lmi_err *err)
{
    uint8_t prefix[LMI_GROUP];
    struct lmi_store_place place, next;
    const struct lmi_store_place *after;
    size_t len;
    bool more = true, live = false;
    enum lmi_rc rc = lmi_vault_enter(sessions, err);

    *found_out = false;
    if (rc != LMI_OK || !list_prefix(sessions, list, prefix, &len, &rc, err))
        return rc;
    while (rc == LMI_OK && !*found_out) {
        rc = list_place(list, &place, &after, err);
        if (rc == LMI_OK)
            rc = lmi_store_next(sessions->store, LMI_DURABLE, prefix, len,
                                after, &more, &next, err);
        if (rc != LMI_OK || !more)
            return rc;
        memcpy(list->place, &next, sizeof next);
        list->place_len = sizeof next;
        rc = lmi_vault_find(sessions, &next.id, out, err);
        if (rc != LMI_OK || !out->good || !stands_for_session(&out->record) ||
            (list->service != 0 && out->record.service != list->service))
            continue;
        rc = lmi_vault_is_live(sessions, out, lmi_vault_now(sessions), &live,
                               seen_out, err);
        *found_out = rc == LMI_OK && live;
    }
    return rc;
}

enum lmi_rc
lmi_session_next(struct lmi_sessions *sessions, struct lmi_session_list *list,
                 bool *found_out, struct lmi_session *out, struct lmi_err *err)
{
    struct lmi_found found;
    int64_t seen = 0;
    enum lmi_rc rc = next_found(sessions, list, found_out, &found, &seen, err);

    memset(out, 0, sizeof *out);
    if (rc == LMI_OK && *found_out)
        rc = lmi_vault_describe(sessions, &found.record, seen, out, err);
    if (rc != LMI_OK)
        *found_out = false;
    return rc;
}

enum lmi_rc
lmi_session_end_id(struct lmi_sessions *sessions, struct lmi_text id,
                   struct lmi_text user, bool *found_out,
                   struct lmi_session *out, struct lmi_err *err)
{
    struct lmi_session_list list = {.user = user};
    struct lmi_bytes wanted = {id.ptr, id.len};
    struct lmi_found found;
    bool more = true;
    int64_t seen;
    enum lmi_rc rc = LMI_OK;

    *found_out = false;
    if (id.kind != LMI_TEXT_LATIN1 && id.kind != LMI_TEXT_UTF8)
        return LMI_OK;
    while (rc == LMI_OK && !*found_out) {
        rc = next_found(sessions, &list, &more, &found, &seen, err);
        if (rc != LMI_OK || !more)
            break;
        rc = lmi_vault_describe(sessions, &found.record, seen, out, err);
        *found_out = rc == LMI_OK && lmi_bytes_equal(wanted, out->id);
    }
    if (rc == LMI_OK && *found_out)
        rc = lmi_vault_end(sessions, &found, lmi_vault_now(sessions), err);
    if (rc == LMI_OK && *found_out)
        log_end(sessions, &found, NULL, "operator");
    if (rc != LMI_OK || !*found_out) {
        memset(out, 0, sizeof *out);
        *found_out = false;
    }
    return rc;
}

enum lmi_rc
lmi_session_discard(struct lmi_sessions *sessions, struct lmi_text ticket,
                    bool *found_out, struct lmi_err *err)
{
    struct lmi_found found;
    enum lmi_rc rc = lmi_vault_enter(sessions, err);

    if (rc == LMI_OK)
        rc = lmi_vault_find_ticket(sessions, &ticket, &found, err);
    *found_out = rc == LMI_OK && found.good;
    if (!*found_out)
        return rc;
    rc = lmi_vault_end(sessions, &found, lmi_vault_now(sessions), err);
    if (rc == LMI_OK)
        log_end(sessions, &found, NULL, "discarded");
    return rc;
}

static int64_t
monotonic_nanoseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

static void
pause_for(int64_t nanoseconds)
{
    const struct timespec pause = {.tv_sec = nanoseconds / SECOND,
                                   .tv_nsec = nanoseconds % SECOND};

    nanosleep(&pause, NULL);
}

enum lmi_rc
lmi_sessions_purge(struct lmi_sessions *sessions, uint64_t *removed_out,
                   struct lmi_err *err)
{
    enum lmi_rc rc = lmi_vault_enter(sessions, err);

    *removed_out = 0;
    for (int part = LMI_DURABLE; part <= LMI_VOLATILE; part++) {
        uint32_t removed = PURGE_BATCH;
        while (rc == LMI_OK && removed == PURGE_BATCH) {
            int64_t start = monotonic_nanoseconds();
            rc = lmi_store_purge(sessions->store, (enum lmi_store_part)part,
                                 lmi_vault_now(sessions), PURGE_BATCH, &removed,
                                 err);
            *removed_out += part == LMI_DURABLE ? removed : 0;
            /*
             * Logins that wait for the store get it between two steps: its
             * lock is not a fair one, and a slow disk is slow for them, too.
             */
            if (rc == LMI_OK && removed == PURGE_BATCH)
                pause_for(PURGE_PAUSE * (monotonic_nanoseconds() - start));
        }
    }
    return rc;
}
