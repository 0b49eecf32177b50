/*
 * What moving a store needs of its backend: its entries one after the other,
 * changes that wait, and marks.
 */
#include "marks.h"

static char url[80], volatile_dir[80];

static void
existing(void)
{
    ok(store_new(true, false) == NULL && is_fault(err.code, "store.none"),
       "a store that must exist is a fault");
    ok(access(url + 5, F_OK) != 0, "and is not made");
    store = store_new(false, false);
    ok(store != NULL, "otherwise it is made");
    struct lmi_store *second = store_new(true, false);
    ok(second != NULL, "and exists then");
    lmi_store_close(second);
}

/* The entries behind one, as numbers of the id's first byte. */
static const char *
walked(const struct lmi_store_id *after, size_t size)
{
    static char text[64];
    struct lmi_store_entry entries[8];
    size_t count = 9, at = 0;

    text[0] = '\0';
    if (lmi_store_walk(store, LMI_DURABLE, after, entries, size, &count,
                       &err) != LMI_OK)
        return "fault";
    for (size_t i = 0; i < count; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%u ",
                               entries[i].id.key[0]);
    return text;
}

static void
walk(void)
{
    struct lmi_store_value v = value_of("value");
    struct lmi_store_op op =
        grouped(op_of(LMI_STORE_PUT, 3, &v), "a group of some length");
    struct lmi_store_op capped = grouped(op_of(LMI_STORE_PUT, 2, &v), "!N0");
    struct lmi_store_id two = id_of(2), between = id_of(4), last = id_of(9);
    struct lmi_store_entry entry;
    size_t count;

    ok(strcmp(walked(NULL, 8), "") == 0, "an empty store has no entry");
    op.expires = 77;
    capped.cap = 5;
    ok(does(op) && does(capped) && puts_text(9, "nine") && puts_text(1, "one"),
       "four entries");
    ok(strcmp(walked(NULL, 8), "1 2 3 9 ") == 0, "are in their order");
    ok(strcmp(walked(NULL, 2), "1 2 ") == 0, "as many as there is room for");
    ok(strcmp(walked(&two, 8), "3 9 ") == 0, "behind one");
    ok(strcmp(walked(&between, 8), "9 ") == 0, "behind one that is not there");
    ok(strcmp(walked(&last, 8), "") == 0, "behind the last one");
    ok(lmi_store_walk(store, LMI_DURABLE, &two, &entry, 1, &count, &err) ==
               LMI_OK &&
           count == 1 && entry.expires == 77 && entry.cap == 0 &&
           entry.group_len == op.group_len &&
           memcmp(entry.group, op.group, op.group_len) == 0 &&
           entry.value.len == 5 && memcmp(entry.value.bytes, "value", 5) == 0,
       "an entry is whole, an expired one, too");
    two = id_of(1);
    ok(lmi_store_walk(store, LMI_DURABLE, &two, &entry, 1, &count, &err) ==
               LMI_OK &&
           entry.id.key[0] == 2 && entry.cap == UINT32_MAX,
       "that it counts towards a cap is known");
}

static int64_t
seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* Another process writes: its exit status tells whether that was done. */
static pid_t
other_writes(const char *text)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(puts_text(50, text) ? 0 : 1);
    return pid;
}

static bool
ends_well(pid_t pid)
{
    int status = -1;

    return waitpid(pid, &status, 0) == pid && status == 0;
}

/* While a part is held, others wait for who gets on. */
static void
hold(void)
{
    const struct timespec tenth = {.tv_nsec = 100000000};
    int64_t begun = seconds();
    pid_t pid;

    ok(lmi_store_hold(store, LMI_DURABLE, &err) == LMI_OK, "a part is held");
    ok(puts_text(51, "mine") && holds(51, "mine"), "the holder writes");
    pid = other_writes("other");
    for (int i = 0; i < 25; i++) {
        nanosleep(&tenth, NULL);
        walked(NULL, 8);
    }
    ok(waitpid(pid, NULL, WNOHANG) == 0 && seconds() - begun >= 2,
       "another process waits for two seconds, as the holder gets on");
    ok(holds(50, NULL), "and has written nothing");
    lmi_store_release(store, LMI_DURABLE);
    ok(ends_well(pid) && holds(50, "other"), "then it is its turn");
    ok(lmi_store_hold(store, LMI_DURABLE, &err) == LMI_OK, "held again");
    pid = other_writes("late");
    ok(!ends_well(pid) && holds(50, "other"),
       "control: who holds and does not get on lets others have a fault");
    lmi_store_release(store, LMI_DURABLE);
    pid = fork();
    if (pid == 0)
        _exit(lmi_store_hold(store, LMI_DURABLE, &err) == LMI_OK ? 0 : 1);
    ok(ends_well(pid) && puts_text(52, "x"),
       "a process that ends holds nothing any more");
    ok(ends_well(other_writes("again")), "nor for others");
}

int
main(void)
{
    scratch_make();
    snprintf(url, sizeof url, "lmdb:%s/store", scratch);
    snprintf(volatile_dir, sizeof volatile_dir, "%s/store/volatile", scratch);
    where.url = url;
    where.volatile_dir = volatile_dir;
    existing();
    if (store == NULL)
        return done();
    walk();
    hold();
    mark(LMI_DURABLE);
    mark(LMI_VOLATILE);
    lmi_store_close(store);
    return done();
}
