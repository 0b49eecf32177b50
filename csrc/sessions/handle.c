#include "sessions/handle.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "sessions/deferred.h"
#include "sessions/machines.h"
#include "sessions/record.h"

#define YOUNG_SECONDS 2 /* an editor may still be writing the file */
#define WARN_SECONDS 60

struct lmi {
    struct lmi_crypto *crypto;
    bool pinned;             /* the settings stay as they are */
    char *path;              /* of the settings file */
    struct lmi_file_id file; /* which was read; zeros: there was none */
    time_t warned;           /* of a file that can't be used */
    struct lmi_settings *settings;
    struct lmi_log_state *log;     /* also that of processes forked from here */
    struct lmi_counters *counters; /* likewise */
    struct lmi_deferred *deferred; /* NULL: checks wait for their writes */
    struct lmi_site *site;
    struct lmi_store *store;
    struct lmi_keys *keys;
    time_t keys_looked; /* when a pinned handle looked for another key */
    int64_t noted;      /* when this machine's note was looked at; 0: not */
};

enum lmi_rc
lmi_new(const struct lmi *like, struct lmi **out, struct lmi_err *err)
{
    struct lmi *lmi = calloc(1, sizeof *lmi);
    enum lmi_rc rc = LMI_OK;

    *out = NULL;
    if (lmi == NULL)
        return lmi_no_memory(err);
    if (like != NULL) {
        lmi->crypto = lmi_crypto_share(like->crypto);
        lmi->counters = lmi_counters_share(like->counters);
    } else {
        rc = lmi_crypto_new(&lmi->crypto, err);
        if (rc == LMI_OK)
            rc = lmi_counters_new(&lmi->counters, err);
    }
    if (rc == LMI_OK)
        rc = lmi_log_state_new(&lmi->log, err);
    if (rc != LMI_OK) {
        lmi_free(lmi);
        return rc;
    }
    *out = lmi;
    return LMI_OK;
}

enum lmi_rc
lmi_new_beside(const struct lmi *other, struct lmi **out, struct lmi_err *err)
{
    enum lmi_rc rc = lmi_new(NULL, out, err);

    if (rc != LMI_OK)
        return rc;
    lmi_counters_free((*out)->counters);
    (*out)->counters = lmi_counters_share(other->counters);
    (*out)->deferred = lmi_deferred_share(other->deferred);
    return LMI_OK;
}

enum lmi_rc
lmi_defer(struct lmi *lmi, struct lmi_err *err)
{
    return lmi->deferred != NULL ? LMI_OK
                                 : lmi_deferred_new(&lmi->deferred, err);
}

static void
store_close(struct lmi *lmi)
{
    lmi_store_close(lmi->store);
    lmi_keys_free(lmi->keys);
    lmi->store = NULL;
    lmi->keys = NULL;
    lmi->noted = 0;
}

/* Everything that depends on the settings, and the settings. */
static void
settings_close(struct lmi *lmi)
{
    store_close(lmi);
    lmi_site_close(lmi->site);
    lmi_settings_free(lmi->settings);
    free(lmi->path);
    lmi->site = NULL;
    lmi->settings = NULL;
    lmi->path = NULL;
}

void
lmi_free(struct lmi *lmi)
{
    if (lmi == NULL)
        return;
    settings_close(lmi);
    lmi_log_state_free(lmi->log);
    lmi_counters_free(lmi->counters);
    lmi_deferred_free(lmi->deferred);
    lmi_crypto_free(lmi->crypto);
    free(lmi);
}

static bool
is_young(const struct lmi_file_id *file)
{
    int64_t age = (int64_t)time(NULL) - (int64_t)file->modified.tv_sec;

    return age > -YOUNG_SECONDS && age < YOUNG_SECONDS;
}

