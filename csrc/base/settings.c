#include "base/settings.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"

#define DEFAULT_PATH "/etc/logmein.conf"
#define DEFAULT_STORE "lmdb:/var/lib/logmein"
#define DEFAULT_KEY "/var/lib/logmein/key" /* where there is no folder */
#define DEFAULT_VOLATILE "/run/logmein/volatile"
#define DEFAULT_LOG_FILE "file:/var/log/logmein/logins.log"
#define MAX_SIZE 65536

/* How a value is read, and the error for one that can't be. */
enum kind { CHOICE, SWITCH, NUMBER, NUMBER_OR_NO, CLOCK, TEXT, PATH, URL, LOG };
static const char *const kind_rules[] = {
    [CHOICE] = "must be one of the words that the manual lists",
    [SWITCH] = "must be yes or no",
    [NUMBER] = "must be a number within its bounds",
    [NUMBER_OR_NO] = "must be no, or a number within its bounds",
    [CLOCK] = "must be a time in seconds since 1970",
    [TEXT] = "has a bad value",
    [PATH] = "must be an absolute path of at most 255 bytes",
    [URL] = "must be lmdb:/FOLDER or postgresql://...",
    [LOG] = "must be syslog, file, file:/PATH, stderr or none",
};

/*
 * A key, and where its value goes. `words` of a choice are in the order of the
 * enum that the field holds; those before `min` can't be chosen.
 */
struct key {
    const char *name;
    size_t offset;
    enum kind kind;
    const char *value; /* the default; NULL: zero */
    const char *words;
    uint32_t min, max;
};

#define KEY(name) #name, offsetof(struct lmi_settings, name)

static const struct key keys[] = {
    {KEY(backend), CHOICE, "auto", "auto local remote", 0, 0},
    {KEY(site_root), PATH, "/", NULL, 0, 0},
    {KEY(accounts), CHOICE, NULL, "unset cpanel passwd", 1, 0},
    {KEY(domains), TEXT, "", NULL, 0, 0},
    {KEY(site_hostnames), SWITCH, "yes", NULL, 0, 0},
    {KEY(store), URL, DEFAULT_STORE, NULL, 0, 0},
    {KEY(store_password_file), PATH, "", NULL, 0, 0},
    {KEY(store_alone), SWITCH, "no", NULL, 0, 0},
    {KEY(volatile_dir), PATH, "", NULL, 0, 0}, /* see fill_in() */
    {KEY(key_file), PATH, "", NULL, 0, 0},
    {KEY(key_file_old), PATH, "", NULL, 0, 0},
    {KEY(session_idle), NUMBER, "900", NULL, 60, 86400},
    {KEY(session_max), NUMBER, "86400", NULL, 60, 2592000},
    {KEY(sessions_max), NUMBER, "100", NULL, 1, 10000},
    {KEY(ticket_life), NUMBER, NULL, NULL, 5, 86400}, /* see fill_in() */
    {KEY(login_url), CHOICE, "direct", "direct login", 0, 0},
    {KEY(cookie_prefix), TEXT, "", NULL, 0, 0},
    {KEY(attempts_max), NUMBER, "100", NULL, 4, 1000000},
    {KEY(gateway_socket), PATH, "/run/logmein/gateway.sock", NULL, 0, 0},
    {KEY(check_socket), PATH, "/run/logmein/check.sock", NULL, 0, 0},
    {KEY(socket_callers), TEXT, "www-data", NULL, 0, 0},
    {KEY(trusted_proxies), TEXT, "", NULL, 0, 0},
    {KEY(hsts), NUMBER_OR_NO, "no", NULL, 1, 2147483647},
    {KEY(login_by_get), SWITCH, "no", NULL, 0, 0},
    {KEY(failurl_hosts), TEXT, "", NULL, 0, 0},
    {KEY(test_clock), CLOCK, NULL, NULL, 0, 0},
    {KEY(test_fault), CHOICE, "none", "none store-full store-away slow", 0, 0},
    {KEY(remote_hosts), TEXT, "*", NULL, 0, 0},
    {KEY(remote_ca_file), PATH, "", NULL, 0, 0},
    {KEY(remote_proxy), TEXT, "", NULL, 0, 0},
    {KEY(remote_timeout), NUMBER, "10", NULL, 1, 300},
    {KEY(remote_forward_to), TEXT, "", NULL, 0, 0},
    {KEY(insecure_remote_skip_verify), SWITCH, "no", NULL, 0, 0},
    {KEY(log), LOG, "syslog", NULL, 0, 0},
    {KEY(log_format), CHOICE, "text", "text json", 0, 0},
    {KEY(log_unknown_users), SWITCH, "no", NULL, 0, 0},
    {KEY(page_title), TEXT, "", NULL, 0, 0},
    {KEY(page_logo), TEXT, "", NULL, 0, 0},
    {KEY(page_footer), TEXT, "", NULL, 0, 0},
};

