/*
 * Any head of a request, one field a line, each in memory of its own size: what
 * a result holds is part of the input, and what it says is what a plain reading
 * of the decoded bytes says. A line of one "-" is a field that is absent.
 */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define FIELDS 18
#define ALL_HOSTS "::/0"

static void
check(bool good)
{
    if (!good)
        abort();
}

static char *
copy_of(const char *ptr, size_t len)
{
    char *copy = malloc(len + (len == 0));

    check(copy != NULL);
    if (len > 0)
        memcpy(copy, ptr, len);
    return copy;
}

/* Absent, or a part of the input. */
static bool
is_within(struct lmi_bytes part, struct lmi_bytes whole)
{
    return part.ptr == NULL ? part.len == 0
                            : part.ptr >= whole.ptr &&
                                  part.ptr + part.len <= whole.ptr + whole.len;
}

static bool
is_hex(char c)
{
    return strchr("0123456789abcdefABCDEF", c) != NULL && c != '\0';
}

/* A copy with all codes decoded; *good_out: each percent sign begins one, of a
 * byte that may be encoded. */
static struct lmi_bytes
decode(struct lmi_bytes text, bool *good_out)
{
    char *out = copy_of(text.ptr, text.len), code[3] = "";
    size_t len = 0;

    *good_out = true;
    for (size_t i = 0; i < text.len; i++) {
        out[len++] = text.ptr[i];
        if (text.ptr[i] != '%')
            continue;
        if (text.len - i < 3 || !is_hex(text.ptr[i + 1]) ||
            !is_hex(text.ptr[i + 2])) {
            *good_out = false;
            continue;
        }
        memcpy(code, text.ptr + i + 1, 2);
        long byte = strtol(code, NULL, 16);
        out[len - 1] = (char)byte;
        *good_out = *good_out && byte > 0x1F && byte != 0x7F && byte != '/' &&
                    byte != '\\';
        i += 2;
    }
    return (struct lmi_bytes){out, len};
}

/* In valid UTF-8. */
static bool
has_noncharacter(struct lmi_bytes text)
{
    uint32_t point = 0;

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c < 0x80 || c >= 0xC0)
            point = c < 0x80   ? c
                    : c < 0xE0 ? c & 0x1FU
                    : c < 0xF0 ? c & 0x0FU
                               : c & 0x07U;
        else
            point = point << 6 | (c & 0x3FU);
        bool last = i + 1 == text.len || (text.ptr[i + 1] & 0xC0) != 0x80;
        if (last && ((point >= 0xFDD0 && point <= 0xFDEF) ||
                     (point & 0xFFFE) == 0xFFFE))
            return true;
    }
    return false;
}

static bool
has_dots(struct lmi_bytes text)
{
    while (text.len > 0) {
        struct lmi_bytes segment = lmi_next_field(&text, '/');
        struct lmi_bytes name = lmi_next_field(&segment, ';');
        if (lmi_bytes_equal(name, ".") || lmi_bytes_equal(name, ".."))
            return true;
    }
    return false;
}

static bool
is_clean(struct lmi_bytes target, struct lmi_bytes path,
         struct lmi_bytes decoded, bool codes_good)
{
    for (size_t i = 0; i < target.len; i++)
        if (target.ptr[i] <= ' ' || target.ptr[i] > '~' ||
            strchr("\\#", target.ptr[i]) != NULL)
            return false;
    return path.len > 0 && path.ptr[0] == '/' &&
           memmem(path.ptr, path.len, "//", 2) == NULL && codes_good &&
           !has_dots(decoded) && lmi_utf8_valid(decoded.ptr, decoded.len) &&
           !has_noncharacter(decoded);
}

