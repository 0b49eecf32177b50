/*
 * What is sent for a login elsewhere, and what of the answer is accepted. No
 * I/O.
 *
 * The other server is not trusted: nothing that it sends is shown to people,
 * and of its answer only a token and a cookie's value are kept, once their form
 * is right. The gateway is this machine's own: its sentences are passed on.
 */
#ifndef LMI_WIRE_H
#define LMI_WIRE_H

#include "base/buffer.h"
#include "login/request.h"

#define LMI_WIRE_MAX 65536 /* bytes of a whole answer, headers and body */
#define LMI_FORM_MAX (3 * (LMI_USER_MAX + LMI_PASS_MAX + LMI_URI_MAX) + 512)

/* The form of a login. with_address: with the browser's address. */
void lmi_wire_form(const struct lmi_request *request, bool with_address,
                   struct lmi_buffer *out);

/* An answer while it comes in. Begin with zeroes; it holds a secret. */
struct lmi_wire_reply {
    enum lmi_service service;
    bool too_long;
    bool in_body; /* header lines from here on are trailers: not looked at */
    bool has_cookie, cookie_ok;
    uint32_t retry_after; /* seconds; 0: not said */
    size_t received;
    size_t line_len, body_len;
    char cookie[LMI_VALUE_MAX + 1];
    char line[2 * LMI_VALUE_MAX];     /* of a header, with its continuations */
    char location[2 * LMI_VALUE_MAX]; /* the first one, as it came; or empty */
    char body[LMI_WIRE_MAX];
};

/*
 * Takes a line of the headers, its end included, or bytes of the body. False
 * if that is more than may come: the exchange should end.
 */
LMI_CHECK bool lmi_wire_header(struct lmi_wire_reply *reply, const char *line,
                               size_t len);
LMI_CHECK bool lmi_wire_body(struct lmi_wire_reply *reply, const char *bytes,
                             size_t len);

/* What an answer comes to. */
enum lmi_wire_verdict {
    LMI_WIRE_STRANGE = 0, /* not the answer of a cPanel-style server */
    LMI_WIRE_REFUSED,     /* the login is invalid */
    LMI_WIRE_TFA_WANTED,
    LMI_WIRE_TFA_WRONG,
    LMI_WIRE_WAIT,
    LMI_WIRE_AWAY, /* the server is in trouble */
    LMI_WIRE_GOOD,
};

struct lmi_wire_said {
    enum lmi_wire_verdict verdict;
    const char *why;                /* static, for the operator */
    char token[LMI_TOKEN_SIZE];     /* if good; empty: tokens are off */
    enum lmi_reason reason;         /* the gateway's, if refused */
    char message[LMI_MESSAGE_SIZE]; /* ... its sentence */
    char url[LMI_URL_SIZE];         /* the gateway's URL, if good */
};

/*
 * What another server has said. If it is good, reply->cookie is the value for
 * the URL: its own service's cookie, of the right form.
 */
void lmi_wire_judge(const struct lmi_wire_reply *reply, long status,
                    struct lmi_wire_said *out);

/*
 * Where an answer points to, for the operator: "/path", or "not shown" if it
 * holds the password; empty without a Location. Without user and password,
 * query and fragment; other bytes than printable ASCII as \xNN; cut.
 */
#define LMI_LOCATION_SIZE 204
void lmi_wire_location(const struct lmi_wire_reply *reply,
                       struct lmi_bytes pass, char out[LMI_LOCATION_SIZE]);

/*
 * What this machine's gateway has said; a URL must begin with `origin`,
 * "https://HOST:PORT". Strange: it does not keep to what was agreed.
 */
void lmi_wire_judge_gateway(const struct lmi_wire_reply *reply, long status,
                            const char *origin, struct lmi_wire_said *out);

#endif
