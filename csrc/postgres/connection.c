#include "postgres/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/error.h"
#include "base/file.h"

#define CALL_MS 2000
#define HOST_MS 1000  /* one of several may take so long */
#define NAP_MS 50     /* before another try */
#define CLOCK_SLACK 5 /* seconds between the server's clock and ours */
#define LEASE_MS 1500 /* reads count for so long, */
#define RENEW_MS 500  /* and after so long a new lease is asked for */
#define LOOK_MS 5     /* between two looks for notifications */
#define PASSWORD_MAX 1024
#define IDENTITY_SIZE 80
#define PROMISE 1200 /* bytes; with a longer one nothing is promised */

static const char *const statements[LMI_PG_FUNCTIONS] = {
    [LMI_PG_GET] = "SELECT * FROM logmein.lmi_get_v1($1, $2, $3)",
    [LMI_PG_APPLY] = ("SELECT * FROM logmein.lmi_apply_v1"
                      "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"),
    [LMI_PG_NEXT] =
        "SELECT * FROM logmein.lmi_next_v1($1, $2, $3, $4, $5, $6, $7)",
    [LMI_PG_COUNT] = "SELECT * FROM logmein.lmi_count_v1($1, $2, $3, $4)",
    [LMI_PG_WALK] = "SELECT * FROM logmein.lmi_walk_v1($1, $2, $3, $4)",
    [LMI_PG_PURGE] = "SELECT * FROM logmein.lmi_purge_v1($1, $2, $3, $4)",
    [LMI_PG_HOLD] = "SELECT logmein.lmi_hold_v1($1)",
    [LMI_PG_RELEASE] = "SELECT logmein.lmi_release_v1($1)",
    [LMI_PG_MARK_PUT] = "SELECT logmein.lmi_mark_put_v1($1, $2, $3, $4)",
    [LMI_PG_MARK_GET] = "SELECT * FROM logmein.lmi_mark_get_v1($1)",
    [LMI_PG_LEASE] = "SELECT logmein.lmi_lease_v1()",
    [LMI_PG_AFTER] = "SELECT logmein.lmi_after_v1($1)",
    [LMI_PG_LISTEN] = "LISTEN logmein_endings",
};

/* Sent first on each connection. Plans are kept, and each must find its rows by
 * an index, whatever their number was when it was made. */
static const char greeting[] =
    "SET default_transaction_isolation = 'read committed';"
    "SET statement_timeout = 2000;"
    "SET client_connection_check_interval = 1000;"
    "SET enable_seqscan = off;"
    "SET enable_bitmapscan = off;"
    "SET jit = off;"
    "SELECT * FROM logmein.lmi_hello_v1()";

struct lmi_pg {
    PQconninfoOption *options;
    char *password; /* NULL: none */
    bool alone;
    int hosts, host;   /* how many the URL names, and which is asked first */
    PGconn *conn;      /* NULL: none */
    bool *ours;        /* conn, not a parent's; lies in a page of its own */
    unsigned prepared; /* a bit for each function */
    bool listens;
    bool warned;  /* by the server, during a call */
    bool silent;  /* the server let a call wait for too long */
    bool held[2]; /* of each part */
    bool replaced;
    bool majority;         /* acknowledges what is durable */
    char promise[PROMISE]; /* what the server said of that */
    int64_t lease;         /* when the write for it was begun; 0: none */
    int64_t took, looked;  /* milliseconds; for notifications */
    uint64_t doubts;
    int64_t clock;
    char identity[IDENTITY_SIZE]; /* of the store; empty: not known yet */
    char location[280];
};

/* How a try has ended. */
enum verdict {
    ANSWERED,
    AGAIN,   /* not done, because of others: to be tried again here */
    LOST,    /* perhaps done, perhaps not: to be tried again */
    REFUSED, /* not done; err is filled in */
};

