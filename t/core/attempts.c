/* What attempts that are under way, or that nobody ended, count for. */
#include "base/address.h"
#include "scratch.h"
#include "sessions/attempts.h"

#define START 1700000000

static struct lmi_err err;

static void
at(struct lmi *lmi, long seconds)
{
    scratch_settings(START + seconds);
    if (lmi_enter(lmi, &err) != LMI_OK)
        printf("Bail out! %s\n", err.text);
}

/* The seconds to wait; 0: an attempt is under way. */
static uint32_t
begin_from(struct lmi *lmi, const char *user, const char *address,
           struct lmi_attempt *out)
{
    struct lmi_address source;
    bool has_source = lmi_address_parse(address, &source);
    uint32_t wait = UINT32_MAX;

    if (lmi_attempt_begin(lmi, user, has_source ? &source : NULL, out, &wait,
                          &err) != LMI_OK)
        printf("Bail out! %s\n", err.text);
    return wait;
}

static uint32_t
begin(struct lmi *lmi, const char *user, struct lmi_attempt *out)
{
    return begin_from(lmi, user, "", out);
}

static bool
end(struct lmi *lmi, const struct lmi_attempt *attempt)
{
    return lmi_attempt_end(lmi, attempt, LMI_ATTEMPT_FAILED, &err) == LMI_OK;
}

static void
one_at_once(struct lmi *lmi)
{
    struct lmi_attempt first, second;
    unsigned failed = 0;

    at(lmi, 0);
    for (int i = 0; i < 3; i++)
        failed += begin(lmi, "alice", &first) == 0 && end(lmi, &first);
    ok(failed == 3, "three failures are free");
    at(lmi, 1);
    ok(begin(lmi, "alice", &first) == 0, "after the wait an attempt begins");
    ok(begin(lmi, "alice", &second) == 1, "and no other before its end");
    ok(end(lmi, &first) && begin(lmi, "alice", &second) == 2,
       "which is a failure");
}

static void
nobody_ended(struct lmi *lmi)
{
    struct lmi_attempt attempt;
    unsigned begun = 0;

    at(lmi, 0);
    while (begun < 9 && begin(lmi, "bob", &attempt) == 0)
        begun++;
    ok(begun == 9, "nine attempts are under way");
    at(lmi, 59);
    ok(begin(lmi, "bob", &attempt) == 0, "within a minute they may end well");
    at(lmi, 60);
    ok(begin(lmi, "bob", &attempt) == 4,
       "then they have failed at their start");
}

static void
network(struct lmi *lmi)
{
    struct lmi_attempt attempt;
    unsigned failed = 0;

    at(lmi, 0);
    for (unsigned i = 0; i < 300; i++) {
        char user[16], address[40];
        snprintf(user, sizeof user, "user%u", i);
        snprintf(address, sizeof address, "2001:db8:0:%x::1", i);
        failed +=
            begin_from(lmi, user, address, &attempt) == 0 && end(lmi, &attempt);
    }
    ok(failed == 300, "three hundred failures of a /48 are free");
    ok(begin_from(lmi, "carol", "2001:db8:0:ffff::1", &attempt) > 0,
       "then all of it waits");
    ok(begin_from(lmi, "carol", "2001:db8:1::1", &attempt) == 0,
       "and no other network");
}

static struct lmi_store_id
id_now(struct lmi *lmi, const char *user)
{
    struct lmi_attempt_row row;

    if (lmi_attempt_row_of(lmi, LMI_KIND_NAME, user, NULL, &row, &err) !=
        LMI_OK)
        printf("Bail out! %s\n", err.text);
    return row.id;
}

static bool
is_there(struct lmi *lmi, const struct lmi_store_id *id,
         struct lmi_store_value *out)
{
    bool found = false;

    return lmi_store_get(lmi_store_of(lmi), LMI_VOLATILE, id, &found, out,
                         &err) == LMI_OK &&
           found;
}

/* As two machines leave a row that began at the same moment. */
static void
two_keys(struct lmi *lmi)
{
    struct lmi_attempt attempt;
    struct lmi_store_value value;
    struct lmi_store_op op = {.verb = LMI_STORE_ADD, .value = &value};
    enum lmi_key_step step;
    bool done = false;

    at(lmi, 0);
    for (int i = 0; i < 2; i++)
        if (begin(lmi, "dave", &attempt) != 0 || !end(lmi, &attempt))
            printf("Bail out! %s\n", err.text);
    struct lmi_store_id old = id_now(lmi, "dave");
    ok(is_there(lmi, &old, &value), "two failures, under one key");
    ok(lmi_key_rotate(lmi, false, &step, &err) == LMI_OK &&
           step == LMI_STEP_DONE,
       "another key");
    at(lmi, 0);
    op.id = id_now(lmi, "dave");
    op.expires = START + 86400;
    ok(lmi_store_apply(lmi_store_of(lmi), LMI_VOLATILE, &op, 1, START, &done,
                       &err) == LMI_OK &&
           done,
       "and two under that");
    ok(begin(lmi, "dave", &attempt) == 2,
       "are four, after which there is a wait");
    at(lmi, 2);
    ok(begin(lmi, "dave", &attempt) == 0 && end(lmi, &attempt), "one more");
    ok(!is_there(lmi, &old, &value), "moves them under the present key");
    ok(begin(lmi, "dave", &attempt) == 4, "where all five count");
}

int
main(void)
{
    struct lmi *lmi = lmi_make();

    scratch_make();
    scratch_site("!");
    one_at_once(lmi);
    nobody_ended(lmi);
    network(lmi);
    two_keys(lmi);
    lmi_free(lmi);
    return done();
}
