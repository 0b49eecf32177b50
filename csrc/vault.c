#include "vault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "log.h"
#include "secret.h"

#define CLOCK_SLACK 300 /* how far in the future a record may come from */

int64_t
lmi_vault_now(const struct lmi_sessions *sessions)
{
    return lmi_settings_now(sessions->settings);
}

static struct lmi_store_id
meta_id(void)
{
    return (struct lmi_store_id){.kind = LMI_KIND_META};
}

static enum lmi_rc
another_key(struct lmi_err *err, const char *path, const char *text)
{
    return lmi_fail(err, LMI_KEY, 0, path, text,
                    "bring the key back, or name it as key_file_old; without "
                    "it, empty the store: everybody logs in again");
}

/* The fingerprint of our key, as the store keeps it. */
static enum lmi_rc
fingerprint_make(struct lmi_sessions *sessions, struct lmi_store_value *out,
                 struct lmi_err *err)
{
    out->len = LMI_HASH;
    return lmi_keys_seal(sessions->keys, LMI_SEAL_META, "", 0, out->bytes, err);
}

static enum lmi_rc
fingerprint_check(struct lmi_sessions *sessions,
                  const struct lmi_store_value *there, bool *old_out,
                  struct lmi_err *err)
{
    bool good = false;
    enum lmi_rc rc = LMI_OK;

    if (there->len == LMI_HASH)
        rc = lmi_keys_verify(sessions->keys, LMI_SEAL_META, "", 0, there->bytes,
                             &good, old_out, err);
    if (rc == LMI_OK && !good)
        rc = another_key(err, sessions->settings->key_file,
                         "is not the key that the store was made with");
    return rc;
}

/* Leaves our key's fingerprint in a store that has none, or the old one's. */
static enum lmi_rc
fingerprint_leave(struct lmi_sessions *sessions,
                  const struct lmi_store_value *old, struct lmi_err *err)
{
    struct lmi_store_value mine, there;
    struct lmi_store_op op = {.verb =
                                  old != NULL ? LMI_STORE_SWAP : LMI_STORE_ADD,
                              .id = meta_id(),
                              .expires = INT64_MAX,
                              .value = &mine,
                              .old = old};
    bool done = false, found = false, is_old = false;
    enum lmi_rc rc = fingerprint_make(sessions, &mine, err);

    if (rc == LMI_OK)
        rc = lmi_store_apply(sessions->store, LMI_DURABLE, &op, 1, 0, &done,
                             err);
    if (rc != LMI_OK || done)
        return rc;
    /* Somebody else was first: theirs must be ours as well. */
    rc = lmi_store_get(sessions->store, LMI_DURABLE, &op.id, &found, &there,
                       err);
    return rc != LMI_OK ? rc
                        : fingerprint_check(sessions, &there, &is_old, err);
}

/* The key, made if the store is new: `known` is what the store remembers. */
static enum lmi_rc
keys_open(struct lmi_sessions *sessions, bool known, struct lmi_err *err)
{
    const struct lmi_settings *settings = sessions->settings;
    const char *old =
        settings->key_file_old[0] != '\0' ? settings->key_file_old : NULL;
    bool found = false;
    enum lmi_rc rc = lmi_keys_load(sessions->core, settings->key_file, old,
                                   &found, &sessions->keys, err);

    if (rc != LMI_OK || found)
        return rc;
    if (known)
        return another_key(err, settings->key_file,
                           "is gone, and the store was made with it");
    rc = lmi_keys_make(sessions->core, settings->key_file, err);
    if (rc == LMI_OK)
        rc = lmi_keys_load(sessions->core, settings->key_file, old, &found,
                           &sessions->keys, err);
    if (rc == LMI_OK && !found)
        rc = another_key(err, settings->key_file, "vanished");
    return rc;
}

