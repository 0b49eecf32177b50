#include "accounts/site.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"

#define SITE_FILE_MAX ((off_t)1 << 30)
#define HOME_FILE_MAX ((off_t)1 << 20)
#define PATH_SIZE 300

struct lmi_site {
    int root_fd;
    const char *root;      /* for messages */
    struct lmi_file_id id; /* of the folder */
    time_t looked;
};

enum lmi_rc
lmi_site_open(const char *root, struct lmi_site **out, struct lmi_err *err)
{
    struct lmi_site *site = malloc(sizeof *site);
    struct stat st;

    *out = NULL;
    if (site == NULL)
        return lmi_no_memory(err);
    site->root = root;
    site->looked = time(NULL);
    site->root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (site->root_fd < 0 || fstat(site->root_fd, &st) != 0) {
        int saved = errno;
        lmi_site_close(site);
        return lmi_fail(err, saved == EACCES ? LMI_RIGHTS : LMI_SITE, saved,
                        root, "can't be opened",
                        "set site_root to the folder that holds etc/passwd");
    }
    site->id = lmi_file_id_of(&st);
    *out = site;
    return LMI_OK;
}

/* The program may have closed the descriptor, and opened another file. */
bool
lmi_site_in_place(struct lmi_site *site)
{
    time_t now = time(NULL);
    struct stat st;

    if (fstat(site->root_fd, &st) != 0 || !lmi_file_is(&site->id, &st)) {
        site->root_fd = -1; /* no longer ours: not to be closed */
        return false;
    }
    if (site->looked == now)
        return true;
    site->looked = now;
    return stat(site->root, &st) == 0 && lmi_file_is(&site->id, &st);
}

void
lmi_site_close(struct lmi_site *site)
{
    if (site == NULL)
        return;
    if (site->root_fd >= 0)
        close(site->root_fd);
    free(site);
}

/* A search for lines that begin with a key and a separator. */
struct search {
    const char *key;
    char sep; /* 0: the line is the key */
    void (*match)(struct search *search, struct lmi_bytes line, uint64_t number,
                  bool whole); /* NULL: the matches are only counted */
    void *out;
    struct lmi_histogram *histogram; /* of every line; NULL: none */
    size_t key_len;
    uint64_t matches;
};

static bool
begins_with_key(const struct search *search, struct lmi_bytes line)
{
    if (line.len < search->key_len || search->key_len == 0 ||
        line.ptr[0] != search->key[0] ||
        memcmp(line.ptr, search->key, search->key_len) != 0)
        return false;
    if (search->sep == '\0')
        return line.len == search->key_len;
    return line.len > search->key_len &&
           line.ptr[search->key_len] == search->sep;
}

static void
search_line(void *context, struct lmi_bytes line, uint64_t number, bool whole)
{
    struct search *search = context;

    if (search->histogram != NULL && whole)
        lmi_histogram_line(search->histogram, line);
    if (!begins_with_key(search, line))
        return;
    search->matches++;
    if (search->match != NULL)
        search->match(search, line, number, whole);
}

static struct lmi_file_rules
site_rules(const struct lmi_site *site)
{
    return (struct lmi_file_rules){
        .code = LMI_SITE, .root = site->root, .max_size = SITE_FILE_MAX};
}

int
lmi_site_fd(const struct lmi_site *site)
{
    return site->root_fd;
}

const char *
lmi_site_root(const struct lmi_site *site)
{
    return site->root;
}

enum lmi_rc
lmi_site_each_line(struct lmi_site *site, const char *path, bool needed,
                   lmi_line_visitor *visit, void *context, struct lmi_err *err)
{
    const struct lmi_file_rules rules = site_rules(site);
    int fd;
    enum lmi_rc rc = lmi_file_open(site->root_fd, path, &rules, &fd, err);

    if (rc != LMI_OK)
        return rc;
    if (fd < 0 && !needed)
        return LMI_OK;
    if (fd < 0) {
        lmi_file_fail(&rules, path, 0, "is not there", NULL, err);
        return lmi_err_name(err, "missing");
    }
    rc = lmi_file_each_line(fd, visit, context, LMI_SITE, path, err);
    close(fd);
    return rc;
}

/* One pass over a file of the site. Missing is a fault if it is needed. */
static enum lmi_rc
search_file(struct lmi_site *site, const char *path, bool needed,
            struct search *search, struct lmi_err *err)
{
    search->key_len = strlen(search->key);
    return lmi_site_each_line(site, path, needed, search_line, search, err);
}

/* Has a file of the site, if it is there, a line that begins so? */
static enum lmi_rc
is_listed(struct lmi_site *site, const char *path, const char *key, char sep,
          bool *out, struct lmi_err *err)
{
    struct search search = {.key = key, .sep = sep};
    enum lmi_rc rc = search_file(site, path, false, &search, err);

    *out = rc == LMI_OK && search.matches > 0;
    return rc;
}

