/*
 * Preloaded: writes down what a program does to the files of one folder, in
 * the form of trace.h.
 *
 *     POWER_FOLDER   the folder
 *     POWER_TRACE    where the events go
 *     POWER_FLAGS    for controls: names of flags for mdb_env_open()
 *
 * A map that is shared and writable is compared with a copy at each msync():
 * what has changed counts as written just before. The lock files are left out;
 * they mean nothing after a power cut.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <lmdb.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "trace.h"

#define FILES 64
#define PAGE 4096
#define COMPARED ((size_t)8 << 20) /* of a map: more than a test writes */

static int trace = -1;
static char folder[PATH_MAX];
static ino_t files[FILES];
static size_t file_count;
static struct {
    char *at, *copy;
    size_t len;
    ino_t file;
} map;

/* The function that stands behind the one of this name here. */
static void *
real_of(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);

    if (found == NULL)
        abort();
    return found;
}
#define REAL(name) ((__typeof__(&name))real_of(#name))

static void __attribute__((constructor)) start(void)
{
    const char *path = getenv("POWER_TRACE");

    if (path == NULL || getenv("POWER_FOLDER") == NULL)
        return;
    snprintf(folder, sizeof folder, "%s", getenv("POWER_FOLDER"));
    trace = REAL(open)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (trace < 0)
        abort();
}

static void
put(enum power_kind kind, ino_t file, uint64_t offset, uint64_t length,
    const void *bytes, size_t size)
{
    struct power_event event = {.kind = kind,
                                .size = (uint32_t)size,
                                .file = file,
                                .offset = offset,
                                .length = length};
    const struct iovec parts[2] = {{&event, sizeof event},
                                   {(void *)(uintptr_t)bytes, size}};

    if (trace >= 0 &&
        REAL(writev)(trace, parts, 2) != (ssize_t)(sizeof event + size))
        abort();
}

/* For the program that is watched: found by its name. */
void power_note(const char *line);
void
power_note(const char *line)
{
    put(POWER_NOTE, 0, 0, 0, line, strlen(line));
}

/* The name in the folder, of a path that leads there; else NULL. */
static const char *
name_in_folder(int dir, const char *path, char full[2 * PATH_MAX])
{
    char link[32];
    ssize_t len = 0;
    size_t folder_len = strlen(folder);

    if (trace < 0)
        return NULL;
    if (path[0] != '/' && dir != AT_FDCWD) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
        len = readlink(link, full, PATH_MAX);
        if (len < 0)
            return NULL;
        full[len++] = '/';
    }
    snprintf(full + len, PATH_MAX, "%s", path);
    if (strncmp(full, folder, folder_len) != 0 || full[folder_len] != '/')
        return NULL;
    path = full + folder_len + 1;
    return strchr(path, '/') != NULL || strcmp(path, "lock.mdb") == 0 ||
                   strcmp(path, "write.lock") == 0
               ? NULL
               : path;
}

static bool
is_watched(ino_t file)
{
    for (size_t i = 0; i < file_count; i++)
        if (files[i] == file)
            return true;
    return false;
}

/* The file behind a descriptor, if it is one of the folder's; else 0. */
static ino_t
watched(int fd)
{
    struct stat st;

    return trace >= 0 && fstat(fd, &st) == 0 && is_watched(st.st_ino)
               ? st.st_ino
               : 0;
}

