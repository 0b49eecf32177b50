/*
 * What every store behind store.h must do. A test opens its store, sets
 * `store`, and calls conformance().
 */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include "scratch.h"
#include "store/store.h"

static struct lmi_err err;
static struct lmi_store *store;

static struct lmi_store_id
id_of(unsigned number)
{
    struct lmi_store_id id = {.kind = 'X'};

    memcpy(id.key, &number, sizeof number);
    return id;
}

static struct lmi_store_value
value_of(const char *text)
{
    struct lmi_store_value value = {.len = strlen(text)};

    memcpy(value.bytes, text, value.len);
    return value;
}

static struct lmi_store_op
op_of(enum lmi_store_verb verb, unsigned number,
      const struct lmi_store_value *value)
{
    return (struct lmi_store_op){.verb = verb,
                                 .id = id_of(number),
                                 .expires = INT64_MAX,
                                 .value = value};
}

static struct lmi_store_op
grouped(struct lmi_store_op op, const char *group)
{
    op.group_len = strlen(group);
    memcpy(op.group, group, op.group_len);
    return op;
}

/* "done", "not done", or "fault". */
static const char *
apply_at(enum lmi_store_part part, const struct lmi_store_op *ops, size_t count,
         int64_t now)
{
    bool done = true;

    if (lmi_store_apply(store, part, ops, count, now, &done, &err) != LMI_OK)
        return done ? "done with a fault" : "fault";
    return done ? "done" : "not done";
}

static bool
does(struct lmi_store_op op)
{
    return strcmp(apply_at(LMI_DURABLE, &op, 1, 0), "done") == 0;
}

static bool
puts_text(unsigned number, const char *text)
{
    struct lmi_store_value value = value_of(text);

    return does(op_of(LMI_STORE_PUT, number, &value));
}

/* Does the entry hold this text? NULL: is there none? */
static bool
holds_in(enum lmi_store_part part, unsigned number, const char *text)
{
    struct lmi_store_id id = id_of(number);
    struct lmi_store_value value;
    bool found = true;

    if (lmi_store_get(store, part, &id, &found, &value, &err) != LMI_OK)
        return false;
    if (text == NULL)
        return !found && value.len == 0;
    return found && value.len == strlen(text) &&
           memcmp(value.bytes, text, value.len) == 0;
}

static bool
holds(unsigned number, const char *text)
{
    return holds_in(LMI_DURABLE, number, text);
}

static void
verbs(void)
{
    struct lmi_store_value a = value_of("a"), b = value_of("b");
    struct lmi_store_op swap = op_of(LMI_STORE_SWAP, 1, &b);

    ok(holds(1, NULL), "what was never put is not there");
    ok(does(op_of(LMI_STORE_ADD, 1, &a)) && holds(1, "a"), "an entry is added");
    ok(!does(op_of(LMI_STORE_ADD, 1, &b)) && holds(1, "a"),
       "but not where one is");
    swap.old = &b;
    ok(!does(swap) && holds(1, "a"), "a swap needs the old value");
    swap.old = &a;
    ok(does(swap) && holds(1, "b"), "and then happens");
    ok(!does(swap) && holds(1, "b"), "once");
    swap.id = id_of(2);
    ok(!does(swap) && holds(2, NULL), "a swap of nothing doesn't happen");
    ok(does(op_of(LMI_STORE_PUT, 1, &a)) && holds(1, "a"), "put, over another");
    ok(does(op_of(LMI_STORE_DROP, 1, NULL)) && holds(1, NULL), "drop");
    ok(does(op_of(LMI_STORE_DROP, 1, NULL)), "drop, where nothing is");
}

