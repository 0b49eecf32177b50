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
        [LMI_LINE_NUMBER] = "has a date that is not a number",
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

/*
 * Splits a hash into what stands before its salt, as "$6$", "$6$rounds=9000$"
 * or "$y$j9T$", and the salt's length; false for other schemes.
 */
static bool
split(struct lmi_bytes hash, size_t *prefix_len, size_t *salt_len)
{
    struct lmi_bytes rest = hash, salt;

    if (hash.len == 60 && lmi_take_prefix(&rest, "$2") && hash.ptr[6] == '$') {
        *prefix_len = 7; /* "$2b$10$", and 22 characters */
        *salt_len = 22;
        return true;
    }
    if (lmi_take_prefix(&rest, "$7$")) { /* one digit for N, five for r and p */
        size_t cost = rest.len < 11 ? rest.len : 11;
        rest.ptr += cost;
        rest.len -= cost;
    } else if (lmi_take_prefix(&rest, "$y$") ||
               lmi_take_prefix(&rest, "$gy$")) {
        lmi_next_field(&rest, '$');
    } else if (!lmi_take_prefix(&rest, "$1$") &&
               !lmi_take_prefix(&rest, "$5$") &&
               !lmi_take_prefix(&rest, "$6$")) {
        return false;
    } else if (rest.len >= 7 && memcmp(rest.ptr, "rounds=", 7) == 0) {
        lmi_next_field(&rest, '$');
    }
    *prefix_len = hash.len - rest.len;
    salt = lmi_next_field(&rest, '$');
    *salt_len = salt.len;
    return *prefix_len < LMI_PREFIX_SIZE && salt.len <= LMI_SALT_MAX &&
           rest.ptr > salt.ptr + salt.len; /* there was a dollar */
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
    size_t prefix_len, salt_len;

    lmi_next_field(&line, ':');
    if (line.len == 0 || line.ptr[0] != '$')
        return;
    if (!same_as_last(histogram, line.ptr, line.len)) {
        struct lmi_bytes hash = lmi_next_field(&line, ':');
        if (!split(hash, &prefix_len, &salt_len))
            return;
        histogram->last = row_of(histogram, hash.ptr, prefix_len, salt_len);
    }
    histogram->rows[histogram->last].count++;
}

void
lmi_histogram_setting(const struct lmi_histogram *histogram,
                      struct lmi_decoy *out)
{
    static const struct lmi_histogram_row preferred = {"$y$j9T$", 7, 22, 0};
    const struct lmi_histogram_row *best = &preferred;
    struct lmi_buffer setting;

    for (size_t i = 0; i < histogram->used; i++)
        if (histogram->rows[i].count > best->count)
            best = &histogram->rows[i];
    lmi_buffer_init(&setting, out->setting, LMI_DECOY_SIZE);
    lmi_buffer_put(&setting, best->prefix, best->prefix_len);
    out->salt = setting.len;
    out->salt_len = best->salt_len;
    for (size_t i = 0; i < best->salt_len; i++)
        lmi_buffer_put_char(&setting, '.');
    if (best->prefix[1] != '2') /* a bcrypt setting ends with its salt */
        lmi_buffer_put_char(&setting, '$');
}

void
lmi_decoy_salt(struct lmi_decoy *decoy, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i + 1 < decoy->salt_len; i++)
        decoy->setting[decoy->salt + i] =
            LMI_CRYPT_DIGITS[(bytes[i % len] + i / len) & 63];
}
