/*
 * This machine's names, and where a login is checked. What leaves the process
 * needs the first and the last function only, and links machine.o alone.
 */
#ifndef LMI_MACHINE_H
#define LMI_MACHINE_H

#include "base/settings.h"

/*
 * Is this a name of this machine, by settings, host name and interfaces? No DNS
 * query is made. host has passed the grammar of a request.
 */
bool lmi_machine_is(const struct lmi_settings *settings, const char *host);

/*
 * The facts of a login, but for `denied` and `has_gateway`. Looks into the
 * site only if its names decide.
 */
LMI_RC lmi_route_gather(struct lmi *lmi, const char *host, bool here,
                        struct lmi_route_facts *out, struct lmi_err *err);

/* The route of logmein.h. Pure: the facts are gathered before. */
enum lmi_route lmi_route_choose(const struct lmi_settings *settings,
                                const struct lmi_route_facts *facts);

#endif
