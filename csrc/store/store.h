/*
 * Where sessions are kept: the contract of every backend.
 *
 *  - An entry has a kind (one byte) and a key (32 bytes), a value that the
 *    store does not look into, a time after which it may be removed, and
 *    perhaps a group, by which entries are found and removed together.
 *  - Changes come in small batches. A batch happens as a whole or not at
 *    all, and what lmi_store_apply() has reported as done is durable in the
 *    durable part.
 *  - There are no open transactions: every call is complete in itself.
 *  - A handle survives fork(). A store that comes in the place of the open
 *    one is for a new handle.
 *  - A store may be marked as one that must not be used: because it has moved,
 *    or is not whole yet. Then every change is a fault, LMI_STORE, and so is
 *    whatever finds nothing: who marks a store takes out what others could
 *    still find, or has not put it there yet.
 *
 * An expired entry may still be returned; the caller looks at its clock.
 */
#ifndef LMI_STORE_H
#define LMI_STORE_H

#include "logmein.h"

enum lmi_store_part {
    LMI_DURABLE, /* sessions and tickets */
    /* The volatile part: losing it ends a session early, nothing else. */
    LMI_VOLATILE,
};

#define LMI_STORE_KEY 32   /* bytes */
#define LMI_STORE_GROUP 64 /* bytes at most */
#define LMI_STORE_CAPPED 2
#define LMI_STORE_VALUE 1024 /* bytes at most */

struct lmi_store_id {
    uint8_t kind;
    uint8_t key[LMI_STORE_KEY];
};

struct lmi_store_value {
    size_t len;
    uint8_t bytes[LMI_STORE_VALUE];
};

enum lmi_store_verb {
    LMI_STORE_ADD,        /* fails the batch if an entry is there */
    LMI_STORE_SWAP,       /* fails the batch unless `old` is there */
    LMI_STORE_PUT,        /* whatever is there */
    LMI_STORE_DROP,       /* whatever is there, if anything */
    LMI_STORE_DROP_GROUP, /* every entry of the group */
};

struct lmi_store_op {
    enum lmi_store_verb verb;
    struct lmi_store_id id;         /* unused by DROP_GROUP */
    int64_t expires;                /* ADD, SWAP, PUT */
    uint8_t group[LMI_STORE_GROUP]; /* ADD, SWAP, PUT, DROP_GROUP */
    size_t group_len;               /* 0: none */
    uint32_t cap; /* ADD, SWAP, PUT: the most entries in all groups that share
                     the first LMI_STORE_CAPPED bytes of this one; 0: no limit.
                     The first in the order of lmi_store_next() make room, but
                     not this entry. Such groups always have the same cap. A
                     store at the end of a network may keep a cap of more than
                     100 roughly: a tenth more for a while. */
    const struct lmi_store_value *value; /* ADD, SWAP, PUT */
    const struct lmi_store_value *old;   /* SWAP */
};

struct lmi_store;

/* Which store; the strings are borrowed while the handle lives. */
struct lmi_store_where {
    const char *url;           /* "lmdb:/FOLDER", or "postgresql://..." */
    const char *volatile_dir;  /* LMDB: the folder of the volatile part */
    const char *password_file; /* PostgreSQL; NULL or empty: none */
    bool alone;       /* PostgreSQL: it may be without synchronous standbys */
    bool test_full;   /* behave as if the disk were full; for tests */
    bool must_exist;  /* a fault, "store.none", instead of making one */
    bool ignore_mark; /* for who sets it */
};

/*
 * Opens a store and makes it if need be. The volatile part is opened, and
 * made, when it is first used. A database is not connected to before the first
 * call, which is a fault, "store.none", if lmi_store_prepare() was never called
 * for it.
 */
LMI_RC lmi_store_open(const struct lmi_store_where *where,
                      struct lmi_store **out, struct lmi_err *err);
void lmi_store_close(struct lmi_store *store);

/*
 * Makes the store in a database, or brings it to this version: as the user of
 * admin_url, who may make schemas there. The user of where->url may then use
 * it, and is made if need be, with the password that is in the file. A store in
 * LMDB needs none of this: a fault.
 */
