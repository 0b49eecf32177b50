#include "postgres/postgres.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/error.h"
#include "base/text.h"
#include "postgres/arguments.h"
#include "postgres/prepare.h"
#include "postgres/recent.h"

#define ID_SIZE (1 + LMI_STORE_KEY)
#define BATCH_SIZE (8 + 16)

struct postgres {
    struct lmi_pg *pg;
    struct lmi_pg_recent *recent;
    uint64_t doubts; /* that have cleared it */
    bool ignore_mark;
};

static void
postgres_close(void *context)
{
    struct postgres *self = context;

    lmi_pg_recent_free(self->recent);
    lmi_pg_free(self->pg);
    free(self);
}

static enum lmi_rc
postgres_open(const struct lmi_store_where *where, void **out,
              struct lmi_err *err)
{
    struct postgres *self = calloc(1, sizeof *self);
    enum lmi_rc rc;

    *out = NULL;
    if (self == NULL)
        return lmi_no_memory(err);
    self->ignore_mark = where->ignore_mark;
    rc = lmi_pg_recent_new(&self->recent, err);
    if (rc == LMI_OK)
        rc = lmi_pg_new(where, &self->pg, err);
    if (rc == LMI_OK)
        *out = self;
    else
        postgres_close(self);
    return rc;
}

static bool
postgres_replaced(void *context, bool at_once)
{
    const struct postgres *self = context;

    (void)at_once; /* each new connection has looked */
    return lmi_pg_replaced(self->pg);
}

static void
id_bytes(const struct lmi_store_id *id, uint8_t out[ID_SIZE])
{
    out[0] = id->kind;
    memcpy(out + 1, id->key, LMI_STORE_KEY);
}

static void
add_id(struct lmi_pg_arguments *args, const struct lmi_store_id *id)
{
    uint8_t bytes[ID_SIZE];

    id_bytes(id, bytes);
    lmi_pg_add_bytes(args, bytes, ID_SIZE);
}

static void
item_id(struct lmi_pg_arguments *args, const struct lmi_store_id *id)
{
    uint8_t bytes[ID_SIZE];

    id_bytes(id, bytes);
    lmi_pg_item_bytes(args, bytes, ID_SIZE);
}

/* What no version of the functions answers. */
static enum lmi_rc
strange(const struct postgres *self, struct lmi_err *err)
{
    return lmi_fail(err, LMI_STORE, 0, lmi_pg_location(self->pg),
                    "the database's answer is not understood",
                    "run logmein store init");
}

/* A mark in two columns of an answer. */
static void
mark_read(const PGresult *result, int row, int column,
          struct lmi_store_mark *out)
{
    size_t len = 0;
    int64_t state = lmi_pg_number(result, row, column);

    *out = (struct lmi_store_mark){.state = (enum lmi_store_state)state};
    if (!lmi_pg_bytes(result, row, column + 1, out->other,
                      sizeof out->other - 1, &len))
        out->other[0] = '\0';
}

static enum lmi_rc
marked(const struct postgres *self, const PGresult *result, int row, int column,
       struct lmi_err *err)
{
    struct lmi_store_mark mark;

    mark_read(result, row, column, &mark);
    return lmi_store_marked(&mark, lmi_pg_location(self->pg), err);
}

/* The entries of an answer, or the mark in a row without a place. */
static enum lmi_rc
wants_read(const struct postgres *self, const PGresult *result,
           struct lmi_store_want *wants, size_t count, struct lmi_err *err)
{
    for (int row = 0; row < PQntuples(result); row++) {
        if (PQgetisnull(result, row, 0))
            return marked(self, result, row, 2, err);
        int64_t place = lmi_pg_number(result, row, 0);
        if (place < 0 || place >= (int64_t)count)
            return strange(self, err);
        struct lmi_store_want *want = &wants[place];
        want->found = lmi_pg_bytes(result, row, 1, want->value.bytes,
                                   LMI_STORE_VALUE, &want->value.len);
        if (!want->found)
            return strange(self, err);
    }
    return LMI_OK;
}

/* A call whose answer is only that it was done. */
static enum lmi_rc
done(struct postgres *self, struct lmi_pg_arguments *args, struct lmi_err *err)
{
    PGresult *result;
    enum lmi_rc rc = lmi_pg_do(self->pg, args, &result, err);

    PQclear(result);
    return rc;
}