static enum lmi_rc
open_all(struct lmi_sessions *sessions, struct lmi_err *err)
{
    const struct lmi_store_where where = {
        .url = sessions->settings->store,
        .volatile_dir = sessions->settings->volatile_dir,
        .test_full = sessions->settings->test_fault == LMI_FAULT_STORE_FULL};
    struct lmi_store_id id = meta_id();
    struct lmi_store_value there;
    bool known = false, old = false;
    enum lmi_rc rc;

    if (sessions->settings->test_fault == LMI_FAULT_STORE_AWAY)
        return lmi_fail(err, LMI_STORE, 0, "test_fault",
                        "the store is away, as the settings want it", NULL);
    rc = lmi_store_open(&where, &sessions->store, err);
    if (rc == LMI_OK)
        rc = lmi_store_get(sessions->store, LMI_DURABLE, &id, &known, &there,
                           err);
    if (rc == LMI_OK)
        rc = keys_open(sessions, known, err);
    if (rc == LMI_OK && known)
        rc = fingerprint_check(sessions, &there, &old, err);
    if (rc == LMI_OK && (!known || old))
        rc = fingerprint_leave(sessions, old ? &there : NULL, err);
    return rc;
}

static void
close_all(struct lmi_sessions *sessions)
{
    lmi_store_close(sessions->store);
    lmi_keys_free(sessions->keys);
    sessions->store = NULL;
    sessions->keys = NULL;
}

enum lmi_rc
lmi_vault_enter(struct lmi_sessions *sessions, struct lmi_err *err)
{
    enum lmi_rc rc;

    if (sessions->store != NULL && !lmi_store_replaced(sessions->store))
        return LMI_OK;
    close_all(sessions);
    rc = open_all(sessions, err);
    if (rc != LMI_OK)
        close_all(sessions);
    return rc;
}

enum lmi_rc
lmi_sessions_new(struct lmi *core, const struct lmi_settings *settings,
                 struct lmi_sessions **out, struct lmi_err *err)
{
    struct lmi_sessions *sessions = calloc(1, sizeof *sessions);
    enum lmi_rc rc;

    *out = NULL;
    if (sessions == NULL)
        return lmi_fail(err, LMI_MEMORY, 0, NULL, "no memory", NULL);
    sessions->core = core;
    sessions->settings = settings;
    rc = open_all(sessions, err);
    if (rc != LMI_OK) {
        lmi_sessions_close(sessions);
        return rc;
    }
    *out = sessions;
    return LMI_OK;
}

/* Once for each handle: nobody shall forget such a setting. */
static void
warn_of_tests(const struct lmi_settings *settings)
{
    if (settings->has_test_clock || settings->test_fault != LMI_FAULT_NONE)
        lmi_log(settings->log, true,
                "info TEST test_clock or test_fault is set: this is a test "
                "site");
}

enum lmi_rc
lmi_sessions_open(struct lmi *core, struct lmi_sessions **out,
                  struct lmi_err *err)
{
    struct lmi_settings *settings;
    enum lmi_rc rc = lmi_settings_load(&settings, err);

    *out = NULL;
    if (rc == LMI_OK)
        rc = lmi_sessions_new(core, settings, out, err);
    if (rc != LMI_OK) {
        lmi_settings_free(settings);
        return rc;
    }
    (*out)->own_settings = settings;
    warn_of_tests(settings);
    return LMI_OK;
}

void
lmi_sessions_close(struct lmi_sessions *sessions)
{
    if (sessions == NULL)
        return;
    close_all(sessions);
    lmi_settings_free(sessions->own_settings);
    free(sessions);
}

enum lmi_rc
lmi_vault_id(struct lmi_sessions *sessions, uint8_t kind, const char *secret,
             struct lmi_store_id *out, struct lmi_err *err)
{
    out->kind = kind;
    return lmi_sha256(sessions->core, secret, strlen(secret), out->key, err);
}

enum lmi_rc
lmi_vault_group(struct lmi_sessions *sessions, const char *user,
                enum lmi_service service, const char digits[LMI_TOKEN_DIGITS],
                uint8_t out[LMI_GROUP], struct lmi_err *err)
{
    uint8_t hash[LMI_HASH];
    enum lmi_rc rc = lmi_sha256(sessions->core, user, strlen(user), hash, err);

    memcpy(out, hash, LMI_GROUP_USER);
    out[LMI_GROUP_USER] = (uint8_t)service;
    memcpy(out + LMI_GROUP_USER + 1, digits, LMI_TOKEN_DIGITS);
    return rc;
}

