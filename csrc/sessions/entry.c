#include "sessions/entry.h"

#include <stdio.h>
#include <string.h>

#include "accounts/account.h"
#include "base/error.h"
#include "base/log.h"

#define EXTEND_SECONDS 3600 /* a touch puts the durable expiry off so often */
#define CLOCK_SLACK 300     /* how far in the future a record may come from */

enum lmi_rc
lmi_too_busy(struct lmi_err *err)
{
    return lmi_fail(err, LMI_STORE, 0, NULL,
                    "an entry is changed by other requests all the time", NULL);
}

enum lmi_rc
lmi_entry_id(struct lmi *lmi, uint8_t kind, const char *secret,
             struct lmi_store_id *out, struct lmi_err *err)
{
    out->kind = kind;
    return lmi_sha256(lmi_crypto_of(lmi), secret, strlen(secret), out->key,
                      err);
}

enum lmi_rc
lmi_entry_group(struct lmi *lmi, const char *user, enum lmi_service service,
                const char digits[LMI_TOKEN_DIGITS], uint8_t out[LMI_GROUP],
                struct lmi_err *err)
{
    uint8_t hash[LMI_HASH];
    enum lmi_rc rc =
        lmi_sha256(lmi_crypto_of(lmi), user, strlen(user), hash, err);

    memcpy(out, hash, LMI_GROUP_USER);
    out[LMI_GROUP_USER] = (uint8_t)service;
    memcpy(out + LMI_GROUP_USER + 1, digits, LMI_TOKEN_DIGITS);
    return rc;
}

/* The record of the value. */
static enum lmi_rc
decode(struct lmi *lmi, struct lmi_entry *entry, struct lmi_err *err)
{
    enum lmi_rc rc =
        lmi_record_decode(lmi_keys_of(lmi), &entry->id, &entry->value,
                          &entry->good, &entry->record, err);

    /* Another process may have made it with a key that is new. */
    if (rc == LMI_OK && !entry->good && lmi_keys_renew(lmi))
        rc = lmi_record_decode(lmi_keys_of(lmi), &entry->id, &entry->value,
                               &entry->good, &entry->record, err);
    return rc;
}

static void
init(struct lmi_entry *entry, const struct lmi_store_id *id)
{
    entry->id = *id;
    entry->good = false;
    entry->named = true;
    entry->seen = 0;
}

enum lmi_rc
lmi_entry_find(struct lmi *lmi, const struct lmi_store_id *id,
               struct lmi_entry *out, struct lmi_err *err)
{
    bool there = false;
    enum lmi_rc rc = lmi_store_get(lmi_store_of(lmi), LMI_DURABLE, id, &there,
                                   &out->value, err);

    init(out, id);
    return rc != LMI_OK || !there ? rc : decode(lmi, out, err);
}

enum lmi_rc
lmi_entry_read(struct lmi *lmi, const struct lmi_store_entry *entry,
               struct lmi_entry *out, struct lmi_err *err)
{
    init(out, &entry->id);
    out->value = entry->value;
    return decode(lmi, out, err);
}

/* Where a secret's entry lies; wipes the secret. */
static enum lmi_rc
secret_id(struct lmi *lmi, uint8_t kind, char *secret, struct lmi_store_id *out,
          struct lmi_err *err)
{
    enum lmi_rc rc = lmi_entry_id(lmi, kind, secret, out, err);

    lmi_wipe(secret, strlen(secret));
    return rc;
}

/* Asks for another entry of a cookie's key. */
static void
ask(struct lmi_store_want *want, enum lmi_store_part part, uint8_t kind,
    const struct lmi_store_id *cookie)
{
    want->part = part;
    want->id = *cookie;
    want->id.kind = kind;
}

/*
 * When a session was last seen, as the volatile part has it. Once lost, that is
 * as long ago as its last durable change.
 */
static int64_t
seen_of(const struct lmi_store_want *want)
{
    return want->found && want->value.len == 8 ? lmi_get_time(want->value.bytes)
                                               : 0;
}

/* A cookie's entries of both parts, in one step. */
static enum lmi_rc
find_seen(struct lmi *lmi, const struct lmi_store_id *id,
          struct lmi_store_want *more, unsigned age, struct lmi_entry *out,
          struct lmi_err *err)
{
    struct lmi_store_want wants[3];

