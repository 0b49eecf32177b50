#include <string.h>

#include "base/buffer.h"
#include "http/scan.h"

bool
lmi_http_pair_next(struct lmi_bytes *rest, struct lmi_http_pair *out)
{
    struct lmi_bytes pair;

    *out = (struct lmi_http_pair){{NULL, 0}, {NULL, 0}};
    while (rest->len > 0) {
        pair = lmi_next_field(rest, '&');
        if (pair.len == 0)
            continue;
        out->name = lmi_next_field(&pair, '=');
        out->value = pair;
        return true;
    }
    return false;
}

size_t
lmi_http_decode(struct lmi_bytes half, char *out)
{
    size_t len = 0;

    while (half.len > 0)
        out[len++] = (char)lmi_scan_form(&half);
    return len;
}

void
lmi_http_parameter_find(struct lmi_bytes query, struct lmi_bytes name,
                        struct lmi_http_parameter *out)
{
    struct lmi_http_pair pair;

    *out = (struct lmi_http_parameter){0, {NULL, 0}};
    while (lmi_http_pair_next(&query, &pair))
        if (lmi_form_is(pair.name, name))
            out->value =
                out->count++ == 0 ? pair.value : (struct lmi_bytes){NULL, 0};
}

/* What it means, if that is of a ticket's form. */
static bool
read_ticket(struct lmi_bytes half, char out[LMI_TICKET_SIZE])
{
    static const char prefix[] = "lmt_";
    size_t len = 0;

    while (half.len > 0 && len < LMI_TICKET_SIZE - 1) {
        char c = (char)lmi_scan_form(&half);
        if (len < sizeof prefix - 1 ? c != prefix[len]
                                    : !lmi_is_alnum(c) && c != '_' && c != '-')
            return false;
        out[len++] = c;
    }
    out[len] = '\0';
    return half.len == 0 && len == LMI_TICKET_SIZE - 1;
}

static bool
is_ticket(const struct lmi_http_pair *pair, char out[LMI_TICKET_SIZE])
{
    return lmi_form_is(pair->name, lmi_bytes_of("session")) &&
           read_ticket(pair->value, out);
}

void
lmi_http_ticket_find(struct lmi_bytes query, struct lmi_http_ticket *out)
{
    char ticket[LMI_TICKET_SIZE];
    struct lmi_http_pair pair;

    out->count = 0;
    while (lmi_http_pair_next(&query, &pair))
        if (is_ticket(&pair, ticket) && out->count++ == 0)
            memcpy(out->ticket, ticket, sizeof ticket);
    if (out->count != 1)
        out->ticket[0] = '\0';
}

/*
 * More than lmi_uri_read() takes, by a margin: a text that is cut here would
 * have been too long for it, too.
 */
#define URI_ROOM (LMI_URI_MAX + 128)

static void
read_page(const struct lmi_buffer *text, struct lmi_http_page *out)
{
    struct lmi_text uri = {LMI_TEXT_LATIN1, text->ptr, text->len};

    if (text->full || lmi_uri_read(uri, out->uri) != NULL)
        out->uri[0] = '\0';
}

static bool
holds_ticket(struct lmi_bytes field)
{
    char ticket[LMI_TICKET_SIZE];
    struct lmi_http_pair pair;

    return lmi_http_pair_next(&field, &pair) && is_ticket(&pair, ticket);
}

void
lmi_http_page(const struct lmi_http_target *target, struct lmi_http_page *out)
{
    struct lmi_bytes query = target->query;
    char memory[URI_ROOM], separator = '?';
    struct lmi_buffer text;

    lmi_buffer_init(&text, memory, sizeof memory);
    lmi_buffer_put(&text, target->rest.ptr, target->rest.len);
    while (query.len > 0 && query.ptr[query.len - 1] == '&')
        query.len--;
    while (query.len > 0) {
        struct lmi_bytes field = lmi_next_field(&query, '&');
        if (holds_ticket(field))
            continue;
        lmi_buffer_put_char(&text, separator);
        lmi_buffer_put(&text, field.ptr, field.len);
        separator = '&';
    }
    read_page(&text, out);
}

void
lmi_http_ticket_page(const struct lmi_http_target *target,
                     struct lmi_http_page *out, bool *twice_out)
{
    struct lmi_http_parameter appended = {0, {NULL, 0}};
    char memory[URI_ROOM];
    struct lmi_buffer text;

    if (target->rest.len == 0 || lmi_bytes_equal(target->rest, "/"))
        lmi_http_parameter_find(target->query, lmi_bytes_of("goto_uri"),
                                &appended);
    *twice_out = appended.count > 1;
    if (appended.count != 1) {
        lmi_http_page(target, out);
        return;
    }
    lmi_buffer_init(&text, memory, sizeof memory);
    while (appended.value.len > 0)
        lmi_buffer_put_char(&text, (char)lmi_scan_form(&appended.value));
    read_page(&text, out);
}