static int
opened(int fd, const char *name, bool is_new)
{
    struct stat st;

    if (fd < 0 || name == NULL || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return fd;
    if (!is_watched(st.st_ino)) {
        if (file_count == FILES)
            abort();
        files[file_count++] = st.st_ino;
    }
    if (is_new)
        put(POWER_NAME, st.st_ino, 0, 0, name, strlen(name));
    return fd;
}

int
openat(int dir, const char *path, int flags, ...)
{
    char full[2 * PATH_MAX];
    const char *name = name_in_folder(dir, path, full);
    bool is_new = (flags & O_CREAT) != 0 &&
                  faccessat(dir, path, F_OK, AT_SYMLINK_NOFOLLOW) != 0;
    va_list arguments;

    va_start(arguments, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return opened(REAL(openat)(dir, path, flags, mode), name, is_new);
}

int
open(const char *path, int flags, ...)
{
    va_list arguments;

    va_start(arguments, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return openat(AT_FDCWD, path, flags, mode);
}

int open64(const char *, int, ...) __attribute__((alias("open")));
int openat64(int, const char *, int, ...) __attribute__((alias("openat")));

/* A write that has returned; through O_DSYNC it is on the disk as well. */
static void
wrote(int fd, off_t offset, const void *bytes, size_t size)
{
    ino_t file = watched(fd);

    if (file == 0)
        return;
    put(POWER_WRITE, file, (uint64_t)offset, size, bytes, size);
    if ((fcntl(fd, F_GETFL) & O_DSYNC) != 0)
        put(POWER_SYNC, file, (uint64_t)offset, size, NULL, 0);
}

static void
wrote_parts(int fd, off_t offset, const struct iovec *parts, int count,
            size_t done)
{
    size_t used = 0;
    char *all = malloc(done + 1);

    if (all == NULL)
        abort();
    for (int i = 0; i < count && used < done; i++) {
        size_t len = parts[i].iov_len;
        if (len > done - used)
            len = done - used;
        memcpy(all + used, parts[i].iov_base, len);
        used += len;
    }
    wrote(fd, offset, all, done);
    free(all);
}

static off_t
place_of(int fd)
{
    return watched(fd) != 0 ? lseek(fd, 0, SEEK_CUR) : 0;
}

ssize_t
write(int fd, const void *bytes, size_t size)
{
    off_t offset = place_of(fd);
    ssize_t done = REAL(write)(fd, bytes, size);

    if (done > 0)
        wrote(fd, offset, bytes, (size_t)done);
    return done;
}

ssize_t
writev(int fd, const struct iovec *parts, int count)
{
    off_t offset = place_of(fd);
    ssize_t done = REAL(writev)(fd, parts, count);

    if (done > 0)
        wrote_parts(fd, offset, parts, count, (size_t)done);
    return done;
}

ssize_t
pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    ssize_t done = REAL(pwrite)(fd, bytes, size, offset);

    if (done > 0)
        wrote(fd, offset, bytes, (size_t)done);
    return done;
}

ssize_t
pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    ssize_t done = REAL(pwritev)(fd, parts, count, offset);

    if (done > 0)
        wrote_parts(fd, offset, parts, count, (size_t)done);
    return done;
}

ssize_t pwrite64(int, const void *, size_t, off_t)
    __attribute__((alias("pwrite")));
ssize_t pwritev64(int, const struct iovec *, int, off_t)
    __attribute__((alias("pwritev")));

/* After a call that may have changed a file's size. */
static int
resized(int fd, int result)
{
    ino_t file = watched(fd);
    struct stat st;

    if (result == 0 && file != 0 && fstat(fd, &st) == 0)
        put(POWER_SIZE, file, (uint64_t)st.st_size, 0, NULL, 0);
    return result;
}

int
ftruncate(int fd, off_t size)
{
    return resized(fd, REAL(ftruncate)(fd, size));
}

int
fallocate(int fd, int mode, off_t offset, off_t len)
{
    return resized(fd, REAL(fallocate)(fd, mode, offset, len));
}

int
posix_fallocate(int fd, off_t offset, off_t len)
{
    return resized(fd, REAL(posix_fallocate)(fd, offset, len));
}

int ftruncate64(int, off_t) __attribute__((alias("ftruncate")));
int fallocate64(int, int, off_t, off_t) __attribute__((alias("fallocate")));
int posix_fallocate64(int, off_t, off_t)
    __attribute__((alias("posix_fallocate")));

static int
synced(int fd, int result)
{
    ino_t file = watched(fd);
    struct stat st, place;

    if (result != 0 || trace < 0)
        return result;
    if (file != 0)
        put(POWER_SYNC, file, 0, POWER_ALL, NULL, 0);
    else if (fstat(fd, &st) == 0 && stat(folder, &place) == 0 &&
             st.st_ino == place.st_ino && st.st_dev == place.st_dev)
        put(POWER_SYNC_NAMES, 0, 0, 0, NULL, 0);
    return result;
}

int
fsync(int fd)
{
    return synced(fd, REAL(fsync)(fd));
}

int
fdatasync(int fd)
{
    return synced(fd, REAL(fdatasync)(fd));
}

static void *
mapped(void *at, size_t len, int protection, int flags, int fd)
{
    ino_t file = watched(fd);

    if (at == MAP_FAILED || file == 0 || (flags & MAP_SHARED) == 0 ||
        (protection & PROT_WRITE) == 0)
        return at;
    map.at = at;
    map.len = len < COMPARED ? len : COMPARED;
    map.file = file;
    map.copy = calloc(1, map.len);
    if (map.copy == NULL || pread(fd, map.copy, map.len, 0) < 0)
        abort();
    return at;
}

void *
mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset)
{
    return mapped(REAL(mmap)(at, len, protection, flags, fd, offset), len,
                  protection, flags, fd);
}

