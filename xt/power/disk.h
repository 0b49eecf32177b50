/*
 * A disk that follows a trace, and what may be on it after a power cut.
 *
 * All that a completed sync covers is there. Of what came later each write is
 * there, or not, or torn at sectors; a file's size, and each name, is the
 * old or the new one. A sector holds what the program saw at one moment.
 */
#ifndef POWER_DISK_H
#define POWER_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trace.h"

#define DISK_ROOM ((size_t)8 << 20) /* of a file; beyond are zeros */
#define DISK_NAME 64
#define DISK_FILES 8

/* A sector as it was after one of the writes that no sync covers. */
struct disk_version {
    size_t event;
    size_t sector;
    uint8_t bytes[512];
};

struct disk_file {
    uint64_t id;
    uint8_t *base, *now, *image; /* synced; as programs see it; after a cut */
    size_t base_used, now_used, image_used;
    uint64_t base_size, now_size, image_size;
    struct disk_version *late;
    size_t late_count, late_room;
};

struct disk_name {
    char name[DISK_NAME];
    char old[DISK_NAME];    /* renamed from this one, in the same step */
    struct disk_file *file; /* NULL: the name goes */
};

struct disk_names {
    struct disk_name all[2 * DISK_FILES];
    size_t count;
};

struct disk {
    struct disk_file files[DISK_FILES];
    size_t file_count;
    struct disk_names base, image;
    struct disk_names late; /* changes that no sync covers, in order */
    size_t event;
};

/* The next event happens. Notes are for others. */
void disk_event(struct disk *disk, const struct power_event *event,
                const uint8_t *bytes);

/* How many sectors and names hang in the air? */
size_t disk_unsettled(const struct disk *disk);

/* Of what hangs in the air: everything is there, or nothing, or this and that.
 */
enum disk_luck { DISK_ALL, DISK_NOTHING, DISK_SOME };

/*
 * Cuts the power: fills the images. The same seed gives the same; returns a
 * hash of what is there.
 */
uint64_t disk_cut(struct disk *disk, uint64_t seed, enum disk_luck luck);

/* Writes the images to an empty folder; true if that went well. */
bool disk_write(const struct disk *disk, const char *folder);

/* Does the folder hold the images, and no other file but lock.mdb? */
bool disk_compare(const struct disk *disk, const char *folder);

/* A number below `limit`. */
uint64_t disk_random(uint64_t *seed, uint64_t limit);

#endif
