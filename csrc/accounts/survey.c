#include "accounts/survey.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accounts/password.h"
#include "base/error.h"

#define PLACE_SIZE 800
#define DOMAINS_MAX 1000

/* The first field of a line, hashed: to find those that are there twice. */
struct key {
    uint64_t hash, line;
};

struct keys {
    struct key *list;
    size_t count, size;
};

/* A domain, whose mailboxes are looked at after all domains are known. */
struct domain {
    uint64_t line;
    char name[256];
    char owner[LMI_USER_MAX + 1];
};

struct survey;
struct format {
    const char *path;
    bool needed;
    bool once; /* a first field that is there twice is refused */
    /* Static: what is wrong with a line, or NULL. */
    const char *(*fault)(struct survey *survey, struct lmi_bytes line,
                         uint64_t number);
};

struct survey {
    struct lmi_site *site;
    struct lmi_site_report *out;
    const struct format *format;
    char place[PLACE_SIZE]; /* the file that is read */
    enum lmi_ceiling ceiling;
    struct lmi_histogram histogram;
    struct keys keys;
    struct domain *domains;
    size_t domain_count;
    bool no_memory;
};

static struct lmi_err *
new_note(struct survey *survey, const char *name)
{
    struct lmi_site_report *out = survey->out;

    if (out->count == LMI_NOTES) {
        out->left_out++;
        return NULL;
    }
    out->notes[out->count].name = name;
    return &out->notes[out->count++].err;
}

/* line 0: the whole file. */
static void
add_note(struct survey *survey, const char *name, uint64_t line,
         const char *text, const char *remedy)
{
    struct lmi_err *err = new_note(survey, name);

    if (err == NULL)
        return;
    lmi_fail(err, LMI_SITE, 0, survey->place, text, remedy);
    if (line > 0)
        lmi_err_add_location(err, " line %llu", (unsigned long long)line);
}

/* Of a file that can't be used. */
static void
add_fault(struct survey *survey, const struct lmi_err *fault)
{
    struct lmi_err *err = new_note(survey, NULL);

    if (err != NULL)
        *err = *fault;
}

static int
by_hash(const void *a, const void *b)
{
    const struct key *one = a, *other = b;

    if (one->hash != other->hash)
        return one->hash < other->hash ? -1 : 1;
    return one->line < other->line ? -1 : one->line > other->line;
}

/* FNV-1a: nobody gains by two names that are taken for one. */
static uint64_t
hash_of(struct lmi_bytes bytes)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < bytes.len; i++)
        hash = (hash ^ (unsigned char)bytes.ptr[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static bool
keys_add(struct keys *keys, struct lmi_bytes key, uint64_t line)
{
    if (keys->count == keys->size) {
        size_t size = keys->size == 0 ? 1024 : 2 * keys->size;
        struct key *list = reallocarray(keys->list, size, sizeof *list);
        if (list == NULL)
            return false;
        keys->list = list;
        keys->size = size;
    }
    keys->list[keys->count++] = (struct key){hash_of(key), line};
    return true;
}

static void
note_twice(struct survey *survey)
{
    struct keys *keys = &survey->keys;

    if (keys->count > 0)
        qsort(keys->list, keys->count, sizeof *keys->list, by_hash);
    for (size_t i = 1; i < keys->count; i++)
        if (keys->list[i].hash == keys->list[i - 1].hash)
            add_note(survey, "site.twice", keys->list[i].line,
                     "is the second line of this name, and neither is used",
                     "remove one of them");
}

static const char *
passwd_fault(struct survey *survey, struct lmi_bytes line, uint64_t number)
{
    struct lmi_passwd passwd;

    (void)survey;
    (void)number;
    return lmi_passwd_parse(line, &passwd)
               ? NULL
               : "is not name:x:uid:gid:comment:home:shell";
}

static void
judge_hash(struct survey *survey, const char *hash, uint64_t number)
{
    static const struct {
        const char *name, *text;
    } notes[] = {
        [LMI_HASH_OK] = {NULL, NULL},
        [LMI_HASH_SCHEME] = {"hashes.scheme",
                             "has a hash of a scheme that is never accepted"},
        [LMI_HASH_COST] = {"hashes.cost",
                           "has a hash that costs more than is accepted"},
        [LMI_HASH_FORM] = {"hashes.form", "has a hash of a wrong form"},
    };
    enum lmi_hash_state state;

    if (hash[0] == '\0' || strpbrk(hash, "!*") != NULL)
        return; /* locked */
    state = lmi_password_hash_judge(hash, survey->ceiling);
    if (state != LMI_HASH_OK)
        add_note(survey, notes[state].name, number, notes[state].text,
                 "set this password anew");
}

static const char *
shadow_fault(struct survey *survey, struct lmi_bytes line, uint64_t number)
{
    struct lmi_shadow_entry entry;
    enum lmi_line state = lmi_shadow_parse(line, &entry);

    if (state == LMI_LINE_GOOD)
        judge_hash(survey, entry.hash, number);
    lmi_wipe(&entry, sizeof entry);
    lmi_histogram_line(&survey->histogram, line);
    return state == LMI_LINE_GOOD ? NULL : lmi_line_text(state);
}

/* A name that no request can ask for: it has lower-case letters only. */
static bool
is_host(struct lmi_bytes name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] <= ' ' || (name.ptr[i] >= 'A' && name.ptr[i] <= 'Z'))
            return false;
    return true;
}

