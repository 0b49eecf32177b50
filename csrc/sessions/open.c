#include "sessions/open.h"

#include <stdio.h>
#include <unistd.h>

#include "base/error.h"

enum lmi_rc
lmi_open_store(const struct lmi_store_place *place, bool must_exist,
               struct lmi_store **out, struct lmi_err *err)
{
    const struct lmi_store_where where = {.url = place->store,
                                          .volatile_dir = place->volatile_dir,
                                          .password_file = place->password_file,
                                          .alone = place->alone,
                                          .must_exist = must_exist,
                                          .ignore_mark = true};

    return lmi_store_open(&where, out, err);
}

enum lmi_rc
lmi_store_init(struct lmi *lmi, const char *admin_url, struct lmi_err *err)
{
    enum lmi_rc rc = lmi_enter_settings(lmi, err);

    if (rc != LMI_OK)
        return rc;
    const struct lmi_settings *settings = lmi_settings_of(lmi);
    const struct lmi_store_where where = {
        .url = settings->store, .password_file = settings->store_password_file};
    return lmi_store_prepare(&where, admin_url, err);
}

enum lmi_rc
lmi_open_settings_place(struct lmi *lmi, struct lmi_store_place *out,
                        struct lmi_err *err)
{
    enum lmi_rc rc = lmi_enter_settings(lmi, err);

    if (rc == LMI_OK && !lmi_settings_place(lmi_settings_of(lmi),
                                            lmi_settings_of(lmi)->store, out))
        rc =
            lmi_fail(err, LMI_SETTINGS, 0, NULL, "store has a bad value", NULL);
    return rc;
}

enum lmi_rc
lmi_open_existing(struct lmi *lmi, struct lmi_err *err)
{
    struct lmi_store *store = NULL;
    struct lmi_store_place place;
    enum lmi_rc rc = lmi_open_settings_place(lmi, &place, err);

    if (rc == LMI_OK)
        rc = lmi_open_store(&place, true, &store, err);
    lmi_store_close(store);
    return rc != LMI_OK ? rc : lmi_enter_store(lmi, true, err);
}

enum lmi_rc
lmi_open_is_empty(struct lmi_store *store, bool *out, struct lmi_err *err)
{
    struct lmi_store_entry entry;
    size_t count = 0;
    enum lmi_rc rc =
        lmi_store_walk(store, LMI_DURABLE, NULL, &entry, 1, &count, err);

    *out = rc == LMI_OK && count == 0;
    return rc;
}

enum lmi_rc
lmi_open_keys_fit(struct lmi_store *store, struct lmi_keys *keys,
                  const char *key_path, struct lmi_err *err)
{
    struct lmi_store_value there;
    bool found = false, good = false;
    enum lmi_rc rc =
        lmi_store_get(store, LMI_DURABLE, &lmi_key_entry, &found, &there, err);

    if (rc == LMI_OK && found)
        rc = lmi_key_entry_fits(keys, &there, &good, NULL, err);
    if (rc != LMI_OK || good)
        return rc;
    lmi_fail(err, LMI_KEY, 0, key_path,
             "is not the key that the store was made with",
             "bring the key back");
    return lmi_err_name(err, "key.other");
}

enum lmi_rc
lmi_open_key_place(const char *key, const char *path, const char *text,
                   const char *remedy, struct lmi_err *err)
{
    bool same = true;
    enum lmi_rc rc = LMI_OK;

    if (access(path, F_OK) == 0)
        rc = lmi_keys_same(key, path, &same, err);
    if (rc != LMI_OK || same)
        return rc;
    lmi_fail(err, LMI_KEY, 0, path, text, remedy);
    return lmi_err_name(err, "key.taken");
}

enum lmi_rc
lmi_open_mark(struct lmi_store *store, enum lmi_store_part part,
              enum lmi_store_state state, const char *other, bool empty,
              struct lmi_err *err)
{
    struct lmi_store_mark mark = {.state = state};

    snprintf(mark.other, sizeof mark.other, "%.*s", (int)sizeof mark.other - 1,
             other);
    return lmi_store_mark_put(store, part, &mark, empty, err);
}

enum lmi_rc
lmi_open_exists(struct lmi_err *err, const char *store, const char *remedy)
{
    lmi_fail(err, LMI_STORE, 0, store, "there is a store already", remedy);
    return lmi_err_name(err, "store.exists");
}
