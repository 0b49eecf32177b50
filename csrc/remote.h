/*
 * The story of a login, told to another server or to the gateway's socket.
 *
 * To another server it is told over TLS 1.2 or newer only, to one whose
 * certificate and name are good, within remote_timeout, and once: no redirect
 * is followed. To the socket only if the socket, its folder and who listens
 * belong to root or to the store's owner.
 *
 * A handle keeps its connections for the next login. Like all handles it is
 * used by one thread at a time; after a fork() the child's copy lets go of
 * them, and the parent's connections stay as they are.
 */
#ifndef LMI_REMOTE_H
#define LMI_REMOTE_H

#include "away.h"

/*
 * Once in a process, before anything else here, and in one thread: libcurl's
 * rule, which is not ours to soften. False if libcurl can't be used.
 */
LMI_CHECK bool lmi_remote_start(void);

struct lmi_remote;
LMI_CHECK struct lmi_remote *lmi_remote_new(void); /* NULL: no memory */
void lmi_remote_free(struct lmi_remote *remote);

/* Fills the answer, whatever happens, and writes the line for the log. */
void lmi_remote_login(struct lmi_remote *remote, const struct lmi_away *away,
                      struct lmi_login_answer *out);

#endif
