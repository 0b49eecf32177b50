/* What the head of a request says: known answers. */
#include <stdlib.h>

#include "tap.h"
#include "logmein.h"

#define T43 "AAAAAAAAAABBBBBBBBBBCCCCCCCCCCDDDDDDDDDD_-0"
#define TICKET "lmt_" T43
#define TOKEN "/cpsess0123456789"

/* NULL stands for what is absent. */
static struct lmi_bytes
bytes(const char *text)
{
    return (struct lmi_bytes){text, text == NULL ? 0 : strlen(text)};
}

static bool
same(struct lmi_bytes got, const char *wanted)
{
    if (got.ptr == NULL || wanted == NULL)
        return got.ptr == NULL && got.len == 0 && wanted == NULL;
    return got.len == strlen(wanted) && memcmp(got.ptr, wanted, got.len) == 0;
}

static bool
is_clean(const char *target)
{
    struct lmi_http_target out;

    lmi_http_target_read(bytes(target), &out);
    return out.clean;
}

static const char *const clean_targets[] = {
    "/",          "/a/b",       "/a?b//c",       "/...",       "/.a",
    "/a.",        "/..a/",      "/;..",          "/;/x",       "/a;..",
    "/%c3%a9",    "/%E2%82%AC", "/%F0%9F%98%80", "/%20",       "/%7e",
    "/%25",       "/a%3b",      "/a?%zz%00",     "/a?../..",   "/%ef%bf%bd",
    "/%ed%9f%bf", "/%ee%80%80", "/%f4%8f%bf%bd", "/%ef%b7%8f", "/%ef%b7%b0",
    "/a?b?c",     "/%e0%ae%be", "/%f0%9f%be%be", TOKEN,        TOKEN "/x"};
static const char *const refused_paths[] = {
    "",        "a",         "*",      "http://a/",   "//",    "//a",
    "/a//b",   "/a//",      "/.",     "/..",         "/./",   "/../a",
    "/a/.",    "/a/..",     "/a/./b", "/.;",         "/..;a", "/%2e",
    "/%2e%2E", "/a/.%2e/b", "/.%3b",  "/%2e%2e%3Bx", "/%2f",  "/%2F",
    "/a%5cb",  "/%5C",      "/%00",   "/%1f",        "/%0A",  "/%7f",
    "/%7F",    "/%",        "/%4",    "/%zz",        "/%a",   "/%%41",
    "/%g0",    "/%0g"};
static const char *const refused_texts[] = {
    "/%80",          "/%c3",          "/%ff",         "/%c3a",
    "/%c3%28",       "/%c0%af",       "/%e2%82",      "/%a9%c3",
    "/%e2%82a",      "/%ed%a0%80",    "/%ef%bf%be",   "/%ef%bf%bf",
    "/%ef%b7%90",    "/%ef%b7%af",    "/%f0%9f%98",   "/%f4%90%80%80",
    "/%f0%9f%bf%be", "/%f4%8f%bf%bf", "/%f8%88%80%80"};
static const char *const refused_bytes[] = {
    "/a b", "/a\\b",  "/a#b",      "/a?b c", "/a?b\\c", "/a?b#c",
    "/a\n", "/a\x7F", "/\xC3\xA9", "/\x80",  "/a\x1F"};

#define COUNT(list) (sizeof(list) / sizeof *(list))

static void
refuse_all(const char *what, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ok(!is_clean(list[i]), "refused: %s %zu", what, i);
}

static void
test_clean(void)
{
    for (size_t i = 0; i < COUNT(clean_targets); i++)
        ok(is_clean(clean_targets[i]), "clean: %s", clean_targets[i]);
    refuse_all("path", refused_paths, COUNT(refused_paths));
    refuse_all("text", refused_texts, COUNT(refused_texts));
    refuse_all("bytes", refused_bytes, COUNT(refused_bytes));
    ok(!is_clean(NULL), "refused: no target");
}

