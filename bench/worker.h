/*
 * A worker prepares its work, says "ready", and then answers each word that
 * it reads from its standard input with the CPU seconds that one operation of
 * that name took. Who asks decides about rounds and order, so workers in C
 * and in Perl can be measured against each other.
 */
#ifndef BENCH_WORKER_H
#define BENCH_WORKER_H

#include <lmdb.h>

struct bench_job {
    const char *word;
    void (*work)(void *context);
    unsigned batch; /* operations for one answer */
};

/* User and system time of this process, in seconds. */
double bench_cpu(void);

/* Serves until the end of input; the table ends with a NULL word. */
void bench_serve(const struct bench_job *jobs, void *context);

/* Ends the program with a sentence unless `ok`: a bench measures successes. */
void bench_need(int ok, const char *what);

/* The baseline's environment: as large a tree as ours, and without our code. */
struct bench_copy {
    MDB_env *env;
    MDB_dbi dbi;
    MDB_txn *reader; /* has begun */
};

/* Copies the store of one folder into another, an empty one, and opens it. */
void bench_open_copy(const char *store, const char *folder,
                     struct bench_copy *out);

#endif
