#include "store_lmdb.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "error.h"
#include "file.h"
#include "store.h"

#define MAP_START ((size_t)1 << 30) /* sparse: costs address space only */
#define MAP_LIMIT ((size_t)1 << 40)
#define READERS 4096
#define READER_CHECK_SECONDS 60
#define PURGE_AT_ONCE 16

#define STATE_NAME_SIZE 64

/*
 * What lies in LMDB:
 *
 *     'e' kind key                ->  expires, group length, group, value
 *     'g' group expires kind key  ->  nothing
 *     'x' expires kind key        ->  nothing
 *     'n' group                   ->  how many entries, if it has a cap
 */
#define ID_SIZE (1 + LMI_STORE_KEY)
#define ENVELOPE_HEAD 9
#define LONGEST_KEY (1 + LMI_STORE_GROUP + 8 + ID_SIZE)

struct key {
    size_t len;
    uint8_t bytes[LONGEST_KEY];
};

struct envelope {
    int64_t expires;
    const uint8_t *group, *value;
    size_t group_len, value_len;
};

static struct key
key_of(char index, const void *middle, size_t len,
       const struct lmi_store_id *id)
{
    struct key key = {.len = 1 + len + (id != NULL ? ID_SIZE : 0)};

    key.bytes[0] = (uint8_t)index;
    if (len > 0)
        memcpy(key.bytes + 1, middle, len);
    if (id != NULL) {
        key.bytes[1 + len] = id->kind;
        memcpy(key.bytes + 2 + len, id->key, LMI_STORE_KEY);
    }
    return key;
}

/* A time whose bytes sort as the times do. */
static void
put_sortable(uint8_t out[8], int64_t time)
{
    uint64_t bits = time < 0 ? 0 : (uint64_t)time;

    for (size_t i = 8; i-- > 0; bits >>= 8)
        out[i] = (uint8_t)bits;
}

static struct key
expiry_key(int64_t expires, const struct lmi_store_id *id)
{
    uint8_t sortable[8];

    put_sortable(sortable, expires);
    return key_of('x', sortable, sizeof sortable, id);
}

static struct key
group_key(const uint8_t *group, size_t len, int64_t expires,
          const struct lmi_store_id *id)
{
    uint8_t middle[LMI_STORE_GROUP + 8];

    memcpy(middle, group, len);
    put_sortable(middle + len, expires);
    return key_of('g', middle, len + 8, id);
}

static int64_t
sortable_time(const uint8_t *bytes)
{
    uint64_t time = 0;

    for (size_t i = 0; i < 8; i++)
        time = time << 8 | bytes[i];
    return (int64_t)time;
}

static struct lmi_store_id
id_at(const uint8_t *bytes)
{
    struct lmi_store_id id = {.kind = bytes[0]};

    memcpy(id.key, bytes + 1, LMI_STORE_KEY);
    return id;
}

static MDB_val
val_of(struct key *key)
{
    return (MDB_val){.mv_size = key->len, .mv_data = key->bytes};
}

/* false for bytes that envelope_write() did not write. */
static bool
envelope_read(const MDB_val *data, struct envelope *out)
{
    const uint8_t *bytes = data->mv_data;

    if (data->mv_size < ENVELOPE_HEAD || bytes[8] > LMI_STORE_GROUP ||
        data->mv_size < (size_t)ENVELOPE_HEAD + bytes[8])
        return false;
    out->expires = sortable_time(bytes);
    out->group = bytes + ENVELOPE_HEAD;
    out->group_len = bytes[8];
    out->value = out->group + out->group_len;
    out->value_len = data->mv_size - ENVELOPE_HEAD - out->group_len;
    return out->value_len <= LMI_STORE_VALUE;
}

static size_t
envelope_write(const struct lmi_store_op *op,
               uint8_t out[ENVELOPE_HEAD + LMI_STORE_GROUP + LMI_STORE_VALUE])
{
    put_sortable(out, op->expires);
    out[8] = (uint8_t)op->group_len;
    memcpy(out + ENVELOPE_HEAD, op->group, op->group_len);
    memcpy(out + ENVELOPE_HEAD + op->group_len, op->value->bytes,
           op->value->len);
    return ENVELOPE_HEAD + op->group_len + op->value->len;
}

struct file_id {
    dev_t device;
    ino_t inode;
};

/* A data file, by its name in the folder; all zeros: none. */
struct state {
    char name[STATE_NAME_SIZE];
    struct file_id id;
};

struct env {
    struct env *next;
    struct file_id folder;
    unsigned generation;
    enum lmi_store_part part;
    unsigned users;
    MDB_env *mdb; /* NULL: to be opened again */
    MDB_dbi dbi;
    MDB_txn *reader;    /* reset between reads */
    struct state state; /* what is open */
    time_t readers_checked;
};

/* generation tells a process from its parent, without a system call. */
static struct {
    pthread_mutex_t mutex;
    pthread_once_t once;
    unsigned generation;
    struct env *first;
} registry = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_ONCE_INIT, 0, NULL};

