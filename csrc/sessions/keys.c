#include "sessions/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"

#define KEY_SIZE 32

struct lmi_keys {
    struct lmi_mac *macs[LMI_KEYS]; /* NULL: none */
    char *path, *next_path;         /* next_path NULL: not looked for */
    struct lmi_file_id file, next_file;
};

static enum lmi_rc
key_fail(struct lmi_err *err, int os_errno, const char *path, const char *text,
         const char *remedy)
{
    lmi_fail(err, os_errno == EACCES ? LMI_RIGHTS : LMI_KEY, os_errno, path,
             text, remedy);
    return lmi_err_name(err, os_errno == EROFS ? "store.read-only" : NULL);
}

/* The folder that a key lies in, opened, with its owner's rights taken on. */
struct key_folder {
    int dir_fd;
    char dir[PATH_MAX];
    const char *name;
    uid_t uid;
    struct lmi_owner saved;
};

static enum lmi_rc
folder_open(struct key_folder *folder, const char *path, struct lmi_err *err)
{
    struct stat st;

    *folder = (struct key_folder){.dir_fd = -1};
    if (path[0] != '/' || strlen(path) >= sizeof folder->dir)
        return key_fail(err, 0, path, "is not an absolute path", NULL);
    lmi_file_folder(path, folder->dir);
    folder->name = strrchr(path, '/') + 1;
    folder->dir_fd = open(folder->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder->dir_fd < 0 || fstat(folder->dir_fd, &st) != 0) {
        key_fail(err, errno, path, "its folder can't be opened", NULL);
        return lmi_err_name(err, "key.folder");
    }
    folder->uid = st.st_uid;
    return lmi_owner_enter(&folder->saved, st.st_uid, st.st_gid, path, err);
}

static void
folder_close(struct key_folder *folder)
{
    lmi_owner_leave(&folder->saved);
    if (folder->dir_fd >= 0)
        close(folder->dir_fd);
}

static enum lmi_rc
folder_sync(const struct key_folder *folder, const char *path,
            struct lmi_err *err)
{
    return fsync(folder->dir_fd) == 0
               ? LMI_OK
               : key_fail(err, errno, path, "can't be made durable", NULL);
}

static enum lmi_rc
key_check(int fd, const struct key_folder *folder, const char *path,
          struct lmi_err *err)
{
    struct stat st;

    if (fstat(fd, &st) == 0 && st.st_nlink > 1)
        lmi_file_remove_drafts(folder->dir_fd, folder->name, &st);
    if (fstat(fd, &st) != 0)
        return key_fail(err, errno, path, "can't be examined", NULL);
    if ((st.st_mode & 077) != 0) {
        key_fail(err, 0, path, "is open to others than its owner",
                 "chmod 0600 it, and make a new one if in doubt");
        return lmi_err_name(err, "key.mode");
    }
    if (st.st_nlink != 1) {
        key_fail(err, 0, path, "has more than one hard link",
                 "remove the other name");
        return lmi_err_name(err, "key.links");
    }
    if (st.st_size != KEY_SIZE) {
        key_fail(err, 0, path, "is not 32 bytes long", NULL);
        return lmi_err_name(err, "key.size");
    }
    return LMI_OK;
}

/* key_out is NULL if there is no such file. */
static enum lmi_rc
key_read(const char *path, char **key_out, struct lmi_err *err)
{
    struct key_folder folder;
    struct lmi_file_rules rules = {.code = LMI_KEY, .max_size = KEY_SIZE};
    char *key = lmi_secret_alloc(KEY_SIZE);
    int fd = -1;
    enum lmi_rc rc = folder_open(&folder, path, err);

    *key_out = NULL;
    if (rc == LMI_OK && key == NULL)
        rc = lmi_no_memory(err);
    if (rc != LMI_OK)
        goto out;
    rules.root = folder.dir;
    rules.owner = folder.uid;
    rc = lmi_file_open(folder.dir_fd, folder.name, &rules, &fd, err);
    if (rc != LMI_OK) {
        lmi_err_add_location(err, " (key)");
        lmi_err_name(err, err->name != NULL ? "key.owner" : "key.unusable");
        goto out;
    }
    if (fd < 0)
        goto out;
    rc = key_check(fd, &folder, path, err);
    if (rc == LMI_OK && read(fd, key, KEY_SIZE) != KEY_SIZE)
        rc = key_fail(err, 0, path, "can't be read", NULL);
    if (rc == LMI_OK) {
        *key_out = key;
        key = NULL;
    }
out:
    if (fd >= 0)
        close(fd);
    folder_close(&folder);
    lmi_secret_free(key);
    return rc;
}

