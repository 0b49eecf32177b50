/*
 * logmeind: tells a web server in front whether a request is allowed. The
 * decisions are the core's; this file is sockets, threads and signals.
 */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <microhttpd.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "answer.h"

#define THREADS_MAX 64
#define CONNECTIONS 16384 /* all threads together */
#define IDLE 150          /* seconds, longer than web servers keep one */
#define HEAD_SIZE 32768   /* bytes for a connection, cleared each time */
#define GRACE 15          /* hundredths of a second at the end */
#define SYSTEMD_FD 3

/* Exit codes. */
#define USAGE 2
#define TROUBLE 3

/* A thread, with a handle of its own, and an HTTP server of its own. */
struct worker {
    pthread_mutex_t mutex; /* while they are used: a reload replaces both */
    struct lmi *lmi;
    struct rules *rules;
    struct MHD_Daemon *daemon;
};

static struct {
    struct lmi *base; /* the others are made beside it */
    struct worker workers[THREADS_MAX];
    unsigned count;
    struct lmi *writer;
    pthread_mutex_t writing; /* while the writer's handle is used */
    struct lmi *reporter;
    pthread_mutex_t reporting; /* while the reporter's handle is used */
    pthread_mutex_t asking;    /* while the queue is */
    pthread_cond_t asked;
    STAILQ_HEAD(, report) reports;
    bool stopping; /* kept connections are to end */
    bool stopped;  /* they have */
} server;

