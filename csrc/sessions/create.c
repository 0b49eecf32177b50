#include "sessions/create.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"

/* Has the user a live session at the service, or a fresh ticket, with it? */
static enum lmi_rc
token_lives(struct lmi *lmi, const struct lmi_session_params *params,
            const char digits[LMI_TOKEN_DIGITS], bool *lives_out,
            struct lmi_err *err)
{
    struct lmi_walk walk = {.len = LMI_GROUP};
    struct lmi_entry entry;
    struct lmi_life life;
    bool found = true;
    enum lmi_rc rc = lmi_entry_group(lmi, params->user, params->service, digits,
                                     walk.prefix, err);

    *lives_out = false;
    while (rc == LMI_OK && found && !*lives_out) {
        rc = lmi_entry_next(lmi, &walk, &found, &entry, &life, err);
        *lives_out = found && entry.record.state != LMI_STATE_SPENT;
    }
    return rc;
}

/* The sessions of an account at a service, and who of them would make room. */
#define VICTIMS 2
struct crowd {
    size_t count;
    struct victim {
        struct lmi_entry entry;
        int64_t seen;
    } victims[VICTIMS]; /* the first is the first to go */
};

/* Unredeemed ones go first, then the one longest unseen. */
static bool
goes_before(const struct lmi_entry *entry, int64_t seen,
            const struct victim *other)
{
    bool fresh = lmi_record_is_fresh(&entry->record);
    bool other_fresh = lmi_record_is_fresh(&other->entry.record);

    if (!other->entry.good || fresh != other_fresh)
        return !other->entry.good || fresh;
    return seen < other->seen;
}

static void
count_session(struct crowd *crowd, const struct lmi_entry *entry, int64_t seen)
{
    size_t i = VICTIMS;

    if (!lmi_record_stands(&entry->record))
        return;
    crowd->count++;
    while (i > 0 && goes_before(entry, seen, &crowd->victims[i - 1]))
        i--;
    if (i == VICTIMS)
        return;
    memmove(&crowd->victims[i + 1], &crowd->victims[i],
            (VICTIMS - 1 - i) * sizeof crowd->victims[0]);
    crowd->victims[i] = (struct victim){.entry = *entry, .seen = seen};
}

/*
 * Room for one more: with sessions_max of them one makes room. A race may
 * leave one too many, or a setting that was lowered; then two do. One that was
 * used since it was read may be among them, as if that had come later.
 */
static enum lmi_rc
make_room(struct lmi *lmi, const struct lmi_session_params *params,
          struct lmi_store_op *ops, size_t *count, struct lmi_err *err)
{
    size_t max = lmi_settings_of(lmi)->sessions_max;
    struct crowd crowd = {.count = 0};
    struct lmi_walk walk = {.len = LMI_GROUP_SERVICE};
    struct lmi_entry entry;
    struct lmi_life life;
    size_t entries;
    enum lmi_rc rc = lmi_entry_group(lmi, params->user, params->service,
                                     "0000000000", walk.prefix, err);

    if (rc == LMI_OK)
        rc = lmi_store_count(lmi_store_of(lmi), LMI_DURABLE, walk.prefix,
                             walk.len, max, &entries, err);
    bool more = rc == LMI_OK && entries == max; /* few have so many */
    while (rc == LMI_OK && more) {
        rc = lmi_entry_next(lmi, &walk, &more, &entry, &life, err);
        if (more)
            count_session(&crowd, &entry, life.seen);
    }
    for (size_t i = 0; rc == LMI_OK && i < VICTIMS && crowd.count >= max; i++) {
        lmi_entry_end_ops(&crowd.victims[i].entry, ops + *count);
        *count += LMI_END_OPS;
        crowd.count--;
    }
    return rc;
}

