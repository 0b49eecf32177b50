#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "sessions/open.h"
#include "sessions/record.h"

#define BATCH 128

/* A part of a store, read entry by entry. */
struct stream {
    struct lmi_store *store;
    enum lmi_store_part part;
    struct lmi_store_entry *entries;
    size_t count, at;
    bool ended;
};

/* What two parts have, or have not, in common. */
struct merge {
    struct stream from, to;
    int64_t now; /* what has expired before is left behind */
    struct lmi_store_op ops[BATCH];
    struct lmi_store_value values[BATCH];
    size_t count;
    uint64_t changes;
    struct lmi_copied *copied; /* counts what both have; NULL: changes `to` */
};

/* The entry that the stream stands at; NULL at its end. */
static enum lmi_rc
stream_peek(struct stream *stream, const struct lmi_store_entry **out,
            struct lmi_err *err)
{
    const struct lmi_store_id *after =
        stream->count > 0 ? &stream->entries[stream->count - 1].id : NULL;
    enum lmi_rc rc = LMI_OK;

    if (stream->at == stream->count && !stream->ended) {
        rc = lmi_store_walk(stream->store, stream->part, after, stream->entries,
                            BATCH, &stream->count, err);
        stream->at = 0;
        stream->ended = rc == LMI_OK && stream->count == 0;
    }
    *out = rc == LMI_OK && stream->at < stream->count
               ? &stream->entries[stream->at]
               : NULL;
    return rc;
}

/* The next one that is to be moved: the key's own entry comes last, and what
 * machines tell of themselves stays. */
static enum lmi_rc
stream_next(struct stream *stream, int64_t now,
            const struct lmi_store_entry **out, struct lmi_err *err)
{
    enum lmi_rc rc = stream_peek(stream, out, err);

    while (rc == LMI_OK && *out != NULL &&
           ((*out)->expires < now || (*out)->id.kind == LMI_KIND_META ||
            (*out)->id.kind == LMI_KIND_MACHINE)) {
        stream->at++;
        rc = stream_peek(stream, out, err);
    }
    return rc;
}

static int
compare_ids(const struct lmi_store_entry *a, const struct lmi_store_entry *b)
{
    if (a == NULL || b == NULL)
        return (a == NULL) - (b == NULL);
    if (a->id.kind != b->id.kind)
        return a->id.kind - b->id.kind;
    return memcmp(a->id.key, b->id.key, LMI_STORE_KEY);
}

static bool
same_entry(const struct lmi_store_entry *a, const struct lmi_store_entry *b)
{
    return a->expires == b->expires && a->cap == b->cap &&
           a->group_len == b->group_len &&
           memcmp(a->group, b->group, a->group_len) == 0 &&
           a->value.len == b->value.len &&
           memcmp(a->value.bytes, b->value.bytes, a->value.len) == 0;
}

static enum lmi_rc
flush(struct merge *merge, struct lmi_err *err)
{
    bool done = true;
    enum lmi_rc rc = LMI_OK;

    if (merge->count > 0)
        rc = lmi_store_apply(merge->to.store, merge->to.part, merge->ops,
                             merge->count, merge->now, &done, err);
    merge->count = 0;
    return rc;
}

/* An entry is put into the new store, or dropped from it. */
static enum lmi_rc
change(struct merge *merge, enum lmi_store_verb verb,
       const struct lmi_store_entry *entry, struct lmi_err *err)
{
    struct lmi_store_op *op = &merge->ops[merge->count];

    merge->changes++;
    if (merge->copied != NULL)
        return LMI_OK;
    merge->values[merge->count] = entry->value;
    *op = (struct lmi_store_op){.verb = verb,
                                .id = entry->id,
                                .expires = entry->expires,
                                .group_len = entry->group_len,
                                .cap = entry->cap,
                                .value = &merge->values[merge->count]};
    memcpy(op->group, entry->group, entry->group_len);
    merge->count++;
    return merge->count < BATCH ? LMI_OK : flush(merge, err);
}

