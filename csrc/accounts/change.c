#include "accounts/change.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "accounts/edit.h"
#include "accounts/folder.h"
#include "accounts/password.h"
#include "base/error.h"

#define UID_FIRST 1001
#define UID_LAST 59999 /* Accounts of passwd end here: see account.c. */
#define NAME_LIMIT 32  /* bytes, as useradd has it */

const char *
lmi_changed_name(enum lmi_changed changed)
{
    static const char *const names[LMI_CHANGEDS] = {
        [LMI_CHANGED_MISSING] = "missing",   [LMI_CHANGED_THERE] = "there",
        [LMI_CHANGED_SAME] = "same",         [LMI_CHANGED_NAME] = "name",
        [LMI_CHANGED_DOMAIN] = "domain",     [LMI_CHANGED_OWNER] = "owner",
        [LMI_CHANGED_UID] = "uid",           [LMI_CHANGED_HOME] = "home",
        [LMI_CHANGED_RESELLER] = "reseller", [LMI_CHANGED_FAULTY] = "faulty",
        [LMI_CHANGED_SYSTEM] = "system",     [LMI_CHANGED_DONE] = "done",
    };

    return names[changed];
}

const char *
lmi_changed_text(enum lmi_changed changed)
{
    static const char *const texts[LMI_CHANGEDS] = {
        [LMI_CHANGED_MISSING] = "There is no such account.",
        [LMI_CHANGED_THERE] = "There is such an account already.",
        [LMI_CHANGED_SAME] = "It is so already, or there is no password.",
        [LMI_CHANGED_NAME] =
            ("No account can have this name: use up to 32 of a-z, 0-9, dot, "
             "hyphen and underscore, beginning with a letter; or for a mailbox "
             "NAME@DOMAIN, without a plus sign."),
        [LMI_CHANGED_DOMAIN] = "This is not a domain: write it in lower case.",
        [LMI_CHANGED_OWNER] =
            "The domain has another owner in etc/userdomains, or none.",
        [LMI_CHANGED_UID] = "The uid is not free, or not from 1 to 4294967294.",
        [LMI_CHANGED_HOME] =
            ("There is a home that belongs to another uid: move it away, or "
             "use its uid."),
        [LMI_CHANGED_RESELLER] =
            "Resellers are listed in var/cpanel, which is not there.",
        [LMI_CHANGED_FAULTY] =
            "The account's line is malformed, or there twice.",
        [LMI_CHANGED_SYSTEM] = "This is a user of the machine.",
        [LMI_CHANGED_DONE] = "Done.",
    };

    return texts[changed];
}

/* One change. What is refused sets outcome; `done` is set last. */
struct work {
    const struct lmi_change_place *place;
    const struct lmi_account_change *ask;
    char user[LMI_USER_MAX + 1];
    char name[LMI_USER_MAX + 1]; /* the key of its line */
    const char *domain;          /* of a mailbox, else NULL */
    bool has_cpanel, by_passwd;
    struct lmi_passwd passwd; /* its own, or that of the mailbox's owner */
    char hash[LMI_HASH_SIZE];
    enum lmi_changed outcome; /* LMI_CHANGED_DONE: nothing is against it */
};

static enum lmi_rc
refuse(struct work *work, enum lmi_changed outcome)
{
    work->outcome = outcome;
    return LMI_OK;
}

static bool
goes_on(const struct work *work, enum lmi_rc rc)
{
    return rc == LMI_OK && work->outcome == LMI_CHANGED_DONE;
}

static bool
is_name(const char *name)
{
    size_t len = strlen(name);

    return len > 0 && len <= NAME_LIMIT && name[0] >= 'a' && name[0] <= 'z' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == len &&
           lmi_user_ok(lmi_bytes_of(name));
}

/* Labels of letters, digits and hyphens, with dots between them. */
static bool
is_domain(const char *domain)
{
    size_t len = strlen(domain);

    return len > 0 && len <= 253 && domain[0] != '.' && domain[0] != '-' &&
           domain[len - 1] != '.' && strstr(domain, "..") == NULL &&
           strspn(domain, "abcdefghijklmnopqrstuvwxyz0123456789.-") == len;
}

