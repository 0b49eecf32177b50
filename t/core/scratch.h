/*
 * A folder for one test, gone when the test ends; and a handle.
 */
#ifndef SCRATCH_H
#define SCRATCH_H

#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/crypto.h"
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

/* Settings that are younger than two seconds do not replace others. */
static inline bool
make_older(const char *path)
{
    struct timespec times[2];

    clock_gettime(CLOCK_REALTIME, &times[0]);
    times[0].tv_sec -= 10;
    times[1] = times[0];
    return utimensat(AT_FDCWD, path, times, 0) == 0;
}

static inline void __attribute__((format(printf, 2, 3)))
scratch_write(const char *name, const char *format, ...)
{
    const char *path = scratch_path(name);
    FILE *file = fopen(path, "w");
    va_list arguments;

    va_start(arguments, format);
    if (file == NULL || vfprintf(file, format, arguments) < 0 ||
        fclose(file) != 0 || chmod(path, 0644) != 0 || !make_older(path)) {
        printf("Bail out! %s\n", path);
        exit(2);
    }
    va_end(arguments);
}

/* A site with one account, alice. */
static inline void
scratch_site(const char *hash)
{
    mkdir(scratch_path("etc"), 0755);
    scratch_write("etc/passwd", "alice:x:1001:1001::/home/alice:/bin/sh\n");
    scratch_write("etc/shells", "/bin/sh\n");
    scratch_write("etc/shadow", "alice:%s:19000:0:99999:7:::\n", hash);
}

/* Settings for the site, by a clock that stands still. */
static inline void
scratch_settings(long now)
{
    scratch_write("conf",
                  "log = none\nsite_root = %s\nstore = lmdb:%s/store\n"
                  "test_clock = %ld\n",
                  scratch, scratch, now);
    setenv("LOGMEIN_CONF", scratch_path("conf"), 1);
}

static inline struct lmi_text
text_of(const char *text)
{
    return (struct lmi_text){LMI_TEXT_LATIN1, text, strlen(text)};
}

static inline struct lmi *
lmi_make(void)
{
    struct lmi_err err;
    struct lmi *lmi;

    if (lmi_new(NULL, &lmi, &err) != LMI_OK) {
        printf("Bail out! no handle\n");
        exit(2);
    }
    return lmi;
}

static inline struct lmi_crypto *
crypto_make(void)
{
    struct lmi_err err;
    struct lmi_crypto *crypto;

    if (lmi_crypto_new(&crypto, &err) != LMI_OK) {
        printf("Bail out! no OpenSSL context\n");
        exit(2);
    }
    return crypto;
}

#endif