static void
check_target(struct lmi_bytes target, const struct lmi_http_target *read)
{
    struct lmi_bytes rest = target;
    struct lmi_bytes path = lmi_next_field(&rest, '?');
    bool codes_good;
    struct lmi_bytes decoded = decode(path, &codes_good);
    size_t half = decoded.len / 2;

    check(read->clean == is_clean(target, path, decoded, codes_good));
    if (read->path.len > 0) {
        check(read->path.ptr == target.ptr && read->path.len == path.len);
        check(is_within(read->query, target) &&
              is_within(read->token, read->path) &&
              is_within(read->rest, read->path));
        check((read->query.ptr == NULL) == (path.len == target.len));
        check(read->token.len + read->rest.len == path.len);
        check(lmi_http_path_is(
            path, (struct lmi_bytes){decoded.ptr, half},
            (struct lmi_bytes){decoded.ptr + half, decoded.len - half}));
        check(!lmi_http_path_is(path, decoded,
                                (struct lmi_bytes){decoded.ptr, 1}));
    }
    free((char *)(uintptr_t)decoded.ptr);
}

/* Half a pair of a form, decoded by the functions above. */
static bool
means(struct lmi_bytes half, const char *text)
{
    char *spaced = copy_of(half.ptr, half.len);
    char *decoded = malloc(half.len + 1);
    bool good;

    check(decoded != NULL);
    for (size_t i = 0; i < half.len; i++)
        spaced[i] = spaced[i] == '+' ? ' ' : spaced[i];
    struct lmi_bytes wanted =
        decode((struct lmi_bytes){spaced, half.len}, &good);
    size_t len = lmi_http_decode(half, decoded);
    check(len == wanted.len && memcmp(decoded, wanted.ptr, len) == 0);
    good = lmi_bytes_equal(wanted, text);
    free((char *)(uintptr_t)wanted.ptr);
    free(decoded);
    free(spaced);
    return good;
}

static void
check_query(struct lmi_bytes query, size_t ticket_count)
{
    struct lmi_http_parameter parameter;
    struct lmi_http_pair pair;
    size_t counts[3] = {0};
    struct lmi_bytes rest = query;

    while (lmi_http_pair_next(&rest, &pair)) {
        counts[0] += means(pair.name, "session");
        counts[1] += means(pair.name, "a");
        counts[2] += means(pair.name, "");
        check(is_within(pair.name, query) && is_within(pair.value, query));
    }
    check(ticket_count <= counts[0]);
    lmi_http_parameter_find(query, lmi_bytes_of("session"), &parameter);
    check(parameter.count == counts[0] &&
          (parameter.value.ptr != NULL) == (counts[0] == 1));
    lmi_http_parameter_find(query, lmi_bytes_of("a"), &parameter);
    check(parameter.count == counts[1] && is_within(parameter.value, query));
    lmi_http_parameter_find(query, lmi_bytes_of(""), &parameter);
    check(parameter.count == counts[2]);
}

/* A page of lmi_uri_read(), in which no ticket is left. */
static void
check_page(const struct lmi_http_page *page)
{
    struct lmi_http_ticket ticket;
    const char *query = strchr(page->uri, '?');

    check(page->uri[0] == '\0' || page->uri[0] == '/');
    check(page->uri[0] == '\0' || page->uri[1] != '/');
    if (query == NULL)
        return;
    lmi_http_ticket_find(lmi_bytes_of(query + 1), &ticket);
    check(ticket.count == 0);
}

static void
check_parts(const struct lmi_http_head *head)
{
    struct lmi_http_target target;
    struct lmi_http_ticket ticket;
    struct lmi_http_page page;
    bool twice;

    lmi_http_target_read(head->target, &target);
    check_target(head->target, &target);
    check(!lmi_http_slash_is_double(head->target) || !target.clean);
    lmi_http_ticket_find(target.query, &ticket);
    check(strlen(ticket.ticket) ==
          (ticket.count == 1 ? LMI_TICKET_SIZE - 1 : 0));
    check_query(target.query, ticket.count);
    lmi_http_page(&target, &page);
    check_page(&page);
    lmi_http_ticket_page(&target, &page, &twice);
    check_page(&page);
}

