/*
 * A login that leaves the process: who it is from, and by which door it goes.
 */
#ifndef LMI_AWAY_H
#define LMI_AWAY_H

#include "request.h"
#include "settings.h"

enum lmi_door {
    LMI_DOOR_HTTPS,  /* to the host that the request names */
    LMI_DOOR_GATEWAY /* to this machine's gateway, by its socket */
};

struct lmi_away {
    enum lmi_door door;
    struct lmi_request *request;   /* ours */
    struct lmi_settings *settings; /* ours */
};

/*
 * Takes request and settings over, whatever comes of it; NULL in *out if there
 * is no memory. lmi_away_free() is in logmein.h.
 */
LMI_CHECK enum lmi_rc lmi_away_new(enum lmi_door door,
                                   struct lmi_request *request,
                                   struct lmi_settings *settings,
                                   struct lmi_away **out, struct lmi_err *err);

#endif
