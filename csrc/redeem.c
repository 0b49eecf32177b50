#include <string.h>

#include "address.h"
#include "error.h"
#include "logmein.h"
#include "secret.h"
#include "vault.h"

#define GRACE_SECONDS 10 /* for a double click, or an answer that was lost */
#define ROUNDS 1000      /* each means that another request was faster */

/* All that the decision looks at. */
struct scene {
    int64_t now;
    struct lmi_found ticket, cookie;
    bool ticket_lives, cookie_lives;
    bool has_origin;
    uint8_t origin[LMI_SHORT_SEAL];
    char address[LMI_ADDRESS_TEXT];
};

/* The bytes of a text in a lower-case copy, cut; for words of a protocol. */
static void
word_of(const struct lmi_text *text, char out[16])
{
    size_t len = 0;

    if (text->kind == LMI_TEXT_LATIN1 || text->kind == LMI_TEXT_UTF8)
        for (; len < text->len && len < 15; len++)
            out[len] = lmi_lower(text->ptr[len]);
    out[len] = '\0';
}

/* HEAD, OPTIONS and prefetches look at a page; nobody has followed a link. */
static bool
is_passive(const struct lmi_visit *visit)
{
    char method[16], purpose[16];

    word_of(&visit->method, method);
    word_of(&visit->purpose, purpose);
    return strcmp(method, "head") == 0 || strcmp(method, "options") == 0 ||
           strncmp(purpose, "prefetch", 8) == 0 ||
           strncmp(purpose, "prerender", 9) == 0 ||
           strcmp(purpose, "preview") == 0;
}

/*
 * Address and User-Agent as one seal: neither is kept. Without both, or with
 * an agent beyond all measure, the origin is not known.
 */
static enum lmi_rc
read_origin(struct lmi_sessions *sessions, const struct lmi_visit *visit,
            struct scene *scene, struct lmi_err *err)
{
    char bytes[1024];
    struct lmi_address address;
    uint8_t seal[LMI_HASH];
    size_t used = sizeof address.bytes, room = sizeof bytes - used, len;

    if (!lmi_address_read(&visit->address, &address))
        return LMI_OK;
    lmi_address_format(&address, scene->address);
    if (visit->agent.kind == LMI_TEXT_ABSENT)
        return LMI_OK;
    memcpy(bytes, address.bytes, used);
    len = lmi_text_bytes(&visit->agent, bytes + used, room);
    if (len > room)
        return LMI_OK;
    enum lmi_rc rc = lmi_keys_seal(sessions->keys, LMI_SEAL_ORIGIN, bytes,
                                   used + len, seal, err);
    scene->has_origin = rc == LMI_OK;
    memcpy(scene->origin, seal, LMI_SHORT_SEAL);
    return rc;
}

static enum lmi_rc
look(struct lmi_sessions *sessions, const struct lmi_visit *visit,
     struct scene *scene, struct lmi_err *err)
{
    int64_t seen;
    enum lmi_rc rc;

    memset(scene, 0, sizeof *scene);
    scene->now = lmi_vault_now(sessions);
    rc = read_origin(sessions, visit, scene, err);
    if (rc == LMI_OK)
        rc = lmi_vault_find_ticket(sessions, &visit->ticket, &scene->ticket,
                                   err);
    if (rc == LMI_OK)
        rc = lmi_vault_is_live(sessions, &scene->ticket, scene->now,
                               &scene->ticket_lives, &seen, err);
    if (rc == LMI_OK)
        rc = lmi_vault_find_cookie(sessions, &visit->cookie, &scene->cookie,
                                   err);
    if (rc == LMI_OK)
        rc = lmi_vault_is_live(sessions, &scene->cookie, scene->now,
                               &scene->cookie_lives, &seen, err);
    /* A starter not yet used is no cookie, nor is one of another service. */
    if (scene->cookie_lives &&
        ((scene->cookie.record.state != LMI_STATE_COOKIE &&
          scene->cookie.record.state != LMI_STATE_CONTENDER) ||
         scene->cookie.record.service != visit->service))
        scene->cookie_lives = false;
    return rc;
}

/* Is this the same browser, a moment after it has spent the ticket? */
static bool
in_grace(const struct scene *scene)
{
    const struct lmi_record *ticket = &scene->ticket.record;

    return scene->has_origin &&
           lmi_secret_equal(ticket->origin, scene->origin, LMI_SHORT_SEAL) &&
           scene->now >= ticket->changed &&
           scene->now <= ticket->changed + GRACE_SECONDS;
}

