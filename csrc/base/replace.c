#include "base/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"

#define LOCK_TRIES 500
#define LOCK_PAUSE 20000000 /* nanoseconds */

enum lmi_rc
lmi_replace_lock(int dir_fd, const char *location, struct lmi_err *err)
{
    const struct timespec pause = {.tv_nsec = LOCK_PAUSE};

    for (int i = 0; i < LOCK_TRIES; i++) {
        if (flock(dir_fd, LOCK_EX | LOCK_NB) == 0)
            return LMI_OK;
        if (errno != EWOULDBLOCK && errno != EINTR)
            return lmi_fail(err, LMI_SITE, errno, location, "can't be locked",
                            NULL);
        nanosleep(&pause, NULL);
    }
    return lmi_fail(err, LMI_SITE, 0, location,
                    "is being changed by another process", "try again");
}

static enum lmi_rc
replace_fail(const struct lmi_replacement *file, int os_errno, const char *text,
             const char *remedy, struct lmi_err *err)
{
    return lmi_file_fail(file->rules, file->name, os_errno, text, remedy, err);
}

/* The whole file, into memory that is wiped. */
static enum lmi_rc
read_old(const struct lmi_replacement *file, int fd, char **text_out,
         size_t *len_out, struct lmi_err *err)
{
    size_t size = (size_t)file->old.st_size, len = 0;
    char *text = lmi_secret_alloc(size + 1);
    ssize_t got = 1;

    if (text == NULL)
        return lmi_no_memory(err);
    while (got != 0 && len <= size) {
        got = read(fd, text + len, size + 1 - len);
        if (got < 0 && errno != EINTR)
            break;
        len += got > 0 ? (size_t)got : 0;
    }
    if (got < 0 || len != size) {
        int saved = got < 0 ? errno : 0;
        lmi_secret_free(text);
        return replace_fail(file, saved, "can't be read, or is being changed",
                            NULL, err);
    }
    *text_out = text;
    *len_out = len;
    return LMI_OK;
}

enum lmi_rc
lmi_replace_begin(struct lmi_replacement *file, char **text_out,
                  size_t *len_out, struct lmi_err *err)
{
    int fd;
    enum lmi_rc rc =
        lmi_file_open(file->dir_fd, file->name, file->rules, &fd, err);

    *text_out = NULL;
    *len_out = 0;
    file->exists = rc == LMI_OK && fd >= 0;
    if (!file->exists)
        return rc;
    if (fstat(fd, &file->old) != 0)
        rc = replace_fail(file, errno, "can't be examined", NULL, err);
    else if (file->old.st_nlink != 1)
        rc = replace_fail(file, 0, "has more than one hard link",
                          "remove the other names", err);
    else
        rc = read_old(file, fd, text_out, len_out, err);
    close(fd);
    return rc;
}

static bool
write_all(int fd, struct lmi_bytes text)
{
    while (text.len > 0) {
        ssize_t written = write(fd, text.ptr, text.len);
        if (written < 0 && errno != EINTR)
            return false;
        text.ptr += written > 0 ? written : 0;
        text.len -= written > 0 ? (size_t)written : 0;
    }
    return true;
}

/*
 * Gives the draft the old file's group. The owner may not be a member of it,
 * as of "mail": then root does it, by the descriptor of the draft itself, and
 * the owner gets no more than the old file was.
 */
static enum lmi_rc
keep_group(const struct lmi_replacement *file, int fd, struct lmi_err *err)
{
    int code = fchown(fd, (uid_t)-1, file->old.st_gid) == 0 ? 0 : errno;
    enum lmi_rc rc = LMI_OK;

    if (code == EPERM && file->owner != NULL && file->owner->entered) {
        lmi_owner_leave(file->owner);
        code = fchown(fd, (uid_t)-1, file->old.st_gid) == 0 ? 0 : errno;
        rc = lmi_owner_enter(file->owner, file->uid, file->gid,
                             file->rules->root, err);
    }
    if (rc == LMI_OK && code != 0)
        rc = replace_fail(file, code, "has a group that can't be kept", NULL,
                          err);
    return rc;
}

