/* The numbers of a handle, in the text format of Prometheus. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/counters.h"
#include "base/error.h"
#include "sessions/handle.h"

#define MICROSECONDS 1e6

static const char *const parts[] = {[LMI_PART_STORE] = "store",
                                    [LMI_PART_KEY] = "key",
                                    [LMI_PART_SITE] = "site",
                                    [LMI_PART_SETTINGS] = "settings"};
#define PARTS (sizeof parts / sizeof parts[0])

/* These reasons are other servers'. */
static bool
is_elsewhere(enum lmi_reason reason)
{
    return reason == LMI_REASON_REMOTE || reason == LMI_REASON_TFA_NEEDED ||
           reason == LMI_REASON_TFA_WRONG;
}

static void
family(FILE *out, const char *name, const char *type, const char *what)
{
    fprintf(out, "# HELP logmein_%s %s\n# TYPE logmein_%s %s\n", name, what,
            name, type);
}

static void
logins(FILE *out, const struct lmi_numbers *numbers)
{
    family(out, "logins_total", "counter", "Logins, by service and reason.");
    for (int i = 0; i <= LMI_SERVICES; i++) {
        const char *service =
            i > 0 ? lmi_service_info((enum lmi_service)i)->name : "none";
        for (int j = 0; j < LMI_REASONS; j++)
            if (!is_elsewhere((enum lmi_reason)j))
                fprintf(out,
                        "logmein_logins_total{service=\"%s\",reason=\"%s\"} "
                        "%" PRIu64 "\n",
                        service, lmi_reason_name((enum lmi_reason)j),
                        numbers->logins[i][j]);
        fprintf(out,
                "logmein_logins_total{service=\"%s\",reason=\"busy\"} %" PRIu64
                "\n",
                service, numbers->busy[i]);
    }
}

static void
live_sessions(FILE *out, struct lmi *lmi)
{
    uint64_t count[LMI_SERVICES + 1];
    struct lmi_err err;

    family(out, "sessions", "gauge", "Live sessions, by service.");
    if (lmi_session_count(lmi, count, &err) != LMI_OK)
        return;
    for (int i = 1; i <= LMI_SERVICES; i++)
        fprintf(out, "logmein_sessions{service=\"%s\"} %" PRIu64 "\n",
                lmi_service_info((enum lmi_service)i)->name, count[i]);
}

static void
outcomes(FILE *out, const char *name, const char *what, const uint64_t *count,
         uint64_t faults)
{
    family(out, name, "counter", what);
    for (int i = 0; i < LMI_OUTCOMES; i++)
        fprintf(out, "logmein_%s{outcome=\"%s\"} %" PRIu64 "\n", name,
                lmi_outcome_name((enum lmi_outcome)i), count[i]);
    fprintf(out, "logmein_%s{outcome=\"fault\"} %" PRIu64 "\n", name, faults);
}

/* The buckets of the format contain those below them. */
static void
histogram(FILE *out, const char *name, const char *what,
          const struct lmi_numbers *numbers, enum lmi_duration which)
{
    const struct lmi_durations *durations = &numbers->durations[which];
    uint64_t count = 0;

    family(out, name, "histogram", what);
    for (size_t i = 0; i < LMI_BOUNDS; i++) {
        count += durations->count[i];
        fprintf(out, "logmein_%s_bucket{le=\"%.15g\"} %" PRIu64 "\n", name,
                (double)lmi_duration_bound(which, i) / MICROSECONDS, count);
    }
    count += durations->count[LMI_BOUNDS];
    fprintf(out,
            "logmein_%s_bucket{le=\"+Inf\"} %" PRIu64 "\n"
            "logmein_%s_sum %.15g\nlogmein_%s_count %" PRIu64 "\n",
            name, count, name, (double)durations->sum / MICROSECONDS, name,
            count);
}

static bool
log_is_well(struct lmi *lmi, struct lmi_log_health *out)
{
    struct lmi_err err;

    *out = (struct lmi_log_health){.written = false};
    return lmi_log_look(lmi, out, &err) == LMI_OK && out->written &&
           out->since == 0;
}

