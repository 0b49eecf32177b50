#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"

#define DRAFT_SECONDS 60

struct lmi_file_id
lmi_file_id_of(const struct stat *st)
{
    return (struct lmi_file_id){.device = st->st_dev,
                                .inode = st->st_ino,
                                .size = st->st_size,
                                .modified = st->st_mtim,
                                .changed = st->st_ctim};
}

struct lmi_file_id
lmi_file_identify(const char *path)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return (struct lmi_file_id){.inode = 0};
    return lmi_file_id_of(&st);
}

bool
lmi_file_is(const struct lmi_file_id *id, const struct stat *st)
{
    return id->device == st->st_dev && id->inode == st->st_ino;
}

static bool
same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool
lmi_file_id_equal(const struct lmi_file_id *a, const struct lmi_file_id *b)
{
    return a->device == b->device && a->inode == b->inode &&
           a->size == b->size && same_time(a->modified, b->modified) &&
           same_time(a->changed, b->changed);
}

enum lmi_rc
lmi_file_fail(const struct lmi_file_rules *rules, const char *path,
              int os_errno, const char *text, const char *remedy,
              struct lmi_err *err)
{
    enum lmi_rc code = rules->code;

    if (os_errno == EACCES || os_errno == EPERM)
        code = LMI_RIGHTS;
    lmi_fail(err, code, os_errno, rules->root, text, remedy);
    size_t len = strlen(err->location);
    lmi_err_add_location(err, "%s%s",
                         len > 0 && err->location[len - 1] != '/' ? "/" : "",
                         path + (len > 0 && path[0] == '/' ? 1 : 0));
    return code;
}

static bool
owner_ok(const struct stat *st, const struct lmi_file_rules *rules)
{
    return st->st_uid == 0 || st->st_uid == rules->owner ||
           (!rules->strict && st->st_uid == geteuid());
}

/* The first rule that the opened file breaks, or NULL. */
static const char *
broken_rule(const struct stat *st, const struct lmi_file_rules *rules,
            const char **remedy, const char **name)
{
    *remedy = *name = NULL;
    if (S_ISLNK(st->st_mode))
        return "is a symbolic link";
    if (!S_ISREG(st->st_mode))
        return "is not a regular file";
    if (!owner_ok(st, rules)) {
        *remedy = "chown it";
        *name = "owner";
        return "belongs to another user";
    }
    if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        *remedy = "chmod go-w it";
        return "can be changed by group or others";
    }
    if (rules->strict && st->st_nlink != 1)
        return "has more than one hard link";
    if (st->st_size > rules->max_size)
        return "is too large";
    return NULL;
}

/* The error of the first rule that is broken, if any. */
static enum lmi_rc
judge(const struct stat *st, const struct lmi_file_rules *rules,
      const char *path, struct lmi_err *err)
{
    const char *remedy, *name, *text = broken_rule(st, rules, &remedy, &name);

    if (text == NULL)
        return LMI_OK;
    lmi_file_fail(rules, path, 0, text, remedy, err);
    return lmi_err_name(err, name);
}

