/*
 * Any string in either of its two forms. What bytes it means is worked out a
 * second time, from its characters.
 */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define SIZE 8192

struct characters {
    size_t count;
    uint32_t list[SIZE];
};

/* The code point of a sequence and its length; 0: not well-formed. */
static size_t
decode(const uint8_t *p, size_t left, uint32_t *out)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = p[0] < 0x80   ? 1
                 : p[0] < 0xC0 ? 0
                 : p[0] < 0xE0 ? 2
                 : p[0] < 0xF0 ? 3
                 : p[0] < 0xF8 ? 4
                               : 0;

    if (len == 0 || len > left)
        return 0;
    *out = len == 1 ? p[0] : p[0] & (0x7Fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
        *out = *out << 6 | (p[i] & 0x3F);
    }
    return *out < least[len] ? 0 : len;
}

static size_t
encode(uint32_t c, uint8_t *out)
{
    size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t first[] = {0, 0, 0xC0, 0xE0, 0xF0};

    for (size_t i = len; i-- > 1; c >>= 6)
        out[i] = (uint8_t)(0x80 | (c & 0x3F));
    out[0] = (uint8_t)(first[len] | c);
    return len;
}

static bool
is_utf8(const uint8_t *p, size_t len)
{
    uint32_t c = 0;

    for (size_t step; len > 0; p += step, len -= step) {
        step = decode(p, len, &c);
        if (step == 0 || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
            return false;
    }
    return true;
}

/* What a string of these characters means. */
static size_t
meaning(const struct characters *string, uint8_t out[4 * SIZE])
{
    bool narrow = true;
    size_t len = 0;

    for (size_t i = 0; i < string->count; i++)
        narrow = narrow && string->list[i] < 256;
    for (size_t i = 0; narrow && i < string->count; i++)
        out[len++] = (uint8_t)string->list[i];
    if (narrow && is_utf8(out, len))
        return len;
    len = 0;
    for (size_t i = 0; i < string->count; i++)
        len += encode(string->list[i], out + len);
    return len;
}

/* The conversion, with room for exactly `size` bytes. */
static void
check(struct lmi_text text, const uint8_t *bytes, size_t len, size_t size)
{
    char *out = malloc(size == 0 ? 1 : size);
    size_t got;

    if (out == NULL)
        abort();
    got = lmi_text_bytes(text, out, size);
    if (len > size ? got != size + 1
                   : got != len || memcmp(out, bytes, len) != 0)
        abort();
    free(out);
}

static void
check_both(const struct characters *string, size_t size)
{
    static uint8_t bytes[4 * SIZE], flagged[4 * SIZE], plain[SIZE];
    size_t len = meaning(string, bytes), flagged_len = 0;
    bool narrow = true;

    for (size_t i = 0; i < string->count; i++) {
        flagged_len += encode(string->list[i], flagged + flagged_len);
        narrow = narrow && string->list[i] < 256;
        plain[i] = (uint8_t)string->list[i];
    }
    struct lmi_text text = {LMI_TEXT_UTF8, (const char *)flagged, flagged_len};
    check(text, bytes, len, size);
    check(text, bytes, len, len);
    check(text, bytes, len, len == 0 ? 0 : len - 1);
    text =
        (struct lmi_text){LMI_TEXT_LATIN1, (const char *)plain, string->count};
    if (!narrow)
        return;
    check(text, bytes, len, size);
    check(text, bytes, len, len);
    check(text, bytes, len, len == 0 ? 0 : len - 1);
}

/* Flagged bytes that no Perl makes: any answer, inside its bounds. */
static void
check_bounds(const uint8_t *data, size_t size, size_t room)
{
    char *out = malloc(room == 0 ? 1 : room);
    struct lmi_text text = {LMI_TEXT_UTF8, (const char *)data, size};

    if (out == NULL || lmi_text_bytes(text, out, room) > room + 1)
        abort();
    free(out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct characters string;
    size_t room, step;

    if (size < 1 || size > SIZE)
        return 0;
    room = data[0];
    data++;
    size--;
    if (lmi_utf8_valid((const char *)data, size) != is_utf8(data, size))
        abort();
    check_bounds(data, size, room);
    string.count = size;
    for (size_t i = 0; i < size; i++)
        string.list[i] = data[i];
    check_both(&string, room);
    /* Once more, as the wide characters that the bytes may be. */
    string.count = 0;
    for (size_t i = 0; i < size; i += step) {
        step = decode(data + i, size - i, &string.list[string.count]);
        if (step == 0)
            return 0;
        string.count++;
    }
    check_both(&string, room);
    return 0;
}
