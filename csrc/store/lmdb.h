/*
 * The backend on one machine: LMDB. Durable commits are LMDB's default ones,
 * fully synchronous; the volatile part is never synchronised, lies in a folder
 * that is empty after a boot, and carries the boot's id in its name.
 */
#ifndef LMI_LMDB_H
#define LMI_LMDB_H

#include "store/store.h"

extern const struct lmi_store_backend lmi_store_lmdb;

/* The version of the LMDB that runs. Static. */
const char *lmi_store_lmdb_version(void);

#endif
