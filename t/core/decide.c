/*
 * The three functions that say yes, fed with every combination of facts. What
 * is expected is written here a second time, as a list of all that must hold.
 */
#include "login/login.h"
#include "scratch.h"
#include "sessions/decide.h"

#define NOW 1700000000
#define IDLE 900
#define MAX 86400

/* Combinations: pick() takes one of n, and next() goes on to the next. */
static unsigned digits[24], radix[24], used;
static unsigned long count;

static unsigned
pick(unsigned n)
{
    radix[used] = n;
    return digits[used++];
}

static bool
next(void)
{
    unsigned i = 0;

    count++;
    while (i < used && ++digits[i] == radix[i])
        digits[i++] = 0;
    bool more = i < used;
    used = 0;
    return more;
}

/* One entry, with its life; returns whether it must count as alive. */
static bool
make_entry(struct lmi_entry *entry, struct lmi_life *life)
{
    static const int64_t seen[] = {
        NOW, NOW - 59, NOW - 60, NOW - IDLE + 1, NOW - IDLE, NOW + 60};
    bool has_peer, idle;

    memset(entry, 0, sizeof *entry);
    *life = (struct lmi_life){.now = NOW, .idle = IDLE, .max = MAX};
    entry->good = pick(2);
    entry->named = pick(2);
    entry->record.state = (enum lmi_record_state)(LMI_STATE_FRESH + pick(5));
    entry->record.service = LMI_CPANEL;
    entry->record.created = pick(2) ? NOW - 100 : NOW + 301;
    entry->record.ends = NOW + (int64_t)pick(2);
    life->max = pick(2) ? MAX : 100;
    life->seen = seen[pick(6)];
    life->contended = pick(2);
    has_peer = pick(2);
    entry->record.peer[0] = has_peer;
    snprintf(entry->record.user, sizeof entry->record.user, "alice");
    idle = NOW >= life->seen + IDLE;
    if (entry->record.state == LMI_STATE_SPENT && has_peer)
        idle = false; /* a spent ticket is as old as its session */
    return entry->good && entry->named && entry->record.created <= NOW + 300 &&
           entry->record.ends > NOW &&
           entry->record.created + life->max > NOW && !idle &&
           (entry->record.state != LMI_STATE_CONTENDER || life->contended);
}

static enum lmi_outcome
expect_check(const struct lmi_check_facts *facts, bool alive)
{
    enum lmi_record_state state = facts->cookie.record.state;
    bool lately = state == LMI_STATE_COOKIE && facts->life.seen > NOW - 60 &&
                  facts->life.seen < NOW + 60;

    if (!alive || state == LMI_STATE_FRESH || state == LMI_STATE_SPENT)
        return LMI_UNKNOWN;
    if (facts->service != LMI_CPANEL)
        return LMI_WRONG_SERVICE;
    if (!facts->right_token || facts->barred)
        return LMI_WRONG_TOKEN;
    if (facts->logout)
        return LMI_GRANTED;
    switch (facts->account) {
    case LMI_ACCOUNT_ALLOWED:
        return LMI_GRANTED;
    case LMI_ACCOUNT_UNREAD:
        return lately ? LMI_GRANTED : LMI_UNKNOWN;
    case LMI_ACCOUNT_REFUSED:
        break;
    }
    return LMI_UNKNOWN;
}

static void
test_check(void)
{
    unsigned long bad = 0, granted = 0;

    count = 0;
    do {
        struct lmi_check_facts facts;
        bool alive = make_entry(&facts.cookie, &facts.life);
        facts.service = pick(2) ? LMI_CPANEL : LMI_WHM;
        facts.right_token = pick(2);
        facts.barred = pick(2);
        facts.logout = pick(2);
        facts.account = (enum lmi_account_fact)pick(3);
        enum lmi_outcome outcome = lmi_check_decide(&facts);
        bad += outcome != expect_check(&facts, alive);
        granted += outcome == LMI_GRANTED;
    } while (next());
    ok(bad == 0, "a cookie: %lu combinations of facts", count);
    ok(granted > 0 && granted < count / 50, "control: %lu of them are granted",
       granted);
}

/* The cookie that comes with a ticket. */
enum other {
    NONE,
    DEAD,
    OTHER_SERVICE,
    OWN,
    SAME_USER,
    OTHER_USER,
    UNUSED_SAME_USER, /* dual-use cookies */
    UNUSED_OTHER_USER,
    ITSELF, /* the ticket's own entry, sent as a cookie, too */
    OTHERS
};

static bool
of_other_user(enum other other)
{
    return other == OTHER_USER || other == UNUSED_OTHER_USER;
}

