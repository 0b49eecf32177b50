/*
 * Opening files that others may have prepared, and reading them.
 *
 * A missing file is not an error: fd_out is -1 and LMI_OK comes back.
 * Everything else that is not an ordinary, trustworthy file is an error with
 * the rules' code, or LMI_RIGHTS where the kernel denies access.
 */
#ifndef LMI_FILE_H
#define LMI_FILE_H

#include <limits.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/text.h"

/* Which file: by its inode, and which state of it. All zeros: none. */
struct lmi_file_id {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified, changed;
};
struct lmi_file_id lmi_file_id_of(const struct stat *st);

/* Of what lies at the path; zeros if nothing can be seen there. */
struct lmi_file_id lmi_file_identify(const char *path);

/* The same inode? And in the same state? */
bool lmi_file_is(const struct lmi_file_id *id, const struct stat *st);
bool lmi_file_id_equal(const struct lmi_file_id *a,
                       const struct lmi_file_id *b);

struct lmi_file_rules {
    enum lmi_rc code; /* of the errors */
    const char *root; /* shown before the path; "" or NULL for none */
    off_t max_size;   /* bytes */
    uid_t owner;      /* allowed besides root and the caller */
    bool strict;      /* below a home: the caller does not count as owner,
                         and there must be one hard link only */
};

/* Fills in an error about the path below rules->root, and returns its code. */
enum lmi_rc lmi_file_fail(const struct lmi_file_rules *rules, const char *path,
                          int os_errno, const char *text, const char *remedy,
                          struct lmi_err *err);

/*
 * Opens path, relative to dir_fd (AT_FDCWD allowed), for reading. The last
 * component must be a regular file, not a link, not writable by group or
 * others, and as the rules say. Never blocks on a FIFO. The error is named
 * "owner" if it belongs to another user, and has no name otherwise.
 */
LMI_RC lmi_file_open(int dir_fd, const char *path,
                     const struct lmi_file_rules *rules, int *fd_out,
                     struct lmi_err *err);

/*
 * Is there such a file, by the same rules? It need not be readable. One system
 * call, whether there is one or not.
 */
LMI_RC lmi_file_exists(int dir_fd, const char *path,
                       const struct lmi_file_rules *rules, bool *out,
                       struct lmi_err *err);

/*
 * Opens a folder below root_fd, which is the root of all paths, as in a chroot.
 * Links on the way must belong to root or the caller. fd_out is -1 if anything
 * on the way is missing.
 */
LMI_RC lmi_file_open_dir(int root_fd, const char *path,
                         const struct lmi_file_rules *rules, int *fd_out,
                         struct lmi_err *err);

/* The folder of an absolute path; cut at PATH_MAX. */
void lmi_file_folder(const char *path, char out[PATH_MAX]);

/*
 * A draft is a file while it is made: its name is STEM, a dot and 16 digits of
 * base 16. Placing gives it its name, which appears with the whole file, or is
 * found taken: EEXIST. By a rename, so that there are never two names; where
 * the file system can't do that, by a link, and the draft is to be unlinked.
 */
LMI_CHECK int lmi_file_place(int dir_fd, const char *draft, const char *name);

/*
 * Removes what a process left behind when it was killed: drafts that have lain
 * there for a minute, and second names of the placed file, NULL for none, that
 * begin with STEM and a dot.
 */
void lmi_file_remove_drafts(int dir_fd, const char *stem,
                            const struct stat *placed);

/* Reads a whole file; *out is the caller's to free(), terminated by a NUL. */
LMI_RC lmi_file_read(int fd, size_t max_size, char **out, size_t *len_out,
                     enum lmi_rc code, const char *location,
                     struct lmi_err *err);

/*
 * Calls visit for every line, without its newline. `whole` is false for a line
 * longer than LMI_LINE_MAX, of which only the beginning is passed.
 */
#define LMI_LINE_MAX 32768
typedef void lmi_line_visitor(void *context, struct lmi_bytes line,
                              uint64_t number, bool whole);
LMI_RC lmi_file_each_line(int fd, lmi_line_visitor *visit, void *context,
                          enum lmi_rc code, const char *location,
                          struct lmi_err *err);

/*
 * If the process is root and the owner is not, files are opened and made with
 * the owner's rights until lmi_owner_leave(), which may always be called.
 */
struct lmi_owner {
    bool entered;
    uid_t uid;
    gid_t gid;
};
LMI_RC lmi_owner_enter(struct lmi_owner *saved, uid_t uid, gid_t gid,
                       const char *location, struct lmi_err *err);
void lmi_owner_leave(const struct lmi_owner *saved);

#endif
