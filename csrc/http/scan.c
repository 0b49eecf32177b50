#include "http/scan.h"

void
lmi_skip(struct lmi_bytes *rest, size_t len)
{
    rest->ptr += len;
    rest->len -= len;
}

unsigned char
lmi_scan_coded(struct lmi_bytes *rest)
{
    int value = lmi_percent_value(rest->ptr, rest->len);
    unsigned char byte = (unsigned char)(value < 0 ? rest->ptr[0] : value);

    lmi_skip(rest, value < 0 ? 1 : 3);
    return byte;
}

unsigned char
lmi_scan_form(struct lmi_bytes *rest)
{
    bool plus = rest->ptr[0] == '+';
    unsigned char byte = lmi_scan_coded(rest);

    return plus ? ' ' : byte;
}

bool
lmi_form_is(struct lmi_bytes half, struct lmi_bytes plain)
{
    for (size_t i = 0; i < plain.len; i++)
        if (half.len == 0 ||
            lmi_scan_form(&half) != (unsigned char)plain.ptr[i])
            return false;
    return half.len == 0;
}

bool
lmi_is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

void
lmi_skip_spaces(struct lmi_bytes *rest)
{
    while (rest->len > 0 && lmi_is_space(rest->ptr[0]))
        lmi_skip(rest, 1);
}