enum lmi_rc
lmi_vault_find(struct lmi_sessions *sessions, const struct lmi_store_id *id,
               struct lmi_found *out, struct lmi_err *err)
{
    bool there = false;
    enum lmi_rc rc = lmi_store_get(sessions->store, LMI_DURABLE, id, &there,
                                   &out->value, err);

    out->id = *id;
    out->good = false;
    if (rc != LMI_OK || !there)
        return rc;
    return lmi_record_decode(sessions->keys, id, &out->value, &out->good,
                             &out->record, err);
}

/*
 * When the session was last seen: volatile, and if lost, as long ago as its
 * last durable change.
 */
static enum lmi_rc
last_seen(struct lmi_sessions *sessions, const struct lmi_found *found,
          int64_t *out, struct lmi_err *err)
{
    struct lmi_store_id id = found->id;
    struct lmi_store_value value;
    bool there = false;
    enum lmi_rc rc;

    *out = found->record.changed;
    id.kind = LMI_KIND_SEEN;
    rc = lmi_store_get(sessions->store, LMI_VOLATILE, &id, &there, &value, err);
    if (rc == LMI_OK && there && value.len == 8 &&
        lmi_get_time(value.bytes) > *out)
        *out = lmi_get_time(value.bytes);
    return rc;
}

enum lmi_rc
lmi_vault_touch(struct lmi_sessions *sessions, const struct lmi_found *found,
                int64_t now, struct lmi_err *err)
{
    struct lmi_store_value value = {.len = 8};
    struct lmi_store_op op = {.verb = LMI_STORE_PUT,
                              .id = found->id,
                              .expires = now + sessions->settings->session_idle,
                              .value = &value};
    bool done;

    op.id.kind = LMI_KIND_SEEN;
    lmi_put_time(value.bytes, now);
    return lmi_store_apply(sessions->store, LMI_VOLATILE, &op, 1, now, &done,
                           err);
}

/* Within both limits, and not from the future? */
static bool
within_limits(const struct lmi_sessions *sessions,
              const struct lmi_record *record, int64_t seen, int64_t now)
{
    const struct lmi_settings *settings = sessions->settings;

    return record->created <= now + CLOCK_SLACK && now < record->ends &&
           now < record->created + settings->session_max &&
           now < seen + settings->session_idle;
}

enum lmi_rc
lmi_vault_find_contended(struct lmi_sessions *sessions,
                         const struct lmi_record *cookie, struct lmi_found *out,
                         struct lmi_err *err)
{
    struct lmi_store_id id = {.kind = LMI_KIND_TICKET};
    enum lmi_rc rc;

    memcpy(id.key, cookie->peer, LMI_STORE_KEY);
    rc = lmi_vault_find(sessions, &id, out, err);
    if (rc == LMI_OK && !out->good) { /* A starter was the ticket, perhaps. */
        id.kind = LMI_KIND_COOKIE;
        rc = lmi_vault_find(sessions, &id, out, err);
    }
    out->good = rc == LMI_OK && out->good &&
                out->record.state == LMI_STATE_SPENT &&
                !lmi_record_has_peer(&out->record);
    return rc;
}

static enum lmi_rc
is_contended(struct lmi_sessions *sessions, const struct lmi_record *cookie,
             bool *contended_out, struct lmi_err *err)
{
    struct lmi_found ticket;
    enum lmi_rc rc = lmi_vault_find_contended(sessions, cookie, &ticket, err);

    *contended_out = ticket.good;
    return rc;
}

enum lmi_rc
lmi_vault_is_live(struct lmi_sessions *sessions, const struct lmi_found *found,
                  int64_t now, bool *live_out, int64_t *seen_out,
                  struct lmi_err *err)
{
    bool has_chance = true;
    enum lmi_rc rc = LMI_OK;

    *live_out = false;
    *seen_out = found->record.changed;
    if (!found->good)
        return LMI_OK;
    if (found->record.state == LMI_STATE_COOKIE)
        rc = last_seen(sessions, found, seen_out, err);
    else if (found->record.state == LMI_STATE_CONTENDER)
        rc = is_contended(sessions, &found->record, &has_chance, err);
    else if (found->record.state == LMI_STATE_SPENT &&
             lmi_record_has_peer(&found->record))
        *seen_out = now;
    *live_out = rc == LMI_OK && has_chance &&
                within_limits(sessions, &found->record, *seen_out, now);
    return rc;
}