LMI_RC lmi_store_prepare(const struct lmi_store_where *where,
                         const char *admin_url, struct lmi_err *err);

/*
 * Has another store come in the place of this one, or none? Unless at_once,
 * looked at when a second has begun since the last call: false until then.
 */
LMI_CHECK bool lmi_store_replaced(struct lmi_store *store, bool at_once);

/* A store kept by another backend than the URL would choose; self is its own,
 * and closed with the store. */
struct lmi_store_backend;
LMI_RC lmi_store_adopt(const struct lmi_store_backend *backend, void *self,
                       struct lmi_store **out, struct lmi_err *err);

/*
 * What lmi_store_get_many() is asked for, and its answer: found is false, and
 * value empty, if there is no such entry.
 */
struct lmi_store_want {
    enum lmi_store_part part;
    struct lmi_store_id id;
    bool found;
    struct lmi_store_value value;
};

/*
 * Reads entries of one or both parts, at most LMI_STORE_WANTS, in one round
 * trip where the store is at the end of a network. Each is as it was at some
 * moment of the call, not all at the same; or up to `age` milliseconds before,
 * but no earlier than the last change by this handle.
 */
#define LMI_STORE_WANTS 9
LMI_RC lmi_store_get_many(struct lmi_store *store, struct lmi_store_want *wants,
                          size_t count, unsigned age, struct lmi_err *err);

/* The same for one entry, as it is now. */
LMI_RC lmi_store_get(struct lmi_store *store, enum lmi_store_part part,
                     const struct lmi_store_id *id, bool *found_out,
                     struct lmi_store_value *value_out, struct lmi_err *err);

/*
 * Applies a batch, and in the same step removes up to 16 entries that
 * expired before now, unless now is more than an hour ahead of the last
 * batch's, or, if the store is on a server, of the server's clock; there it is
 * one batch of eight that removes, up to 128. done_out is false if an ADD or
 * SWAP did not find what it expects; nothing has changed then.
 */
LMI_RC lmi_store_apply(struct lmi_store *store, enum lmi_store_part part,
                       const struct lmi_store_op *ops, size_t count,
                       int64_t now, bool *done_out, struct lmi_err *err);

/* Removes at most `limit` entries that expired before now, in one step. */
LMI_RC lmi_store_purge(struct lmi_store *store, enum lmi_store_part part,
                       int64_t now, uint32_t limit, uint32_t *removed_out,
                       struct lmi_err *err);

/* A whole entry, as it is read by pages and as another store takes it. */
struct lmi_store_entry {
    struct lmi_store_id id;
    int64_t expires;
    size_t group_len;
    uint8_t group[LMI_STORE_GROUP];
    uint32_t cap; /* UINT32_MAX if the entry counts towards a cap, else 0 */
    struct lmi_store_value value;
};

/*
 * The entries whose group begins with this prefix, behind `after` (NULL: from
 * the first on), expired ones too: at most `size` of them, none at the end.
 * They come in the order of their groups; inside a group, what expires first
 * comes first, then by kind and key. An empty prefix finds every entry that
 * has a group. `after` may point into what is overwritten; of it group, expires
 * and id are looked at, and it need not be there any more.
 */
LMI_RC lmi_store_next(struct lmi_store *store, enum lmi_store_part part,
                      const uint8_t *prefix, size_t prefix_len,
                      const struct lmi_store_entry *after,
                      struct lmi_store_entry *out, size_t size,
                      size_t *count_out, struct lmi_err *err);

/* How many entries lmi_store_next() finds with this prefix; not more than
 * `most` are counted. */
LMI_RC lmi_store_count(struct lmi_store *store, enum lmi_store_part part,
                       const uint8_t *prefix, size_t prefix_len, size_t most,
                       size_t *count_out, struct lmi_err *err);

/*
 * The entries behind `after` (NULL: from the first on) in the order of their
 * kinds and keys, expired ones too: at most `size` of them, none at the end.
 * `after` may point into what is overwritten.
 */
LMI_RC lmi_store_walk(struct lmi_store *store, enum lmi_store_part part,
                      const struct lmi_store_id *after,
                      struct lmi_store_entry *out, size_t size,
                      size_t *count_out, struct lmi_err *err);

