#include "sessions/deferred.h"

#include <errno.h>
#include <pthread.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#include "base/error.h"

#define NOTES_MAX 65536

/* A note, in the tree by its id, and in the queue of those to be written. */
struct node {
    struct lmi_store_id id; /* first: the tree compares it */
    uint64_t changes;
    struct lmi_due note;
    STAILQ_ENTRY(node) next;
};

struct lmi_deferred {
    pthread_mutex_t mutex;
    pthread_cond_t noted;
    unsigned owners;
    size_t count;
    uint64_t removals;
    void *tree;
    STAILQ_HEAD(, node) queue;
    struct lmi_store_id taken; /* by the writer, */
    uint64_t taken_changes;    /* and as it was then */
};

bool
lmi_misses_full(const struct lmi_misses *misses)
{
    return misses->count >= LMI_MISSES_MAX;
}

bool
lmi_misses_add(struct lmi_misses *misses, const char digits[LMI_TOKEN_DIGITS])
{
    for (size_t i = 0; i < misses->count; i++)
        if (memcmp(misses->digits[i], digits, LMI_TOKEN_DIGITS) == 0)
            return false;
    if (lmi_misses_full(misses))
        return false;
    memcpy(misses->digits[misses->count++], digits, LMI_TOKEN_DIGITS);
    return true;
}

static int
compare(const void *a, const void *b)
{
    const struct lmi_store_id *one = a, *other = b;

    return memcmp(one->key, other->key, sizeof one->key);
}

static struct node *
find(struct lmi_deferred *deferred, const struct lmi_store_id *id)
{
    struct node **found = tfind(id, &deferred->tree, compare);

    return found != NULL ? *found : NULL;
}

enum lmi_rc
lmi_deferred_new(struct lmi_deferred **out, struct lmi_err *err)
{
    struct lmi_deferred *deferred = calloc(1, sizeof *deferred);
    pthread_condattr_t attributes;

    *out = NULL;
    if (deferred == NULL)
        return lmi_no_memory(err);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&deferred->noted, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&deferred->mutex, NULL);
    STAILQ_INIT(&deferred->queue);
    deferred->owners = 1;
    *out = deferred;
    return LMI_OK;
}

struct lmi_deferred *
lmi_deferred_share(struct lmi_deferred *deferred)
{
    if (deferred != NULL)
        deferred->owners++;
    return deferred;
}

void
lmi_deferred_free(struct lmi_deferred *deferred)
{
    if (deferred == NULL || --deferred->owners > 0)
        return;
    while (!STAILQ_EMPTY(&deferred->queue)) {
        struct node *node = STAILQ_FIRST(&deferred->queue);
        STAILQ_REMOVE_HEAD(&deferred->queue, next);
        tdelete(node, &deferred->tree, compare);
        free(node);
    }
    pthread_cond_destroy(&deferred->noted);
    pthread_mutex_destroy(&deferred->mutex);
    free(deferred);
}

uint64_t
lmi_deferred_removals(const struct lmi_deferred *deferred)
{
    return __atomic_load_n(&deferred->removals, __ATOMIC_ACQUIRE);
}

void
lmi_deferred_get(struct lmi_deferred *deferred, const struct lmi_store_id *id,
                 struct lmi_due *out)
{
    *out = (struct lmi_due){.seen = 0};
    pthread_mutex_lock(&deferred->mutex);
    const struct node *node = find(deferred, id);
    if (node != NULL)
        *out = node->note;
    pthread_mutex_unlock(&deferred->mutex);
}

/* Puts a new note in its place; NULL: no memory. */
static struct node *
add(struct lmi_deferred *deferred, const struct lmi_entry *entry)
{
    struct node *node = calloc(1, sizeof *node);

    if (node == NULL)
        return NULL;
    node->id = entry->id;
    node->note.entry = *entry;
    if (tsearch(node, &deferred->tree, compare) == NULL) {
        free(node);
        return NULL;
    }
    STAILQ_INSERT_TAIL(&deferred->queue, node, next);
    deferred->count++;
    return node;
}

static enum lmi_rc
change_locked(struct lmi_deferred *deferred, const struct lmi_entry *entry,
              lmi_due_change *change, void *context, struct lmi_err *err)
{
    struct node *node = find(deferred, &entry->id);
    struct lmi_due note = {.entry = *entry};

    if (node != NULL)
        note = node->note;
    if (!change(context, deferred->removals, &note))
        return LMI_OK;
    if (node == NULL && deferred->count >= NOTES_MAX)
        return lmi_fail(err, LMI_STORE, 0, "", "too many writes are waiting",
                        "see why the store can't be written");
    if (node == NULL)
        node = add(deferred, entry);
    if (node == NULL)
        return lmi_no_memory(err);
    node->note = note;
    node->changes++;
    pthread_cond_signal(&deferred->noted);
    return LMI_OK;
}

enum lmi_rc
lmi_deferred_change(struct lmi_deferred *deferred,
                    const struct lmi_entry *entry, lmi_due_change *change,
                    void *context, struct lmi_err *err)
{
    pthread_mutex_lock(&deferred->mutex);
    enum lmi_rc rc = change_locked(deferred, entry, change, context, err);
    pthread_mutex_unlock(&deferred->mutex);
    return rc;
}

bool
lmi_deferred_take(struct lmi_deferred *deferred, unsigned milliseconds,
                  struct lmi_due *out)
{
    struct timespec until;
    int code = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += milliseconds / 1000;
    until.tv_nsec += (long)(milliseconds % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&deferred->mutex);
    while (code == 0 && STAILQ_EMPTY(&deferred->queue))
        code =
            pthread_cond_timedwait(&deferred->noted, &deferred->mutex, &until);
    const struct node *node = STAILQ_FIRST(&deferred->queue);
    if (node != NULL) {
        *out = node->note;
        deferred->taken = node->id;
        deferred->taken_changes = node->changes;
    }
    pthread_mutex_unlock(&deferred->mutex);
    return node != NULL;
}

/* The note that was taken, at the end of the queue; only the writer removes. */
static struct node *
put_last(struct lmi_deferred *deferred)
{
    struct node *node = find(deferred, &deferred->taken);

    STAILQ_REMOVE(&deferred->queue, node, node, next);
    STAILQ_INSERT_TAIL(&deferred->queue, node, next);
    return node;
}

void
lmi_deferred_failed(struct lmi_deferred *deferred)
{
    pthread_mutex_lock(&deferred->mutex);
    put_last(deferred);
    pthread_mutex_unlock(&deferred->mutex);
}

void
lmi_deferred_written(struct lmi_deferred *deferred)
{
    pthread_mutex_lock(&deferred->mutex);
    struct node *node = put_last(deferred);
    if (node->changes == deferred->taken_changes) {
        STAILQ_REMOVE(&deferred->queue, node, node, next);
        tdelete(node, &deferred->tree, compare);
        free(node);
        deferred->count--;
        __atomic_add_fetch(&deferred->removals, 1, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&deferred->mutex);
}
