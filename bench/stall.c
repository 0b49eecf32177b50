/*
 * Row 7: how long a new session waits, at the worst, while another process
 * purges many that have expired.
 *
 *     bin/stall COUNT BEFORE.conf AFTER.conf MEMORY DISK
 *
 * The sessions are made by the clock of the first settings, in the store
 * MEMORY, and have expired by that of the second, whose store DISK is a copy.
 * Prints the longest wait in milliseconds of wall time, how many sessions were
 * made, and the longest wait of as many more after the purge: what the disk
 * and the other processes of the machine do by themselves.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sessions/sessions.h"
#include "worker.h"

static struct lmi_sessions *
open_with(struct lmi *core, const char *settings)
{
    struct lmi_sessions *sessions;
    struct lmi_err err;

    setenv("LOGMEIN_CONF", settings, 1);
    bench_need(lmi_sessions_open(core, &sessions, &err) == LMI_OK,
               "opening the store");
    return sessions;
}

static void
make(struct lmi_sessions *sessions, size_t number)
{
    char user[32];
    const struct lmi_session_params params = {
        .user = user, .service = LMI_CPANEL, .hash = "$6$salt$hash"};
    struct lmi_session_made made;
    struct lmi_err err;

    snprintf(user, sizeof user, "user%zu", number);
    bench_need(lmi_session_create(sessions, &params, &made, &err) == LMI_OK,
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
time_one(struct lmi_sessions *sessions, size_t number, double longest)
{
    double start = milliseconds();

    make(sessions, number);
    double took = milliseconds() - start;
    return took > longest ? took : longest;
}

static pid_t
start_purge(struct lmi_sessions *sessions)
{
    struct lmi_err err;
    uint64_t removed;
    pid_t purger = fork();

    if (purger == 0)
        _exit(lmi_sessions_purge(sessions, &removed, &err) == LMI_OK ? 0 : 1);
    return purger;
}

int
main(int argc, char **argv)
{
    struct lmi *core;
    struct lmi_sessions *sessions;
    struct lmi_err err;
    char command[1024];
    double longest = 0, alone = 0;
    size_t made = 0;
    int status;

    bench_need(argc == 6, "COUNT BEFORE AFTER MEMORY DISK");
    bench_need(lmi_new(&core, &err) == LMI_OK, "starting OpenSSL");
    sessions = open_with(core, argv[2]);
    for (long i = 0; i < atol(argv[1]); i++)
        make(sessions, (size_t)i);
    lmi_sessions_close(sessions);
    snprintf(command, sizeof command, "cp -rp '%s' '%s' && sync", argv[4],
             argv[5]);
    bench_need(system(command) == 0, "copying the store");
    sessions = open_with(core, argv[3]);
    pid_t purger = start_purge(sessions);
    while (waitpid(purger, &status, WNOHANG) == 0)
        longest = time_one(sessions, made++, longest);
    bench_need(status == 0 && made > 0, "purging");
    for (size_t i = 0; i < made; i++)
        alone = time_one(sessions, made + i, alone);
    printf("%.1f %zu %.1f\n", longest, made, alone);
    return 0;
}