static void __attribute__((format(printf, 1, 2))) say(const char *format, ...)
{
    va_list arguments;

    fputs("logmeind: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

static void
say_error(const char *before, const struct lmi_err *err)
{
    char text[LMI_DETAIL_SIZE];

    lmi_err_format(err, text, sizeof text);
    say("%s%s", before, text);
}

/* Requests. */

/* Where the value of a field goes. */
struct field {
    const char *name;
    size_t len, offset;
};
#define FIELD(name, member)                                                    \
    {                                                                          \
        name, sizeof name - 1, offsetof(struct lmi_http_head, member)          \
    }
static const struct field fields[] = {
    FIELD("X-Original-URI", target),
    FIELD("X-Original-Method", method),
    FIELD("Host", host),
    FIELD("Cookie", cookie),
    FIELD("X-Forwarded-For", x_forwarded_for),
    FIELD("X-Forwarded-Proto", x_forwarded_proto),
    FIELD("X-Forwarded-Port", x_forwarded_port),
    FIELD("Sec-Fetch-Site", sec_fetch_site),
    FIELD("Sec-Fetch-Dest", sec_fetch_dest),
    FIELD("Sec-Purpose", sec_purpose),
    FIELD("Purpose", purpose),
    FIELD("X-Purpose", x_purpose),
    FIELD("X-Moz", x_moz),
    FIELD("Origin", origin),
    FIELD("Accept", accept),
};

struct head {
    struct lmi_http_head http;
    bool twice; /* a field that counts was sent twice */
};

static enum MHD_Result
take_field(void *context, enum MHD_ValueKind kind, const char *name,
           size_t name_len, const char *value, size_t len)
{
    struct head *head = context;

    (void)kind;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (fields[i].len != name_len ||
            strncasecmp(fields[i].name, name, name_len) != 0)
            continue;
        struct lmi_bytes *place =
            (struct lmi_bytes *)(void *)((char *)&head->http +
                                         fields[i].offset);
        head->twice |= place->ptr != NULL;
        *place = (struct lmi_bytes){value != NULL ? value : "", len};
    }
    return MHD_YES;
}

static bool
is_stopping(void)
{
    return __atomic_load_n(&server.stopping, __ATOMIC_ACQUIRE);
}

static enum MHD_Result
send_text(struct MHD_Connection *connection, unsigned status, const char *body,
          const struct answer *answer)
{
    size_t len = body != NULL ? strlen(body) : 0;
    struct MHD_Response *response = MHD_create_response_from_buffer(
        len, (void *)(uintptr_t)(len > 0 ? body : ""), MHD_RESPMEM_MUST_COPY);
    enum MHD_Result result = MHD_YES;

    if (response == NULL)
        return MHD_NO;
    for (size_t i = 0; answer != NULL && i < answer->count; i++)
        if (MHD_add_response_header(response, answer->fields[i].name,
                                    answer->fields[i].value) != MHD_YES)
            result = MHD_NO;
    if (answer == NULL)
        MHD_add_response_header(response, "Content-Type",
                                "text/plain; charset=\"utf-8\"");
    if (is_stopping())
        MHD_add_response_header(response, "Connection", "close");
    if (result == MHD_YES)
        result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result
send_check(struct worker *worker, struct MHD_Connection *connection)
{
    struct head head = {.twice = false};
    struct answer answer;

    MHD_get_connection_values_n(connection, MHD_HEADER_KIND, take_field, &head);
    if (head.twice)
        return send_text(connection, 400, "Bad request.\n", NULL);
    if (head.http.method.ptr == NULL)
        head.http.method = (struct lmi_bytes){"GET", 3};
    pthread_mutex_lock(&worker->mutex);
    answer_check(worker->lmi, worker->rules, &head.http, &answer);
    pthread_mutex_unlock(&worker->mutex);
    return send_text(connection, answer.status, answer.body, &answer);
}

/* Health and numbers take long: a thread of their own makes them. */
struct report {
    struct MHD_Connection *connection; /* suspended until it is done */
    bool metrics;                      /* or health */
    unsigned status;                   /* 0: not done yet */
    char *text;
    STAILQ_ENTRY(report) next;
};

static void
report_make(struct lmi *lmi, struct report *report)
{
    char words[LMI_HEALTH_SIZE];
    struct lmi_err err;
    size_t len;

    if (report->metrics) {
        report->status =
            lmi_metrics_write(lmi, &report->text, &len, &err) == LMI_OK ? 200
                                                                        : 503;
        return;
    }
    report->status = lmi_health_write(lmi, words) ? 200 : 503;
    if (asprintf(&report->text, "%s\n", words) < 0)
        report->text = NULL;
}

/* The next one that is asked for; NULL at the end. */
static struct report *
report_next(void)
{
    pthread_mutex_lock(&server.asking);
    while (STAILQ_EMPTY(&server.reports) && !server.stopped)
        pthread_cond_wait(&server.asked, &server.asking);
    struct report *report = STAILQ_FIRST(&server.reports);
    if (report != NULL)
        STAILQ_REMOVE_HEAD(&server.reports, next);
    pthread_mutex_unlock(&server.asking);
    return report;
}

static void *
report_all(void *unused)
{
    struct report *report;

    (void)unused;
    while ((report = report_next()) != NULL) {
        pthread_mutex_lock(&server.reporting);
        report_make(server.reporter, report);
        pthread_mutex_unlock(&server.reporting);
        MHD_resume_connection(report->connection);
    }
    return NULL;
}

static enum MHD_Result
report_ask(struct MHD_Connection *connection, bool metrics, void **state)
{
    struct report *report;

    /* The server can't be stopped while a connection is suspended. */
    if (is_stopping())
        return send_text(connection, 503, "fault\n", NULL);
    report = calloc(1, sizeof *report);
    if (report == NULL)
        return MHD_NO;
    report->connection = connection;
    report->metrics = metrics;
    *state = report;
    MHD_suspend_connection(connection);
    pthread_mutex_lock(&server.asking);
    STAILQ_INSERT_TAIL(&server.reports, report, next);
    pthread_cond_signal(&server.asked);
    pthread_mutex_unlock(&server.asking);
    return MHD_YES;
}

static enum MHD_Result
report_send(struct MHD_Connection *connection, const struct report *report)
{
    static const struct answer metrics = {
        .count = 1,
        .fields = {
            {"Content-Type", "text/plain; version=0.0.4; charset=utf-8"}}};

    if (report->text == NULL)
        return send_text(connection, 503, "fault\n", NULL);
    return send_text(connection, report->status, report->text,
                     report->metrics ? &metrics : NULL);
}

/* What a request has instead of a report. */
static int begun;

static void
forget(void *context, struct MHD_Connection *connection, void **state,
       enum MHD_RequestTerminationCode code)
{
    struct report *report = *state;

    (void)context;
    (void)connection;
    (void)code;
    if (*state == NULL || *state == &begun)
        return;
    if (report->metrics)
        lmi_metrics_free(report->text);
    else
        free(report->text);
    free(report);
}

/* Whether a request has a body: the answer does not wait for it. */
static bool
has_body(struct MHD_Connection *connection)
{
    const char *length = MHD_lookup_connection_value(
        connection, MHD_HEADER_KIND, "Content-Length");

    return (length != NULL && strcmp(length, "0") != 0) ||
           MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
                                       "Transfer-Encoding") != NULL;
}

static enum MHD_Result
handle(void *context, struct MHD_Connection *connection, const char *url,
       const char *method, const char *version, const char *upload,
       size_t *upload_len, void **state)
{
    (void)version;
    (void)upload;
    (void)upload_len;
    if (*state == NULL) {
        *state = &begun;
        return has_body(connection)
                   ? send_text(connection, 413, "The request is too long.\n",
                               NULL)
                   : MHD_YES;
    }
    if (*state != &begun)
        return report_send(connection, *state);
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return send_text(connection, 405, "Use GET.\n", NULL);
    if (strcmp(url, "/logmein/check") == 0)
        return send_check(context, connection);
    if (strcmp(url, "/logmein/live") == 0)
        return send_text(connection, 200, "ok\n", NULL);
    if (strcmp(url, "/logmein/health") == 0 ||
        strcmp(url, "/logmein/metrics") == 0)
        return report_ask(connection, strcmp(url, "/logmein/metrics") == 0,
                          state);
    return send_text(connection, 404, "Not found.\n", NULL);
}

/* Handles. */

/* A handle whose settings, store, key and site are open. like: to be beside. */
static enum lmi_rc
open_handle(const struct lmi *like, struct lmi **out, struct lmi_err *err)
{
    enum lmi_rc rc =
        like != NULL ? lmi_new_beside(like, out, err) : lmi_new(NULL, out, err);

    if (rc == LMI_OK)
        rc = lmi_pin(*out, err);
    if (rc == LMI_OK)
        rc = lmi_open(*out, err);
    if (rc != LMI_OK && *out != NULL) {
        lmi_free(*out);
        *out = NULL;
    }
    return rc;
}

/* All that depends on the settings; made as a whole, or not at all. */
struct set {
    struct lmi *lmi[THREADS_MAX], *writer, *reporter;
    struct rules *rules;
};

static void
set_free(struct set *set)
{
    for (unsigned i = 0; i < server.count; i++)
        lmi_free(set->lmi[i]);
    lmi_free(set->writer);
    lmi_free(set->reporter);
    free(set->rules);
}

static enum lmi_rc
set_open(struct set *out, struct lmi_err *err)
{
    const struct lmi_settings *settings;
    enum lmi_rc rc = LMI_OK;

    memset(out, 0, sizeof *out);
    out->rules = malloc(sizeof *out->rules);
    if (out->rules == NULL)
        return LMI_MEMORY;
    for (unsigned i = 0; rc == LMI_OK && i < server.count; i++)
        rc = open_handle(server.base, &out->lmi[i], err);
    if (rc == LMI_OK)
        rc = open_handle(server.base, &out->writer, err);
    if (rc == LMI_OK)
        rc = open_handle(server.base, &out->reporter, err);
    if (rc == LMI_OK)
        rc = lmi_settings_get(out->writer, &settings, err);
    if (rc == LMI_OK)
        rules_read(settings, out->rules);
    else
        set_free(out);
    return rc;
}

static void
swap(pthread_mutex_t *mutex, struct lmi **a, struct lmi **b)
{
    pthread_mutex_lock(mutex);
    struct lmi *lmi = *a;
    *a = *b;
    *b = lmi;
    pthread_mutex_unlock(mutex);
}

/* Puts a new set in the place of the old one, which set then is. */
static void
set_swap(struct set *set)
{
    struct rules *old = server.workers[0].rules;

    for (unsigned i = 0; i < server.count; i++) {
        struct worker *worker = &server.workers[i];
        pthread_mutex_lock(&worker->mutex);
        struct lmi *lmi = worker->lmi;
        worker->lmi = set->lmi[i];
        worker->rules = set->rules;
        pthread_mutex_unlock(&worker->mutex);
        set->lmi[i] = lmi;
    }
    swap(&server.writing, &server.writer, &set->writer);
    swap(&server.reporting, &server.reporter, &set->reporter);
    set->rules = old;
}

static void
reload(void)
{
    struct set set;
    struct lmi_err err;

    if (set_open(&set, &err) != LMI_OK) {
        say_error("Not reloaded: ", &err);
        return;
    }
    set_swap(&set);
    set_free(&set);
    say("reloaded");
}

/* Writes what checks have left, until the end, and then the rest. */
static void *
write_all(void *unused)
{
    struct lmi_err err;
    bool written = true, stopping = false;

    (void)unused;
    while (written || !stopping) {
        stopping = is_stopping();
        pthread_mutex_lock(&server.writing);
        enum lmi_rc rc = lmi_session_write(server.writer, stopping ? 0 : 100,
                                           &written, &err);
        pthread_mutex_unlock(&server.writing);
        if (rc != LMI_OK && !stopping)
            usleep(200 * 1000);
    }
    return NULL;
}

/* The socket. */

/* The one that systemd has opened, or -1. */
static int
inherited_socket(void)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    struct stat st;

    if (pid == NULL || count == NULL || atoi(count) != 1 ||
        strtol(pid, NULL, 10) != (long)getpid() ||
        fstat(SYSTEMD_FD, &st) != 0 || !S_ISSOCK(st.st_mode))
        return -1;
    return SYSTEMD_FD;
}

