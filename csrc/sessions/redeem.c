#include "sessions/decide.h"

#include <string.h>
#include <strings.h>

#define GRACE_SECONDS 10 /* for a double click, or an answer that was lost */

/* One redemption. */
struct redemption {
    struct lmi_redeem_facts facts;
    uint8_t origin[LMI_SHORT_MAC];
    struct lmi_address source; /* zeros: not known */
    char address[LMI_ADDRESS_TEXT];
};

/* A protocol's word, or what begins with it, in either case. */
static bool
is_word(struct lmi_text text, const char *word, bool whole)
{
    size_t len = strlen(word);

    return lmi_text_given(text) && text.len >= len &&
           strncasecmp(text.ptr, word, len) == 0 && (!whole || text.len == len);
}

/* Is it neither absent nor exactly this word? */
static bool
is_not(struct lmi_text text, const char *word)
{
    return text.kind != LMI_TEXT_ABSENT &&
           (!lmi_text_given(text) || text.len != strlen(word) ||
            memcmp(text.ptr, word, text.len) != 0);
}

/* No user has followed the link: other methods, prefetches, subresources. */
static bool
is_passive(const struct lmi_access *access)
{
    return (is_not(access->method, "GET") && is_not(access->method, "POST")) ||
           is_not(access->destination, "document") ||
           is_word(access->purpose, "prefetch", false) ||
           is_word(access->purpose, "prerender", false) ||
           is_word(access->purpose, "preview", true);
}

/*
 * A live cookie of the service that the request is for. Clients with a cookie
 * jar send a dual-use cookie twice, as ticket and as cookie: that is one.
 */
static bool
has_cookie(const struct lmi_redeem_facts *facts)
{
    const struct lmi_store_id *id = &facts->cookie.id,
                              *ticket = &facts->ticket.id;
    const struct lmi_record *cookie = &facts->cookie.record;

    return lmi_entry_lives(&facts->cookie, &facts->cookie_life) &&
           (cookie->state == LMI_STATE_COOKIE ||
            cookie->state == LMI_STATE_CONTENDER ||
            cookie->state == LMI_STATE_DUAL_USE) &&
           cookie->service == facts->service &&
           (id->kind != ticket->kind ||
            memcmp(id->key, ticket->key, LMI_STORE_KEY) != 0);
}

/* Is this the same browser, a moment after it has spent the ticket? */
static bool
in_grace(const struct lmi_redeem_facts *facts)
{
    int64_t spent = facts->ticket.record.changed;

    return facts->same_origin && facts->ticket_life.now >= spent &&
           facts->ticket_life.now <= spent + GRACE_SECONDS;
}

/* The only place that accepts a ticket. */
enum lmi_outcome
lmi_redeem_decide(const struct lmi_redeem_facts *facts)
{
    const struct lmi_record *ticket = &facts->ticket.record;
    const struct lmi_record *cookie = &facts->cookie.record;

    if (!lmi_entry_lives(&facts->ticket, &facts->ticket_life))
        return LMI_UNKNOWN;
    if (ticket->state != LMI_STATE_FRESH &&
        ticket->state != LMI_STATE_DUAL_USE && ticket->state != LMI_STATE_SPENT)
        return LMI_UNKNOWN;
    if (ticket->service != facts->service)
        return LMI_WRONG_SERVICE;
    if (!facts->right_token)
        return LMI_WRONG_TOKEN;
    if (ticket->state == LMI_STATE_SPENT) {
        if (has_cookie(facts) &&
            memcmp(cookie->peer, facts->ticket.id.key, LMI_STORE_KEY) == 0)
            return LMI_AGAIN;
        if (has_cookie(facts) || !in_grace(facts) ||
            facts->contenders >= LMI_CONTENDERS_MAX)
            return LMI_SPENT;
    } else if (has_cookie(facts) && strcmp(cookie->user, ticket->user) != 0 &&
               !facts->confirmed) {
        return LMI_CONFIRM;
    }
    if (facts->passive)
        return LMI_PASSIVE;
    return facts->account == LMI_ACCOUNT_ALLOWED ? LMI_GRANTED : LMI_UNKNOWN;
}

/* Does the outcome depend on the account? */
static bool
account_decides(const struct lmi_redeem_facts *facts)
{
    struct lmi_redeem_facts asked = *facts;

    asked.account = LMI_ACCOUNT_ALLOWED;
    return lmi_redeem_decide(&asked) == LMI_GRANTED;
}