static void
registry_lock(void)
{
    pthread_mutex_lock(&registry.mutex);
}

static void
registry_unlock(void)
{
    pthread_mutex_unlock(&registry.mutex);
}

static void
registry_in_child(void)
{
    registry.generation++;
    registry_unlock();
}

/* A child must not inherit a mutex that a vanished thread holds. */
static void
registry_guard_fork(void)
{
    pthread_atfork(registry_lock, registry_unlock, registry_in_child);
}

/* One open store: two folders, and what they led to in which process. */
struct keeper {
    char *folder[2];
    struct state state[2]; /* what was opened first */
    time_t looked;
    struct env *env[2];
    unsigned generation;
};

static struct file_id
id_of(const struct stat *st)
{
    return (struct file_id){st->st_dev, st->st_ino};
}

static bool
same_file(struct file_id id, const struct stat *st)
{
    return id.device == st->st_dev && id.inode == st->st_ino;
}

static enum lmi_rc
store_fail(struct lmi_err *err, int code, const char *place, const char *text,
           const char *remedy)
{
    enum lmi_rc rc = LMI_STORE;

    if (code == EACCES || code == EPERM)
        rc = LMI_RIGHTS;
    else if (code == ENOSPC || code == EDQUOT || code == MDB_MAP_FULL)
        rc = LMI_STOREFULL;
    lmi_fail(err, rc, code > 0 ? code : 0, place, text, remedy);
    if (code < 0) /* LMDB's own codes; the texts are static and short */
        lmi_err_add_place(err, " (%s)", mdb_strerror(code));
    return rc;
}

static enum lmi_rc
folder_check(int fd, uid_t owner, const char *path, struct stat *st,
             struct lmi_err *err)
{
    if (fstat(fd, st) != 0)
        return store_fail(err, errno, path, "can't be examined", NULL);
    if (geteuid() != 0 && st->st_uid != geteuid())
        return lmi_fail(err, LMI_RIGHTS, 0, path, "belongs to another user",
                        "call as its owner, or as root");
    if (owner != (uid_t)-1 && st->st_uid != owner)
        return store_fail(err, 0, path, "does not belong to the store's owner",
                          "chown it");
    if ((st->st_mode & 077) != 0)
        return store_fail(err, 0, path, "is open to group or others",
                          "chmod 0700 it");
    return LMI_OK;
}

/* Makes a folder; of the way to it, one missing part at most. */
static enum lmi_rc
folder_make(const char *path, struct lmi_err *err)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');

    if (slash != NULL && slash != path &&
        (size_t)(slash - path) < sizeof parent) {
        memcpy(parent, path, (size_t)(slash - path));
        parent[slash - path] = '\0';
        if (mkdir(parent, 0755) != 0 && errno != EEXIST)
            return store_fail(err, errno, parent, "can't be made", NULL);
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return store_fail(err, errno, path, "can't be made", NULL);
    return LMI_OK;
}

static int
folder_try(const char *path)
{
    return open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* owner and group: of the durable part's folder, or -1 if this is it. */
static enum lmi_rc
folder_open(const char *path, uid_t owner, gid_t group, int *fd_out,
            struct stat *st, struct lmi_err *err)
{
    int fd = folder_try(path);
    enum lmi_rc rc;

    *fd_out = -1;
    if (fd < 0 && errno == ENOENT) {
        rc = folder_make(path, err);
        if (rc != LMI_OK)
            return rc;
        fd = folder_try(path);
        if (fd >= 0 && geteuid() == 0 && owner != (uid_t)-1 &&
            fchown(fd, owner, group) != 0) {
            rc = store_fail(err, errno, path, "can't be given away", NULL);
            close(fd);
            return rc;
        }
    }
    if (fd < 0)
        return store_fail(err, errno, path, "is no folder to open", NULL);
    rc = folder_check(fd, owner, path, st, err);
    if (rc != LMI_OK) {
        close(fd);
        return rc;
    }
    *fd_out = fd;
    return LMI_OK;
}

/* A file that LMDB is about to open: absent, or the owner's alone. */
static enum lmi_rc
file_check(int dir_fd, const char *name, uid_t owner, const char *folder,
           struct lmi_err *err)
{
    struct stat st;
    const char *text = NULL;
    enum lmi_rc rc;

    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT)
            return LMI_OK;
        return store_fail(err, errno, folder, "can't be examined", NULL);
    }
    if (!S_ISREG(st.st_mode))
        text = "is not a regular file";
    else if (st.st_uid != owner)
        text = "does not belong to the folder's owner";
    else if ((st.st_mode & 077) != 0)
        text = "is open to group or others";
    else if (st.st_nlink != 1)
        text = "has more than one hard link";
    if (text == NULL)
        return LMI_OK;
    rc = store_fail(err, 0, folder, text,
                    "somebody has put it there: find out who");
    lmi_err_add_place(err, "/%s", name);
    return rc;
}

/* The data file's name: a volatile one carries the kernel's boot id. */
static enum lmi_rc
state_name(enum lmi_store_part part, char out[STATE_NAME_SIZE],
           struct lmi_err *err)
{
    static const char path[] = "/proc/sys/kernel/random/boot_id";
    char id[37] = "";
    ssize_t len = -1;
    int fd;

