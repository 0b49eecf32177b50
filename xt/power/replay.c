/*
 * Cuts the power at every point of a trace, and opens what is left with the
 * core:
 *
 *     replay TRACE FOLDER             does the trace tell of all that happened
 *                                     in the folder?
 *     replay TRACE STATES SEED CONF.. so many states, in as many processes as
 *                                     there are settings, each for a store
 *                                     of its own
 *
 * Each acknowledged login must be redeemable, each redeemed one's cookie must
 * work, and what was logged out must not. A step that was under way is there
 * as a whole or not at all.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "disk.h"
#include "logmein.h"

#define SESSIONS 4096
#define STEPS 4 /* levels of a session: none, fresh, redeemed, ended */
#define SHOWN 10
#define ENOUGH 100 /* bad states: the rest would not tell more */
#define WORKERS 8
#define LATEST 4 /* sessions whose secrets are tried in every state */

enum level { NONE, FRESH, REDEEMED, ENDED };

/* A session, and the events between which it came to each level. */
struct session {
    enum lmi_service service;
    char token[LMI_TOKEN_SIZE];
    char ticket[LMI_TICKET_SIZE];
    char cookie[LMI_COOKIE_SIZE];
    size_t begun[STEPS], acknowledged[STEPS]; /* SIZE_MAX: never */
};

struct event {
    struct power_event head;
    const uint8_t *bytes;
};

static struct event *events;
static size_t event_count;
static struct session sessions[SESSIONS];
static size_t session_count;
static const struct session *sorted[SESSIONS]; /* by their tokens */
static size_t *states; /* how many for the cut before each event */

/* What the processes share. */
static struct shared {
    struct progress {
        size_t event, state; /* the next one */
        uint64_t done, different, lost, failures, crashes, used;
        uint64_t unmade; /* failures before the first login was acknowledged */
        bool finished;
    } progress[WORKERS];
    unsigned shown;
} * shared;

static struct lmi_err err;

static void
need(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "%s\n", what);
    exit(2);
}

static struct lmi_text
text_of(const char *text)
{
    return (struct lmi_text){LMI_TEXT_LATIN1, text, strlen(text)};
}

/* "begin STEP NUMBER ..." or "ack STEP NUMBER ...". */
static void
read_note(const char *line, size_t event)
{
    char what[8], step[8];
    unsigned number, service = 0;
    enum level level;

    need(sscanf(line, "%7s %7s %u", what, step, &number) == 3 &&
             number < SESSIONS,
         line);
    struct session *session = &sessions[number];
    level = strcmp(step, "login") == 0    ? FRESH
            : strcmp(step, "redeem") == 0 ? REDEEMED
                                          : ENDED;
    if (strcmp(what, "begin") == 0) {
        session->begun[level] = event;
        if (level == FRESH && sscanf(line, "%*s %*s %*u %u", &service) == 1) {
            session->service = service;
            session_count = number + 1;
        }
        return;
    }
    session->acknowledged[level] = event;
    if (level == FRESH)
        need(sscanf(line, "%*s %*s %*u %17s %47s", session->token,
                    session->ticket) == 2,
             line);
    if (level == REDEEMED)
        need(sscanf(line, "%*s %*s %*u %300s", session->cookie) == 1, line);
}

static int
by_token(const void *a, const void *b)
{
    const struct session *const *left = a, *const *right = b;

    return strcmp((*left)->token, (*right)->token);
}

static void
read_trace(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
    char line[1024];

    need(size > 0, path);
    const uint8_t *bytes =
        mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
    need(bytes != MAP_FAILED, path);
    close(fd);
    memset(sessions, 0xff, sizeof sessions);
    events =
        calloc((size_t)size / sizeof(struct power_event) + 1, sizeof events[0]);
    need(events != NULL, "no memory");
    for (off_t at = 0; at < size; event_count++) {
        struct event *event = &events[event_count];
        memcpy(&event->head, bytes + at, sizeof event->head);
        event->bytes = bytes + at + sizeof event->head;
        at += (off_t)(sizeof event->head + event->head.size);
        if (event->head.kind != POWER_NOTE)
            continue;
        snprintf(line, sizeof line, "%.*s", (int)event->head.size,
                 (const char *)event->bytes);
        read_note(line, event_count);
    }
    for (size_t i = 0; i < session_count; i++) {
        need(sessions[i].acknowledged[FRESH] != SIZE_MAX, "a login is missing");
        sorted[i] = &sessions[i];
    }
    qsort(sorted, session_count, sizeof sorted[0], by_token);
}

