/* What of a site's files decides who may log in, as a sum of each file. */
#ifndef LMI_DIGEST_H
#define LMI_DIGEST_H

#include "accounts/account.h"
#include "base/crypto.h"

/*
 * The order of lines does not count, nor do lines and fields that no login
 * asks for: system users without a password, comments, groups. A sum of zeros
 * is that of a file which says nothing. A sum is not keyed: it must not leave
 * the process.
 */
struct lmi_digest {
    uint8_t sums[LMI_SITE_FILES][LMI_HASH];
};

/*
 * Reads the files; of mailboxes those of the first 1,000 domains. A file that
 * can't be used is an error, but below a home it says nothing.
 */
LMI_RC lmi_digest_make(struct lmi_crypto *crypto, struct lmi_site *site,
                       enum lmi_accounts accounts, struct lmi_digest *out,
                       struct lmi_err *err);

#endif
