/* Percent-encoding and blanks, one byte after the other: nothing is copied. */
#ifndef LMI_SCAN_H
#define LMI_SCAN_H

#include "base/text.h"

/*
 * Cut one byte from the rest, which must not be empty, and return what it
 * means. A percent sign without two hex digits behind it is itself. In a form
 * "+" is a space.
 */
unsigned char lmi_scan_coded(struct lmi_bytes *rest);
unsigned char lmi_scan_form(struct lmi_bytes *rest);

/* Does half a pair of a form mean these bytes? */
bool lmi_form_is(struct lmi_bytes half, struct lmi_bytes plain);

/* A space, or \t, \n, \v, \f, \r. */
bool lmi_is_space(char c);

void lmi_skip_spaces(struct lmi_bytes *rest);

/* Cuts this many bytes from the front. */
void lmi_skip(struct lmi_bytes *rest, size_t len);

#endif
