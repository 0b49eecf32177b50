#include "base/event.h"

#include <stdio.h>

static bool
is_given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static const char *
or_dash(const char *text)
{
    return is_given(text) ? text : "-";
}

/* How many bytes of text are one control character: 0, 1, or 2 for U+0080 to
 * U+009F in UTF-8, which drive a terminal as well. */
static size_t
control_len(const char *text)
{
    unsigned char c = (unsigned char)text[0], next;

    if (c < 0x20 || c == 0x7F)
        return 1;
    if (c != 0xC2)
        return 0;
    next = (unsigned char)text[1];
    return next >= 0x80 && next < 0xA0 ? 2 : 0;
}

/* Control characters could forge a line, or drive the operator's terminal. */
static void
put_clean(struct lmi_buffer *line, const char *text)
{
    size_t len;

    while (*text != '\0') {
        len = control_len(text);
        lmi_buffer_put_char(line, len > 0 ? '?' : *text);
        text += len > 0 ? len : 1;
    }
}

static void
put_local_time(struct lmi_buffer *line, time_t now)
{
    char text[40];
    struct tm tm;

    if (localtime_r(&now, &tm) != NULL &&
        strftime(text, sizeof text, "[%Y-%m-%d %H:%M:%S %z] ", &tm) > 0)
        lmi_buffer_put_text(line, text);
}

static void
put_utc_time(struct lmi_buffer *line, time_t now)
{
    char text[40];
    struct tm tm;

    if (gmtime_r(&now, &tm) != NULL &&
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) > 0)
        lmi_buffer_put_text(line, text);
}

/* In the format of cPanel's login_log. */
static void
put_login(struct lmi_buffer *line, const struct lmi_event *event)
{
    const char *daemon = lmi_service_info(event->service)->daemon;
    char caller[32] = "";

    if (event->has_caller)
        snprintf(caller, sizeof caller, " by uid %u", event->caller_uid);
    lmi_buffer_put_text(line, " - ");
    put_clean(line, or_dash(event->user));
    lmi_buffer_put_text(line, " \"login");
    lmi_buffer_put_text(line, caller);
    lmi_buffer_put_text(line, event->good ? "\" SUCCESS " : "\" FAILED ");
    lmi_buffer_put_text(line, event->name);
    lmi_buffer_put_char(line, ' ');
    lmi_buffer_put_text(line, daemon);
    lmi_buffer_put_text(line, ": ");
}

/* In the format of its session_log: "NEW alice:ID ". */
static void
put_session(struct lmi_buffer *line, const struct lmi_event *event)
{
    lmi_buffer_put_char(line, ' ');
    lmi_buffer_put_text(line, event->name);
    lmi_buffer_put_char(line, ' ');
    put_clean(line, or_dash(event->user));
    lmi_buffer_put_char(line, ':');
    put_clean(line, or_dash(event->session));
    lmi_buffer_put_char(line, ' ');
}

static void
put_text_line(struct lmi_buffer *line, const struct lmi_event *event)
{
    lmi_buffer_put_text(line, "info ");
    if (event->service == 0) {
        lmi_buffer_put_text(line, event->name);
        lmi_buffer_put_char(line, ' ');
    } else {
        lmi_buffer_put_char(line, '[');
        lmi_buffer_put_text(line, lmi_service_info(event->service)->daemon);
        lmi_buffer_put_text(line, "] ");
        put_clean(line, or_dash(event->address));
        if (event->reason != NULL)
            put_login(line, event);
        else
            put_session(line, event);
    }
    put_clean(line, event->detail);
}

static void
put_code(struct lmi_buffer *line, unsigned code)
{
    char text[7];

    snprintf(text, sizeof text, "\\u%04x", code);
    lmi_buffer_put_text(line, text);
}

/* The inside of a JSON string: whole characters, as many as there is room. */
static void
put_json_text(struct lmi_buffer *line, const char *text)
{
    bool is_utf8 = lmi_utf8_valid(text, strlen(text));

    while (*text != '\0') {
        unsigned char c = (unsigned char)*text;
        size_t control = control_len(text), len = 1;

        if (control > 0)
            put_code(line, (unsigned char)text[control - 1]);
        else if (c >= 0x80 && !is_utf8)
            put_code(line, 0xFFFD);
        else if (c == '"' || c == '\\')
            lmi_buffer_put(line, c == '"' ? "\\\"" : "\\\\", 2);
        else {
            while (c >= 0xC0 && ((unsigned char)text[len] & 0xC0) == 0x80)
                len++;
            lmi_buffer_put(line, text, len);
        }
        text += control > 0 ? control : len;
    }
}

/* ,"key":"value"; nothing for a value that is not known. */
static void
put_json(struct lmi_buffer *line, const char *key, const char *value)
{
    if (!is_given(value))
        return;
    lmi_buffer_put_text(line, ",\"");
    lmi_buffer_put_text(line, key);
    lmi_buffer_put_text(line, "\":\"");
    put_json_text(line, value);
    lmi_buffer_put_char(line, '"');
}

static void
put_json_login(struct lmi_buffer *line, const struct lmi_event *event)
{
    char caller[32];

    if (event->reason == NULL)
        return;
    if (event->has_caller) {
        snprintf(caller, sizeof caller, ",\"caller_uid\":%u",
                 event->caller_uid);
        lmi_buffer_put_text(line, caller);
    }
    put_json(line, "outcome", event->good ? "success" : "failed");
    put_json(line, "reason", event->reason);
}

static void
put_json_line(struct lmi_buffer *line, const struct lmi_event *event,
              time_t now)
{
    static const char end[] = "\"}";

    lmi_buffer_put_text(line, "{\"time\":\"");
    put_utc_time(line, now);
    lmi_buffer_put_text(line, "\",\"level\":\"");
    lmi_buffer_put_text(line, event->alert ? "error" : "info");
    lmi_buffer_put_text(line, "\",\"event\":\"");
    for (const char *c = event->name; *c != '\0'; c++)
        lmi_buffer_put_char(line, lmi_lower(*c));
    lmi_buffer_put_char(line, '"');
    if (event->service != 0)
        put_json(line, "service", lmi_service_info(event->service)->name);
    put_json(line, "address", event->address);
    put_json(line, "user", event->user);
    put_json(line, "session", event->session);
    put_json_login(line, event);
    lmi_buffer_put_text(line, ",\"detail\":\"");
    line->size -= strlen(end);
    put_json_text(line, event->detail);
    line->size += strlen(end);
    line->full = false;
    lmi_buffer_put_text(line, end);
}

void
lmi_event_line(const struct lmi_event *event, enum lmi_log_format format,
               bool with_time, time_t now, struct lmi_buffer *out)
{
    if (format == LMI_LOG_JSON) {
        put_json_line(out, event, now);
        return;
    }
    if (with_time)
        put_local_time(out, now);
    put_text_line(out, event);
}
