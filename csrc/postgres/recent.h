/*
 * What was read lately, so that a check need not ask again at once: a table of
 * fixed size, in which an entry takes the place of another one with the same
 * first bytes of its key. Keys are hashes, and fill it evenly.
 */
#ifndef LMI_RECENT_H
#define LMI_RECENT_H

#include "store/store.h"

struct lmi_pg_recent;

LMI_RC lmi_pg_recent_new(struct lmi_pg_recent **out, struct lmi_err *err);
void lmi_pg_recent_free(struct lmi_pg_recent *recent);

/* Fills in the answers, if all are there, and were asked for at `since` or
 * later; else false, and nothing is filled in. */
LMI_CHECK bool lmi_pg_recent_get(const struct lmi_pg_recent *recent,
                                 struct lmi_store_want *wants, size_t count,
                                 int64_t since);

/* Keeps answers that were asked for at this time. */
void lmi_pg_recent_put(struct lmi_pg_recent *recent,
                       const struct lmi_store_want *wants, size_t count,
                       int64_t asked);

void lmi_pg_recent_drop(struct lmi_pg_recent *recent, enum lmi_store_part part,
                        const struct lmi_store_id *id);
void lmi_pg_recent_clear(struct lmi_pg_recent *recent);

#endif
