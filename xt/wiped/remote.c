/*
 * Logs in at another server, by the settings that LOGMEIN_CONF names, and
 * prints the answer and how many copies of the password are left in memory.
 */
#include <stdlib.h>

#include "../../t/core/copies.h"
#include "logmein.h"

static struct lmi_text
text_of(const char *text)
{
    return (struct lmi_text){LMI_TEXT_LATIN1, text, strlen(text)};
}

/* The request, with the password in it, is released; the handle stays. */
static void __attribute__((noinline))
log_in(struct lmi *lmi, struct lmi_remote *remote,
       struct lmi_login_answer *answer)
{
    char pass[PASS_LEN + 1];
    const struct lmi_settings *settings;
    struct lmi_err err;

    give_password(pass);
    const struct lmi_login ask = {.user = text_of("alice"),
                                  .pass = text_of(pass),
                                  .hostname = text_of("localhost"),
                                  .service = text_of("cpanel"),
                                  .may_leave = true};
    lmi_login(lmi, &ask, answer);
    if (lmi_settings_get(lmi, &settings, &err) == LMI_OK)
        lmi_remote_login(remote, settings, &ask, answer);
    lmi_wipe(pass, sizeof pass);
}

int
main(void)
{
    static struct lmi_login_answer answer;
    struct lmi_err err;
    struct lmi *lmi;
    char *volatile kept;

    choose_password();
    struct lmi_remote *remote = lmi_remote_new();
    if (remote == NULL || !lmi_remote_start() ||
        lmi_new(NULL, &lmi, &err) != LMI_OK)
        return 1;
    for (int i = 0; i < 3; i++) {
        log_in(lmi, remote, &answer);
        printf("%s, %zu copies\n", answer.message, copies());
    }
    kept = malloc(PASS_LEN + 1);
    if (kept != NULL)
        give_password(kept);
    printf("control: %zu copies\n", copies());
    free(kept);
    lmi_remote_free(remote);
    lmi_free(lmi);
    return 0;
}