void *mmap64(void *, size_t, int, int, int, off_t)
    __attribute__((alias("mmap")));

int
munmap(void *at, size_t len)
{
    if (at == map.at)
        map.at = NULL;
    return REAL(munmap)(at, len);
}

/* Each changed page of the map, wherever it lies: the system may have written
 * any of them. */
static void
write_down_map(void)
{
    for (size_t i = 0; i < map.len; i += PAGE)
        if (memcmp(map.at + i, map.copy + i, PAGE) != 0) {
            memcpy(map.copy + i, map.at + i, PAGE);
            put(POWER_WRITE, map.file, i, PAGE, map.copy + i, PAGE);
        }
}

int
msync(void *at, size_t len, int flags)
{
    size_t offset = (size_t)((char *)at - map.at);
    bool ours = map.at != NULL && (char *)at >= map.at && offset < map.len;

    if (ours)
        write_down_map();
    int result = REAL(msync)(at, len, flags);
    if (ours && result == 0 && (flags & MS_SYNC) != 0)
        put(POWER_SYNC, map.file, offset, len, NULL, 0);
    return result;
}

static int
named(int result, int dir, const char *path)
{
    char full[2 * PATH_MAX];
    const char *name = name_in_folder(dir, path, full);
    struct stat st;

    if (result == 0 && name != NULL && stat(full, &st) == 0)
        put(POWER_NAME, st.st_ino, 0, 0, name, strlen(name));
    return result;
}

static int
unnamed(int result, int dir, const char *path)
{
    char full[2 * PATH_MAX];
    const char *name = name_in_folder(dir, path, full);

    if (result == 0 && name != NULL)
        put(POWER_UNNAME, 0, 0, 0, name, strlen(name));
    return result;
}

int
linkat(int from_dir, const char *from, int dir, const char *path, int flags)
{
    return named(REAL(linkat)(from_dir, from, dir, path, flags), dir, path);
}

int
link(const char *from, const char *path)
{
    return named(REAL(link)(from, path), AT_FDCWD, path);
}

int
unlinkat(int dir, const char *path, int flags)
{
    return unnamed(REAL(unlinkat)(dir, path, flags), dir, path);
}

int
unlink(const char *path)
{
    return unnamed(REAL(unlink)(path), AT_FDCWD, path);
}

/* One event for both names: a rename is atomic. */
static int
renamed(int result, int from_dir, const char *from, int dir, const char *path)
{
    char full[2 * PATH_MAX], full_from[2 * PATH_MAX], both[2 * PATH_MAX];
    const char *name = name_in_folder(dir, path, full);
    const char *old = name_in_folder(from_dir, from, full_from);
    struct stat st;

    if (result == 0 && name != NULL && stat(full, &st) == 0) {
        int len =
            snprintf(both, sizeof both, "%s/%s", name, old != NULL ? old : "");
        put(POWER_NAME, st.st_ino, 0, 0, both, (size_t)len);
    }
    return result;
}

int
renameat2(int from_dir, const char *from, int dir, const char *path,
          unsigned flags)
{
    return renamed(REAL(renameat2)(from_dir, from, dir, path, flags), from_dir,
                   from, dir, path);
}

int
renameat(int from_dir, const char *from, int dir, const char *path)
{
    return renamed(REAL(renameat)(from_dir, from, dir, path), from_dir, from,
                   dir, path);
}

int
rename(const char *from, const char *path)
{
    return renamed(REAL(rename)(from, path), AT_FDCWD, from, AT_FDCWD, path);
}

/* The durable part's environment; the volatile one is a single file. */
int
mdb_env_open(MDB_env *env, const char *path, unsigned flags, mdb_mode_t mode)
{
    static const struct {
        const char *name;
        unsigned flag;
    } known[] = {{"NOSYNC", MDB_NOSYNC},
                 {"NOMETASYNC", MDB_NOMETASYNC},
                 {"WRITEMAP", MDB_WRITEMAP},
                 {"MAPASYNC", MDB_MAPASYNC}};
    const char *wanted = getenv("POWER_FLAGS");
    size_t i = wanted == NULL || (flags & MDB_NOSUBDIR) != 0 ? 4 : 0;

    for (; i < 4; i++) {
        const char *at = strstr(wanted, known[i].name);
        if (at != NULL && (at == wanted || at[-1] == '+'))
            flags |= known[i].flag;
    }
    return REAL(mdb_env_open)(env, path, flags, mode);
}