int64_t
lmi_pg_now(void)
{
    struct timespec now = {0};

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

const char *
lmi_pg_option(const PQconninfoOption *options, const char *keyword)
{
    for (; options->keyword != NULL; options++)
        if (strcmp(options->keyword, keyword) == 0 && options->val != NULL)
            return options->val;
    return "";
}

enum lmi_rc
lmi_pg_fail(struct lmi_err *err, enum lmi_rc code, const char *location,
            const char *message, const char *text, const char *remedy)
{
    size_t len = strcspn(message, "\r\n");

    lmi_fail(err, code, 0, location, text, remedy);
    if (len > 0)
        lmi_err_add_location(err, " (%.*s)", (int)(len < 180 ? len : 180),
                             message);
    return code;
}

/* How many hosts the URL names. */
static int
count_hosts(const PQconninfoOption *options)
{
    const char *list = lmi_pg_option(options, "host");
    int count = 1;

    if (list[0] == '\0')
        list = lmi_pg_option(options, "hostaddr");
    for (; *list != '\0'; list++)
        count += *list == ',';
    return count;
}

static enum lmi_rc
url_fail(struct lmi_err *err, const char *text, const char *remedy)
{
    return lmi_fail(err, LMI_SETTINGS, 0, "store", text, remedy);
}

static enum lmi_rc
options_read(struct lmi_pg *pg, const char *url, struct lmi_err *err)
{
    const char *mode;

    pg->options = PQconninfoParse(url, NULL);
    if (pg->options == NULL)
        return url_fail(err, "is not a URL as libpq reads it", NULL);
    mode = lmi_pg_option(pg->options, "sslmode");
    if (mode[0] != '\0' && strcmp(mode, "verify-full") != 0)
        return url_fail(err, "names another sslmode than verify-full",
                        "leave sslmode out: certificates are always verified");
    if (lmi_pg_option(pg->options, "password")[0] != '\0')
        return url_fail(err, "holds a password",
                        "write it to a file, and set store_password_file");
    pg->hosts = count_hosts(pg->options);
    return LMI_OK;
}

enum lmi_rc
lmi_pg_password(const char *path, char **out, struct lmi_err *err)
{
    const struct lmi_file_rules rules = {
        .code = LMI_SETTINGS, .max_size = PASSWORD_MAX, .owner = geteuid()};
    struct stat st;
    size_t len = 0;
    int fd = -1;
    enum lmi_rc rc;

    *out = NULL;
    if (path == NULL || path[0] == '\0')
        return LMI_OK;
    rc = lmi_file_open(AT_FDCWD, path, &rules, &fd, err);
    if (rc == LMI_OK && fd < 0)
        return lmi_fail(err, LMI_SETTINGS, ENOENT, path, "can't be read", NULL);
    if (rc != LMI_OK)
        return rc;
    if (fstat(fd, &st) != 0 || (st.st_mode & 077) != 0)
        rc = lmi_fail(err, LMI_SETTINGS, 0, path,
                      "others than its owner may read the password",
                      "chmod 600");
    if (rc == LMI_OK)
        rc =
            lmi_file_read(fd, PASSWORD_MAX, out, &len, LMI_SETTINGS, path, err);
    close(fd);
    if (rc == LMI_OK)
        (*out)[strcspn(*out, "\r\n")] = '\0';
    return rc;
}

void
lmi_pg_password_free(char *password)
{
    if (password != NULL)
        lmi_wipe(password, strlen(password));
    free(password);
}

/* A flag that the kernel clears in a forked process: to ask it who we are would
 * take as long as a whole check. */
static enum lmi_rc
flag_new(bool **out, struct lmi_err *err)
{
    void *page = mmap(NULL, sizeof **out, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    *out = page == MAP_FAILED ? NULL : page;
    if (*out == NULL)
        return lmi_no_memory(err);
    return madvise(page, sizeof **out, MADV_WIPEONFORK) == 0
               ? LMI_OK
               : lmi_fail(err, LMI_STORE, errno, "store",
                          "the kernel can't tell a forked process", NULL);
}

enum lmi_rc
lmi_pg_new(const struct lmi_store_where *where, struct lmi_pg **out,
           struct lmi_err *err)
{
    struct lmi_pg *pg = calloc(1, sizeof *pg);
    enum lmi_rc rc;

    *out = NULL;
    if (pg == NULL)
        return lmi_no_memory(err);
    pg->alone = where->alone;
    snprintf(pg->location, sizeof pg->location, "store");
    rc = flag_new(&pg->ours, err);
    if (rc == LMI_OK)
        rc = options_read(pg, where->url, err);
    if (rc == LMI_OK)
        rc = lmi_pg_password(where->password_file, &pg->password, err);
    if (rc == LMI_OK)
        *out = pg;
    else
        lmi_pg_free(pg);
    return rc;
}

/*
 * Closes the connection. One of the process that this one was forked from is
 * not said goodbye to: what libpq would send goes nowhere.
 */
static void
disconnect(struct lmi_pg *pg)
{
    int nowhere;

    if (pg->conn == NULL)
        return;
    if (!*pg->ours) {
        nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (nowhere >= 0 && PQsocket(pg->conn) >= 0)
            dup3(nowhere, PQsocket(pg->conn), O_CLOEXEC);
        if (nowhere >= 0)
            close(nowhere);
    }
    PQfinish(pg->conn);
    pg->conn = NULL;
    pg->prepared = 0;
    pg->listens = false;
    pg->lease = 0;
    pg->doubts++;
}

void
lmi_pg_free(struct lmi_pg *pg)
{
    if (pg == NULL)
        return;
    disconnect(pg);
    if (pg->ours != NULL)
        munmap(pg->ours, sizeof *pg->ours);
    PQconninfoFree(pg->options);
    lmi_pg_password_free(pg->password);
    free(pg);
}

/* Waits until the socket is ready; false if the time is over. */
static bool
wait_socket(PGconn *conn, short events, int64_t deadline)
{
    struct pollfd fd = {.fd = PQsocket(conn), .events = events};
    int64_t left;
    int ready;

    do {
        left = deadline - lmi_pg_now();
        ready = left <= 0 ? 0 : poll(&fd, 1, (int)left);
    } while (ready < 0 && errno == EINTR);
    return ready > 0;
}

/* A message of the server, to a call or unasked. */
static void
heed_notice(void *self, const PGresult *notice)
{
    struct lmi_pg *pg = self;
    const char *severity =
        PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);

    /* Such as a commit that standbys have not acknowledged. */
    if (severity != NULL && strcmp(severity, "WARNING") == 0)
        pg->warned = true;
    /* It may be the server's last word. */
    pg->doubts++;
}

/* Why a command failed. */
static enum verdict
judge(const struct lmi_pg *pg, const PGresult *result, struct lmi_err *err)
{
    static const char *const lost[] = {"08", "57", "25006"};
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorMessage(result);

    if (state == NULL)
        return LOST;
    for (size_t i = 0; i < sizeof lost / sizeof lost[0]; i++)
        if (strncmp(state, lost[i], strlen(lost[i])) == 0)
            return LOST;
    if (strcmp(state, "40001") == 0 || strcmp(state, "40P01") == 0)
        return AGAIN;
    if (strncmp(state, "53", 2) == 0) {
        lmi_pg_fail(err, LMI_STOREFULL, pg->location, message,
                    "the database has no room", NULL);
    } else if (strcmp(state, "3F000") == 0 || strcmp(state, "42883") == 0) {
        lmi_pg_fail(err, LMI_STORE, pg->location, message,
                    "holds no store of this version", "run logmein store init");
        lmi_err_name(err, "store.none");
    } else {
        lmi_pg_fail(err, LMI_STORE, pg->location, message,
                    "the database refuses what it is asked", NULL);
    }
    return REFUSED;
}

/* The next result, NULL where libpq puts one between two commands; LOST if none
 * comes in time. */
static enum verdict
await(struct lmi_pg *pg, int64_t deadline, PGresult **out)
{
    int left;

    *out = NULL;
    while ((left = PQflush(pg->conn)) > 0 || PQisBusy(pg->conn)) {
        short events = (short)(POLLIN | (left > 0 ? POLLOUT : 0));
        if (left < 0)
            return LOST;
        pg->silent = !wait_socket(pg->conn, events, deadline);
        if (pg->silent || !PQconsumeInput(pg->conn))
            return LOST;
    }
    *out = PQgetResult(pg->conn);
    return PQstatus(pg->conn) == CONNECTION_OK ? ANSWERED : LOST;
}

/* The answer of the last of the commands in a text; or the first error. */
static enum verdict
receive_text(struct lmi_pg *pg, int64_t deadline, PGresult **out,
             struct lmi_err *err)
{
    enum verdict verdict;
    PGresult *result;

    *out = NULL;
    while ((verdict = await(pg, deadline, &result)) == ANSWERED &&
           result != NULL) {
        PQclear(*out);
        *out = result;
        if (PQresultStatus(result) == PGRES_FATAL_ERROR)
            return judge(pg, result, err);
    }
    PQclear(result);
    return verdict == ANSWERED && *out == NULL ? LOST : verdict;
}

/* What the URL says, for one of its hosts; NULL beyond the last option. */
struct parameters {
    const char *keywords[64], *values[64];
    int count;
    char host[256], hostaddr[64], port[16];
};

static void
parameter(struct parameters *list, const char *keyword, const char *value)
{
    if (list->count + 1 < (int)(sizeof list->keywords / sizeof(char *)) &&
        value != NULL) {
        list->keywords[list->count] = keyword;
        list->values[list->count++] = value;
    }
}

/* The item of a list separated by commas; the last one if there are fewer. */
static void
item(const char *list, int number, char *out, size_t size)
{
    const char *comma;

    while (number-- > 0 && (comma = strchr(list, ',')) != NULL)
        list = comma + 1;
    snprintf(out, size, "%.*s", (int)strcspn(list, ","), list);
}

static void
parameters_of(const struct lmi_pg *pg, int host, struct parameters *out)
{
    *out = (struct parameters){.count = 0};
    item(lmi_pg_option(pg->options, "host"), host, out->host, sizeof out->host);
    item(lmi_pg_option(pg->options, "hostaddr"), host, out->hostaddr,
         sizeof out->hostaddr);
    item(lmi_pg_option(pg->options, "port"), host, out->port, sizeof out->port);
    for (PQconninfoOption *option = pg->options; option->keyword != NULL;
         option++) {
        if (strcmp(option->keyword, "host") == 0)
            parameter(out, "host", out->host);
        else if (strcmp(option->keyword, "hostaddr") == 0)
            parameter(out, "hostaddr", out->hostaddr);
        else if (strcmp(option->keyword, "port") == 0)
            parameter(out, "port", out->port);
        else
            parameter(out, option->keyword, option->val);
    }
    parameter(out, "password", pg->password);
    parameter(out, "sslmode", "verify-full"); /* not asked for on a socket */
    parameter(out, "gssencmode", "disable");
    parameter(out, "target_session_attrs", "read-write");
    parameter(out, "application_name", "logmein");
    parameter(out, "client_encoding", "UTF8");
}

static enum verdict
connect_host(struct lmi_pg *pg, int host, int64_t deadline, struct lmi_err *err)
{
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;
    struct parameters list;
    bool late = false;

    parameters_of(pg, host, &list);
    *pg->ours = true;
    pg->conn = PQconnectStartParams(list.keywords, list.values, 0);
    if (pg->conn == NULL) {
        lmi_no_memory(err);
        return REFUSED;
    }
    PQsetNoticeReceiver(pg->conn, heed_notice, pg);
    snprintf(pg->location, sizeof pg->location, "postgresql at %s",
             PQhost(pg->conn) != NULL ? PQhost(pg->conn) : list.host);
    while (!late && PQstatus(pg->conn) != CONNECTION_BAD &&
           status != PGRES_POLLING_OK && status != PGRES_POLLING_FAILED) {
        late = !wait_socket(pg->conn,
                            status == PGRES_POLLING_READING ? POLLIN : POLLOUT,
                            deadline);
        if (!late)
            status = PQconnectPoll(pg->conn);
    }
    if (status == PGRES_POLLING_OK && PQsetnonblocking(pg->conn, 1) == 0)
        return ANSWERED;
    lmi_pg_fail(err, LMI_STORE, pg->location,
                late ? "it does not answer in time" : PQerrorMessage(pg->conn),
                "can't be connected to", NULL);
    lmi_err_name(err, "store.away");
    disconnect(pg);
    return LOST;
}

static enum verdict
refuse(const struct lmi_pg *pg, const char *name, const char *text,
       const char *remedy, struct lmi_err *err)
{
    lmi_fail(err, LMI_STORE, 0, pg->location, text, remedy);
    lmi_err_name(err, name);
    return REFUSED;
}

static bool
is_true(const PGresult *result, int column)
{
    return strcmp(PQgetvalue(result, 0, column), "t") == 0;
}

/* The columns of the greeting's answer. */
enum { IDENTITY, CLOCK, SAFE, MAJORITY, PROMISED, UNSETTLED, COLUMNS };

/* Does what the server promises to who commits suffice? */
static enum verdict
examine_promise(struct lmi_pg *pg, const PGresult *hello, struct lmi_err *err)
{
    const char *promise = PQgetvalue(hello, 0, PROMISED);

    if (!is_true(hello, SAFE))
        return refuse(pg, "store.fsync",
                      "the server runs with fsync or full_page_writes off",
                      "switch them on", err);
    pg->majority =
        is_true(hello, MAJORITY) && strlen(promise) < sizeof pg->promise;
    snprintf(pg->promise, sizeof pg->promise, "%s", promise);
    if (!pg->majority && !pg->alone)
        return refuse(
            pg, "store.alone",
            "no majority of the machines acknowledges what the server commits",
            "name enough in its synchronous_standby_names, none by *; or set "
            "store_alone = yes here if it has no standbys",
            err);
    return ANSWERED;
}

/* Is this the store that we know, on a server that keeps what it promises? */
static enum verdict
examine(struct lmi_pg *pg, const PGresult *hello, struct lmi_err *err)
{
    const char *identity;

    if (PQntuples(hello) != 1 || PQnfields(hello) != COLUMNS)
        return refuse(pg, "store.none", "holds no store of this version",
                      "run logmein store init", err);
    pg->clock =
        strtoll(PQgetvalue(hello, 0, CLOCK), NULL, 10) - (int64_t)time(NULL);
    if (pg->clock > CLOCK_SLACK || pg->clock < -CLOCK_SLACK)
        return refuse(pg, "store.clock",
                      "the server's clock differs from this machine's",
                      "keep both by NTP", err);
    identity = PQgetvalue(hello, 0, IDENTITY);
    if (pg->identity[0] != '\0' && strcmp(pg->identity, identity) != 0) {
        pg->replaced = true;
        return refuse(pg, "store.replaced",
                      "another store has come in this one's place", NULL, err);
    }
    enum verdict verdict = examine_promise(pg, hello, err);
    if (verdict == ANSWERED)
        snprintf(pg->identity, sizeof pg->identity, "%s", identity);
    return verdict;
}

static void
nap(int64_t milliseconds, int64_t deadline)
{
    int64_t left = deadline - lmi_pg_now();

    if (left > 0)
        poll(NULL, 0, (int)(left < milliseconds ? left : milliseconds));
}

static enum verdict
greet(struct lmi_pg *pg, int64_t deadline, struct lmi_err *err)
{
    PGresult *hello = NULL;
    enum verdict verdict = LOST;

    lmi_pg_fail(err, LMI_STORE, pg->location, "",
                "the database does not answer", NULL);
    if (PQsendQuery(pg->conn, greeting))
        verdict = receive_text(pg, deadline, &hello, err);
    if (verdict == ANSWERED)
        verdict = examine(pg, hello, err);
    if (verdict == ANSWERED && !PQenterPipelineMode(pg->conn))
        verdict = LOST;
    /* After the server has read its configuration, some of its processes may
     * act on the old one for a moment. */
    if (verdict == ANSWERED && pg->majority)
        nap(strtoll(PQgetvalue(hello, 0, UNSETTLED), NULL, 10), deadline);
    PQclear(hello);
    if (verdict != ANSWERED)
        disconnect(pg);
    return verdict;
}

/* One of several hosts does not get all the time. */
static int64_t
host_deadline(const struct lmi_pg *pg, int64_t deadline)
{
    int64_t until = lmi_pg_now() + HOST_MS;

    return pg->hosts > 1 && until < deadline ? until : deadline;
}

/* Tries each host once, beginning with the one that was good last. */
static enum verdict
connect_any(struct lmi_pg *pg, int64_t deadline, struct lmi_err *err)
{
    enum verdict verdict = LOST;
    int first = pg->host;

    for (int i = 0; verdict == LOST && i < pg->hosts; i++) {
        pg->host = (first + i) % pg->hosts;
        verdict = connect_host(pg, pg->host, host_deadline(pg, deadline), err);
        if (verdict == ANSWERED)
            verdict = greet(pg, deadline, err);
    }
    if (verdict != ANSWERED)
        pg->host = (first + 1) % pg->hosts;
    return verdict;
}

/*
 * A round trip: commands, each of which the server has ended, and committed,
 * before it begins the next one.
 */
struct trip {
    struct lmi_pg *pg;
    enum lmi_pg_function functions[4];
    bool preparing[4];
    int count;
    PGresult *answer;
};

static bool
command(struct trip *trip, const struct lmi_pg_call *call)
{
    static const int formats[LMI_PG_ARGUMENTS] = {1, 1, 1, 1, 1, 1,
                                                  1, 1, 1, 1, 1};
    struct lmi_pg *pg = trip->pg;
    unsigned bit = 1U << call->function;
    char name[8];

    snprintf(name, sizeof name, "f%d", (int)call->function);
    for (int i = (pg->prepared & bit) != 0; i < 2; i++) {
        bool preparing = i == 0;
        trip->functions[trip->count] = call->function;
        trip->preparing[trip->count++] = preparing;
        if (!(preparing ? PQsendPrepare(pg->conn, name,
                                        statements[call->function], 0, NULL)
                        : PQsendQueryPrepared(pg->conn, name, call->count,
                                              call->values, call->lengths,
                                              formats, 1)) ||
            !PQpipelineSync(pg->conn))
            return false;
    }
    return true;
}

/* A durable command, and behind its commit what the server promises then. */
static bool
durable_command(struct trip *trip, const struct lmi_pg_call *call)
{
    const struct lmi_pg_call after = {.function = LMI_PG_AFTER,
                                      .count = 1,
                                      .values = {call->ends ? "\1" : "\0"},
                                      .lengths = {1}};

    return command(trip, call) && command(trip, &after);
}

/* What one of the commands has answered. */
static enum verdict
take(struct trip *trip, int number, PGresult *result, struct lmi_err *err)
{
    struct lmi_pg *pg = trip->pg;
    enum lmi_pg_function function = trip->functions[number];
    enum verdict verdict = ANSWERED;

    if (PQresultStatus(result) == PGRES_FATAL_ERROR) {
        verdict = judge(pg, result, err);
    } else if (trip->preparing[number]) {
        pg->prepared |= 1U << function;
    } else if (function != LMI_PG_AFTER) {
        trip->answer = result;
        return ANSWERED;
    } else if (PQntuples(result) != 1 ||
               strcmp(PQgetvalue(result, 0, 0), pg->promise) != 0) {
        verdict = LOST; /* the commit may have waited for nobody */
    }
    PQclear(result);
    return verdict;
}

/* Reads all answers, to the end of the last command. */
static enum verdict
receive(struct trip *trip, int64_t deadline, struct lmi_err *err)
{
    enum verdict first = ANSWERED, verdict;
    PGresult *result;

    for (int ended = 0; ended < trip->count;) {
        if (await(trip->pg, deadline, &result) == LOST) {
            PQclear(result);
            return LOST;
        }
        if (result == NULL && lmi_pg_now() >= deadline)
            return LOST;
        if (result == NULL)
            continue;
        if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
            PQclear(result);
            ended++;
            continue;
        }
        verdict = take(trip, ended, result, err);
        if (first == ANSWERED)
            first = verdict;
    }
    return first;
}

