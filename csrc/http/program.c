#include "http/scan.h"

static void
skip_slashes(struct lmi_bytes *rest)
{
    while (lmi_take_prefix(rest, "/"))
        continue;
}

/* Cuts "cpsess" and any digits, which count only before a slash. */
static void
skip_token(struct lmi_bytes *path)
{
    struct lmi_bytes rest = *path;

    if (!lmi_take_prefix(&rest, "cpsess"))
        return;
    while (rest.len > 0 && lmi_is_digit(rest.ptr[0]))
        lmi_skip(&rest, 1);
    if (rest.len > 0 && rest.ptr[0] == '/')
        *path = rest;
}

/* Is this the first segment? */
static bool
is_below(struct lmi_bytes path, const char *segment)
{
    return lmi_take_prefix(&path, segment) &&
           (path.len == 0 || path.ptr[0] == '/');
}

/* By the path alone. */
static enum lmi_http_form
form_of_path(struct lmi_bytes path)
{
    if (path.len == 0 || path.ptr[0] != '/')
        return LMI_HTTP_PAGE;
    skip_slashes(&path);
    skip_token(&path);
    skip_slashes(&path);
    if (is_below(path, "xml-api"))
        return LMI_HTTP_XML;
    return is_below(path, "json-api") || is_below(path, "execute")
               ? LMI_HTTP_JSON
               : LMI_HTTP_PAGE;
}

static bool
is_word_byte(char c)
{
    return lmi_is_alnum(c) || c == '_';
}

/* "application/json", in either case, as a whole word. */
static bool
accepts_json(struct lmi_bytes accept)
{
    static const char json[] = "application/json";
    const size_t len = sizeof json - 1;

    for (size_t i = 0; i + len <= accept.len; i++) {
        struct lmi_bytes word = {accept.ptr + i, len};
        if ((i == 0 || !is_word_byte(word.ptr[-1])) &&
            (i + len == accept.len || !is_word_byte(word.ptr[len])) &&
            lmi_bytes_like(word, json))
            return true;
    }
    return false;
}

static bool
has_login_only(struct lmi_bytes query)
{
    struct lmi_http_pair pair;

    while (lmi_http_pair_next(&query, &pair))
        if (lmi_form_is(pair.name, lmi_bytes_of("login_only")) &&
            lmi_form_is(pair.value, lmi_bytes_of("1")))
            return true;
    return false;
}

/* One slash or more, "login", perhaps behind a token, and perhaps a slash. */
static bool
is_login_path(struct lmi_bytes path)
{
    if (path.len == 0 || path.ptr[0] != '/')
        return false;
    skip_slashes(&path);
    skip_token(&path);
    lmi_take_prefix(&path, "/");
    return lmi_take_prefix(&path, "login") &&
           (path.len == 0 || lmi_bytes_equal(path, "/"));
}

void
lmi_http_program_read(const struct lmi_http_head *head,
                      struct lmi_http_program *out)
{
    struct lmi_bytes query = head->target;
    struct lmi_bytes path = lmi_next_field(&query, '?');

    out->login_only = has_login_only(query);
    out->login = out->login_only || is_login_path(path);
    out->form = form_of_path(path);
    if (out->form == LMI_HTTP_PAGE &&
        (out->login_only || accepts_json(head->accept)))
        out->form = LMI_HTTP_JSON;
}