static void
count(struct lmi_copied *copied, const struct stream *stream, uint8_t kind)
{
    if (stream->part == LMI_DURABLE &&
        (kind == LMI_KIND_TICKET || kind == LMI_KIND_COOKIE))
        copied->sessions++;
    else if (stream->part == LMI_DURABLE && kind == LMI_KIND_KNOWN)
        copied->known++;
    else
        copied->others++;
}

/* Both are in the order of their ids. */
static enum lmi_rc
merge_one(struct merge *merge, bool *more_out, struct lmi_err *err)
{
    const struct lmi_store_entry *from, *to = NULL;
    enum lmi_rc rc = stream_next(&merge->from, merge->now, &from, err);

    if (rc == LMI_OK)
        rc = stream_next(&merge->to, merge->now, &to, err);
    *more_out = rc == LMI_OK && (from != NULL || to != NULL);
    if (!*more_out)
        return rc;
    int order = compare_ids(from, to);
    if (order > 0)
        rc = change(merge, LMI_STORE_DROP, to, err);
    else if (order < 0 || !same_entry(from, to))
        rc = change(merge, LMI_STORE_PUT, from, err);
    else if (merge->copied != NULL)
        count(merge->copied, &merge->from, from->id.kind);
    merge->from.at += order <= 0;
    merge->to.at += order >= 0;
    return rc;
}

/*
 * Makes `to` the same as `from`; with `copied` only compares them, and it is a
 * fault if they differ.
 */
static enum lmi_rc
merge_part(struct lmi_store *from, struct lmi_store *to,
           enum lmi_store_part part, int64_t now, struct lmi_copied *copied,
           struct lmi_err *err)
{
    struct merge *merge = calloc(1, sizeof *merge);
    struct lmi_store_entry *entries =
        calloc(2 * (size_t)BATCH, sizeof *entries);
    bool more = true;
    enum lmi_rc rc = LMI_OK;

    if (merge == NULL || entries == NULL) {
        rc = lmi_no_memory(err);
        goto out;
    }
    merge->from = (struct stream){from, part, entries, 0, 0, false};
    merge->to = (struct stream){to, part, entries + BATCH, 0, 0, false};
    merge->now = now;
    merge->copied = copied;
    while (rc == LMI_OK && more)
        rc = merge_one(merge, &more, err);
    if (rc == LMI_OK)
        rc = flush(merge, err);
    if (rc == LMI_OK && copied != NULL && merge->changes > 0)
        rc = lmi_fail(err, LMI_STORE, 0, NULL,
                      "the new store does not hold what the old one does",
                      "the old one stays in use");
out:
    free(merge);
    free(entries);
    return rc;
}

/* A copy while it is made. */
struct copy {
    struct lmi *lmi;
    struct lmi_store_place from_place, to_place;
    struct lmi_store *from, *to;
    int64_t now;
    bool one_volatile_part; /* the settings name one folder for both */
};

static enum lmi_rc
merge_stores(const struct copy *copy, struct lmi_copied *copied,
             struct lmi_err *err)
{
    enum lmi_rc rc =
        merge_part(copy->from, copy->to, LMI_DURABLE, copy->now, copied, err);

    if (rc == LMI_OK && !copy->one_volatile_part)
        rc = merge_part(copy->from, copy->to, LMI_VOLATILE, copy->now, copied,
                        err);
    return rc;
}

/* What another machine writes with the next key could not be read any more. */
static enum lmi_rc
no_next_key(const struct lmi_store_place *place, struct lmi_err *err)
{
    char next[PATH_MAX];

    lmi_keys_next_path(place->key_file, next);
    return !place->shared || access(next, F_OK) != 0
               ? LMI_OK
               : lmi_fail(err, LMI_KEY, 0, next, "is to be the key soon",
                          "end the rotation first: see logmein key status");
}

