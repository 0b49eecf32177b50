/* Which accounts may log in at which service. */
#ifndef LMI_ACCOUNT_H
#define LMI_ACCOUNT_H

#include "base/settings.h"
#include "accounts/shadow.h"
#include "accounts/site.h"

/* May it log in, and why not: for the log, never for the browser. */
enum lmi_verdict {
    LMI_REFUSED_UNKNOWN = 0, /* no such account */
    LMI_REFUSED_SERVICE,     /* not at this service */
    LMI_REFUSED_SUSPENDED,
    LMI_REFUSED_EXPIRED, /* the account, or its password */
    LMI_REFUSED_LOCKED,  /* no hash, or one with "!" or "*" */
    LMI_REFUSED_FAULT,   /* its own line, or its own file */
    LMI_REFUSED_PASSWORD,
    LMI_REFUSED_WAIT, /* too many failures */
    LMI_ALLOWED,      /* the only one that may log in */
};

/* "the account is suspended". Static. */
const char *lmi_verdict_text(enum lmi_verdict verdict);

struct lmi_account {
    enum lmi_verdict verdict; /* without regard to password and waits */
    bool exists;              /* there is a line of its own */
    bool below_home;          /* the hash lies in a file of the user's */
    char hash[LMI_HASH_SIZE]; /* empty: none */
    struct lmi_decoy decoy;   /* a setting of the commonest kind */
    struct lmi_err fault; /* of its own line or file, if LMI_REFUSED_FAULT */
};

/*
 * Looks an account up; a missing one is a verdict. out holds a hash, to be
 * wiped. user passed the grammar of a request. today is in days since 1970.
 */
LMI_RC lmi_account_find(struct lmi_site *site, enum lmi_accounts accounts,
                        const char *user, enum lmi_service service,
                        int64_t today, struct lmi_account *out,
                        struct lmi_err *err);

/*
 * What the decision about a system account depends on, for a service and a day:
 * lmi_account_find() gathers it with searches that take as long for names that
 * don't exist; who looks at all accounts gathers it otherwise.
 */
struct lmi_account_facts {
    enum lmi_service service;
    int64_t today;
    const char *user; /* a system account: the user, or a mailbox's owner */
    struct lmi_passwd passwd;
    struct lmi_shadow_entry shadow;
    bool suspended, reseller;
    bool by_passwd; /* accounts are those of passwd, not of var/cpanel */
    bool user_file; /* unless by_passwd */
    bool shell;     /* if by_passwd */
};
enum lmi_verdict lmi_account_judge(const struct lmi_account_facts *facts);

/* A mailbox's own line, where its owner is allowed. */
enum lmi_verdict lmi_account_judge_line(const struct lmi_shadow_entry *entry,
                                        int64_t today);

/* Are the site's accounts those of passwd? By the setting, else by var/cpanel.
 */
LMI_RC lmi_account_by_passwd(struct lmi_site *site, enum lmi_accounts accounts,
                             bool *out, struct lmi_err *err);

#endif