static bool
is_this_machine(const struct lmi_site *site)
{
    struct stat own, machine;

    return fstat(lmi_site_fd(site), &own) != 0 || stat("/", &machine) != 0 ||
           (own.st_dev == machine.st_dev && own.st_ino == machine.st_ino);
}

/* The name; and of a mailbox its two parts. */
static bool
read_user(struct work *work)
{
    size_t len;
    char *at;

    if (!lmi_text_read(work->ask->user, work->user, sizeof work->user, &len) ||
        !lmi_user_ok((struct lmi_bytes){work->user, len}) ||
        strcmp(work->user, "nobody") == 0) /* "*: nobody" is no domain */
        return false;
    at = strchr(work->user, '@');
    len = at == NULL ? len : (size_t)(at - work->user);
    work->domain = at == NULL ? NULL : at + 1;
    for (char *c = at; c != NULL && *c != '\0'; c++)
        *c = lmi_lower(*c);
    return lmi_bytes_copy((struct lmi_bytes){work->user, len}, work->name,
                          sizeof work->name) &&
           len > 0 && (at == NULL || is_domain(at + 1));
}

/* Mailboxes. */

static enum lmi_rc
examine_owner(struct work *work, struct lmi_err *err)
{
    struct lmi_domain domain;
    enum lmi_rc rc =
        lmi_site_domain(work->place->site, work->domain, &domain, err);

    if (rc == LMI_OK && !domain.usable)
        return refuse(work, LMI_CHANGED_OWNER);
    if (rc == LMI_OK)
        rc = lmi_site_passwd(work->place->site, domain.owner, &work->passwd,
                             err);
    if (rc == LMI_OK && !work->passwd.usable)
        return refuse(work, LMI_CHANGED_OWNER);
    return rc;
}

static enum lmi_rc
examine_mailbox(struct work *work, struct lmi_err *err)
{
    bool adds = work->ask->what == LMI_CHANGE_ADD;
    struct lmi_shadow_entry entry;
    struct lmi_histogram histogram;
    struct lmi_err fault;
    enum lmi_rc rc = LMI_OK;

    if (adds && strchr(work->name, '+') != NULL)
        return refuse(work, LMI_CHANGED_NAME);
    rc = examine_owner(work, err);
    if (!goes_on(work, rc))
        return rc;
    rc = lmi_site_mail_shadow(work->place->site, &work->passwd, work->domain,
                              work->name, &entry, &histogram, &fault, err);
    if (rc == LMI_OK && fault.code != LMI_OK) {
        *err = fault;
        rc = fault.code;
    }
    if (rc == LMI_OK && entry.found == adds)
        refuse(work, adds ? LMI_CHANGED_THERE : LMI_CHANGED_MISSING);
    lmi_wipe(&entry, sizeof entry);
    return rc;
}

/* Files. */

/* One edit of a file of an open folder. */
static enum lmi_rc
edit_file(struct work *work, struct lmi_folder *folder, const char *name,
          mode_t mode, const struct lmi_edit *edit,
          enum lmi_edit_outcome *outcome_out, struct lmi_err *err)
{
    struct lmi_replacement file =
        lmi_folder_file(folder, name, mode, work->place->crypto);
    char *old = NULL, *text = NULL;
    size_t old_len = 0, len = 0;
    enum lmi_rc rc = lmi_replace_begin(&file, &old, &old_len, err);

    *outcome_out = LMI_EDIT_FAULTY;
    if (rc == LMI_OK)
        rc = lmi_edit_text((struct lmi_bytes){old == NULL ? "" : old, old_len},
                           edit, &text, &len, outcome_out, err);
    if (rc == LMI_OK && *outcome_out == LMI_EDIT_DONE)
        rc = lmi_replace_finish(&file, (struct lmi_bytes){text, len}, err);
    lmi_secret_free(text);
    lmi_secret_free(old);
    return rc;
}

/* The same for a file of the site. A missing one is made by what adds a line.
 */
