/*
 * Every allocation and every system call of every public call fails once:
 * nothing crashes, nothing is granted that is not there, and the next call is
 * well again. This program's functions stand before libc's, for the core and
 * for LMDB and OpenSSL alike. With LMI_ERRORS set, system calls fail with each
 * of several errors, else with their likeliest one.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/uio.h>

#include "scratch.h"

#ifdef __SANITIZE_ADDRESS__

int
main(void)
{
    printf("1..0 # SKIP the sanitizer has an allocator of its own\n");
    return 0;
}

#else

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *ptr, size_t size);

/* The countdown to the failure; 0: none is asked for. */
static bool armed;
static unsigned countdown, failures;

/* Of all jobs together. */
static unsigned all_points, all_bad;

/* The error of system calls instead of their own; 0: none. Allocations have
 * one error only, and are left alone then. */
static int other_error;

static bool
fails_now(void)
{
    if (!armed || countdown == 0 || --countdown > 0)
        return false;
    failures++;
    return true;
}

static bool
allocation_fails(void)
{
    return other_error == 0 && fails_now();
}

/* LMDB and OpenSSL shall find these functions, too. */
#pragma GCC visibility push(default)

void *
malloc(size_t size)
{
    if (!allocation_fails())
        return __libc_malloc(size);
    errno = ENOMEM;
    return NULL;
}

void *
calloc(size_t count, size_t size)
{
    if (!allocation_fails())
        return __libc_calloc(count, size);
    errno = ENOMEM;
    return NULL;
}

void *
realloc(void *ptr, size_t size)
{
    if (!allocation_fails())
        return __libc_realloc(ptr, size);
    errno = ENOMEM;
    return NULL;
}

/* A libc function by its name, looked up once, before anything may fail. */
#define REAL(type, name) static type(*real_##name)

REAL(int, openat)(int, const char *, int, ...);
REAL(int, open64)(const char *, int, ...);
REAL(int, fstat)(int, struct stat *);
REAL(int, fstatat)(int, const char *, struct stat *, int);
REAL(ssize_t, read)(int, void *, size_t);
REAL(ssize_t, write)(int, const void *, size_t);
REAL(ssize_t, pwrite64)(int, const void *, size_t, off_t);
REAL(ssize_t, writev)(int, const struct iovec *, int);
REAL(int, fdatasync)(int);

static void
find_real(void *function, const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);

    memcpy(function, &found, sizeof found);
}

static void
find_all_real(void)
{
    find_real(&real_openat, "openat");
    find_real(&real_open64, "open64");
    find_real(&real_fstat, "fstat");
    find_real(&real_fstatat, "fstatat");
    find_real(&real_read, "read");
    find_real(&real_write, "write");
    find_real(&real_pwrite64, "pwrite64");
    find_real(&real_writev, "writev");
    find_real(&real_fdatasync, "fdatasync");
}

#define FAIL_WITH(code)                                                        \
    if (fails_now()) {                                                         \
        errno = other_error != 0 ? other_error : code;                         \
        return -1;                                                             \
    }