/*
 * Address and User-Agent as one MAC: the agent itself is not kept. Without
 * both, or with an agent that is too long, the origin is not known.
 */
static enum lmi_rc
read_origin(struct lmi *lmi, const struct lmi_access *access,
            struct redemption *out, struct lmi_err *err)
{
    char bytes[1024];
    struct lmi_address *source = &out->source;
    uint8_t mac[LMI_HASH];
    size_t used = sizeof source->bytes, room = sizeof bytes - used, len;
    struct lmi_redeem_facts *facts = &out->facts;
    enum lmi_rc rc;

    lmi_show_address(access->address, out->address);
    if (!lmi_address_read(access->address, source) ||
        access->agent.kind == LMI_TEXT_ABSENT)
        return LMI_OK;
    memcpy(bytes, source->bytes, used);
    len = lmi_text_bytes(access->agent, bytes + used, room);
    if (len > room)
        return LMI_OK;
    rc = lmi_keys_mac(lmi_keys_of(lmi), LMI_MAC_ORIGIN, bytes, used + len, mac,
                      err);
    memcpy(out->origin, mac, LMI_SHORT_MAC);
    if (rc == LMI_OK && facts->ticket.good)
        rc = lmi_keys_verify(lmi_keys_of(lmi), LMI_MAC_ORIGIN, bytes,
                             used + len, facts->ticket.record.origin,
                             LMI_SHORT_MAC, &facts->same_origin, NULL, err);
    return rc;
}

/* The cookies of a spent ticket. One that is made meanwhile is not counted: a
 * race may leave some too many. */
static enum lmi_rc
count_contenders(struct lmi *lmi, const struct lmi_entry *ticket, size_t *out,
                 struct lmi_err *err)
{
    const struct lmi_record *record = &ticket->record;
    struct lmi_store_entry page[LMI_PAGE], *after = NULL;
    struct lmi_entry entry;
    uint8_t group[LMI_GROUP];
    size_t count = 1;
    enum lmi_rc rc = lmi_entry_group(lmi, record->user, record->service,
                                     record->digits, group, err);

    while (rc == LMI_OK && count > 0) {
        rc = lmi_store_next(lmi_store_of(lmi), LMI_DURABLE, group, LMI_GROUP,
                            after, page, LMI_PAGE, &count, err);
        for (size_t i = 0; rc == LMI_OK && i < count; i++) {
            after = &page[i];
            if (after->id.kind != LMI_KIND_COOKIE)
                continue;
            rc = lmi_entry_read(lmi, after, &entry, err);
            *out +=
                rc == LMI_OK && entry.good &&
                memcmp(entry.record.peer, ticket->id.key, LMI_STORE_KEY) == 0;
        }
    }
    return rc;
}

static enum lmi_rc
gather(struct lmi *lmi, const struct lmi_access *access, struct redemption *out,
       struct lmi_err *err)
{
    struct lmi_redeem_facts *facts = &out->facts;
    struct lmi_record *ticket = &facts->ticket.record;
    enum lmi_rc rc;

    memset(out, 0, sizeof *out);
    facts->service = access->service;
    facts->confirmed = access->confirmed;
    facts->passive = is_passive(access);
    rc = lmi_entry_find_ticket(lmi, access->ticket, &facts->ticket, err);
    if (rc == LMI_OK)
        rc = read_origin(lmi, access, out, err);
    if (rc == LMI_OK)
        rc = lmi_entry_life(lmi, &facts->ticket, &facts->ticket_life, err);
    if (rc == LMI_OK)
        rc = lmi_entry_find_cookie(lmi, access->cookie, NULL, 0, &facts->cookie,
                                   err);
    if (rc == LMI_OK)
        rc = lmi_entry_life(lmi, &facts->cookie, &facts->cookie_life, err);
    facts->right_token =
        facts->ticket.good && lmi_token_is(access->token, ticket->digits);
    if (rc == LMI_OK && facts->ticket.good &&
        ticket->state == LMI_STATE_SPENT && in_grace(facts))
        rc = count_contenders(lmi, &facts->ticket, &facts->contenders, err);
    if (rc == LMI_OK && account_decides(facts))
        rc = lmi_entry_account(lmi, ticket, &facts->account, err);
    return rc;
}

