#include "base/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/error.h"
#include "base/sink.h"

#define TELL_SECONDS 60

struct lmi_log_state {
    _Atomic uint64_t lost;    /* lines, since the state was made */
    _Atomic uint64_t missing; /* ... since a line was written */
    _Atomic int64_t since;    /* when the first of these was lost */
    _Atomic int64_t told;     /* when standard error was told: seconds since
                                 the machine was started, 0: never */
    _Atomic uint64_t why;     /* the last trouble, see pack() */
    _Atomic bool torn;        /* the file ends with a part of a line */
};

enum lmi_rc
lmi_log_state_new(struct lmi_log_state **out, struct lmi_err *err)
{
    void *memory = mmap(NULL, sizeof **out, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    *out = NULL;
    if (memory == MAP_FAILED)
        return lmi_no_memory(err);
    *out = memory;
    return LMI_OK;
}

void
lmi_log_state_free(struct lmi_log_state *state)
{
    if (state != NULL)
        munmap(state, sizeof *state);
}

static const char *
path_of(const struct lmi_settings *settings)
{
    struct lmi_bytes rest = lmi_bytes_of(settings->log);

    return lmi_take_prefix(&rest, "file:") ? rest.ptr : NULL;
}

static bool
is_to(const struct lmi_settings *settings, const char *where)
{
    return strcmp(settings->log, where) == 0;
}

static enum lmi_rc
fail(const struct lmi_settings *settings, struct lmi_trouble trouble,
     struct lmi_err *err)
{
    const char *place = path_of(settings);

    if (place == NULL)
        place = is_to(settings, "stderr") ? "standard error" : "/dev/log";
    return lmi_trouble_fail(trouble, place, err);
}

static struct lmi_trouble
write_to_file(const struct lmi_settings *settings,
              const struct lmi_event *event, bool prove)
{
    struct lmi_log_state *state = settings->log_state;
    bool before = state != NULL && atomic_load(&state->torn), torn = before;
    char memory[LMI_SINK_LINE];
    struct lmi_buffer line;
    struct lmi_trouble out;

    lmi_buffer_init(&line, memory, sizeof memory - 1);
    lmi_event_line(event, settings->log_format, true, time(NULL), &line);
    memory[line.len++] = '\n';
    out = lmi_sink_file(settings, path_of(settings), memory, line.len, prove,
                        &torn);
    if (state != NULL && torn != before)
        atomic_store(&state->torn, torn);
    return out;
}

static struct lmi_trouble
write_to_syslog(const struct lmi_settings *settings,
                const struct lmi_event *event, bool wait)
{
    char memory[LMI_SINK_LINE];
    struct lmi_buffer line;

    lmi_buffer_init(&line, memory, sizeof memory);
    lmi_event_line(event, settings->log_format, false, time(NULL), &line);
    return lmi_sink_syslog(event->alert, line.ptr, line.len, wait);
}

/* The journal has its own time, and takes a level from the line. */
static struct lmi_trouble
write_to_stderr(const struct lmi_settings *settings,
                const struct lmi_event *event)
{
    bool journal = lmi_sink_is_journal();
    char memory[LMI_SINK_LINE];
    struct lmi_buffer line;

    lmi_buffer_init(&line, memory, sizeof memory - 1);
    if (journal)
        lmi_buffer_put_text(&line, event->alert ? "<3>" : "<6>");
    lmi_event_line(event, settings->log_format, !journal, time(NULL), &line);
    memory[line.len++] = '\n';
    return lmi_sink_stderr(memory, line.len);
}

static struct lmi_trouble
write_event(const struct lmi_settings *settings, const struct lmi_event *event,
            bool prove, bool wait)
{
    if (path_of(settings) != NULL)
        return write_to_file(settings, event, prove);
    if (is_to(settings, "syslog"))
        return write_to_syslog(settings, event, wait);
    if (is_to(settings, "stderr"))
        return write_to_stderr(settings, event);
    return (struct lmi_trouble){LMI_TROUBLE_NONE, 0};
}

static uint64_t
pack(struct lmi_trouble trouble)
{
    return (uint64_t)trouble.kind << 32 | (uint32_t)trouble.os_errno;
}

static struct lmi_trouble
unpack(uint64_t packed)
{
    return (struct lmi_trouble){(enum lmi_trouble_kind)(packed >> 32),
                                (int)(uint32_t)packed};
}

/* The state's trouble in words, as "PATH: the log can't be written: ...". */
static void
format_why(const struct lmi_settings *settings, char *out, size_t size)
{
    struct lmi_err err = {.code = LMI_OK};

    fail(settings, unpack(atomic_load(&settings->log_state->why)), &err);
    lmi_err_format(&err, out, size);
}

/* Tells standard error; once a minute, of all that share the state. */
static void
tell(const struct lmi_settings *settings)
{
    struct lmi_log_state *state = settings->log_state;
    static const char format[] =
        "logmein: lines for the log are lost, %ju of them: %s\n";
    char why[LMI_DETAIL_SIZE], line[LMI_DETAIL_SIZE + sizeof format + 20];
    int64_t told = atomic_load(&state->told);
    struct timespec now;
    struct lmi_trouble out;
    int len;

    clock_gettime(CLOCK_BOOTTIME, &now);
    if (is_to(settings, "stderr") ||
        (told != 0 && now.tv_sec - told < TELL_SECONDS) ||
        !atomic_compare_exchange_strong(&state->told, &told,
                                        (int64_t)now.tv_sec))
        return;
    format_why(settings, why, sizeof why);
    len = snprintf(line, sizeof line, format,
                   (uintmax_t)atomic_load(&state->missing), why);
    out = lmi_sink_stderr(line, (size_t)len);
    if (out.kind != LMI_TROUBLE_NONE) /* another process may have a better */
        atomic_store(&state->told, told);
}

static void
note_lost(const struct lmi_settings *settings, struct lmi_trouble trouble)
{
    struct lmi_log_state *state = settings->log_state;
    int64_t none = 0;

    atomic_fetch_add(&state->lost, 1);
    atomic_fetch_add(&state->missing, 1);
    atomic_compare_exchange_strong(&state->since, &none, (int64_t)time(NULL));
    atomic_store(&state->why, pack(trouble));
    tell(settings);
}

/* Writes how many lines are missing, if any are. */
static struct lmi_trouble
write_missing(const struct lmi_settings *settings)
{
    struct lmi_log_state *state = settings->log_state;
    uint64_t missing = atomic_exchange(&state->missing, 0);
    int64_t since = atomic_exchange(&state->since, 0), none = 0;
    char why[LMI_DETAIL_SIZE - 120], detail[LMI_DETAIL_SIZE], when[40] = "";
    struct lmi_event event = {.name = "LOST", .alert = true, .detail = detail};
    struct lmi_trouble out = {LMI_TROUBLE_NONE, 0};
    time_t first = (time_t)since;
    struct tm tm;

    if (missing == 0)
        return out;
    if (localtime_r(&first, &tm) != NULL)
        strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S %z", &tm);
    format_why(settings, why, sizeof why);
    snprintf(detail, sizeof detail, "%ju lines since %s: %s",
             (uintmax_t)missing, when, why);
    out = write_event(settings, &event, false, false);
    if (out.kind != LMI_TROUBLE_NONE) {
        atomic_fetch_add(&state->missing, missing);
        atomic_compare_exchange_strong(&state->since, &none, since);
        atomic_store(&state->why, pack(out));
    }
    return out;
}

static struct lmi_trouble
log_event(const struct lmi_settings *settings, const struct lmi_event *event,
          bool prove)
{
    const struct lmi_log_state *state = settings->log_state;
    bool wait = state == NULL || atomic_load(&state->missing) == 0;
    struct lmi_trouble out = write_event(settings, event, prove, wait);

    if (state == NULL)
        return out;
    if (out.kind != LMI_TROUBLE_NONE)
        note_lost(settings, out);
    else
        (void)write_missing(settings); /* It stays missing. */
    return out;
}

void
lmi_log(const struct lmi_settings *settings, const struct lmi_event *event)
{
    (void)log_event(settings, event, false);
}

void
lmi_log_note(const struct lmi_settings *settings, const char *name, bool alert,
             const char *detail)
{
    const struct lmi_event event = {
        .name = name, .alert = alert, .detail = detail};

    lmi_log(settings, &event);
}

enum lmi_rc
lmi_log_prove(const struct lmi_settings *settings, const char *detail,
              struct lmi_err *err)
{
    const struct lmi_event event = {.name = "NOTICE", .detail = detail};

    return fail(settings, log_event(settings, &event, true), err);
}

static struct lmi_trouble
look(const struct lmi_settings *settings)
{
    const char *path = path_of(settings);

    if (path != NULL)
        return lmi_sink_file_look(settings, path);
    if (is_to(settings, "syslog"))
        return lmi_sink_syslog_look();
    if (is_to(settings, "stderr"))
        return lmi_sink_stderr_look();
    return (struct lmi_trouble){LMI_TROUBLE_NONE, 0};
}

void
lmi_log_examine(const struct lmi_settings *settings, struct lmi_log_health *out,
                struct lmi_err *err)
{
    struct lmi_log_state *state = settings->log_state;
    struct lmi_trouble trouble = write_missing(settings);

    if (trouble.kind == LMI_TROUBLE_NONE)
        trouble = look(settings);
    *out = (struct lmi_log_health){.written =
                                       fail(settings, trouble, err) == LMI_OK,
                                   .lost = atomic_load(&state->lost),
                                   .since = atomic_load(&state->since)};
}