/* Reads the file at path; on failure all stays as it was. */
static enum lmi_rc
settings_read(struct lmi *lmi, const char *path, struct lmi_err *err)
{
    struct lmi_settings *settings;
    struct lmi_file_id file;
    char *copy = strdup(path);
    enum lmi_rc rc;

    if (copy == NULL)
        return lmi_no_memory(err);
    rc = lmi_settings_load(path, &file, &settings, err);
    if (rc != LMI_OK) {
        free(copy);
        return rc;
    }
    /* A file that is still being written is read again when it is older. */
    if (is_young(&file))
        file.modified.tv_sec = 0;
    settings_close(lmi);
    lmi->path = copy;
    lmi->file = file;
    lmi->settings = settings;
    lmi->settings->log_state = lmi->log;
    lmi->warned = 0;
    if (settings->has_test_clock || settings->test_fault != LMI_FAULT_NONE)
        lmi_log_note(settings, "TEST", true,
                     "test_clock or test_fault is set: this is a test site");
    return LMI_OK;
}

/* Good settings stay in force, which is logged once a minute. */
static void
settings_keep(struct lmi *lmi, const struct lmi_err *err)
{
    time_t now = time(NULL);

    if (lmi->warned != 0 && now - lmi->warned < WARN_SECONDS)
        return;
    lmi->warned = now;
    lmi_fault(lmi, err->code, err);
}

/* See lmi_pin() in logmein.h. */
static enum lmi_rc
settings_follow(struct lmi *lmi, struct lmi_err *err)
{
    const char *path = lmi_settings_path();
    bool ours = lmi->settings != NULL && strcmp(path, lmi->path) == 0;
    struct lmi_file_id there = lmi_file_identify(path);
    struct lmi_err why;
    enum lmi_rc rc;

    if (ours && (lmi_file_id_equal(&there, &lmi->file) || is_young(&there)))
        return LMI_OK;
    if (ours && there.inode == 0)
        rc = lmi_fail(&why, LMI_SETTINGS, 0, path, "is missing",
                      "the settings that were read before stay in force");
    else
        rc = settings_read(lmi, path, &why);
    if (rc != LMI_OK && ours) {
        settings_keep(lmi, &why);
        return LMI_OK;
    }
    if (rc != LMI_OK)
        *err = why;
    return rc;
}

enum lmi_rc
lmi_enter_settings(struct lmi *lmi, struct lmi_err *err)
{
    return lmi->pinned ? LMI_OK : settings_follow(lmi, err);
}

enum lmi_rc
lmi_pin(struct lmi *lmi, struct lmi_err *err)
{
    enum lmi_rc rc = settings_read(lmi, lmi_settings_path(), err);

    lmi->pinned = rc == LMI_OK;
    return rc;
}

enum lmi_rc
lmi_settings_look(const struct lmi *lmi, struct lmi_err *err)
{
    const char *path = lmi_settings_path();
    struct lmi_file_id there = lmi_file_identify(path), read;
    struct lmi_settings *settings;
    enum lmi_rc rc;

    if (lmi->path != NULL && strcmp(path, lmi->path) == 0) {
        if (lmi_file_id_equal(&there, &lmi->file))
            return LMI_OK;
        if (there.inode == 0)
            return lmi_fail(err, LMI_SETTINGS, 0, path, "is missing",
                            "the settings that were read before stay in force");
    }
    rc = lmi_settings_load(path, &read, &settings, err);
    if (rc == LMI_OK)
        lmi_settings_free(settings);
    return rc;
}

enum lmi_rc
lmi_settings_get(struct lmi *lmi, const struct lmi_settings **out,
                 struct lmi_err *err)
{
    enum lmi_rc rc = lmi_enter_settings(lmi, err);

    *out = rc == LMI_OK ? lmi->settings : NULL;
    return rc;
}

