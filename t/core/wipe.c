/*
 * After a login no copy of the password, nor of the shadow file, is left in the
 * process's memory.
 */
#include "copies.h"
#include "scratch.h"

#define LOGINS 1000

/* The caller's own copies are wiped here; what is left, the lmi has left. */
static bool __attribute__((noinline)) log_in(struct lmi *lmi, bool right)
{
    static struct lmi_login_answer answer;
    char pass[PASS_LEN + 1];

    give_password(pass);
    if (!right)
        pass[0] = '!';
    const struct lmi_login ask = {.user = text_of("alice"),
                                  .pass = text_of(pass),
                                  .hostname = text_of("localhost"),
                                  .service = text_of("cpanel")};
    lmi_login(lmi, &ask, &answer);
    lmi_wipe(pass, sizeof pass);
    if ((answer.reason == LMI_REASON_OK) != right)
        printf("# %s\n", answer.detail);
    return (answer.reason == LMI_REASON_OK) == right;
}

/* A line of the shadow file, without stdio, which would keep a copy. */
static bool
add_line(const char *line, size_t len)
{
    int fd = open(scratch_path("etc/shadow"), O_WRONLY | O_APPEND);
    bool good = write(fd, line, len) == (ssize_t)len && write(fd, "\n", 1) == 1;

    close(fd);
    return good;
}

/* Where the line lies, no later use of the memory would overwrite it. */
static bool
add_lines(const char *line, size_t len)
{
    char filler[1000];
    bool good = true;

    memset(filler, 'x', sizeof filler);
    for (int i = 0; good && i < 55; i++)
        good = add_line(filler, sizeof filler);
    return good && add_line(line, len);
}

/* The site, with a hash of the password, and the password in another line. */
static bool
make_site(struct lmi *lmi)
{
    char pass[PASS_LEN + 1], hash[LMI_HASH_SIZE];
    struct lmi_err err;

    give_password(pass);
    bool good = lmi_hash_password(lmi, text_of(pass), "$6$", 1000, hash,
                                  &err) == LMI_OK;
    scratch_site(hash);
    good = good && add_lines(pass, PASS_LEN);
    lmi_wipe(pass, sizeof pass);
    scratch_settings(1700000000);
    return good;
}

int
main(void)
{
    struct lmi *lmi;
    unsigned logins;
    size_t left;
    char *volatile kept; /* or compilers see that nobody reads the copy */

#ifdef __SANITIZE_ADDRESS__
    printf("1..0 # SKIP the sanitizer keeps copies of its own\n");
    return 0;
#endif
    if (access("/proc/self/maps", R_OK) != 0) {
        printf("1..0 # SKIP no /proc/self/maps\n");
        return 0;
    }
    lmi = lmi_make();
    scratch_make();
    choose_password();
    ok(copies() == 0, "before, no copy of the password is in memory");
    ok(make_site(lmi) && copies() == 0, "hashing it leaves none");
    ok(log_in(lmi, true) && copies() == 0, "a good login leaves none");
    ok(log_in(lmi, false) && copies() == 0, "a refused one leaves none");
    for (logins = 0; logins < LOGINS && log_in(lmi, true);)
        logins++;
    left = copies();
    ok(logins == LOGINS && left == 0, "nor do %u more", logins);
    printf("# 39: %u logins, %zu copies of the password\n", logins, left);
    kept = malloc(PASS_LEN + 1);
    if (kept != NULL)
        give_password(kept);
    ok(copies() > 0, "control: a copy on the heap is found");
    free(kept);
    lmi_free(lmi);
    return done();
}
