/* What the log tells, and its line: as text, or as JSON. No I/O. */
#ifndef LMI_EVENT_H
#define LMI_EVENT_H

#include <time.h>

#include "base/buffer.h"

/* Strings are borrowed; one that is not known is NULL, or empty. */
struct lmi_event {
    const char *name; /* "LOGIN", "NEW", "FAULT": see the manual */
    bool alert;       /* the operator has something to do */
    const char *detail;

    /* Of logins and sessions. */
    enum lmi_service service; /* 0: none */
    const char *address;      /* the browser's */
    const char *user;
    const char *session; /* its public id */

    /* Of logins. */
    bool good;
    const char *reason; /* as lmi_reason_name() has it */
    bool has_caller;
    uint32_t caller_uid;
};

enum lmi_log_format { LMI_LOG_TEXT, LMI_LOG_JSON };

/*
 * The event's line, without a newline. A text begins with the local time if
 * it is wanted; JSON always holds the time, in UTC. The detail comes last, and
 * is cut if the line does not fit: what is there is always whole JSON. Text
 * has "?" in the place of control bytes, JSON a code; what is no valid UTF-8
 * can't stand in JSON, and becomes U+FFFD.
 */
void lmi_event_line(const struct lmi_event *event, enum lmi_log_format format,
                    bool with_time, time_t now, struct lmi_buffer *out);

#endif
