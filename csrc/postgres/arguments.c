#include "postgres/arguments.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

void
lmi_pg_begin(struct lmi_pg_arguments *args, enum lmi_pg_function function)
{
    *args = (struct lmi_pg_arguments){.call = {.function = function}};
}

static void
append(struct lmi_pg_arguments *args, const void *ptr, size_t len)
{
    size_t size = args->size > 0 ? args->size : 1024;
    char *memory;

    while (size < args->len + len)
        size *= 2;
    if (size != args->size && !args->failed) {
        memory = realloc(args->memory, size);
        args->failed = memory == NULL;
        if (memory == NULL)
            return;
        args->memory = memory;
        args->size = size;
    }
    if (args->failed || len == 0)
        return;
    memcpy(args->memory + args->len, ptr, len);
    args->len += len;
}

/* Big-endian. */
static void
append_number(struct lmi_pg_arguments *args, int64_t value, size_t size)
{
    uint8_t bytes[8];

    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)((uint64_t)value >> (8 * (size - 1 - i)));
    append(args, bytes, size);
}

static void
next_argument(struct lmi_pg_arguments *args)
{
    args->offsets[args->call.count++] = args->len;
}

void
lmi_pg_add_bool(struct lmi_pg_arguments *args, bool value)
{
    next_argument(args);
    append_number(args, value, 1);
}

void
lmi_pg_add_int2(struct lmi_pg_arguments *args, int value)
{
    next_argument(args);
    append_number(args, value, 2);
}

void
lmi_pg_add_int8(struct lmi_pg_arguments *args, int64_t value)
{
    next_argument(args);
    append_number(args, value, 8);
}

void
lmi_pg_add_bytes(struct lmi_pg_arguments *args, const void *ptr, size_t len)
{
    next_argument(args);
    append(args, ptr, len);
}

void
lmi_pg_add_array(struct lmi_pg_arguments *args, enum lmi_pg_type type,
                 size_t count)
{
    next_argument(args);
    append_number(args, count > 0 ? 1 : 0, 4); /* dimensions */
    append_number(args, 1, 4);                 /* there may be NULLs */
    append_number(args, (int64_t)type, 4);
    if (count > 0) {
        append_number(args, (int64_t)count, 4);
        append_number(args, 1, 4); /* the first index */
    }
}

void
lmi_pg_item_int4(struct lmi_pg_arguments *args, int32_t value)
{
    append_number(args, 4, 4);
    append_number(args, value, 4);
}

void
lmi_pg_item_int8(struct lmi_pg_arguments *args, int64_t value)
{
    append_number(args, 8, 4);
    append_number(args, value, 8);
}

void
lmi_pg_item_bytes(struct lmi_pg_arguments *args, const void *ptr, size_t len)
{
    append_number(args, ptr != NULL ? (int64_t)len : -1, 4);
    if (ptr != NULL)
        append(args, ptr, len);
}

enum lmi_rc
lmi_pg_do(struct lmi_pg *pg, struct lmi_pg_arguments *args, PGresult **out,
          struct lmi_err *err)
{
    struct lmi_pg_call *call = &args->call;
    enum lmi_rc rc;

    *out = NULL;
    for (int i = 0; i < call->count && !args->failed; i++) {
        size_t end = i + 1 < call->count ? args->offsets[i + 1] : args->len;
        call->values[i] = args->memory + args->offsets[i];
        call->lengths[i] = (int)(end - args->offsets[i]);
    }
    rc = args->failed ? lmi_no_memory(err) : lmi_pg_call(pg, call, out, err);
    free(args->memory);
    return rc;
}

int64_t
lmi_pg_number(const PGresult *result, int row, int column)
{
    const char *bytes = PQgetvalue(result, row, column);
    int len = PQgetlength(result, row, column);
    uint64_t value = len > 0 && (uint8_t)bytes[0] > 127 ? UINT64_MAX : 0;

    for (int i = 0; i < len; i++)
        value = value << 8 | (uint8_t)bytes[i];
    return (int64_t)value;
}

bool
lmi_pg_bytes(const PGresult *result, int row, int column, void *out,
             size_t size, size_t *len_out)
{
    size_t len = (size_t)PQgetlength(result, row, column);

    *len_out = 0;
    if (PQgetisnull(result, row, column) || len > size)
        return false;
    memcpy(out, PQgetvalue(result, row, column), len);
    *len_out = len;
    return true;
}