static void
heed_notifications(struct lmi_pg *pg)
{
    PGnotify *notification;

    while ((notification = PQnotifies(pg->conn)) != NULL) {
        pg->doubts++;
        PQfreemem(notification);
    }
}

static enum verdict
exchange(struct lmi_pg *pg, const struct lmi_pg_call *call, int64_t deadline,
         PGresult **out, struct lmi_err *err)
{
    struct trip trip = {.pg = pg};
    enum verdict verdict = LOST;

    *out = NULL;
    pg->warned = false;
    pg->silent = false;
    if (call->durable ? durable_command(&trip, call) : command(&trip, call))
        verdict = receive(&trip, host_deadline(pg, deadline), err);
    heed_notifications(pg);
    if (verdict == ANSWERED && (trip.answer == NULL || pg->warned ||
                                PQtransactionStatus(pg->conn) != PQTRANS_IDLE))
        verdict = LOST;
    if (verdict != ANSWERED) {
        PQclear(trip.answer);
        return verdict;
    }
    if (call->function == LMI_PG_LISTEN)
        pg->listens = true;
    *out = trip.answer;
    return verdict;
}

bool
lmi_pg_listens(const struct lmi_pg *pg)
{
    return pg->listens && pg->conn != NULL && *pg->ours;
}

/* Is there a lease that is younger? Always, where none is needed. */
static bool
has_lease(const struct lmi_pg *pg, int64_t now, int64_t age)
{
    return !pg->majority || (pg->lease > 0 && now - pg->lease < age);
}