/* name:x:uid:gid:gecos:home:shell, and nothing else. */
bool
lmi_passwd_parse(struct lmi_bytes line, struct lmi_passwd *out)
{
    struct lmi_bytes fields[7];
    uint64_t uid, gid;

    if (!lmi_split(line, ':', fields, 7))
        return false;
    if (!lmi_parse_number(fields[2], UINT32_MAX - 1, &uid) ||
        !lmi_parse_number(fields[3], UINT32_MAX - 1, &gid) ||
        fields[5].len == 0 || fields[5].ptr[0] != '/')
        return false;
    out->uid = (uid_t)uid;
    out->gid = (gid_t)gid;
    return lmi_bytes_copy(fields[5], out->home, sizeof out->home) &&
           lmi_bytes_copy(fields[6], out->shell, sizeof out->shell);
}

static void
passwd_match(struct search *search, struct lmi_bytes line, uint64_t number,
             bool whole)
{
    struct lmi_passwd *out = search->out;

    (void)number;
    out->found = true;
    out->usable = whole && search->matches == 1 && lmi_passwd_parse(line, out);
}

enum lmi_rc
lmi_site_passwd(struct lmi_site *site, const char *user, struct lmi_passwd *out,
                struct lmi_err *err)
{
    struct search search = {
        .key = user, .sep = ':', .match = passwd_match, .out = out};

    memset(out, 0, sizeof *out);
    return search_file(site, "etc/passwd", true, &search, err);
}

static void
shadow_match(struct search *search, struct lmi_bytes line, uint64_t number,
             bool whole)
{
    struct lmi_shadow_entry *out = search->out;

    out->found = true;
    out->twice = search->matches > 1;
    if (!out->twice)
        out->line = number;
    out->fault = whole ? lmi_shadow_parse(line, out) : LMI_LINE_TOO_LONG;
}

enum lmi_rc
lmi_site_shadow(struct lmi_site *site, const char *user,
                struct lmi_shadow_entry *out, struct lmi_histogram *histogram,
                struct lmi_err *err)
{
    struct search search = {.key = user,
                            .sep = ':',
                            .match = shadow_match,
                            .out = out,
                            .histogram = histogram};

    memset(out, 0, sizeof *out);
    memset(histogram, 0, sizeof *histogram);
    return search_file(site, "etc/shadow", true, &search, err);
}

