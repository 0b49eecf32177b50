/* This machine's names, and where a login is checked. */
#ifndef LMI_MACHINE_H
#define LMI_MACHINE_H

#include "accounts/site.h"
#include "base/settings.h"

/*
 * Is this a name of this machine, by settings, host name and interfaces? No DNS
 * query is made. host has passed the grammar of a request.
 */
bool lmi_machine_is(const struct lmi_settings *settings, const char *host);

/* The route of logmein.h. Pure: the facts are gathered before. */
enum lmi_route lmi_route_choose(const struct lmi_settings *settings,
                                const struct lmi_route_facts *facts);

/*
 * The facts of a login, but for `denied` and `has_gateway`. Looks into the
 * site only if its names decide.
 */
LMI_RC lmi_route_gather(struct lmi *lmi, const char *host, bool here,
                        struct lmi_route_facts *out, struct lmi_err *err);

#endif
