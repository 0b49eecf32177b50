/*
 * Any bytes as the row of a name's failures, at any time: what is read, what
 * time does to it, and how long it makes others wait.
 */
#include <stdlib.h>

#include "sessions/attempts.c"

static uint64_t
take_number(const uint8_t **data, size_t *size, size_t bytes)
{
    uint64_t number = 0;

    for (; bytes > 0 && *size > 0; bytes--, (*data)++, (*size)--)
        number = number << 8 | **data;
    return number;
}

/* A row that is read and written is what it was; any other bytes are none. */
static void
check_read(const struct lmi_store_value *value, const struct row *row)
{
    struct lmi_store_value written;
    bool is_row = value->len >= 13 && value->bytes[12] <= OPEN_MAX &&
                  value->len == 13 + 8 * (size_t)value->bytes[12];

    row_write(row, &written);
    if (is_row ? written.len != value->len ||
                     memcmp(written.bytes, value->bytes, value->len) != 0
               : row->failures != 0 || row->last != 0 || row->open != 0)
        abort();
}

/* Reservations of more than a minute ago have failed, and those to come. */
static bool
is_over(int64_t start, int64_t now)
{
    return start < now ? (uint64_t)now - (uint64_t)start >= OPEN_SECONDS
                       : (uint64_t)start - (uint64_t)now > OPEN_SECONDS;
}

static void
check_settle(struct row *row, int64_t now)
{
    struct row before = *row;
    uint64_t failures = row->failures;
    size_t over = 0;

    for (size_t i = 0; i < row->open; i++)
        over += is_over(row->starts[i], now);
    row_settle(row, now);
    failures = failures + over < UINT32_MAX ? failures + over : UINT32_MAX;
    if (row->open != before.open - over || row->last > now ||
        (row->last < before.last && row->last != now) ||
        (row->failures != failures &&
         (row->failures != 0 || row->last > now - FORGET_SECONDS)))
        abort();
    for (size_t i = 0; i < row->open; i++)
        if (is_over(row->starts[i], now))
            abort();
    before = *row;
    row_settle(row, now);
    if (memcmp(&before, row, sizeof before) != 0)
        abort();
}

/* More failures never make a wait shorter, nor does it outlast an hour. */
static void
check_wait(struct row row, uint32_t free_failures, uint32_t max, int64_t now)
{
    uint32_t wait = row_wait(&row, free_failures, max, now), more;

    if (wait > WAIT_AT_MAX ||
        row_wait(&row, free_failures, max, now + wait) > (row.open > 0))
        abort();
    if (row.failures < free_failures || row.failures == UINT32_MAX)
        return;
    row.failures++;
    more = row_wait(&row, free_failures, max, now);
    if (more < wait || (row.last == now && more == 0))
        abort();
}

/* As many at once as may be, and each of them fails. */
static void
check_many(struct slot slot, uint32_t free_failures, uint32_t max, int64_t now)
{
    struct row *row = &slot.row;
    size_t count = 0, open = row->open;
    uint64_t failures = row->failures;

    for (; row_wait(row, free_failures, max, now) == 0; count++) {
        if (row->open == OPEN_MAX)
            abort();
        row->starts[row->open++] = now;
    }
    if (count > (row->failures < free_failures ? OPEN_MAX : 1))
        abort();
    for (size_t i = 0; i < count; i++)
        row_end(&slot, now, now, true, LMI_ATTEMPT_FAILED);
    failures = failures + count < UINT32_MAX ? failures + count : UINT32_MAX;
    if (row->open != open || row->failures != failures ||
        (count > 0 && row->last != now))
        abort();
    if (count > 0 && failures >= free_failures &&
        row_wait(row, free_failures, max, now) == 0)
        abort();
    row_end(&slot, now, now, true, LMI_ATTEMPT_GOOD);
    if (row->failures != 0)
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct lmi_store_value value;
    struct slot slot = {.old.there = true};
    int64_t now = (int64_t)take_number(&data, &size, 5);
    uint32_t free_failures = (uint32_t)take_number(&data, &size, 1);
    uint32_t max = (uint32_t)take_number(&data, &size, 1);

    if (size > LMI_STORE_VALUE)
        return 0;
    memcpy(value.bytes, data, size);
    value.len = size;
    row_read(&value, &slot.row);
    check_read(&value, &slot.row);
    /* In the last minute of all time row_settle() would overflow. */
    for (size_t i = 0; i < slot.row.open; i++)
        if (slot.row.starts[i] > INT64_MAX - OPEN_SECONDS)
            return 0;
    check_settle(&slot.row, now);
    check_wait(slot.row, free_failures, max, now);
    check_many(slot, free_failures, max, now);
    return 0;
}
