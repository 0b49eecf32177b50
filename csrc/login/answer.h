/*
 * What the caller of a login is told, and the line for the log.
 */
#ifndef LMI_ANSWER_H
#define LMI_ANSWER_H

#include "login/request.h"
#include "base/settings.h"

/* The sentence for a reason that has one: OK, INVALID. */
void lmi_answer_give(struct lmi_login_answer *out, enum lmi_reason reason);

/* A reason with a sentence of its own. */
void lmi_answer_say(struct lmi_login_answer *out, enum lmi_reason reason,
                    const char *sentence);

/* The wait's sentence; detail says who wants it. */
void lmi_answer_wait(struct lmi_login_answer *out, uint32_t seconds,
                     const char *detail);

/*
 * As cPanel's login_log has its lines, for the tools that read them. name_known
 * tells that the account exists; people type passwords into the user field.
 */
void lmi_answer_log(const struct lmi_login_answer *answer,
                    const struct lmi_settings *settings,
                    const struct lmi_request *request, bool name_known);

#endif
