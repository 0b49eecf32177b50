/*
 * Counting what has happened: the figures of struct lmi_numbers, in memory
 * that a process shares with those it forks. Any of them may count at the same
 * time. Handles of one thread share their counters.
 */
#ifndef LMI_COUNTERS_H
#define LMI_COUNTERS_H

#include "logmein.h"

struct lmi_counters;

LMI_RC lmi_counters_new(struct lmi_counters **out, struct lmi_err *err);

/* One more owner, each of whom frees it. */
struct lmi_counters *lmi_counters_share(struct lmi_counters *counters);
void lmi_counters_free(struct lmi_counters *counters);

/* The position of a figure, or of the first of an array. */
#define LMI_NUMBER(field)                                                      \
    (offsetof(struct lmi_numbers, field) / sizeof(uint64_t))

/* Adds one to the figure at this position. */
void lmi_count(struct lmi_counters *counters, size_t position);

void lmi_count_duration(struct lmi_counters *counters, enum lmi_duration which,
                        uint64_t microseconds);

/* Each figure as it is; those counted meanwhile may be there or not. */
void lmi_counters_read(const struct lmi_counters *counters,
                       struct lmi_numbers *out);

/* Microseconds of a clock that is never set. */
uint64_t lmi_clock(void);

#endif
