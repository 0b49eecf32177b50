/*
 * What is computed for a name that does not exist: one hash of the commonest
 * kind, with a salt of the name's own. This program's crypt_rn() stands before
 * libcrypt's.
 */
#include <crypt.h>
#include <dlfcn.h>

#include "scratch.h"

#define NAMES 1000
#define SITE "$5$rounds=1000$" /* the commonest setting, with 16 characters */
#define MAIL "$1$"             /* in the mailboxes' file, with 8 */
#define CHARS22 "abcdefghijklmnopqrstuv"
#define CHARS43 CHARS22 "abcdefghijklmnopqrstu"

static struct lmi *lmi;
static unsigned computed;
static char setting[LMI_HASH_SIZE]; /* the last one */

char *
crypt_rn(const char *phrase, const char *given, void *data, int size)
{
    char *(*real)(const char *, const char *, void *, int);
    void *found = dlsym(RTLD_NEXT, "crypt_rn");

    memcpy(&real, &found, sizeof real);
    computed++;
    snprintf(setting, sizeof setting, "%s", given);
    return real(phrase, given, data, size);
}

/* A refused login, which computes one hash; false for anything else. */
static bool
refused(const char *user, const char *service)
{
    static struct lmi_login_answer answer;
    const struct lmi_login ask = {.user = text_of(user),
                                  .pass = text_of("secret"),
                                  .hostname = text_of("localhost"),
                                  .service = text_of(service)};
    unsigned before = computed;

    lmi_login(lmi, &ask, &answer);
    return answer.reason == LMI_REASON_INVALID && computed == before + 1;
}

/* Is the last setting of this kind, and its salt so long and not of dots? */
static bool
is_like(const char *prefix, size_t salt_len)
{
    size_t len = strlen(prefix);

    return strncmp(setting, prefix, len) == 0 &&
           strcspn(setting + len, "$") == salt_len &&
           strspn(setting + len, ".") < salt_len;
}

static void
make_site(void)
{
    unsigned uid = geteuid() >= 1000 ? geteuid() : 1001;
    const char *const folders[] = {"etc", "home", "home/alice",
                                   "home/alice/etc",
                                   "home/alice/etc/alice.example"};

    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        mkdir(scratch_path(folders[i]), 0755);
    scratch_write("etc/shells", "/bin/sh\n");
    scratch_write("etc/userdomains", "alice.example: alice\n");
    scratch_write("etc/passwd", "alice:x:%u:%u::/home/alice:/bin/sh\n", uid,
                  uid);
    scratch_write("etc/shadow",
                  "alice:" SITE "abcdefghijklmnop$" CHARS43 ":19000::::::\n"
                  "carol:" SITE "ponmlkjihgfedcba$" CHARS43 ":19000::::::\n"
                  "david:" MAIL "saltsalt$" CHARS22 ":19000::::::\n");
    scratch_write("home/alice/etc/alice.example/shadow",
                  "info:" MAIL "saltsalt$" CHARS22 ":19000::::::\n");
}

/* Of so many unknown names: how many have another decoy than is asked for? */
static unsigned
odd_decoys(const char *domain, const char *prefix, size_t salt_len,
           const char *service)
{
    char user[64], first[sizeof setting], last[sizeof setting] = "";
    unsigned odd = 0;

    for (unsigned i = 0; i < NAMES; i++) {
        snprintf(user, sizeof user, "nobody%u%s", i, domain);
        odd += !refused(user, service) || !is_like(prefix, salt_len) ||
               strcmp(setting, last) == 0;
        memcpy(first, setting, sizeof first);
        odd += !refused(user, service) || strcmp(setting, first) != 0;
        memcpy(last, setting, sizeof last);
    }
    return odd;
}

int
main(void)
{
    char first[sizeof setting];
    unsigned odd;

    scratch_make();
    make_site();
    scratch_settings(1700000000);
    lmi = lmi_make();
    ok(refused("alice", "cpanel") && strstr(setting, "abcdefghijklmnop$"),
       "control: a known name's own hash");
    odd = odd_decoys("", SITE, 16, "cpanel");
    ok(odd == 0, "unknown names: the commonest setting, a salt for each name");
    printf("# 12: %u unknown names, %u without a decoy of the commonest "
           "setting and a salt of its own\n",
           NAMES, odd);
    ok(refused("info@alice.example", "webmail") &&
           strstr(setting, "saltsalt$") != NULL,
       "control: a known mailbox's own hash");
    ok(odd_decoys("@alice.example", MAIL, 8, "webmail") == 0,
       "unknown mailboxes: the commonest setting of their domain's file");
    ok(odd_decoys("@nowhere.example", SITE, 16, "webmail") == 0,
       "mailboxes of an unknown domain: that of the site");
    if (!refused("nobody", "cpanel"))
        printf("Bail out! no refusal\n");
    memcpy(first, setting, sizeof first);
    lmi_free(lmi);
    nftw(scratch_path("store"), scratch_visit, 16, FTW_DEPTH | FTW_PHYS);
    lmi = lmi_make();
    ok(refused("nobody", "cpanel") && strcmp(first, setting) != 0,
       "with another key another salt: nobody can work it out");
    lmi_free(lmi);
    return done();
}
