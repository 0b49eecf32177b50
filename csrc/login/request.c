#include "login/request.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/crypto.h"

#define UPPER_HEX "0123456789ABCDEF"

static bool
is_absent(struct lmi_text text)
{
    return text.kind == LMI_TEXT_ABSENT ||
           (text.kind != LMI_TEXT_NOT_A_STRING && text.len == 0);
}

/* name@domain: one @, neither side empty; the domain is lower-cased. */
static bool
split_mailbox(char *user, char **domain_out)
{
    char *at = strchr(user, '@');

    *domain_out = NULL;
    if (at == NULL)
        return true;
    if (at == user || at[1] == '\0' || strchr(at + 1, '@') != NULL)
        return false;
    *domain_out = at + 1;
    for (char *c = at + 1; *c != '\0'; c++)
        *c = lmi_lower(*c);
    return at[1] != '.' && at[1] != '-';
}

const char *
lmi_user_read(struct lmi_text text, char out[LMI_USER_MAX + 1],
              char **domain_out)
{
    size_t len;

    if (is_absent(text))
        return "The parameter 'user' is missing or empty.";
    if (text.kind == LMI_TEXT_NOT_A_STRING)
        return "The parameter 'user' must be a string, not a reference.";
    if (!lmi_text_read(text, out, LMI_USER_MAX + 1, &len))
        return "The parameter 'user' must have at most 254 bytes.";
    if (!lmi_user_ok((struct lmi_bytes){out, len}))
        return "The parameter 'user' must consist of letters, digits and "
               "_ . @ + -, not begin with - or ., and not hold two dots in "
               "a row.";
    if (!split_mailbox(out, domain_out))
        return "The parameter 'user' must be a name or name@domain.";
    return NULL;
}

static const char *
read_pass(struct lmi_text text, struct lmi_request *request)
{
    if (is_absent(text))
        return "The parameter 'pass' is missing or empty.";
    if (text.kind == LMI_TEXT_NOT_A_STRING)
        return "The parameter 'pass' must be a string, not a reference.";
    if (!lmi_text_read(text, request->pass, sizeof request->pass,
                       &request->pass_len))
        return "The parameter 'pass' must have at most 511 bytes.";
    if (memchr(request->pass, '\0', request->pass_len) != NULL)
        return "The parameter 'pass' must not hold a NUL byte.";
    return NULL;
}

#define HOSTNAME_RULE                                                          \
    "The parameter 'hostname' must be a host name of letters, digits and "     \
    "hyphens, an IPv4 address, or an IPv6 address in brackets."

/*
 * Labels of 1 to 63 letters, digits and inner hyphens. A name whose last
 * label a browser would take for a number must be an IPv4 address.
 */
static bool
name_ok(const char *host)
{
    struct lmi_bytes rest = lmi_bytes_of(host), label = rest;
    struct in_addr address;

    if (rest.len == 0 || host[rest.len - 1] == '.')
        return false;
    while (rest.len > 0) {
        label = lmi_next_field(&rest, '.');
        if (label.len == 0 || label.len > 63 || label.ptr[0] == '-' ||
            label.ptr[label.len - 1] == '-')
            return false;
        for (size_t i = 0; i < label.len; i++)
            if (!lmi_is_alnum(label.ptr[i]) && label.ptr[i] != '-')
                return false;
    }
    size_t digits = 0;
    while (digits < label.len && lmi_is_digit(label.ptr[digits]))
        digits++;
    if (digits == label.len ||
        (label.len > 1 && label.ptr[0] == '0' && label.ptr[1] == 'x'))
        return inet_pton(AF_INET, host, &address) == 1;
    return true;
}

static bool
ipv6_ok(const char *host, size_t len)
{
    char inner[256];
    struct in6_addr address;

    return len >= 4 && host[len - 1] == ']' &&
           lmi_bytes_copy((struct lmi_bytes){host + 1, len - 2}, inner,
                          sizeof inner) &&
           inet_pton(AF_INET6, inner, &address) == 1;
}

const char *
lmi_hostname_read(struct lmi_text text, char out[256])
{
    size_t len;

    if (is_absent(text))
        return "The parameter 'hostname' is missing or empty.";
    if (text.kind == LMI_TEXT_NOT_A_STRING)
        return "The parameter 'hostname' must be a string, not a reference.";
    if (!lmi_text_read(text, out, 255, &len))
        return "The parameter 'hostname' must have at most 253 bytes.";
    if (strlen(out) != len)
        return HOSTNAME_RULE;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)out[i];
        if (c >= 0x80)
            return "The parameter 'hostname' must be in ASCII: write names of "
                   "other scripts in their xn-- form.";
        if (c == '_')
            return "The parameter 'hostname' must not hold an underscore.";
        out[i] = lmi_lower(out[i]);
    }
    if (out[0] == '[')
        return ipv6_ok(out, len) ? NULL : HOSTNAME_RULE;
    if (strchr(out, ':') != NULL)
        return "The parameter 'hostname' must not hold a port: the service "
               "decides it, and the port.* settings change it.";
    if (len > 0 && out[len - 1] == '.')
        out[--len] = '\0';
    if (len > 253)
        return "The parameter 'hostname' must have at most 253 bytes.";
    return name_ok(out) ? NULL : HOSTNAME_RULE;
}

