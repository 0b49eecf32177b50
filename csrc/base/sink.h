/*
 * Where lines of the log go. Nothing here waits for longer than 0.1 s.
 *
 * Syslog gets a datagram at /dev/log, facility authpriv, tag "logmein[PID]".
 * syslog(3) would take the tag from the process's openlog(3), or from the name
 * that the process has given itself, and waits for a full socket for ever.
 *
 * A file is opened for each line, so that rotation needs no signal. It must be
 * an ordinary file with one name.
 *
 * Standard error is descriptor 2, if it can be one: a program that has closed
 * its own may have a file of data there, or the connection to a client.
 */
#ifndef LMI_SINK_H
#define LMI_SINK_H

#include "base/settings.h"

#define LMI_SINK_LINE 2048 /* bytes of a line, at most */

/* What is wrong, and the system's error: 0 if there is none. */
enum lmi_trouble_kind {
    LMI_TROUBLE_NONE,
    LMI_TROUBLE_OPEN,
    LMI_TROUBLE_KIND,
    LMI_TROUBLE_OWNER,
    LMI_TROUBLE_WRITE,
    LMI_TROUBLE_READ,
    LMI_TROUBLE_SYSLOG,
    LMI_TROUBLE_NO_STDERR,
    LMI_TROUBLE_STDERR
};
struct lmi_trouble {
    enum lmi_trouble_kind kind;
    int os_errno;
};

/* Fills in the error of a trouble at this place, LMI_LOG. */
enum lmi_rc lmi_trouble_fail(struct lmi_trouble trouble, const char *location,
                             struct lmi_err *err);

/*
 * The line ends with a newline. A file that is missing is made; as root, for
 * the owner of the store. torn says that the file ends with a part of a line,
 * as a full disk leaves it: that is ended first. prove: the line is read back.
 */
struct lmi_trouble lmi_sink_file(const struct lmi_settings *settings,
                                 const char *path, const char *line, size_t len,
                                 bool prove, bool *torn);

/* text is without a newline; wait: allow 0.1 s for room in the socket. */
struct lmi_trouble lmi_sink_syslog(bool alert, const char *text, size_t len,
                                   bool wait);

/* The line ends with a newline. */
struct lmi_trouble lmi_sink_stderr(const char *line, size_t len);

/* Is standard error read by the systemd journal? */
bool lmi_sink_is_journal(void);

/* Could a line be written, as far as can be seen without one? */
struct lmi_trouble lmi_sink_file_look(const struct lmi_settings *settings,
                                      const char *path);
struct lmi_trouble lmi_sink_syslog_look(void);
struct lmi_trouble lmi_sink_stderr_look(void);

#endif
