/*
 * Another request is faster, in every one of the rounds that a change is tried:
 * a fault is reported, never a refusal, and nothing is granted or dropped in
 * silence. This program's functions stand before LMDB's: in its writing
 * transactions what a batch expects is always different.
 */
#include <dlfcn.h>
#include <lmdb.h>

#include "scratch.h"
#include "sessions/attempts.h"

#define NOW 1700000000

static bool losing;
static MDB_txn *writer;
static unsigned rounds;

/* The key of an entry that each search in a group finds; empty: none. */
static uint8_t found[1 + LMI_STORE_KEY];

#pragma GCC visibility push(default)

static void *
real(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

int
mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **out)
{
    int (*begin)(MDB_env *, MDB_txn *, unsigned, MDB_txn **);
    void *name = real("mdb_txn_begin");
    int code;

    memcpy(&begin, &name, sizeof begin);
    code = begin(env, parent, flags, out);
    if (code == 0 && (flags & MDB_RDONLY) == 0) {
        writer = *out;
        rounds += losing;
    }
    return code;
}

int
mdb_get(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data)
{
    static uint8_t other[10] = {0};
    int (*get)(MDB_txn *, MDB_dbi, MDB_val *, MDB_val *);
    void *name = real("mdb_get");
    int code;

    memcpy(&get, &name, sizeof get);
    code = get(txn, dbi, key, data);
    if (!losing || txn != writer || *(const char *)key->mv_data != 'e')
        return code;
    if (code == 0)
        return MDB_NOTFOUND;
    *data = (MDB_val){.mv_size = sizeof other, .mv_data = other};
    return 0;
}

int
mdb_cursor_get(MDB_cursor *cursor, MDB_val *key, MDB_val *data,
               MDB_cursor_op op)
{
    static uint8_t bytes[1 + LMI_STORE_GROUP + 8 + sizeof found];
    int (*get)(MDB_cursor *, MDB_val *, MDB_val *, MDB_cursor_op);
    void *name = real("mdb_cursor_get");

    memcpy(&get, &name, sizeof get);
    if (found[0] == 0 || key->mv_size != 1 + LMI_GROUP)
        return get(cursor, key, data, op);
    rounds++;
    memcpy(bytes, key->mv_data, key->mv_size);
    memcpy(bytes + key->mv_size + 8, found, sizeof found);
    key->mv_size += 8 + sizeof found;
    key->mv_data = bytes;
    return 0;
}

#pragma GCC visibility pop

static struct lmi *lmi;
static struct lmi_login_answer answer;
static struct lmi_err err;

static void
log_in(bool dual_use)
{
    const struct lmi_login ask = {.user = text_of("alice"),
                                  .pass = text_of("secret"),
                                  .hostname = text_of("localhost"),
                                  .service = text_of("cpanel"),
                                  .remote_addr = text_of("192.0.2.1"),
                                  .dual_use = dual_use};

    lmi_login(lmi, &ask, &answer);
}

static struct lmi_access
access_with(const char *token)
{
    return (struct lmi_access){.token = text_of(token), .service = LMI_CPANEL};
}

/* From here on every round is lost. */
static void
lose(void)
{
    losing = true;
    rounds = 0;
}

/* No more rounds are lost. Was the fault reported, after all of them? */
static void
is_busy(enum lmi_rc rc, const char *what)
{
    losing = false;
    found[0] = 0;
    ok(rc == LMI_STORE && rounds == LMI_ROUNDS && err.text != NULL &&
           strstr(err.text, "changed by other requests") != NULL,
       "%s: a fault after %u rounds", what, rounds);
}

