/*
 * The contract of store.h, as PostgreSQL keeps it. For a server that a test has
 * started: LOGMEIN_TEST_STORE is the URL of an empty database that the store's
 * user may use, LOGMEIN_TEST_ADMIN that of one who may prepare it.
 */
#include "marks.h"

#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HOUR 3600000U /* milliseconds */

static void
preparing(const char *admin)
{
    struct lmi_store_id id = id_of(1);
    struct lmi_store_value value;
    bool found;

    store = store_new(true, false);
    ok(store != NULL && is_fault(lmi_store_get(store, LMI_DURABLE, &id, &found,
                                               &value, &err),
                                 "store.none"),
       "a database without a store is a fault");
    lmi_store_close(store);
    ok(lmi_store_prepare(&where, admin, &err) == LMI_OK, "prepared");
    ok(lmi_store_prepare(&where, admin, &err) == LMI_OK, "prepared again");
    ok(lmi_store_prepare(&where, where.url, &err) == LMI_STORE,
       "but not by the store's own user");
}

/* Does an answer that may be an hour old say this of an entry? NULL: none. */
static bool
finds(struct lmi_store *handle, unsigned number, const char *text)
{
    struct lmi_store_want want = {.part = LMI_DURABLE, .id = id_of(number)};

    return lmi_store_get_many(handle, &want, 1, HOUR, &err) == LMI_OK &&
           wanted(&want, text);
}

/* The same, within a second. */
static bool
comes_to_find(struct lmi_store *handle, unsigned number, const char *text)
{
    const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};

    for (int i = 0; i < 100 && !finds(handle, number, text); i++)
        nanosleep(&pause, NULL);
    return finds(handle, number, text);
}

static bool
found_by_child(unsigned number, const char *text)
{
    int status = 1;
    pid_t pid = fork();

    if (pid == 0)
        _exit(finds(store, number, text) ? 0 : 1);
    return waitpid(pid, &status, 0) == pid && status == 0;
}

static bool
puts_text_by(struct lmi_store *handle, unsigned number, const char *text)
{
    struct lmi_store *own = store;

    store = handle;
    bool done = puts_text(number, text);
    store = own;
    return done;
}

static void
ages(void)
{
    struct lmi_store *other = store_new(false, false);
    struct lmi_store_op op = op_of(LMI_STORE_DROP_GROUP, 0, NULL);

    if (other == NULL)
        exit(2);
    ok(finds(other, 950, NULL) && puts_text(950, "one") &&
           finds(other, 950, "one"),
       "that there is nothing is no answer that is used again");
    ok(puts_text(950, "two") && finds(other, 950, "one"),
       "what another one has written is found later");
    ok(finds(store, 950, "two") && puts_text(950, "three") &&
           finds(store, 950, "three"),
       "but what it has written itself at once");
    ok(finds(other, 950, "one") && does(op_of(LMI_STORE_DROP, 950, NULL)) &&
           comes_to_find(other, 950, NULL),
       "that another one has removed something is heard");
    ok(puts_text(951, "old") && finds(other, 951, "old") &&
           puts_text(951, "new") && finds(other, 951, "old") &&
           does(grouped(op, "nobody")) && comes_to_find(other, 951, "new"),
       "or a group, and nothing read before counts");
    ok(finds(store, 951, "new") && puts_text_by(other, 951, "newer") &&
           finds(store, 951, "new") && found_by_child(951, "newer"),
       "a child does not answer with what its parent has read");
    lmi_store_close(other);
}

/* A part that one handle holds, and a change by another one. */
static void
held(void)
{
    struct lmi_store *other = store_new(false, false);

    if (other == NULL)
        exit(2);
    ok(lmi_store_hold(store, LMI_DURABLE, &err) == LMI_OK &&
           puts_text(960, "mine") && holds(960, "mine"),
       "who holds a part changes it");
    ok(!puts_text_by(other, 961, "other") && holds(961, NULL),
       "another one waits in vain");
    lmi_store_release(store, LMI_DURABLE);
    ok(puts_text_by(other, 962, "then") && holds(962, "then"),
       "then it is its turn");
    lmi_store_close(other);
    ok(lmi_store_hold(store, LMI_DURABLE, &err) == LMI_OK, "held again");
    for (int fd = 3; fd < 64; fd++)
        shutdown(fd, SHUT_RDWR);
    ok(!puts_text(963, "lost") && is_fault(err.code, "store.hold"),
       "who has lost its connection holds nothing");
    lmi_store_release(store, LMI_DURABLE);
    ok(holds(963, NULL) && puts_text(963, "new"),
       "and changes nothing until it has let go");
}

/* Do batches at this time, in seconds from now, leave this of an entry that has
   expired by then? NULL: nothing. */
static bool
is_left_at(int64_t then, const char *text)
{
    struct lmi_store_value v = value_of("v");
    struct lmi_store_op put = op_of(LMI_STORE_PUT, 970, &v),
                        other = op_of(LMI_STORE_DROP, 971, NULL);
    int64_t now = time(NULL);

    put.expires = now + then - 1;
    return does(put) && holds(970, "v") && pass_batches(&other, now + then) &&
           holds(970, text);
}

int
main(void)
{
    const char *admin = getenv("LOGMEIN_TEST_ADMIN");

    where.url = getenv("LOGMEIN_TEST_STORE");
    if (where.url == NULL || admin == NULL) {
        printf("1..0 # SKIP LOGMEIN_TEST_STORE is not set\n");
        return 0;
    }
    where.alone = true;
    preparing(admin);
    store = store_new(false, false);
    if (store == NULL)
        return 2;
    removes_seldom = true;
    conformance();
    ages();
    held();
    mark(LMI_DURABLE);
    mark(LMI_VOLATILE);
    ok(is_left_at(3000, NULL), "what expired goes, by a clock that is ahead");
    ok(is_left_at(4000, "v"), "but not by one that is more than an hour ahead");
    lmi_store_close(store);
    return done();
}
