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

/* goto_uri may be NULL: the server knows its home page. */
static void
put_login(struct lmi_buffer *url, const char *goto_uri, const char *ticket)
{
    lmi_buffer_put_text(url, "/login/?session=");
    lmi_buffer_put_text(url, ticket);
    if (goto_uri == NULL)
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
build(const struct lmi_url_parts *parts, bool direct, const char *goto_uri,
      char out[LMI_URL_SIZE])
{
    struct lmi_buffer url;

    lmi_buffer_init(&url, out, LMI_URL_SIZE);
    put_origin(&url, parts);
    if (direct)
        put_direct(&url, goto_uri, parts->ticket);
    else
        put_login(&url, goto_uri, parts->ticket);
    if (url.full)
        lmi_wipe(out, LMI_URL_SIZE);
    return !url.full;
}

bool
lmi_url_build(const struct lmi_url_parts *parts, char out[LMI_URL_SIZE])
{
    return build(parts, parts->form == LMI_URL_DIRECT, parts->goto_uri, out);
}

bool
lmi_url_build_remote(const struct lmi_url_parts *parts, char out[LMI_URL_SIZE])
{
    bool home = strcmp(parts->goto_uri, "/") == 0;

    return build(parts, false, home ? NULL : parts->goto_uri, out);
}