static void
test_login(void)
{
    struct lmi_attempt attempt;
    uint32_t wait;

    lose();
    enum lmi_rc rc =
        lmi_attempt_begin(lmi, "alice", NULL, &attempt, &wait, &err);
    is_busy(rc, "beginning an attempt");
    rc = lmi_attempt_begin(lmi, "alice", NULL, &attempt, &wait, &err);
    ok(rc == LMI_OK && wait == 0, "control: it begins otherwise");
    lose();
    rc = lmi_attempt_end(lmi, &attempt, LMI_ATTEMPT_FAILED, &err);
    is_busy(rc, "ending it");
    rc = lmi_attempt_end(lmi, &attempt, LMI_ATTEMPT_VOID, &err);
    ok(rc == LMI_OK, "control: it ends otherwise");
    lose();
    log_in(false);
    losing = false;
    ok(answer.reason == LMI_REASON_FAULT && answer.url[0] == '\0' &&
           strstr(answer.message, "(STORE)") != NULL,
       "a login is a fault, and has no URL");
}

/* Every token that is drawn belongs to a session already. */
static void
test_create(void)
{
    struct lmi_store_id id;

    log_in(false);
    const char *ticket = strstr(answer.url, "session=") + 8;
    if (lmi_entry_id(lmi, LMI_KIND_TICKET, ticket, &id, &err) != LMI_OK)
        return;
    memcpy(found + 1, id.key, LMI_STORE_KEY);
    found[0] = id.kind;
    rounds = 0;
    log_in(false);
    found[0] = 0;
    ok(answer.reason == LMI_REASON_FAULT && rounds == LMI_ROUNDS,
       "a login that draws no new token: a fault after %u rounds", rounds);
    log_in(false);
    ok(answer.reason == LMI_REASON_OK, "control: another one is good");
}

static void
test_redeem(void)
{
    struct lmi_redeemed redeemed;
    enum lmi_outcome outcome;

    log_in(false);
    struct lmi_access access = access_with(answer.token);
    access.ticket = text_of(strstr(answer.url, "session=") + 8);
    lose();
    enum lmi_rc rc =
        lmi_session_redeem(lmi, &access, &outcome, &redeemed, &err);
    is_busy(rc, "redeeming a ticket");
    ok(outcome == LMI_UNKNOWN && redeemed.cookie[0] == '\0',
       "... and there is no cookie");
    rc = lmi_session_redeem(lmi, &access, &outcome, &redeemed, &err);
    ok(rc == LMI_OK && outcome == LMI_GRANTED, "control: it is redeemed");
}

static void
test_check(void)
{
    static const char *const wrong[] = {
        "/cpsess0000000001", "/cpsess0000000002", "/cpsess0000000003"};
    struct lmi_session session;
    enum lmi_outcome outcome;

    log_in(true);
    struct lmi_access access = access_with(answer.token);
    access.cookie = text_of(answer.cookie);
    lose();
    enum lmi_rc rc = lmi_session_check(lmi, &access, &outcome, &session, &err);
    is_busy(rc, "the first use of a dual-use cookie");
    ok(outcome == LMI_UNKNOWN && session.user[0] == '\0',
       "... and there is no session");
    rc = lmi_session_check(lmi, &access, &outcome, &session, &err);
    ok(rc == LMI_OK && outcome == LMI_GRANTED, "control: it is a cookie");
    for (size_t i = 0; i < 3; i++) {
        access.token = text_of(wrong[i]);
        lose();
        rc = lmi_session_check(lmi, &access, &outcome, &session, &err);
        is_busy(rc, "a wrong token that can't be noted");
        rc = lmi_session_check(lmi, &access, &outcome, &session, &err);
        ok(rc == LMI_OK && outcome == LMI_WRONG_TOKEN, "control: it is noted");
    }
    access.token = text_of(answer.token);
    rc = lmi_session_check(lmi, &access, &outcome, &session, &err);
    ok(rc == LMI_OK && outcome == LMI_UNKNOWN,
       "three that were noted have ended the session");
}

int
main(void)
{
    char hash[LMI_HASH_SIZE];

    scratch_make();
    scratch_settings(NOW);
    lmi = lmi_make();
    if (lmi_hash_password(lmi, text_of("secret"), "$1$", 0, hash, &err) !=
        LMI_OK)
        return 2;
    scratch_site(hash);
    if (lmi_open(lmi, &err) != LMI_OK)
        return 2;
    test_login();
    test_create();
    test_redeem();
    test_check();
    lmi_free(lmi);
    return done();
}
