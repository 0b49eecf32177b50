/*
 * A flood of failed logins with fresh names clears nobody's wait, whether the
 * name exists or not: what makes room is the row with the fewest failures.
 */
/* Names and addresses are made by formats that are passed on. */
#pragma GCC diagnostic ignored "-Wformat-nonliteral"

#include "scratch.h"
#include "sessions/attempts.h"
#include "sessions/handle.h"

#define FLOOD 70000 /* more than there are rows */
#define NAMES 10

static struct lmi *lmi;
static struct lmi_err err;

/* One failure of a name; its source may be NULL. The wait before it. */
static uint32_t
fail(const char *user, const struct lmi_address *source)
{
    struct lmi_attempt attempt;
    uint32_t wait = 0;

    if (lmi_attempt_begin(lmi, user, source, &attempt, &wait, &err) != LMI_OK)
        printf("Bail out! %s\n", err.text);
    if (wait == 0 &&
        lmi_attempt_end(lmi, &attempt, LMI_ATTEMPT_FAILED, &err) != LMI_OK)
        printf("Bail out! %s\n", err.text);
    return wait;
}

static void
flood(const char *format, unsigned count)
{
    char user[32];

    for (unsigned i = 0; i < count; i++) {
        snprintf(user, sizeof user, format, i);
        fail(user, NULL);
    }
}

/* Of so many names of the flood: how many have three failures free again? */
static unsigned
forgotten(unsigned count)
{
    unsigned free_again = 0;
    char user[32];

    for (unsigned i = 0; i < count; i++) {
        snprintf(user, sizeof user, "flood%u", i);
        free_again += fail(user, NULL) == 0 && fail(user, NULL) == 0 &&
                      fail(user, NULL) == 0;
    }
    return free_again;
}

static unsigned
waiting(void)
{
    unsigned count = 0;
    char user[32];

    for (unsigned i = 0; i < NAMES; i++) {
        snprintf(user, sizeof user, "target%u", i);
        count += fail(user, NULL) > 0;
    }
    return count;
}

/* How many attempts of different hosts of one network get through at once. */
static unsigned
passing(const char *format, unsigned count)
{
    struct lmi_address source;
    char text[64], user[32];
    unsigned passed = 0;

    for (unsigned i = 0; i < count; i++) {
        snprintf(text, sizeof text, format, i / 20, i);
        snprintf(user, sizeof user, "net%u", i);
        if (!lmi_address_parse(text, &source))
            printf("Bail out! %s\n", text);
        passed += fail(user, &source) == 0;
    }
    return passed;
}

int
main(void)
{
    struct lmi_attempt attempt;
    uint32_t wait;

    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1);
    scratch_make();
    scratch_site("*");
    scratch_settings(1700000000);
    lmi = lmi_make();
    if (lmi_pin(lmi, &err) != LMI_OK || lmi_enter(lmi, &err) != LMI_OK)
        printf("Bail out! no store\n");
    for (unsigned i = 0; i < 4; i++)
        waiting();
    ok(waiting() == NAMES, "ten names wait after their failures");
    if (lmi_attempt_begin(lmi, "reserved", NULL, &attempt, &wait, &err) !=
            LMI_OK ||
        wait != 0)
        printf("Bail out! no reservation\n");
    flood("flood%u", FLOOD);
    ok(waiting() == NAMES, "all ten still wait after a flood of %d", FLOOD);
    ok(forgotten(200) > 0, "control: rows with one failure have made room");
    /* The reservation's row made room, too; its failure counts anew. */
    ok(lmi_attempt_end(lmi, &attempt, LMI_ATTEMPT_FAILED, &err) == LMI_OK &&
           fail("reserved", NULL) == 0 && fail("reserved", NULL) == 0 &&
           fail("reserved", NULL) > 0,
       "an attempt whose row made room is counted all the same");
    printf("# 43: 10 names, a flood of %d: all ten wait\n", FLOOD);
    ok(passing("2001:db8:1:%x::%x", 400) == 300,
       "a /48 has 300 failures free, whatever its /64s");
    ok(passing("2001:db8:2::%.0u%x", 20) == 20 &&
           passing("2001:db8:2::1%.0u%x", 20) == 10,
       "a /64 has thirty");
    lmi_free(lmi);
    return done();
}
