/*
 * Memory for secrets: wiped when it is freed. There is no realloc, for that
 * would leave a copy behind.
 */
#ifndef LMI_SECRET_H
#define LMI_SECRET_H

#include "logmein.h"

/* Zeroed memory, or NULL. */
LMI_CHECK void *lmi_secret_alloc(size_t size);
void lmi_secret_free(void *secret);

/* Same bytes? Takes as long whatever the answer. */
bool lmi_secret_equal(const void *a, const void *b, size_t len);

#endif
