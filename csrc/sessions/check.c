#include "sessions/decide.h"

#include <string.h>

#define MISSES_MAX 3

const char *
lmi_outcome_name(enum lmi_outcome outcome)
{
    static const char *const names[] = {
        [LMI_UNKNOWN] = "unknown",
        [LMI_WRONG_TOKEN] = "wrong_token",
        [LMI_WRONG_SERVICE] = "wrong_service",
        [LMI_SPENT] = "spent",
        [LMI_CONFIRM] = "confirm",
        [LMI_PASSIVE] = "passive",
        [LMI_AGAIN] = "again",
        [LMI_GRANTED] = "granted",
    };

    return names[outcome];
}

/*
 * A session is seen, and a ticket redeemed, only together with a reading of
 * its account. A dual-use cookie's or contender's first use needs one anyway.
 */
static bool
account_read_lately(const struct lmi_check_facts *facts)
{
    int64_t age = facts->life.now - facts->life.seen;

    return facts->cookie.record.state == LMI_STATE_COOKIE &&
           age > -LMI_ACCOUNT_SECONDS && age < LMI_ACCOUNT_SECONDS;
}

/* The only place that accepts a cookie. */
enum lmi_outcome
lmi_check_decide(const struct lmi_check_facts *facts)
{
    const struct lmi_record *record = &facts->cookie.record;

    if (!lmi_entry_lives(&facts->cookie, &facts->life))
        return LMI_UNKNOWN;
    if (record->state != LMI_STATE_COOKIE &&
        record->state != LMI_STATE_DUAL_USE &&
        record->state != LMI_STATE_CONTENDER)
        return LMI_UNKNOWN;
    if (record->service != facts->service)
        return LMI_WRONG_SERVICE;
    if (!facts->right_token || facts->barred)
        return LMI_WRONG_TOKEN;
    if (facts->logout || facts->account == LMI_ACCOUNT_ALLOWED ||
        (facts->account == LMI_ACCOUNT_UNREAD && account_read_lately(facts)))
        return LMI_GRANTED;
    return LMI_UNKNOWN;
}

/* Does the outcome depend on the account, which was not read lately? */
static bool
account_decides(const struct lmi_check_facts *facts)
{
    struct lmi_check_facts asked = *facts;

    if (facts->logout || account_read_lately(facts))
        return false;
    asked.account = LMI_ACCOUNT_ALLOWED;
    return lmi_check_decide(&asked) == LMI_GRANTED;
}

/* The wrong tokens of requests of its own site, or of foreign ones. */
static enum lmi_rc
misses_get(struct lmi *lmi, const struct lmi_entry *entry, bool foreign,
           struct lmi_store_id *id_out, bool *there_out,
           struct lmi_store_value *out, struct lmi_err *err)
{
    *id_out = entry->id;
    id_out->kind = foreign ? LMI_KIND_FOREIGN : LMI_KIND_MISS;
    return lmi_store_get(lmi_store_of(lmi), LMI_VOLATILE, id_out, there_out,
                         out, err);
}

static bool
misses_full(const struct lmi_store_value *misses)
{
    return misses->len >= MISSES_MAX * LMI_TOKEN_DIGITS;
}

static enum lmi_rc
read_barred(struct lmi *lmi, const struct lmi_access *access,
            struct lmi_check_facts *facts, struct lmi_err *err)
{
    struct lmi_store_value misses;
    struct lmi_store_id id;
    bool there;
    enum lmi_rc rc;

    facts->barred = access->foreign;
    if (!access->foreign || !facts->cookie.good)
        return LMI_OK;
    rc = misses_get(lmi, &facts->cookie, true, &id, &there, &misses, err);
    if (rc == LMI_OK)
        facts->barred = misses_full(&misses);
    return rc;
}

static enum lmi_rc
gather(struct lmi *lmi, const struct lmi_access *access, bool logout,
       struct lmi_check_facts *facts, struct lmi_err *err)
{
    enum lmi_rc rc =
        lmi_entry_find_cookie(lmi, access->cookie, &facts->cookie, err);

