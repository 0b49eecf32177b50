#include "base/crypto.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/error.h"

#if OPENSSL_VERSION_NUMBER >= 0x30000000L
#include <openssl/core_names.h>
#include <openssl/params.h>
#define mac_context_free EVP_MAC_CTX_free
typedef EVP_MAC_CTX mac_context;
#else
#include <openssl/hmac.h>
#define mac_context_free HMAC_CTX_free
typedef HMAC_CTX mac_context;
#endif

/*
 * With OpenSSL 3 everything comes from a context of our own, which reads no
 * configuration. We never initialise the process's default context: without
 * configuration, that would switch off the site's TLS policy for our caller.
 * OpenSSL 1.1.1 has one context only.
 */
struct lmi_crypto {
    unsigned users;
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
    OSSL_LIB_CTX *context;
    EVP_MD *sha256;
    EVP_MAC *hmac;
#else
    const EVP_MD *sha256;
#endif
    EVP_MD_CTX *digest;
};

struct lmi_mac {
    struct lmi_crypto *crypto;
    mac_context *context;
};

static enum lmi_rc
crypto_fail(struct lmi_err *err, const char *text)
{
    return lmi_fail(err, LMI_CRYPTO, 0, "OpenSSL", text, NULL);
}

#if OPENSSL_VERSION_NUMBER >= 0x30000000L

static bool
fetch(struct lmi_crypto *crypto)
{
    crypto->context = OSSL_LIB_CTX_new();
    /* Hash_DRBG starts in half the time of the default, which needs AES. */
    if (crypto->context == NULL ||
        RAND_set_DRBG_type(crypto->context, "HASH-DRBG", NULL, NULL,
                           "SHA256") != 1)
        return false;
    crypto->sha256 = EVP_MD_fetch(crypto->context, "SHA256", NULL);
    crypto->hmac = EVP_MAC_fetch(crypto->context, "HMAC", NULL);
    return crypto->sha256 != NULL && crypto->hmac != NULL;
}

static void
release(struct lmi_crypto *crypto)
{
    EVP_MAC_free(crypto->hmac);
    EVP_MD_free(crypto->sha256);
    OSSL_LIB_CTX_free(crypto->context);
}

static bool
draw(struct lmi_crypto *crypto, void *out, size_t len)
{
    return RAND_priv_bytes_ex(crypto->context, out, len, 0) == 1;
}

static bool
mac_start(struct lmi_crypto *crypto, struct lmi_mac *mac, const uint8_t *key,
          size_t len)
{
    char name[] = "SHA256";
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
        OSSL_PARAM_construct_end()};

    mac->context = EVP_MAC_CTX_new(crypto->hmac);
    return mac->context != NULL &&
           EVP_MAC_init(mac->context, key, len, parameters) == 1;
}

/* Starting without a key keeps the one that is set. */
static bool
mac_sum(struct lmi_mac *mac, const void *ptr, size_t len, uint8_t *out)
{
    size_t size = 0;

    return EVP_MAC_init(mac->context, NULL, 0, NULL) == 1 &&
           EVP_MAC_update(mac->context, ptr, len) == 1 &&
           EVP_MAC_final(mac->context, out, &size, LMI_HASH) == 1 &&
           size == LMI_HASH;
}

#else

static bool
fetch(struct lmi_crypto *crypto)
{
    crypto->sha256 = EVP_sha256();
    return crypto->sha256 != NULL;
}

static void
release(struct lmi_crypto *crypto)
{
    (void)crypto;
}

static bool
draw(struct lmi_crypto *crypto, void *out, size_t len)
{
    (void)crypto;
    return len <= INT_MAX && RAND_priv_bytes(out, (int)len) == 1;
}

static bool
mac_start(struct lmi_crypto *crypto, struct lmi_mac *mac, const uint8_t *key,
          size_t len)
{
    mac->context = HMAC_CTX_new();
    return mac->context != NULL && len <= INT_MAX &&
           HMAC_Init_ex(mac->context, key, (int)len, crypto->sha256, NULL) == 1;
}

static bool
mac_sum(struct lmi_mac *mac, const void *ptr, size_t len, uint8_t *out)
{
    unsigned int size = 0;

    return HMAC_Init_ex(mac->context, NULL, 0, NULL, NULL) == 1 &&
           HMAC_Update(mac->context, ptr, len) == 1 &&
           HMAC_Final(mac->context, out, &size) == 1 && size == LMI_HASH;
}

#endif