#define URI_REFUSED                                                            \
    "The parameter 'goto_uri' must not hold control bytes or backslashes, "    \
    "encoded or not."

/* The two prefixes that cPanel's documentation puts in front. */
static void
strip_prefixes(struct lmi_bytes *uri)
{
    static const char hint[] = "/json-api/dummy";

    lmi_take_prefix(uri, "&goto_uri=");
    /* The slash that would be added in front counts as there. */
    bool has_slash = uri->len == 0 || uri->ptr[0] == '/';
    struct lmi_bytes rest = *uri;
    if (lmi_take_prefix(&rest, hint + (has_slash ? 0 : 1)) &&
        (rest.len == 0 || strchr("/?#", rest.ptr[0]) != NULL))
        *uri = rest;
}

/* "https:", "javascript:": a scheme before any slash. */
static bool
has_scheme(struct lmi_bytes uri)
{
    size_t i = 0;

    while (i < uri.len &&
           (lmi_is_alnum(uri.ptr[i]) || memchr("+.-", uri.ptr[i], 3) != NULL))
        i++;
    return i > 0 && i < uri.len && uri.ptr[i] == ':';
}

/* The byte at i, with *step 3 for an encoded one. */
static unsigned char
byte_at(struct lmi_bytes uri, size_t i, size_t *step)
{
    int value = lmi_percent_value(uri.ptr + i, uri.len - i);

    *step = value < 0 ? 1 : 3;
    return value < 0 ? (unsigned char)uri.ptr[i] : (unsigned char)value;
}

static bool
has_forbidden_byte(struct lmi_bytes uri)
{
    size_t step;

    for (size_t i = 0; i < uri.len; i += step) {
        unsigned char c = byte_at(uri, i, &step);
        if (c < 0x20 || c == 0x7F || c == '\\')
            return true;
    }
    return false;
}

/* A segment "." or ".." in the path, whichever way dots and slashes come. */
static bool
has_dot_segment(struct lmi_bytes path)
{
    size_t step, dots = 0, others = 0;

    for (size_t i = 0; i < path.len; i += step) {
        unsigned char c = byte_at(path, i, &step);
        if (c == '/') {
            if (others == 0 && (dots == 1 || dots == 2))
                return true;
            dots = others = 0;
        } else {
            dots += c == '.';
            others += c != '.';
        }
    }
    return others == 0 && (dots == 1 || dots == 2);
}

/* Two slashes in front, the second encoded or not, would name a host. */
static bool
names_host(struct lmi_bytes path)
{
    size_t step;

    return path.len > 1 && byte_at(path, 0, &step) == '/' &&
           byte_at(path, step, &step) == '/';
}

static bool
is_session(struct lmi_bytes name)
{
    static const char wanted[] = "session";
    size_t used = 0, step;

    for (size_t i = 0; i < name.len; i += step, used++)
        if (used >= sizeof wanted - 1 ||
            byte_at(name, i, &step) != (unsigned char)wanted[used])
            return false;
    return used == sizeof wanted - 1;
}

/* Parameters are split at "&" and, as some servers do, at ";". */
static bool
has_session_parameter(struct lmi_bytes query)
{
    while (query.len > 0) {
        struct lmi_bytes pair = lmi_next_field(&query, '&');
        while (pair.len > 0) {
            struct lmi_bytes part = lmi_next_field(&pair, ';');
            if (is_session(lmi_next_field(&part, '=')))
                return true;
        }
    }
    return false;
}

/* Bytes that no URL may hold, and a percent sign that encodes nothing. */
static bool
needs_encoding(struct lmi_bytes uri, size_t i)
{
    unsigned char c = (unsigned char)uri.ptr[i];

    if (c == '%')
        return lmi_percent_value(uri.ptr + i, uri.len - i) < 0;
    return c >= 0x80 || strchr(" \"<>^`{|}", c) != NULL;
}

/* From its slash on; false if it is too long. */
static bool
write_uri(struct lmi_bytes uri, bool canonical, char out[LMI_URI_MAX + 1])
{
    struct lmi_buffer text;

    lmi_buffer_init(&text, out, LMI_URI_MAX + 1);
    if (uri.len == 0 || uri.ptr[0] != '/')
        lmi_buffer_put_char(&text, '/');
    for (size_t i = 0; i < uri.len; i++) {
        if (canonical && needs_encoding(uri, i))
            lmi_buffer_put_percent(&text, (unsigned char)uri.ptr[i], UPPER_HEX);
        else
            lmi_buffer_put_char(&text, uri.ptr[i]);
    }
    return !text.full;
}