/*
 * How many states each cut gets: one where nothing is in the air, of the
 * others the more the more there is.
 */
static void
share_states(uint64_t count)
{
    static struct disk disk;
    uint64_t total = 0, weight = 0;
    uint64_t *weights = calloc(event_count, sizeof *weights);

    states = calloc(event_count, sizeof *states);
    need(states != NULL && weights != NULL, "no memory");
    for (size_t i = 0; i < event_count; i++) {
        disk_event(&disk, &events[i].head, events[i].bytes);
        size_t late = disk_unsettled(&disk);
        weights[i] = late < 64 ? late : 64;
        weight += weights[i];
        states[i] = 1;
        total++;
    }
    need(count > total && weight > 0, "too few states for this trace");
    for (size_t i = 0; i < event_count; i++)
        states[i] += (count - total) * weights[i] / weight;
    for (size_t i = 0; i < event_count; i++)
        total += states[i] - 1;
    for (size_t i = 0; total < count; i = (i + 1) % event_count)
        if (weights[i] > 0) {
            states[i]++;
            total++;
        }
    free(weights);
}

/* One process's core, and the store whose images it opens. */
static struct lmi *spare; /* keeps OpenSSL's context */
static char folder[256];

static void
open_settings(const char *conf)
{
    const struct lmi_settings *settings;
    char url[256];

    setenv("LOGMEIN_CONF", conf, 1);
    need(lmi_new(NULL, &spare, &err) == LMI_OK &&
             lmi_settings_get(spare, &settings, &err) == LMI_OK &&
             lmi_settings_find(settings, "store", url, sizeof url) &&
             strncmp(url, "lmdb:", 5) == 0,
         conf);
    strcpy(folder, url + 5);
}