static void
keep_domain(struct survey *survey, struct lmi_bytes name,
            struct lmi_bytes owner, uint64_t number)
{
    struct domain *domain;

    if (survey->domains == NULL)
        survey->domains = calloc(DOMAINS_MAX, sizeof *survey->domains);
    if (survey->domains == NULL)
        survey->no_memory = true;
    if (survey->no_memory || survey->domain_count == DOMAINS_MAX)
        return;
    domain = &survey->domains[survey->domain_count];
    if (!lmi_bytes_copy(name, domain->name, sizeof domain->name) ||
        !lmi_bytes_copy(owner, domain->owner, sizeof domain->owner) ||
        memchr(name.ptr, '/', name.len) != NULL || name.ptr[0] == '.')
        return;
    domain->line = number;
    survey->domain_count++;
}

static const char *
domains_fault(struct survey *survey, struct lmi_bytes line, uint64_t number)
{
    struct lmi_bytes owner = line, name;

    if (memchr(line.ptr, ':', line.len) == NULL)
        return "is not domain: user";
    name = lmi_next_field(&owner, ':');
    owner = lmi_trim(owner);
    if (name.len == 1 && name.ptr[0] == '*')
        return NULL;
    if (name.len == 0 || !lmi_user_ok(owner))
        return "is not domain: user";
    if (!is_host(name))
        return "names a domain with capital letters or blanks: nobody asks for "
               "it";
    keep_domain(survey, name, owner, number);
    return NULL;
}

static const char *
host_fault(struct survey *survey, struct lmi_bytes line, uint64_t number)
{
    (void)survey;
    (void)number;
    return is_host(line) ? NULL
                         : "names a host with capital letters or blanks: "
                           "nobody asks for it";
}

static const char *
reseller_fault(struct survey *survey, struct lmi_bytes line, uint64_t number)
{
    struct lmi_bytes rest = line;

    (void)survey;
    (void)number;
    if (memchr(line.ptr, ':', line.len) == NULL ||
        !lmi_user_ok(lmi_next_field(&rest, ':')))
        return "is not user:privileges";
    return NULL;
}

static const char *
no_fault(struct survey *survey, struct lmi_bytes line, uint64_t number)
{
    (void)survey;
    (void)line;
    (void)number;
    return NULL;
}

static void
look_at_line(void *context, struct lmi_bytes line, uint64_t number, bool whole)
{
    struct survey *survey = context;
    struct lmi_bytes rest = line;
    const char *fault;

    if (line.len == 0)
        return;
    if (survey->format->once &&
        !keys_add(&survey->keys, lmi_next_field(&rest, ':'), number))
        survey->no_memory = true;
    fault = whole ? survey->format->fault(survey, line, number) : "is too long";
    if (fault != NULL)
        add_note(survey, "site.line", number, fault, "correct it");
}