static enum lmi_rc
edit_path(struct work *work, const char *folder_path, const char *name,
          mode_t mode, const struct lmi_edit *edit,
          enum lmi_edit_outcome *outcome_out, struct lmi_err *err)
{
    bool makes = edit->kind == LMI_EDIT_ADD || edit->kind == LMI_EDIT_PUT;
    struct lmi_folder folder;
    enum lmi_rc rc =
        lmi_folder_open(work->place->site, folder_path, makes, &folder, err);

    *outcome_out = LMI_EDIT_MISSING;
    if (rc == LMI_OK && folder.fd >= 0)
        rc = edit_file(work, &folder, name, mode, edit, outcome_out, err);
    lmi_folder_close(&folder);
    return rc;
}

/* Where it does not matter whether there was such a line. */
static enum lmi_rc
drop_lines(struct work *work, const char *folder, const char *name,
           enum lmi_edit_kind kind, bool *changed, struct lmi_err *err)
{
    const struct lmi_edit edit = {.kind = kind, .key = work->user};
    enum lmi_edit_outcome outcome;
    enum lmi_rc rc = edit_path(work, folder, name, 0644, &edit, &outcome, err);

    *changed = *changed || (rc == LMI_OK && outcome == LMI_EDIT_DONE);
    return rc;
}

static enum lmi_rc
put_line(struct work *work, const char *folder, const char *name, mode_t mode,
         const char *key, const char *line, struct lmi_err *err)
{
    const struct lmi_edit edit = {
        .kind = LMI_EDIT_PUT, .key = key, .value = line};
    enum lmi_edit_outcome outcome;

    return edit_path(work, folder, name, mode, &edit, &outcome, err);
}

/* A file of its own, below var/cpanel. */
static enum lmi_rc
put_file(struct work *work, const char *path, struct lmi_bytes text,
         struct lmi_err *err)
{
    struct lmi_folder folder;
    struct lmi_replacement file;
    char *old = NULL;
    size_t len;
    enum lmi_rc rc =
        lmi_folder_open(work->place->site, path, true, &folder, err);

    file = lmi_folder_file(&folder, work->user, 0644, work->place->crypto);
    if (rc == LMI_OK)
        rc = lmi_replace_begin(&file, &old, &len, err);
    if (rc == LMI_OK)
        rc = lmi_replace_finish(&file, text, err);
    lmi_secret_free(old);
    lmi_folder_close(&folder);
    return rc;
}

static enum lmi_rc
drop_file(struct work *work, const char *path, bool *changed,
          struct lmi_err *err)
{
    struct lmi_folder folder;
    struct lmi_replacement file;
    bool removed = false;
    enum lmi_rc rc =
        lmi_folder_open(work->place->site, path, false, &folder, err);

    file = lmi_folder_file(&folder, work->user, 0, work->place->crypto);
    if (rc == LMI_OK && folder.fd >= 0)
        rc = lmi_replace_remove(&file, &removed, err);
    *changed = *changed || removed;
    lmi_folder_close(&folder);
    return rc;
}

/* System accounts. */

static enum lmi_rc
examine_domain(struct work *work, struct lmi_err *err)
{
    struct lmi_domain domain;
    enum lmi_rc rc;

    if (work->ask->domain == NULL)
        return LMI_OK;
    rc = lmi_site_domain(work->place->site, work->ask->domain, &domain, err);
    if (rc == LMI_OK && domain.found &&
        (!domain.usable || strcmp(domain.owner, work->user) != 0))
        return refuse(work, LMI_CHANGED_OWNER);
    return rc;
}

struct uids {
    uint32_t wanted;
    bool taken; /* wanted is another account's */
    bool used[UID_LAST + 1];
};

static void
note_uid(void *context, struct lmi_bytes line, uint64_t number, bool whole)
{
    struct uids *uids = context;
    struct lmi_passwd passwd;

    (void)number;
    if (!whole || !lmi_passwd_parse(line, &passwd))
        return;
    if (passwd.uid == uids->wanted)
        uids->taken = true;
    if (passwd.uid <= UID_LAST)
        uids->used[passwd.uid] = true;
}

