#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *
lmi_rc_name(enum lmi_rc rc)
{
    static const char *const names[] = {
        [LMI_OK] = "OK",
        [LMI_MEMORY] = "MEMORY",
        [LMI_SETTINGS] = "SETTINGS",
        [LMI_SITE] = "SITE",
        [LMI_RIGHTS] = "RIGHTS",
        [LMI_STORE] = "STORE",
        [LMI_STOREFULL] = "STOREFULL",
        [LMI_KEY] = "KEY",
        [LMI_CRYPTO] = "CRYPTO",
        [LMI_ELSEWHERE] = "ELSEWHERE",
        [LMI_LIBRARY] = "LIBRARY",
        [LMI_SOCKET] = "SOCKET",
        [LMI_LOG] = "LOG",
    };

    return names[rc];
}

enum lmi_rc
lmi_fail(struct lmi_err *err, enum lmi_rc code, int os_errno,
         const char *location, const char *text, const char *remedy)
{
    err->code = code;
    err->os_errno = os_errno;
    err->text = text;
    err->remedy = remedy;
    err->location[0] = '\0';
    if (location != NULL)
        lmi_err_add_location(err, "%s", location);
    return code;
}

enum lmi_rc
lmi_no_memory(struct lmi_err *err)
{
    return lmi_fail(err, LMI_MEMORY, 0, NULL, "no memory", NULL);
}

void
lmi_err_add_location(struct lmi_err *err, const char *format, ...)
{
    size_t used = strlen(err->location);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(err->location + used, sizeof err->location - used, format,
              arguments);
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
    snprintf(out, size, "%s%s%s%s%s%s%s%s", err->location,
             err->location[0] != '\0' ? ": " : "",
             err->text != NULL ? err->text : "unknown fault",
             message[0] != '\0' ? ": " : "", message,
             err->remedy != NULL ? " (" : "",
             err->remedy != NULL ? err->remedy : "",
             err->remedy != NULL ? ")" : "");
}
