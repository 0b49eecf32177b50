/*
 * A disk that takes BENCH_SYNC microseconds longer to keep what it was given:
 * for LD_PRELOAD. LMDB writes its last page through a descriptor that waits.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void
wait_longer(void)
{
    const char *text = getenv("BENCH_SYNC");
    long us = text != NULL ? atol(text) : 0;
    struct timespec time = {.tv_sec = us / 1000000,
                            .tv_nsec = us % 1000000 * 1000};

    nanosleep(&time, NULL);
}

static int
call(const char *name, int fd)
{
    void *found = dlsym(RTLD_NEXT, name);
    int (*function)(int);

    memcpy(&function, &found, sizeof found);
    wait_longer();
    return function(fd);
}

int
fsync(int fd)
{
    return call("fsync", fd);
}

int
fdatasync(int fd)
{
    return call("fdatasync", fd);
}

ssize_t
pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
    void *found = dlsym(RTLD_NEXT, "pwrite");
    ssize_t (*function)(int, const void *, size_t, off_t);

    memcpy(&function, &found, sizeof found);
    if ((fcntl(fd, F_GETFL) & O_DSYNC) != 0)
        wait_longer();
    return function(fd, bytes, len, offset);
}

ssize_t
pwrite64(int fd, const void *bytes, size_t len, off_t offset)
{
    return pwrite(fd, bytes, len, offset);
}
