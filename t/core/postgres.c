/*
 * The contract of store.h, as PostgreSQL keeps it. For a server that a test has
 * started: LOGMEIN_TEST_STORE is the URL of an empty database that the store's
 * user may use, LOGMEIN_TEST_ADMIN that of one who may prepare it.
 */
#include "conformance.h"

static struct lmi_store_where where = {.alone = true};

static void
preparing(const char *admin)
{
    struct lmi_store_where there = where;
    struct lmi_store_id id = id_of(1);
    struct lmi_store_value value;
    bool found;

    there.must_exist = true;
    ok(lmi_store_open(&there, &store, &err) == LMI_OK &&
           lmi_store_get(store, LMI_DURABLE, &id, &found, &value, &err) ==
               LMI_STORE &&
           err.name != NULL && strcmp(err.name, "store.none") == 0,
       "a database without a store is a fault");
    lmi_store_close(store);
    ok(lmi_store_prepare(&where, admin, &err) == LMI_OK, "prepared");
    ok(lmi_store_prepare(&where, admin, &err) == LMI_OK, "prepared again");
    ok(lmi_store_prepare(&where, where.url, &err) == LMI_STORE,
       "but not by the store's own user");
}

int
main(void)
{
    const char *admin = getenv("LOGMEIN_TEST_ADMIN");

    where.url = getenv("LOGMEIN_TEST_STORE");
    if (where.url == NULL || admin == NULL) {
        printf("1..0 # SKIP LOGMEIN_TEST_STORE is not set\n");
        return 0;
    }
    preparing(admin);
    if (lmi_store_open(&where, &store, &err) != LMI_OK)
        return 2;
    conformance();
    lmi_store_close(store);
    return done();
}
