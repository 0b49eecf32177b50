#include "remote/wire.h"

#include <string.h>
#include <strings.h>

#include <jansson.h>

static void
put_field(struct lmi_buffer *form, const char *name, const char *value)
{
    if (form->len > 0)
        lmi_buffer_put_char(form, '&');
    lmi_buffer_put_text(form, name);
    lmi_buffer_put_char(form, '=');
    lmi_buffer_put_encoded(form, value, strlen(value));
}

void
lmi_wire_form(const struct lmi_request *request, bool with_address,
              struct lmi_buffer *out)
{
    char token[LMI_TOKEN_SIZE] = "0"; /* the original module's "none" */

    if (request->has_token)
        lmi_token_format(request->digits, token);
    put_field(out, "user", request->user);
    put_field(out, "pass", request->pass);
    put_field(out, "goto_uri", request->goto_plain);
    put_field(out, "active_token_for_reuse", token);
    if (request->tfa_token[0] != '\0')
        put_field(out, "tfa_token", request->tfa_token);
    if (with_address && request->remote_addr[0] != '\0')
        put_field(out, "remote_addr", request->remote_addr);
}

/*
 * A value that may stand in the query of a URL: percent-encoded, without what
 * would end it there, in a header or in HTML, and without control bytes.
 */
static bool
value_ok(struct lmi_bytes value)
{
    if (value.len == 0 || value.len > LMI_VALUE_MAX)
        return false;
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];
        if (c == '%') {
            int byte = lmi_percent_value(value.ptr + i, value.len - i);
            if (byte < 0x20 || byte == 0x7F)
                return false;
            i += 2;
        } else if (!lmi_is_alnum(c) && memchr("-_.~:@!*=+/", c, 11) == NULL) {
            return false;
        }
    }
    return true;
}

/* What servers set to end a session. */
static bool
is_farewell(struct lmi_bytes value)
{
    return value.len == 0 || lmi_bytes_like(value, "expired") ||
           lmi_bytes_like(value, "closed") || lmi_bytes_like(value, "deleted");
}

/* Of several cookies of this name the first session counts, good or bad. */
static void
take_cookie(struct lmi_wire_reply *reply, struct lmi_bytes value)
{
    const char *name = lmi_service_info(reply->service)->cookie;
    struct lmi_bytes pair = lmi_trim(lmi_next_field(&value, ';'));

    if (reply->has_cookie || memchr(pair.ptr, '=', pair.len) == NULL ||
        !lmi_bytes_equal(lmi_next_field(&pair, '='), name) || is_farewell(pair))
        return;
    reply->has_cookie = true;
    reply->cookie_ok = value_ok(pair) && lmi_bytes_copy(pair, reply->cookie,
                                                        sizeof reply->cookie);
}

/* Reads a complete header. One that did not fit is passed over. */
static void
take_header(struct lmi_wire_reply *reply)
{
    struct lmi_bytes value = {reply->line, reply->line_len}, name;
    uint64_t seconds;

    reply->line_len = 0;
    if (value.len == 0 || value.len >= sizeof reply->line ||
        memchr(value.ptr, ':', value.len) == NULL)
        return;
    name = lmi_next_field(&value, ':');
    value = lmi_trim(value);
    if (lmi_bytes_like(name, "set-cookie"))
        take_cookie(reply, value);
    else if (lmi_bytes_like(name, "retry-after") &&
             lmi_parse_number(value, 7 * 86400, &seconds))
        reply->retry_after = (uint32_t)seconds;
    else if (lmi_bytes_like(name, "location") && reply->location[0] == '\0' &&
             !lmi_bytes_copy(value, reply->location, sizeof reply->location))
        reply->location[0] = '\0';
}

static bool
count(struct lmi_wire_reply *reply, size_t len)
{
    if (len > LMI_WIRE_MAX - reply->received)
        reply->too_long = true;
    else
        reply->received += len;
    return !reply->too_long;
}

static struct lmi_bytes
without_end(const char *line, size_t len)
{
    while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
        len--;
    return (struct lmi_bytes){line, len};
}

