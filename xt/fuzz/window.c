/*
 * Any file, read in pieces of any size, by a window of two lines of 64 bytes:
 * each of its lines is shown once, with its number. The first byte begins a
 * generator of the sizes of the pieces.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"

#undef LMI_LINE_MAX
#define LMI_LINE_MAX 64

static struct {
    const uint8_t *bytes;
    size_t left;
    uint32_t dice;
} file;

static ssize_t
fuzz_read(int fd, void *out, size_t size)
{
    size_t some;

    (void)fd;
    file.dice = file.dice * 1664525 + 1013904223;
    if (file.dice >> 28 == 0) {
        errno = EINTR;
        return -1;
    }
    some = 1 + (file.dice >> 16) % 96;
    some = some < size ? some : size;
    some = some < file.left ? some : file.left;
    memcpy(out, file.bytes, some);
    file.bytes += some;
    file.left -= some;
    return (ssize_t)some;
}

#define read fuzz_read
#include "base/file.c"
#undef read

/* What has not been shown yet. */
struct rest {
    const char *ptr;
    size_t len;
    uint64_t number;
};

static void
visit(void *context, struct lmi_bytes line, uint64_t number, bool whole)
{
    struct rest *rest = context;
    const char *end = memchr(rest->ptr, '\n', rest->len);
    size_t len = end == NULL ? rest->len : (size_t)(end - rest->ptr);

    if (rest->len == 0 || number != ++rest->number ||
        whole != (len <= LMI_LINE_MAX) || (whole && line.len != len) ||
        (!whole && (line.len < LMI_LINE_MAX || line.len > len)) ||
        memcmp(line.ptr, rest->ptr, line.len) != 0)
        abort();
    len += end != NULL;
    rest->ptr += len;
    rest->len -= len;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lmi_err err;
    struct rest rest;

    if (size == 0)
        return 0;
    file.dice = data[0] * UINT32_C(2654435761);
    file.bytes = data + 1;
    file.left = size - 1;
    rest = (struct rest){(const char *)data + 1, size - 1, 0};
    if (lmi_file_each_line(-1, visit, &rest, LMI_SITE, "fuzzed", &err) !=
            LMI_OK ||
        rest.len != 0)
        abort();
    return 0;
}
