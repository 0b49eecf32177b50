/*
 * A record is read only where, and as, it was written. This program's own
 * fsync() stands before libc's, and counts.
 */
#include <dlfcn.h>
#include <inttypes.h>

#include "sessions/record.h"
#include "scratch.h"

static struct lmi_err err;
static struct lmi_keys *keys, *other_keys;
static unsigned synced_keys, synced_names;

/* A whole key, under any name, and a folder that has a key's name. */
int
fsync(int fd)
{
    int (*real)(int);
    void *found = dlsym(RTLD_NEXT, "fsync");
    struct stat st;

    memcpy(&real, &found, sizeof real);
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        synced_keys += st.st_size == 32;
    else
        synced_names += faccessat(fd, "key", F_OK, 0) == 0;
    return real(fd);
}

static struct lmi_keys *
keys_new(struct lmi_crypto *crypto, const char *name)
{
    struct lmi_keys *made = NULL;
    bool found = false;
    const char *path = scratch_path(name);

    if (lmi_keys_make(crypto, path, &err) != LMI_OK ||
        lmi_keys_load(crypto, path, NULL, NULL, &found, &made, &err) != LMI_OK)
        printf("Bail out! no key\n");
    return made;
}

static struct lmi_record
sample(void)
{
    struct lmi_record record = {.state = LMI_STATE_COOKIE,
                                .service = LMI_WEBMAIL,
                                .created = 1700000000,
                                .ends = INT64_MAX - 1,
                                .changed = -5,
                                .redeemed = 1700000005};

    memset(record.session_key, 0xA1, sizeof record.session_key);
    memcpy(record.digits, "0123456789", LMI_TOKEN_DIGITS);
    memset(record.fingerprint, 0xB2, sizeof record.fingerprint);
    memset(record.origin, 0xC3, sizeof record.origin);
    memset(record.peer, 0xD4, sizeof record.peer);
    memset(record.address.bytes, 0xE5, sizeof record.address.bytes);
    strcpy(record.user, "info@alice.example");
    return record;
}

static struct lmi_store_id
id_of(uint8_t kind, uint8_t fill)
{
    struct lmi_store_id id = {.kind = kind};

    memset(id.key, fill, sizeof id.key);
    return id;
}

static bool
reads(struct lmi_keys *with, struct lmi_store_id id,
      const struct lmi_store_value *value)
{
    static const struct lmi_record zeros;
    struct lmi_record record;
    bool good = true;

    if (lmi_record_decode(with, &id, value, &good, &record, &err) != LMI_OK)
        return false;
    if (!good && memcmp(&record, &zeros, sizeof record) != 0)
        ok(false, "a refused record leaves zeros");
    return good;
}

static struct lmi_store_value
write_record(const struct lmi_record *record)
{
    struct lmi_store_id id = id_of(LMI_KIND_COOKIE, 7);
    struct lmi_store_value value;

    memset(&value, 0xEE, sizeof value);
    ok(lmi_record_encode(keys, &id, record, &value, &err) == LMI_OK,
       "a record of a %zu-byte name is written", strlen(record->user));
    return value;
}

static void
round_trip(const struct lmi_record *in)
{
    struct lmi_store_value value = write_record(in);
    struct lmi_store_id id = id_of(LMI_KIND_COOKIE, 7);
    struct lmi_record out;
    bool good = false;

    ok(lmi_record_decode(keys, &id, &value, &good, &out, &err) == LMI_OK &&
           good,
       "and is read again");
    ok(out.state == in->state && out.service == in->service &&
           out.created == in->created && out.ends == in->ends &&
           out.changed == in->changed && out.redeemed == in->redeemed,
       "state, service and times are kept");
    ok(memcmp(out.session_key, in->session_key, LMI_SESSION_KEY) == 0 &&
           memcmp(out.digits, in->digits, LMI_TOKEN_DIGITS) == 0 &&
           memcmp(out.fingerprint, in->fingerprint, LMI_SHORT_MAC) == 0 &&
           memcmp(out.origin, in->origin, LMI_SHORT_MAC) == 0 &&
           memcmp(out.peer, in->peer, LMI_STORE_KEY) == 0 &&
           memcmp(&out.address, &in->address, sizeof in->address) == 0 &&
           strcmp(out.user, in->user) == 0,
       "keys, token, MACs, peer, address and user are kept");
}