static enum lmi_rc
mac_load(struct lmi_crypto *crypto, const char *path, struct lmi_mac **out,
         struct lmi_err *err)
{
    char *key = NULL;
    enum lmi_rc rc = key_read(path, &key, err);

    if (rc == LMI_OK && key != NULL)
        rc = lmi_mac_new(crypto, (const uint8_t *)key, KEY_SIZE, out, err);
    lmi_secret_free(key);
    return rc;
}

/* What can't be used is none: the operator may be copying it. */
static enum lmi_rc
next_load(struct lmi_crypto *crypto, struct lmi_keys *keys, struct lmi_err *err)
{
    struct lmi_err why;
    enum lmi_rc rc =
        mac_load(crypto, keys->next_path, &keys->macs[LMI_KEY_NEXT], &why);

    return rc == LMI_MEMORY ? lmi_no_memory(err) : LMI_OK;
}

/*
 * In this order: who rotates gives the present key the name of the old one, and
 * then the next one that of the present one.
 */
static enum lmi_rc
load_all(struct lmi_crypto *crypto, struct lmi_keys *keys, const char *old_path,
         struct lmi_err *err)
{
    bool must = old_path != NULL && old_path[0] != '\0';
    char old[PATH_MAX];
    enum lmi_rc rc = LMI_OK;

    lmi_keys_old_path(keys->path, old_path, old);
    keys->file = lmi_file_identify(keys->path);
    if (keys->next_path != NULL) {
        keys->next_file = lmi_file_identify(keys->next_path);
        rc = next_load(crypto, keys, err);
    }
    if (rc == LMI_OK)
        rc = mac_load(crypto, keys->path, &keys->macs[LMI_KEY_PRESENT], err);
    if (rc != LMI_OK || keys->macs[LMI_KEY_PRESENT] == NULL)
        return rc;
    rc = mac_load(crypto, old, &keys->macs[LMI_KEY_OLD], err);
    if (rc == LMI_OK && must && keys->macs[LMI_KEY_OLD] == NULL) {
        key_fail(err, 0, old, "is not there",
                 "take key_file_old out of the settings");
        rc = lmi_err_name(err, "key.old-missing");
    }
    return rc;
}

enum lmi_rc
lmi_keys_load(struct lmi_crypto *crypto, const char *path, const char *old_path,
              const char *next_path, bool *found_out, struct lmi_keys **out,
              struct lmi_err *err)
{
    struct lmi_keys *keys = calloc(1, sizeof *keys);
    enum lmi_rc rc = LMI_OK;

    *out = NULL;
    *found_out = false;
    if (keys == NULL)
        return lmi_no_memory(err);
    keys->path = strdup(path);
    keys->next_path = next_path != NULL ? strdup(next_path) : NULL;
    if (keys->path == NULL || (next_path != NULL && keys->next_path == NULL))
        rc = lmi_no_memory(err);
    if (rc == LMI_OK)
        rc = load_all(crypto, keys, old_path, err);
    *found_out = rc == LMI_OK && keys->macs[LMI_KEY_PRESENT] != NULL;
    if (*found_out)
        *out = keys;
    else
        lmi_keys_free(keys);
    return rc;
}

void
lmi_keys_free(struct lmi_keys *keys)
{
    if (keys == NULL)
        return;
    for (size_t i = 0; i < LMI_KEYS; i++)
        lmi_mac_free(keys->macs[i]);
    free(keys->path);
    free(keys->next_path);
    free(keys);
}

void
lmi_keys_forget_old(struct lmi_keys *keys)
{
    lmi_mac_free(keys->macs[LMI_KEY_OLD]);
    keys->macs[LMI_KEY_OLD] = NULL;
}

bool
lmi_keys_in_place(const struct lmi_keys *keys)
{
    struct lmi_file_id there = lmi_file_identify(keys->path);

    if (!lmi_file_id_equal(&there, &keys->file))
        return false;
    if (keys->next_path == NULL)
        return true;
    there = lmi_file_identify(keys->next_path);
    return lmi_file_id_equal(&there, &keys->next_file);
}

