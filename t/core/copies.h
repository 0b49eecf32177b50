/*
 * How many copies of a password does the memory of this process hold? The
 * pattern to look for is kept inverted, so that it can't find itself.
 */
#ifndef COPIES_H
#define COPIES_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define PASS_LEN 24

static unsigned char inverted[PASS_LEN];

static bool
matches(const unsigned char *ptr)
{
    /* From the end, since the first bytes of freed memory are overwritten. */
    for (size_t i = PASS_LEN; i-- > PASS_LEN / 2;)
        if (ptr[i] != (unsigned char)~inverted[i])
            return false;
    return true;
}

/* How many copies of the password's second half does the range hold? */
static __attribute__((no_sanitize("address"))) size_t
copies_in(const unsigned char *from, const unsigned char *to)
{
    size_t count = 0;

    for (; from + PASS_LEN <= to; from++)
        count += matches(from);
    return count;
}

/* In all memory of the process that can be written: heap, stack, data. */
static size_t
copies(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512], rights[8];
    void *from, *to;
    size_t count = 0;

    while (maps != NULL && fgets(line, sizeof line, maps) != NULL)
        if (sscanf(line, "%p-%p %7s", &from, &to, rights) == 3 &&
            strncmp(rights, "rw-p", 4) == 0 && strstr(line, "vvar") == NULL)
            count += copies_in(from, to);
    if (maps != NULL)
        fclose(maps);
    return count;
}

static void
give_password(char out[PASS_LEN + 1])
{
    for (size_t i = 0; i < PASS_LEN; i++)
        out[i] = (char)(unsigned char)~inverted[i];
    out[PASS_LEN] = '\0';
}

static void
choose_password(void)
{
    for (size_t i = 0; i < PASS_LEN; i++)
        inverted[i] = (unsigned char)~(unsigned)('a' + i * 7 % 26);
}

#endif
