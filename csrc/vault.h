/*
 * The open store with its key: the handle behind struct lmi_sessions, and what
 * all who work with sessions share. Making a session is here, too; redeeming,
 * checking and ending them is in logmein.h.
 */
#ifndef LMI_VAULT_H
#define LMI_VAULT_H

#include "record.h"
#include "settings.h"

struct lmi_sessions {
    struct lmi *core;
    const struct lmi_settings *settings;
    struct lmi_settings *own_settings; /* NULL: borrowed */
    struct lmi_store *store;           /* NULL: to be opened again */
    struct lmi_keys *keys;
};

/* As lmi_sessions_open(), with settings that outlive the handle. */
LMI_CHECK enum lmi_rc lmi_sessions_new(struct lmi *core,
                                       const struct lmi_settings *settings,
                                       struct lmi_sessions **out,
                                       struct lmi_err *err);

/*
 * Begins a call: with another store in the place of ours, store and key are
 * opened again. With the old ones we would go on believing in sessions that
 * have ended elsewhere. After a failure the next call tries again.
 */
LMI_CHECK enum lmi_rc lmi_vault_enter(struct lmi_sessions *sessions,
                                      struct lmi_err *err);

/* For whom; reuse is the ten digits to share, or NULL. */
struct lmi_session_wish {
    const char *user;
    enum lmi_service service;
    const char *hash;
    const char *reuse;
    bool starter;                    /* a cookie, instead of a ticket */
    const struct lmi_store_op *with; /* in the same step; NULL: none */
};

/* What a new session is opened with: the secret is wiped by the caller. */
struct lmi_session_made {
    char token[LMI_TOKEN_SIZE];
    char id[LMI_ID_SIZE];
    char secret[LMI_COOKIE_SIZE]; /* a ticket, or a starter's cookie */
};

/*
 * Makes a session in one durable commit. `reuse` counts only if it is the
 * token of a live session of the same user and service; otherwise a new one
 * is drawn, and drawn again while another live session of that user has it.
 */
LMI_CHECK enum lmi_rc lmi_session_create(struct lmi_sessions *sessions,
                                         const struct lmi_session_wish *wish,
                                         struct lmi_session_made *out,
                                         struct lmi_err *err);

/* A record with the place it came from: what a later change expects there. */
struct lmi_found {
    bool good;
    struct lmi_store_id id;
    struct lmi_store_value value;
    struct lmi_record record;
};

/* Where a secret's entry lies: only its hash is ever stored. */
LMI_CHECK enum lmi_rc lmi_vault_id(struct lmi_sessions *sessions, uint8_t kind,
                                   const char *secret, struct lmi_store_id *out,
                                   struct lmi_err *err);

/* out->good is false if there is no sound record. */
LMI_CHECK enum lmi_rc lmi_vault_find(struct lmi_sessions *sessions,
                                     const struct lmi_store_id *id,
                                     struct lmi_found *out,
                                     struct lmi_err *err);

/*
 * The record of a cookie whose user part is the record's, in any state; and
 * that of a ticket, or of a starter in the place of a ticket.
 */
LMI_CHECK enum lmi_rc lmi_vault_find_cookie(struct lmi_sessions *sessions,
                                            const struct lmi_text *cookie,
                                            struct lmi_found *out,
                                            struct lmi_err *err);
LMI_CHECK enum lmi_rc lmi_vault_find_ticket(struct lmi_sessions *sessions,
                                            const struct lmi_text *ticket,
                                            struct lmi_found *out,
                                            struct lmi_err *err);

/* The spent ticket of a cookie, while it has no cookie yet: several contend. */
LMI_CHECK enum lmi_rc lmi_vault_find_contended(struct lmi_sessions *sessions,
                                               const struct lmi_record *cookie,
                                               struct lmi_found *out,
                                               struct lmi_err *err);

/*
 * The operation, ADD, SWAP or PUT, that writes the record in its place; old is
 * for SWAP. old and value_out must live as long as the operation.
 */
LMI_CHECK enum lmi_rc
lmi_vault_write(struct lmi_sessions *sessions, enum lmi_store_verb verb,
                const struct lmi_store_id *id, const struct lmi_record *record,
                const struct lmi_store_value *old,
                struct lmi_store_value *value_out, struct lmi_store_op *out,
                struct lmi_err *err);

/*
 * Is it alive, and since when has it been idle? A spent ticket is as old as
 * its session: only the overall limit ends it, once there is a cookie. A
 * contender is alive while its ticket has none.
 */
LMI_CHECK enum lmi_rc lmi_vault_is_live(struct lmi_sessions *sessions,
                                        const struct lmi_found *found,
                                        int64_t now, bool *live_out,
                                        int64_t *seen_out, struct lmi_err *err);

/* Notes that a session was seen now; volatile. */
LMI_CHECK enum lmi_rc lmi_vault_touch(struct lmi_sessions *sessions,
                                      const struct lmi_found *found,
                                      int64_t now, struct lmi_err *err);

/* A user's group: all services, one, or one with its token. */
#define LMI_GROUP_USER 16
#define LMI_GROUP_SERVICE (LMI_GROUP_USER + 1)
#define LMI_GROUP (LMI_GROUP_SERVICE + LMI_TOKEN_DIGITS)
LMI_CHECK enum lmi_rc
lmi_vault_group(struct lmi_sessions *sessions, const char *user,
                enum lmi_service service, const char digits[LMI_TOKEN_DIGITS],
                uint8_t out[LMI_GROUP], struct lmi_err *err);

/* Ends one session: its cookie, and the ticket that was swapped for it. */
LMI_CHECK enum lmi_rc lmi_vault_end(struct lmi_sessions *sessions,
                                    const struct lmi_found *found, int64_t now,
                                    struct lmi_err *err);

/* The operations of lmi_vault_end(), for a batch of the caller's. */
#define LMI_END_OPS 3
void lmi_vault_end_ops(const struct lmi_found *found,
                       struct lmi_store_op out[LMI_END_OPS]);

/* A seal that ties a session to the hash it was made with. */
LMI_CHECK enum lmi_rc lmi_vault_fingerprint(struct lmi_sessions *sessions,
                                            const char *hash,
                                            uint8_t out[LMI_SHORT_SEAL],
                                            struct lmi_err *err);

LMI_CHECK enum lmi_rc lmi_vault_describe(struct lmi_sessions *sessions,
                                         const struct lmi_record *record,
                                         int64_t seen, struct lmi_session *out,
                                         struct lmi_err *err);

int64_t lmi_vault_now(const struct lmi_sessions *sessions);

/* Logs a fault, if rc is one, and returns it. */
enum lmi_rc lmi_vault_fault(const struct lmi_sessions *sessions, enum lmi_rc rc,
                            const struct lmi_err *err);

/*
 * One line of the log, as cPanel's session_log has them: "NEW alice:ID ...".
 * address may be empty.
 */
void lmi_vault_log(const struct lmi_sessions *sessions,
                   const struct lmi_session *session, const char *address,
                   const char *event, const char *more);

#endif