/*
 * From now on all changes of the part by other processes wait, as for any
 * other change, but no longer than 30 seconds. A process that ends holds
 * nothing any more.
 */
LMI_RC lmi_store_hold(struct lmi_store *store, enum lmi_store_part part,
                      struct lmi_err *err);
void lmi_store_release(struct lmi_store *store, enum lmi_store_part part);

/* Why a store is marked, and which other store has to do with it. */
enum lmi_store_state {
    LMI_STORE_USED = 0,
    LMI_STORE_MOVED,   /* to the store of this URL */
    LMI_STORE_FILLED,  /* from the store of this URL: not whole yet */
    LMI_STORE_RESTORED /* from the backup in this folder: not whole yet */
};
#define LMI_STORE_URL 272 /* bytes, with the NUL */
struct lmi_store_mark {
    enum lmi_store_state state;
    char other[LMI_STORE_URL];
};

/*
 * Marks the part, or takes its mark away (LMI_STORE_USED), and with `empty`
 * removes all its entries, in one step. For handles that ignore marks.
 */
LMI_RC lmi_store_mark_put(struct lmi_store *store, enum lmi_store_part part,
                          const struct lmi_store_mark *mark, bool empty,
                          struct lmi_err *err);
LMI_RC lmi_store_mark_get(struct lmi_store *store, enum lmi_store_part part,
                          struct lmi_store_mark *out, struct lmi_err *err);

/* For backends: the fault of a marked store, "store.moved" or
 * "store.unfinished", at this place. */
enum lmi_rc lmi_store_marked(const struct lmi_store_mark *mark,
                             const char *location, struct lmi_err *err);

/* As lmi_store_report_get(), of the durable part; zeros where a backend can't
 * tell. */
LMI_RC lmi_store_report(struct lmi_store *store, struct lmi_store_report *out,
                        struct lmi_err *err);

/* The table of functions behind the calls above; one for each backend. */
struct lmi_store_backend {
    enum lmi_rc (*open)(const struct lmi_store_where *where, void **out,
                        struct lmi_err *err);
    enum lmi_rc (*prepare)(const struct lmi_store_where *where,
                           const char *admin_url,
                           struct lmi_err *err); /* NULL: not needed */
    void (*close)(void *self);
    bool (*replaced)(void *self, bool at_once); /* NULL: never */
    enum lmi_rc (*get_many)(void *self, struct lmi_store_want *wants,
                            size_t count, unsigned age, struct lmi_err *err);
    enum lmi_rc (*apply)(void *self, enum lmi_store_part part,
                         const struct lmi_store_op *ops, size_t count,
                         int64_t now, bool *done_out, struct lmi_err *err);
    enum lmi_rc (*purge)(void *self, enum lmi_store_part part, int64_t now,
                         uint32_t limit, uint32_t *removed_out,
                         struct lmi_err *err);
    enum lmi_rc (*next)(void *self, enum lmi_store_part part,
                        const uint8_t *prefix, size_t prefix_len,
                        const struct lmi_store_entry *after,
                        struct lmi_store_entry *out, size_t size,
                        size_t *count_out, struct lmi_err *err);
    enum lmi_rc (*count)(void *self, enum lmi_store_part part,
                         const uint8_t *prefix, size_t prefix_len, size_t most,
                         size_t *count_out, struct lmi_err *err);
    enum lmi_rc (*report)(void *self, struct lmi_store_report *out,
                          struct lmi_err *err); /* NULL: can't tell */
    enum lmi_rc (*walk)(void *self, enum lmi_store_part part,
                        const struct lmi_store_id *after,
                        struct lmi_store_entry *out, size_t size,
                        size_t *count_out, struct lmi_err *err);
    enum lmi_rc (*hold)(void *self, enum lmi_store_part part,
                        struct lmi_err *err);
    void (*release)(void *self, enum lmi_store_part part);
    enum lmi_rc (*mark_put)(void *self, enum lmi_store_part part,
                            const struct lmi_store_mark *mark, bool empty,
                            struct lmi_err *err);
    enum lmi_rc (*mark_get)(void *self, enum lmi_store_part part,
                            struct lmi_store_mark *out, struct lmi_err *err);
};

#endif
