/* Filling in error records. */
#ifndef LMI_ERROR_H
#define LMI_ERROR_H

#include "logmein.h"

/*
 * Fills err and returns code. location may be NULL; text and remedy must be
 * static.
 */
enum lmi_rc lmi_fail(struct lmi_err *err, enum lmi_rc code, int os_errno,
                     const char *location, const char *text,
                     const char *remedy);

/* The fault LMI_MEMORY. */
enum lmi_rc lmi_no_memory(struct lmi_err *err);

/* Adds to the location of an error that is already there: " line 12". */
void lmi_err_add_location(struct lmi_err *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
