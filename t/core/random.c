/*
 * When OpenSSL gives no random bytes, nothing is issued. This program's own
 * generator stands before OpenSSL's.
 */
#include <dlfcn.h>
#include <openssl/rand.h>

#include "accounts/password.h"
#include "scratch.h"
#include "sessions/keys.h"
#include "sessions/token.h"

static struct lmi_err err;
static bool broken;
static int draws;

#if OPENSSL_VERSION_NUMBER >= 0x30000000L
int
RAND_priv_bytes_ex(OSSL_LIB_CTX *context, unsigned char *out, size_t len,
                   unsigned strength)
{
    int (*real)(OSSL_LIB_CTX *, unsigned char *, size_t, unsigned);
    void *found = dlsym(RTLD_NEXT, "RAND_priv_bytes_ex");

    memcpy(&real, &found, sizeof real);
    draws++;
    memset(out, 'R', len); /* what a failing generator may leave behind */
    return broken ? 0 : real(context, out, len, strength);
}
#else
int
RAND_priv_bytes(unsigned char *out, int len)
{
    int (*real)(unsigned char *, int);
    void *found = dlsym(RTLD_NEXT, "RAND_priv_bytes");

    memcpy(&real, &found, sizeof real);
    draws++;
    memset(out, 'R', (size_t)len);
    return broken ? 0 : real(out, len);
}
#endif

/* What was issued, as a count of how many of the five calls succeeded. */
static int
issue(struct lmi_crypto *crypto)
{
    char digits[LMI_TOKEN_DIGITS], ticket[LMI_TICKET_SIZE];
    char cookie[LMI_COOKIE_SIZE], secret[LMI_SECRET_CHARS + 1];
    char hash[LMI_HASH_SIZE];
    struct lmi_text pass = {LMI_TEXT_LATIN1, "pass", 4};

    return (lmi_token_draw(crypto, digits, &err) == LMI_OK) +
           (lmi_ticket_draw(crypto, ticket, &err) == LMI_OK) +
           (lmi_cookie_draw(crypto, "alice", cookie, secret, &err) == LMI_OK) +
           (lmi_password_hash(crypto, pass, "$1$", 0, LMI_CEILING_NONE, hash,
                              &err) == LMI_OK) +
           (lmi_keys_make(crypto, scratch_path("key"), &err) == LMI_OK);
}

int
main(void)
{
    struct lmi_crypto *crypto = crypto_make();
    struct lmi *other = NULL;
    unsigned char bytes[64], zeros[64] = {0};
    int before, issued;

    scratch_make();
    ok(issue(crypto) == 5, "control: with a generator all is issued");
    remove(scratch_path("key"));
    broken = true;
    before = draws;
    issued = issue(crypto);
    ok(issued == 0 && err.code == LMI_CRYPTO, "without one, nothing");
    printf("# 2: 5 kinds of secret without random bytes, %d issued\n", issued);
    ok(draws - before == 5, "control: each was refused by the generator");
    ok(access(scratch_path("key"), F_OK) != 0, "no key is left");
    memset(bytes, 'x', sizeof bytes);
    ok(lmi_random(crypto, bytes, sizeof bytes, &err) == LMI_CRYPTO &&
           memcmp(bytes, zeros, sizeof bytes) == 0,
       "and nothing that looks like random bytes");
    ok(lmi_new(NULL, &other, &err) == LMI_CRYPTO && other == NULL,
       "a new handle is refused at once");
    broken = false;
    ok(issue(crypto) == 5, "when the generator works again, so does all else");
    lmi_crypto_free(crypto);
    return done();
}
