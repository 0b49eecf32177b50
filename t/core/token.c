/*
 * Tokens, tickets and cookies: how they are drawn and read. LMI_DRAWS says how
 * many tickets, 100,000 by default.
 */
#include <stdlib.h>

#include "scratch.h"
#include "sessions/token.h"

#define DRAWS 100000

static struct lmi_err err;
static size_t draws = DRAWS;

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "abcdefghijklmnopqrstuvwxyz0123456789-_";

/* 63 degrees of freedom: p is 0.999 and 0.001 there. */
#define CHI_LEAST 33.9
#define CHI_MOST 103.4

static struct lmi_text
bytes_of(const char *ptr, size_t len)
{
    return (struct lmi_text){LMI_TEXT_LATIN1, ptr, len};
}

/* The first sixty bits of a ticket: enough to tell ten million apart. */
static uint64_t
start_of(const char *ticket)
{
    uint64_t start = 0;

    for (size_t i = 4; i < 14; i++)
        start = start << 6 | (uint64_t)(strchr(alphabet, ticket[i]) - alphabet);
    return start;
}

static int
compare(const void *a, const void *b)
{
    uint64_t one, other;

    memcpy(&one, a, sizeof one);
    memcpy(&other, b, sizeof other);
    return (one > other) - (one < other);
}

static size_t
doubles(uint64_t *drawn)
{
    size_t twice = 0;

    qsort(drawn, draws, sizeof *drawn, compare);
    for (size_t i = 1; i < draws; i++)
        twice += drawn[i - 1] == drawn[i];
    return twice;
}

/* How uneven are the characters? The last one holds four bits only. */
static double
unevenness(const size_t counts[64])
{
    double mean = (double)draws * (LMI_SECRET_CHARS - 1) / 64, sum = 0;

    for (size_t i = 0; i < 64; i++)
        sum += ((double)counts[i] - mean) * ((double)counts[i] - mean) / mean;
    return sum;
}

static size_t
draw_tickets(struct lmi_crypto *crypto, uint64_t *drawn, size_t counts[64])
{
    char ticket[LMI_TICKET_SIZE], copy[LMI_TICKET_SIZE];
    size_t bad = 0;

    memset(counts, 0, 64 * sizeof *counts);
    for (size_t i = 0; i < draws; i++) {
        struct lmi_text text = bytes_of(ticket, LMI_TICKET_SIZE - 1);
        if (lmi_ticket_draw(crypto, ticket, &err) != LMI_OK ||
            !lmi_ticket_parse(text, copy) || strcmp(copy, ticket) != 0) {
            bad++;
            continue;
        }
        drawn[i] = start_of(ticket);
        for (size_t j = 4; j < LMI_TICKET_SIZE - 2; j++)
            counts[strchr(alphabet, ticket[j]) - alphabet]++;
    }
    return bad;
}

static bool
is_even(double sum)
{
    return sum > CHI_LEAST && sum < CHI_MOST;
}

static void
tickets(struct lmi_crypto *crypto)
{
    uint64_t *drawn = calloc(draws, sizeof *drawn);
    size_t counts[64], bad, twice;
    double sum;

    if (drawn == NULL)
        return;
    /* One in five hundred good generators is unlucky; not twice in a row. */
    for (unsigned try = 0; try < 2; try++) {
        bad = draw_tickets(crypto, drawn, counts);
        sum = unevenness(counts);
        if (is_even(sum))
            break;
    }
    twice = doubles(drawn);
    ok(bad == 0, "each of %zu tickets is read as one", draws);
    ok(twice == 0, "and none is drawn twice");
    ok(is_even(sum), "their characters are even (%.0f)", sum);
    printf("# 2: %zu ids, %zu twice, p of chi-squared between 0.001 and "
           "0.999\n",
           draws, twice);
    drawn[1] = drawn[0];
    ok(doubles(drawn) == 1, "control: a double one is seen");
    counts[0] += counts[1] / 20;
    counts[1] -= counts[1] / 20;
    ok(!is_even(unevenness(counts)), "control: and uneven characters are");
    free(drawn);
}