#define OWN_KEYS (sizeof keys / sizeof keys[0])
#define KEY_COUNT (OWN_KEYS + LMI_SERVICES)

_Static_assert(KEY_COUNT <= LMI_SETTINGS_MAX, "there is a line for each key");

/* Behind the table stands the port of each service. */
static struct key
key_at(size_t index)
{
    if (index < OWN_KEYS)
        return keys[index];
    size_t service = index - OWN_KEYS + 1;
    return (struct key){
        .name = lmi_service_info((enum lmi_service)service)->port_setting,
        .offset =
            offsetof(struct lmi_settings, ports) + service * sizeof(uint32_t),
        .kind = NUMBER,
        .min = 1,
        .max = 65535};
}

static bool
path_ok(const char *value)
{
    return value[0] == '/' && strlen(value) < 256;
}

/* Is there a path behind the prefix? */
static bool
prefixed_path_ok(const char *value, const char *prefix)
{
    size_t len = strlen(prefix);

    return strncmp(value, prefix, len) == 0 && path_ok(value + len);
}

static bool
is_database(const char *store)
{
    return strncmp(store, "postgresql://", 13) == 0 && strlen(store) < 256;
}

static bool
text_ok(enum kind kind, const char *value)
{
    switch (kind) {
    case PATH:
        return path_ok(value);
    case URL:
        return prefixed_path_ok(value, "lmdb:") || is_database(value);
    case LOG:
        return strcmp(value, "syslog") == 0 || strcmp(value, "stderr") == 0 ||
               strcmp(value, "none") == 0 || prefixed_path_ok(value, "file:");
    default:
        return true;
    }
}

static bool
set_choice(const struct key *key, const char *value, void *field)
{
    struct lmi_bytes rest = lmi_bytes_of(key->words), word;
    unsigned index = 0;

    for (; (word = lmi_next_word(&rest)).len > 0; index++)
        if (index >= key->min && lmi_bytes_equal(word, value)) {
            /* Enums without negative values are unsigned int here. */
            *(unsigned *)field = index;
            return true;
        }
    return false;
}

static bool
set_switch(const char *value, bool *field)
{
    *field = strcmp(value, "yes") == 0;
    return *field || strcmp(value, "no") == 0;
}

static bool
set_number(const struct key *key, const char *value, uint32_t *field)
{
    uint64_t number;

    if (!lmi_parse_number(lmi_bytes_of(value), key->max, &number) ||
        number < key->min)
        return false;
    *field = (uint32_t)number;
    return true;
}

static bool
set_clock(const char *value, struct lmi_settings *settings)
{
    settings->has_test_clock = true;
    return lmi_parse_number(lmi_bytes_of(value), UINT32_MAX,
                            &settings->test_clock);
}

static bool
set(const struct key *key, const char *value, struct lmi_settings *settings)
{
    void *field = (char *)settings + key->offset;

    switch (key->kind) {
    case CHOICE:
        return set_choice(key, value, field);
    case SWITCH:
        return set_switch(value, field);
    case NUMBER:
    case NUMBER_OR_NO:
        return (key->kind == NUMBER_OR_NO && strcmp(value, "no") == 0) ||
               set_number(key, value, field);
    case CLOCK:
        return set_clock(value, settings);
    default:
        if (key->kind == LOG && strcmp(value, "file") == 0)
            value = DEFAULT_LOG_FILE;
        *(const char **)field = value;
        return text_ok(key->kind, value);
    }
}

static void
set_defaults(struct lmi_settings *settings)
{
    *settings = (struct lmi_settings){.memory = {NULL}};
    for (size_t i = 0; i < OWN_KEYS; i++)
        if (keys[i].value != NULL) /* here a path may be empty */
            set(&keys[i], keys[i].value, settings);
    for (size_t i = 1; i <= LMI_SERVICES; i++)
        settings->ports[i] = lmi_service_info((enum lmi_service)i)->port;
}

