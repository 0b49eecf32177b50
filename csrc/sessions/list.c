#include <stddef.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "sessions/entry.h"

#define PURGE_BATCH 128
#define PAUSE 3           /* times as long as a step */
#define SECOND 1000000000 /* in nanoseconds */

/* The bytes of an entry that lmi_store_next() looks at. */
#define PLACE offsetof(struct lmi_store_entry, cap)
_Static_assert(PLACE <= sizeof((struct lmi_session_list *)0)->cursor,
               "a place fits");

/* A list while it is gone through. */
struct listing {
    const struct lmi_session_list *list;
    bool more; /* false at its end */
    struct lmi_walk walk;
    struct lmi_entry entry; /* the one where it is */
    int64_t seen;
};

/* The groups of the list's user: none if there is no such name. */
static enum lmi_rc
begin_user(struct lmi *lmi, struct listing *listing, struct lmi_err *err)
{
    const struct lmi_session_list *list = listing->list;
    struct lmi_walk *walk = &listing->walk;
    char user[LMI_USER_MAX + 1];
    size_t len;

    listing->more = lmi_text_read(list->user, user, sizeof user, &len) &&
                    len > 0 && strlen(user) == len;
    if (!listing->more)
        return LMI_OK;
    walk->len = list->service == 0 ? LMI_GROUP_USER : LMI_GROUP_SERVICE;
    return lmi_entry_group(lmi, user, list->service, "0000000000", walk->prefix,
                           err);
}

/* From where the list is. */
static enum lmi_rc
begin(struct lmi *lmi, const struct lmi_session_list *list,
      struct listing *listing, struct lmi_err *err)
{
    struct lmi_walk *walk = &listing->walk;
    enum lmi_rc rc = lmi_enter(lmi, err);

    *listing = (struct listing){.list = list, .more = true};
    if (rc == LMI_OK && list->cursor_len > 0) {
        walk->at = walk->count = 1;
        memcpy(&walk->page[0], list->cursor, PLACE);
        if (list->cursor_len != PLACE ||
            walk->page[0].group_len > LMI_STORE_GROUP)
            return lmi_fail(err, LMI_STORE, 0, NULL,
                            "this is not a cursor of a list", NULL);
    }
    return rc != LMI_OK || list->user.kind == LMI_TEXT_ABSENT
               ? rc
               : begin_user(lmi, listing, err);
}

/* Where the list goes on. */
static void
keep_place(struct lmi_session_list *list, const struct lmi_walk *walk)
{
    if (walk->at == 0)
        return;
    memcpy(list->cursor, &walk->page[walk->at - 1], PLACE);
    list->cursor_len = PLACE;
}

/* Is all true of it that is asked for, but for its public id? */
static bool
is_asked_for(const struct lmi_session_list *list, const struct lmi_entry *entry,
             const struct lmi_life *life)
{
    const struct lmi_record *record = &entry->record;

    if (!lmi_record_stands(record) ||
        (list->service != 0 && record->service != list->service) ||
        (list->until != 0 && record->created > list->until))
        return false;
    if ((list->older_than > 0 &&
         record->created > life->now - list->older_than) ||
        (list->idle_for > 0 && life->seen > life->now - list->idle_for))
        return false;
    return list->networks == NULL ||
           (lmi_address_is_known(&record->address) &&
            lmi_address_in(&record->address, list->networks));
}

/*
 * The next live one, with its record, as it was when its page was read. To end
 * it drops what is in its place by then; a ticket that was redeemed meanwhile
 * has become another entry.
 */
static enum lmi_rc
next_live(struct lmi *lmi, struct listing *listing, struct lmi_err *err)
{
    struct lmi_life life;
    enum lmi_rc rc;

    if (!listing->more)
        return LMI_OK;
    do
        rc = lmi_entry_next(lmi, &listing->walk, &listing->more,
                            &listing->entry, &life, err);
    while (listing->more &&
           !is_asked_for(listing->list, &listing->entry, &life));
    if (listing->more)
        listing->seen = life.seen;
    return rc;
}

/* One of these words? */
static bool
is_word_of(const char *list, const char *word)
{
    struct lmi_bytes rest = lmi_bytes_of(list), next;

    while ((next = lmi_next_word(&rest)).len > 0)
        if (lmi_bytes_equal(next, word))
            return true;
    return false;
}

/* The next one of the list, with its record. */
static enum lmi_rc
next_listed(struct lmi *lmi, struct listing *listing, struct lmi_session *out,
            struct lmi_err *err)
{
    const char *ids = listing->list->ids;
    enum lmi_rc rc;

    do {
        memset(out, 0, sizeof *out);
        rc = next_live(lmi, listing, err);
        if (rc == LMI_OK && listing->more)
            rc = lmi_entry_describe(lmi, &listing->entry.record, listing->seen,
                                    out, err);
    } while (rc == LMI_OK && listing->more && ids != NULL &&
             !is_word_of(ids, out->id));
    if (rc != LMI_OK)
        memset(out, 0, sizeof *out);
    return rc;
}

enum lmi_rc
lmi_session_next(struct lmi *lmi, struct lmi_session_list *list,
                 bool *found_out, struct lmi_session *out, struct lmi_err *err)
{
    struct listing listing;
    enum lmi_rc rc = begin(lmi, list, &listing, err);

    memset(out, 0, sizeof *out);
    if (rc == LMI_OK)
        rc = next_listed(lmi, &listing, out, err);
    if (rc == LMI_OK)
        keep_place(list, &listing.walk);
    *found_out = rc == LMI_OK && listing.more;
    return rc;
}

