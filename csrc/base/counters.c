#include "base/counters.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/error.h"

#define MILLISECOND 1000ULL
#define SECOND 1000000ULL
#define FIGURES (sizeof(struct lmi_numbers) / sizeof(uint64_t))

_Static_assert(FIGURES * sizeof(uint64_t) == sizeof(struct lmi_numbers),
               "there is nothing but figures");

struct lmi_counters {
    size_t owners;
    _Atomic uint64_t *figures; /* shared with other processes */
};

enum lmi_rc
lmi_counters_new(struct lmi_counters **out, struct lmi_err *err)
{
    struct lmi_counters *counters = calloc(1, sizeof *counters);
    void *memory;

    *out = NULL;
    if (counters == NULL)
        return lmi_no_memory(err);
    memory = mmap(NULL, FIGURES * sizeof *counters->figures,
                  PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        free(counters);
        return lmi_no_memory(err);
    }
    counters->owners = 1;
    counters->figures = memory;
    *out = counters;
    return LMI_OK;
}

struct lmi_counters *
lmi_counters_share(struct lmi_counters *counters)
{
    counters->owners++;
    return counters;
}

void
lmi_counters_free(struct lmi_counters *counters)
{
    if (counters == NULL || --counters->owners > 0)
        return;
    munmap((void *)(uintptr_t)counters->figures,
           FIGURES * sizeof *counters->figures);
    free(counters);
}

void
lmi_count(struct lmi_counters *counters, size_t position)
{
    atomic_fetch_add_explicit(&counters->figures[position], 1,
                              memory_order_relaxed);
}

/* In microseconds; what is longer than the last belongs to one more bucket. */
static const uint64_t bounds[LMI_DURATIONS][LMI_BOUNDS] = {
    [LMI_LOGIN_TIME] = {10 * MILLISECOND, 25 * MILLISECOND, 50 * MILLISECOND,
                        100 * MILLISECOND, 250 * MILLISECOND, 500 * MILLISECOND,
                        1 * SECOND, 2500 * MILLISECOND, 5 * SECOND,
                        10 * SECOND},
    [LMI_CHECK_TIME] = {50, 100, 250, 500, 1 * MILLISECOND, 2500,
                        5 * MILLISECOND, 10 * MILLISECOND, 100 * MILLISECOND,
                        1 * SECOND},
    [LMI_WAIT_TIME] = {1 * SECOND, 2 * SECOND, 4 * SECOND, 8 * SECOND,
                       16 * SECOND, 60 * SECOND, 300 * SECOND, 900 * SECOND,
                       1800 * SECOND, 3600 * SECOND},
};

uint64_t
lmi_duration_bound(enum lmi_duration which, size_t number)
{
    return bounds[which][number];
}

void
lmi_count_duration(struct lmi_counters *counters, enum lmi_duration which,
                   uint64_t microseconds)
{
    size_t start = LMI_NUMBER(durations) +
                   which * sizeof(struct lmi_durations) / sizeof(uint64_t);
    size_t number = 0;

    while (number < LMI_BOUNDS && microseconds > bounds[which][number])
        number++;
    lmi_count(counters, start + number);
    atomic_fetch_add_explicit(
        &counters->figures[start + offsetof(struct lmi_durations, sum) /
                                       sizeof(uint64_t)],
        microseconds, memory_order_relaxed);
}

void
lmi_counters_read(const struct lmi_counters *counters, struct lmi_numbers *out)
{
    uint64_t figures[FIGURES];

    for (size_t i = 0; i < FIGURES; i++)
        figures[i] =
            atomic_load_explicit(&counters->figures[i], memory_order_relaxed);
    memcpy(out, figures, sizeof *out);
}

uint64_t
lmi_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec / 1000;
}
