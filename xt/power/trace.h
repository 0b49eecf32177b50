/*
 * What record.c writes down and replay.c reads: one event after the other,
 * each a head and `size` bytes. An event stands there once its call has
 * returned.
 */
#ifndef POWER_TRACE_H
#define POWER_TRACE_H

#include <stdint.h>

enum power_kind {
    POWER_NOTE = 1, /* bytes: a line of the program's own */
    POWER_NAME,   /* bytes: a name that the file has got; "NEW/OLD": renamed */
    POWER_UNNAME, /* bytes: a name that is gone */
    POWER_WRITE,  /* bytes: what was written at offset */
    POWER_SIZE,   /* offset: the file's new size */
    POWER_SYNC,   /* `length` bytes from offset are on the disk */
    POWER_SYNC_NAMES,
};

#define POWER_ALL UINT64_MAX /* of SYNC: the whole file */

struct power_event {
    uint32_t kind;
    uint32_t size;
    uint64_t file; /* its inode's number */
    uint64_t offset, length;
};

#endif
