/*
 * Connections to PostgreSQL that are cut: one cut is no fault, the answer is
 * the right one, and nothing is done twice. For a server that a test has
 * started, as postgres.c. Of twenty exchanges of each kind, LMI_ROUNDS are cut
 * at every byte, and the others at some; a cut costs a new process of the
 * server.
 *
 * Operations are written as text: "=1a" puts the value "a" as entry 1, "+1a"
 * adds it, "~1ab" swaps "a" for "b", "-1" drops it, "*1" drops its group. The
 * entries 1 to 4 are of one group, 5 to 8 of another. So is what lies in the
 * store: "1a 5b". A value in capitals has expired.
 */
#include <dlfcn.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "scratch.h"
#include "store/store.h"

#define EXCHANGES 20
/* Cuts of an exchange that is not cut at every byte, at equal distances: the
   first one, and others. */
#define MANY 100
#define SOME 2
#define NEVER UINT_MAX
#define PURGED 1000 /* the time by which values in capitals have expired */
#define STATE_SIZE 64

/* Exchanges of one kind. */
struct kind {
    const char *name;
    enum { APPLY, CONNECT, GET, NEXT, COUNT, PURGE } call;
    enum lmi_store_part part;
    const char *before, *ops;
    const char *answer; /* to the operations */
    const char *after;
    /* What somebody else does after the call was done, before it is sent again,
       in two variants; and what is there in the end. */
    const char *others[2], *in_the_end[2];
};

static const struct kind kinds[] = {
    {.name = "connecting",
     .call = CONNECT,
     .before = "=2b",
     .ops = "+1a",
     .answer = "done",
     .after = "1a 2b",
     .others = {"-1", "~1ac"},
     .in_the_end = {"2b", "1c 2b"}},
    {.name = "ADD",
     .before = "=2b",
     .ops = "+1a",
     .answer = "done",
     .after = "1a 2b",
     .others = {"-1", "~1ac"},
     .in_the_end = {"2b", "1c 2b"}},
    {.name = "SWAP",
     .before = "=1a",
     .ops = "~1ab",
     .answer = "done",
     .after = "1b",
     .others = {"~1ba", "~1bc"},
     .in_the_end = {"1a", "1c"}},
    {.name = "PUT",
     .before = "=1a",
     .ops = "=1b",
     .answer = "done",
     .after = "1b",
     .others = {"=1c", "-1"},
     .in_the_end = {"1c", ""}},
    {.name = "DROP",
     .before = "=1a =2b",
     .ops = "-1",
     .answer = "done",
     .after = "2b",
     .others = {"+1a", "+1c"},
     .in_the_end = {"1a 2b", "1c 2b"}},
    {.name = "DROP_GROUP and ADD",
     .before = "=1a =2b",
     .ops = "*1 +5c",
     .answer = "done",
     .after = "5c",
     .others = {"+3d -5", "+1a +2b"},
     .in_the_end = {"3d", "1a 2b 5c"}},
    {.name = "a SWAP that fails",
     .before = "=1a",
     .ops = "=2d ~1bc",
     .answer = "not done",
     .after = "1a",
     .others = {"~1ab", "~1ab +3e"},
     .in_the_end = {"1b", "1b 3e"}},
    {.name = "a volatile batch",
     .part = LMI_VOLATILE,
     .before = "=1a =3z",
     .ops = "=1b +2c -3 =4d",
     .answer = "done",
     .after = "1b 2c 4d",
     .others = {"=1e -2 +3f", "-1"},
     .in_the_end = {"1e 3f 4d", "2c 4d"}},
    {.name = "get_many",
     .call = GET,
     .before = "=1a =2b =5c",
     .answer = "1a 2b 5c",
     .after = "1a 2b 5c"},
    {.name = "next",
     .call = NEXT,
     .before = "=1a =2b =5c",
     .answer = "1a 2b 5c",
     .after = "1a 2b 5c"},
    {.name = "count",
     .call = COUNT,
     .before = "=1a =2b =5c",
     .answer = "3",
     .after = "1a 2b 5c"},
    /* How many were removed is what the last of the two has removed. */
    {.name = "purge",
     .call = PURGE,
     .before = "=1X =2b =3Y =4d",
     .answer = "purged",
     .after = "2b 4d"},
};
#define KINDS (sizeof kinds / sizeof kinds[0])

