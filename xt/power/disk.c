#include "disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512

static void
need(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "%s\n", what);
    exit(2);
}

/* splitmix64 */
uint64_t
disk_random(uint64_t *seed, uint64_t limit)
{
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (z ^ z >> 31) % limit;
}

static struct disk_file *
file_of(struct disk *disk, uint64_t id)
{
    struct disk_file *file = disk->files;

    for (; file < disk->files + disk->file_count; file++)
        if (file->id == id)
            return file;
    need(disk->file_count < DISK_FILES, "too many files");
    disk->file_count++;
    *file = (struct disk_file){.id = id};
    file->base = calloc(3, DISK_ROOM);
    need(file->base != NULL, "no memory");
    file->now = file->base + DISK_ROOM;
    file->image = file->now + DISK_ROOM;
    return file;
}

static void
write_bytes(struct disk_file *file, const struct power_event *event,
            const uint8_t *bytes, size_t number)
{
    size_t first = event->offset / SECTOR, end = event->offset + event->size;
    size_t last = (end - 1) / SECTOR;

    need((last + 1) * SECTOR <= DISK_ROOM, "too large a file");
    memcpy(file->now + event->offset, bytes, event->size);
    if (file->now_size < end)
        file->now_size = end;
    if (file->now_used < end)
        file->now_used = end;
    while (file->late_count + last + 1 - first > file->late_room) {
        file->late_room = 2 * file->late_room + 64;
        file->late =
            realloc(file->late, file->late_room * sizeof file->late[0]);
        need(file->late != NULL, "no memory");
    }
    for (size_t i = first; i <= last; i++) {
        struct disk_version *version = &file->late[file->late_count++];
        version->event = number;
        version->sector = i;
        memcpy(version->bytes, file->now + i * SECTOR, SECTOR);
    }
}

static void
put_version(uint8_t *bytes, size_t *used, uint64_t size,
            const struct disk_version *version)
{
    size_t end = (version->sector + 1) * SECTOR;

    memcpy(bytes + version->sector * SECTOR, version->bytes, SECTOR);
    if (end > size)
        end = size;
    if (*used < end)
        *used = end;
}

/* Versions inside the range are on the disk, the others stay in the air. */
static void
sync_bytes(struct disk_file *file, uint64_t offset, uint64_t length)
{
    uint64_t end = length == POWER_ALL ? POWER_ALL : offset + length;
    size_t kept = 0;

    file->base_size = file->now_size;
    for (size_t i = 0; i < file->late_count; i++) {
        const struct disk_version *version = &file->late[i];
        uint64_t at = version->sector * SECTOR;
        if (at < end && at + SECTOR > offset)
            put_version(file->base, &file->base_used, file->base_size, version);
        else
            file->late[kept++] = *version;
    }
    file->late_count = kept;
}

static void
apply_name(struct disk_names *names, const struct disk_name *change)
{
    size_t kept = 0;

    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->all[i].name, change->name) != 0 &&
            strcmp(names->all[i].name, change->old) != 0)
            names->all[kept++] = names->all[i];
    names->count = kept;
    need(kept < sizeof names->all / sizeof names->all[0], "too many names");
    if (change->file != NULL)
        names->all[names->count++] = *change;
}

static void
change_name(struct disk *disk, const struct power_event *event,
            const uint8_t *bytes)
{
    struct disk_name change = {.file = NULL};
    char *slash;

    need(event->size < DISK_NAME, "too long a name");
    memcpy(change.name, bytes, event->size);
    slash = strchr(change.name, '/');
    if (slash != NULL) {
        strcpy(change.old, slash + 1);
        *slash = '\0';
    }
    if (event->kind == POWER_NAME)
        change.file = file_of(disk, event->file);
    need(disk->late.count < sizeof disk->late.all / sizeof disk->late.all[0],
         "too many names");
    disk->late.all[disk->late.count++] = change;
}

void
disk_event(struct disk *disk, const struct power_event *event,
           const uint8_t *bytes)
{
    size_t number = disk->event++;

    switch (event->kind) {
    case POWER_NOTE:
        break;
    case POWER_NAME:
    case POWER_UNNAME:
        change_name(disk, event, bytes);
        break;
    case POWER_WRITE:
        write_bytes(file_of(disk, event->file), event, bytes, number);
        break;
    case POWER_SIZE:
        file_of(disk, event->file)->now_size = event->offset;
        break;
    case POWER_SYNC:
        sync_bytes(file_of(disk, event->file), event->offset, event->length);
        break;
    case POWER_SYNC_NAMES:
        for (size_t i = 0; i < disk->late.count; i++)
            apply_name(&disk->base, &disk->late.all[i]);
        disk->late.count = 0;
        break;
    default:
        need(false, "an unknown event");
    }
}

size_t
disk_unsettled(const struct disk *disk)
{
    size_t count = disk->late.count;

    for (size_t i = 0; i < disk->file_count; i++)
        count += disk->files[i].late_count +
                 (disk->files[i].now_size != disk->files[i].base_size);
    return count;
}

/* A cut's way to decide, and the hash of what has come of it. */
struct dice {
    uint64_t seed, hash, kept; /* how many of ten writes are there */
    enum disk_luck luck;
};

static uint64_t
decide(struct dice *dice, uint64_t limit)
{
    return disk_random(&dice->seed, limit);
}

static void
notice(struct dice *dice, uint64_t outcome)
{
    dice->hash = (dice->hash ^ outcome) * UINT64_C(0x100000001b3);
}

