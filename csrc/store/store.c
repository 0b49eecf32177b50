#include "store/store.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "store/lmdb.h"

struct lmi_store {
    const struct lmi_store_backend *backend;
    void *self;
    bool test_full;
};

enum lmi_rc
lmi_store_adopt(const struct lmi_store_backend *backend, void *self,
                struct lmi_store **out, struct lmi_err *err)
{
    *out = calloc(1, sizeof **out);
    if (*out == NULL)
        return lmi_no_memory(err);
    (*out)->backend = backend;
    (*out)->self = self;
    return LMI_OK;
}

/*
 * Which backend keeps the stores of a scheme. One that is not built in lies in
 * a loadable object, in the folder that the linker was told (DT_RUNPATH).
 */
struct scheme {
    const char *name;
    const struct lmi_store_backend *backend;
    const char *object, *symbol, *package;
};
static const struct scheme schemes[] = {
    {"lmdb:", &lmi_store_lmdb, NULL, NULL, NULL},
    {"postgresql:", NULL, "logmein-postgres.so", "lmi_store_postgres",
     "install libpq-dev (Debian) or libpq-devel (Red Hat), and build again"},
};

/* The object stays loaded: libpq, and what it uses, can't be unloaded. */
static enum lmi_rc
load(const struct scheme *scheme, const struct lmi_store_backend **out,
     struct lmi_err *err)
{
    void *object = dlopen(scheme->object, RTLD_NOW | RTLD_LOCAL);

    *out = object == NULL ? NULL : dlsym(object, scheme->symbol);
    if (*out != NULL)
        return LMI_OK;
    lmi_fail(err, LMI_LIBRARY, 0, scheme->object,
             "stores of this kind can't be used", scheme->package);
    lmi_err_add_location(err, " (%.200s)", dlerror());
    return lmi_err_name(err, "store.library");
}

static enum lmi_rc
backend_of(const char *url, const struct lmi_store_backend **out,
           struct lmi_err *err)
{
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (strncmp(url, schemes[i].name, strlen(schemes[i].name)) == 0) {
            *out = schemes[i].backend;
            return *out != NULL ? LMI_OK : load(&schemes[i], out, err);
        }
    return lmi_fail(err, LMI_SETTINGS, 0, "store",
                    "is of no kind that is known",
                    "set store = lmdb:/FOLDER or postgresql://...");
}

enum lmi_rc
lmi_store_open(const struct lmi_store_where *where, struct lmi_store **out,
               struct lmi_err *err)
{
    const struct lmi_store_backend *backend;
    void *self;
    enum lmi_rc rc = backend_of(where->url, &backend, err);

    *out = NULL;
    if (rc == LMI_OK)
        rc = backend->open(where, &self, err);
    if (rc != LMI_OK)
        return rc;
    rc = lmi_store_adopt(backend, self, out, err);
    if (rc != LMI_OK)
        backend->close(self);
    else
        (*out)->test_full = where->test_full;
    return rc;
}

enum lmi_rc
lmi_store_prepare(const struct lmi_store_where *where, const char *admin_url,
                  struct lmi_err *err)
{
    const struct lmi_store_backend *backend;
    enum lmi_rc rc = backend_of(where->url, &backend, err);

    if (rc == LMI_OK && backend->prepare == NULL)
        return lmi_fail(err, LMI_STORE, 0, where->url,
                        "a store of this kind is made when it is first used",
                        NULL);
    return rc != LMI_OK ? rc : backend->prepare(where, admin_url, err);
}

void
lmi_store_close(struct lmi_store *store)
{
    if (store == NULL)
        return;
    store->backend->close(store->self);
    free(store);
}

bool
lmi_store_replaced(struct lmi_store *store, bool at_once)
{
    return store->backend->replaced != NULL &&
           store->backend->replaced(store->self, at_once);
}

enum lmi_rc
lmi_store_get_many(struct lmi_store *store, struct lmi_store_want *wants,
                   size_t count, unsigned age, struct lmi_err *err)
{
    for (size_t i = 0; i < count; i++) {
        wants[i].found = false;
        wants[i].value.len = 0;
    }
    return store->backend->get_many(store->self, wants, count, age, err);
}

enum lmi_rc
lmi_store_get(struct lmi_store *store, enum lmi_store_part part,
              const struct lmi_store_id *id, bool *found_out,
              struct lmi_store_value *value_out, struct lmi_err *err)
{
    struct lmi_store_want want;

