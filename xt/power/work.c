/*
 * Logs in, redeems and logs out in the store that LOGMEIN_CONF names:
 *
 *     work STEPS SEED
 *
 * Each step is noted in the trace before it begins, and again, with what it
 * has brought, once it is acknowledged.
 */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "logmein.h"

#define LIVE_MIN 6
#define LIVE_MAX 24

struct session {
    unsigned number;
    enum lmi_service service;
    char token[LMI_TOKEN_SIZE];
    char ticket[LMI_TICKET_SIZE];
    char cookie[LMI_COOKIE_SIZE]; /* empty: not redeemed yet */
};

static struct lmi *lmi;
static struct lmi_err err;
static struct session live[LIVE_MAX];
static unsigned live_count, made;
static void (*power_note)(const char *line);

static void __attribute__((format(printf, 1, 2))) note(const char *format, ...)
{
    char line[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    power_note(line);
}

static void
need(bool good, const char *what)
{
    char why[LMI_DETAIL_SIZE];

    if (good)
        return;
    lmi_err_format(&err, why, sizeof why);
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static struct lmi_text
text_of(const char *text)
{
    return (struct lmi_text){LMI_TEXT_LATIN1, text, strlen(text)};
}

static void
log_in(void)
{
    static struct lmi_login_answer answer;
    static const char *const users[] = {"alice", "bob", "carol"};
    struct session *session = &live[live_count++];
    const char *ticket;

    *session =
        (struct session){.number = made++, .service = 1 + (unsigned)rand() % 3};
    const struct lmi_login ask = {
        .user = text_of(users[rand() % 3]),
        .pass = text_of("secret"),
        .hostname = text_of("localhost"),
        .service = text_of(lmi_service_info(session->service)->name),
        .here = true};
    note("begin login %u %u", session->number, session->service);
    lmi_login(lmi, &ask, &answer);
    ticket = strstr(answer.url, "lmt_");
    if (answer.reason != LMI_REASON_OK || ticket == NULL) {
        fprintf(stderr, "login: %s\n", answer.detail);
        exit(1);
    }
    snprintf(session->ticket, sizeof session->ticket, "%s", ticket);
    memcpy(session->token, answer.token, sizeof session->token);
    note("ack login %u %s %s", session->number, session->token,
         session->ticket);
}

static struct lmi_access
access_of(const struct session *session)
{
    return (struct lmi_access){.ticket = text_of(session->ticket),
                               .token = text_of(session->token),
                               .service = session->service,
                               .address = text_of("192.0.2.1"),
                               .agent = text_of("Browser")};
}

static void
redeem(struct session *session)
{
    struct lmi_access access = access_of(session);
    enum lmi_outcome outcome;
    struct lmi_redeemed redeemed;

    note("begin redeem %u", session->number);
    need(lmi_session_redeem(lmi, &access, &outcome, &redeemed, &err) ==
                 LMI_OK &&
             outcome == LMI_GRANTED,
         "redeem");
    memcpy(session->cookie, redeemed.cookie, sizeof session->cookie);
    note("ack redeem %u %s", session->number, session->cookie);
}

/* A session by its cookie; a ticket that nobody has used is discarded. */
static void
log_out(struct session *session)
{
    struct lmi_access access = access_of(session);
    enum lmi_outcome outcome = LMI_UNKNOWN;
    struct lmi_session ended;
    bool found = false;

    note("begin end %u", session->number);
    if (session->cookie[0] == '\0') {
        need(lmi_session_discard(lmi, access.ticket, &found, &err) == LMI_OK &&
                 found,
             "discard");
    } else {
        access.cookie = text_of(session->cookie);
        need(lmi_session_end(lmi, &access, &outcome, &ended, &err) == LMI_OK &&
                 outcome == LMI_GRANTED,
             "end");
    }
    note("ack end %u", session->number);
    *session = live[--live_count];
}

int
main(int argc, char **argv)
{
    void *found = dlsym(RTLD_DEFAULT, "power_note");

    if (argc != 3 || found == NULL)
        return 2;
    memcpy(&power_note, &found, sizeof power_note);
    srand((unsigned)atoi(argv[2]));
    need(lmi_new(NULL, &lmi, &err) == LMI_OK, "a handle");
    for (int i = atoi(argv[1]); i > 0; i--) {
        struct session *session =
            live_count > 0 ? &live[(unsigned)rand() % live_count] : NULL;
        int choice = rand() % 10;
        if (live_count < LIVE_MIN || (choice < 4 && live_count < LIVE_MAX))
            log_in();
        else if (choice < 8 && session->cookie[0] == '\0')
            redeem(session);
        else
            log_out(session);
    }
    lmi_free(lmi);
    return 0;
}
