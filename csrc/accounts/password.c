#include "accounts/password.h"

#include <crypt.h>
#include <string.h>

#include "accounts/shadow.h"
#include "base/error.h"

/* When even the decoy would cost too much. */
#define PLAIN_DECOY "$y$j9T$......................$"

static const char digits64[] = LMI_CRYPT_DIGITS;

/* bcrypt's cost is a power of two: a quarter is two less. */
static const struct limits {
    uint64_t sha_rounds;
    uint64_t bcrypt_cost;
    uint64_t scrypt_bytes;
} limits_of[] = {
    [LMI_CEILING_SITE] = {500000, 14, UINT64_C(64) << 20},
    [LMI_CEILING_HOME] = {125000, 12, UINT64_C(16) << 20},
};

/* The value of the next digit of base 64, or -1. */
static int
take_digit(struct lmi_bytes *rest)
{
    const char *found =
        rest->len > 0 ? memchr(digits64, rest->ptr[0], 64) : NULL;

    if (found == NULL)
        return -1;
    rest->ptr++;
    rest->len--;
    return (int)(found - digits64);
}

/* Exactly len digits of base 64, and nothing behind them. */
static bool
is_base64(struct lmi_bytes text, size_t len)
{
    if (text.len != len)
        return false;
    while (text.len > 0)
        if (take_digit(&text) < 0)
            return false;
    return true;
}

/* What libcrypt lets into a salt, at least one and at most max of it. */
static bool
is_salt(struct lmi_bytes salt, size_t max)
{
    if (salt.len == 0 || salt.len > max)
        return false;
    for (size_t i = 0; i < salt.len; i++) {
        char c = salt.ptr[i];
        if (c < 0x21 || c > 0x7E || strchr("!*:;\\$", c) != NULL)
            return false;
    }
    return true;
}

/* The cost of a SHA-crypt setting: rounds=N$ or nothing. */
static bool
sha_cost_ok(struct lmi_bytes *rest, const struct limits *limits)
{
    struct lmi_bytes number;
    uint64_t rounds;

    if (!lmi_take_prefix(rest, "rounds="))
        return true;
    number = lmi_next_field(rest, '$');
    return lmi_parse_number(number, limits->sha_rounds, &rounds) &&
           rounds >= 1000 && number.ptr[0] != '0';
}

/* Two digits and a dollar. */
static bool
bcrypt_cost_ok(struct lmi_bytes *rest, const struct limits *limits)
{
    struct lmi_bytes number = lmi_next_field(rest, '$');
    uint64_t cost;

    return number.len == 2 &&
           lmi_parse_number(number, limits->bcrypt_cost, &cost) && cost >= 4;
}

/* 128 N r p (t + 1), without overflow. */
static bool
memory_ok(uint64_t log_n, uint64_t r, uint64_t p, uint64_t t, uint64_t max)
{
    uint64_t bytes;

    if (log_n < 1 || log_n > 40 || r == 0 || p == 0)
        return false;
    return !__builtin_mul_overflow(UINT64_C(128) << log_n, r, &bytes) &&
           !__builtin_mul_overflow(bytes, p, &bytes) &&
           !__builtin_mul_overflow(bytes, t + 1, &bytes) && bytes <= max;
}

/* A number in yescrypt's coding: the first digit tells how many follow. */
static bool
take_yescrypt_number(struct lmi_bytes *rest, uint32_t min, uint64_t *out)
{
    uint32_t start = 0, end = 47, chars = 1, bits = 0;
    int digit = take_digit(rest);
    uint64_t value = min;

    if (digit < 0)
        return false;
    while ((uint32_t)digit > end) {
        value += (uint64_t)(end + 1 - start) << bits;
        start = end + 1;
        end = start + (62 - end) / 2;
        chars++;
        bits += 6;
    }
    value += (uint64_t)((uint32_t)digit - start) << bits;
    while (--chars > 0) {
        digit = take_digit(rest);
        if (digit < 0)
            return false;
        bits -= 6;
        value += (uint64_t)digit << bits;
    }
    *out = value;
    return value <= UINT32_MAX;
}

