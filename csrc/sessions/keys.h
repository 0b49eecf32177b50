/* The store's key: 32 bytes in a file of its own, 0600. */
#ifndef LMI_KEYS_H
#define LMI_KEYS_H

#include "base/crypto.h"

struct lmi_keys;

/*
 * Reads the key at path, and the old one, still accepted for reading, at
 * old_path (NULL: none). found_out is false, and *out NULL, if there is no
 * file at path.
 */
LMI_RC lmi_keys_load(struct lmi_crypto *crypto, const char *path,
                     const char *old_path, bool *found_out,
                     struct lmi_keys **out, struct lmi_err *err);
void lmi_keys_free(struct lmi_keys *keys);

/* Is the key's file still the one that was read? */
LMI_CHECK bool lmi_keys_in_place(const struct lmi_keys *keys);

/* Makes a key at path, atomically, unless there is one. */
LMI_RC lmi_keys_make(struct lmi_crypto *crypto, const char *path,
                     struct lmi_err *err);

/* The MAC of some bytes under the key, for one purpose (record.h). */
LMI_RC lmi_keys_mac(struct lmi_keys *keys, uint8_t purpose, const void *ptr,
                    size_t len, uint8_t out[LMI_HASH], struct lmi_err *err);

/* The same under the old key; has_old_out is false if there is none. */
LMI_RC lmi_keys_mac_old(struct lmi_keys *keys, uint8_t purpose, const void *ptr,
                        size_t len, bool *has_old_out, uint8_t out[LMI_HASH],
                        struct lmi_err *err);

/*
 * Do these bytes have this MAC, of which the first mac_len bytes were kept,
 * under the key or the old one? old_out, unless NULL, tells whether it was the
 * old one's.
 */
LMI_RC lmi_keys_verify(struct lmi_keys *keys, uint8_t purpose, const void *ptr,
                       size_t len, const uint8_t *mac, size_t mac_len,
                       bool *good_out, bool *old_out, struct lmi_err *err);

#endif