/* The table of logmein.h. */
static enum lmi_outcome
decide(const struct lmi_visit *visit, const struct scene *scene)
{
    const struct lmi_record *ticket = &scene->ticket.record;
    const struct lmi_record *cookie = &scene->cookie.record;

    if (!scene->ticket_lives)
        return LMI_UNKNOWN;
    if (ticket->service != visit->service)
        return LMI_WRONG_SERVICE;
    if (!lmi_token_is(&visit->token, ticket->digits))
        return LMI_WRONG_TOKEN;
    if (ticket->state == LMI_STATE_SPENT) {
        if (scene->cookie_lives &&
            memcmp(cookie->peer, scene->ticket.id.key, LMI_STORE_KEY) == 0)
            return LMI_AGAIN;
        if (scene->cookie_lives || !in_grace(scene))
            return LMI_SPENT;
    } else if (scene->cookie_lives && strcmp(cookie->user, ticket->user) != 0 &&
               !visit->confirmed) {
        return LMI_CONFIRM;
    }
    return is_passive(visit) ? LMI_PASSIVE : LMI_GRANTED;
}

/* The cookie that a ticket has, if any, becomes one of several. */
struct rival {
    struct lmi_found found;
    struct lmi_store_value value;
};

static enum lmi_rc
rival_op(struct lmi_sessions *sessions, const struct lmi_record *spent,
         struct rival *rival, struct lmi_store_op *out, size_t *count,
         struct lmi_err *err)
{
    struct lmi_store_id id = {.kind = LMI_KIND_COOKIE};
    enum lmi_rc rc;

    memcpy(id.key, spent->peer, LMI_STORE_KEY);
    rc = lmi_vault_find(sessions, &id, &rival->found, err);
    if (rc != LMI_OK || !rival->found.good)
        return rc;
    rival->found.record.state = LMI_STATE_CONTENDER;
    (*count)++;
    return lmi_vault_write(sessions, LMI_STORE_SWAP, &id, &rival->found.record,
                           &rival->found.value, &rival->value, out, err);
}

/*
 * Spending: the ticket is still as it was, or somebody else was first. Two
 * clicks are two requests, and nobody knows which answer the browser keeps: of
 * two cookies the one that comes back is the session's.
 */
static enum lmi_rc
swap_for_cookie(struct lmi_sessions *sessions, const struct scene *scene,
                const struct lmi_store_id *cookie_id, bool *done_out,
                struct lmi_err *err)
{
    struct lmi_record spent = scene->ticket.record, cookie = spent;
    struct rival rival;
    struct lmi_store_value values[2];
    struct lmi_store_op ops[2 + LMI_END_OPS];
    size_t count = 2;
    enum lmi_rc rc = LMI_OK;

    cookie.changed = scene->now;
    memcpy(cookie.peer, scene->ticket.id.key, LMI_STORE_KEY);
    if (spent.state == LMI_STATE_SPENT) {
        rc = rival_op(sessions, &spent, &rival, &ops[count], &count, err);
        cookie.state = LMI_STATE_CONTENDER;
        memset(spent.peer, 0, LMI_STORE_KEY);
    } else {
        if (scene->cookie_lives) {
            lmi_vault_end_ops(&scene->cookie, ops + count);
            count += LMI_END_OPS;
        }
        cookie.state = LMI_STATE_COOKIE;
        spent.state = LMI_STATE_SPENT;
        spent.changed = scene->now;
        memcpy(spent.origin, scene->origin, LMI_SHORT_SEAL);
        memcpy(spent.peer, cookie_id->key, LMI_STORE_KEY);
    }
    if (rc == LMI_OK)
        rc =
            lmi_vault_write(sessions, LMI_STORE_SWAP, &scene->ticket.id, &spent,
                            &scene->ticket.value, &values[0], &ops[0], err);
    if (rc == LMI_OK)
        rc = lmi_vault_write(sessions, LMI_STORE_ADD, cookie_id, &cookie, NULL,
                             &values[1], &ops[1], err);
    if (rc == LMI_OK)
        rc = lmi_store_apply(sessions->store, LMI_DURABLE, ops, count,
                             scene->now, done_out, err);
    return rc;
}

