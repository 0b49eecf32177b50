/*
 * A connection to PostgreSQL, for calls of the store's functions. It is made
 * when it is first needed, to the first of the URL's hosts that accepts
 * writes, and again whenever it is lost.
 *
 *  - A call ends within two seconds, whatever the network does; connecting to
 *    one of several hosts may take one of them. libpq looks up the names of
 *    hosts without a limit of ours.
 *  - Every call may be sent again: reads because they read, batches because the
 *    database knows which it has done. So a lost answer is asked for again, on
 *    a new connection, until the time is over; then the outcome is not known,
 *    and that is a fault. A deadlock or a serialization failure is tried again
 *    likewise. A purge that is sent again tells what it has then removed.
 *  - What a durable call has changed counts as done only if the server waited
 *    for a majority of its machines: it says before that it will, and is asked
 *    again behind the commit, in the same round trip. If it has read its
 *    configuration between, or warned that it did not wait, the outcome is not
 *    known, and the call is sent again.
 *  - Reads count only under a lease, unless the server is one without others:
 *    see lmi_pg_reads_count().
 *  - Where connecting fails, it is tried once more; then it is a fault. A host
 *    that let a call wait is asked last next time.
 *  - A connection whose state is not the expected one is closed.
 *  - In a process forked from the one that made it, it is given up without a
 *    word to the server, and made again.
 */
#ifndef LMI_CONNECTION_H
#define LMI_CONNECTION_H

#include <libpq-fe.h>

#include "store/store.h"

struct lmi_pg;

/* Reads URL and password file, and connects to nothing yet. */
LMI_RC lmi_pg_new(const struct lmi_store_where *where, struct lmi_pg **out,
                  struct lmi_err *err);
void lmi_pg_free(struct lmi_pg *pg);

/* What a URL says; empty if it does not. Borrowed. */
const char *lmi_pg_option(const PQconninfoOption *options, const char *keyword);

/* The fault `text`, with the first line of libpq's or the server's message. */
enum lmi_rc lmi_pg_fail(struct lmi_err *err, enum lmi_rc code,
                        const char *location, const char *message,
                        const char *text, const char *remedy);

/*
 * The first line of a file that its owner alone may read; NULL if path is NULL
 * or empty. For lmi_pg_password_free(), which wipes it.
 */
LMI_RC lmi_pg_password(const char *path, char **out, struct lmi_err *err);
void lmi_pg_password_free(char *password);

/* The functions, in the order of the statements in connection.c. */
enum lmi_pg_function {
    LMI_PG_GET,
    LMI_PG_APPLY,
    LMI_PG_NEXT,
    LMI_PG_COUNT,
    LMI_PG_WALK,
    LMI_PG_PURGE,
    LMI_PG_HOLD,
    LMI_PG_RELEASE,
    LMI_PG_MARK_PUT,
    LMI_PG_MARK_GET,
    LMI_PG_LEASE,
    LMI_PG_AFTER,
    LMI_PG_LISTEN,
    LMI_PG_FUNCTIONS
};

/* Their arguments, in binary. */
#define LMI_PG_ARGUMENTS 11
struct lmi_pg_call {
    enum lmi_pg_function function;
    bool durable; /* what it changes must outlive the server */
    bool ends;    /* durable: other machines are told that sessions may end */
    bool leased;  /* it reads what decides */
    int count;
    const char *values[LMI_PG_ARGUMENTS];
    int lengths[LMI_PG_ARGUMENTS];
};

/* The answer, in binary, is for PQclear(); NULL after a fault. */
LMI_RC lmi_pg_call(struct lmi_pg *pg, const struct lmi_pg_call *call,
                   PGresult **out, struct lmi_err *err);

/*
 * While a part is held, a lost connection is a fault until it is released: the
 * hold has been lost with it. lmi_pg_leave() closes the connection.
 */
void lmi_pg_held(struct lmi_pg *pg, enum lmi_store_part part, bool held);
LMI_CHECK bool lmi_pg_holds(const struct lmi_pg *pg, enum lmi_store_part part);
void lmi_pg_leave(struct lmi_pg *pg);

/*
 * May a read of this connection decide? A server that was replaced by another
 * one, and can't know it, still answers reads, but gets no write acknowledged
 * any more. So a connection has a lease, for 1.5 seconds from the start of the
 * last durable write of its own; a read that ends later does not count. It is
 * renewed with a read, when half a second has passed.
 *
 * This bounds how late a stale answer can be if a majority of the machines
 * acknowledges each durable write, and each of them follows one server at a
 * time: whatever the new server has acknowledged, a machine of both majorities
 * knew, which acknowledges nothing of the old server's from then on.
 *
 * A server without synchronous standbys, which is used because `alone` was
 * said, has no lease, and needs none.
 *
 * The call asks whether earlier answers may be used now. doubts_out: how often
 * something was heard that makes them doubtful: a session may have ended
 * somewhere, or the connection was lost. It looks for that two hundred times
 * a second at most, and does not wait. Of sessions only a connection hears that
 * listens: by LMI_PG_LISTEN.
 */
LMI_CHECK bool lmi_pg_reads_count(struct lmi_pg *pg, int64_t now,
                                  uint64_t *doubts_out);
LMI_CHECK bool lmi_pg_listens(const struct lmi_pg *pg);

/* The doubts that are known, after a call. */
uint64_t lmi_pg_doubts(const struct lmi_pg *pg);

/* Milliseconds of a clock that goes on while the machine sleeps. */
int64_t lmi_pg_now(void);

/* Has a connection found another store than the one before? */
LMI_CHECK bool lmi_pg_replaced(const struct lmi_pg *pg);

/* The server's host or socket folder, for errors. */
const char *lmi_pg_location(const struct lmi_pg *pg);

/* The server's clock less ours, in seconds, as the last connection found it. */
int64_t lmi_pg_clock(const struct lmi_pg *pg);

/* Whether the server waits for a majority, and how many milliseconds the last
 * lease took, at least one: 0 if there was none. */
LMI_CHECK bool lmi_pg_majority(const struct lmi_pg *pg);
int64_t lmi_pg_lease_took(const struct lmi_pg *pg);

#endif
