/* The contract of store.h, as LMDB keeps it. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "conformance.h"

static char url[80], volatile_dir[80];

/*
 * The map is sparse and starts at 1 GiB. To see it grow within a second, this
 * program starts it smaller: the linker prefers its function to LMDB's.
 */
static size_t map_start;

int
mdb_env_set_mapsize(MDB_env *env, size_t size)
{
    int (*real)(MDB_env *, size_t);
    void *found = dlsym(RTLD_NEXT, "mdb_env_set_mapsize");

    memcpy(&real, &found, sizeof real);
    if (size == (size_t)1 << 30 && map_start != 0)
        size = map_start;
    return real(env, size);
}

/* Seconds for which the machine has been at rest, as far as the core sees. */
static long rested;

int
clock_gettime(clockid_t clock, struct timespec *out)
{
    int result = (int)syscall(SYS_clock_gettime, clock, out);

    if (clock == CLOCK_BOOTTIME)
        out->tv_sec += rested;
    return result;
}

static void
folder_set(const char *name)
{
    snprintf(url, sizeof url, "lmdb:%s/%s", scratch, name);
    snprintf(volatile_dir, sizeof volatile_dir, "%s/%s/volatile", scratch,
             name);
}

static struct lmi_store *
store_new(void)
{
    struct lmi_store_where where = {.url = url, .volatile_dir = volatile_dir};
    struct lmi_store *made = NULL;

    return lmi_store_open(&where, &made, &err) == LMI_OK ? made : NULL;
}

static bool
exists(const char *name)
{
    char path[160];

    snprintf(path, sizeof path, "%s/%s", volatile_dir, name);
    return access(path, F_OK) == 0;
}

static void
plant(const char *name)
{
    char path[160];

    snprintf(path, sizeof path, "%s/%s", volatile_dir, name);
    close(open(path, O_WRONLY | O_CREAT, 0600));
}

static void
volatile_part(void)
{
    struct lmi_store_value v = value_of("volatile");
    struct lmi_store_op op = op_of(LMI_STORE_PUT, 1, &v);
    char boot[64] = "";
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r");

    ok(access(volatile_dir, F_OK) != 0, "the volatile part is not made yet");
    mkdir(volatile_dir, 0700);
    plant("00000000-1111-2222-3333-444444444444.mdb");
    plant("00000000-1111-2222-3333-444444444444.mdb-lock");
    ok(exists("00000000-1111-2222-3333-444444444444.mdb"), "control: planted");
    ok(strcmp(apply_at(LMI_VOLATILE, &op, 1, 0), "done") == 0 &&
           holds_in(LMI_VOLATILE, 1, "volatile"),
       "the volatile part keeps an entry");
    ok(holds(1, NULL), "which the durable part does not know");
    ok(!exists("00000000-1111-2222-3333-444444444444.mdb") &&
           !exists("00000000-1111-2222-3333-444444444444.mdb-lock"),
       "other boots' files are gone");
    if (file != NULL && fscanf(file, "%36s", boot) == 1)
        strcat(boot, ".mdb");
    ok(exists(boot), "this boot's is there, by its name");
    if (file != NULL)
        fclose(file);
}

/*
 * This program's own fdatasync() stands before libc's, and counts: how LMDB
 * makes a change durable.
 */
static unsigned synced;

#pragma GCC visibility push(default)

int
fdatasync(int fd)
{
    int (*real)(int);
    void *found = dlsym(RTLD_NEXT, "fdatasync");

    memcpy(&real, &found, sizeof real);
    synced++;
    return real(fd);
}

#pragma GCC visibility pop

static void
durable_part(void)
{
    struct lmi_store_value v = value_of("volatile");
    struct lmi_store_op op = op_of(LMI_STORE_PUT, 800, &v);
    unsigned before = synced;

    ok(puts_text(800, "durable") && synced > before,
       "a change of the durable part is synchronised");
    before = synced;
    ok(strcmp(apply_at(LMI_VOLATILE, &op, 1, 0), "done") == 0 &&
           synced == before,
       "one of the volatile part is not");
}

