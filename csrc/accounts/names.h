/* The names of all accounts of a site. */
#ifndef LMI_NAMES_H
#define LMI_NAMES_H

#include "accounts/site.h"

/*
 * Visits each name of etc/passwd, and each mailbox of the first 1,000 domains
 * of etc/userdomains as NAME@DOMAIN, whether it may log in or not. A name may
 * come twice. It is good for the visit only. Mailboxes whose file can't be used
 * are left out.
 */
typedef void lmi_name_visitor(void *context, const char *name);
LMI_RC lmi_names_each(struct lmi_site *site, lmi_name_visitor *visit,
                      void *context, struct lmi_err *err);

#endif
