/*
 * The keeper on one machine: LMDB, one environment for each part.
 *
 * Durable commits are LMDB's default ones, fully synchronous; the volatile
 * part is never synchronised, lies in a folder that is empty after a boot,
 * and carries the boot's id in its name.
 *
 * An environment must not be opened twice in a process, nor used across a
 * fork. Hence the core's one piece of mutable state: a registry of the open
 * environments of this process, guarded by a mutex that fork() respects.
 */
#ifndef LMI_STORE_LMDB_H
#define LMI_STORE_LMDB_H

struct lmi_store_keeper;
extern const struct lmi_store_keeper lmi_store_lmdb;

/* The version of the LMDB that runs. Static. */
const char *lmi_store_lmdb_version(void);

#endif
