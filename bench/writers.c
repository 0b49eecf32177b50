/*
 * Row 14: processes that log in at the same time, each as fifty users of its
 * own in turn, into the store that LOGMEIN_CONF names. Their time is that of
 * the clock on the wall.
 *
 *     bin/writers PROCESSES SECONDS
 *
 * A worker as in worker.h: the answer is SECONDS by the number of logins.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "logmein.h"
#include "worker.h"

static struct shared {
    pthread_barrier_t barrier;
    int stop;
    double until;
    unsigned logins;
} * shared;

static double
now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Few have as many sessions as they may, which takes time of its own. */
#define USERS 50

static void
login(struct lmi *lmi, unsigned number)
{
    static struct lmi_login_answer answer;
    static unsigned turn;
    char user[16];
    int len =
        snprintf(user, sizeof user, "user%u", number * USERS + turn++ % USERS);
    const struct lmi_login ask = {.user = {LMI_TEXT_LATIN1, user, (size_t)len},
                                  .pass = {LMI_TEXT_LATIN1, "secret", 6},
                                  .hostname = {LMI_TEXT_LATIN1, "localhost", 9},
                                  .service = {LMI_TEXT_LATIN1, "cpanel", 6},
                                  .goto_uri = {LMI_TEXT_LATIN1, "/", 1}};

    lmi_login(lmi, &ask, &answer);
    bench_need(answer.reason == LMI_REASON_OK, answer.detail);
    lmi_login_answer_wipe(&answer);
}

static void
serve(unsigned number)
{
    struct lmi *lmi;
    struct lmi_err err;

    bench_need(lmi_new(NULL, &lmi, &err) == LMI_OK, "the settings");
    login(lmi, number);
    pthread_barrier_wait(&shared->barrier);
    for (;;) {
        pthread_barrier_wait(&shared->barrier);
        if (shared->stop)
            _exit(0);
        unsigned logins = 0;
        for (; now() < shared->until; logins++)
            login(lmi, number);
        __atomic_add_fetch(&shared->logins, logins, __ATOMIC_RELAXED);
        pthread_barrier_wait(&shared->barrier);
    }
}

static void
start(unsigned processes)
{
    pthread_barrierattr_t attributes;

    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bench_need(shared != MAP_FAILED, "memory");
    pthread_barrierattr_init(&attributes);
    pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&shared->barrier, &attributes, processes + 1);
    for (unsigned i = 0; i < processes; i++)
        if (fork() == 0)
            serve(i);
    pthread_barrier_wait(&shared->barrier);
}

static double
run(double seconds)
{
    double begun = now();

    shared->logins = 0;
    shared->until = begun + seconds;
    pthread_barrier_wait(&shared->barrier);
    pthread_barrier_wait(&shared->barrier);
    bench_need(shared->logins > 0, "a login");
    return (now() - begun) / shared->logins;
}

int
main(int argc, char **argv)
{
    char word[32];

    bench_need(argc == 3, "PROCESSES SECONDS");
    start((unsigned)atoi(argv[1]));
    puts("ready");
    fflush(stdout);
    while (scanf("%31s", word) == 1) {
        printf("%.9f\n", run(atof(argv[2])));
        fflush(stdout);
    }
    shared->stop = 1;
    pthread_barrier_wait(&shared->barrier);
    while (wait(NULL) > 0)
        continue;
    return 0;
}