    if (part == LMI_DURABLE) {
        snprintf(out, STATE_NAME_SIZE, "data.mdb");
        return LMI_OK;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        len = read(fd, id, 36);
        close(fd);
    }
    if (len != 36 || strspn(id, "0123456789abcdef-") != 36)
        return store_fail(err, 0, path, "does not tell the boot", NULL);
    snprintf(out, STATE_NAME_SIZE, "%s.mdb", id);
    return LMI_OK;
}

static void
lock_name(enum lmi_store_part part, const char *state,
          char out[STATE_NAME_SIZE + 8])
{
    if (part == LMI_DURABLE)
        snprintf(out, STATE_NAME_SIZE + 8, "lock.mdb");
    else
        snprintf(out, STATE_NAME_SIZE + 8, "%s-lock", state);
}

/* Other boots' files may be torn, and are removed unopened. */
static void
remove_other_boots(int dir_fd, const char *state)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        size_t len = strlen(state);
        if (strstr(entry->d_name, ".mdb") != NULL &&
            strncmp(entry->d_name, state, len) != 0)
            unlinkat(dir_fd, entry->d_name, 0);
    }
    closedir(dir);
}

static void
env_shut(struct env *env)
{
    if (env->mdb == NULL)
        return;
    mdb_txn_abort(env->reader);
    env->reader = NULL;
    mdb_env_close(env->mdb);
    env->mdb = NULL;
}

