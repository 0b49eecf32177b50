/*
 * Row 7: how long a new session waits, at the worst, while another process
 * purges many that have expired.
 *
 *     bin/stall COUNT BEFORE.conf AFTER.conf MEMORY DISK
 *
 * The lmi are made by the clock of the first settings, in the store
 * MEMORY, and have expired by that of the second, whose store DISK is a copy.
 * Prints the longest wait in milliseconds of wall time, how many lmi were
 * made, and the longest wait of as many more after the purge: what the disk
 * and the other processes of the machine do by themselves.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sessions/create.h"
#include "worker.h"

static struct lmi *
open_with(const char *settings)
{
    struct lmi *lmi;
    struct lmi_err err;

    setenv("LOGMEIN_CONF", settings, 1);
    bench_need(lmi_new(NULL, &lmi, &err) == LMI_OK &&
                   lmi_pin(lmi, &err) == LMI_OK &&
                   lmi_open(lmi, &err) == LMI_OK,
               "opening the store");
    return lmi;
}

static void
make(struct lmi *lmi, size_t number)
{
    char user[32];
    const struct lmi_session_params params = {
        .user = user, .service = LMI_CPANEL, .hash = "$6$salt$hash"};
    struct lmi_session_made made;
    struct lmi_err err;

    snprintf(user, sizeof user, "user%zu", number);
    bench_need(lmi_session_create(lmi, &params, &made, &err) == LMI_OK,
               "making a session");
}

static double
milliseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static double
time_one(struct lmi *lmi, size_t number, double longest)
{
    double start = milliseconds();

    make(lmi, number);
    double took = milliseconds() - start;
    return took > longest ? took : longest;
}

static pid_t
start_purge(struct lmi *lmi)
{
    struct lmi_err err;
    uint64_t removed;
    pid_t purger = fork();

    if (purger == 0)
        _exit(lmi_session_purge(lmi, &removed, &err) == LMI_OK ? 0 : 1);
    return purger;
}

int
main(int argc, char **argv)
{
    struct lmi *lmi;
    char command[1024];
    double longest = 0, alone = 0;
    size_t made = 0;
    int status;

    bench_need(argc == 6, "COUNT BEFORE AFTER MEMORY DISK");
    lmi = open_with(argv[2]);
    for (long i = 0; i < atol(argv[1]); i++)
        make(lmi, (size_t)i);
    lmi_free(lmi);
    snprintf(command, sizeof command, "cp -rp '%s' '%s' && sync", argv[4],
             argv[5]);
    bench_need(system(command) == 0, "copying the store");
    lmi = open_with(argv[3]);
    pid_t purger = start_purge(lmi);
    while (waitpid(purger, &status, WNOHANG) == 0)
        longest = time_one(lmi, made++, longest);
    bench_need(status == 0 && made > 0, "purging");
    for (size_t i = 0; i < made; i++)
        alone = time_one(lmi, made + i, alone);
    printf("%.1f %zu %.1f\n", longest, made, alone);
    return 0;
}
