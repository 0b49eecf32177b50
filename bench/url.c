/*
 * Row 5: what a login makes besides its session: a token, a ticket, and the
 * URL that holds both. url.pl does the same in Perl.
 */
#include <stdbool.h>
#include <string.h>

#include "login/request.h"
#include "sessions/token.h"
#include "login/url.h"
#include "worker.h"

#define GOTO_URI "/frontend/paper_lantern/mail/pops.html?domain=a b.example#top"

static void
make_url(void *pointer)
{
    struct lmi_crypto *crypto = pointer;
    const struct lmi_text params = {LMI_TEXT_LATIN1, GOTO_URI,
                                    sizeof GOTO_URI - 1};
    char digits[LMI_TOKEN_DIGITS], token[LMI_TOKEN_SIZE];
    char ticket[LMI_TICKET_SIZE], uri[LMI_URI_MAX + 1], url[LMI_URL_SIZE];
    const struct lmi_url_parts parts = {.form = LMI_URL_DIRECT,
                                        .hostname = "host.example",
                                        .port = 2083,
                                        .token = token,
                                        .goto_uri = uri,
                                        .ticket = ticket};
    struct lmi_err err;
    bool good = lmi_uri_read(params, uri) == NULL &&
                lmi_token_draw(crypto, digits, &err) == LMI_OK &&
                lmi_ticket_draw(crypto, ticket, &err) == LMI_OK;

    lmi_token_format(digits, token);
    bench_need(good && lmi_url_build(&parts, url), "building a URL");
}

int
main(void)
{
    static const struct bench_job jobs[] = {{"ours", make_url, 20000},
                                            {NULL, NULL, 0}};
    struct lmi_crypto *crypto;
    struct lmi_err err;

    bench_need(lmi_crypto_new(&crypto, &err) == LMI_OK, "starting OpenSSL");
    bench_serve(jobs, crypto);
    return 0;
}
