/*
 * Fills a store: COUNT sessions that are active, nine of ten of them of one
 * user, and COUNT that have expired, as logins and redemptions leave them, each
 * with its ticket and its cookie. Prints cookie and token of the first SHOWN of
 * that user, whose password has the hash HASH, so that they can be used.
 *
 *     make COUNT USER [SHOWN HASH] (settings: LOGMEIN_CONF)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sessions/entry.h"

#define BATCH 250    /* sessions of a commit */
#define AGE 43200    /* seconds since an expired one was used */
#define LONG_AGO 999 /* days: no commit removes what has expired since */

static struct lmi *lmi;
static struct lmi_err err;

static void
need(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "%s: %s\n", what, err.text != NULL ? err.text : "failed");
    exit(1);
}

static void
draw_id(uint8_t kind, struct lmi_store_id *out)
{
    out->kind = kind;
    need(lmi_random(lmi_crypto_of(lmi), out->key, sizeof out->key, &err) ==
             LMI_OK,
         "random bytes");
}

/* The two operations of a session that was used at this time, and is shown if
   there is the user's hash. */
static void
make(const char *user, int64_t used, const char *hash,
     struct lmi_store_value values[2], struct lmi_store_op ops[2])
{
    char text[LMI_COOKIE_SIZE], secret[LMI_SECRET_CHARS + 1];
    struct lmi_record cookie = {.state = LMI_STATE_COOKIE,
                                .service = LMI_CPANEL,
                                .created = used,
                                .changed = used,
                                .redeemed = used,
                                .ends = used + 86400},
                      ticket;
    struct lmi_store_id ids[2];

    snprintf(cookie.user, sizeof cookie.user, "%s", user);
    need(lmi_random(lmi_crypto_of(lmi), cookie.session_key, LMI_SESSION_KEY,
                    &err) == LMI_OK &&
             lmi_token_draw(lmi_crypto_of(lmi), cookie.digits, &err) == LMI_OK,
         "random bytes");
    need(lmi_address_parse("192.0.2.7", &cookie.address), "an address");
    draw_id(LMI_KIND_TICKET, &ids[0]);
    need(lmi_cookie_draw(lmi_crypto_of(lmi), user, text, secret, &err) ==
                 LMI_OK &&
             lmi_entry_id(lmi, LMI_KIND_COOKIE, secret, &ids[1], &err) ==
                 LMI_OK,
         "a cookie");
    if (hash != NULL) {
        need(lmi_entry_fingerprint(lmi, hash, cookie.fingerprint, &err) ==
                 LMI_OK,
             "a fingerprint");
        printf("%s /cpsess%.*s\n", text, LMI_TOKEN_DIGITS, cookie.digits);
    }
    ticket = cookie;
    ticket.state = LMI_STATE_SPENT;
    memcpy(ticket.peer, ids[1].key, LMI_STORE_KEY);
    memcpy(cookie.peer, ids[0].key, LMI_STORE_KEY);
    need(lmi_entry_write(lmi, LMI_STORE_ADD, &ids[0], &ticket, used, NULL,
                         &values[0], &ops[0], &err) == LMI_OK &&
             lmi_entry_write(lmi, LMI_STORE_ADD, &ids[1], &cookie, used, NULL,
                             &values[1], &ops[1], &err) == LMI_OK,
         "a record");
}

int
main(int argc, char **argv)
{
    static struct lmi_store_value values[4 * BATCH];
    static struct lmi_store_op ops[4 * BATCH];
    char other[64];
    size_t used = 0;
    bool done;

    need(argc == 3 || argc == 5, "COUNT USER [SHOWN HASH]");
    size_t shown = argc == 5 ? (size_t)atol(argv[3]) : 0;
    need(lmi_new(NULL, &lmi, &err) == LMI_OK && lmi_pin(lmi, &err) == LMI_OK &&
             lmi_open(lmi, &err) == LMI_OK && lmi_enter(lmi, &err) == LMI_OK,
         "opening the store");
    int64_t now = lmi_now(lmi);
    size_t count = (size_t)atol(argv[1]);
    for (size_t i = 0; i < count; i++) {
        snprintf(other, sizeof other, "user%zu", i);
        bool is_users = i % 10 > 0;
        make(is_users ? argv[2] : other, now,
             is_users && shown > 0 ? argv[4] : NULL, &values[used], &ops[used]);
        shown -= is_users && shown > 0;
        make(other, now - AGE, NULL, &values[used + 2], &ops[used + 2]);
        used += 4;
        if (used < 4 * BATCH && i + 1 < count)
            continue;
        need(lmi_store_apply(lmi_store_of(lmi), LMI_DURABLE, ops, used,
                             now - LONG_AGO * INT64_C(86400), &done,
                             &err) == LMI_OK &&
                 done,
             "a commit");
        used = 0;
    }
    lmi_free(lmi);
    return 0;
}