static void
tampering(struct lmi_store_value value)
{
    struct lmi_store_id id = id_of(LMI_KIND_COOKIE, 7);
    struct lmi_store_value longer = value;
    size_t flipped = 0, cut = 0;

    for (size_t bit = 0; bit < 8 * value.len; bit++) {
        value.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        flipped += reads(keys, id, &value);
        value.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    ok(flipped == 0, "of %zu single bits, none can be flipped", 8 * value.len);
    for (size_t len = 0; len < value.len; len++) {
        struct lmi_store_value shorter = value;
        shorter.len = len;
        cut += reads(keys, id, &shorter);
    }
    ok(cut == 0, "of %zu shorter values, none is read", value.len);
    longer.bytes[longer.len++] = 0;
    ok(!reads(keys, id, &longer), "a longer value is not read");
    longer.len = LMI_STORE_VALUE;
    ok(!reads(keys, id, &longer), "nor the longest that the store has");
    ok(!reads(keys, id_of(LMI_KIND_COOKIE, 8), &value),
       "a record moved to another key is not read");
    ok(!reads(keys, id_of(LMI_KIND_TICKET, 7), &value),
       "nor one moved to another kind");
    ok(!reads(other_keys, id, &value), "nor one with the MAC of another key");
    ok(reads(keys, id, &value), "control: the untouched record is read");
}

/* Gives a body of this length a good MAC. */
static void
add_mac(struct lmi_store_value *value, size_t len)
{
    struct lmi_store_id id = id_of(LMI_KIND_COOKIE, 7);
    uint8_t bytes[LMI_STORE_KEY + LMI_STORE_VALUE];

    memcpy(bytes, id.key, LMI_STORE_KEY);
    memcpy(bytes + LMI_STORE_KEY, value->bytes, len);
    value->len = len + LMI_HASH;
    if (lmi_keys_mac(keys, LMI_MAC_RECORD, bytes, LMI_STORE_KEY + len,
                     value->bytes + len, &err) != LMI_OK)
        printf("Bail out! no MAC\n");
}

/* Is a body of this length read, whose MAC is good? */
static bool
reads_with_mac(struct lmi_store_value value, size_t len)
{
    add_mac(&value, len);
    return reads(keys, id_of(LMI_KIND_COOKIE, 7), &value);
}

/* The bytes of version 1, put together as that version did. */
static struct lmi_store_value
version_1(const struct lmi_record *in)
{
    const uint8_t head[4] = {1, LMI_KIND_COOKIE, (uint8_t)in->state,
                             (uint8_t)in->service};
    struct lmi_store_value value;
    uint8_t *at = value.bytes;

    memset(&value, 0xEE, sizeof value);
    at = (uint8_t *)mempcpy(at, head, sizeof head);
    at = (uint8_t *)mempcpy(at, in->session_key, 16);
    at = (uint8_t *)mempcpy(at, in->digits, 10);
    lmi_put_time(at, in->created);
    lmi_put_time(at + 8, in->ends);
    lmi_put_time(at + 16, in->changed);
    at = (uint8_t *)mempcpy(at + 24, in->fingerprint, 16);
    at = (uint8_t *)mempcpy(at, in->origin, 16);
    at = (uint8_t *)mempcpy(at, in->peer, 32);
    *at++ = (uint8_t)strlen(in->user);
    at = (uint8_t *)mempcpy(at, in->user, strlen(in->user));
    add_mac(&value, (size_t)(at - value.bytes));
    return value;
}

/* A store that version 1 has written is read. */
static void
old_version(void)
{
    struct lmi_record in = sample(), out;
    struct lmi_store_value value = version_1(&in);
    struct lmi_store_id id = id_of(LMI_KIND_COOKIE, 7);
    struct lmi_store_value current = write_record(&in);
    size_t len = value.len - LMI_HASH, wrong = 0;
    bool good = false;

    ok(lmi_record_decode(keys, &id, &value, &good, &out, &err) == LMI_OK &&
           good,
       "a record of version 1 is read");
    ok(out.redeemed == 0 && !lmi_address_is_known(&out.address),
       "without a time and address of its redemption");
    in.redeemed = 0;
    memset(&in.address, 0, sizeof in.address);
    ok(memcmp(&in, &out, sizeof in) == 0, "all else is there");
    for (unsigned version = 0; version < 256; version++) {
        value.bytes[0] = (uint8_t)version;
        current.bytes[0] = (uint8_t)version;
        wrong += reads_with_mac(value, len) != (version == 1);
        wrong +=
            reads_with_mac(current, current.len - LMI_HASH) != (version == 2);
    }
    ok(wrong == 0, "and of each version only what it has written");
    value = version_1(&in);
    value.bytes[10] ^= 1;
    ok(!reads(keys, id, &value), "a changed one is not read");
}

/* What is redeemed is noted once. */
static void
redemption(void)
{
    struct lmi_record record = {.state = LMI_STATE_DUAL_USE};
    struct lmi_address first, second;

    lmi_address_parse("192.0.2.7", &first);
    lmi_address_parse("2001:db8::1", &second);
    lmi_record_redeem(&record, 5, &first);
    ok(record.redeemed == 5 && memcmp(&record.address, &first, 16) == 0 &&
           record.state == LMI_STATE_DUAL_USE,
       "the first use leaves time and address");
    record.state = LMI_STATE_SPENT;
    lmi_record_redeem(&record, 6, &second);
    ok(record.redeemed == 5 && memcmp(&record.address, &first, 16) == 0,
       "and no other use does");
}

/* A good MAC does not make good what could not have been written. */
static void
good_macs(struct lmi_store_value longest)
{
    size_t len = longest.len - LMI_HASH;

    ok(reads_with_mac(longest, len),
       "control: the longest record, with a new MAC");
    longest.bytes[len] = 'u';
    ok(!reads_with_mac(longest, len + 1),
       "with a byte behind it, it is not read");
    longest.bytes[len - LMI_USER_MAX - 1] = LMI_USER_MAX + 1;
    ok(!reads_with_mac(longest, len + 1), "nor is one of a longer name");
}

static bool
verifies(uint8_t purpose, const uint8_t mac[LMI_HASH])
{
    bool good = false;

    return lmi_keys_verify(keys, purpose, "text", 4, mac, LMI_HASH, &good, NULL,
                           &err) == LMI_OK &&
           good;
}

static void
purposes(void)
{
    uint8_t mac[LMI_HASH];
    unsigned good = 0;

    ok(lmi_keys_mac(keys, LMI_MAC_ORIGIN, "text", 4, mac, &err) == LMI_OK &&
           verifies(LMI_MAC_ORIGIN, mac),
       "control: a MAC is good for its purpose");
    for (uint8_t purpose = 0; purpose < UINT8_MAX; purpose++)
        good += verifies(purpose, mac);
    ok(good == 1, "and for no other");
}

/* Some bits of a record, its key or its kind change, a hundred thousand times.
 */
static void
many_flips(struct lmi_crypto *crypto, const struct lmi_store_value *good)
{
    size_t read = 0, untouched = 0;

    for (unsigned i = 0; i < 100000; i++) {
        struct lmi_store_id id = id_of(LMI_KIND_COOKIE, 7);
        struct lmi_store_value value = *good;
        unsigned char random[2 + 8];
        if (lmi_random(crypto, random, sizeof random, &err) != LMI_OK)
            return;
        for (unsigned j = 0; j <= random[0] % 4; j++) {
            size_t bit = ((size_t)random[2 + 2 * j] << 8 | random[3 + 2 * j]) %
                         (8 * (good->len + LMI_STORE_KEY));
            if (bit < 8 * good->len)
                value.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            else
                id.key[bit / 8 - good->len] ^= (uint8_t)(1 << bit % 8);
        }
        if (memcmp(value.bytes, good->bytes, good->len) == 0 &&
            id.key[0] == 7 && memcmp(id.key, id.key + 1, 31) == 0)
            untouched++; /* a bit was flipped twice */
        else
            read += reads(keys, id, &value);
    }
    ok(read == 0, "of 100000 records with flipped bits none is read");
    ok(untouched < 1000, "control: %zu were not changed after all", untouched);
}

int
main(void)
{
    struct lmi_crypto *crypto = crypto_make();
    struct lmi_record record = sample();
    struct lmi_store_value value = {.len = 0};

    scratch_make();
    keys = keys_new(crypto, "key");
    ok(synced_keys == 1 && synced_names == 1,
       "a new key is durable, and so is its name");
    other_keys = keys_new(crypto, "other");
    round_trip(&record);
    tampering(write_record(&record));
    value = write_record(&record);
    many_flips(crypto, &value);
    memset(record.user, 'u', LMI_USER_MAX);
    record.user[LMI_USER_MAX] = '\0';
    round_trip(&record);
    value = write_record(&record);
    ok(value.len <= LMI_STORE_VALUE, "the longest record fits the store");
    good_macs(value);
    old_version();
    redemption();
    purposes();
    record.user[0] = '\0';
    round_trip(&record);
    value.len = 0;
    ok(!reads(keys, id_of(LMI_KIND_COOKIE, 7), &value), "nothing is no record");
    lmi_keys_free(keys);
    lmi_keys_free(other_keys);
    lmi_crypto_free(crypto);
    return done();
}
