#include "base/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"

#define WAIT_MICROSECONDS 100000

static struct lmi_trouble
trouble(enum lmi_trouble_kind kind, int os_errno)
{
    return (struct lmi_trouble){kind, os_errno};
}

enum lmi_rc
lmi_trouble_fail(struct lmi_trouble what, const char *location,
                 struct lmi_err *err)
{
    static const struct {
        const char *text, *remedy;
    } words[] = {
        [LMI_TROUBLE_NONE] = {NULL, NULL},
        [LMI_TROUBLE_OPEN] = {"the log can't be opened",
                              "let the store's owner write there"},
        [LMI_TROUBLE_KIND] = {"the log is no ordinary file with one name",
                              NULL},
        [LMI_TROUBLE_OWNER] = {"the log can't be given to the store's owner",
                               NULL},
        [LMI_TROUBLE_WRITE] = {"the log can't be written", NULL},
        [LMI_TROUBLE_READ] = {"the log does not hold what was written", NULL},
        [LMI_TROUBLE_SYSLOG] = {"syslog does not take the log's lines",
                                "start a syslog daemon or the journal, or set "
                                "log = file or log = stderr"},
        [LMI_TROUBLE_NO_STDERR] = {"it is the log, and is not open", NULL},
        [LMI_TROUBLE_STDERR] = {"the log can't be written", NULL},
    };

    if (what.kind == LMI_TROUBLE_NONE)
        return LMI_OK;
    return lmi_fail(err, LMI_LOG, what.os_errno, location,
                    words[what.kind].text, words[what.kind].remedy);
}

/* Who the file is made for: the owner of the key, or of the folder that it will
 * lie in, or of the store's. */
static bool
find_owner(const struct lmi_settings *settings, struct stat *st)
{
    char folder[PATH_MAX];

    if (stat(settings->key_file, st) == 0)
        return true;
    if (!lmi_settings_shared(settings))
        return stat(settings->store + strlen("lmdb:"), st) == 0;
    lmi_file_folder(settings->key_file, folder);
    return stat(folder, st) == 0;
}

#define FILE_FLAGS                                                             \
    (O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

static int
file_make(const struct lmi_settings *settings, const char *path,
          struct lmi_trouble *out)
{
    struct stat st;
    int fd = open(path, FILE_FLAGS | O_CREAT | O_EXCL, 0600);

    if (fd < 0 && errno == EEXIST) /* another process was first */
        fd = open(path, FILE_FLAGS);
    else if (fd >= 0 && geteuid() == 0 && find_owner(settings, &st) &&
             fchown(fd, st.st_uid, st.st_gid) != 0) {
        *out = trouble(LMI_TROUBLE_OWNER, errno);
        close(fd);
        return -1;
    }
    if (fd < 0)
        *out = trouble(LMI_TROUBLE_OPEN, errno);
    return fd;
}

/* -1 with a trouble. */
static int
file_open(const struct lmi_settings *settings, const char *path,
          struct lmi_trouble *out)
{
    struct stat st;
    int fd = open(path, FILE_FLAGS);

    *out = trouble(LMI_TROUBLE_NONE, 0);
    if (fd < 0 && errno == ENOENT)
        fd = file_make(settings, path, out);
    else if (fd < 0)
        *out = trouble(LMI_TROUBLE_OPEN, errno);
    if (fd < 0 ||
        (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1))
        return fd;
    *out = trouble(LMI_TROUBLE_KIND, 0);
    close(fd);
    return -1;
}

/* Does the line stand there, before this end? What may not be read is
 * believed. */
static bool
file_holds(const char *path, const char *line, size_t len, off_t end)
{
    char there[LMI_SINK_LINE];
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    bool good;

    if (fd < 0)
        return errno == EACCES;
    good = len <= sizeof there &&
           pread(fd, there, len, end - (off_t)len) == (ssize_t)len &&
           memcmp(there, line, len) == 0;
    close(fd);
    return good;
}

/* One write, so that the lines of many processes don't mix. */
struct lmi_trouble
lmi_sink_file(const struct lmi_settings *settings, const char *path,
              const char *line, size_t len, bool prove, bool *torn)
{
    struct iovec parts[2] = {{(char[]){'\n'}, *torn ? 1 : 0},
                             {(void *)(uintptr_t)line, len}};
    ssize_t whole = (ssize_t)(parts[0].iov_len + len), written;
    struct lmi_trouble out;
    int fd = file_open(settings, path, &out);
    off_t end;

    if (fd < 0)
        return out;
    written = writev(fd, parts, 2);
    out = trouble(LMI_TROUBLE_WRITE, written < 0 ? errno : ENOSPC);
    end = lseek(fd, 0, SEEK_CUR);
    if (written >= 0)
        *torn = written < whole && (*torn || written > 0);
    /* A disk on the network may be full only now. */
    if (close(fd) != 0 && written == whole)
        return trouble(LMI_TROUBLE_WRITE, errno);
    if (written != whole)
        return out;
    if (prove && !file_holds(path, line, len, end))
        return trouble(LMI_TROUBLE_READ, 0);
    return trouble(LMI_TROUBLE_NONE, 0);
}

struct lmi_trouble
lmi_sink_file_look(const struct lmi_settings *settings, const char *path)
{
    struct lmi_trouble out;
    int fd = file_open(settings, path, &out);

    if (fd >= 0)
        close(fd);
    return out;
}

/* "<86>Nov 24 12:00:00 logmein[123]: ", as syslog(3) writes it. */
static int
syslog_head(bool alert, char *out, size_t size)
{
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr",
                                         "May", "Jun", "Jul", "Aug",
                                         "Sep", "Oct", "Nov", "Dec"};
    time_t now = time(NULL);
    struct tm tm = {0};

    localtime_r(&now, &tm);
    return snprintf(out, size, "<%d>%s %2d %02d:%02d:%02d logmein[%ld]: ",
                    LOG_AUTHPRIV | (alert ? LOG_ERR : LOG_INFO),
                    months[tm.tm_mon], tm.tm_mday, tm.tm_hour, tm.tm_min,
                    tm.tm_sec, (long)getpid());
}

