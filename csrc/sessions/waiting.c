#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accounts/names.h"
#include "base/error.h"
#include "base/log.h"
#include "sessions/attempts.h"

#define UIDS 65536 /* local users whose failures are recognized */
#define PAGE 256   /* rows read at once */

static const struct kind {
    uint8_t kind;
    const char *name;
} kinds[LMI_ATTEMPTS_KINDS] = {{LMI_KIND_NAME, "name"},
                               {LMI_KIND_PAIR, "pair"},
                               {LMI_KIND_SOURCE, "source"},
                               {LMI_KIND_NETWORK, "network"}};

/* A row of the store; it is named once user or source are known. */
struct found {
    struct lmi_store_id id;
    struct lmi_attempt_state state;
    char *user; /* of a name or pair; NULL: not known */
    bool has_source;
    struct lmi_address source;
};

struct lmi_attempts {
    struct found *rows; /* sorted by id, later by what is shown first */
    size_t count, size;
    size_t by_kind[LMI_ATTEMPTS_KINDS];
};

/* What the walks over names and sessions work with. */
struct search {
    struct lmi *lmi;
    struct lmi_attempts *list;
    enum lmi_rc rc;
    struct lmi_err *err;
};

static size_t
kind_number(uint8_t kind)
{
    size_t i = 0;

    while (kinds[i].kind != kind)
        i++;
    return i;
}

static bool
is_named(const struct found *row)
{
    return row->user != NULL || row->has_source;
}

static enum lmi_rc
add(struct lmi_attempts *list, const struct lmi_store_id *id,
    const struct lmi_attempt_state *state, struct lmi_err *err)
{
    if (list->count == list->size) {
        size_t size = list->size == 0 ? 64 : 2 * list->size;
        struct found *rows = reallocarray(list->rows, size, sizeof *rows);
        if (rows == NULL)
            return lmi_no_memory(err);
        list->rows = rows;
        list->size = size;
    }
    list->rows[list->count++] = (struct found){.id = *id, .state = *state};
    return LMI_OK;
}

/* The rows of one kind that have failures. */
static enum lmi_rc
read_kind(struct lmi *lmi, uint8_t kind, struct lmi_attempts *list,
          struct lmi_err *err)
{
    struct lmi_store_entry *page = calloc(PAGE, sizeof *page), *after = NULL;
    struct lmi_attempt_state state;
    uint8_t group[LMI_ATTEMPT_GROUP];
    size_t count = 1;
    enum lmi_rc rc = page != NULL ? LMI_OK : lmi_no_memory(err);

    lmi_attempt_group(kind, group);
    while (rc == LMI_OK && count > 0) {
        rc = lmi_store_next(lmi_store_of(lmi), LMI_VOLATILE, group,
                            sizeof group, after, page, PAGE, &count, err);
        for (size_t i = 0; rc == LMI_OK && i < count; i++) {
            after = &page[i];
            if (lmi_attempt_state_of(lmi, kind, &after->value, &state))
                rc = add(list, &after->id, &state, err);
        }
    }
    free(page);
    return rc;
}

static int
by_id(const void *a, const void *b)
{
    const struct found *one = a, *other = b;

    return memcmp(&one->id, &other->id, sizeof one->id);
}

/* A row whose rank changes meanwhile is read twice. */
static void
sort_and_unite(struct lmi_attempts *list)
{
    size_t kept = 0;

    if (list->count > 0)
        qsort(list->rows, list->count, sizeof *list->rows, by_id);
    for (size_t i = 0; i < list->count; i++)
        if (i == 0 || by_id(&list->rows[i], &list->rows[kept - 1]) != 0) {
            list->by_kind[kind_number(list->rows[i].id.kind)]++;
            list->rows[kept++] = list->rows[i];
        }
    list->count = kept;
}