static void
make_cookie(struct lmi_redeem_facts *facts, enum other other)
{
    struct lmi_record *record = &facts->cookie.record;

    memset(&facts->cookie, 0, sizeof facts->cookie);
    facts->cookie_life =
        (struct lmi_life){.now = NOW, .idle = IDLE, .max = MAX, .seen = NOW};
    if (other == NONE)
        return;
    facts->cookie.good = facts->cookie.named = true;
    record->state =
        other >= UNUSED_SAME_USER ? LMI_STATE_DUAL_USE : LMI_STATE_COOKIE;
    if (other == ITSELF)
        facts->cookie.id = facts->ticket.id;
    record->service = other == OTHER_SERVICE ? LMI_WEBMAIL : LMI_CPANEL;
    record->created = NOW - 100;
    record->ends = NOW + (other != DEAD);
    record->peer[1] = other != OWN;
    memcpy(record->peer + 2, "key", 3);
    snprintf(record->user, sizeof record->user, "%s",
             of_other_user(other) ? "bob" : "alice");
}

static enum lmi_outcome
expect_redeem(const struct lmi_redeem_facts *facts, bool alive,
              enum other other)
{
    enum lmi_record_state state = facts->ticket.record.state;
    int64_t spent = facts->ticket.record.changed;
    bool has_cookie = other >= OWN && other != ITSELF;

    if (!alive || state == LMI_STATE_COOKIE || state == LMI_STATE_CONTENDER)
        return LMI_UNKNOWN;
    if (facts->service != LMI_CPANEL)
        return LMI_WRONG_SERVICE;
    if (!facts->right_token)
        return LMI_WRONG_TOKEN;
    if (state == LMI_STATE_SPENT && other == OWN)
        return LMI_AGAIN;
    if (state == LMI_STATE_SPENT &&
        (has_cookie || !facts->same_origin || spent > NOW || spent < NOW - 10 ||
         facts->contenders >= 32))
        return LMI_SPENT;
    if (state != LMI_STATE_SPENT && of_other_user(other) && !facts->confirmed)
        return LMI_CONFIRM;
    if (facts->passive)
        return LMI_PASSIVE;
    return facts->account == LMI_ACCOUNT_ALLOWED ? LMI_GRANTED : LMI_UNKNOWN;
}

static void
test_redeem(void)
{
    static const int64_t changed[] = {NOW + 1, NOW, NOW - 10, NOW - 11};
    unsigned long bad = 0, granted = 0;

    count = 0;
    do {
        struct lmi_redeem_facts facts;
        bool alive = make_entry(&facts.ticket, &facts.ticket_life);
        enum other other = (enum other)pick(OTHERS);
        memcpy(facts.ticket.id.key + 2, "key", 3);
        make_cookie(&facts, other);
        facts.ticket.record.changed = changed[pick(4)];
        facts.service = pick(2) ? LMI_CPANEL : LMI_WHM;
        facts.right_token = pick(2);
        facts.same_origin = pick(2);
        facts.contenders = pick(2) ? 32 : 31;
        facts.confirmed = pick(2);
        facts.passive = pick(2);
        facts.account = (enum lmi_account_fact)pick(3);
        enum lmi_outcome outcome = lmi_redeem_decide(&facts);
        bad += outcome != expect_redeem(&facts, alive, other);
        granted += outcome == LMI_GRANTED;
    } while (next());
    ok(bad == 0, "a ticket: %lu combinations of facts", count);
    ok(granted > 0 && granted < count / 50, "control: %lu of them are granted",
       granted);
}

static void
test_login(void)
{
    unsigned bad = 0, allowed = 0;

    for (int wait = 0; wait <= 1; wait++)
        for (int account = 0; account <= LMI_ALLOWED; account++)
            for (int match = 0; match <= 1; match++) {
                const struct lmi_login_facts facts = {
                    .wait = (uint32_t)wait,
                    .account = (enum lmi_verdict)account,
                    .match = match};
                enum lmi_verdict verdict = lmi_login_decide(&facts);
                enum lmi_verdict expected =
                    match ? LMI_ALLOWED : LMI_REFUSED_PASSWORD;
                if (account != LMI_ALLOWED)
                    expected = (enum lmi_verdict)account;
                bad += verdict != (wait > 0 ? LMI_REFUSED_WAIT : expected);
                allowed += verdict == LMI_ALLOWED;
            }
    ok(bad == 0 && allowed == 1,
       "a password: one of all combinations is allowed");
    ok(lmi_login_decide(&(struct lmi_login_facts){.account = 0}) ==
           LMI_REFUSED_UNKNOWN,
       "facts of zeros are a refusal");
}

int
main(void)
{
    test_login();
    test_check();
    test_redeem();
    return done();
}
