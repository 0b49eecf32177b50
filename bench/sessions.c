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

#include "sessions/entry.h"
#include "worker.h"

#define BATCH 20000

struct client {
    char cookie[64];
    char token[LMI_TOKEN_SIZE];
    unsigned char key[1 + 1 + LMI_STORE_KEY]; /* as the store names it */
};

struct context {
    struct lmi *lmi;
    struct client *clients;
    size_t count, at;
    struct bench_copy copy;
};

static struct lmi_text
text_of(const char *string)
{
    return (struct lmi_text){LMI_TEXT_LATIN1, string, strlen(string)};
}

/* A stride of a large prime: each in turn, and none near the one before. */
static const struct client *
next_client(struct context *context)
{
    context->at = (context->at + 982451653) % context->count;
    return &context->clients[context->at];
}

static void
check(void *pointer)
{
    struct context *context = pointer;
    const struct client *client = next_client(context);
    enum lmi_outcome outcome;
    struct lmi_session session;
    struct lmi_err err;
    const struct lmi_access access = {.cookie = text_of(client->cookie),
                                      .token = text_of(client->token),
                                      .service = LMI_CPANEL};
    enum lmi_rc rc =
        lmi_session_check(context->lmi, &access, &outcome, &session, &err);

    bench_need(rc == LMI_OK && outcome == LMI_GRANTED, "checking a session");
}

/* As a check notes it, but for reading the account, of which there is none. */
static void
note(struct context *context, const struct client *client)
{
    struct lmi_text cookie = text_of(client->cookie);
    struct lmi_entry entry;
    struct lmi_err err;

    bench_need(lmi_entry_find_cookie(context->lmi, cookie, NULL, 0, &entry,
                                     &err) == LMI_OK &&
                   lmi_entry_touch(context->lmi, &entry, lmi_now(context->lmi),
                                   &err) == LMI_OK,
               "noting an access");
}

static void
get(void *pointer)
{
    struct context *context = pointer;
    const struct client *client = next_client(context);
    MDB_val name = {sizeof client->key, (void *)client->key}, data;
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

    lmi_free(context->lmi);
    setenv("LOGMEIN_CONF", settings, 1);
    bench_need(lmi_new(NULL, &context->lmi, &err) == LMI_OK &&
                   lmi_pin(context->lmi, &err) == LMI_OK &&
                   lmi_open(context->lmi, &err) == LMI_OK,
               "opening the store");
}

/* One session with its cookie; there is no such account to log in. */
static void
make(struct context *context, size_t number)
{
    struct client *client = &context->clients[number];
    int64_t now = lmi_now(context->lmi);
    struct lmi_record record = {.state = LMI_STATE_COOKIE,
                                .service = LMI_CPANEL,
                                .created = now,
                                .changed = now,
                                .ends = now + 86400};
    char secret[LMI_SECRET_CHARS + 1], cookie[LMI_COOKIE_SIZE];
    struct lmi_crypto *crypto = lmi_crypto_of(context->lmi);
    struct lmi_store_value value;
    struct lmi_store_op op;
    struct lmi_store_id id;
    struct lmi_err err;
    bool done = false;

    snprintf(record.user, sizeof record.user, "user%zu", number);
    enum lmi_rc rc =
        lmi_random(crypto, record.session_key, sizeof record.session_key, &err);
    if (rc == LMI_OK)
        rc = lmi_token_draw(crypto, record.digits, &err);
    if (rc == LMI_OK)
        rc = lmi_cookie_draw(crypto, record.user, cookie, secret, &err);
    if (rc == LMI_OK)
        rc = lmi_entry_id(context->lmi, LMI_KIND_COOKIE, secret, &id, &err);
    if (rc == LMI_OK)
        rc = lmi_entry_write(context->lmi, LMI_STORE_ADD, &id, &record, now,
                             NULL, &value, &op, &err);
    if (rc == LMI_OK)
        rc = lmi_store_apply(lmi_store_of(context->lmi), LMI_DURABLE, &op, 1,
                             now, &done, &err);
    bench_need(rc == LMI_OK && done, "making a session");
    bench_need(strlen(cookie) < sizeof client->cookie, "a short name");
    lmi_token_format(record.digits, client->token);
    memcpy(client->cookie, cookie, sizeof client->cookie);
    client->key[0] = 'e';
    client->key[1] = LMI_KIND_COOKIE;
    memcpy(client->key + 2, id.key, LMI_STORE_KEY);
}

static void
write_cookies(const struct context *context, const char *path)
{
    FILE *file = fopen(path, "w");

    bench_need(file != NULL, path);
    for (size_t i = 0; i < context->count; i++)
        fprintf(file, "%s %s\n", context->clients[i].cookie,
                context->clients[i].token);
    bench_need(fclose(file) == 0, path);
}

int
main(int argc, char **argv)
{
    static const struct bench_job jobs[] = {
        {"ours", check, BATCH}, {"get", get, BATCH}, {NULL, NULL, 0}};
    static struct context context;

    bench_need(argc == 7, "COUNT BEFORE AFTER STORE COPY COOKIES");
    context.count = (size_t)atol(argv[1]);
    context.clients = calloc(context.count, sizeof *context.clients);
    bench_need(context.clients != NULL, "memory for the sessions");
    reopen(&context, argv[2]);
    for (size_t i = 0; i < context.count; i++)
        make(&context, i);
    reopen(&context, argv[3]);
    for (size_t i = 0; i < context.count; i++)
        note(&context, &context.clients[i]);
    bench_open_copy(argv[4], argv[5], &context.copy);
    mdb_txn_reset(context.copy.reader);
    write_cookies(&context, argv[6]);
    bench_serve(jobs, &context);
    return 0;
}