enum lmi_rc
lmi_crypto_new(struct lmi_crypto **out, struct lmi_err *err)
{
    struct lmi_crypto *crypto = calloc(1, sizeof *crypto);
    uint8_t trial[16];
    enum lmi_rc rc;

    *out = NULL;
    if (crypto == NULL)
        return lmi_no_memory(err);
    crypto->users = 1;
    crypto->digest = EVP_MD_CTX_new();
    if (crypto->digest == NULL || !fetch(crypto)) {
        lmi_crypto_free(crypto);
        return crypto_fail(err, "has no SHA-256");
    }
    /* OpenSSL 3.0 crashes if memory runs out later, in the first use. */
    rc = lmi_random(crypto, trial, sizeof trial, err);
    lmi_wipe(trial, sizeof trial);
    if (rc != LMI_OK) {
        lmi_crypto_free(crypto);
        return rc;
    }
    *out = crypto;
    return LMI_OK;
}

struct lmi_crypto *
lmi_crypto_share(struct lmi_crypto *crypto)
{
    crypto->users++;
    return crypto;
}

void
lmi_crypto_free(struct lmi_crypto *crypto)
{
    if (crypto == NULL || --crypto->users > 0)
        return;
    EVP_MD_CTX_free(crypto->digest);
    release(crypto);
    free(crypto);
}

/* Up to 256 bytes at once come whole, whatever signals come. */
static bool
xor_kernel(uint8_t *out, size_t len)
{
    uint8_t bytes[256];
    size_t step;

    for (; len > 0; out += step, len -= step) {
        step = len < sizeof bytes ? len : sizeof bytes;
        if (getrandom(bytes, step, 0) != (ssize_t)step)
            return false;
        for (size_t i = 0; i < step; i++)
            out[i] ^= bytes[i];
    }
    lmi_wipe(bytes, sizeof bytes);
    return true;
}

enum lmi_rc
lmi_random(struct lmi_crypto *crypto, void *out, size_t len,
           struct lmi_err *err)
{
    if (draw(crypto, out, len) && xor_kernel(out, len))
        return LMI_OK;
    memset(out, 0, len);
    return crypto_fail(err, "gives no random bytes");
}

enum lmi_rc
lmi_sha256(struct lmi_crypto *crypto, const void *ptr, size_t len,
           uint8_t out[LMI_HASH], struct lmi_err *err)
{
    unsigned int size = 0;

    if (EVP_DigestInit_ex(crypto->digest, crypto->sha256, NULL) != 1 ||
        EVP_DigestUpdate(crypto->digest, ptr, len) != 1 ||
        EVP_DigestFinal_ex(crypto->digest, out, &size) != 1 ||
        size != LMI_HASH) {
        memset(out, 0, LMI_HASH);
        return crypto_fail(err, "computes no SHA-256");
    }
    return LMI_OK;
}

enum lmi_rc
lmi_mac_new(struct lmi_crypto *crypto, const uint8_t *key, size_t key_len,
            struct lmi_mac **out, struct lmi_err *err)
{
    struct lmi_mac *mac = calloc(1, sizeof *mac);

    *out = NULL;
    if (mac == NULL)
        return lmi_no_memory(err);
    mac->crypto = lmi_crypto_share(crypto);
    if (!mac_start(crypto, mac, key, key_len)) {
        lmi_mac_free(mac);
        return crypto_fail(err, "has no HMAC");
    }
    *out = mac;
    return LMI_OK;
}

void
lmi_mac_free(struct lmi_mac *mac)
{
    if (mac == NULL)
        return;
    mac_context_free(mac->context);
    lmi_crypto_free(mac->crypto);
    free(mac);
}

enum lmi_rc
lmi_mac_sum(struct lmi_mac *mac, const void *ptr, size_t len,
            uint8_t out[LMI_HASH], struct lmi_err *err)
{
    if (mac_sum(mac, ptr, len, out))
        return LMI_OK;
    memset(out, 0, LMI_HASH);
    return crypto_fail(err, "computes no HMAC");
}

/* The length stands before the memory, so that free needs no argument. */
union header {
    size_t size;
    max_align_t align;
};

void *
lmi_secret_alloc(size_t size)
{
    union header *header = calloc(1, sizeof *header + size);

    if (header == NULL)
        return NULL;
    header->size = size;
    return header + 1;
}

void
lmi_secret_free(void *secret)
{
    if (secret == NULL)
        return;
    union header *header = (union header *)secret - 1;
    OPENSSL_cleanse(secret, header->size);
    free(header);
}

bool
lmi_secret_equal(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}

void
lmi_wipe(void *ptr, size_t len)
{
    OPENSSL_cleanse(ptr, len);
}