enum lmi_rc
lmi_file_open(int dir_fd, const char *path, const struct lmi_file_rules *rules,
              int *fd_out, struct lmi_err *err)
{
    struct stat st;
    enum lmi_rc rc;
    int fd = openat(dir_fd, path,
                    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

    *fd_out = -1;
    if (fd < 0 && errno == ENOENT)
        return LMI_OK;
    if (fd < 0)
        return errno == ELOOP ? lmi_file_fail(rules, path, 0,
                                              "is a symbolic link", NULL, err)
                              : lmi_file_fail(rules, path, errno,
                                              "can't be opened", NULL, err);
    rc = fstat(fd, &st) == 0 ? judge(&st, rules, path, err)
                             : lmi_file_fail(rules, path, errno,
                                             "can't be examined", NULL, err);
    if (rc == LMI_OK)
        *fd_out = fd;
    else
        close(fd);
    return rc;
}

enum lmi_rc
lmi_file_exists(int dir_fd, const char *path,
                const struct lmi_file_rules *rules, bool *out,
                struct lmi_err *err)
{
    struct stat st;

    *out = false;
    if (fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? LMI_OK
                               : lmi_file_fail(rules, path, errno,
                                               "can't be examined", NULL, err);
    enum lmi_rc rc = judge(&st, rules, path, err);
    *out = rc == LMI_OK;
    return rc;
}

#define MAX_LINKS 8

/* A path while its links are resolved. */
struct walk {
    int root_fd;
    const char *path; /* the whole, for errors */
    const struct lmi_file_rules *rules;
    int fd; /* of what `done` leads to */
    int links;
    char done[PATH_MAX]; /* the part that was walked: without links */
    char rest[PATH_MAX]; /* the part to be walked */
};

static enum lmi_rc
walk_fail(const struct walk *walk, int os_errno, const char *text,
          struct lmi_err *err)
{
    return lmi_file_fail(walk->rules, walk->path, os_errno, text, NULL, err);
}

static bool
walk_restart(struct walk *walk, const char *first, const char *second)
{
    char path[PATH_MAX];
    int len = snprintf(path, sizeof path, "%s/%s", first, second);

    if (len < 0 || (size_t)len >= sizeof path)
        return false;
    memcpy(walk->rest, path, (size_t)len + 1);
    walk->done[0] = '\0';
    close(walk->fd);
    walk->fd = openat(walk->root_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return walk->fd >= 0;
}

/* Takes the next component of walk->rest; empty at the end. */
static void
walk_component(struct walk *walk, char out[NAME_MAX + 2])
{
    char *start = walk->rest + strspn(walk->rest, "/");
    size_t len = strcspn(start, "/");
    size_t kept = len > NAME_MAX ? NAME_MAX + 1 : len;

    memcpy(out, start, kept);
    out[kept] = '\0';
    memmove(walk->rest, start + len, strlen(start + len) + 1);
}

/* ".." of a path without links is the path without its last component. */
static bool
walk_up(struct walk *walk)
{
    char *slash = strrchr(walk->done, '/');

    if (slash != NULL)
        *slash = '\0';
    return walk_restart(walk, walk->done, walk->rest);
}

/* Follows the very link that was examined, whatever has its name by now. */
static enum lmi_rc
walk_link(struct walk *walk, int link_fd, const struct stat *st,
          struct lmi_err *err)
{
    char target[PATH_MAX], whole[PATH_MAX];
    ssize_t len;
    int size;

    if (st->st_uid != 0 && st->st_uid != geteuid())
        return walk_fail(walk, 0, "has another user's link on its way", err);
    len = readlinkat(link_fd, "", target, sizeof target - 1);
    if (len < 0)
        return walk_fail(walk, errno, "has an unreadable link", err);
    target[len] = '\0';
    size = snprintf(whole, sizeof whole, "%s/%s", target, walk->rest);
    if (++walk->links > MAX_LINKS || size < 0 || (size_t)size >= sizeof whole ||
        !walk_restart(walk, target[0] == '/' ? "" : walk->done, whole))
        return walk_fail(walk, ELOOP, "has too many links", err);
    return LMI_OK;
}

/* Goes one component further; *missing_out if it is not there. */
static enum lmi_rc
walk_step(struct walk *walk, const char *name, bool *missing_out,
          struct lmi_err *err)
{
    struct stat st;
    size_t used = strlen(walk->done);
    int fd;

    if (strcmp(name, ".") == 0)
        return LMI_OK;
    if (strcmp(name, "..") == 0)
        return walk_up(walk) ? LMI_OK
                             : walk_fail(walk, errno, "can't be followed", err);
    fd = openat(walk->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    *missing_out = fd < 0 && errno == ENOENT;
    if (*missing_out)
        return LMI_OK;
    if (fd < 0 || fstat(fd, &st) != 0) {
        int saved = errno;
        if (fd >= 0)
            close(fd);
        return walk_fail(walk, saved, "can't be followed", err);
    }
    if (S_ISLNK(st.st_mode)) {
        enum lmi_rc rc = walk_link(walk, fd, &st, err);
        close(fd);
        return rc;
    }
    close(walk->fd);
    walk->fd = fd;
    snprintf(walk->done + used, sizeof walk->done - used, "/%s", name);
    return LMI_OK;
}

static enum lmi_rc
walk_all(struct walk *walk, bool *missing_out, struct lmi_err *err)
{
    char name[NAME_MAX + 2];
    enum lmi_rc rc = LMI_OK;

    if (!walk_restart(walk, "", walk->path))
        return walk_fail(walk, ENAMETOOLONG, "can't be followed", err);
    while (rc == LMI_OK && !*missing_out) {
        walk_component(walk, name);
        if (name[0] == '\0')
            break;
        rc = walk_step(walk, name, missing_out, err);
    }
    return rc;
}

enum lmi_rc
lmi_file_open_dir(int root_fd, const char *path,
                  const struct lmi_file_rules *rules, int *fd_out,
                  struct lmi_err *err)
{
    struct walk *walk = malloc(sizeof *walk);
    bool missing = false;
    enum lmi_rc rc;

    *fd_out = -1;
    if (walk == NULL)
        return lmi_no_memory(err);
    walk->root_fd = root_fd;
    walk->path = path;
    walk->rules = rules;
    walk->fd = -1;
    walk->links = 0;
    rc = walk_all(walk, &missing, err);
    if (rc == LMI_OK && !missing) {
        *fd_out = openat(walk->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (*fd_out < 0)
            rc = walk_fail(walk, errno, "can't be opened", err);
    }
    if (walk->fd >= 0)
        close(walk->fd);
    free(walk);
    return rc;
}

void
lmi_file_folder(const char *path, char out[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    int len = slash == NULL || slash == path ? 1 : (int)(slash - path);

    snprintf(out, PATH_MAX, "%.*s", len, path);
}

int
lmi_file_place(int dir_fd, const char *draft, const char *name)
{
    if (renameat2(dir_fd, draft, dir_fd, name, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return errno;
    return linkat(dir_fd, draft, dir_fd, name, 0) == 0 ? 0 : errno;
}

static bool
begins_with_stem(const char *name, const char *stem)
{
    size_t len = strlen(stem);

    return strncmp(name, stem, len) == 0 && name[len] == '.';
}

static bool
is_draft(const char *name, const char *stem)
{
    const char *digits = name + strlen(stem) + 1;

    return begins_with_stem(name, stem) &&
           strspn(digits, "0123456789abcdef") == 16 && digits[16] == '\0';
}

/* Is it a draft that nobody works at, or a second name of the placed file? */
static bool
is_left(const char *name, const char *stem, const struct stat *st,
        const struct stat *placed)
{
    if (placed != NULL && st->st_dev == placed->st_dev &&
        st->st_ino == placed->st_ino)
        return begins_with_stem(name, stem);
    return is_draft(name, stem) && st->st_mtime + DRAFT_SECONDS < time(NULL);
}

void
lmi_file_remove_drafts(int dir_fd, const char *stem, const struct stat *placed)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    struct stat st;

    if (dir == NULL && fd >= 0)
        close(fd);
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (begins_with_stem(entry->d_name, stem) &&
            fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            is_left(entry->d_name, stem, &st, placed))
            unlinkat(dir_fd, entry->d_name, 0);
    if (dir != NULL)
        closedir(dir);
}

/* read(2) without interruptions. */
static ssize_t
read_some(int fd, char *out, size_t size)
{
    ssize_t got;

    do
        got = read(fd, out, size);
    while (got < 0 && errno == EINTR);
    return got;
}

enum lmi_rc
lmi_file_read(int fd, size_t max_size, char **out, size_t *len_out,
              enum lmi_rc code, const char *location, struct lmi_err *err)
{
    char *text = malloc(max_size + 1);
    size_t len = 0;
    ssize_t got;

    *out = NULL;
    *len_out = 0;
    if (text == NULL)
        return lmi_no_memory(err);
    do {
        got = read_some(fd, text + len, max_size + 1 - len);
        if (got > 0)
            len += (size_t)got;
    } while (got > 0 && len <= max_size);
    if (got < 0 || len > max_size) {
        int saved = got < 0 ? errno : EFBIG;
        free(text);
        return lmi_fail(err, code, saved, location, "can't be read", NULL);
    }
    text[len] = '\0';
    *out = text;
    *len_out = len;
    return LMI_OK;
}

/* The part of the file in memory; at `start` the unfinished line begins. */
struct window {
    size_t start, end;
    uint64_t number;
    bool cutting; /* inside a line that was too long */
    char bytes[2 * LMI_LINE_MAX];
};

/* Visits every complete line in the window. */
static void
window_lines(struct window *window, lmi_line_visitor *visit, void *context)
{
    for (;;) {
        const char *start = window->bytes + window->start;
        size_t left = window->end - window->start;
        const char *newline = left > 0 ? memchr(start, '\n', left) : NULL;
        if (newline == NULL)
            return;
        struct lmi_bytes line = {start, (size_t)(newline - start)};
        window->start += line.len + 1;
        if (!window->cutting)
            visit(context, line, ++window->number, line.len <= LMI_LINE_MAX);
        window->cutting = false;
    }
}

/* Makes room; a line that is too long is visited cut, and then skipped. */
static void
window_slide(struct window *window, lmi_line_visitor *visit, void *context)
{
    size_t left = window->end - window->start;

    if (left > LMI_LINE_MAX) {
        struct lmi_bytes line = {window->bytes + window->start, LMI_LINE_MAX};
        if (!window->cutting)
            visit(context, line, ++window->number, false);
        window->cutting = true;
        left = 0;
    } else {
        memmove(window->bytes, window->bytes + window->start, left);
    }
    window->start = 0;
    window->end = left;
}

enum lmi_rc
lmi_file_each_line(int fd, lmi_line_visitor *visit, void *context,
                   enum lmi_rc code, const char *location, struct lmi_err *err)
{
    struct window *window = malloc(sizeof *window);
    size_t touched = 0;
    ssize_t got;

    if (window == NULL)
        return lmi_no_memory(err);
    window->start = window->end = 0;
    window->number = 0;
    window->cutting = false;
    while ((got = read_some(fd, window->bytes + window->end,
                            sizeof window->bytes - window->end)) > 0) {
        window->end += (size_t)got;
        touched = touched > window->end ? touched : window->end;
        window_lines(window, visit, context);
        window_slide(window, visit, context);
    }
    int saved = errno;
    struct lmi_bytes last = {window->bytes, window->end};
    if (got == 0 && last.len > 0 && !window->cutting)
        visit(context, last, ++window->number, true);
    lmi_wipe(window->bytes, touched); /* It may have been a shadow file. */
    free(window);
    if (got < 0)
        return lmi_fail(err, code, saved, location, "can't be read", NULL);
    return LMI_OK;
}

enum lmi_rc
lmi_owner_enter(struct lmi_owner *saved, uid_t uid, gid_t gid,
                const char *location, struct lmi_err *err)
{
    *saved = (struct lmi_owner){.entered = false};
    if (geteuid() != 0 || uid == 0)
        return LMI_OK;
    /* Both calls answer with the previous id, whether they worked or not. */
    saved->gid = (gid_t)setfsgid(gid);
    saved->uid = (uid_t)setfsuid(uid);
    saved->entered = true;
    if ((uid_t)setfsuid((uid_t)-1) == uid && (gid_t)setfsgid((gid_t)-1) == gid)
        return LMI_OK;
    lmi_owner_leave(saved);
    return lmi_fail(err, LMI_RIGHTS, 0, location, "its owner can't be taken on",
                    NULL);
}

void
lmi_owner_leave(const struct lmi_owner *saved)
{
    if (!saved->entered)
        return;
    setfsuid(saved->uid);
    setfsgid(saved->gid);
}
