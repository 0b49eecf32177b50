/* The lines of a file, and those that are too long. */
#include "base/file.h"
#include "scratch.h"

/* What was shown: how many lines, and which of them whole, a bit each. */
struct shown {
    uint64_t count;
    unsigned whole;
    bool in_order;
};

static void
visit(void *context, struct lmi_bytes line, uint64_t number, bool whole)
{
    struct shown *shown = context;

    (void)line;
    shown->in_order = shown->in_order && number == ++shown->count;
    shown->whole |= (unsigned)whole << number;
}

static bool
is_shown(int fd, unsigned count, unsigned whole)
{
    struct shown shown = {.in_order = true};
    struct lmi_err err;

    return lmi_file_each_line(fd, visit, &shown, LMI_SITE, "x", &err) ==
               LMI_OK &&
           shown.in_order && shown.count == count && shown.whole == whole;
}

/* A short line, one of so many bytes, and perhaps another one, not ended. */
static void
around(size_t len, bool another)
{
    static char text[4 * LMI_LINE_MAX];
    const char *last = another ? "\nlast" : "";
    unsigned whole = len <= LMI_LINE_MAX ? 1 << 1 | 1 << 2 : 1 << 1;
    int fd = open(scratch_path("lines"), O_RDWR | O_CREAT | O_TRUNC, 0600);

    memset(text, 'x', len);
    ok(write(fd, "first\n", 6) == 6 && write(fd, text, len) == (ssize_t)len &&
           write(fd, last, strlen(last)) == (ssize_t)strlen(last) &&
           lseek(fd, 0, SEEK_SET) == 0 &&
           is_shown(fd, another ? 3 : 2, another ? whole | 1 << 3 : whole),
       "a line of %zu bytes, %s", len,
       another ? "and another" : "the last one");
    close(fd);
}

int
main(void)
{
    static const size_t lengths[] = {1,
                                     LMI_LINE_MAX - 1,
                                     LMI_LINE_MAX,
                                     LMI_LINE_MAX + 1,
                                     2 * LMI_LINE_MAX - 6,
                                     2 * LMI_LINE_MAX,
                                     3 * LMI_LINE_MAX + 1};

    scratch_make();
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        around(lengths[i], true);
        around(lengths[i], false);
    }
    return done();
}
