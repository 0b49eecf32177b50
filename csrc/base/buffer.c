#include "base/buffer.h"

#include <string.h>

void
lmi_buffer_init(struct lmi_buffer *buffer, char *memory, size_t size)
{
    *buffer = (struct lmi_buffer){.ptr = memory, .size = size};
    memory[0] = '\0';
}

void
lmi_buffer_put(struct lmi_buffer *buffer, const char *ptr, size_t len)
{
    if (buffer->full || buffer->size - buffer->len <= len) {
        buffer->full = true;
        return;
    }
    memcpy(buffer->ptr + buffer->len, ptr, len);
    buffer->len += len;
    buffer->ptr[buffer->len] = '\0';
}

void
lmi_buffer_put_text(struct lmi_buffer *buffer, const char *text)
{
    lmi_buffer_put(buffer, text, strlen(text));
}

void
lmi_buffer_put_char(struct lmi_buffer *buffer, char c)
{
    lmi_buffer_put(buffer, &c, 1);
}

void
lmi_buffer_put_percent(struct lmi_buffer *buffer, unsigned char byte,
                       const char *hex)
{
    char code[3] = {'%', hex[byte >> 4], hex[byte & 15]};

    lmi_buffer_put(buffer, code, sizeof code);
}

void
lmi_buffer_put_encoded(struct lmi_buffer *buffer, const char *ptr, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = ptr[i];
        if (lmi_is_alnum(c) || c == '-' || c == '_' || c == '.' || c == '~')
            lmi_buffer_put_char(buffer, c);
        else
            lmi_buffer_put_percent(buffer, (unsigned char)c,
                                   "0123456789abcdef");
    }
}