/* Is the open file still the one in the folder? */
static bool
env_in_place(const struct env *env, int dir_fd)
{
    struct stat st;

    return fstatat(dir_fd, env->state.name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           same_file(env->state.id, &st);
}

/*
 * Is the opened file the one that was looked at? And does it reach as far as
 * LMDB may read? Beyond its end lies a bus error, while the zeros of an
 * extended file are seen by LMDB as the damage they are. A sound file may be
 * short, too, by pages that were given up before they were written.
 */
static int
env_file_check(struct env *env, int dir_fd)
{
    struct stat opened;
    MDB_envinfo info;
    MDB_stat stat;
    mdb_filehandle_t fd;

    if (mdb_env_info(env->mdb, &info) != 0 ||
        mdb_env_stat(env->mdb, &stat) != 0 ||
        mdb_env_get_fd(env->mdb, &fd) != 0 || fstat(fd, &opened) != 0)
        return MDB_CORRUPTED;
    env->state.id = id_of(&opened);
    if (!env_in_place(env, dir_fd))
        return MDB_CORRUPTED;
    if ((uint64_t)opened.st_size / stat.ms_psize > info.me_last_pgno)
        return 0;
    return posix_fallocate(fd, (off_t)(info.me_last_pgno * stat.ms_psize),
                           (off_t)stat.ms_psize);
}

/* The reader, kept for the life of the environment, and the one database. */
static int
env_prepare(struct env *env)
{
    int code = mdb_txn_begin(env->mdb, NULL, MDB_RDONLY, &env->reader);

    if (code == MDB_MAP_RESIZED) {
        code = mdb_env_set_mapsize(env->mdb, 0);
        if (code == 0)
            code = mdb_txn_begin(env->mdb, NULL, MDB_RDONLY, &env->reader);
    }
    if (code == 0)
        code = mdb_dbi_open(env->reader, NULL, 0, &env->dbi);
    if (code == 0)
        mdb_txn_reset(env->reader);
    return code;
}

static enum lmi_rc
env_start(struct env *env, int dir_fd, const char *folder, struct lmi_err *err)
{
    char path[PATH_MAX];
    unsigned flags = MDB_NOTLS;
    int dead, code = mdb_env_create(&env->mdb);

    if (code != 0)
        return store_fail(err, code, folder, "LMDB can't start", NULL);
    if (env->part == LMI_VOLATILE)
        flags |= MDB_NOSUBDIR | MDB_NOSYNC;
    snprintf(path, sizeof path, "%s%s%s", folder,
             env->part == LMI_VOLATILE ? "/" : "",
             env->part == LMI_VOLATILE ? env->state.name : "");
    code = mdb_env_set_maxreaders(env->mdb, READERS);
    if (code == 0)
        code = mdb_env_set_mapsize(env->mdb, MAP_START);
    if (code == 0)
        code = mdb_env_open(env->mdb, path, flags, 0600);
    if (code == 0)
        code = env_file_check(env, dir_fd);
    if (code == 0)
        code = env_prepare(env);
    if (code == 0) {
        mdb_reader_check(env->mdb, &dead);
        env->readers_checked = time(NULL);
        return LMI_OK;
    }
    env_shut(env);
    return store_fail(err, code, path, "can't be opened by LMDB", NULL);
}

/* Opens env->mdb; everything is looked at before LMDB touches it. */
static enum lmi_rc
env_open(struct env *env, int dir_fd, const struct stat *st, const char *folder,
         struct lmi_err *err)
{
    char lock[STATE_NAME_SIZE + 8];
    struct lmi_owner saved;
    enum lmi_rc rc =
        lmi_owner_enter(&saved, st->st_uid, st->st_gid, folder, err);

    if (rc == LMI_OK)
        rc = state_name(env->part, env->state.name, err);
    if (rc != LMI_OK)
        goto out;
    lock_name(env->part, env->state.name, lock);
    rc = file_check(dir_fd, env->state.name, st->st_uid, folder, err);
    if (rc == LMI_OK)
        rc = file_check(dir_fd, lock, st->st_uid, folder, err);
    if (rc == LMI_OK && env->part == LMI_VOLATILE)
        remove_other_boots(dir_fd, env->state.name);
    if (rc == LMI_OK)
        rc = env_start(env, dir_fd, folder, err);
out:
    lmi_owner_leave(&saved);
    return rc;
}

static struct env *
registry_find(const struct stat *st, enum lmi_store_part part)
{
    for (struct env *env = registry.first; env != NULL; env = env->next)
        if (same_file(env->folder, st) && env->part == part &&
            env->generation == registry.generation)
            return env;
    return NULL;
}

static struct env *
registry_add(const struct stat *st, enum lmi_store_part part)
{
    struct env *env = calloc(1, sizeof *env);

    if (env == NULL)
        return NULL;
    env->folder = id_of(st);
    env->part = part;
    env->generation = registry.generation;
    env->next = registry.first;
    registry.first = env;
    return env;
}

/*
 * Environments that nobody uses are closed, but for `spared`, which the next
 * login in this process will want again. Those of a parent process are not
 * ours to close: LMDB would take the parent's readers for its own.
 */
static void
registry_tidy(const struct env *spared)
{
    struct env **link = &registry.first;

    while (*link != NULL) {
        struct env *env = *link;
        if (env == spared || env->users > 0 || env->part != spared->part ||
            env->generation != registry.generation) {
            link = &env->next;
            continue;
        }
        *link = env->next;
        env_shut(env);
        free(env);
    }
}

/*
 * At the end of the process, or when this code is unloaded before, what was
 * kept open for the next login is closed. If a call is still under way, in
 * another thread or behind a signal, all stays as it is.
 */
static void __attribute__((destructor)) registry_end(void)
{
    if (pthread_mutex_trylock(&registry.mutex) != 0)
        return;
    for (struct env *env = registry.first; env != NULL; env = env->next)
        if (env->users == 0 && env->generation == registry.generation)
            env_shut(env);
    registry_unlock();
}

static enum lmi_rc
part_open(struct keeper *keeper, enum lmi_store_part part, struct lmi_err *err)
{
    const char *folder = keeper->folder[part];
    uid_t owner = (uid_t)-1;
    gid_t group = (gid_t)-1;
    struct env *env;
    struct stat st;
    int fd;
    enum lmi_rc rc;

    if (part == LMI_VOLATILE) {
        if (stat(keeper->folder[LMI_DURABLE], &st) != 0)
            return store_fail(err, errno, keeper->folder[LMI_DURABLE],
                              "can't be examined", NULL);
        owner = st.st_uid;
        group = st.st_gid;
    }
    rc = folder_open(folder, owner, group, &fd, &st, err);
    if (rc != LMI_OK)
        return rc;
    env = registry_find(&st, part);
    if (env == NULL)
        env = registry_add(&st, part);
    else if (!env_in_place(env, fd))
        env_shut(env);
    if (env == NULL)
        rc = lmi_fail(err, LMI_MEMORY, 0, NULL, "no memory", NULL);
    else if (env->mdb == NULL)
        rc = env_open(env, fd, &st, folder, err);
    close(fd);
    if (rc != LMI_OK)
        return rc;
    env->users++;
    keeper->env[part] = env;
    if (keeper->state[part].name[0] == '\0')
        keeper->state[part] = env->state;
    return LMI_OK;
}

static void
part_close(struct keeper *keeper, enum lmi_store_part part)
{
    struct env *env = keeper->env[part];

    keeper->env[part] = NULL;
    if (env == NULL || env->generation != registry.generation)
        return;
    env->users--;
    registry_tidy(env);
}

/*
 * Locks the registry and gives the part's environment in this process, which
 * may be another process than the last time. Unlocks again on failure.
 */
static enum lmi_rc
part_enter(struct keeper *keeper, enum lmi_store_part part,
           struct env **env_out, struct lmi_err *err)
{
    enum lmi_rc rc = LMI_OK;

    registry_lock();
    if (keeper->generation != registry.generation) {
        keeper->env[LMI_DURABLE] = keeper->env[LMI_VOLATILE] = NULL;
        keeper->generation = registry.generation;
    }
    if (keeper->env[part] != NULL && keeper->env[part]->mdb == NULL)
        part_close(keeper, part);
    if (keeper->env[part] == NULL)
        rc = part_open(keeper, part, err);
    if (rc != LMI_OK) {
        registry_unlock();
        return rc;
    }
    *env_out = keeper->env[part];
    return LMI_OK;
}

static int
read_begin(struct env *env)
{
    int code = mdb_txn_renew(env->reader);

    /* Another process has let the map grow: follow it. */
    if (code == MDB_MAP_RESIZED) {
        code = mdb_env_set_mapsize(env->mdb, 0);
        if (code == 0)
            code = mdb_txn_renew(env->reader);
    }
    return code;
}

static int
read_value(MDB_txn *txn, MDB_dbi dbi, const struct lmi_store_id *id,
           bool *found_out, struct lmi_store_value *value_out)
{
    struct key key = key_of('e', NULL, 0, id);
    MDB_val name = val_of(&key), data;
    struct envelope envelope;
    int code = mdb_get(txn, dbi, &name, &data);

    *found_out = false;
    if (code == MDB_NOTFOUND)
        return 0;
    if (code != 0 || !envelope_read(&data, &envelope))
        return code;
    memcpy(value_out->bytes, envelope.value, envelope.value_len);
    value_out->len = envelope.value_len;
    *found_out = true;
    return 0;
}

static enum lmi_rc
lmdb_get(void *self, enum lmi_store_part part, const struct lmi_store_id *id,
         bool *found_out, struct lmi_store_value *value_out,
         struct lmi_err *err)
{
    struct keeper *keeper = self;
    struct env *env;
    enum lmi_rc rc = part_enter(keeper, part, &env, err);

    if (rc != LMI_OK)
        return rc;
    int code = read_begin(env);
    if (code == 0) {
        code = read_value(env->reader, env->dbi, id, found_out, value_out);
        mdb_txn_reset(env->reader);
    }
    registry_unlock();
    if (code != 0)
        return store_fail(err, code, keeper->folder[part], "can't be read",
                          NULL);
    return LMI_OK;
}

/* Moves the cursor to the first key of the group index behind `after`. */
static int
seek(MDB_cursor *cursor, struct key *from, bool behind, MDB_val *name)
{
    MDB_val data;
    int code;

    *name = val_of(from);
    code = mdb_cursor_get(cursor, name, &data, MDB_SET_RANGE);
    if (code == 0 && behind && name->mv_size == from->len &&
        memcmp(name->mv_data, from->bytes, from->len) == 0)
        code = mdb_cursor_get(cursor, name, &data, MDB_NEXT);
    return code;
}

static bool
place_read(const MDB_val *name, const uint8_t *prefix, size_t prefix_len,
           struct lmi_store_place *out)
{
    const uint8_t *bytes = name->mv_data;

    if (name->mv_size < 1 + prefix_len + 8 + ID_SIZE ||
        name->mv_size > LONGEST_KEY || bytes[0] != 'g' ||
        (prefix_len > 0 && memcmp(bytes + 1, prefix, prefix_len) != 0))
        return false;
    out->group_len = name->mv_size - 1 - 8 - ID_SIZE;
    bytes++;
    memcpy(out->group, bytes, out->group_len);
    out->expires = sortable_time(bytes + out->group_len);
    out->id = id_at(bytes + out->group_len + 8);
    return true;
}

static int
next_place(MDB_txn *txn, MDB_dbi dbi, const uint8_t *prefix, size_t prefix_len,
           const struct lmi_store_place *after, bool *found_out,
           struct lmi_store_place *place_out)
{
    struct key from = after != NULL ? group_key(after->group, after->group_len,
                                                after->expires, &after->id)
                                    : key_of('g', prefix, prefix_len, NULL);
    MDB_cursor *cursor;
    MDB_val name;
    int code = mdb_cursor_open(txn, dbi, &cursor);

    *found_out = false;
    if (code != 0)
        return code;
    code = seek(cursor, &from, after != NULL, &name);
    if (code == 0)
        *found_out = place_read(&name, prefix, prefix_len, place_out);
    mdb_cursor_close(cursor);
    return code == MDB_NOTFOUND ? 0 : code;
}

static enum lmi_rc
lmdb_next(void *self, enum lmi_store_part part, const uint8_t *prefix,
          size_t prefix_len, const struct lmi_store_place *after,
          bool *found_out, struct lmi_store_place *place_out,
          struct lmi_err *err)
{
    struct keeper *keeper = self;
    struct env *env;
    enum lmi_rc rc = part_enter(keeper, part, &env, err);

    if (rc != LMI_OK)
        return rc;
    int code = read_begin(env);
    if (code == 0) {
        code = next_place(env->reader, env->dbi, prefix, prefix_len, after,
                          found_out, place_out);
        mdb_txn_reset(env->reader);
    }
    registry_unlock();
    if (code != 0)
        return store_fail(err, code, keeper->folder[part], "can't be read",
                          NULL);
    return LMI_OK;
}

/* The count of a group with a cap changes by `change`; others have none. */
static int
count_change(MDB_txn *txn, MDB_dbi dbi, const uint8_t *group, size_t len,
             int change, bool begin, uint64_t *count_out)
{
    struct key key = key_of('n', group, len, NULL);
    MDB_val name = val_of(&key), data;
    int code = mdb_get(txn, dbi, &name, &data);

    *count_out = 0;
    if (code == 0 && data.mv_size == sizeof *count_out)
        memcpy(count_out, data.mv_data, sizeof *count_out);
    else if (code == MDB_NOTFOUND && !begin)
        return 0;
    else if (code != 0 && code != MDB_NOTFOUND)
        return code;
    if (change > 0 || *count_out > 0)
        *count_out += (uint64_t)(int64_t)change;
    data = (MDB_val){.mv_size = sizeof *count_out, .mv_data = count_out};
    return mdb_put(txn, dbi, &name, &data, 0);
}

/* An entry leaves both indexes. */
static int
indexes_remove(MDB_txn *txn, MDB_dbi dbi, const struct envelope *envelope,
               const struct lmi_store_id *id)
{
    struct key expiry = expiry_key(envelope->expires, id);
    struct key group =
        group_key(envelope->group, envelope->group_len, envelope->expires, id);
    MDB_val expiry_name = val_of(&expiry), group_name = val_of(&group);
    uint64_t count;
    int code = mdb_del(txn, dbi, &expiry_name, NULL);

    if (code == 0 && envelope->group_len > 0) {
        /* The group's bytes lie in the map, and move with the next change. */
        code = mdb_del(txn, dbi, &group_name, NULL);
        if (code == 0)
            code = count_change(txn, dbi, group.bytes + 1, envelope->group_len,
                                -1, false, &count);
    }
    return code == MDB_NOTFOUND ? 0 : code;
}

/* What is there, if anything, goes, out of both indexes too. */
static int
entry_remove(MDB_txn *txn, MDB_dbi dbi, const struct lmi_store_id *id)
{
    struct key key = key_of('e', NULL, 0, id);
    MDB_val name = val_of(&key), data;
    struct envelope envelope;
    int code = mdb_get(txn, dbi, &name, &data);

    if (code == MDB_NOTFOUND)
        return 0;
    if (code == 0 && envelope_read(&data, &envelope))
        code = indexes_remove(txn, dbi, &envelope, id);
    return code != 0 ? code : mdb_del(txn, dbi, &name, NULL);
}

/* The first entry of exactly this group. */
static int
group_first(MDB_txn *txn, MDB_dbi dbi, const uint8_t *group, size_t len,
            bool *found_out, struct lmi_store_place *out)
{
    struct lmi_store_place after;
    int code = next_place(txn, dbi, group, len, NULL, found_out, out);

    while (code == 0 && *found_out && out->group_len != len) {
        after = *out;
        code = next_place(txn, dbi, group, len, &after, found_out, out);
    }
    return code;
}

/* Counts an entry in, and lets those go that are one too many. */
static int
keep_cap(MDB_txn *txn, MDB_dbi dbi, const struct lmi_store_op *op)
{
    struct lmi_store_place oldest;
    uint64_t count = 0;
    bool found = true;
    int code =
        count_change(txn, dbi, op->group, op->group_len, 1, true, &count);

    while (code == 0 && found && count > op->cap) {
        code = group_first(txn, dbi, op->group, op->group_len, &found, &oldest);
        if (code == 0 && found)
            code = entry_remove(txn, dbi, &oldest.id);
        count--;
    }
    return code;
}

static int
entry_put(MDB_txn *txn, MDB_dbi dbi, const struct lmi_store_op *op)
{
    uint8_t bytes[ENVELOPE_HEAD + LMI_STORE_GROUP + LMI_STORE_VALUE];
    struct key entry = key_of('e', NULL, 0, &op->id);
    struct key expiry = expiry_key(op->expires, &op->id);
    struct key group =
        group_key(op->group, op->group_len, op->expires, &op->id);
    MDB_val name = val_of(&entry), expiry_name = val_of(&expiry);
    MDB_val group_name = val_of(&group);
    MDB_val data = {.mv_size = envelope_write(op, bytes), .mv_data = bytes};
    MDB_val nothing = {.mv_size = 0, .mv_data = bytes};
    int code = entry_remove(txn, dbi, &op->id);

    if (code == 0)
        code = mdb_put(txn, dbi, &name, &data, 0);
    if (code == 0)
        code = mdb_put(txn, dbi, &expiry_name, &nothing, 0);
    if (code == 0 && op->group_len > 0)
        code = mdb_put(txn, dbi, &group_name, &nothing, 0);
    if (code == 0 && op->group_len > 0 && op->cap > 0)
        code = keep_cap(txn, dbi, op);
    return code;
}

/* Of this group alone: one whose name only begins with it is passed over. */
static int
group_remove(MDB_txn *txn, MDB_dbi dbi, const struct lmi_store_op *op)
{
    struct lmi_store_place place, next;
    const struct lmi_store_place *after = NULL;
    bool found = true;
    int code;

    for (;;) {
        code = next_place(txn, dbi, op->group, op->group_len, after, &found,
                          &next);
        if (code != 0 || !found)
            return code;
        place = next;
        after = &place;
        if (place.group_len == op->group_len)
            code = entry_remove(txn, dbi, &place.id);
        if (code != 0)
            return code;
    }
}

/* Is what the operation expects there? */
static int
expectation(MDB_txn *txn, MDB_dbi dbi, const struct lmi_store_op *op,
            bool *met_out)
{
    struct lmi_store_value there;
    bool found;
    int code;

    *met_out = true;
    if (op->verb != LMI_STORE_ADD && op->verb != LMI_STORE_SWAP)
        return 0;
    code = read_value(txn, dbi, &op->id, &found, &there);
    if (op->verb == LMI_STORE_ADD)
        *met_out = code == 0 && !found;
    else
        *met_out = code == 0 && found && there.len == op->old->len &&
                   memcmp(there.bytes, op->old->bytes, there.len) == 0;
    return code;
}

static int
operate(MDB_txn *txn, MDB_dbi dbi, const struct lmi_store_op *op)
{
    switch (op->verb) {
    case LMI_STORE_ADD:
    case LMI_STORE_SWAP:
    case LMI_STORE_PUT:
        return entry_put(txn, dbi, op);
    case LMI_STORE_DROP:
        return entry_remove(txn, dbi, &op->id);
    case LMI_STORE_DROP_GROUP:
        return group_remove(txn, dbi, op);
    }
    return EINVAL;
}

/* Removes one expired entry; *more_out is false if there was none. */
static int
purge_one(MDB_txn *txn, MDB_dbi dbi, int64_t now, bool *more_out)
{
    struct key from = key_of('x', NULL, 0, NULL);
    MDB_cursor *cursor;
    MDB_val name, index;
    struct lmi_store_id id;
    const uint8_t *bytes;
    struct key copy = {0};
    int code = mdb_cursor_open(txn, dbi, &cursor);

    *more_out = false;
    if (code != 0)
        return code;
    code = seek(cursor, &from, false, &name);
    mdb_cursor_close(cursor);
    if (code != 0)
        return code == MDB_NOTFOUND ? 0 : code;
    bytes = name.mv_data;
    if (name.mv_size != 9 + ID_SIZE || bytes[0] != 'x' ||
        sortable_time(bytes + 1) >= now)
        return 0;
    *more_out = true;
    id = id_at(bytes + 9);
    copy.len = name.mv_size;
    memcpy(copy.bytes, bytes, copy.len);
    code = entry_remove(txn, dbi, &id);
    /* An index entry that led nowhere must not stay at the head for ever. */
    index = val_of(&copy);
    if (code == 0) {
        code = mdb_del(txn, dbi, &index, NULL);
        code = code == MDB_NOTFOUND ? 0 : code;
    }
    return code;
}

static int
purge(MDB_txn *txn, MDB_dbi dbi, int64_t now, uint32_t limit,
      uint32_t *removed_out)
{
    bool more = true;
    int code = 0;

    *removed_out = 0;
    while (code == 0 && more && *removed_out < limit) {
        code = purge_one(txn, dbi, now, &more);
        *removed_out += more;
    }
    return code;
}

/* Ends a transaction in which all went well so far. */
static int
commit(struct env *env, MDB_txn *txn)
{
    int code = mdb_txn_commit(txn);

    /*
     * After a failed commit nobody knows what the disk holds, and asking
     * fsync again would get a lie. The next call opens the file anew.
     */
    if (code != 0 && code != MDB_MAP_FULL)
        env_shut(env);
    return code;
}

/* The whole batch in one transaction; *done_out once it is durable. */
static int
apply_once(struct env *env, const struct lmi_store_op *ops, size_t count,
           int64_t now, bool *done_out)
{
    MDB_txn *txn;
    bool met = true;
    uint32_t removed;
    int code = mdb_txn_begin(env->mdb, NULL, 0, &txn);

    if (code != 0)
        return code;
    for (size_t i = 0; code == 0 && met && i < count; i++) {
        code = expectation(txn, env->dbi, &ops[i], &met);
        if (code == 0 && met)
            code = operate(txn, env->dbi, &ops[i]);
    }
    if (code == 0 && met)
        code = purge(txn, env->dbi, now, PURGE_AT_ONCE, &removed);
    if (code != 0 || !met) {
        mdb_txn_abort(txn);
        return code;
    }
    code = commit(env, txn);
    *done_out = code == 0;
    return code;
}

static int
purge_once(struct env *env, int64_t now, uint32_t limit, uint32_t *removed_out)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(env->mdb, NULL, 0, &txn);

    if (code != 0)
        return code;
    code = purge(txn, env->dbi, now, limit, removed_out);
    if (code != 0 || *removed_out == 0) {
        mdb_txn_abort(txn);
        return code;
    }
    return commit(env, txn);
}

