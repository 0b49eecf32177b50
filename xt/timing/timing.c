/*
 * Times refused logins of two kinds, in random order, in this process, and
 * compares them by Welch's t-test: microseconds of the thread's processor time,
 * the kernel's part included.
 *
 *   timing CASE COUNT
 *
 * COUNT logins of each kind. Prints t, by how much the first kind's median is
 * above the second's, and both medians. The site and the store are in TMPDIR.
 *
 * Each name is tried once in a round, so that it never has to wait. Each round
 * has a new store and new unknown names; known and unknown ones are of eight
 * random letters. Passwords are of twelve, new at each attempt, for what
 * SHA-crypt takes depends on password and salt.
 */
#include <crypt.h>
#include <dlfcn.h>
#include <math.h>

#include "logmein.h"
#include "scratch.h"

#define NAMES 500   /* known, and as many unknown, in a round */
#define OTHERS 100  /* accounts that nobody asks for */
#define WARM 20     /* logins of a new store that are not timed */
#define NAME_LEN 8  /* letters */
#define PASS_LEN 12 /* letters */
#define KEPT 0.95   /* of all times; the longest are left out of the t-test */
#define DOMAIN "example.com"
#define CANDIDATES 100 /* passwords to choose the two from */
#define TRIES 20       /* of each */

/* What a spoiled core does instead of computing the decoy's hash. */
enum spoil { HONEST, NO_HASH, OTHER_COST, SHORT_SALT, ONE_SALT };

static const struct plan {
    const char *name;
    const char *accounts;
    const char *detail; /* of the first kind's answers */
    enum spoil spoil;
    bool mailboxes, suspended, locked;
    bool passwords; /* all names are unknown; two passwords are compared */
} plans[] = {
    {"known", "cpanel", "the password is wrong", .spoil = HONEST},
    {"passwd", "passwd", "the password is wrong", .spoil = HONEST},
    {"mailbox", "cpanel", "the password is wrong", .mailboxes = true},
    {"suspended", "cpanel", "the account is suspended", .suspended = true},
    {"locked", "cpanel", "the account has no usable password", .locked = true},
    {"passwords", "cpanel", "there is no such account", .passwords = true},
    {"no-hash", "cpanel", "the password is wrong", .spoil = NO_HASH},
    {"other-cost", "cpanel", "the password is wrong", .spoil = OTHER_COST},
    {"short-salt", "cpanel", "the password is wrong", .spoil = SHORT_SALT},
    {"one-salt", "cpanel", "there is no such account", .spoil = ONE_SALT,
     .passwords = true},
};

static const struct plan *plan;
static char known[NAMES][NAME_LEN + 1];
static char chosen[2][PASS_LEN + 1];
static enum spoil spoil; /* at this moment */
static char *(*real_crypt)(const char *, const char *, void *, int);

static void __attribute__((noreturn)) die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(2);
}

/* Stands before libcrypt's. */
char *
crypt_rn(const char *phrase, const char *setting, void *data, int size)
{
    static const char *const spoiled[] = {
        [OTHER_COST] = "$5$rounds=1100$................$",
        [SHORT_SALT] = "$5$rounds=1000$....$",
        [ONE_SALT] = "$5$rounds=1000$................$",
    };

    if (real_crypt == NULL) {
        void *found = dlsym(RTLD_NEXT, "crypt_rn");
        memcpy(&real_crypt, &found, sizeof real_crypt);
    }
    if (spoil == NO_HASH)
        return NULL;
    return real_crypt(phrase, spoil == HONEST ? setting : spoiled[spoil], data,
                      size);
}

static void
random_letters(char *out, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (char)('a' + random() % 26);
    out[len] = '\0';
}

static double
now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static int
by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Of no known password; libcrypt's alphabet has all letters. */
static const char *
make_hash(const char *prefix, size_t salt_len, size_t hash_len)
{
    static char hash[100];
    size_t len = (size_t)snprintf(hash, sizeof hash, "%s", prefix);

    random_letters(hash + len, salt_len + 1 + hash_len);
    hash[len + salt_len] = '$';
    return hash;
}

static void
make_folders(const char *path)
{
    char copy[64];

    snprintf(copy, sizeof copy, "%s", path);
    for (char *at = copy; (at = strchr(at, '/')) != NULL; *at++ = '/') {
        *at = '\0';
        mkdir(scratch_path(copy), 0755);
    }
    mkdir(scratch_path(copy), 0755);
}

/* The site's files while they grow. */
struct file {
    const char *name;
    FILE *memory;
    char *text;
    size_t len;
};

static void
file_begin(struct file *file, const char *name)
{
    file->name = name;
    file->memory = open_memstream(&file->text, &file->len);
    if (file->memory == NULL)
        die(name, "no memory");
}

