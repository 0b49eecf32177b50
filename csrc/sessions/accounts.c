#include "accounts/change.h"
#include "accounts/password.h"
#include "accounts/roster.h"
#include "sessions/handle.h"

#define DAY 86400 /* seconds */

enum lmi_rc
lmi_account_change(struct lmi *lmi, const struct lmi_account_change *change,
                   enum lmi_changed *out, struct lmi_err *err)
{
    struct lmi_change_place place;
    enum lmi_rc rc = lmi_enter_settings(lmi, err);

    *out = LMI_CHANGED_MISSING;
    if (rc == LMI_OK)
        rc = lmi_enter_site(lmi, &place.site, err);
    if (rc != LMI_OK)
        return rc;
    place.crypto = lmi_crypto_of(lmi);
    place.accounts = lmi_settings_of(lmi)->accounts;
    place.today = lmi_now(lmi) / DAY;
    return lmi_change(&place, change, out, err);
}

enum lmi_rc
lmi_account_list_new(struct lmi *lmi, struct lmi_account_list **out,
                     struct lmi_err *err)
{
    struct lmi_site *site;
    enum lmi_rc rc = lmi_enter_settings(lmi, err);

    *out = NULL;
    if (rc == LMI_OK)
        rc = lmi_enter_site(lmi, &site, err);
    if (rc == LMI_OK)
        rc = lmi_roster_new(site, lmi_settings_of(lmi)->accounts,
                            lmi_now(lmi) / DAY, out, err);
    return rc;
}

enum lmi_rc
lmi_hash_for_login(struct lmi *lmi, struct lmi_text pass, const char *prefix,
                   unsigned long count, bool mailbox, char out[LMI_HASH_SIZE],
                   struct lmi_err *err)
{
    return lmi_password_hash(lmi_crypto_of(lmi), pass, prefix, count,
                             mailbox ? LMI_CEILING_HOME : LMI_CEILING_SITE, out,
                             err);
}
