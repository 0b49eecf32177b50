#include "worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

double
bench_cpu(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void
answer(const struct bench_job *job, void *context)
{
    double start = bench_cpu();

    for (unsigned i = 0; i < job->batch; i++)
        job->work(context);
    printf("%.9f\n", (bench_cpu() - start) / job->batch);
    fflush(stdout);
}

void
bench_serve(const struct bench_job *jobs, void *context)
{
    char word[32];

    puts("ready");
    fflush(stdout);
    while (scanf("%31s", word) == 1) {
        const struct bench_job *job = jobs;
        while (job->word != NULL && strcmp(job->word, word) != 0)
            job++;
        bench_need(job->word != NULL, "a word that this worker knows");
        answer(job, context);
    }
}

void
bench_need(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "bench: this failed: %s\n", what);
    exit(1);
}

void
bench_open_copy(const char *store, const char *folder, struct bench_copy *out)
{
    char command[1024];
    int code;

    snprintf(command, sizeof command, "cp '%s/data.mdb' '%s/data.mdb'", store,
             folder);
    bench_need(system(command) == 0, "copying the store");
    code = mdb_env_create(&out->env);
    if (code == 0)
        code = mdb_env_set_mapsize(out->env, (size_t)1 << 34);
    if (code == 0)
        code = mdb_env_open(out->env, folder, MDB_NOTLS, 0600);
    if (code == 0)
        code = mdb_txn_begin(out->env, NULL, MDB_RDONLY, &out->reader);
    if (code == 0)
        code = mdb_dbi_open(out->reader, NULL, 0, &out->dbi);
    bench_need(code == 0, "opening the copy");
}
