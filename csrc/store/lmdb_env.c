#include "store/lmdb_env.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "store/lock.h"

#define MAP_START ((size_t)1 << 30) /* sparse: costs address space only */
#define MAP_LIMIT ((size_t)1 << 40)
#define READERS 4096
#define READERS_SIZE (64 * READERS + 4096) /* of LMDB's lock file, or less */
#define READER_CHECK_SECONDS 60
#define DATA_NAME "data.mdb"
#define LOCK_NAME "write.lock"
#define FILE_NAME_SIZE 64
#define BOOT_ID_CHARS "0123456789abcdef-"

/* A data file, by its name in the folder; all zeros: none. */
struct data_file {
    char name[FILE_NAME_SIZE];
    struct lmi_file_id id;
};

struct env {
    struct env *next;
    struct lmi_file_id folder;
    unsigned generation;
    enum lmi_store_part part;
    unsigned users;
    struct lmi_lmdb_env open;
    struct data_file file; /* what is open */
};

/* generation differs between a process and its parent: cheaper than getpid. */
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

struct lmi_lmdb {
    char *folder[2];
    struct data_file file[2]; /* what was opened first */
    time_t looked;
    bool ignore_mark;
    struct env *env[2];
    unsigned generation;
};

static enum lmi_rc
store_fail(struct lmi_err *err, int code, const char *location,
           const char *text, const char *remedy)
{
    enum lmi_rc rc = LMI_STORE;

    if (code == EACCES || code == EPERM)
        rc = LMI_RIGHTS;
    else if (code == ENOSPC || code == EDQUOT || code == MDB_MAP_FULL)
        rc = LMI_STOREFULL;
    lmi_fail(err, rc, code > 0 ? code : 0, location, text, remedy);
    if (code < 0) /* LMDB's own codes; the texts are static and short */
        lmi_err_add_location(err, " (%s)", mdb_strerror(code));
    return lmi_err_name(err, code == EROFS ? "store.read-only" : NULL);
}

static enum lmi_rc
folder_check(int fd, uid_t owner, const char *path, struct stat *st,
             struct lmi_err *err)
{
    if (fstat(fd, st) != 0)
        return store_fail(err, errno, path, "can't be examined", NULL);
    if (geteuid() != 0 && st->st_uid != geteuid()) {
        lmi_fail(err, LMI_RIGHTS, 0, path, "belongs to another user",
                 "call as its owner, or as root");
        return lmi_err_name(err, "store.owner");
    }
    if (owner != (uid_t)-1 && st->st_uid != owner)
        return store_fail(err, 0, path, "does not belong to the store's owner",
                          "chown it");
    if ((st->st_mode & 077) != 0) {
        store_fail(err, 0, path, "is open to group or others", "chmod 0700 it");
        return lmi_err_name(err, "store.mode");
    }
    return LMI_OK;
}

/* Makes a folder, if it is missing, and its name durable. */
static enum lmi_rc
folder_make_one(const char *path, mode_t mode, struct lmi_err *err)
{
    char parent[PATH_MAX];
    int fd, code;

    if (mkdir(path, mode) != 0)
        return errno == EEXIST
                   ? LMI_OK
                   : store_fail(err, errno, path, "can't be made", NULL);
    lmi_file_folder(path, parent);
    fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    code = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    if (code != 0 && code != EACCES) /* one may write where one can't read */
        return store_fail(err, code, path, "can't be made durable", NULL);
    return LMI_OK;
}

/* Of the way to the folder, one part at most may be missing. */
static enum lmi_rc
folder_make(const char *path, struct lmi_err *err)
{
    char parent[PATH_MAX];
    enum lmi_rc rc;

    lmi_file_folder(path, parent);
    rc = folder_make_one(parent, 0755, err);
    return rc != LMI_OK ? rc : folder_make_one(path, 0700, err);
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
    enum lmi_rc rc = LMI_OK;

    *fd_out = -1;
    if (fd < 0 && errno == ENOENT) {
        rc = folder_make(path, err);
        if (rc != LMI_OK)
            return rc;
        fd = folder_try(path);
        if (fd >= 0 && geteuid() == 0 && owner != (uid_t)-1 &&
            fchown(fd, owner, group) != 0)
            rc = store_fail(err, errno, path, "can't be given away", NULL);
    }
    if (fd < 0) {
        store_fail(err, errno, path, "can't be opened as a folder", NULL);
        return lmi_err_name(err, "store.no-folder");
    }
    if (rc == LMI_OK)
        rc = folder_check(fd, owner, path, st, err);
    if (rc == LMI_OK)
        *fd_out = fd;
    else
        close(fd);
    return rc;
}