/* The cookie that a ticket has, if any, becomes one of several. */
static enum lmi_rc
rival_op(struct lmi *lmi, const struct lmi_record *spent, int64_t now,
         struct lmi_entry *rival, struct lmi_store_value *value_out,
         struct lmi_store_op *out, size_t *count, struct lmi_err *err)
{
    struct lmi_store_id id = {.kind = LMI_KIND_COOKIE};
    enum lmi_rc rc;

    memcpy(id.key, spent->peer, LMI_STORE_KEY);
    rc = lmi_entry_find(lmi, &id, rival, err);
    if (rc != LMI_OK || !rival->good)
        return rc;
    rival->record.state = LMI_STATE_CONTENDER;
    (*count)++;
    return lmi_entry_write(lmi, LMI_STORE_SWAP, &id, &rival->record, now,
                           &rival->value, value_out, out, err);
}

/* The ticket's record, from the moment on when it is first redeemed. */
static struct lmi_record
redeemed_record(const struct redemption *redemption)
{
    const struct lmi_redeem_facts *facts = &redemption->facts;
    struct lmi_record record = facts->ticket.record;

    lmi_record_redeem(&record, facts->ticket_life.now, &redemption->source);
    return record;
}

/*
 * Spends the ticket, unless another request was faster. A double click makes
 * two requests, and the browser may keep either answer: of two cookies the
 * first one that comes back is the session's.
 */
static enum lmi_rc
swap_for_cookie(struct lmi *lmi, const struct redemption *redemption,
                const struct lmi_store_id *cookie_id, bool *done_out,
                struct lmi_err *err)
{
    const struct lmi_redeem_facts *facts = &redemption->facts;
    int64_t now = facts->ticket_life.now;
    struct lmi_record spent = redeemed_record(redemption), cookie = spent;
    struct lmi_entry rival;
    struct lmi_store_value values[3];
    struct lmi_store_op ops[2 + LMI_END_OPS];
    size_t count = 2;
    enum lmi_rc rc = LMI_OK;

    cookie.changed = now;
    memcpy(cookie.peer, facts->ticket.id.key, LMI_STORE_KEY);
    if (spent.state == LMI_STATE_SPENT) {
        rc = rival_op(lmi, &spent, now, &rival, &values[2], &ops[count], &count,
                      err);
        cookie.state = LMI_STATE_CONTENDER;
        memset(spent.peer, 0, LMI_STORE_KEY);
    } else {
        if (has_cookie(facts)) {
            lmi_entry_end_ops(&facts->cookie, ops + count);
            count += LMI_END_OPS;
        }
        cookie.state = LMI_STATE_COOKIE;
        spent.state = LMI_STATE_SPENT;
        spent.changed = now;
        memcpy(spent.origin, redemption->origin, LMI_SHORT_MAC);
        memcpy(spent.peer, cookie_id->key, LMI_STORE_KEY);
    }
    if (rc == LMI_OK)
        rc =
            lmi_entry_write(lmi, LMI_STORE_SWAP, &facts->ticket.id, &spent, now,
                            &facts->ticket.value, &values[0], &ops[0], err);
    if (rc == LMI_OK)
        rc = lmi_entry_write(lmi, LMI_STORE_ADD, cookie_id, &cookie, now, NULL,
                             &values[1], &ops[1], err);
    if (rc == LMI_OK)
        rc = lmi_store_apply(lmi_store_of(lmi), LMI_DURABLE, ops, count, now,
                             done_out, err);
    return rc;
}

static enum lmi_rc
grant(struct lmi *lmi, const struct redemption *redemption, bool *done_out,
      struct lmi_redeemed *out, struct lmi_err *err)
{
    struct lmi_record cookie = redeemed_record(redemption);
    char secret[LMI_SECRET_CHARS + 1];
    struct lmi_store_id id;
    enum lmi_rc rc = lmi_cookie_draw(lmi_crypto_of(lmi), cookie.user,
                                     out->cookie, secret, err);

