#include "base/text.h"

/*
 * Another service is another row, its account rule in accounts/account.c, and
 * its texts.
 */
static const struct lmi_service_info services[LMI_SERVICES] = {
    {LMI_CPANEL, "cpanel", "cpaneld", NULL, 2083, 2082, "port.cpanel",
     "cpsession", "cprelogin", "Control panel"},
    {LMI_WHM, "whm", "whostmgrd", "whostmgr", 2087, 2086, "port.whm",
     "whostmgrsession", "whostmgrrelogin", "Server administration"},
    {LMI_WEBMAIL, "webmail", "webmaild", NULL, 2096, 2095, "port.webmail",
     "webmailsession", "webmailrelogin", "Webmail"},
};

const struct lmi_service_info *
lmi_service_info(enum lmi_service service)
{
    return service >= 1 && service <= LMI_SERVICES ? &services[service - 1]
                                                   : NULL;
}

bool
lmi_service_parse(struct lmi_text text, enum lmi_service *out)
{
    char bytes[16];
    struct lmi_bytes name = {bytes, lmi_text_bytes(text, bytes, sizeof bytes)};

    if (name.len > sizeof bytes)
        return false;
    for (size_t i = 0; i < LMI_SERVICES; i++) {
        const struct lmi_service_info *info = &services[i];
        if (lmi_bytes_equal(name, info->name) ||
            lmi_bytes_equal(name, info->daemon) ||
            (info->alias != NULL && lmi_bytes_equal(name, info->alias))) {
            *out = info->service;
            return true;
        }
    }
    return false;
}
