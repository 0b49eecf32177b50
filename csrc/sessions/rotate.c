#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "sessions/attempts.h"
#include "sessions/machines.h"
#include "sessions/open.h"

#define BATCH 64

/* When the file was written. */
static bool
file_time(const char *path, int64_t *written_out)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return false;
    *written_out = (int64_t)st.st_mtim.tv_sec;
    return true;
}

static void
show_path(const char *path, char out[LMI_PATH_SIZE])
{
    snprintf(out, LMI_PATH_SIZE, "%.*s", LMI_PATH_SIZE - 1, path);
}

/* A next key that was copied once more, after the rotation, is none. */
static enum lmi_rc
look_at_next(const char *path, const char *next_path,
             struct lmi_key_report *out, struct lmi_err *err)
{
    bool same = false;
    enum lmi_rc rc = LMI_OK;

    out->has_next = out->shared && file_time(next_path, &out->next_made);
    if (out->has_next)
        rc = lmi_keys_same(path, next_path, &same, err);
    out->has_next = out->has_next && !same;
    return rc;
}

static enum lmi_rc
look_at_files(const struct lmi_settings *settings, struct lmi_key_report *out,
              struct lmi_err *err)
{
    const char *path = settings->key_file;
    char old_path[PATH_MAX], next_path[PATH_MAX];
    enum lmi_rc rc;

    lmi_keys_old_path(path, settings->key_file_old, old_path);
    lmi_keys_next_path(path, next_path);
    show_path(path, out->path);
    show_path(old_path, out->old_path);
    show_path(next_path, out->next_path);
    out->shared = lmi_settings_shared(settings);
    out->old_is_set = settings->key_file_old[0] != '\0';
    if (!file_time(path, &out->made))
        return LMI_OK;
    rc = look_at_next(path, next_path, out, err);
    if (rc != LMI_OK)
        return rc;
    out->has_old = file_time(old_path, &out->old_made);
    if (!out->has_old)
        return LMI_OK;
    out->rotated = lmi_keys_rotated(path, old_path);
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
    enum lmi_rc rc = lmi_keys_read(lmi, &found, &present, err);

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

/* What the other machines have to do with it. */
static enum lmi_rc
look_at_machines(struct lmi *lmi, struct lmi_key_report *out,
                 struct lmi_err *err)
{
    int64_t rotated = 0;
    enum lmi_rc rc = out->shared
                         ? lmi_machines_behind(lmi, &out->behind, &rotated, err)
                         : LMI_OK;

    if (out->has_old && rotated > out->rotated)
        out->rotated = rotated;
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
    if (rc == LMI_OK)
        rc = look_at_machines(lmi, out, err);
    if (rc == LMI_OK && out->has_old && !out->unfinished)
        rc = look_at_entries(lmi, out, err);
    return rc;
}

/*
 * Each step leaves a store that is in order: first the old key has two names,
 * then the first name is the new key's.
 */
static enum lmi_rc
rotate(struct lmi *lmi, const struct lmi_key_report *state,
       enum lmi_key_step *out, struct lmi_err *err)
{
    struct lmi_crypto *crypto = lmi_crypto_of(lmi);
    enum lmi_rc rc;

    rc = lmi_keys_copy(crypto, state->path, state->old_path, false, err);
    if (rc == LMI_OK && state->has_next)
        rc = lmi_keys_move(state->next_path, state->path, err);
    else if (rc == LMI_OK)
        rc = lmi_keys_remake(crypto, state->path, err);
    if (rc == LMI_OK)
        *out = LMI_STEP_DONE;
    return rc;
}

/* The next key; in the place of one that is the present one. */
static enum lmi_rc
make_next(struct lmi *lmi, const struct lmi_key_report *state,
          enum lmi_key_step *out, struct lmi_err *err)
{
    enum lmi_rc rc = lmi_keys_remake(lmi_crypto_of(lmi), state->next_path, err);

    if (rc == LMI_OK)
        *out = LMI_STEP_NEXT;
    return rc;
}

static enum lmi_rc
rotate_held(struct lmi *lmi, bool force, enum lmi_key_step *out,
            struct lmi_err *err)
{
    struct lmi_key_report state = {.has_old = false};
    enum lmi_rc rc = look_at_files(lmi_settings_of(lmi), &state, err);

    if (rc == LMI_OK)
        rc = look_at_machines(lmi, &state, err);
    if (rc != LMI_OK || (state.has_old && !state.unfinished))
        return rc;
    if (state.behind > 0 && !force) {
        *out = LMI_STEP_WAITS;
        return LMI_OK;
    }
    return state.shared && !state.has_next ? make_next(lmi, &state, out, err)
                                           : rotate(lmi, &state, out, err);
}

enum lmi_rc
lmi_key_rotate(struct lmi *lmi, bool force, enum lmi_key_step *out,
               struct lmi_err *err)
{
    enum lmi_rc rc = lmi_open_existing(lmi, err);

    *out = LMI_STEP_KEPT;
    if (rc == LMI_OK) /* who else rotates waits */
        rc = lmi_store_hold(lmi_store_of(lmi), LMI_DURABLE, err);
    if (rc != LMI_OK)
        return rc;
    rc = rotate_held(lmi, force, out, err);
    lmi_store_release(lmi_store_of(lmi), LMI_DURABLE);
    /* The store gets to know the new key now. */
    return rc == LMI_OK && *out > LMI_STEP_WAITS
               ? lmi_enter_store(lmi, true, err)
               : rc;
}

enum lmi_rc
lmi_key_retire(struct lmi *lmi, bool force, enum lmi_key_step *out,
               struct lmi_err *err)
{
    struct lmi_key_report state;
    enum lmi_rc rc = lmi_key_report_get(lmi, &state, err);

    *out = LMI_STEP_KEPT;
    if (rc != LMI_OK || !state.has_old || state.old_is_set)
        return rc;
    if (state.behind > 0 && !force)
        *out = LMI_STEP_WAITS;
    if ((state.behind > 0 || state.needed) && !force)
        return LMI_OK;
    rc = lmi_keys_remove(state.old_path, err);
    if (rc == LMI_OK) /* nobody is to accept it any more */
        rc = lmi_keys_touch(state.path, err);
    if (rc == LMI_OK)
        *out = LMI_STEP_DONE;
    return rc;
}
