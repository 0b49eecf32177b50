/*
 * A worker prepares its work, says "ready", and then answers each word that
 * it reads from its standard input with the CPU seconds that one operation of
 * that name took. Who asks decides about rounds and order, so workers in C
 * and in Perl can be measured against each other.
 */
#ifndef BENCH_WORKER_H
#define BENCH_WORKER_H

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

#endif
