#include "base/text.h"

#include <string.h>
#include <strings.h>

/* The value of a hex digit, or -1. */
static int
hex_value(char c)
{
    if (lmi_is_digit(c))
        return c - '0';
    c = lmi_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int
lmi_percent_value(const char *ptr, size_t len)
{
    if (len < 3 || ptr[0] != '%')
        return -1;
    int high = hex_value(ptr[1]);
    int low = hex_value(ptr[2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

bool
lmi_bytes_equal(struct lmi_bytes bytes, const char *text)
{
    return bytes.len == strlen(text) && memcmp(bytes.ptr, text, bytes.len) == 0;
}

bool
lmi_bytes_like(struct lmi_bytes bytes, const char *text)
{
    return bytes.len == strlen(text) &&
           strncasecmp(bytes.ptr, text, bytes.len) == 0;
}

bool
lmi_bytes_copy(struct lmi_bytes bytes, char *out, size_t size)
{
    if (bytes.len >= size || memchr(bytes.ptr, '\0', bytes.len) != NULL)
        return false;
    memcpy(out, bytes.ptr, bytes.len);
    out[bytes.len] = '\0';
    return true;
}

bool
lmi_has_control(struct lmi_bytes bytes, bool tabs_allowed)
{
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char c = (unsigned char)bytes.ptr[i];
        if (c == 0x7F || (c < 0x20 && !(c == '\t' && tabs_allowed)))
            return true;
    }
    return false;
}

/*
 * The length of the well-formed sequence at p, or 0. The bounds of the second
 * byte exclude overlong forms, surrogates and what lies above U+10FFFF
 * (Unicode, table 3-7).
 */
static size_t
utf8_sequence(const unsigned char *p, size_t left)
{
    unsigned char low = 0x80, high = 0xBF;
    size_t len;

    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xC2 && p[0] <= 0xDF) {
        len = 2;
    } else if (p[0] >= 0xE0 && p[0] <= 0xEF) {
        len = 3;
        low = p[0] == 0xE0 ? 0xA0 : 0x80;
        high = p[0] == 0xED ? 0x9F : 0xBF;
    } else if (p[0] >= 0xF0 && p[0] <= 0xF4) {
        len = 4;
        low = p[0] == 0xF0 ? 0x90 : 0x80;
        high = p[0] == 0xF4 ? 0x8F : 0xBF;
    } else {
        return 0;
    }
    if (left < len || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if (p[i] < 0x80 || p[i] > 0xBF)
            return 0;
    return len;
}

bool
lmi_utf8_valid(const char *ptr, size_t len)
{
    const unsigned char *p = (const unsigned char *)ptr;

    while (len > 0) {
        size_t step = utf8_sequence(p, len);
        if (step == 0)
            return false;
        p += step;
        len -= step;
    }
    return true;
}

/* The character at p, if it fits a byte; else -1. */
static int
narrow_character(const unsigned char *p, size_t left)
{
    if (p[0] < 0x80)
        return p[0];
    if (left < 2 || (p[0] != 0xC2 && p[0] != 0xC3) || (p[1] & 0xC0) != 0x80)
        return -1;
    return ((p[0] & 0x03) << 6) | (p[1] & 0x3F);
}

/*
 * Writes each character as one byte; false if one does not fit a byte. More
 * than size characters: *len_out is size + 1.
 */
static bool
narrow(struct lmi_text text, char *out, size_t size, size_t *len_out)
{
    const unsigned char *p = (const unsigned char *)text.ptr;
    size_t left = text.len, len = 0;

    while (left > 0) {
        int c = narrow_character(p, left);
        if (c < 0)
            return false;
        if (len == size) {
            *len_out = size + 1;
            return true;
        }
        size_t step = p[0] < 0x80 ? 1 : 2;
        p += step;
        left -= step;
        out[len++] = (char)c;
    }
    *len_out = len;
    return true;
}

static size_t
widen(struct lmi_text text, char *out, size_t size)
{
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        size_t step = c < 0x80 ? 1 : 2;
        if (size - len < step)
            return size + 1;
        if (step == 2)
            out[len++] = (char)(0xC0 | (c >> 6));
        out[len++] = (char)(step == 2 ? 0x80 | (c & 0x3F) : c);
    }
    return len;
}

static size_t
copy(struct lmi_text text, char *out, size_t size)
{
    if (text.len > size)
        return size + 1;
    memcpy(out, text.ptr, text.len);
    return text.len;
}

bool
lmi_text_given(struct lmi_text text)
{
    return (text.kind == LMI_TEXT_LATIN1 || text.kind == LMI_TEXT_UTF8) &&
           text.len > 0;
}

size_t
lmi_text_bytes(struct lmi_text text, char *out, size_t size)
{
    size_t len;

    if (!lmi_text_given(text))
        return 0;
    /* No conversion shortens a string to less than half. */
    if (text.len / 2 > size)
        return size + 1;
    if (text.kind == LMI_TEXT_LATIN1) {
        if (lmi_utf8_valid(text.ptr, text.len))
            return copy(text, out, size);
        return widen(text, out, size);
    }
    if (narrow(text, out, size, &len) &&
        (len > size || lmi_utf8_valid(out, len)))
        return len;
    return copy(text, out, size);
}

bool
lmi_text_read(struct lmi_text text, char *out, size_t size, size_t *len_out)
{
    *len_out = lmi_text_bytes(text, out, size - 1);
    if (*len_out >= size)
        return false;
    out[*len_out] = '\0';
    return true;
}

bool
lmi_parse_number(struct lmi_bytes digits, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;

    if (digits.len == 0)
        return false;
    for (size_t i = 0; i < digits.len; i++) {
        if (!lmi_is_digit(digits.ptr[i]))
            return false;
        uint64_t digit = (uint64_t)(digits.ptr[i] - '0');
        if (digit > max || value > (max - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

bool
lmi_user_ok(struct lmi_bytes user)
{
    if (user.len == 0 || user.len > LMI_USER_MAX || user.ptr[0] == '-' ||
        user.ptr[0] == '.')
        return false;
    for (size_t i = 0; i < user.len; i++) {
        char c = user.ptr[i];
        if (!lmi_is_alnum(c) && (c == '\0' || strchr("_.@+-", c) == NULL))
            return false;
        if (c == '.' && i > 0 && user.ptr[i - 1] == '.')
            return false;
    }
    return true;
}

struct lmi_bytes
lmi_next_field(struct lmi_bytes *rest, char sep)
{
    struct lmi_bytes field = *rest;
    const char *end = rest->len > 0 ? memchr(rest->ptr, sep, rest->len) : NULL;

    if (end == NULL) {
        if (rest->ptr != NULL)
            rest->ptr += rest->len;
        rest->len = 0;
        return field;
    }
    field.len = (size_t)(end - rest->ptr);
    rest->ptr += field.len + 1;
    rest->len -= field.len + 1;
    return field;
}

bool
lmi_split(struct lmi_bytes line, char sep, struct lmi_bytes *fields_out,
          size_t count)
{
    size_t separators = 0;

    for (size_t i = 0; i < line.len; i++)
        separators += line.ptr[i] == sep;
    if (separators + 1 != count)
        return false;
    for (size_t i = 0; i < count; i++)
        fields_out[i] = lmi_next_field(&line, sep);
    return true;
}

bool
lmi_take_prefix(struct lmi_bytes *rest, const char *prefix)
{
    size_t len = strlen(prefix);

    if (rest->len < len || memcmp(rest->ptr, prefix, len) != 0)
        return false;
    rest->ptr += len;
    rest->len -= len;
    return true;
}

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct lmi_bytes
lmi_trim(struct lmi_bytes text)
{
    while (text.len > 0 && is_blank(text.ptr[0])) {
        text.ptr++;
        text.len--;
    }
    while (text.len > 0 && is_blank(text.ptr[text.len - 1]))
        text.len--;
    return text;
}

struct lmi_bytes
lmi_next_word(struct lmi_bytes *rest)
{
    struct lmi_bytes word = lmi_trim(*rest);
    size_t len = 0;

    while (len < word.len && !is_blank(word.ptr[len]))
        len++;
    rest->ptr = word.ptr + len;
    rest->len = word.len - len;
    word.len = len;
    return word;
}

void
lmi_put_time(uint8_t out[8], int64_t time)
{
    uint64_t bits = (uint64_t)time;

    for (size_t i = 8; i-- > 0; bits >>= 8)
        out[i] = (uint8_t)bits;
}

int64_t
lmi_get_time(const uint8_t in[8])
{
    uint64_t bits = 0;

    for (size_t i = 0; i < 8; i++)
        bits = bits << 8 | in[i];
    return (int64_t)bits;
}
