/* Stores that an operator's command works on, beside the one in use. */
#ifndef LMI_OPEN_H
#define LMI_OPEN_H

#include "sessions/handle.h"

/*
 * Opens a store whether it is marked or not; must_exist: as in struct
 * lmi_store_where.
 */
LMI_RC lmi_open_store(const struct lmi_store_place *place, bool must_exist,
                      struct lmi_store **out, struct lmi_err *err);

/* Where the store of the settings and what belongs to it lie. */
LMI_RC lmi_open_settings_place(struct lmi *lmi, struct lmi_store_place *out,
                               struct lmi_err *err);

/* As lmi_enter(), but a store that is missing is a fault, "store.none". */
LMI_RC lmi_open_existing(struct lmi *lmi, struct lmi_err *err);

/* Is there no entry in the durable part? */
LMI_RC lmi_open_is_empty(struct lmi_store *store, bool *out,
                         struct lmi_err *err);

/* A fault, "key.other", unless these are the keys of the store. */
LMI_RC lmi_open_keys_fit(struct lmi_store *store, struct lmi_keys *keys,
                         const char *key_path, struct lmi_err *err);

/* A fault, "key.taken" with this text and remedy, if there is another key than
 * `key` at path. */
LMI_RC lmi_open_key_place(const char *key, const char *path, const char *text,
                          const char *remedy, struct lmi_err *err);

/* As lmi_store_mark_put(); other is cut if it is too long for a mark. */
LMI_RC lmi_open_mark(struct lmi_store *store, enum lmi_store_part part,
                     enum lmi_store_state state, const char *other, bool empty,
                     struct lmi_err *err);

/* The fault "store.exists", at this store. */
enum lmi_rc lmi_open_exists(struct lmi_err *err, const char *store,
                            const char *remedy);

#endif