/* Runs the job in a child; its answer is the exit status. */
static bool
in_child(bool (*job)(void))
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0)
        _exit(job() ? 0 : 1);
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static bool
grandchild_works(void)
{
    return holds(400, "parent") && puts_text(402, "grandchild");
}

static bool
child_works(void)
{
    bool good = holds(400, "parent") && puts_text(401, "child") &&
                holds(401, "child") && in_child(grandchild_works) &&
                holds(402, "grandchild");

    lmi_store_close(store);
    store = store_new();
    return good && store != NULL && holds(401, "child");
}

static void
forking(void)
{
    puts_text(400, "parent");
    ok(in_child(child_works), "a child and a grandchild use the open handle");
    ok(holds(401, "child") && holds(402, "grandchild") && puts_text(403, "x"),
       "and the parent goes on, and sees what they did");
}

/* One hundred adds; how many were done comes through the pipe. */
static void
race(void)
{
    int ends[2];
    unsigned char wins, total = 0, children = 0;

    if (pipe(ends) != 0)
        return;
    for (int i = 0; i < 8; i++)
        if (fork() == 0) {
            struct lmi_store_value v = value_of("mine");
            wins = 0;
            for (unsigned j = 0; j < 20; j++)
                wins = (unsigned char)(wins +
                                       does(op_of(LMI_STORE_ADD, 500 + j, &v)));
            _exit(write(ends[1], &wins, 1) == 1 ? 0 : 1);
        }
    close(ends[1]);
    while (read(ends[0], &wins, 1) == 1) {
        total = (unsigned char)(total + wins);
        children++;
    }
    close(ends[0]);
    while (wait(NULL) > 0)
        continue;
    ok(children == 8 && total == 20,
       "of eight processes that add the same entries, one wins each");
}

/* A thread has a handle of its own; LMDB is opened once for them all. */
static void *
thread_body(void *argument)
{
    unsigned base = *(const unsigned *)argument;
    struct lmi_err mine;
    struct lmi_store_where where = {.url = url, .volatile_dir = volatile_dir};
    struct lmi_store *own = NULL;
    struct lmi_store_value v = value_of("thread"), out;
    uintptr_t good = 0;

    for (unsigned i = 0; i < 40; i++) {
        struct lmi_store_op op = op_of(LMI_STORE_ADD, base + i, &v);
        bool done = false, found = false;
        if (lmi_store_open(&where, &own, &mine) == LMI_OK &&
            lmi_store_apply(own, LMI_DURABLE, &op, 1, 0, &done, &mine) ==
                LMI_OK &&
            lmi_store_get(own, LMI_DURABLE, &op.id, &found, &out, &mine) ==
                LMI_OK)
            good += done && found;
        lmi_store_close(own);
    }
    return (void *)good; // NOLINT: a count, not an address
}

static void
threads(void)
{
    pthread_t thread[4];
    unsigned base[4] = {1000, 2000, 3000, 4000};
    uintptr_t total = 0;
    void *good;

    for (int i = 0; i < 4; i++)
        pthread_create(&thread[i], NULL, thread_body, &base[i]);
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], &good);
        total += (uintptr_t)good;
    }
    ok(total == 160, "four threads open, add, read and close at once");
}

static bool
fills_up(void)
{
    char text[1001];
    bool good = true;

    memset(text, 'f', 1000);
    text[1000] = '\0';
    for (unsigned i = 0; good && i < 2000; i++) {
        struct lmi_store_value v = value_of(text);
        struct lmi_store_op ops[20];
        for (unsigned j = 0; j < 20; j++, i++)
            ops[j] = op_of(LMI_STORE_PUT, 10000 + i, &v);
        good = strcmp(apply_at(LMI_DURABLE, ops, 20, 0), "done") == 0;
    }
    return good && holds(10000, text);
}

static size_t
file_size(void)
{
    struct stat st;
    char path[128];

    snprintf(path, sizeof path, "%s/data.mdb", url + 5);
    return stat(path, &st) == 0 ? (size_t)st.st_size : 0;
}

