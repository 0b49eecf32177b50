/*
 * What a mark does to a store, in any backend: every use of it is a fault. A
 * test says where its store is.
 */
#ifndef MARKS_H
#define MARKS_H

#include "conformance.h"

static struct lmi_store_where where;

static struct lmi_store *
store_new(bool must_exist, bool ignore_mark)
{
    struct lmi_store_where there = where;
    struct lmi_store *made = NULL;

    there.must_exist = must_exist;
    there.ignore_mark = ignore_mark;
    return lmi_store_open(&there, &made, &err) == LMI_OK ? made : NULL;
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

#endif
