#include "store/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TURNS 2
#define BOOT_SIZE 40
#define LONGEST 30     /* seconds */
#define MAKE_TRIES 900 /* a millisecond apart */

struct lmi_lock {
    struct turn {
        pthread_mutex_t mutex;
        atomic_uint taken; /* how often: others see that there is progress */
        atomic_int holder; /* the last one's thread id */
    } turns[TURNS];
    char boot[BOOT_SIZE]; /* written last */
};

int
lmi_lock_reserve(int fd, size_t size)
{
    struct stat st;

    if (fallocate(fd, 0, 0, (off_t)size) == 0)
        return 0;
    if (errno != EOPNOTSUPP && errno != ENOSYS)
        return errno;
    /* Not every file system can: there it is as well as may be. */
    if (fstat(fd, &st) != 0 ||
        (st.st_size < (off_t)size && ftruncate(fd, (off_t)size) != 0))
        return errno;
    return 0;
}

static int
mutex_make(pthread_mutex_t *mutex)
{
    pthread_mutexattr_t attributes;
    int code = pthread_mutexattr_init(&attributes);

    if (code != 0)
        return code;
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    code = pthread_mutex_init(mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
    return code;
}

static bool
is_made(int fd, const struct lmi_lock *lock, const char *boot)
{
    struct stat st;
    bool made = fstat(fd, &st) == 0 && st.st_size >= (off_t)sizeof *lock &&
                strncmp(lock->boot, boot, BOOT_SIZE) == 0;

    atomic_thread_fence(memory_order_acquire);
    return made;
}

/* By one process at a time, or it might be made twice. */
static int
make(int fd, struct lmi_lock *lock, const char *boot)
{
    int code;

    if (is_made(fd, lock, boot))
        return 0;
    code = lmi_lock_reserve(fd, sizeof *lock);
    for (size_t i = 0; code == 0 && i < TURNS; i++)
        code = mutex_make(&lock->turns[i].mutex);
    atomic_thread_fence(memory_order_release);
    if (code == 0)
        snprintf(lock->boot, BOOT_SIZE, "%s", boot);
    return code;
}

static int
make_or_wait(int fd, struct lmi_lock *lock, const char *boot)
{
    const struct timespec millisecond = {.tv_nsec = 1000000};
    int code = 0;

    for (int i = 0; code == 0 && !is_made(fd, lock, boot); i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
            code = make(fd, lock, boot);
            flock(fd, LOCK_UN); /* the mapping would keep it */
        } else if (errno != EWOULDBLOCK && errno != EINTR) {
            code = errno;
        } else if (i == MAKE_TRIES) {
            code = ETIMEDOUT;
        } else {
            nanosleep(&millisecond, NULL);
        }
    }
    return code;
}

int
lmi_lock_open(int dir_fd, const char *name, const char *boot,
              struct lmi_lock **out)
{
    int fd =
        openat(dir_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    struct lmi_lock *lock;
    int code;

    *out = NULL;
    if (fd < 0)
        return errno;
    lock = mmap(NULL, sizeof *lock, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    code = lock == MAP_FAILED ? errno : make_or_wait(fd, lock, boot);
    if (code == 0)
        *out = lock;
    else if (lock != MAP_FAILED)
        munmap(lock, sizeof *lock);
    close(fd);
    return code;
}

void
lmi_lock_close(struct lmi_lock *lock)
{
    if (lock != NULL)
        munmap(lock, sizeof *lock);
}

/* What becomes of an attempt to take a turn. */
static int
taken(struct turn *turn, int code)
{
    if (code == EOWNERDEAD) /* killed: LMDB leaves out what it had begun */
        code = pthread_mutex_consistent(&turn->mutex);
    if (code == 0) {
        atomic_store(&turn->holder, (int)gettid());
        atomic_fetch_add(&turn->taken, 1);
    }
    return code;
}

/* Has it a processor, or waits for one? On a busy machine that takes long. */
static bool
is_running(int thread)
{
    char path[32], text[64];
    ssize_t len = -1;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/stat", thread);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        len = read(fd, text, sizeof text - 1);
        close(fd);
    }
    text[len > 0 ? len : 0] = '\0';
    /* 1234 (a name) R */
    const char *name_end = strrchr(text, ')');
    return name_end != NULL && strncmp(name_end, ") R", 3) == 0;
}

int
lmi_lock_take(struct lmi_lock *lock, enum lmi_lock_turn number)
{
    struct turn *turn = &lock->turns[number];
    unsigned before = atomic_load(&turn->taken), now = before;
    struct timespec until;
    int code = ETIMEDOUT;

    clock_gettime(CLOCK_MONOTONIC, &until);
    for (int i = 0; code == ETIMEDOUT && i < LONGEST; i++) {
        until.tv_sec++;
        code = pthread_mutex_clocklock(&turn->mutex, CLOCK_MONOTONIC, &until);
        now = atomic_load(&turn->taken);
        if (code == ETIMEDOUT && now == before &&
            !is_running(atomic_load(&turn->holder)))
            break;
        before = now;
    }
    return taken(turn, code);
}

bool
lmi_lock_try(struct lmi_lock *lock, enum lmi_lock_turn number)
{
    struct turn *turn = &lock->turns[number];

    return taken(turn, pthread_mutex_trylock(&turn->mutex)) == 0;
}

void
lmi_lock_give(struct lmi_lock *lock, enum lmi_lock_turn number)
{
    pthread_mutex_unlock(&lock->turns[number].mutex);
}

void
lmi_lock_progress(struct lmi_lock *lock, enum lmi_lock_turn number)
{
    atomic_fetch_add(&lock->turns[number].taken, 1);
}
