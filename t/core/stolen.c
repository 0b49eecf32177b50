/*
 * What a thief of the store has: the keys of its entries. None of them opens
 * anything, as a ticket or as a cookie. LMI_SESSIONS says how many there are,
 * 1,000 by default.
 */
#include "scratch.h"
#include "sessions/create.h"

#define HASH "$5$rounds=1000$salt$J8CC7Sf2G3K1nqU9nTB4VZxYsUOHXzD/mAbIyM8b8o1"

static struct lmi_err err;
static struct lmi *lmi;

static char user[32];
static struct lmi_session_made made;

static struct lmi_access
access_of(const char *ticket, const char *cookie)
{
    struct lmi_access access = {.token = text_of(made.token),
                                .service = LMI_CPANEL};

    if (ticket != NULL)
        access.ticket = text_of(ticket);
    if (cookie != NULL)
        access.cookie = text_of(cookie);
    return access;
}

static enum lmi_outcome
redeem(const char *ticket)
{
    struct lmi_access access = access_of(ticket, NULL);
    enum lmi_outcome outcome = LMI_GRANTED;
    struct lmi_redeemed redeemed;

    if (lmi_session_redeem(lmi, &access, &outcome, &redeemed, &err) != LMI_OK)
        return LMI_GRANTED;
    return outcome;
}

static enum lmi_outcome
check(const char *cookie)
{
    struct lmi_access access = access_of(NULL, cookie);
    enum lmi_outcome outcome = LMI_GRANTED;
    struct lmi_session session;

    if (lmi_session_check(lmi, &access, &outcome, &session, &err) != LMI_OK)
        return LMI_GRANTED;
    return outcome;
}

/* A site with an account for each fifty sessions. */
static void
make_site(unsigned users)
{
    FILE *passwd, *shadow;

    scratch_site(HASH);
    passwd = fopen(scratch_path("etc/passwd"), "a");
    shadow = fopen(scratch_path("etc/shadow"), "a");
    if (passwd == NULL || shadow == NULL)
        return;
    for (unsigned i = 0; i < users; i++) {
        fprintf(passwd, "user%u:x:2000:2000::/home/u:/bin/sh\n", i);
        fprintf(shadow, "user%u:%s:19000:0:99999:7:::\n", i, HASH);
    }
    fclose(passwd);
    fclose(shadow);
}

/* Every second one is redeemed; a name has fifty at most. */
static bool
make_session(unsigned number)
{
    snprintf(user, sizeof user, "user%u", number / 50);
    const struct lmi_session_params params = {
        .user = user, .service = LMI_CPANEL, .hash = HASH};
    if (lmi_session_create(lmi, &params, &made, &err) != LMI_OK)
        return false;
    return number % 2 == 0 || redeem(made.secret) == LMI_GRANTED;
}

static void
encode(const uint8_t key[LMI_STORE_KEY], char out[LMI_SECRET_CHARS + 1])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "abcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned bits = 0, value = 0;
    size_t used = 0;

    for (size_t i = 0; i < LMI_STORE_KEY; i++) {
        value = value << 8 | key[i];
        for (bits += 8; bits >= 6; bits -= 6)
            out[used++] = digits[value >> (bits - 6) & 63];
    }
    out[used++] = digits[value << (6 - bits) & 63];
    out[used] = '\0';
}

/* What is not simply unknown has been found by what the store holds. */
static unsigned
opens(const struct lmi_store_entry *entry)
{
    char secret[LMI_SECRET_CHARS + 1], ticket[LMI_TICKET_SIZE];
    char cookie[LMI_COOKIE_SIZE];

    encode(entry->id.key, secret);
    snprintf(ticket, sizeof ticket, "lmt_%s", secret);
    snprintf(cookie, sizeof cookie, "%s%%3a%s", user, secret);
    return (redeem(ticket) != LMI_UNKNOWN ? 1U : 0U) +
           (check(cookie) != LMI_UNKNOWN ? 1U : 0U);
}

int
main(void)
{
    const char *wanted = getenv("LMI_SESSIONS");
    unsigned sessions = wanted != NULL ? (unsigned)atoi(wanted) : 1000;
    struct lmi_store_entry entry;
    unsigned number = 0, keys = 0, opened = 0;
    size_t found = 1;

    scratch_make();
    make_site(sessions / 50 + 1);
    scratch_settings(1700000000);
    lmi = lmi_make();
    if (lmi_pin(lmi, &err) != LMI_OK || lmi_enter(lmi, &err) != LMI_OK)
        printf("Bail out! no store\n");
    while (number < sessions && make_session(number))
        number++;
    ok(number == sessions, "%u sessions are made", number);
    for (; found > 0; keys += (unsigned)found) {
        if (lmi_store_next(lmi_store_of(lmi), LMI_DURABLE, NULL, 0,
                           keys > 0 ? &entry : NULL, &entry, 1, &found,
                           &err) != LMI_OK)
            break;
        opened += found > 0 ? opens(&entry) : 0;
    }
    ok(keys >= sessions, "the store has %u keys for them", keys);
    ok(opened == 0, "and none opens anything");
    printf("# 10: %u stored keys as tickets and as cookies, %u open\n", keys,
           opened);
    ok(make_session(0) && redeem(made.secret) == LMI_GRANTED,
       "control: a ticket would");
    lmi_free(lmi);
    return done();
}