static double
chi_square(struct lmi_crypto *crypto, bool crooked)
{
    unsigned counts[LMI_TOKEN_DIGITS][10] = {{0}};
    char digits[LMI_TOKEN_DIGITS];
    double sum = 0;

    for (size_t i = 0; i < DRAWS; i++) {
        if (lmi_token_draw(crypto, digits, &err) != LMI_OK)
            return 1e9;
        if (crooked && i % 50 == 0)
            memset(digits, '0', sizeof digits);
        for (size_t j = 0; j < LMI_TOKEN_DIGITS; j++)
            if (!lmi_is_digit(digits[j]))
                return 1e9;
            else
                counts[j][digits[j] - '0']++;
    }
    for (size_t j = 0; j < LMI_TOKEN_DIGITS; j++)
        for (size_t k = 0; k < 10; k++) {
            double off = counts[j][k] - DRAWS / 10.0;
            sum += off * off / (DRAWS / 10.0);
        }
    return sum;
}

/* 90 degrees of freedom: mean 90, deviation 13.4; seven of them each way. */
static void
digits_are_even(struct lmi_crypto *crypto)
{
    double sum = chi_square(crypto, false);

    ok(sum > 20 && sum < 184, "digits in all ten places are even (%.0f)", sum);
    sum = chi_square(crypto, true);
    ok(sum >= 184, "control: two per cent of zeros would show (%.0f)", sum);
}

static bool
is_token(const char *in, size_t len)
{
    struct lmi_text text = bytes_of(in, len);
    char digits[LMI_TOKEN_DIGITS];

    return lmi_token_parse(text, digits);
}

static void
token_shapes(void)
{
    static const char *const bad[] = {
        "",
        "/",
        "cpsess",
        "/cpsess",
        "/cpsess123456789",
        "/cpsess12345678901",
        "//cpsess1234567890",
        "/cpsess123456789a",
        "/cpsess12345 7890",
        "/CPSESS1234567890",
        "/cpsess+123456789",
        "/cpsess1234567890/",
        " /cpsess1234567890",
        "/cpsess1234567890\n",
        "1234567890",
    };
    struct lmi_text none = {LMI_TEXT_ABSENT, NULL, 0};
    struct lmi_text reference = {LMI_TEXT_NOT_A_STRING, NULL, 0};
    char digits[LMI_TOKEN_DIGITS], out[LMI_TOKEN_SIZE];

    ok(is_token("/cpsess0123456789", 17), "a token with its slash");
    ok(is_token("cpsess0123456789", 16), "a token without it");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ok(!is_token(bad[i], strlen(bad[i])), "no token: bad one %zu", i);
    ok(!is_token("/cpsess012345678\0", 17), "no token: one with a NUL");
    ok(!lmi_token_parse(none, digits) && !lmi_token_parse(reference, digits),
       "no token: nothing, and a reference");
    lmi_token_format("0123456789", out);
    ok(strcmp(out, "/cpsess0123456789") == 0, "a token is written with slash");
}

/* In each place many characters come up: the last has four bits only. */
static void
every_place(struct lmi_crypto *crypto)
{
    char ticket[LMI_TICKET_SIZE];
    bool seen[LMI_SECRET_CHARS][256] = {{false}};
    unsigned constant = 0;

    for (int i = 0; i < 200; i++)
        if (lmi_ticket_draw(crypto, ticket, &err) == LMI_OK)
            for (size_t j = 0; j < LMI_SECRET_CHARS; j++)
                seen[j][(unsigned char)ticket[4 + j]] = true;
    for (size_t j = 0; j < LMI_SECRET_CHARS; j++) {
        unsigned characters = 0;
        for (size_t k = 0; k < 256; k++)
            characters += seen[j][k];
        constant += characters < 10;
    }
    ok(constant == 0, "each character of a ticket is random");
}

