/*
 * The contract of store.h in a plain list: a second backend, to see that the
 * contract says enough, and that the suite asks for no more than it says.
 */
#include "conformance.h"

struct entry {
    bool used;
    struct lmi_store_op op;
    struct lmi_store_value value;
};

struct memory {
    struct entry entries[2][5000];
};

static struct entry *
entry_find(struct entry *list, const struct lmi_store_id *id)
{
    for (size_t i = 0; i < 5000; i++)
        if (list[i].used && list[i].op.id.kind == id->kind &&
            memcmp(list[i].op.id.key, id->key, LMI_STORE_KEY) == 0)
            return &list[i];
    return NULL;
}

static enum lmi_rc
memory_get_many(void *self, struct lmi_store_want *wants, size_t count,
                unsigned age, struct lmi_err *e)
{
    struct memory *memory = self;

    (void)e;
    (void)age;
    for (size_t i = 0; i < count; i++) {
        const struct entry *entry =
            entry_find(memory->entries[wants[i].part], &wants[i].id);
        wants[i].found = entry != NULL;
        if (entry != NULL)
            wants[i].value = entry->value;
    }
    return LMI_OK;
}

/* Groups in order, then expiry, then kind and key; as LMDB's index has it. */
static int
compare(const struct lmi_store_entry *a, const struct lmi_store_entry *b)
{
    size_t len = a->group_len < b->group_len ? a->group_len : b->group_len;
    int order = memcmp(a->group, b->group, len);

    if (order == 0 && a->group_len != b->group_len)
        order = a->group_len < b->group_len ? -1 : 1;
    if (order == 0 && a->expires != b->expires)
        order = a->expires < b->expires ? -1 : 1;
    if (order == 0)
        order = a->id.kind - b->id.kind;
    return order != 0 ? order : memcmp(a->id.key, b->id.key, LMI_STORE_KEY);
}

static struct lmi_store_entry
whole(const struct entry *entry)
{
    struct lmi_store_entry out = {.group_len = entry->op.group_len,
                                  .expires = entry->op.expires,
                                  .id = entry->op.id,
                                  .cap = entry->op.cap > 0 ? UINT32_MAX : 0,
                                  .value = entry->value};

    memcpy(out.group, entry->op.group, sizeof out.group);
    return out;
}

static struct entry *
entry_next(struct entry *list, const uint8_t *prefix, size_t len, bool exact,
           const struct lmi_store_entry *after)
{
    struct entry *best = NULL;
    struct lmi_store_entry next, first;

    for (size_t i = 0; i < 5000; i++) {
        const struct lmi_store_op *op = &list[i].op;
        if (!list[i].used || op->group_len == 0 || op->group_len < len ||
            (exact && op->group_len != len) ||
            memcmp(op->group, prefix, len) != 0)
            continue;
        next = whole(&list[i]);
        if ((after == NULL || compare(&next, after) > 0) &&
            (best == NULL || compare(&next, &first) < 0)) {
            best = &list[i];
            first = next;
        }
    }
    return best;
}

static enum lmi_rc
memory_next(void *self, enum lmi_store_part part, const uint8_t *prefix,
            size_t prefix_len, const struct lmi_store_entry *after,
            struct lmi_store_entry *out, size_t size, size_t *count_out,
            struct lmi_err *e)
{
    struct memory *memory = self;
    const struct entry *entry;

    (void)e;
    for (*count_out = 0; *count_out < size; after = &out[(*count_out)++]) {
        entry =
            entry_next(memory->entries[part], prefix, prefix_len, false, after);
        if (entry == NULL)
            break;
        out[*count_out] = whole(entry);
    }
    return LMI_OK;
}

static enum lmi_rc
memory_count(void *self, enum lmi_store_part part, const uint8_t *prefix,
             size_t prefix_len, size_t most, size_t *count_out,
             struct lmi_err *e)
{
    static struct lmi_store_entry page[100];

    return most > sizeof page / sizeof page[0]
               ? LMI_STORE
               : memory_next(self, part, prefix, prefix_len, NULL, page, most,
                             count_out, e);
}

static void
entry_put(struct entry *list, const struct lmi_store_op *op)
{
    struct entry *entry = entry_find(list, &op->id);
    size_t count = 0;

    for (size_t i = 0; entry == NULL && i < 5000; i++)
        if (!list[i].used)
            entry = &list[i];
    if (entry == NULL)
        exit(2);
    *entry = (struct entry){.used = true, .op = *op, .value = *op->value};
    for (size_t i = 0; i < 5000; i++)
        count += list[i].used && list[i].op.group_len == op->group_len &&
                 memcmp(list[i].op.group, op->group, op->group_len) == 0;
    for (; op->cap > 0 && count > op->cap; count--)
        entry_next(list, op->group, op->group_len, true, NULL)->used = false;
}

static bool
operate(struct entry *list, const struct lmi_store_op *op)
{
    struct entry *entry = entry_find(list, &op->id);

    if (op->verb == LMI_STORE_DROP_GROUP) {
        while ((entry = entry_next(list, op->group, op->group_len, true,
                                   NULL)) != NULL)
            entry->used = false;
        return true;
    }
    if ((op->verb == LMI_STORE_ADD && entry != NULL) ||
        (op->verb == LMI_STORE_SWAP &&
         (entry == NULL || entry->value.len != op->old->len ||
          memcmp(entry->value.bytes, op->old->bytes, op->old->len) != 0)))
        return false;
    if (op->verb != LMI_STORE_DROP)
        entry_put(list, op);
    else if (entry != NULL)
        entry->used = false;
    return true;
}

static uint32_t
purge(struct entry *list, int64_t now, uint32_t limit)
{
    uint32_t removed = 0;

    for (size_t i = 0; i < 5000 && removed < limit; i++)
        if (list[i].used && list[i].op.expires < now &&
            list[i].op.expires >= 0) {
            list[i].used = false;
            removed++;
        }
    return removed;
}

static enum lmi_rc
memory_apply(void *self, enum lmi_store_part part,
             const struct lmi_store_op *ops, size_t count, int64_t now,
             bool *done_out, struct lmi_err *e)
{
    struct memory *memory = self;
    struct entry *list = memory->entries[part];
    struct entry *kept = malloc(sizeof memory->entries[0]);

    (void)e;
    if (kept == NULL)
        return LMI_MEMORY;
    memcpy(kept, list, sizeof memory->entries[0]);
    *done_out = true;
    for (size_t i = 0; *done_out && i < count; i++)
        *done_out = operate(list, &ops[i]);
    if (*done_out)
        purge(list, now, 16);
    else
        memcpy(list, kept, sizeof memory->entries[0]);
    free(kept);
    return LMI_OK;
}

static enum lmi_rc
memory_purge(void *self, enum lmi_store_part part, int64_t now, uint32_t limit,
             uint32_t *removed_out, struct lmi_err *e)
{
    struct memory *memory = self;

    (void)e;
    *removed_out = purge(memory->entries[part], now, limit);
    return LMI_OK;
}

static const struct lmi_store_backend backend = {.close = free,
                                                 .get_many = memory_get_many,
                                                 .apply = memory_apply,
                                                 .purge = memory_purge,
                                                 .next = memory_next,
                                                 .count = memory_count};

int
main(void)
{
    void *memory = calloc(1, sizeof(struct memory));

    if (memory == NULL ||
        lmi_store_adopt(&backend, memory, &store, &err) != LMI_OK)
        return 2;
    conformance();
    lmi_store_close(store);
    return done();
}