/* What the processes report, one for each kind. */
static struct result {
    unsigned cuts, faults, answers, records, others, doubled, noticed;
    double longest;
    char first[200]; /* what was wrong first */
} * results;

static struct lmi_store_where where = {.alone = true};
static const char *admin;
static const struct kind *kind;
static struct result *result;
static unsigned serial; /* of the exchange that is going on */

static double
seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void
bail_out(const char *what)
{
    printf("Bail out! %s\n", what);
    exit(2);
}

static struct lmi_store *
open_at(const char *url)
{
    struct lmi_store_where there = where;
    struct lmi_store *store;
    struct lmi_err err;

    there.url = url;
    if (lmi_store_open(&there, &store, &err) != LMI_OK)
        bail_out("no store");
    return store;
}

/* Groups of an exchange have a common beginning, and no other has it. */
static size_t
group_of(char entry, uint8_t out[LMI_STORE_GROUP])
{
    return (size_t)snprintf((char *)out, LMI_STORE_GROUP, "%02d.%07u.%s",
                            (int)(kind - kinds), serial,
                            entry == 0    ? ""
                            : entry < '5' ? "one"
                                          : "other");
}

static struct lmi_store_id
id_of(char entry)
{
    struct lmi_store_id id = {.kind = 'X'};

    snprintf((char *)id.key, sizeof id.key, "%d.%u.%c", (int)(kind - kinds),
             serial, entry);
    return id;
}

/* Each value has its own time. */
static int64_t
expiry_of(char value)
{
    return value < 'a' ? PURGED / 2 : 2 * PURGED + value;
}

static struct lmi_store_value
value_of(char value)
{
    struct lmi_store_value out = {.len = 20};

    memset(out.bytes, value, out.len);
    return out;
}

static enum lmi_store_verb
verb_of(char letter)
{
    return letter == '+'   ? LMI_STORE_ADD
           : letter == '~' ? LMI_STORE_SWAP
           : letter == '=' ? LMI_STORE_PUT
           : letter == '-' ? LMI_STORE_DROP
                           : LMI_STORE_DROP_GROUP;
}

/* "done", "not done", or "fault". */
static const char *
apply(struct lmi_store *store, const char *text, struct lmi_err *err)
{
    struct lmi_store_value values[4], olds[4];
    struct lmi_store_op ops[4];
    size_t count = 0;
    bool done = true;

    for (; *text != '\0'; text += strcspn(text, " "), text += *text == ' ') {
        enum lmi_store_verb verb = verb_of(text[0]);
        bool is_swap = verb == LMI_STORE_SWAP;
        char value = is_swap ? text[3] : text[2];
        values[count] = value_of(value);
        olds[count] = value_of(text[2]);
        ops[count] =
            (struct lmi_store_op){.verb = verb,
                                  .id = id_of(text[1]),
                                  .expires = expiry_of(value),
                                  .value = &values[count],
                                  .old = is_swap ? &olds[count] : NULL};
        ops[count].group_len = group_of(text[1], ops[count].group);
        count++;
    }
    if (lmi_store_apply(store, kind->part, ops, count, 0, &done, err) != LMI_OK)
        return done ? "done with a fault" : "fault";
    return done ? "done" : "not done";
}

/* An entry as text, "1!" if it is not exactly as one of ours is. */
static const char *
entry_text(const struct lmi_store_entry *entry)
{
    static _Thread_local char text[3];
    struct lmi_store_value value = value_of((char)entry->value.bytes[0]);
    uint8_t group[LMI_STORE_GROUP];

    snprintf(text, sizeof text, "?!");
    for (char number = '1'; number <= '8'; number++) {
        struct lmi_store_id id = id_of(number);
        if (memcmp(&id, &entry->id, sizeof id) == 0)
            text[0] = number;
    }
    if (entry->value.len == value.len &&
        memcmp(entry->value.bytes, value.bytes, value.len) == 0 &&
        entry->expires == expiry_of((char)value.bytes[0]) && entry->cap == 0 &&
        entry->group_len == group_of(text[0], group) &&
        memcmp(entry->group, group, entry->group_len) == 0)
        text[1] = (char)value.bytes[0];
    return text;
}

