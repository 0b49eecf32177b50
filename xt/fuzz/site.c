/*
 * Any lines as passwd, shadow, userdomains, resellers and shells, and the first
 * of them as the name that is looked for. What is found is compared with the
 * lines that begin with it.
 */
#include "accounts/site.c"

/* The lines that begin with the name and, unless it is NUL, the separator. */
struct own_lines {
    size_t count;
    struct lmi_bytes first;
};

static void
look(struct search *search, const char *lines, size_t size)
{
    uint64_t number = 0;

    while (size > 0) {
        const char *end = memchr(lines, '\n', size);
        size_t len = end == NULL ? size : (size_t)(end - lines);
        search_line(search, (struct lmi_bytes){lines, len}, ++number,
                    len <= LMI_LINE_MAX);
        len += end != NULL;
        lines += len;
        size -= len;
    }
}

static struct own_lines
own_lines(const char *name, char sep, const char *lines, size_t size)
{
    struct own_lines own = {0, {NULL, 0}};
    size_t name_len = strlen(name);

    for (size_t at = 0, len; name_len > 0 && at < size; at += len + 1) {
        for (len = 0; at + len < size && lines[at + len] != '\n'; len++)
            ;
        bool is_own =
            len >= name_len && strncmp(lines + at, name, name_len) == 0 &&
            (sep != '\0' ? len > name_len && lines[at + name_len] == sep
                         : len == name_len);
        if (is_own && own.count++ == 0)
            own.first = (struct lmi_bytes){lines + at, len};
    }
    return own;
}

static size_t
colons(struct lmi_bytes line)
{
    size_t count = 0;

    for (size_t i = 0; i < line.len; i++)
        count += line.ptr[i] == ':';
    return count;
}

static void
check_passwd(const char *name, const char *lines, size_t size)
{
    struct search search = {.key = name, .sep = ':', .key_len = strlen(name)};
    struct lmi_passwd out = {.found = false};
    struct own_lines own = own_lines(name, ':', lines, size);

    search.match = passwd_match;
    search.out = &out;
    look(&search, lines, size);
    if (out.found != (own.count > 0) || search.matches != own.count)
        abort();
    if (!out.usable)
        return;
    if (own.count != 1 || colons(own.first) != 6 || out.home[0] != '/' ||
        memchr(out.home, '\0', sizeof out.home) == NULL ||
        memchr(out.shell, '\0', sizeof out.shell) == NULL ||
        strpbrk(out.home, ":\n") != NULL || strpbrk(out.shell, ":\n") != NULL ||
        out.uid == (uid_t)-1)
        abort();
}

static void
check_shadow(const char *name, const char *lines, size_t size)
{
    struct search search = {.key = name, .sep = ':', .key_len = strlen(name)};
    struct lmi_shadow_entry out = {.found = false};
    struct lmi_histogram histogram = {.used = 0};
    struct own_lines own = own_lines(name, ':', lines, size);

    search.match = shadow_match;
    search.out = &out;
    search.histogram = &histogram;
    look(&search, lines, size);
    if (out.found != (own.count > 0) || out.twice != (own.count > 1))
        abort();
    /* No user's name holds a colon. */
    if (out.found && out.fault == LMI_LINE_GOOD && own.count == 1 &&
        strchr(name, ':') == NULL &&
        (colons(own.first) != 8 || strchr(out.hash, ':') != NULL ||
         memcmp(own.first.ptr + strlen(name) + 1, out.hash, strlen(out.hash)) !=
             0))
        abort();
}

/* A user's name may stand in a path: no slash, and no dots alone. */
static void
check_user(const char *user)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz0123456789_.@+-";

    if (user[0] == '\0' || user[0] == '.' || user[0] == '-' ||
        user[strspn(user, allowed)] != '\0' || strstr(user, "..") != NULL ||
        strlen(user) > LMI_USER_MAX)
        abort();
}

static void
check_domain(const char *name, const char *lines, size_t size)
{
    struct search search = {.key = name, .sep = ':', .key_len = strlen(name)};
    struct lmi_domain out = {.found = false};
    struct own_lines own = own_lines(name, ':', lines, size);

    search.match = domain_match;
    search.out = &out;
    look(&search, lines, size);
    if (out.found != (own.count > 0) || (out.usable && own.count != 1))
        abort();
    if (out.usable)
        check_user(out.owner);
}

/* resellers, and localdomains and shells, where a line is the name. */
static void
check_listed(const char *name, char sep, const char *lines, size_t size)
{
    struct search search = {.key = name, .sep = sep, .key_len = strlen(name)};

    look(&search, lines, size);
    if (search.matches != own_lines(name, sep, lines, size).count)
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *lines = (const char *)data;
    const char *end = memchr(data, '\n', size);
    size_t len = end == NULL ? size : (size_t)(end - lines);
    char name[LMI_USER_MAX + 1];

    if (len > LMI_USER_MAX)
        return 0;
    memcpy(name, lines, len);
    name[len] = '\0';
    if (lmi_user_ok((struct lmi_bytes){lines, len}))
        check_user(name);
    lines += end == NULL ? len : len + 1;
    size -= end == NULL ? len : len + 1;
    check_passwd(name, lines, size);
    check_shadow(name, lines, size);
    check_domain(name, lines, size);
    check_listed(name, ':', lines, size);
    check_listed(name, '\0', lines, size);
    return 0;
}
