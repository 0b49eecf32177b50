#include "login/machine.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/address.h"
#include "base/text.h"

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
