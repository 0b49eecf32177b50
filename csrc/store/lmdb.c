#include "store/lmdb.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "store/lmdb_env.h"

#define PURGE_AT_ONCE 16
#define CLOCK_LEAP 3600 /* seconds */
#define CLOCK_NOTED 60

/*
 * What lies in LMDB:
 *
 *     'e' kind key                ->  expires, group length, group, value
 *     'g' group expires kind key  ->  nothing
 *     'x' expires kind key        ->  nothing
 *     't'                         ->  the clock of the last commit
 *     'n' first bytes of group    ->  how many entries, if they have a cap
 */
#define ID_SIZE (1 + LMI_STORE_KEY)
#define ENVELOPE_HEAD 9
#define LONGEST_KEY (1 + LMI_STORE_GROUP + 8 + ID_SIZE)

struct key {
    size_t len;
    uint8_t bytes[LONGEST_KEY];
};

struct envelope {
    int64_t expires;
    const uint8_t *group, *value;
    size_t group_len, value_len;
};

static struct key
key_of(char index, const void *middle, size_t len,
       const struct lmi_store_id *id)
{
    struct key key = {.len = 1 + len + (id != NULL ? ID_SIZE : 0)};

    key.bytes[0] = (uint8_t)index;
    if (len > 0)
        memcpy(key.bytes + 1, middle, len);
    if (id != NULL) {
        key.bytes[1 + len] = id->kind;
        memcpy(key.bytes + 2 + len, id->key, LMI_STORE_KEY);
    }
    return key;
}

/* A time whose bytes sort as the times do. */
static void
put_sortable(uint8_t out[8], int64_t time)
{
    uint64_t bits = time < 0 ? 0 : (uint64_t)time;

    for (size_t i = 8; i-- > 0; bits >>= 8)
        out[i] = (uint8_t)bits;
}

static struct key
expiry_key(int64_t expires, const struct lmi_store_id *id)
{
    uint8_t sortable[8];

    put_sortable(sortable, expires);
    return key_of('x', sortable, sizeof sortable, id);
}

static struct key
group_key(const uint8_t *group, size_t len, int64_t expires,
          const struct lmi_store_id *id)
{
    uint8_t middle[LMI_STORE_GROUP + 8];

    memcpy(middle, group, len);
    put_sortable(middle + len, expires);
    return key_of('g', middle, len + 8, id);
}

static int64_t
sortable_time(const uint8_t *bytes)
{
    uint64_t time = 0;

    for (size_t i = 0; i < 8; i++)
        time = time << 8 | bytes[i];
    return (int64_t)time;
}

static struct lmi_store_id
id_at(const uint8_t *bytes)
{
    struct lmi_store_id id = {.kind = bytes[0]};

    memcpy(id.key, bytes + 1, LMI_STORE_KEY);
    return id;
}

static MDB_val
val_of(struct key *key)
{
    return (MDB_val){.mv_size = key->len, .mv_data = key->bytes};
}

/* false for bytes that envelope_write() did not write. */
static bool
envelope_read(const MDB_val *data, struct envelope *out)
{
    const uint8_t *bytes = data->mv_data;

    if (data->mv_size < ENVELOPE_HEAD || bytes[8] > LMI_STORE_GROUP ||
        data->mv_size < (size_t)ENVELOPE_HEAD + bytes[8])
        return false;
    out->expires = sortable_time(bytes);
    out->group = bytes + ENVELOPE_HEAD;
    out->group_len = bytes[8];
    out->value = out->group + out->group_len;
    out->value_len = data->mv_size - ENVELOPE_HEAD - out->group_len;
    return out->value_len <= LMI_STORE_VALUE;
}

static size_t
envelope_write(const struct lmi_store_op *op,
               uint8_t out[ENVELOPE_HEAD + LMI_STORE_GROUP + LMI_STORE_VALUE])
{
    put_sortable(out, op->expires);
    out[8] = (uint8_t)op->group_len;
    memcpy(out + ENVELOPE_HEAD, op->group, op->group_len);
    memcpy(out + ENVELOPE_HEAD + op->group_len, op->value->bytes,
           op->value->len);
    return ENVELOPE_HEAD + op->group_len + op->value->len;
}

