#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "sessions/open.h"
#include "sessions/record.h"

#define BATCH 64
#define OPEN_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

/*
 * A backup is a folder of up to three files: "key", "key.old", and "known":
 *
 *     "logmein backup 1"  16 bytes
 *     for each source     'e', key (32 bytes), expires (8), value (8)
 *     'z', their number (8 bytes), a MAC under the old key, or zeros (32), and
 *     a MAC under the key over the hash of all that is before it (32)
 *
 * Each piece is hashed together with the hash of what comes before it.
 */
#define HEAD "logmein backup 1"
#define HEAD_SIZE (sizeof HEAD - 1)
#define ENTRY_SIZE (1 + LMI_STORE_KEY + 8 + 8)
#define TAIL_SIZE (1 + 8 + LMI_HASH)
#define DRAFT "known.unfinished"

struct backup {
    struct lmi *lmi;
    const char *folder;
    char key[PATH_MAX], old_key[PATH_MAX];
    struct lmi_keys *keys;
    int dir_fd;
    FILE *file;
    uint8_t sum[LMI_HASH];
    uint64_t count;
};

static enum lmi_rc
backup_fail(const struct backup *backup, int os_errno, const char *text,
            const char *remedy, struct lmi_err *err)
{
    return lmi_fail(err, os_errno == EACCES ? LMI_RIGHTS : LMI_STORE, os_errno,
                    backup->folder, text, remedy);
}

static enum lmi_rc
damaged(const struct backup *backup, struct lmi_err *err)
{
    backup_fail(backup, 0, "is no complete backup, or is damaged",
                "nothing was changed: use another one", err);
    return lmi_err_name(err, "backup.damaged");
}

static enum lmi_rc
folder_name(struct backup *backup, struct lmi *lmi, const char *folder,
            struct lmi_err *err)
{
    *backup = (struct backup){.lmi = lmi, .folder = folder, .dir_fd = -1};
    if (folder[0] != '/' || strlen(folder) + sizeof "/key.old" > PATH_MAX)
        return backup_fail(backup, 0, "is not an absolute path", NULL, err);
    snprintf(backup->key, PATH_MAX, "%.*s/key", PATH_MAX - 16, folder);
    snprintf(backup->old_key, PATH_MAX, "%.*s/key.old", PATH_MAX - 16, folder);
    return LMI_OK;
}

static enum lmi_rc
backup_close(struct backup *backup, enum lmi_rc rc)
{
    if (backup->file != NULL)
        fclose(backup->file);
    if (backup->dir_fd >= 0)
        close(backup->dir_fd);
    lmi_keys_free(backup->keys);
    return rc;
}

/* Hashes the next piece. */
static enum lmi_rc
add_up(struct backup *backup, const uint8_t *bytes, size_t len,
       struct lmi_err *err)
{
    uint8_t both[LMI_HASH + ENTRY_SIZE];

    memcpy(both, backup->sum, LMI_HASH);
    memcpy(both + LMI_HASH, bytes, len);
    return lmi_sha256(lmi_crypto_of(backup->lmi), both, LMI_HASH + len,
                      backup->sum, err);
}

static enum lmi_rc
write_piece(struct backup *backup, const uint8_t *bytes, size_t len,
            struct lmi_err *err)
{
    if (fwrite(bytes, 1, len, backup->file) != len)
        return backup_fail(backup, errno, "can't be written", NULL, err);
    return add_up(backup, bytes, len, err);
}

/* The end of the file, but for its MAC. */
static enum lmi_rc
make_tail(struct backup *backup, uint8_t out[TAIL_SIZE], struct lmi_err *err)
{
    bool has_old;

    memset(out, 0, TAIL_SIZE);
    out[0] = 'z';
    lmi_put_time(out + 1, (int64_t)backup->count);
    return lmi_keys_mac_of(backup->keys, LMI_KEY_OLD, LMI_MAC_BACKUP, "old", 3,
                           &has_old, out + 9, err);
}