static void
growth(void)
{
    lmi_store_close(store);
    folder_set("small");
    map_start = 256 * 1024;
    store = store_new();
    ok(store != NULL && puts_text(1, "early"), "a store with a small map");
    ok(in_child(fills_up), "grows when a child fills it");
    ok(file_size() > 4 * map_start, "control: beyond what it was (%zu)",
       file_size());
    ok(holds(1, "early") && puts_text(2, "late") && holds(2, "late"),
       "and the parent's handle follows");
    ok(fills_up(), "and grows it itself");
    map_start = 0;
}

static bool
fault_then_well(void)
{
    struct rlimit limit = {file_size(), RLIM_INFINITY};
    char text[1001];
    const char *first = "done";

    memset(text, 'f', 1000);
    text[1000] = '\0';
    struct lmi_store_value v = value_of(text);
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    unsigned done = 0;
    while (strcmp(first, "done") == 0 && done < 500) {
        struct lmi_store_op op = op_of(LMI_STORE_ADD, 20000 + done, &v);
        first = apply_at(LMI_DURABLE, &op, 1, 0);
        done += strcmp(first, "done") == 0;
    }
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
    return strcmp(first, "fault") == 0 && err.text != NULL && done < 500 &&
           holds(20000 + done, NULL) && (done == 0 || holds(20000, text)) &&
           puts_text(20000 + done, "after") && holds(20000 + done, "after");
}

static void
full_disk(void)
{
    lmi_store_close(store);
    folder_set("full");
    store = store_new();
    puts_text(1, "x");
    ok(in_child(fault_then_well),
       "a file that may not grow is a fault, nothing is half done, and once "
       "it may, all is well");
    ok(holds(1, "x"), "and nothing is lost");
}

/* What somebody else may have put where the store is to be. */
static void
refuses(const char *name, enum lmi_rc code, const char *why)
{
    struct lmi_store_where where = {.url = url, .volatile_dir = volatile_dir};
    struct lmi_store *opened = NULL;
    enum lmi_rc rc = lmi_store_open(&where, &opened, &err);

    ok(rc == code && opened == NULL && err.text != NULL, "refused: %s (%s)",
       why, rc == LMI_OK ? "opened" : err.text);
    lmi_store_close(opened);
    (void)name;
}

/* What root does in a user's store belongs to that user. */
static void
owned_by_user(void)
{
    char path[160];
    struct stat st = {.st_uid = 0};

    folder_set("user");
    snprintf(path, sizeof path, "%s/data.mdb", url + 5);
    ok(chmod(scratch, 0711) == 0 && mkdir(url + 5, 0700) == 0 &&
           chown(url + 5, 54321, 54321) == 0,
       "(a folder is given away)");
    store = store_new();
    ok(store != NULL && stat(path, &st) == 0 && st.st_uid == 54321,
       "root works in a user's store with the user's rights");
    lmi_store_close(store);
}

/* The volatile part belongs to the durable part's owner. */
static void
given_away(void)
{
    struct lmi_store_value v = value_of("volatile");
    struct lmi_store_op op = op_of(LMI_STORE_PUT, 1, &v);

    store = store_new();
    mkdir(volatile_dir, 0700);
    ok(chown(volatile_dir, 54321, (gid_t)-1) == 0 &&
           strcmp(apply_at(LMI_VOLATILE, &op, 1, 0), "fault") == 0 &&
           strstr(err.text, "owner") != NULL,
       "refused: a volatile part of another user (%s)", err.text);
    ok(chown(volatile_dir, 0, (gid_t)-1) == 0 &&
           strcmp(apply_at(LMI_VOLATILE, &op, 1, 0), "done") == 0,
       "control: one of the same user is opened");
    lmi_store_close(store);
}