static int
read_value(MDB_txn *txn, MDB_dbi dbi, const struct lmi_store_id *id,
           bool *found_out, struct lmi_store_value *value_out)
{
    struct key key = key_of('e', NULL, 0, id);
    MDB_val name = val_of(&key), data;
    struct envelope envelope;
    int code = mdb_get(txn, dbi, &name, &data);

    *found_out = false;
    if (code == MDB_NOTFOUND)
        return 0;
    if (code != 0 || !envelope_read(&data, &envelope))
        return code;
    memcpy(value_out->bytes, envelope.value, envelope.value_len);
    value_out->len = envelope.value_len;
    *found_out = true;
    return 0;
}

static enum lmi_rc
lmdb_get(void *self, enum lmi_store_part part, const struct lmi_store_id *id,
         bool *found_out, struct lmi_store_value *value_out,
         struct lmi_err *err)
{
    struct lmi_lmdb *lmdb = self;
    struct lmi_lmdb_env *env;
    enum lmi_rc rc = lmi_lmdb_enter(lmdb, part, &env, err);

    if (rc != LMI_OK)
        return rc;
    int code = lmi_lmdb_read(env);
    if (code == 0) {
        code = read_value(env->reader, env->dbi, id, found_out, value_out);
        mdb_txn_reset(env->reader);
    }
    return lmi_lmdb_leave(lmdb, part, code, "can't be read", err);
}

/* Moves the cursor to the first key of the group index behind `after`. */
static int
seek(MDB_cursor *cursor, struct key *from, bool behind, MDB_val *name)
{
    MDB_val data;
    int code;

    *name = val_of(from);
    code = mdb_cursor_get(cursor, name, &data, MDB_SET_RANGE);
    if (code == 0 && behind && name->mv_size == from->len &&
        memcmp(name->mv_data, from->bytes, from->len) == 0)
        code = mdb_cursor_get(cursor, name, &data, MDB_NEXT);
    return code;
}

static bool
cursor_read(const MDB_val *name, const uint8_t *prefix, size_t prefix_len,
            struct lmi_store_cursor *out)
{
    const uint8_t *bytes = name->mv_data;

    if (name->mv_size < 1 + prefix_len + 8 + ID_SIZE ||
        name->mv_size > LONGEST_KEY || bytes[0] != 'g' ||
        (prefix_len > 0 && memcmp(bytes + 1, prefix, prefix_len) != 0))
        return false;
    out->group_len = name->mv_size - 1 - 8 - ID_SIZE;
    bytes++;
    memcpy(out->group, bytes, out->group_len);
    out->expires = sortable_time(bytes + out->group_len);
    out->id = id_at(bytes + out->group_len + 8);
    return true;
}

static int
next_cursor(MDB_txn *txn, MDB_dbi dbi, const uint8_t *prefix, size_t prefix_len,
            const struct lmi_store_cursor *after, bool *found_out,
            struct lmi_store_cursor *cursor_out)
{
    struct key from = after != NULL ? group_key(after->group, after->group_len,
                                                after->expires, &after->id)
                                    : key_of('g', prefix, prefix_len, NULL);
    MDB_cursor *cursor;
    MDB_val name;
    int code = mdb_cursor_open(txn, dbi, &cursor);

    *found_out = false;
    if (code != 0)
        return code;
    code = seek(cursor, &from, after != NULL, &name);
    if (code == 0)
        *found_out = cursor_read(&name, prefix, prefix_len, cursor_out);
    mdb_cursor_close(cursor);
    return code == MDB_NOTFOUND ? 0 : code;
}

static enum lmi_rc
lmdb_next(void *self, enum lmi_store_part part, const uint8_t *prefix,
          size_t prefix_len, const struct lmi_store_cursor *after,
          bool *found_out, struct lmi_store_cursor *cursor_out,
          struct lmi_err *err)
{
    struct lmi_lmdb *lmdb = self;
    struct lmi_lmdb_env *env;
    enum lmi_rc rc = lmi_lmdb_enter(lmdb, part, &env, err);

    if (rc != LMI_OK)
        return rc;
    int code = lmi_lmdb_read(env);
    if (code == 0) {
        code = next_cursor(env->reader, env->dbi, prefix, prefix_len, after,
                           found_out, cursor_out);
        mdb_txn_reset(env->reader);
    }
    return lmi_lmdb_leave(lmdb, part, code, "can't be read", err);
}