/* flavour N r [which [p] [t]] $; upgrades g and a ROM are not accepted. */
static bool
yescrypt_cost_ok(struct lmi_bytes *rest, const struct limits *limits)
{
    struct lmi_bytes numbers = lmi_next_field(rest, '$');
    uint64_t flavour, log_n, r, which = 0, p = 1, t = 0;

    if (!take_yescrypt_number(&numbers, 0, &flavour) ||
        !take_yescrypt_number(&numbers, 1, &log_n) ||
        !take_yescrypt_number(&numbers, 1, &r))
        return false;
    if ((numbers.len > 0 && !take_yescrypt_number(&numbers, 1, &which)) ||
        ((which & 1) != 0 && !take_yescrypt_number(&numbers, 2, &p)) ||
        ((which & 2) != 0 && !take_yescrypt_number(&numbers, 1, &t)))
        return false;
    return which <= 3 && numbers.len == 0 &&
           memory_ok(log_n, r, p, t, limits->scrypt_bytes);
}

/* Thirty bits, the lowest six first. */
static bool
take_30_bits(struct lmi_bytes *rest, uint64_t *out)
{
    *out = 0;
    for (unsigned bits = 0; bits < 30; bits += 6) {
        int digit = take_digit(rest);
        if (digit < 0)
            return false;
        *out |= (uint64_t)digit << bits;
    }
    return true;
}

/* One digit for N, five each for r and p. */
static bool
scrypt_cost_ok(struct lmi_bytes *rest, const struct limits *limits)
{
    int log_n = take_digit(rest);
    uint64_t r, p;

    return log_n >= 0 && take_30_bits(rest, &r) && take_30_bits(rest, &p) &&
           memory_ok((uint64_t)log_n, r, p, 0, limits->scrypt_bytes);
}

/* The accepted schemes. No others match: not DES, $3$ (no salt), $2x$ (bug). */
static const struct scheme {
    const char *prefix;
    /* NULL: the cost can't be set. */
    bool (*cost_ok)(struct lmi_bytes *rest, const struct limits *limits);
    size_t max_salt; /* 0: bcrypt, where salt and hash are not separated */
    size_t hash_len;
} schemes[] = {
    {"$1$", NULL, 8, 22},
    {"$5$", sha_cost_ok, 16, 43},
    {"$6$", sha_cost_ok, 16, 86},
    {"$2a$", bcrypt_cost_ok, 0, 53},
    {"$2b$", bcrypt_cost_ok, 0, 53},
    {"$2y$", bcrypt_cost_ok, 0, 53},
    {"$y$", yescrypt_cost_ok, 86, 43},
    {"$gy$", yescrypt_cost_ok, 86, 43},
    {"$7$", scrypt_cost_ok, 86, 43},
};

/* The scheme of a hash or setting; *rest is what stands behind its cost. */
static const struct scheme *
affordable_scheme(const char *hash, enum lmi_ceiling ceiling, size_t pass_len,
                  struct lmi_bytes *rest)
{
    struct limits limits = limits_of[ceiling];
    const struct scheme *scheme = schemes;
    const struct scheme *end = scheme + sizeof schemes / sizeof schemes[0];

    limits.sha_rounds /= 1 + pass_len / 64;
    *rest = lmi_bytes_of(hash);
    while (scheme < end && !lmi_take_prefix(rest, scheme->prefix))
        scheme++;
    if (scheme == end ||
        (scheme->cost_ok != NULL && !scheme->cost_ok(rest, &limits)))
        return NULL;
    return scheme;
}

bool
lmi_password_hash_ok(const char *hash, enum lmi_ceiling ceiling,
                     size_t pass_len)
{
    struct lmi_bytes rest, salt;
    const struct scheme *scheme =
        affordable_scheme(hash, ceiling, pass_len, &rest);

    if (scheme == NULL)
        return false;
    if (scheme->max_salt == 0)
        return is_base64(rest, scheme->hash_len);
    salt = lmi_next_field(&rest, '$');
    return is_salt(salt, scheme->max_salt) && is_base64(rest, scheme->hash_len);
}

enum lmi_hash_state
lmi_password_hash_judge(const char *hash, enum lmi_ceiling ceiling)
{
    const struct scheme *scheme = schemes;
    const struct scheme *end = scheme + sizeof schemes / sizeof schemes[0];
    struct lmi_bytes rest = lmi_bytes_of(hash);

    if (lmi_password_hash_ok(hash, ceiling, 1))
        return LMI_HASH_OK;
    while (scheme < end && !lmi_take_prefix(&rest, scheme->prefix))
        scheme++;
    if (scheme == end)
        return LMI_HASH_SCHEME;
    return affordable_scheme(hash, ceiling, 1, &rest) == NULL ? LMI_HASH_COST
                                                              : LMI_HASH_FORM;
}

/* bcrypt looks at 72 bytes only; a longer password would match too much. */
static bool
too_long_for(const char *hash, size_t pass_len)
{
    return strncmp(hash, "$2", 2) == 0 && pass_len > 72;
}