static struct found *
find(const struct lmi_attempts *list, const struct lmi_store_id *id)
{
    struct found wanted = {.id = *id};

    return list->count == 0 ? NULL
                            : bsearch(&wanted, list->rows, list->count,
                                      sizeof wanted, by_id);
}

/* If there is such a row, it has a name from now on. */
static void
name_found(struct search *search, const struct lmi_store_id *id,
           const char *user, const struct lmi_address *source)
{
    struct found *found = find(search->list, id);

    if (found == NULL || is_named(found))
        return;
    if (source != NULL)
        found->source = *source;
    found->has_source = source != NULL;
    if (user != NULL && (found->user = strdup(user)) == NULL)
        search->rc = lmi_no_memory(search->err);
}

/* Under each of the keys. */
static void
name_row(struct search *search, uint8_t kind, const char *user,
         const struct lmi_address *source)
{
    struct lmi_attempt_row row;

    if (search->rc != LMI_OK || search->list->by_kind[kind_number(kind)] == 0)
        return;
    search->rc =
        lmi_attempt_row_of(search->lmi, kind, user, source, &row, search->err);
    if (search->rc != LMI_OK)
        return;
    name_found(search, &row.id, user, source);
    for (size_t i = 0; i < row.further_count; i++)
        name_found(search, &row.further[i], user, source);
}

static void
name_user(void *context, const char *user)
{
    name_row(context, LMI_KIND_NAME, user, NULL);
}

/* From the site's accounts. */
static void
name_users(struct search *search)
{
    struct lmi_site *site;
    enum lmi_rc rc;

    if (search->rc != LMI_OK || search->list->by_kind[0] == 0)
        return;
    rc = lmi_enter_site(search->lmi, &site, search->err);
    if (rc == LMI_OK)
        rc = lmi_names_each(site, name_user, search, search->err);
    if (search->rc == LMI_OK)
        search->rc = rc;
}

/* From the sessions: who has redeemed one, and from where. */
static void
name_sources(struct search *search)
{
    struct lmi_session_list list = {.service = 0};
    struct lmi_session session;
    struct lmi_address source;
    bool more = search->list->count > search->list->by_kind[0];

    while (search->rc == LMI_OK && more) {
        search->rc =
            lmi_session_next(search->lmi, &list, &more, &session, search->err);
        if (search->rc != LMI_OK || !more ||
            !lmi_address_parse(session.address, &source))
            continue;
        name_row(search, LMI_KIND_PAIR, session.user, &source);
        name_row(search, LMI_KIND_SOURCE, NULL, &source);
        if (lmi_address_is_ipv6(&source))
            name_row(search, LMI_KIND_NETWORK, NULL, &source);
    }
}

/* Users of this machine, who log in by way of the gateway's socket. */
static void
name_uids(struct search *search)
{
    struct lmi_address source;

    for (uint32_t uid = 0; uid < UIDS; uid++) {
        lmi_address_of_uid(uid, &source);
        name_row(search, LMI_KIND_SOURCE, NULL, &source);
    }
}

/* By kind; of a kind what is named, then who waits longest. */
static int
by_place(const void *a, const void *b)
{
    const struct found *one = a, *other = b;
    size_t kind = kind_number(one->id.kind);
    size_t other_kind = kind_number(other->id.kind);

    if (is_named(one) != is_named(other))
        return is_named(one) ? -1 : 1;
    if (kind != other_kind)
        return kind < other_kind ? -1 : 1;
    if (one->state.wait != other->state.wait)
        return one->state.wait > other->state.wait ? -1 : 1;
    if (one->state.failures != other->state.failures)
        return one->state.failures > other->state.failures ? -1 : 1;
    return by_id(one, other);
}

enum lmi_rc
lmi_attempts_read(struct lmi *lmi, struct lmi_attempts **out,
                  struct lmi_err *err)
{
    struct lmi_attempts *list = calloc(1, sizeof *list);
    struct search search = {.lmi = lmi, .list = list, .err = err};

