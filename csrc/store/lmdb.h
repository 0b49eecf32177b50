/*
 * The LMDB backend. Durable commits are fully synchronous; the volatile part is
 * never synchronised, and its files carry the boot's id in their names.
 */
#ifndef LMI_LMDB_H
#define LMI_LMDB_H

#include "store/store.h"

extern const struct lmi_store_backend lmi_store_lmdb;

/* The version of the LMDB that runs. Static. */
const char *lmi_store_lmdb_version(void);

#endif
