/* The store's key: 32 bytes in a file of its own, 0600. */
#ifndef LMI_KEYS_H
#define LMI_KEYS_H

#include <limits.h>

#include "base/crypto.h"

struct lmi_keys;

/*
 * Reads the key at path, and the old one, still accepted for reading, at
 * old_path; if that is NULL or empty, at PATH.old, where there may be none.
 * found_out is false, and *out NULL, if there is no file at path.
 */
LMI_RC lmi_keys_load(struct lmi_crypto *crypto, const char *path,
                     const char *old_path, bool *found_out,
                     struct lmi_keys **out, struct lmi_err *err);
void lmi_keys_free(struct lmi_keys *keys);

/* From now on only the key itself is accepted. */
void lmi_keys_forget_old(struct lmi_keys *keys);

/* Is the key's file still the one that was read? */
LMI_CHECK bool lmi_keys_in_place(const struct lmi_keys *keys);

/* Makes a key at path, atomically, unless there is one. */
LMI_RC lmi_keys_make(struct lmi_crypto *crypto, const char *path,
                     struct lmi_err *err);

/* The same, in the place of the one that is there. */
LMI_RC lmi_keys_remake(struct lmi_crypto *crypto, const char *path,
                       struct lmi_err *err);

/*
 * Copies a key, atomically and for the owner of the other folder. `replace`:
 * in the place of one that is there; else another one there is a fault,
 * "key.taken", and the same one is left as it is.
 */
LMI_RC lmi_keys_copy(struct lmi_crypto *crypto, const char *from,
                     const char *path, bool replace, struct lmi_err *err);

/* Are there keys at both paths, and are they the same? */
LMI_RC lmi_keys_same(const char *path, const char *other, bool *out,
                     struct lmi_err *err);

/* Removes a key, durably; none is no error. */
LMI_RC lmi_keys_remove(const char *path, struct lmi_err *err);

/* Lets every process read the key again: its file seems to have changed. */
LMI_RC lmi_keys_touch(const char *path, struct lmi_err *err);

/* Where the old key is: old_path, or PATH.old. */
void lmi_keys_old_path(const char *path, const char *old_path,
                       char out[PATH_MAX]);

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
