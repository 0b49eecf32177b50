/* Lines of the log: what hostile bytes become, and what is cut. */
#include "base/event.h"
#include "tap.h"

#define NOON 1700000000 /* 2023-11-14T22:13:20Z */

static char line[2048];

static const char *
line_of(const struct lmi_event *event, enum lmi_log_format format, size_t size)
{
    struct lmi_buffer out;

    lmi_buffer_init(&out, line, size);
    lmi_event_line(event, format, false, NOON, &out);
    return line;
}

static const char *
detail_as(enum lmi_log_format format, const char *detail)
{
    const struct lmi_event event = {.name = "FAULT", .detail = detail};

    return line_of(&event, format, sizeof line);
}

#define JSON(rest) "{\"time\":\"2023-11-14T22:13:20Z\",\"level\":" rest

/* JSON of our own grammar: strings and numbers in one object. */
static bool
is_json(const char *text)
{
    bool inside = false;
    size_t len = strlen(text);

    if (len < 2 || text[0] != '{' || text[len - 1] != '}' ||
        !lmi_utf8_valid(text, len))
        return false;
    for (const char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20)
            return false;
        if (*c == '"')
            inside = !inside;
        if (inside && *c == '\\' && *++c == '\0')
            return false;
        if (inside && *c == 'u' && c[-1] == '\\' &&
            strspn(c + 1, "0123456789abcdef") < 4)
            return false;
    }
    return !inside;
}

/* Every control character. */
static void
controls(void)
{
    unsigned text_wrong = 0, json_wrong = 0;

    for (unsigned code = 1; code < 0xA0; code++) {
        char detail[8], wanted[128];
        const char *said;

        if (code >= 0x20 && code < 0x7F)
            continue;
        if (code < 0x80)
            snprintf(detail, sizeof detail, "a%cb", (int)code);
        else
            snprintf(detail, sizeof detail, "a\xC2%cb", (int)code);
        text_wrong +=
            strcmp(detail_as(LMI_LOG_TEXT, detail), "info FAULT a?b") != 0;
        said = detail_as(LMI_LOG_JSON, detail);
        snprintf(wanted, sizeof wanted, "\"detail\":\"a\\u%04xb\"}", code);
        json_wrong += strstr(said, wanted) == NULL || !is_json(said);
    }
    ok(text_wrong == 0, "text: 64 control characters become a question mark");
    ok(json_wrong == 0, "JSON: they become a code");
}

/* Lines of all sizes, of bytes that grow: what is there is always whole. */
static void
cuts(void)
{
    static const char *const units[] = {
        "x", "\"", "\\", "\x01", "\xFF", "\xE2\x98\xBA", "\xC2\x9B"};
    char detail[LMI_DETAIL_SIZE];
    unsigned count = 0, wrong = 0, too_long = 0;

    for (size_t u = 0; u < sizeof units / sizeof units[0]; u++) {
        size_t len = strlen(units[u]);
        detail[0] = '\0';
        for (size_t used = 0; used + len < sizeof detail; used += len) {
            struct lmi_event event = {.name = "LOGIN",
                                      .service = LMI_CPANEL,
                                      .reason = "invalid",
                                      .detail = detail};
            size_t size = 200 + 37 * count++ % 1800;
            memcpy(detail + used, units[u], len + 1);
            wrong += !is_json(line_of(&event, LMI_LOG_JSON, size));
            too_long += strlen(line) >= size;
            line_of(&event, LMI_LOG_TEXT, size);
            too_long += strlen(line) >= size;
        }
    }
    ok(wrong == 0, "%u lines of JSON are whole, however they are cut", count);
    ok(too_long == 0, "none is longer than its memory");
    ok(!is_json("{\"a\":\"b}") && !is_json("{\"a\":\"\x01\"}") &&
           !is_json("{\"a\":\"\\u12\"}") && is_json("{\"a\":\"\\u0012\"}"),
       "control: what is not would be seen");
}

int
main(void)
{
    struct lmi_event event = {.name = "LOGIN",
                              .service = LMI_WHM,
                              .address = "192.0.2.7",
                              .reason = "invalid",
                              .has_caller = true,
                              .caller_uid = 33,
                              .detail = "the \"password\" is wrong"};

    ok(strcmp(line_of(&event, LMI_LOG_TEXT, sizeof line),
              "info [whostmgrd] 192.0.2.7 - - \"login by uid 33\" FAILED LOGIN "
              "whostmgrd: the \"password\" is wrong") == 0,
       "a refused login");
    ok(strcmp(line_of(&event, LMI_LOG_JSON, sizeof line),
              JSON("\"info\",\"event\":\"login\",\"service\":\"whm\","
                   "\"address\":\"192.0.2.7\",\"caller_uid\":33,"
                   "\"outcome\":\"failed\",\"reason\":\"invalid\","
                   "\"detail\":\"the \\\"password\\\" is wrong\"}")) == 0,
       "... in JSON");
    event = (struct lmi_event){.name = "PURGE",
                               .service = LMI_WEBMAIL,
                               .user = "a@b.example",
                               .session = "0123456789abcdef",
                               .detail = "logout"};
    ok(strcmp(line_of(&event, LMI_LOG_TEXT, sizeof line),
              "info [webmaild] - PURGE a@b.example:0123456789abcdef logout") ==
           0,
       "the end of a session");
    ok(strcmp(line_of(&event, LMI_LOG_JSON, sizeof line),
              JSON("\"info\",\"event\":\"purge\",\"service\":\"webmail\","
                   "\"user\":\"a@b.example\",\"session\":\"0123456789abcdef\","
                   "\"detail\":\"logout\"}")) == 0,
       "... in JSON");
    event = (struct lmi_event){.name = "FAULT", .alert = true, .detail = "x"};
    ok(strcmp(line_of(&event, LMI_LOG_JSON, sizeof line),
              JSON("\"error\",\"event\":\"fault\",\"detail\":\"x\"}")) == 0,
       "a fault in JSON");
    ok(strcmp(detail_as(LMI_LOG_TEXT, "\xC3\xA9 \xE2\x98\xBA"),
              "info FAULT \xC3\xA9 \xE2\x98\xBA") == 0 &&
           strstr(detail_as(LMI_LOG_JSON, "\xC3\xA9 \xE2\x98\xBA"),
                  "\"\xC3\xA9 \xE2\x98\xBA\"") != NULL,
       "letters of other scripts stay");
    ok(strstr(detail_as(LMI_LOG_JSON, "\xE9"), "\"\\ufffd\"") != NULL,
       "JSON: what is no UTF-8 is replaced");
    controls();
    cuts();
    return done();
}