static enum lmi_rc
line_fail(struct lmi_err *err, const char *name, unsigned line, const char *key,
          const char *text)
{
    lmi_fail(err, LMI_SETTINGS, 0, name, text, NULL);
    lmi_err_add_location(err, " line %u", line);
    if (key != NULL)
        lmi_err_add_location(err, ", %s", key);
    return LMI_SETTINGS;
}

static bool
find_key(struct lmi_bytes name, size_t *index_out, struct key *out)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        *out = key_at(i);
        *index_out = i;
        if (lmi_bytes_equal(name, out->name))
            return true;
    }
    return false;
}

/* line lies in memory of our own, where the value can be terminated. */
static enum lmi_rc
read_line(struct lmi_bytes line, unsigned number, const char *file,
          bool seen[KEY_COUNT], struct lmi_settings *settings,
          struct lmi_err *err)
{
    struct lmi_bytes value = lmi_trim(line), name;
    struct key key;
    size_t index;
    char *end;

    if (value.len == 0 || value.ptr[0] == '#')
        return LMI_OK;
    if (lmi_has_control(value, true))
        return line_fail(err, file, number, NULL, "holds a control byte");
    if (memchr(value.ptr, '=', value.len) == NULL)
        return line_fail(err, file, number, NULL,
                         "is not of the form key = value");
    name = lmi_trim(lmi_next_field(&value, '='));
    value = lmi_trim(value);
    if (!find_key(name, &index, &key))
        return line_fail(err, file, number, NULL, "names an unknown key");
    if (seen[index])
        return line_fail(err, file, number, key.name, "is there twice");
    seen[index] = true;
    settings->lines[index] = number;
    end = settings->memory[0] + (value.ptr + value.len - settings->memory[0]);
    *end = '\0';
    if (!set(&key, value.ptr, settings))
        return line_fail(err, file, number, key.name, kind_rules[key.kind]);
    return LMI_OK;
}

/* The defaults that depend on the store. */
static void
default_volatile(const char *store, char out[LMI_PLACE_SIZE])
{
    if (strcmp(store, DEFAULT_STORE) == 0 || is_database(store))
        snprintf(out, LMI_PLACE_SIZE, "%s", DEFAULT_VOLATILE);
    else
        snprintf(out, LMI_PLACE_SIZE, "%s/volatile", store + strlen("lmdb:"));
}

static void
default_key(const char *store, char out[LMI_PLACE_SIZE])
{
    if (is_database(store))
        snprintf(out, LMI_PLACE_SIZE, "%s", DEFAULT_KEY);
    else
        snprintf(out, LMI_PLACE_SIZE, "%s/key", store + strlen("lmdb:"));
}

bool
lmi_settings_shared(const struct lmi_settings *settings)
{
    return is_database(settings->store);
}

bool
lmi_settings_place(const struct lmi_settings *settings, const char *store,
                   struct lmi_store_place *out)
{
    char usual[LMI_PLACE_SIZE];

    if (!text_ok(URL, store))
        return false;
    snprintf(out->store, sizeof out->store, "%s", store);
    default_volatile(settings->store, usual);
    if (is_database(store))
        out->volatile_dir[0] = '\0';
    else if (strcmp(settings->volatile_dir, usual) == 0)
        default_volatile(store, out->volatile_dir);
    else
        snprintf(out->volatile_dir, sizeof out->volatile_dir, "%s",
                 settings->volatile_dir);
    default_key(settings->store, usual);
    if (strcmp(settings->key_file, usual) == 0)
        default_key(store, out->key_file);
    else
        snprintf(out->key_file, sizeof out->key_file, "%s", settings->key_file);
    snprintf(out->key_file_old, sizeof out->key_file_old, "%s",
             settings->key_file_old);
    snprintf(out->password_file, sizeof out->password_file, "%s",
             settings->store_password_file);
    out->alone = settings->store_alone;
    out->shared = is_database(store);
    return true;
}

