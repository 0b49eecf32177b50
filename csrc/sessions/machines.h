/*
 * What the machines that share a store tell each other: a note of each, in the
 * durable part, under a hash of its host name and /etc/machine-id.
 *
 *     version   1 byte, 1
 *     seen      8 bytes, big-endian, as all times: when it was written
 *     rotated   8 bytes: when its present key became that; zeros: not known
 *     keys      3 times 8 bytes: the present, the next and the old one's
 *               fingerprint; zeros: there is none
 *     looked    8 bytes: when its account files were; zeros: not yet
 *     with      8 bytes: the fingerprint of the key that their MACs are of
 *     files     8 times 16 bytes: MACs of what they say; zeros: nothing
 *     name      1 byte of length, and as many
 *     mac       32 bytes: HMAC over the store key and all before it
 *
 * A note expires a day after it was written, so that a machine that is gone is
 * not waited for. Who opens the store writes it if it is an hour old or says
 * something else than it should, and who looks at the account files.
 *
 * A note under a MAC that is not known was made with another key: the machine
 * is behind, and nothing else in the note is believed.
 */
#ifndef LMI_MACHINES_H
#define LMI_MACHINES_H

#include "accounts/digest.h"
#include "sessions/handle.h"

#define LMI_MACHINE_AGAIN 3600    /* a note is written once an hour */
#define LMI_MACHINE_SECONDS 86400 /* and forgotten after a day */

/*
 * Brings this machine's note up to date. digest may be NULL: what was noted of
 * the account files stays. Does nothing for a store that is not shared. If
 * another process writes the note meanwhile, that is as good.
 */
LMI_RC lmi_machine_note(struct lmi *lmi, const struct lmi_digest *digest,
                        struct lmi_err *err);

/* How many machines the next step waits for, and the last time at which one of
 * them rotated: 0 if none did. The store has been opened. */
LMI_RC lmi_machines_behind(struct lmi *lmi, uint64_t *behind_out,
                           int64_t *rotated_out, struct lmi_err *err);

#endif
