/*
 * Row 13: the check of a session that is kept in PostgreSQL, against one
 * prepared get of its entry by libpq. The time of both is that of this process
 * and of the server's process for its connection.
 *
 *     bin/database URL COOKIE TOKEN
 *
 * URL is that of the database for a user who may read the tables; LOGMEIN_CONF
 * names the settings of the store.
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "logmein.h"
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

static void
measure(struct context *context, int which)
{
    double start = bench_cpu() + server_cpu(context->pid[which]);

    for (int i = 0; i < BATCH; i++)
        which == 0 ? check(context) : get(context);
    printf("%.9f\n",
           (bench_cpu() + server_cpu(context->pid[which]) - start) / BATCH);
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

int
main(int argc, char **argv)
{
    static struct context context;
    struct lmi_err err;
    char word[32];

    bench_need(argc == 4, "URL COOKIE TOKEN");
    context.access = (struct lmi_access){
        .cookie = {LMI_TEXT_LATIN1, argv[2], strlen(argv[2])},
        .token = {LMI_TEXT_LATIN1, argv[3], strlen(argv[3])},
        .service = LMI_CPANEL};
    bench_need(lmi_new(NULL, &context.lmi, &err) == LMI_OK &&
                   lmi_pin(context.lmi, &err) == LMI_OK,
               "the settings");
    check(&context);
    context.conn = PQconnectdb(argv[1]);
    bench_need(PQstatus(context.conn) == CONNECTION_OK, argv[1]);
    ask(context.conn,
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'logmein'"
        " AND datname = current_database()"
        " ORDER BY backend_start DESC LIMIT 1",
        context.pid[0], sizeof context.pid[0]);
    ask(context.conn, "SELECT pg_backend_pid()", context.pid[1],
        sizeof context.pid[1]);
    ask(context.conn,
        "SELECT id FROM logmein.entry WHERE part = 0 AND "
        "get_byte(id, 0) = ascii('C')",
        context.id, sizeof context.id);
    PQclear(PQprepare(
        context.conn, "get",
        "SELECT value FROM logmein.entry WHERE part = 0 AND id = $1::bytea", 1,
        NULL));
    puts("ready");
    fflush(stdout);
    while (scanf("%31s", word) == 1)
        measure(&context, strcmp(word, "ours") == 0 ? 0 : 1);
    return 0;
}
