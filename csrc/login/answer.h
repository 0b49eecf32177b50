/* What the caller of a login is told, and the line for the log. */
#ifndef LMI_ANSWER_H
#define LMI_ANSWER_H

#include "login/request.h"
#include "base/settings.h"

/* The sentence for a reason that has one: OK, INVALID. */
void lmi_answer_give(struct lmi_login_answer *out, enum lmi_reason reason);

/* A reason with a sentence of its own. */
void lmi_answer_say(struct lmi_login_answer *out, enum lmi_reason reason,
                    const char *sentence);

/* The sentence for a wait; detail: who demands it. */
void lmi_answer_wait(struct lmi_login_answer *out, uint32_t seconds,
                     const char *detail);

/*
 * In the format of cPanel's login_log. Names of accounts that do not exist
 * (name_known is false) are not logged: they may be mistyped passwords.
 */
void lmi_answer_log(const struct lmi_login_answer *answer,
                    const struct lmi_settings *settings,
                    const struct lmi_request *request, bool name_known);

#endif
