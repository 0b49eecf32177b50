/*
 * The decision about a ticket: the table of logmein.h. Pure: the facts are
 * gathered before.
 */
#ifndef LMI_REDEEM_H
#define LMI_REDEEM_H

#include "sessions/entry.h"

struct lmi_redeem_facts {
    struct lmi_entry ticket, cookie; /* the cookie that came with it */
    struct lmi_life ticket_life, cookie_life;
    enum lmi_service service; /* which the request is for */
    bool right_token;         /* the path's is the ticket's */
    bool same_origin;         /* who asks is who spent the ticket */
    bool confirmed, passive;
    enum lmi_account_fact account; /* the ticket's */
};

enum lmi_outcome lmi_redeem_decide(const struct lmi_redeem_facts *facts);

#endif
