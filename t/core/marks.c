/*
 * What moving a store needs of its backend: its entries one after the other,
 * changes that wait, and a mark that makes every use of it a fault.
 */
#include <errno.h>

#include "conformance.h"

static char url[80], volatile_dir[80];

static struct lmi_store *
store_new(bool must_exist, bool ignore_mark)
{
    const struct lmi_store_where where = {.url = url,
                                          .volatile_dir = volatile_dir,
                                          .must_exist = must_exist,
                                          .ignore_mark = ignore_mark};
    struct lmi_store *made = NULL;

    return lmi_store_open(&where, &made, &err) == LMI_OK ? made : NULL;
}

static void
existing(void)
{
    ok(store_new(true, false) == NULL && err.code == LMI_STORE &&
           strcmp(err.name, "store.none") == 0,
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

static bool
is_fault(enum lmi_rc rc, const char *name)
{
    return rc == LMI_STORE && err.name != NULL && strcmp(err.name, name) == 0;
}

/* Every call of another handle is this fault. */
static void
all_faults(struct lmi_store *used, enum lmi_store_part part, const char *name)
{
    struct lmi_store_value v = value_of("v");
    struct lmi_store_op op = op_of(LMI_STORE_PUT, 60, &v);
    struct lmi_store_id id = id_of(60);
    struct lmi_store_entry entry;
    uint32_t removed;
    size_t count = 1;
    bool flag = true;

    ok(is_fault(lmi_store_get(used, part, &id, &flag, &v, &err), name) && !flag,
       "a get is a fault, %s", name);
    flag = true;
    ok(is_fault(lmi_store_apply(used, part, &op, 1, 0, &flag, &err), name) &&
           !flag,
       "a change is");
    ok(is_fault(lmi_store_purge(used, part, INT64_MAX, 16, &removed, &err),
                name) &&
           removed == 0,
       "a purge is");
    ok(is_fault(
           lmi_store_next(used, part, NULL, 0, NULL, &entry, 1, &count, &err),
           name) &&
           count == 0,
       "a list is");
    count = 1;
    ok(is_fault(lmi_store_count(used, part, NULL, 0, 1, &count, &err), name) &&
           count == 0,
       "a count is");
    count = 1;
    ok(is_fault(lmi_store_walk(used, part, NULL, &entry, 1, &count, &err),
                name) &&
           count == 0,
       "a walk is");
}

/* What a marked part still holds is found, by who finds all. */
static void
some_faults(struct lmi_store *used, enum lmi_store_part part, const char *name)
{
    struct lmi_store_want wants[] = {{.part = part, .id = id_of(60)},
                                     {.part = part, .id = id_of(61)},
                                     {.part = part, .id = id_of(60)}};

    ok(lmi_store_get_many(used, wants, 1, 0, &err) == LMI_OK && wants[0].found,
       "control: what is there is found");
    ok(is_fault(lmi_store_get_many(used, wants, 3, 0, &err), name),
       "what is not is a fault, also among others");
}

static void
mark(enum lmi_store_part part)
{
    const struct lmi_store_mark moved = {.state = LMI_STORE_MOVED,
                                         .other = "lmdb:/elsewhere"};
    const struct lmi_store_mark filled = {.state = LMI_STORE_FILLED,
                                          .other = "lmdb:/old"};
    const struct lmi_store_mark used = {.state = LMI_STORE_USED};
    struct lmi_store *setter = store_new(true, true), *open = store;
    struct lmi_store_value v = value_of("v");
    struct lmi_store_op op = op_of(LMI_STORE_PUT, 60, &v);
    struct lmi_store_mark found;
    bool done;

    ok(strcmp(apply_at(part, &op, 1, 0), "done") == 0, "control: unmarked");
    ok(lmi_store_mark_put(setter, part, &moved, true, &err) == LMI_OK,
       "a part is marked, and emptied");
    all_faults(open, part, "store.moved");
    ok(strstr(err.location, "lmdb:/elsewhere") != NULL,
       "it says where the store is: %s", err.location);
    struct lmi_store *late = store_new(true, false);
    all_faults(late, part, "store.moved");
    lmi_store_close(late);
    ok(lmi_store_mark_get(setter, part, &found, &err) == LMI_OK &&
           found.state == LMI_STORE_MOVED &&
           strcmp(found.other, "lmdb:/elsewhere") == 0,
       "who sets marks reads it");
    store = setter;
    ok(holds_in(part, 60, NULL), "and sees that there is nothing");
    ok(lmi_store_mark_put(setter, part, &filled, false, &err) == LMI_OK,
       "another mark");
    all_faults(open, part, "store.unfinished");
    ok(lmi_store_apply(setter, part, &op, 1, 0, &done, &err) == LMI_OK && done,
       "who sets marks may write");
    some_faults(open, part, "store.unfinished");
    ok(lmi_store_mark_put(setter, part, &used, false, &err) == LMI_OK,
       "the mark is taken away");
    store = open;
    ok(holds_in(part, 60, "v"), "and what was written is there");
    ok(lmi_store_mark_get(setter, part, &found, &err) == LMI_OK &&
           found.state == LMI_STORE_USED,
       "no mark is left");
    lmi_store_close(setter);
}

int
main(void)
{
    scratch_make();
    snprintf(url, sizeof url, "lmdb:%s/store", scratch);
    snprintf(volatile_dir, sizeof volatile_dir, "%s/store/volatile", scratch);
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
