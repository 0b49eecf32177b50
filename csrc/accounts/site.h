/*
 * The account files, as cPanel lays them out, below site_root. Every file is
 * read to its end, so that timing does not depend on what is found.
 */
#ifndef LMI_SITE_H
#define LMI_SITE_H

#include <sys/types.h>

#include "logmein.h"
#include "accounts/shadow.h"
#include "base/file.h"

struct lmi_site;
/* root, the setting site_root, outlives the site. */
LMI_RC lmi_site_open(const char *root, struct lmi_site **out,
                     struct lmi_err *err);
void lmi_site_close(struct lmi_site *site);

/*
 * Is the open folder still the one that was opened, and the one at its path
 * (checked once a second)? If not, open the site again.
 */
LMI_CHECK bool lmi_site_in_place(struct lmi_site *site);

/* etc/passwd. usable is false for a malformed line or a duplicate. */
struct lmi_passwd {
    bool found, usable;
    uid_t uid;
    gid_t gid;
    char home[512];
    char shell[256];
};
LMI_RC lmi_site_passwd(struct lmi_site *site, const char *user,
                       struct lmi_passwd *out, struct lmi_err *err);

/* etc/shadow: the account's line, and every line's setting. */
LMI_RC lmi_site_shadow(struct lmi_site *site, const char *user,
                       struct lmi_shadow_entry *out,
                       struct lmi_histogram *histogram, struct lmi_err *err);

/*
 * HOME/etc/DOMAIN/shadow. Files below homes are not trusted: a fault there is
 * no error but comes back in fault_out, and the entry is not found.
 */
LMI_RC lmi_site_mail_shadow(struct lmi_site *site,
                            const struct lmi_passwd *owner, const char *domain,
                            const char *name, struct lmi_shadow_entry *out,
                            struct lmi_histogram *histogram,
                            struct lmi_err *fault_out, struct lmi_err *err);

/* etc/userdomains. usable is false for a malformed line or a duplicate. */
struct lmi_domain {
    bool found, usable;
    char owner[LMI_USER_MAX + 1];
};
LMI_RC lmi_site_domain(struct lmi_site *site, const char *domain,
                       struct lmi_domain *out, struct lmi_err *err);

/* Does etc/userdomains or etc/localdomains name this host? */
LMI_RC lmi_site_names_host(struct lmi_site *site, const char *host, bool *out,
                           struct lmi_err *err);

/* Is the user listed in var/cpanel/resellers? */
LMI_RC lmi_site_is_reseller(struct lmi_site *site, const char *user, bool *out,
                            struct lmi_err *err);

/* Has the user a file in var/cpanel/users? Its content is not read. */
LMI_RC lmi_site_has_user_file(struct lmi_site *site, const char *user,
                              bool *out, struct lmi_err *err);

/* Is there anything by the user's name in var/cpanel/suspended? */
LMI_RC lmi_site_is_suspended(struct lmi_site *site, const char *user, bool *out,
                             struct lmi_err *err);

/* Is there a var/cpanel at all? */
LMI_RC lmi_site_has_cpanel(struct lmi_site *site, bool *out,
                           struct lmi_err *err);

/*
 * For a survey: the root, the lines of a file of the site (a missing one is a
 * fault if it is needed), those of HOME/etc/DOMAIN/shadow, and one line of
 * etc/passwd. Other than above, a fault below a home is an error.
 */
const char *lmi_site_root(const struct lmi_site *site);
LMI_RC lmi_site_each_line(struct lmi_site *site, const char *path, bool needed,
                          lmi_line_visitor *visit, void *context,
                          struct lmi_err *err);
LMI_RC lmi_site_each_mail_line(struct lmi_site *site,
                               const struct lmi_passwd *owner,
                               const char *domain, lmi_line_visitor *visit,
                               void *context, struct lmi_err *err);

/*
 * The account's home, which must belong to it or to root: opened for reading.
 * fd_out is -1 if there is none.
 */
LMI_RC lmi_site_open_home(struct lmi_site *site, const struct lmi_passwd *owner,
                          int *fd_out, struct lmi_err *err);

/* The open root, borrowed; its path is lmi_site_root(). */
int lmi_site_fd(const struct lmi_site *site);
bool lmi_passwd_parse(struct lmi_bytes line, struct lmi_passwd *out);

/* Is this shell listed in etc/shells? */
LMI_RC lmi_site_has_shell(struct lmi_site *site, const char *shell, bool *out,
                          struct lmi_err *err);

#endif
