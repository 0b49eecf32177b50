#include "accounts/roster.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/crypto.h"
#include "base/error.h"

/* A line of a file, copied, for it may be one of a shadow file. */
struct row {
    char *line;
    size_t len, key_len;
    uint64_t number;
    bool whole;
};

/* The lines of a file by their keys: what stands before the first colon. */
struct table {
    struct row *rows;
    size_t count, size;
    bool no_colon; /* the line is the key */
    bool no_memory;
};

struct lmi_account_list {
    struct lmi_site *site;
    int64_t today;
    bool by_passwd;
    struct table passwd, shadow, resellers, shells, domains, mailboxes;
    size_t account, domain, mailbox; /* where the list is */
    /* Of the domain whose mailboxes are listed; empty: of none yet. */
    char domain_name[LMI_USER_MAX + 1];
    struct lmi_account_info owner;
};

static void
add_row(void *context, struct lmi_bytes line, uint64_t number, bool whole)
{
    struct table *table = context;
    struct lmi_bytes rest = line;
    struct lmi_bytes key = table->no_colon ? line : lmi_next_field(&rest, ':');
    struct row *row;

    if (key.len == 0 || (key.len == line.len && !table->no_colon))
        return;
    if (table->count == table->size) {
        size_t size = table->size == 0 ? 64 : 2 * table->size;
        struct row *rows = reallocarray(table->rows, size, sizeof *rows);
        table->no_memory = table->no_memory || rows == NULL;
        if (rows == NULL)
            return;
        table->rows = rows;
        table->size = size;
    }
    row = &table->rows[table->count];
    *row = (struct row){.line = lmi_secret_alloc(line.len + 1),
                        .len = line.len,
                        .key_len = key.len,
                        .number = number,
                        .whole = whole};
    table->no_memory = table->no_memory || row->line == NULL;
    if (row->line == NULL)
        return;
    memcpy(row->line, line.ptr, line.len);
    table->count++;
}

static int
compare_keys(const struct row *a, const char *key, size_t len)
{
    size_t shared = a->key_len < len ? a->key_len : len;
    int order = memcmp(a->line, key, shared);

    if (order != 0 || a->key_len == len)
        return order;
    return a->key_len < len ? -1 : 1;
}

static int
by_key(const void *a, const void *b)
{
    const struct row *one = a, *other = b;
    int order = compare_keys(one, other->line, other->key_len);

    if (order != 0)
        return order;
    return one->number < other->number ? -1 : one->number > other->number;
}

static enum lmi_rc
table_end(struct table *table, enum lmi_rc rc, struct lmi_err *err)
{
    if (rc == LMI_OK && table->no_memory)
        rc = lmi_no_memory(err);
    if (table->count > 0)
        qsort(table->rows, table->count, sizeof *table->rows, by_key);
    return rc;
}

static void
table_free(struct table *table)
{
    for (size_t i = 0; i < table->count; i++)
        lmi_secret_free(table->rows[i].line);
    free(table->rows);
    *table = (struct table){.rows = NULL};
}

/* The first row of a key, or NULL; and how many there are. */
static const struct row *
table_find(const struct table *table, const char *key, size_t *count_out)
{
    size_t low = 0, high = table->count, len = strlen(key);

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_keys(&table->rows[middle], key, len) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *count_out = 0;
    while (low + *count_out < table->count &&
           compare_keys(&table->rows[low + *count_out], key, len) == 0)
        ++*count_out;
    return *count_out == 0 ? NULL : &table->rows[low];
}

static struct lmi_bytes
text_of(const struct row *row)
{
    return (struct lmi_bytes){row->line, row->len};
}

static struct lmi_shadow_entry
shadow_of(const struct table *table, const char *name)
{
    struct lmi_shadow_entry entry = {.found = false};
    size_t count;
    const struct row *row = table_find(table, name, &count);

    if (row == NULL)
        return entry;
    entry.found = true;
    entry.twice = count > 1;
    entry.fault =
        row->whole ? lmi_shadow_parse(text_of(row), &entry) : LMI_LINE_TOO_LONG;
    return entry;
}

/* What a lookup by lmi_account_find() gathers, from the tables. */
static enum lmi_rc
gather(struct lmi_account_list *list, const char *user,
       struct lmi_account_facts *facts, struct lmi_err *err)
{
    size_t count;
    const struct row *row = table_find(&list->passwd, user, &count);
    enum lmi_rc rc;

