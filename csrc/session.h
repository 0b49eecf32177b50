/*
 * Making sessions. Redeeming, checking and ending them is in logmein.h.
 */
#ifndef LMI_SESSION_H
#define LMI_SESSION_H

#include "settings.h"
#include "token.h"

/* As lmi_sessions_open(), with settings that outlive the handle. */
LMI_CHECK enum lmi_rc lmi_sessions_new(struct lmi *core,
                                       const struct lmi_settings *settings,
                                       struct lmi_sessions **out,
                                       struct lmi_err *err);

/* For whom; reuse is the ten digits to share, or NULL. */
struct lmi_session_wish {
    const char *user;
    enum lmi_service service;
    const char *hash;
    const char *reuse;
};

/*
 * Makes a session and its ticket in one durable commit. `reuse` counts only
 * if it is the token of a live session of the same user and service;
 * otherwise a new one is drawn, and drawn again while another live session of
 * that user has it. Wipe the ticket after use.
 */
LMI_CHECK enum lmi_rc lmi_session_create(struct lmi_sessions *sessions,
                                         const struct lmi_session_wish *wish,
                                         char token_out[LMI_TOKEN_SIZE],
                                         char ticket_out[LMI_TICKET_SIZE],
                                         char id_out[LMI_ID_SIZE],
                                         struct lmi_err *err);

#endif
