#include "login/url.h"

#include <stdio.h>
#include <string.h>

#include "base/buffer.h"

/* The ticket goes into the query, behind what is there; the fragment last. */
static void
put_direct(struct lmi_buffer *url, const char *goto_uri, const char *ticket)
{
    struct lmi_bytes fragment = lmi_bytes_of(goto_uri);
    struct lmi_bytes page = lmi_next_field(&fragment, '#');
    bool has_fragment = page.len < strlen(goto_uri);

    lmi_buffer_put(url, page.ptr, page.len);
    if (memchr(page.ptr, '?', page.len) == NULL)
        lmi_buffer_put_char(url, '?');
    else if (page.ptr[page.len - 1] != '?' && page.ptr[page.len - 1] != '&')
        lmi_buffer_put_char(url, '&');
    lmi_buffer_put_text(url, "session=");
    lmi_buffer_put_text(url, ticket);
    if (has_fragment) {
        lmi_buffer_put_char(url, '#');
        lmi_buffer_put(url, fragment.ptr, fragment.len);
    }
}

/* The home page is not named, so that a caller may append a goto_uri: with two
 * of them no server would know which one counts. */
static void
put_login(struct lmi_buffer *url, const char *goto_uri, const char *ticket)
{
    lmi_buffer_put_text(url, "/login/?session=");
    lmi_buffer_put_text(url, ticket);
    if (strcmp(goto_uri, "/") == 0)
        return;
    lmi_buffer_put_text(url, "&goto_uri=");
    lmi_buffer_put_encoded(url, goto_uri, strlen(goto_uri));
}

/* "https://HOST:PORT" and the token. */
static void
put_origin(struct lmi_buffer *url, const struct lmi_url_parts *parts)
{
    char port[16];

    snprintf(port, sizeof port, ":%u", parts->port);
    lmi_buffer_put_text(url, "https://");
    lmi_buffer_put_text(url, parts->hostname);
    lmi_buffer_put_text(url, port);
    lmi_buffer_put_text(url, parts->token);
}

/* A URL that does not fit is not cut, for it would open something else. */
static bool
build(const struct lmi_url_parts *parts, bool direct, char out[LMI_URL_SIZE])
{
    struct lmi_buffer url;

    lmi_buffer_init(&url, out, LMI_URL_SIZE);
    put_origin(&url, parts);
    if (direct)
        put_direct(&url, parts->goto_uri, parts->ticket);
    else
        put_login(&url, parts->goto_uri, parts->ticket);
    if (url.full)
        lmi_wipe(out, LMI_URL_SIZE);
    return !url.full;
}

bool
lmi_url_build(const struct lmi_url_parts *parts, char out[LMI_URL_SIZE])
{
    return build(parts, parts->form == LMI_URL_DIRECT, out);
}

bool
lmi_url_build_remote(const struct lmi_url_parts *parts, char out[LMI_URL_SIZE])
{
    return build(parts, false, out);
}