/* Under another name at first, so that no half key is ever read. */
static enum lmi_rc
draft_write(int dir_fd, const char *name, const char *key, const char *path,
            struct lmi_err *err)
{
    int fd = openat(dir_fd, name,
                    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    enum lmi_rc rc = LMI_OK;

    if (fd < 0 || write(fd, key, KEY_SIZE) != KEY_SIZE || fsync(fd) != 0)
        rc = key_fail(err, errno, path, "can't be written", NULL);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* The key at path; *there_out, and no change, if one is there already. */
static enum lmi_rc
key_write(struct lmi_crypto *crypto, const char *path, const char *key,
          bool replace, bool *there_out, struct lmi_err *err)
{
    struct key_folder folder;
    char draft[NAME_MAX + 20];
    struct stat st;
    uint64_t number = 0;
    int code = 0;
    enum lmi_rc rc = folder_open(&folder, path, err);

    *there_out = false;
    if (rc == LMI_OK)
        rc = lmi_random(crypto, &number, sizeof number, err);
    if (rc != LMI_OK)
        goto out;
    snprintf(draft, sizeof draft, "%s.%016llx", folder.name,
             (unsigned long long)number);
    rc = draft_write(folder.dir_fd, draft, key, path, err);
    if (rc == LMI_OK && replace)
        code = renameat(folder.dir_fd, draft, folder.dir_fd, folder.name) == 0
                   ? 0
                   : errno;
    else if (rc == LMI_OK)
        code = lmi_file_place(folder.dir_fd, draft, folder.name);
    *there_out = code == EEXIST;
    if (code != 0 && code != EEXIST)
        rc = key_fail(err, code, path, "can't be made", NULL);
    unlinkat(folder.dir_fd, draft, 0);
    if (rc == LMI_OK)
        rc = folder_sync(&folder, path, err);
    if (rc == LMI_OK && fstatat(folder.dir_fd, folder.name, &st, 0) == 0)
        lmi_file_remove_drafts(folder.dir_fd, folder.name, &st);
out:
    folder_close(&folder);
    return rc;
}

static enum lmi_rc
key_make(struct lmi_crypto *crypto, const char *path, bool replace,
         struct lmi_err *err)
{
    char key[KEY_SIZE];
    bool there;
    enum lmi_rc rc = lmi_random(crypto, key, sizeof key, err);

    if (rc == LMI_OK)
        rc = key_write(crypto, path, key, replace, &there, err);
    lmi_wipe(key, sizeof key);
    return rc;
}

enum lmi_rc
lmi_keys_make(struct lmi_crypto *crypto, const char *path, struct lmi_err *err)
{
    return key_make(crypto, path, false, err);
}

enum lmi_rc
lmi_keys_remake(struct lmi_crypto *crypto, const char *path,
                struct lmi_err *err)
{
    return key_make(crypto, path, true, err);
}

enum lmi_rc
lmi_keys_copy(struct lmi_crypto *crypto, const char *from, const char *path,
              bool replace, struct lmi_err *err)
{
    char *key = NULL;
    bool there = false, same = true;
    enum lmi_rc rc = key_read(from, &key, err);

    if (rc == LMI_OK && key == NULL)
        rc = key_fail(err, 0, from, "is not there", NULL);
    if (rc == LMI_OK)
        rc = key_write(crypto, path, key, replace, &there, err);
    lmi_secret_free(key);
    if (rc == LMI_OK && there)
        rc = lmi_keys_same(from, path, &same, err);
    if (rc == LMI_OK && !same) {
        key_fail(err, 0, path, "is another key",
                 "move it away if it is not needed");
        rc = lmi_err_name(err, "key.taken");
    }
    return rc;
}

enum lmi_rc
lmi_keys_same(const char *path, const char *other, bool *out,
              struct lmi_err *err)
{
    char *key = NULL, *other_key = NULL;
    enum lmi_rc rc = key_read(path, &key, err);

    if (rc == LMI_OK)
        rc = key_read(other, &other_key, err);
    *out = rc == LMI_OK && key != NULL && other_key != NULL &&
           lmi_secret_equal(key, other_key, KEY_SIZE);
    lmi_secret_free(key);
    lmi_secret_free(other_key);
    return rc;
}

enum lmi_rc
lmi_keys_move(const char *from, const char *path, struct lmi_err *err)
{
    struct key_folder folder;
    enum lmi_rc rc = folder_open(&folder, path, err);

    if (rc == LMI_OK && renameat(folder.dir_fd, strrchr(from, '/') + 1,
                                 folder.dir_fd, folder.name) != 0)
        rc = key_fail(err, errno, from, "can't be moved", NULL);
    if (rc == LMI_OK)
        rc = folder_sync(&folder, path, err);
    folder_close(&folder);
    return rc;
}

enum lmi_rc
lmi_keys_remove(const char *path, struct lmi_err *err)
{
    struct key_folder folder;
    enum lmi_rc rc = folder_open(&folder, path, err);

    if (rc == LMI_OK && unlinkat(folder.dir_fd, folder.name, 0) != 0 &&
        errno != ENOENT)
        rc = key_fail(err, errno, path, "can't be removed", NULL);
    if (rc == LMI_OK)
        rc = folder_sync(&folder, path, err);
    folder_close(&folder);
    return rc;
}

enum lmi_rc
lmi_keys_touch(const char *path, struct lmi_err *err)
{
    struct key_folder folder;
    enum lmi_rc rc = folder_open(&folder, path, err);

    /* The time of its last change becomes another; that of its bytes stays. */
    if (rc == LMI_OK && fchmodat(folder.dir_fd, folder.name, 0600, 0) != 0)
        rc = key_fail(err, errno, path, "can't be changed", NULL);
    folder_close(&folder);
    return rc;
}

void
lmi_keys_old_path(const char *path, const char *old_path, char out[PATH_MAX])
{
    if (old_path != NULL && old_path[0] != '\0')
        snprintf(out, PATH_MAX, "%s", old_path);
    else
        snprintf(out, PATH_MAX, "%s.old", path);
}

void
lmi_keys_next_path(const char *path, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s.next", path);
}

int64_t
lmi_keys_rotated(const char *path, const char *old_path)
{
    struct lmi_file_id key = lmi_file_identify(path);
    struct lmi_file_id old = lmi_file_identify(old_path);

    if (key.inode == 0 || old.inode == 0)
        return 0;
    return key.changed.tv_sec > old.changed.tv_sec ? key.changed.tv_sec
                                                   : old.changed.tv_sec;
}

#define MAC_MAX (LMI_HASH + 1024)

/* purpose, then the bytes: one purpose's MAC is never another's. */
static enum lmi_rc
mac_with(struct lmi_mac *mac, uint8_t purpose, const void *ptr, size_t len,
         uint8_t out[LMI_HASH], struct lmi_err *err)
{
    uint8_t bytes[1 + MAC_MAX];

    memset(out, 0, LMI_HASH);
    if (len > MAC_MAX)
        return lmi_fail(err, LMI_CRYPTO, 0, NULL, "is too long for a MAC",
                        NULL);
    bytes[0] = purpose;
    memcpy(bytes + 1, ptr, len);
    return lmi_mac_sum(mac, bytes, len + 1, out, err);
}

enum lmi_rc
lmi_keys_mac(struct lmi_keys *keys, uint8_t purpose, const void *ptr,
             size_t len, uint8_t out[LMI_HASH], struct lmi_err *err)
{
    return mac_with(keys->macs[LMI_KEY_PRESENT], purpose, ptr, len, out, err);
}

enum lmi_rc
lmi_keys_mac_of(struct lmi_keys *keys, enum lmi_key which, uint8_t purpose,
                const void *ptr, size_t len, bool *has_out,
                uint8_t out[LMI_HASH], struct lmi_err *err)
{
    *has_out = keys->macs[which] != NULL;
    return *has_out ? mac_with(keys->macs[which], purpose, ptr, len, out, err)
                    : LMI_OK;
}

enum lmi_rc
lmi_keys_verify(struct lmi_keys *keys, uint8_t purpose, const void *ptr,
                size_t len, const uint8_t *mac, size_t mac_len, bool *good_out,
                enum lmi_key *which_out, struct lmi_err *err)
{
    uint8_t wanted[LMI_HASH];
    enum lmi_rc rc = LMI_OK;

    *good_out = false;
    for (enum lmi_key i = 0; i < LMI_KEYS && rc == LMI_OK && !*good_out; i++) {
        if (keys->macs[i] == NULL)
            continue;
        rc = mac_with(keys->macs[i], purpose, ptr, len, wanted, err);
        *good_out = rc == LMI_OK && lmi_secret_equal(wanted, mac, mac_len);
        if (which_out != NULL)
            *which_out = i;
    }
    return rc;
}
