/*
 * Locks that all processes of a part of the store share, in a file of its
 * folder. LMDB has its own, for which it waits without limit: also for a
 * process that was stopped. Nobody who holds none of these touches those.
 */
#ifndef LMI_LOCK_H
#define LMI_LOCK_H

#include "logmein.h"

struct lmi_lock;
enum lmi_lock_turn {
    LMI_TURN_WRITE, /* a transaction that writes */
    LMI_TURN_OPEN,  /* LMDB opens the files, or changes its list of readers */
};

/*
 * Opens the file, or makes it. `boot` names the kernel's boot, in at most 36
 * characters: what was held before another one is not held. Returns 0 or an
 * errno; ETIMEDOUT if the process that makes the file does not get on. Closing
 * gives nothing back.
 */
LMI_CHECK int lmi_lock_open(int dir_fd, const char *name, const char *boot,
                            struct lmi_lock **out);
void lmi_lock_close(struct lmi_lock *lock);

/*
 * Waits while others get on. ETIMEDOUT is a second in which nobody has taken
 * the turn, and at whose end the holder wants no processor: it was stopped, or
 * waits for something; or 30 seconds in all. A holder that was killed holds no
 * longer. Returns 0 or an errno.
 */
LMI_CHECK int lmi_lock_take(struct lmi_lock *lock, enum lmi_lock_turn turn);

/* The same without waiting; false if it is taken. */
LMI_CHECK bool lmi_lock_try(struct lmi_lock *lock, enum lmi_lock_turn turn);
void lmi_lock_give(struct lmi_lock *lock, enum lmi_lock_turn turn);

/* The holder gets on: who waits shall go on waiting. */
void lmi_lock_progress(struct lmi_lock *lock, enum lmi_lock_turn turn);

/*
 * Gives a file this size, with space on the disk: writing through a mapping to
 * where there is none would kill the process. Returns 0 or an errno.
 */
LMI_CHECK int lmi_lock_reserve(int fd, size_t size);

#endif
