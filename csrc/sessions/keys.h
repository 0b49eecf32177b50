/* The store's key: 32 bytes in a file of its own, 0600. */
#ifndef LMI_KEYS_H
#define LMI_KEYS_H

#include <limits.h>

#include "base/crypto.h"

struct lmi_keys;

/* The present key is written with; the others are accepted for reading. */
enum lmi_key {
    LMI_KEY_PRESENT,
    LMI_KEY_NEXT, /* of a shared store: other machines may write with it */
    LMI_KEY_OLD,
};
#define LMI_KEYS 3
#define LMI_FURTHER_KEYS (LMI_KEYS - 1)

/*
 * Reads the key at path; the old one at old_path, or if that is NULL or empty,
 * at PATH.old, where there may be none; and the next one at next_path, if that
 * is not NULL. A next one that can't be used, for it is still being copied, is
 * none. found_out is false, and *out NULL, if there is no file at path. Who
 * rotates meanwhile takes no key away: all that there are have been read.
 */
LMI_RC lmi_keys_load(struct lmi_crypto *crypto, const char *path,
                     const char *old_path, const char *next_path,
                     bool *found_out, struct lmi_keys **out,
                     struct lmi_err *err);
void lmi_keys_free(struct lmi_keys *keys);

/* From now on the old key is not accepted. */
void lmi_keys_forget_old(struct lmi_keys *keys);

/* Are the files of the key and of the next one still those that were read? */
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

/* Moves a key into the place of the one at path, atomically and durably. Both
 * lie in one folder. */
LMI_RC lmi_keys_move(const char *from, const char *path, struct lmi_err *err);

/* Removes a key, durably; none is no error. */
LMI_RC lmi_keys_remove(const char *path, struct lmi_err *err);

/* Lets every process read the key again: its file seems to have changed. */
LMI_RC lmi_keys_touch(const char *path, struct lmi_err *err);

/* Where the old key is: old_path, or PATH.old. */
void lmi_keys_old_path(const char *path, const char *old_path,
                       char out[PATH_MAX]);

/* Where the next one is: PATH.next. */
void lmi_keys_next_path(const char *path, char out[PATH_MAX]);

/* When the old key became the old one: 0 if there is none. */
int64_t lmi_keys_rotated(const char *path, const char *old_path);

/* The MAC of some bytes under the key, for one purpose (record.h). */
LMI_RC lmi_keys_mac(struct lmi_keys *keys, uint8_t purpose, const void *ptr,
                    size_t len, uint8_t out[LMI_HASH], struct lmi_err *err);

/* The same under one of the keys; has_out is false if there is none. */
LMI_RC lmi_keys_mac_of(struct lmi_keys *keys, enum lmi_key which,
                       uint8_t purpose, const void *ptr, size_t len,
                       bool *has_out, uint8_t out[LMI_HASH],
                       struct lmi_err *err);

/*
 * Do these bytes have this MAC, of which the first mac_len bytes were kept,
 * under any of the keys? which_out, unless NULL, tells under which.
 */
LMI_RC lmi_keys_verify(struct lmi_keys *keys, uint8_t purpose, const void *ptr,
                       size_t len, const uint8_t *mac, size_t mac_len,
                       bool *good_out, enum lmi_key *which_out,
                       struct lmi_err *err);

#endif
