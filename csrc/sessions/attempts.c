#include "sessions/attempts.h"

#include <string.h>

#define NAME_FREE 3
#define SOURCE_FREE 30
#define NETWORK_FREE 300
#define WAIT_LONGEST 900
#define WAIT_AT_MAX 3600
#define FORGET_SECONDS LMI_FORGET_SECONDS
#define OPEN_MAX 32     /* reservations of a row at once, below its limit */
#define OPEN_SECONDS 60 /* a reservation older than this has failed */
#define ROWS                                                                   \
    (sizeof((struct lmi_attempt *)0)->rows / sizeof(struct lmi_attempt_row))
#define KNOWN_SECONDS LMI_KNOWN_SECONDS
#define KNOWN_AGAIN_SECONDS 86400 /* remembered once a day */

/* What is known of a name, a pair or a source. */
struct row {
    uint32_t failures;
    int64_t last;
    size_t open;
    int64_t starts[OPEN_MAX];
};

static void
row_read(const struct lmi_store_value *value, struct row *out)
{
    memset(out, 0, sizeof *out);
    if (value->len < 13 || (value->len - 13) % 8 != 0 ||
        (value->len - 13) / 8 != value->bytes[12] ||
        value->bytes[12] > OPEN_MAX)
        return;
    for (size_t i = 0; i < 4; i++)
        out->failures = out->failures << 8 | value->bytes[i];
    out->last = lmi_get_time(value->bytes + 4);
    out->open = value->bytes[12];
    for (size_t i = 0; i < out->open; i++)
        out->starts[i] = lmi_get_time(value->bytes + 13 + 8 * i);
}

static void
row_write(const struct row *row, struct lmi_store_value *out)
{
    for (size_t i = 0; i < 4; i++)
        out->bytes[i] = (uint8_t)(row->failures >> (24 - 8 * i));
    lmi_put_time(out->bytes + 4, row->last);
    out->bytes[12] = (uint8_t)row->open;
    for (size_t i = 0; i < row->open; i++)
        lmi_put_time(out->bytes + 13 + 8 * i, row->starts[i]);
    out->len = 13 + 8 * row->open;
}

static void
row_fail(struct row *row, int64_t when)
{
    if (row->failures < UINT32_MAX)
        row->failures++;
    row->last = row->last > when ? row->last : when;
}

static void
row_close(struct row *row, size_t index)
{
    row->starts[index] = row->starts[--row->open];
}

/* Brings a row up to date: stale reservations fail, old failures go. */
static void
row_settle(struct row *row, int64_t now)
{
    for (size_t i = row->open; i-- > 0;)
        if (row->starts[i] + OPEN_SECONDS <= now ||
            row->starts[i] > now + OPEN_SECONDS) {
            row_fail(row, row->starts[i] < now ? row->starts[i] : now);
            row_close(row, i);
        }
    if (row->last > now)
        row->last = now; /* the clock was set back */
    if (row->last + FORGET_SECONDS <= now)
        row->failures = 0;
}

/* Seconds until the row lets another attempt begin; 0: now. */
static uint32_t
row_wait(const struct row *row, uint32_t free_failures, uint32_t max,
         int64_t now)
{
    uint32_t beyond = row->failures - free_failures, wait = WAIT_LONGEST;

    if (row->failures < free_failures)
        return row->open < OPEN_MAX ? 0 : 1;
    if (row->failures >= max)
        wait = WAIT_AT_MAX;
    else if (beyond < 10 && (UINT32_C(1) << beyond) < WAIT_LONGEST)
        wait = UINT32_C(1) << beyond;
    if (row->last + wait > now)
        return (uint32_t)(row->last + wait - now);
    return row->open == 0 ? 0 : 1;
}

/* Adds up what lies in two places. What can't be open here has failed. */
static void
row_unite(struct row *row, const struct row *other)
{
    row->failures = row->failures < UINT32_MAX - other->failures
                        ? row->failures + other->failures
                        : UINT32_MAX;
    row->last = row->last > other->last ? row->last : other->last;
    for (size_t i = 0; i < other->open; i++)
        if (row->open < OPEN_MAX)
            row->starts[row->open++] = other->starts[i];
        else
            row_fail(row, other->starts[i]);
}

