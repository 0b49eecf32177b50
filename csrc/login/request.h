/*
 * The parameters of a login and their grammar. No I/O; of the environment, the
 * two variables that hold a CGI script's browser address are read.
 */
#ifndef LMI_REQUEST_H
#define LMI_REQUEST_H

#include "base/address.h"
#include "sessions/token.h"

/* A request whose every part has passed its grammar. Holds the password. */
struct lmi_request {
    enum lmi_service service;
    char user[LMI_USER_MAX + 1]; /* the domain lower-cased */
    char *domain;                /* in user, behind the @; NULL: none */
    char pass[LMI_PASS_MAX + 1];
    size_t pass_len;
    char hostname[256];               /* lower-cased, without a trailing dot */
    char goto_uri[LMI_URI_MAX + 1];   /* canonical */
    char goto_plain[LMI_URI_MAX + 1]; /* as it came, from the slash on: what
                                         will be encoded as a whole */
    bool has_token;                   /* an active_token_for_reuse was passed */
    char digits[LMI_TOKEN_DIGITS];
    char remote_addr[LMI_ADDRESS_TEXT]; /* canonical; empty: not known */
    bool has_caller; /* a process of this machine asks, through a gateway */
    uint32_t caller_uid;
    char tfa_token[65]; /* empty: none */
};

/*
 * Reads a request. *complaint_out is NULL if all is well, else a static
 * sentence that names the parameter and the rule. request_out is secret
 * memory (crypto.h), or NULL with a complaint.
 */
LMI_RC lmi_request_read(const struct lmi_login *ask,
                        struct lmi_request **request_out,
                        const char **complaint_out, struct lmi_err *err);
void lmi_request_free(struct lmi_request *request);

/* As lmi_uri_read(): a user's name. *domain_out is in out, behind the @, or
 * NULL; with a complaint neither says anything. */
const char *lmi_user_read(struct lmi_text text, char out[LMI_USER_MAX + 1],
                          char **domain_out);

/* The same: a hostname, an IPv4 address, or [IPv6]. */
const char *lmi_hostname_read(struct lmi_text text, char out[256]);

#endif