/* A file that LMDB is about to open: absent, or the owner's alone. */
static enum lmi_rc
file_check(int dir_fd, const char *name, uid_t owner, const char *folder,
           struct lmi_err *err)
{
    struct stat st;
    const char *text, *fault;

    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT
                   ? LMI_OK
                   : store_fail(err, errno, folder, "can't be examined", NULL);
    if (!S_ISREG(st.st_mode)) {
        text = "is not a regular file";
        fault = "store.file-kind";
    } else if (st.st_uid != owner) {
        text = "does not belong to the folder's owner";
        fault = "store.file-owner";
    } else if ((st.st_mode & 077) != 0) {
        text = "is open to group or others";
        fault = "store.file-mode";
    } else if (st.st_nlink != 1) {
        text = "has more than one hard link";
        fault = "store.links";
    } else {
        return LMI_OK;
    }
    store_fail(err, 0, folder, text,
               "another user has put it there: find out who");
    lmi_err_add_location(err, "/%s", name);
    return lmi_err_name(err, fault);
}

/* The kernel's name for this boot. */
static enum lmi_rc
boot_id(char out[LMI_BOOT_ID + 1], struct lmi_err *err)
{
    static const char path[] = "/proc/sys/kernel/random/boot_id";
    ssize_t len = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    memset(out, 0, LMI_BOOT_ID + 1);
    if (fd >= 0) {
        len = read(fd, out, LMI_BOOT_ID);
        close(fd);
    }
    if (len != LMI_BOOT_ID || strspn(out, BOOT_ID_CHARS) != LMI_BOOT_ID)
        return store_fail(err, 0, path, "does not tell the boot", NULL);
    return LMI_OK;
}

/* The names of data and lock: volatile ones carry the boot's id. */
static void
file_names(enum lmi_store_part part, const char *boot,
           char data_out[FILE_NAME_SIZE], char lock_out[FILE_NAME_SIZE])
{
    if (part == LMI_DURABLE) {
        snprintf(data_out, FILE_NAME_SIZE, DATA_NAME);
        snprintf(lock_out, FILE_NAME_SIZE, "lock.mdb");
    } else {
        snprintf(data_out, FILE_NAME_SIZE, "%.36s.mdb", boot);
        snprintf(lock_out, FILE_NAME_SIZE, "%.36s.mdb-lock", boot);
    }
}

/* BOOT-ID.mdb or BOOT-ID.mdb-lock: only such names are ours to remove. */
static bool
is_boot_file(const char *name)
{
    return strspn(name, BOOT_ID_CHARS) == LMI_BOOT_ID &&
           (strcmp(name + LMI_BOOT_ID, ".mdb") == 0 ||
            strcmp(name + LMI_BOOT_ID, ".mdb-lock") == 0);
}

/* Other boots' files may be torn, and are removed unopened. */
static void
remove_other_boots(int dir_fd, const char *file)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((entry = readdir(dir)) != NULL)
        if (is_boot_file(entry->d_name) &&
            strncmp(entry->d_name, file, LMI_BOOT_ID) != 0)
            unlinkat(dir_fd, entry->d_name, 0);
    closedir(dir);
}

static void
env_shut(struct lmi_lmdb_env *env)
{
    if (env->mdb == NULL)
        return;
    mdb_txn_abort(env->reader);
    env->reader = NULL;
    mdb_env_close(env->mdb);
    lmi_lmdb_release(env);
    lmi_lock_close(env->lock);
    env->lock = NULL;
    env->mdb = NULL;
}