static enum verdict
keep_lease(struct lmi_pg *pg, int64_t deadline, struct lmi_err *err)
{
    static const struct lmi_pg_call call = {.function = LMI_PG_LEASE,
                                            .durable = true};
    int64_t start = lmi_pg_now();
    PGresult *result;

    if (has_lease(pg, start, RENEW_MS))
        return ANSWERED;
    enum verdict verdict = exchange(pg, &call, deadline, &result, err);
    PQclear(result);
    if (verdict == ANSWERED) {
        pg->lease = start;
        pg->took = lmi_pg_now() - start;
    }
    return verdict;
}

/* A call, and before one that reads, if need be, a lease. */
static enum verdict
attempt(struct lmi_pg *pg, const struct lmi_pg_call *call, int64_t deadline,
        PGresult **out, struct lmi_err *err)
{
    enum verdict verdict =
        call->leased ? keep_lease(pg, deadline, err) : ANSWERED;

    if (verdict == ANSWERED)
        verdict = exchange(pg, call, deadline, out, err);
    if (verdict == ANSWERED && call->leased &&
        !has_lease(pg, lmi_pg_now(), LEASE_MS)) {
        PQclear(*out);
        *out = NULL;
        verdict = LOST;
    }
    return verdict;
}

static void
look(struct lmi_pg *pg, int64_t now)
{
    pg->looked = now;
    if (PQconsumeInput(pg->conn))
        heed_notifications(pg);
    else
        disconnect(pg);
}