    want.part = part;
    want.id = *id;
    enum lmi_rc rc = lmi_store_get_many(store, &want, 1, 0, err);
    *found_out = rc == LMI_OK && want.found;
    value_out->len = *found_out ? want.value.len : 0;
    memcpy(value_out->bytes, want.value.bytes, value_out->len);
    return rc;
}

static bool
needs_room(const struct lmi_store_op *ops, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ops[i].value != NULL)
            return true;
    return false;
}

enum lmi_rc
lmi_store_apply(struct lmi_store *store, enum lmi_store_part part,
                const struct lmi_store_op *ops, size_t count, int64_t now,
                bool *done_out, struct lmi_err *err)
{
    *done_out = false;
    if (store->test_full && part == LMI_DURABLE && needs_room(ops, count))
        return lmi_fail(err, LMI_STOREFULL, ENOSPC, "test_fault",
                        "the store is simulated to be full", NULL);
    return store->backend->apply(store->self, part, ops, count, now, done_out,
                                 err);
}

enum lmi_rc
lmi_store_purge(struct lmi_store *store, enum lmi_store_part part, int64_t now,
                uint32_t limit, uint32_t *removed_out, struct lmi_err *err)
{
    *removed_out = 0;
    return store->backend->purge(store->self, part, now, limit, removed_out,
                                 err);
}

enum lmi_rc
lmi_store_next(struct lmi_store *store, enum lmi_store_part part,
               const uint8_t *prefix, size_t prefix_len,
               const struct lmi_store_entry *after, struct lmi_store_entry *out,
               size_t size, size_t *count_out, struct lmi_err *err)
{
    *count_out = 0;
    return store->backend->next(store->self, part, prefix, prefix_len, after,
                                out, size, count_out, err);
}

enum lmi_rc
lmi_store_count(struct lmi_store *store, enum lmi_store_part part,
                const uint8_t *prefix, size_t prefix_len, size_t most,
                size_t *count_out, struct lmi_err *err)
{
    *count_out = 0;
    return store->backend->count(store->self, part, prefix, prefix_len, most,
                                 count_out, err);
}

enum lmi_rc
lmi_store_report(struct lmi_store *store, struct lmi_store_report *out,
                 struct lmi_err *err)
{
    *out = (struct lmi_store_report){.clock = 0};
    return store->backend->report == NULL
               ? LMI_OK
               : store->backend->report(store->self, out, err);
}

enum lmi_rc
lmi_store_walk(struct lmi_store *store, enum lmi_store_part part,
               const struct lmi_store_id *after, struct lmi_store_entry *out,
               size_t size, size_t *count_out, struct lmi_err *err)
{
    *count_out = 0;
    return store->backend->walk(store->self, part, after, out, size, count_out,
                                err);
}

enum lmi_rc
lmi_store_hold(struct lmi_store *store, enum lmi_store_part part,
               struct lmi_err *err)
{
    return store->backend->hold(store->self, part, err);
}

void
lmi_store_release(struct lmi_store *store, enum lmi_store_part part)
{
    store->backend->release(store->self, part);
}

enum lmi_rc
lmi_store_mark_put(struct lmi_store *store, enum lmi_store_part part,
                   const struct lmi_store_mark *mark, bool empty,
                   struct lmi_err *err)
{
    return store->backend->mark_put(store->self, part, mark, empty, err);
}

enum lmi_rc
lmi_store_mark_get(struct lmi_store *store, enum lmi_store_part part,
                   struct lmi_store_mark *out, struct lmi_err *err)
{
    *out = (struct lmi_store_mark){.state = LMI_STORE_USED};
    return store->backend->mark_get(store->self, part, out, err);
}

enum lmi_rc
lmi_store_marked(const struct lmi_store_mark *mark, const char *location,
                 struct lmi_err *err)
{
    const char *text = "this store has moved";
    const char *remedy = "set store to the new one, and reload the gateway";

    if (mark->state == LMI_STORE_FILLED) {
        text = "a copy into this store has not come to its end";
        remedy = "run logmein store copy again, or use the old store";
    } else if (mark->state == LMI_STORE_RESTORED) {
        text = "a backup has not been restored completely";
        remedy = "run logmein store restore again";
    }
    lmi_fail(err, LMI_STORE, 0, location, text, remedy);
    lmi_err_add_location(
        err, mark->state == LMI_STORE_MOVED ? " (now %s)" : " (from %s)",
        mark->other);
    return lmi_err_name(err, mark->state == LMI_STORE_MOVED
                                 ? "store.moved"
                                 : "store.unfinished");
}