static const struct {
    const char *target, *path, *query, *token, *rest;
    bool incidental;
} part_rows[] = {
    {"/", "/", NULL, NULL, "/", false},
    {"/?", "/", "", NULL, "/", false},
    {"/a?b?c", "/a", "b?c", NULL, "/a", false},
    {TOKEN, TOKEN, NULL, TOKEN, "", false},
    {TOKEN "?x", TOKEN, "x", TOKEN, "", false},
    {TOKEN "/a/b?x", TOKEN "/a/b", "x", TOKEN, "/a/b", false},
    {TOKEN "//..", TOKEN "//..", NULL, TOKEN, "//..", false},
    {TOKEN "0/a", TOKEN "0/a", NULL, NULL, TOKEN "0/a", false},
    {TOKEN ";/a", TOKEN ";/a", NULL, NULL, TOKEN ";/a", false},
    {"/cpsess012345678/a", "/cpsess012345678/a", NULL, NULL,
     "/cpsess012345678/a", false},
    {"/cpsess012345678a/", "/cpsess012345678a/", NULL, NULL,
     "/cpsess012345678a/", false},
    {"/Cpsess0123456789/", "/Cpsess0123456789/", NULL, NULL,
     "/Cpsess0123456789/", false},
    {"/a" TOKEN, "/a" TOKEN, NULL, NULL, "/a" TOKEN, false},
    {"/favicon.ico?x", "/favicon.ico", "x", NULL, "/favicon.ico", true},
    {"/robots.txt", "/robots.txt", NULL, NULL, "/robots.txt", true},
    {"/.well-known/x", "/.well-known/x", NULL, NULL, "/.well-known/x", true},
    {"/.well-known", "/.well-known", NULL, NULL, "/.well-known", false},
    {"/robots.txt/", "/robots.txt/", NULL, NULL, "/robots.txt/", false},
    {"/favicon.icon", "/favicon.icon", NULL, NULL, "/favicon.icon", false},
    {"/a b", "", NULL, NULL, "", false},
    {NULL, "", NULL, NULL, "", false},
};

static void
test_parts(void)
{
    struct lmi_http_target out;

    for (size_t i = 0; i < COUNT(part_rows); i++) {
        lmi_http_target_read(bytes(part_rows[i].target), &out);
        ok(same(out.path, part_rows[i].path) &&
               same(out.query, part_rows[i].query) &&
               same(out.token, part_rows[i].token) &&
               same(out.rest, part_rows[i].rest) &&
               out.incidental == part_rows[i].incidental,
           "parts of %s",
           part_rows[i].target == NULL ? "none" : part_rows[i].target);
    }
}

static void
test_slashes(void)
{
    static const char *const doubled[] = {"/" TOKEN, "/" TOKEN "/a//b",
                                          "/" TOKEN "?a"};
    static const char *const others[] = {NULL,          "",
                                         "/",           "//",
                                         TOKEN,         "//" TOKEN,
                                         "/" TOKEN "0", "/" TOKEN ";",
                                         "/a/" TOKEN,   "//cpsess012345678"};

    for (size_t i = 0; i < COUNT(doubled); i++)
        ok(lmi_http_slash_is_double(bytes(doubled[i])), "two slashes: %s",
           doubled[i]);
    for (size_t i = 0; i < COUNT(others); i++)
        ok(!lmi_http_slash_is_double(bytes(others[i])), "not these: %zu", i);
}

static bool
path_is(const char *path, const char *first, const char *second)
{
    return lmi_http_path_is(bytes(path), bytes(first), bytes(second));
}

static void
test_decoded(void)
{
    ok(path_is("/a%20b", "", "/a b"), "decoded bytes");
    ok(path_is("/a%20b", "/a", " b"), "... in two parts");
    ok(path_is("/a+b", NULL, "/a+b"), "a plus sign in a path is itself");
    ok(!path_is("/a%20b", "", "/a%20b"), "... not as they came");
    ok(!path_is("/a", "", "/ab") && !path_is("/ab", "", "/a"), "... all");
    ok(!path_is("/a", "/a", "/") && !path_is("/a", "/", "/a"), "... once");
    ok(!path_is("/a", NULL, NULL), "... and not none");
}

