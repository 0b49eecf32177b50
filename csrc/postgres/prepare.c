#include "postgres/prepare.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "postgres/connection.h"

/* The text of schema.sql, which the assembler puts in. */
extern const char lmi_pg_schema[];
__asm__(".pushsection .rodata\n"
        ".global lmi_pg_schema\n"
        ".hidden lmi_pg_schema\n"
        "lmi_pg_schema: .incbin \"postgres/schema.sql\"\n"
        ".byte 0\n"
        ".popsection\n");

/* Counted up with each change of schema.sql. */
#define SCHEMA "2"

static enum lmi_rc
say(PGconn *conn, struct lmi_err *err)
{
    return lmi_pg_fail(err, LMI_STORE, "the database", PQerrorMessage(conn),
                       "can't be prepared",
                       "name a user who may make schemas and users there");
}

/* The user that a URL names; for free(). */
static enum lmi_rc
role_of(const char *url, char **out, struct lmi_err *err)
{
    PQconninfoOption *options = PQconninfoParse(url, NULL);

    const char *user = options != NULL ? lmi_pg_option(options, "user") : "";

    *out = user[0] != '\0' ? strdup(user) : NULL;
    PQconninfoFree(options);
    return *out != NULL
               ? LMI_OK
               : lmi_fail(err, LMI_SETTINGS, 0, "store", "names no user",
                          "write postgresql://USER@HOST/DATABASE");
}

static bool
run(PGconn *conn, const char *sql, int count, const char *const *values)
{
    PGresult *result = count == 0 ? PQexec(conn, sql)
                                  : PQexecParams(conn, sql, count, NULL, values,
                                                 NULL, NULL, 0);
    ExecStatusType status = PQresultStatus(result);

    PQclear(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

/* Whoever owns the schema could have what this user runs there do anything. */
static const char owner_check[] =
    "DO $$ BEGIN IF EXISTS (SELECT FROM pg_catalog.pg_namespace n "
    "JOIN pg_catalog.pg_roles r ON r.oid = n.nspowner "
    "WHERE n.nspname = 'logmein' AND r.rolname <> current_user "
    "AND NOT r.rolsuper) "
    "THEN RAISE 'the schema logmein belongs to another user'; "
    "END IF; END $$";

/* Has a later program prepared the database? */
static bool
later_there(PGconn *conn, bool *later_out)
{
    PGresult *result = PQexec(
        conn,
        "SELECT substring(obj_description(to_regnamespace('logmein'), "
        "'pg_namespace') FROM 'schema ([0-9]{1,9})$')::integer > " SCHEMA);
    bool good = PQntuples(result) == 1;

    *later_out = good && strcmp(PQgetvalue(result, 0, 0), "t") == 0;
    PQclear(result);
    return good;
}

/*
 * One at a time. What a later program has made stays: it has the functions of
 * this version, too, perhaps with better bodies.
 */
static bool
update(PGconn *conn)
{
    bool later = false;

    return run(conn, "SELECT pg_advisory_xact_lock(1280133376, 0)", 0, NULL) &&
           run(conn, owner_check, 0, NULL) && later_there(conn, &later) &&
           (later || (run(conn, lmi_pg_schema, 0, NULL) &&
                      run(conn,
                          "COMMENT ON SCHEMA logmein IS "
                          "'Sessions of Cpanel::LogMeIn, schema " SCHEMA "'",
                          0, NULL)));
}

/* The server is not told the password, but what it verifies it by. */
static enum lmi_rc
fill(PGconn *conn, const char *role, const char *password, struct lmi_err *err)
{
    char *verifier =
        password == NULL
            ? NULL
            : PQencryptPasswordConn(conn, password, role, "scram-sha-256");
    const char *const values[] = {role, verifier};
    bool good = (password == NULL || verifier != NULL) &&
                run(conn, "BEGIN ISOLATION LEVEL READ COMMITTED", 0, NULL) &&
                update(conn) &&
                run(conn, "SELECT logmein.lmi_admit($1, $2)", 2, values) &&
                run(conn, "COMMIT", 0, NULL);

    PQfreemem(verifier);
    return good ? LMI_OK : say(conn, err);
}

static void
ignore_notice(void *context, const PGresult *notice)
{
    (void)context;
    (void)notice;
}

enum lmi_rc
lmi_pg_prepare(const struct lmi_store_where *where, const char *admin_url,
               struct lmi_err *err)
{
    const char *const keywords[] = {"dbname",
                                    "sslmode",
                                    "connect_timeout",
                                    "application_name",
                                    "target_session_attrs",
                                    NULL};
    const char *const values[] = {admin_url, "verify-full", "10",
                                  "logmein", "read-write",  NULL};
    char *role, *password = NULL;
    PGconn *conn = NULL;
    enum lmi_rc rc = role_of(where->url, &role, err);

    if (rc == LMI_OK)
        rc = lmi_pg_password(where->password_file, &password, err);
    if (rc == LMI_OK) {
        conn = PQconnectdbParams(keywords, values, 1);
        PQsetNoticeReceiver(conn, ignore_notice, NULL);
        rc = PQstatus(conn) == CONNECTION_OK ? fill(conn, role, password, err)
                                             : say(conn, err);
        PQfinish(conn);
    }
    lmi_pg_password_free(password);
    free(role);
    return rc;
}