/* Lets the map grow when it is full, and follows others who did. */
static bool
map_grows(struct env *env, int code)
{
    MDB_envinfo info;

    if (code == MDB_MAP_RESIZED)
        return mdb_env_set_mapsize(env->mdb, 0) == 0;
    return code == MDB_MAP_FULL && mdb_env_info(env->mdb, &info) == 0 &&
           info.me_mapsize < MAP_LIMIT &&
           mdb_env_set_mapsize(env->mdb, 2 * info.me_mapsize) == 0;
}

static void
check_readers(struct env *env)
{
    time_t now = time(NULL);
    int dead;

    if (now - env->readers_checked < READER_CHECK_SECONDS)
        return;
    env->readers_checked = now;
    mdb_reader_check(env->mdb, &dead);
}

/* A write that was cut short is EIO to LMDB: was it for want of space? */
static int
clarify(int code, const char *folder)
{
    struct statvfs vfs;

    if (code == EIO && statvfs(folder, &vfs) == 0 && vfs.f_bavail == 0)
        return ENOSPC;
    return code;
}

static enum lmi_rc
lmdb_apply(void *self, enum lmi_store_part part, const struct lmi_store_op *ops,
           size_t count, int64_t now, bool *done_out, struct lmi_err *err)
{
    struct keeper *keeper = self;
    struct env *env;
    enum lmi_rc rc = part_enter(keeper, part, &env, err);

    if (rc != LMI_OK)
        return rc;
    check_readers(env);
    int code = apply_once(env, ops, count, now, done_out);
    while ((code == MDB_MAP_FULL || code == MDB_MAP_RESIZED) &&
           map_grows(env, code))
        code = apply_once(env, ops, count, now, done_out);
    registry_unlock();
    if (code != 0)
        return store_fail(err, clarify(code, keeper->folder[part]),
                          keeper->folder[part], "can't be written", NULL);
    return LMI_OK;
}

