#include "sessions/record.h"

#include <string.h>

#define VERSION 2
#define OLD_FIXED                                                              \
    (4 + LMI_SESSION_KEY + LMI_TOKEN_DIGITS + 3 * 8 + 2 * LMI_SHORT_MAC +      \
     LMI_STORE_KEY + 1)
#define FIXED (OLD_FIXED + 8 + sizeof(struct lmi_address))

_Static_assert(FIXED + LMI_USER_MAX + LMI_HASH <= LMI_STORE_VALUE,
               "the longest record fits the store");

/* The fields behind the head, in their order. */
#define FIELD(name) offsetof(struct lmi_record, name)
static const struct field {
    size_t offset;
    size_t len; /* 0: a time */
} fields[] = {
    {FIELD(session_key), LMI_SESSION_KEY},
    {FIELD(digits), LMI_TOKEN_DIGITS},
    {FIELD(created), 0},
    {FIELD(ends), 0},
    {FIELD(changed), 0},
    {FIELD(fingerprint), LMI_SHORT_MAC},
    {FIELD(origin), LMI_SHORT_MAC},
    {FIELD(peer), LMI_STORE_KEY},
    {FIELD(redeemed), 0},
    {FIELD(address), sizeof(struct lmi_address)},
};
#define FIELDS (sizeof fields / sizeof fields[0])
#define OLD_FIELDS (FIELDS - 2)

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

void
lmi_record_redeem(struct lmi_record *record, int64_t now,
                  const struct lmi_address *address)
{
    if (!lmi_record_is_fresh(record))
        return;
    record->redeemed = now;
    record->address = *address;
}

bool
lmi_record_stands(const struct lmi_record *record)
{
    if (record->state == LMI_STATE_SPENT)
        return !lmi_record_has_peer(record);
    return record->state != LMI_STATE_CONTENDER;
}

size_t
lmi_record_maced(const struct lmi_store_id *id, const uint8_t *body, size_t len,
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
    const uint8_t head[4] = {VERSION, id->kind, (uint8_t)record->state,
                             (uint8_t)record->service};
    size_t user_len = strnlen(record->user, LMI_USER_MAX);
    uint8_t *at = out->bytes;

    memcpy(at, head, sizeof head);
    at += sizeof head;
    for (size_t i = 0; i < FIELDS; i++) {
        const void *field = (const char *)record + fields[i].offset;
        if (fields[i].len > 0)
            memcpy(at, field, fields[i].len);
        else
            lmi_put_time(at, *(const int64_t *)field);
        at += fields[i].len > 0 ? fields[i].len : 8;
    }
    *at++ = (uint8_t)user_len;
    memcpy(at, record->user, user_len);
    at += user_len;
    size_t len = (size_t)(at - out->bytes);
    out->len = len + LMI_HASH;
    return lmi_keys_mac(keys, LMI_MAC_RECORD, maced,
                        lmi_record_maced(id, out->bytes, len, maced), at, err);
}

/* Is the length what the fields say, and the beginning what it must be? */
static bool
shape_ok(const struct lmi_store_id *id, const struct lmi_store_value *value)
{
    const uint8_t *bytes = value->bytes;

    if (value->len < OLD_FIXED + LMI_HASH)
        return false;
    size_t fixed = bytes[0] == 1 ? OLD_FIXED : FIXED;
    return value->len >= fixed + LMI_HASH && value->len <= LMI_STORE_VALUE &&
           (bytes[0] == 1 || bytes[0] == VERSION) && bytes[1] == id->kind &&
           bytes[2] >= LMI_STATE_FRESH && bytes[2] <= LMI_STATE_CONTENDER &&
           bytes[3] >= LMI_CPANEL && bytes[3] <= LMI_SERVICES &&
           bytes[fixed - 1] <= LMI_USER_MAX &&
           value->len == fixed + (size_t)bytes[fixed - 1] + LMI_HASH;
}

static void
read_fields(const uint8_t *at, struct lmi_record *out)
{
    size_t count = at[0] == 1 ? OLD_FIELDS : FIELDS;

    out->state = at[2];
    out->service = at[3];
    at += 4;
    for (size_t i = 0; i < count; i++) {
        void *field = (char *)out + fields[i].offset;
        if (fields[i].len > 0)
            memcpy(field, at, fields[i].len);
        else
            *(int64_t *)field = lmi_get_time(at);
        at += fields[i].len > 0 ? fields[i].len : 8;
    }
    memcpy(out->user, at + 1, at[0]);
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
                         lmi_record_maced(id, value->bytes, len, maced),
                         value->bytes + len, LMI_HASH, &good, NULL, err);
    if (rc != LMI_OK || !good)
        return rc;
    read_fields(value->bytes, record_out);
    *good_out = true;
    return LMI_OK;
}