static enum lmi_rc
ask(struct postgres *self, struct lmi_store_want *wants, size_t count,
    struct lmi_err *err)
{
    struct lmi_pg_arguments args;
    PGresult *result;
    enum lmi_rc rc;

    lmi_pg_begin(&args, LMI_PG_GET);
    args.call.leased = true;
    lmi_pg_add_array(&args, LMI_PG_INT4, count);
    for (size_t i = 0; i < count; i++)
        lmi_pg_item_int4(&args, (int32_t)wants[i].part);
    lmi_pg_add_array(&args, LMI_PG_BYTES, count);
    for (size_t i = 0; i < count; i++)
        item_id(&args, &wants[i].id);
    lmi_pg_add_bool(&args, !self->ignore_mark);
    rc = lmi_pg_do(self->pg, &args, &result, err);
    if (rc == LMI_OK)
        rc = wants_read(self, result, wants, count, err);
    PQclear(result);
    return rc;
}

/* May what was read before be used? Not what was before a doubt. */
static bool
trusts_recent(struct postgres *self, int64_t now)
{
    uint64_t doubts;
    bool counts = lmi_pg_reads_count(self->pg, now, &doubts);

    if (doubts != self->doubts)
        lmi_pg_recent_clear(self->recent);
    self->doubts = doubts;
    return counts;
}

static enum lmi_rc
listen_to_others(struct postgres *self, struct lmi_err *err)
{
    struct lmi_pg_arguments args;

    if (lmi_pg_listens(self->pg))
        return LMI_OK;
    lmi_pg_begin(&args, LMI_PG_LISTEN);
    return done(self, &args, err);
}

/* Where the first entry is not found, the answer is not kept: whoever makes
 * secrets up moves nobody else's session out of its place. */
static enum lmi_rc
postgres_get_many(void *context, struct lmi_store_want *wants, size_t count,
                  unsigned age, struct lmi_err *err)
{
    struct postgres *self = context;
    int64_t asked = lmi_pg_now();
    enum lmi_rc rc;

    if (count == 0)
        return LMI_OK;
    if (trusts_recent(self, asked) && age > 0 &&
        lmi_pg_recent_get(self->recent, wants, count, asked - age))
        return LMI_OK;
    rc = age > 0 ? listen_to_others(self, err) : LMI_OK;
    if (rc == LMI_OK)
        rc = ask(self, wants, count, err);
    if (rc == LMI_OK && wants[0].found &&
        lmi_pg_doubts(self->pg) == self->doubts)
        lmi_pg_recent_put(self->recent, wants, count, asked);
    return rc;
}

/* What this handle changes, it does not find as it was. */
static void
forget(struct postgres *self, enum lmi_store_part part,
       const struct lmi_store_op *ops, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ops[i].verb == LMI_STORE_DROP_GROUP)
            lmi_pg_recent_clear(self->recent);
        else
            lmi_pg_recent_drop(self->recent, part, &ops[i].id);
}

/* By this, the database knows a batch that is sent again. */
static enum lmi_rc
batch_id(uint8_t out[BATCH_SIZE], struct lmi_err *err)
{
    lmi_put_time(out, (int64_t)time(NULL));
    return getrandom(out + 8, BATCH_SIZE - 8, 0) == BATCH_SIZE - 8
               ? LMI_OK
               : lmi_fail(err, LMI_CRYPTO, 0, NULL,
                          "the kernel gives no random bytes", NULL);
}

static bool
writes(const struct lmi_store_op *op)
{
    return op->verb != LMI_STORE_DROP && op->verb != LMI_STORE_DROP_GROUP;
}

/* May a session be ended by it? */
static bool
may_end(const struct lmi_store_op *ops, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!writes(&ops[i]))
            return true;
    return false;
}

static void
item_value(struct lmi_pg_arguments *args, const struct lmi_store_value *value)
{
    lmi_pg_item_bytes(args, value != NULL ? value->bytes : NULL,
                      value != NULL ? value->len : 0);
}