static enum lmi_rc
lmdb_purge(void *self, enum lmi_store_part part, int64_t now, uint32_t limit,
           uint32_t *removed_out, struct lmi_err *err)
{
    struct keeper *keeper = self;
    struct env *env;
    enum lmi_rc rc = part_enter(keeper, part, &env, err);

    if (rc != LMI_OK)
        return rc;
    int code = purge_once(env, now, limit, removed_out);
    while ((code == MDB_MAP_FULL || code == MDB_MAP_RESIZED) &&
           map_grows(env, code))
        code = purge_once(env, now, limit, removed_out);
    registry_unlock();
    if (code == 0)
        return LMI_OK;
    *removed_out = 0;
    return store_fail(err, clarify(code, keeper->folder[part]),
                      keeper->folder[part], "can't be written", NULL);
}

/* What can't be looked at tells nothing. */
static bool
part_replaced(const struct keeper *keeper, enum lmi_store_part part)
{
    const struct state *state = &keeper->state[part];
    char path[PATH_MAX];
    struct stat st;

    if (state->name[0] == '\0')
        return false;
    snprintf(path, sizeof path, "%s/%s", keeper->folder[part], state->name);
    if (stat(path, &st) != 0)
        return errno == ENOENT || errno == ENOTDIR;
    return !same_file(state->id, &st);
}

