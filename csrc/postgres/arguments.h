/*
 * Arguments of a call, as PostgreSQL reads them in binary, and the columns of
 * its answers.
 */
#ifndef LMI_ARGUMENTS_H
#define LMI_ARGUMENTS_H

#include "postgres/connection.h"

/* They lie in memory that grows; a failed allocation is seen at the end. */
struct lmi_pg_arguments {
    struct lmi_pg_call call;
    size_t offsets[LMI_PG_ARGUMENTS];
    char *memory;
    size_t len, size;
    bool failed;
};

void lmi_pg_begin(struct lmi_pg_arguments *args, enum lmi_pg_function function);

void lmi_pg_add_bool(struct lmi_pg_arguments *args, bool value);
void lmi_pg_add_int2(struct lmi_pg_arguments *args, int value);
void lmi_pg_add_int8(struct lmi_pg_arguments *args, int64_t value);
void lmi_pg_add_bytes(struct lmi_pg_arguments *args, const void *ptr,
                      size_t len);

/* An array, whose items follow, of the kind that is said here. */
enum lmi_pg_type { LMI_PG_BYTES = 17, LMI_PG_INT8 = 20, LMI_PG_INT4 = 23 };
void lmi_pg_add_array(struct lmi_pg_arguments *args, enum lmi_pg_type type,
                      size_t count);
void lmi_pg_item_int4(struct lmi_pg_arguments *args, int32_t value);
void lmi_pg_item_int8(struct lmi_pg_arguments *args, int64_t value);
/* NULL: no value. */
void lmi_pg_item_bytes(struct lmi_pg_arguments *args, const void *ptr,
                       size_t len);

/* Makes the call, and frees the arguments. */
LMI_RC lmi_pg_do(struct lmi_pg *pg, struct lmi_pg_arguments *args,
                 PGresult **out, struct lmi_err *err);

/* A number of two, four or eight bytes; 0 for none. */
int64_t lmi_pg_number(const PGresult *result, int row, int column);

/* Copies a column of at most `size` bytes; false if it has more, or is none. */
LMI_CHECK bool lmi_pg_bytes(const PGresult *result, int row, int column,
                            void *out, size_t size, size_t *len_out);

#endif
