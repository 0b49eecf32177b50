#include "accounts/digest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"

#define DOMAINS_MAX 1000

const char *
lmi_site_file_path(enum lmi_site_file file)
{
    static const char *const paths[LMI_SITE_FILES] = {
        [LMI_SITE_PASSWD] = "etc/passwd",
        [LMI_SITE_SHADOW] = "etc/shadow",
        [LMI_SITE_SHELLS] = "etc/shells",
        [LMI_SITE_DOMAINS] = "etc/userdomains",
        [LMI_SITE_RESELLERS] = "var/cpanel/resellers",
        [LMI_SITE_USERS] = "var/cpanel/users",
        [LMI_SITE_SUSPENDED] = "var/cpanel/suspended",
        [LMI_SITE_MAILBOXES] = "HOME/etc/DOMAIN/shadow",
    };

    return paths[file];
}

/* A domain whose mailboxes are looked at after all domains are known. */
struct domain {
    char name[LMI_USER_MAX + 1], owner[LMI_USER_MAX + 1];
};

struct summing {
    struct lmi_crypto *crypto;
    enum lmi_site_file file;
    const char *domain; /* of the mailboxes */
    struct domain *domains;
    size_t domain_count;
    struct lmi_digest *out;
    enum lmi_rc rc;
    struct lmi_err *err;
};

/* Adds the hash of a text, as a number of 256 bits. */
static void
add(struct summing *summing, const char *text, size_t len)
{
    uint8_t hash[LMI_HASH], *sum = summing->out->sums[summing->file];
    unsigned carry = 0;

    if (summing->rc != LMI_OK)
        return;
    summing->rc = lmi_sha256(summing->crypto, text, len, hash, summing->err);
    for (size_t i = LMI_HASH; i-- > 0;) {
        carry += (unsigned)sum[i] + hash[i];
        sum[i] = (uint8_t)carry;
        carry >>= 8;
    }
}

static void
add_bytes(struct summing *summing, struct lmi_bytes bytes)
{
    add(summing, bytes.ptr, bytes.len);
}

/* A text of at most 2,048 bytes, which may hold a hash. */
__attribute__((format(printf, 2, 3))) static void
add_text(struct summing *summing, const char *format, ...)
{
    char text[2048];
    va_list list;
    int len;

    va_start(list, format);
    len = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    add(summing, text, (size_t)len < sizeof text ? (size_t)len : sizeof text);
    lmi_wipe(text, sizeof text);
}

/* Root, and who may be an account. */
static void
add_passwd(struct summing *summing, struct lmi_bytes line)
{
    struct lmi_bytes rest = line, name = lmi_next_field(&rest, ':');
    struct lmi_passwd passwd;

    if (!lmi_passwd_parse(line, &passwd) ||
        (passwd.uid != 0 && (passwd.uid < 1000 || passwd.uid > 59999)))
        return;
    add_text(summing, "%.*s:%u:%s:%s", (int)name.len, name.ptr,
             (unsigned)passwd.uid, passwd.home, passwd.shell);
}

/* Whose password can be used. */
static void
add_shadow(struct summing *summing, struct lmi_bytes line)
{
    struct lmi_bytes rest = line, name = lmi_next_field(&rest, ':');
    struct lmi_shadow_entry entry;

    if (lmi_shadow_parse(line, &entry) == LMI_LINE_GOOD &&
        entry.hash[0] != '\0' && strpbrk(entry.hash, "!*") == NULL)
        add_text(summing, "%s/%.*s:%s:%lld:%lld:%lld", summing->domain,
                 (int)name.len, name.ptr, entry.hash,
                 (long long)entry.last_change, (long long)entry.max_age,
                 (long long)entry.expires);
    lmi_wipe(&entry, sizeof entry);
}

static void
keep_domain(struct summing *summing, struct lmi_bytes name,
            struct lmi_bytes owner)
{
    struct domain *domain = &summing->domains[summing->domain_count];

    if (summing->domain_count < DOMAINS_MAX && lmi_user_ok(name) &&
        lmi_bytes_copy(name, domain->name, sizeof domain->name) &&
        lmi_bytes_copy(owner, domain->owner, sizeof domain->owner))
        summing->domain_count++;
}

static void
add_domain(struct summing *summing, struct lmi_bytes line)
{
    struct lmi_bytes owner = line, name = lmi_next_field(&owner, ':');

    owner = lmi_trim(owner);
    if (!lmi_user_ok(owner) || name.len > LMI_USER_MAX ||
        lmi_bytes_equal(name, "*"))
        return;
    add_text(summing, "%.*s:%.*s", (int)name.len, name.ptr, (int)owner.len,
             owner.ptr);
    keep_domain(summing, name, owner);
}