/* All that is there of a row, settled. */
static void
row_gather(const struct lmi_attempt_found *found, int64_t now, struct row *out)
{
    struct row other;

    row_read(&found->value, out);
    row_settle(out, now);
    for (size_t i = 0; i < LMI_FURTHER_KEYS; i++) {
        if (!found->further[i])
            continue;
        row_read(&found->further_values[i], &other);
        row_settle(&other, now);
        row_unite(out, &other);
    }
}

enum lmi_rc
lmi_attempt_find(struct lmi *lmi, enum lmi_store_part part,
                 const struct lmi_attempt_row *rows, size_t count,
                 struct lmi_attempt_found *out, struct lmi_err *err)
{
    struct lmi_store_want wants[LMI_KEYS * ROWS];
    const struct lmi_store_want *found = wants;
    size_t wanted = 0;

    _Static_assert(LMI_KEYS * ROWS <= LMI_STORE_WANTS, "one question");
    for (size_t i = 0; i < count; i++) {
        wants[wanted].part = part;
        wants[wanted++].id = rows[i].id;
        for (size_t j = 0; j < rows[i].further_count; j++) {
            wants[wanted].part = part;
            wants[wanted++].id = rows[i].further[j];
        }
    }
    enum lmi_rc rc =
        lmi_store_get_many(lmi_store_of(lmi), wants, wanted, 0, err);
    for (size_t i = 0; i < count; i++) {
        memset(&out[i], 0, sizeof out[i]);
        if (rc != LMI_OK)
            continue;
        out[i].there = out[i].anywhere = found->found;
        out[i].value = found++->value;
        for (size_t j = 0; j < rows[i].further_count; j++, found++) {
            out[i].further[j] = found->found;
            out[i].anywhere = out[i].anywhere || found->found;
            out[i].further_values[j] = found->value;
        }
    }
    return rc;
}

/* A row in the store: its old value is what the change expects to find. */
struct slot {
    struct row row;
    struct lmi_attempt_found old;
    struct lmi_store_value value;
};
#define SLOT_OPS (1 + 2 * LMI_FURTHER_KEYS)

/* All rows of the attempt. */
static enum lmi_rc
slots_read(struct lmi *lmi, const struct lmi_attempt *attempt, int64_t now,
           struct slot slots[ROWS], struct lmi_err *err)
{
    struct lmi_attempt_found found[ROWS];
    enum lmi_rc rc = lmi_attempt_find(lmi, LMI_VOLATILE, attempt->rows,
                                      attempt->count, found, err);

    for (size_t i = 0; i < attempt->count; i++) {
        slots[i].old = found[i];
        row_gather(&found[i], now, &slots[i].row);
    }
    return rc;
}

/* Drops an entry, if it is still what was found. */
static void
drop_ops(const struct lmi_store_id *id, const struct lmi_store_value *found,
         int64_t now, struct lmi_store_op *ops, size_t *count)
{
    ops[(*count)++] = (struct lmi_store_op){.verb = LMI_STORE_SWAP,
                                            .id = *id,
                                            .expires = now,
                                            .value = found,
                                            .old = found};
    ops[(*count)++] = (struct lmi_store_op){.verb = LMI_STORE_DROP, .id = *id};
}

/* Writes the row; what was found under further ids moves. */
static void
slot_ops(struct slot *slot, const struct lmi_attempt_row *row, int64_t now,
         struct lmi_store_op *ops, size_t *count)
{
    size_t rank = slot->row.failures + slot->row.open;

    row_write(&slot->row, &slot->value);
    /* Of a kind, the rows with the fewest failures are first to make room. */
    ops[(*count)++] = (struct lmi_store_op){
        .verb = slot->old.there ? LMI_STORE_SWAP : LMI_STORE_ADD,
        .id = row->id,
        .expires = now + FORGET_SECONDS,
        .group = {'!', row->id.kind, (uint8_t)(rank < 255 ? rank : 255)},
        .group_len = 3,
        .cap = LMI_ATTEMPT_ROWS,
        .value = &slot->value,
        .old = &slot->old.value};
    for (size_t i = 0; i < row->further_count; i++)
        if (slot->old.further[i])
            drop_ops(&row->further[i], &slot->old.further_values[i], now, ops,
                     count);
}

