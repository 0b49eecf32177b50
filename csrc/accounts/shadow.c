#include "accounts/shadow.h"

#include <string.h>

#include "base/buffer.h"

const char *
lmi_line_text(enum lmi_line line)
{
    switch (line) {
    case LMI_LINE_GOOD:
        return "is good";
    case LMI_LINE_TOO_LONG:
        return "is too long";
    case LMI_LINE_CONTROL:
        return "holds a control byte";
    case LMI_LINE_FIELDS:
        return "does not have nine fields";
    case LMI_LINE_NUMBER:
        return "has a date that is no number";
    case LMI_LINE_HASH:
        return "has a hash of impossible length";
    }
    return "is bad";
}

static bool
has_control(struct lmi_bytes line)
{
    for (size_t i = 0; i < line.len; i++) {
        unsigned char c = (unsigned char)line.ptr[i];
        if (c < 0x20 || c == 0x7F)
            return true;
    }
    return false;
}

/* A count of days; far more than any calendar needs, far less than 2^63. */
static bool
read_day(struct lmi_bytes field, int64_t *out)
{
    uint64_t day;

    *out = LMI_NO_DAY;
    if (field.len == 0)
        return true;
    if (!lmi_parse_number(field, 4000000000, &day))
        return false;
    *out = (int64_t)day;
    return true;
}

enum lmi_line
lmi_shadow_parse(struct lmi_bytes line, struct lmi_shadow_entry *out)
{
    struct lmi_bytes fields[9], rest = line;
    size_t colons = 0;
    int64_t ignored;

    out->hash[0] = '\0';
    out->last_change = out->max_age = out->expires = LMI_NO_DAY;
    if (has_control(line))
        return LMI_LINE_CONTROL;
    for (size_t i = 0; i < line.len; i++)
        colons += line.ptr[i] == ':';
    if (colons != 8)
        return LMI_LINE_FIELDS;
    for (size_t i = 0; i < 9; i++)
        fields[i] = lmi_next_field(&rest, ':');
    if (!read_day(fields[2], &out->last_change) ||
        !read_day(fields[3], &ignored) || !read_day(fields[4], &out->max_age) ||
        !read_day(fields[5], &ignored) || !read_day(fields[6], &ignored) ||
        !read_day(fields[7], &out->expires))
        return LMI_LINE_NUMBER;
    if (fields[1].len >= LMI_HASH_SIZE)
        return LMI_LINE_HASH;
    memcpy(out->hash, fields[1].ptr, fields[1].len);
    out->hash[fields[1].len] = '\0';
    return LMI_LINE_GOOD;
}

/* The length of "$6$", "$6$rounds=9000$", "$y$j9T$"; 0 for other schemes. */
static size_t
prefix_length(const char *hash, size_t len)
{
    static const char *const schemes[] = {"$1$", "$5$", "$6$", "$y$", "$gy$"};
    size_t at = 0;

    for (size_t i = 0; at == 0 && i < sizeof schemes / sizeof *schemes; i++) {
        size_t scheme_len = strlen(schemes[i]);
        if (len > scheme_len && memcmp(hash, schemes[i], scheme_len) == 0)
            at = scheme_len;
    }
    if (at == 0)
        return 0;
    if (hash[1] == 'y' || hash[1] == 'g' ||
        (len - at > 7 && memcmp(hash + at, "rounds=", 7) == 0)) {
        const char *dollar = memchr(hash + at, '$', len - at);
        at = dollar != NULL ? (size_t)(dollar - hash) + 1 : 0;
    }
    return at;
}