static enum lmi_rc
make_mac(struct backup *backup, uint8_t out[LMI_HASH], struct lmi_err *err)
{
    return lmi_keys_mac(backup->keys, LMI_MAC_BACKUP, backup->sum, LMI_HASH,
                        out, err);
}

/* next_path: as for lmi_keys_load(). */
static enum lmi_rc
keys_load(struct backup *backup, const char *next_path, struct lmi_err *err)
{
    bool found = false;
    enum lmi_rc rc = lmi_keys_load(lmi_crypto_of(backup->lmi), backup->key,
                                   NULL, next_path, &found, &backup->keys, err);

    return rc == LMI_OK && !found ? damaged(backup, err) : rc;
}

static enum lmi_rc
write_entry(struct backup *backup, const struct lmi_store_entry *entry,
            struct lmi_err *err)
{
    uint8_t bytes[ENTRY_SIZE] = {'e'};

    if (entry->value.len != 8 || entry->expires < lmi_now(backup->lmi))
        return LMI_OK;
    memcpy(bytes + 1, entry->id.key, LMI_STORE_KEY);
    lmi_put_time(bytes + 1 + LMI_STORE_KEY, entry->expires);
    memcpy(bytes + 9 + LMI_STORE_KEY, entry->value.bytes, 8);
    backup->count++;
    return write_piece(backup, bytes, sizeof bytes, err);
}

/* Known sources lie together, behind the last place of the kind before. */
static enum lmi_rc
write_entries(struct backup *backup, struct lmi_err *err)
{
    struct lmi_store_entry entries[BATCH];
    struct lmi_store_id after = {.kind = LMI_KIND_KNOWN - 1};
    size_t count = 1;
    enum lmi_rc rc = LMI_OK;

    memset(after.key, 0xFF, sizeof after.key);
    while (rc == LMI_OK && count > 0) {
        rc = lmi_store_walk(lmi_store_of(backup->lmi), LMI_DURABLE, &after,
                            entries, BATCH, &count, err);
        for (size_t i = 0; rc == LMI_OK && i < count; i++) {
            after = entries[i].id;
            if (after.kind != LMI_KIND_KNOWN)
                return LMI_OK;
            rc = write_entry(backup, &entries[i], err);
        }
    }
    return rc;
}

static enum lmi_rc
write_known(struct backup *backup, struct lmi_err *err)
{
    uint8_t tail[TAIL_SIZE], mac[LMI_HASH];
    enum lmi_rc rc = write_piece(backup, (const uint8_t *)HEAD, HEAD_SIZE, err);

    if (rc == LMI_OK)
        rc = write_entries(backup, err);
    if (rc == LMI_OK)
        rc = make_tail(backup, tail, err);
    if (rc == LMI_OK)
        rc = write_piece(backup, tail, sizeof tail, err);
    if (rc == LMI_OK)
        rc = make_mac(backup, mac, err);
    if (rc == LMI_OK)
        rc = write_piece(backup, mac, sizeof mac, err);
    if (rc != LMI_OK)
        return rc;
    if (fflush(backup->file) != 0 || fsync(fileno(backup->file)) != 0 ||
        renameat(backup->dir_fd, DRAFT, backup->dir_fd, "known") != 0 ||
        fsync(backup->dir_fd) != 0)
        return backup_fail(backup, errno, "can't be written", NULL, err);
    return LMI_OK;
}

/* The folder, made anew: one that was empty may have been open to others. */
static enum lmi_rc
folder_make(struct backup *backup, struct lmi_err *err)
{
    struct stat st;
    char parent[PATH_MAX];
    int fd;

    if (rmdir(backup->folder) != 0 && errno != ENOENT)
        return backup_fail(backup, errno, "can't hold the backup",
                           "name a folder that is new or empty", err);
    if (mkdir(backup->folder, 0700) != 0)
        return backup_fail(backup, errno, "can't be made", NULL, err);
    backup->dir_fd = open(backup->folder, OPEN_FLAGS | O_NOFOLLOW);
    if (backup->dir_fd < 0 || fstat(backup->dir_fd, &st) != 0)
        return backup_fail(backup, errno, "can't be opened", NULL, err);
    lmi_file_folder(backup->folder, parent);
    fd = open(parent, OPEN_FLAGS);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    return LMI_OK;
}