/*
 * A backup may have been put in its place, or the folder have gone with a
 * service that stopped.
 */
static bool
lmdb_replaced(void *self)
{
    struct keeper *keeper = self;
    time_t now = time(NULL);

    if (keeper->looked == now)
        return false;
    keeper->looked = now;
    return part_replaced(keeper, LMI_DURABLE) ||
           part_replaced(keeper, LMI_VOLATILE);
}

static void
lmdb_close(void *self)
{
    struct keeper *keeper = self;

    if (keeper == NULL)
        return;
    registry_lock();
    part_close(keeper, LMI_DURABLE);
    part_close(keeper, LMI_VOLATILE);
    registry_unlock();
    free(keeper->folder[LMI_DURABLE]);
    free(keeper->folder[LMI_VOLATILE]);
    free(keeper);
}

static enum lmi_rc
lmdb_open(const struct lmi_store_where *where, void **out, struct lmi_err *err)
{
    struct keeper *keeper = calloc(1, sizeof *keeper);
    struct env *env;
    enum lmi_rc rc;

    *out = NULL;
    pthread_once(&registry.once, registry_guard_fork);
    if (keeper != NULL) {
        keeper->folder[LMI_DURABLE] = strdup(where->url + strlen("lmdb:"));
        keeper->folder[LMI_VOLATILE] = strdup(where->volatile_dir);
    }
    if (keeper == NULL || keeper->folder[LMI_DURABLE] == NULL ||
        keeper->folder[LMI_VOLATILE] == NULL) {
        lmdb_close(keeper);
        return lmi_fail(err, LMI_MEMORY, 0, NULL, "no memory", NULL);
    }
    rc = part_enter(keeper, LMI_DURABLE, &env, err);
    if (rc != LMI_OK) {
        lmdb_close(keeper);
        return rc;
    }
    registry_unlock();
    keeper->looked = time(NULL);
    *out = keeper;
    return LMI_OK;
}

const struct lmi_store_keeper lmi_store_lmdb = {
    .open = lmdb_open,
    .close = lmdb_close,
    .replaced = lmdb_replaced,
    .get = lmdb_get,
    .apply = lmdb_apply,
    .purge = lmdb_purge,
    .next = lmdb_next,
};

const char *
lmi_store_lmdb_version(void)
{
    return mdb_version(NULL, NULL, NULL);
}
