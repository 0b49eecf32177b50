#include "login/machine.h"

#include "login/request.h"
#include "sessions/handle.h"

/* Do the site's files name the host? */
static enum lmi_rc
site_names(struct lmi *lmi, const char *host, bool *out, struct lmi_err *err)
{
    struct lmi_site *site;
    enum lmi_rc rc;

    *out = false;
    if (!lmi_settings_of(lmi)->site_hostnames)
        return LMI_OK;
    rc = lmi_enter_site(lmi, &site, err);
    if (rc == LMI_OK)
        rc = lmi_site_names_host(site, host, out, err);
    if (rc == LMI_RIGHTS)
        err->remedy = "name the host in the setting domains, or set backend = "
                      "local";
    return rc;
}

enum lmi_rc
lmi_route_gather(struct lmi *lmi, const char *host, bool here,
                 struct lmi_route_facts *out, struct lmi_err *err)
{
    const struct lmi_settings *settings = lmi_settings_of(lmi);

    *out = (struct lmi_route_facts){.here = here};
    if (here || settings->backend != LMI_BACKEND_AUTO)
        return LMI_OK;
    out->own_name = lmi_machine_is(settings, host);
    return out->own_name ? LMI_OK : site_names(lmi, host, &out->site_name, err);
}

enum lmi_rc
lmi_serves_host(struct lmi *lmi, struct lmi_text host, bool *out,
                struct lmi_err *err)
{
    char name[256];
    enum lmi_rc rc;

    *out = false;
    if (lmi_hostname_read(host, name) != NULL)
        return LMI_OK;
    rc = lmi_enter_settings(lmi, err);
    if (rc != LMI_OK)
        return rc;
    *out = lmi_machine_is(lmi_settings_of(lmi), name);
    return *out ? LMI_OK : site_names(lmi, name, out, err);
}
