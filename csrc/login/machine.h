/*
 * This machine's names, and where a login is checked: from the settings alone,
 * so that what leaves the process can decide it again.
 */
#ifndef LMI_MACHINE_H
#define LMI_MACHINE_H

#include "base/settings.h"

/*
 * Is this a name of this machine, by settings, host name and interfaces? No DNS
 * query is made. host has passed the grammar of a request.
 */
bool lmi_machine_is(const struct lmi_settings *settings, const char *host);

/* The route of logmein.h. Pure: the facts are gathered before. */
enum lmi_route lmi_route_choose(const struct lmi_settings *settings,
                                const struct lmi_route_facts *facts);

#endif