static void
add_line(void *context, struct lmi_bytes line, uint64_t number, bool whole)
{
    struct summing *summing = context;
    struct lmi_bytes rest = line;

    (void)number;
    if (!whole || line.len == 0)
        return;
    switch (summing->file) {
    case LMI_SITE_PASSWD:
        add_passwd(summing, line);
        break;
    case LMI_SITE_SHADOW:
    case LMI_SITE_MAILBOXES:
        add_shadow(summing, line);
        break;
    case LMI_SITE_DOMAINS:
        add_domain(summing, line);
        break;
    case LMI_SITE_RESELLERS:
        add_bytes(summing, lmi_next_field(&rest, ':'));
        break;
    default:
        if (line.ptr[0] != '#')
            add_bytes(summing, line);
    }
}

static enum lmi_rc
add_file(struct summing *summing, struct lmi_site *site,
         enum lmi_site_file file, bool needed)
{
    enum lmi_rc rc;

    summing->file = file;
    summing->domain = "";
    rc = lmi_site_each_line(site, lmi_site_file_path(file), needed, add_line,
                            summing, summing->err);
    return rc != LMI_OK ? rc : summing->rc;
}

/* The names in a folder; what they hold decides nothing. */
static enum lmi_rc
add_folder(struct summing *summing, struct lmi_site *site,
           enum lmi_site_file file)
{
    const char *path = lmi_site_file_path(file);
    int fd =
        openat(lmi_site_fd(site), path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    summing->file = file;
    if (dir == NULL && errno == ENOENT)
        return LMI_OK;
    if (dir == NULL) {
        lmi_fail(summing->err, errno == EACCES ? LMI_RIGHTS : LMI_SITE, errno,
                 path, "can't be opened", NULL);
        if (fd >= 0)
            close(fd);
        return summing->err->code;
    }
    while ((entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.')
            add_bytes(summing, lmi_bytes_of(entry->d_name));
    closedir(dir);
    return summing->rc;
}

static enum lmi_rc
add_mailboxes(struct summing *summing, struct lmi_site *site)
{
    struct lmi_passwd owner;
    struct lmi_err ignored;
    enum lmi_rc rc = LMI_OK;

    summing->file = LMI_SITE_MAILBOXES;
    for (size_t i = 0; rc == LMI_OK && i < summing->domain_count; i++) {
        summing->domain = summing->domains[i].name;
        rc = lmi_site_passwd(site, summing->domains[i].owner, &owner,
                             summing->err);
        if (rc == LMI_OK && owner.usable &&
            lmi_site_each_mail_line(site, &owner, summing->domain, add_line,
                                    summing, &ignored) == LMI_MEMORY)
            rc = lmi_no_memory(summing->err);
    }
    return rc != LMI_OK ? rc : summing->rc;
}

enum lmi_rc
lmi_digest_make(struct lmi_crypto *crypto, struct lmi_site *site,
                enum lmi_accounts accounts, struct lmi_digest *out,
                struct lmi_err *err)
{
    struct summing summing = {.crypto = crypto, .out = out, .err = err};
    bool by_passwd = false;
    enum lmi_rc rc = lmi_account_by_passwd(site, accounts, &by_passwd, err);

    memset(out, 0, sizeof *out);
    summing.domains = calloc(DOMAINS_MAX + 1, sizeof *summing.domains);
    if (rc == LMI_OK && summing.domains == NULL)
        rc = lmi_no_memory(err);
    if (rc == LMI_OK)
        rc = add_file(&summing, site, LMI_SITE_PASSWD, true);
    if (rc == LMI_OK)
        rc = add_file(&summing, site, LMI_SITE_SHADOW, true);
    if (rc == LMI_OK && by_passwd)
        rc = add_file(&summing, site, LMI_SITE_SHELLS, false);
    if (rc == LMI_OK)
        rc = add_file(&summing, site, LMI_SITE_DOMAINS, false);
    if (rc == LMI_OK)
        rc = add_file(&summing, site, LMI_SITE_RESELLERS, false);
    if (rc == LMI_OK && !by_passwd)
        rc = add_folder(&summing, site, LMI_SITE_USERS);
    if (rc == LMI_OK)
        rc = add_folder(&summing, site, LMI_SITE_SUSPENDED);
    if (rc == LMI_OK)
        rc = add_mailboxes(&summing, site);
    free(summing.domains);
    return rc;
}
