/*
 * What the caller of a login is told, and the line for the log.
 */
#ifndef LMI_ANSWER_H
#define LMI_ANSWER_H

#include "request.h"
#include "settings.h"

#define LMI_LOGIN_OK "Login OK"
#define LMI_LOGIN_INVALID "The login is invalid."

void lmi_answer_say(struct lmi_login_answer *out, const char *sentence);

/* The fault sentence with its code; path, cause and remedy as the detail. */
void lmi_answer_fault(struct lmi_login_answer *out, const struct lmi_err *err);

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
