#include "sessions/decide.h"

#include <string.h>

#include "sessions/deferred.h"

#define AGE 500 /* milliseconds, of an answer of the store */

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

static void
misses_read(const struct lmi_store_value *value, struct lmi_misses *out)
{
    *out = (struct lmi_misses){.count = 0};
    for (size_t i = 0; i + LMI_TOKEN_DIGITS <= value->len;
         i += LMI_TOKEN_DIGITS)
        lmi_misses_add(out, (const char *)value->bytes + i);
}

/* The stored wrong tokens of requests of its own site, or of foreign ones. */
static enum lmi_rc
misses_get(struct lmi *lmi, const struct lmi_entry *entry, bool foreign,
           struct lmi_store_id *id_out, bool *there_out,
           struct lmi_store_value *value_out, struct lmi_misses *out,
           struct lmi_err *err)
{
    *id_out = entry->id;
    id_out->kind = foreign ? LMI_KIND_FOREIGN : LMI_KIND_MISS;
    enum lmi_rc rc = lmi_store_get(lmi_store_of(lmi), LMI_VOLATILE, id_out,
                                   there_out, value_out, err);
    misses_read(value_out, out);
    return rc;
}

/* What of the session is noted, but not written yet. */
static void
due_get(struct lmi *lmi, const struct lmi_entry *entry, struct lmi_due *out)
{
    struct lmi_deferred *deferred = lmi_deferred_of(lmi);

    *out = (struct lmi_due){.seen = 0};
    if (deferred != NULL && entry->good)
        lmi_deferred_get(deferred, &entry->id, out);
}

static uint64_t
removals_now(const struct lmi *lmi)
{
    const struct lmi_deferred *deferred = lmi_deferred_of(lmi);

    return deferred != NULL ? lmi_deferred_removals(deferred) : 0;
}

/* May foreign requests try no more tokens of this session? */
static bool
is_barred(const struct lmi_store_value *foreign, const struct lmi_due *due)
{
    struct lmi_misses misses;

    misses_read(foreign, &misses);
    for (size_t i = 0; i < due->foreign.count; i++)
        lmi_misses_add(&misses, due->foreign.digits[i]);
    return lmi_misses_full(&misses);
}

/*
 * How old, in milliseconds, what the store answers may be. A session that ended
 * on another machine is accepted there for so long; but tokens that foreign
 * requests try are always counted.
 */
static unsigned
age_allowed(const struct lmi_access *access, bool logout, int round)
{
    return logout || access->foreign || round > 0 ? 0 : AGE;
}

static enum lmi_rc
gather(struct lmi *lmi, const struct lmi_access *access, bool logout, int round,
       struct lmi_check_facts *facts, struct lmi_err *err)
{
    struct lmi_store_want foreign = {.part = LMI_VOLATILE,
                                     .id.kind = LMI_KIND_FOREIGN};
    struct lmi_due due;
    enum lmi_rc rc = lmi_entry_find_cookie(
        lmi, access->cookie, access->foreign ? &foreign : NULL,
        age_allowed(access, logout, round), &facts->cookie, err);

    if (rc == LMI_OK)
        rc = lmi_entry_life(lmi, &facts->cookie, &facts->life, err);
    due_get(lmi, &facts->cookie, &due);
    if (due.seen > facts->life.seen)
        facts->life.seen = due.seen;
    if (due.end != NULL)
        facts->cookie.good = false;
    facts->service = access->service;
    facts->logout = logout;
    facts->right_token =
        (logout && access->any_token) ||
        (facts->cookie.good &&
         lmi_token_is(access->token, facts->cookie.record.digits));
    facts->account = LMI_ACCOUNT_UNREAD;
    facts->barred = access->foreign &&
                    (!facts->cookie.good || is_barred(&foreign.value, &due));
    if (rc == LMI_OK && facts->cookie.good && account_decides(facts))
        rc =
            lmi_entry_account(lmi, &facts->cookie.record, &facts->account, err);
    return rc;
}

/* One more wrong token of a session. */
struct miss {
    const struct lmi_entry *entry;
    bool foreign;
    char digits[LMI_TOKEN_DIGITS];
    char address[LMI_ADDRESS_TEXT];
    int64_t now;
    uint64_t removals;        /* before `stored` was read */
    struct lmi_misses stored; /* those that are not written yet are elsewhere */
    bool done, full, late;    /* late: there were three before */
};

