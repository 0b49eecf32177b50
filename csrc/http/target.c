#include <string.h>

#include "http/scan.h"

#define TOKEN_LEN (LMI_TOKEN_SIZE - 1)

/* Does it begin with a token? */
static bool
has_token(struct lmi_bytes text)
{
    static const char name[] = "/cpsess";

    if (text.len < TOKEN_LEN || memcmp(text.ptr, name, sizeof name - 1) != 0)
        return false;
    for (size_t i = sizeof name - 1; i < TOKEN_LEN; i++)
        if (!lmi_is_digit(text.ptr[i]))
            return false;
    return true;
}

static bool
is_target(struct lmi_bytes target)
{
    if (target.len == 0 || target.ptr[0] != '/')
        return false;
    for (size_t i = 0; i < target.len; i++) {
        char c = target.ptr[i];
        if (c < 0x21 || c > 0x7E || c == '\\' || c == '#')
            return false;
    }
    return true;
}

/* A percent sign that encodes nothing, or a byte that may not be encoded. */
static bool
has_bad_code(struct lmi_bytes path)
{
    while (path.len > 0) {
        bool coded = path.ptr[0] == '%';
        if (coded && lmi_percent_value(path.ptr, path.len) < 0)
            return true;
        unsigned char c = lmi_scan_coded(&path);
        if (coded && (c < 0x20 || c == 0x7F || c == '/' || c == '\\'))
            return true;
    }
    return false;
}

/* Its slashes are not encoded, but its dots and semicolons may be. */
static bool
has_dot_segment(struct lmi_bytes path)
{
    size_t dots = 0, others = 0;

    while (path.len > 0) {
        unsigned char c = lmi_scan_coded(&path);
        if ((c == '/' || c == ';') && others == 0 && (dots == 1 || dots == 2))
            return true;
        dots = c == '/' ? 0 : dots + (c == '.');
        others = c == '/' ? 0 : others + (c != '.');
    }
    return others == 0 && (dots == 1 || dots == 2);
}

/*
 * U+FDD0 to U+FDEF, and the last two of each plane, in well-formed UTF-8.
 * Strict decoders, as Perl's, refuse them; others don't.
 */
static bool
is_noncharacter(const unsigned char *p, size_t len)
{
    if (len == 3 && p[0] == 0xEF && p[1] == 0xB7)
        return p[2] >= 0x90 && p[2] <= 0xAF;
    if (len == 3)
        return p[0] == 0xEF && p[1] == 0xBF && p[2] >= 0xBE;
    return len == 4 && (p[1] & 0x0F) == 0x0F && p[2] == 0xBF && p[3] >= 0xBE;
}

/* The length of the sequence that the byte begins, if it begins one. */
static size_t
sequence_length(unsigned char c)
{
    return c < 0xC0 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
}

static bool
is_utf8(struct lmi_bytes path)
{
    unsigned char sequence[4];

    while (path.len > 0) {
        size_t len = 0, wanted = 1;
        while (len < wanted && path.len > 0) {
            sequence[len++] = lmi_scan_coded(&path);
            wanted = sequence_length(sequence[0]);
        }
        if (!lmi_utf8_valid((const char *)sequence, len) ||
            is_noncharacter(sequence, len))
            return false;
    }
    return true;
}

static bool
is_clean(struct lmi_bytes path)
{
    if (memmem(path.ptr, path.len, "//", 2) != NULL || has_dot_segment(path))
        return false;
    /* Without a code it is ASCII. */
    return memchr(path.ptr, '%', path.len) == NULL ||
           (!has_bad_code(path) && is_utf8(path));
}

static bool
is_incidental(struct lmi_bytes path)
{
    return lmi_bytes_equal(path, "/favicon.ico") ||
           lmi_bytes_equal(path, "/robots.txt") ||
           lmi_take_prefix(&path, "/.well-known/");
}

static void
cut_token(struct lmi_http_target *target)
{
    struct lmi_bytes path = target->path;

    target->rest = path;
    if (!has_token(path) ||
        (path.len > TOKEN_LEN && path.ptr[TOKEN_LEN] != '/'))
        return;
    target->token = (struct lmi_bytes){path.ptr, TOKEN_LEN};
    lmi_skip(&target->rest, TOKEN_LEN);
}

void
lmi_http_target_read(struct lmi_bytes target, struct lmi_http_target *out)
{
    struct lmi_bytes rest = target;

    *out = (struct lmi_http_target){.path = {"", 0}, .rest = {"", 0}};
    if (!is_target(target))
        return;
    out->path = lmi_next_field(&rest, '?');
    if (out->path.len < target.len)
        out->query = rest;
    out->clean = is_clean(out->path);
    out->incidental = is_incidental(out->path);
    cut_token(out);
}

bool
lmi_http_slash_is_double(struct lmi_bytes target)
{
    if (!lmi_take_prefix(&target, "/"))
        return false;
    return has_token(target) &&
           (target.len == TOKEN_LEN || target.ptr[TOKEN_LEN] == '/' ||
            target.ptr[TOKEN_LEN] == '?');
}

/* Cuts the part's bytes from the front of the path; false if it begins
 * otherwise. */
static bool
take_decoded(struct lmi_bytes *path, struct lmi_bytes part)
{
    for (size_t i = 0; i < part.len; i++)
        if (path->len == 0 ||
            lmi_scan_coded(path) != (unsigned char)part.ptr[i])
            return false;
    return true;
}

bool
lmi_http_path_is(struct lmi_bytes path, struct lmi_bytes first,
                 struct lmi_bytes second)
{
    return take_decoded(&path, first) && take_decoded(&path, second) &&
           path.len == 0;
}