/* A cookie's secret, in any state; the user part must be the record's. */
enum lmi_rc
lmi_vault_find_cookie(struct lmi_sessions *sessions,
                      const struct lmi_text *cookie, struct lmi_found *out,
                      struct lmi_err *err)
{
    char user[LMI_USER_MAX + 1], secret[LMI_SECRET_CHARS + 1];
    struct lmi_store_id id;
    enum lmi_rc rc;

    out->good = false;
    if (!lmi_cookie_parse(cookie, user, secret))
        return LMI_OK;
    rc = lmi_vault_id(sessions, LMI_KIND_COOKIE, secret, &id, err);
    lmi_wipe(secret, sizeof secret);
    if (rc == LMI_OK)
        rc = lmi_vault_find(sessions, &id, out, err);
    if (rc == LMI_OK && out->good && strcmp(user, out->record.user) != 0)
        out->good = false;
    return rc;
}

enum lmi_rc
lmi_vault_find_ticket(struct lmi_sessions *sessions,
                      const struct lmi_text *ticket, struct lmi_found *out,
                      struct lmi_err *err)
{
    char secret[LMI_TICKET_SIZE];
    struct lmi_store_id id;
    enum lmi_rc rc;

    out->good = false;
    if (!lmi_ticket_parse(ticket, secret)) {
        /* A starter, unless it has become a cookie. */
        rc = lmi_vault_find_cookie(sessions, ticket, out, err);
        out->good = rc == LMI_OK && out->good &&
                    (out->record.state == LMI_STATE_STARTER ||
                     out->record.state == LMI_STATE_SPENT);
        return rc;
    }
    rc = lmi_vault_id(sessions, LMI_KIND_TICKET, secret, &id, err);
    lmi_wipe(secret, sizeof secret);
    return rc != LMI_OK ? rc : lmi_vault_find(sessions, &id, out, err);
}

/* An entry lives as long as its record can: the purge looks no further. */
static int64_t
expiry_of(const struct lmi_sessions *sessions, const struct lmi_record *record)
{
    if (record->state == LMI_STATE_FRESH || record->state == LMI_STATE_STARTER)
        return record->changed + sessions->settings->session_idle;
    return record->ends;
}

enum lmi_rc
lmi_vault_write(struct lmi_sessions *sessions, enum lmi_store_verb verb,
                const struct lmi_store_id *id, const struct lmi_record *record,
                const struct lmi_store_value *old,
                struct lmi_store_value *value_out, struct lmi_store_op *out,
                struct lmi_err *err)
{
    enum lmi_rc rc;

    *out = (struct lmi_store_op){.verb = verb,
                                 .id = *id,
                                 .expires = expiry_of(sessions, record),
                                 .group_len = LMI_GROUP,
                                 .value = value_out,
                                 .old = old};
    rc = lmi_vault_group(sessions, record->user, record->service,
                         record->digits, out->group, err);
    return rc != LMI_OK
               ? rc
               : lmi_record_encode(sessions->keys, id, record, value_out, err);
}

void
lmi_vault_end_ops(const struct lmi_found *found,
                  struct lmi_store_op out[LMI_END_OPS])
{
    for (size_t i = 0; i < LMI_END_OPS; i++)
        out[i] = (struct lmi_store_op){.verb = LMI_STORE_DROP, .id = found->id};
    memcpy(out[1].id.key, found->record.peer, LMI_STORE_KEY);
    memcpy(out[2].id.key, found->record.peer, LMI_STORE_KEY);
    out[1].id.kind = LMI_KIND_TICKET;
    out[2].id.kind = LMI_KIND_COOKIE;
}

enum lmi_rc
lmi_vault_end(struct lmi_sessions *sessions, const struct lmi_found *found,
              int64_t now, struct lmi_err *err)
{
    struct lmi_store_op ops[LMI_END_OPS];
    bool done;

    lmi_vault_end_ops(found, ops);
    return lmi_store_apply(sessions->store, LMI_DURABLE, ops, LMI_END_OPS, now,
                           &done, err);
}

