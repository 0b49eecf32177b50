/* Changes of accounts: see lmi_account_change() in logmein.h. */
#ifndef LMI_CHANGE_H
#define LMI_CHANGE_H

#include "accounts/account.h"
#include "base/crypto.h"

/* What a change needs of a handle. today is in days since 1970. */
struct lmi_change_place {
    struct lmi_site *site;
    struct lmi_crypto *crypto;
    enum lmi_accounts accounts;
    int64_t today;
};
LMI_RC lmi_change(const struct lmi_change_place *place,
                  const struct lmi_account_change *change,
                  enum lmi_changed *out, struct lmi_err *err);

#endif
