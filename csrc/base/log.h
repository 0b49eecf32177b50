/*
 * One line for the operator: to syslog (facility authpriv), to a file, or
 * nowhere. The file is opened for each line, so that rotation needs no
 * signal; one that root makes is the store's owner's, who will write the next
 * lines. Control bytes are written as "?". Logging never fails a login.
 */
#ifndef LMI_LOG_H
#define LMI_LOG_H

#include "base/settings.h"

void lmi_log(const struct lmi_settings *settings, bool alert, const char *text);

#endif
