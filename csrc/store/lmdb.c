#include "store/lmdb.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "store/lmdb_env.h"
#include "store/lock.h"

#define PURGE_AT_ONCE 16
#define CLOCK_LEAP 3600 /* seconds */
#define CLOCK_NOTED 60
#define CLOCK_SIZE (8 + 8 + LMI_BOOT_ID)

/*
 * What lies in LMDB:
 *
 *     'e' kind key                ->  expires, group length, group, value
 *     'g' group expires kind key  ->  nothing
 *     'x' expires kind key        ->  nothing
 *     't'                         ->  the clock of the last commit, the seconds
 *                                     since the boot, and that boot's id
 *     'n' first bytes of group    ->  how many entries, if they have a cap
 *     'm'                         ->  the mark: a struct lmi_store_mark
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

/* What a commit notes of the time. */
struct noted {
    int64_t clock, uptime;
    char boot[LMI_BOOT_ID];
};

/* A transaction and its database. */
struct txn {
    MDB_txn *txn;
    MDB_dbi dbi;
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

static struct key
entry_key(const struct lmi_store_id *id)
{
    return key_of('e', NULL, 0, id);
}

/* A time whose bytes sort as the times do. */
static void
put_sortable(uint8_t out[8], int64_t time)
{
    lmi_put_time(out, time < 0 ? 0 : time);
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

static int
get(struct txn txn, struct key key, MDB_val *out)
{
    MDB_val name = val_of(&key);

    return mdb_get(txn.txn, txn.dbi, &name, out);
}

static int
put(struct txn txn, struct key key, void *ptr, size_t len)
{
    MDB_val name = val_of(&key), data = {.mv_size = len, .mv_data = ptr};

    return mdb_put(txn.txn, txn.dbi, &name, &data, 0);
}

static int
del(struct txn txn, struct key key)
{
    MDB_val name = val_of(&key);

    return mdb_del(txn.txn, txn.dbi, &name, NULL);
}

static int
missing_is_fine(int code)
{
    return code == MDB_NOTFOUND ? 0 : code;
}

/* false for bytes that envelope_write() did not write. */
static bool
envelope_read(const MDB_val *data, struct envelope *out)
{
    const uint8_t *bytes = data->mv_data;

    if (data->mv_size < ENVELOPE_HEAD || bytes[8] > LMI_STORE_GROUP ||
        data->mv_size < (size_t)ENVELOPE_HEAD + bytes[8])
        return false;
    out->expires = lmi_get_time(bytes);
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
read_value(struct txn txn, const struct lmi_store_id *id, bool *found_out,
           struct lmi_store_value *value_out)
{
    MDB_val data;
    struct envelope envelope;
    int code = get(txn, entry_key(id), &data);

    *found_out = code == 0 && envelope_read(&data, &envelope);
    if (*found_out) {
        memcpy(value_out->bytes, envelope.value, envelope.value_len);
        value_out->len = envelope.value_len;
    }
    return missing_is_fine(code);
}

/* The mark of a part; LMI_STORE_USED if it has none. */
static int
read_mark(struct txn txn, struct lmi_store_mark *out)
{
    MDB_val data;
    int code = get(txn, key_of('m', NULL, 0, NULL), &data);

    *out = (struct lmi_store_mark){.state = LMI_STORE_USED};
    if (code != 0)
        return missing_is_fine(code);
    if (data.mv_size != sizeof *out)
        return MDB_CORRUPTED;
    memcpy(out, data.mv_data, sizeof *out);
    return 0;
}

/* Of a store that this handle may use, LMI_STORE_USED. */
static int
heed_mark(const struct lmi_lmdb *lmdb, struct txn txn,
          struct lmi_store_mark *out)
{
    *out = (struct lmi_store_mark){.state = LMI_STORE_USED};
    return lmi_lmdb_ignores_mark(lmdb) ? 0 : read_mark(txn, out);
}

/* As lmi_lmdb_leave(), for what a mark may have forbidden. */
static enum lmi_rc
leave_marked(struct lmi_lmdb *lmdb, enum lmi_store_part part, int code,
             const struct lmi_store_mark *mark, const char *text,
             struct lmi_err *err)
{
    enum lmi_rc rc = lmi_lmdb_leave(lmdb, part, code, text, err);

    if (rc != LMI_OK || mark->state == LMI_STORE_USED)
        return rc;
    return lmi_store_marked(mark, lmi_lmdb_folder(lmdb, part), err);
}

/* What is wanted of one part. all_out: each has been found. */
static int
read_wants(struct txn txn, enum lmi_store_part part,
           struct lmi_store_want *wants, size_t count, bool *all_out)
{
    int code = 0;

    *all_out = true;
    for (size_t i = 0; code == 0 && i < count; i++)
        if (wants[i].part == part) {
            code =
                read_value(txn, &wants[i].id, &wants[i].found, &wants[i].value);
            *all_out = *all_out && wants[i].found;
        }
    return code;
}

static enum lmi_rc
get_part(struct lmi_lmdb *lmdb, enum lmi_store_part part,
         struct lmi_store_want *wants, size_t count, struct lmi_err *err)
{
    struct lmi_store_mark mark = {.state = LMI_STORE_USED};
    struct lmi_lmdb_env *env;
    bool all;
    enum lmi_rc rc = lmi_lmdb_enter(lmdb, part, &env, err);

    if (rc != LMI_OK)
        return rc;
    int code = lmi_lmdb_read(env);
    if (code == 0) {
        struct txn txn = {env->reader, env->dbi};
        code = read_wants(txn, part, wants, count, &all);
        if (code == 0 && !all)
            code = heed_mark(lmdb, txn, &mark);
        mdb_txn_reset(env->reader);
    }
    return leave_marked(lmdb, part, code, &mark, "can't be read", err);
}

static enum lmi_rc
lmdb_get_many(void *self, struct lmi_store_want *wants, size_t count,
              unsigned age, struct lmi_err *err)
{
    bool is_wanted[] = {[LMI_DURABLE] = false, [LMI_VOLATILE] = false};
    enum lmi_rc rc = LMI_OK;

    (void)age; /* always as it is now */
    for (size_t i = 0; i < count; i++)
        is_wanted[wants[i].part] = true;
    if (is_wanted[LMI_DURABLE])
        rc = get_part(self, LMI_DURABLE, wants, count, err);
    if (rc == LMI_OK && is_wanted[LMI_VOLATILE])
        rc = get_part(self, LMI_VOLATILE, wants, count, err);
    return rc;
}

/* Goes to the first key at `from` or, with `behind`, after it. */
static int
cursor_place(MDB_cursor *cursor, struct key *from, bool behind, MDB_val *name,
             MDB_val *data)
{
    *name = val_of(from);
    int code = mdb_cursor_get(cursor, name, data, MDB_SET_RANGE);

    if (code == 0 && behind && name->mv_size == from->len &&
        memcmp(name->mv_data, from->bytes, from->len) == 0)
        code = mdb_cursor_get(cursor, name, data, MDB_NEXT);
    return code;
}

static int
seek(struct txn txn, struct key from, bool behind, struct key *out)
{
    MDB_val name, data;
    MDB_cursor *cursor;
    int code = mdb_cursor_open(txn.txn, txn.dbi, &cursor);

    if (code != 0)
        return code;
    code = cursor_place(cursor, &from, behind, &name, &data);
    out->len = code == 0 && name.mv_size <= LONGEST_KEY ? name.mv_size : 0;
    memcpy(out->bytes, name.mv_data, out->len);
    mdb_cursor_close(cursor);
    return code;
}

static int
count_get(struct txn txn, const uint8_t *group, size_t len, uint64_t *out)
{
    struct key key = key_of(
        'n', group, len < LMI_STORE_CAPPED ? len : LMI_STORE_CAPPED, NULL);
    MDB_val data;
    int code = get(txn, key, &data);

    *out = 0;
    if (code == 0 && data.mv_size == sizeof *out)
        memcpy(out, data.mv_data, sizeof *out);
    return code;
}

static int
cap_get(struct txn txn, struct lmi_store_entry *entry)
{
    uint64_t count;
    int code = MDB_NOTFOUND;

    if (entry->group_len > 0)
        code = count_get(txn, entry->group, entry->group_len, &count);
    entry->cap = code == 0 ? UINT32_MAX : 0;
    return missing_is_fine(code);
}

/* What the key of the group index says of an entry; false at another key. */
static bool
group_read(const MDB_val *name, const uint8_t *prefix, size_t prefix_len,
           struct lmi_store_entry *out)
{
    const uint8_t *group = (const uint8_t *)name->mv_data + 1;

    if (name->mv_size < 1 + prefix_len + 8 + ID_SIZE ||
        name->mv_size > LONGEST_KEY || group[-1] != 'g' ||
        (prefix_len > 0 && memcmp(group, prefix, prefix_len) != 0))
        return false;
    out->group_len = name->mv_size - 1 - 8 - ID_SIZE;
    memcpy(out->group, group, out->group_len);
    out->expires = lmi_get_time(group + out->group_len);
    out->id = id_at(group + out->group_len + 8);
    return true;
}

/* The entry that the index has led to; a damaged one may lead nowhere. */
static int
group_entry(struct txn txn, struct lmi_store_entry *entry, size_t *count)
{
    bool found;
    int code = read_value(txn, &entry->id, &found, &entry->value);

    if (code == 0 && found)
        code = cap_get(txn, entry);
    *count += code == 0 && found;
    return code;
}

/* `after` may point into `out`; without that, entries are only counted. */
static int
next_page(struct txn txn, const uint8_t *prefix, size_t prefix_len,
          const struct lmi_store_entry *after, struct lmi_store_entry *out,
          size_t size, size_t *count_out)
{
    struct key from = after != NULL ? group_key(after->group, after->group_len,
                                                after->expires, &after->id)
                                    : key_of('g', prefix, prefix_len, NULL);
    struct lmi_store_entry counted, *entry = &counted;
    MDB_val name, data;
    MDB_cursor *cursor;
    int code = mdb_cursor_open(txn.txn, txn.dbi, &cursor);

    *count_out = 0;
    if (code != 0)
        return code;
    code = cursor_place(cursor, &from, after != NULL, &name, &data);
    while (code == 0 && *count_out < size) {
        if (out != NULL)
            entry = &out[*count_out];
        if (!group_read(&name, prefix, prefix_len, entry))
            break;
        if (out != NULL)
            code = group_entry(txn, entry, count_out);
        else
            ++*count_out;
        if (code == 0)
            code = mdb_cursor_get(cursor, &name, &data, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    return missing_is_fine(code);
}

static enum lmi_rc
lmdb_next(void *self, enum lmi_store_part part, const uint8_t *prefix,
          size_t prefix_len, const struct lmi_store_entry *after,
          struct lmi_store_entry *out, size_t size, size_t *count_out,
          struct lmi_err *err)
{
    struct lmi_store_mark mark = {.state = LMI_STORE_USED};
    struct lmi_lmdb_env *env;
    enum lmi_rc rc = lmi_lmdb_enter(self, part, &env, err);

    if (rc != LMI_OK)
        return rc;
    int code = lmi_lmdb_read(env);
    if (code == 0) {
        struct txn txn = {env->reader, env->dbi};
        code = next_page(txn, prefix, prefix_len, after, out, size, count_out);
        if (code == 0 && *count_out == 0)
            code = heed_mark(self, txn, &mark);
        mdb_txn_reset(env->reader);
    }
    return leave_marked(self, part, code, &mark, "can't be read", err);
}

static enum lmi_rc
lmdb_count(void *self, enum lmi_store_part part, const uint8_t *prefix,
           size_t prefix_len, size_t most, size_t *count_out,
           struct lmi_err *err)
{
    return lmdb_next(self, part, prefix, prefix_len, NULL, NULL, most,
                     count_out, err);
}

static int
entry_copy(struct txn txn, const MDB_val *name, const MDB_val *data,
           struct lmi_store_entry *out)
{
    struct envelope envelope;

    if (name->mv_size != 1 + ID_SIZE || !envelope_read(data, &envelope))
        return MDB_CORRUPTED;
    out->id = id_at((const uint8_t *)name->mv_data + 1);
    out->expires = envelope.expires;
    out->group_len = envelope.group_len;
    memcpy(out->group, envelope.group, envelope.group_len);
    out->value.len = envelope.value_len;
    memcpy(out->value.bytes, envelope.value, envelope.value_len);
    return cap_get(txn, out);
}

static int
walk(struct txn txn, const struct lmi_store_id *after,
     struct lmi_store_entry *out, size_t size, size_t *count_out)
{
    struct key from =
        after != NULL ? entry_key(after) : key_of('e', NULL, 0, NULL);
    MDB_val name, data;
    MDB_cursor *cursor;
    int code = mdb_cursor_open(txn.txn, txn.dbi, &cursor);

    if (code != 0)
        return code;
    code = cursor_place(cursor, &from, after != NULL, &name, &data);
    while (code == 0 && *count_out < size &&
           *(const char *)name.mv_data == 'e') {
        code = entry_copy(txn, &name, &data, &out[*count_out]);
        *count_out += code == 0;
        if (code == 0)
            code = mdb_cursor_get(cursor, &name, &data, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    return missing_is_fine(code);
}

static enum lmi_rc
lmdb_walk(void *self, enum lmi_store_part part,
          const struct lmi_store_id *after, struct lmi_store_entry *out,
          size_t size, size_t *count_out, struct lmi_err *err)
{
    struct lmi_store_mark mark = {.state = LMI_STORE_USED};
    struct lmi_lmdb_env *env;
    enum lmi_rc rc = lmi_lmdb_enter(self, part, &env, err);

    if (rc != LMI_OK)
        return rc;
    if (env->held)
        lmi_lock_progress(env->lock, LMI_TURN_WRITE);
    int code = lmi_lmdb_read(env);
    if (code == 0) {
        struct txn txn = {env->reader, env->dbi};
        code = heed_mark(self, txn, &mark);
        if (code == 0 && mark.state == LMI_STORE_USED)
            code = walk(txn, after, out, size, count_out);
        mdb_txn_reset(env->reader);
    }
    return leave_marked(self, part, code, &mark, "can't be read", err);
}

/* The count of a group with a cap changes by `change`; others have none. */
static int
count_change(struct txn txn, const uint8_t *group, size_t len, int change,
             bool begin, uint64_t *count_out)
{
    struct key key = key_of(
        'n', group, len < LMI_STORE_CAPPED ? len : LMI_STORE_CAPPED, NULL);
    int code = count_get(txn, group, len, count_out);

    if (code == MDB_NOTFOUND && !begin)
        return 0;
    if (missing_is_fine(code) != 0)
        return code;
    if (change > 0 || *count_out > 0)
        *count_out += (uint64_t)(int64_t)change;
    return put(txn, key, count_out, sizeof *count_out);
}

/* An entry leaves both indexes. */
static int
indexes_remove(struct txn txn, const struct envelope *envelope,
               const struct lmi_store_id *id)
{
    struct key group =
        group_key(envelope->group, envelope->group_len, envelope->expires, id);
    uint64_t count;
    int code = del(txn, expiry_key(envelope->expires, id));

    if (code == 0 && envelope->group_len > 0) {
        /* The group's bytes lie in the map, and move with the next change. */
        code = del(txn, group);
        if (code == 0)
            code = count_change(txn, group.bytes + 1, envelope->group_len, -1,
                                false, &count);
    }
    return missing_is_fine(code);
}

/* Removes an entry, if there is one, and its place in both indexes. */
static int
entry_remove(struct txn txn, const struct lmi_store_id *id)
{
    MDB_val data;
    struct envelope envelope;
    int code = get(txn, entry_key(id), &data);

    if (code == MDB_NOTFOUND)
        return 0;
    if (code == 0 && envelope_read(&data, &envelope))
        code = indexes_remove(txn, &envelope, id);
    return code != 0 ? code : del(txn, entry_key(id));
}

static bool
same_id(const struct lmi_store_id *a, const struct lmi_store_id *b)
{
    return a->kind == b->kind && memcmp(a->key, b->key, LMI_STORE_KEY) == 0;
}

/* Counts an entry in, and removes others beyond the cap. */
static int
keep_cap(struct txn txn, const struct lmi_store_op *op)
{
    struct lmi_store_entry first;
    size_t shared =
        op->group_len < LMI_STORE_CAPPED ? op->group_len : LMI_STORE_CAPPED;
    uint64_t count = 0;
    size_t found = 1;
    int code = count_change(txn, op->group, op->group_len, 1, true, &count);

    for (; code == 0 && found > 0 && count > op->cap; count--) {
        code = next_page(txn, op->group, shared, NULL, &first, 1, &found);
        if (code == 0 && found > 0 && same_id(&first.id, &op->id))
            code = next_page(txn, op->group, shared, &first, &first, 1, &found);
        if (code == 0 && found > 0)
            code = entry_remove(txn, &first.id);
    }
    return code;
}

static int
entry_put(struct txn txn, const struct lmi_store_op *op)
{
    uint8_t bytes[ENVELOPE_HEAD + LMI_STORE_GROUP + LMI_STORE_VALUE];
    struct key expiry = expiry_key(op->expires, &op->id);
    struct key group =
        group_key(op->group, op->group_len, op->expires, &op->id);
    int code = entry_remove(txn, &op->id);

    if (code == 0)
        code = put(txn, entry_key(&op->id), bytes, envelope_write(op, bytes));
    if (code == 0)
        code = put(txn, expiry, bytes, 0);
    if (code == 0 && op->group_len > 0)
        code = put(txn, group, bytes, 0);
    if (code == 0 && op->group_len > 0 && op->cap > 0)
        code = keep_cap(txn, op);
    return code;
}

/* Groups whose names only begin with the operation's are passed over. */
static int
group_remove(struct txn txn, const struct lmi_store_op *op)
{
    struct lmi_store_entry entry, *after = NULL;
    size_t found = 1;
    int code = 0;

    while (code == 0 && found > 0) {
        code =
            next_page(txn, op->group, op->group_len, after, &entry, 1, &found);
        after = &entry;
        if (code == 0 && found > 0 && entry.group_len == op->group_len)
            code = entry_remove(txn, &entry.id);
    }
    return code;
}

/* Is what the operation expects there? */
static int
expectation(struct txn txn, const struct lmi_store_op *op, bool *met_out)
{
    struct lmi_store_value there;
    bool found;
    int code;

    *met_out = true;
    if (op->verb != LMI_STORE_ADD && op->verb != LMI_STORE_SWAP)
        return 0;
    code = read_value(txn, &op->id, &found, &there);
    if (op->verb == LMI_STORE_ADD)
        *met_out = code == 0 && !found;
    else
        *met_out = code == 0 && found && there.len == op->old->len &&
                   memcmp(there.bytes, op->old->bytes, there.len) == 0;
    return code;
}

static int
operate(struct txn txn, const struct lmi_store_op *op)
{
    switch (op->verb) {
    case LMI_STORE_ADD:
    case LMI_STORE_SWAP:
    case LMI_STORE_PUT:
        return entry_put(txn, op);
    case LMI_STORE_DROP:
        return entry_remove(txn, &op->id);
    case LMI_STORE_DROP_GROUP:
        return group_remove(txn, op);
    }
    return EINVAL;
}

/* Removes one expired entry; *more_out is false if there was none. */
static int
purge_one(struct txn txn, int64_t now, bool *more_out)
{
    struct key key;
    struct lmi_store_id id;
    int code = seek(txn, key_of('x', NULL, 0, NULL), false, &key);

    *more_out = code == 0 && key.len == 9 + ID_SIZE && key.bytes[0] == 'x' &&
                lmi_get_time(key.bytes + 1) < now;
    if (!*more_out)
        return missing_is_fine(code);
    id = id_at(key.bytes + 9);
    code = entry_remove(txn, &id);
    /* An index entry that leads nowhere must not stay at the head for ever. */
    return code != 0 ? code : missing_is_fine(del(txn, key));
}

/* Seconds since the boot, by a clock that nobody sets. */
static int64_t
uptime(void)
{
    struct timespec now;

    return clock_gettime(CLOCK_BOOTTIME, &now) == 0 ? (int64_t)now.tv_sec : 0;
}

/* What the last commit noted; MDB_NOTFOUND: none has yet. */
static int
read_clock(struct txn txn, struct noted *out)
{
    MDB_val data;
    int code = get(txn, key_of('t', NULL, 0, NULL), &data);

    if (code == 0 && data.mv_size != CLOCK_SIZE)
        code = MDB_NOTFOUND;
    if (code != 0)
        return code;
    const uint8_t *bytes = data.mv_data;
    out->clock = lmi_get_time(bytes);
    out->uptime = lmi_get_time(bytes + 8);
    memcpy(out->boot, bytes + 16, LMI_BOOT_ID);
    return 0;
}

static int
note_clock(struct txn txn, int64_t now, const char *boot)
{
    uint8_t bytes[CLOCK_SIZE];

    put_sortable(bytes, now);
    put_sortable(bytes + 8, uptime());
    memcpy(bytes + 16, boot, LMI_BOOT_ID);
    return put(txn, key_of('t', NULL, 0, NULL), bytes, sizeof bytes);
}

/*
 * Is the clock no more than an hour ahead of the last commit's, and of what has
 * passed since? One that was set wrong must not remove what is not old. Each
 * commit takes the noted clock an hour further at most, for one login makes
 * several; noted once a minute.
 */
static int
clock_ok(struct txn txn, const char *boot, int64_t now, bool *ok_out)
{
    struct noted last = {.clock = now};
    int code = read_clock(txn, &last);
    int64_t passed = 0;

    if (missing_is_fine(code) != 0)
        return code;
    if (code == 0 && memcmp(last.boot, boot, LMI_BOOT_ID) == 0)
        passed = uptime() - last.uptime;
    int64_t latest = last.clock + (passed > 0 ? passed : 0) + CLOCK_LEAP;
    *ok_out = now <= latest;
    if (!*ok_out)
        now = latest;
    if (code == 0 && now >= last.clock && now < last.clock + CLOCK_NOTED)
        return 0;
    return note_clock(txn, now, boot);
}

/* What one transaction is to do, and what has come of it. */
struct change {
    const struct lmi_store_op *ops; /* NULL: only purge */
    size_t count;
    int64_t now;
    uint32_t limit; /* of the purge */
    uint32_t removed;
    bool done;
    const struct lmi_store_mark *mark; /* NULL: as it is */
    bool empty;
    struct lmi_store_mark found; /* which has forbidden the change */
};

/* A new mark, and perhaps nothing else in the part. */
static int
set_mark(struct txn txn, const struct change *change)
{
    struct lmi_store_mark mark = *change->mark;
    struct key key = key_of('m', NULL, 0, NULL);
    int code = change->empty ? mdb_drop(txn.txn, txn.dbi, 0) : 0;

    if (code == 0 && mark.state == LMI_STORE_USED)
        code = missing_is_fine(del(txn, key));
    else if (code == 0)
        code = put(txn, key, &mark, sizeof mark);
    return code;
}

/* A batch and a purge, as a whole or not at all. */
static int
change_once(const struct lmi_lmdb *lmdb, struct lmi_lmdb_env *env,
            struct change *change)
{
    struct txn txn = {.dbi = env->dbi};
    bool met = true, more = true;
    int code = mdb_txn_begin(env->mdb, NULL, 0, &txn.txn);

    if (code != 0)
        return code;
    code = heed_mark(lmdb, txn, &change->found);
    met = change->found.state == LMI_STORE_USED;
    if (code == 0 && met && change->mark != NULL)
        code = set_mark(txn, change);
    for (size_t i = 0; code == 0 && met && i < change->count; i++) {
        code = expectation(txn, &change->ops[i], &met);
        if (code == 0 && met)
            code = operate(txn, &change->ops[i]);
    }
    if (code == 0 && met && change->ops != NULL)
        code = clock_ok(txn, env->boot, change->now, &more);
    change->removed = 0;
    while (code == 0 && met && more && change->removed < change->limit) {
        code = purge_one(txn, change->now, &more);
        change->removed += more;
    }
    if (code != 0 || !met ||
        (change->ops == NULL && change->mark == NULL && change->removed == 0)) {
        mdb_txn_abort(txn.txn);
        return code;
    }
    code = lmi_lmdb_commit(env, txn.txn);
    change->done = code == 0;
    return code;
}

static enum lmi_rc
transact(struct lmi_lmdb *lmdb, enum lmi_store_part part, struct change *change,
         struct lmi_err *err)
{
    struct lmi_lmdb_env *env;
    enum lmi_rc rc = lmi_lmdb_enter(lmdb, part, &env, err);

    if (rc != LMI_OK)
        return rc;
    if (change->ops != NULL)
        lmi_lmdb_check_readers(env);
    int code = lmi_lmdb_lock(env);
    if (code != 0)
        return lmi_lmdb_leave(lmdb, part, code, "can't be locked", err);
    code = change_once(lmdb, env, change);
    while ((code == MDB_MAP_FULL || code == MDB_MAP_RESIZED) &&
           lmi_lmdb_grows(env, code))
        code = change_once(lmdb, env, change);
    lmi_lmdb_unlock(env);
    return leave_marked(lmdb, part, code, &change->found, "can't be written",
                        err);
}

static enum lmi_rc
lmdb_apply(void *self, enum lmi_store_part part, const struct lmi_store_op *ops,
           size_t count, int64_t now, bool *done_out, struct lmi_err *err)
{
    struct change batch = {
        .ops = ops, .count = count, .now = now, .limit = PURGE_AT_ONCE};
    enum lmi_rc rc = transact(self, part, &batch, err);

    *done_out = batch.done;
    return rc;
}

static enum lmi_rc
lmdb_purge(void *self, enum lmi_store_part part, int64_t now, uint32_t limit,
           uint32_t *removed_out, struct lmi_err *err)
{
    struct change purge = {.now = now, .limit = limit};
    enum lmi_rc rc = transact(self, part, &purge, err);

    *removed_out = purge.done ? purge.removed : 0;
    return rc;
}

static enum lmi_rc
lmdb_report(void *self, struct lmi_store_report *out, struct lmi_err *err)
{
    struct lmi_lmdb_env *env;
    struct noted last = {.clock = out->clock};
    enum lmi_rc rc = lmi_lmdb_enter(self, LMI_DURABLE, &env, err);

    if (rc != LMI_OK)
        return rc;
    int code = lmi_lmdb_read(env);
    if (code == 0) {
        code = missing_is_fine(
            read_clock((struct txn){env->reader, env->dbi}, &last));
        out->clock = last.clock;
        mdb_txn_reset(env->reader);
    }
    if (code == 0)
        code = lmi_lmdb_report(self, env, out);
    return lmi_lmdb_leave(self, LMI_DURABLE, code, "can't be examined", err);
}

static enum lmi_rc
lmdb_hold(void *self, enum lmi_store_part part, struct lmi_err *err)
{
    struct lmi_lmdb_env *env;
    enum lmi_rc rc = lmi_lmdb_enter(self, part, &env, err);

    return rc != LMI_OK ? rc
                        : lmi_lmdb_leave(self, part, lmi_lmdb_hold(env),
                                         "can't be locked", err);
}

static void
lmdb_release(void *self, enum lmi_store_part part)
{
    struct lmi_lmdb_env *env;
    struct lmi_err err;

    if (lmi_lmdb_enter(self, part, &env, &err) != LMI_OK)
        return;
    lmi_lmdb_release(env);
    if (lmi_lmdb_leave(self, part, 0, NULL, &err) != LMI_OK)
        return;
}

static enum lmi_rc
lmdb_mark_put(void *self, enum lmi_store_part part,
              const struct lmi_store_mark *mark, bool empty,
              struct lmi_err *err)
{
    struct change change = {.mark = mark, .empty = empty};

    return transact(self, part, &change, err);
}

static enum lmi_rc
lmdb_mark_get(void *self, enum lmi_store_part part, struct lmi_store_mark *out,
              struct lmi_err *err)
{
    struct lmi_lmdb_env *env;
    enum lmi_rc rc = lmi_lmdb_enter(self, part, &env, err);

    if (rc != LMI_OK)
        return rc;
    int code = lmi_lmdb_read(env);
    if (code == 0) {
        code = read_mark((struct txn){env->reader, env->dbi}, out);
        mdb_txn_reset(env->reader);
    }
    return lmi_lmdb_leave(self, part, code, "can't be read", err);
}

const struct lmi_store_backend lmi_store_lmdb = {
    .open = lmi_lmdb_open,
    .close = lmi_lmdb_close,
    .replaced = lmi_lmdb_replaced,
    .get_many = lmdb_get_many,
    .apply = lmdb_apply,
    .purge = lmdb_purge,
    .next = lmdb_next,
    .count = lmdb_count,
    .report = lmdb_report,
    .walk = lmdb_walk,
    .hold = lmdb_hold,
    .release = lmdb_release,
    .mark_put = lmdb_mark_put,
    .mark_get = lmdb_mark_get,
};

const char *
lmi_store_lmdb_version(void)
{
    return mdb_version(NULL, NULL, NULL);
}
