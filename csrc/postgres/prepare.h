/* Making the store in a database. */
#ifndef LMI_PREPARE_H
#define LMI_PREPARE_H

#include "store/store.h"

/* As lmi_store_prepare(), in one transaction. */
LMI_RC lmi_pg_prepare(const struct lmi_store_where *where,
                      const char *admin_url, struct lmi_err *err);

#endif
