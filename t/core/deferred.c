/*
 * Checks that do not wait for what they write: while another process holds the
 * store's write lock, and of many threads at once.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>

#include "scratch.h"
#include "sessions/create.h"
#include "sessions/deferred.h"
#include "store/lmdb_env.h"

#define HASH "$5$rounds=1000$salt$J8CC7Sf2G3K1nqU9nTB4VZxYsUOHXzD/mAbIyM8b8o1"
#define START 1700000000
#define THREADS 16
#define ROUNDS 200

static struct lmi_err err;
static struct lmi *lmi, *writer, *other; /* other: as another process has it */
static struct lmi_session_made made;
static char cookie[LMI_COOKIE_SIZE];

static void
set_clock(struct lmi *handle, uint64_t now)
{
    /* The handle's settings are const for everybody else. */
    ((struct lmi_settings *)(uintptr_t)lmi_settings_of(handle))->test_clock =
        now;
}

static void
set_clocks(uint64_t now)
{
    set_clock(lmi, now);
    set_clock(writer, now);
    set_clock(other, now);
}

/* A session, redeemed, whose cookie then lies in `cookie`. */
static void
open_session(void)
{
    const struct lmi_session_params params = {
        .user = "alice", .service = LMI_CPANEL, .hash = HASH};
    struct lmi_redeemed redeemed;
    enum lmi_outcome outcome = LMI_UNKNOWN;

    if (lmi_session_create(other, &params, &made, &err) != LMI_OK)
        printf("Bail out! no session\n");
    const struct lmi_access access = {.ticket = text_of(made.secret),
                                      .token = text_of(made.token),
                                      .service = LMI_CPANEL};
    if (lmi_session_redeem(other, &access, &outcome, &redeemed, &err) !=
            LMI_OK ||
        outcome != LMI_GRANTED)
        printf("Bail out! no cookie\n");
    memcpy(cookie, redeemed.cookie, sizeof cookie);
}

/* By a token, NULL for the right one. */
static enum lmi_outcome
check_with(struct lmi *handle, const char *token, bool foreign)
{
    const struct lmi_access access = {
        .cookie = text_of(cookie),
        .token = text_of(token != NULL ? token : made.token),
        .service = LMI_CPANEL,
        .foreign = foreign};
    enum lmi_outcome outcome = LMI_UNKNOWN;
    struct lmi_session session;

    return lmi_session_check(handle, &access, &outcome, &session, &err) ==
                   LMI_OK
               ? outcome
               : LMI_UNKNOWN;
}

static const char *
wrong_token(unsigned number)
{
    static _Thread_local char token[LMI_TOKEN_SIZE];

    snprintf(token, sizeof token, "/cpsess%010u", number);
    return token;
}

static unsigned
write_all(void)
{
    unsigned count = 0;
    bool written = true;

    while (written && lmi_session_write(writer, 0, &written, &err) == LMI_OK)
        count += written;
    return count;
}