/* Verbs, ids, times, groups, caps, values, old values. */
static void
add_ops(struct lmi_pg_arguments *args, const struct lmi_store_op *ops,
        size_t count)
{
    lmi_pg_add_array(args, LMI_PG_INT4, count);
    for (size_t i = 0; i < count; i++)
        lmi_pg_item_int4(args, (int32_t)ops[i].verb);
    lmi_pg_add_array(args, LMI_PG_BYTES, count);
    for (size_t i = 0; i < count; i++)
        item_id(args, &ops[i].id);
    lmi_pg_add_array(args, LMI_PG_INT8, count);
    for (size_t i = 0; i < count; i++)
        lmi_pg_item_int8(args, ops[i].expires < 0 ? 0 : ops[i].expires);
    lmi_pg_add_array(args, LMI_PG_BYTES, count);
    for (size_t i = 0; i < count; i++)
        lmi_pg_item_bytes(args, ops[i].group, ops[i].group_len);
    lmi_pg_add_array(args, LMI_PG_INT8, count);
    for (size_t i = 0; i < count; i++)
        lmi_pg_item_int8(args, ops[i].group_len > 0 ? ops[i].cap : 0);
    lmi_pg_add_array(args, LMI_PG_BYTES, count);
    for (size_t i = 0; i < count; i++)
        item_value(args, writes(&ops[i]) ? ops[i].value : NULL);
    lmi_pg_add_array(args, LMI_PG_BYTES, count);
    for (size_t i = 0; i < count; i++)
        item_value(args, ops[i].verb == LMI_STORE_SWAP ? ops[i].old : NULL);
}

static enum lmi_rc
postgres_apply(void *context, enum lmi_store_part part,
               const struct lmi_store_op *ops, size_t count, int64_t now,
               bool *done_out, struct lmi_err *err)
{
    enum { NOT_DONE, DONE, MARKED };
    struct postgres *self = context;
    struct lmi_pg_arguments args;
    uint8_t batch[BATCH_SIZE];
    PGresult *result;
    enum lmi_rc rc = batch_id(batch, err);

    if (rc != LMI_OK)
        return rc;
    forget(self, part, ops, count);
    lmi_pg_begin(&args, LMI_PG_APPLY);
    args.call.durable = part == LMI_DURABLE;
    args.call.ends = may_end(ops, count);
    lmi_pg_add_bytes(&args, batch, BATCH_SIZE);
    lmi_pg_add_int2(&args, (int)part);
    lmi_pg_add_bool(&args, !self->ignore_mark);
    lmi_pg_add_int8(&args, now);
    add_ops(&args, ops, count);
    rc = lmi_pg_do(self->pg, &args, &result, err);
    if (rc == LMI_OK && PQntuples(result) != 1)
        rc = strange(self, err);
    if (rc == LMI_OK && lmi_pg_number(result, 0, 0) == MARKED)
        rc = marked(self, result, 0, 1, err);
    *done_out = rc == LMI_OK && lmi_pg_number(result, 0, 0) == DONE;
    PQclear(result);
    return rc;
}

/* A call that answers by a number, unless the part is marked: then there is a
 * state other than used behind it. */
static enum lmi_rc
number_of(struct postgres *self, struct lmi_pg_arguments *args, int64_t *out,
          struct lmi_err *err)
{
    PGresult *result;
    enum lmi_rc rc = lmi_pg_do(self->pg, args, &result, err);

    if (rc == LMI_OK && PQntuples(result) != 1)
        rc = strange(self, err);
    if (rc == LMI_OK && lmi_pg_number(result, 0, 1) != LMI_STORE_USED)
        rc = marked(self, result, 0, 1, err);
    if (rc == LMI_OK)
        *out = lmi_pg_number(result, 0, 0);
    PQclear(result);
    return rc;
}

static enum lmi_rc
postgres_purge(void *context, enum lmi_store_part part, int64_t now,
               uint32_t limit, uint32_t *removed_out, struct lmi_err *err)
{
    struct postgres *self = context;
    struct lmi_pg_arguments args;
    int64_t removed = 0;

    lmi_pg_begin(&args, LMI_PG_PURGE);
    lmi_pg_add_int2(&args, (int)part);
    lmi_pg_add_bool(&args, !self->ignore_mark);
    lmi_pg_add_int8(&args, now);
    lmi_pg_add_int8(&args, limit);
    enum lmi_rc rc = number_of(self, &args, &removed, err);
    *removed_out = (uint32_t)removed;
    return rc;
}

