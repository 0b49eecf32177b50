/*
 * Random bytes, hashes, and memory for secrets. One OpenSSL context of our own,
 * with SHA-256 fetched once, and its random generator started and tried once.
 */
#ifndef LMI_CRYPTO_H
#define LMI_CRYPTO_H

#include "logmein.h"

#define LMI_HASH 32 /* bytes of a SHA-256 or an HMAC-SHA-256 */

struct lmi_crypto;
LMI_RC lmi_crypto_new(struct lmi_crypto **out, struct lmi_err *err);

/* Another user of the same context; each one calls lmi_crypto_free(). */
struct lmi_crypto *lmi_crypto_share(struct lmi_crypto *crypto);
void lmi_crypto_free(struct lmi_crypto *crypto);

/*
 * Fills out from OpenSSL's generator, XORed with the kernel's: OpenSSL notices
 * a fork by the process id alone, which two processes in nested PID namespaces
 * have in common. If either fails there is nothing to fall back to: out is
 * zeroed.
 */
LMI_RC lmi_random(struct lmi_crypto *crypto, void *out, size_t len,
                  struct lmi_err *err);

LMI_RC lmi_sha256(struct lmi_crypto *crypto, const void *ptr, size_t len,
                  uint8_t out[LMI_HASH], struct lmi_err *err);

/* HMAC-SHA-256, kept keyed: keying costs more than the sum itself. */
struct lmi_mac;
LMI_RC lmi_mac_new(struct lmi_crypto *crypto, const uint8_t *key,
                   size_t key_len, struct lmi_mac **out, struct lmi_err *err);
void lmi_mac_free(struct lmi_mac *mac);
LMI_RC lmi_mac_sum(struct lmi_mac *mac, const void *ptr, size_t len,
                   uint8_t out[LMI_HASH], struct lmi_err *err);

/* Zeroed memory, or NULL; wiped when freed. No realloc: it leaves copies. */
LMI_CHECK void *lmi_secret_alloc(size_t size);
void lmi_secret_free(void *secret);

/* Same bytes? Takes as long whatever the answer. */
bool lmi_secret_equal(const void *a, const void *b, size_t len);

#endif
