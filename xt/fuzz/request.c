/*
 * Any string as any parameter: refused with a sentence, or in a form that the
 * rest of the core relies on. The first byte tells which parameter, and how
 * its characters are coded.
 */
#include <stdlib.h>
#include <string.h>

#include "login/request.h"

static struct lmi_text
text_of(const char *text)
{
    return (struct lmi_text){LMI_TEXT_LATIN1, text, strlen(text)};
}

static void
check_uri(const char *uri)
{
    char again[LMI_URI_MAX + 1];
    struct lmi_text text = text_of(uri);

    const char *dots = strstr(uri, "/../");
    if (uri[0] != '/' || uri[1] == '/' || strlen(uri) > LMI_URI_MAX ||
        (dots != NULL && dots < uri + strcspn(uri, "?#")))
        abort();
    for (const char *c = uri; *c != '\0'; c++)
        if (*c <= 0x20 || *c >= 0x7F || *c == '\\' || *c == '"' || *c == '<')
            abort();
    /* The canonical form stays as it is, but for the prefix that goes once. */
    if (strncmp(uri, "/json-api/dummy", 15) != 0 &&
        (lmi_uri_read(text, again) != NULL || strcmp(uri, again) != 0))
        abort();
}

static void
check_names(const struct lmi_request *request)
{
    static const char user[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "abcdefghijklmnopqrstuvwxyz0123456789_.@+-";
    static const char host[] = "abcdefghijklmnopqrstuvwxyz0123456789.-:[]";

    if (request->user[strspn(request->user, user)] != '\0' ||
        request->user[0] == '.' || request->user[0] == '-' ||
        strstr(request->user, "..") != NULL)
        abort();
    if (request->hostname[strspn(request->hostname, host)] != '\0' ||
        strlen(request->hostname) > 253 || request->hostname[0] == '\0')
        abort();
    if (request->pass_len == 0 || request->pass_len > LMI_PASS_MAX ||
        memchr(request->pass, '\0', request->pass_len) != NULL)
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lmi_login ask = {.user = text_of("alice"),
                            .pass = text_of("secret"),
                            .hostname = text_of("localhost"),
                            .service = text_of("cpanel"),
                            .goto_uri = text_of("/")};
    struct lmi_text *const parameters[] = {
        &ask.user,      &ask.pass,
        &ask.hostname,  &ask.service,
        &ask.goto_uri,  &ask.remote_addr,
        &ask.tfa_token, &ask.active_token_for_reuse};
    struct lmi_request *request = NULL;
    const char *complaint = NULL;
    struct lmi_err err;

    if (size == 0)
        return 0;
    *parameters[data[0] % 8] =
        (struct lmi_text){data[0] & 8 ? LMI_TEXT_UTF8 : LMI_TEXT_LATIN1,
                          (const char *)data + 1, size - 1};
    if (lmi_request_read(&ask, &request, &complaint, &err) != LMI_OK ||
        (complaint == NULL) == (request == NULL))
        abort();
    if (request != NULL) {
        check_names(request);
        check_uri(request->goto_uri);
    } else if (strlen(complaint) >= LMI_MESSAGE_SIZE) {
        abort();
    }
    lmi_request_free(request);
    return 0;
}