    *done_out = false;
    if (rc == LMI_OK)
        rc = lmi_entry_id(lmi, LMI_KIND_COOKIE, secret, &id, err);
    lmi_wipe(secret, sizeof secret);
    cookie.state = LMI_STATE_COOKIE;
    if (rc == LMI_OK)
        rc = lmi_entry_describe(lmi, &cookie, redemption->facts.ticket_life.now,
                                &out->session, err);
    if (rc == LMI_OK)
        rc = swap_for_cookie(lmi, redemption, &id, done_out, err);
    if (!*done_out)
        lmi_wipe(out, sizeof *out);
    return rc;
}

/* Fills in the session for the outcomes other than GRANTED. */
static enum lmi_rc
tell(struct lmi *lmi, const struct lmi_redeem_facts *facts,
     enum lmi_outcome outcome, struct lmi_redeemed *out, struct lmi_err *err)
{
    const struct lmi_entry *cookie = &facts->cookie;
    enum lmi_rc rc;

    if (outcome == LMI_AGAIN)
        return lmi_entry_describe(lmi, &cookie->record, facts->cookie_life.now,
                                  &out->session, err);
    if (outcome != LMI_CONFIRM)
        return LMI_OK;
    rc = lmi_entry_describe(lmi, &facts->ticket.record,
                            facts->ticket.record.changed, &out->session, err);
    memcpy(out->current, cookie->record.user, sizeof out->current);
    lmi_token_format(cookie->record.digits, out->current_token);
    return rc;
}

/* Logs grants and refusals of tickets that exist. */
static void
log_outcome(struct lmi *lmi, const struct redemption *redemption,
            enum lmi_outcome outcome)
{
    const struct lmi_redeem_facts *facts = &redemption->facts;
    struct lmi_session session;
    struct lmi_err ignored;

    if (outcome == LMI_AGAIN || outcome == LMI_PASSIVE ||
        outcome == LMI_CONFIRM ||
        !lmi_entry_lives(&facts->ticket, &facts->ticket_life) ||
        lmi_entry_describe(lmi, &facts->ticket.record, 0, &session, &ignored) !=
            LMI_OK)
        return;
    if (outcome == LMI_GRANTED)
        lmi_entry_log(lmi, &session, redemption->address, "NEW", "ticket");
    else
        lmi_entry_log(lmi, &session, redemption->address, "REFUSED",
                      facts->account == LMI_ACCOUNT_REFUSED
                          ? "account"
                          : lmi_outcome_name(outcome));
}

/* Gathers, decides and acts; *done_out is false if another one was faster. */
static enum lmi_rc
redeem_once(struct lmi *lmi, const struct lmi_access *access,
            struct redemption *redemption, enum lmi_outcome *outcome_out,
            bool *done_out, struct lmi_redeemed *out, struct lmi_err *err)
{
    const struct lmi_redeem_facts *facts = &redemption->facts;
    enum lmi_rc rc = gather(lmi, access, redemption, err);

    if (rc != LMI_OK)
        return rc;
    *outcome_out = lmi_redeem_decide(facts);
    if (*outcome_out == LMI_GRANTED)
        return grant(lmi, redemption, done_out, out, err);
    *done_out = true;
    if (facts->account == LMI_ACCOUNT_REFUSED)
        return lmi_entry_end(lmi, &facts->ticket, facts->ticket_life.now,
                             redemption->address, "account", err);
    return tell(lmi, facts, *outcome_out, out, err);
}

enum lmi_rc
lmi_session_redeem(struct lmi *lmi, const struct lmi_access *access,
                   enum lmi_outcome *outcome_out, struct lmi_redeemed *out,
                   struct lmi_err *err)
{
    struct redemption redemption;
    enum lmi_outcome outcome = LMI_UNKNOWN;
    bool done = false;
    enum lmi_rc rc = lmi_enter(lmi, err);

    *outcome_out = LMI_UNKNOWN;
    memset(out, 0, sizeof *out);
    for (int i = 0; rc == LMI_OK && !done; i++)
        rc = i < LMI_ROUNDS ? redeem_once(lmi, access, &redemption, &outcome,
                                          &done, out, err)
                            : lmi_too_busy(err);
    if (rc == LMI_OK) {
        *outcome_out = outcome;
        log_outcome(lmi, &redemption, outcome);
    } else {
        lmi_wipe(out, sizeof *out);
    }
    lmi_count(lmi_counters_of(lmi), rc == LMI_OK
                                        ? LMI_NUMBER(redemptions) + outcome
                                        : LMI_NUMBER(redemption_faults));
    return lmi_fault(lmi, rc, err);
}
