/*
 * One line for the operator: to syslog (facility authpriv), to a file, or
 * nowhere. The file is opened for each line, so that rotation needs no
 * signal. Control bytes are written as "?". Logging never fails a login.
 */
#ifndef LMI_LOG_H
#define LMI_LOG_H

#include "logmein.h"

/* target: "syslog", "none" or "file:PATH". */
void lmi_log(const char *target, bool alert, const char *text);

#endif