static bool
pair_is(struct lmi_bytes *rest, const char *name, const char *value)
{
    struct lmi_http_pair pair;
    char decoded[64];
    size_t len;

    if (!lmi_http_pair_next(rest, &pair))
        return false;
    len = lmi_http_decode(pair.name, decoded);
    if (!same((struct lmi_bytes){decoded, len}, name))
        return false;
    len = lmi_http_decode(pair.value, decoded);
    return same((struct lmi_bytes){decoded, len}, value);
}

static void
test_pairs(void)
{
    struct lmi_bytes rest = bytes("&a=b=c&&d&=e&+%41%e9=%zz%;f&g=");
    struct lmi_http_pair pair;

    ok(pair_is(&rest, "a", "b=c"), "a value with an equals sign");
    ok(pair_is(&rest, "d", ""), "no equals sign");
    ok(pair_is(&rest, "", "e"), "no name");
    ok(pair_is(&rest, " A\xE9", "%zz%;f"), "codes, and what is none");
    ok(pair_is(&rest, "g", ""), "no value");
    ok(!lmi_http_pair_next(&rest, &pair), "the end");
    rest = bytes(NULL);
    ok(!lmi_http_pair_next(&rest, &pair), "no query");
}

static void
test_parameters(void)
{
    const struct lmi_bytes query = bytes("a=1&b=%31&%61=2&c&A=3");
    struct lmi_http_parameter out;

    lmi_http_parameter_find(query, bytes("b"), &out);
    ok(out.count == 1 && same(out.value, "%31"), "a parameter");
    lmi_http_parameter_find(query, bytes("a"), &out);
    ok(out.count == 2 && same(out.value, NULL), "two of one name");
    lmi_http_parameter_find(query, bytes("c"), &out);
    ok(out.count == 1 && same(out.value, ""), "an empty one");
    lmi_http_parameter_find(query, bytes("d"), &out);
    ok(out.count == 0 && same(out.value, NULL), "none");
    lmi_http_parameter_find(bytes("a=1&a=2&a=3"), bytes("a"), &out);
    ok(out.count == 3 && same(out.value, NULL), "three of one name");
    lmi_http_parameter_find(bytes("ab=1&a"), bytes("a"), &out);
    ok(out.count == 1 && same(out.value, ""), "a longer name is another");
}

static bool
ticket_is(const char *query, size_t count, const char *ticket)
{
    struct lmi_http_ticket out;

    lmi_http_ticket_find(bytes(query), &out);
    return out.count == count && strcmp(out.ticket, ticket) == 0;
}

static void
test_tickets(void)
{
    ok(ticket_is("session=" TICKET, 1, TICKET), "a ticket");
    ok(ticket_is("a=b&s%65ssion=lmt%5f" T43 "&c", 1, TICKET), "... encoded");
    ok(ticket_is("session=1&session=" TICKET, 1, TICKET), "... beside another");
    ok(ticket_is("session=" TICKET "&session=" TICKET, 2, ""), "two tickets");
    ok(ticket_is("session=" TICKET "a", 0, ""), "a longer one");
    ok(ticket_is("session=lmt_AAA", 0, ""), "a shorter one");
    ok(ticket_is("session=lmx_" T43, 0, ""), "another prefix");
    ok(ticket_is("session=lmt_" T43 "%00", 0, ""), "... with a NUL");
    ok(ticket_is("session=lmt_AAAA%2f" T43, 0, ""), "another byte");
    ok(ticket_is("Session=" TICKET "&xsession=" TICKET, 0, ""), "other names");
    ok(ticket_is(NULL, 0, ""), "no query");
}

static bool
page_is(const char *target, const char *page, const char *led, bool twice)
{
    struct lmi_http_target read;
    struct lmi_http_page out, of_ticket;
    bool got;

    lmi_http_target_read(bytes(target), &read);
    lmi_http_page(&read, &out);
    lmi_http_ticket_page(&read, &of_ticket, &got);
    return strcmp(out.uri, page) == 0 && strcmp(of_ticket.uri, led) == 0 &&
           got == twice;
}

