#include "answer.h"

#include <stdio.h>

#include "log.h"

void
lmi_answer_say(struct lmi_login_answer *out, const char *sentence)
{
    snprintf(out->message, sizeof out->message, "%s", sentence);
}

void
lmi_answer_fault(struct lmi_login_answer *out, const struct lmi_err *err)
{
    snprintf(out->message, sizeof out->message,
             "Logins are not possible at the moment (%s).",
             lmi_rc_name(err->code));
    out->fault = true;
    lmi_err_format(err, out->detail, sizeof out->detail);
}

void
lmi_answer_wait(struct lmi_login_answer *out, uint32_t seconds,
                const char *detail)
{
    out->wait = seconds;
    snprintf(out->message, sizeof out->message,
             "Too many failed logins. Please try again in %u seconds.",
             seconds);
    snprintf(out->detail, sizeof out->detail, "%s: a wait of %u seconds",
             detail, seconds);
}

void
lmi_answer_log(const struct lmi_login_answer *answer,
               const struct lmi_settings *settings,
               const struct lmi_request *request, bool name_known)
{
    char line[LMI_DETAIL_SIZE + 2 * LMI_USER_MAX];
    const char *daemon = lmi_service_daemon(request->service);
    bool name_shown = name_known || settings->log_unknown_users;
    char caller[32] = "";

    if (request->has_caller)
        snprintf(caller, sizeof caller, " by uid %u", request->caller_uid);
    snprintf(line, sizeof line, "info [%s] %s - %s \"login%s\" %s LOGIN %s: %s",
             daemon,
             request->remote_addr[0] != '\0' ? request->remote_addr : "-",
             name_shown ? request->user : "-", caller,
             answer->login_ok ? "SUCCESS" : "FAILED", daemon, answer->detail);
    lmi_log(settings->log, answer->fault, line);
}
