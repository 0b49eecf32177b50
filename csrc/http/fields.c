#include <string.h>

#include "http/scan.h"

static const struct lmi_bytes absent = {NULL, 0};

static bool
same_bytes(struct lmi_bytes a, struct lmi_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Cuts "NAME=" from the front. */
static bool
take_name(struct lmi_bytes *pair, struct lmi_bytes name)
{
    if (pair->len <= name.len || memcmp(pair->ptr, name.ptr, name.len) != 0 ||
        pair->ptr[name.len] != '=')
        return false;
    lmi_skip(pair, name.len + 1);
    return true;
}

void
lmi_http_cookie_find(const struct lmi_http_head *head, struct lmi_bytes name,
                     struct lmi_http_cookie *out)
{
    struct lmi_bytes rest = head->cookie;
    bool differ = false;

    *out = (struct lmi_http_cookie){false, absent};
    while (rest.len > 0 && name.len > 0) {
        struct lmi_bytes pair = lmi_next_field(&rest, ';');
        lmi_skip_spaces(&pair);
        if (!take_name(&pair, name))
            continue;
        differ = differ || (out->there && !same_bytes(out->value, pair));
        out->there = true;
        out->value = pair;
    }
    if (differ)
        out->value = absent;
}

static bool
is_name_byte(char c)
{
    return lmi_is_alnum(c) || c == '-' || c == '_' || c == '.';
}

static bool
is_ipv6_byte(char c)
{
    return lmi_is_digit(c) || (c >= 'a' && c <= 'f') ||
           (c >= 'A' && c <= 'F') || c == ':' || c == '.';
}

/* Cuts the host from the front; absent if there is none. */
static struct lmi_bytes
take_host(struct lmi_bytes *rest)
{
    bool bracket = rest->len > 0 && rest->ptr[0] == '[';
    struct lmi_bytes host = *rest;
    size_t len = bracket;

    while (len < rest->len && (bracket ? is_ipv6_byte(rest->ptr[len])
                                       : is_name_byte(rest->ptr[len])))
        len++;
    if (bracket) {
        if (len == 1 || len == rest->len || rest->ptr[len] != ']')
            return absent;
        len++;
    }
    if (len == 0)
        return absent;
    host.len = len;
    lmi_skip(rest, len);
    return host;
}

/* Nothing, or a colon and so many digits. */
static bool
is_port(struct lmi_bytes text, size_t least)
{
    if (text.len == 0)
        return true;
    if (!lmi_take_prefix(&text, ":") || text.len < least || text.len > 5)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!lmi_is_digit(text.ptr[i]))
            return false;
    return true;
}

/* The digits behind the colon at the end. */
static struct lmi_bytes
port_at_end(struct lmi_bytes text)
{
    const char *colon = text.len > 0 ? memrchr(text.ptr, ':', text.len) : NULL;

    if (colon == NULL)
        return absent;
    lmi_skip(&text, (size_t)(colon - text.ptr));
    if (!is_port(text, 1))
        return absent;
    lmi_skip(&text, 1);
    return text;
}

void
lmi_http_host_read(const struct lmi_http_head *head, struct lmi_http_host *out)
{
    struct lmi_bytes rest = head->host;
    uint64_t number;

    out->port = port_at_end(rest);
    out->name = take_host(&rest);
    if (!is_port(rest, 0))
        out->name = absent;
    out->good = head->host.ptr == NULL ||
                (out->name.ptr != NULL &&
                 (out->port.ptr == NULL ||
                  lmi_parse_number(out->port, 65535, &number)));
}

/* Cuts "SCHEME://" from the front. */
static bool
take_scheme(struct lmi_bytes *rest)
{
    size_t len = 0;

    while (len < rest->len &&
           (lmi_is_alnum(rest->ptr[len]) || rest->ptr[len] == '+' ||
            rest->ptr[len] == '.' || rest->ptr[len] == '-'))
        len++;
    if (len == 0 || !lmi_is_alnum(rest->ptr[0]) || lmi_is_digit(rest->ptr[0]))
        return false;
    lmi_skip(rest, len);
    return lmi_take_prefix(rest, "://");
}

/* The host of an Origin; absent if there is none. */
static struct lmi_bytes
origin_host(struct lmi_bytes origin)
{
    struct lmi_bytes host = absent;

    if (take_scheme(&origin))
        host = take_host(&origin);
    return is_port(origin, 1) ? host : absent;
}

static bool
same_in_either_case(struct lmi_bytes a, struct lmi_bytes b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lmi_lower(a.ptr[i]) != lmi_lower(b.ptr[i]))
            return false;
    return true;
}

static bool
is_cross_site(const struct lmi_http_head *head)
{
    struct lmi_bytes site = head->sec_fetch_site, host;
    struct lmi_http_host own;

    if (site.ptr != NULL)
        return !lmi_bytes_equal(site, "same-origin") &&
               !lmi_bytes_equal(site, "none");
    if (head->origin.ptr == NULL)
        return false;
    host = origin_host(head->origin);
    lmi_http_host_read(head, &own);
    return host.ptr == NULL || !same_in_either_case(host, own.name);
}

/* Blanks, then "pre", as of prefetch, prerender and preview. */
static bool
is_early(struct lmi_bytes purpose)
{
    lmi_skip_spaces(&purpose);
    purpose.len = purpose.len < 3 ? purpose.len : 3;
    return purpose.len > 0 && lmi_bytes_like(purpose, "pre");
}

static struct lmi_bytes
purpose_of(const struct lmi_http_head *head)
{
    const struct lmi_bytes all[] = {head->sec_purpose, head->purpose,
                                    head->x_purpose, head->x_moz};
    struct lmi_bytes first = absent;

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (is_early(all[i]))
            return all[i];
        if (first.ptr == NULL)
            first = all[i];
    }
    return first;
}

void
lmi_http_cause_read(const struct lmi_http_head *head,
                    struct lmi_http_cause *out)
{
    out->purpose = purpose_of(head);
    out->cross_site = is_cross_site(head);
    out->embedded = head->sec_fetch_dest.ptr != NULL &&
                    !lmi_bytes_equal(head->sec_fetch_dest, "document");
    out->passive = (!lmi_bytes_equal(head->method, "GET") &&
                    !lmi_bytes_equal(head->method, "POST")) ||
                   is_early(out->purpose);
}
