/*
 * The bytes that a session is kept as. No I/O.
 *
 *     version        1 byte, 2; in version 1 there is no redeemed, no address
 *     kind           1 byte, as in the store
 *     state          1 byte
 *     service        1 byte
 *     session key    16 bytes, random
 *     token          10 digits
 *     created        8 bytes, big-endian, as all times
 *     ends           8 bytes: the overall limit
 *     changed        8 bytes: when it was made, spent, or redeemed
 *     fingerprint    16 bytes: a MAC of the account's hash
 *     origin         16 bytes: a MAC of who redeemed it
 *     peer           32 bytes: a cookie's ticket; a ticket's cookie, zeros
 *                    before there is one and while several contend
 *     redeemed       8 bytes: when the ticket, or a dual-use cookie, was first
 *                    used; zeros: not yet, or not known
 *     address        16 bytes: from where that was; zeros: not known
 *     user           1 byte of length, and as many bytes
 *     mac            32 bytes: HMAC over the store key and all before it
 */
#ifndef LMI_RECORD_H
#define LMI_RECORD_H

#include "base/address.h"
#include "sessions/keys.h"
#include "store/store.h"
#include "sessions/token.h"

#define LMI_KIND_META 'M'    /* one entry: the key's fingerprint */
#define LMI_KIND_TICKET 'T'  /* key: SHA-256 of the ticket */
#define LMI_KIND_COOKIE 'C'  /* key: SHA-256 of the cookie's secret */
#define LMI_KIND_KNOWN 'K'   /* a source that a name logged in from */
#define LMI_KIND_MACHINE 'H' /* what a machine tells of itself (machines.h) */
/* Volatile, and without a MAC: who can write there can read the key. */
#define LMI_KIND_SEEN 'L'    /* last seen; key: as the cookie's */
#define LMI_KIND_MISS 'W'    /* wrong tokens; key: as the cookie's */
#define LMI_KIND_FOREIGN 'X' /* wrong tokens of foreign requests; likewise */
#define LMI_KIND_NAME 'N'    /* failed logins of a name */
#define LMI_KIND_PAIR 'P'    /* of a name from a known source */
#define LMI_KIND_SOURCE 'O'  /* of a source */
#define LMI_KIND_NETWORK 'Q' /* of the network that a source is in */

/* Purposes of MACs. */
#define LMI_MAC_META 1
#define LMI_MAC_RECORD 2
#define LMI_MAC_FINGERPRINT 3
#define LMI_MAC_ORIGIN 4
#define LMI_MAC_NAME 5
#define LMI_MAC_PAIR 6
#define LMI_MAC_SOURCE 7
#define LMI_MAC_KNOWN 8
#define LMI_MAC_NETWORK 9
#define LMI_MAC_DECOY 10
#define LMI_MAC_MACHINE 11
#define LMI_MAC_SITE 12
#define LMI_MAC_BACKUP 20

#define LMI_SESSION_KEY 16
#define LMI_SHORT_MAC 16

enum lmi_record_state {
    LMI_STATE_FRESH = 1, /* a ticket that was not used yet */
    LMI_STATE_SPENT,     /* a ticket, or a dual-use cookie, that was swapped
                            for a cookie */
    LMI_STATE_COOKIE,    /* a cookie */
    LMI_STATE_DUAL_USE,  /* its first use makes it a cookie, or a ticket */
    LMI_STATE_CONTENDER, /* one of several cookies of a ticket: the first that
                            is used is the session's, the others are dead */
};

struct lmi_record {
    enum lmi_record_state state;
    enum lmi_service service;
    uint8_t session_key[LMI_SESSION_KEY];
    char digits[LMI_TOKEN_DIGITS];
    int64_t created;
    int64_t ends;
    int64_t changed;
    uint8_t fingerprint[LMI_SHORT_MAC];
    uint8_t origin[LMI_SHORT_MAC];
    uint8_t peer[LMI_STORE_KEY];
    int64_t redeemed;
    struct lmi_address address;
    char user[LMI_USER_MAX + 1];
};

bool lmi_record_has_peer(const struct lmi_record *record);

/* A ticket, or a dual-use cookie, that nobody has used. */
bool lmi_record_is_fresh(const struct lmi_record *record);

/* If it is fresh, it is used now, from there. Its state stays as it is. */
void lmi_record_redeem(struct lmi_record *record, int64_t now,
                       const struct lmi_address *address);

/* Of the entries of a session one stands for it: in lists, and as a count. */
bool lmi_record_stands(const struct lmi_record *record);

LMI_RC lmi_record_encode(struct lmi_keys *keys, const struct lmi_store_id *id,
                         const struct lmi_record *record,
                         struct lmi_store_value *out, struct lmi_err *err);

/*
 * Reads this version and version 1. good_out is false, and record_out zeroed,
 * for anything that lmi_record_encode() did not write under this id with this
 * key.
 */
LMI_RC lmi_record_decode(struct lmi_keys *keys, const struct lmi_store_id *id,
                         const struct lmi_store_value *value, bool *good_out,
                         struct lmi_record *record_out, struct lmi_err *err);

/*
 * What the MAC of an entry is over: the store key in front, so that the entry
 * can't be moved to another one. Returns the length.
 */
size_t lmi_record_maced(const struct lmi_store_id *id, const uint8_t *body,
                        size_t len,
                        uint8_t out[LMI_STORE_KEY + LMI_STORE_VALUE]);

#endif
