/*
 * Processes that race: for one ticket, with different browsers and with one;
 * and a touch against a logout. LMI_ROUNDS says how often, 100 by default.
 *
 * On the server that a test has started, if LOGMEIN_TEST_STORE is the URL of an
 * empty database there, and LOGMEIN_TEST_ADMIN that of one who may prepare it.
 */
#include <pthread.h>
#include <sys/mman.h>

#include "scratch.h"
#include "sessions/create.h"
#include "store/store.h"

#define RACERS 16

static struct lmi_err err;
static struct lmi *lmi;
static unsigned rounds = 100;
static unsigned controls = 100; /* rounds that must go wrong */

/* What the processes share: a barrier, the round's session, their results. */
static struct shared {
    pthread_barrier_t barrier;
    bool stop;
    unsigned touches;
    struct lmi_session_made made;
    struct lmi_redeemed redeemed;
    enum lmi_outcome outcome[RACERS];
    char cookie[RACERS][LMI_COOKIE_SIZE];
} * shared;

#define HASH "$5$rounds=1000$salt$J8CC7Sf2G3K1nqU9nTB4VZxYsUOHXzD/mAbIyM8b8o1"

/* So many names that none of them has many sessions at a time. */
#define NAMES 500

static void
make_site(void)
{
    FILE *passwd, *shadow;

    scratch_site(HASH);
    passwd = fopen(scratch_path("etc/passwd"), "a");
    shadow = fopen(scratch_path("etc/shadow"), "a");
    if (passwd == NULL || shadow == NULL)
        return;
    for (unsigned i = 0; i < NAMES; i++) {
        fprintf(passwd, "user%u:x:2000:2000::/home/u:/bin/sh\n", i);
        fprintf(shadow, "user%u:%s:19000:0:99999:7:::\n", i, HASH);
    }
    fclose(passwd);
    fclose(shadow);
}

/* For this process alone. */
static void
set_clock(uint64_t now)
{
    /* The handle's settings are const for everybody else. */
    ((struct lmi_settings *)(uintptr_t)lmi_settings_of(lmi))->test_clock = now;
}

/* Sessions in PostgreSQL, where each process has a connection of its own. */
static void
use_server(void)
{
    const struct lmi_store_where where = {.url = getenv("LOGMEIN_TEST_STORE"),
                                          .alone = true};
    const char *admin = getenv("LOGMEIN_TEST_ADMIN");

    if (where.url == NULL || admin == NULL)
        return;
    controls = 20;
    if (lmi_store_prepare(&where, admin, &err) != LMI_OK)
        printf("Bail out! no database\n");
    scratch_write("conf",
                  "log = none\nsite_root = %s\nstore = %s\n"
                  "store_alone = yes\nkey_file = %s/key\n"
                  "test_clock = 1700000000\n",
                  scratch, where.url, scratch);
}

static void
set_up(void)
{
    pthread_barrierattr_t attributes;

    make_site();
    scratch_settings(1700000000);
    use_server();
    lmi = lmi_make();
    if (lmi_pin(lmi, &err) != LMI_OK || lmi_enter(lmi, &err) != LMI_OK)
        printf("Bail out! no store\n");
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_barrierattr_init(&attributes);
    pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&shared->barrier, &attributes, RACERS + 1);
}

static void
make_ticket(void)
{
    static unsigned number;
    char user[16];

    snprintf(user, sizeof user, "user%u", number++ % NAMES);
    const struct lmi_session_params params = {
        .user = user, .service = LMI_CPANEL, .hash = HASH};

    if (lmi_session_create(lmi, &params, &shared->made, &err) != LMI_OK)
        printf("Bail out! no session\n");
}

static struct lmi_access
access_of(const char *ticket, const char *cookie, const char *agent)
{
    struct lmi_access access = {.token = text_of(shared->made.token),
                                .service = LMI_CPANEL,
                                .address = text_of("192.0.2.1"),
                                .agent = text_of(agent)};

    if (ticket != NULL)
        access.ticket = text_of(ticket);
    if (cookie != NULL)
        access.cookie = text_of(cookie);
    return access;
}

static enum lmi_outcome
redeem(const char *agent, struct lmi_redeemed *out)
{
    struct lmi_access access = access_of(shared->made.secret, NULL, agent);
    enum lmi_outcome outcome = LMI_UNKNOWN;

    if (lmi_session_redeem(lmi, &access, &outcome, out, &err) != LMI_OK)
        return LMI_UNKNOWN;
    return outcome;
}