static void
batches(void)
{
    struct lmi_store_value b = value_of("b");
    struct lmi_store_op fails[] = {op_of(LMI_STORE_PUT, 10, &b),
                                   op_of(LMI_STORE_DROP, 11, NULL),
                                   op_of(LMI_STORE_ADD, 12, &b)};
    struct lmi_store_op chain[] = {op_of(LMI_STORE_DROP, 11, NULL),
                                   op_of(LMI_STORE_ADD, 11, &b),
                                   op_of(LMI_STORE_ADD, 13, &b)};

    puts_text(10, "a");
    puts_text(11, "a");
    puts_text(12, "a");
    ok(strcmp(apply_at(LMI_DURABLE, fails, 3, 0), "not done") == 0,
       "a batch fails with its last operation");
    ok(holds(10, "a") && holds(11, "a") && holds(12, "a"),
       "and none of it has happened");
    ok(strcmp(apply_at(LMI_DURABLE, fails, 2, 0), "done") == 0 &&
           holds(10, "b") && holds(11, NULL),
       "control: without it the others happen");
    puts_text(11, "a");
    ok(strcmp(apply_at(LMI_DURABLE, chain, 3, 0), "done") == 0 &&
           holds(11, "b") && holds(13, "b"),
       "an operation sees those before it");
    ok(strcmp(apply_at(LMI_DURABLE, chain, 0, 0), "done") == 0,
       "an empty batch is done");
}

/* A page of the entries whose group begins so. */
static size_t
read_group(const char *prefix, const struct lmi_store_entry *after,
           struct lmi_store_entry *out, size_t size)
{
    size_t count = 99;

    return lmi_store_next(store, LMI_DURABLE, (const uint8_t *)prefix,
                          strlen(prefix), after, out, size, &count,
                          &err) == LMI_OK
               ? count
               : 0;
}

static size_t
count_group(const char *prefix)
{
    struct lmi_store_entry page[7], *after = NULL;
    size_t count, all = 0;

    while (all < 10000 && (count = read_group(prefix, after, page, 7)) > 0) {
        after = &page[count - 1];
        all += count;
    }
    return all;
}

static size_t
counted(const char *prefix, size_t most)
{
    size_t count = 98;

    return lmi_store_count(store, LMI_DURABLE, (const uint8_t *)prefix,
                           strlen(prefix), most, &count, &err) == LMI_OK
               ? count
               : 97;
}

static void
groups(void)
{
    struct lmi_store_value v = value_of("v");
    struct lmi_store_op drop = {.verb = LMI_STORE_DROP_GROUP};

    for (unsigned i = 0; i < 30; i++)
        does(grouped(op_of(LMI_STORE_PUT, 100 + i, &v), i < 10   ? "ab"
                                                        : i < 20 ? "abX"
                                                                 : "b"));
    does(op_of(LMI_STORE_PUT, 130, &v));
    ok(count_group("ab") == 20 && count_group("abX") == 10 &&
           count_group("b") == 10 && count_group("a") == 20 &&
           count_group("c") == 0,
       "entries are found by the beginning of their group");
    ok(count_group("") == 30, "and all that have a group by nothing");
    ok(counted("ab", 99) == 20 && counted("abX", 99) == 10 &&
           counted("b", 99) == 10 && counted("c", 99) == 0 &&
           counted("", 99) == 30,
       "they are counted likewise");
    ok(counted("ab", 20) == 20 && counted("ab", 19) == 19 &&
           counted("ab", 0) == 0,
       "up to a limit");
    does(grouped(op_of(LMI_STORE_PUT, 129, &v), "c"));
    ok(count_group("b") == 9 && count_group("c") == 1,
       "an entry put again changes its group");
    does(op_of(LMI_STORE_DROP, 129, NULL));
    ok(count_group("c") == 0, "and leaves it when it goes");
    ok(does(grouped(drop, "ab")) && holds(100, NULL) && holds(109, NULL) &&
           count_group("ab") == 10,
       "a group is dropped as a whole");
    ok(count_group("abX") == 10 && holds(110, "v") && holds(119, "v"),
       "but not a group with a longer name");
    ok(holds(120, "v") && holds(130, "v"), "nor another, nor what has none");
    ok(does(grouped(drop, "nobody")), "a group without entries is dropped");
    does(grouped(drop, "abX"));
    does(grouped(drop, "b"));
}

