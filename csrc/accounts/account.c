#include "accounts/account.h"

#include <string.h>

#include "base/error.h"

const char *
lmi_verdict_text(enum lmi_verdict verdict)
{
    static const char *const texts[] = {
        [LMI_REFUSED_UNKNOWN] = "there is no such account",
        [LMI_REFUSED_SERVICE] = "the account may not log in to this service",
        [LMI_REFUSED_SUSPENDED] = "the account is suspended",
        [LMI_REFUSED_EXPIRED] = "the account or its password has expired",
        [LMI_REFUSED_LOCKED] = "the account has no usable password",
        [LMI_REFUSED_FAULT] = "the account's own entry is faulty",
        [LMI_REFUSED_PASSWORD] = "the password is wrong",
        [LMI_REFUSED_WAIT] = "too many failures",
        [LMI_ALLOWED] = "allowed",
    };

    return texts[verdict];
}

/* Looked up in place of a missing name, to take as long. */
#define NOBODY "-"

/*
 * One lookup, and what it gathers. Everything is read, whatever is found; what
 * is read depends on the settings and the site, never on the account.
 */
struct lookup {
    struct lmi_site *site;
    enum lmi_accounts accounts;
    struct lmi_account_facts facts;
    struct lmi_histogram histogram;
};

enum lmi_rc
lmi_account_by_passwd(struct lmi_site *site, enum lmi_accounts accounts,
                      bool *out, struct lmi_err *err)
{
    bool has_cpanel = true;
    enum lmi_rc rc = LMI_OK;

    if (accounts == LMI_ACCOUNTS_UNSET)
        rc = lmi_site_has_cpanel(site, &has_cpanel, err);
    *out = accounts == LMI_ACCOUNTS_PASSWD || !has_cpanel;
    return rc;
}

static enum lmi_rc
gather(struct lookup *lookup, struct lmi_err *err)
{
    struct lmi_site *site = lookup->site;
    struct lmi_account_facts *facts = &lookup->facts;
    const char *user = facts->user;
    enum lmi_rc rc = lmi_site_passwd(site, user, &facts->passwd, err);

    if (rc == LMI_OK)
        rc = lmi_site_shadow(site, user, &facts->shadow, &lookup->histogram,
                             err);
    if (rc == LMI_OK)
        rc = lmi_site_is_suspended(site, user, &facts->suspended, err);
    if (rc == LMI_OK)
        rc = lmi_site_is_reseller(site, user, &facts->reseller, err);
    if (rc == LMI_OK)
        rc = lmi_account_by_passwd(site, lookup->accounts, &facts->by_passwd,
                                   err);
    if (rc == LMI_OK && facts->by_passwd)
        rc = lmi_site_has_shell(site, facts->passwd.shell, &facts->shell, err);
    else if (rc == LMI_OK)
        rc = lmi_site_has_user_file(site, user, &facts->user_file, err);
    return rc;
}

/* May this system account log in to cpanel, its password apart? */
static bool
is_cpanel_account(const struct lmi_account_facts *facts)
{
    uid_t uid = facts->passwd.uid;

    if (uid == 0 || strcmp(facts->user, "root") == 0)
        return false;
    if (!facts->by_passwd)
        return facts->user_file;
    return uid >= 1000 && uid <= 59999 && facts->shell;
}

static bool
serves(const struct lmi_account_facts *facts)
{
    switch (facts->service) {
    case LMI_WHM:
        return strcmp(facts->user, "root") == 0 || facts->reseller;
    case LMI_CPANEL:
    case LMI_WEBMAIL:
        return is_cpanel_account(facts);
    }
    return false;
}

/* As pam_unix counts: the day of expiry is already too late. */
static bool
is_expired(const struct lmi_shadow_entry *entry, int64_t today)
{
    if (entry->expires != LMI_NO_DAY && today >= entry->expires)
        return true;
    if (entry->last_change == 0) /* to be changed at the next login */
        return true;
    return entry->last_change != LMI_NO_DAY && entry->max_age != LMI_NO_DAY &&
           today > entry->last_change + entry->max_age;
}

enum lmi_verdict
lmi_account_judge_line(const struct lmi_shadow_entry *entry, int64_t today)
{
    if (!entry->found)
        return LMI_REFUSED_UNKNOWN;
    if (entry->twice || entry->fault != LMI_LINE_GOOD)
        return LMI_REFUSED_FAULT;
    if (entry->hash[0] == '\0' || strpbrk(entry->hash, "!*") != NULL)
        return LMI_REFUSED_LOCKED;
    if (is_expired(entry, today))
        return LMI_REFUSED_EXPIRED;
    return LMI_ALLOWED;
}

enum lmi_verdict
lmi_account_judge(const struct lmi_account_facts *facts)
{
    if (!facts->passwd.found)
        return LMI_REFUSED_UNKNOWN;
    if (!facts->passwd.usable)
        return LMI_REFUSED_FAULT;
    if (!serves(facts))
        return LMI_REFUSED_SERVICE;
    if (facts->suspended)
        return LMI_REFUSED_SUSPENDED;
    return lmi_account_judge_line(&facts->shadow, facts->today);
}