void
lmi_attempt_group(uint8_t kind, uint8_t out[LMI_ATTEMPT_GROUP])
{
    out[0] = '!';
    out[1] = kind;
}

/* Not that of a key which there is twice, in the middle of a rotation? */
static bool
is_another(const struct lmi_attempt_row *row, const struct lmi_store_id *id)
{
    for (size_t i = 0; i < row->further_count; i++)
        if (memcmp(row->further[i].key, id->key, LMI_STORE_KEY) == 0)
            return false;
    return memcmp(row->id.key, id->key, LMI_STORE_KEY) != 0;
}

/* Where something of a name, a source or both lies: under their MAC. */
static enum lmi_rc
row_id(struct lmi *lmi, uint8_t kind, uint8_t purpose, const char *user,
       const struct lmi_address *source, struct lmi_attempt_row *out,
       struct lmi_err *err)
{
    struct lmi_keys *keys = lmi_keys_of(lmi);
    uint8_t bytes[sizeof source->bytes + LMI_USER_MAX];
    size_t len = 0, user_len = strlen(user);

    if (source != NULL) {
        memcpy(bytes, source->bytes, sizeof source->bytes);
        len = sizeof source->bytes;
    }
    memcpy(bytes + len, user, user_len);
    len += user_len;
    out->id.kind = kind;
    out->further_count = 0;
    enum lmi_rc rc = lmi_keys_mac(keys, purpose, bytes, len, out->id.key, err);
    for (enum lmi_key i = LMI_KEY_NEXT; rc == LMI_OK && i < LMI_KEYS; i++) {
        struct lmi_store_id *id = &out->further[out->further_count];
        bool has;
        id->kind = kind;
        rc = lmi_keys_mac_of(keys, i, purpose, bytes, len, &has, id->key, err);
        out->further_count += rc == LMI_OK && has && is_another(out, id);
    }
    return rc;
}

/* What is one source: of an IPv6 address 64 bits. */
static struct lmi_address
host_of(const struct lmi_address *source)
{
    struct lmi_address host = *source;

    lmi_address_mask(&host, 64);
    return host;
}

/* And of its network 48. */
static struct lmi_address
network_of(const struct lmi_address *source)
{
    struct lmi_address network = *source;

    lmi_address_mask(&network, 48);
    return network;
}

static uint32_t
free_failures(uint8_t kind)
{
    return kind == LMI_KIND_NETWORK  ? NETWORK_FREE
           : kind == LMI_KIND_SOURCE ? SOURCE_FREE
                                     : NAME_FREE;
}

enum lmi_rc
lmi_attempt_row_of(struct lmi *lmi, uint8_t kind, const char *user,
                   const struct lmi_address *source,
                   struct lmi_attempt_row *out, struct lmi_err *err)
{
    static const struct lmi_address none;
    struct lmi_address host = host_of(source != NULL ? source : &none);
    struct lmi_address network = network_of(source != NULL ? source : &none);

    out->free_failures = free_failures(kind);
    switch (kind) {
    case LMI_KIND_PAIR:
        return row_id(lmi, kind, LMI_MAC_PAIR, user, &host, out, err);
    case LMI_KIND_SOURCE:
        return row_id(lmi, kind, LMI_MAC_SOURCE, "", &host, out, err);
    case LMI_KIND_NETWORK:
        return row_id(lmi, kind, LMI_MAC_NETWORK, "", &network, out, err);
    default:
        return row_id(lmi, kind, LMI_MAC_NAME, user, NULL, out, err);
    }
}

bool
lmi_attempt_state_of(const struct lmi *lmi, uint8_t kind,
                     const struct lmi_store_value *value,
                     struct lmi_attempt_state *out)
{
    int64_t now = lmi_now(lmi);
    struct row row;

    row_read(value, &row);
    row_settle(&row, now);
    out->failures = row.failures;
    out->wait = row_wait(&row, free_failures(kind),
                         lmi_settings_of(lmi)->attempts_max, now);
    return row.failures > 0;
}

