/* All accounts of a site: see lmi_account_list_new() in logmein.h. */
#ifndef LMI_ROSTER_H
#define LMI_ROSTER_H

#include "accounts/account.h"

/* site outlives the list. */
LMI_RC lmi_roster_new(struct lmi_site *site, enum lmi_accounts accounts,
                      int64_t today, struct lmi_account_list **out,
                      struct lmi_err *err);

#endif