    if (rc == LMI_OK)
        rc = lmi_entry_life(lmi, &facts->cookie, &facts->life, err);
    facts->service = access->service;
    facts->logout = logout;
    facts->right_token =
        (logout && access->any_token) ||
        (facts->cookie.good &&
         lmi_token_is(access->token, facts->cookie.record.digits));
    facts->account = LMI_ACCOUNT_UNREAD;
    if (rc == LMI_OK)
        rc = read_barred(lmi, access, facts, err);
    if (rc == LMI_OK && facts->cookie.good && account_decides(facts))
        rc =
            lmi_entry_account(lmi, &facts->cookie.record, &facts->account, err);
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
misses_add(struct lmi *lmi, const struct lmi_entry *entry, bool foreign,
           const char digits[LMI_TOKEN_DIGITS], int64_t now, bool *done_out,
           bool *full_out, struct lmi_err *err)
{
    struct lmi_store_id id;
    struct lmi_store_value old, value;
    bool there = false;
    enum lmi_rc rc = misses_get(lmi, entry, foreign, &id, &there, &old, err);

    if (rc != LMI_OK)
        return rc;
    *full_out = misses_full(&old);
    *done_out = *full_out || misses_have(&old, digits);
    if (*done_out)
        return LMI_OK;
    value = old;
    memcpy(value.bytes + value.len, digits, LMI_TOKEN_DIGITS);
    value.len += LMI_TOKEN_DIGITS;
    *full_out = misses_full(&value);
    const struct lmi_store_op op = {.verb =
                                        there ? LMI_STORE_SWAP : LMI_STORE_ADD,
                                    .id = id,
                                    .expires = entry->record.ends,
                                    .value = &value,
                                    .old = &old};
    return lmi_store_apply(lmi_store_of(lmi), LMI_VOLATILE, &op, 1, now,
                           done_out, err);
}

static enum lmi_rc
end_session(struct lmi *lmi, const struct lmi_check_facts *facts,
            const struct lmi_access *access, const char *why,
            struct lmi_err *err)
{
    char address[LMI_ADDRESS_TEXT];

    lmi_show_address(access->address, address);
    return lmi_entry_end(lmi, &facts->cookie, facts->life.now, address, why,
                         err);
}

/*
 * Counts a well-formed wrong token; the third one ends the session, but not
 * if other sites have sent them.
 */
static enum lmi_rc
miss(struct lmi *lmi, const struct lmi_check_facts *facts,
     const struct lmi_access *access, struct lmi_err *err)
{
    char digits[LMI_TOKEN_DIGITS];
    bool done = false, full = false;
    enum lmi_rc rc = LMI_OK;

    if (access->uncounted || !lmi_token_parse(access->token, digits))
        return LMI_OK;
    for (int i = 0; rc == LMI_OK && !done; i++)
        rc = i < LMI_ROUNDS
                 ? misses_add(lmi, &facts->cookie, access->foreign, digits,
                              facts->life.now, &done, &full, err)
                 : lmi_too_busy(err);
    if (rc != LMI_OK || !full || access->foreign)
        return rc;
    return end_session(lmi, facts, access, "token", err);
}

/*
 * A dual-use cookie or contender that is sent as a cookie is one from now on.
 * A contender takes its ticket in the same step, from which the others live.
 */
static enum lmi_rc
become_cookie(struct lmi *lmi, struct lmi_entry *entry, int64_t now,
              struct lmi_text address, bool *done_out, struct lmi_err *err)
{
    struct lmi_address source;
    struct lmi_entry ticket = {.good = false};
    struct lmi_store_value values[2];
    struct lmi_store_op ops[2];
    enum lmi_rc rc = LMI_OK;

