/* Bytes and characters. Nothing here depends on the locale. */
#ifndef LMI_TEXT_H
#define LMI_TEXT_H

#include <string.h>

#include "logmein.h"

static inline struct lmi_bytes
lmi_bytes_of(const char *text)
{
    return (struct lmi_bytes){text, strlen(text)};
}

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

/* The byte that "%XX" at ptr stands for, or -1 if it isn't one. */
int lmi_percent_value(const char *ptr, size_t len);

bool lmi_bytes_equal(struct lmi_bytes bytes, const char *text);

/* The same in either case. */
bool lmi_bytes_like(struct lmi_bytes bytes, const char *text);

/* Copies with a terminator; false if it does not fit, or holds a NUL. */
bool lmi_bytes_copy(struct lmi_bytes bytes, char *out, size_t size);

/* Does it hold a control byte, a tab included unless tabs are allowed? */
bool lmi_has_control(struct lmi_bytes bytes, bool tabs_allowed);

/* Well-formed UTF-8: no overlong form, no surrogate, at most U+10FFFF. */
bool lmi_utf8_valid(const char *ptr, size_t len);

/* Is it a string with at least one character? */
bool lmi_text_given(struct lmi_text text);

/*
 * The bytes that a caller's string means (see struct lmi_text), written to
 * out without a terminator; returns their number, 0 if it is no string. If
 * they are more than size, returns size + 1, and out is undefined.
 */
size_t lmi_text_bytes(struct lmi_text text, char *out, size_t size);

/* The same with a terminator; false if they are more than size - 1. */
bool lmi_text_read(struct lmi_text text, char *out, size_t size,
                   size_t *len_out);

/* Digits only, at least one, and at most max; else false. */
bool lmi_parse_number(struct lmi_bytes digits, uint64_t max, uint64_t *out);

/*
 * The name of an account, as it may be looked up and stand in a path: at most
 * LMI_USER_MAX of [A-Za-z0-9_.@+-], not beginning with "-" or ".", no "..".
 */
bool lmi_user_ok(struct lmi_bytes user);

/* Cuts the part before sep from *rest, without sep. */
struct lmi_bytes lmi_next_field(struct lmi_bytes *rest, char sep);

/* Splits a line into exactly count fields; false if it has more or fewer. */
bool lmi_split(struct lmi_bytes line, char sep, struct lmi_bytes *fields_out,
               size_t count);

/* Cuts `prefix` from the front of *rest; false if it begins otherwise. */
bool lmi_take_prefix(struct lmi_bytes *rest, const char *prefix);

/* Cuts the next word from a list separated by blanks; empty at the end. */
struct lmi_bytes lmi_next_word(struct lmi_bytes *rest);

/* Without the blanks and tabs at both ends. */
struct lmi_bytes lmi_trim(struct lmi_bytes text);

/* Big-endian, as in every value of the store. */
void lmi_put_time(uint8_t out[8], int64_t time);
int64_t lmi_get_time(const uint8_t in[8]);

#endif