/* Splits a hash into what comes before its salt, and the salt's length. */
static bool
split(const char *hash, size_t len, size_t *prefix_len, size_t *salt_len)
{
    const char *dollar;

    if (len == 60 && hash[0] == '$' && hash[1] == '2' && hash[6] == '$') {
        *prefix_len = 7; /* "$2b$10$", and 22 characters */
        *salt_len = 22;
        return true;
    }
    if (len > 14 && memcmp(hash, "$7$", 3) == 0)
        *prefix_len = 14; /* "$7$", one character for N, five for r and p */
    else
        *prefix_len = prefix_length(hash, len);
    if (*prefix_len == 0 || *prefix_len >= LMI_PREFIX_SIZE)
        return false;
    dollar = memchr(hash + *prefix_len, '$', len - *prefix_len);
    if (dollar == NULL)
        return false;
    *salt_len = (size_t)(dollar - hash) - *prefix_len;
    return *salt_len <= LMI_SALT_MAX;
}

static bool
row_is(const struct lmi_histogram_row *row, const char *hash, size_t prefix_len,
       size_t salt_len)
{
    return row->prefix_len == prefix_len && row->salt_len == salt_len &&
           memcmp(row->prefix, hash, prefix_len) == 0;
}

/* The row of a setting; the last one stands for all that find no room. */
static size_t
row_of(struct lmi_histogram *histogram, const char *hash, size_t prefix_len,
       size_t salt_len)
{
    const size_t rows = sizeof histogram->rows / sizeof histogram->rows[0];
    struct lmi_histogram_row *row;
    size_t i = 0;

    while (i < histogram->used &&
           !row_is(&histogram->rows[i], hash, prefix_len, salt_len))
        i++;
    if (i == rows)
        return rows - 1;
    if (i < histogram->used)
        return i;
    row = &histogram->rows[histogram->used++];
    *row = (struct lmi_histogram_row){.prefix_len = prefix_len,
                                      .salt_len = salt_len};
    memcpy(row->prefix, hash, prefix_len);
    return i;
}

/* Is this line's setting the one that the line before had? Most are. */
static bool
same_as_last(struct lmi_histogram *histogram, const char *hash, size_t len)
{
    const struct lmi_histogram_row *row = &histogram->rows[histogram->last];
    size_t end = row->prefix_len + row->salt_len;

    return histogram->used > 0 && row->prefix[1] != '2' && len > end &&
           hash[end] == '$' &&
           memcmp(hash, row->prefix, row->prefix_len) == 0 &&
           memchr(hash + row->prefix_len, '$', row->salt_len) == NULL;
}

void
lmi_histogram_line(struct lmi_histogram *histogram, struct lmi_bytes line)
{
    const char *colon = line.len > 0 ? memchr(line.ptr, ':', line.len) : NULL;
    size_t prefix_len, salt_len, len;
    const char *hash, *end;

    if (colon == NULL || colon + 1 == line.ptr + line.len || colon[1] != '$')
        return;
    hash = colon + 1;
    len = line.len - (size_t)(hash - line.ptr);
    if (same_as_last(histogram, hash, len)) {
        histogram->rows[histogram->last].count++;
        return;
    }
    end = memchr(hash, ':', len);
    if (end != NULL)
        len = (size_t)(end - hash);
    if (!split(hash, len, &prefix_len, &salt_len))
        return;
    histogram->last = row_of(histogram, hash, prefix_len, salt_len);
    histogram->rows[histogram->last].count++;
}

void
lmi_histogram_setting(const struct lmi_histogram *histogram,
                      char out[LMI_DECOY_SIZE])
{
    static const struct lmi_histogram_row preferred = {"$y$j9T$", 7, 22, 0};
    const struct lmi_histogram_row *best = &preferred;
    struct lmi_buffer setting;

    for (size_t i = 0; i < histogram->used; i++)
        if (histogram->rows[i].count > best->count)
            best = &histogram->rows[i];
    lmi_buffer_init(&setting, out, LMI_DECOY_SIZE);
    lmi_buffer_put(&setting, best->prefix, best->prefix_len);
    for (size_t i = 0; i < best->salt_len; i++)
        lmi_buffer_put_char(&setting, '.');
    lmi_buffer_put_char(&setting, '$');
    if (best->prefix[1] == '2') /* a bcrypt setting ends with its salt */
        out[setting.len - 1] = '\0';
}
