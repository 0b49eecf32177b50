/*
 * Names that do not exist: no password logs them in. LMI_GUESSES says how many
 * are tried, 1,000 by default.
 */
#include "accounts/password.h"
#include "login/login.h"
#include "scratch.h"

static struct lmi_err err;
static struct lmi *lmi;
static struct lmi_login_answer answer;

static bool
log_in(const char *user, struct lmi_text pass)
{
    const struct lmi_login ask = {.user = text_of(user),
                                  .pass = pass,
                                  .hostname = text_of("localhost"),
                                  .service = text_of("cpanel")};

    lmi_login(lmi, &ask, &answer);
    return answer.reason == LMI_REASON_OK;
}

/* Any bytes but NUL, of any length. */
static struct lmi_text
draw_password(struct lmi_crypto *crypto, char out[LMI_PASS_MAX + 1])
{
    unsigned char random[40];
    size_t len = 0;

    if (lmi_random(crypto, random, sizeof random, &err) != LMI_OK)
        printf("Bail out! no random bytes\n");
    for (size_t i = 1; i <= 1u + random[0] % 39; i++)
        out[len++] = (char)(1 + random[i] % 127);
    out[len] = '\0';
    return (struct lmi_text){LMI_TEXT_LATIN1, out, len};
}

/* The verdict without its "and found": it must be seen to be wrong. */
static bool
verdict_without_found(const char *hash, const char *pass)
{
    struct lmi_bytes bytes = {pass, strlen(pass)};
    bool match = false;

    return lmi_password_verify(bytes, hash, LMI_CEILING_SITE, hash, &match,
                               &err) == LMI_OK &&
           match;
}

int
main(void)
{
    const char *wanted = getenv("LMI_GUESSES");
    unsigned guesses = wanted != NULL ? (unsigned)atoi(wanted) : 1000;
    struct lmi_crypto *crypto = crypto_make();
    unsigned granted = 0, invalid = 0;
    char hash[LMI_HASH_SIZE], pass[LMI_PASS_MAX + 1], user[32];

    lmi = lmi_make();
    scratch_make();
    if (lmi_hash_password(lmi, text_of("dummy"), "$1$", 0, hash, &err) !=
        LMI_OK)
        printf("Bail out! no hash\n");
    scratch_site(hash);
    scratch_settings(1700000000);
    for (unsigned i = 0; i < guesses; i++) {
        snprintf(user, sizeof user, "nobody%u", i);
        granted += log_in(user, i % 10 == 0 ? text_of("dummy")
                                            : draw_password(crypto, pass));
        invalid += answer.reason == LMI_REASON_INVALID;
    }
    ok(granted == 0 && invalid == guesses,
       "%u passwords, %u of them refused as invalid", guesses, invalid);
    printf("# 14: %u passwords for names that do not exist, %u succeed\n",
           guesses, granted);
    ok(verdict_without_found(hash, "dummy"),
       "control: the hash that the decoy is like would match");
    ok(log_in("alice", text_of("dummy")), "control: a name that exists does");
    lmi_crypto_free(crypto);
    lmi_free(lmi);
    return done();
}