static void
every_digit(void)
{
    char token[LMI_TOKEN_SIZE];
    unsigned wrong = 0;

    lmi_token_format("0123456789", token);
    ok(lmi_token_is(bytes_of(token, 17), "0123456789"), "a token is itself");
    for (size_t i = 7; i < 17; i++) {
        token[i] ^= 1; /* another digit */
        wrong += lmi_token_is(bytes_of(token, 17), "0123456789");
        token[i] ^= 1;
    }
    ok(wrong == 0, "and no other, whichever digit differs");
}

#define SECRET "0123456789-_ABCDEFGHIJKLMNOPQRSTUVWXYZabcde"

static bool
cookie_is(const char *in, size_t len, const char *user)
{
    struct lmi_text text = bytes_of(in, len);
    char user_out[LMI_USER_MAX + 1], secret[LMI_SECRET_CHARS + 1];

    return lmi_cookie_parse(text, user_out, secret) &&
           strcmp(user_out, user) == 0 && strcmp(secret, SECRET) == 0;
}

#define COOKIE(text, user) cookie_is(text, sizeof(text) - 1, user)

static void
cookie_shapes(struct lmi_crypto *crypto)
{
    char longest[LMI_USER_MAX + 1], cookie[LMI_COOKIE_SIZE];
    char user[LMI_USER_MAX + 1], secret[LMI_SECRET_CHARS + 1], again[64];

    ok(COOKIE("al%3a" SECRET, "al") && COOKIE("al%3A" SECRET, "al") &&
           COOKIE("al:" SECRET, "al"),
       "a cookie's colon comes as %%3a, %%3A or itself");
    ok(COOKIE("i%40a.example%3a" SECRET, "i@a.example"),
       "a mailbox's @ comes encoded");
    ok(COOKIE("al%3a%30"
              "123456789-_ABCDEFGHIJKLMNOPQRSTUVWXYZabcde",
              "al"),
       "the whole cookie is decoded, once");
    ok(!COOKIE("al%253a" SECRET, "al"), "and not twice");
    ok(!COOKIE("%3a" SECRET, "") && !COOKIE(SECRET, "") && !COOKIE("", ""),
       "a cookie without a user is none");
    ok(!COOKIE("al%3a" SECRET "x", "al") && !COOKIE("al%3alm_" SECRET, "al") &&
           !COOKIE("al%3a", "al") && !COOKIE("al%3a%3a" SECRET, "al") &&
           !COOKIE("al%3a" SECRET "%00", "al"),
       "a secret of another length is none");
    ok(!COOKIE("al%00%3a" SECRET, "al"), "a NUL in the user is refused");
    memset(longest, '@', LMI_USER_MAX);
    longest[LMI_USER_MAX] = '\0';
    ok(lmi_cookie_draw(crypto, longest, cookie, again, &err) == LMI_OK,
       "a cookie for the longest name is drawn");
    struct lmi_text text = bytes_of(cookie, strlen(cookie));
    ok(text.len == LMI_COOKIE_SIZE - 1 &&
           lmi_cookie_parse(text, user, secret) && strcmp(user, longest) == 0 &&
           strcmp(secret, again) == 0,
       "and read again");
    text.len++;
    ok(!lmi_cookie_parse(text, user, secret), "one byte more is no cookie");
}

int
main(void)
{
    const char *wanted = getenv("LMI_DRAWS");
    struct lmi_crypto *crypto = crypto_make();

    if (wanted != NULL)
        draws = (size_t)atol(wanted);
    tickets(crypto);
    digits_are_even(crypto);
    token_shapes();
    every_place(crypto);
    every_digit();
    cookie_shapes(crypto);
    lmi_crypto_free(crypto);
    return done();
}
