#include "postgres/recent.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define PLACES 4096 /* a power of two; untouched ones take no memory */

struct answer {
    uint64_t round; /* of the table; an answer of an earlier one is cleared */
    int64_t asked;
    struct lmi_store_want want;
};

struct lmi_pg_recent {
    uint64_t round;
    struct answer answers[PLACES];
};

enum lmi_rc
lmi_pg_recent_new(struct lmi_pg_recent **out, struct lmi_err *err)
{
    *out = calloc(1, sizeof **out);
    if (*out == NULL)
        return lmi_no_memory(err);
    (*out)->round = 1;
    return LMI_OK;
}

void
lmi_pg_recent_free(struct lmi_pg_recent *recent)
{
    free(recent);
}

static size_t
place_of(const struct lmi_store_id *id)
{
    return ((size_t)id->key[0] << 8 | id->key[1]) + (size_t)id->kind * 7;
}

static bool
is_of(const struct answer *answer, enum lmi_store_part part,
      const struct lmi_store_id *id)
{
    return answer->want.part == part && answer->want.id.kind == id->kind &&
           memcmp(answer->want.id.key, id->key, LMI_STORE_KEY) == 0;
}

static const struct answer *
find(const struct lmi_pg_recent *recent, const struct lmi_store_want *want,
     int64_t since)
{
    const struct answer *answer =
        &recent->answers[place_of(&want->id) % PLACES];

    return answer->round == recent->round && answer->asked >= since &&
                   is_of(answer, want->part, &want->id)
               ? answer
               : NULL;
}

/* Without the bytes behind a short value. */
static void
copy(const struct lmi_store_want *from, struct lmi_store_want *to)
{
    to->part = from->part;
    to->id = from->id;
    to->found = from->found;
    to->value.len = from->value.len;
    memcpy(to->value.bytes, from->value.bytes, from->value.len);
}

bool
lmi_pg_recent_get(const struct lmi_pg_recent *recent,
                  struct lmi_store_want *wants, size_t count, int64_t since)
{
    const struct answer *found[LMI_STORE_WANTS];

    for (size_t i = 0; i < count; i++) {
        found[i] = find(recent, &wants[i], since);
        if (found[i] == NULL)
            return false;
    }
    for (size_t i = 0; i < count; i++)
        copy(&found[i]->want, &wants[i]);
    return true;
}

void
lmi_pg_recent_put(struct lmi_pg_recent *recent,
                  const struct lmi_store_want *wants, size_t count,
                  int64_t asked)
{
    for (size_t i = 0; i < count; i++) {
        struct answer *answer =
            &recent->answers[place_of(&wants[i].id) % PLACES];
        answer->round = recent->round;
        answer->asked = asked;
        copy(&wants[i], &answer->want);
    }
}

void
lmi_pg_recent_drop(struct lmi_pg_recent *recent, enum lmi_store_part part,
                   const struct lmi_store_id *id)
{
    struct answer *answer = &recent->answers[place_of(id) % PLACES];

    if (is_of(answer, part, id))
        answer->round = 0;
}

void
lmi_pg_recent_clear(struct lmi_pg_recent *recent)
{
    recent->round++;
}