static bool
cookie_works(const char *cookie)
{
    struct lmi_access access = access_of(NULL, cookie, "x");
    enum lmi_outcome outcome = LMI_UNKNOWN;
    struct lmi_session session;

    return lmi_session_check(lmi, &access, &outcome, &session, &err) ==
               LMI_OK &&
           outcome == LMI_GRANTED;
}

/* What each racer does in a round; the results lie in `shared`. */
typedef void racer(unsigned number);

static void
redeem_as_itself(unsigned number)
{
    char agent[16];
    struct lmi_redeemed redeemed;

    snprintf(agent, sizeof agent, "Browser/%u", number);
    shared->outcome[number] = redeem(agent, &redeemed);
}

static void
redeem_as_one(unsigned number)
{
    struct lmi_redeemed redeemed;

    shared->outcome[number] = redeem("Browser", &redeemed);
    memcpy(shared->cookie[number], redeemed.cookie, LMI_COOKIE_SIZE);
}

/* ... and comes back with what it got, as a browser does. */
static void
redeem_and_use(unsigned number)
{
    redeem_as_one(number);
    (void)cookie_works(shared->cookie[number]);
}

/* Another browser with a spent ticket: how often is it let in? */
static unsigned
replays(unsigned times)
{
    struct lmi_redeemed redeemed;
    unsigned accepted = 0;

    for (unsigned i = 0; i < times; i++) {
        enum lmi_outcome outcome = redeem("Replay", &redeemed);
        accepted += outcome == LMI_GRANTED || outcome == LMI_AGAIN;
    }
    return accepted;
}

/* The variant that must fail: it looks first, and writes what it likes. */
static void
redeem_naively(unsigned number)
{
    struct lmi_text ticket = text_of(shared->made.secret);
    struct lmi_entry entry;
    struct lmi_store_value value;
    struct lmi_store_op op;
    bool done = false;

    shared->outcome[number] = LMI_SPENT;
    if (lmi_entry_find_ticket(lmi, ticket, &entry, &err) != LMI_OK ||
        !entry.good || entry.record.state != LMI_STATE_FRESH)
        return;
    usleep(50); /* as if there were a disk between the two */
    entry.record.state = LMI_STATE_SPENT;
    if (lmi_entry_write(lmi, LMI_STORE_PUT, &entry.id, &entry.record, 0, NULL,
                        &value, &op, &err) == LMI_OK &&
        lmi_store_apply(lmi_store_of(lmi), LMI_DURABLE, &op, 1, 0, &done,
                        &err) == LMI_OK &&
        done)
        shared->outcome[number] = LMI_GRANTED;
}

/* One logs out, the others are slow requests that touch the session. */
static void
end_or_touch(unsigned number)
{
    struct lmi_access access = access_of(NULL, shared->redeemed.cookie, "x");
    enum lmi_outcome outcome;
    struct lmi_session session;

    set_clock(1700000060);
    if (number % 2 == 0)
        __atomic_add_fetch(&shared->touches,
                           cookie_works(shared->redeemed.cookie),
                           __ATOMIC_RELAXED);
    else if (lmi_session_end(lmi, &access, &outcome, &session, &err) != LMI_OK)
        shared->outcome[number] = LMI_UNKNOWN;
}

/* The variant that must fail: a touch writes the record that it has read. */
static void
end_or_touch_naively(unsigned number)
{
    struct lmi_text cookie = text_of(shared->redeemed.cookie);
    struct lmi_entry entry;
    struct lmi_store_value value;
    struct lmi_store_op op;
    bool done;

    if (number % 2 != 0) {
        end_or_touch(number);
        return;
    }
    if (lmi_entry_find_cookie(lmi, cookie, NULL, 0, &entry, &err) != LMI_OK ||
        !entry.good || usleep(50) != 0 ||
        lmi_entry_write(lmi, LMI_STORE_PUT, &entry.id, &entry.record, 0, NULL,
                        &value, &op, &err) != LMI_OK ||
        lmi_store_apply(lmi_store_of(lmi), LMI_DURABLE, &op, 1, 0, &done,
                        &err) != LMI_OK)
        return;
}

static void
run_racers(racer *job)
{
    shared->stop = false;
    for (unsigned i = 0; i < RACERS; i++)
        if (fork() == 0) {
            for (;;) {
                pthread_barrier_wait(&shared->barrier);
                if (shared->stop)
                    _exit(0);
                job(i);
                pthread_barrier_wait(&shared->barrier);
            }
        }
}