static void
log_and_parts(FILE *out, struct lmi *lmi)
{
    struct lmi_log_health log;
    struct lmi_err err;
    bool well = log_is_well(lmi, &log);

    family(out, "log_lost_lines_total", "counter",
           "Lines that could not be written to the log.");
    fprintf(out, "logmein_log_lost_lines_total %" PRIu64 "\n", log.lost);
    family(out, "healthy", "gauge",
           "Whether this part of the gateway is in order: 1 or 0.");
    for (size_t i = 0; i < PARTS; i++)
        fprintf(out, "logmein_healthy{part=\"%s\"} %d\n", parts[i],
                lmi_health_look(lmi, (enum lmi_part)i, &err) == LMI_OK);
    fprintf(out, "logmein_healthy{part=\"log\"} %d\n", well);
}

static void
write_all(FILE *out, struct lmi *lmi, const struct lmi_numbers *numbers)
{
    logins(out, numbers);
    live_sessions(out, lmi);
    outcomes(out, "redemptions_total", "Redeemed login URLs, by outcome.",
             numbers->redemptions, numbers->redemption_faults);
    outcomes(out, "checks_total", "Checks of session cookies, by outcome.",
             numbers->checks, numbers->check_faults);
    family(out, "faults_total", "counter",
           "Faults of logins, redemptions and checks, by code.");
    for (int rc = LMI_OK + 1; rc < LMI_RCS; rc++)
        fprintf(out, "logmein_faults_total{code=\"%s\"} %" PRIu64 "\n",
                lmi_rc_name((enum lmi_rc)rc), numbers->faults[rc]);
    histogram(out, "login_duration_seconds",
              "How long logins took, without waiting for their turn.", numbers,
              LMI_LOGIN_TIME);
    histogram(out, "check_duration_seconds",
              "How long checks of session cookies took.", numbers,
              LMI_CHECK_TIME);
    histogram(out, "login_wait_seconds",
              "Waits that logins were refused for, after failed ones: what "
              "remained of them.",
              numbers, LMI_WAIT_TIME);
    log_and_parts(out, lmi);
}

enum lmi_rc
lmi_metrics_write(struct lmi *lmi, char **out, size_t *len_out,
                  struct lmi_err *err)
{
    struct lmi_numbers numbers;
    FILE *file = open_memstream(out, len_out);

    if (file == NULL) {
        *out = NULL;
        return lmi_no_memory(err);
    }
    lmi_numbers_get(lmi, &numbers);
    write_all(file, lmi, &numbers);
    bool good = !ferror(file);
    if (fclose(file) == 0 && good)
        return LMI_OK;
    free(*out);
    *out = NULL;
    return lmi_no_memory(err);
}

void
lmi_metrics_free(char *text)
{
    free(text);
}

bool
lmi_health_write(struct lmi *lmi, char out[LMI_HEALTH_SIZE])
{
    const char *sound[] = {"ok", ""}, *wrong[] = {"fault", " warning"};
    char lists[2][LMI_HEALTH_SIZE / 2] = {"", ""};
    struct lmi_log_health log;
    struct lmi_err err;

    for (size_t i = 0; i <= PARTS; i++) {
        char *list = lists[i > LMI_PART_SITE];
        size_t at = strlen(list);
        bool well = i < PARTS
                        ? lmi_health_look(lmi, (enum lmi_part)i, &err) == LMI_OK
                        : log_is_well(lmi, &log);
        if (!well)
            snprintf(list + at, sizeof lists[0] - at, " %s",
                     i < PARTS ? parts[i] : "log");
    }
    snprintf(out, LMI_HEALTH_SIZE, "%s%s%s%s",
             lists[0][0] != '\0' ? wrong[0] : sound[0], lists[0],
             lists[1][0] != '\0' ? wrong[1] : sound[1], lists[1]);
    return lists[0][0] == '\0';
}
