/*
 * Which hashes are let near crypt(), and what matches. This program's own
 * crypt_rn() stands before libcrypt's, and counts.
 */
#include <crypt.h>
#include <dlfcn.h>

#include "accounts/password.h"
#include "login/request.h"
#include "scratch.h"

#define DECOY "$5$rounds=1000$................"

static struct lmi_err err;
static unsigned computed;
static const char *last_setting = "";
static bool setting_is_decoy;

char *
crypt_rn(const char *phrase, const char *setting, void *data, int size)
{
    char *(*real)(const char *, const char *, void *, int);
    void *found = dlsym(RTLD_NEXT, "crypt_rn");

    memcpy(&real, &found, sizeof real);
    computed++;
    last_setting = setting;
    setting_is_decoy = strcmp(setting, DECOY) == 0;
    return real(phrase, setting, data, size);
}

static bool
matches_at(enum lmi_ceiling ceiling, const char *pass, const char *hash)
{
    bool match = true;
    unsigned before = computed;
    struct lmi_bytes bytes = {pass, strlen(pass)};

    if (lmi_password_verify(bytes, hash, ceiling, DECOY, &match, &err) !=
        LMI_OK)
        return false;
    if (computed != before + 1)
        ok(false, "exactly one hash is computed, not %u", computed - before);
    return match;
}

static bool
matches(const char *pass, const char *hash)
{
    return matches_at(LMI_CEILING_SITE, pass, hash);
}

static bool
make_hash(struct lmi_crypto *crypto, const char *prefix, unsigned long count,
          const char *pass, char out[LMI_HASH_SIZE])
{
    struct lmi_text text = {LMI_TEXT_LATIN1, pass, strlen(pass)};

    return lmi_password_hash(crypto, text, prefix, count, LMI_CEILING_NONE, out,
                             &err) == LMI_OK;
}

/* Slow schemes are tried at every so manieth place only. */
static const struct scheme {
    const char *prefix;
    unsigned long count;
    unsigned stride;
} schemes[] = {{"$1$", 0, 1},  {"$5$", 1000, 1}, {"$6$", 1000, 1},
               {"$2a$", 4, 1}, {"$2b$", 4, 1},   {"$2y$", 4, 1},
               {"$y$", 1, 4},  {"$gy$", 1, 4},   {"$7$", 6, 24}};

/* Another character of base 64 in the place of this one. */
static char
another(char c)
{
    return c == '.' ? '/' : '.';
}

static void
mutations(struct lmi_crypto *crypto, const struct scheme *scheme)
{
    char hash[LMI_HASH_SIZE], other[LMI_HASH_SIZE + 2];
    size_t changed = 0, cut = 0, inserted = 0, len;

    if (!ok(make_hash(crypto, scheme->prefix, scheme->count, "right one", hash),
            "%s", scheme->prefix))
        return;
    len = strlen(hash);
    ok(matches("right one", hash) && !setting_is_decoy, "its password");
    ok(!matches("right on", hash) && !matches("right onex", hash) &&
           !matches("", hash) && !matches("Right one", hash),
       "no other");
    for (size_t i = 0; i < len; i += scheme->stride) {
        strcpy(other, hash);
        other[i] = another(hash[i]);
        changed += matches("right one", other);
        strcpy(other, hash);
        other[i] = '\0';
        cut += matches("right one", other);
        memcpy(other, hash, i);
        other[i] = '.';
        strcpy(other + i + 1, hash + i);
        inserted += matches("right one", other);
    }
    ok(changed == 0, "no changed hash matches");
    ok(cut == 0, "no shorter one");
    ok(inserted == 0, "no longer one");
}

/* A setting without its hash, as a copy of the output of a broken crypt(). */
static void
not_hashes(void)
{
    static const char *const bad[] = {
        "",
        "*",
        "*0",
        "*1",
        "!",
        "!!",
        "x",
        "$",
        "$$",
        "$6$",
        "$6$salt",
        "$6$salt$",
        "$6$$",
        "$1$salt$",
        "$5$rounds=5000$salt$",
        "$2b$04$",
        "$2b$04$......................",
        "$y$j9T$",
        "$y$j9T$salt$",
        "$7$",
        "ab0123456789.",        /* DES */
        "_J9..CCCCXBrJUJV154M", /* BSDi */
        "$3$$8846f7eaee8fb117ad06bdd830b7586c",
        "$md5$rounds=904$salt$$1234567890123456789012",
        "$sha1$1000$salt$1234567890123456789012345678",
        "$2x$04$......................8HDdBwJSR7uGYGmfVrJ0GXTqkg1DPJi",
        DECOY,
    };
    size_t wrong = 0;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bool good = lmi_password_hash_ok(bad[i], LMI_CEILING_SITE, 6);
        wrong += good || matches("", bad[i]) || matches("password", bad[i]) ||
                 matches(bad[i], bad[i]) || !setting_is_decoy;
        if (good)
            printf("# taken for a hash: %s\n", bad[i]);
    }
    ok(wrong == 0,
       "of %zu things that are no hashes none matches, and for "
       "each the decoy is computed",
       sizeof bad / sizeof *bad);
}

