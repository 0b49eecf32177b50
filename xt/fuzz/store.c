/*
 * A store that somebody else may have written, and any batches on it; after
 * them what is there is listed, looked at and removed. Each input is one
 * transaction that is thrown away. An input without foreign bytes is held to
 * more: what was put is there, once, in its groups' order.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/lmdb.c"

#define CAP 3
#define IDS 16

static MDB_env *env;
static MDB_dbi dbi;

static struct {
    const uint8_t *at, *end;
} input;

/* What should be there; known as long as no foreign bytes are. */
static struct {
    bool known;
    struct entry {
        bool there;
        uint8_t value;
    } entries[IDS];
} model;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char folder[] = "/tmp/lmi-fuzz-XXXXXX", path[64];
    MDB_txn *txn;

    (void)argc;
    (void)argv;
    if (mkdtemp(folder) == NULL)
        abort();
    snprintf(path, sizeof path, "%s/data", folder);
    if (mdb_env_create(&env) != 0 || mdb_env_set_mapsize(env, 1 << 26) != 0 ||
        mdb_env_open(env, path,
                     MDB_NOSUBDIR | MDB_NOSYNC | MDB_NOLOCK | MDB_WRITEMAP,
                     0600) != 0 ||
        mdb_txn_begin(env, NULL, 0, &txn) != 0 ||
        mdb_dbi_open(txn, NULL, 0, &dbi) != 0 || mdb_txn_commit(txn) != 0)
        abort();
    unlink(path);
    rmdir(folder);
    return 0;
}

static uint8_t
take(void)
{
    return input.at < input.end ? *input.at++ : 0;
}

static void
must(int code)
{
    if (code != 0)
        abort();
}

static struct lmi_store_id
take_id(uint8_t *number_out)
{
    struct lmi_store_id id;

    *number_out = take() % IDS;
    id.kind = (uint8_t)('A' + *number_out / 4);
    memset(id.key, *number_out % 4, sizeof id.key);
    return id;
}

/* Groups that begin like others; the two with a cap share their first bytes. */
static void
take_group(struct lmi_store_op *op)
{
    static const char *const groups[] = {"",  "a",   "ab",  "aba",
                                         "b", "!P1", "!P2", "!P"};
    const char *group = groups[take() % 8];

    op->group_len = strlen(group);
    memcpy(op->group, group, op->group_len);
    op->cap = group[0] == '!' ? CAP : 0;
}

/* Any bytes under any key of an index. */
static void
put_foreign(struct txn txn)
{
    uint8_t key[1 + LONGEST_KEY], value[ENVELOPE_HEAD + 80];
    MDB_val name = {.mv_size = 1 + take() % LONGEST_KEY, .mv_data = key};
    MDB_val data = {.mv_size = take() % sizeof value, .mv_data = value};
    uint8_t fill = take();

    model.known = false;
    key[0] = (uint8_t) "egxn"[fill % 4];
    memset(key + 1, fill / 4, sizeof key - 1);
    memset(value, 0, sizeof value);
    for (size_t i = 1; i < name.mv_size && fill % 3 != 0; i++)
        key[i] = take();
    for (size_t i = 0; i < data.mv_size && fill % 5 != 0; i++)
        value[i] = take();
    /* A list would stay at a time from 2^63 on, which nobody writes. */
    if (name.mv_size >= 1 + 8 + ID_SIZE)
        key[name.mv_size - ID_SIZE - 8] &= 0x7F;
    must(mdb_put(txn.txn, txn.dbi, &name, &data, 0));
}

static void
note(uint8_t number, bool there, uint8_t value)
{
    model.entries[number] = (struct entry){there, value};
}

/* After a removal of many the model knows of those that are left only. */
static void
note_removed(struct txn txn)
{
    struct lmi_store_value value;

    for (uint8_t i = 0; i < IDS; i++) {
        struct lmi_store_id id = {.kind = (uint8_t)('A' + i / 4)};
        bool found;
        memset(id.key, i % 4, sizeof id.key);
        must(read_value(txn, &id, &found, &value));
        model.entries[i].there = model.entries[i].there && found;
    }
}

static void
apply(struct txn txn)
{
    struct lmi_store_value value = {.len = 1}, old = {.len = 1};
    struct lmi_store_op op = {.value = &value, .old = &old};
    uint8_t number;
    bool met;

    op.verb = (enum lmi_store_verb)(take() % 5);
    op.id = take_id(&number);
    op.expires = take();
    value.bytes[0] = take();
    old.bytes[0] = model.entries[number].value;
    take_group(&op);
    must(expectation(txn, &op, &met));
    if (model.known &&
        met != (op.verb == LMI_STORE_ADD    ? !model.entries[number].there
                : op.verb == LMI_STORE_SWAP ? model.entries[number].there
                                            : true))
        abort();
    if (!met)
        return;
    must(operate(txn, &op));
    if (op.verb != LMI_STORE_DROP_GROUP)
        note(number, op.verb != LMI_STORE_DROP, value.bytes[0]);
    if (op.verb == LMI_STORE_DROP_GROUP || op.cap > 0)
        note_removed(txn);
    if (model.known && op.cap > 0 && op.verb < LMI_STORE_DROP &&
        !model.entries[number].there)
        abort();
}

