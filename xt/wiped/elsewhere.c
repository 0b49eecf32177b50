/*
 * Logs in elsewhere, by the settings that LOGMEIN_CONF names, and prints what
 * came of it and how many copies of the password are left in memory.
 */
#include <stdlib.h>

#include "../../t/core/copies.h"
#include "remote/remote.h"

static struct lmi_text
text_of(const char *text)
{
    return (struct lmi_text){LMI_TEXT_LATIN1, text, strlen(text)};
}

/* The request, with the password in it, is released; the handle stays. */
static void __attribute__((noinline))
log_in(struct lmi *core, struct lmi_remote *remote,
       struct lmi_login_answer *answer)
{
    char pass[PASS_LEN + 1];
    struct lmi_away *away;

    give_password(pass);
    const struct lmi_login ask = {.user = text_of("alice"),
                                  .pass = text_of(pass),
                                  .hostname = text_of("localhost"),
                                  .service = text_of("cpanel"),
                                  .away_out = &away};
    lmi_login(core, &ask, answer);
    lmi_wipe(pass, sizeof pass);
    if (away != NULL)
        lmi_remote_login(remote, away, answer);
    lmi_away_free(away);
}

int
main(void)
{
    static struct lmi_login_answer answer;
    struct lmi_err err;
    struct lmi *core;
    char *volatile kept;

    choose_password();
    struct lmi_remote *remote = lmi_remote_new();
    if (remote == NULL || !lmi_remote_start() || lmi_new(&core, &err) != LMI_OK)
        return 1;
    for (int i = 0; i < 3; i++) {
        log_in(core, remote, &answer);
        printf("%s, %zu copies\n", answer.message, copies());
    }
    kept = malloc(PASS_LEN + 1);
    if (kept != NULL)
        give_password(kept);
    printf("control: %zu copies\n", copies());
    free(kept);
    lmi_remote_free(remote);
    lmi_free(core);
    return 0;
}
