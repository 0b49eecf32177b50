/* Making a session. */
#ifndef LMI_CREATE_H
#define LMI_CREATE_H

#include "sessions/entry.h"

/* For whom; reuse is the ten digits to share, or NULL. */
struct lmi_session_params {
    const char *user;
    enum lmi_service service;
    const char *hash;
    const char *reuse;
    bool dual_use;                   /* a cookie, instead of a ticket */
    const struct lmi_store_op *with; /* in the same step; NULL: none */
};

/* What a new session is opened with: the secret is wiped by the caller. */
struct lmi_session_made {
    char token[LMI_TOKEN_SIZE];
    char id[LMI_ID_SIZE];
    char secret[LMI_COOKIE_SIZE]; /* a ticket, or a dual-use cookie */
};

/*
 * Makes a session in one durable commit. `reuse` counts only if it is the
 * token of a live session of the same user and service; otherwise a new one
 * is drawn, and drawn again while another live session of that user has it.
 */
LMI_RC lmi_session_create(struct lmi *lmi,
                          const struct lmi_session_params *params,
                          struct lmi_session_made *out, struct lmi_err *err);

#endif
