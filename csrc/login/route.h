/* Where a login is checked: what is to be known before. */
#ifndef LMI_ROUTE_H
#define LMI_ROUTE_H

#include "base/error.h"
#include "base/settings.h"
#include "logmein.h"

/*
 * The facts of a login, but for `denied` and `has_gateway`. Looks into the
 * site only if its names decide.
 */
LMI_RC lmi_route_gather(struct lmi *lmi, const char *host, bool here,
                        struct lmi_route_facts *out, struct lmi_err *err);

#endif