static bool
same_page(const char *target, const char *page)
{
    return page_is(target, page, page, false);
}

static void
test_pages(void)
{
    char target[3000] = TOKEN "/";

    ok(same_page(TOKEN "/a?b=c", "/a?b=c"), "a page");
    ok(same_page(TOKEN "/a?session=" TICKET, "/a"), "... without the ticket");
    ok(same_page(TOKEN "/a?x&session=" TICKET "&y", "/a?x&y"),
       "... in between");
    ok(same_page(TOKEN "/a?x&&s%65ssion=" TICKET, "/a?x&"), "... encoded");
    ok(same_page(TOKEN "/a?&x&&", "/a?&x"), "... without the last ones");
    ok(same_page(TOKEN "/a?session=1", ""), "a session of the panel is none");
    ok(same_page(TOKEN "?x", "/?x"), "no path");
    ok(same_page("/a b", "/"), "no target");
    ok(same_page(TOKEN "/a?goto_uri=/b", "/a?goto_uri=/b"),
       "goto_uri on another path");
    ok(page_is(TOKEN "/?goto_uri=%2fb%3fc&session=" TICKET,
               "/?goto_uri=%2fb%3fc", "/b?c", false),
       "goto_uri that a portal appends");
    ok(page_is(TOKEN "?goto_uri=//evil.example", "/?goto_uri=//evil.example",
               "", false),
       "... of another host");
    ok(page_is(TOKEN "/?goto_uri=/a&goto_uri=/b", "/?goto_uri=/a&goto_uri=/b",
               "/?goto_uri=/a&goto_uri=/b", true),
       "... twice");
    memset(target + strlen(TOKEN "/"), 'a', 2047);
    ok(same_page(target, target + strlen(TOKEN)), "2,048 bytes");
    memset(target + strlen(TOKEN "/"), 'a', 2048);
    ok(same_page(target, ""), "2,049 bytes");
    memset(target + strlen(TOKEN "/"), 'a', 2900);
    ok(same_page(target, ""), "2,901 bytes");
}

static bool
cookie_is(const char *field, bool there, const char *value)
{
    struct lmi_http_head head = {.cookie = bytes(field)};
    struct lmi_http_cookie out;

    lmi_http_cookie_find(&head, bytes("s"), &out);
    return out.there == there && same(out.value, value);
}

static void
test_cookies(void)
{
    struct lmi_http_head head = {.cookie = bytes("=a")};
    struct lmi_http_cookie out;

    ok(cookie_is("s=a", true, "a"), "a cookie");
    ok(cookie_is(" a=b;\t\v s=a=b; c", true, "a=b"), "... among others");
    ok(cookie_is("s=\"a b\" ;", true, "\"a b\" "), "... with quotes");
    ok(cookie_is("s=", true, ""), "... without a value");
    ok(cookie_is("s=a; s=a", true, "a"), "the same twice");
    ok(cookie_is("s=a; s=b", true, NULL), "two that differ");
    ok(cookie_is("s=a; s=b; s=a", true, NULL), "... and the first again");
    ok(cookie_is("s=a; s=ab", true, NULL), "... in length");
    ok(cookie_is("s=; s=b", true, NULL), "... in being empty");
    ok(cookie_is("s=a, s=b", true, "a, s=b"), "a comma separates nothing");
    ok(cookie_is("S=a; ss=a; as=a; s =a; s; s", false, NULL), "other names");
    ok(cookie_is(NULL, false, NULL), "no field");
    lmi_http_cookie_find(&head, bytes(""), &out);
    ok(!out.there && same(out.value, NULL), "no cookie without a name");
}

#define PROXIES "192.0.2.0/25 10.0.0.1 2001:db8:1::/48"

/* The browser's address behind a trusted proxy with this X-Forwarded-For. */
static bool
forwarded(const char *list, const char *address)
{
    struct lmi_http_head head = {.x_forwarded_for = bytes(list)};
    struct lmi_http_connection connection = {.address = bytes("192.0.2.1")};
    struct lmi_http_client out;

    lmi_http_client_read(&head, &connection, PROXIES, &out);
    return out.at_front && same(out.address, address);
}