/* Owner, group and permissions of the old file. */
static enum lmi_rc
keep_status(const struct lmi_replacement *file, int fd, struct lmi_err *err)
{
    mode_t mode = file->exists ? file->old.st_mode & 0777 : file->mode;
    struct stat st;
    enum lmi_rc rc = LMI_OK;

    if (fstat(fd, &st) != 0)
        return replace_fail(file, errno, "can't be examined", NULL, err);
    if (file->exists && st.st_uid != file->old.st_uid &&
        fchown(fd, file->old.st_uid, (gid_t)-1) != 0)
        return replace_fail(file, errno, "has an owner that can't be kept",
                            NULL, err);
    if (file->exists && st.st_gid != file->old.st_gid)
        rc = keep_group(file, fd, err);
    if (rc == LMI_OK && fchmod(fd, mode) != 0)
        rc = replace_fail(file, errno, "can't be written", NULL, err);
    return rc;
}

static enum lmi_rc
write_draft(const struct lmi_replacement *file, const char *draft,
            struct lmi_bytes text, struct lmi_err *err)
{
    int fd = openat(file->dir_fd, draft,
                    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    enum lmi_rc rc;

    if (fd < 0)
        return replace_fail(file, errno, "can't be written", NULL, err);
    rc = keep_status(file, fd, err);
    if (rc == LMI_OK && (!write_all(fd, text) || fsync(fd) != 0))
        rc = replace_fail(file, errno, "can't be written", NULL, err);
    if (close(fd) != 0 && rc == LMI_OK)
        rc = replace_fail(file, errno, "can't be written", NULL, err);
    return rc;
}

/* Is it still the file that was read, and in the same state? */
static bool
is_unchanged(const struct lmi_replacement *file)
{
    struct stat st;

    if (fstatat(file->dir_fd, file->name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    const struct lmi_file_id before = lmi_file_id_of(&file->old);
    const struct lmi_file_id now = lmi_file_id_of(&st);
    return lmi_file_id_equal(&before, &now);
}

static enum lmi_rc
put_in_place(const struct lmi_replacement *file, const char *draft,
             struct lmi_err *err)
{
    int code = 0;

    if (!file->exists)
        code = lmi_file_place(file->dir_fd, draft, file->name);
    else if (!is_unchanged(file))
        code = EEXIST;
    else if (renameat(file->dir_fd, draft, file->dir_fd, file->name) != 0)
        code = errno;
    if (code == EEXIST)
        return replace_fail(file, 0, "was changed by another process",
                            "try again", err);
    if (code != 0)
        return replace_fail(file, code, "can't be replaced", NULL, err);
    if (fsync(file->dir_fd) != 0)
        return replace_fail(file, errno, "can't be made durable", NULL, err);
    return LMI_OK;
}

enum lmi_rc
lmi_replace_finish(struct lmi_replacement *file, struct lmi_bytes text,
                   struct lmi_err *err)
{
    char stem[NAME_MAX + 16], draft[NAME_MAX + 48];
    uint64_t number;
    enum lmi_rc rc = lmi_random(file->crypto, &number, sizeof number, err);

    if (rc != LMI_OK)
        return rc;
    snprintf(stem, sizeof stem, ".%.200s.logmein", file->name);
    snprintf(draft, sizeof draft, "%s.%016llx", stem,
             (unsigned long long)number);
    lmi_file_remove_drafts(file->dir_fd, stem, NULL);
    rc = write_draft(file, draft, text, err);
    if (rc == LMI_OK)
        rc = put_in_place(file, draft, err);
    unlinkat(file->dir_fd, draft, 0); /* It is gone if all went well. */
    return rc;
}

enum lmi_rc
lmi_replace_remove(struct lmi_replacement *file, bool *removed_out,
                   struct lmi_err *err)
{
    *removed_out = unlinkat(file->dir_fd, file->name, 0) == 0;
    if (!*removed_out && errno != ENOENT)
        return replace_fail(file, errno, "can't be removed", NULL, err);
    if (*removed_out && fsync(file->dir_fd) != 0)
        return replace_fail(file, errno, "can't be made durable", NULL, err);
    return LMI_OK;
}
