/*
 * The table of services: see lmi_service_info() in logmein.h. Another service
 * is another row, its account rule in accounts/account.c, and its texts.
 */
#ifndef LMI_SERVICE_H
#define LMI_SERVICE_H

#include "logmein.h"

/* "cpaneld"; the service must be one of the table. */
const char *lmi_service_daemon(enum lmi_service service);

#endif