/* The token to use: the one to share, if it lives, or a new one. */
static enum lmi_rc
choose_token(struct lmi *lmi, const struct lmi_session_params *params,
             char digits_out[LMI_TOKEN_DIGITS], struct lmi_err *err)
{
    bool lives = false;
    enum lmi_rc rc = LMI_OK;

    if (params->reuse != NULL) {
        memcpy(digits_out, params->reuse, LMI_TOKEN_DIGITS);
        rc = token_lives(lmi, params, digits_out, &lives, err);
        if (rc != LMI_OK || lives)
            return rc;
    }
    lives = true;
    for (int i = 0; rc == LMI_OK && lives; i++) {
        rc = i < LMI_ROUNDS
                 ? lmi_token_draw(lmi_crypto_of(lmi), digits_out, err)
                 : lmi_too_busy(err);
        if (rc == LMI_OK)
            rc = token_lives(lmi, params, digits_out, &lives, err);
    }
    return rc;
}

static enum lmi_rc
new_record(struct lmi *lmi, const struct lmi_session_params *params,
           int64_t now, struct lmi_record *out, struct lmi_err *err)
{
    enum lmi_rc rc;

    *out = (struct lmi_record){
        .state = params->dual_use ? LMI_STATE_DUAL_USE : LMI_STATE_FRESH,
        .service = params->service,
        .created = now,
        .changed = now,
        .ends = now + lmi_settings_of(lmi)->session_max,
    };
    snprintf(out->user, sizeof out->user, "%s", params->user);
    rc = lmi_random(lmi_crypto_of(lmi), out->session_key, LMI_SESSION_KEY, err);
    if (rc == LMI_OK)
        rc = lmi_entry_fingerprint(lmi, params->hash, out->fingerprint, err);
    if (rc == LMI_OK)
        rc = choose_token(lmi, params, out->digits, err);
    return rc;
}

/* The secret and where its entry lies. */
static enum lmi_rc
draw_secret(struct lmi *lmi, const struct lmi_session_params *params,
            char out[LMI_COOKIE_SIZE], struct lmi_store_id *id_out,
            struct lmi_err *err)
{
    char secret[LMI_SECRET_CHARS + 1] = "";
    enum lmi_rc rc;

    if (params->dual_use) {
        rc =
            lmi_cookie_draw(lmi_crypto_of(lmi), params->user, out, secret, err);
        if (rc == LMI_OK)
            rc = lmi_entry_id(lmi, LMI_KIND_COOKIE, secret, id_out, err);
        lmi_wipe(secret, sizeof secret);
        return rc;
    }
    rc = lmi_ticket_draw(lmi_crypto_of(lmi), out, err);
    if (rc == LMI_OK)
        rc = lmi_entry_id(lmi, LMI_KIND_TICKET, out, id_out, err);
    return rc;
}

enum lmi_rc
lmi_session_create(struct lmi *lmi, const struct lmi_session_params *params,
                   struct lmi_session_made *out, struct lmi_err *err)
{
    struct lmi_store_value value;
    struct lmi_store_op ops[2 + VICTIMS * LMI_END_OPS];
    size_t count = 1;
    struct lmi_store_id id;
    struct lmi_record record;
    struct lmi_session session;
    int64_t now = lmi_now(lmi);
    bool done = false;
    enum lmi_rc rc = new_record(lmi, params, now, &record, err);

    memset(out, 0, sizeof *out);
    if (rc == LMI_OK)
        rc = draw_secret(lmi, params, out->secret, &id, err);
    if (rc == LMI_OK)
        rc = lmi_entry_write(lmi, LMI_STORE_ADD, &id, &record, now, NULL,
                             &value, &ops[0], err);
    if (rc == LMI_OK)
        rc = lmi_entry_describe(lmi, &record, now, &session, err);
    if (params->with != NULL)
        ops[count++] = *params->with;
    if (rc == LMI_OK)
        rc = make_room(lmi, params, ops, &count, err);
    if (rc == LMI_OK)
        rc = lmi_store_apply(lmi_store_of(lmi), LMI_DURABLE, ops, count, now,
                             &done, err);
    if (rc == LMI_OK && !done)
        rc = lmi_fail(err, LMI_CRYPTO, 0, "OpenSSL",
                      "drew the same 256 bits twice", NULL);
    if (rc == LMI_OK) {
        memcpy(out->token, session.token, sizeof out->token);
        memcpy(out->id, session.id, sizeof out->id);
    } else {
        lmi_wipe(out, sizeof *out);
    }
    return rc;
}
