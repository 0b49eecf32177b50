/*
 * A process that holds the store's write lock and does not get on, or that does
 * not get on while LMDB opens the store: logins of others are refused after a
 * second, checks go on, and all is well when it has gone.
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <time.h>

#include "scratch.h"
#include "sessions/handle.h"
#include "store/lmdb_env.h"

static struct lmi_err err;
static bool stops_inside; /* LMDB has the lock file to itself: stop there */

static int
real_fcntl(int fd, int command, void *argument)
{
    int (*real)(int, int, ...);
    void *found = dlsym(RTLD_NEXT, "fcntl64");

    if (found == NULL)
        found = dlsym(RTLD_NEXT, "fcntl");
    memcpy(&real, &found, sizeof real);
    int result = real(fd, command, argument);
    if (stops_inside && command == F_SETLK && result == 0 &&
        ((struct flock *)argument)->l_type == F_WRLCK) {
        stops_inside = false;
        raise(SIGSTOP);
    }
    return result;
}

/* Stand before libc's, under both names that LMDB may know. */
#define STAND_BEFORE(name)                                                     \
    int __attribute__((visibility("default"))) name(int fd, int command, ...)  \
    {                                                                          \
        va_list list;                                                          \
        va_start(list, command);                                               \
        void *argument = va_arg(list, void *);                                 \
        va_end(list);                                                          \
        return real_fcntl(fd, command, argument);                              \
    }
STAND_BEFORE(fcntl)
#ifndef fcntl64
STAND_BEFORE(fcntl64)
#endif

static double
seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct lmi *
handle(void)
{
    struct lmi *lmi = lmi_make();

    if (lmi_pin(lmi, &err) != LMI_OK || lmi_enter(lmi, &err) != LMI_OK)
        printf("Bail out! no store\n");
    return lmi;
}

/* A durable write, as a login does it. */
static enum lmi_rc
put(struct lmi *lmi, char number)
{
    struct lmi_store_value value = {.len = 1};
    struct lmi_store_op op = {.verb = LMI_STORE_PUT,
                              .id = {.kind = 'z', .key = {(uint8_t)number}},
                              .expires = INT64_MAX,
                              .value = &value};
    bool done;

    return lmi_store_apply(lmi_store_of(lmi), LMI_DURABLE, &op, 1, 1700000000,
                           &done, &err);
}

static enum lmi_rc
get(struct lmi *lmi)
{
    struct lmi_store_id id = {.kind = 'z', .key = {1}};
    struct lmi_store_value value;
    bool found;
    enum lmi_rc rc = lmi_store_get(lmi_store_of(lmi), LMI_DURABLE, &id, &found,
                                   &value, &err);

    return rc == LMI_OK && !found ? LMI_STORE : rc;
}

/* Takes the lock as a commit does, tells, and stays; busily for so long. */
static pid_t
start_holder(double busy)
{
    int ready[2];
    char byte = 0;

    if (pipe(ready) != 0)
        printf("Bail out! no pipe\n");
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        const struct lmi_store_where where = {
            .url = lmi_settings_of(handle())->store,
            .volatile_dir = scratch_path("volatile")};
        struct lmi_lmdb_env *env;
        void *lmdb;
        if (lmi_lmdb_open(&where, &lmdb, &err) != LMI_OK ||
            lmi_lmdb_enter(lmdb, LMI_DURABLE, &env, &err) != LMI_OK ||
            lmi_lmdb_lock(env) != 0 || write(ready[1], "", 1) != 1)
            _exit(1);
        double end = seconds() + busy;
        while (busy > 0)
            if (seconds() > end)
                _exit(0);
        for (;;)
            pause();
    }
    if (read(ready[0], &byte, 1) != 1)
        printf("Bail out! no holder\n");
    close(ready[0]);
    close(ready[1]);
    return pid;
}

/* A process that opens the store, and is stopped while LMDB has it alone. */
static pid_t
start_opener(void)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        stops_inside = true;
        handle();
        _exit(1);
    }
    if (waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status))
        printf("Bail out! no opener\n");
    return pid;
}

static void
stop_opening(void)
{
    struct lmi *lmi = lmi_make();
    pid_t opener = start_opener();
    double start = seconds(), took;

    alarm(20); /* for a core that waits for ever */
    ok(lmi_pin(lmi, &err) == LMI_OK && lmi_enter(lmi, &err) == LMI_STORE,
       "beside a process that was stopped while it opened the store, a fault");
    took = seconds() - start;
    ok(took > 0.9 && took < 5, "... after %.1f seconds", took);
    ok(strstr(err.text, "write lock") != NULL, "... which says so");
    kill(opener, SIGKILL);
    waitpid(opener, NULL, 0);
    ok(lmi_enter(lmi, &err) == LMI_OK && put(lmi, 1) == LMI_OK,
       "when it was killed, the store opens");
    alarm(0);
    lmi_free(lmi);
}

int
main(void)
{
    double start, took;

    scratch_make();
    scratch_site("*");
    scratch_settings(1700000000);
    stop_opening();
    struct lmi *lmi = handle();
    ok(put(lmi, 1) == LMI_OK, "control: without a holder a write succeeds");
    pid_t holder = start_holder(0);
    kill(holder, SIGSTOP);
    start = seconds();
    ok(put(lmi, 2) == LMI_STORE, "beside a stopped holder it is a fault");
    took = seconds() - start;
    ok(took > 0.9 && took < 5, "... after %.1f seconds", took);
    ok(strstr(err.text, "write lock") != NULL, "... which says so");
    start = seconds();
    ok(get(lmi) == LMI_OK && seconds() - start < 0.5, "reading goes on");
    kill(holder, SIGKILL);
    waitpid(holder, NULL, 0);
    ok(put(lmi, 3) == LMI_OK, "when the holder was killed, writes succeed");
    start = seconds();
    holder = start_holder(2.5);
    ok(put(lmi, 4) == LMI_OK && seconds() - start > 2,
       "for one that has a processor a write waits");
    waitpid(holder, NULL, 0);
    lmi_free(lmi);
    return done();
}
