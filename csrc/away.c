#include "away.h"

#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "error.h"

enum lmi_rc
lmi_away_new(enum lmi_door door, struct lmi_request *request,
             struct lmi_settings *settings, struct lmi_away **out,
             struct lmi_err *err)
{
    struct lmi_away *away = calloc(1, sizeof *away);

    *out = away;
    if (away == NULL) {
        lmi_request_free(request);
        lmi_settings_free(settings);
        return lmi_fail(err, LMI_MEMORY, 0, NULL, "no memory", NULL);
    }
    away->door = door;
    away->request = request;
    away->settings = settings;
    return LMI_OK;
}

void
lmi_away_free(struct lmi_away *away)
{
    if (away == NULL)
        return;
    lmi_request_free(away->request);
    lmi_settings_free(away->settings);
    free(away);
}

void
lmi_away_fail(const struct lmi_away *away, const char *reason,
              struct lmi_login_answer *out)
{
    struct lmi_err err;

    memset(out, 0, sizeof *out);
    lmi_fail(&err, LMI_LIBRARY, 0, reason,
             "the login would leave the process, for which libcurl and jansson "
             "are needed",
             "Debian: install libcurl4-openssl-dev and libjansson-dev, and "
             "build Cpanel::LogMeIn again");
    lmi_answer_fault(out, &err);
    lmi_answer_log(out, away->settings, away->request, false);
}