/* Does this machine know the uid? Its user would own the home. */
static bool
is_machines(uid_t uid)
{
    struct passwd entry, *found = NULL;
    char memory[4096];

    return getpwuid_r(uid, &entry, memory, sizeof memory, &found) != 0 ||
           found != NULL;
}

/* The uid that the account gets. Who is not root can give away no homes. */
static enum lmi_rc
choose_uid(struct work *work, struct lmi_err *err)
{
    struct uids *uids = calloc(1, sizeof *uids);
    uint32_t uid = work->ask->uid;
    enum lmi_rc rc;

    if (uids == NULL)
        return lmi_no_memory(err);
    uids->wanted = uid;
    rc = lmi_site_each_line(work->place->site, "etc/passwd", false, note_uid,
                            uids, err);
    if (strcmp(work->user, "root") == 0)
        uid = 0;
    else if (geteuid() != 0 && uid == 0)
        uid = geteuid();
    else if (uid == 0)
        for (uid = UID_FIRST; uid <= UID_LAST; uid++)
            if (!uids->used[uid] && !is_machines(uid))
                break;
    if ((geteuid() == 0 && work->ask->uid != 0 && uids->taken) ||
        (geteuid() == 0 && work->ask->uid == 0 && uid > UID_LAST) ||
        (geteuid() != 0 && uid != 0 && uid != geteuid()) || uid == UINT32_MAX)
        refuse(work, LMI_CHANGED_UID);
    free(uids);
    work->passwd.uid = work->passwd.gid = uid;
    return rc;
}

static enum lmi_rc
examine_new(struct work *work, struct lmi_err *err)
{
    enum lmi_rc rc;

    if (work->passwd.found)
        return refuse(work, LMI_CHANGED_THERE);
    if (work->ask->reseller && work->by_passwd && !work->has_cpanel)
        return refuse(work, LMI_CHANGED_RESELLER);
    rc = examine_domain(work, err);
    if (goes_on(work, rc))
        rc = choose_uid(work, err);
    return rc;
}

static enum lmi_rc
examine_system(struct work *work, struct lmi_err *err)
{
    struct lmi_site *site = work->place->site;
    bool missing = false;
    enum lmi_rc rc;

    if (is_this_machine(site))
        return refuse(work, LMI_CHANGED_SYSTEM);
    rc = lmi_site_has_cpanel(site, &work->has_cpanel, err);
    if (rc == LMI_OK)
        rc = lmi_account_by_passwd(site, work->place->accounts,
                                   &work->by_passwd, err);
    if (rc == LMI_OK)
        rc = lmi_site_passwd(site, work->user, &work->passwd, err);
    if (rc == LMI_SITE && err->name != NULL &&
        strcmp(err->name, "missing") == 0)
        missing = true; /* a site that begins with this account */
    if (missing && work->ask->what == LMI_CHANGE_ADD)
        rc = LMI_OK;
    if (rc != LMI_OK)
        return rc;
    if (work->ask->what == LMI_CHANGE_ADD)
        return examine_new(work, err);
    if (work->ask->what != LMI_CHANGE_REMOVE && !work->passwd.found)
        return refuse(work, LMI_CHANGED_MISSING);
    if (work->ask->what != LMI_CHANGE_REMOVE && !work->passwd.usable)
        return refuse(work, LMI_CHANGED_FAULTY);
    return LMI_OK;
}