/* Has the user a live session at the service, or a fresh ticket, with it? */
static enum lmi_rc
token_lives(struct lmi_sessions *sessions, const struct lmi_session_wish *wish,
            const char digits[LMI_TOKEN_DIGITS], int64_t now, bool *lives_out,
            struct lmi_err *err)
{
    uint8_t group[LMI_GROUP];
    struct lmi_store_place place, next;
    const struct lmi_store_place *after = NULL;
    struct lmi_found found;
    bool more = true;
    int64_t seen;
    enum lmi_rc rc = lmi_vault_group(sessions, wish->user, wish->service,
                                     digits, group, err);

    *lives_out = false;
    while (rc == LMI_OK && more && !*lives_out) {
        rc = lmi_store_next(sessions->store, LMI_DURABLE, group, LMI_GROUP,
                            after, &more, &next, err);
        if (rc != LMI_OK || !more)
            break;
        place = next;
        after = &place;
        rc = lmi_vault_find(sessions, &place.id, &found, err);
        if (rc == LMI_OK && found.good && found.record.state != LMI_STATE_SPENT)
            rc =
                lmi_vault_is_live(sessions, &found, now, lives_out, &seen, err);
    }
    return rc;
}

/* The token to use: the one to share, if it lives, or a new one. */
static enum lmi_rc
choose_token(struct lmi_sessions *sessions, const struct lmi_session_wish *wish,
             int64_t now, char digits_out[LMI_TOKEN_DIGITS],
             struct lmi_err *err)
{
    bool lives = false;
    enum lmi_rc rc = LMI_OK;

    if (wish->reuse != NULL) {
        memcpy(digits_out, wish->reuse, LMI_TOKEN_DIGITS);
        rc = token_lives(sessions, wish, digits_out, now, &lives, err);
        if (rc != LMI_OK || lives)
            return rc;
    }
    do {
        rc = lmi_token_draw(sessions->core, digits_out, err);
        if (rc == LMI_OK)
            rc = token_lives(sessions, wish, digits_out, now, &lives, err);
    } while (rc == LMI_OK && lives);
    return rc;
}

enum lmi_rc
lmi_vault_fingerprint(struct lmi_sessions *sessions, const char *hash,
                      uint8_t out[LMI_SHORT_SEAL], struct lmi_err *err)
{
    uint8_t seal[LMI_HASH];
    enum lmi_rc rc = lmi_keys_seal(sessions->keys, LMI_SEAL_FINGERPRINT, hash,
                                   strlen(hash), seal, err);

    memcpy(out, seal, LMI_SHORT_SEAL);
    return rc;
}

/* The public name: derived, so that it opens nothing. */
static enum lmi_rc
public_id(struct lmi_sessions *sessions,
          const uint8_t session_key[LMI_SESSION_KEY], char out[LMI_ID_SIZE],
          struct lmi_err *err)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t named[3 + LMI_SESSION_KEY] = "id:", hash[LMI_HASH];
    enum lmi_rc rc;

    memcpy(named + 3, session_key, LMI_SESSION_KEY);
    rc = lmi_sha256(sessions->core, named, sizeof named, hash, err);
    /* No snprintf(): it would be a tenth of what a check costs. */
    for (size_t i = 0; i < LMI_ID_SIZE - 1; i++)
        out[i] = hex[i % 2 == 0 ? hash[i / 2] >> 4 : hash[i / 2] & 15];
    out[LMI_ID_SIZE - 1] = '\0';
    return rc;
}

enum lmi_rc
lmi_vault_describe(struct lmi_sessions *sessions,
                   const struct lmi_record *record, int64_t seen,
                   struct lmi_session *out, struct lmi_err *err)
{
    int64_t limit = record->created + sessions->settings->session_max;

    memcpy(out->user, record->user, sizeof out->user);
    out->service = record->service;
    lmi_token_format(record->digits, out->token);
    out->created = record->created;
    out->ends = record->ends < limit ? record->ends : limit;
    out->last_seen = seen;
    out->redeemed =
        record->state != LMI_STATE_FRESH && record->state != LMI_STATE_STARTER;
    return public_id(sessions, record->session_key, out->id, err);
}

