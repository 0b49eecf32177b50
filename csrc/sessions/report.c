#include "accounts/survey.h"
#include "sessions/handle.h"

enum lmi_rc
lmi_site_report_get(struct lmi *lmi, struct lmi_site_report *out,
                    struct lmi_err *err)
{
    struct lmi_site *site;
    enum lmi_rc rc = lmi_enter_settings(lmi, err);

    *out = (struct lmi_site_report){.count = 0};
    if (rc == LMI_OK)
        rc = lmi_enter_site(lmi, &site, err);
    return rc != LMI_OK ? rc : lmi_survey(site, out, err);
}

enum lmi_rc
lmi_store_report_get(struct lmi *lmi, struct lmi_store_report *out,
                     struct lmi_err *err)
{
    enum lmi_rc rc = lmi_enter(lmi, err);

    *out = (struct lmi_store_report){.clock = 0};
    return rc != LMI_OK ? rc : lmi_store_report(lmi_store_of(lmi), out, err);
}