/* Hashes that take different times: a name's time shows that it exists. */
static void
note_mixed(struct survey *survey)
{
    const struct lmi_histogram *kinds = &survey->histogram;
    bool mixed = false;

    for (size_t i = 1; i < kinds->used; i++)
        mixed = mixed ||
                kinds->rows[i].prefix_len != kinds->rows[0].prefix_len ||
                memcmp(kinds->rows[i].prefix, kinds->rows[0].prefix,
                       kinds->rows[0].prefix_len) != 0;
    if (mixed)
        add_note(survey, "hashes.mixed", 0,
                 "has hashes of several schemes or costs: the time of an "
                 "answer tells accounts with the rarer ones from names that "
                 "don't exist",
                 "let these users set their passwords anew, with the scheme "
                 "of the others");
}

static void
begin_file(struct survey *survey, const struct format *format,
           enum lmi_ceiling ceiling)
{
    survey->format = format;
    survey->ceiling = ceiling;
    survey->keys.count = 0;
    memset(&survey->histogram, 0, sizeof survey->histogram);
}

static void
end_file(struct survey *survey, enum lmi_rc rc, const struct lmi_err *fault)
{
    if (rc == LMI_MEMORY)
        survey->no_memory = true;
    else if (rc != LMI_OK)
        add_fault(survey, fault);
    note_twice(survey);
    note_mixed(survey);
}

static void
look_at_file(struct survey *survey, const struct format *format)
{
    const char *root = lmi_site_root(survey->site);
    struct lmi_err fault;
    enum lmi_rc rc;

    snprintf(survey->place, sizeof survey->place, "%s/%s",
             strcmp(root, "/") == 0 ? "" : root, format->path);
    begin_file(survey, format, LMI_CEILING_SITE);
    rc = lmi_site_each_line(survey->site, format->path, format->needed,
                            look_at_line, survey, &fault);
    end_file(survey, rc, &fault);
}

static void
look_at_mailboxes(struct survey *survey, const struct domain *domain)
{
    static const struct format format = {"", false, true, shadow_fault};
    const char *root = lmi_site_root(survey->site);
    struct lmi_passwd owner;
    struct lmi_err fault;
    enum lmi_rc rc =
        lmi_site_passwd(survey->site, domain->owner, &owner, &fault);

    if (rc != LMI_OK)
        return; /* This has been noted. */
    if (!owner.found) {
        snprintf(survey->place, sizeof survey->place, "%s/etc/userdomains",
                 strcmp(root, "/") == 0 ? "" : root);
        add_note(survey, "site.domain-owner", domain->line,
                 "names an owner that is not in etc/passwd", "correct it");
    }
    if (!owner.usable)
        return;
    snprintf(survey->place, sizeof survey->place, "%s%s/etc/%s/shadow",
             strcmp(root, "/") == 0 ? "" : root, owner.home, domain->name);
    begin_file(survey, &format, LMI_CEILING_HOME);
    rc = lmi_site_each_mail_line(survey->site, &owner, domain->name,
                                 look_at_line, survey, &fault);
    end_file(survey, rc, &fault);
}

enum lmi_rc
lmi_survey(struct lmi_site *site, struct lmi_site_report *out,
           struct lmi_err *err)
{
    static const struct format formats[] = {
        {"etc/passwd", true, true, passwd_fault},
        {"etc/shadow", true, true, shadow_fault},
        {"etc/shells", false, false, no_fault},
        {"etc/userdomains", false, true, domains_fault},
        {"etc/localdomains", false, false, host_fault},
        {"var/cpanel/resellers", false, false, reseller_fault},
    };
    struct survey survey = {.site = site, .out = out};

    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        look_at_file(&survey, &formats[i]);
    for (size_t i = 0; i < survey.domain_count; i++)
        look_at_mailboxes(&survey, &survey.domains[i]);
    free(survey.keys.list);
    free(survey.domains);
    return survey.no_memory ? lmi_no_memory(err) : LMI_OK;
}