    *facts = (struct lmi_account_facts){
        .user = user, .today = list->today, .by_passwd = list->by_passwd};
    facts->passwd.found = row != NULL;
    facts->passwd.usable = row != NULL && count == 1 && row->whole &&
                           lmi_passwd_parse(text_of(row), &facts->passwd);
    facts->shadow = shadow_of(&list->shadow, user);
    facts->reseller = table_find(&list->resellers, user, &count) != NULL;
    facts->shell =
        table_find(&list->shells, facts->passwd.shell, &count) != NULL;
    rc = lmi_site_is_suspended(list->site, user, &facts->suspended, err);
    /* A login is not possible with a file that can't be used. */
    if (rc == LMI_OK && !list->by_passwd &&
        lmi_site_has_user_file(list->site, user, &facts->user_file, err) !=
            LMI_OK)
        facts->passwd.usable = false;
    return rc;
}

static bool
is_locked(const struct lmi_shadow_entry *entry)
{
    return entry->hash[0] == '!' && entry->hash[1] == '$';
}

static const char *
text_of_refusal(enum lmi_verdict verdict)
{
    return verdict == LMI_ALLOWED ? NULL : lmi_verdict_text(verdict);
}

/* The account of out->user; passwd_out is its line of etc/passwd. */
static enum lmi_rc
describe_account(struct lmi_account_list *list, struct lmi_account_info *out,
                 struct lmi_passwd *passwd_out, struct lmi_err *err)
{
    struct lmi_account_facts facts;
    enum lmi_rc rc = gather(list, out->user, &facts, err);

    for (int service = 1; service <= LMI_SERVICES; service++) {
        facts.service = (enum lmi_service)service;
        out->refusal[service] = text_of_refusal(lmi_account_judge(&facts));
    }
    out->suspended = facts.suspended || is_locked(&facts.shadow);
    out->reseller = facts.reseller;
    out->uid = facts.passwd.uid;
    memcpy(out->home, facts.passwd.home, sizeof out->home);
    *passwd_out = facts.passwd;
    lmi_wipe(&facts, sizeof facts);
    return rc;
}

static void
describe_mailbox(struct lmi_account_list *list, const struct row *row,
                 struct lmi_account_info *out)
{
    const struct lmi_account_info *owner = &list->owner;
    const char *elsewhere = lmi_verdict_text(LMI_REFUSED_SERVICE);
    struct lmi_shadow_entry entry;
    struct lmi_buffer user;
    char name[LMI_USER_MAX + 1];

    lmi_bytes_copy((struct lmi_bytes){row->line, row->key_len}, name,
                   sizeof name);
    entry = shadow_of(&list->mailboxes, name);
    *out = (struct lmi_account_info){.mailbox = true, .uid = owner->uid};
    lmi_buffer_init(&user, out->user, sizeof out->user);
    lmi_buffer_put_text(&user, name);
    lmi_buffer_put_char(&user, '@');
    lmi_buffer_put_text(&user, list->domain_name);
    memcpy(out->owner, owner->user, sizeof out->owner);
    memcpy(out->home, owner->home, sizeof out->home);
    out->refusal[LMI_CPANEL] = out->refusal[LMI_WHM] = elsewhere;
    out->refusal[LMI_WEBMAIL] =
        owner->refusal[LMI_WEBMAIL] != NULL
            ? owner->refusal[LMI_WEBMAIL]
            : text_of_refusal(lmi_account_judge_line(&entry, list->today));
    out->suspended = owner->suspended || is_locked(&entry);
    lmi_wipe(&entry, sizeof entry);
}

/* May a request ask for NAME@DOMAIN, or for NAME alone? */
static bool
is_asked_for(const struct row *row, const char *domain)
{
    struct lmi_bytes name = {row->line, row->key_len};

    return lmi_user_ok(name) && memchr(name.ptr, '@', name.len) == NULL &&
           (domain == NULL || name.len + 1 + strlen(domain) <= LMI_USER_MAX);
}

/* Is it the first row of its key, and one that is shown? */
static bool
is_shown(const struct table *table, size_t i, const char *domain)
{
    const struct row *row = &table->rows[i];

    return is_asked_for(row, domain) &&
           (i == 0 || compare_keys(row - 1, row->line, row->key_len) != 0);
}

/* The owner of a domain, and its mailboxes; false if it has none that could be
 * asked for. */