static bool
happens(struct dice *dice)
{
    return decide(dice, 10) < dice->kept;
}

enum fate { DROPPED, KEPT, TORN_AT_RANDOM, TORN_HEAD, TORN_TAIL };

static enum fate
fate_of(struct dice *dice)
{
    if (dice->luck == DISK_SOME && decide(dice, 3) == 0)
        return TORN_AT_RANDOM + (enum fate)decide(dice, 3);
    return happens(dice) ? KEPT : DROPPED;
}

static bool
sector_there(struct dice *dice, enum fate fate, size_t at, size_t edge)
{
    switch (fate) {
    case DROPPED:
        return false;
    case KEPT:
        return true;
    case TORN_AT_RANDOM:
        return decide(dice, 2) == 0;
    case TORN_HEAD:
        return at >= edge;
    case TORN_TAIL:
        return at < edge;
    }
    return false;
}

/* The size may have been noted before the bytes were there, or after. */
static uint64_t
size_of(struct dice *dice, uint64_t least, uint64_t most)
{
    if (least >= most || dice->luck == DISK_ALL)
        return most;
    switch (dice->luck == DISK_NOTHING ? 0 : decide(dice, 3)) {
    case 0:
        return least;
    case 1:
        return most;
    default:
        return least + decide(dice, most - least + 1);
    }
}

static void
cut_file(struct disk_file *file, struct dice *dice)
{
    uint64_t least = file->base_size;

    if (file->image_used > file->base_used)
        memset(file->image + file->base_used, 0,
               file->image_used - file->base_used);
    memcpy(file->image, file->base, file->base_used);
    file->image_used = file->base_used;
    for (size_t i = 0; i < file->late_count;) {
        size_t end = i, edge;
        while (end < file->late_count &&
               file->late[end].event == file->late[i].event)
            end++;
        enum fate fate = fate_of(dice);
        edge = i + (fate >= TORN_HEAD ? decide(dice, end - i + 1) : 0);
        for (; i < end; i++)
            if (sector_there(dice, fate, i, edge)) {
                put_version(file->image, &file->image_used, file->now_size,
                            &file->late[i]);
                notice(dice, i);
            }
    }
    if (least < file->image_used)
        least = file->image_used;
    file->image_size = size_of(dice, least, file->now_size);
    notice(dice, file->image_size);
}

uint64_t
disk_cut(struct disk *disk, uint64_t seed, enum disk_luck luck)
{
    struct dice dice = {.seed = seed, .luck = luck};

    dice.kept = luck == DISK_ALL       ? 10
                : luck == DISK_NOTHING ? 0
                                       : 1 + decide(&dice, 9);
    disk->image = disk->base;
    for (size_t i = 0; i < disk->late.count; i++)
        if (happens(&dice)) {
            apply_name(&disk->image, &disk->late.all[i]);
            notice(&dice, i);
        }
    for (size_t i = 0; i < disk->file_count; i++)
        cut_file(&disk->files[i], &dice);
    return dice.hash;
}

/* The name under which the image was written already, if any. */
static const char *
other_name(const struct disk_names *names, size_t number)
{
    for (size_t i = 0; i < number; i++)
        if (names->all[i].file == names->all[number].file)
            return names->all[i].name;
    return NULL;
}

static bool
write_file(int dir, const char *name, const struct disk_file *file)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool good =
        fd >= 0 &&
        write(fd, file->image, file->image_used) == (ssize_t)file->image_used &&
        ftruncate(fd, (off_t)file->image_size) == 0;

    if (fd >= 0)
        close(fd);
    return good;
}

bool
disk_write(const struct disk *disk, const char *folder)
{
    const struct disk_names *names = &disk->image;
    int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = dir >= 0;

    for (size_t i = 0; good && i < names->count; i++) {
        const char *other = other_name(names, i);
        if (other != NULL)
            good = linkat(dir, other, dir, names->all[i].name, 0) == 0;
        else
            good = write_file(dir, names->all[i].name, names->all[i].file);
    }
    if (dir >= 0)
        close(dir);
    return good;
}

static bool
file_equal(int dir, const char *name, const struct disk_file *file)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    uint8_t *bytes = malloc(DISK_ROOM);
    struct stat st;
    bool equal = fd >= 0 && bytes != NULL && fstat(fd, &st) == 0 &&
                 (uint64_t)st.st_size == file->image_size;
    ssize_t len = equal ? read(fd, bytes, DISK_ROOM) : -1;

    /* Beyond what was written both are zeros. */
    equal = len >= (ssize_t)file->image_used &&
            memcmp(bytes, file->image, (size_t)len) == 0;
    free(bytes);
    if (fd >= 0)
        close(fd);
    return equal;
}

bool
disk_compare(const struct disk *disk, const char *folder)
{
    int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = opendir(folder);
    const struct dirent *entry;
    size_t there = 0;
    bool equal = dir >= 0 && entries != NULL;

    for (size_t i = 0; equal && i < disk->image.count; i++)
        equal =
            file_equal(dir, disk->image.all[i].name, disk->image.all[i].file);
    while (equal && (entry = readdir(entries)) != NULL)
        there += entry->d_name[0] != '.' &&
                 strcmp(entry->d_name, "lock.mdb") != 0 &&
                 strcmp(entry->d_name, "write.lock") != 0;
    if (entries != NULL)
        closedir(entries);
    if (dir >= 0)
        close(dir);
    return equal && there == disk->image.count;
}