static void
file_end(struct file *file)
{
    fclose(file->memory);
    scratch_write(file->name, "%s", file->text);
    free(file->text);
}

static void
put_account(const char *name, bool asked, struct file *passwd,
            struct file *shadow)
{
    char path[64];
    unsigned uid = geteuid() >= 1000 ? geteuid() : 1001;

    fprintf(passwd->memory, "%s:x:%u:%u::/home/%s:/bin/sh\n", name, uid, uid,
            name);
    fprintf(shadow->memory, "%s:%s%s:19000:0:99999:7:::\n", name,
            asked && plan->locked ? "!" : "",
            make_hash("$5$rounds=1000$", 16, 43));
    snprintf(path, sizeof path, "var/cpanel/users/%s", name);
    scratch_write(path, "DNS=%s.example\n", name);
    snprintf(path, sizeof path, "var/cpanel/suspended/%s", name);
    if (asked && plan->suspended)
        scratch_write(path, "%s", "");
}

/* The mailboxes belong to the account "owner", with hashes of another kind. */
static void
put_mailboxes(void)
{
    struct file shadow;

    file_begin(&shadow, "home/owner/etc/" DOMAIN "/shadow");
    for (size_t i = 0; i < NAMES; i++)
        fprintf(shadow.memory, "%s:%s:19000:0:99999:7:::\n", known[i],
                make_hash("$1$", 8, 22));
    file_end(&shadow);
}

static void
make_site(void)
{
    struct file passwd, shadow;
    char name[NAME_LEN + 1];

    make_folders("etc");
    make_folders("var/cpanel/users");
    make_folders("var/cpanel/suspended");
    make_folders("home/owner/etc/" DOMAIN);
    scratch_write("etc/shells", "/bin/sh\n");
    scratch_write("etc/userdomains", DOMAIN ": owner\n");
    scratch_write("conf",
                  "log = none\nsite_root = %s\nstore = lmdb:%s/store\n"
                  "accounts = %s\n",
                  scratch, scratch, plan->accounts);
    setenv("LOGMEIN_CONF", scratch_path("conf"), 1);
    file_begin(&passwd, "etc/passwd");
    file_begin(&shadow, "etc/shadow");
    put_account("owner", false, &passwd, &shadow);
    for (size_t i = 0; i < NAMES; i++) {
        random_letters(known[i], NAME_LEN);
        if (!plan->mailboxes)
            put_account(known[i], true, &passwd, &shadow);
    }
    for (size_t i = 0; i < OTHERS; i++) {
        random_letters(name, NAME_LEN);
        put_account(name, false, &passwd, &shadow);
    }
    file_end(&passwd);
    file_end(&shadow);
    put_mailboxes();
}

/*
 * The two passwords whose times differ most with the salt of dots: by the best
 * of some tries, which take turns, for the processor's speed changes.
 */
static void
choose_passwords(void)
{
    static struct crypt_data data;
    static char passes[CANDIDATES][PASS_LEN + 1];
    static double best[CANDIDATES];
    size_t slowest = 0, fastest = 0;

    spoil = ONE_SALT;
    for (size_t i = 0; i < CANDIDATES; i++) {
        random_letters(passes[i], PASS_LEN);
        best[i] = HUGE_VAL;
    }
    for (size_t i = 0; i < TRIES * CANDIDATES; i++) {
        size_t place = i % CANDIDATES;
        double start = now();
        crypt_rn(passes[place], "", &data, (int)sizeof data);
        best[place] = fmin(best[place], now() - start);
    }
    for (size_t i = 0; i < CANDIDATES; i++) {
        slowest = best[i] > best[slowest] ? i : slowest;
        fastest = best[i] < best[fastest] ? i : fastest;
    }
    memcpy(chosen[0], passes[slowest], sizeof chosen[0]);
    memcpy(chosen[1], passes[fastest], sizeof chosen[1]);
    spoil = HONEST;
}

/* One attempt: its name, and of which of the two kinds it is. */
struct attempt {
    char user[NAME_LEN + sizeof "@" DOMAIN];
    int kind;
};