enum lmi_rc
lmi_enter_site(struct lmi *lmi, struct lmi_site **out, struct lmi_err *err)
{
    enum lmi_rc rc = LMI_OK;

    if (lmi->site != NULL && !lmi_site_in_place(lmi->site)) {
        lmi_site_close(lmi->site);
        lmi->site = NULL;
    }
    if (lmi->site == NULL)
        rc = lmi_site_open(lmi->settings->site_root, &lmi->site, err);
    *out = lmi->site;
    return rc;
}

const struct lmi_store_id lmi_key_entry = {.kind = LMI_KIND_META};

enum lmi_rc
lmi_key_entry_fits(struct lmi_keys *keys, const struct lmi_store_value *there,
                   bool *out, enum lmi_key *which_out, struct lmi_err *err)
{
    *out = false;
    return there->len == LMI_HASH
               ? lmi_keys_verify(keys, LMI_MAC_META, "", 0, there->bytes,
                                 LMI_HASH, out, which_out, err)
               : LMI_OK;
}

static enum lmi_rc
another_key(struct lmi_err *err, const char *name, const char *path,
            const char *text)
{
    lmi_fail(err, LMI_KEY, 0, path, text,
             "bring the key back, or name it as key_file_old; without "
             "it, empty the store: everybody logs in again");
    return lmi_err_name(err, name);
}

static enum lmi_rc
fingerprint_check(const struct lmi *lmi, struct lmi_keys *keys,
                  const struct lmi_store_value *there, enum lmi_key *which_out,
                  struct lmi_err *err)
{
    bool good;
    enum lmi_rc rc = lmi_key_entry_fits(keys, there, &good, which_out, err);

    if (rc == LMI_OK && !good)
        rc = another_key(err, "key.other", lmi->settings->key_file,
                         "is not the key that the store was made with");
    return rc;
}

/* Leaves our key's fingerprint in a store that has none, or the old one's. */
static enum lmi_rc
fingerprint_leave(struct lmi *lmi, const struct lmi_store_value *old,
                  struct lmi_err *err)
{
    struct lmi_store_value mine, there;
    struct lmi_store_op op = {.verb =
                                  old != NULL ? LMI_STORE_SWAP : LMI_STORE_ADD,
                              .id = lmi_key_entry,
                              .expires = INT64_MAX,
                              .value = &mine,
                              .old = old};
    bool done = false, found = false;
    enum lmi_rc rc =
        lmi_keys_mac(lmi->keys, LMI_MAC_META, "", 0, mine.bytes, err);

    mine.len = LMI_HASH;
    if (rc == LMI_OK)
        rc = lmi_store_apply(lmi->store, LMI_DURABLE, &op, 1, lmi_now(lmi),
                             &done, err);
    if (rc != LMI_OK || done)
        return rc;
    /* Another process was first: its key must be ours as well. */
    rc = lmi_store_get(lmi->store, LMI_DURABLE, &op.id, &found, &there, err);
    return rc != LMI_OK ? rc
                        : fingerprint_check(lmi, lmi->keys, &there, NULL, err);
}

enum lmi_rc
lmi_keys_read(struct lmi *lmi, bool *found_out, struct lmi_keys **out,
              struct lmi_err *err)
{
    const struct lmi_settings *settings = lmi->settings;
    char next[PATH_MAX];

    lmi_keys_next_path(settings->key_file, next);
    return lmi_keys_load(
        lmi->crypto, settings->key_file, settings->key_file_old,
        lmi_settings_shared(settings) ? next : NULL, found_out, out, err);
}

/* The key, made if the store is new: `known` is what the store remembers. */
static enum lmi_rc
keys_open(struct lmi *lmi, bool known, struct lmi_err *err)
{
    const struct lmi_settings *settings = lmi->settings;
    bool found = false;
    enum lmi_rc rc = lmi_keys_read(lmi, &found, &lmi->keys, err);

    if (rc != LMI_OK || found)
        return rc;
    if (known)
        return another_key(err, "key.missing", settings->key_file,
                           "is missing, and the store was made with it");
    rc = lmi_keys_make(lmi->crypto, settings->key_file, err);
    if (rc == LMI_OK)
        rc = lmi_keys_read(lmi, &found, &lmi->keys, err);
    if (rc == LMI_OK && !found)
        rc = another_key(err, "key.missing", settings->key_file, "vanished");
    return rc;
}

