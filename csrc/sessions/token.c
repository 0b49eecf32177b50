#include "sessions/token.h"

#include <string.h>

#include "base/buffer.h"

#define TICKET_PREFIX "lmt_"
#define TICKET_PREFIX_LEN 4

enum lmi_rc
lmi_token_draw(struct lmi_crypto *crypto, char digits_out[LMI_TOKEN_DIGITS],
               struct lmi_err *err)
{
    const uint64_t range = UINT64_C(10000000000);
    uint64_t number;
    enum lmi_rc rc;

    /* The last, incomplete range is drawn again, or low numbers would win. */
    do {
        rc = lmi_random(crypto, &number, sizeof number, err);
        if (rc != LMI_OK)
            return rc;
    } while (number >= UINT64_MAX - UINT64_MAX % range);
    number %= range;
    for (size_t i = LMI_TOKEN_DIGITS; i-- > 0; number /= 10)
        digits_out[i] = (char)('0' + number % 10);
    return LMI_OK;
}

void
lmi_token_format(const char digits[LMI_TOKEN_DIGITS], char out[LMI_TOKEN_SIZE])
{
    memcpy(out, "/cpsess", 7);
    memcpy(out + 7, digits, LMI_TOKEN_DIGITS);
    out[LMI_TOKEN_SIZE - 1] = '\0';
}

bool
lmi_token_parse(struct lmi_text text, char digits_out[LMI_TOKEN_DIGITS])
{
    struct lmi_bytes rest = {text.ptr, text.len};

    if (!lmi_text_given(text))
        return false;
    lmi_take_prefix(&rest, "/");
    if (!lmi_take_prefix(&rest, "cpsess") || rest.len != LMI_TOKEN_DIGITS)
        return false;
    for (size_t i = 0; i < rest.len; i++)
        if (!lmi_is_digit(rest.ptr[i]))
            return false;
    memcpy(digits_out, rest.ptr, LMI_TOKEN_DIGITS);
    return true;
}

bool
lmi_token_is(struct lmi_text text, const char digits[LMI_TOKEN_DIGITS])
{
    char given[LMI_TOKEN_DIGITS];

    return lmi_token_parse(text, given) &&
           lmi_secret_equal(given, digits, LMI_TOKEN_DIGITS);
}

/* 32 random bytes as base64url without padding. */
static enum lmi_rc
secret_draw(struct lmi_crypto *crypto, char out[LMI_SECRET_CHARS + 1],
            struct lmi_err *err)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                   "abcdefghijklmnopqrstuvwxyz0123456789-_";
    /* A zero byte behind the 32 fills up the last group. */
    uint8_t bytes[33] = {0};
    enum lmi_rc rc = lmi_random(crypto, bytes, 32, err);

    if (rc != LMI_OK)
        return rc;
    for (size_t i = 0; i < LMI_SECRET_CHARS; i++) {
        size_t at = i / 4 * 3 + i % 4 * 6 / 8, shift = 10 - i % 4 * 6 % 8;
        unsigned pair = (unsigned)bytes[at] << 8;
        if (at + 1 < sizeof bytes)
            pair |= bytes[at + 1];
        out[i] = alphabet[pair >> shift & 63];
    }
    out[LMI_SECRET_CHARS] = '\0';
    lmi_wipe(bytes, sizeof bytes);
    return LMI_OK;
}

static bool
secret_ok(struct lmi_bytes secret)
{
    for (size_t i = 0; i < secret.len; i++) {
        char c = secret.ptr[i];
        if (!lmi_is_alnum(c) && c != '-' && c != '_')
            return false;
    }
    return secret.len == LMI_SECRET_CHARS;
}

enum lmi_rc
lmi_ticket_draw(struct lmi_crypto *crypto, char out[LMI_TICKET_SIZE],
                struct lmi_err *err)
{
    memcpy(out, TICKET_PREFIX, TICKET_PREFIX_LEN);
    return secret_draw(crypto, out + TICKET_PREFIX_LEN, err);
}

bool
lmi_ticket_parse(struct lmi_text text, char ticket_out[LMI_TICKET_SIZE])
{
    struct lmi_bytes ticket = {text.ptr, text.len}, secret = ticket;

    return lmi_text_given(text) && lmi_take_prefix(&secret, TICKET_PREFIX) &&
           secret_ok(secret) &&
           lmi_bytes_copy(ticket, ticket_out, LMI_TICKET_SIZE);
}

enum lmi_rc
lmi_cookie_draw(struct lmi_crypto *crypto, const char *user,
                char out[LMI_COOKIE_SIZE],
                char secret_out[LMI_SECRET_CHARS + 1], struct lmi_err *err)
{
    struct lmi_buffer cookie;
    enum lmi_rc rc = secret_draw(crypto, secret_out, err);

    if (rc != LMI_OK)
        return rc;
    lmi_buffer_init(&cookie, out, LMI_COOKIE_SIZE);
    lmi_buffer_put_encoded(&cookie, user, strlen(user));
    lmi_buffer_put_text(&cookie, "%3a");
    lmi_buffer_put_text(&cookie, secret_out);
    return LMI_OK;
}

/* Percent-decodes once; what is no %XX stays. */
static size_t
decode(const char *ptr, size_t len, char *out)
{
    size_t used = 0;

    for (size_t i = 0; i < len; i++) {
        int value = lmi_percent_value(ptr + i, len - i);
        out[used++] = value < 0 ? ptr[i] : (char)value;
        i += value < 0 ? 0 : 2;
    }
    return used;
}

bool
lmi_cookie_parse(struct lmi_text text, char user_out[LMI_USER_MAX + 1],
                 char secret_out[LMI_SECRET_CHARS + 1])
{
    char plain[LMI_COOKIE_SIZE];

    if (!lmi_text_given(text) || text.len >= sizeof plain)
        return false;
    struct lmi_bytes secret = {plain, decode(text.ptr, text.len, plain)};
    struct lmi_bytes user = lmi_next_field(&secret, ':');
    bool ok = user.len > 0 && secret_ok(secret) &&
              lmi_bytes_copy(user, user_out, LMI_USER_MAX + 1) &&
              lmi_bytes_copy(secret, secret_out, LMI_SECRET_CHARS + 1);
    lmi_wipe(plain, sizeof plain);
    return ok;
}