/* HOME, which belongs to the account. */
static enum lmi_rc
make_home(struct work *work, struct lmi_err *err)
{
    bool is_root = strcmp(work->user, "root") == 0;
    struct lmi_folder parent;
    struct stat st = {.st_uid = 0};
    uid_t uid = work->passwd.uid;
    int home = -1;
    enum lmi_rc rc = lmi_folder_open(work->place->site, is_root ? "" : "home",
                                     true, &parent, err);

    if (rc != LMI_OK)
        goto out;
    if (mkdirat(parent.fd, work->user, 0711) == 0 || errno == EEXIST)
        home = openat(parent.fd, work->user,
                      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (home < 0 || fstat(home, &st) != 0)
        rc = lmi_file_fail(&parent.rules, work->user, errno, "can't be made",
                           NULL, err);
    else if (st.st_uid != uid && st.st_uid != 0)
        refuse(work, LMI_CHANGED_HOME);
    else if (st.st_uid != uid && fchown(home, uid, work->passwd.gid) != 0)
        rc = lmi_file_fail(&parent.rules, work->user, errno,
                           "can't be given to its account", NULL, err);
    else if (fsync(home) != 0 || fsync(parent.fd) != 0)
        rc = lmi_file_fail(&parent.rules, work->user, errno,
                           "can't be made durable", NULL, err);
    if (home >= 0)
        close(home);
out:
    lmi_folder_close(&parent);
    return rc;
}

/* What an account of this name may have left behind. */
static enum lmi_rc
clear_away(struct work *work, bool *changed, struct lmi_err *err)
{
    enum lmi_rc rc = drop_lines(work, "var/cpanel", "resellers",
                                LMI_EDIT_REMOVE, changed, err);

    if (rc == LMI_OK)
        rc = drop_lines(work, "etc", "userdomains", LMI_EDIT_DISOWN, changed,
                        err);
    if (rc == LMI_OK)
        rc = drop_file(work, "var/cpanel/users", changed, err);
    if (rc == LMI_OK)
        rc = drop_lines(work, "etc", "shadow", LMI_EDIT_REMOVE, changed, err);
    if (rc == LMI_OK)
        rc = drop_file(work, "var/cpanel/suspended", changed, err);
    return rc;
}

static enum lmi_rc
put_shadow(struct work *work, struct lmi_err *err)
{
    char line[LMI_USER_MAX + LMI_HASH_SIZE + 64];
    enum lmi_rc rc;

    snprintf(line, sizeof line, "%s:%s:%lld:0:99999:7:::", work->user,
             work->hash, (long long)work->place->today);
    rc = put_line(work, "etc", "shadow", 0640, work->user, line, err);
    lmi_wipe(line, sizeof line);
    return rc;
}

static enum lmi_rc
put_privileges(struct work *work, struct lmi_err *err)
{
    char text[700];
    enum lmi_rc rc = LMI_OK;

    if (work->ask->domain != NULL) {
        snprintf(text, sizeof text, "%s: %s", work->ask->domain, work->user);
        rc = put_line(work, "etc", "userdomains", 0644, work->ask->domain, text,
                      err);
    }
    snprintf(text, sizeof text, "USER=%s\n", work->user);
    if (rc == LMI_OK && !work->by_passwd && work->passwd.uid != 0)
        rc = put_file(work, "var/cpanel/users", lmi_bytes_of(text), err);
    snprintf(text, sizeof text, "%s:all", work->user);
    if (rc == LMI_OK && work->ask->reseller)
        rc = put_line(work, "var/cpanel", "resellers", 0644, work->user, text,
                      err);
    return rc;
}

/* The first shell that lets somebody in, or /bin/sh. */
static void
note_shell(void *context, struct lmi_bytes line, uint64_t number, bool whole)
{
    struct lmi_passwd *passwd = context;

    (void)number;
    if (whole && passwd->shell[0] == '\0' && line.len > 0 &&
        line.ptr[0] == '/' && memchr(line.ptr, ':', line.len) == NULL &&
        memmem(line.ptr, line.len, "nologin", 7) == NULL)
        lmi_bytes_copy(line, passwd->shell, sizeof passwd->shell);
}

/* The line that makes it an account. */
static enum lmi_rc
put_passwd(struct work *work, struct lmi_err *err)
{
    struct lmi_passwd *passwd = &work->passwd;
    bool is_root = strcmp(work->user, "root") == 0;
    char line[800];
    enum lmi_rc rc = lmi_site_each_line(work->place->site, "etc/shells", false,
                                        note_shell, passwd, err);

    snprintf(line, sizeof line, "%s:x:%u:%u::%s%s:%s", work->user,
             (unsigned)passwd->uid, (unsigned)passwd->gid,
             is_root ? "/" : "/home/", work->user,
             passwd->shell[0] == '\0' ? "/bin/sh" : passwd->shell);
    if (rc == LMI_OK)
        rc = put_line(work, "etc", "passwd", 0644, work->user, line, err);
    return rc;
}

/* Until the line of etc/passwd is there, nobody can log in by this name. */
static enum lmi_rc
add_system(struct work *work, struct lmi_err *err)
{
    bool changed = false;
    enum lmi_rc rc = make_home(work, err);

    if (goes_on(work, rc))
        rc = clear_away(work, &changed, err);
    if (goes_on(work, rc))
        rc = put_shadow(work, err);
    if (goes_on(work, rc))
        rc = put_privileges(work, err);
    if (goes_on(work, rc))
        rc = put_passwd(work, err);
    return rc;
}

/* Once its line of etc/passwd is gone, it can't log in. */
static enum lmi_rc
remove_system(struct work *work, struct lmi_err *err)
{
    bool changed = false;
    enum lmi_rc rc =
        drop_lines(work, "etc", "passwd", LMI_EDIT_REMOVE, &changed, err);

    if (rc == LMI_OK)
        rc = clear_away(work, &changed, err);
    if (rc == LMI_OK && !changed)
        return refuse(work, LMI_CHANGED_MISSING);
    return rc;
}

static enum lmi_changed
changed_of(enum lmi_edit_outcome outcome)
{
    switch (outcome) {
    case LMI_EDIT_MISSING:
        return LMI_CHANGED_MISSING;
    case LMI_EDIT_THERE:
        return LMI_CHANGED_THERE;
    case LMI_EDIT_SAME:
        return LMI_CHANGED_SAME;
    case LMI_EDIT_TWICE:
    case LMI_EDIT_FAULTY:
        return LMI_CHANGED_FAULTY;
    case LMI_EDIT_DONE:
        return LMI_CHANGED_DONE;
    }
    return LMI_CHANGED_FAULTY;
}

/* The edit of the account's line in a shadow file. */
static struct lmi_edit
shadow_edit(const struct work *work)
{
    static const enum lmi_edit_kind kinds[] = {
        [LMI_CHANGE_ADD] = LMI_EDIT_ADD,
        [LMI_CHANGE_PASSWORD] = LMI_EDIT_HASH,
        [LMI_CHANGE_SUSPEND] = LMI_EDIT_LOCK,
        [LMI_CHANGE_UNSUSPEND] = LMI_EDIT_UNLOCK,
        [LMI_CHANGE_REMOVE] = LMI_EDIT_REMOVE,
    };

    return (struct lmi_edit){.kind = kinds[work->ask->what],
                             .key = work->name,
                             .value = work->hash,
                             .today = work->place->today};
}

static enum lmi_rc
change_shadow(struct work *work, struct lmi_err *err)
{
    const struct lmi_edit edit = shadow_edit(work);
    enum lmi_edit_outcome outcome;
    enum lmi_rc rc =
        edit_path(work, "etc", "shadow", 0640, &edit, &outcome, err);

    if (rc == LMI_OK && outcome == LMI_EDIT_MISSING &&
        work->ask->what == LMI_CHANGE_PASSWORD)
        return put_shadow(work, err); /* It had no password. */
    return rc != LMI_OK ? rc : refuse(work, changed_of(outcome));
}

static enum lmi_rc
suspend_system(struct work *work, struct lmi_err *err)
{
    bool suspends = work->ask->what == LMI_CHANGE_SUSPEND;
    bool suspended = false, changed = false;
    enum lmi_rc rc;

    if (!work->has_cpanel)
        return change_shadow(work, err);
    rc = lmi_site_is_suspended(work->place->site, work->user, &suspended, err);
    if (rc == LMI_OK && suspended == suspends)
        return refuse(work, LMI_CHANGED_SAME);
    if (rc == LMI_OK && suspends)
        return put_file(work, "var/cpanel/suspended", lmi_bytes_of(""), err);
    if (rc == LMI_OK)
        rc = drop_file(work, "var/cpanel/suspended", &changed, err);
    return rc;
}

static enum lmi_rc
change_system(struct work *work, struct lmi_err *err)
{
    bool adds = work->ask->what == LMI_CHANGE_ADD;
    struct lmi_folder etc;
    enum lmi_rc rc = lmi_folder_open(work->place->site, "etc", adds, &etc, err);

    if (rc == LMI_OK && etc.fd < 0)
        refuse(work, LMI_CHANGED_MISSING);
    else if (rc == LMI_OK)
        rc = lmi_folder_lock(&etc, err);
    if (goes_on(work, rc))
        rc = examine_system(work, err);
    if (goes_on(work, rc) && adds)
        rc = add_system(work, err);
    else if (goes_on(work, rc) && work->ask->what == LMI_CHANGE_REMOVE)
        rc = remove_system(work, err);
    else if (goes_on(work, rc) && work->ask->what == LMI_CHANGE_PASSWORD)
        rc = change_shadow(work, err);
    else if (goes_on(work, rc))
        rc = suspend_system(work, err);
    lmi_folder_close(&etc);
    return rc;
}

static enum lmi_rc
change_mailbox(struct work *work, struct lmi_err *err)
{
    struct lmi_edit edit = shadow_edit(work);
    char line[LMI_USER_MAX + LMI_HASH_SIZE + 64];
    struct lmi_folder folder;
    enum lmi_edit_outcome outcome;
    enum lmi_rc rc =
        lmi_folder_open_mail(work->place->site, &work->passwd, work->domain,
                             work->ask->what == LMI_CHANGE_ADD, &folder, err);

    snprintf(line, sizeof line, "%s:%s:%lld::::::", work->name, work->hash,
             (long long)work->place->today);
    if (work->ask->what == LMI_CHANGE_ADD)
        edit.value = line;
    if (rc == LMI_OK && folder.fd < 0)
        refuse(work, LMI_CHANGED_MISSING);
    else if (rc == LMI_OK)
        rc = lmi_folder_lock(&folder, err);
    if (goes_on(work, rc))
        rc = edit_file(work, &folder, "shadow", 0640, &edit, &outcome, err);
    if (goes_on(work, rc))
        work->outcome = changed_of(outcome);
    lmi_folder_close(&folder);
    lmi_wipe(line, sizeof line);
    return rc;
}

/* Before the change is begun, without a lock: most refusals are seen here. */
static enum lmi_rc
examine(struct work *work, struct lmi_err *err)
{
    bool adds = work->ask->what == LMI_CHANGE_ADD;

    if (!read_user(work))
        return refuse(work, adds ? LMI_CHANGED_NAME : LMI_CHANGED_MISSING);
    if (adds && work->domain == NULL && !is_name(work->user))
        return refuse(work, LMI_CHANGED_NAME);
    if (work->ask->domain != NULL && !is_domain(work->ask->domain))
        return refuse(work, LMI_CHANGED_DOMAIN);
    return work->domain == NULL ? examine_system(work, err)
                                : examine_mailbox(work, err);
}

static enum lmi_rc
make_hash(struct work *work, struct lmi_err *err)
{
    const struct lmi_account_change *ask = work->ask;

    if (ask->what != LMI_CHANGE_ADD && ask->what != LMI_CHANGE_PASSWORD)
        return LMI_OK;
    return lmi_password_hash(
        work->place->crypto, ask->pass, ask->prefix, ask->count,
        work->domain == NULL ? LMI_CEILING_SITE : LMI_CEILING_HOME, work->hash,
        err);
}

enum lmi_rc
lmi_change(const struct lmi_change_place *place,
           const struct lmi_account_change *change, enum lmi_changed *out,
           struct lmi_err *err)
{
    struct work work = {
        .place = place, .ask = change, .outcome = LMI_CHANGED_DONE};
    enum lmi_rc rc = examine(&work, err);

    *out = LMI_CHANGED_FAULTY;
    if (goes_on(&work, rc) && !change->look) {
        rc = make_hash(&work, err);
        if (rc == LMI_OK)
            rc = work.domain == NULL ? change_system(&work, err)
                                     : change_mailbox(&work, err);
    }
    if (rc == LMI_OK)
        *out = work.outcome;
    lmi_wipe(&work, sizeof work);
    return rc;
}