bool
lmi_pg_reads_count(struct lmi_pg *pg, int64_t now, uint64_t *doubts_out)
{
    bool ours = pg->conn != NULL && *pg->ours;

    if (ours && now - pg->looked >= LOOK_MS)
        look(pg, now);
    *doubts_out = pg->doubts;
    return ours && pg->conn != NULL && has_lease(pg, now, LEASE_MS);
}

uint64_t
lmi_pg_doubts(const struct lmi_pg *pg)
{
    return pg->doubts;
}

/* Of a host that is silent another one is asked first. */
static void
leave(struct lmi_pg *pg)
{
    disconnect(pg);
    if (pg->silent)
        pg->host = (pg->host + 1) % pg->hosts;
}

static enum lmi_rc
not_known(const struct lmi_pg *pg, struct lmi_err *err)
{
    lmi_fail(err, LMI_STORE, 0, pg->location,
             "the database has not answered within two seconds: a change may "
             "have been made or not",
             NULL);
    return lmi_err_name(err, "store.unknown");
}

static enum lmi_rc
hold_lost(const struct lmi_pg *pg, struct lmi_err *err)
{
    lmi_fail(err, LMI_STORE, 0, pg->location,
             "the connection that kept others from writing is lost",
             "try again");
    return lmi_err_name(err, "store.hold");
}