    ask(&wants[0], LMI_DURABLE, LMI_KIND_COOKIE, id);
    ask(&wants[1], LMI_VOLATILE, LMI_KIND_SEEN, id);
    if (more != NULL)
        ask(&wants[2], more->part, more->id.kind, id);
    init(out, id);
    enum lmi_rc rc = lmi_store_get_many(lmi_store_of(lmi), wants,
                                        more != NULL ? 3 : 2, age, err);
    if (rc == LMI_OK && more != NULL)
        *more = wants[2];
    if (rc != LMI_OK || !wants[0].found)
        return rc;
    out->value = wants[0].value;
    out->seen = seen_of(&wants[1]);
    return decode(lmi, out, err);
}

enum lmi_rc
lmi_entry_find_cookie(struct lmi *lmi, struct lmi_text cookie,
                      struct lmi_store_want *more, unsigned age,
                      struct lmi_entry *out, struct lmi_err *err)
{
    char user[LMI_USER_MAX + 1], secret[LMI_SECRET_CHARS + 1];
    struct lmi_store_id id;
    enum lmi_rc rc;

    out->good = false;
    out->named = false;
    if (!lmi_cookie_parse(cookie, user, secret))
        return LMI_OK;
    rc = secret_id(lmi, LMI_KIND_COOKIE, secret, &id, err);
    if (rc == LMI_OK)
        rc = find_seen(lmi, &id, more, age, out, err);
    out->named = out->good && strcmp(user, out->record.user) == 0;
    return rc;
}

enum lmi_rc
lmi_entry_find_ticket(struct lmi *lmi, struct lmi_text ticket,
                      struct lmi_entry *out, struct lmi_err *err)
{
    char secret[LMI_TICKET_SIZE];
    struct lmi_store_id id;

    if (!lmi_ticket_parse(ticket, secret))
        return lmi_entry_find_cookie(lmi, ticket, NULL, 0, out, err);
    enum lmi_rc rc = secret_id(lmi, LMI_KIND_TICKET, secret, &id, err);
    out->good = false;
    return rc != LMI_OK ? rc : lmi_entry_find(lmi, &id, out, err);
}

/* The spent ticket of a cookie, or the dual-use cookie that was one. */
static enum lmi_rc
find_ticket_of(struct lmi *lmi, const struct lmi_record *cookie,
               struct lmi_entry *out, struct lmi_err *err)
{
    struct lmi_store_id id = {.kind = LMI_KIND_TICKET};
    enum lmi_rc rc;

    memcpy(id.key, cookie->peer, LMI_STORE_KEY);
    rc = lmi_entry_find(lmi, &id, out, err);
    if (rc == LMI_OK && !out->good) {
        id.kind = LMI_KIND_COOKIE;
        rc = lmi_entry_find(lmi, &id, out, err);
    }
    return rc;
}

enum lmi_rc
lmi_entry_find_contended(struct lmi *lmi, const struct lmi_record *cookie,
                         struct lmi_entry *out, struct lmi_err *err)
{
    enum lmi_rc rc = find_ticket_of(lmi, cookie, out, err);

    out->good = rc == LMI_OK && out->good &&
                out->record.state == LMI_STATE_SPENT &&
                !lmi_record_has_peer(&out->record);
    return rc;
}

enum lmi_rc
lmi_entry_life(struct lmi *lmi, const struct lmi_entry *entry,
               struct lmi_life *out, struct lmi_err *err)
{
    const struct lmi_settings *settings = lmi_settings_of(lmi);
    struct lmi_entry ticket;
    enum lmi_rc rc = LMI_OK;

    *out = (struct lmi_life){.now = lmi_now(lmi),
                             .idle = settings->session_idle,
                             .max = settings->session_max};
    if (!entry->good)
        return LMI_OK;
    out->seen = entry->record.changed;
    if (lmi_record_is_fresh(&entry->record))
        out->idle = settings->ticket_life;
    if (entry->record.state == LMI_STATE_COOKIE && entry->seen > out->seen) {
        out->seen = entry->seen;
    } else if (entry->record.state == LMI_STATE_CONTENDER) {
        rc = lmi_entry_find_contended(lmi, &entry->record, &ticket, err);
        out->contended = ticket.good;
    }
    return rc;
}