    *out = NULL;
    if (list == NULL)
        return lmi_no_memory(err);
    search.rc = lmi_enter(lmi, err);
    for (size_t i = 0; search.rc == LMI_OK && i < LMI_ATTEMPTS_KINDS; i++)
        search.rc = read_kind(lmi, kinds[i].kind, list, err);
    if (search.rc == LMI_OK)
        sort_and_unite(list);
    name_users(&search);
    name_sources(&search);
    name_uids(&search);
    if (search.rc != LMI_OK) {
        lmi_attempts_free(list);
        return search.rc;
    }
    if (list->count > 0)
        qsort(list->rows, list->count, sizeof *list->rows, by_place);
    *out = list;
    return LMI_OK;
}

void
lmi_attempts_free(struct lmi_attempts *list)
{
    if (list == NULL)
        return;
    for (size_t i = 0; i < list->count; i++)
        free(list->rows[i].user);
    free(list->rows);
    free(list);
}

/* "192.0.2.7", "2001:db8::/64", "2001:db8::/48", "uid:33". */
static void
show_source(uint8_t kind, const struct lmi_address *address, char *out,
            size_t size)
{
    struct lmi_address shown = *address;
    char text[LMI_ADDRESS_TEXT];
    unsigned bits = kind == LMI_KIND_NETWORK ? 48 : 64;

    if (lmi_address_is_uid(address)) {
        snprintf(out, size, "uid:%u", (unsigned)lmi_address_uid(address));
        return;
    }
    lmi_address_mask(&shown, bits);
    lmi_address_format(&shown, text);
    if (lmi_address_is_ipv6(&shown))
        snprintf(out, size, "%s/%u", text, bits);
    else
        snprintf(out, size, "%s", text);
}

bool
lmi_attempts_get(const struct lmi_attempts *list, size_t number,
                 struct lmi_attempts_row *out)
{
    const struct found *row;

    memset(out, 0, sizeof *out);
    if (number >= list->count || !is_named(&list->rows[number]))
        return false;
    row = &list->rows[number];
    out->kind = kinds[kind_number(row->id.kind)].name;
    out->failures = row->state.failures;
    out->wait = row->state.wait;
    if (row->user != NULL)
        snprintf(out->user, sizeof out->user, "%s", row->user);
    if (row->has_source)
        show_source(row->id.kind, &row->source, out->source,
                    sizeof out->source);
    return true;
}

void
lmi_attempts_unnamed(const struct lmi_attempts *list, size_t kind,
                     struct lmi_attempts_count *out)
{
    *out = (struct lmi_attempts_count){.kind = kinds[kind].name};
    for (size_t i = 0; i < list->count; i++)
        if (list->rows[i].id.kind == kinds[kind].kind &&
            !is_named(&list->rows[i])) {
            out->rows++;
            out->waiting += list->rows[i].state.wait > 0;
        }
}

/* Removes a row, under whichever keys it lies, if it has failures. */
static enum lmi_rc
clear_row(struct lmi *lmi, uint8_t kind, const char *user,
          const struct lmi_address *source, uint64_t *removed,
          struct lmi_err *err)
{
    struct lmi_attempt_row row;
    struct lmi_attempt_found found;
    struct lmi_attempt_state state;
    struct lmi_store_op ops[LMI_KEYS];
    size_t count = 0;
    bool done;
    enum lmi_rc rc = lmi_attempt_row_of(lmi, kind, user, source, &row, err);