/* Removes a socket that nobody listens at any more; false for anything else. */
static bool
remove_stale(const struct sockaddr_un *name)
{
    struct stat st;
    int fd;

    if (lstat(name->sun_path, &st) != 0)
        return errno == ENOENT;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool dead = S_ISSOCK(st.st_mode) &&
                connect(fd, (const struct sockaddr *)name, sizeof *name) != 0 &&
                errno == ECONNREFUSED;
    if (!dead)
        errno = EADDRINUSE;
    int saved = errno;
    close(fd);
    errno = saved;
    return dead && unlink(name->sun_path) == 0;
}

/* -1, with errno, if it can't be opened. For the group, if there is one. */
static int
open_socket(const char *path, gid_t group)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (strlen(path) >= sizeof name.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(name.sun_path, path, strlen(path));
    mode_t mask = umask(0177);
    bool good = fd >= 0 && remove_stale(&name) &&
                bind(fd, (const struct sockaddr *)&name, sizeof name) == 0;
    umask(mask);
    if (good && group != (gid_t)-1)
        good = chown(path, (uid_t)-1, group) == 0 && chmod(path, 0660) == 0;
    return good && listen(fd, SOMAXCONN) == 0 ? fd : -1;
}

static bool
start_worker(struct worker *worker, int socket)
{
    worker->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC |
            MHD_USE_SUPPRESS_DATE_NO_CLOCK | MHD_ALLOW_SUSPEND_RESUME,
        0, NULL, NULL, handle, worker, MHD_OPTION_LISTEN_SOCKET, dup(socket),
        MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS / server.count,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_SIZE,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_NOTIFY_COMPLETED, forget,
        NULL, MHD_OPTION_END);
    return worker->daemon != NULL;
}

