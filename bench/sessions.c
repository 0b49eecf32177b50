/*
 * Row 4: the check of a session among many, against a bare mdb_get of the
 * same entry.
 *
 *     bin/sessions COUNT BEFORE.conf AFTER.conf STORE COPY COOKIES
 *
 * The two settings differ in test_clock: the sessions are made at one time
 * and used once at the other, so that each has a volatile last_seen, as every
 * session older than a minute has. COOKIES is the file that check.pl reads.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sessions/sessions.h"
#include "worker.h"

#define BATCH 20000

struct visitor {
    char cookie[64];
    char token[LMI_TOKEN_SIZE];
    unsigned char key[1 + 1 + LMI_STORE_KEY]; /* as the store names it */
};

struct context {
    struct lmi *core;
    struct lmi_sessions *sessions;
    struct visitor *visitors;
    size_t count, at;
    struct bench_copy copy;
};

static struct lmi_text
text_of(const char *string)
{
    return (struct lmi_text){LMI_TEXT_LATIN1, string, strlen(string)};
}

/* A stride of a large prime: each in turn, and none near the one before. */
static const struct visitor *
next_visitor(struct context *context)
{
    context->at = (context->at + 982451653) % context->count;
    return &context->visitors[context->at];
}

static void
check(void *pointer)
{
    struct context *context = pointer;
    const struct visitor *visitor = next_visitor(context);
    enum lmi_outcome outcome;
    struct lmi_session session;
    struct lmi_err err;
    const struct lmi_access visit = {.cookie = text_of(visitor->cookie),
                                     .token = text_of(visitor->token),
                                     .service = LMI_CPANEL};
    enum lmi_rc rc =
        lmi_session_check(context->sessions, &access, &outcome, &session, &err);

    bench_need(rc == LMI_OK && outcome == LMI_GRANTED, "checking a session");
}

/* As a check notes it, but for reading the account, of which there is none. */
static void
note(struct context *context, const struct visitor *visitor)
{
    struct lmi_text cookie = text_of(visitor->cookie);
    struct lmi_found found;
    struct lmi_err err;

    bench_need(lmi_vault_find_cookie(context->sessions, &cookie, &found,
                                     &err) == LMI_OK &&
                   lmi_vault_touch(context->sessions, &found,
                                   lmi_vault_now(context->sessions),
                                   &err) == LMI_OK,
               "noting a visit");
}

static void
get(void *pointer)
{
    struct context *context = pointer;
    const struct visitor *visitor = next_visitor(context);
    MDB_val name = {sizeof visitor->key, (void *)visitor->key}, data;
    int code = mdb_txn_renew(context->copy.reader);

    if (code == 0)
        code = mdb_get(context->copy.reader, context->copy.dbi, &name, &data);
    bench_need(code == 0, "the bare mdb_get");
    mdb_txn_reset(context->copy.reader);
}

static void
reopen(struct context *context, const char *settings)
{
    struct lmi_err err;

    lmi_sessions_close(context->sessions);
    setenv("LOGMEIN_CONF", settings, 1);
    bench_need(lmi_sessions_open(context->core, &context->sessions, &err) ==
                   LMI_OK,
               "opening the store");
}

/* One session, from its login to its cookie. */
static void
make(struct context *context, size_t number)
{
    struct visitor *visitor = &context->visitors[number];
    char user[32];
    const struct lmi_session_params params = {
        .user = user, .service = LMI_CPANEL, .hash = "$6$salt$hash"};
    struct lmi_session_made made;
    struct lmi_redeemed redeemed;
    enum lmi_outcome outcome = LMI_UNKNOWN;
    struct lmi_err err;

    snprintf(user, sizeof user, "user%zu", number);
    enum lmi_rc rc =
        lmi_session_create(context->sessions, &params, &made, &err);
    const struct lmi_access visit = {.ticket = text_of(made.secret),
                                     .token = text_of(made.token),
                                     .service = LMI_CPANEL};
    if (rc == LMI_OK)
        rc = lmi_session_redeem(context->sessions, &access, &outcome, &redeemed,
                                &err);
    bench_need(rc == LMI_OK && outcome == LMI_GRANTED, "making a session");
    memcpy(visitor->token, made.token, sizeof visitor->token);
    bench_need(strlen(redeemed.cookie) < sizeof visitor->cookie,
               "a short name");
    memcpy(visitor->cookie, redeemed.cookie, sizeof visitor->cookie);
    const char *secret = strstr(visitor->cookie, "%3a") + 3;
    visitor->key[0] = 'e';
    visitor->key[1] = LMI_KIND_COOKIE;
    rc = lmi_sha256(context->core, secret, strlen(secret), visitor->key + 2,
                    &err);
    bench_need(rc == LMI_OK, "hashing a cookie");
}

static void
write_cookies(const struct context *context, const char *path)
{
    FILE *file = fopen(path, "w");

    bench_need(file != NULL, path);
    for (size_t i = 0; i < context->count; i++)
        fprintf(file, "%s %s\n", context->visitors[i].cookie,
                context->visitors[i].token);
    bench_need(fclose(file) == 0, path);
}

int
main(int argc, char **argv)
{
    static const struct bench_job jobs[] = {
        {"ours", check, BATCH}, {"get", get, BATCH}, {NULL, NULL, 0}};
    static struct context context;
    struct lmi_err err;

    bench_need(argc == 7, "COUNT BEFORE AFTER STORE COPY COOKIES");
    context.count = (size_t)atol(argv[1]);
    context.visitors = calloc(context.count, sizeof *context.visitors);
    bench_need(context.visitors != NULL, "memory for the sessions");
    bench_need(lmi_new(&context.core, &err) == LMI_OK, "starting OpenSSL");
    reopen(&context, argv[2]);
    for (size_t i = 0; i < context.count; i++)
        make(&context, i);
    reopen(&context, argv[3]);
    for (size_t i = 0; i < context.count; i++)
        note(&context, &context.visitors[i]);
    bench_open_copy(argv[4], argv[5], &context.copy);
    mdb_txn_reset(context.copy.reader);
    write_cookies(&context, argv[6]);
    bench_serve(jobs, &context);
    return 0;
}