/* The dummy's own password must not open anything (and does exist here). */
static void
decoys(struct lmi_crypto *crypto)
{
    char hash[LMI_HASH_SIZE];
    struct lmi_bytes pass = {"dummy", 5};
    bool match = true;

    make_hash(crypto, "$5$", 1000, "dummy", hash);
    ok(matches("dummy", hash), "control: the hash of a password");
    ok(lmi_password_verify(pass, "", LMI_CEILING_SITE, hash, &match, &err) ==
               LMI_OK &&
           !match,
       "as a decoy, it matches nothing");
    match = true;
    ok(lmi_password_verify(pass, "", LMI_CEILING_SITE, "$6$rounds=999999999$x",
                           &match, &err) == LMI_OK &&
           !match && strncmp(last_setting, "$y$j9T$", 7) == 0,
       "a decoy that costs too much is replaced");
}

#define CHARS43 "..........................................."
#define CHARS86 CHARS43 CHARS43
#define CHARS53 CHARS43 ".........."

static void
ceilings(void)
{
    static const struct {
        const char *hash;
        bool at_site, at_home;
    } cases[] = {
        {"$6$rounds=125000$salt$" CHARS86, true, true},
        {"$6$rounds=125001$salt$" CHARS86, true, false},
        {"$5$rounds=500000$salt$" CHARS43, true, false},
        {"$5$rounds=500001$salt$" CHARS43, false, false},
        {"$6$rounds=999999999$salt$" CHARS86, false, false},
        {"$6$rounds=18446744073709551617$salt$" CHARS86, false, false},
        {"$6$rounds=999$salt$" CHARS86, false, false},
        {"$6$rounds=05000$salt$" CHARS86, false, false},
        {"$6$rounds=-1$salt$" CHARS86, false, false},
        {"$6$rounds=$salt$" CHARS86, false, false},
        {"$2b$12$" CHARS53, true, true},
        {"$2b$13$" CHARS53, true, false},
        {"$2b$14$" CHARS53, true, false},
        {"$2b$15$" CHARS53, false, false},
        {"$2b$31$" CHARS53, false, false},
        {"$2b$99$" CHARS53, false, false},
        {"$2b$03$" CHARS53, false, false},
        {"$y$j9T$salt$" CHARS43, true, true},   /* 16 MiB */
        {"$y$jAT$salt$" CHARS43, true, false},  /* 32 MiB */
        {"$y$jBT$salt$" CHARS43, true, false},  /* 64 MiB */
        {"$y$jCT$salt$" CHARS43, false, false}, /* 128 MiB */
        {"$y$jzT$salt$" CHARS43, false, false},
        {"$y$jzzzzz$salt$" CHARS43, false, false},
        {"$gy$jCT$salt$" CHARS43, false, false},
        {"$7$C6..../....salt$" CHARS43, true, true},   /* 16 MiB */
        {"$7$E6..../....salt$" CHARS43, true, false},  /* 64 MiB */
        {"$7$F6..../....salt$" CHARS43, false, false}, /* 128 MiB */
        {"$7$zzzzzzzzzzzsalt$" CHARS43, false, false},
        {"$7$C..../....salt$" CHARS43, false, false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ok(lmi_password_hash_ok(cases[i].hash, LMI_CEILING_SITE, 6) ==
                   cases[i].at_site &&
               lmi_password_hash_ok(cases[i].hash, LMI_CEILING_HOME, 6) ==
                   cases[i].at_home,
           "%.24s: %s at the site, %s below a home", cases[i].hash,
           cases[i].at_site ? "yes" : "no", cases[i].at_home ? "yes" : "no");
    const char *longer = "$6$rounds=250001$salt$" CHARS86;
    ok(lmi_password_hash_ok(longer, LMI_CEILING_SITE, 63) &&
           !lmi_password_hash_ok(longer, LMI_CEILING_SITE, 64) &&
           !lmi_password_hash_ok("$5$rounds=500000$salt$" CHARS43,
                                 LMI_CEILING_SITE, LMI_PASS_MAX),
       "a long password makes each round of SHA-crypt cost more");
    ok(!matches("x", cases[4].hash) && setting_is_decoy,
       "what costs too much is never computed");
    ok(!matches_at(LMI_CEILING_HOME, "x", cases[1].hash) && setting_is_decoy,
       "below a home, a quarter of it is too much");
}

/* Any number that costs too much is seen before it is computed. */
static void
many_costly(void)
{
    char hash[LMI_HASH_SIZE];
    unsigned before = computed;
    size_t accepted = 0, total = 0;

    for (unsigned long rounds = 500001; rounds < 4000000000; rounds *= 2) {
        for (unsigned more = 0; more < 37; more++, total++) {
            snprintf(hash, sizeof hash, "$6$rounds=%lu$salt$" CHARS86,
                     rounds + more * 997);
            accepted += lmi_password_hash_ok(hash, LMI_CEILING_SITE, 6);
        }
    }
    for (unsigned cost = 15; cost < 100; cost++, total++) {
        snprintf(hash, sizeof hash, "$2b$%02u$" CHARS53, cost);
        accepted += lmi_password_hash_ok(hash, LMI_CEILING_SITE, 6);
    }
    ok(total > 500 && accepted == 0 && computed == before,
       "of %zu costly settings none is accepted, and none computed", total);
    printf("# 18: %zu costly settings, %zu accepted, %u computed\n", total,
           accepted, computed - before);
}

static void
long_passwords(struct lmi_crypto *crypto)
{
    char pass[LMI_PASS_MAX + 1], hash[LMI_HASH_SIZE];
    struct lmi_bytes bytes = {pass, 73};
    bool match = true;

    memset(pass, 'p', sizeof pass);
    pass[72] = '\0';
    ok(make_hash(crypto, "$2b$", 4, pass, hash) && matches(pass, hash),
       "bcrypt: 72 bytes");
    pass[72] = 'p';
    ok(lmi_password_verify(bytes, hash, LMI_CEILING_SITE, DECOY, &match,
                           &err) == LMI_OK &&
           !match && setting_is_decoy,
       "bcrypt: 73 bytes never match");
    match = true;
    ok(lmi_password_verify(bytes, hash, LMI_CEILING_SITE, hash, &match, &err) ==
               LMI_OK &&
           !match,
       "not even where the decoy makes the same hash");
    pass[73] = '\0';
    ok(!make_hash(crypto, "$2b$", 4, pass, hash), "and get no hash");
    memset(pass, 'p', LMI_PASS_MAX);
    pass[LMI_PASS_MAX] = '\0';
    ok(make_hash(crypto, "$5$", 1000, pass, hash) && matches(pass, hash),
       "SHA-256: 511 bytes");
    pass[LMI_PASS_MAX - 1] = 'q';
    ok(!matches(pass, hash), "and each of them counts");
}

/* Each scheme at its least cost: what a password's bytes are does not depend
 * on it. */
static const char *const cheapest[] = {
    "$1$salt$",
    "$5$rounds=1000$salt$",
    "$6$rounds=1000$salt$",
    "$2a$04$......................",
    "$2b$04$......................",
    "$2y$04$......................",
    "$y$j/.$salt",
    "$gy$j/.$salt",
    "$7$0/..../....salt",
};

static bool
make_cheapest(const char *setting, const char *pass, char out[LMI_HASH_SIZE])
{
    static struct crypt_data data;
    const char *hash = crypt_rn(pass, setting, &data, (int)sizeof data);

    snprintf(out, LMI_HASH_SIZE, "%s", hash != NULL ? hash : "");
    return lmi_password_hash_ok(out, LMI_CEILING_SITE, strlen(pass));
}

/* Is a login with this password begun at all? */
static bool
is_taken(struct lmi_text pass)
{
    struct lmi_login ask = {.user = text_of("alice"),
                            .pass = pass,
                            .hostname = text_of("localhost"),
                            .service = text_of("cpanel")};
    struct lmi_request *request = NULL;
    const char *complaint;
    bool taken = lmi_request_read(&ask, &request, &complaint, &err) == LMI_OK &&
                 request != NULL;

    lmi_request_free(request);
    return taken;
}

/* Of all bytes in this place, only the right one matches; NUL is refused. */
static unsigned
every_byte_at(const char *hash, size_t place, char right, unsigned *cases)
{
    unsigned wrong = 0;

    for (unsigned byte = 0; byte < 256; byte++, (*cases)++) {
        char other[5] = "abcd", bytes[16];
        bool match = false;
        other[place] = (char)byte;
        struct lmi_text text = {LMI_TEXT_LATIN1, other, 4};
        struct lmi_bytes given = {bytes,
                                  lmi_text_bytes(text, bytes, sizeof bytes)};
        if (is_taken(text) != (byte != 0))
            wrong++;
        if (byte != 0 && (lmi_password_verify(given, hash, LMI_CEILING_SITE,
                                              DECOY, &match, &err) != LMI_OK ||
                          match != (other[place] == right)))
            wrong++;
    }
    return wrong;
}

static void
every_byte(void)
{
    char hash[LMI_HASH_SIZE];
    unsigned wrong = 0, cases = 0;

    for (size_t i = 0; i < sizeof cheapest / sizeof *cheapest; i++) {
        wrong += !make_cheapest(cheapest[i], "abcd", hash);
        for (size_t place = 0; place < 4; place++)
            wrong += every_byte_at(hash, place, "abcd"[place], &cases);
    }
    printf("# 20: %u bytes at a place, %u wrong\n", cases, wrong);
    ok(wrong == 0 && cases == 256 * 4 * 9,
       "bytes are told apart, at each place, by each scheme");
    make_cheapest("$1$salt$", "abcd", hash);
    ok(every_byte_at(hash, 0, 'b', &cases) == 2,
       "control: a wrong byte that matches would be seen");
}

/* A password with something behind it is another one. */
static void
longer_passwords(void)
{
    char hash[LMI_HASH_SIZE], pass[128];
    unsigned wrong = 0, pairs = 0;

    for (unsigned i = 0; i < 1000; i++) {
        struct lmi_bytes bytes = {pass, 0};
        bool match;
        memset(pass, 'p', sizeof pass);
        snprintf(pass, sizeof pass, "%u", i);
        pass[strlen(pass)] = 'p';
        pass[1 + i % 20] = '\0';
        wrong += !make_cheapest("$7$0/..../....salt", pass, hash);
        bytes.len = strlen(pass);
        wrong += !matches(pass, hash);
        for (unsigned more = 1; more <= 100; more++, pairs++) {
            pass[bytes.len++] = (char)(1 + (i + more) % 255);
            match = true;
            wrong += lmi_password_verify(bytes, hash, LMI_CEILING_SITE, DECOY,
                                         &match, &err) != LMI_OK ||
                     match;
        }
    }
    printf("# 20: %u longer passwords, %u wrong\n", pairs, wrong);
    ok(wrong == 0 && pairs == 100000, "a longer password is another one");
}

static enum lmi_reason
guess(struct lmi *lmi)
{
    static struct lmi_login_answer answer;
    const struct lmi_login ask = {.user = text_of("alice"),
                                  .pass = text_of("wrong"),
                                  .hostname = text_of("localhost"),
                                  .service = text_of("cpanel")};

    lmi_login(lmi, &ask, &answer);
    return answer.reason;
}

static void
waits(struct lmi_crypto *crypto)
{
    char hash[LMI_HASH_SIZE];
    struct lmi *lmi = lmi_make();
    unsigned before = computed;

    scratch_make();
    make_hash(crypto, "$5$", 1000, "right one", hash);
    scratch_site(hash);
    scratch_settings(1700000000);
    before = computed;
    while (computed < before + 9 && guess(lmi) == LMI_REASON_INVALID)
        continue;
    before = computed;
    ok(guess(lmi) == LMI_REASON_WAIT && computed == before,
       "inside a wait no hash is computed");
    lmi_free(lmi);
}

int
main(void)
{
    struct lmi_crypto *crypto = crypto_make();

    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        mutations(crypto, &schemes[i]);
    not_hashes();
    decoys(crypto);
    ceilings();
    many_costly();
    long_passwords(crypto);
    every_byte();
    longer_passwords();
    waits(crypto);
    lmi_crypto_free(crypto);
    return done();
}
