/*
 * Bytes and characters. Nothing here depends on the locale.
 */
#ifndef LMI_TEXT_H
#define LMI_TEXT_H

#include "logmein.h"

struct lmi_bytes {
    const char *ptr;
    size_t len;
};

static inline bool
lmi_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool
lmi_is_alnum(char c)
{
    return lmi_is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline char
lmi_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* The value of a hex digit, or -1. */
int lmi_hex_value(char c);

/* The byte that "%XX" at ptr stands for, or -1 if it isn't one. */
int lmi_percent_value(const char *ptr, size_t len);

bool lmi_bytes_equal(struct lmi_bytes bytes, const char *text);

/* Well-formed UTF-8: no overlong form, no surrogate, at most U+10FFFF. */
bool lmi_utf8_valid(const char *ptr, size_t len);

/* Is it a string with at least one character? */
bool lmi_text_given(struct lmi_text text);

/*
 * The bytes that a caller's string means (see struct lmi_text), written to
 * out without a terminator; returns their number, 0 for what is no string. If
 * they are more than size,
 * returns size + 1 and what out holds is of no use.
 */
size_t lmi_text_bytes(struct lmi_text text, char *out, size_t size);

/*
 * Digits only, at most max; false for anything else, an empty string included.
 */
bool lmi_parse_number(struct lmi_bytes digits, uint64_t max, uint64_t *out);

/*
 * The name of an account, as it may be looked up and stand in a path: at most
 * LMI_USER_MAX of [A-Za-z0-9_.@+-], not beginning with "-" or ".", no "..".
 */
bool lmi_user_ok(struct lmi_bytes user);

/* Cuts the part before sep from *rest, without sep. */
struct lmi_bytes lmi_next_field(struct lmi_bytes *rest, char sep);

/* Cuts the next word from a list separated by blanks; empty at the end. */
struct lmi_bytes lmi_next_word(struct lmi_bytes *rest);

/* Without the blanks and tabs at both ends. */
struct lmi_bytes lmi_trim(struct lmi_bytes text);

#endif
