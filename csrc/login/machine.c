#include "login/machine.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/address.h"
#include "login/request.h"
#include "sessions/handle.h"

static bool
is_word_of(const char *list, const char *word)
{
    struct lmi_bytes rest = lmi_bytes_of(list), next;

    while ((next = lmi_next_word(&rest)).len > 0)
        if (lmi_bytes_like(next, word))
            return true;
    return false;
}

/* The machine's own name, as it is set; no query to any server. */
static bool
is_own_name(const char *host)
{
    char name[256];

    return gethostname(name, sizeof name) == 0 &&
           memchr(name, '\0', sizeof name) != NULL &&
           strcasecmp(name, host) == 0;
}

static bool
same_address(const struct sockaddr *own, const struct lmi_address *address)
{
    const void *bytes = NULL;
    char text[LMI_ADDRESS_TEXT] = "";
    struct lmi_address other;

    if (own != NULL && own->sa_family == AF_INET)
        bytes = &((const struct sockaddr_in *)(const void *)own)->sin_addr;
    if (own != NULL && own->sa_family == AF_INET6)
        bytes = &((const struct sockaddr_in6 *)(const void *)own)->sin6_addr;
    if (bytes != NULL)
        inet_ntop(own->sa_family, bytes, text, sizeof text);
    return lmi_address_parse(text, &other) &&
           memcmp(other.bytes, address->bytes, sizeof other.bytes) == 0;
}

/* An address of an interface of this machine. */
static bool
is_own_address(const char *host)
{
    char text[256];
    struct lmi_address address;
    struct ifaddrs *all = NULL;
    bool found = false;

    snprintf(text, sizeof text, "%s", host[0] == '[' ? host + 1 : host);
    text[strcspn(text, "]")] = '\0';
    if (!lmi_address_parse(text, &address) || getifaddrs(&all) != 0)
        return false;
    for (const struct ifaddrs *next = all; next != NULL; next = next->ifa_next)
        found = found || same_address(next->ifa_addr, &address);
    freeifaddrs(all);
    return found;
}

bool
lmi_machine_is(const struct lmi_settings *settings, const char *host)
{
    return strcmp(host, "localhost") == 0 || strcmp(host, "127.0.0.1") == 0 ||
           strcmp(host, "[::1]") == 0 || is_own_name(host) ||
           is_own_address(host) || is_word_of(settings->domains, host);
}

enum lmi_route
lmi_route_choose(const struct lmi_settings *settings,
                 const struct lmi_route_facts *facts)
{
    bool ours = facts->here || settings->backend == LMI_BACKEND_LOCAL ||
                (settings->backend == LMI_BACKEND_AUTO &&
                 (facts->own_name || facts->site_name));

    if (!ours)
        return LMI_ROUTE_HOST;
    if (!facts->denied)
        return LMI_ROUTE_HERE;
    return facts->has_gateway && !facts->here ? LMI_ROUTE_GATEWAY
                                              : LMI_ROUTE_NONE;
}

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
