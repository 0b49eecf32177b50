/*
 * Rows 1 and 2: a login in a long-running process, against what can't be
 * spared: the hash, and for cheap hashes the commit.
 *
 *     LOGMEIN_CONF=FILE bin/login HASH STORE COPY BATCH
 *
 * STORE is the folder of the settings' store, COPY an empty one.
 */
#include <crypt.h>
#include <lmdb.h>
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
    struct lmi *core;
    struct crypt_data crypt;
    MDB_env *env;
    MDB_dbi dbi;
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

    lmi_login(context->core, &ask, &answer);
    bench_need(answer.login_ok, answer.detail);
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
    int code = mdb_txn_begin(context->env, NULL, 0, &txn);

    for (size_t i = 0; code == 0 && i < 3; i++) {
        const struct shape *shape = &context->shapes[i];
        MDB_val name = {shape->key_len, key}, data = {shape->value_len, value};
        fill_key(shape, key);
        code = mdb_put(txn, context->dbi, &name, &data, 0);
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
open_copy(struct context *context, const char *store, const char *copy)
{
    char command[1024];
    MDB_txn *txn;
    MDB_cursor *cursor;
    int code;

    snprintf(command, sizeof command, "cp '%s/data.mdb' '%s/data.mdb'", store,
             copy);
    bench_need(system(command) == 0, "copying the store");
    code = mdb_env_create(&context->env);
    if (code == 0)
        code = mdb_env_set_mapsize(context->env, (size_t)1 << 30);
    if (code == 0)
        code = mdb_env_open(context->env, copy, MDB_NOTLS, 0600);
    if (code == 0)
        code = mdb_txn_begin(context->env, NULL, MDB_RDONLY, &txn);
    if (code == 0)
        code = mdb_dbi_open(txn, NULL, 0, &context->dbi);
    if (code == 0)
        code = mdb_cursor_open(txn, context->dbi, &cursor);
    bench_need(code == 0, "opening the copy");
    for (size_t i = 0; i < 3; i++)
        learn(cursor, &context->shapes[i]);
    mdb_cursor_close(cursor);
    bench_need(mdb_txn_commit(txn) == 0, "keeping the database's handle");
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
    bench_need(lmi_new(&context.core, &err) == LMI_OK, "starting OpenSSL");
    login(&context);
    open_copy(&context, argv[2], argv[3]);
    bench_serve(jobs, &context);
    return 0;
}
