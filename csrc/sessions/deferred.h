/*
 * Writes that no check waits for: that a session was seen, a wrong token, the
 * end of a session. They are noted in memory, which the handles of a process
 * share, and written by one of its threads. From the moment that something is
 * noted, every check by these handles sees it as if it were written.
 *
 * A note is one session's. It is removed when all of it is written; one that
 * can't be written stays, and counts.
 */
#ifndef LMI_DEFERRED_H
#define LMI_DEFERRED_H

#include "sessions/entry.h"

#define LMI_MISSES_MAX 3

/* Different wrong tokens that a session was shown, ten digits each. */
struct lmi_misses {
    size_t count;
    char digits[LMI_MISSES_MAX][LMI_TOKEN_DIGITS];
};

bool lmi_misses_full(const struct lmi_misses *misses);

/* Adds one, unless it is there or they are full; true if it was added. */
bool lmi_misses_add(struct lmi_misses *misses,
                    const char digits[LMI_TOKEN_DIGITS]);

struct lmi_due {
    int64_t seen;              /* 0: not seen */
    struct lmi_misses own;     /* of requests of its own site */
    struct lmi_misses foreign; /* of other sites' */
    const char *end;           /* why it has ended; NULL: it has not. Static */
    char address[LMI_ADDRESS_TEXT]; /* of the request that ended it */
    struct lmi_entry entry;         /* as it was when it was first noted */
};

struct lmi_deferred;
LMI_RC lmi_deferred_new(struct lmi_deferred **out, struct lmi_err *err);

/* One more owner, each of whom frees it; by the thread that made it. */
struct lmi_deferred *lmi_deferred_share(struct lmi_deferred *deferred);
void lmi_deferred_free(struct lmi_deferred *deferred);

/*
 * How often a note was removed so far. Who reads the store and then the notes
 * may miss what was written between: if the number has changed, read again.
 */
uint64_t lmi_deferred_removals(const struct lmi_deferred *deferred);

/* The note of this entry's session; all zeros if there is none. */
void lmi_deferred_get(struct lmi_deferred *deferred,
                      const struct lmi_store_id *id, struct lmi_due *out);

/*
 * Changes the note of this entry's session, or makes it: change is called with
 * nobody else reading or changing it, and with the number of removals. It
 * returns false to leave all as it is. A fault if there is no memory, or there
 * are 65,536 notes.
 */
typedef bool lmi_due_change(void *context, uint64_t removals,
                            struct lmi_due *note);
LMI_RC lmi_deferred_change(struct lmi_deferred *deferred,
                           const struct lmi_entry *entry,
                           lmi_due_change *change, void *context,
                           struct lmi_err *err);

/*
 * For the one thread that writes. Waits until there is a note, at most so many
 * milliseconds, and copies the oldest; false if there is none. Then one of:
 * it was written, and is removed unless it has changed meanwhile; or it was
 * not. In both cases the others come first.
 */
bool lmi_deferred_take(struct lmi_deferred *deferred, unsigned milliseconds,
                       struct lmi_due *out);
void lmi_deferred_written(struct lmi_deferred *deferred);
void lmi_deferred_failed(struct lmi_deferred *deferred);

#endif