static void
sizes(void)
{
    struct lmi_store_value value = {.len = LMI_STORE_VALUE}, out;
    struct lmi_store_op op = op_of(LMI_STORE_PUT, 200, &value);
    struct lmi_store_id id = id_of(200);
    bool found = false;

    memset(value.bytes, 0xAB, sizeof value.bytes);
    op.group_len = LMI_STORE_GROUP;
    memset(op.group, 0xFF, sizeof op.group);
    ok(does(op) &&
           lmi_store_get(store, LMI_DURABLE, &id, &found, &out, &err) ==
               LMI_OK &&
           found && out.len == value.len &&
           memcmp(out.bytes, value.bytes, value.len) == 0,
       "the longest value and group are kept");
    op.verb = LMI_STORE_DROP_GROUP;
    ok(does(op) && holds(200, NULL), "and dropped by that group");
    ok(puts_text(201, "") && holds(201, ""), "an empty value is a value");
}

static size_t
count_ids(unsigned from, unsigned to, const char *text)
{
    size_t count = 0;

    for (unsigned i = from; i < to; i++)
        count += holds(i, text);
    return count;
}

/* Does not each batch of this store remove what has expired? */
static bool removes_seldom;

/* Batches that put this entry, so many that at least one removes: all done? */
static bool
pass_batches(const struct lmi_store_op *op, int64_t now)
{
    bool good = true;

    for (int i = 0; i < (removes_seldom ? 200 : 2); i++)
        good = good && strcmp(apply_at(LMI_DURABLE, op, 1, now), "done") == 0;
    return good;
}

static void
purging(void)
{
    struct lmi_store_value v = value_of("v");
    struct lmi_store_op op, other = op_of(LMI_STORE_DROP, 351, NULL);

    for (unsigned i = 300; i < 340; i++) {
        op = grouped(op_of(LMI_STORE_PUT, i, &v), "old");
        op.expires = 100 + i % 2;
        does(op);
    }
    op = op_of(LMI_STORE_PUT, 350, &v);
    op.expires = 102;
    ok(pass_batches(&op, 100) && count_ids(300, 340, "v") == 40,
       "what expires now is not yet removed");
    if (!removes_seldom)
        ok(strcmp(apply_at(LMI_DURABLE, &op, 1, 101), "done") == 0 &&
               count_ids(300, 340, "v") == 24,
           "each batch removes sixteen that have expired");
    ok(pass_batches(&op, 101) && count_ids(300, 340, "v") == 20 &&
           count_group("old") == 20,
       "no more than have, out of their groups too");
    ok(pass_batches(&op, 102) && count_ids(300, 340, "v") == 0 &&
           count_group("old") == 0 && holds(350, "v"),
       "at last all are gone, and the one that lives is there");
    op.expires = 400;
    apply_at(LMI_DURABLE, &op, 1, 102);
    ok(pass_batches(&other, 300) && holds(350, "v"),
       "an entry put again has its new time only");
    op.expires = -1;
    ok(strcmp(apply_at(LMI_DURABLE, &op, 1, 0), "done") == 0,
       "a time before 1970 is no fault");
}

static unsigned
number_of(const struct lmi_store_id *id)
{
    unsigned number;

    memcpy(&number, id->key, sizeof number);
    return number;
}

/* Entries of a group by their numbers, in the order of the list. */
static void
group_order(const char *group, char *out, size_t size)
{
    struct lmi_store_entry page[3], *after = NULL;
    size_t len = 0, count;

    out[0] = '\0';
    while (len + 3 * 12 < size &&
           (count = read_group(group, after, page, 3)) > 0)
        for (size_t i = 0; i < count; i++) {
            after = &page[i];
            len += (size_t)snprintf(out + len, size - len, "%u:%lld ",
                                    number_of(&after->id),
                                    (long long)after->expires);
        }
}

static bool
puts_capped(unsigned number, const char *group, int64_t expires, uint32_t cap)
{
    struct lmi_store_value v = value_of("capped");
    struct lmi_store_op op = grouped(op_of(LMI_STORE_PUT, number, &v), group);

    op.expires = expires;
    op.cap = cap;
    return does(op);
}

