/*
 * Rows 1 and 2: a login in a long-running process, against what can't be
 * spared: the hash, and for cheap hashes the commit.
 *
 *     LOGMEIN_CONF=FILE bin/login HASH STORE COPY BATCH
 *
 * STORE is the folder of the settings' store, COPY an empty one.
 */
#include <crypt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "logmein.h"
#include "worker.h"

#define PASSWORD "secret"

/* An entry as the store writes it: one for each of its three indexes. */
struct shape {
    char index;
    size_t key_len, value_len;
};

struct context {
    const char *hash;
    struct lmi *lmi;
    struct crypt_data crypt;
    struct bench_copy copy;
    struct shape shapes[3];
};

static void
login(void *pointer)
{
    struct context *context = pointer;
    static struct lmi_login_answer answer;
    const struct lmi_login ask = {
        .user = {LMI_TEXT_LATIN1, "alice", 5},
        .pass = {LMI_TEXT_LATIN1, PASSWORD, sizeof PASSWORD - 1},
        .hostname = {LMI_TEXT_LATIN1, "localhost", 9},
        .service = {LMI_TEXT_LATIN1, "cpanel", 6},
        .goto_uri = {LMI_TEXT_LATIN1, "/", 1}};

    lmi_login(context->lmi, &ask, &answer);
    bench_need(answer.reason == LMI_REASON_OK, answer.detail);
    lmi_login_answer_wipe(&answer);
}

static void
hash(void *pointer)
{
    struct context *context = pointer;
    const char *computed = crypt_rn(PASSWORD, context->hash, &context->crypt,
                                    (int)sizeof context->crypt);

    bench_need(computed != NULL && strcmp(computed, context->hash) == 0,
               "the bare hash");
}

/* Random like the hashes that our keys are; expiries come in order. */
static void
fill_key(const struct shape *shape, unsigned char *out)
{
    size_t from = 1;
    time_t now = time(NULL);

    out[0] = (unsigned char)shape->index;
    if (shape->index == 'x')
        for (; from < 9; from++)
            out[from] = (unsigned char)((uint64_t)now >> (64 - 8 * from));
    for (size_t i = from; i < shape->key_len; i++)
        out[i] = (unsigned char)(random() >> 8);
}

static void
commit(void *pointer)
{
    struct context *context = pointer;
    unsigned char key[512], value[2048] = {0};
    MDB_txn *txn;
    int code = mdb_txn_begin(context->copy.env, NULL, 0, &txn);

    for (size_t i = 0; code == 0 && i < 3; i++) {
        const struct shape *shape = &context->shapes[i];
        MDB_val name = {shape->key_len, key}, data = {shape->value_len, value};
        fill_key(shape, key);
        code = mdb_put(txn, context->copy.dbi, &name, &data, 0);
    }
    if (code == 0)
        code = mdb_txn_commit(txn);
    bench_need(code == 0, "the bare commit");
}

static void
hash_and_commit(void *pointer)
{
    hash(pointer);
    commit(pointer);
}

/* The largest entry of an index is a session's; the other is the key's. */
static void
learn(MDB_cursor *cursor, struct shape *shape)
{
    MDB_val name, data;
    int code = mdb_cursor_get(cursor, &name, &data, MDB_FIRST);

    for (; code == 0; code = mdb_cursor_get(cursor, &name, &data, MDB_NEXT)) {
        if (*(const char *)name.mv_data != shape->index ||
            name.mv_size < shape->key_len || data.mv_size < shape->value_len)
            continue;
        shape->key_len = name.mv_size;
        shape->value_len = data.mv_size;
    }
    bench_need(shape->key_len > 0, "an entry to learn from");
}

/*
 * The baseline's environment is a copy of the store after one login, so that
 * both trees have the same beginning, and tells what a login wrote.
 */
static void
learn_all(struct context *context)
{
    MDB_cursor *cursor;
    MDB_txn *reader = context->copy.reader;

    bench_need(mdb_cursor_open(reader, context->copy.dbi, &cursor) == 0,
               "looking into the copy");
    for (size_t i = 0; i < 3; i++)
        learn(cursor, &context->shapes[i]);
    mdb_cursor_close(cursor);
    bench_need(mdb_txn_commit(reader) == 0, "keeping the database's handle");
}

int
main(int argc, char **argv)
{
    static struct context context = {
        .shapes = {{.index = 'e'}, {.index = 'x'}, {.index = 'g'}}};
    struct lmi_err err;

    bench_need(argc == 5, "HASH STORE COPY BATCH");
    unsigned batch = (unsigned)atoi(argv[4]);
    const struct bench_job jobs[] = {
        {"ours", login, batch},
        {"hash", hash, batch},
        {"commit", commit, batch},
        {"hash_and_commit", hash_and_commit, batch},
        {NULL, NULL, 0}};
    context.hash = argv[1];
    bench_need(lmi_new(NULL, &context.lmi, &err) == LMI_OK, "starting OpenSSL");
    login(&context);
    bench_open_copy(argv[2], argv[3], &context.copy);
    learn_all(&context);
    bench_serve(jobs, &context);
    return 0;
}