/* Adds the token, unless it is there. */
static enum lmi_rc
miss_write(struct lmi *lmi, struct miss *miss, struct lmi_err *err)
{
    struct lmi_store_id id;
    struct lmi_store_value old, value;
    bool there = false;
    enum lmi_rc rc = misses_get(lmi, miss->entry, miss->foreign, &id, &there,
                                &old, &miss->stored, err);

    if (rc != LMI_OK)
        return rc;
    miss->late = lmi_misses_full(&miss->stored);
    miss->done = !lmi_misses_add(&miss->stored, miss->digits);
    miss->full = lmi_misses_full(&miss->stored);
    if (miss->done)
        return LMI_OK;
    value = old;
    memcpy(value.bytes + value.len, miss->digits, LMI_TOKEN_DIGITS);
    value.len += LMI_TOKEN_DIGITS;
    const struct lmi_store_op op = {.verb =
                                        there ? LMI_STORE_SWAP : LMI_STORE_ADD,
                                    .id = id,
                                    .expires = miss->entry->record.ends,
                                    .value = &value,
                                    .old = &old};
    return lmi_store_apply(lmi_store_of(lmi), LMI_VOLATILE, &op, 1, miss->now,
                           &miss->done, err);
}

/* The same, and the end of the session, noted for later. */
static bool
miss_due(void *context, uint64_t removals, struct lmi_due *due)
{
    struct miss *miss = context;
    struct lmi_misses *noted = miss->foreign ? &due->foreign : &due->own;
    struct lmi_misses all = miss->stored;

    miss->done = removals == miss->removals;
    if (!miss->done)
        return false;
    for (size_t i = 0; i < noted->count; i++)
        lmi_misses_add(&all, noted->digits[i]);
    miss->late = lmi_misses_full(&all) || due->end != NULL;
    if (miss->late || !lmi_misses_add(&all, miss->digits))
        return false;
    lmi_misses_add(noted, miss->digits);
    if (lmi_misses_full(&all) && !miss->foreign) {
        due->end = "token";
        memcpy(due->address, miss->address, sizeof due->address);
    }
    return true;
}

static enum lmi_rc
miss_defer(struct lmi *lmi, struct miss *miss, struct lmi_err *err)
{
    struct lmi_store_id id;
    struct lmi_store_value value;
    bool there;
    enum lmi_rc rc = misses_get(lmi, miss->entry, miss->foreign, &id, &there,
                                &value, &miss->stored, err);

    return rc != LMI_OK ? rc
                        : lmi_deferred_change(lmi_deferred_of(lmi), miss->entry,
                                              miss_due, miss, err);
}

/* Until no other request has changed them meanwhile. */
static enum lmi_rc
miss_add(struct lmi *lmi, struct miss *miss, struct lmi_err *err)
{
    enum lmi_rc rc = LMI_OK;

    miss->done = false;
    for (int i = 0; rc == LMI_OK && !miss->done; i++)
        rc = i < LMI_ROUNDS ? miss_write(lmi, miss, err) : lmi_too_busy(err);
    return rc;
}

/* What is noted of a session that was seen, or has ended. */
struct news {
    int64_t seen;
    const char *end;
    char address[LMI_ADDRESS_TEXT];
};

static bool
news_due(void *context, uint64_t removals, struct lmi_due *due)
{
    const struct news *news = context;

    (void)removals;
    if (news->seen > due->seen)
        due->seen = news->seen;
    if (news->end != NULL && due->end == NULL) {
        due->end = news->end;
        memcpy(due->address, news->address, sizeof due->address);
    }
    return true;
}

static enum lmi_rc
end_session(struct lmi *lmi, const struct lmi_check_facts *facts,
            const struct lmi_access *access, const char *why,
            struct lmi_err *err)
{
    struct lmi_deferred *deferred = lmi_deferred_of(lmi);
    struct news news = {.end = why};

    lmi_show_address(access->address, news.address);
    return deferred != NULL
               ? lmi_deferred_change(deferred, &facts->cookie, news_due, &news,
                                     err)
               : lmi_entry_end(lmi, &facts->cookie, facts->life.now,
                               news.address, why, err);
}