bool
lmi_wire_header(struct lmi_wire_reply *reply, const char *line, size_t len)
{
    struct lmi_bytes text = without_end(line, len);
    size_t room = sizeof reply->line - reply->line_len;
    bool folded = text.len > 0 && (line[0] == ' ' || line[0] == '\t');

    if (!count(reply, len))
        return false;
    if (reply->in_body)
        return true;
    if (!folded)
        take_header(reply);
    if (text.len >= 5 && strncasecmp(text.ptr, "HTTP/", 5) == 0) {
        /* Interim answers, such as 100, come before the one that counts. */
        reply->line_len = 0;
        reply->has_cookie = reply->cookie_ok = false;
        reply->retry_after = 0;
        reply->location[0] = '\0';
        return true;
    }
    if (!folded)
        room = sizeof reply->line;
    /* Too long a one stays full, so that take_header() passes it over. */
    text.len = text.len < room ? text.len : room;
    memcpy(reply->line + reply->line_len, text.ptr, text.len);
    reply->line_len += text.len;
    return true;
}

bool
lmi_wire_body(struct lmi_wire_reply *reply, const char *bytes, size_t len)
{
    if (!count(reply, len) || len > sizeof reply->body - reply->body_len)
        return false;
    reply->in_body = true;
    memcpy(reply->body + reply->body_len, bytes, len);
    reply->body_len += len;
    return true;
}

/* The answer's JSON object, to be released with json_decref(), or NULL. */
static json_t *
read_json(const struct lmi_wire_reply *reply)
{
    json_t *root =
        json_loadb(reply->body, reply->body_len, JSON_REJECT_DUPLICATES, NULL);

    if (json_is_object(root))
        return root;
    json_decref(root);
    return NULL;
}

static bool
has_status(const json_t *root, json_int_t wanted)
{
    const json_t *status = json_object_get(root, "status");

    return json_is_integer(status) && json_integer_value(status) == wanted;
}

/* A string of printable ASCII that fits; else false, and out is empty. */
static bool
read_string(const json_t *root, const char *key, char *out, size_t size)
{
    const json_t *value = json_object_get(root, key);
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);

    out[0] = '\0';
    if (text == NULL || len >= size)
        return false;
    for (size_t i = 0; i < len; i++)
        if (text[i] < 0x20 || text[i] > 0x7E)
            return false;
    memcpy(out, text, len + 1);
    return true;
}

/* "/cpsess" and ten digits, no more and no less. */
static bool
token_ok(const char *token)
{
    const struct lmi_text text = {LMI_TEXT_LATIN1, token, strlen(token)};
    char digits[LMI_TOKEN_DIGITS];

    return token[0] == '/' && lmi_token_parse(text, digits);
}

/* Absent, null and empty mean that the server has tokens switched off. */
static bool
read_token(const json_t *root, char out[LMI_TOKEN_SIZE])
{
    const json_t *value = json_object_get(root, "security_token");

    out[0] = '\0';
    if (value == NULL || json_is_null(value))
        return true;
    if (!read_string(root, "security_token", out, LMI_TOKEN_SIZE))
        return false;
    if (out[0] == '\0' || token_ok(out))
        return true;
    out[0] = '\0';
    return false;
}

static void
judge_success(const struct lmi_wire_reply *reply, const json_t *root,
              struct lmi_wire_said *out)
{
    if (!has_status(root, 1))
        out->why = "no JSON with \"status\":1";
    else if (!read_token(root, out->token))
        out->why = "its security token is not /cpsess and ten digits";
    else if (!reply->has_cookie)
        out->why = "no cookie of this service";
    else if (!reply->cookie_ok)
        out->why = "its cookie has no value that may stand in a URL";
    else
        out->verdict = LMI_WIRE_GOOD;
}

/* The codes that protocols of this kind use; others mean the same verdict. */
static enum lmi_wire_verdict
refusal_of(const char *code)
{
    if (strcmp(code, "token_missing") == 0)
        return LMI_WIRE_TFA_WANTED;
    if (strcmp(code, "token_incorrect") == 0)
        return LMI_WIRE_TFA_WRONG;
    return LMI_WIRE_REFUSED;
}

void
lmi_wire_judge(const struct lmi_wire_reply *reply, long status,
               struct lmi_wire_said *out)
{
    json_t *root = read_json(reply);
    char code[32];

    out->verdict = LMI_WIRE_STRANGE;
    out->why = "not an answer to a login";
    if (status == 200) {
        judge_success(reply, root, out);
    } else if (status == 429) {
        out->verdict = LMI_WIRE_WAIT;
    } else if (status >= 500 && status <= 599) {
        out->verdict = LMI_WIRE_AWAY;
    } else if (status >= 400 && status <= 499 && has_status(root, 0)) {
        if (!read_string(root, "message", code, sizeof code))
            code[0] = '\0';
        out->verdict = refusal_of(code);
    }
    json_decref(root);
}

