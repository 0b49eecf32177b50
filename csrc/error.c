#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *
lmi_rc_name(enum lmi_rc rc)
{
    switch (rc) {
    case LMI_OK:
        return "OK";
    case LMI_MEMORY:
        return "MEMORY";
    case LMI_SETTINGS:
        return "SETTINGS";
    case LMI_SITE:
        return "SITE";
    case LMI_RIGHTS:
        return "RIGHTS";
    case LMI_STORE:
        return "STORE";
    case LMI_STOREFULL:
        return "STOREFULL";
    case LMI_KEY:
        return "KEY";
    case LMI_CRYPTO:
        return "CRYPTO";
    case LMI_ELSEWHERE:
        return "ELSEWHERE";
    case LMI_LIBRARY:
        return "LIBRARY";
    case LMI_SOCKET:
        return "SOCKET";
    }
    return "UNKNOWN";
}

enum lmi_rc
lmi_fail(struct lmi_err *err, enum lmi_rc code, int os_errno, const char *place,
         const char *text, const char *remedy)
{
    err->code = code;
    err->os_errno = os_errno;
    err->text = text;
    err->remedy = remedy;
    err->place[0] = '\0';
    if (place != NULL)
        lmi_err_add_place(err, "%s", place);
    return code;
}

void
lmi_err_add_place(struct lmi_err *err, const char *format, ...)
{
    size_t used = strlen(err->place);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(err->place + used, sizeof err->place - used, format, arguments);
    va_end(arguments);
}

void
lmi_err_format(const struct lmi_err *err, char *out, size_t size)
{
    char reason[128] = "";
    const char *message = reason;

    /* GNU's strerror_r: unlike strerror() it needs no static buffer. */
    if (err->os_errno != 0)
        message = strerror_r(err->os_errno, reason, sizeof reason);
    snprintf(out, size, "%s%s%s%s%s%s%s%s", err->place,
             err->place[0] != '\0' ? ": " : "",
             err->text != NULL ? err->text : "unknown fault",
             message[0] != '\0' ? ": " : "", message,
             err->remedy != NULL ? " (" : "",
             err->remedy != NULL ? err->remedy : "",
             err->remedy != NULL ? ")" : "");
}
