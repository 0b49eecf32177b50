/*
 * Failed logins and waits, in the volatile part of the store, under MACs of
 * names and addresses.
 *
 * A name has three failures free, a source (an IPv4 address, also one inside
 * 64:ff9b::/96, or 64 bits of an IPv6 one) thirty, 48 bits of an IPv6 address
 * 300. From then on each failure is followed by a wait of 1 s, 2 s, 4 s up to
 * 900 s, and from attempts_max failures on of 3,600 s; after 24 hours without
 * one they are forgotten. From a source that the name logged in from during the
 * last 30 days only the pair of the two counts, so that others can't lock
 * somebody out.
 *
 * Names that exist and names that don't are kept alike: at most 65,536 rows of
 * each kind, of which the one with the fewest failures makes room first, then
 * the oldest. A reservation counts as a failure here, and a row that made room
 * meanwhile counts its attempt anew.
 *
 * An attempt is reserved before the hash is computed, or many at once would
 * see the same count.
 *
 * Of a row that lies under several keys, because machines write with different
 * ones, the failures are added up, and who changes it moves it under its own
 * key: in one step, so that of two machines one must look again.
 */
#ifndef LMI_ATTEMPTS_H
#define LMI_ATTEMPTS_H

#include "base/address.h"
#include "sessions/entry.h"

#define LMI_FORGET_SECONDS 86400       /* failures are forgotten */
#define LMI_KNOWN_SECONDS (30 * 86400) /* a source stays known */

/* The rows that one attempt counts in, between begin and end. */
struct lmi_attempt {
    size_t count;
    struct lmi_attempt_row {
        struct lmi_store_id id;
        /* Under the further keys: there other machines may have it. */
        struct lmi_store_id further[LMI_FURTHER_KEYS];
        size_t further_count;
        uint32_t free_failures;
    } rows[3]; /* the name's or the pair's, then the source's, its network's */
    int64_t started;
    bool may_be_known;         /* there is a source, and it is a host */
    struct lmi_store_id known; /* where the source is remembered */
    bool known_anew;           /* not there yet: the key has changed */
    int64_t known_since;       /* the name's last day from there; 0: none */
};

/*
 * One row: its kind is LMI_KIND_NAME, PAIR, SOURCE or NETWORK. user is for the
 * first two of them, source, which may be NULL for names, for the last three.
 */
LMI_RC lmi_attempt_row_of(struct lmi *lmi, uint8_t kind, const char *user,
                          const struct lmi_address *source,
                          struct lmi_attempt_row *out, struct lmi_err *err);

/* What is there of rows, at most three: under their own ids, and under those
 * that the further keys give them. */
struct lmi_attempt_found {
    bool there;                     /* under its own id */
    bool further[LMI_FURTHER_KEYS]; /* under that one */
    bool anywhere;
    struct lmi_store_value value; /* empty if it is not there */
    struct lmi_store_value further_values[LMI_FURTHER_KEYS];
};
LMI_RC lmi_attempt_find(struct lmi *lmi, enum lmi_store_part part,
                        const struct lmi_attempt_row *rows, size_t count,
                        struct lmi_attempt_found *out, struct lmi_err *err);

/* What a row of this kind, read from the store, says by now: false if it has
 * no failures. */
struct lmi_attempt_state {
    uint32_t failures, wait; /* in seconds; 0: no wait */
};
bool lmi_attempt_state_of(const struct lmi *lmi, uint8_t kind,
                          const struct lmi_store_value *value,
                          struct lmi_attempt_state *out);

/* All rows of a kind lie in groups that begin so; there are at most so many.
 * The whole group is these bytes and the row's rank. */
#define LMI_ATTEMPT_GROUP 2
#define LMI_ATTEMPT_ROWS 65536
void lmi_attempt_group(uint8_t kind, uint8_t out[LMI_ATTEMPT_GROUP]);

/*
 * Reserves an attempt. wait_out is 0 if it may go on, else the seconds until
 * the next one, and nothing is reserved. source may be NULL: not known, or
 * no single host, like loopback; then only the name counts.
 */
LMI_RC lmi_attempt_begin(struct lmi *lmi, const char *user,
                         const struct lmi_address *source,
                         struct lmi_attempt *out, uint32_t *wait_out,
                         struct lmi_err *err);

/* Has the name logged in from this source during the last 30 days? Reads only,
 * and counts nothing. */
LMI_RC lmi_attempt_is_known(struct lmi *lmi, const char *user,
                            const struct lmi_address *source, bool *out,
                            struct lmi_err *err);

/* What became of a reserved attempt. */
enum lmi_attempt_end {
    LMI_ATTEMPT_FAILED, /* counts */
    LMI_ATTEMPT_GOOD,   /* forgets the name's or the pair's failures */
    LMI_ATTEMPT_VOID,   /* a fault: does not count */
};
LMI_RC lmi_attempt_end(struct lmi *lmi, const struct lmi_attempt *attempt,
                       enum lmi_attempt_end end, struct lmi_err *err);

/*
 * The operation that remembers the source of a good login, for the batch that
 * makes its session; value_out must live as long. False if there is no source,
 * or it was remembered within a day.
 */
bool lmi_attempt_remember(const struct lmi_attempt *attempt,
                          struct lmi_store_value *value_out,
                          struct lmi_store_op *op_out);

#endif
