/* Drawing, writing and reading security tokens, tickets and cookies. */
#ifndef LMI_TOKEN_H
#define LMI_TOKEN_H

#include "base/crypto.h"
#include "base/text.h"

#define LMI_TOKEN_DIGITS 10
#define LMI_SECRET_CHARS 43 /* 32 bytes as base64url */

/* Ten uniform digits, zero-padded; no terminator. */
LMI_RC lmi_token_draw(struct lmi_crypto *crypto,
                      char digits_out[LMI_TOKEN_DIGITS], struct lmi_err *err);

/* "/cpsess" and the digits. */
void lmi_token_format(const char digits[LMI_TOKEN_DIGITS],
                      char out[LMI_TOKEN_SIZE]);

/* "/cpsess" and ten digits, with or without its slash; else false. */
bool lmi_token_parse(struct lmi_text text, char digits_out[LMI_TOKEN_DIGITS]);

/* Is this a token with these digits? Takes as long whatever the digits are. */
bool lmi_token_is(struct lmi_text text, const char digits[LMI_TOKEN_DIGITS]);

/* A ticket: "lmt_" and 43 characters. */
LMI_RC lmi_ticket_draw(struct lmi_crypto *crypto, char out[LMI_TICKET_SIZE],
                       struct lmi_err *err);

/* Has this the shape of a ticket? ticket_out gets it, terminated. */
bool lmi_ticket_parse(struct lmi_text text, char ticket_out[LMI_TICKET_SIZE]);

/*
 * A cookie: the user, percent-encoded, "%3a", and 43 characters. secret_out
 * is the part behind "%3a", terminated.
 */
LMI_RC lmi_cookie_draw(struct lmi_crypto *crypto, const char *user,
                       char out[LMI_COOKIE_SIZE],
                       char secret_out[LMI_SECRET_CHARS + 1],
                       struct lmi_err *err);

/* Splits a cookie, percent-decoding it once; both outputs are terminated. */
bool lmi_cookie_parse(struct lmi_text text, char user_out[LMI_USER_MAX + 1],
                      char secret_out[LMI_SECRET_CHARS + 1]);

#endif