/* The count of a group with a cap changes by `change`; others have none. */
static int
count_change(MDB_txn *txn, MDB_dbi dbi, const uint8_t *group, size_t len,
             int change, bool begin, uint64_t *count_out)
{
    struct key key = key_of(
        'n', group, len < LMI_STORE_CAPPED ? len : LMI_STORE_CAPPED, NULL);
    MDB_val name = val_of(&key), data;
    int code = mdb_get(txn, dbi, &name, &data);

    *count_out = 0;
    if (code == 0 && data.mv_size == sizeof *count_out)
        memcpy(count_out, data.mv_data, sizeof *count_out);
    else if (code == MDB_NOTFOUND && !begin)
        return 0;
    else if (code != 0 && code != MDB_NOTFOUND)
        return code;
    if (change > 0 || *count_out > 0)
        *count_out += (uint64_t)(int64_t)change;
    data = (MDB_val){.mv_size = sizeof *count_out, .mv_data = count_out};
    return mdb_put(txn, dbi, &name, &data, 0);
}

/* An entry leaves both indexes. */
static int
indexes_remove(MDB_txn *txn, MDB_dbi dbi, const struct envelope *envelope,
               const struct lmi_store_id *id)
{
    struct key expiry = expiry_key(envelope->expires, id);
    struct key group =
        group_key(envelope->group, envelope->group_len, envelope->expires, id);
    MDB_val expiry_name = val_of(&expiry), group_name = val_of(&group);
    uint64_t count;
    int code = mdb_del(txn, dbi, &expiry_name, NULL);

    if (code == 0 && envelope->group_len > 0) {
        /* The group's bytes lie in the map, and move with the next change. */
        code = mdb_del(txn, dbi, &group_name, NULL);
        if (code == 0)
            code = count_change(txn, dbi, group.bytes + 1, envelope->group_len,
                                -1, false, &count);
    }
    return code == MDB_NOTFOUND ? 0 : code;
}

/* What is there, if anything, goes, out of both indexes too. */
static int
entry_remove(MDB_txn *txn, MDB_dbi dbi, const struct lmi_store_id *id)
{
    struct key key = key_of('e', NULL, 0, id);
    MDB_val name = val_of(&key), data;
    struct envelope envelope;
    int code = mdb_get(txn, dbi, &name, &data);

    if (code == MDB_NOTFOUND)
        return 0;
    if (code == 0 && envelope_read(&data, &envelope))
        code = indexes_remove(txn, dbi, &envelope, id);
    return code != 0 ? code : mdb_del(txn, dbi, &name, NULL);
}

/* Counts an entry in, and lets those go that are one too many. */
static int
keep_cap(MDB_txn *txn, MDB_dbi dbi, const struct lmi_store_op *op)
{
    struct lmi_store_cursor first, own;
    size_t shared =
        op->group_len < LMI_STORE_CAPPED ? op->group_len : LMI_STORE_CAPPED;
    uint64_t count = 0;
    bool found = true;
    int code =
        count_change(txn, dbi, op->group, op->group_len, 1, true, &count);

    while (code == 0 && found && count-- > op->cap) {
        code = next_cursor(txn, dbi, op->group, shared, NULL, &found, &first);
        if (code == 0 && found && first.id.kind == op->id.kind &&
            memcmp(first.id.key, op->id.key, LMI_STORE_KEY) == 0) {
            own = first;
            code =
                next_cursor(txn, dbi, op->group, shared, &own, &found, &first);
        }
        if (code == 0 && found)
            code = entry_remove(txn, dbi, &first.id);
    }
    return code;
}

static int
entry_put(MDB_txn *txn, MDB_dbi dbi, const struct lmi_store_op *op)
{
    uint8_t bytes[ENVELOPE_HEAD + LMI_STORE_GROUP + LMI_STORE_VALUE];
    struct key entry = key_of('e', NULL, 0, &op->id);
    struct key expiry = expiry_key(op->expires, &op->id);
    struct key group =
        group_key(op->group, op->group_len, op->expires, &op->id);
    MDB_val name = val_of(&entry), expiry_name = val_of(&expiry);
    MDB_val group_name = val_of(&group);
    MDB_val data = {.mv_size = envelope_write(op, bytes), .mv_data = bytes};
    MDB_val nothing = {.mv_size = 0, .mv_data = bytes};
    int code = entry_remove(txn, dbi, &op->id);

    if (code == 0)
        code = mdb_put(txn, dbi, &name, &data, 0);
    if (code == 0)
        code = mdb_put(txn, dbi, &expiry_name, &nothing, 0);
    if (code == 0 && op->group_len > 0)
        code = mdb_put(txn, dbi, &group_name, &nothing, 0);
    if (code == 0 && op->group_len > 0 && op->cap > 0)
        code = keep_cap(txn, dbi, op);
    return code;
}

