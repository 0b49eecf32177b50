#include "sessions/record.h"

#include <string.h>

#include "base/secret.h"

#define VERSION 1
#define FIXED                                                                  \
    (4 + LMI_SESSION_KEY + LMI_TOKEN_DIGITS + 3 * 8 + 2 * LMI_SHORT_MAC +      \
     LMI_STORE_KEY + 1)

_Static_assert(FIXED + LMI_USER_MAX + LMI_HASH <= LMI_STORE_VALUE,
               "the longest record fits the store");

void
lmi_put_time(uint8_t out[8], int64_t time)
{
    uint64_t bits = (uint64_t)time;

    for (size_t i = 8; i-- > 0; bits >>= 8)
        out[i] = (uint8_t)bits;
}

int64_t
lmi_get_time(const uint8_t in[8])
{
    uint64_t bits = 0;

    for (size_t i = 0; i < 8; i++)
        bits = bits << 8 | in[i];
    return (int64_t)bits;
}

bool
lmi_record_has_peer(const struct lmi_record *record)
{
    static const uint8_t zeros[LMI_STORE_KEY];

    return memcmp(record->peer, zeros, LMI_STORE_KEY) != 0;
}

bool
lmi_record_is_fresh(const struct lmi_record *record)
{
    return record->state == LMI_STATE_FRESH ||
           record->state == LMI_STATE_DUAL_USE;
}

bool
lmi_record_stands(const struct lmi_record *record)
{
    if (record->state == LMI_STATE_SPENT)
        return !lmi_record_has_peer(record);
    return record->state != LMI_STATE_CONTENDER;
}

/* A pointer into a value that moves on as fields are written or read. */
static void
put(uint8_t **at, const void *field, size_t len)
{
    memcpy(*at, field, len);
    *at += len;
}

static void
put_time(uint8_t **at, int64_t time)
{
    lmi_put_time(*at, time);
    *at += 8;
}

static void
take(const uint8_t **at, void *field, size_t len)
{
    memcpy(field, *at, len);
    *at += len;
}

static int64_t
take_time(const uint8_t **at)
{
    int64_t time = lmi_get_time(*at);

    *at += 8;
    return time;
}

/* The store key in front, so that a record can't be moved to another one. */
static size_t
maced_bytes(const struct lmi_store_id *id, const uint8_t *body, size_t len,
            uint8_t out[LMI_STORE_KEY + LMI_STORE_VALUE])
{
    memcpy(out, id->key, LMI_STORE_KEY);
    memcpy(out + LMI_STORE_KEY, body, len);
    return LMI_STORE_KEY + len;
}

enum lmi_rc
lmi_record_encode(struct lmi_keys *keys, const struct lmi_store_id *id,
                  const struct lmi_record *record, struct lmi_store_value *out,
                  struct lmi_err *err)
{
    uint8_t maced[LMI_STORE_KEY + LMI_STORE_VALUE];
    uint8_t head[4] = {VERSION, id->kind, (uint8_t)record->state,
                       (uint8_t)record->service};
    uint8_t user_len = (uint8_t)strnlen(record->user, LMI_USER_MAX);
    uint8_t *at = out->bytes;

    put(&at, head, sizeof head);
    put(&at, record->session_key, LMI_SESSION_KEY);
    put(&at, record->digits, LMI_TOKEN_DIGITS);
    put_time(&at, record->created);
    put_time(&at, record->ends);
    put_time(&at, record->changed);
    put(&at, record->fingerprint, LMI_SHORT_MAC);
    put(&at, record->origin, LMI_SHORT_MAC);
    put(&at, record->peer, LMI_STORE_KEY);
    put(&at, &user_len, 1);
    put(&at, record->user, user_len);
    size_t len = (size_t)(at - out->bytes);
    out->len = len + LMI_HASH;
    return lmi_keys_mac(keys, LMI_MAC_RECORD, maced,
                        maced_bytes(id, out->bytes, len, maced), at, err);
}

/* Is the length what the fields say, and the beginning what it must be? */
static bool
shape_ok(const struct lmi_store_id *id, const struct lmi_store_value *value)
{
    const uint8_t *bytes = value->bytes;

    return value->len >= FIXED + LMI_HASH && value->len <= LMI_STORE_VALUE &&
           bytes[0] == VERSION && bytes[1] == id->kind &&
           bytes[2] >= LMI_STATE_FRESH && bytes[2] <= LMI_STATE_CONTENDER &&
           bytes[3] >= LMI_CPANEL && bytes[3] <= LMI_WEBMAIL &&
           bytes[FIXED - 1] <= LMI_USER_MAX &&
           value->len == FIXED + (size_t)bytes[FIXED - 1] + LMI_HASH;
}

static void
read_fields(const uint8_t *at, struct lmi_record *out)
{
    uint8_t head[4], user_len;

    take(&at, head, sizeof head);
    out->state = head[2];
    out->service = head[3];
    take(&at, out->session_key, LMI_SESSION_KEY);
    take(&at, out->digits, LMI_TOKEN_DIGITS);
    out->created = take_time(&at);
    out->ends = take_time(&at);
    out->changed = take_time(&at);
    take(&at, out->fingerprint, LMI_SHORT_MAC);
    take(&at, out->origin, LMI_SHORT_MAC);
    take(&at, out->peer, LMI_STORE_KEY);
    take(&at, &user_len, 1);
    take(&at, out->user, user_len);
}

enum lmi_rc
lmi_record_decode(struct lmi_keys *keys, const struct lmi_store_id *id,
                  const struct lmi_store_value *value, bool *good_out,
                  struct lmi_record *record_out, struct lmi_err *err)
{
    uint8_t maced[LMI_STORE_KEY + LMI_STORE_VALUE];
    size_t len = value->len - LMI_HASH;
    bool good = false;
    enum lmi_rc rc;

    *good_out = false;
    memset(record_out, 0, sizeof *record_out);
    if (!shape_ok(id, value))
        return LMI_OK;
    rc = lmi_keys_verify(keys, LMI_MAC_RECORD, maced,
                         maced_bytes(id, value->bytes, len, maced),
                         value->bytes + len, LMI_HASH, &good, NULL, err);
    if (rc != LMI_OK || !good)
        return rc;
    read_fields(value->bytes, record_out);
    *good_out = true;
    return LMI_OK;
}