/* A socket that sends to the daemon; -1 with errno. */
static int
syslog_open(void)
{
    static const struct sockaddr_un daemon = {.sun_family = AF_UNIX,
                                              .sun_path = "/dev/log"};
    const struct timeval most = {.tv_usec = WAIT_MICROSECONDS};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), os_errno;

    if (fd < 0 ||
        (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most) == 0 &&
         connect(fd, (const struct sockaddr *)&daemon, sizeof daemon) == 0))
        return fd;
    os_errno = errno;
    close(fd);
    errno = os_errno;
    return -1;
}

struct lmi_trouble
lmi_sink_syslog(bool alert, const char *text, size_t len, bool wait)
{
    char head[80];
    struct iovec parts[2] = {
        {head, (size_t)syslog_head(alert, head, sizeof head)},
        {(void *)(uintptr_t)text, len}};
    const struct msghdr line = {.msg_iov = parts, .msg_iovlen = 2};
    int flags = MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT), fd = syslog_open();
    ssize_t sent;
    struct lmi_trouble out;

    if (fd < 0)
        return trouble(LMI_TROUBLE_SYSLOG, errno);
    sent = sendmsg(fd, &line, flags);
    if (sent < 0 && errno == EINTR)
        sent = sendmsg(fd, &line, flags | MSG_DONTWAIT);
    out = sent < 0 ? trouble(LMI_TROUBLE_SYSLOG, errno)
                   : trouble(LMI_TROUBLE_NONE, 0);
    close(fd);
    return out;
}

struct lmi_trouble
lmi_sink_syslog_look(void)
{
    int fd = syslog_open();

    if (fd < 0)
        return trouble(LMI_TROUBLE_SYSLOG, errno);
    close(fd);
    return trouble(LMI_TROUBLE_NONE, 0);
}

/* Can descriptor 2 be a standard error? See the header. */
static bool
is_stderr(struct stat *st)
{
    struct sockaddr_storage name = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof name;
    int flags = fcntl(STDERR_FILENO, F_GETFL);

    if (flags < 0 || fstat(STDERR_FILENO, st) != 0)
        return false;
    if (S_ISSOCK(st->st_mode))
        return getsockname(STDERR_FILENO, (struct sockaddr *)&name, &len) ==
                   0 &&
               name.ss_family == AF_UNIX;
    if (S_ISREG(st->st_mode))
        return (flags & O_ACCMODE) == O_WRONLY;
    return (S_ISFIFO(st->st_mode) || S_ISCHR(st->st_mode)) &&
           (flags & O_ACCMODE) != O_RDONLY;
}

/* It says so itself: see JOURNAL_STREAM in systemd.exec(5). */
bool
lmi_sink_is_journal(void)
{
    const char *stream = secure_getenv("JOURNAL_STREAM");
    char own[48];
    struct stat st;

    if (stream == NULL || !is_stderr(&st))
        return false;
    snprintf(own, sizeof own, "%ju:%ju", (uintmax_t)st.st_dev,
             (uintmax_t)st.st_ino);
    return strcmp(stream, own) == 0;
}

/* As write(), but SIGPIPE is not for the program that logs. */
static ssize_t
write_quietly(const char *line, size_t len)
{
    const struct timespec now = {0, 0};
    sigset_t pipe, before, pending;
    ssize_t written;
    int os_errno;

    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    written = write(STDERR_FILENO, line, len);
    os_errno = errno;
    if (sigismember(&pending, SIGPIPE) == 0)
        while (sigtimedwait(&pipe, NULL, &now) < 0 && errno == EINTR)
            continue;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = os_errno;
    return written;
}

/* Is there a reader, and room for a line? */
static struct lmi_trouble
stderr_look(struct stat *st)
{
    struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};

    if (!is_stderr(st))
        return trouble(LMI_TROUBLE_NO_STDERR, 0);
    if (poll(&room, 1, 0) != 1)
        return trouble(LMI_TROUBLE_STDERR, EAGAIN);
    if ((room.revents & (POLLERR | POLLHUP)) != 0)
        return trouble(LMI_TROUBLE_STDERR, EPIPE);
    return trouble(LMI_TROUBLE_NONE, 0);
}

struct lmi_trouble
lmi_sink_stderr_look(void)
{
    struct stat st;

    return stderr_look(&st);
}

/*
 * A pipe is asked for room first, instead of making it non-blocking, which
 * would do so for everybody who has it. Only if other processes fill it in
 * between does the line wait for its reader.
 */
struct lmi_trouble
lmi_sink_stderr(const char *line, size_t len)
{
    struct stat st;
    struct lmi_trouble out = stderr_look(&st);
    ssize_t written;

    if (out.kind != LMI_TROUBLE_NONE)
        return out;
    if (S_ISSOCK(st.st_mode))
        written = send(STDERR_FILENO, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    else
        written = write_quietly(line, len);
    if (written != (ssize_t)len)
        return trouble(LMI_TROUBLE_STDERR, written < 0 ? errno : EAGAIN);
    return out;
}