/* What is wrong with an account's own line, for the log. */
static void
describe_fault(struct lmi_account *out, const char *file,
               const struct lmi_shadow_entry *entry)
{
    if (out->verdict != LMI_REFUSED_FAULT || out->fault.text != NULL)
        return;
    lmi_fail(&out->fault, LMI_SITE, 0, file,
             entry->twice ? "the account is there twice"
                          : lmi_line_text(entry->fault),
             NULL);
    if (entry->line > 0)
        lmi_err_add_location(&out->fault, " line %llu",
                             (unsigned long long)entry->line);
}

static enum lmi_rc
find_system_account(struct lookup *lookup, struct lmi_account *out,
                    struct lmi_err *err)
{
    const struct lmi_account_facts *facts = &lookup->facts;
    enum lmi_rc rc = gather(lookup, err);

    if (rc != LMI_OK)
        return rc;
    out->verdict = lmi_account_judge(facts);
    out->exists = facts->passwd.found;
    if (facts->passwd.found && !facts->passwd.usable)
        lmi_fail(&out->fault, LMI_SITE, 0, "etc/passwd",
                 "the account's line is malformed, or there twice", NULL);
    describe_fault(out, "etc/shadow", &facts->shadow);
    lmi_histogram_setting(&lookup->histogram, &out->decoy);
    memcpy(out->hash, facts->shadow.hash, sizeof out->hash);
    return LMI_OK;
}

/* A mailbox: its owner could log in, and its own line decides the rest. */
static enum lmi_rc
find_mailbox(struct lookup *lookup, const char *user, const char *at,
             struct lmi_account *out, struct lmi_err *err)
{
    struct lmi_account_facts *facts = &lookup->facts;
    const struct lmi_bytes local = {user, (size_t)(at - user)};
    char name[LMI_USER_MAX + 1];
    struct lmi_shadow_entry entry;
    struct lmi_histogram histogram;
    struct lmi_domain domain;
    enum lmi_rc rc = lmi_site_domain(lookup->site, at + 1, &domain, err);

    if (rc != LMI_OK)
        return rc;
    facts->user = domain.usable ? domain.owner : NOBODY;
    rc = find_system_account(lookup, out, err);
    out->hash[0] = '\0'; /* The owner's password opens no mailbox. */
    out->exists = false; /* The owner is there, but is the mailbox? */
    if (rc != LMI_OK)
        return rc;
    out->below_home = true;
    if (!domain.usable)
        out->verdict = domain.found ? LMI_REFUSED_FAULT : LMI_REFUSED_UNKNOWN;
    if (domain.found && !domain.usable)
        lmi_fail(&out->fault, LMI_SITE, 0, "etc/userdomains",
                 "the domain's line is malformed, or there twice", NULL);
    if (!domain.usable || !facts->passwd.usable ||
        !lmi_bytes_copy(local, name, sizeof name))
        return LMI_OK;
    rc = lmi_site_mail_shadow(lookup->site, &facts->passwd, at + 1, name,
                              &entry, &histogram, &out->fault, err);
    /* Known and unknown mailboxes of one domain take as long. */
    if (histogram.used > 0)
        lmi_histogram_setting(&histogram, &out->decoy);
    if (rc == LMI_OK && out->verdict == LMI_ALLOWED) {
        out->verdict = out->fault.code != LMI_OK
                           ? LMI_REFUSED_FAULT
                           : lmi_account_judge_line(&entry, facts->today);
        describe_fault(out, "a mail shadow", &entry);
    }
    out->exists = entry.found;
    memcpy(out->hash, entry.hash, sizeof out->hash);
    lmi_wipe(&entry, sizeof entry);
    return rc;
}

enum lmi_rc
lmi_account_find(struct lmi_site *site, enum lmi_accounts accounts,
                 const char *user, enum lmi_service service, int64_t today,
                 struct lmi_account *out, struct lmi_err *err)
{
    const char *at = strchr(user, '@');
    struct lookup lookup = {.site = site,
                            .accounts = accounts,
                            .facts = {.service = service,
                                      .today = today,
                                      .user = at == NULL ? user : NOBODY}};
    enum lmi_rc rc;

    memset(out, 0, sizeof *out);
    if (at != NULL && service == LMI_WEBMAIL)
        rc = find_mailbox(&lookup, user, at, out, err);
    else
        rc = find_system_account(&lookup, out, err);
    if (at != NULL && service != LMI_WEBMAIL)
        out->verdict = LMI_REFUSED_SERVICE;
    if (rc != LMI_OK)
        out->verdict = LMI_REFUSED_UNKNOWN;
    lmi_wipe(&lookup, sizeof lookup);
    return rc;
}