static void
test_forwarded(void)
{
    ok(forwarded("203.0.113.9", "203.0.113.9"), "forwarded: one address");
    ok(forwarded("1.1.1.1, 203.0.113.9", "203.0.113.9"), "the last one");
    ok(forwarded("203.0.113.9 ,\t10.0.0.1,192.0.2.127", "203.0.113.9"),
       "... that is no proxy's");
    ok(forwarded("2.2.2.2, ::ffff:192.0.2.9", "2.2.2.2"), "... IPv4 in IPv6");
    ok(forwarded("10.0.0.1", "192.0.2.1"), "proxies alone");
    ok(forwarded("", "192.0.2.1") && forwarded(NULL, "192.0.2.1") &&
           forwarded(", ,", "192.0.2.1"),
       "nothing");
    ok(forwarded("2.2.2.2, , ,", "2.2.2.2"), "nothing at the end");
    ok(forwarded("2.2.2.2, , 10.0.0.1", NULL), "nothing in between");
    ok(forwarded(",10.0.0.1", NULL), "nothing in front");
    ok(forwarded("2.2.2.2, unknown", NULL), "no address");
    ok(forwarded(" 2.2.2.2", NULL) && forwarded("2.2.2.2 ", NULL),
       "blanks at the ends");
    ok(forwarded("2.2.2.2:80", "2.2.2.2"), "a port");
    ok(forwarded("2.2.2.2, 10.0.0.1:80", "2.2.2.2"), "... of a proxy");
    ok(forwarded("[2001:db8::9]:80", "2001:db8::9") &&
           forwarded("[2001:db8::9]", "2001:db8::9") &&
           forwarded("2.2.2.2, [2001:db8:1::1]:1", "2.2.2.2"),
       "brackets");
    ok(forwarded("2.2.2.2:", NULL) && forwarded("2.2.2.2:x", NULL) &&
           forwarded("[::9]:", NULL) && forwarded("[::9", NULL) &&
           forwarded("[[::9]", NULL) && forwarded("[::9]x", NULL) &&
           forwarded("[::9]80", NULL) && forwarded("[]", NULL) &&
           forwarded("::9]", NULL),
       "brackets and ports that are none");
}

struct client_row {
    const char *what;
    const char *address;
    bool local;
    const char *proto, *x_port; /* X-Forwarded-Proto, -Port */
    bool at_front, secure;
    const char *port;
};

static void
test_client(void)
{
    static const struct client_row rows[] = {
        {"a browser", "203.0.113.9", false, NULL, NULL, false, true, "2083"},
        {"... is not believed", "203.0.113.9", false, "http", "1", false, true,
         "2083"},
        {"a front server", "10.0.0.1", false, "https", "1", true, true, "1"},
        {"... by a socket", NULL, true, "https", "1", true, true, "1"},
        {"... without a port", "10.0.0.1", false, "https", NULL, true, true,
         "2083"},
        {"... with an empty one", "10.0.0.1", false, "https", "", true, true,
         ""},
        {"... must tell of TLS", "10.0.0.1", false, NULL, "1", true, false,
         "1"},
        {"... plainly", "10.0.0.1", false, "https, http", "1", true, false,
         "1"},
        {"... as it is written", "10.0.0.1", false, "HTTPS", "1", true, false,
         "1"},
        {"nobody", "", false, "https", "1", false, true, "2083"},
        {"no address", "unknown", false, "https", "1", false, true, "2083"},
    };
    struct lmi_http_head head = {.x_forwarded_for = bytes("203.0.113.9")};
    struct lmi_http_connection connection = {.scheme = bytes("https"),
                                             .port = bytes("2083")};
    struct lmi_http_client out;

    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct client_row *row = &rows[i];
        bool known = row->at_front || i < 2;
        connection.address = bytes(row->address);
        connection.local = row->local;
        head.x_forwarded_proto = bytes(row->proto);
        head.x_forwarded_port = bytes(row->x_port);
        lmi_http_client_read(&head, &connection, PROXIES, &out);
        ok(out.at_front == row->at_front && out.secure == row->secure &&
               same(out.port, row->port) &&
               same(out.address, known ? "203.0.113.9" : NULL),
           "client: %s", row->what);
    }
    head = (struct lmi_http_head){.host = bytes(NULL)};
    connection = (struct lmi_http_connection){.local = true};
    lmi_http_client_read(&head, &connection, PROXIES, &out);
    ok(same(out.address, NULL) && same(out.port, NULL) && !out.secure,
       "client: a front server that tells nothing");
    connection = (struct lmi_http_connection){.address = bytes("203.0.113.9"),
                                              .scheme = bytes("http")};
    lmi_http_client_read(&head, &connection, PROXIES, &out);
    ok(!out.secure, "client: clear text");
}

