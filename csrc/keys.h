/*
 * The store's key: 32 bytes in a file of its own, 0600. Who owns the key owns
 * the store.
 */
#ifndef LMI_KEYS_H
#define LMI_KEYS_H

#include "crypto.h"

struct lmi_keys;

/*
 * Reads the key at path, and the old one, still accepted for reading, at
 * old_path (NULL: none). found_out is false, and *out NULL, if there is no
 * file at path.
 */
LMI_CHECK enum lmi_rc lmi_keys_load(struct lmi *core, const char *path,
                                    const char *old_path, bool *found_out,
                                    struct lmi_keys **out, struct lmi_err *err);
void lmi_keys_free(struct lmi_keys *keys);

/*
 * Makes a key at path unless there is one: complete or not at all, and of
 * many processes that try at once, all get to see the same.
 */
LMI_CHECK enum lmi_rc lmi_keys_make(struct lmi *core, const char *path,
                                    struct lmi_err *err);

/*
 * The seal of some bytes under the key. purpose is a byte that keeps seals
 * for different ends apart.
 */
LMI_CHECK enum lmi_rc lmi_keys_seal(struct lmi_keys *keys, uint8_t purpose,
                                    const void *ptr, size_t len,
                                    uint8_t out[LMI_HASH], struct lmi_err *err);

/*
 * Is this their seal, under the key or the old one? old_out, unless NULL,
 * tells whether it was the old one's.
 */
LMI_CHECK enum lmi_rc lmi_keys_verify(struct lmi_keys *keys, uint8_t purpose,
                                      const void *ptr, size_t len,
                                      const uint8_t seal[LMI_HASH],
                                      bool *good_out, bool *old_out,
                                      struct lmi_err *err);

#endif