static bool
entry_read(const PGresult *result, int row, struct lmi_store_entry *out)
{
    uint8_t id[ID_SIZE];
    size_t len;

    if (!lmi_pg_bytes(result, row, 0, id, ID_SIZE, &len) || len != ID_SIZE ||
        !lmi_pg_bytes(result, row, 2, out->group, LMI_STORE_GROUP,
                      &out->group_len) ||
        !lmi_pg_bytes(result, row, 4, out->value.bytes, LMI_STORE_VALUE,
                      &out->value.len))
        return false;
    out->id.kind = id[0];
    memcpy(out->id.key, id + 1, LMI_STORE_KEY);
    out->expires = lmi_pg_number(result, row, 1);
    out->cap = lmi_pg_number(result, row, 3) != 0 ? UINT32_MAX : 0;
    return true;
}

/* A page of entries, or a row that tells of a mark and has no entry. */
static enum lmi_rc
page_read(const struct postgres *self, const PGresult *result,
          struct lmi_store_entry *out, size_t size, size_t *count_out,
          struct lmi_err *err)
{
    for (int row = 0; row < PQntuples(result); row++) {
        if (PQgetisnull(result, row, 0))
            return lmi_pg_number(result, row, 5) != LMI_STORE_USED &&
                           !self->ignore_mark
                       ? marked(self, result, row, 5, err)
                       : LMI_OK;
        if (*count_out >= size || !entry_read(result, row, &out[*count_out]))
            return strange(self, err);
        ++*count_out;
    }
    return LMI_OK;
}

static enum lmi_rc
page_get(struct postgres *self, struct lmi_pg_arguments *args,
         struct lmi_store_entry *out, size_t size, size_t *count_out,
         struct lmi_err *err)
{
    PGresult *result;
    enum lmi_rc rc;

    lmi_pg_add_int8(args, (int64_t)size);
    rc = lmi_pg_do(self->pg, args, &result, err);
    if (rc == LMI_OK)
        rc = page_read(self, result, out, size, count_out, err);
    PQclear(result);
    return rc;
}

static enum lmi_rc
postgres_next(void *context, enum lmi_store_part part, const uint8_t *prefix,
              size_t prefix_len, const struct lmi_store_entry *after,
              struct lmi_store_entry *out, size_t size, size_t *count_out,
              struct lmi_err *err)
{
    struct postgres *self = context;
    struct lmi_pg_arguments args;

    lmi_pg_begin(&args, LMI_PG_NEXT);
    lmi_pg_add_int2(&args, (int)part);
    lmi_pg_add_bool(&args, !self->ignore_mark);
    lmi_pg_add_bytes(&args, prefix, prefix_len);
    if (after != NULL) {
        lmi_pg_add_bytes(&args, after->group, after->group_len);
        lmi_pg_add_int8(&args, after->expires);
        add_id(&args, &after->id);
    } else {
        lmi_pg_add_bytes(&args, prefix, prefix_len);
        lmi_pg_add_int8(&args, -1);
        lmi_pg_add_bytes(&args, "", 0);
    }
    return page_get(self, &args, out, size, count_out, err);
}

static enum lmi_rc
postgres_count(void *context, enum lmi_store_part part, const uint8_t *prefix,
               size_t prefix_len, size_t most, size_t *count_out,
               struct lmi_err *err)
{
    struct postgres *self = context;
    struct lmi_pg_arguments args;
    int64_t count = 0;

    lmi_pg_begin(&args, LMI_PG_COUNT);
    lmi_pg_add_int2(&args, (int)part);
    lmi_pg_add_bool(&args, !self->ignore_mark);
    lmi_pg_add_bytes(&args, prefix, prefix_len);
    lmi_pg_add_int8(&args, (int64_t)most);
    enum lmi_rc rc = number_of(self, &args, &count, err);
    *count_out = (size_t)count;
    return rc;
}

