/*
 * Lines for the operator: to syslog, a file or standard error, as the settings
 * `log` and `log_format` say, or nowhere.
 *
 * A line that can't be written fails no login. It is counted; standard error,
 * unless it is the log, is told once a minute; and when a line can be written
 * again, another one says how many are missing. A line may wait 0.1 s for room
 * in a full socket, but not while others are missing.
 */
#ifndef LMI_LOG_H
#define LMI_LOG_H

#include "base/settings.h"

/*
 * What is lost, in memory that a process shares with those it forks. Settings
 * without one, those that no handle has read, count nothing.
 */
LMI_RC lmi_log_state_new(struct lmi_log_state **out, struct lmi_err *err);
void lmi_log_state_free(struct lmi_log_state *state);

void lmi_log(const struct lmi_settings *settings,
             const struct lmi_event *event);

/* The same, of neither a login nor a session: "NAME detail". */
void lmi_log_note(const struct lmi_settings *settings, const char *name,
                  bool alert, const char *detail);

/* See lmi_log_try() and lmi_log_look() in logmein.h. */
LMI_RC lmi_log_prove(const struct lmi_settings *settings, const char *detail,
                     struct lmi_err *err);
void lmi_log_examine(const struct lmi_settings *settings,
                     struct lmi_log_health *out, struct lmi_err *err);

#endif
