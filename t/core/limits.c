/*
 * Sessions under random schedules of requests: none opens past its idle limit
 * or its overall one. LMI_SCHEDULES says how many, 50 by default.
 */
#include "scratch.h"
#include "sessions/create.h"

#define HASH "$5$rounds=1000$salt$J8CC7Sf2G3K1nqU9nTB4VZxYsUOHXzD/mAbIyM8b8o1"
#define START 1700000000
#define IDLE 900
#define MAX 86400

static struct lmi_err err;
static struct lmi *lmi;
static int64_t now = START;

/* What was seen: wrong answers, of both kinds, and how near the limits. */
static unsigned past, early, granted_late, refused;

static void
set_clock(void)
{
    /* The handle's settings are const for everybody else. */
    ((struct lmi_settings *)(uintptr_t)lmi_settings_of(lmi))->test_clock =
        (uint64_t)now;
}

static bool
open_session(char token[LMI_TOKEN_SIZE], char cookie[LMI_COOKIE_SIZE])
{
    const struct lmi_session_params params = {
        .user = "alice", .service = LMI_CPANEL, .hash = HASH};
    struct lmi_session_made made;
    struct lmi_redeemed redeemed;
    enum lmi_outcome outcome = LMI_UNKNOWN;

    if (lmi_session_create(lmi, &params, &made, &err) != LMI_OK)
        return false;
    struct lmi_access access = {.ticket = text_of(made.secret),
                                .token = text_of(made.token),
                                .service = LMI_CPANEL};
    if (lmi_session_redeem(lmi, &access, &outcome, &redeemed, &err) != LMI_OK)
        return false;
    memcpy(token, made.token, sizeof made.token);
    memcpy(cookie, redeemed.cookie, sizeof redeemed.cookie);
    return outcome == LMI_GRANTED;
}

static bool
check(const char *token, const char *cookie)
{
    struct lmi_access access = {.cookie = text_of(cookie),
                                .token = text_of(token),
                                .service = LMI_CPANEL};
    enum lmi_outcome outcome = LMI_UNKNOWN;
    struct lmi_session session;

    return lmi_session_check(lmi, &access, &outcome, &session, &err) ==
               LMI_OK &&
           outcome == LMI_GRANTED;
}

/* Mostly short of the idle limit, sometimes at it, seldom far beyond. */
static int64_t
pause_drawn(void)
{
    switch (rand() % 8) {
    case 0:
        return rand() % 60;
    case 1:
        return IDLE - 2 + rand() % 4;
    case 2:
        return rand() % 40 == 0 ? rand() % MAX : IDLE - 61;
    default:
        return IDLE - 1 - rand() % 700;
    }
}

/* One session, with requests until it has been over for a while. */
static bool
run_schedule(void)
{
    char token[LMI_TOKEN_SIZE], cookie[LMI_COOKIE_SIZE];
    int64_t begun = now, last = now, noted = now;

    set_clock();
    if (!open_session(token, cookie))
        return false;
    for (unsigned dead = 0; dead < 3;) {
        now += pause_drawn();
        set_clock();
        bool granted = check(token, cookie);
        bool late = now - last >= IDLE || now - begun >= MAX;
        past += granted && late;
        early +=
            !granted && dead == 0 && now - noted < IDLE && now - begun < MAX;
        granted_late += granted && now - last >= IDLE - 60;
        refused += !granted;
        dead += !granted;
        if (!granted)
            continue;
        last = now;
        noted = now - noted >= 60 ? now : noted;
    }
    return true;
}

int
main(void)
{
    const char *wanted = getenv("LMI_SCHEDULES");
    unsigned schedules = wanted != NULL ? (unsigned)atoi(wanted) : 50;
    unsigned run = 0;

    srand((unsigned)time(NULL));
    scratch_make();
    scratch_site(HASH);
    scratch_settings(START);
    lmi = lmi_make();
    if (lmi_pin(lmi, &err) != LMI_OK || lmi_enter(lmi, &err) != LMI_OK)
        printf("Bail out! no store\n");
    while (run < schedules && run_schedule())
        run++;
    ok(run == schedules, "%u schedules of requests", run);
    ok(past == 0, "no session opens past a limit");
    printf("# 11: %u schedules, %u sessions open past a limit\n", run, past);
    ok(early == 0, "none ends before one");
    ok(granted_late > 0 && refused >= 3 * run,
       "control: %u opened in the last minute, %u times one was over",
       granted_late, refused);
    lmi_free(lmi);
    return done();
}
