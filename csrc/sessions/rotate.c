#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "sessions/attempts.h"
#include "sessions/open.h"

#define BATCH 64

/* When the file was written, and when it last got a name. */
static bool
file_times(const char *path, int64_t *written_out, int64_t *named_out)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return false;
    *written_out = (int64_t)st.st_mtim.tv_sec;
    *named_out = (int64_t)st.st_ctim.tv_sec;
    return true;
}

static enum lmi_rc
look_at_files(const struct lmi_settings *settings, struct lmi_key_report *out,
              struct lmi_err *err)
{
    const char *path = settings->key_file;
    char old_path[PATH_MAX];
    int64_t named = 0, old_named = 0;

    lmi_keys_old_path(path, settings->key_file_old, old_path);
    snprintf(out->path, sizeof out->path, "%.*s", (int)sizeof out->path - 1,
             path);
    snprintf(out->old_path, sizeof out->old_path, "%.*s",
             (int)sizeof out->old_path - 1, old_path);
    out->old_is_set = settings->key_file_old[0] != '\0';
    if (!file_times(path, &out->made, &named))
        return LMI_OK;
    out->has_old = file_times(old_path, &out->old_made, &old_named);
    if (!out->has_old)
        return LMI_OK;
    out->rotated = named > old_named ? named : old_named;
    return lmi_keys_same(path, old_path, &out->unfinished, err);
}

/* Was it made with the old key? Of a known source only the time tells. */
static enum lmi_rc
count_entry(const struct lmi *lmi, struct lmi_keys *present,
            const struct lmi_store_entry *entry, struct lmi_key_report *out,
            struct lmi_err *err)
{
    struct lmi_record record;
    bool good = false, fresh = false;
    enum lmi_rc rc = LMI_OK;

    if (entry->expires < lmi_now(lmi))
        return LMI_OK;
    if (entry->id.kind == LMI_KIND_KNOWN && entry->value.len == 8) {
        out->known += lmi_get_time(entry->value.bytes) <= out->rotated;
    } else if (entry->id.kind == LMI_KIND_TICKET ||
               entry->id.kind == LMI_KIND_COOKIE) {
        rc = lmi_record_decode(lmi_keys_of(lmi), &entry->id, &entry->value,
                               &good, &record, err);
        if (rc == LMI_OK && good)
            rc = lmi_record_decode(present, &entry->id, &entry->value, &fresh,
                                   &record, err);
        out->sessions += good && !fresh;
    }
    return rc;
}

/* What of the durable part needs the old key. */
static enum lmi_rc
count_entries(const struct lmi *lmi, struct lmi_keys *present,
              struct lmi_key_report *out, struct lmi_err *err)
{
    struct lmi_store_entry *entries = calloc(BATCH, sizeof *entries);
    const struct lmi_store_id *after = NULL;
    size_t count = 1;
    enum lmi_rc rc = entries == NULL ? lmi_no_memory(err) : LMI_OK;

    while (rc == LMI_OK && count > 0) {
        rc = lmi_store_walk(lmi_store_of(lmi), LMI_DURABLE, after, entries,
                            BATCH, &count, err);
        for (size_t i = 0; rc == LMI_OK && i < count; i++)
            rc = count_entry(lmi, present, &entries[i], out, err);
        after = count > 0 ? &entries[count - 1].id : NULL;
    }
    free(entries);
    return rc;
}

static enum lmi_rc
look_at_entries(struct lmi *lmi, struct lmi_key_report *out,
                struct lmi_err *err)
{
    const struct lmi_settings *settings = lmi_settings_of(lmi);
    struct lmi_keys *present = NULL;
    int64_t longest = settings->session_max > LMI_KNOWN_SECONDS
                          ? settings->session_max
                          : LMI_KNOWN_SECONDS;
    bool found;
    enum lmi_rc rc =
        lmi_keys_load(lmi_crypto_of(lmi), settings->key_file,
                      settings->key_file_old, &found, &present, err);

    if (rc == LMI_OK && present != NULL) {
        lmi_keys_forget_old(present);
        rc = count_entries(lmi, present, out, err);
    }
    lmi_keys_free(present);
    out->needed_until = out->rotated + longest;
    out->needed = out->sessions > 0 || out->known > 0 ||
                  lmi_now(lmi) < out->rotated + LMI_FORGET_SECONDS;
    return rc;
}

enum lmi_rc
lmi_key_report_get(struct lmi *lmi, struct lmi_key_report *out,
                   struct lmi_err *err)
{
    enum lmi_rc rc;

    memset(out, 0, sizeof *out);
    rc = lmi_open_existing(lmi, err);
    if (rc == LMI_OK)
        rc = look_at_files(lmi_settings_of(lmi), out, err);
    if (rc == LMI_OK && out->has_old && !out->unfinished)
        rc = look_at_entries(lmi, out, err);
    return rc;
}

/*
 * Each step leaves a store that is in order: first the old key has two names,
 * then the first name is the new key's.
 */
static enum lmi_rc
rotate(struct lmi *lmi, const struct lmi_key_report *state, bool *done_out,
       struct lmi_err *err)
{
    struct lmi_crypto *crypto = lmi_crypto_of(lmi);
    enum lmi_rc rc;

    if (state->has_old && !state->unfinished)
        return LMI_OK;
    rc = lmi_keys_copy(crypto, state->path, state->old_path, false, err);
    if (rc == LMI_OK)
        rc = lmi_keys_remake(crypto, state->path, err);
    *done_out = rc == LMI_OK;
    return rc;
}

enum lmi_rc
lmi_key_rotate(struct lmi *lmi, bool *done_out, struct lmi_err *err)
{
    struct lmi_key_report state = {.has_old = false};
    enum lmi_rc rc = lmi_open_existing(lmi, err);

    *done_out = false;
    if (rc == LMI_OK && lmi_settings_shared(lmi_settings_of(lmi)))
        rc = lmi_fail(err, LMI_KEY, 0, lmi_settings_of(lmi)->key_file,
                      "machines that share the store would not know a new key",
                      "move the store to LMDB, or empty it and start anew");
    if (rc == LMI_OK) /* who else rotates waits */
        rc = lmi_store_hold(lmi_store_of(lmi), LMI_DURABLE, err);
    if (rc != LMI_OK)
        return rc;
    rc = look_at_files(lmi_settings_of(lmi), &state, err);
    if (rc == LMI_OK)
        rc = rotate(lmi, &state, done_out, err);
    lmi_store_release(lmi_store_of(lmi), LMI_DURABLE);
    /* The store gets to know the new key now. */
    return rc == LMI_OK && *done_out ? lmi_enter_store(lmi, true, err) : rc;
}

enum lmi_rc
lmi_key_retire(struct lmi *lmi, bool force, bool *done_out, struct lmi_err *err)
{
    struct lmi_key_report state;
    enum lmi_rc rc = lmi_key_report_get(lmi, &state, err);

    *done_out = false;
    if (rc != LMI_OK || !state.has_old || state.old_is_set ||
        (state.needed && !force))
        return rc;
    rc = lmi_keys_remove(state.old_path, err);
    if (rc == LMI_OK) /* nobody is to accept it any more */
        rc = lmi_keys_touch(state.path, err);
    *done_out = rc == LMI_OK;
    return rc;
}
