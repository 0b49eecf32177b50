#include "accounts/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

#define SITE_FILE_MAX ((off_t)1 << 30)
#define HOME_FILE_MAX ((off_t)1 << 20)

static void
folder_init(struct lmi_folder *folder, const struct lmi_site *site,
            const char *path)
{
    const char *root = lmi_site_root(site);

    *folder = (struct lmi_folder){.fd = -1};
    snprintf(folder->place, sizeof folder->place, "%s%s%s",
             strcmp(root, "/") == 0 ? "" : root, path[0] == '/' ? "" : "/",
             path);
    folder->rules = (struct lmi_file_rules){
        .code = LMI_SITE, .root = folder->place, .max_size = SITE_FILE_MAX};
}

static enum lmi_rc
folder_fail(const struct lmi_folder *folder, int os_errno, const char *text,
            struct lmi_err *err)
{
    enum lmi_rc code =
        os_errno == EACCES || os_errno == EPERM ? LMI_RIGHTS : LMI_SITE;

    return lmi_fail(err, code, os_errno, folder->place, text, NULL);
}

/* Makes the folder inside the one that it lies in. */
static enum lmi_rc
make_folder(struct lmi_site *site, const char *path,
            const struct lmi_folder *folder, struct lmi_err *err)
{
    const char *slash = strrchr(path, '/');
    struct lmi_folder parent;
    char name[256];
    enum lmi_rc rc;

    snprintf(name, sizeof name, "%.*s", slash == NULL ? 0 : (int)(slash - path),
             path);
    rc = lmi_folder_open(site, name, true, &parent, err);
    if (rc == LMI_OK &&
        mkdirat(parent.fd, slash == NULL ? path : slash + 1, 0755) != 0 &&
        errno != EEXIST)
        rc = folder_fail(folder, errno, "can't be made", err);
    if (rc == LMI_OK && fsync(parent.fd) != 0)
        rc = folder_fail(folder, errno, "can't be made durable", err);
    lmi_folder_close(&parent);
    return rc;
}

enum lmi_rc
lmi_folder_open(struct lmi_site *site, const char *path, bool make,
                struct lmi_folder *out, struct lmi_err *err)
{
    const struct lmi_file_rules rules = {.code = LMI_SITE,
                                         .root = lmi_site_root(site)};
    int root = lmi_site_fd(site);
    struct stat st;
    enum lmi_rc rc;

    folder_init(out, site, path);
    rc = lmi_file_open_dir(root, path, &rules, &out->fd, err);
    if (rc == LMI_OK && out->fd < 0 && make) {
        rc = make_folder(site, path, out, err);
        if (rc == LMI_OK)
            rc = lmi_file_open_dir(root, path, &rules, &out->fd, err);
        if (rc == LMI_OK && out->fd < 0)
            rc = folder_fail(out, ENOENT, "can't be opened", err);
    }
    if (rc != LMI_OK || out->fd < 0)
        return rc;
    if (fstat(out->fd, &st) != 0)
        return folder_fail(out, errno, "can't be examined", err);
    if (st.st_uid != 0 && st.st_uid != geteuid())
        return folder_fail(out, 0, "belongs to another user", err);
    return LMI_OK;
}

/* One step down, never by a link; -1 with errno on failure. */
static int
step(int fd, const char *name, bool make)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int below = openat(fd, name, flags);

    if (below >= 0 || errno != ENOENT || !make)
        return below;
    if (mkdirat(fd, name, 0750) != 0 || fsync(fd) != 0)
        return -1;
    return openat(fd, name, flags);
}

enum lmi_rc
lmi_folder_open_mail(struct lmi_site *site, const struct lmi_passwd *owner,
                     const char *domain, bool make, struct lmi_folder *out,
                     struct lmi_err *err)
{
    char path[800];
    int home = -1, etc = -1, code = ENOENT;
    enum lmi_rc rc;

    snprintf(path, sizeof path, "%s/etc/%s", owner->home, domain);
    folder_init(out, site, path);
    out->rules.max_size = HOME_FILE_MAX;
    out->rules.owner = out->uid = owner->uid;
    out->rules.strict = true;
    out->gid = owner->gid;
    rc = lmi_site_open_home(site, owner, &home, err);
    if (rc == LMI_OK && home >= 0)
        rc = lmi_owner_enter(&out->owner, out->uid, out->gid, out->place, err);
    if (rc == LMI_OK && home >= 0) {
        etc = step(home, "etc", make);
        out->fd = etc < 0 ? -1 : step(etc, domain, make);
        code = out->fd < 0 ? errno : 0;
    }
    if (rc == LMI_OK && code != 0 && (code != ENOENT || make))
        rc = folder_fail(out, code, "can't be opened", err);
    if (etc >= 0)
        close(etc);
    if (home >= 0)
        close(home);
    return rc;
}

void
lmi_folder_close(struct lmi_folder *folder)
{
    lmi_owner_leave(&folder->owner);
    folder->owner.entered = false;
    if (folder->fd >= 0)
        close(folder->fd);
    folder->fd = -1;
}

enum lmi_rc
lmi_folder_lock(struct lmi_folder *folder, struct lmi_err *err)
{
    return lmi_replace_lock(folder->fd, folder->place, err);
}

struct lmi_replacement
lmi_folder_file(struct lmi_folder *folder, const char *name, mode_t mode,
                struct lmi_crypto *crypto)
{
    return (struct lmi_replacement){.dir_fd = folder->fd,
                                    .name = name,
                                    .rules = &folder->rules,
                                    .crypto = crypto,
                                    .owner = &folder->owner,
                                    .uid = folder->uid,
                                    .gid = folder->gid,
                                    .mode = mode};
}