static void
run_round(void)
{
    pthread_barrier_wait(&shared->barrier);
    pthread_barrier_wait(&shared->barrier);
}

static void
stop_racers(void)
{
    shared->stop = true;
    pthread_barrier_wait(&shared->barrier);
    while (wait(NULL) > 0)
        continue;
}

static unsigned
count_outcomes(enum lmi_outcome outcome)
{
    unsigned count = 0;

    for (unsigned i = 0; i < RACERS; i++)
        count += shared->outcome[i] == outcome;
    return count;
}

/* In how many rounds do not exactly one win and the others lose? */
static unsigned
bad_ticket_races(racer *job, unsigned times)
{
    unsigned bad = 0;

    run_racers(job);
    for (unsigned i = 0; i < times; i++) {
        make_ticket();
        run_round();
        bad += count_outcomes(LMI_GRANTED) != 1 ||
               count_outcomes(LMI_SPENT) != RACERS - 1;
    }
    stop_racers();
    return bad;
}

/* In how many rounds does not exactly one cookie work afterwards? */
static unsigned
bad_one_browser_races(racer *job, unsigned times)
{
    unsigned bad = 0;

    run_racers(job);
    for (unsigned i = 0; i < times; i++) {
        unsigned work = 0;
        make_ticket();
        run_round();
        for (unsigned j = 0; j < RACERS; j++)
            work += cookie_works(shared->cookie[j]);
        bad += work != 1 || count_outcomes(LMI_GRANTED) != RACERS;
    }
    stop_racers();
    return bad;
}

/* In how many rounds does a session live that was logged out? */
static unsigned
revived(racer *job, unsigned times)
{
    unsigned bad = 0;

    run_racers(job);
    for (unsigned i = 0; i < times; i++) {
        set_clock(1700000000);
        make_ticket();
        if (redeem("Browser", &shared->redeemed) != LMI_GRANTED)
            bad++;
        run_round();
        bad += cookie_works(shared->redeemed.cookie);
    }
    stop_racers();
    return bad;
}

static void
replayed(void)
{
    struct lmi_redeemed redeemed;
    unsigned times = 100 * rounds < 10000 ? 100 * rounds : 10000;
    unsigned accepted;

    make_ticket();
    ok(redeem("Browser", &redeemed) == LMI_GRANTED &&
           redeem("Browser", &redeemed) == LMI_GRANTED,
       "control: the first browser may come twice");
    accepted = replays(times);
    ok(accepted == 0, "another one may not, %u times", times);
    printf("# 4: %u replays by another browser, %u accepted\n", times,
           accepted);
    make_ticket();
    set_clock(1700000900);
    accepted = replays(times);
    ok(accepted == 0, "nor after the idle time, with a fresh ticket");
    printf("# 4: %u replays after the idle time, %u accepted\n", times,
           accepted);
    set_clock(1700000000);
}

int
main(void)
{
    const char *wanted = getenv("LMI_ROUNDS");
    unsigned doubles, lost, logouts;

    if (wanted != NULL)
        rounds = (unsigned)atoi(wanted);
    scratch_make();
    set_up();
    doubles = bad_ticket_races(redeem_as_itself, rounds);
    ok(doubles == 0, "%u tickets, 16 browsers each: one winner each", rounds);
    printf("# 4: %u tickets, %u browsers each, %u with another number of "
           "winners than one\n",
           rounds, RACERS, doubles);
    replayed();
    doubles = bad_one_browser_races(redeem_as_one, rounds);
    ok(doubles == 0,
       "%u tickets, one browser 16 times: one cookie works afterwards", rounds);
    doubles = bad_one_browser_races(redeem_and_use, rounds / 5);
    ok(doubles == 0,
       "%u tickets, and each is used at once: one works in the end",
       rounds / 5);
    logouts = 2 * rounds + rounds / 2;
    lost = revived(end_or_touch, logouts);
    ok(lost == 0, "%u logouts against touches: nothing is revived", logouts);
    printf("# 9: %u races of a touch with a logout, %u revived\n",
           logouts * RACERS / 2, lost);
    ok(shared->touches > rounds / 4, "control: %u touches were in time",
       shared->touches);
    doubles = bad_ticket_races(redeem_naively, controls / 2);
    ok(doubles > 0, "control: looking and then writing has %u double winners",
       doubles);
    lost = revived(end_or_touch_naively, controls);
    ok(lost > 0, "control: a touch that writes what it read revives %u", lost);
    lmi_free(lmi);
    return done();
}