/* As it is, or percent-encoded. */
static bool
holds(struct lmi_bytes text, struct lmi_bytes secret)
{
    char decoded[sizeof((struct lmi_wire_reply *)0)->location];
    size_t len = 0;
    bool found;

    for (size_t i = 0; i < text.len; i++) {
        int value = lmi_percent_value(text.ptr + i, text.len - i);
        decoded[len++] = value < 0 ? text.ptr[i] : (char)value;
        i += value < 0 ? 0 : 2;
    }
    found = memmem(text.ptr, text.len, secret.ptr, secret.len) != NULL ||
            memmem(decoded, len, secret.ptr, secret.len) != NULL;
    lmi_wipe(decoded, sizeof decoded);
    return found;
}

/* What does not fit is cut, at a whole byte. */
static void
put_printable(struct lmi_buffer *out, struct lmi_bytes text)
{
    static const char hex[] = "0123456789abcdef";

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        const char code[4] = {'\\', 'x', hex[c >> 4], hex[c & 15]};
        if (c > 0x20 && c < 0x7F && c != '\\')
            lmi_buffer_put_char(out, text.ptr[i]);
        else
            lmi_buffer_put(out, code, sizeof code);
    }
}

/* Cuts what is before a host's name from a URL: its scheme, which is returned,
 * and user and password. */
static struct lmi_bytes
cut_scheme(struct lmi_bytes *url)
{
    const char *slashes = memmem(url->ptr, url->len, "//", 2), *at;
    struct lmi_bytes scheme = {url->ptr, 0}, rest, host;

    if (slashes == NULL)
        return scheme;
    scheme.len = (size_t)(slashes + 2 - url->ptr);
    url->ptr += scheme.len;
    url->len -= scheme.len;
    rest = *url;
    host = lmi_next_field(&rest, '/');
    at = memrchr(host.ptr, '@', host.len);
    if (at != NULL) {
        url->len -= (size_t)(at + 1 - url->ptr);
        url->ptr = at + 1;
    }
    return scheme;
}

void
lmi_wire_location(const struct lmi_wire_reply *reply, struct lmi_bytes pass,
                  char out[LMI_LOCATION_SIZE])
{
    struct lmi_bytes rest = lmi_bytes_of(reply->location);
    struct lmi_bytes query = lmi_next_field(&rest, '#');
    struct lmi_bytes url = lmi_next_field(&query, '?');
    struct lmi_buffer text;

    lmi_buffer_init(&text, out, LMI_LOCATION_SIZE - strlen("..."));
    if (holds(url, pass)) {
        lmi_buffer_put_text(&text, "not shown");
        return;
    }
    put_printable(&text, cut_scheme(&url));
    put_printable(&text, url);
    if (text.full)
        memcpy(out + text.len, "...", sizeof "...");
}

/* Begins with origin and a path, and has no byte that a URL may not hold. */
static bool
url_ok(const char *url, const char *origin)
{
    size_t len = strlen(origin);

    if (strncmp(url, origin, len) != 0 || url[len] != '/')
        return false;
    return strpbrk(url, " \"<>\\^`{|}") == NULL;
}

static void
judge_gateway_success(const json_t *root, const char *origin,
                      struct lmi_wire_said *out)
{
    if (!has_status(root, 1))
        out->why = "status 200, and no JSON with \"status\":1";
    else if (!read_token(root, out->token) || out->token[0] == '\0')
        out->why = "its security token is not /cpsess and ten digits";
    else if (!read_string(root, "login_url", out->url, sizeof out->url) ||
             !url_ok(out->url, origin))
        out->why = "its login_url does not begin with the host and its port";
    else
        out->verdict = LMI_WIRE_GOOD;
}

/* A refusal with its sentence and a reason that a gateway can have. */
static bool
read_refusal(const json_t *root, struct lmi_wire_said *out)
{
    char reason[16];

    return has_status(root, 0) &&
           read_string(root, "message", out->message, sizeof out->message) &&
           out->message[0] != '\0' &&
           read_string(root, "reason", reason, sizeof reason) &&
           lmi_reason_parse(reason, &out->reason) &&
           out->reason <= LMI_REASON_PARAMETER;
}

void
lmi_wire_judge_gateway(const struct lmi_wire_reply *reply, long status,
                       const char *origin, struct lmi_wire_said *out)
{
    json_t *root = read_json(reply);

    out->verdict = LMI_WIRE_STRANGE;
    out->why = "not an answer to a login";
    if (status == 200)
        judge_gateway_success(root, origin, out);
    else if (status >= 400 && status <= 599 && read_refusal(root, out))
        out->verdict = LMI_WIRE_REFUSED;
    json_decref(root);
}