/* Of this group alone: one whose name only begins with it is passed over. */
static int
group_remove(MDB_txn *txn, MDB_dbi dbi, const struct lmi_store_op *op)
{
    struct lmi_store_cursor cursor, next;
    const struct lmi_store_cursor *after = NULL;
    bool found = true;
    int code;

    for (;;) {
        code = next_cursor(txn, dbi, op->group, op->group_len, after, &found,
                           &next);
        if (code != 0 || !found)
            return code;
        cursor = next;
        after = &cursor;
        if (cursor.group_len == op->group_len)
            code = entry_remove(txn, dbi, &cursor.id);
        if (code != 0)
            return code;
    }
}

/* Is what the operation expects there? */
static int
expectation(MDB_txn *txn, MDB_dbi dbi, const struct lmi_store_op *op,
            bool *met_out)
{
    struct lmi_store_value there;
    bool found;
    int code;

    *met_out = true;
    if (op->verb != LMI_STORE_ADD && op->verb != LMI_STORE_SWAP)
        return 0;
    code = read_value(txn, dbi, &op->id, &found, &there);
    if (op->verb == LMI_STORE_ADD)
        *met_out = code == 0 && !found;
    else
        *met_out = code == 0 && found && there.len == op->old->len &&
                   memcmp(there.bytes, op->old->bytes, there.len) == 0;
    return code;
}

static int
operate(MDB_txn *txn, MDB_dbi dbi, const struct lmi_store_op *op)
{
    switch (op->verb) {
    case LMI_STORE_ADD:
    case LMI_STORE_SWAP:
    case LMI_STORE_PUT:
        return entry_put(txn, dbi, op);
    case LMI_STORE_DROP:
        return entry_remove(txn, dbi, &op->id);
    case LMI_STORE_DROP_GROUP:
        return group_remove(txn, dbi, op);
    }
    return EINVAL;
}

/* Removes one expired entry; *more_out is false if there was none. */
static int
purge_one(MDB_txn *txn, MDB_dbi dbi, int64_t now, bool *more_out)
{
    struct key from = key_of('x', NULL, 0, NULL);
    MDB_cursor *cursor;
    MDB_val name, index;
    struct lmi_store_id id;
    const uint8_t *bytes;
    struct key copy = {0};
    int code = mdb_cursor_open(txn, dbi, &cursor);

    *more_out = false;
    if (code != 0)
        return code;
    code = seek(cursor, &from, false, &name);
    mdb_cursor_close(cursor);
    if (code != 0)
        return code == MDB_NOTFOUND ? 0 : code;
    bytes = name.mv_data;
    if (name.mv_size != 9 + ID_SIZE || bytes[0] != 'x' ||
        sortable_time(bytes + 1) >= now)
        return 0;
    *more_out = true;
    id = id_at(bytes + 9);
    copy.len = name.mv_size;
    memcpy(copy.bytes, bytes, copy.len);
    code = entry_remove(txn, dbi, &id);
    /* An index entry that led nowhere must not stay at the head for ever. */
    index = val_of(&copy);
    if (code == 0) {
        code = mdb_del(txn, dbi, &index, NULL);
        code = code == MDB_NOTFOUND ? 0 : code;
    }
    return code;
}

static int
purge(MDB_txn *txn, MDB_dbi dbi, int64_t now, uint32_t limit,
      uint32_t *removed_out)
{
    bool more = true;
    int code = 0;

    *removed_out = 0;
    while (code == 0 && more && *removed_out < limit) {
        code = purge_one(txn, dbi, now, &more);
        *removed_out += more;
    }
    return code;
}

/*
 * Is the clock no more than an hour ahead of the last commit's? One that was
 * set wrong must not remove what is not old. Noted once a minute.
 */