static enum lmi_rc
store_open(struct lmi *lmi, struct lmi_err *err)
{
    const struct lmi_settings *settings = lmi->settings;
    const struct lmi_store_where where = {
        .url = settings->store,
        .volatile_dir = settings->volatile_dir,
        .password_file = settings->store_password_file,
        .alone = settings->store_alone,
        .test_full = settings->test_fault == LMI_FAULT_STORE_FULL};
    struct lmi_store_value there;
    enum lmi_key which = LMI_KEY_PRESENT;
    bool known = false;
    enum lmi_rc rc;

    if (settings->test_fault == LMI_FAULT_STORE_AWAY)
        return lmi_fail(err, LMI_STORE, 0, "test_fault",
                        "the store is simulated to be missing", NULL);
    rc = lmi_store_open(&where, &lmi->store, err);
    if (rc == LMI_OK)
        rc = lmi_store_get(lmi->store, LMI_DURABLE, &lmi_key_entry, &known,
                           &there, err);
    if (rc == LMI_OK)
        rc = keys_open(lmi, known, err);
    if (rc == LMI_OK && known)
        rc = fingerprint_check(lmi, lmi->keys, &there, &which, err);
    if (rc == LMI_OK && (!known || which == LMI_KEY_OLD))
        rc = fingerprint_leave(lmi, known ? &there : NULL, err);
    return rc;
}

/* The key whose file is there now: NULL, and a fault, if it is not the store's.
 */
static enum lmi_rc
keys_read_again(struct lmi *lmi, struct lmi_keys **out, struct lmi_err *err)
{
    struct lmi_keys *keys = NULL;
    struct lmi_store_value there;
    bool found = false, known = false;
    enum lmi_rc rc;

    *out = NULL;
    rc = lmi_store_get(lmi->store, LMI_DURABLE, &lmi_key_entry, &known, &there,
                       err);
    if (rc == LMI_OK)
        rc = lmi_keys_read(lmi, &found, &keys, err);
    if (rc == LMI_OK && !found)
        rc = another_key(err, "key.missing", lmi->settings->key_file,
                         "is missing");
    else if (rc == LMI_OK && known)
        rc = fingerprint_check(lmi, keys, &there, NULL, err);
    if (rc == LMI_OK)
        *out = keys;
    else
        lmi_keys_free(keys);
    return rc;
}

/* Tells about a key whose file has changed, and leaves the one in use. */
enum lmi_rc
lmi_key_look(struct lmi *lmi, struct lmi_err *err)
{
    struct lmi_keys *keys;
    enum lmi_rc rc;

    if (lmi_keys_in_place(lmi->keys))
        return LMI_OK;
    rc = keys_read_again(lmi, &keys, err);
    lmi_keys_free(keys);
    return rc;
}

bool
lmi_keys_renew(struct lmi *lmi)
{
    struct lmi_keys *keys;
    struct lmi_err err;

    if (lmi_keys_in_place(lmi->keys) ||
        keys_read_again(lmi, &keys, &err) != LMI_OK)
        return false;
    lmi_keys_free(lmi->keys);
    lmi->keys = keys;
    lmi->noted = 0;
    return true;
}

/* A pinned handle follows a rotation within a second. */
static void
keys_follow(struct lmi *lmi)
{
    time_t now = time(NULL);

    if (lmi->keys_looked == now)
        return;
    lmi->keys_looked = now;
    if (lmi_keys_renew(lmi))
        lmi_log_note(lmi->settings, "NOTICE", false,
                     "the key has been renewed");
}