static int64_t
known_time(const struct lmi_store_value *value)
{
    return value->len == 8 ? lmi_get_time(value->bytes) : 0;
}

/* When did the name last log in from this source? */
static enum lmi_rc
find_known(struct lmi *lmi, const char *user, const struct lmi_address *network,
           struct lmi_attempt *attempt, struct lmi_err *err)
{
    struct lmi_attempt_row known;
    struct lmi_attempt_found found;
    enum lmi_rc rc =
        row_id(lmi, LMI_KIND_KNOWN, LMI_MAC_KNOWN, user, network, &known, err);

    if (rc == LMI_OK)
        rc = lmi_attempt_find(lmi, LMI_DURABLE, &known, 1, &found, err);
    if (rc != LMI_OK)
        return rc;
    attempt->known = known.id;
    attempt->known_anew = !found.there && known.further_count > 0;
    attempt->known_since = known_time(&found.value);
    for (size_t i = 0; i < LMI_FURTHER_KEYS; i++) {
        int64_t since = known_time(&found.further_values[i]);
        if (since > attempt->known_since)
            attempt->known_since = since;
    }
    return LMI_OK;
}

/* Within so many seconds before the attempt? */
static bool
known_within(const struct lmi_attempt *attempt, int64_t seconds)
{
    return attempt->known_since != 0 &&
           attempt->known_since + seconds > attempt->started;
}

enum lmi_rc
lmi_attempt_is_known(struct lmi *lmi, const char *user,
                     const struct lmi_address *source, bool *out,
                     struct lmi_err *err)
{
    struct lmi_attempt attempt = {.started = lmi_now(lmi)};
    struct lmi_address host = host_of(source);
    enum lmi_rc rc;

    *out = false;
    if (lmi_address_is_uid(source))
        return LMI_OK;
    rc = find_known(lmi, user, &host, &attempt, err);
    *out = rc == LMI_OK && known_within(&attempt, KNOWN_SECONDS);
    return rc;
}

static enum lmi_rc
add_row(struct lmi *lmi, uint8_t kind, const char *user,
        const struct lmi_address *source, struct lmi_attempt *out,
        struct lmi_err *err)
{
    return lmi_attempt_row_of(lmi, kind, user, source, &out->rows[out->count++],
                              err);
}

/* Which rows count: the pair's alone, or the name's and the source's. */
static enum lmi_rc
choose_rows(struct lmi *lmi, const char *user, const struct lmi_address *source,
            struct lmi_attempt *out, struct lmi_err *err)
{
    struct lmi_address host;
    bool is_host = source != NULL && !lmi_address_is_uid(source);
    enum lmi_rc rc = LMI_OK;

    out->may_be_known = is_host;
    if (source != NULL)
        host = host_of(source);
    if (is_host)
        rc = find_known(lmi, user, &host, out, err);
    if (rc == LMI_OK && known_within(out, KNOWN_SECONDS))
        return add_row(lmi, LMI_KIND_PAIR, user, source, out, err);
    if (rc == LMI_OK)
        rc = add_row(lmi, LMI_KIND_NAME, user, NULL, out, err);
    if (rc == LMI_OK && source != NULL)
        rc = add_row(lmi, LMI_KIND_SOURCE, user, source, out, err);
    if (rc == LMI_OK && is_host && lmi_address_is_ipv6(&host))
        rc = add_row(lmi, LMI_KIND_NETWORK, user, source, out, err);
    return rc;
}

