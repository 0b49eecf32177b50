#include "accounts/shadow.h"

#include <string.h>

#include "base/buffer.h"

const char *
lmi_line_text(enum lmi_line line)
{
    static const char *const texts[] = {
        [LMI_LINE_GOOD] = "is good",
        [LMI_LINE_TOO_LONG] = "is too long",
        [LMI_LINE_CONTROL] = "holds a control byte",
        [LMI_LINE_FIELDS] = "does not have nine fields",
        [LMI_LINE_NUMBER] = "has a date that is no number",
        [LMI_LINE_HASH] = "has a hash of impossible length",
    };

    return texts[line];
}

/* A count of days; far more than any calendar needs, far less than 2^63. */
static bool
read_day(struct lmi_bytes field, int64_t *out)
{
    uint64_t day = 0;
    bool ok = field.len == 0 || lmi_parse_number(field, 4000000000, &day);

    *out = ok && field.len > 0 ? (int64_t)day : LMI_NO_DAY;
    return ok;
}

enum lmi_line
lmi_shadow_parse(struct lmi_bytes line, struct lmi_shadow_entry *out)
{
    struct lmi_bytes fields[9];
    int64_t ignored;
    int64_t *const days[] = {&out->last_change, &ignored, &out->max_age,
                             &ignored,          &ignored, &out->expires};

    out->hash[0] = '\0';
    out->last_change = out->max_age = out->expires = LMI_NO_DAY;
    if (lmi_has_control(line, false))
        return LMI_LINE_CONTROL;
    if (!lmi_split(line, ':', fields, 9))
        return LMI_LINE_FIELDS;
    for (size_t i = 0; i < sizeof days / sizeof days[0]; i++)
        if (!read_day(fields[2 + i], days[i]))
            return LMI_LINE_NUMBER;
    if (!lmi_bytes_copy(fields[1], out->hash, sizeof out->hash))
        return LMI_LINE_HASH;
    return LMI_LINE_GOOD;
}

/* The length of "$6$", "$6$rounds=9000$", "$y$j9T$"; 0 for other schemes. */
static size_t
prefix_length(const char *hash, size_t len)
{
    static const char *const schemes[] = {"$1$", "$5$", "$6$", "$y$", "$gy$"};
    const size_t count = sizeof schemes / sizeof schemes[0];
    struct lmi_bytes rest = {hash, len};
    size_t i = 0;

    while (i < count && !lmi_take_prefix(&rest, schemes[i]))
        i++;
    if (i == count || rest.len == 0)
        return 0;
    if (hash[1] != 'y' && hash[1] != 'g' &&
        (rest.len <= 7 || memcmp(rest.ptr, "rounds=", 7) != 0))
        return len - rest.len;
    const char *dollar = memchr(rest.ptr, '$', rest.len);
    return dollar != NULL ? (size_t)(dollar - hash) + 1 : 0;
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