static int
clock_ok(MDB_txn *txn, MDB_dbi dbi, int64_t now, bool *ok_out)
{
    struct key key = key_of('t', NULL, 0, NULL);
    MDB_val name = val_of(&key), data;
    uint8_t bytes[8];
    int code = mdb_get(txn, dbi, &name, &data);
    int64_t last = now;

    if (code == 0 && data.mv_size == sizeof bytes)
        last = sortable_time(data.mv_data);
    else if (code != MDB_NOTFOUND)
        return code;
    *ok_out = now <= last + CLOCK_LEAP;
    if (code == 0 && now >= last && now < last + CLOCK_NOTED)
        return 0;
    put_sortable(bytes, now);
    data = (MDB_val){.mv_size = sizeof bytes, .mv_data = bytes};
    return mdb_put(txn, dbi, &name, &data, 0);
}

/* The whole batch in one transaction; *done_out once it is durable. */
static int
apply_once(struct lmi_lmdb_env *env, const struct lmi_store_op *ops,
           size_t count, int64_t now, bool *done_out)
{
    MDB_txn *txn;
    bool met = true, may_purge = false;
    uint32_t removed;
    int code = mdb_txn_begin(env->mdb, NULL, 0, &txn);

    if (code != 0)
        return code;
    for (size_t i = 0; code == 0 && met && i < count; i++) {
        code = expectation(txn, env->dbi, &ops[i], &met);
        if (code == 0 && met)
            code = operate(txn, env->dbi, &ops[i]);
    }
    if (code == 0 && met)
        code = clock_ok(txn, env->dbi, now, &may_purge);
    if (code == 0 && met && may_purge)
        code = purge(txn, env->dbi, now, PURGE_AT_ONCE, &removed);
    if (code != 0 || !met) {
        mdb_txn_abort(txn);
        return code;
    }
    code = lmi_lmdb_commit(env, txn);
    *done_out = code == 0;
    return code;
}

static int
purge_once(struct lmi_lmdb_env *env, int64_t now, uint32_t limit,
           uint32_t *removed_out)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(env->mdb, NULL, 0, &txn);

    if (code != 0)
        return code;
    code = purge(txn, env->dbi, now, limit, removed_out);
    if (code != 0 || *removed_out == 0) {
        mdb_txn_abort(txn);
        return code;
    }
    return lmi_lmdb_commit(env, txn);
}

static enum lmi_rc
lmdb_apply(void *self, enum lmi_store_part part, const struct lmi_store_op *ops,
           size_t count, int64_t now, bool *done_out, struct lmi_err *err)
{
    struct lmi_lmdb *lmdb = self;
    struct lmi_lmdb_env *env;
    enum lmi_rc rc = lmi_lmdb_enter(lmdb, part, &env, err);

    if (rc != LMI_OK)
        return rc;
    lmi_lmdb_check_readers(env);
    int code = apply_once(env, ops, count, now, done_out);
    while ((code == MDB_MAP_FULL || code == MDB_MAP_RESIZED) &&
           lmi_lmdb_grows(env, code))
        code = apply_once(env, ops, count, now, done_out);
    return lmi_lmdb_leave(lmdb, part, code, "can't be written", err);
}

static enum lmi_rc
lmdb_purge(void *self, enum lmi_store_part part, int64_t now, uint32_t limit,
           uint32_t *removed_out, struct lmi_err *err)
{
    struct lmi_lmdb *lmdb = self;
    struct lmi_lmdb_env *env;
    enum lmi_rc rc = lmi_lmdb_enter(lmdb, part, &env, err);

    if (rc != LMI_OK)
        return rc;
    int code = purge_once(env, now, limit, removed_out);
    while ((code == MDB_MAP_FULL || code == MDB_MAP_RESIZED) &&
           lmi_lmdb_grows(env, code))
        code = purge_once(env, now, limit, removed_out);
    if (code != 0)
        *removed_out = 0;
    return lmi_lmdb_leave(lmdb, part, code, "can't be written", err);
}

const struct lmi_store_backend lmi_store_lmdb = {
    .open = lmi_lmdb_open,
    .close = lmi_lmdb_close,
    .replaced = lmi_lmdb_replaced,
    .get = lmdb_get,
    .apply = lmdb_apply,
    .purge = lmdb_purge,
    .next = lmdb_next,
};

const char *
lmi_store_lmdb_version(void)
{
    return mdb_version(NULL, NULL, NULL);
}