bool
lmi_entry_lives(const struct lmi_entry *entry, const struct lmi_life *life)
{
    const struct lmi_record *record = &entry->record;

    if (!entry->good || !entry->named)
        return false;
    if (record->state == LMI_STATE_CONTENDER && !life->contended)
        return false;
    if (record->created > life->now + CLOCK_SLACK ||
        life->now >= record->ends || life->now >= record->created + life->max)
        return false;
    return life->now < life->seen + life->idle ||
           (record->state == LMI_STATE_SPENT && lmi_record_has_peer(record));
}

/* When the cookies of the page were seen: as many at once as may be. */
static enum lmi_rc
read_seen(struct lmi *lmi, struct lmi_walk *walk, struct lmi_err *err)
{
    struct lmi_store_want wants[LMI_STORE_WANTS];
    size_t at = 0, asked[LMI_STORE_WANTS];
    enum lmi_rc rc = LMI_OK;

    memset(walk->seen, 0, sizeof walk->seen);
    while (rc == LMI_OK && at < walk->count) {
        size_t count = 0;
        for (; at < walk->count && count < LMI_STORE_WANTS; at++)
            if (walk->page[at].id.kind == LMI_KIND_COOKIE) {
                ask(&wants[count], LMI_VOLATILE, LMI_KIND_SEEN,
                    &walk->page[at].id);
                asked[count++] = at;
            }
        if (count > 0)
            rc = lmi_store_get_many(lmi_store_of(lmi), wants, count, 0, err);
        for (size_t i = 0; rc == LMI_OK && i < count; i++)
            walk->seen[asked[i]] = seen_of(&wants[i]);
    }
    return rc;
}

/*
 * The next page. Pages grow, for many ask for the first entry only. At the end
 * the walk stays where it is.
 */
static enum lmi_rc
turn_page(struct lmi *lmi, struct lmi_walk *walk, bool *more_out,
          struct lmi_err *err)
{
    const struct lmi_store_entry *last =
        walk->count > 0 ? &walk->page[walk->count - 1] : NULL;
    size_t count, size = last != NULL ? 2 * walk->count : 1;
    enum lmi_rc rc = lmi_store_next(
        lmi_store_of(lmi), LMI_DURABLE, walk->prefix, walk->len, last,
        walk->page, size < LMI_PAGE ? size : LMI_PAGE, &count, err);

    *more_out = rc == LMI_OK && count > 0;
    if (!*more_out)
        return rc;
    walk->at = 0;
    walk->count = count;
    return read_seen(lmi, walk, err);
}

enum lmi_rc
lmi_entry_next(struct lmi *lmi, struct lmi_walk *walk, bool *found_out,
               struct lmi_entry *out, struct lmi_life *life_out,
               struct lmi_err *err)
{
    bool more = true;
    enum lmi_rc rc = LMI_OK;

    *found_out = false;
    while (rc == LMI_OK && !*found_out) {
        if (walk->at == walk->count)
            rc = turn_page(lmi, walk, &more, err);
        if (rc != LMI_OK || !more)
            return rc;
        rc = lmi_entry_read(lmi, &walk->page[walk->at], out, err);
        out->seen = walk->seen[walk->at++];
        if (rc == LMI_OK)
            rc = lmi_entry_life(lmi, out, life_out, err);
        *found_out = rc == LMI_OK && lmi_entry_lives(out, life_out);
    }
    return rc;
}

enum lmi_rc
lmi_entry_account(struct lmi *lmi, struct lmi_record *record,
                  enum lmi_account_fact *out, struct lmi_err *err)
{
    enum lmi_accounts accounts = lmi_settings_of(lmi)->accounts;
    bool good = false;
    struct lmi_account account;
    struct lmi_site *site;
    enum lmi_rc rc = lmi_enter_site(lmi, &site, err);