/* libcrypt's scratch memory, with the password as the C string it wants. */
struct scratch {
    struct crypt_data data;
    char pass[LMI_PASS_MAX + 1];
};

/* NULL if libcrypt fails; its failure tokens "*0" and "*1" match nothing. */
static const char *
compute(struct scratch *scratch, struct lmi_bytes pass, const char *setting)
{
    memcpy(scratch->pass, pass.ptr, pass.len);
    scratch->pass[pass.len] = '\0';
    return crypt_rn(scratch->pass, setting, &scratch->data,
                    (int)sizeof scratch->data);
}

enum lmi_rc
lmi_password_verify(struct lmi_bytes pass, const char *hash,
                    enum lmi_ceiling ceiling, const char *decoy,
                    bool *match_out, struct lmi_err *err)
{
    struct scratch *scratch = lmi_secret_alloc(sizeof *scratch);
    struct lmi_bytes rest;
    const char *setting = hash, *computed;
    size_t len;

    *match_out = false;
    if (scratch == NULL)
        return lmi_no_memory(err);
    bool usable = pass.len <= LMI_PASS_MAX &&
                  lmi_password_hash_ok(hash, ceiling, pass.len) &&
                  !too_long_for(hash, pass.len);
    if (!usable)
        setting = affordable_scheme(decoy, ceiling, pass.len, &rest) != NULL
                      ? decoy
                      : PLAIN_DECOY;
    if (pass.len > LMI_PASS_MAX)
        pass.len = LMI_PASS_MAX;
    computed = compute(scratch, pass, setting);
    len = strlen(hash);
    *match_out = usable && computed != NULL && strlen(computed) == len &&
                 lmi_secret_equal(computed, hash, len);
    lmi_secret_free(scratch);
    return LMI_OK;
}

static bool
is_dear(const char *setting, enum lmi_ceiling ceiling, size_t pass_len)
{
    struct lmi_bytes rest;

    return ceiling != LMI_CEILING_NONE &&
           affordable_scheme(setting, ceiling, pass_len, &rest) == NULL;
}

enum lmi_rc
lmi_password_hash(struct lmi_crypto *crypto, struct lmi_text pass,
                  const char *prefix, unsigned long count,
                  enum lmi_ceiling ceiling, char out[LMI_HASH_SIZE],
                  struct lmi_err *err)
{
    struct scratch *scratch = lmi_secret_alloc(sizeof *scratch);
    char random[16], setting[CRYPT_GENSALT_OUTPUT_SIZE], bytes[LMI_PASS_MAX];
    const char *computed = NULL;
    bool dear = false;
    struct lmi_bytes rest = {bytes, 0};
    enum lmi_rc rc;

    out[0] = '\0';
    if (scratch == NULL)
        return lmi_no_memory(err);
    rc = lmi_random(crypto, random, sizeof random, err);
    if (rc == LMI_OK)
        rest.len = lmi_text_bytes(pass, bytes, sizeof bytes);
    if (rc == LMI_OK && (rest.len == 0 || rest.len > sizeof bytes ||
                         memchr(bytes, '\0', rest.len) != NULL))
        rc = lmi_fail(err, LMI_CRYPTO, 0, NULL,
                      "a password has 1 to 511 bytes, none of them NUL", NULL);
    if (rc == LMI_OK && crypt_gensalt_rn(prefix, count, random, sizeof random,
                                         setting, sizeof setting) != NULL) {
        dear = is_dear(setting, ceiling, rest.len);
        computed = dear || too_long_for(setting, rest.len)
                       ? NULL
                       : compute(scratch, rest, setting);
    }
    if (rc == LMI_OK && dear) {
        rc = lmi_fail(err, LMI_CRYPTO, 0, NULL,
                      "a hash of this scheme and cost is more work than logins "
                      "accept",
                      "choose a lower cost");
        lmi_err_name(err, "hash.cost");
    }
    if (rc == LMI_OK && (computed == NULL || strlen(computed) < 3 ||
                         strlen(computed) >= LMI_HASH_SIZE))
        rc = lmi_fail(err, LMI_CRYPTO, 0, "libcrypt",
                      "makes no hash of this kind of this password", NULL);
    if (rc == LMI_OK)
        memcpy(out, computed, strlen(computed) + 1);
    lmi_wipe(random, sizeof random);
    lmi_wipe(bytes, sizeof bytes);
    lmi_secret_free(scratch);
    return rc;
}
