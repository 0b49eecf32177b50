#define PERL_NO_GET_CONTEXT
#include "EXTERN.h"
#include "perl.h"
#include "XSUB.h"

#include <pthread.h>

#include "remote_login.h"

/*
 * Glue for logins that leave the process. It has no Perl functions: LogMeIn.xs
 * calls log_in() below.
 */

typedef struct {
    struct lmi_remote *remote;
} my_cxt_t;
#define MY_CXT_KEY "Cpanel::LogMeIn::Remote::_guts" XS_VERSION
START_MY_CXT

/* libcurl wants to be started once in a process, whatever the threads. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool started;

static void
start(void)
{
    started = lmi_remote_start();
}

/* As in LogMeIn.xs: the handle of the interpreter that ends. */
static void
free_remote(pTHX_ void *unused)
{
    dMY_CXT;

    PERL_UNUSED_VAR(unused);
    lmi_remote_free(MY_CXT.remote);
    MY_CXT.remote = NULL;
}

static void
log_in(pTHX_ const struct lmi_settings *settings, const struct lmi_login *ask,
       struct lmi_login_answer *answer)
{
    dMY_CXT;

    if (MY_CXT.remote == NULL)
        MY_CXT.remote = lmi_remote_new();
    lmi_remote_login(MY_CXT.remote, settings, ask, answer);
}

MODULE = Cpanel::LogMeIn::Remote    PACKAGE = Cpanel::LogMeIn::Remote

PROTOTYPES: DISABLE

BOOT:
{
    const struct remote_login remote = {sizeof(struct lmi_login_answer),
                                        log_in};
    MY_CXT_INIT;

    MY_CXT.remote = NULL;
    pthread_once(&once, start);
    if (!started)
        croak("libcurl can't be started");
    call_atexit(free_remote, NULL);
    (void)hv_stores(PL_modglobal, REMOTE_LOGIN_KEY,
                    newSVpvn((const char *)&remote, sizeof remote));
}

#ifdef USE_ITHREADS

void
CLONE(...)
CODE:
    MY_CXT_CLONE;
    PERL_UNUSED_VAR(items);
    MY_CXT.remote = NULL;

#endif