/* The keys whose defaults depend on others. */
static enum lmi_rc
fill_in(struct lmi_settings *settings, struct lmi_err *err)
{
    char usual[LMI_PLACE_SIZE];

    if (settings->volatile_dir[0] == '\0') {
        default_volatile(settings->store, usual);
        settings->volatile_dir = settings->memory[1] = strdup(usual);
    }
    if (settings->ticket_life == 0)
        settings->ticket_life = settings->session_idle;
    if (settings->key_file[0] == '\0') {
        default_key(settings->store, usual);
        settings->key_file = settings->memory[2] = strdup(usual);
    }
    if (settings->volatile_dir == NULL || settings->key_file == NULL)
        return lmi_no_memory(err);
    return LMI_OK;
}

/* The errors go into the report; without one the first is the end. */
static enum lmi_rc
read_lines(struct lmi_settings *settings, size_t len, const char *name,
           struct lmi_settings_report *report, struct lmi_err *err)
{
    struct lmi_bytes rest = {settings->memory[0], len};
    bool seen[KEY_COUNT] = {false};
    enum lmi_rc rc = LMI_OK;

    for (unsigned line = 1; rc == LMI_OK && rest.len > 0; line++) {
        rc = read_line(lmi_next_field(&rest, '\n'), line, name, seen, settings,
                       err);
        if (rc == LMI_OK || report == NULL)
            continue;
        if (report->count < LMI_NOTES)
            report->errors[report->count++] = *err;
        else
            report->left_out++;
        rc = LMI_OK;
    }
    return rc;
}

static enum lmi_rc
parse(const char *text, size_t len, const char *name,
      struct lmi_settings_report *report, struct lmi_settings **out,
      struct lmi_err *err)
{
    struct lmi_settings *settings = malloc(sizeof *settings);
    enum lmi_rc rc;

    *out = NULL;
    if (settings == NULL)
        return lmi_no_memory(err);
    set_defaults(settings);
    settings->memory[0] = malloc(len + 1);
    if (settings->memory[0] == NULL) {
        lmi_settings_free(settings);
        return lmi_no_memory(err);
    }
    if (len > 0)
        memcpy(settings->memory[0], text, len);
    rc = read_lines(settings, len, name, report, err);
    /* Values that were refused are no basis for others. */
    if (rc == LMI_OK && (report == NULL || report->count == 0))
        rc = fill_in(settings, err);
    if (rc != LMI_OK) {
        lmi_settings_free(settings);
        return rc;
    }
    *out = settings;
    return LMI_OK;
}

enum lmi_rc
lmi_settings_parse(const char *text, size_t len, const char *name,
                   struct lmi_settings **out, struct lmi_err *err)
{
    return parse(text, len, name, NULL, out, err);
}

/* What is for tests must never work on a real machine's own accounts. */
static enum lmi_rc
refuse_tests_on_root(const struct lmi_settings *settings, const char *path,
                     struct lmi_err *err)
{
    struct stat site, root;

    if (!settings->has_test_clock && settings->test_fault == LMI_FAULT_NONE)
        return LMI_OK;
    if (stat("/", &root) == 0 && stat(settings->site_root, &site) == 0 &&
        (site.st_dev != root.st_dev || site.st_ino != root.st_ino))
        return LMI_OK;
    return lmi_fail(err, LMI_SETTINGS, 0, path,
                    "test_clock and test_fault are for test sites only",
                    "take them out, or set site_root");
}

const char *
lmi_settings_path(void)
{
    const char *path = secure_getenv("LOGMEIN_CONF");

    return path != NULL && path[0] != '\0' ? path : DEFAULT_PATH;
}

static enum lmi_rc
read_file(const char *path, struct lmi_file_id *file_out, char **text_out,
          size_t *len_out, struct lmi_err *err)
{
    const struct lmi_file_rules rules = {.code = LMI_SETTINGS,
                                         .max_size = MAX_SIZE};
    struct stat st;
    int fd;
    enum lmi_rc rc = lmi_file_open(AT_FDCWD, path, &rules, &fd, err);

    *file_out = (struct lmi_file_id){.inode = 0};
    *text_out = NULL;
    *len_out = 0;
    if (rc != LMI_OK)
        return rc;
    if (fd < 0 && strcmp(path, DEFAULT_PATH) != 0)
        return lmi_fail(err, LMI_SETTINGS, 0, path, "is missing",
                        "LOGMEIN_CONF names it");
    if (fd < 0)
        return LMI_OK;
    if (fstat(fd, &st) == 0)
        *file_out = lmi_file_id_of(&st);
    rc =
        lmi_file_read(fd, MAX_SIZE, text_out, len_out, LMI_SETTINGS, path, err);
    close(fd);
    return rc;
}

