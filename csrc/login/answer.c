#include "login/answer.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"

static const char *const reasons[] = {
    [LMI_REASON_FAULT] = "fault",
    [LMI_REASON_INVALID] = "invalid",
    [LMI_REASON_WAIT] = "wait",
    [LMI_REASON_PARAMETER] = "parameter",
    [LMI_REASON_REMOTE] = "remote",
    [LMI_REASON_TFA_NEEDED] = "tfa_needed",
    [LMI_REASON_TFA_WRONG] = "tfa_wrong",
    [LMI_REASON_OK] = "ok",
};

const char *
lmi_reason_name(enum lmi_reason reason)
{
    return reasons[reason];
}

bool
lmi_reason_parse(const char *name, enum lmi_reason *out)
{
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (strcmp(name, reasons[i]) == 0) {
            *out = (enum lmi_reason)i;
            return true;
        }
    return false;
}

void
lmi_answer_say(struct lmi_login_answer *out, enum lmi_reason reason,
               const char *sentence)
{
    out->reason = reason;
    snprintf(out->message, sizeof out->message, "%s", sentence);
}

void
lmi_answer_give(struct lmi_login_answer *out, enum lmi_reason reason)
{
    lmi_answer_say(out, reason,
                   reason == LMI_REASON_OK ? "Login OK"
                                           : "The login is invalid.");
}

void
lmi_login_answer_refuse(struct lmi_login_answer *out, const char *text)
{
    memset(out, 0, sizeof *out);
    lmi_answer_say(out, LMI_REASON_PARAMETER, text);
    snprintf(out->detail, sizeof out->detail, "%s", text);
}

void
lmi_login_answer_fault(struct lmi_login_answer *out, const struct lmi_err *err)
{
    memset(out, 0, sizeof *out);
    snprintf(out->message, sizeof out->message,
             "Logins are not possible at the moment (%s).",
             lmi_rc_name(err->code));
    lmi_err_format(err, out->detail, sizeof out->detail);
}

void
lmi_answer_wait(struct lmi_login_answer *out, uint32_t seconds,
                const char *detail)
{
    out->reason = LMI_REASON_WAIT;
    out->wait = seconds;
    snprintf(out->message, sizeof out->message,
             "Too many failed logins. Please try again in %u seconds.",
             seconds);
    snprintf(out->detail, sizeof out->detail, "%s: a wait of %u seconds",
             detail, seconds);
}

/* The session that a good login here has made: its detail. */
static const char *
session_of(const struct lmi_login_answer *answer)
{
    struct lmi_bytes rest = lmi_bytes_of(answer->detail);

    return answer->reason == LMI_REASON_OK && lmi_take_prefix(&rest, "session ")
               ? rest.ptr
               : NULL;
}

void
lmi_answer_log(const struct lmi_login_answer *answer,
               const struct lmi_settings *settings,
               const struct lmi_request *request, bool name_known)
{
    bool name_shown = name_known || settings->log_unknown_users;
    const struct lmi_event event = {.name = "LOGIN",
                                    .alert =
                                        answer->reason == LMI_REASON_FAULT ||
                                        answer->reason == LMI_REASON_REMOTE,
                                    .service = request->service,
                                    .address = request->remote_addr,
                                    .user = name_shown ? request->user : NULL,
                                    .session = session_of(answer),
                                    .good = answer->reason == LMI_REASON_OK,
                                    .reason = lmi_reason_name(answer->reason),
                                    .has_caller = request->has_caller,
                                    .caller_uid = request->caller_uid,
                                    .detail = answer->detail};

    lmi_log(settings, &event);
}