static enum lmi_rc
open_from(struct copy *copy, struct lmi_err *err)
{
    const struct lmi_store_place *place = &copy->from_place;
    struct lmi_store_mark mark;
    struct lmi_keys *keys = NULL;
    bool found = false;
    enum lmi_rc rc = no_next_key(place, err);

    if (rc == LMI_OK)
        rc = lmi_open_store(place, true, &copy->from, err);
    if (rc == LMI_OK)
        rc = lmi_store_mark_get(copy->from, LMI_DURABLE, &mark, err);
    if (rc == LMI_OK && mark.state != LMI_STORE_USED)
        rc = lmi_store_marked(&mark, place->store, err);
    if (rc == LMI_OK)
        rc = lmi_keys_load(lmi_crypto_of(copy->lmi), place->key_file,
                           place->key_file_old, NULL, &found, &keys, err);
    if (rc == LMI_OK && !found)
        rc = lmi_fail(err, LMI_KEY, 0, place->key_file, "is not there", NULL);
    if (rc == LMI_OK)
        rc = lmi_open_keys_fit(copy->from, keys, place->key_file, err);
    lmi_keys_free(keys);
    return rc;
}

/* New, or what an interrupted copy has left. */
static enum lmi_rc
open_to(struct copy *copy, struct lmi_err *err)
{
    struct lmi_store_mark mark;
    bool empty = false;
    enum lmi_rc rc = lmi_open_key_place(
        copy->from_place.key_file, copy->to_place.key_file, "is another key",
        "move it away if it is not needed", err);

    if (rc == LMI_OK)
        rc = lmi_open_store(&copy->to_place, false, &copy->to, err);
    if (rc == LMI_OK)
        rc = lmi_store_mark_get(copy->to, LMI_DURABLE, &mark, err);
    if (rc == LMI_OK)
        rc = lmi_open_is_empty(copy->to, &empty, err);
    if (rc != LMI_OK || (empty && mark.state == LMI_STORE_USED) ||
        (mark.state == LMI_STORE_FILLED &&
         strcmp(mark.other, copy->from_place.store) == 0))
        return rc;
    return mark.state != LMI_STORE_USED
               ? lmi_store_marked(&mark, copy->to_place.store, err)
               : lmi_open_exists(err, copy->to_place.store,
                                 "name a folder that is new");
}

static enum lmi_rc
copy_key(const char *from, const char *to, struct lmi *lmi, bool *done_out,
         struct lmi_err *err)
{
    enum lmi_rc rc = LMI_OK;

    if (strcmp(from, to) == 0 || access(from, F_OK) != 0)
        return LMI_OK;
    rc = lmi_keys_copy(lmi_crypto_of(lmi), from, to, false, err);
    *done_out = *done_out || rc == LMI_OK;
    return rc;
}

/* The key, and the old one unless the settings name it. */
static enum lmi_rc
copy_keys(const struct copy *copy, bool *done_out, struct lmi_err *err)
{
    const struct lmi_store_place *from = &copy->from_place;
    const struct lmi_store_place *to = &copy->to_place;
    char old[PATH_MAX], to_old[PATH_MAX];
    enum lmi_rc rc =
        copy_key(from->key_file, to->key_file, copy->lmi, done_out, err);

    lmi_keys_old_path(from->key_file, from->key_file_old, old);
    lmi_keys_old_path(to->key_file, to->key_file_old, to_old);
    return rc != LMI_OK ? rc : copy_key(old, to_old, copy->lmi, done_out, err);
}

/* Whose store it is: the last entry, which makes the new one whole. */
static enum lmi_rc
copy_key_entry(const struct copy *copy, struct lmi_err *err)
{
    struct lmi_store_value value = {.len = 0};
    const struct lmi_store_op op = {.verb = LMI_STORE_PUT,
                                    .id = lmi_key_entry,
                                    .expires = INT64_MAX,
                                    .value = &value};
    bool found = false, done = false;
    enum lmi_rc rc = lmi_store_get(copy->from, LMI_DURABLE, &lmi_key_entry,
                                   &found, &value, err);

    return rc != LMI_OK ? rc
                        : lmi_store_apply(copy->to, LMI_DURABLE, &op, 1,
                                          copy->now, &done, err);
}

/*
 * The last differences, while nobody writes. From when the new store loses its
 * mark until the old one gets one both are whole, and the old one is in use.
 */
