#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/buffer.h"

#define LINE_SIZE 1024

/* Control bytes could forge a line, or drive the operator's terminal. */
static void
put_clean(struct lmi_buffer *line, const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        lmi_buffer_put_char(line, c < 0x20 || c == 0x7F ? '?' : *text);
    }
}

static void
put_time(struct lmi_buffer *line)
{
    char text[40];
    time_t now = time(NULL);
    struct tm tm;

    if (localtime_r(&now, &tm) != NULL &&
        strftime(text, sizeof text, "[%Y-%m-%d %H:%M:%S %z] ", &tm) > 0)
        lmi_buffer_put_text(line, text);
}

#define LOG_FLAGS                                                              \
    (O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

/* The log, made if it is missing: as root for the store's owner. */
static int
log_open(const char *path, const char *key_file)
{
    struct stat st;
    int made, fd = open(path, LOG_FLAGS);

    if (fd >= 0 || errno != ENOENT)
        return fd;
    made = open(path, LOG_FLAGS | O_CREAT | O_EXCL, 0600);
    if (made < 0) /* another process was first */
        return open(path, LOG_FLAGS);
    if (geteuid() == 0 && stat(key_file, &st) == 0 &&
        fchown(made, st.st_uid, st.st_gid) != 0) {
        close(made);
        return -1;
    }
    return made;
}

/* One write, so that the lines of many processes don't mix. */
static void
log_to_file(const char *path, const char *key_file, const char *text)
{
    char memory[LINE_SIZE + 64];
    struct lmi_buffer line;
    struct stat st;
    int fd = log_open(path, key_file);

    if (fd < 0)
        return;
    lmi_buffer_init(&line, memory, sizeof memory);
    put_time(&line);
    lmi_buffer_put_text(&line, text);
    lmi_buffer_put_char(&line, '\n');
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        ssize_t written = write(fd, line.ptr, line.len);
        (void)written; /* An error could only be logged. */
    }
    close(fd);
}

void
lmi_log(const struct lmi_settings *settings, bool alert, const char *text)
{
    char memory[LINE_SIZE];
    struct lmi_buffer line;

    lmi_buffer_init(&line, memory, sizeof memory);
    put_clean(&line, text);
    if (strcmp(settings->log, "syslog") == 0)
        syslog(LOG_AUTHPRIV | (alert ? LOG_ERR : LOG_INFO), "logmein: %s",
               line.ptr);
    else if (strncmp(settings->log, "file:", 5) == 0)
        log_to_file(settings->log + 5, settings->key_file, line.ptr);
}
