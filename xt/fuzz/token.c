/* Any string as a token, a ticket and a cookie. */
#include <stdlib.h>
#include <string.h>

#include "sessions/token.h"

static void
check_token(struct lmi_text text)
{
    char digits[LMI_TOKEN_DIGITS];

    if (!lmi_token_parse(text, digits))
        return;
    if (text.len != 16 && text.len != 17)
        abort();
    for (size_t i = 0; i < LMI_TOKEN_DIGITS; i++)
        if (!lmi_is_digit(digits[i]))
            abort();
}

static void
check_ticket(struct lmi_text text)
{
    char ticket[LMI_TICKET_SIZE];

    if (lmi_ticket_parse(text, ticket) &&
        (text.len != LMI_TICKET_SIZE - 1 ||
         strlen(ticket) != LMI_TICKET_SIZE - 1 ||
         memcmp(ticket, "lmt_", 4) != 0))
        abort();
}

static void
check_cookie(struct lmi_text text)
{
    char user[LMI_USER_MAX + 1], secret[LMI_SECRET_CHARS + 1];

    if (!lmi_cookie_parse(text, user, secret))
        return;
    if (memchr(user, '\0', sizeof user) == NULL || user[0] == '\0' ||
        strlen(secret) != LMI_SECRET_CHARS)
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lmi_text text = {LMI_TEXT_LATIN1, (const char *)data, size};

    check_token(text);
    check_ticket(text);
    check_cookie(text);
    text.kind = LMI_TEXT_UTF8;
    check_token(text);
    check_ticket(text);
    check_cookie(text);
    return 0;
}
