/*
 * Text of bounded length, built in the caller's memory. Always terminated.
 * What does not fit sets `full` and is left out: check once, at the end.
 */
#ifndef LMI_BUFFER_H
#define LMI_BUFFER_H

#include "base/text.h"

struct lmi_buffer {
    char *ptr;
    size_t size;
    size_t len;
    bool full;
};

/* size counts the terminator and must not be 0. */
void lmi_buffer_init(struct lmi_buffer *buffer, char *memory, size_t size);
void lmi_buffer_put(struct lmi_buffer *buffer, const char *ptr, size_t len);
void lmi_buffer_put_text(struct lmi_buffer *buffer, const char *text);
void lmi_buffer_put_char(struct lmi_buffer *buffer, char c);

/* "%xx" with digits from `hex`, "0123456789abcdef" or its upper case. */
void lmi_buffer_put_percent(struct lmi_buffer *buffer, unsigned char byte,
                            const char *hex);

/* All but letters, digits and -_.~ as %xx in lower case. */
void lmi_buffer_put_encoded(struct lmi_buffer *buffer, const char *ptr,
                            size_t len);

#endif