static int
compare(const void *a, const void *b)
{
    return memcmp(a, b, 2);
}

/* What is there, or "fault". */
static const char *
state(struct lmi_store *store, char out[STATE_SIZE], struct lmi_err *err)
{
    struct lmi_store_entry page[8];
    uint8_t prefix[LMI_STORE_GROUP];
    char texts[8][2];
    size_t count = 0, len = 0;

    if (lmi_store_next(store, kind->part, prefix, group_of(0, prefix), NULL,
                       page, 8, &count, err) != LMI_OK)
        return "fault";
    for (size_t i = 0; i < count; i++)
        memcpy(texts[i], entry_text(&page[i]), 2);
    qsort(texts, count, 2, compare);
    out[0] = '\0';
    for (size_t i = 0; i < count; i++)
        len += (size_t)snprintf(out + len, STATE_SIZE - len, "%s%.2s",
                                i > 0 ? " " : "", texts[i]);
    return out;
}

/* All entries that might be there, as get_many() finds them. */
static const char *
get_all(struct lmi_store *store, char out[STATE_SIZE], struct lmi_err *err)
{
    struct lmi_store_want wants[LMI_STORE_WANTS];
    size_t len = 0;

    for (char i = 0; i < LMI_STORE_WANTS; i++)
        wants[(int)i] = (struct lmi_store_want){
            .part = kind->part, .id = id_of((char)('1' + i)), .found = true};
    if (lmi_store_get_many(store, wants, LMI_STORE_WANTS, 0, err) != LMI_OK)
        return "fault";
    out[0] = '\0';
    for (int i = 0; i < LMI_STORE_WANTS; i++) {
        struct lmi_store_value *value = &wants[i].value;
        struct lmi_store_value whole = value_of((char)value->bytes[0]);
        if (!wants[i].found)
            continue;
        len += (size_t)snprintf(
            out + len, STATE_SIZE - len, "%s%d%c", len > 0 ? " " : "", i + 1,
            value->len == whole.len &&
                    memcmp(value->bytes, whole.bytes, whole.len) == 0
                ? value->bytes[0]
                : '!');
    }
    return out;
}

static const char *
purge(struct lmi_store *store, struct lmi_err *err)
{
    uint32_t removed = 77;

    if (lmi_store_purge(store, kind->part, PURGED, 10, &removed, err) != LMI_OK)
        return "fault";
    return removed == 0 || removed == 2 ? "purged" : "purged as many as never";
}

static const char *
count_all(struct lmi_store *store, char out[STATE_SIZE], struct lmi_err *err)
{
    uint8_t prefix[LMI_STORE_GROUP];
    size_t count;

    if (lmi_store_count(store, kind->part, prefix, group_of(0, prefix), 99,
                        &count, err) != LMI_OK)
        return "fault";
    snprintf(out, STATE_SIZE, "%zu", count);
    return out;
}

static const char *
call(struct lmi_store *store, const char *ops, char out[STATE_SIZE],
     struct lmi_err *err)
{
    switch (kind->call) {
    case GET:
        return get_all(store, out, err);
    case NEXT:
        return state(store, out, err);
    case COUNT:
        return count_all(store, out, err);
    case PURGE:
        return purge(store, err);
    default:
        return apply(store, ops, err);
    }
}

/*
 * The proxy: a thread that passes on one connection after the other. When it is
 * armed, it counts the bytes of both directions, and cuts.
 */
static struct proxy {
    char folder[100], real[100];
    int listener;
    atomic_uint cut_at; /* so many bytes after it was armed; or NEVER */
    atomic_uint passed;
    atomic_bool armed, has_cut;
    bool gentle; /* the server has time to do what it was asked, and then
                    somebody else comes before the call is sent again */
    bool forget; /* ... and the database forgets what it has done */
    int variant;
    bool acted; /* somebody has come */
    struct lmi_store *direct;
} proxy;

