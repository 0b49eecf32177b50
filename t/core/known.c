/*
 * Hashes that other implementations made, or that others have published: each
 * belongs to its password, and to nothing else. t/known/generate says whose
 * they are.
 */
#include "accounts/password.h"
#include "scratch.h"

#define DECOY "$1$........$"
#define MALFORMED 2000

static struct lmi_err err;

/* One line of a file of vectors. */
struct vector {
    size_t len;
    char pass[LMI_PASS_MAX + 1];
    char hash[LMI_HASH_SIZE];
};

static struct {
    unsigned valid, negatives, malformed, wrong;
    bool seen[256]; /* bytes in passwords */
} total;

static bool
matches(const char *pass, size_t len, const char *hash)
{
    struct lmi_bytes bytes = {pass, len};
    bool match = false;

    return lmi_password_verify(bytes, hash, LMI_CEILING_SITE, DECOY, &match,
                               &err) == LMI_OK &&
           match;
}

/* Counts what is not as it should be, and shows it. */
static void
expect(const struct vector *vector, bool good, const char *what)
{
    if (good)
        return;
    total.wrong++;
    printf("# %s: %s\n", vector->hash, what);
}

static char
another(char c)
{
    return c == 'a' ? 'b' : 'a';
}

/* Where the salt of a hash begins; its cost stays as it is. */
static size_t
salt_of(const char *hash)
{
    const char *at = strchr(hash + 1, '$') + 1;

    if (strncmp(hash, "$7$", 3) == 0)
        return 14;
    if (hash[1] == '2' || hash[1] == 'y' || hash[1] == 'g' ||
        strncmp(at, "rounds=", 7) == 0)
        at = strchr(at, '$') + 1;
    return (size_t)(at - hash);
}

/* Another password: one bit of one byte, and no NUL comes of it. */
static void
other_password(const struct vector *vector)
{
    char pass[LMI_PASS_MAX + 1];
    size_t at = total.valid % (vector->len + 1), len = vector->len;

    memcpy(pass, vector->pass, sizeof pass);
    if (at == len)
        at = 0;
    pass[at] = (char)(pass[at] ^ (pass[at] == 1 ? 2 : 1));
    len = len == 0 ? 1 : len;
    expect(vector, !matches(pass, len, vector->hash), "another password");
    total.negatives++;
}

/* A changed hash or a shorter one, by turns. */
static void
other_hash(const struct vector *vector)
{
    char hash[LMI_HASH_SIZE];
    size_t len = strlen(vector->hash), back = 1 + total.valid % 22;

    memcpy(hash, vector->hash, sizeof hash);
    if (total.valid % 2 == 0)
        hash[len - back] = '\0';
    else
        hash[len - back] = another(hash[len - back]);
    expect(vector, !matches(vector->pass, vector->len, hash), "another hash");
    total.negatives++;
}

static void
other_salt(const struct vector *vector)
{
    char hash[LMI_HASH_SIZE];
    size_t at = salt_of(vector->hash);

    memcpy(hash, vector->hash, sizeof hash);
    hash[at] = another(hash[at]);
    expect(vector, !matches(vector->pass, vector->len, hash), "another salt");
    total.negatives++;
}

/* A byte that no hash may hold, somewhere in it. */
static void
malformed(const struct vector *vector)
{
    static const char bytes[] = "!*:;\\ \n\r\t\x7f\x80\xff";
    char hash[LMI_HASH_SIZE];
    size_t at = total.malformed * 7 % strlen(vector->hash);

    if (total.malformed == MALFORMED)
        return;
    memcpy(hash, vector->hash, sizeof hash);
    hash[at] = bytes[total.malformed % (sizeof bytes - 1)];
    expect(vector,
           !lmi_password_hash_ok(hash, LMI_CEILING_SITE, vector->len) &&
               !matches(vector->pass, vector->len, hash),
           "a malformed hash");
    total.malformed++;
}

static void
check(const struct vector *vector)
{
    expect(vector, matches(vector->pass, vector->len, vector->hash),
           "its password");
    other_password(vector);
    other_hash(vector);
    other_salt(vector);
    malformed(vector);
    for (size_t i = 0; i < vector->len; i++)
        total.seen[(unsigned char)vector->pass[i]] = true;
    total.valid++;
}

/* "HEX HASH", with "-" for an empty password. */
static bool
parse(const char *line, struct vector *out)
{
    char hex[2 * LMI_PASS_MAX + 1];
    unsigned byte;

    memset(out, 0, sizeof *out);
    if (sscanf(line, "%1022s %383s", hex, out->hash) != 2)
        return false;
    for (size_t i = 0; hex[0] != '-' && hex[i] != '\0'; i += 2) {
        if (sscanf(hex + i, "%2x", &byte) != 1)
            return false;
        out->pass[out->len++] = (char)byte;
    }
    return true;
}

/* Each source, after "= ", is a test of its own. */
static void
check_file(const char *path)
{
    static char line[2048];
    char source[128] = "";
    struct vector vector;
    unsigned wrong = total.wrong, valid = total.valid;
    FILE *file = fopen(path, "r");

    if (file == NULL) {
        printf("Bail out! %s\n", path);
        exit(2);
    }
    for (bool more = true; more;) {
        more = fgets(line, sizeof line, file) != NULL;
        if (!more || line[0] == '=') {
            if (source[0] != '\0')
                ok(total.wrong == wrong && total.valid > valid,
                   "%s: %u passwords", source, total.valid - valid);
            snprintf(source, sizeof source, "%.*s",
                     (int)strcspn(line + 2, "\n"), line + 2);
            wrong = total.wrong;
            valid = total.valid;
        } else if (line[0] != '#') {
            expect(&vector, parse(line, &vector), "a line of the file");
            check(&vector);
        }
    }
    fclose(file);
}

/* A vector that is wrong must be found wrong, and nothing else of it. */
static void
control(void)
{
    struct vector vector;
    unsigned wrong = total.wrong;

    parse("616264 $1$salt$Ix0K7gMcCieLMZGthf6yT1", &vector); /* "abc" */
    printf("# the next complaint is expected\n");
    check(&vector);
    ok(total.wrong == wrong + 1, "control: a wrong vector would be counted");
}

int
main(void)
{
    unsigned bytes = 0;

    check_file("t/known/vectors.txt");
    check_file("t/known/published.txt");
    for (unsigned byte = 1; byte < 256; byte++)
        bytes += total.seen[byte];
    printf("# 19: %u valid, %u negatives, %u malformed, %u wrong\n",
           total.valid, total.negatives, total.malformed, total.wrong);
    ok(total.wrong == 0 && total.valid >= 3000 &&
           total.negatives == 3 * total.valid && total.malformed == MALFORMED,
       "no wrong verdict");
    ok(bytes == 255 && !total.seen[0], "every byte but NUL is in a password");
    control();
    return done();
}