static enum lmi_rc
new_record(struct lmi_sessions *sessions, const struct lmi_session_wish *wish,
           int64_t now, struct lmi_record *out, struct lmi_err *err)
{
    enum lmi_rc rc;

    *out = (struct lmi_record){
        .state = wish->starter ? LMI_STATE_STARTER : LMI_STATE_FRESH,
        .service = wish->service,
        .created = now,
        .changed = now,
        .ends = now + sessions->settings->session_max,
    };
    snprintf(out->user, sizeof out->user, "%s", wish->user);
    rc = lmi_random(sessions->core, out->session_key, LMI_SESSION_KEY, err);
    if (rc == LMI_OK)
        rc = lmi_vault_fingerprint(sessions, wish->hash, out->fingerprint, err);
    return rc;
}

/* The secret and where its entry lies. */
static enum lmi_rc
draw_secret(struct lmi_sessions *sessions, const struct lmi_session_wish *wish,
            char out[LMI_COOKIE_SIZE], struct lmi_store_id *id_out,
            struct lmi_err *err)
{
    char secret[LMI_SECRET_CHARS + 1] = "";
    enum lmi_rc rc;

    if (wish->starter) {
        rc = lmi_cookie_draw(sessions->core, wish->user, out, secret, err);
        if (rc == LMI_OK)
            rc = lmi_vault_id(sessions, LMI_KIND_COOKIE, secret, id_out, err);
        lmi_wipe(secret, sizeof secret);
        return rc;
    }
    rc = lmi_ticket_draw(sessions->core, out, err);
    if (rc == LMI_OK)
        rc = lmi_vault_id(sessions, LMI_KIND_TICKET, out, id_out, err);
    return rc;
}

enum lmi_rc
lmi_session_create(struct lmi_sessions *sessions,
                   const struct lmi_session_wish *wish,
                   struct lmi_session_made *out, struct lmi_err *err)
{
    struct lmi_store_value value;
    struct lmi_store_op ops[2];
    struct lmi_store_id id;
    struct lmi_record record;
    int64_t now = lmi_vault_now(sessions);
    bool done = false;
    enum lmi_rc rc = new_record(sessions, wish, now, &record, err);

    memset(out, 0, sizeof *out);
    if (rc == LMI_OK)
        rc = choose_token(sessions, wish, now, record.digits, err);
    if (rc == LMI_OK)
        rc = draw_secret(sessions, wish, out->secret, &id, err);
    if (rc == LMI_OK)
        rc = lmi_vault_write(sessions, LMI_STORE_ADD, &id, &record, NULL,
                             &value, &ops[0], err);
    if (rc == LMI_OK)
        rc = public_id(sessions, record.session_key, out->id, err);
    if (wish->with != NULL)
        ops[1] = *wish->with;
    if (rc == LMI_OK)
        rc = lmi_store_apply(sessions->store, LMI_DURABLE, ops,
                             wish->with != NULL ? 2 : 1, now, &done, err);
    if (rc == LMI_OK && !done)
        rc = lmi_fail(err, LMI_CRYPTO, 0, "OpenSSL",
                      "drew the same 256 bits twice", NULL);
    if (rc == LMI_OK)
        lmi_token_format(record.digits, out->token);
    else
        lmi_wipe(out, sizeof *out);
    return rc;
}

enum lmi_rc
lmi_vault_fault(const struct lmi_sessions *sessions, enum lmi_rc rc,
                const struct lmi_err *err)
{
    char line[LMI_DETAIL_SIZE + 16] = "info FAULT ";
    size_t len = strlen(line);

    if (rc != LMI_OK) {
        lmi_err_format(err, line + len, sizeof line - len);
        lmi_log(sessions->settings->log, true, line);
    }
    return rc;
}

void
lmi_vault_log(const struct lmi_sessions *sessions,
              const struct lmi_session *session, const char *address,
              const char *event, const char *more)
{
    char line[512 + LMI_USER_MAX];

    snprintf(line, sizeof line, "info [%s] %s %s %s:%s %s",
             lmi_service_daemon(session->service),
             address[0] != '\0' ? address : "-", event, session->user,
             session->id, more);
    lmi_log(sessions->settings->log, false, line);
}
