/*
 * Replacing files so that at any moment, also after a crash, either the whole
 * old file or the whole new one is there.
 */
#ifndef LMI_REPLACE_H
#define LMI_REPLACE_H

#include "base/crypto.h"
#include "base/file.h"

/*
 * One change of a file. dir_fd is an open folder, not by O_PATH; name has no
 * slash. Where the caller has taken on an owner's rights, owner says so: only
 * to give the new file the old one's group they are laid down for a moment.
 */
struct lmi_replacement {
    int dir_fd;
    const char *name;
    const struct lmi_file_rules *rules;
    struct lmi_crypto *crypto;
    struct lmi_owner *owner; /* NULL: none */
    uid_t uid;               /* of the owner; */
    gid_t gid;
    mode_t mode; /* of a file that is not there yet */

    bool exists; /* since lmi_replace_begin() */
    struct stat old;
};

/*
 * Locks an open folder against others who lock it, until the descriptor is
 * closed or the process ends. Waits for at most 10 seconds. No file is made.
 */
LMI_RC lmi_replace_lock(int dir_fd, const char *location, struct lmi_err *err);

/*
 * Reads the old file as lmi_file_open() does, which also must have one hard
 * link only. *text_out is the caller's, for lmi_secret_free(); NULL with a
 * length of 0 if there is no file.
 */
LMI_RC lmi_replace_begin(struct lmi_replacement *file, char **text_out,
                         size_t *len_out, struct lmi_err *err);

/*
 * Puts the text in the file's place: written beside it, with the same owner,
 * group and permissions, made durable, and renamed. Fails, and changes
 * nothing, if it is no longer the file that was read.
 */
LMI_RC lmi_replace_finish(struct lmi_replacement *file, struct lmi_bytes text,
                          struct lmi_err *err);

/* Removes a name from the folder, durably. A missing one is no error; links
 * are not followed. */
LMI_RC lmi_replace_remove(struct lmi_replacement *file, bool *removed_out,
                          struct lmi_err *err);

#endif