static bool
open_domain(struct lmi_account_list *list, const struct row *row)
{
    struct lmi_bytes user = text_of(row);
    struct lmi_bytes name = lmi_next_field(&user, ':');
    struct lmi_account_info *owner = &list->owner;
    struct lmi_passwd passwd;
    struct lmi_err fault;
    size_t count;

    user = lmi_trim(user);
    *owner = (struct lmi_account_info){.uid = 0};
    if (!lmi_bytes_copy(name, list->domain_name, sizeof list->domain_name) ||
        !lmi_user_ok(name) || strchr(list->domain_name, '@') != NULL ||
        table_find(&list->domains, list->domain_name, &count) == NULL ||
        count != 1 || !row->whole || !lmi_user_ok(user) ||
        !lmi_bytes_copy(user, owner->user, sizeof owner->user) ||
        table_find(&list->passwd, owner->user, &count) == NULL ||
        describe_account(list, owner, &passwd, &fault) != LMI_OK ||
        !passwd.usable)
        return false;
    enum lmi_rc rc =
        lmi_site_each_mail_line(list->site, &passwd, list->domain_name, add_row,
                                &list->mailboxes, &fault);
    return table_end(&list->mailboxes, rc, &fault) == LMI_OK;
}

static void
close_domain(struct lmi_account_list *list)
{
    table_free(&list->mailboxes);
    list->mailbox = 0;
    list->domain_name[0] = '\0';
    list->domain++;
}

/* The next mailbox; false at the end. */
static bool
next_mailbox(struct lmi_account_list *list, struct lmi_account_info *out)
{
    while (list->domain < list->domains.count) {
        bool ok = list->domain_name[0] != '\0' ||
                  open_domain(list, &list->domains.rows[list->domain]);
        while (ok && list->mailbox < list->mailboxes.count) {
            size_t i = list->mailbox++;
            if (!is_shown(&list->mailboxes, i, list->domain_name))
                continue;
            describe_mailbox(list, &list->mailboxes.rows[i], out);
            return true;
        }
        close_domain(list);
    }
    return false;
}

enum lmi_rc
lmi_account_list_next(struct lmi_account_list *list, bool *found_out,
                      struct lmi_account_info *out, struct lmi_err *err)
{
    struct lmi_passwd passwd;

    *found_out = false;
    while (list->account < list->passwd.count) {
        size_t i = list->account++;
        const struct row *row = &list->passwd.rows[i];
        if (!is_shown(&list->passwd, i, NULL))
            continue;
        *found_out = true;
        *out = (struct lmi_account_info){.uid = 0};
        memcpy(out->user, row->line, row->key_len);
        return describe_account(list, out, &passwd, err);
    }
    *found_out = next_mailbox(list, out);
    return LMI_OK;
}

static enum lmi_rc
read_table(struct lmi_account_list *list, const char *path, bool needed,
           struct table *table, struct lmi_err *err)
{
    enum lmi_rc rc =
        lmi_site_each_line(list->site, path, needed, add_row, table, err);

    return table_end(table, rc, err);
}

enum lmi_rc
lmi_roster_new(struct lmi_site *site, enum lmi_accounts accounts, int64_t today,
               struct lmi_account_list **out, struct lmi_err *err)
{
    struct lmi_account_list *list = calloc(1, sizeof *list);
    enum lmi_rc rc;

    *out = NULL;
    if (list == NULL)
        return lmi_no_memory(err);
    list->site = site;
    list->today = today;
    list->shells.no_colon = true;
    rc = lmi_account_by_passwd(site, accounts, &list->by_passwd, err);
    if (rc == LMI_OK)
        rc = read_table(list, "etc/passwd", true, &list->passwd, err);
    if (rc == LMI_OK)
        rc = read_table(list, "etc/shadow", true, &list->shadow, err);
    if (rc == LMI_OK)
        rc = read_table(list, "etc/shells", false, &list->shells, err);
    if (rc == LMI_OK)
        rc = read_table(list, "etc/userdomains", false, &list->domains, err);
    if (rc == LMI_OK)
        rc = read_table(list, "var/cpanel/resellers", false, &list->resellers,
                        err);
    if (rc == LMI_OK)
        *out = list;
    else
        lmi_account_list_free(list);
    return rc;
}

void
lmi_account_list_free(struct lmi_account_list *list)
{
    if (list == NULL)
        return;
    table_free(&list->passwd);
    table_free(&list->shadow);
    table_free(&list->resellers);
    table_free(&list->shells);
    table_free(&list->domains);
    table_free(&list->mailboxes);
    free(list);
}