static enum lmi_rc
postgres_walk(void *context, enum lmi_store_part part,
              const struct lmi_store_id *after, struct lmi_store_entry *out,
              size_t size, size_t *count_out, struct lmi_err *err)
{
    struct postgres *self = context;
    struct lmi_pg_arguments args;

    lmi_pg_begin(&args, LMI_PG_WALK);
    lmi_pg_add_int2(&args, (int)part);
    lmi_pg_add_bool(&args, !self->ignore_mark);
    if (after != NULL)
        add_id(&args, after);
    else
        lmi_pg_add_bytes(&args, "", 0);
    return page_get(self, &args, out, size, count_out, err);
}

static enum lmi_rc
postgres_hold(void *context, enum lmi_store_part part, struct lmi_err *err)
{
    struct postgres *self = context;
    struct lmi_pg_arguments args;
    enum lmi_rc rc;

    lmi_pg_begin(&args, LMI_PG_HOLD);
    lmi_pg_add_int2(&args, (int)part);
    rc = done(self, &args, err);
    if (rc == LMI_OK)
        lmi_pg_held(self->pg, part, true);
    return rc;
}

static void
postgres_release(void *context, enum lmi_store_part part)
{
    struct postgres *self = context;
    struct lmi_pg_arguments args;
    struct lmi_err err;

    if (!lmi_pg_holds(self->pg, part))
        return;
    lmi_pg_begin(&args, LMI_PG_RELEASE);
    lmi_pg_add_int2(&args, (int)part);
    if (done(self, &args, &err) != LMI_OK)
        lmi_pg_leave(self->pg); /* which ends what it holds */
    lmi_pg_held(self->pg, part, false);
}

static enum lmi_rc
postgres_mark_put(void *context, enum lmi_store_part part,
                  const struct lmi_store_mark *mark, bool empty,
                  struct lmi_err *err)
{
    struct postgres *self = context;
    struct lmi_pg_arguments args;

    lmi_pg_begin(&args, LMI_PG_MARK_PUT);
    args.call.durable = true;
    args.call.ends = true;
    lmi_pg_add_int2(&args, (int)part);
    lmi_pg_add_int2(&args, (int)mark->state);
    lmi_pg_add_bytes(&args, mark->other, strlen(mark->other));
    lmi_pg_add_bool(&args, empty);
    return done(self, &args, err);
}

static enum lmi_rc
postgres_mark_get(void *context, enum lmi_store_part part,
                  struct lmi_store_mark *out, struct lmi_err *err)
{
    struct postgres *self = context;
    struct lmi_pg_arguments args;
    PGresult *result;
    enum lmi_rc rc;

    lmi_pg_begin(&args, LMI_PG_MARK_GET);
    lmi_pg_add_int2(&args, (int)part);
    rc = lmi_pg_do(self->pg, &args, &result, err);
    if (rc == LMI_OK && PQntuples(result) != 1)
        rc = strange(self, err);
    if (rc == LMI_OK)
        mark_read(result, 0, 0, out);
    PQclear(result);
    return rc;
}

static enum lmi_rc
postgres_report(void *context, struct lmi_store_report *out,
                struct lmi_err *err)
{
    struct postgres *self = context;
    struct lmi_store_mark mark;
    struct lmi_store_want any = {.part = LMI_DURABLE};
    enum lmi_rc rc = postgres_mark_get(self, LMI_DURABLE, &mark, err);

    if (rc == LMI_OK)
        rc = ask(self, &any, 1, err); /* which needs a lease */
    if (rc != LMI_OK)
        return rc;
    out->clock = (int64_t)time(NULL) + lmi_pg_clock(self->pg);
    out->majority = lmi_pg_majority(self->pg);
    out->lease = lmi_pg_lease_took(self->pg);
    return LMI_OK;
}

const struct lmi_store_backend lmi_store_postgres = {
    .open = postgres_open,
    .prepare = lmi_pg_prepare,
    .close = postgres_close,
    .replaced = postgres_replaced,
    .get_many = postgres_get_many,
    .apply = postgres_apply,
    .purge = postgres_purge,
    .next = postgres_next,
    .count = postgres_count,
    .report = postgres_report,
    .walk = postgres_walk,
    .hold = postgres_hold,
    .release = postgres_release,
    .mark_put = postgres_mark_put,
    .mark_get = postgres_mark_get,
};