enum lmi_rc
lmi_pg_call(struct lmi_pg *pg, const struct lmi_pg_call *call, PGresult **out,
            struct lmi_err *err)
{
    int64_t deadline = lmi_pg_now() + CALL_MS;
    enum verdict verdict = ANSWERED;
    unsigned failed = 0; /* to connect */
    bool sent = false;

    *out = NULL;
    if (!*pg->ours)
        disconnect(pg);
    do {
        if (verdict != ANSWERED)
            nap(NAP_MS, deadline);
        verdict = ANSWERED;
        if (pg->conn == NULL && (pg->held[0] || pg->held[1]))
            return hold_lost(pg, err);
        if (pg->conn == NULL)
            verdict = connect_any(pg, deadline, err);
        if (verdict == LOST && !sent && ++failed > 1)
            return err->code;
        if (verdict == ANSWERED) {
            sent = true;
            verdict = attempt(pg, call, deadline, out, err);
            if (verdict == LOST)
                leave(pg);
        }
    } while ((verdict == LOST || verdict == AGAIN) && lmi_pg_now() < deadline);
    if ((verdict == LOST || verdict == AGAIN) && sent)
        return not_known(pg, err);
    return verdict == ANSWERED ? LMI_OK : err->code;
}

void
lmi_pg_held(struct lmi_pg *pg, enum lmi_store_part part, bool held)
{
    pg->held[part] = held;
}

bool
lmi_pg_holds(const struct lmi_pg *pg, enum lmi_store_part part)
{
    return pg->held[part];
}

void
lmi_pg_leave(struct lmi_pg *pg)
{
    disconnect(pg);
}

bool
lmi_pg_replaced(const struct lmi_pg *pg)
{
    return pg->replaced;
}

const char *
lmi_pg_location(const struct lmi_pg *pg)
{
    return pg->location;
}

bool
lmi_pg_majority(const struct lmi_pg *pg)
{
    return pg->majority;
}

int64_t
lmi_pg_lease_took(const struct lmi_pg *pg)
{
    return pg->lease > 0 ? pg->took + 1 : 0;
}

int64_t
lmi_pg_clock(const struct lmi_pg *pg)
{
    return pg->clock;
}
