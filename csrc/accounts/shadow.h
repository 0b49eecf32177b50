/* One line of a shadow file, and what the lines have in common. No I/O. */
#ifndef LMI_SHADOW_H
#define LMI_SHADOW_H

#include "base/text.h"

#define LMI_PREFIX_SIZE 64
#define LMI_SALT_MAX 86
#define LMI_DECOY_SIZE (LMI_PREFIX_SIZE + LMI_SALT_MAX + 2)

/* libcrypt's digits of base 64, by their value. */
#define LMI_CRYPT_DIGITS                                                       \
    "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

/* What is wrong with a line, worst last; a good line is LMI_LINE_GOOD. */
enum lmi_line {
    LMI_LINE_GOOD = 0,
    LMI_LINE_TOO_LONG,
    LMI_LINE_CONTROL, /* a control byte */
    LMI_LINE_FIELDS,  /* not nine fields */
    LMI_LINE_NUMBER,  /* a date that is not a number */
    LMI_LINE_HASH,    /* a hash longer than any that libcrypt makes */
};

/* "does not have nine fields". Static. */
const char *lmi_line_text(enum lmi_line line);

#define LMI_NO_DAY (-1) /* the field is empty */

struct lmi_shadow_entry {
    bool found;
    bool twice;
    enum lmi_line fault; /* of the asked account's own line */
    uint64_t line;       /* its number, from 1 */
    char hash[LMI_HASH_SIZE];
    int64_t last_change, max_age, expires; /* days, or LMI_NO_DAY */
};

/* Fills everything of the entry but found, twice and line. */
enum lmi_line lmi_shadow_parse(struct lmi_bytes line,
                               struct lmi_shadow_entry *out);

/*
 * The commonest setting among the hashes of a file: "$6$rounds=9000$" and
 * the length of the salt. Counted with bounded memory; settings beyond the
 * sixteenth distinct one count together.
 */
struct lmi_histogram {
    size_t used, last;
    struct lmi_histogram_row {
        char prefix[LMI_PREFIX_SIZE];
        size_t prefix_len, salt_len;
        uint64_t count;
    } rows[16];
};

/* Looks at one line of a shadow file, malformed or not. */
void lmi_histogram_line(struct lmi_histogram *histogram, struct lmi_bytes line);

/*
 * A setting of the commonest kind, to compute a hash that nothing matches. The
 * one that "$y$j9T$" stands for if no line had a hash. Its salt is all dots.
 */
struct lmi_decoy {
    char setting[LMI_DECOY_SIZE];
    size_t salt, salt_len; /* where in it the salt is */
};
void lmi_histogram_setting(const struct lmi_histogram *histogram,
                           struct lmi_decoy *out);

/*
 * Gives the decoy a salt of its own, made of these bytes: with one salt for
 * all, two passwords would take visibly different times for every unknown
 * name. The last digit stays, for it may not have all values.
 */
void lmi_decoy_salt(struct lmi_decoy *decoy, const uint8_t *bytes, size_t len);

#endif