static enum lmi_rc
file_make(struct backup *backup, struct lmi_err *err)
{
    int fd = openat(backup->dir_fd, DRAFT,
                    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    backup->file = fd < 0 ? NULL : fdopen(fd, "w");
    if (backup->file != NULL)
        return LMI_OK;
    if (fd >= 0)
        close(fd);
    return backup_fail(backup, errno, "can't be written", NULL, err);
}

/*
 * The keys first: what they are rotated to meanwhile is not in the backup, nor
 * is the next one, with which another machine may write already.
 */
static enum lmi_rc
keys_save(struct backup *backup, struct lmi_err *err)
{
    const struct lmi_settings *settings = lmi_settings_of(backup->lmi);
    struct lmi_crypto *crypto = lmi_crypto_of(backup->lmi);
    char old[PATH_MAX], next[PATH_MAX];
    enum lmi_rc rc =
        lmi_keys_copy(crypto, settings->key_file, backup->key, false, err);

    lmi_keys_old_path(settings->key_file, settings->key_file_old, old);
    if (rc == LMI_OK && access(old, F_OK) == 0)
        rc = lmi_keys_copy(crypto, old, backup->old_key, false, err);
    lmi_keys_next_path(settings->key_file, next);
    if (rc == LMI_OK)
        rc =
            keys_load(backup, lmi_settings_shared(settings) ? next : NULL, err);
    return rc != LMI_OK
               ? rc
               : lmi_open_keys_fit(lmi_store_of(backup->lmi), backup->keys,
                                   settings->key_file, err);
}

enum lmi_rc
lmi_backup_make(struct lmi *lmi, const char *folder, uint64_t *known_out,
                struct lmi_err *err)
{
    struct backup backup;
    enum lmi_rc rc = folder_name(&backup, lmi, folder, err);

    *known_out = 0;
    if (rc == LMI_OK)
        rc = lmi_open_existing(lmi, err);
    if (rc == LMI_OK)
        rc = folder_make(&backup, err);
    if (rc == LMI_OK)
        rc = keys_save(&backup, err);
    if (rc == LMI_OK)
        rc = file_make(&backup, err);
    if (rc == LMI_OK)
        rc = write_known(&backup, err);
    if (rc == LMI_OK)
        *known_out = backup.count;
    return backup_close(&backup, rc);
}

/* A backup is read from its beginning. */
static enum lmi_rc
read_begin(struct backup *backup, struct lmi_err *err)
{
    char head[HEAD_SIZE];

    backup->count = 0;
    memset(backup->sum, 0, LMI_HASH);
    rewind(backup->file);
    if (fread(head, 1, HEAD_SIZE, backup->file) != HEAD_SIZE ||
        memcmp(head, HEAD, HEAD_SIZE) != 0)
        return damaged(backup, err);
    return add_up(backup, (const uint8_t *)head, HEAD_SIZE, err);
}

/* The next source; found_out is false at the end. */
static enum lmi_rc
read_entry(struct backup *backup, bool *found_out, struct lmi_store_op *op_out,
           struct lmi_store_value *value_out, struct lmi_err *err)
{
    uint8_t bytes[ENTRY_SIZE];
    int first = getc(backup->file);

    *found_out = first == 'e';
    if (!*found_out)
        return first == 'z' ? LMI_OK : damaged(backup, err);
    bytes[0] = 'e';
    if (fread(bytes + 1, 1, ENTRY_SIZE - 1, backup->file) != ENTRY_SIZE - 1)
        return damaged(backup, err);
    *op_out = (struct lmi_store_op){.verb = LMI_STORE_PUT,
                                    .id = {.kind = LMI_KIND_KNOWN},
                                    .expires =
                                        lmi_get_time(bytes + 1 + LMI_STORE_KEY),
                                    .value = value_out};
    memcpy(op_out->id.key, bytes + 1, LMI_STORE_KEY);
    value_out->len = 8;
    memcpy(value_out->bytes, bytes + 9 + LMI_STORE_KEY, 8);
    backup->count++;
    return add_up(backup, bytes, sizeof bytes, err);
}

/* Behind the last source, whose 'z' has been read. */
static enum lmi_rc
read_end(struct backup *backup, struct lmi_err *err)
{
    uint8_t tail[TAIL_SIZE], wanted[TAIL_SIZE], mac[LMI_HASH], good[LMI_HASH];
    enum lmi_rc rc = make_tail(backup, wanted, err);

    tail[0] = 'z';
    if (rc == LMI_OK &&
        (fread(tail + 1, 1, TAIL_SIZE - 1, backup->file) != TAIL_SIZE - 1 ||
         fread(mac, 1, LMI_HASH, backup->file) != LMI_HASH ||
         getc(backup->file) != EOF || memcmp(tail, wanted, TAIL_SIZE) != 0))
        return damaged(backup, err);
    if (rc == LMI_OK)
        rc = add_up(backup, tail, TAIL_SIZE, err);
    if (rc == LMI_OK)
        rc = make_mac(backup, good, err);
    if (rc == LMI_OK && !lmi_secret_equal(mac, good, LMI_HASH))
        rc = damaged(backup, err);
    return rc;
}

static enum lmi_rc
verify(struct backup *backup, struct lmi_err *err)
{
    struct lmi_store_value value;
    struct lmi_store_op op;
    bool more = true;
    enum lmi_rc rc = read_begin(backup, err);

    while (rc == LMI_OK && more)
        rc = read_entry(backup, &more, &op, &value, err);
    return rc != LMI_OK ? rc : read_end(backup, err);
}

static enum lmi_rc
backup_open(struct backup *backup, struct lmi_err *err)
{
    const struct lmi_file_rules rules = {
        .code = LMI_STORE, .root = backup->folder, .max_size = INT64_MAX};
    int fd = -1;
    enum lmi_rc rc;

    backup->dir_fd = open(backup->folder, OPEN_FLAGS);
    if (backup->dir_fd < 0)
        return backup_fail(backup, errno, "can't be opened", NULL, err);
    rc = keys_load(backup, NULL, err);
    if (rc == LMI_OK)
        rc = lmi_file_open(backup->dir_fd, "known", &rules, &fd, err);
    if (rc == LMI_OK && fd < 0)
        rc = damaged(backup, err);
    if (rc != LMI_OK)
        return rc;
    backup->file = fdopen(fd, "r");
    if (backup->file == NULL) {
        close(fd);
        return lmi_no_memory(err);
    }
    return verify(backup, err);
}

static enum lmi_rc
store_ok(struct lmi_store *store, const struct lmi_store_place *place,
         bool force, struct lmi_err *err)
{
    struct lmi_store_mark mark;
    bool empty = false;
    enum lmi_rc rc = lmi_store_mark_get(store, LMI_DURABLE, &mark, err);

    if (rc == LMI_OK)
        rc = lmi_open_is_empty(store, &empty, err);
    if (rc != LMI_OK || force || mark.state == LMI_STORE_RESTORED ||
        (empty && mark.state == LMI_STORE_USED))
        return rc;
    return lmi_open_exists(err, place->store,
                           "--force replaces it, and ends all sessions");
}

/* The key; and the old one, or none: one of another store must not stay. */
static enum lmi_rc
keys_restore(const struct backup *backup, const struct lmi_store_place *place,
             bool force, struct lmi_err *err)
{
    struct lmi_crypto *crypto = lmi_crypto_of(backup->lmi);
    char old[PATH_MAX];
    enum lmi_rc rc =
        lmi_keys_copy(crypto, backup->key, place->key_file, force, err);

    lmi_keys_old_path(place->key_file, place->key_file_old, old);
    if (rc == LMI_OK && access(backup->old_key, F_OK) == 0)
        rc = lmi_keys_copy(crypto, backup->old_key, old, true, err);
    else if (rc == LMI_OK && place->key_file_old[0] == '\0')
        rc = lmi_keys_remove(old, err);
    return rc;
}

static enum lmi_rc
entries_restore(struct backup *backup, struct lmi_store *store,
                struct lmi_err *err)
{
    struct lmi_store_value values[BATCH];
    struct lmi_store_op ops[BATCH];
    size_t count = 0;
    bool more = true, done = true;
    enum lmi_rc rc = read_begin(backup, err);

    while (rc == LMI_OK && more) {
        rc = read_entry(backup, &more, &ops[count], &values[count], err);
        count += more;
        if (rc != LMI_OK || count == 0 || (more && count < BATCH))
            continue;
        rc = lmi_store_apply(store, LMI_DURABLE, ops, count,
                             lmi_now(backup->lmi), &done, err);
        count = 0;
    }
    return rc != LMI_OK ? rc : read_end(backup, err);
}

/* Whose store it is. */
static enum lmi_rc
key_entry_put(struct backup *backup, struct lmi_store *store,
              struct lmi_err *err)
{
    struct lmi_store_value value = {.len = LMI_HASH};
    const struct lmi_store_op op = {.verb = LMI_STORE_PUT,
                                    .id = lmi_key_entry,
                                    .expires = INT64_MAX,
                                    .value = &value};
    bool done;
    enum lmi_rc rc =
        lmi_keys_mac(backup->keys, LMI_MAC_META, "", 0, value.bytes, err);

    return rc != LMI_OK ? rc
                        : lmi_store_apply(store, LMI_DURABLE, &op, 1,
                                          lmi_now(backup->lmi), &done, err);
}

/* Between the first mark and the last nobody can use the store. */
static enum lmi_rc
restore(struct backup *backup, const struct lmi_store_place *place,
        struct lmi_store *store, bool force, struct lmi_err *err)
{
    enum lmi_rc rc = store_ok(store, place, force, err);

    if (rc == LMI_OK)
        rc = lmi_open_mark(store, LMI_DURABLE, LMI_STORE_RESTORED,
                           backup->folder, true, err);
    if (rc == LMI_OK)
        rc = lmi_open_mark(store, LMI_VOLATILE, LMI_STORE_USED, backup->folder,
                           true, err);
    if (rc == LMI_OK)
        rc = keys_restore(backup, place, force, err);
    if (rc == LMI_OK)
        rc = entries_restore(backup, store, err);
    if (rc == LMI_OK)
        rc = key_entry_put(backup, store, err);
    return rc != LMI_OK ? rc
                        : lmi_open_mark(store, LMI_DURABLE, LMI_STORE_USED,
                                        backup->folder, false, err);
}

enum lmi_rc
lmi_backup_restore(struct lmi *lmi, const char *folder, bool force,
                   uint64_t *known_out, struct lmi_err *err)
{
    struct backup backup;
    struct lmi_store *store = NULL;
    struct lmi_store_place place;
    enum lmi_rc rc = folder_name(&backup, lmi, folder, err);

    *known_out = 0;
    if (rc == LMI_OK)
        rc = lmi_open_settings_place(lmi, &place, err);
    if (rc == LMI_OK)
        rc = backup_open(&backup, err);
    /* Another key there may be needed by something else. */
    if (rc == LMI_OK && !force)
        rc = lmi_open_key_place(
            backup.key, place.key_file, "is another key than the backup's",
            "--force replaces it, and ends all sessions", err);
    if (rc == LMI_OK)
        rc = lmi_open_store(&place, false, &store, err);
    if (rc == LMI_OK)
        rc = restore(&backup, &place, store, force, err);
    if (rc == LMI_OK)
        *known_out = backup.count;
    lmi_store_close(store);
    return backup_close(&backup, rc);
}