static void
arm(unsigned cut_at)
{
    proxy.passed = 0;
    proxy.cut_at = cut_at;
    proxy.acted = false;
    proxy.has_cut = false;
    proxy.armed = true;
}

static int
socket_at(const char *folder, struct sockaddr_un *out)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(out->sun_path, sizeof out->sun_path, "%.80s/.s.PGSQL.5432",
             folder);
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

/* The database's superuser, by a libpq that is loaded here. */
static void
sql(const char *statement)
{
    void *libpq = dlopen("libpq.so.5", RTLD_NOW);
    void *found[3] = {dlsym(libpq, "PQconnectdb"), dlsym(libpq, "PQexec"),
                      dlsym(libpq, "PQfinish")};
    void *(*connect_to)(const char *);
    void *(*execute)(void *, const char *);
    void (*finish)(void *);

    memcpy(&connect_to, &found[0], sizeof found[0]);
    memcpy(&execute, &found[1], sizeof found[1]);
    memcpy(&finish, &found[2], sizeof found[2]);
    void *conn = connect_to(admin);
    (void)execute(conn, statement);
    finish(conn);
}

/* Between the cut and what is sent again; `whole` is whether the server has
   read the whole request. */
static void
come_between(bool whole)
{
    char text[STATE_SIZE];
    struct lmi_err err;

    if (!whole || kind->others[0] == NULL ||
        strcmp(state(proxy.direct, text, &err), kind->after) != 0)
        return;
    if (strcmp(apply(proxy.direct, kind->others[proxy.variant], &err),
               "done") != 0)
        bail_out("nobody comes between");
    if (proxy.forget)
        sql("DELETE FROM logmein.batch");
    proxy.acted = true;
}

static void
cut(int client, int server, bool whole)
{
    char bytes[4096];

    proxy.armed = false;
    shutdown(client, SHUT_RDWR);
    if (proxy.gentle) {
        shutdown(server, SHUT_WR);
        while (read(server, bytes, sizeof bytes) > 0)
            continue;
        come_between(whole);
    }
    proxy.has_cut = true;
}

/* Passes on what there is to read; false at the end. */
static bool
pass(int from, int to, char tail[5])
{
    char bytes[4096];
    unsigned left = proxy.armed ? proxy.cut_at - proxy.passed : NEVER;
    ssize_t len = read(from, bytes, left < sizeof bytes ? left : sizeof bytes);

    if (len <= 0)
        return false;
    /* First, for who has the answer arms it again. */
    proxy.passed += (unsigned)len;
    if (send(to, bytes, (size_t)len, MSG_NOSIGNAL) != len)
        return false;
    for (ssize_t i = 0; i < len; i++) {
        memmove(tail, tail + 1, 4);
        tail[4] = bytes[i];
    }
    return true;
}

/* A request ends with the message "Sync". */
static void
serve(int client, int server)
{
    char from_client[5] = "", from_server[5] = "";
    struct pollfd fds[2] = {{.fd = client, .events = POLLIN},
                            {.fd = server, .events = POLLIN}};

    for (;;) {
        if (poll(fds, 2, -1) < 0)
            continue;
        if (proxy.armed && proxy.passed == proxy.cut_at)
            break;
        if (fds[0].revents != 0 && !pass(client, server, from_client))
            return;
        if (proxy.armed && proxy.passed == proxy.cut_at)
            break;
        if (fds[1].revents != 0 && !pass(server, client, from_server))
            return;
        if (proxy.armed && proxy.passed == proxy.cut_at)
            break;
    }
    cut(client, server,
        proxy.passed > 0 && memcmp(from_client, "S\0\0\0\4", 5) == 0);
}

static void *
run_proxy(void *unused)
{
    (void)unused;
    for (;;) {
        struct sockaddr_un address;
        int client = accept4(proxy.listener, NULL, NULL, SOCK_CLOEXEC);
        int server = socket_at(proxy.real, &address);
        if (connect(server, (struct sockaddr *)&address, sizeof address) == 0)
            serve(client, server);
        close(server);
        close(client);
    }
    return NULL;
}