/* The program. */

struct options {
    const char *socket; /* NULL: the setting's */
    const char *group;  /* NULL: none */
    unsigned threads;
    bool with_parent; /* ends when its parent does */
};

static const char help[] =
    "Usage: logmeind [--socket PATH] [--group GROUP] [--threads NUMBER]"
    " [--with-parent]\n"
    "Tells a web server in front whether a request is allowed: logmeind(8).\n";

/* Returns the exit code for the program's end, or -1 to go on. */
static int
read_options(int argc, char **argv, struct options *out)
{
    static const struct option known[] = {
        {"group", required_argument, NULL, 'g'},
        {"help", no_argument, NULL, 'h'},
        {"socket", required_argument, NULL, 's'},
        {"threads", required_argument, NULL, 't'},
        {"version", no_argument, NULL, 'v'},
        {"with-parent", no_argument, NULL, 'p'},
        {NULL, 0, NULL, 0}};
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    int option;

    /* A check costs half of what the web server needs for its part, and threads
       with little to do cost more than one that always has. */
    *out = (struct options){.threads = processors < 1 ? 1
                                       : processors < 2 * THREADS_MAX
                                           ? (unsigned)(processors + 1) / 2
                                           : THREADS_MAX};
    while ((option = getopt_long(argc, argv, "h", known, NULL)) != -1) {
        char *end = NULL;
        if (option == 's')
            out->socket = optarg;
        else if (option == 'g')
            out->group = optarg;
        else if (option == 't')
            out->threads = (unsigned)strtoul(optarg, &end, 10);
        else if (option == 'p')
            out->with_parent = true;
        else if (option == 'h' || option == 'v') {
            fputs(option == 'h' ? help : "logmeind " VERSION "\n", stdout);
            return 0;
        } else {
            fputs(help, stderr);
            return USAGE;
        }
        if (end != NULL &&
            (*end != '\0' || out->threads < 1 || out->threads > THREADS_MAX)) {
            say("--threads must be a number from 1 to %d.", THREADS_MAX);
            return USAGE;
        }
    }
    if (optind < argc) {
        say("Unexpected argument '%s'.", argv[optind]);
        return USAGE;
    }
    return -1;
}