static mode_t
mode_of(int flags, va_list arguments)
{
    return (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
}

int
openat(int dir, const char *path, int flags, ...)
{
    va_list arguments;

    FAIL_WITH(EMFILE)
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return real_openat(dir, path, flags, mode);
}

int
open64(const char *path, int flags, ...)
{
    va_list arguments;

    FAIL_WITH(EMFILE)
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return real_open64(path, flags, mode);
}

int open(const char *path, int flags, ...) __attribute__((alias("open64")));

int
fstat(int fd, struct stat *st)
{
    FAIL_WITH(EIO)
    return real_fstat(fd, st);
}

int
fstatat(int dir, const char *path, struct stat *st, int flags)
{
    FAIL_WITH(EIO)
    return real_fstatat(dir, path, st, flags);
}

ssize_t
read(int fd, void *out, size_t len)
{
    FAIL_WITH(EIO)
    return real_read(fd, out, len);
}

ssize_t
write(int fd, const void *bytes, size_t len)
{
    FAIL_WITH(ENOSPC)
    return real_write(fd, bytes, len);
}

ssize_t
pwrite64(int fd, const void *bytes, size_t len, off_t at)
{
    FAIL_WITH(EIO)
    return real_pwrite64(fd, bytes, len, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
    __attribute__((alias("pwrite64")));

ssize_t
writev(int fd, const struct iovec *parts, int count)
{
    FAIL_WITH(ENOSPC)
    return real_writev(fd, parts, count);
}

int
fdatasync(int fd)
{
    FAIL_WITH(EIO)
    return real_fdatasync(fd);
}

#pragma GCC visibility pop

static struct lmi *core; /* follows the settings */
static struct lmi *lmi;  /* reads them once */
static struct lmi_login_answer answer;
static struct lmi_redeemed redeemed;

static void
make_site(void)
{
    struct lmi_err err;
    char hash[LMI_HASH_SIZE];

    if (lmi_hash_password(core, text_of("secret"), "$1$", 0, hash, &err) !=
        LMI_OK)
        printf("Bail out! no hash\n");
    scratch_site(hash);
}

static bool
log_in(const char *pass)
{
    const struct lmi_login ask = {.user = text_of("alice"),
                                  .pass = text_of(pass),
                                  .hostname = text_of("localhost"),
                                  .service = text_of("cpanel"),
                                  .remote_addr = text_of("192.0.2.1")};

    lmi_login(core, &ask, &answer);
    return answer.reason == LMI_REASON_OK;
}

static bool
open_sessions(void)
{
    struct lmi_err err;

    lmi_free(lmi);
    lmi = NULL;
    return lmi_new(core, &lmi, &err) == LMI_OK && lmi_pin(lmi, &err) == LMI_OK;
}

static struct lmi_access
access_of(const char *cookie)
{
    struct lmi_access access = {.token = text_of(answer.token),
                                .service = LMI_CPANEL,
                                .address = text_of("192.0.2.1"),
                                .agent = text_of("Browser")};

    if (cookie != NULL)
        access.cookie = text_of(cookie);
    return access;
}

static bool
redeem(void)
{
    struct lmi_access access = access_of(NULL);
    const char *ticket = strstr(answer.url, "session=");
    enum lmi_outcome outcome = LMI_UNKNOWN;
    struct lmi_err err;

    access.ticket = text_of(ticket != NULL ? ticket + 8 : "");
    return lmi_session_redeem(lmi, &access, &outcome, &redeemed, &err) ==
               LMI_OK &&
           outcome == LMI_GRANTED;
}

static bool
check(void)
{
    struct lmi_access access = access_of(redeemed.cookie);
    enum lmi_outcome outcome = LMI_UNKNOWN;
    struct lmi_session session;
    struct lmi_err err;

    return lmi_session_check(lmi, &access, &outcome, &session, &err) ==
               LMI_OK &&
           outcome == LMI_GRANTED;
}

static bool
end(void)
{
    struct lmi_access access = access_of(redeemed.cookie);
    enum lmi_outcome outcome = LMI_UNKNOWN;
    struct lmi_session session;
    struct lmi_err err;

    return lmi_session_end(lmi, &access, &outcome, &session, &err) == LMI_OK &&
           outcome == LMI_GRANTED;
}

static bool
log_in_rightly(void)
{
    return log_in("secret");
}

static bool
log_in_wrongly(void)
{
    return log_in("wrong");
}

/* Ends all sessions: what looks at each of them shall be done soon. */
static void
end_all(void)
{
    struct lmi_text anybody = {LMI_TEXT_ABSENT, NULL, 0};
    struct lmi_session session;
    struct lmi_err err;

    for (bool found = true; found;) {
        struct lmi_session_list list = {.service = LMI_CPANEL};
        if (lmi_session_next(lmi, &list, &found, &session, &err) != LMI_OK ||
            (found && lmi_session_end_id(lmi, text_of(session.id), anybody,
                                         &found, &session, &err) != LMI_OK))
            return;
    }
}

/* A fresh session to work on, without faults. */
static bool
prepare(void)
{
    scratch_settings(1700000000);
    bool good = open_sessions();
    if (good)
        end_all();
    good = good && log_in_rightly() && redeem();
    scratch_settings(1700000060);
    return good && open_sessions();
}

/* Only a volatile part that is gone keeps wrong guesses from waits. */
static void
forget(void)
{
    char command[160];

    snprintf(command, sizeof command, "rm -rf '%s/store/volatile'", scratch);
    if (system(command) != 0)
        printf("# %s\n", command);
}

/*
 * Runs the job with its first failure at each point in turn, until it has
 * passed without one. `job` says whether it was granted; what must hold
 * afterwards, with and without that, is `sound`.
 */
static unsigned
fail_with(int error, bool (*job)(void), bool (*sound)(bool granted))
{
    unsigned bad = 0, points = 0;

    other_error = error;

    for (unsigned point = 1; point < 5000; point++) {
        if (error != 0)
            forget(); /* or failures before this one would bring a wait */
        if (!prepare())
            bad += 1000;
        failures = 0;
        countdown = point;
        armed = true;
        bool granted = job();
        armed = false;
        if (failures == 0)
            break;
        points++;
        bad += !sound(granted);
    }
    other_error = 0;
    all_points += points;
    return points < 3 ? 1000 : bad;
}

static unsigned
fail_everywhere(bool (*job)(void), bool (*sound)(bool granted))
{
    static const int errors[] = {EIO,    ENOSPC,    EMFILE, ENOMEM, EACCES,
                                 EROFS,  EDQUOT,    EPERM,  EBUSY,  ENFILE,
                                 EFBIG,  EBADF,     ENODEV, ESTALE, ELOOP,
                                 EINVAL, ETIMEDOUT, ENXIO};
    unsigned bad = fail_with(0, job, sound);

    if (getenv("LMI_ERRORS") != NULL)
        for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
            bad += fail_with(errors[i], job, sound);
    all_bad += bad;
    return bad;
}

static bool
login_sound(bool granted)
{
    bool opens = open_sessions() && redeem();

    /* What was granted opens; what was refused has no URL. */
    return opens == granted && (granted || answer.url[0] == '\0') &&
           log_in_rightly() && open_sessions() && redeem();
}

static bool
never(bool granted)
{
    forget();
    return !granted && log_in_rightly();
}

static bool
redeem_sound(bool granted)
{
    /* Granted: it works. Else the same browser may try again. */
    return granted ? check() : (open_sessions() && redeem() && check());
}

static bool
check_sound(bool granted)
{
    (void)granted;
    return check();
}

static bool
end_sound(bool granted)
{
    return granted ? !check() : (end() || !check());
}

static bool
fresh_ticket_then_redeem(void)
{
    bool was_armed = armed;

    armed = false;
    if (!log_in_rightly())
        return false;
    armed = was_armed;
    return redeem();
}

static bool
log_in_for_cookie(void)
{
    const struct lmi_login ask = {.user = text_of("alice"),
                                  .pass = text_of("secret"),
                                  .hostname = text_of("localhost"),
                                  .service = text_of("cpanel"),
                                  .dual_use = true};

    lmi_login(core, &ask, &answer);
    return answer.reason == LMI_REASON_OK;
}

/* A cookie that was given is one; where it was not, there is none. */
static bool
cookie_sound(bool granted)
{
    if (granted)
        memcpy(redeemed.cookie, answer.cookie, sizeof redeemed.cookie);
    return granted ? open_sessions() && check() : answer.cookie[0] == '\0';
}

static char listed_id[LMI_ID_SIZE];

/* True if the whole list was read; with the first one's id. */
static bool
list_sessions(void)
{
    struct lmi_session_list list = {.user = text_of("alice")};
    struct lmi_session session;
    struct lmi_err err;
    unsigned count = 0;

    for (bool found = true; found; count += found) {
        if (lmi_session_next(lmi, &list, &found, &session, &err) != LMI_OK)
            return false;
        if (found && count == 0)
            memcpy(listed_id, session.id, sizeof listed_id);
    }
    return count > 0;
}

static bool
listed_sound(bool granted)
{
    (void)granted;
    return check() && list_sessions();
}

/* Ends the session that prepare() has made. */
static bool
revoke_session(void)
{
    struct lmi_session session;
    struct lmi_text nobody = {LMI_TEXT_ABSENT, NULL, 0};
    struct lmi_err err;
    bool found = false;

    return lmi_session_end_id(lmi, text_of(redeemed.session.id), nobody, &found,
                              &session, &err) == LMI_OK &&
           found;
}

static bool
revoked_sound(bool granted)
{
    return granted ? !check() : (revoke_session() || !check());
}

/* Discards the ticket of the session that prepare() has made. */
static bool
discard(void)
{
    const char *ticket = strstr(answer.url, "session=");
    struct lmi_err err;
    bool found = false;

    return ticket != NULL &&
           lmi_session_discard(lmi, text_of(ticket + 8), &found, &err) ==
               LMI_OK &&
           found;
}

static bool
discarded_sound(bool granted)
{
    return granted ? !check() : (discard() || !check());
}

static bool
purge(void)
{
    struct lmi_err err;
    uint64_t removed;

    return lmi_session_purge(lmi, &removed, &err) == LMI_OK;
}

static bool
serves_host(void)
{
    struct lmi_err err;
    bool serves = false;

    return lmi_serves_host(lmi, text_of("nowhere.example"), &serves, &err) ==
               LMI_OK &&
           serves;
}

static bool
never_sound(bool granted)
{
    (void)granted;
    return false;
}

int
main(void)
{
    find_all_real();
    core = lmi_make();
    scratch_make();
    make_site();
    ok(prepare() && check() && end() && !check(), "control: without faults");
    ok(fail_everywhere(log_in_rightly, login_sound) == 0,
       "a good login, failing everywhere");
    ok(fail_everywhere(log_in_wrongly, never) == 0,
       "a wrong password, failing everywhere, is never granted");
    ok(fail_everywhere(fresh_ticket_then_redeem, redeem_sound) == 0,
       "redeeming, failing everywhere");
    ok(fail_everywhere(check, check_sound) == 0,
       "a check with its touch, failing everywhere, ends nothing");
    ok(fail_everywhere(end, end_sound) == 0, "logging out, failing everywhere");
    ok(fail_everywhere(log_in_for_cookie, cookie_sound) == 0,
       "a login for a cookie, failing everywhere");
    ok(fail_everywhere(list_sessions, listed_sound) == 0,
       "a list of sessions, failing everywhere, ends nothing");
    ok(fail_everywhere(revoke_session, revoked_sound) == 0,
       "revoking a session, failing everywhere");
    ok(fail_everywhere(discard, discarded_sound) == 0,
       "discarding a ticket, failing everywhere");
    ok(fail_everywhere(purge, check_sound) == 0,
       "removing what has expired, failing everywhere, ends nothing");
    ok(fail_everywhere(serves_host, check_sound) == 0,
       "a look at the machine's names, failing everywhere");
    printf("# 27: %u points of failure, %u unsound afterwards\n", all_points,
           all_bad);
    ok(fail_everywhere(check, never_sound) > 0,
       "control: what is not sound would be seen");
    lmi_free(lmi);
    lmi_free(core);
    return done();
}

#endif
