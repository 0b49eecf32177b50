/* The decision about a password. Pure: everything was computed before. */
#ifndef LMI_LOGIN_H
#define LMI_LOGIN_H

#include "accounts/account.h"

struct lmi_login_facts {
    uint32_t wait;            /* seconds, after too many failures */
    enum lmi_verdict account; /* without regard to its password */
    bool match;               /* the password is that of the account's hash */
};

/* LMI_ALLOWED, or why not. */
enum lmi_verdict lmi_login_decide(const struct lmi_login_facts *facts);

#endif