/* The socket to listen at; -1, and a message, if there is none. */
static int
find_socket(const struct options *options)
{
    const struct lmi_settings *settings;
    char path[4096] = "";
    struct lmi_err err;
    gid_t group = (gid_t)-1;
    int fd = inherited_socket();

    if (fd >= 0) {
        say("checks at the socket of systemd");
        return fd;
    }
    if (options->group != NULL) {
        const struct group *entry = getgrnam(options->group);
        if (entry == NULL) {
            say("There is no group '%s'.", options->group);
            return -1;
        }
        group = entry->gr_gid;
    }
    if (options->socket != NULL)
        snprintf(path, sizeof path, "%s", options->socket);
    else if (lmi_settings_get(server.writer, &settings, &err) == LMI_OK)
        lmi_settings_find(settings, "check_socket", path, sizeof path);
    fd = open_socket(path, group);
    if (fd < 0)
        say("%s: %s", path, strerror(errno));
    else
        say("checks at %s", path);
    return fd;
}

/* Lets the clients of kept connections go: each is told with its next answer.
 */
static void
stop(const pthread_t threads[2])
{
    __atomic_store_n(&server.stopping, true, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < server.count; i++)
        MHD_quiesce_daemon(server.workers[i].daemon);
    for (unsigned passed = 0; passed < GRACE; passed++) {
        unsigned open = 0;
        for (unsigned i = 0; i < server.count; i++) {
            const union MHD_DaemonInfo *info = MHD_get_daemon_info(
                server.workers[i].daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
            open += info != NULL ? info->num_connections : 0;
        }
        if (open == 0)
            break;
        usleep(10 * 1000);
    }
    pthread_mutex_lock(&server.asking);
    server.stopped = true;
    pthread_cond_signal(&server.asked);
    pthread_mutex_unlock(&server.asking);
    for (size_t i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < server.count; i++)
        MHD_stop_daemon(server.workers[i].daemon);
}

/* Connections are open files: as many as this process may have. */
static void
raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void
serve(const sigset_t *signals, const pthread_t threads[2])
{
    int signal = 0;

    while (sigwait(signals, &signal) == 0 && signal == SIGHUP)
        reload();
    stop(threads);
}

int
main(int argc, char **argv)
{
    struct options options;
    struct set set;
    struct lmi_err err;
    sigset_t signals;
    pthread_t threads[2];
    pid_t parent = getppid();
    int code = read_options(argc, argv, &options);

    if (code >= 0)
        return code;
    raise_limit();
    server.count = options.threads;
    sigemptyset(&signals);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (options.with_parent &&
        (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != parent))
        return TROUBLE;
    if (lmi_new(NULL, &server.base, &err) != LMI_OK ||
        lmi_defer(server.base, &err) != LMI_OK ||
        set_open(&set, &err) != LMI_OK) {
        say_error("", &err);
        return TROUBLE;
    }
    pthread_mutex_init(&server.writing, NULL);
    pthread_mutex_init(&server.reporting, NULL);
    pthread_mutex_init(&server.asking, NULL);
    pthread_cond_init(&server.asked, NULL);
    STAILQ_INIT(&server.reports);
    for (unsigned i = 0; i < server.count; i++)
        pthread_mutex_init(&server.workers[i].mutex, NULL);
    set_swap(&set);
    int socket = find_socket(&options);
    if (socket < 0)
        return TROUBLE;
    for (unsigned i = 0; i < server.count; i++)
        if (!start_worker(&server.workers[i], socket)) {
            say("The HTTP server can't be started.");
            return TROUBLE;
        }
    if (pthread_create(&threads[0], NULL, write_all, NULL) != 0 ||
        pthread_create(&threads[1], NULL, report_all, NULL) != 0) {
        say("A thread can't be started.");
        return TROUBLE;
    }
    serve(&signals, threads);
    return 0;
}