/* How long it takes; the answer has to be the expected one. */
static double
time_login(struct lmi *lmi, const struct attempt *attempt)
{
    static struct lmi_login_answer answer;
    const char *detail =
        attempt->kind == 0 ? plan->detail : "there is no such account";
    char pass[PASS_LEN + 1];
    double start, taken;

    random_letters(pass, PASS_LEN);
    if (plan->passwords)
        memcpy(pass, chosen[attempt->kind], sizeof pass);
    const struct lmi_login ask = {
        .user = text_of(attempt->user),
        .pass = text_of(pass),
        .hostname = text_of("localhost"),
        .service = text_of(plan->mailboxes ? "webmail" : "cpanel"),
        .remote_addr = text_of("127.0.0.1"),
        .here = true};
    spoil = attempt->kind == 1 || plan->passwords ? plan->spoil : HONEST;
    start = now();
    lmi_login(lmi, &ask, &answer);
    taken = now() - start;
    spoil = HONEST;
    if (answer.reason != LMI_REASON_INVALID ||
        strcmp(answer.detail, detail) != 0)
        die(attempt->user, answer.detail);
    return taken;
}

/* Where the times of both kinds go. */
struct times {
    double *of[2];
    size_t count[2];
};

static void
set_name(struct attempt *attempt, const char *name)
{
    snprintf(attempt->user, sizeof attempt->user, "%s%s", name,
             plan->mailboxes ? "@" DOMAIN : "");
}

static void
fill_round(struct attempt attempts[2 * NAMES])
{
    char name[NAME_LEN + 1];

    for (size_t i = 0; i < 2 * NAMES; i++) {
        attempts[i].kind = i % 2;
        random_letters(name, NAME_LEN);
        set_name(&attempts[i],
                 i % 2 == 0 && !plan->passwords ? known[i / 2] : name);
    }
    for (size_t i = 2 * NAMES; i > 1; i--) {
        size_t other = (size_t)random() % i;
        struct attempt swapped = attempts[other];
        attempts[other] = attempts[i - 1];
        attempts[i - 1] = swapped;
    }
}

static void
run_round(struct times *times, size_t count)
{
    static struct attempt attempts[2 * NAMES];
    struct attempt warm = {.kind = 1};
    char name[NAME_LEN + 1];
    struct lmi *lmi = lmi_make();

    fill_round(attempts);
    for (int i = 0; i < WARM; i++) {
        random_letters(name, NAME_LEN);
        set_name(&warm, name);
        time_login(lmi, &warm);
    }
    for (size_t i = 0; i < 2 * NAMES; i++) {
        int kind = attempts[i].kind;
        double taken = time_login(lmi, &attempts[i]);
        if (times->count[kind] < count)
            times->of[kind][times->count[kind]++] = taken;
    }
    lmi_free(lmi);
    nftw(scratch_path("store"), scratch_visit, 16, FTW_DEPTH | FTW_PHYS);
}

struct moments {
    double n, mean, variance;
};

/* Of sorted times, those up to the limit. */
static struct moments
moments_of(const double *times, size_t count, double limit)
{
    struct moments out = {.n = 0};

    for (size_t i = 0; i < count && times[i] <= limit; i++) {
        double off = times[i] - out.mean;
        out.n++;
        out.mean += off / out.n;
        out.variance += off * (times[i] - out.mean);
    }
    out.variance /= out.n - 1;
    return out;
}

static double
welch(const struct times *times, size_t count)
{
    double *all = calloc(2 * count, sizeof *all), limit;
    struct moments a, b;

    if (all == NULL)
        die("t-test", "no memory");
    memcpy(all, times->of[0], count * sizeof *all);
    memcpy(all + count, times->of[1], count * sizeof *all);
    qsort(all, 2 * count, sizeof *all, by_size);
    limit = all[(size_t)((double)(2 * count - 1) * KEPT)];
    free(all);
    a = moments_of(times->of[0], count, limit);
    b = moments_of(times->of[1], count, limit);
    return (a.mean - b.mean) / sqrt(a.variance / a.n + b.variance / b.n);
}

int
main(int argc, char **argv)
{
    size_t count = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    struct times times = {.count = {0, 0}};
    double t, medians[2];

    for (size_t i = 0; argc > 1 && i < sizeof plans / sizeof plans[0]; i++)
        if (strcmp(plans[i].name, argv[1]) == 0)
            plan = &plans[i];
    if (plan == NULL || count < 100)
        die("usage", "timing CASE COUNT, at least 100");
    srandom((unsigned)getpid());
    for (int kind = 0; kind < 2; kind++)
        if ((times.of[kind] = calloc(count, sizeof(double))) == NULL)
            die("times", "no memory");
    scratch_make();
    make_site();
    if (plan->passwords)
        choose_passwords();
    while (times.count[0] < count || times.count[1] < count)
        run_round(&times, count);
    for (int kind = 0; kind < 2; kind++) {
        qsort(times.of[kind], count, sizeof(double), by_size);
        medians[kind] = times.of[kind][count / 2];
    }
    t = welch(&times, count);
    printf("t=%.2f, medians differ by %.3f us (%.3f, %.3f)\n", t,
           medians[0] - medians[1], medians[0], medians[1]);
    return 0;
}