/* Starts it; the URL by which it is reached. */
static const char *
start_proxy(unsigned number)
{
    static char url[300];
    const char *host = strstr(where.url, "host=");
    struct sockaddr_un address;
    pthread_t thread = 0;

    if (host == NULL)
        bail_out("a URL without host=");
    snprintf(proxy.real, sizeof proxy.real, "%s", host + 5);
    snprintf(proxy.folder, sizeof proxy.folder, "%s/%u", scratch, number);
    snprintf(url, sizeof url, "%.*s%s", (int)(host + 5 - where.url), where.url,
             proxy.folder);
    proxy.direct = open_at(where.url);
    mkdir(proxy.folder, 0700);
    proxy.listener = socket_at(proxy.folder, &address);
    unlink(address.sun_path);
    if (bind(proxy.listener, (struct sockaddr *)&address, sizeof address) !=
            0 ||
        listen(proxy.listener, 8) != 0 ||
        pthread_create(&thread, NULL, run_proxy, NULL) != 0)
        bail_out("no proxy");
    pthread_detach(thread);
    return url;
}

static void __attribute__((format(printf, 2, 3)))
complain(unsigned *counter, const char *format, ...)
{
    va_list arguments;

    if (result->first[0] == '\0') {
        va_start(arguments, format);
        vsnprintf(result->first, sizeof result->first, format, arguments);
        va_end(arguments);
    }
    ++*counter;
}

/* Is the answer right, and what is there now? */
static void
judge(const char *answer, struct lmi_store *direct, const struct lmi_err *fault)
{
    const char *wanted =
        proxy.acted ? kind->in_the_end[proxy.variant] : kind->after;
    unsigned at = proxy.cut_at;
    char text[STATE_SIZE];
    struct lmi_err err;
    const char *there = state(direct, text, &err);

    result->others += proxy.acted;
    if (strcmp(answer, "fault") == 0)
        complain(&result->faults, "a fault, cut at %u: %s", at, fault->text);
    else if (strcmp(answer, kind->answer) != 0)
        complain(proxy.acted ? &result->doubled : &result->answers,
                 "'%s', cut at %u", answer, at);
    if (strcmp(there, wanted) != 0)
        complain(proxy.acted ? &result->doubled : &result->records,
                 "'%s' and not '%s', cut at %u", there, wanted, at);
}

/* One exchange that is cut; returns the bytes that have passed. */
static unsigned
exchange(struct lmi_store **proxied, struct lmi_store *direct, const char *url,
         unsigned cut_at)
{
    char text[STATE_SIZE];
    struct lmi_err err;

    serial++;
    if (kind->call == CONNECT) {
        lmi_store_close(*proxied);
        *proxied = open_at(url);
    } else if (strcmp(call(*proxied, "", text, &err), "fault") == 0) {
        complain(&result->faults, "a fault before cut at %u: %s", cut_at,
                 err.text);
    }
    if (strcmp(apply(direct, kind->before, &err), "done") != 0)
        bail_out("nothing is there before");
    arm(cut_at);
    double start = seconds();
    const char *answer = call(*proxied, kind->ops, text, &err);
    double took = seconds() - start;
    result->longest = took > result->longest ? took : result->longest;
    while (cut_at != NEVER && !proxy.has_cut)
        poll(NULL, 0, 1); /* behind the last byte, it is cut a bit later */
    proxy.armed = false;
    result->cuts += cut_at != NEVER;
    judge(answer, direct, &err);
    return proxy.passed;
}

/* How long it is without a cut; others come and go until it ends. */
static unsigned
measure(struct lmi_store **proxied, struct lmi_store *direct, const char *url)
{
    unsigned len = exchange(proxied, direct, url, NEVER);

    if (len < 50 || exchange(proxied, direct, url, NEVER) != len)
        bail_out("exchanges of different lengths");
    return len;
}