static void
caps(void)
{
    char order[200];

    for (unsigned i = 0; i < 5; i++)
        puts_capped(700 + i, "cap", 1000 - i, 0);
    group_order("cap", order, sizeof order);
    ok(strcmp(order, "704:996 703:997 702:998 701:999 700:1000 ") == 0,
       "inside a group what expires first comes first (%s)", order);
    for (unsigned i = 0; i < 5; i++)
        does(op_of(LMI_STORE_DROP, 700 + i, NULL));
    for (unsigned i = 0; i < 6; i++)
        puts_capped(710 + i, "cap", 2000 + i, 4);
    group_order("cap", order, sizeof order);
    ok(strcmp(order, "712:2002 713:2003 714:2004 715:2005 ") == 0,
       "a full group lets those go that expire first (%s)", order);
    ok(holds(710, NULL) && holds(712, "capped"), "altogether");
    puts_capped(712, "cap", 3000, 4);
    group_order("cap", order, sizeof order);
    ok(strcmp(order, "713:2003 714:2004 715:2005 712:3000 ") == 0,
       "an entry put again does not count twice (%s)", order);
    does(op_of(LMI_STORE_DROP, 714, NULL));
    puts_capped(720, "cap", 2500, 4);
    ok(count_group("cap") == 4 && holds(713, "capped"),
       "an entry that was dropped makes room");
    puts_capped(721, "capX", 1, 4);
    puts_capped(722, "cap", 2600, 4);
    ok(holds(721, "capped") && holds(713, NULL),
       "a group with a longer name is another");
}

/* Numbers of a page of the groups that begin with "page". */
static const char *
page_of(const struct lmi_store_entry *after, size_t size)
{
    static char text[64];
    struct lmi_store_entry page[8];
    size_t count = read_group("page", after, page, size), at = 0;

    text[0] = '\0';
    for (size_t i = 0; i < count; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%u ",
                               number_of(&page[i].id));
    return text;
}

static void
put_page_entry(unsigned number, uint8_t kind, const char *group,
               int64_t expires)
{
    char text[16];

    snprintf(text, sizeof text, "text %u", number);
    struct lmi_store_value v = value_of(text);
    struct lmi_store_op op = grouped(op_of(LMI_STORE_PUT, number, &v), group);
    op.id.kind = kind;
    op.expires = expires;
    op.cap = strcmp(group, "page") == 0 ? 100 : 0;
    does(op);
}

/* By group, then what expires first, then by kind and key. */
static void
put_page(void)
{
    put_page_entry(6, 'A', "pageX", 10);
    put_page_entry(5, 'B', "page", 30);
    put_page_entry(4, 'A', "page", 30);
    put_page_entry(3, 'A', "page", 30);
    put_page_entry(2, 'Z', "page", 20);
    put_page_entry(1, 'Z', "page", -1);
    put_page_entry(7, 'A', "paged", 10);
    put_page_entry(8, 'A', "pa", 10);
}

static void
pages(void)
{
    struct lmi_store_entry page[8], gone;
    struct lmi_store_op drop = op_of(LMI_STORE_DROP, 4, NULL);

    put_page();
    ok(strcmp(page_of(NULL, 8), "1 2 3 4 5 6 7 ") == 0,
       "a page larger than what there is is in its order: %s",
       page_of(NULL, 8));
    ok(strcmp(page_of(NULL, 7), "1 2 3 4 5 6 7 ") == 0, "one as large, too");
    ok(strcmp(page_of(NULL, 2), "1 2 ") == 0 &&
           strcmp(page_of(NULL, 1), "1 ") == 0,
       "a smaller one holds the first");
    ok(read_group("page", NULL, page, 3) == 3 && page[2].id.kind == 'A' &&
           page[2].expires == 30 && page[2].group_len == 4 &&
           memcmp(page[2].group, "page", 4) == 0 && page[2].value.len == 6 &&
           memcmp(page[2].value.bytes, "text 3", 6) == 0,
       "its entries are whole");
    ok(read_group("pageX", NULL, &gone, 1) == 1 && gone.value.len == 6 &&
           memcmp(gone.value.bytes, "text 6", 6) == 0,
       "the one of another group is");
    ok(strcmp(page_of(&page[2], 2), "4 5 ") == 0, "the next page");
    ok(read_group("page", &page[2], page, 1) == 1 &&
           number_of(&page[0].id) == 4,
       "it may come in the place of the one before");
    gone = page[0];
    ok(read_group("page", &page[0], page, 8) == 3 &&
           number_of(&page[0].id) == 5 && number_of(&page[2].id) == 7,
       "also where `after` is overwritten at once");
    ok(read_group("page", &page[2], page, 8) == 0 &&
           read_group("page", &page[2], page, 1) == 0,
       "and there is nothing behind the last one");
    drop.id.kind = 'A';
    ok(does(drop) && strcmp(page_of(&gone, 8), "5 6 7 ") == 0,
       "behind one that is gone");
    gone.expires = 25;
    ok(strcmp(page_of(&gone, 8), "3 5 6 7 ") == 0, "behind one that never was");
}

