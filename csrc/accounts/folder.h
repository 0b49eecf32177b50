/* The folders that account files lie in, opened for changes. */
#ifndef LMI_FOLDER_H
#define LMI_FOLDER_H

#include "accounts/site.h"
#include "base/replace.h"

/*
 * Not to be copied: rules points into it. Below a home the owner's rights are
 * taken on from opening to closing.
 */
struct lmi_folder {
    int fd; /* -1: there is none */
    char place[1200];
    struct lmi_file_rules rules;
    uid_t uid; /* of the owner, below a home */
    gid_t gid;
    struct lmi_owner owner;
};

/*
 * A folder of the site, such as "var/cpanel/users". It must belong to root or
 * the caller. With `make` a missing one is made, and those it lies in.
 */
LMI_RC lmi_folder_open(struct lmi_site *site, const char *path, bool make,
                       struct lmi_folder *out, struct lmi_err *err);

/* HOME/etc/DOMAIN, with the rights of the owner. No link is followed. */
LMI_RC lmi_folder_open_mail(struct lmi_site *site,
                            const struct lmi_passwd *owner, const char *domain,
                            bool make, struct lmi_folder *out,
                            struct lmi_err *err);

/* May be called whatever the opening came to. */
void lmi_folder_close(struct lmi_folder *folder);

/* Waits for at most 10 seconds; the lock ends with lmi_folder_close(). */
LMI_RC lmi_folder_lock(struct lmi_folder *folder, struct lmi_err *err);

/* A change of this file in it. mode is for a new file. */
struct lmi_replacement lmi_folder_file(struct lmi_folder *folder,
                                       const char *name, mode_t mode,
                                       struct lmi_crypto *crypto);

#endif
