#include "accounts/names.h"

#include <string.h>

#include "base/error.h"

#define DOMAINS_MAX 1000

struct walk {
    struct lmi_site *site;
    lmi_name_visitor *visit;
    void *context;
    size_t domains;
    struct lmi_bytes domain; /* whose mailboxes are visited; empty: none */
    bool no_memory;
};

/* The name at the beginning of a line, with the domain. */
static void
visit_line(void *context, struct lmi_bytes line, uint64_t number, bool whole)
{
    struct walk *walk = context;
    struct lmi_bytes rest = line, name = lmi_next_field(&rest, ':');
    char full[LMI_USER_MAX + 1];
    size_t len = name.len;

    (void)number;
    if (!whole || rest.len == 0 || len + 1 + walk->domain.len > LMI_USER_MAX)
        return;
    memcpy(full, name.ptr, len);
    if (walk->domain.len > 0) {
        full[len++] = '@';
        memcpy(full + len, walk->domain.ptr, walk->domain.len);
        len += walk->domain.len;
    }
    full[len] = '\0';
    if (lmi_user_ok((struct lmi_bytes){full, len}))
        walk->visit(walk->context, full);
}

/* One line of etc/userdomains, "domain: user". */
static void
visit_domain(void *context, struct lmi_bytes line, uint64_t number, bool whole)
{
    struct walk *walk = context;
    struct lmi_bytes owner = line, name = lmi_next_field(&owner, ':');
    char domain[LMI_USER_MAX + 1], user[LMI_USER_MAX + 1];
    struct lmi_passwd passwd;
    struct lmi_err ignored;
    enum lmi_rc rc;

    (void)number;
    owner = lmi_trim(owner);
    if (!whole || walk->no_memory || walk->domains == DOMAINS_MAX ||
        !lmi_user_ok(name) || !lmi_user_ok(owner) ||
        !lmi_bytes_copy(name, domain, sizeof domain) ||
        !lmi_bytes_copy(owner, user, sizeof user))
        return;
    walk->domains++;
    rc = lmi_site_passwd(walk->site, user, &passwd, &ignored);
    if (rc == LMI_OK && passwd.usable) {
        walk->domain = lmi_bytes_of(domain);
        rc = lmi_site_each_mail_line(walk->site, &passwd, domain, visit_line,
                                     walk, &ignored);
        walk->domain.len = 0;
    }
    walk->no_memory = rc == LMI_MEMORY;
}

enum lmi_rc
lmi_names_each(struct lmi_site *site, lmi_name_visitor *visit, void *context,
               struct lmi_err *err)
{
    struct walk walk = {.site = site, .visit = visit, .context = context};
    enum lmi_rc rc =
        lmi_site_each_line(site, "etc/passwd", true, visit_line, &walk, err);

    if (rc == LMI_OK)
        rc = lmi_site_each_line(site, "etc/userdomains", false, visit_domain,
                                &walk, err);
    return rc == LMI_OK && walk.no_memory ? lmi_no_memory(err) : rc;
}
