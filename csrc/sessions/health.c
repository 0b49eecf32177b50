#include "accounts/site.h"
#include "base/counters.h"
#include "sessions/handle.h"

/* Both parts of the store: a login needs the volatile one. */
static enum lmi_rc
store_look(struct lmi *lmi, struct lmi_err *err)
{
    const struct lmi_store_id any = {.kind = 0};
    struct lmi_store_value value;
    bool found;
    enum lmi_rc rc = lmi_enter(lmi, err);

    if (rc == LMI_OK)
        rc = lmi_store_get(lmi_store_of(lmi), LMI_DURABLE, &any, &found, &value,
                           err);
    if (rc == LMI_OK)
        rc = lmi_store_get(lmi_store_of(lmi), LMI_VOLATILE, &any, &found,
                           &value, err);
    return rc == LMI_KEY ? LMI_OK : rc; /* the key's fault */
}

/* Of a store that can't be opened nothing is known about the key. */
static enum lmi_rc
key_look(struct lmi *lmi, struct lmi_err *err)
{
    enum lmi_rc rc = lmi_enter(lmi, err);

    if (rc != LMI_OK)
        return rc == LMI_KEY ? rc : LMI_OK;
    return lmi_key_look(lmi, err);
}

/* The files that every login reads. */
static enum lmi_rc
site_look(struct lmi *lmi, struct lmi_err *err)
{
    struct lmi_site *site;
    struct lmi_passwd passwd;
    struct lmi_shadow_entry shadow;
    struct lmi_histogram histogram = {0};
    enum lmi_rc rc = lmi_enter_settings(lmi, err);

    if (rc == LMI_OK)
        rc = lmi_enter_site(lmi, &site, err);
    if (rc == LMI_OK)
        rc = lmi_site_passwd(site, "root", &passwd, err);
    if (rc == LMI_OK)
        rc = lmi_site_shadow(site, "", &shadow, &histogram, err);
    return rc;
}

enum lmi_rc
lmi_health_look(struct lmi *lmi, enum lmi_part part, struct lmi_err *err)
{
    if (part == LMI_PART_STORE)
        return store_look(lmi, err);
    if (part == LMI_PART_KEY)
        return key_look(lmi, err);
    if (part == LMI_PART_SITE)
        return site_look(lmi, err);
    return lmi_settings_look(lmi, err);
}

void
lmi_numbers_get(const struct lmi *lmi, struct lmi_numbers *out)
{
    lmi_counters_read(lmi_counters_of(lmi), out);
}

void
lmi_count_login(struct lmi *lmi, enum lmi_service service,
                enum lmi_reason reason)
{
    lmi_count(lmi_counters_of(lmi), LMI_NUMBER(logins) +
                                        (size_t)service * (LMI_REASON_OK + 1) +
                                        (size_t)reason);
}

void
lmi_count_busy(struct lmi *lmi, enum lmi_service service)
{
    lmi_count(lmi_counters_of(lmi), LMI_NUMBER(busy) + (size_t)service);
}