/*
 * Tells the other machines what this one has. A store that can't take it is a
 * fault of what the store is needed for, if it is; here it is tried again in a
 * minute.
 */
static void
note_machine(struct lmi *lmi)
{
    struct lmi_err ignored;
    int64_t now;

    if (!lmi_settings_shared(lmi->settings))
        return;
    now = lmi_now(lmi);
    if (lmi->noted != 0 && now < lmi->noted + LMI_MACHINE_AGAIN &&
        now >= lmi->noted)
        return;
    lmi->noted = now;
    if (lmi_machine_note(lmi, NULL, &ignored) != LMI_OK)
        lmi->noted = now - LMI_MACHINE_AGAIN + WARN_SECONDS;
}

enum lmi_rc
lmi_enter_store(struct lmi *lmi, bool at_once, struct lmi_err *err)
{
    enum lmi_rc rc;

    if (lmi->store != NULL && !lmi_store_replaced(lmi->store, at_once) &&
        (!at_once || lmi_keys_in_place(lmi->keys))) {
        if (!at_once)
            keys_follow(lmi);
        note_machine(lmi);
        return LMI_OK;
    }
    store_close(lmi);
    rc = store_open(lmi, err);
    if (rc != LMI_OK)
        store_close(lmi);
    else
        note_machine(lmi);
    return rc;
}

enum lmi_rc
lmi_enter(struct lmi *lmi, struct lmi_err *err)
{
    enum lmi_rc rc = lmi_enter_settings(lmi, err);

    return rc != LMI_OK ? rc : lmi_enter_store(lmi, !lmi->pinned, err);
}

enum lmi_rc
lmi_open(struct lmi *lmi, struct lmi_err *err)
{
    struct lmi_site *site;
    enum lmi_rc rc = lmi_enter(lmi, err);

    return rc != LMI_OK ? rc : lmi_enter_site(lmi, &site, err);
}

const struct lmi_settings *
lmi_settings_of(const struct lmi *lmi)
{
    return lmi->settings;
}

struct lmi_crypto *
lmi_crypto_of(const struct lmi *lmi)
{
    return lmi->crypto;
}

struct lmi_store *
lmi_store_of(const struct lmi *lmi)
{
    return lmi->store;
}

struct lmi_keys *
lmi_keys_of(const struct lmi *lmi)
{
    return lmi->keys;
}

struct lmi_deferred *
lmi_deferred_of(const struct lmi *lmi)
{
    return lmi->deferred;
}

struct lmi_counters *
lmi_counters_of(const struct lmi *lmi)
{
    return lmi->counters;
}

int64_t
lmi_now(const struct lmi *lmi)
{
    return lmi_settings_now(lmi->settings);
}

enum lmi_rc
lmi_fault(const struct lmi *lmi, enum lmi_rc rc, const struct lmi_err *err)
{
    char detail[LMI_DETAIL_SIZE];

    if (rc != LMI_OK)
        lmi_count(lmi->counters, LMI_NUMBER(faults) + rc);
    if (rc != LMI_OK && lmi->settings != NULL) {
        lmi_err_format(err, detail, sizeof detail);
        lmi_log_note(lmi->settings, "FAULT", true, detail);
    }
    return rc;
}

enum lmi_rc
lmi_log_try(struct lmi *lmi, const char *text, struct lmi_err *err)
{
    enum lmi_rc rc = lmi_enter_settings(lmi, err);

    return rc != LMI_OK ? rc : lmi_log_prove(lmi->settings, text, err);
}

enum lmi_rc
lmi_log_look(struct lmi *lmi, struct lmi_log_health *out, struct lmi_err *err)
{
    enum lmi_rc rc = lmi_enter_settings(lmi, err);

    *out = (struct lmi_log_health){.written = false};
    if (rc == LMI_OK)
        lmi_log_examine(lmi->settings, out, err);
    return rc;
}