static int
compare(const struct lmi_store_entry *a, const struct lmi_store_entry *b)
{
    struct key left = group_key(a->group, a->group_len, a->expires, &a->id);
    struct key right = group_key(b->group, b->group_len, b->expires, &b->id);
    size_t len = left.len < right.len ? left.len : right.len;
    int order = memcmp(left.bytes, right.bytes, len);

    return order != 0 ? order : (left.len > right.len) - (left.len < right.len);
}

static void
check_entry(struct txn txn, const struct lmi_store_entry *entry,
            const char *prefix)
{
    size_t len = strlen(prefix);
    struct lmi_store_value value;
    bool there;

    if (entry->group_len > LMI_STORE_GROUP || entry->group_len < len ||
        memcmp(entry->group, prefix, len) != 0)
        abort();
    must(read_value(txn, &entry->id, &there, &value));
    if (!there || value.len != entry->value.len ||
        memcmp(value.bytes, entry->value.bytes, value.len) != 0)
        abort();
}

/* The entries whose group begins so, each behind the one before. */
static size_t
list(struct txn txn, const char *prefix, size_t size)
{
    struct lmi_store_entry page[IDS], last;
    size_t all = 0, count;

    for (;; all += count) {
        must(next_page(txn, (const uint8_t *)prefix, strlen(prefix),
                       all == 0 ? NULL : &page[count - 1], page, size, &count));
        if (count == 0)
            return all;
        if (count > size)
            abort();
        for (size_t i = 0; i < count; i++) {
            check_entry(txn, &page[i], prefix);
            if (all + i > 0 && compare(&last, &page[i]) >= 0)
                abort();
            last = page[i];
        }
    }
}

/* Removes what has expired before now; how many there were. */
static uint32_t
purge_all(struct txn txn, int64_t now, uint32_t limit)
{
    uint32_t removed = 0;
    bool more = true;

    while (more && removed < limit) {
        must(purge_one(txn, now, &more));
        removed += more;
    }
    return removed;
}

static void
check_model(struct txn txn)
{
    struct lmi_store_value value;
    MDB_stat stat;
    uint32_t removed, count = 0;
    bool found;

    if (list(txn, "!P", IDS) > CAP)
        abort();
    for (uint8_t i = 0; i < IDS; i++) {
        struct lmi_store_id id = {.kind = (uint8_t)('A' + i / 4)};
        memset(id.key, i % 4, sizeof id.key);
        must(read_value(txn, &id, &found, &value));
        if (found != model.entries[i].there ||
            (found &&
             (value.len != 1 || value.bytes[0] != model.entries[i].value)))
            abort();
        count += found;
    }
    /* All of them expire, and leave nothing but counts of no entries. */
    removed = purge_all(txn, 256, IDS + 1);
    must(mdb_stat(txn.txn, txn.dbi, &stat));
    if (removed != count || stat.ms_entries > 1)
        abort();
}

static void
check_envelope(const uint8_t *data, size_t size)
{
    MDB_val bytes;
    struct envelope envelope;

    memcpy(&bytes.mv_data, &data, sizeof data);
    bytes.mv_size = size;
    if (!envelope_read(&bytes, &envelope))
        return;
    if (envelope.group_len > LMI_STORE_GROUP ||
        envelope.value_len > LMI_STORE_VALUE ||
        envelope.value + envelope.value_len != data + size ||
        envelope.group + envelope.group_len != envelope.value)
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct txn txn = {NULL, dbi};

    check_envelope(data, size);
    memset(&model, 0, sizeof model);
    model.known = true;
    input.at = data;
    input.end = data + size;
    must(mdb_txn_begin(env, NULL, 0, &txn.txn));
    for (int i = 0; i < 24 && input.at < input.end; i++)
        if (take() % 8 == 0)
            put_foreign(txn);
        else
            apply(txn);
    if (list(txn, "", 1) != list(txn, "", 5))
        abort();
    list(txn, "a", 2);
    if (model.known)
        check_model(txn);
    if (purge_all(txn, INT64_MAX, 1000) >= 1000)
        abort();
    mdb_txn_abort(txn.txn);
    return 0;
}