static void
test_hosts(void)
{
    static const struct {
        const char *field, *name, *port;
        bool good;
    } rows[] = {
        {NULL, NULL, NULL, true},
        {"a.example", "a.example", NULL, true},
        {"A_b-1.example:2083", "A_b-1.example", "2083", true},
        {"[2001:db8::1]", "[2001:db8::1]", NULL, true},
        {"[::ffff:1.2.3.4]:443", "[::ffff:1.2.3.4]", "443", true},
        {"a:", "a", NULL, true},
        {"a:65535", "a", "65535", true},
        {"a:00080", "a", "00080", true},
        {"a:65536", "a", "65536", false},
        {"a:99999", "a", "99999", false},
        {"a:123456", NULL, NULL, false},
        {"", NULL, NULL, false},
        {":80", NULL, "80", false},
        {"a b:80", NULL, "80", false},
        {"a,b", NULL, NULL, false},
        {"::1", NULL, "1", false},
        {"[]", NULL, NULL, false},
        {"[::1", NULL, "1", false},
        {"[::1]x", NULL, NULL, false},
        {"[x]", NULL, NULL, false},
        {"a:8x", NULL, NULL, false},
        {"a:80:80", NULL, "80", false},
        {"a\xE9", NULL, NULL, false},
    };
    struct lmi_http_host out;

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct lmi_http_head head = {.host = bytes(rows[i].field)};
        lmi_http_host_read(&head, &out);
        ok(out.good == rows[i].good && same(out.name, rows[i].name) &&
               same(out.port, rows[i].port),
           "host %zu", i);
    }
}

static bool
crosses(const char *site, const char *origin, const char *host)
{
    struct lmi_http_head head = {.sec_fetch_site = bytes(site),
                                 .origin = bytes(origin),
                                 .host = bytes(host)};
    struct lmi_http_cause out;

    lmi_http_cause_read(&head, &out);
    return out.cross_site;
}

static void
test_sites(void)
{
    static const char *const own[] = {
        "https://a.example", "http://A.example:80", "x+y.z-1://a.example",
        "HTTPS://a.EXAMPLE:00001"};
    static const char *const others[] = {"https://b.example",
                                         "https://a.example.b",
                                         "null",
                                         "",
                                         "a.example",
                                         "//a.example",
                                         "://a.example",
                                         "1s://a.example",
                                         "https:/a.example",
                                         "https://a.example/",
                                         "https://a.example:",
                                         "https://a.example:123456",
                                         "https://u@a.example",
                                         "https://",
                                         "https://a.example, https://b.example",
                                         "https://a.exampl"};

    ok(!crosses("same-origin", "https://b.example", "a.example") &&
           !crosses("none", "null", "a.example"),
       "site: the browser says it is the same");
    ok(crosses("same-site", NULL, "a.example") &&
           crosses("cross-site", "https://a.example", "a.example") &&
           crosses("", NULL, "a.example") &&
           crosses("None", NULL, "a.example") &&
           crosses("none ", NULL, "a.example"),
       "site: ... or another");
    ok(!crosses(NULL, NULL, "a.example"), "site: it says nothing");
    for (size_t i = 0; i < COUNT(own); i++)
        ok(!crosses(NULL, own[i], "a.example:2083"), "site: own %s", own[i]);
    for (size_t i = 0; i < COUNT(others); i++)
        ok(crosses(NULL, others[i], "a.example:2083"), "site: other %s",
           others[i]);
    ok(!crosses(NULL, "https://[::1]:1", "[::1]") &&
           crosses(NULL, "https://[::1]:1", "[::2]"),
       "site: an address");
    ok(crosses(NULL, "https://a.example", NULL) &&
           crosses(NULL, "https://", "a b") && crosses(NULL, "a", ""),
       "site: no host of one's own");
}