static void
empty_folder(void)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;

    if (dir == NULL) {
        need(mkdir(folder, 0700) == 0, folder);
        return;
    }
    while ((entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
}

/* It is written through a map and never synced: anything may be in it. */
static void
write_lock_file(const char *name, uint64_t seed)
{
    uint64_t garbage[1024];
    char path[300];
    uint64_t kind = disk_random(&seed, 4);
    int fd;

    if (kind < 2)
        return;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    for (size_t i = 0; i < 1024; i++)
        garbage[i] = disk_random(&seed, UINT64_MAX);
    need(fd >= 0 && (kind == 2 || write(fd, garbage, sizeof garbage) > 0),
         path);
    close(fd);
}

static void __attribute__((format(printf, 3, 4)))
complain(size_t event, size_t state, const char *format, ...)
{
    char text[512];
    va_list arguments;

    if (__atomic_fetch_add(&shared->shown, 1, __ATOMIC_RELAXED) >= SHOWN)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    printf("# cut after event %zu, state %zu: %s\n", event, state, text);
    fflush(stdout);
}

/* The level up to which a session has come for certain, or may have. */
static enum level
level_of(const size_t at[STEPS], size_t event)
{
    for (enum level level = ENDED; level > NONE; level--)
        if (at[level] <= event)
            return level;
    return NONE;
}

static struct lmi_access
access_of(const struct session *session)
{
    return (struct lmi_access){.token = text_of(session->token),
                               .service = session->service,
                               .address = text_of("192.0.2.2"),
                               .agent = text_of("Another"),
                               .method = text_of("HEAD")};
}

/* A HEAD looks at a ticket, and changes nothing. */
static enum lmi_outcome
try_ticket(struct lmi *lmi, const struct session *session, const char *method,
           struct lmi_redeemed *redeemed)
{
    struct lmi_access access = access_of(session);
    enum lmi_outcome outcome = LMI_UNKNOWN;

    access.ticket = text_of(session->ticket);
    access.method = text_of(method);
    if (lmi_session_redeem(lmi, &access, &outcome, redeemed, &err) != LMI_OK)
        return LMI_CONFIRM;
    return outcome;
}

static enum lmi_outcome
try_cookie(struct lmi *lmi, const struct session *session, const char *cookie)
{
    struct lmi_access access = access_of(session);
    enum lmi_outcome outcome = LMI_UNKNOWN;
    struct lmi_session found;

    access.cookie = text_of(cookie);
    if (lmi_session_check(lmi, &access, &outcome, &found, &err) != LMI_OK)
        return LMI_CONFIRM;
    return outcome;
}

/* What the store says; STEPS for anything that can't be. */
static int
seen_level(struct lmi *lmi, const struct session *session)
{
    struct lmi_redeemed redeemed;
    enum lmi_outcome ticket = try_ticket(lmi, session, "HEAD", &redeemed);
    enum lmi_outcome cookie = session->acknowledged[REDEEMED] != SIZE_MAX
                                  ? try_cookie(lmi, session, session->cookie)
                                  : LMI_UNKNOWN;

    if (ticket == LMI_PASSIVE && cookie == LMI_UNKNOWN)
        return FRESH;
    if (ticket == LMI_SPENT && cookie == LMI_GRANTED)
        return REDEEMED;
    if (ticket == LMI_UNKNOWN && cookie == LMI_UNKNOWN)
        return NONE;
    return STEPS;
}

/* The live sessions that the store lists, each with its level. */
static enum lmi_rc
list_levels(struct lmi *lmi, uint8_t levels[SESSIONS], bool *sound_out)
{
    struct lmi_session_list list = {.service = 0};
    struct lmi_session listed;
    struct session wanted;
    const struct session *key = &wanted, **found;
    bool more = true;
    enum lmi_rc rc;

    *sound_out = false;
    memset(levels, NONE, session_count);
    for (;;) {
        rc = lmi_session_next(lmi, &list, &more, &listed, &err);
        *sound_out = rc == LMI_OK && !more;
        if (rc != LMI_OK || !more)
            return rc;
        memcpy(wanted.token, listed.token, sizeof wanted.token);
        found =
            bsearch(&key, sorted, session_count, sizeof sorted[0], by_token);
        if (found == NULL || levels[*found - sessions] != NONE)
            return LMI_OK;
        levels[*found - sessions] = listed.redeemed ? REDEEMED : FRESH;
    }
}

/* With `closely` every ticket and cookie is tried, not just some. */
static bool
session_good(struct lmi *lmi, const struct session *session, int seen,
             enum level low, enum level high, bool closely)
{
    if (seen == NONE ? low != NONE && high != ENDED
                     : seen != (int)low && seen != (int)high)
        return false;
    return !closely || seen_level(lmi, session) == seen;
}

/* Is everything there that was acknowledged, and nothing that has ended? */
static bool
sessions_good(struct lmi *lmi, const uint8_t levels[SESSIONS], size_t event,
              size_t state)
{
    unsigned tried = 0;

    for (size_t i = session_count; i-- > 0;) {
        const struct session *session = &sessions[i];
        enum level low = level_of(session->acknowledged, event);
        enum level high = level_of(session->begun, event);
        bool closely =
            high > NONE && (tried < LATEST || (event + state) % 8 == 0);
        tried += closely;
        if (session_good(lmi, session, levels[i], low, high, closely))
            continue;
        complain(event, state, "session %zu: listed %d, seen %d, not %d to %d",
                 i, levels[i], seen_level(lmi, session), (int)low, (int)high);
        return false;
    }
    return true;
}

/* The store goes on: the newest ticket is redeemed. */
static bool
store_usable(struct lmi *lmi, size_t event, size_t state, bool *used_out)
{
    struct lmi_redeemed redeemed;

    for (size_t i = session_count; i-- > 0;) {
        const struct session *session = &sessions[i];
        if (level_of(session->acknowledged, event) != FRESH ||
            level_of(session->begun, event) != FRESH)
            continue;
        *used_out = true;
        if (try_ticket(lmi, session, "GET", &redeemed) == LMI_GRANTED &&
            try_cookie(lmi, session, redeemed.cookie) == LMI_GRANTED)
            return true;
        complain(event, state, "session %zu can't be redeemed", i);
        return false;
    }
    return true;
}

/* The list is the first call, and opens the store. */
static void
judge(struct progress *progress, size_t event, size_t state)
{
    uint8_t levels[SESSIONS];
    struct lmi *lmi;
    char why[LMI_DETAIL_SIZE];
    bool used = false, sound = false;

    need(lmi_new(spare, &lmi, &err) == LMI_OK && lmi_pin(lmi, &err) == LMI_OK,
         "no handle");
    if (list_levels(lmi, levels, &sound) != LMI_OK) {
        lmi_err_format(&err, why, sizeof why);
        complain(event, state, "%s", why);
        if (event < sessions[0].acknowledged[FRESH])
            progress->unmade++;
        else
            progress->failures++;
    } else if (!sound) {
        complain(event, state, "there is a session that nobody has made");
        progress->lost++;
    } else if (!sessions_good(lmi, levels, event, state) ||
               ((event + state) % 16 == 0 &&
                !store_usable(lmi, event, state, &used))) {
        progress->lost++;
    }
    progress->used += used;
    lmi_free(lmi);
}

/* All states of a cut, from one on. */
static void
cut(struct disk *disk, struct progress *progress, uint64_t seed, size_t event)
{
    size_t count = states[event];
    uint64_t *hashes = calloc(count, sizeof *hashes);

    need(hashes != NULL, "no memory");
    for (size_t state = progress->state; state < count; state++) {
        uint64_t own = seed ^ (uint64_t)event << 32 ^ state << 8;
        size_t same = 0;
        hashes[state] =
            disk_cut(disk, own, state < 2 ? (enum disk_luck)state : DISK_SOME);
        while (same < state && hashes[same] != hashes[state])
            same++;
        progress->different += same == state;
        /* What kills this process must not kill the next one, too. */
        progress->state = state + 1;
        progress->done++;
        alarm(10); /* a damaged tree may have no end */
        empty_folder();
        need(disk_write(disk, folder), "an image can't be written");
        write_lock_file("lock.mdb", own + 1);
        write_lock_file("write.lock", own + 2);
        judge(progress, event, state);
    }
    free(hashes);
    progress->state = 0;
}

static void
work(unsigned number, unsigned workers, uint64_t seed, const char *conf)
{
    static struct disk disk;
    struct progress *progress = &shared->progress[number];
    const struct rlimit none = {0, 0};

    setrlimit(RLIMIT_CORE, &none);
    open_settings(conf);
    for (size_t i = 0; i < event_count; i++) {
        disk_event(&disk, &events[i].head, events[i].bytes);
        if (i % workers != number || i < progress->event)
            continue;
        if (progress->lost + progress->failures + progress->crashes >= ENOUGH)
            break;
        progress->event = i;
        cut(&disk, progress, seed, i);
        progress->event = i + 1;
    }
    progress->finished = true;
    exit(0);
}

/* A process that dies has met a state that kills. */
static void
run(unsigned workers, uint64_t seed, char **confs)
{
    pid_t pids[WORKERS] = {0};
    int status;
    pid_t pid;

    for (unsigned i = 0; i < workers; i++)
        if ((pids[i] = fork()) == 0)
            work(i, workers, seed, confs[i]);
    while ((pid = wait(&status)) > 0)
        for (unsigned i = 0; i < workers; i++) {
            struct progress *progress = &shared->progress[i];
            if (pids[i] != pid || progress->finished)
                continue;
            need(!WIFEXITED(status) || WEXITSTATUS(status) != 2, "a fault");
            progress->crashes++;
            complain(progress->event, progress->state - 1, "status %d", status);
            if ((pids[i] = fork()) == 0)
                work(i, workers, seed, confs[i]);
        }
}

static int
compare(const char *path)
{
    static struct disk disk;
    struct event *event = events;

    for (; event < events + event_count; event++)
        disk_event(&disk, &event->head, event->bytes);
    disk_cut(&disk, 0, DISK_ALL);
    return disk_compare(&disk, path) ? 0 : 1;
}

int
main(int argc, char **argv)
{
    struct progress sum = {0};

    /* LMDB's two megabytes of zeros, anew for each state, come cheap so. */
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    need(argc >= 3 && argc - 4 <= WORKERS, "arguments");
    read_trace(argv[1]);
    if (argc == 3)
        return compare(argv[2]);
    share_states(strtoull(argv[2], NULL, 10));
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    need(shared != MAP_FAILED, "no memory");
    run((unsigned)argc - 4, strtoull(argv[3], NULL, 10), argv + 4);
    for (int i = 0; i < argc - 4; i++) {
        const struct progress *part = &shared->progress[i];
        sum.done += part->done;
        sum.different += part->different;
        sum.lost += part->lost;
        sum.failures += part->failures;
        sum.crashes += part->crashes;
        sum.used += part->used;
        sum.unmade += part->unmade;
    }
    printf("states=%llu different=%llu lost=%llu failures=%llu crashes=%llu "
           "used=%llu unmade=%llu\n",
           (unsigned long long)sum.done, (unsigned long long)sum.different,
           (unsigned long long)sum.lost, (unsigned long long)sum.failures,
           (unsigned long long)sum.crashes, (unsigned long long)sum.used,
           (unsigned long long)sum.unmade);
    return 0;
}