static void
planted(void)
{
    char path[160], other[160];

    folder_set("open");
    mkdir(url + 5, 0700);
    chmod(url + 5, 0750);
    refuses("open", LMI_STORE, "a folder that the group may read");
    chmod(url + 5, 0700);
    snprintf(path, sizeof path, "%s/data.mdb", url + 5);
    snprintf(other, sizeof other, "%s/elsewhere", scratch);
    close(open(other, O_WRONLY | O_CREAT, 0600));
    if (symlink(other, path) == 0)
        refuses("link", LMI_STORE, "a symbolic link for a file");
    unlink(path);
    if (link(other, path) == 0)
        refuses("hard", LMI_STORE, "a file with two names");
    unlink(path);
    mkfifo(path, 0600);
    refuses("fifo", LMI_STORE, "a FIFO");
    unlink(path);
    close(open(path, O_WRONLY | O_CREAT, 0600));
    chmod(path, 0644);
    refuses("mode", LMI_STORE, "a file that others may read");
    chmod(path, 0600);
    if (truncate(path, 8192) == 0)
        refuses("zeros", LMI_STORE, "a file of zeros");
    unlink(path);
    struct lmi_store *good = store_new();
    ok(good != NULL, "control: without all that, the folder is opened");
    lmi_store_close(good);
    if (geteuid() == 0) {
        given_away();
        owned_by_user();
    }
    folder_set("a/b/c");
    refuses("deep", LMI_STORE, "a folder whose parent's parent is missing");
}

/* Writes an entry's bytes as the store would not: its place is the letter, and
 * what there is before its id. */
static bool
writes_at(const char *place, size_t place_len, unsigned number,
          const uint8_t *bytes, size_t len)
{
    struct lmi_store_id id = id_of(number);
    uint8_t key[32 + 1 + LMI_STORE_KEY];
    MDB_val name = {.mv_size = place_len + 1 + LMI_STORE_KEY, .mv_data = key};
    MDB_val data = {.mv_size = len};
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    bool good;

    memcpy(key, place, place_len);
    key[place_len] = id.kind;
    memcpy(key + place_len + 1, id.key, LMI_STORE_KEY);
    data.mv_data = (void *)(uintptr_t)bytes;
    if (mdb_env_create(&env) != 0)
        return false;
    good = mdb_env_open(env, url + 5, 0, 0600) == 0 &&
           mdb_txn_begin(env, NULL, 0, &txn) == 0 &&
           mdb_dbi_open(txn, NULL, 0, &dbi) == 0 &&
           mdb_put(txn, dbi, &name, &data, 0) == 0 && mdb_txn_commit(txn) == 0;
    mdb_env_close(env);
    return good;
}

static bool
writes(unsigned number, const uint8_t *bytes, size_t len)
{
    return writes_at("e", 1, number, bytes, len);
}

/* An entry is its time, the length of its group, the group, and its value. */
static bool
writes_damage(void)
{
    uint8_t bytes[9 + LMI_STORE_GROUP + LMI_STORE_VALUE + 1] = {[0] = 1};
    const size_t longest = 9 + LMI_STORE_VALUE;
    bool good = writes(700, bytes, longest) && writes(701, bytes, longest + 1);

    bytes[8] = LMI_STORE_GROUP;
    good = good && writes(702, bytes, 9 + LMI_STORE_GROUP) &&
           writes(703, bytes, 9 + LMI_STORE_GROUP - 1);
    bytes[8] = LMI_STORE_GROUP + 1;
    return good && writes(704, bytes, 9 + LMI_STORE_GROUP + 1) &&
           writes(705, bytes, 8) && writes(706, bytes, 0) &&
           writes_at("ggone\0\0\0\0\0\0\0\1", 13, 707, bytes, 0);
}

static bool
is_there(unsigned number)
{
    struct lmi_store_id id = id_of(number);
    struct lmi_store_value value;
    bool found = false;

    return lmi_store_get(store, LMI_DURABLE, &id, &found, &value, &err) ==
               LMI_OK &&
           found;
}

static void
damaged(void)
{
    struct lmi_store_value v = value_of("v");
    struct lmi_store_entry page[2];
    unsigned there = 0;

    lmi_store_close(store);
    folder_set("damaged");
    mkdir(url + 5, 0700);
    ok(in_child(writes_damage), "(a child writes entries of its own)");
    store = store_new();
    ok(store != NULL && is_there(700) && is_there(702),
       "control: the longest value, and the longest group");
    for (unsigned number = 701; number < 707; number++)
        there += number != 702 && is_there(number);
    ok(there == 0, "one byte more, or less than there must be, is no entry");
    ok(puts_text(704, "new") && holds(704, "new"), "and makes room for one");
    ok(does(grouped(op_of(LMI_STORE_PUT, 708, &v), "gone")) &&
           read_group("gone", NULL, page, 1) == 1 &&
           number_of(&page[0].id) == 708 &&
           read_group("gone", NULL, page, 2) == 1,
       "an index that leads nowhere is passed over");
}