/* Is the open file still the one in the folder? */
static bool
env_in_place(const struct env *env, int dir_fd)
{
    struct stat st;

    return fstatat(dir_fd, env->file.name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           lmi_file_is(&env->file.id, &st);
}

/*
 * Is the opened file the one that was checked? And is it as long as LMDB may
 * read? Reading beyond its end would be a bus error; so it is extended with
 * zeros, which LMDB reports as damage. A sound file may be short, too.
 */
static int
env_file_check(struct env *env, int dir_fd)
{
    struct stat opened;
    MDB_envinfo info;
    MDB_stat stat;
    mdb_filehandle_t fd;

    if (mdb_env_info(env->open.mdb, &info) != 0 ||
        mdb_env_stat(env->open.mdb, &stat) != 0 ||
        mdb_env_get_fd(env->open.mdb, &fd) != 0 || fstat(fd, &opened) != 0)
        return MDB_CORRUPTED;
    env->file.id = lmi_file_id_of(&opened);
    if (!env_in_place(env, dir_fd))
        return MDB_CORRUPTED;
    if ((uint64_t)opened.st_size / stat.ms_psize > info.me_last_pgno)
        return 0;
    return posix_fallocate(fd, (off_t)(info.me_last_pgno * stat.ms_psize),
                           (off_t)stat.ms_psize);
}

/* The reader, kept for the life of the environment, and the one database. */
static int
env_prepare(struct lmi_lmdb_env *env)
{
    int code = lmi_lmdb_read(env);

    if (code == 0)
        code = mdb_dbi_open(env->reader, NULL, 0, &env->dbi);
    if (code == 0)
        mdb_txn_reset(env->reader);
    return code;
}

/*
 * Until the first commit, the data file's name may not be on the disk yet.
 * Whoever makes that commit has come by here.
 */
static int
env_name_sync(const struct env *env, int dir_fd)
{
    MDB_envinfo info;
    int code = mdb_env_info(env->open.mdb, &info);

    if (code == 0 && info.me_last_txnid == 0 && fsync(dir_fd) != 0)
        code = errno;
    return code;
}

static enum lmi_rc
lock_fail(struct lmi_err *err, const char *path)
{
    return store_fail(err, 0, path, "another process keeps its write lock",
                      "find the one that was stopped, or hangs");
}

static enum lmi_rc
start_fail(struct lmi_err *err, int code, const char *path)
{
    const char *text = "can't be opened by LMDB", *remedy = NULL, *name = NULL;

    if (code == ETIMEDOUT)
        return lock_fail(err, path);
    if (code == ENOMEM) {
        text = "needs more address space than this process may use";
        remedy = "raise the limit, as with ulimit -v";
    } else if (code == EAGAIN) {
        text = "is in use by another process with this process's id";
        remedy = "do not share a store between PID namespaces";
    } else if (code < 0) {
        name = "store.damaged";
    }
    store_fail(err, code, path, text, remedy);
    return name != NULL ? lmi_err_name(err, name) : err->code;
}

/* LMDB's lock file, with space for all that LMDB may write there. */
static int
readers_reserve(int dir_fd, const char *lock)
{
    int code, fd = openat(dir_fd, lock,
                          O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return errno;
    code = lmi_lock_reserve(fd, READERS_SIZE);
    close(fd);
    return code;
}

/* For what LMDB lets other processes wait. */
static int
env_start_alone(struct env *env, int dir_fd, const char *path, const char *lock)
{
    unsigned flags = MDB_NOTLS;
    int dead, code = readers_reserve(dir_fd, lock);

    if (env->part == LMI_VOLATILE)
        flags |= MDB_NOSUBDIR | MDB_NOSYNC;
    if (code == 0)
        code = mdb_env_open(env->open.mdb, path, flags, 0600);
    if (code == 0)
        code = env_file_check(env, dir_fd);
    if (code == 0)
        code = env_prepare(&env->open);
    if (code == 0)
        mdb_reader_check(env->open.mdb, &dead);
    env->open.readers_checked = time(NULL);
    return code;
}

static enum lmi_rc
env_start(struct env *env, int dir_fd, const char *folder, struct lmi_err *err)
{
    const char *boot = env->open.boot;
    char path[PATH_MAX], data[FILE_NAME_SIZE], lock[FILE_NAME_SIZE];
    int code = mdb_env_create(&env->open.mdb);

    if (code != 0)
        return store_fail(err, code, folder, "LMDB can't start", NULL);
    file_names(env->part, boot, data, lock);
    snprintf(path, sizeof path, "%s", folder);
    if (env->part == LMI_VOLATILE)
        snprintf(path, sizeof path, "%s/%s", folder, data);
    code = mdb_env_set_maxreaders(env->open.mdb, READERS);
    if (code == 0)
        code = mdb_env_set_mapsize(env->open.mdb, MAP_START);
    if (code == 0)
        code = lmi_lock_open(dir_fd, LOCK_NAME, boot, &env->open.lock);
    if (code == 0)
        code = lmi_lock_take(env->open.lock, LMI_TURN_OPEN);
    if (code == 0) {
        code = env_start_alone(env, dir_fd, path, lock);
        lmi_lock_give(env->open.lock, LMI_TURN_OPEN);
    }
    if (code == 0 && env->part == LMI_DURABLE)
        code = env_name_sync(env, dir_fd);
    if (code == 0)
        return LMI_OK;
    env_shut(&env->open);
    return start_fail(err, code, path);
}

/* LMDB writes the first pages of a new file, and does not sync them. */
static int
draft_write(const char *path)
{
    MDB_env *mdb;
    int code = mdb_env_create(&mdb);

    if (code != 0)
        return code;
    code = mdb_env_set_mapsize(mdb, MAP_START);
    if (code == 0)
        code = mdb_env_open(mdb, path, MDB_NOSUBDIR | MDB_NOLOCK, 0600);
    if (code == 0)
        code = mdb_env_sync(mdb, 1);
    mdb_env_close(mdb);
    return code;
}

/* Under another name at first: a power cut must not leave half of it. */
static int
data_make(int dir_fd, const char *folder)
{
    char draft[FILE_NAME_SIZE], path[PATH_MAX];
    uint64_t number;
    int code;

    if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
        return errno;
    snprintf(draft, sizeof draft, DATA_NAME ".%016llx",
             (unsigned long long)number);
    snprintf(path, sizeof path, "%s/%s", folder, draft);
    code = draft_write(path);
    if (code == 0)
        code = lmi_file_place(dir_fd, draft, DATA_NAME);
    unlinkat(dir_fd, draft, 0);
    return code == EEXIST ? 0 : code; /* another process was first */
}

/* The durable part's data file is there, or made. */
static enum lmi_rc
data_ensure(int dir_fd, const char *folder, struct lmi_err *err)
{
    struct stat st;
    int code =
        fstatat(dir_fd, DATA_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : errno;

    lmi_file_remove_drafts(dir_fd, DATA_NAME, code == 0 ? &st : NULL);
    if (code == ENOENT)
        code = data_make(dir_fd, folder);
    return code == 0 ? LMI_OK : start_fail(err, code, folder);
}

/* Opens env->open.mdb; everything is looked at before LMDB touches it. */
static enum lmi_rc
env_open(struct env *env, int dir_fd, const struct stat *st, const char *folder,
         struct lmi_err *err)
{
    char lock[FILE_NAME_SIZE], *boot = env->open.boot;
    struct lmi_owner saved;
    enum lmi_rc rc =
        lmi_owner_enter(&saved, st->st_uid, st->st_gid, folder, err);

    if (rc == LMI_OK)
        rc = boot_id(boot, err);
    if (rc == LMI_OK)
        file_names(env->part, boot, env->file.name, lock);
    if (rc == LMI_OK)
        rc = file_check(dir_fd, LOCK_NAME, st->st_uid, folder, err);
    if (rc == LMI_OK)
        rc = file_check(dir_fd, lock, st->st_uid, folder, err);
    if (rc == LMI_OK && env->part == LMI_DURABLE)
        rc = data_ensure(dir_fd, folder, err);
    if (rc == LMI_OK)
        rc = file_check(dir_fd, env->file.name, st->st_uid, folder, err);
    if (rc == LMI_OK && env->part == LMI_VOLATILE)
        remove_other_boots(dir_fd, env->file.name);
    if (rc == LMI_OK)
        rc = env_start(env, dir_fd, folder, err);
    lmi_owner_leave(&saved);
    return rc;
}

static struct env *
registry_find(const struct stat *st, enum lmi_store_part part)
{
    for (struct env *env = registry.first; env != NULL; env = env->next)
        if (lmi_file_is(&env->folder, st) && env->part == part &&
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
    env->folder = lmi_file_id_of(st);
    env->part = part;
    env->generation = registry.generation;
    env->next = registry.first;
    registry.first = env;
    return env;
}

/*
 * Closes unused environments, but for `spared`, which the next login will use.
 * Those of a parent process stay: LMDB would take its readers for ours.
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
        env_shut(&env->open);
        free(env);
    }
}

/* At exit or unload; not while a call is running, in a thread or a signal. */
static void __attribute__((destructor)) registry_end(void)
{
    if (pthread_mutex_trylock(&registry.mutex) != 0)
        return;
    for (struct env *env = registry.first; env != NULL; env = env->next)
        if (env->users == 0 && env->generation == registry.generation)
            env_shut(&env->open);
    registry_unlock();
}

static enum lmi_rc
part_open(struct lmi_lmdb *lmdb, enum lmi_store_part part, struct lmi_err *err)
{
    const char *folder = lmdb->folder[part];
    uid_t owner = (uid_t)-1;
    gid_t group = (gid_t)-1;
    struct env *env;
    struct stat st, durable;
    int fd;
    enum lmi_rc rc;

    if (part == LMI_VOLATILE) {
        if (stat(lmdb->folder[LMI_DURABLE], &durable) != 0)
            return store_fail(err, errno, lmdb->folder[LMI_DURABLE],
                              "can't be examined", NULL);
        owner = durable.st_uid;
        group = durable.st_gid;
    }
    rc = folder_open(folder, owner, group, &fd, &st, err);
    if (rc != LMI_OK)
        return rc;
    if (part == LMI_VOLATILE && st.st_dev == durable.st_dev &&
        st.st_ino == durable.st_ino) {
        close(fd);
        return store_fail(err, 0, folder, "is the store's own folder",
                          "set volatile_dir to another one");
    }
    env = registry_find(&st, part);
    if (env == NULL)
        env = registry_add(&st, part);
    else if (!env_in_place(env, fd))
        env_shut(&env->open);
    if (env == NULL)
        rc = lmi_no_memory(err);
    else if (env->open.mdb == NULL)
        rc = env_open(env, fd, &st, folder, err);
    close(fd);
    if (rc != LMI_OK)
        return rc;
    env->users++;
    lmdb->env[part] = env;
    if (lmdb->file[part].name[0] == '\0')
        lmdb->file[part] = env->file;
    return LMI_OK;
}

static void
part_close(struct lmi_lmdb *lmdb, enum lmi_store_part part)
{
    struct env *env = lmdb->env[part];

    lmdb->env[part] = NULL;
    if (env == NULL || env->generation != registry.generation)
        return;
    env->users--;
    registry_tidy(env);
}

enum lmi_rc
lmi_lmdb_enter(struct lmi_lmdb *lmdb, enum lmi_store_part part,
               struct lmi_lmdb_env **env_out, struct lmi_err *err)
{
    enum lmi_rc rc = LMI_OK;

    registry_lock();
    if (lmdb->generation != registry.generation) {
        lmdb->env[LMI_DURABLE] = lmdb->env[LMI_VOLATILE] = NULL;
        lmdb->generation = registry.generation;
    }
    if (lmdb->env[part] != NULL && lmdb->env[part]->open.mdb == NULL)
        part_close(lmdb, part);
    if (lmdb->env[part] == NULL)
        rc = part_open(lmdb, part, err);
    if (rc != LMI_OK) {
        registry_unlock();
        return rc;
    }
    *env_out = &lmdb->env[part]->open;
    return LMI_OK;
}

static int
reader_begin(struct lmi_lmdb_env *env)
{
    return env->reader != NULL
               ? mdb_txn_renew(env->reader)
               : mdb_txn_begin(env->mdb, NULL, MDB_RDONLY, &env->reader);
}

int
lmi_lmdb_read(struct lmi_lmdb_env *env)
{
    int code = reader_begin(env);

    /* Another process has let the map grow: follow it. */
    if (code == MDB_MAP_RESIZED) {
        code = mdb_env_set_mapsize(env->mdb, 0);
        if (code == 0)
            code = reader_begin(env);
    }
    return code;
}

int
lmi_lmdb_commit(struct lmi_lmdb_env *env, MDB_txn *txn)
{
    int code = mdb_txn_commit(txn);

    if (code != 0 && code != MDB_MAP_FULL)
        env_shut(env);
    return code;
}

int
lmi_lmdb_lock(struct lmi_lmdb_env *env)
{
    int code = env->held ? 0 : lmi_lock_take(env->lock, LMI_TURN_WRITE);

    env->locked = code == 0;
    return code;
}

void
lmi_lmdb_unlock(struct lmi_lmdb_env *env)
{
    if (env->held)
        return;
    if (env->locked)
        lmi_lock_give(env->lock, LMI_TURN_WRITE);
    env->locked = false;
}

int
lmi_lmdb_hold(struct lmi_lmdb_env *env)
{
    int code = lmi_lmdb_lock(env);

    env->held = code == 0;
    return code;
}

void
lmi_lmdb_release(struct lmi_lmdb_env *env)
{
    env->held = false;
    lmi_lmdb_unlock(env);
}

bool
lmi_lmdb_ignores_mark(const struct lmi_lmdb *lmdb)
{
    return lmdb->ignore_mark;
}

const char *
lmi_lmdb_folder(const struct lmi_lmdb *lmdb, enum lmi_store_part part)
{
    return lmdb->folder[part];
}

bool
lmi_lmdb_grows(struct lmi_lmdb_env *env, int code)
{
    MDB_envinfo info;

    if (code == MDB_MAP_RESIZED)
        return mdb_env_set_mapsize(env->mdb, 0) == 0;
    return code == MDB_MAP_FULL && mdb_env_info(env->mdb, &info) == 0 &&
           info.me_mapsize < MAP_LIMIT &&
           mdb_env_set_mapsize(env->mdb, 2 * info.me_mapsize) == 0;
}

void
lmi_lmdb_check_readers(struct lmi_lmdb_env *env)
{
    time_t now = time(NULL);
    int dead;

    if (now - env->readers_checked < READER_CHECK_SECONDS)
        return;
    env->readers_checked = now;
    if (!lmi_lock_try(env->lock, LMI_TURN_OPEN))
        return;
    mdb_reader_check(env->mdb, &dead);
    lmi_lock_give(env->lock, LMI_TURN_OPEN);
}

/* The views that are read from, as mdb_reader_list() writes them. */
struct views {
    uint64_t last, oldest;
    int64_t pid;
};

/* A line is "PID THREAD COMMIT", with - if nothing is being read. */
static int
view_line(const char *line, void *context)
{
    struct views *views = context;
    long long pid;
    unsigned long long commit;

    if (sscanf(line, "%lld %*s %llu", &pid, &commit) == 2 &&
        commit < views->oldest) {
        views->oldest = commit;
        views->pid = pid;
    }
    return 0;
}

int
lmi_lmdb_report(struct lmi_lmdb *lmdb, struct lmi_lmdb_env *env,
                struct lmi_store_report *out)
{
    struct statvfs vfs;
    MDB_envinfo info;
    int code = mdb_env_info(env->mdb, &info);
    struct views views = {.last = info.me_last_txnid,
                          .oldest = info.me_last_txnid};

    if (code == 0 && statvfs(lmdb->folder[LMI_DURABLE], &vfs) != 0)
        code = errno;
    if (code != 0)
        return code;
    mdb_reader_list(env->mdb, view_line, &views);
    out->readers = info.me_numreaders;
    out->readers_max = info.me_maxreaders;
    out->behind = views.last - views.oldest;
    out->behind_pid = views.pid;
    out->free_bytes = (uint64_t)vfs.f_bavail * vfs.f_frsize;
    return 0;
}

enum lmi_rc
lmi_lmdb_leave(struct lmi_lmdb *lmdb, enum lmi_store_part part, int code,
               const char *text, struct lmi_err *err)
{
    const char *folder = lmdb->folder[part];
    struct statvfs vfs;

    registry_unlock();
    if (code == 0)
        return LMI_OK;
    /* A write that was cut short is EIO to LMDB: was it for want of space? */
    if (code == EIO && statvfs(folder, &vfs) == 0 && vfs.f_bavail == 0)
        code = ENOSPC;
    if (code == ETIMEDOUT)
        return lock_fail(err, folder);
    return store_fail(err, code, folder, text, NULL);
}

/* Other stat errors are not evidence of replacement. */
static bool
part_replaced(const struct lmi_lmdb *lmdb, enum lmi_store_part part)
{
    const struct data_file *file = &lmdb->file[part];
    char path[PATH_MAX];
    struct stat st;

    if (file->name[0] == '\0')
        return false;
    snprintf(path, sizeof path, "%s/%s", lmdb->folder[part], file->name);
    if (stat(path, &st) != 0)
        return errno == ENOENT || errno == ENOTDIR;
    return !lmi_file_is(&file->id, &st);
}

/* By a backup; or the folder has gone with a service that stopped. */
bool
lmi_lmdb_replaced(void *self, bool at_once)
{
    struct lmi_lmdb *lmdb = self;
    time_t now = time(NULL);

    if (!at_once && lmdb->looked == now)
        return false;
    lmdb->looked = now;
    return part_replaced(lmdb, LMI_DURABLE) ||
           part_replaced(lmdb, LMI_VOLATILE);
}

void
lmi_lmdb_close(void *self)
{
    struct lmi_lmdb *lmdb = self;

    if (lmdb == NULL)
        return;
    registry_lock();
    part_close(lmdb, LMI_DURABLE);
    part_close(lmdb, LMI_VOLATILE);
    registry_unlock();
    free(lmdb->folder[LMI_DURABLE]);
    free(lmdb->folder[LMI_VOLATILE]);
    free(lmdb);
}

static enum lmi_rc
data_must_exist(const char *folder, struct lmi_err *err)
{
    char path[PATH_MAX];
    struct stat st;

    snprintf(path, sizeof path, "%s/" DATA_NAME, folder);
    if (stat(path, &st) == 0)
        return LMI_OK;
    store_fail(err, errno, folder, "there is no store", NULL);
    return lmi_err_name(err, "store.none");
}

enum lmi_rc
lmi_lmdb_open(const struct lmi_store_where *where, void **out,
              struct lmi_err *err)
{
    struct lmi_lmdb *lmdb = calloc(1, sizeof *lmdb);
    struct lmi_lmdb_env *env;
    enum lmi_rc rc = LMI_OK;

    *out = NULL;
    pthread_once(&registry.once, registry_guard_fork);
    if (lmdb != NULL) {
        lmdb->folder[LMI_DURABLE] = strdup(where->url + strlen("lmdb:"));
        lmdb->folder[LMI_VOLATILE] = strdup(where->volatile_dir);
    }
    if (lmdb == NULL || lmdb->folder[LMI_DURABLE] == NULL ||
        lmdb->folder[LMI_VOLATILE] == NULL) {
        lmi_lmdb_close(lmdb);
        return lmi_no_memory(err);
    }
    lmdb->ignore_mark = where->ignore_mark;
    if (where->must_exist)
        rc = data_must_exist(lmdb->folder[LMI_DURABLE], err);
    if (rc == LMI_OK)
        rc = lmi_lmdb_enter(lmdb, LMI_DURABLE, &env, err);
    if (rc != LMI_OK) {
        lmi_lmdb_close(lmdb);
        return rc;
    }
    registry_unlock();
    lmdb->looked = time(NULL);
    *out = lmdb;
    return LMI_OK;
}
