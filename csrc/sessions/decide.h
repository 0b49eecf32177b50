/* The decisions about cookies and tickets. Pure: facts are gathered before. */
#ifndef LMI_DECIDE_H
#define LMI_DECIDE_H

#include "sessions/entry.h"

/* Seconds for which one reading of the account holds. */
#define LMI_ACCOUNT_SECONDS 60

/* How many cookies one ticket is swapped for: a double click makes two. */
#define LMI_CONTENDERS_MAX 32

struct lmi_check_facts {
    struct lmi_entry cookie;
    struct lmi_life life;
    enum lmi_service service; /* which the request is for */
    bool right_token;         /* the path's is the session's, or none matters */
    bool barred;              /* foreign, after three wrong tokens of such */
    bool logout;              /* access only ends: no account is needed */
    enum lmi_account_fact account;
};

/* GRANTED, WRONG_TOKEN, WRONG_SERVICE or UNKNOWN. */
enum lmi_outcome lmi_check_decide(const struct lmi_check_facts *facts);

struct lmi_redeem_facts {
    struct lmi_entry ticket, cookie; /* the cookie that came with it */
    struct lmi_life ticket_life, cookie_life;
    enum lmi_service service; /* which the request is for */
    bool right_token;         /* the path's is the ticket's */
    bool same_origin;         /* the browser is the one that spent the ticket */
    size_t contenders;        /* the cookies that a spent ticket has */
    bool confirmed, passive;
    enum lmi_account_fact account; /* the ticket's */
};

/* By the table at lmi_session_redeem(). */
enum lmi_outcome lmi_redeem_decide(const struct lmi_redeem_facts *facts);

#endif