static void
check_cookie(const struct lmi_http_head *head, struct lmi_bytes name)
{
    struct lmi_http_cookie cookie;

    lmi_http_cookie_find(head, name, &cookie);
    check(is_within(cookie.value, head->cookie));
    if (cookie.value.ptr == NULL)
        return;
    check(cookie.there &&
          memchr(cookie.value.ptr, ';', cookie.value.len) == NULL);
    check(cookie.value.ptr[-1] == '=' &&
          memcmp(cookie.value.ptr - 1 - name.len, name.ptr, name.len) == 0);
}

static bool
is_address(struct lmi_bytes text)
{
    return lmi_address_listed(
        (struct lmi_text){LMI_TEXT_LATIN1, text.ptr, text.len}, ALL_HOSTS);
}

static void
check_client(const struct lmi_http_head *head, struct lmi_bytes address,
             const char *proxies)
{
    struct lmi_http_connection connection = {.address = address};
    struct lmi_http_client client;

    lmi_http_client_read(head, &connection, proxies, &client);
    check(client.address.ptr == NULL || is_address(client.address));
    check(
        is_within(client.address, address) ||
        (client.at_front && is_within(client.address, head->x_forwarded_for)));
    check(!client.secure || client.at_front);
    connection.local = true;
    lmi_http_client_read(head, &connection, proxies, &client);
    check(client.at_front &&
          client.secure == lmi_bytes_equal(head->x_forwarded_proto, "https"));
}

static void
check_fields(const struct lmi_http_head *head)
{
    struct lmi_http_head own = *head;
    struct lmi_http_cause cause;
    struct lmi_http_program program;
    struct lmi_http_host host;
    char *origin;

    lmi_http_host_read(head, &host);
    check(is_within(host.name, head->host) && is_within(host.port, head->host));
    check(host.good || head->host.ptr != NULL);
    check(host.port.len <= 5 && (host.name.ptr == NULL || host.name.len > 0));
    lmi_http_cause_read(head, &cause);
    check(cause.passive || lmi_bytes_equal(head->method, "GET") ||
          lmi_bytes_equal(head->method, "POST"));
    lmi_http_program_read(head, &program);
    check(program.login || !program.login_only);
    check(program.form != LMI_HTTP_PAGE || !program.login_only);
    if (host.name.ptr == NULL)
        return;
    /* A page of this host is of this site. */
    origin = malloc(host.name.len + 8);
    check(origin != NULL);
    memcpy(origin, "https://", 8);
    memcpy(origin + 8, host.name.ptr, host.name.len);
    own.origin = (struct lmi_bytes){origin, host.name.len + 8};
    own.sec_fetch_site = (struct lmi_bytes){NULL, 0};
    lmi_http_cause_read(&own, &cause);
    check(!cause.cross_site);
    free(origin);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lmi_bytes rest = {(const char *)data, size}, fields[FIELDS];
    struct lmi_http_head head;
    char *memory[FIELDS], *proxies;

    for (size_t i = 0; i < FIELDS; i++) {
        fields[i] = lmi_next_field(&rest, '\n');
        memory[i] = copy_of(fields[i].ptr, fields[i].len);
        fields[i].ptr = lmi_bytes_equal(fields[i], "-") ? NULL : memory[i];
        fields[i].len = fields[i].ptr == NULL ? 0 : fields[i].len;
    }
    head = (struct lmi_http_head){
        fields[0],  fields[1],  fields[2],  fields[3],  fields[4],
        fields[5],  fields[6],  fields[7],  fields[8],  fields[9],
        fields[10], fields[11], fields[12], fields[13], fields[14]};
    proxies = malloc(fields[15].len + 1);
    check(proxies != NULL);
    if (fields[15].len > 0)
        memcpy(proxies, fields[15].ptr, fields[15].len);
    proxies[fields[15].len] = '\0';
    check_parts(&head);
    check_cookie(&head, fields[16]);
    check_client(&head, fields[17], proxies);
    check_fields(&head);
    free(proxies);
    for (size_t i = 0; i < FIELDS; i++)
        free(memory[i]);
    return 0;
}
