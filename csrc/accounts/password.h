/* Does this password belong to this hash, and which hashes are accepted? */
#ifndef LMI_PASSWORD_H
#define LMI_PASSWORD_H

#include "base/crypto.h"
#include "base/text.h"

/*
 * Ceilings on what a stored hash may cost. A round of $5$ and $6$ counts once
 * more for each 64 bytes of the password.
 */
enum lmi_ceiling {
    LMI_CEILING_SITE, /* 500,000 rounds, bcrypt 14, 64 MiB */
    LMI_CEILING_HOME, /* a quarter: the file belongs to a user */
    LMI_CEILING_NONE, /* of lmi_password_hash() only */
};

/*
 * Is this a complete hash of an accepted scheme, at a cost below the ceiling
 * for a password of that many bytes? Reads the text alone; never calls crypt().
 */
bool lmi_password_hash_ok(const char *hash, enum lmi_ceiling ceiling,
                          size_t pass_len);

/* Why a hash is not accepted, or that it is, for the shortest password. */
enum lmi_hash_state {
    LMI_HASH_OK = 0,
    LMI_HASH_SCHEME, /* another scheme than the accepted ones */
    LMI_HASH_COST,   /* above the ceiling, or no cost at all */
    LMI_HASH_FORM,   /* not what libcrypt makes */
};
enum lmi_hash_state lmi_password_hash_judge(const char *hash,
                                            enum lmi_ceiling ceiling);

/*
 * Computes exactly one hash, whatever the outcome: with the stored hash if it
 * is acceptable, else with the decoy setting, which can't match. pass has no
 * NUL and at most LMI_PASS_MAX bytes.
 */
LMI_RC lmi_password_verify(struct lmi_bytes pass, const char *hash,
                           enum lmi_ceiling ceiling, const char *decoy,
                           bool *match_out, struct lmi_err *err);

/*
 * As lmi_hash_password(). A hash that would not be accepted below the ceiling
 * is not computed: the error is named "hash.cost".
 */
LMI_RC lmi_password_hash(struct lmi_crypto *crypto, struct lmi_text pass,
                         const char *prefix, unsigned long count,
                         enum lmi_ceiling ceiling, char out[LMI_HASH_SIZE],
                         struct lmi_err *err);

#endif
