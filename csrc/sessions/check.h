/*
 * The decision about a cookie. Pure: the facts are gathered before.
 */
#ifndef LMI_CHECK_H
#define LMI_CHECK_H

#include "sessions/entry.h"

/* Seconds for which one reading of the account holds. */
#define LMI_ACCOUNT_SECONDS 60

struct lmi_check_facts {
    struct lmi_entry cookie;
    struct lmi_life life;
    enum lmi_service service; /* which the request is for */
    bool right_token;         /* the path's is the session's, or none matters */
    bool logout;              /* access only ends: no account is needed */
    enum lmi_account_fact account;
};

/* GRANTED, WRONG_TOKEN, WRONG_SERVICE or UNKNOWN. */
enum lmi_outcome lmi_check_decide(const struct lmi_check_facts *facts);

#endif