static enum lmi_rc
finish(const struct copy *copy, struct lmi_copied *out, struct lmi_err *err)
{
    enum lmi_rc rc = merge_stores(copy, NULL, err);

    if (rc == LMI_OK)
        rc = merge_stores(copy, out, err);
    if (rc == LMI_OK)
        rc = copy_key_entry(copy, err);
    if (rc == LMI_OK)
        rc = lmi_open_mark(copy->to, LMI_DURABLE, LMI_STORE_USED,
                           copy->from_place.store, false, err);
    if (rc == LMI_OK)
        rc = lmi_open_mark(copy->from, LMI_DURABLE, LMI_STORE_MOVED,
                           copy->to_place.store, true, err);
    if (rc == LMI_OK && !copy->one_volatile_part)
        rc = lmi_open_mark(copy->from, LMI_VOLATILE, LMI_STORE_MOVED,
                           copy->to_place.store, true, err);
    return rc;
}

static int64_t
microseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static enum lmi_rc
finish_held(const struct copy *copy, struct lmi_copied *out,
            struct lmi_err *err)
{
    int64_t begun = microseconds();
    enum lmi_rc rc = lmi_store_hold(copy->from, LMI_DURABLE, err);

    if (rc != LMI_OK)
        return rc;
    if (!copy->one_volatile_part)
        rc = lmi_store_hold(copy->from, LMI_VOLATILE, err);
    if (rc == LMI_OK)
        rc = finish(copy, out, err);
    if (!copy->one_volatile_part)
        lmi_store_release(copy->from, LMI_VOLATILE);
    lmi_store_release(copy->from, LMI_DURABLE);
    out->held = microseconds() - begun;
    return rc;
}

static enum lmi_rc
copy_all(struct copy *copy, struct lmi_copied *out, struct lmi_err *err)
{
    enum lmi_rc rc = open_from(copy, err);

    if (rc == LMI_OK)
        rc = open_to(copy, err);
    if (rc == LMI_OK)
        rc = lmi_open_mark(copy->to, LMI_DURABLE, LMI_STORE_FILLED,
                           copy->from_place.store, true, err);
    if (rc == LMI_OK && !copy->one_volatile_part)
        rc = lmi_open_mark(copy->to, LMI_VOLATILE, LMI_STORE_USED,
                           copy->from_place.store, true, err);
    if (rc == LMI_OK)
        rc = copy_keys(copy, &out->has_key, err);
    if (rc == LMI_OK)
        rc = merge_stores(copy, NULL, err);
    return rc != LMI_OK ? rc : finish_held(copy, out, err);
}

static enum lmi_rc
find_places(struct copy *copy, const char *from, const char *to,
            struct lmi_err *err)
{
    const struct lmi_settings *settings = lmi_settings_of(copy->lmi);

    if (!lmi_settings_place(settings, from, &copy->from_place))
        return lmi_fail(err, LMI_SETTINGS, 0, from,
                        "must be lmdb:/FOLDER or "
                        "postgresql://...",
                        NULL);
    if (!lmi_settings_place(settings, to, &copy->to_place))
        return lmi_fail(err, LMI_SETTINGS, 0, to,
                        "must be lmdb:/FOLDER or postgresql://...", NULL);
    copy->one_volatile_part =
        copy->to_place.volatile_dir[0] != '\0' &&
        strcmp(copy->from_place.volatile_dir, copy->to_place.volatile_dir) == 0;
    copy->now = lmi_now(copy->lmi);
    return LMI_OK;
}

enum lmi_rc
lmi_store_copy(struct lmi *lmi, const char *from, const char *to,
               struct lmi_copied *out, struct lmi_err *err)
{
    struct copy copy = {.lmi = lmi};
    enum lmi_rc rc = lmi_enter_settings(lmi, err);

    memset(out, 0, sizeof *out);
    if (rc == LMI_OK)
        rc = find_places(&copy, from, to, err);
    if (rc == LMI_OK)
        rc = copy_all(&copy, out, err);
    lmi_store_close(copy.from);
    lmi_store_close(copy.to);
    return rc;
}