/* Beyond the second in which the store does not look. */
static void
let_it_look(void)
{
    const struct timespec pause = {.tv_sec = 1, .tv_nsec = 100000000};

    nanosleep(&pause, NULL);
}

/* As its users do: another store is for a new handle. */
static bool
let_it_follow(void)
{
    let_it_look();
    if (!lmi_store_replaced(store, false))
        return false;
    lmi_store_close(store);
    store = store_new();
    return store != NULL;
}

static void
moved(void)
{
    char away[160], other[160];
    struct lmi_store_value v = value_of("volatile");
    struct lmi_store_op op = op_of(LMI_STORE_PUT, 600, &v);

    snprintf(away, sizeof away, "%s/away", scratch);
    snprintf(other, sizeof other, "%s/volatile-away", scratch);
    ok(puts_text(600, "kept") &&
           strcmp(apply_at(LMI_VOLATILE, &op, 1, 0), "done") == 0 &&
           holds(600, "kept") && holds_in(LMI_VOLATILE, 600, "volatile"),
       "control: an entry in both parts");
    let_it_look();
    ok(!lmi_store_replaced(store, false),
       "a store in its place is not replaced");
    ok(rename(volatile_dir, other) == 0, "the volatile part goes");
    ok(let_it_follow(), "within a second an open store knows");
    ok(!lmi_store_replaced(store, false),
       "and looks no more in the same second");
    ok(holds_in(LMI_VOLATILE, 600, NULL) && holds(600, "kept"),
       "a new handle has forgotten that part");
    ok(rename(url + 5, away) == 0, "the folder goes");
    ok(let_it_follow(), "within a second an open store knows");
    ok(holds(600, NULL) && puts_text(601, "new") && holds(601, "new"),
       "a new handle begins anew");
    snprintf(other, sizeof other, "%s/newer", scratch);
    ok(rename(url + 5, other) == 0 && rename(away, url + 5) == 0,
       "a backup is put in its place");
    struct lmi_store *second = store_new();
    ok(let_it_follow(), "within a second an open store knows");
    ok(holds(600, "kept") && holds(601, NULL) && puts_text(600, "on"),
       "a new handle goes on with it");
    let_it_look();
    ok(!lmi_store_replaced(second, false),
       "so does one that was opened meanwhile");
    lmi_store_close(second);
    ok(holds(600, "on"), "and writes there");
}

/* A clock that was set wrong, and one that has gone on. */
static void
clocks(void)
{
    const int64_t start = 4000, day = 86400;
    struct lmi_store *kept = store;
    struct lmi_store_value v = value_of("v");
    struct lmi_store_op old = op_of(LMI_STORE_PUT, 1, &v);
    struct lmi_store_op other = op_of(LMI_STORE_PUT, 2, &v);

    folder_set("clocks");
    store = store_new();
    old.expires = start + 1;
    other.expires = start + 2 * day;
    apply_at(LMI_DURABLE, &old, 1, start);
    apply_at(LMI_DURABLE, &other, 1, start + day);
    ok(holds(1, "v"), "a clock that is a day ahead removes nothing");
    apply_at(LMI_DURABLE, &other, 1, start);
    rested = day;
    apply_at(LMI_DURABLE, &other, 1, start + day);
    ok(holds(1, NULL), "control: when a day has passed, it does");
    lmi_store_close(store);
    store = kept;
    folder_set("store");
}

int
main(void)
{
    scratch_make();
    folder_set("store");
    store = store_new();
    if (!ok(store != NULL, "a store is made where none is"))
        return done();
    volatile_part();
    durable_part();
    conformance();
    forking();
    race();
    threads();
    moved();
    growth();
    clocks();
    full_disk();
    damaged();
    lmi_store_close(store);
    lmi_store_close(NULL);
    planted();
    return done();
}
