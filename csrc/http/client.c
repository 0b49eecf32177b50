#include <string.h>

#include "http/scan.h"

/* The length of the digits and dots, or of the digits, in front. */
static size_t
span(struct lmi_bytes text, bool dots)
{
    size_t len = 0;

    while (len < text.len &&
           (lmi_is_digit(text.ptr[len]) || (dots && text.ptr[len] == '.')))
        len++;
    return len;
}

/* Nothing, or a colon and digits. */
static bool
is_port(struct lmi_bytes text)
{
    if (text.len == 0)
        return true;
    if (text.len == 1 || text.ptr[0] != ':')
        return false;
    lmi_skip(&text, 1);
    return span(text, false) == text.len;
}

/* Without the brackets and the port that some proxies write. */
static struct lmi_bytes
bare_address(struct lmi_bytes text)
{
    struct lmi_bytes inner = text, rest = text;
    size_t len = span(text, true);

    if (len > 0) {
        lmi_skip(&rest, len);
        inner.len = is_port(rest) ? len : text.len;
    } else if (lmi_take_prefix(&rest, "[")) {
        inner = lmi_next_field(&rest, ']');
        if (rest.ptr == inner.ptr + inner.len || /* there is no "]" */
            memchr(inner.ptr, '[', inner.len) != NULL || !is_port(rest))
            return text;
    }
    return inner;
}

/*
 * Cuts the last field, without the blanks beside commas, from a list; blanks
 * at the list's own ends stay. False if that was all.
 */
static bool
cut_last(struct lmi_bytes *list, struct lmi_bytes *field_out)
{
    const char *comma =
        list->len > 0 ? memrchr(list->ptr, ',', list->len) : NULL;

    *field_out = *list;
    if (comma == NULL)
        return false;
    lmi_skip(field_out, (size_t)(comma + 1 - list->ptr));
    lmi_skip_spaces(field_out);
    list->len = (size_t)(comma - list->ptr);
    while (list->len > 0 && lmi_is_space(list->ptr[list->len - 1]))
        list->len--;
    return true;
}

static bool
is_listed(struct lmi_bytes address, const char *list)
{
    return lmi_address_listed(
        (struct lmi_text){LMI_TEXT_LATIN1, address.ptr, address.len}, list);
}

/* The last address that is not a proxy's; the connection's own if there is
 * none. Empty fields at the end don't count. */
static struct lmi_bytes
forwarded_address(struct lmi_bytes list, const char *proxies,
                  struct lmi_bytes own)
{
    struct lmi_bytes field;
    bool any = false, more;

    do {
        more = cut_last(&list, &field);
        any = any || field.len > 0;
        field = bare_address(field);
        if (any && !is_listed(field, proxies))
            return field;
    } while (more);
    return own;
}

void
lmi_http_client_read(const struct lmi_http_head *head,
                     const struct lmi_http_connection *connection,
                     const char *proxies, struct lmi_http_client *out)
{
    struct lmi_bytes scheme = connection->scheme;

    out->at_front =
        connection->local || is_listed(connection->address, proxies);
    out->address = connection->address;
    out->port = connection->port;
    if (out->at_front) {
        scheme = head->x_forwarded_proto;
        if (head->x_forwarded_port.ptr != NULL)
            out->port = head->x_forwarded_port;
        out->address = forwarded_address(head->x_forwarded_for, proxies,
                                         connection->address);
    }
    out->secure = lmi_bytes_equal(scheme, "https");
    if (!is_listed(out->address, "::/0"))
        out->address = (struct lmi_bytes){NULL, 0};
}
