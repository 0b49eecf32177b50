/* Which bytes a caller's string means. */
#include "tap.h"
#include "base/text.h"

static bool
means(enum lmi_text_kind kind, const char *in, const char *wanted)
{
    struct lmi_text text = {kind, in, strlen(in)};
    char out[64];
    size_t len = lmi_text_bytes(text, out, sizeof out);

    return len == strlen(wanted) && memcmp(out, wanted, len) == 0;
}

static size_t
length(enum lmi_text_kind kind, const char *in, size_t size)
{
    struct lmi_text text = {kind, in, strlen(in)};
    char out[64];

    return lmi_text_bytes(text, out, size);
}

int
main(void)
{
    ok(means(LMI_TEXT_LATIN1, "abc", "abc"), "ASCII stays");
    ok(means(LMI_TEXT_LATIN1, "\xC3\xA9", "\xC3\xA9"), "UTF-8 bytes stay");
    ok(means(LMI_TEXT_LATIN1, "\xE9", "\xC3\xA9"), "Latin-1 is encoded");
    ok(means(LMI_TEXT_UTF8, "\xC3\xA9", "\xC3\xA9"), "a flagged e-acute");
    ok(means(LMI_TEXT_UTF8, "\xC3\x83\xC2\xA9", "\xC3\xA9"),
       "flagged characters that are UTF-8 bytes count as these");
    ok(means(LMI_TEXT_UTF8, "\xE2\x82\xAC", "\xE2\x82\xAC"), "a euro sign");
    ok(means(LMI_TEXT_UTF8, "\xE2\x82\xAC\xC3\x83\xC2\xA9",
             "\xE2\x82\xAC\xC3\x83\xC2\xA9"),
       "one wide character decides for the whole string");
    ok(means(LMI_TEXT_LATIN1, "\xC0\x80", "\xC3\x80\xC2\x80"),
       "an overlong form is no UTF-8");
    ok(means(LMI_TEXT_LATIN1, "\xED\xA0\x80", "\xC3\xAD\xC2\xA0\xC2\x80"),
       "a surrogate is no UTF-8");
    ok(length(LMI_TEXT_LATIN1, "abcd", 4) == 4, "what fits, fits");
    ok(length(LMI_TEXT_LATIN1, "abcde", 4) == 5, "what doesn't, is told");
    ok(length(LMI_TEXT_LATIN1, "\xE9\xE9\xE9", 4) == 5,
       "what doesn't fit once encoded, is told");
    ok(length(LMI_TEXT_UTF8, "\xC3\x83\xC2\xA9\xC3\x83\xC2\xA9", 4) == 4,
       "what fits once narrowed, fits");
    ok(!lmi_utf8_valid("\xF4\x90\x80\x80", 4), "beyond U+10FFFF");
    ok(!lmi_utf8_valid("\xE2\x82", 2), "cut short");
    return done();
}
