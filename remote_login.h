/*
 * How the two loadable objects meet. Remote.so leaves a struct remote_login,
 * as a string of bytes, in PL_modglobal, which C code alone can reach;
 * LogMeIn.so finds it there once the Perl module is loaded.
 */
#ifndef REMOTE_LOGIN_H
#define REMOTE_LOGIN_H

#include "csrc/logmein.h"

#define REMOTE_LOGIN_KEY "Cpanel::LogMeIn/remote_login"

struct remote_login {
    size_t size; /* of an answer: objects of different builds don't fit */
    /* As lmi_remote_login(), with the interpreter's connections. */
    void (*log_in)(pTHX_ const struct lmi_settings *settings,
                   const struct lmi_login *ask,
                   struct lmi_login_answer *answer);
};

#endif
