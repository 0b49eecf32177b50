/*
 * A folder for one test, gone when the test ends; and a library handle.
 */
#ifndef SCRATCH_H
#define SCRATCH_H

#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "logmein.h"
#include "tap.h"

static char scratch[64];
static pid_t scratch_owner;

static inline int
scratch_visit(const char *path, const struct stat *st, int type,
              struct FTW *where)
{
    (void)st;
    (void)type;
    (void)where;
    return remove(path);
}

static inline void
scratch_remove(void)
{
    if (scratch[0] != '\0' && getpid() == scratch_owner)
        nftw(scratch, scratch_visit, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void
scratch_make(void)
{
    const char *parent = getenv("TMPDIR");

    snprintf(scratch, sizeof scratch, "%.40s/lmi-core-XXXXXX",
             parent != NULL ? parent : "/tmp");
    scratch_owner = getpid();
    if (mkdtemp(scratch) == NULL) {
        perror(scratch);
        exit(2);
    }
    atexit(scratch_remove);
}

/* A path below the folder; good until the second call after this one. */
static inline const char *
scratch_path(const char *name)
{
    static char paths[2][128];
    static unsigned turn;
    char *path = paths[turn++ % 2];

    snprintf(path, sizeof paths[0], "%s/%s", scratch, name);
    return path;
}

static inline struct lmi *
core_make(void)
{
    struct lmi_err err;
    struct lmi *core;

    if (lmi_new(&core, &err) != LMI_OK) {
        printf("Bail out! no library handle\n");
        exit(2);
    }
    return core;
}

#endif