enum lmi_rc
lmi_settings_load(const char *path, struct lmi_file_id *file_out,
                  struct lmi_settings **out, struct lmi_err *err)
{
    char *text;
    size_t len;
    enum lmi_rc rc = read_file(path, file_out, &text, &len, err);

    *out = NULL;
    if (rc == LMI_OK)
        rc = lmi_settings_parse(text, len, path, out, err);
    free(text);
    if (rc == LMI_OK)
        rc = refuse_tests_on_root(*out, path, err);
    if (rc != LMI_OK) {
        lmi_settings_free(*out);
        *out = NULL;
    }
    return rc;
}

enum lmi_rc
lmi_settings_survey(const char *path, struct lmi_settings_report *out,
                    struct lmi_err *err)
{
    struct lmi_settings *settings = NULL;
    struct lmi_file_id file;
    char *text;
    size_t len;
    enum lmi_rc rc;

    memset(out, 0, sizeof *out);
    rc = read_file(path, &file, &text, &len, err);
    if (rc == LMI_OK)
        rc = parse(text, len, path, out, &settings, err);
    free(text);
    if (rc == LMI_OK && out->count == 0 &&
        refuse_tests_on_root(settings, path, err) != LMI_OK)
        out->errors[out->count++] = *err;
    lmi_settings_free(settings);
    return rc;
}

unsigned
lmi_settings_line(const struct lmi_settings *settings, size_t number)
{
    return number < KEY_COUNT ? settings->lines[number] : 0;
}

void
lmi_settings_free(struct lmi_settings *settings)
{
    if (settings == NULL)
        return;
    for (size_t i = 0; i < sizeof settings->memory / sizeof(char *); i++)
        free(settings->memory[i]);
    free(settings);
}

int64_t
lmi_settings_now(const struct lmi_settings *settings)
{
    if (settings->has_test_clock)
        return (int64_t)settings->test_clock;
    return (int64_t)time(NULL);
}

/* The word of a choice at an index. */
static struct lmi_bytes
word_at(const char *words, unsigned index)
{
    struct lmi_bytes rest = lmi_bytes_of(words), word;

    do
        word = lmi_next_word(&rest);
    while (word.len > 0 && index-- > 0);
    return word;
}

static void
show(const struct key *key, const struct lmi_settings *settings, char *out,
     size_t size)
{
    const void *field = (const char *)settings + key->offset;
    struct lmi_bytes word;

    switch (key->kind) {
    case CHOICE: /* what lies below min is for being unset */
        if (*(const unsigned *)field < key->min)
            break;
        word = word_at(key->words, *(const unsigned *)field);
        snprintf(out, size, "%.*s", (int)word.len, word.ptr);
        break;
    case SWITCH:
        snprintf(out, size, "%s", *(const bool *)field ? "yes" : "no");
        break;
    case NUMBER:
    case NUMBER_OR_NO:
        if (key->kind == NUMBER_OR_NO && *(const uint32_t *)field == 0)
            snprintf(out, size, "no");
        else
            snprintf(out, size, "%u", *(const uint32_t *)field);
        break;
    case CLOCK:
        if (settings->has_test_clock)
            snprintf(out, size, "%llu",
                     (unsigned long long)settings->test_clock);
        break;
    default:
        snprintf(out, size, "%s", *(const char *const *)field);
        break;
    }
}

bool
lmi_settings_show(const struct lmi_settings *settings, size_t number,
                  const char **name_out, char *value_out, size_t size)
{
    if (number >= KEY_COUNT)
        return false;
    struct key key = key_at(number);
    *name_out = key.name;
    value_out[0] = '\0';
    show(&key, settings, value_out, size);
    return true;
}

bool
lmi_settings_find(const struct lmi_settings *settings, const char *name,
                  char *value_out, size_t size)
{
    const char *found;

    for (size_t i = 0; lmi_settings_show(settings, i, &found, value_out, size);
         i++)
        if (strcmp(found, name) == 0)
            return true;
    value_out[0] = '\0';
    return false;
}