/* One try to reserve in all rows; *done_out is false if a row has changed. */
static enum lmi_rc
reserve(struct lmi *lmi, const struct lmi_attempt *attempt, uint32_t *wait_out,
        bool *done_out, struct lmi_err *err)
{
    struct slot slots[ROWS];
    struct lmi_store_op ops[SLOT_OPS * ROWS];
    size_t count = 0;
    int64_t now = attempt->started;
    enum lmi_rc rc = slots_read(lmi, attempt, now, slots, err);

    *wait_out = 0;
    *done_out = true;
    for (size_t i = 0; rc == LMI_OK && i < attempt->count; i++) {
        uint32_t wait = row_wait(&slots[i].row, attempt->rows[i].free_failures,
                                 lmi_settings_of(lmi)->attempts_max, now);
        *wait_out = wait > *wait_out ? wait : *wait_out;
    }
    if (rc != LMI_OK || *wait_out > 0)
        return rc;
    for (size_t i = 0; i < attempt->count; i++) {
        struct row *row = &slots[i].row;
        row->starts[row->open++] = now;
        slot_ops(&slots[i], &attempt->rows[i], now, ops, &count);
    }
    return lmi_store_apply(lmi_store_of(lmi), LMI_VOLATILE, ops, count, now,
                           done_out, err);
}

enum lmi_rc
lmi_attempt_begin(struct lmi *lmi, const char *user,
                  const struct lmi_address *source, struct lmi_attempt *out,
                  uint32_t *wait_out, struct lmi_err *err)
{
    bool done = false;
    enum lmi_rc rc;

    memset(out, 0, sizeof *out);
    *wait_out = 0;
    out->started = lmi_now(lmi);
    rc = choose_rows(lmi, user, source, out, err);
    for (int i = 0; rc == LMI_OK && !done; i++)
        rc = i < LMI_ROUNDS ? reserve(lmi, out, wait_out, &done, err)
                            : lmi_too_busy(err);
    return rc;
}

/*
 * Closes the attempt's reservation, and counts what it has come to. A row that
 * is there without it has counted it, for it took so long; one that made room
 * for others has not.
 */
static void
row_end(struct slot *slot, int64_t started, int64_t now, bool is_first,
        enum lmi_attempt_end end)
{
    struct row *row = &slot->row;
    size_t i = 0;

    while (i < row->open && row->starts[i] != started)
        i++;
    if (i < row->open)
        row_close(row, i);
    else if (end == LMI_ATTEMPT_FAILED && slot->old.anywhere)
        return;
    if (end == LMI_ATTEMPT_FAILED)
        row_fail(row, now);
    if (end == LMI_ATTEMPT_GOOD && is_first)
        row->failures = 0;
}

static enum lmi_rc
settle(struct lmi *lmi, const struct lmi_attempt *attempt,
       enum lmi_attempt_end end, bool *done_out, struct lmi_err *err)
{
    struct slot slots[ROWS];
    struct lmi_store_op ops[SLOT_OPS * ROWS];
    size_t count = 0;
    int64_t now = lmi_now(lmi);
    enum lmi_rc rc = slots_read(lmi, attempt, now, slots, err);

    for (size_t i = 0; rc == LMI_OK && i < attempt->count; i++) {
        row_end(&slots[i], attempt->started, now, i == 0, end);
        slot_ops(&slots[i], &attempt->rows[i], now, ops, &count);
    }
    if (rc != LMI_OK)
        return rc;
    return lmi_store_apply(lmi_store_of(lmi), LMI_VOLATILE, ops, count, now,
                           done_out, err);
}

enum lmi_rc
lmi_attempt_end(struct lmi *lmi, const struct lmi_attempt *attempt,
                enum lmi_attempt_end end, struct lmi_err *err)
{
    bool done = false;
    enum lmi_rc rc = LMI_OK;

    for (int i = 0; rc == LMI_OK && !done; i++)
        rc = i < LMI_ROUNDS ? settle(lmi, attempt, end, &done, err)
                            : lmi_too_busy(err);
    return rc;
}

bool
lmi_attempt_remember(const struct lmi_attempt *attempt,
                     struct lmi_store_value *value_out,
                     struct lmi_store_op *op_out)
{
    if (!attempt->may_be_known ||
        (!attempt->known_anew && known_within(attempt, KNOWN_AGAIN_SECONDS)))
        return false;
    value_out->len = 8;
    lmi_put_time(value_out->bytes, attempt->started);
    *op_out = (struct lmi_store_op){.verb = LMI_STORE_PUT,
                                    .id = attempt->known,
                                    .expires = attempt->started + KNOWN_SECONDS,
                                    .value = value_out};
    return true;
}