enum lmi_rc
lmi_session_count(struct lmi *lmi, uint64_t out[LMI_SERVICES + 1],
                  struct lmi_err *err)
{
    const struct lmi_session_list list = {.service = 0};
    struct listing listing;
    enum lmi_rc rc = begin(lmi, &list, &listing, err);

    memset(out, 0, (LMI_SERVICES + 1) * sizeof *out);
    while (rc == LMI_OK && listing.more) {
        rc = next_live(lmi, &listing, err);
        if (rc == LMI_OK && listing.more)
            out[listing.entry.record.service]++;
    }
    return rc;
}

enum lmi_rc
lmi_session_end_id(struct lmi *lmi, struct lmi_text id, struct lmi_text user,
                   bool *found_out, struct lmi_session *out,
                   struct lmi_err *err)
{
    const struct lmi_session_list list = {.user = user};
    struct lmi_bytes wanted = {id.ptr, id.len};
    struct listing listing;
    enum lmi_rc rc;

    *found_out = false;
    if (!lmi_text_given(id))
        return LMI_OK;
    rc = begin(lmi, &list, &listing, err);
    while (rc == LMI_OK && listing.more && !*found_out) {
        rc = next_listed(lmi, &listing, out, err);
        *found_out =
            rc == LMI_OK && listing.more && lmi_bytes_equal(wanted, out->id);
    }
    if (rc == LMI_OK && *found_out)
        rc = lmi_entry_end(lmi, &listing.entry, lmi_now(lmi), "", "operator",
                           err);
    if (rc != LMI_OK || !*found_out) {
        memset(out, 0, sizeof *out);
        *found_out = false;
    }
    return rc;
}

static int64_t
monotonic_nanoseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

/* After a step: lets waiting logins have the store, whose lock is not fair. */
static void
pause_after(int64_t took)
{
    int64_t nanoseconds = PAUSE * took;
    const struct timespec pause = {.tv_sec = nanoseconds / SECOND,
                                   .tv_nsec = nanoseconds % SECOND};

    nanosleep(&pause, NULL);
}

enum lmi_rc
lmi_session_end_some(struct lmi *lmi, struct lmi_session_list *list,
                     uint32_t *ended_out, struct lmi_err *err)
{
    struct lmi_session ended[LMI_END_AT_ONCE];
    struct lmi_store_op ops[LMI_END_AT_ONCE * LMI_END_OPS];
    struct listing listing;
    size_t count = 0;
    bool done;
    enum lmi_rc rc = begin(lmi, list, &listing, err);

    *ended_out = 0;
    while (rc == LMI_OK && listing.more && count < LMI_END_AT_ONCE) {
        rc = next_listed(lmi, &listing, &ended[count], err);
        if (rc == LMI_OK && listing.more)
            lmi_entry_end_ops(&listing.entry, &ops[count++ * LMI_END_OPS]);
    }
    if (rc == LMI_OK)
        keep_place(list, &listing.walk);
    if (rc != LMI_OK || count == 0)
        return rc;
    int64_t start = monotonic_nanoseconds();
    rc = lmi_store_apply(lmi_store_of(lmi), LMI_DURABLE, ops,
                         count * LMI_END_OPS, lmi_now(lmi), &done, err);
    if (rc != LMI_OK)
        return rc;
    int64_t took = monotonic_nanoseconds() - start;
    for (size_t i = 0; i < count; i++)
        lmi_entry_log(lmi, &ended[i], "", "PURGE", "operator");
    pause_after(took);
    *ended_out = (uint32_t)count;
    return LMI_OK;
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

/* A step in one part of the store. more_out: it may have more. */
static enum lmi_rc
purge_part(struct lmi *lmi, enum lmi_store_part part, uint32_t *removed_out,
           bool *more_out, struct lmi_err *err)
{
    int64_t start = monotonic_nanoseconds();
    enum lmi_rc rc = lmi_store_purge(lmi_store_of(lmi), part, lmi_now(lmi),
                                     PURGE_BATCH, removed_out, err);

    *more_out = rc == LMI_OK && *removed_out == PURGE_BATCH;
    if (*more_out)
        pause_after(monotonic_nanoseconds() - start);
    return rc;
}

enum lmi_rc
lmi_session_purge_some(struct lmi *lmi, uint64_t *removed_out, bool *more_out,
                       struct lmi_err *err)
{
    uint32_t removed = 0, forgotten;
    enum lmi_rc rc = lmi_enter(lmi, err);

    *removed_out = 0;
    *more_out = false;
    if (rc == LMI_OK)
        rc = purge_part(lmi, LMI_DURABLE, &removed, more_out, err);
    if (rc == LMI_OK && !*more_out)
        rc = purge_part(lmi, LMI_VOLATILE, &forgotten, more_out, err);
    *removed_out = removed;
    return rc;
}

enum lmi_rc
lmi_session_purge(struct lmi *lmi, uint64_t *removed_out, struct lmi_err *err)
{
    uint64_t removed;
    bool more = true;
    enum lmi_rc rc = LMI_OK;

    *removed_out = 0;
    while (rc == LMI_OK && more) {
        rc = lmi_session_purge_some(lmi, &removed, &more, err);
        *removed_out += removed;
    }
    return rc;
}