static void
run_kind(const char *url)
{
    const char *rounds = getenv("LMI_ROUNDS");
    unsigned whole = rounds != NULL ? (unsigned)atoi(rounds) : 0;
    struct lmi_store *direct = open_at(where.url), *proxied = open_at(url);
    unsigned len = measure(&proxied, direct, url);

    for (unsigned i = 0; i < EXCHANGES; i++) {
        unsigned at = (unsigned)random(), count = i < whole ? len + 1
                                                  : i == 0  ? MANY
                                                            : SOME;
        proxy.gentle = i % 2 == 0;
        for (unsigned j = 0; j < count; j++) {
            proxy.variant = (int)(random() % 2);
            exchange(&proxied, direct, url,
                     (at + j * (len + 1) / count) % (len + 1));
        }
    }
    lmi_store_close(proxied);
    lmi_store_close(direct);
}

/* What others have done is seen to be undone where the database forgets. */
static void
forget(const char *url)
{
    struct lmi_store *direct = open_at(where.url), *proxied = open_at(url);
    unsigned len = measure(&proxied, direct, url);

    proxy.gentle = proxy.forget = true;
    for (proxy.variant = 0; proxy.variant < 2; proxy.variant++) {
        unsigned before = result->doubled;
        exchange(&proxied, direct, url, len - 1);
        result->noticed += result->doubled > before;
    }
    lmi_store_close(proxied);
    lmi_store_close(direct);
}

/* In a process of its own, because it has a thread. */
static pid_t
start(unsigned number, void (*job)(const char *url))
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    kind = &kinds[number];
    result = &results[number];
    *result = (struct result){.cuts = 0};
    srandom((unsigned)(time(NULL) + number));
    serial = (unsigned)random() % 1000 * 9000;
    job(start_proxy(number));
    _exit(0);
}

static void
wait_for(pid_t pid, const char *name)
{
    int status;

    if (waitpid(pid, &status, 0) != pid || status != 0)
        ok(false, "%s: a process ends with %d", name, status);
}

static struct result
run_all(void)
{
    struct result sum = {.cuts = 0};
    pid_t pids[KINDS];

    for (unsigned i = 0; i < KINDS; i++)
        pids[i] = start(i, run_kind);
    for (unsigned i = 0; i < KINDS; i++) {
        struct result *one = &results[i];
        wait_for(pids[i], kinds[i].name);
        ok(one->cuts > 130 && one->faults + one->answers == 0,
           "%s: %u cuts, at most %.1f s, %u faults, %u wrong answers",
           kinds[i].name, one->cuts, one->longest, one->faults, one->answers);
        ok(one->records + one->doubled == 0 &&
               (one->others > 4 || kinds[i].others[0] == NULL),
           "... %u wrong records, %u of %u doubled effects %s", one->records,
           one->doubled, one->others, one->first);
        sum.cuts += one->cuts;
        sum.records += one->records;
        sum.doubled += one->doubled;
    }
    return sum;
}

/* One after the other, for all batches are forgotten. */
static void
control(void)
{
    for (unsigned i = 0; i < KINDS; i++) {
        if (kinds[i].others[0] == NULL)
            continue;
        wait_for(start(i, forget), kinds[i].name);
        ok(results[i].others == 2 && results[i].noticed == 2,
           "control: %s, and the batch is forgotten: %s", kinds[i].name,
           results[i].first);
    }
}

int
main(void)
{
    struct lmi_err err;

    where.url = getenv("LOGMEIN_TEST_STORE");
    admin = getenv("LOGMEIN_TEST_ADMIN");
    if (where.url == NULL || admin == NULL) {
        printf("1..0 # SKIP LOGMEIN_TEST_STORE is not set\n");
        return 0;
    }
    scratch_make();
    results = mmap(NULL, sizeof *results * KINDS, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ok(lmi_store_prepare(&where, admin, &err) == LMI_OK, "prepared");
    struct result sum = run_all();
    printf("# 30: %u cuts of connections to PostgreSQL, %u wrong records, %u "
           "doubled effects\n",
           sum.cuts, sum.records, sum.doubled);
    fflush(stdout);
    control();
    return done();
}