static struct lmi_http_cause
cause_of(const char *method, const char *purpose, const char *x_moz,
         const char *destination)
{
    struct lmi_http_head head = {.method = bytes(method),
                                 .purpose = bytes(purpose),
                                 .x_moz = bytes(x_moz),
                                 .sec_fetch_dest = bytes(destination)};
    struct lmi_http_cause out;

    lmi_http_cause_read(&head, &out);
    return out;
}

static void
test_causes(void)
{
    static const char *const early[] = {"prefetch", "PREVIEW", " \t\v\n\f\rpre",
                                        "prerender;x"};
    static const char *const others[] = {"",  "pr",       "xprefetch",
                                         " ", "navigate", "\xA0pre"};
    struct lmi_http_head head = {.sec_purpose = bytes("a"),
                                 .purpose = bytes("b"),
                                 .x_purpose = bytes("prefetch"),
                                 .x_moz = bytes("preview")};
    struct lmi_http_cause out;

    ok(!cause_of("GET", NULL, NULL, NULL).passive &&
           !cause_of("POST", NULL, NULL, NULL).passive,
       "cause: GET and POST");
    ok(cause_of("HEAD", NULL, NULL, NULL).passive &&
           cause_of("get", NULL, NULL, NULL).passive &&
           cause_of("GETS", NULL, NULL, NULL).passive &&
           cause_of("", NULL, NULL, NULL).passive &&
           cause_of(NULL, NULL, NULL, NULL).passive,
       "cause: any other method is passive");
    for (size_t i = 0; i < COUNT(early); i++)
        ok(cause_of("GET", early[i], NULL, NULL).passive &&
               cause_of("GET", "x", early[i], NULL).passive,
           "cause: early %zu", i);
    for (size_t i = 0; i < COUNT(others); i++)
        ok(!cause_of("GET", others[i], NULL, NULL).passive, "cause: other %zu",
           i);
    lmi_http_cause_read(&head, &out);
    ok(same(out.purpose, "prefetch"), "cause: the first early purpose");
    head.x_purpose = head.x_moz = bytes("c");
    lmi_http_cause_read(&head, &out);
    ok(same(out.purpose, "a"), "cause: else the first");
    ok(same(cause_of("GET", NULL, NULL, NULL).purpose, NULL), "cause: none");
    ok(!cause_of("GET", NULL, NULL, NULL).embedded &&
           !cause_of("GET", NULL, NULL, "document").embedded &&
           cause_of("GET", NULL, NULL, "image").embedded &&
           cause_of("GET", NULL, NULL, "").embedded &&
           cause_of("GET", NULL, NULL, "Document").embedded,
       "cause: parts of pages");
}

