/*
 * What struct lmi holds. A call begins with lmi_enter(); settings, store and
 * keys then stay as they are until the next call.
 */
#ifndef LMI_HANDLE_H
#define LMI_HANDLE_H

#include "accounts/site.h"
#include "base/counters.h"
#include "base/crypto.h"
#include "base/settings.h"
#include "sessions/keys.h"
#include "store/store.h"

/* Settings, store and key. */
LMI_RC lmi_enter(struct lmi *lmi, struct lmi_err *err);

/* The settings alone: a call may end before it needs the store. */
LMI_RC lmi_enter_settings(struct lmi *lmi, struct lmi_err *err);

/*
 * Store and key. A store that was replaced is opened again: the old one would
 * still hold sessions that have ended in the new one. After a failure the next
 * call tries again. at_once: look for another store, even if that was done this
 * second, and for another key.
 */
LMI_RC lmi_enter_store(struct lmi *lmi, bool at_once, struct lmi_err *err);

/* The site, opened when first needed, and again when it was replaced. */
LMI_RC lmi_enter_site(struct lmi *lmi, struct lmi_site **out,
                      struct lmi_err *err);

/* NULL before settings were read. */
const struct lmi_settings *lmi_settings_of(const struct lmi *lmi);
struct lmi_crypto *lmi_crypto_of(const struct lmi *lmi);
struct lmi_store *lmi_store_of(const struct lmi *lmi);
struct lmi_keys *lmi_keys_of(const struct lmi *lmi);
struct lmi_counters *lmi_counters_of(const struct lmi *lmi);

/* See lmi_defer(); NULL: checks wait for their writes. */
struct lmi_deferred;
struct lmi_deferred *lmi_deferred_of(const struct lmi *lmi);
int64_t lmi_now(const struct lmi *lmi);

/*
 * Takes the key that lies in the place of the one in use, if it is the store's.
 * True if it has: what could not be verified may be now.
 */
LMI_CHECK bool lmi_keys_renew(struct lmi *lmi);

/* The keys as they lie there now, as lmi_keys_load() reads them: with the next
 * one if the store is shared. */
LMI_RC lmi_keys_read(struct lmi *lmi, bool *found_out, struct lmi_keys **out,
                     struct lmi_err *err);

/*
 * The entry that says which key is the store's; and is what it holds for these
 * keys? which_out, unless NULL, tells with which of them it was made. It only
 * moves on: who finds the old key's puts the present one's there, and who finds
 * the next one's leaves it, for another machine is ahead.
 */
extern const struct lmi_store_id lmi_key_entry;
LMI_RC lmi_key_entry_fits(struct lmi_keys *keys,
                          const struct lmi_store_value *there, bool *out,
                          enum lmi_key *which_out, struct lmi_err *err);

/* See lmi_health_look(); for the key, store and key have been opened. */
LMI_RC lmi_settings_look(const struct lmi *lmi, struct lmi_err *err);
LMI_RC lmi_key_look(struct lmi *lmi, struct lmi_err *err);

/* Logs and counts a fault, if rc is one, and returns it. */
enum lmi_rc lmi_fault(const struct lmi *lmi, enum lmi_rc rc,
                      const struct lmi_err *err);

#endif