/* All checks apply to the canonical form: to what a browser will get. */
static const char *
check_uri(const char *text)
{
    struct lmi_bytes whole = lmi_bytes_of(text), rest = whole, query, path;

    if (has_forbidden_byte(whole))
        return URI_REFUSED;
    query = lmi_next_field(&rest, '#');
    path = lmi_next_field(&query, '?');
    if (names_host(path))
        return "The parameter 'goto_uri' must not begin with two slashes.";
    if (has_dot_segment(path))
        return "The parameter 'goto_uri' must not hold the segments . or ..";
    if (has_session_parameter(query))
        return "The parameter 'goto_uri' must not hold a parameter named "
               "session.";
    return NULL;
}

static const char *
read_uri(struct lmi_text text, char out[LMI_URI_MAX + 1],
         char plain_out[LMI_URI_MAX + 1])
{
    char bytes[LMI_URI_MAX + 64];
    size_t len = 0;

    if (text.kind == LMI_TEXT_NOT_A_STRING)
        return "The parameter 'goto_uri' must be a string, not a reference.";
    if (!is_absent(text) && !lmi_text_read(text, bytes, sizeof bytes, &len))
        return "The parameter 'goto_uri' must have at most 2,048 bytes.";
    struct lmi_bytes uri = {bytes, len};
    if (len > 0 && memchr(bytes, '\0', len) != NULL)
        return URI_REFUSED;
    strip_prefixes(&uri);
    if (has_scheme(uri))
        return "The parameter 'goto_uri' must be a path, not a full URL.";
    if (!write_uri(uri, true, out) || !write_uri(uri, false, plain_out))
        return "The parameter 'goto_uri' must have at most 2,048 bytes.";
    return check_uri(out);
}

const char *
lmi_uri_read(struct lmi_text text, char out[LMI_URI_MAX + 1])
{
    char plain[LMI_URI_MAX + 1];

    return read_uri(text, out, plain);
}

static const char *
read_remote_addr(struct lmi_text text, char out[LMI_ADDRESS_TEXT])
{
    struct lmi_address address;
    const char *browser = getenv("REMOTE_ADDR");

    out[0] = '\0';
    if (text.kind == LMI_TEXT_NOT_A_STRING)
        return "The parameter 'remote_addr' must be a string, not a "
               "reference.";
    if (is_absent(text)) {
        if (getenv("GATEWAY_INTERFACE") == NULL || browser == NULL ||
            !lmi_address_parse(browser, &address))
            return NULL;
    } else if (!lmi_address_read(text, &address)) {
        return "The parameter 'remote_addr' must be an IPv4 or IPv6 address.";
    }
    lmi_address_format(&address, out);
    return NULL;
}

static const char *
read_tfa_token(struct lmi_text text, char out[65])
{
    size_t len;

    out[0] = '\0';
    if (is_absent(text))
        return NULL;
    if (text.kind == LMI_TEXT_NOT_A_STRING)
        return "The parameter 'tfa_token' must be a string, not a reference.";
    if (!lmi_text_read(text, out, 65, &len))
        return "The parameter 'tfa_token' must have at most 64 bytes.";
    for (size_t i = 0; i < len; i++)
        if (out[i] < 0x21 || out[i] > 0x7E)
            return "The parameter 'tfa_token' must be in printable ASCII.";
    return NULL;
}

static const char *
read_all(const struct lmi_login *ask, struct lmi_request *request)
{
    const char *complaint =
        lmi_user_read(ask->user, request->user, &request->domain);

    if (complaint == NULL)
        complaint = read_pass(ask->pass, request);
    if (complaint == NULL)
        complaint = lmi_hostname_read(ask->hostname, request->hostname);
    if (complaint == NULL &&
        !lmi_service_parse(ask->service, &request->service))
        complaint = "The parameter 'service' must be cpanel, whm or webmail.";
    if (complaint == NULL)
        complaint =
            read_uri(ask->goto_uri, request->goto_uri, request->goto_plain);
    if (complaint == NULL)
        complaint = read_remote_addr(ask->remote_addr, request->remote_addr);
    if (complaint == NULL)
        complaint = read_tfa_token(ask->tfa_token, request->tfa_token);
    return complaint;
}

enum lmi_rc
lmi_request_read(const struct lmi_login *ask, struct lmi_request **request_out,
                 const char **complaint_out, struct lmi_err *err)
{
    struct lmi_request *request = lmi_secret_alloc(sizeof *request);

    *request_out = NULL;
    *complaint_out = NULL;
    if (request == NULL)
        return lmi_no_memory(err);
    *complaint_out = read_all(ask, request);
    if (*complaint_out != NULL) {
        lmi_request_free(request);
        return LMI_OK;
    }
    request->has_caller = ask->has_caller;
    request->caller_uid = ask->caller_uid;
    request->has_token =
        lmi_token_parse(ask->active_token_for_reuse, request->digits);
    *request_out = request;
    return LMI_OK;
}

void
lmi_request_free(struct lmi_request *request)
{
    lmi_secret_free(request);
}