static const struct {
    const char *target, *accept;
    enum lmi_http_form form;
    bool login_only, login;
} program_rows[] = {
    {"/", NULL, LMI_HTTP_PAGE, false, false},
    {NULL, NULL, LMI_HTTP_PAGE, false, false},
    {"/json-api/x", NULL, LMI_HTTP_JSON, false, false},
    {"//json-api", NULL, LMI_HTTP_JSON, false, false},
    {TOKEN "//execute/\xFF", NULL, LMI_HTTP_JSON, false, false},
    {"/cpsess/xml-api?x", "application/json", LMI_HTTP_XML, false, false},
    {TOKEN "/xml-api/?login_only=1", NULL, LMI_HTTP_XML, true, true},
    {"/xml-apis", NULL, LMI_HTTP_PAGE, false, false},
    {"/a/json-api/", NULL, LMI_HTTP_PAGE, false, false},
    {"json-api/", NULL, LMI_HTTP_PAGE, false, false},
    {"/cpsess1json-api/", NULL, LMI_HTTP_PAGE, false, false},
    {"/cpsess1x/json-api/", NULL, LMI_HTTP_PAGE, false, false},
    {"/?login_only=1", NULL, LMI_HTTP_JSON, true, true},
    {"/x?a&login%5fonly=%31", NULL, LMI_HTTP_JSON, true, true},
    {"/?login_only=2&login_only", NULL, LMI_HTTP_PAGE, false, false},
    {"/?login_only=11", NULL, LMI_HTTP_PAGE, false, false},
    {"?login_only=1", NULL, LMI_HTTP_JSON, true, true},
    {"/", "application/json", LMI_HTTP_JSON, false, false},
    {"/", "text/html, Application/JSON;q=1", LMI_HTTP_JSON, false, false},
    {"/",
     "\xE9"
     "application/json\xE9",
     LMI_HTTP_JSON, false, false},
    {"/", "application/jsonp, xapplication/json", LMI_HTTP_PAGE, false, false},
    {"/", "_application/json application/json_", LMI_HTTP_PAGE, false, false},
    {"/", "application/jso", LMI_HTTP_PAGE, false, false},
    {"/login", NULL, LMI_HTTP_PAGE, false, true},
    {"///login/?x", NULL, LMI_HTTP_PAGE, false, true},
    {TOKEN "/login/", NULL, LMI_HTTP_PAGE, false, true},
    {"/cpsess/login", NULL, LMI_HTTP_PAGE, false, true},
    {TOKEN "//login", NULL, LMI_HTTP_PAGE, false, false},
    {"/login//", NULL, LMI_HTTP_PAGE, false, false},
    {"/logins", NULL, LMI_HTTP_PAGE, false, false},
    {"login", NULL, LMI_HTTP_PAGE, false, false},
    {"/a/login", NULL, LMI_HTTP_PAGE, false, false},
};

static void
test_programs(void)
{
    struct lmi_http_program out;

    for (size_t i = 0; i < COUNT(program_rows); i++) {
        struct lmi_http_head head = {.target = bytes(program_rows[i].target),
                                     .accept = bytes(program_rows[i].accept)};
        lmi_http_program_read(&head, &out);
        ok(out.form == program_rows[i].form &&
               out.login_only == program_rows[i].login_only &&
               out.login == program_rows[i].login,
           "program %zu", i);
    }
}

/* As long as servers let anything be, and no terminator behind it. */
static void
test_long(void)
{
    const size_t len = 65536;
    char *text = malloc(len);
    struct lmi_http_head head = {.cookie = {text, len}};
    struct lmi_http_target target;
    struct lmi_http_cookie cookie;
    struct lmi_http_page page;

    if (text == NULL)
        exit(1);
    memset(text, 'a', len);
    text[0] = '/';
    text[len - 2] = '%';
    lmi_http_target_read((struct lmi_bytes){text, len}, &target);
    lmi_http_page(&target, &page);
    ok(!target.clean && target.path.len == len && page.uri[0] == '\0',
       "64 KiB that end in half a code");
    text[len - 2] = 'a';
    lmi_http_target_read((struct lmi_bytes){text, len}, &target);
    ok(target.clean && target.rest.len == len, "64 KiB");
    text[0] = 's';
    text[1] = '=';
    lmi_http_cookie_find(&head, bytes("s"), &cookie);
    ok(cookie.value.len == len - 2, "a cookie of 64 KiB");
    free(text);
}

int
main(void)
{
    test_clean();
    test_parts();
    test_slashes();
    test_decoded();
    test_pairs();
    test_parameters();
    test_tickets();
    test_pages();
    test_cookies();
    test_forwarded();
    test_client();
    test_hosts();
    test_sites();
    test_causes();
    test_programs();
    test_long();
    return done();
}