static enum lmi_rc
grant(struct lmi_sessions *sessions, const struct scene *scene, bool *done_out,
      struct lmi_redeemed *out, struct lmi_err *err)
{
    struct lmi_record cookie = scene->ticket.record;
    char secret[LMI_SECRET_CHARS + 1];
    struct lmi_store_id id;
    enum lmi_rc rc =
        lmi_cookie_draw(sessions->core, cookie.user, out->cookie, secret, err);

    *done_out = false;
    if (rc == LMI_OK)
        rc = lmi_vault_id(sessions, LMI_KIND_COOKIE, secret, &id, err);
    lmi_wipe(secret, sizeof secret);
    cookie.state = LMI_STATE_COOKIE;
    if (rc == LMI_OK)
        rc = lmi_vault_describe(sessions, &cookie, scene->now, &out->session,
                                err);
    if (rc == LMI_OK)
        rc = swap_for_cookie(sessions, scene, &id, done_out, err);
    if (!*done_out)
        lmi_wipe(out, sizeof *out);
    return rc;
}

/* What the outcomes beside GRANTED tell. */
static enum lmi_rc
tell(struct lmi_sessions *sessions, const struct scene *scene,
     enum lmi_outcome outcome, struct lmi_redeemed *out, struct lmi_err *err)
{
    struct lmi_session current;
    enum lmi_rc rc;

    if (outcome == LMI_AGAIN)
        return lmi_vault_describe(sessions, &scene->cookie.record, scene->now,
                                  &out->session, err);
    if (outcome != LMI_CONFIRM)
        return LMI_OK;
    rc = lmi_vault_describe(sessions, &scene->cookie.record, scene->now,
                            &current, err);
    if (rc != LMI_OK)
        return rc;
    memcpy(out->current, current.user, sizeof out->current);
    memcpy(out->current_token, current.token, sizeof out->current_token);
    return lmi_vault_describe(sessions, &scene->ticket.record,
                              scene->ticket.record.changed, &out->session, err);
}

/* Grants and refusals; a ticket that is none has no session to name. */
static void
log_outcome(struct lmi_sessions *sessions, const struct scene *scene,
            enum lmi_outcome outcome)
{
    struct lmi_session session;
    struct lmi_err ignored;

    if (outcome == LMI_AGAIN || outcome == LMI_PASSIVE ||
        outcome == LMI_CONFIRM || !scene->ticket_lives ||
        lmi_vault_describe(sessions, &scene->ticket.record, 0, &session,
                           &ignored) != LMI_OK)
        return;
    if (outcome == LMI_GRANTED)
        lmi_vault_log(sessions, &session, scene->address, "NEW", "ticket");
    else
        lmi_vault_log(sessions, &session, scene->address, "REFUSED",
                      lmi_outcome_name(outcome));
}

/* Looks, decides and acts, until nobody comes in between. */
static enum lmi_rc
redeem(struct lmi_sessions *sessions, const struct lmi_visit *visit,
       enum lmi_outcome *outcome_out, struct lmi_redeemed *out,
       struct lmi_err *err)
{
    struct scene scene;
    enum lmi_outcome outcome = LMI_UNKNOWN;
    bool done = false;
    enum lmi_rc rc = lmi_vault_enter(sessions, err);

    for (int i = 0; rc == LMI_OK && !done; i++) {
        if (i == ROUNDS)
            return lmi_fail(err, LMI_STORE, 0, NULL,
                            "a ticket changes all the time", NULL);
        rc = look(sessions, visit, &scene, err);
        if (rc != LMI_OK)
            return rc;
        outcome = decide(visit, &scene);
        if (outcome == LMI_GRANTED) {
            rc = grant(sessions, &scene, &done, out, err);
        } else {
            rc = tell(sessions, &scene, outcome, out, err);
            done = true;
        }
    }
    if (rc != LMI_OK)
        return rc;
    *outcome_out = outcome;
    log_outcome(sessions, &scene, outcome);
    return LMI_OK;
}

enum lmi_rc
lmi_session_redeem(struct lmi_sessions *sessions, const struct lmi_visit *visit,
                   enum lmi_outcome *outcome_out, struct lmi_redeemed *out,
                   struct lmi_err *err)
{
    enum lmi_rc rc;

    *outcome_out = LMI_UNKNOWN;
    memset(out, 0, sizeof *out);
    rc = redeem(sessions, visit, outcome_out, out, err);
    if (rc != LMI_OK)
        lmi_wipe(out, sizeof *out);
    return lmi_vault_fault(sessions, rc, err);
}