/* A process that holds the write lock of a part of the store. */
static pid_t
hold_lock(enum lmi_store_part part)
{
    const char *store = lmi_settings_of(lmi)->store;
    int ready[2];
    char byte;

    if (pipe(ready) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        const struct lmi_store_where where = {
            .url = store, .volatile_dir = scratch_path("store/volatile")};
        struct lmi_lmdb_env *env;
        void *lmdb;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (lmi_lmdb_open(&where, &lmdb, &err) != LMI_OK ||
            lmi_lmdb_enter(lmdb, part, &env, &err) != LMI_OK ||
            lmi_lmdb_lock(env) != 0 || write(ready[1], "", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1)
        pid = -1;
    close(ready[0]);
    return pid;
}

static void
let_go(pid_t pid)
{
    if (pid > 0)
        kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static double
seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void
held(void)
{
    open_session();
    set_clocks(START + 100); /* a touch is due */
    pid_t holder[] = {hold_lock(LMI_DURABLE), hold_lock(LMI_VOLATILE)};
    ok(holder[0] > 0 && holder[1] > 0, "others hold the write locks");
    double start = seconds();
    unsigned granted = 0, wrong = 0;
    for (unsigned i = 0; i < 1000; i++)
        granted += check_with(lmi, NULL, false) == LMI_GRANTED;
    ok(granted == 1000, "a thousand checks are granted meanwhile");
    for (unsigned i = 1; i <= 20; i++)
        wrong += check_with(lmi, wrong_token(i), false) == LMI_WRONG_TOKEN;
    ok(wrong == 3, "three wrong tokens of twenty are answered as such");
    ok(check_with(lmi, NULL, false) == LMI_UNKNOWN, "the session has ended");
    ok(seconds() - start < 0.5, "... and none of it has waited");
    ok(write_all() == 0, "control: the writer can't write");
    let_go(holder[0]);
    let_go(holder[1]);
    ok(write_all() == 1, "when the lock is free, it writes");
    ok(check_with(other, NULL, false) == LMI_UNKNOWN,
       "... so that the session has ended for all");
    set_clocks(START);
}

/* What is noted holds at once, and for others when it is written. */
static void
noted(void)
{
    open_session();
    set_clocks(START + 100);
    ok(check_with(lmi, NULL, false) == LMI_GRANTED, "a check that is due");
    set_clocks(START + 950);
    ok(check_with(lmi, NULL, false) == LMI_GRANTED,
       "850 s later the session is alive where that is noted");
    open_session();
    ok(write_all() == 1, "two checks of one session are one write");
    set_clocks(START + 1000);
    open_session();
    ok(check_with(lmi, wrong_token(1), false) == LMI_WRONG_TOKEN &&
           check_with(other, wrong_token(2), false) == LMI_WRONG_TOKEN &&
           check_with(lmi, wrong_token(1), false) == LMI_WRONG_TOKEN,
       "two wrong tokens at two processes, one twice");
    ok(write_all() == 1 &&
           check_with(other, wrong_token(3), false) == LMI_WRONG_TOKEN &&
           check_with(other, NULL, false) == LMI_UNKNOWN,
       "the third one ends the session");
    open_session();
    for (unsigned i = 1; i <= 4; i++)
        check_with(lmi, wrong_token(i), true);
    ok(check_with(lmi, NULL, true) == LMI_WRONG_TOKEN,
       "after three wrong tokens of foreign requests these are refused");
    ok(check_with(lmi, NULL, false) == LMI_GRANTED, "... and only these");
    write_all();
    ok(check_with(other, NULL, true) == LMI_WRONG_TOKEN,
       "... by all, when that is written");
    set_clocks(START);
}

static void
ended_elsewhere(void)
{
    enum lmi_outcome outcome = LMI_UNKNOWN;
    struct lmi_session session;

    open_session();
    set_clocks(START + 100);
    check_with(lmi, NULL, false);
    const struct lmi_access access = {.cookie = text_of(cookie),
                                      .token = text_of(made.token),
                                      .service = LMI_CPANEL};
    ok(lmi_session_end(other, &access, &outcome, &session, &err) == LMI_OK &&
           outcome == LMI_GRANTED,
       "a logout at another process");
    ok(check_with(lmi, NULL, false) == LMI_UNKNOWN,
       "... is seen by the next check");
    ok(write_all() == 1 && check_with(lmi, NULL, false) == LMI_UNKNOWN &&
           check_with(other, NULL, false) == LMI_UNKNOWN,
       "... also after the note of before it is written");
    set_clocks(START);
}

/*
 * What is written between a check's reading of the store and of the notes: the
 * linker puts these before the functions that look at the notes.
 */
static enum place { NOWHERE, BEFORE_GET, BEFORE_CHANGE } to_write;

static void
write_if(enum place place)
{
    if (to_write != place)
        return;
    to_write = NOWHERE;
    write_all();
}

void __real_lmi_deferred_get(struct lmi_deferred *deferred,
                             const struct lmi_store_id *id,
                             struct lmi_due *out);
void __wrap_lmi_deferred_get(struct lmi_deferred *deferred,
                             const struct lmi_store_id *id,
                             struct lmi_due *out);
void
__wrap_lmi_deferred_get(struct lmi_deferred *deferred,
                        const struct lmi_store_id *id, struct lmi_due *out)
{
    write_if(BEFORE_GET);
    __real_lmi_deferred_get(deferred, id, out);
}

enum lmi_rc __real_lmi_deferred_change(struct lmi_deferred *deferred,
                                       const struct lmi_entry *entry,
                                       lmi_due_change *change, void *context,
                                       struct lmi_err *error);
enum lmi_rc __wrap_lmi_deferred_change(struct lmi_deferred *deferred,
                                       const struct lmi_entry *entry,
                                       lmi_due_change *change, void *context,
                                       struct lmi_err *error);
enum lmi_rc
__wrap_lmi_deferred_change(struct lmi_deferred *deferred,
                           const struct lmi_entry *entry,
                           lmi_due_change *change, void *context,
                           struct lmi_err *error)
{
    write_if(BEFORE_CHANGE);
    return __real_lmi_deferred_change(deferred, entry, change, context, error);
}

static void
written_between(void)
{
    open_session();
    for (unsigned i = 1; i <= 3; i++)
        check_with(lmi, wrong_token(i), false);
    to_write = BEFORE_GET;
    ok(check_with(lmi, NULL, false) == LMI_UNKNOWN && to_write == NOWHERE,
       "an end that is written between two readings is seen");
    open_session();
    for (unsigned i = 1; i <= 2; i++)
        check_with(lmi, wrong_token(i), false);
    to_write = BEFORE_CHANGE;
    ok(check_with(lmi, wrong_token(3), false) == LMI_WRONG_TOKEN &&
           to_write == NOWHERE && check_with(lmi, NULL, false) == LMI_UNKNOWN,
       "... and so are wrong tokens: the third one ends the session");
    write_all();
}

/* Threads, each with a handle and a wrong token of its own. */
static struct lmi *handles[THREADS];
static pthread_barrier_t barrier;
static enum lmi_outcome outcomes[THREADS];
static bool stopping;

static void *
miss_by_thread(void *number)
{
    unsigned i = (unsigned)(uintptr_t)number;

    for (unsigned round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&barrier);
        outcomes[i] = check_with(handles[i], wrong_token(i + 1), false);
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

static void *
write_by_thread(void *unused)
{
    struct lmi_err mine;
    bool written;

    (void)unused;
    while (!__atomic_load_n(&stopping, __ATOMIC_ACQUIRE))
        if (lmi_session_write(writer, 10, &written, &mine) != LMI_OK)
            break;
    return NULL;
}

static void
threads(void)
{
    pthread_t missing[THREADS], writing;
    unsigned right = 0;

    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    for (size_t i = 0; i < THREADS; i++)
        if (lmi_new_beside(lmi, &handles[i], &err) != LMI_OK)
            printf("Bail out! no handle\n");
    pthread_create(&writing, NULL, write_by_thread, NULL);
    for (size_t i = 0; i < THREADS; i++)
        pthread_create(&missing[i], NULL, miss_by_thread, (void *)(uintptr_t)i);
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned wrong = 0;
        open_session();
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        for (size_t i = 0; i < THREADS; i++)
            wrong += outcomes[i] == LMI_WRONG_TOKEN;
        right += wrong == 3 && check_with(lmi, NULL, false) == LMI_UNKNOWN;
    }
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(missing[i], NULL);
    __atomic_store_n(&stopping, true, __ATOMIC_RELEASE);
    pthread_join(writing, NULL);
    for (size_t i = 0; i < THREADS; i++)
        lmi_free(handles[i]);
    ok(right == ROUNDS,
       "of %d wrong tokens at once three are answered as such: %u of %d times",
       THREADS, right, ROUNDS);
}

int
main(void)
{
    scratch_make();
    scratch_site(HASH);
    scratch_settings(START);
    lmi = lmi_make();
    other = lmi_make();
    if (lmi_pin(lmi, &err) != LMI_OK || lmi_open(lmi, &err) != LMI_OK ||
        lmi_defer(lmi, &err) != LMI_OK ||
        lmi_new_beside(lmi, &writer, &err) != LMI_OK ||
        lmi_pin(writer, &err) != LMI_OK || lmi_pin(other, &err) != LMI_OK ||
        lmi_open(other, &err) != LMI_OK)
        printf("Bail out! %s\n", err.text);
    noted();
    ended_elsewhere();
    written_between();
    held();
    threads();
    lmi_free(writer);
    lmi_free(other);
    lmi_free(lmi);
    return done();
}
