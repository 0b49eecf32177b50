/*
 * Rows 13 and 15: what a check reads of a session that is kept in PostgreSQL,
 * against one prepared get of its entry by libpq; and the whole check, which
 * may answer with what was read in the last half second. The time of all is
 * that of this process and of the server's process for its connection.
 *
 *     bin/database COOKIE TOKEN [URL]
 *
 * LOGMEIN_CONF names the settings of the store. URL is that of the database
 * for a user who may read the tables; without one, only checks can be asked
 * for.
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sessions/entry.h"
#include "worker.h"

#define BATCH 5000

struct context {
    struct lmi *lmi;
    struct lmi_access access;
    PGconn *conn;
    char id[80];     /* of the cookie's entry, as SQL writes it */
    char pid[2][16]; /* of the server's processes: ours, and the bare get's */
};

static void
check(void *pointer)
{
    struct context *context = pointer;
    enum lmi_outcome outcome;
    struct lmi_session session;
    struct lmi_err err;
    enum lmi_rc rc = lmi_session_check(context->lmi, &context->access, &outcome,
                                       &session, &err);

    bench_need(rc == LMI_OK && outcome == LMI_GRANTED, "checking a session");
}

/* As a check does that may answer with nothing older. */
static void
read_now(void *pointer)
{
    struct context *context = pointer;
    struct lmi_entry entry;
    struct lmi_err err;

    bench_need(lmi_entry_find_cookie(context->lmi, context->access.cookie, NULL,
                                     0, &entry, &err) == LMI_OK &&
                   entry.good,
               "reading a session");
}

static void
get(void *pointer)
{
    const struct context *context = pointer;
    const char *values[] = {context->id};
    PGresult *result =
        PQexecPrepared(context->conn, "get", 1, values, NULL, NULL, 1);

    bench_need(PQntuples(result) == 1 && PQgetlength(result, 0, 0) > 100,
               "the bare get");
    PQclear(result);
}

/* Seconds that a process of the server has taken. */
static double
server_cpu(const char *pid)
{
    char path[64], text[512] = "";
    unsigned long user = 0, system = 0;
    const char *rest;

    snprintf(path, sizeof path, "/proc/%s/stat", pid);
    if (pid[0] == '\0')
        return 0;
    FILE *file = fopen(path, "r");
    bench_need(file != NULL && fgets(text, sizeof text, file) != NULL, path);
    fclose(file);
    rest = strrchr(text, ')');
    bench_need(rest != NULL &&
                   sscanf(rest + 1,
                          " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu "
                          "%lu",
                          &user, &system) == 2,
               path);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static const struct job {
    const char *word;
    void (*work)(void *context);
    int connection;
} jobs[] = {{"check", check, 0}, {"read", read_now, 0}, {"get", get, 1}};

static void
measure(struct context *context, const struct job *job)
{
    const char *pid = context->pid[job->connection];
    double start = bench_cpu() + server_cpu(pid);

    for (int i = 0; i < BATCH; i++)
        job->work(context);
    printf("%.9f\n", (bench_cpu() + server_cpu(pid) - start) / BATCH);
    fflush(stdout);
}

static void
ask(PGconn *conn, const char *sql, char *out, size_t size)
{
    PGresult *result = PQexec(conn, sql);

    bench_need(PQntuples(result) == 1, sql);
    snprintf(out, size, "%s", PQgetvalue(result, 0, 0));
    PQclear(result);
}

/* The other connection, and the processes for both. */
static void
connect_to(struct context *context, const char *url)
{
    context->conn = PQconnectdb(url);
    bench_need(PQstatus(context->conn) == CONNECTION_OK, url);
    ask(context->conn,
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'logmein'"
        " AND datname = current_database()"
        " ORDER BY backend_start DESC LIMIT 1",
        context->pid[0], sizeof context->pid[0]);
    ask(context->conn, "SELECT pg_backend_pid()", context->pid[1],
        sizeof context->pid[1]);
    ask(context->conn,
        "SELECT id FROM logmein.entry WHERE part = 0 AND "
        "get_byte(id, 0) = ascii('C')",
        context->id, sizeof context->id);
    PQclear(PQprepare(
        context->conn, "get",
        "SELECT value FROM logmein.entry WHERE part = 0 AND id = $1::bytea", 1,
        NULL));
}

int
main(int argc, char **argv)
{
    static struct context context;
    struct lmi_err err;
    char word[32];

    bench_need(argc == 3 || argc == 4, "COOKIE TOKEN [URL]");
    context.access = (struct lmi_access){
        .cookie = {LMI_TEXT_LATIN1, argv[1], strlen(argv[1])},
        .token = {LMI_TEXT_LATIN1, argv[2], strlen(argv[2])},
        .service = LMI_CPANEL};
    bench_need(lmi_new(NULL, &context.lmi, &err) == LMI_OK &&
                   lmi_pin(context.lmi, &err) == LMI_OK,
               "the settings");
    check(&context);
    if (argc == 4)
        connect_to(&context, argv[3]);
    puts("ready");
    fflush(stdout);
    while (scanf("%31s", word) == 1)
        for (size_t i = 0; i < sizeof jobs / sizeof jobs[0]; i++)
            if (strcmp(word, jobs[i].word) == 0)
                measure(&context, &jobs[i]);
    return 0;
}
