/*
 * LMDB's environments, one for each part of the store. LMDB allows no second
 * one in a process, and none across a fork. Hence the core's only mutable
 * state: a registry of the open environments of this process, with a mutex.
 */
#ifndef LMI_LMDB_ENV_H
#define LMI_LMDB_ENV_H

#include <lmdb.h>
#include <time.h>

#include "store/store.h"

/* One open store: two folders, and what they led to in which process. */
struct lmi_lmdb;
LMI_RC lmi_lmdb_open(const struct lmi_store_where *where, void **out,
                     struct lmi_err *err);
void lmi_lmdb_close(void *self);
LMI_CHECK bool lmi_lmdb_replaced(void *self, bool at_once);

#define LMI_BOOT_ID 36 /* characters */

struct lmi_lmdb_env {
    char boot[LMI_BOOT_ID + 1]; /* the kernel's name for this boot */
    MDB_env *mdb;               /* NULL: to be opened again */
    MDB_dbi dbi;
    MDB_txn *reader;       /* reset between reads */
    struct lmi_lock *lock; /* taken before LMDB's own locks */
    bool locked;           /* by this process, to write */
    bool held;             /* ... until lmi_lmdb_release() */
    time_t readers_checked;
};

/*
 * Locks the registry and gives the part's environment in this process. Unlocks
 * again on failure, else lmi_lmdb_leave() does.
 */
LMI_RC lmi_lmdb_enter(struct lmi_lmdb *lmdb, enum lmi_store_part part,
                      struct lmi_lmdb_env **env_out, struct lmi_err *err);

/* Unlocks; code is LMDB's, or errno's, for what was done, and becomes rc. */
LMI_RC lmi_lmdb_leave(struct lmi_lmdb *lmdb, enum lmi_store_part part, int code,
                      const char *text, struct lmi_err *err);

/* Renews the kept reader; a reset ends it. LMDB's code. */
LMI_CHECK int lmi_lmdb_read(struct lmi_lmdb_env *env);

/*
 * Commits. After a failure the state of the disk is not known, and another
 * fsync would not report it: the environment is closed, and the next call opens
 * the file anew.
 */
LMI_CHECK int lmi_lmdb_commit(struct lmi_lmdb_env *env, MDB_txn *txn);

/*
 * Waits for other writers as lmi_lock_take() does. An fsync that stalls inside
 * our own commit is not bounded.
 */
LMI_CHECK int lmi_lmdb_lock(struct lmi_lmdb_env *env);
void lmi_lmdb_unlock(struct lmi_lmdb_env *env);

/* Keeps the lock over several changes of this process. */
LMI_CHECK int lmi_lmdb_hold(struct lmi_lmdb_env *env);
void lmi_lmdb_release(struct lmi_lmdb_env *env);

/* Was the store opened to set its mark? And where is the part? */
LMI_CHECK bool lmi_lmdb_ignores_mark(const struct lmi_lmdb *lmdb);
const char *lmi_lmdb_folder(const struct lmi_lmdb *lmdb,
                            enum lmi_store_part part);

/* Is it worth trying again? The map has grown, here or in another process. */
LMI_CHECK bool lmi_lmdb_grows(struct lmi_lmdb_env *env, int code);

/* Fills in what is not in the database: readers and space. LMDB's code. */
LMI_CHECK int lmi_lmdb_report(struct lmi_lmdb *lmdb, struct lmi_lmdb_env *env,
                              struct lmi_store_report *out);

/* Frees the slots of readers that died, at most once a minute. */
void lmi_lmdb_check_readers(struct lmi_lmdb_env *env);

#endif
