/*
 * A flood of failures from many sources: the table of attempts stays small.
 * LMI_SOURCES says how many sources, 2,000 by default.
 */
#include "scratch.h"
#include "sessions/attempts.h"

#define HASH "$5$rounds=1000$salt$J8CC7Sf2G3K1nqU9nTB4VZxYsUOHXzD/mAbIyM8b8o1"
#define ROWS 65536
#define MEBIBYTE (1024 * 1024)

static struct lmi_err err;
static struct lmi *lmi;

static bool
fail_from(unsigned number)
{
    struct lmi_address source;
    struct lmi_attempt attempt;
    uint32_t wait = 0;
    char text[32], user[32];

    snprintf(user, sizeof user, "nobody%u", number);
    snprintf(text, sizeof text, "%u.%u.%u.%u", 11 + number / 16777216,
             number / 65536 % 256, number / 256 % 256, number % 256);
    if (!lmi_address_read(text_of(text), &source))
        return false;
    return lmi_attempt_begin(lmi, user, &source, &attempt, &wait, &err) ==
               LMI_OK &&
           wait == 0 &&
           lmi_attempt_end(lmi, &attempt, LMI_ATTEMPT_FAILED, &err) == LMI_OK;
}

static unsigned
rows(void)
{
    struct lmi_store_entry page[16], *after = NULL;
    unsigned count = 0;
    size_t more = 1;

    for (; more > 0; count += (unsigned)more) {
        if (lmi_store_next(lmi_store_of(lmi), LMI_VOLATILE, NULL, 0, after,
                           page, 16, &more, &err) != LMI_OK)
            break;
        after = &page[more > 0 ? more - 1 : 0];
    }
    return count;
}

static long long disk;

static int
add_size(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)path;
    (void)where;
    /* LMDB's lock file is as large as its number of readers. */
    disk += type == FTW_F && strstr(path, "-lock") == NULL
                ? st->st_blocks * 512LL
                : 0;
    return 0;
}

int
main(void)
{
    const char *wanted = getenv("LMI_SOURCES");
    unsigned sources = wanted != NULL ? (unsigned)atoi(wanted) : 2000;
    unsigned number = 0, count;

    scratch_make();
    scratch_site(HASH);
    scratch_settings(1700000000);
    lmi = lmi_make();
    if (lmi_pin(lmi, &err) != LMI_OK || lmi_enter(lmi, &err) != LMI_OK)
        printf("Bail out! no store\n");
    while (number < sources && fail_from(number))
        number++;
    ok(number == sources, "%u sources fail once", number);
    count = rows();
    ok(count >= (sources < ROWS ? sources : ROWS),
       "control: the table has %u rows", count);
    ok(count <= 2 * ROWS, "and no more than two tables may");
    nftw(scratch_path("store/volatile"), add_size, 16, FTW_PHYS);
    ok(disk > 0 && disk <= 64 * MEBIBYTE, "which are %lld KiB", disk / 1024);
    printf("# 16: %u sources fail, at most %lld MiB for it\n", number,
           (disk + MEBIBYTE - 1) / MEBIBYTE);
    lmi_free(lmi);
    return done();
}
