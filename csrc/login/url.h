/* Building login URLs. */
#ifndef LMI_URL_H
#define LMI_URL_H

#include "base/settings.h"
#include "sessions/token.h"

/* All parts have passed their grammar; goto_uri is canonical. */
struct lmi_url_parts {
    enum lmi_url_form form;
    const char *hostname;
    uint32_t port;
    const char *token; /* with its slash */
    const char *goto_uri;
    const char *ticket;
};

/*
 * In the form "login" a goto_uri of "/" is left out. false if it does not fit,
 * which the parts' own limits prevent.
 */
bool lmi_url_build(const struct lmi_url_parts *parts, char out[LMI_URL_SIZE]);

/*
 * The URL for another server, in the original module's form: `ticket` is the
 * value of its cookie, `token` may be empty, `form` is ignored.
 */
bool lmi_url_build_remote(const struct lmi_url_parts *parts,
                          char out[LMI_URL_SIZE]);

#endif
