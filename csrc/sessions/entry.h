/* Tickets and cookies in the store. Call lmi_enter() first: see handle.h. */
#ifndef LMI_ENTRY_H
#define LMI_ENTRY_H

#include "base/address.h"
#include "sessions/handle.h"
#include "sessions/record.h"

/* How often a change is tried again because another request was faster. */
#define LMI_ROUNDS 1000

/* The fault after so many rounds. */
enum lmi_rc lmi_too_busy(struct lmi_err *err);

/* A record with its bytes: what a later change expects to find. */
struct lmi_entry {
    bool good;  /* there is a sound record */
    bool named; /* a cookie's user part is the record's; true for a ticket */
    struct lmi_store_id id;
    struct lmi_store_value value;
    struct lmi_record record;
    int64_t seen; /* a cookie's: when it was last seen; 0: not known */
};

/* Where a secret's entry lies: only its hash is ever stored. */
LMI_RC lmi_entry_id(struct lmi *lmi, uint8_t kind, const char *secret,
                    struct lmi_store_id *out, struct lmi_err *err);

/* out->good is false if there is no sound record; when it was seen is not
 * looked up. */
LMI_RC lmi_entry_find(struct lmi *lmi, const struct lmi_store_id *id,
                      struct lmi_entry *out, struct lmi_err *err);

/* The same for an entry that has been read with others. */
LMI_RC lmi_entry_read(struct lmi *lmi, const struct lmi_store_entry *entry,
                      struct lmi_entry *out, struct lmi_err *err);

/*
 * The record of a cookie, in any state; and that of a ticket, or of a dual-use
 * cookie in the place of a ticket. more, if not NULL, is asked for in the same
 * step: its part and kind are the caller's, its key is the cookie's. age is
 * that of lmi_store_get_many().
 */
LMI_RC lmi_entry_find_cookie(struct lmi *lmi, struct lmi_text cookie,
                             struct lmi_store_want *more, unsigned age,
                             struct lmi_entry *out, struct lmi_err *err);
LMI_RC lmi_entry_find_ticket(struct lmi *lmi, struct lmi_text ticket,
                             struct lmi_entry *out, struct lmi_err *err);

/* The spent ticket of a cookie, while it has no cookie yet: several contend. */
LMI_RC lmi_entry_find_contended(struct lmi *lmi,
                                const struct lmi_record *cookie,
                                struct lmi_entry *out, struct lmi_err *err);

/* What, besides its record, decides whether an entry is alive. Of a cookie it
 * must be known when it was seen. */
struct lmi_life {
    int64_t now;
    int64_t seen;       /* last seen, or changed */
    bool contended;     /* a contender's ticket has no cookie yet */
    uint32_t idle, max; /* ticket_life or session_idle; session_max */
};
LMI_RC lmi_entry_life(struct lmi *lmi, const struct lmi_entry *entry,
                      struct lmi_life *out, struct lmi_err *err);

/*
 * Is it a good entry, alive by both limits, and not from the future? Only the
 * overall limit ends a spent ticket that has a cookie. A contender is alive
 * while its ticket has none. Pure.
 */
bool lmi_entry_lives(const struct lmi_entry *entry,
                     const struct lmi_life *life);

/* A user's group: all services, one, or one with its token. */
#define LMI_GROUP_USER 16
#define LMI_GROUP_SERVICE (LMI_GROUP_USER + 1)
#define LMI_GROUP (LMI_GROUP_SERVICE + LMI_TOKEN_DIGITS)
LMI_RC lmi_entry_group(struct lmi *lmi, const char *user,
                       enum lmi_service service,
                       const char digits[LMI_TOKEN_DIGITS],
                       uint8_t out[LMI_GROUP], struct lmi_err *err);

/*
 * The live entries of all groups that begin with this prefix, one after the
 * other: begin with the prefix and zeros. found_out is false at the end. They
 * are as they were when their page was read.
 */
#define LMI_PAGE 16 /* entries that lie on the stack comfortably */
struct lmi_walk {
    uint8_t prefix[LMI_GROUP];
    size_t len;
    size_t at, count; /* of the page */
    struct lmi_store_entry page[LMI_PAGE];
    int64_t seen[LMI_PAGE];
};
LMI_RC lmi_entry_next(struct lmi *lmi, struct lmi_walk *walk, bool *found_out,
                      struct lmi_entry *out, struct lmi_life *life_out,
                      struct lmi_err *err);

/* May the account still log in, with the password the session was made with? */
enum lmi_account_fact {
    LMI_ACCOUNT_UNREAD = 0,
    LMI_ACCOUNT_REFUSED,
    LMI_ACCOUNT_ALLOWED,
};
/*
 * A fault of the account's own entry is a fault: it ends no session. If the
 * account is allowed, the record's fingerprint is that under the present key
 * afterwards.
 */
LMI_RC lmi_entry_account(struct lmi *lmi, struct lmi_record *record,
                         enum lmi_account_fact *out, struct lmi_err *err);

/*
 * The operation, ADD, SWAP or PUT, that writes the record in its place; old is
 * for SWAP. used: when its session was last used. old and value_out must live
 * as long as the operation.
 */
LMI_RC
lmi_entry_write(struct lmi *lmi, enum lmi_store_verb verb,
                const struct lmi_store_id *id, const struct lmi_record *record,
                int64_t used, const struct lmi_store_value *old,
                struct lmi_store_value *value_out, struct lmi_store_op *out,
                struct lmi_err *err);

/*
 * Notes that a session was seen now, its account having been read: volatile,
 * and once an hour durable, so that its entries stay.
 */
LMI_RC lmi_entry_touch(struct lmi *lmi, const struct lmi_entry *entry,
                       int64_t now, struct lmi_err *err);

/*
 * Ends one session, its cookie and the ticket that was swapped for it, and
 * logs why. address, as the log shows it, may be empty.
 */
LMI_RC lmi_entry_end(struct lmi *lmi, const struct lmi_entry *entry,
                     int64_t now, const char *address, const char *why,
                     struct lmi_err *err);

/* The operations of lmi_entry_end(), for a batch of the caller's. */
#define LMI_END_OPS 3
void lmi_entry_end_ops(const struct lmi_entry *entry,
                       struct lmi_store_op out[LMI_END_OPS]);

/* A MAC that ties a session to the hash it was made with. */
LMI_RC lmi_entry_fingerprint(struct lmi *lmi, const char *hash,
                             uint8_t out[LMI_SHORT_MAC], struct lmi_err *err);

LMI_RC lmi_entry_describe(struct lmi *lmi, const struct lmi_record *record,
                          int64_t seen, struct lmi_session *out,
                          struct lmi_err *err);

/*
 * One line of the log, as cPanel's session_log has them: "NEW alice:ID ...".
 * address may be empty.
 */
void lmi_entry_log(const struct lmi *lmi, const struct lmi_session *session,
                   const char *address, const char *event, const char *more);

/* The address as the log shows it; empty if it is none. */
void lmi_show_address(struct lmi_text text, char out[LMI_ADDRESS_TEXT]);

#endif