    *done_out = false;
    if (entry->record.state == LMI_STATE_CONTENDER) {
        rc = lmi_entry_find_contended(lmi, &entry->record, &ticket, err);
        if (rc != LMI_OK || !ticket.good)
            return rc;
        memcpy(ticket.record.peer, entry->id.key, LMI_STORE_KEY);
        rc = lmi_entry_write(lmi, LMI_STORE_SWAP, &ticket.id, &ticket.record,
                             now, &ticket.value, &values[1], &ops[1], err);
    }
    lmi_address_read(address, &source);
    lmi_record_redeem(&entry->record, now, &source);
    entry->record.state = LMI_STATE_COOKIE;
    entry->record.changed = now;
    if (rc == LMI_OK)
        rc = lmi_entry_write(lmi, LMI_STORE_SWAP, &entry->id, &entry->record,
                             now, &entry->value, &values[0], &ops[0], err);
    if (rc == LMI_OK)
        rc = lmi_store_apply(lmi_store_of(lmi), LMI_DURABLE, ops,
                             ticket.good ? 2 : 1, now, done_out, err);
    return rc;
}

/* Notes a granted check for which the account was read. */
static enum lmi_rc
note(struct lmi *lmi, struct lmi_check_facts *facts, struct lmi_text address,
     bool *done_out, struct lmi_err *err)
{
    int64_t now = facts->life.now;

    if (facts->account != LMI_ACCOUNT_ALLOWED)
        return LMI_OK;
    facts->life.seen = now;
    if (facts->cookie.record.state != LMI_STATE_COOKIE)
        return become_cookie(lmi, &facts->cookie, now, address, done_out, err);
    return lmi_entry_touch(lmi, &facts->cookie, now, err);
}

/* One try; *done_out is false if another request was faster. */
static enum lmi_rc
check_once(struct lmi *lmi, const struct lmi_access *access, bool logout,
           enum lmi_outcome *outcome_out, struct lmi_session *out,
           bool *done_out, struct lmi_err *err)
{
    struct lmi_check_facts facts;
    enum lmi_rc rc = gather(lmi, access, logout, &facts, err);

    *done_out = true;
    if (rc != LMI_OK)
        return rc;
    *outcome_out = lmi_check_decide(&facts);
    if (*outcome_out == LMI_WRONG_TOKEN)
        return miss(lmi, &facts, access, err);
    if (facts.account == LMI_ACCOUNT_REFUSED)
        return end_session(lmi, &facts, access, "account", err);
    if (*outcome_out != LMI_GRANTED)
        return LMI_OK;
    rc = note(lmi, &facts, access->address, done_out, err);
    if (rc == LMI_OK)
        rc = lmi_entry_describe(lmi, &facts.cookie.record, facts.life.seen, out,
                                err);
    return rc;
}

static enum lmi_rc
check(struct lmi *lmi, const struct lmi_access *access, bool logout,
      enum lmi_outcome *outcome_out, struct lmi_session *out,
      struct lmi_err *err)
{
    enum lmi_outcome outcome = LMI_UNKNOWN;
    bool done = false;
    enum lmi_rc rc = lmi_enter(lmi, err);

    *outcome_out = LMI_UNKNOWN;
    for (int i = 0; rc == LMI_OK && !done; i++) {
        memset(out, 0, sizeof *out);
        rc = i < LMI_ROUNDS
                 ? check_once(lmi, access, logout, &outcome, out, &done, err)
                 : lmi_too_busy(err);
    }
    if (rc == LMI_OK)
        *outcome_out = outcome;
    if (rc != LMI_OK || outcome != LMI_GRANTED)
        memset(out, 0, sizeof *out);
    return lmi_fault(lmi, rc, err);
}

enum lmi_rc
lmi_session_check(struct lmi *lmi, const struct lmi_access *access,
                  enum lmi_outcome *outcome_out, struct lmi_session *out,
                  struct lmi_err *err)
{
    struct lmi_counters *counters = lmi_counters_of(lmi);
    uint64_t start = lmi_clock();
    enum lmi_rc rc = check(lmi, access, false, outcome_out, out, err);

    lmi_count_duration(counters, LMI_CHECK_TIME, lmi_clock() - start);
    lmi_count(counters, rc == LMI_OK ? LMI_NUMBER(checks) + *outcome_out
                                     : LMI_NUMBER(check_faults));
    return rc;
}

enum lmi_rc
lmi_session_end(struct lmi *lmi, const struct lmi_access *access,
                enum lmi_outcome *outcome_out, struct lmi_session *out,
                struct lmi_err *err)
{
    struct lmi_store_op op = {.verb = LMI_STORE_DROP_GROUP,
                              .group_len = LMI_GROUP};
    char address[LMI_ADDRESS_TEXT];
    enum lmi_outcome outcome;
    bool done = false;
    enum lmi_rc rc = check(lmi, access, true, &outcome, out, err);

    *outcome_out = LMI_UNKNOWN;
    if (rc == LMI_OK && outcome == LMI_GRANTED) {
        rc = lmi_entry_group(lmi, out->user, out->service,
                             out->token + sizeof "/cpsess" - 1, op.group, err);
        if (rc == LMI_OK)
            rc = lmi_store_apply(lmi_store_of(lmi), LMI_DURABLE, &op, 1,
                                 lmi_now(lmi), &done, err);
        lmi_fault(lmi, rc, err);
    }
    if (rc != LMI_OK)
        return rc;
    *outcome_out = outcome;
    if (outcome == LMI_GRANTED) {
        lmi_show_address(access->address, address);
        lmi_entry_log(lmi, out, address, "PURGE", "logout");
    }
    return LMI_OK;
}