    if (rc == LMI_OK)
        rc = lmi_attempt_find(lmi, LMI_VOLATILE, &row, 1, &found, err);
    if (rc != LMI_OK)
        return rc;
    if (found.there && lmi_attempt_state_of(lmi, kind, &found.value, &state))
        ops[count++] =
            (struct lmi_store_op){.verb = LMI_STORE_DROP, .id = row.id};
    for (size_t i = 0; i < row.further_count; i++)
        if (found.further[i] &&
            lmi_attempt_state_of(lmi, kind, &found.further_values[i], &state))
            ops[count++] = (struct lmi_store_op){.verb = LMI_STORE_DROP,
                                                 .id = row.further[i]};
    if (count == 0)
        return LMI_OK;
    rc = lmi_store_apply(lmi_store_of(lmi), LMI_VOLATILE, ops, count,
                         lmi_now(lmi), &done, err);
    *removed += rc == LMI_OK;
    return rc;
}

/* The name's own row, and its pairs with sources that its sessions tell. */
static enum lmi_rc
clear_user(struct lmi *lmi, const char *user, uint64_t *removed,
           struct lmi_err *err)
{
    struct lmi_session_list list = {
        .user = {LMI_TEXT_LATIN1, user, strlen(user)}};
    struct lmi_session session;
    struct lmi_address source;
    bool more = true;
    enum lmi_rc rc = clear_row(lmi, LMI_KIND_NAME, user, NULL, removed, err);

    while (rc == LMI_OK && more) {
        rc = lmi_session_next(lmi, &list, &more, &session, err);
        if (rc == LMI_OK && more && lmi_address_parse(session.address, &source))
            rc = clear_row(lmi, LMI_KIND_PAIR, user, &source, removed, err);
    }
    return rc;
}

/* As show_source() writes it, or an address; false for anything else. */
static bool
read_source(const char *text, uint8_t *kind_out, struct lmi_address *out)
{
    struct lmi_bytes rest = lmi_bytes_of(text), address;
    char copy[LMI_ADDRESS_TEXT];
    uint64_t uid, bits = 64;

    *kind_out = LMI_KIND_SOURCE;
    if (lmi_take_prefix(&rest, "uid:")) {
        if (!lmi_parse_number(rest, UINT32_MAX, &uid))
            return false;
        lmi_address_of_uid((uint32_t)uid, out);
        return true;
    }
    address = lmi_next_field(&rest, '/');
    if (!lmi_bytes_copy(address, copy, sizeof copy) ||
        !lmi_address_parse(copy, out))
        return false;
    if (address.len < strlen(text) &&
        (!lmi_address_is_ipv6(out) || !lmi_parse_number(rest, 64, &bits)))
        return false;
    *kind_out = bits == 48 ? LMI_KIND_NETWORK : LMI_KIND_SOURCE;
    return bits == 48 || bits == 64;
}

bool
lmi_attempts_source_ok(const char *text)
{
    struct lmi_address source;
    uint8_t kind;

    return read_source(text, &kind, &source);
}

enum lmi_rc
lmi_attempts_clear(struct lmi *lmi, const char *user, const char *source,
                   uint64_t *removed_out, struct lmi_err *err)
{
    struct lmi_address address;
    uint8_t kind = LMI_KIND_PAIR;
    char detail[LMI_USER_MAX + LMI_ATTEMPTS_SOURCE + 64];
    enum lmi_rc rc;

    *removed_out = 0;
    if ((user == NULL && source == NULL) ||
        (user != NULL && !lmi_user_ok(lmi_bytes_of(user))) ||
        (source != NULL && !read_source(source, &kind, &address)))
        return LMI_OK;
    rc = lmi_enter(lmi, err);
    if (rc == LMI_OK && source == NULL)
        rc = clear_user(lmi, user, removed_out, err);
    else if (rc == LMI_OK)
        rc = clear_row(lmi, user != NULL ? LMI_KIND_PAIR : kind, user, &address,
                       removed_out, err);
    if (*removed_out > 0) {
        snprintf(detail, sizeof detail,
                 "the operator cleared attempts of %s%s%s",
                 user != NULL ? user : "",
                 user != NULL && source != NULL ? " from " : "",
                 source != NULL ? source : "");
        lmi_log_note(lmi_settings_of(lmi), "NOTICE", false, detail);
    }
    return rc;
}
