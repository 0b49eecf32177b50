/*
 * Row 3: what whole commands cost, children's user and system time. perl's
 * own times() counts in hundredths of a second, which is too coarse.
 *
 *     bin/start HASH PERL OURS... -- BASELINE...
 *
 * OURS and BASELINE are the arguments of PERL. "hash" tells what the hash in
 * OURS costs, for the asker to subtract.
 */
#include <crypt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <stdio.h>
#include <unistd.h>

#include "worker.h"

static double
seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static double
run_once(char **command)
{
    struct rusage usage;
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        execv(command[0], command);
        _exit(127);
    }
    bench_need(wait4(pid, &status, 0, &usage) == pid && status == 0,
               command[1]);
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

static double
hash_once(const char *hash)
{
    static struct crypt_data data;
    double start = bench_cpu();

    bench_need(crypt_rn("secret", hash, &data, (int)sizeof data) != NULL,
               "the bare hash");
    return bench_cpu() - start;
}

int
main(int argc, char **argv)
{
    const int batch = 10;
    char word[32], **ours = argv + 2, **baseline = argv + 2;

    while (*baseline != NULL && strcmp(*baseline, "--") != 0)
        baseline++;
    bench_need(argc > 4 && *baseline != NULL, "HASH PERL OURS -- BASELINE");
    *baseline = NULL; /* ends our command, and is where the other begins */
    puts("ready");
    fflush(stdout);
    while (scanf("%31s", word) == 1) {
        double sum = 0;
        for (int i = 0; i < batch; i++) {
            if (strcmp(word, "hash") == 0)
                sum += hash_once(argv[1]);
            else if (strcmp(word, "ours") == 0)
                sum += run_once(ours);
            else {
                *baseline = argv[2];
                sum += run_once(baseline);
                *baseline = NULL;
            }
        }
        printf("%.9f\n", sum / batch);
        fflush(stdout);
    }
    return 0;
}