/* The session of this cookie was seen, its account having been read. */
static enum lmi_rc
touch(struct lmi *lmi, const struct lmi_entry *entry, int64_t now,
      struct lmi_err *err)
{
    struct lmi_deferred *deferred = lmi_deferred_of(lmi);
    struct news news = {.seen = now};

    return deferred != NULL
               ? lmi_deferred_change(deferred, entry, news_due, &news, err)
               : lmi_entry_touch(lmi, entry, now, err);
}

/*
 * Counts a well-formed wrong token; the third one ends the session, but not
 * if other sites have sent them. Whatever comes after it is not told that its
 * token is wrong. removals: before the facts were gathered; *done_out is false
 * if they are not those of now.
 */
static enum lmi_rc
miss(struct lmi *lmi, const struct lmi_check_facts *facts,
     const struct lmi_access *access, uint64_t removals,
     enum lmi_outcome *outcome, bool *done_out, struct lmi_err *err)
{
    bool defer = lmi_deferred_of(lmi) != NULL;
    struct miss miss = {.entry = &facts->cookie,
                        .foreign = access->foreign,
                        .removals = removals,
                        .now = facts->life.now};

    if (access->uncounted || !lmi_token_parse(access->token, miss.digits))
        return LMI_OK;
    lmi_show_address(access->address, miss.address);
    enum lmi_rc rc =
        defer ? miss_defer(lmi, &miss, err) : miss_add(lmi, &miss, err);
    *done_out = rc != LMI_OK || miss.done;
    if (rc != LMI_OK || access->foreign)
        return rc;
    if (miss.late)
        *outcome = LMI_UNKNOWN;
    return !defer && miss.full ? end_session(lmi, facts, access, "token", err)
                               : LMI_OK;
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
    return touch(lmi, &facts->cookie, now, err);
}

/* One try; *done_out is false if another request was faster. */
static enum lmi_rc
check_once(struct lmi *lmi, const struct lmi_access *access, bool logout,
           int round, enum lmi_outcome *outcome_out, struct lmi_session *out,
           bool *done_out, struct lmi_err *err)
{
    struct lmi_check_facts facts;
    uint64_t removals = removals_now(lmi);
    enum lmi_rc rc = gather(lmi, access, logout, round, &facts, err);

    *done_out = rc != LMI_OK || removals_now(lmi) == removals;
    if (rc != LMI_OK || !*done_out)
        return rc;
    *outcome_out = lmi_check_decide(&facts);
    if (*outcome_out == LMI_WRONG_TOKEN)
        return miss(lmi, &facts, access, removals, outcome_out, done_out, err);
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
                 ? check_once(lmi, access, logout, i, &outcome, out, &done, err)
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

/* One session's notes, as if they were of now. */
static enum lmi_rc
due_write(struct lmi *lmi, const struct lmi_due *due, struct lmi_err *err)
{
    const struct lmi_misses *noted[] = {&due->own, &due->foreign};
    int64_t now = lmi_now(lmi);
    enum lmi_rc rc = LMI_OK;

    if (due->end != NULL)
        return lmi_entry_end(lmi, &due->entry, now, due->address, due->end,
                             err);
    for (size_t i = 0; i < 2; i++)
        for (size_t j = 0; rc == LMI_OK && j < noted[i]->count; j++) {
            struct miss miss = {
                .entry = &due->entry, .foreign = i == 1, .now = now};
            memcpy(miss.digits, noted[i]->digits[j], LMI_TOKEN_DIGITS);
            rc = miss_add(lmi, &miss, err);
        }
    if (rc == LMI_OK && due->seen > 0)
        rc = lmi_entry_touch(lmi, &due->entry, due->seen, err);
    return rc;
}

enum lmi_rc
lmi_session_write(struct lmi *lmi, unsigned milliseconds, bool *written_out,
                  struct lmi_err *err)
{
    struct lmi_deferred *deferred = lmi_deferred_of(lmi);
    struct lmi_due due;

    *written_out = false;
    if (deferred == NULL || !lmi_deferred_take(deferred, milliseconds, &due))
        return LMI_OK;
    enum lmi_rc rc = lmi_enter(lmi, err);
    if (rc == LMI_OK)
        rc = due_write(lmi, &due, err);
    *written_out = rc == LMI_OK;
    if (rc == LMI_OK)
        lmi_deferred_written(deferred);
    else
        lmi_deferred_failed(deferred);
    return lmi_fault(lmi, rc, err);
}