    *out = LMI_ACCOUNT_REFUSED;
    if (rc == LMI_OK)
        rc = lmi_account_find(site, accounts, record->user, record->service,
                              lmi_now(lmi) / 86400, &account, err);
    if (rc != LMI_OK)
        return rc;
    if (account.verdict == LMI_REFUSED_FAULT) {
        *err = account.fault;
        rc = err->code;
    } else if (account.verdict == LMI_ALLOWED) {
        rc =
            lmi_keys_verify(lmi_keys_of(lmi), LMI_MAC_FINGERPRINT, account.hash,
                            strlen(account.hash), record->fingerprint,
                            LMI_SHORT_MAC, &good, NULL, err);
        if (rc == LMI_OK && good)
            rc = lmi_entry_fingerprint(lmi, account.hash, record->fingerprint,
                                       err);
        if (rc == LMI_OK && good)
            *out = LMI_ACCOUNT_ALLOWED;
    }
    lmi_wipe(&account, sizeof account);
    return rc;
}

/*
 * When the purge may remove an entry. That of a session in use is put off by
 * touches, at most once an hour.
 */
static int64_t
expiry_of(const struct lmi *lmi, const struct lmi_record *record, int64_t used)
{
    const struct lmi_settings *settings = lmi_settings_of(lmi);
    int64_t idle_out = used + settings->session_idle + EXTEND_SECONDS;

    if (lmi_record_is_fresh(record))
        return record->changed + settings->ticket_life;
    return idle_out < record->ends ? idle_out : record->ends;
}

enum lmi_rc
lmi_entry_write(struct lmi *lmi, enum lmi_store_verb verb,
                const struct lmi_store_id *id, const struct lmi_record *record,
                int64_t used, const struct lmi_store_value *old,
                struct lmi_store_value *value_out, struct lmi_store_op *out,
                struct lmi_err *err)
{
    enum lmi_rc rc;

    *out = (struct lmi_store_op){.verb = verb,
                                 .id = *id,
                                 .expires = expiry_of(lmi, record, used),
                                 .group_len = LMI_GROUP,
                                 .value = value_out,
                                 .old = old};
    rc = lmi_entry_group(lmi, record->user, record->service, record->digits,
                         out->group, err);
    return rc != LMI_OK ? rc
                        : lmi_record_encode(lmi_keys_of(lmi), id, record,
                                            value_out, err);
}

/* If the session has ended meanwhile, nothing is written. */
static enum lmi_rc
extend(struct lmi *lmi, const struct lmi_entry *entry, int64_t now,
       struct lmi_err *err)
{
    struct lmi_record record = entry->record;
    struct lmi_entry ticket = {.good = false};
    struct lmi_store_value values[2];
    struct lmi_store_op ops[2];
    bool done;
    enum lmi_rc rc = LMI_OK;

    record.changed = now;
    if (lmi_record_has_peer(&record))
        rc = find_ticket_of(lmi, &record, &ticket, err);
    if (rc == LMI_OK)
        rc = lmi_entry_write(lmi, LMI_STORE_SWAP, &entry->id, &record, now,
                             &entry->value, &values[0], &ops[0], err);
    if (rc == LMI_OK && ticket.good)
        rc = lmi_entry_write(lmi, LMI_STORE_SWAP, &ticket.id, &ticket.record,
                             now, &ticket.value, &values[1], &ops[1], err);
    return rc != LMI_OK ? rc
                        : lmi_store_apply(lmi_store_of(lmi), LMI_DURABLE, ops,
                                          ticket.good ? 2 : 1, now, &done, err);
}

enum lmi_rc
lmi_entry_touch(struct lmi *lmi, const struct lmi_entry *entry, int64_t now,
                struct lmi_err *err)
{
    struct lmi_store_value value = {.len = 8};
    struct lmi_store_op op = {.verb = LMI_STORE_PUT,
                              .id = entry->id,
                              .expires =
                                  now + lmi_settings_of(lmi)->session_idle,
                              .value = &value};
    bool done;
    enum lmi_rc rc;

    op.id.kind = LMI_KIND_SEEN;
    lmi_put_time(value.bytes, now);
    rc = lmi_store_apply(lmi_store_of(lmi), LMI_VOLATILE, &op, 1, now, &done,
                         err);
    if (rc == LMI_OK && now - entry->record.changed >= EXTEND_SECONDS)
        rc = extend(lmi, entry, now, err);
    return rc;
}

