/*
 * The PostgreSQL backend: both parts in one table, changed and read by the
 * functions of schema.sql. The volatile part is logged like the other, for it
 * must outlive a failover, but nobody waits until it is on a disk.
 *
 * It is built as a loadable object of its own, which store.c opens when a URL
 * asks for it: a program that keeps its sessions in LMDB loads no libpq.
 */
#ifndef LMI_POSTGRES_H
#define LMI_POSTGRES_H

#include "store/store.h"

/* The name that store.c looks for in the loadable object. */
extern const struct lmi_store_backend lmi_store_postgres
    __attribute__((visibility("default")));

#endif
