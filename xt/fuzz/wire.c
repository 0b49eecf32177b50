/*
 * Any answer of another server, or of the gateway: the first two bytes choose
 * service and status, lines up to an empty one are headers, the rest is body.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "login/url.h"
#include "remote/wire.h"

#define ORIGIN "https://panel.example:2083"

/* A URL that is returned: ours in front, and nothing that would end it. */
static void
check_url(const char *url)
{
    size_t len = strlen(ORIGIN);

    if (strncmp(url, ORIGIN "/", len + 1) != 0)
        abort();
    for (const char *c = url; *c != '\0'; c++)
        if (*c < 0x21 || *c > 0x7E || strchr("\"<>\\^`{|}", *c) != NULL)
            abort();
}

/* A cookie's value: nothing that would begin another part of the URL. */
static void
check_value(const char *value)
{
    if (value[0] == '\0' || strlen(value) > LMI_VALUE_MAX)
        abort();
    for (const char *c = value; *c != '\0'; c++)
        if (!lmi_is_alnum(*c) && strchr("%-_.~:@!*=+/", *c) == NULL)
            abort();
}

static void
check_server(const struct lmi_wire_reply *reply, long status)
{
    static struct lmi_wire_said said;
    static char url[LMI_URL_SIZE], expected[LMI_URL_SIZE];
    struct lmi_url_parts parts = {.hostname = "panel.example",
                                  .port = 2083,
                                  .token = said.token,
                                  .goto_uri = "/x",
                                  .ticket = reply->cookie};

    lmi_wire_judge(reply, status, &said);
    if (said.verdict != LMI_WIRE_GOOD)
        return;
    if (status != 200 || !reply->cookie_ok ||
        (said.token[0] != '\0' && strlen(said.token) != LMI_TOKEN_SIZE - 1) ||
        strspn(said.token, "/cpses0123456789") != strlen(said.token) ||
        !lmi_url_build_remote(&parts, url))
        abort();
    check_url(url);
    check_value(reply->cookie);
    /* What they sent is where it belongs, and nowhere else. */
    snprintf(expected, sizeof expected,
             ORIGIN "%s/login/?session=%s&goto_uri=%%2fx", said.token,
             reply->cookie);
    if (strcmp(url, expected) != 0)
        abort();
}

static void
check_gateway(const struct lmi_wire_reply *reply, long status)
{
    static struct lmi_wire_said said;

    memset(said.message, 0, sizeof said.message);
    lmi_wire_judge_gateway(reply, status, ORIGIN, &said);
    if (said.verdict == LMI_WIRE_GOOD)
        check_url(said.url);
    else if (said.verdict != LMI_WIRE_STRANGE && said.message[0] == '\0')
        abort();
}

/* What is shown of a Location: printable, without a query and the password. */
static void
check_location(const struct lmi_wire_reply *reply)
{
    const struct lmi_bytes pass = {"secret", 6};
    char shown[LMI_LOCATION_SIZE];

    memset(shown, 'x', sizeof shown);
    lmi_wire_location(reply, pass, shown);
    if (memchr(shown, '\0', sizeof shown) == NULL ||
        strpbrk(shown, "?#") != NULL || strstr(shown, pass.ptr) != NULL)
        abort();
    if (strcmp(shown, "not shown") == 0)
        return;
    for (const char *c = shown; *c != '\0'; c++)
        if (*c < 0x21 || *c > 0x7E)
            abort();
}

/* The length of the line at ptr, its end included. */
static size_t
line_len(const char *ptr, size_t len)
{
    const char *end = memchr(ptr, '\n', len);

    return end == NULL ? len : (size_t)(end - ptr) + 1;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const long statuses[] = {200, 200, 200, 401, 400, 429, 503, 302};
    static struct lmi_wire_reply reply;
    const char *text = (const char *)data;
    long status;
    bool more = true;

    if (size < 2)
        return 0;
    memset(&reply, 0, sizeof reply - sizeof reply.body);
    reply.service = (enum lmi_service)(data[0] % 3 + 1);
    status = statuses[data[1] % 8];
    text += 2;
    size -= 2;
    while (size > 0 && more) {
        size_t len = line_len(text, size);
        more = len > 2 || text[0] > '\r';
        if (!lmi_wire_header(&reply, text, len))
            return 0;
        text += len;
        size -= len;
    }
    if (!lmi_wire_body(&reply, text, size))
        return 0;
    check_server(&reply, status);
    check_location(&reply);
    check_gateway(&reply, status);
    return 0;
}
