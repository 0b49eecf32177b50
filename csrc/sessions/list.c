#include <string.h>
#include <time.h>

#include "base/error.h"
#include "sessions/entry.h"

#define PURGE_BATCH 16
#define PURGE_PAUSE 3     /* times as long as a step */
#define SECOND 1000000000 /* in nanoseconds */

_Static_assert(sizeof(struct lmi_store_cursor) <=
                   sizeof((struct lmi_session_list *)0)->cursor,
               "a cursor fits");

/*
 * The walk that the list asks for, from where the list is. none_out: there is
 * no such user.
 */
static enum lmi_rc
walk_begin(struct lmi *lmi, const struct lmi_session_list *list,
           struct lmi_walk *walk, bool *none_out, struct lmi_err *err)
{
    struct lmi_store_cursor *cursor = &walk->cursor;
    char user[LMI_USER_MAX + 1];
    size_t len;

    *walk = (struct lmi_walk){.begun = list->cursor_len > 0};
    if (walk->begun)
        memcpy(cursor, list->cursor, sizeof *cursor);
    if (walk->begun && (list->cursor_len != sizeof *cursor ||
                        cursor->group_len > LMI_STORE_GROUP))
        return lmi_fail(err, LMI_STORE, 0, NULL,
                        "this is not a cursor of a list", NULL);
    *none_out = false;
    if (list->user.kind == LMI_TEXT_ABSENT)
        return LMI_OK;
    *none_out = !lmi_text_read(list->user, user, sizeof user, &len) ||
                len == 0 || strlen(user) != len;
    if (*none_out)
        return LMI_OK;
    walk->len = list->service == 0 ? LMI_GROUP_USER : LMI_GROUP_SERVICE;
    return lmi_entry_group(lmi, user, list->service, "0000000000", walk->prefix,
                           err);
}

/* The next live one, with its record. */
static enum lmi_rc
next_live(struct lmi *lmi, struct lmi_session_list *list, bool *found_out,
          struct lmi_entry *out, int64_t *seen_out, struct lmi_err *err)
{
    struct lmi_walk walk;
    struct lmi_life life;
    bool none = false;
    enum lmi_rc rc = lmi_enter(lmi, err);

    *found_out = false;
    if (rc == LMI_OK)
        rc = walk_begin(lmi, list, &walk, &none, err);
    if (rc != LMI_OK || none)
        return rc;
    do
        rc = lmi_entry_next(lmi, &walk, found_out, out, &life, err);
    while (*found_out &&
           (!lmi_record_stands(&out->record) ||
            (list->service != 0 && out->record.service != list->service)));
    memcpy(list->cursor, &walk.cursor, sizeof walk.cursor);
    list->cursor_len = walk.begun ? sizeof walk.cursor : 0;
    if (*found_out)
        *seen_out = life.seen;
    return rc;
}

enum lmi_rc
lmi_session_next(struct lmi *lmi, struct lmi_session_list *list,
                 bool *found_out, struct lmi_session *out, struct lmi_err *err)
{
    struct lmi_entry entry;
    int64_t seen = 0;
    enum lmi_rc rc = next_live(lmi, list, found_out, &entry, &seen, err);

    memset(out, 0, sizeof *out);
    if (rc == LMI_OK && *found_out)
        rc = lmi_entry_describe(lmi, &entry.record, seen, out, err);
    if (rc != LMI_OK)
        *found_out = false;
    return rc;
}

enum lmi_rc
lmi_session_count(struct lmi *lmi, uint64_t out[LMI_SERVICES + 1],
                  struct lmi_err *err)
{
    struct lmi_session_list list = {.service = 0};
    struct lmi_entry entry;
    bool more = true;
    int64_t seen;
    enum lmi_rc rc = LMI_OK;

    memset(out, 0, (LMI_SERVICES + 1) * sizeof *out);
    while (rc == LMI_OK && more) {
        rc = next_live(lmi, &list, &more, &entry, &seen, err);
        if (rc == LMI_OK && more)
            out[entry.record.service]++;
    }
    return rc;
}

enum lmi_rc
lmi_session_end_id(struct lmi *lmi, struct lmi_text id, struct lmi_text user,
                   bool *found_out, struct lmi_session *out,
                   struct lmi_err *err)
{
    struct lmi_session_list list = {.user = user};
    struct lmi_bytes wanted = {id.ptr, id.len};
    struct lmi_entry entry;
    bool more = true;
    int64_t seen;
    enum lmi_rc rc = LMI_OK;

    *found_out = false;
    if (!lmi_text_given(id))
        return LMI_OK;
    while (rc == LMI_OK && !*found_out) {
        rc = next_live(lmi, &list, &more, &entry, &seen, err);
        if (rc != LMI_OK || !more)
            break;
        rc = lmi_entry_describe(lmi, &entry.record, seen, out, err);
        *found_out = rc == LMI_OK && lmi_bytes_equal(wanted, out->id);
    }
    if (rc == LMI_OK && *found_out)
        rc = lmi_entry_end(lmi, &entry, lmi_now(lmi), "", "operator", err);
    if (rc != LMI_OK || !*found_out) {
        memset(out, 0, sizeof *out);
        *found_out = false;
    }
    return rc;
}

enum lmi_rc
lmi_session_discard(struct lmi *lmi, struct lmi_text ticket, bool *found_out,
                    struct lmi_err *err)
{
    struct lmi_entry entry;
    enum lmi_rc rc = lmi_enter(lmi, err);

    if (rc == LMI_OK)
        rc = lmi_entry_find_ticket(lmi, ticket, &entry, err);
    *found_out = rc == LMI_OK && entry.good && entry.named &&
                 entry.record.state != LMI_STATE_COOKIE &&
                 entry.record.state != LMI_STATE_CONTENDER;
    if (*found_out)
        rc = lmi_entry_end(lmi, &entry, lmi_now(lmi), "", "discarded", err);
    return rc;
}

static int64_t
monotonic_nanoseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

static void
pause_for(int64_t nanoseconds)
{
    const struct timespec pause = {.tv_sec = nanoseconds / SECOND,
                                   .tv_nsec = nanoseconds % SECOND};

    nanosleep(&pause, NULL);
}

enum lmi_rc
lmi_session_purge(struct lmi *lmi, uint64_t *removed_out, struct lmi_err *err)
{
    enum lmi_rc rc = lmi_enter(lmi, err);

    *removed_out = 0;
    for (int part = LMI_DURABLE; part <= LMI_VOLATILE; part++) {
        uint32_t removed = PURGE_BATCH;
        while (rc == LMI_OK && removed == PURGE_BATCH) {
            int64_t start = monotonic_nanoseconds();
            rc = lmi_store_purge(lmi_store_of(lmi), (enum lmi_store_part)part,
                                 lmi_now(lmi), PURGE_BATCH, &removed, err);
            *removed_out += part == LMI_DURABLE ? removed : 0;
            /* Let waiting logins have the store: its lock is not fair. */
            if (rc == LMI_OK && removed == PURGE_BATCH)
                pause_for(PURGE_PAUSE * (monotonic_nanoseconds() - start));
        }
    }
    return rc;
}
