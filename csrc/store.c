#include "store.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "store_lmdb.h"

struct lmi_store {
    const struct lmi_store_keeper *keeper;
    void *self;
};

enum lmi_rc
lmi_store_open(const struct lmi_store_where *where, struct lmi_store **out,
               struct lmi_err *err)
{
    struct lmi_store *store;
    enum lmi_rc rc;

    *out = NULL;
    if (strncmp(where->url, "lmdb:", 5) != 0)
        return lmi_fail(err, LMI_STORE, 0, NULL,
                        "this version keeps sessions in LMDB only",
                        "set store = lmdb:/FOLDER");
    store = calloc(1, sizeof *store);
    if (store == NULL)
        return lmi_fail(err, LMI_MEMORY, 0, NULL, "no memory", NULL);
    store->keeper = &lmi_store_lmdb;
    rc = store->keeper->open(where, &store->self, err);
    if (rc != LMI_OK) {
        free(store);
        return rc;
    }
    *out = store;
    return LMI_OK;
}

void
lmi_store_close(struct lmi_store *store)
{
    if (store == NULL)
        return;
    store->keeper->close(store->self);
    free(store);
}

enum lmi_rc
lmi_store_get(struct lmi_store *store, enum lmi_store_part part,
              const struct lmi_store_id *id, bool *found_out,
              struct lmi_store_value *value_out, struct lmi_err *err)
{
    *found_out = false;
    value_out->len = 0;
    return store->keeper->get(store->self, part, id, found_out, value_out, err);
}

enum lmi_rc
lmi_store_apply(struct lmi_store *store, enum lmi_store_part part,
                const struct lmi_store_op *ops, size_t count, int64_t now,
                bool *done_out, struct lmi_err *err)
{
    *done_out = false;
    return store->keeper->apply(store->self, part, ops, count, now, done_out,
                                err);
}

enum lmi_rc
lmi_store_next(struct lmi_store *store, enum lmi_store_part part,
               const uint8_t *prefix, size_t prefix_len,
               const struct lmi_store_place *after, bool *found_out,
               struct lmi_store_place *place_out, struct lmi_err *err)
{
    *found_out = false;
    return store->keeper->next(store->self, part, prefix, prefix_len, after,
                               found_out, place_out, err);
}