static bool
wanted(const struct lmi_store_want *want, const char *text)
{
    return want->found == (text != NULL) &&
           want->value.len == (text != NULL ? strlen(text) : 0) &&
           (text == NULL ||
            memcmp(want->value.bytes, text, want->value.len) == 0);
}

static void
get_many(void)
{
    struct lmi_store_value d = value_of("durable"), v = value_of("volatile");
    struct lmi_store_op in_one = op_of(LMI_STORE_PUT, 910, &d);
    struct lmi_store_op in_other = op_of(LMI_STORE_PUT, 911, &v);
    struct lmi_store_want wants[LMI_STORE_WANTS];

    apply_at(LMI_DURABLE, &in_one, 1, 0);
    apply_at(LMI_VOLATILE, &in_other, 1, 0);
    memset(wants, 0xFF, sizeof wants);
    for (unsigned i = 0; i < LMI_STORE_WANTS; i++) {
        wants[i].part = i % 2 == 0 ? LMI_VOLATILE : LMI_DURABLE;
        wants[i].id = id_of(910 + i / 2 % 3);
        wants[i].found = true;
    }
    ok(lmi_store_get_many(store, wants, LMI_STORE_WANTS, 0, &err) == LMI_OK,
       "as many as may be wanted, of both parts");
    ok(wanted(&wants[1], "durable") && wanted(&wants[2], "volatile"),
       "what is there is found, in its part");
    ok(wanted(&wants[0], NULL) && wanted(&wants[3], NULL) &&
           wanted(&wants[4], NULL) && wanted(&wants[5], NULL),
       "and what is not there, is not");
    ok(wanted(&wants[7], "durable") && wanted(&wants[6], NULL),
       "what is wanted twice is found twice");
    ok(lmi_store_get_many(store, wants + 1, 1, 0, &err) == LMI_OK &&
           wanted(&wants[1], "durable"),
       "one alone");
    ok(lmi_store_get_many(store, wants, 0, 0, &err) == LMI_OK, "or none");
}

static void
purge_call(void)
{
    struct lmi_store_value v = value_of("v");
    uint32_t removed = 7;

    for (unsigned i = 800; i < 830; i++) {
        struct lmi_store_op op = grouped(op_of(LMI_STORE_PUT, i, &v), "purged");
        op.expires = 5000;
        does(op);
    }
    ok(lmi_store_purge(store, LMI_DURABLE, 5000, 100, &removed, &err) ==
               LMI_OK &&
           count_ids(800, 830, "v") == 30,
       "a purge leaves what expires now");
    ok(lmi_store_purge(store, LMI_DURABLE, 5001, 20, &removed, &err) ==
               LMI_OK &&
           removed == 20 && count_ids(800, 830, "v") == 10,
       "removes as many as it may");
    ok(lmi_store_purge(store, LMI_DURABLE, 5001, 20, &removed, &err) ==
               LMI_OK &&
           removed == 10 && count_group("purged") == 0,
       "and at last all");
    ok(lmi_store_purge(store, LMI_DURABLE, 5001, 20, &removed, &err) ==
               LMI_OK &&
           removed == 0,
       "and then nothing");
}

static void
parts(void)
{
    struct lmi_store_value v = value_of("volatile");
    struct lmi_store_op op = op_of(LMI_STORE_PUT, 900, &v);

    ok(strcmp(apply_at(LMI_VOLATILE, &op, 1, 0), "done") == 0 &&
           holds_in(LMI_VOLATILE, 900, "volatile") && holds(900, NULL),
       "the two parts do not know of each other");
}

static inline void
conformance(void)
{
    verbs();
    batches();
    groups();
    sizes();
    purging();
    caps();
    pages();
    purge_call();
    parts();
    get_many();
}

#endif