void
lmi_entry_end_ops(const struct lmi_entry *entry,
                  struct lmi_store_op out[LMI_END_OPS])
{
    for (size_t i = 0; i < LMI_END_OPS; i++)
        out[i] = (struct lmi_store_op){.verb = LMI_STORE_DROP, .id = entry->id};
    memcpy(out[1].id.key, entry->record.peer, LMI_STORE_KEY);
    memcpy(out[2].id.key, entry->record.peer, LMI_STORE_KEY);
    out[1].id.kind = LMI_KIND_TICKET;
    out[2].id.kind = LMI_KIND_COOKIE;
}

enum lmi_rc
lmi_entry_end(struct lmi *lmi, const struct lmi_entry *entry, int64_t now,
              const char *address, const char *why, struct lmi_err *err)
{
    struct lmi_store_op ops[LMI_END_OPS];
    struct lmi_session session;
    struct lmi_err ignored;
    bool done;
    enum lmi_rc rc;

    lmi_entry_end_ops(entry, ops);
    rc = lmi_store_apply(lmi_store_of(lmi), LMI_DURABLE, ops, LMI_END_OPS, now,
                         &done, err);
    if (rc == LMI_OK && lmi_entry_describe(lmi, &entry->record, 0, &session,
                                           &ignored) == LMI_OK)
        lmi_entry_log(lmi, &session, address, "PURGE", why);
    return rc;
}

enum lmi_rc
lmi_entry_fingerprint(struct lmi *lmi, const char *hash,
                      uint8_t out[LMI_SHORT_MAC], struct lmi_err *err)
{
    uint8_t mac[LMI_HASH];
    enum lmi_rc rc = lmi_keys_mac(lmi_keys_of(lmi), LMI_MAC_FINGERPRINT, hash,
                                  strlen(hash), mac, err);

    memcpy(out, mac, LMI_SHORT_MAC);
    return rc;
}

/* The public name: derived, so that it opens nothing. */
static enum lmi_rc
public_id(struct lmi *lmi, const uint8_t session_key[LMI_SESSION_KEY],
          char out[LMI_ID_SIZE], struct lmi_err *err)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t named[3 + LMI_SESSION_KEY] = "id:", hash[LMI_HASH];
    enum lmi_rc rc;

    memcpy(named + 3, session_key, LMI_SESSION_KEY);
    rc = lmi_sha256(lmi_crypto_of(lmi), named, sizeof named, hash, err);
    /* No snprintf(): it would be a tenth of what a check costs. */
    for (size_t i = 0; i < LMI_ID_SIZE - 1; i++)
        out[i] = hex[i % 2 == 0 ? hash[i / 2] >> 4 : hash[i / 2] & 15];
    out[LMI_ID_SIZE - 1] = '\0';
    return rc;
}

enum lmi_rc
lmi_entry_describe(struct lmi *lmi, const struct lmi_record *record,
                   int64_t seen, struct lmi_session *out, struct lmi_err *err)
{
    int64_t limit = record->created + lmi_settings_of(lmi)->session_max;

    memcpy(out->user, record->user, sizeof out->user);
    out->service = record->service;
    lmi_token_format(record->digits, out->token);
    out->created = record->created;
    out->ends = record->ends < limit ? record->ends : limit;
    out->last_seen = seen;
    out->redeemed = !lmi_record_is_fresh(record);
    out->redeemed_at = record->redeemed;
    out->address[0] = '\0';
    if (lmi_address_is_known(&record->address))
        lmi_address_format(&record->address, out->address);
    return public_id(lmi, record->session_key, out->id, err);
}

void
lmi_entry_log(const struct lmi *lmi, const struct lmi_session *session,
              const char *address, const char *event, const char *more)
{
    const struct lmi_event what = {.name = event,
                                   .service = session->service,
                                   .address = address,
                                   .user = session->user,
                                   .session = session->id,
                                   .detail = more};

    lmi_log(lmi_settings_of(lmi), &what);
}

void
lmi_show_address(struct lmi_text text, char out[LMI_ADDRESS_TEXT])
{
    struct lmi_address address;

    out[0] = '\0';
    if (lmi_address_read(text, &address))
        lmi_address_format(&address, out);
}