/* A folder below fd, never by a link; -1 with errno on failure. */
static int
open_below(int fd, const char *name)
{
    return openat(fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

enum lmi_rc
lmi_site_open_home(struct lmi_site *site, const struct lmi_passwd *owner,
                   int *fd_out, struct lmi_err *err)
{
    const struct lmi_file_rules rules = site_rules(site);
    struct stat st;
    enum lmi_rc rc =
        lmi_file_open_dir(site->root_fd, owner->home, &rules, fd_out, err);

    if (rc != LMI_OK || *fd_out < 0)
        return rc;
    if (fstat(*fd_out, &st) == 0 && (st.st_uid == owner->uid || st.st_uid == 0))
        return LMI_OK;
    close(*fd_out);
    *fd_out = -1;
    return lmi_fail(err, LMI_SITE, 0, owner->home,
                    "does not belong to its account", NULL);
}

/* HOME/etc/DOMAIN/shadow, one step after the other. */
static enum lmi_rc
mail_shadow_open(struct lmi_site *site, const struct lmi_passwd *owner,
                 const char *domain, int *fd_out, struct lmi_err *err)
{
    char location[PATH_SIZE * 2];
    struct lmi_file_rules rules = {.code = LMI_SITE,
                                   .root = location,
                                   .max_size = HOME_FILE_MAX,
                                   .owner = owner->uid,
                                   .strict = true};
    int home = -1, etc = -1, folder = -1;
    enum lmi_rc rc = lmi_site_open_home(site, owner, &home, err);

    *fd_out = -1;
    snprintf(location, sizeof location, "%s/etc/%s", owner->home, domain);
    if (rc != LMI_OK || home < 0)
        goto out;
    etc = open_below(home, "etc");
    folder = etc < 0 ? -1 : open_below(etc, domain);
    if (folder >= 0)
        rc = lmi_file_open(folder, "shadow", &rules, fd_out, err);
    else if (errno != ENOENT)
        rc = lmi_fail(err, LMI_SITE, errno, location, "can't be opened", NULL);
out:
    if (folder >= 0)
        close(folder);
    if (etc >= 0)
        close(etc);
    if (home >= 0)
        close(home);
    return rc;
}

enum lmi_rc
lmi_site_each_mail_line(struct lmi_site *site, const struct lmi_passwd *owner,
                        const char *domain, lmi_line_visitor *visit,
                        void *context, struct lmi_err *err)
{
    int fd;
    enum lmi_rc rc = mail_shadow_open(site, owner, domain, &fd, err);

    if (rc == LMI_OK && fd >= 0)
        rc = lmi_file_each_line(fd, visit, context, LMI_SITE, owner->home, err);
    if (fd >= 0)
        close(fd);
    return rc;
}

enum lmi_rc
lmi_site_mail_shadow(struct lmi_site *site, const struct lmi_passwd *owner,
                     const char *domain, const char *name,
                     struct lmi_shadow_entry *out,
                     struct lmi_histogram *histogram, struct lmi_err *fault_out,
                     struct lmi_err *err)
{
    struct search search = {.key = name,
                            .sep = ':',
                            .match = shadow_match,
                            .out = out,
                            .histogram = histogram};
    enum lmi_rc rc;

    memset(out, 0, sizeof *out);
    memset(histogram, 0, sizeof *histogram);
    *fault_out = (struct lmi_err){.code = LMI_OK};
    search.key_len = strlen(name);
    rc = lmi_site_each_mail_line(site, owner, domain, search_line, &search,
                                 fault_out);
    if (rc == LMI_MEMORY) {
        *err = *fault_out;
        return rc;
    }
    if (rc != LMI_OK)
        memset(out, 0, sizeof *out);
    return LMI_OK;
}

/* The rest of "domain: user" is a user and nothing else. */
static void
domain_match(struct search *search, struct lmi_bytes line, uint64_t number,
             bool whole)
{
    struct lmi_domain *out = search->out;
    struct lmi_bytes rest = line;

    (void)number;
    lmi_next_field(&rest, ':');
    rest = lmi_trim(rest);
    out->found = true;
    out->usable = whole && search->matches == 1 && lmi_user_ok(rest) &&
                  lmi_bytes_copy(rest, out->owner, sizeof out->owner);
}

enum lmi_rc
lmi_site_domain(struct lmi_site *site, const char *domain,
                struct lmi_domain *out, struct lmi_err *err)
{
    struct search search = {
        .key = domain, .sep = ':', .match = domain_match, .out = out};

    memset(out, 0, sizeof *out);
    return search_file(site, "etc/userdomains", false, &search, err);
}

/* Both files are read, whatever the first one holds. */
static enum lmi_rc
names_exactly(struct lmi_site *site, const char *host, bool *out,
              struct lmi_err *err)
{
    bool user = false, local = false;
    enum lmi_rc rc = is_listed(site, "etc/userdomains", host, ':', &user, err);

    if (rc == LMI_OK)
        rc = is_listed(site, "etc/localdomains", host, '\0', &local, err);
    *out = rc == LMI_OK && (user || local);
    return rc;
}

enum lmi_rc
lmi_site_names_host(struct lmi_site *site, const char *host, bool *out,
                    struct lmi_err *err)
{
    static const char *const forms[] = {"www.", "mail.", "webmail.", "cpanel.",
                                        "whm."};
    enum lmi_rc rc = names_exactly(site, host, out, err);

    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct lmi_bytes rest = lmi_bytes_of(host);
        if (rc == LMI_OK && !*out && lmi_take_prefix(&rest, forms[i]))
            rc = names_exactly(site, rest.ptr, out, err);
    }
    return rc;
}

enum lmi_rc
lmi_site_is_reseller(struct lmi_site *site, const char *user, bool *out,
                     struct lmi_err *err)
{
    return is_listed(site, "var/cpanel/resellers", user, ':', out, err);
}

enum lmi_rc
lmi_site_has_user_file(struct lmi_site *site, const char *user, bool *out,
                       struct lmi_err *err)
{
    const struct lmi_file_rules rules = site_rules(site);
    char path[PATH_SIZE];

    snprintf(path, sizeof path, "var/cpanel/users/%s", user);
    return lmi_file_exists(site->root_fd, path, &rules, out, err);
}

static enum lmi_rc
exists(struct lmi_site *site, const char *path, bool *out, struct lmi_err *err)
{
    const struct lmi_file_rules rules = site_rules(site);
    struct stat st;

    *out = fstatat(site->root_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (*out || errno == ENOENT)
        return LMI_OK;
    return lmi_file_fail(&rules, path, errno, "can't be examined", NULL, err);
}

enum lmi_rc
lmi_site_is_suspended(struct lmi_site *site, const char *user, bool *out,
                      struct lmi_err *err)
{
    char path[PATH_SIZE];

    snprintf(path, sizeof path, "var/cpanel/suspended/%s", user);
    return exists(site, path, out, err);
}

enum lmi_rc
lmi_site_has_cpanel(struct lmi_site *site, bool *out, struct lmi_err *err)
{
    return exists(site, "var/cpanel", out, err);
}

enum lmi_rc
lmi_site_has_shell(struct lmi_site *site, const char *shell, bool *out,
                   struct lmi_err *err)
{
    return is_listed(site, "etc/shells", shell, '\0', out, err);
}
