/* logmein.conf: lines `key = value`, `#` comments. See the manual. */
#ifndef LMI_SETTINGS_H
#define LMI_SETTINGS_H

#include "base/event.h"
#include "base/file.h"
#include "base/text.h"

enum lmi_backend { LMI_BACKEND_AUTO, LMI_BACKEND_LOCAL, LMI_BACKEND_REMOTE };
enum lmi_accounts {
    LMI_ACCOUNTS_UNSET,
    LMI_ACCOUNTS_CPANEL,
    LMI_ACCOUNTS_PASSWD
};
enum lmi_url_form { LMI_URL_DIRECT, LMI_URL_LOGIN };
enum lmi_test_fault {
    LMI_FAULT_NONE,
    LMI_FAULT_STORE_FULL,
    LMI_FAULT_STORE_AWAY,
    LMI_FAULT_SLOW
};

struct lmi_log_state;

#define LMI_SETTINGS_MAX 64 /* keys */

/* Strings are never NULL; a list is its words, separated by blanks. */
struct lmi_settings {
    enum lmi_backend backend;
    const char *site_root;
    enum lmi_accounts accounts;
    const char *domains;
    bool site_hostnames;
    const char *store;
    const char *store_password_file; /* empty: none */
    bool store_alone;
    const char *volatile_dir; /* of a store in LMDB */
    const char *key_file;
    const char *key_file_old;           /* empty: none */
    uint32_t session_idle, session_max; /* seconds */
    uint32_t ticket_life;               /* seconds */
    uint32_t sessions_max; /* live ones of an account at a service */
    enum lmi_url_form login_url;
    uint32_t ports[LMI_SERVICES + 1]; /* of login URLs, by service */
    const char *cookie_prefix;
    uint32_t attempts_max;
    const char *gateway_socket;
    const char *check_socket;
    const char *socket_callers;
    const char *trusted_proxies;
    uint32_t hsts; /* seconds; 0: no */
    bool login_by_get;
    const char *failurl_hosts;
    bool has_test_clock;
    uint64_t test_clock;
    enum lmi_test_fault test_fault;
    const char *remote_hosts;
    const char *remote_ca_file;
    const char *remote_proxy;
    uint32_t remote_timeout; /* seconds */
    const char *remote_forward_to;
    bool insecure_remote_skip_verify;
    const char *log;
    enum lmi_log_format log_format;
    bool log_unknown_users;
    const char *page_title, *page_logo, *page_footer;

    unsigned lines[LMI_SETTINGS_MAX]; /* where each was set; 0: nowhere */
    char *memory[3];                  /* what the strings lie in */

    /* The handle's count of lost lines; NULL until a handle has read them. */
    struct lmi_log_state *log_state;
};

/* The file that LOGMEIN_CONF names, else /etc/logmein.conf. Borrowed. */
const char *lmi_settings_path(void);

/*
 * Reads the file; without one at /etc/logmein.conf, the defaults. file_out
 * tells which file, in which state: all zeros if there was none.
 */
LMI_RC lmi_settings_load(const char *path, struct lmi_file_id *file_out,
                         struct lmi_settings **out, struct lmi_err *err);
void lmi_settings_free(struct lmi_settings *settings);

/* As lmi_settings_load(), from text, which is copied. name is for errors. */
LMI_RC lmi_settings_parse(const char *text, size_t len, const char *name,
                          struct lmi_settings **out, struct lmi_err *err);

/*
 * Where a store and what belongs to it lie, if `store` were this URL and all
 * else as it is. False, and nothing written, if this is no URL of a store.
 */
#define LMI_PLACE_SIZE 272 /* bytes of a value, with the NUL */
struct lmi_store_place {
    char store[LMI_PLACE_SIZE];
    char volatile_dir[LMI_PLACE_SIZE]; /* empty: in the database */
    char key_file[LMI_PLACE_SIZE];
    char key_file_old[LMI_PLACE_SIZE];  /* empty: not set */
    char password_file[LMI_PLACE_SIZE]; /* empty: none */
    bool alone;
    bool shared; /* as lmi_settings_shared() */
};
LMI_CHECK bool lmi_settings_place(const struct lmi_settings *settings,
                                  const char *store,
                                  struct lmi_store_place *out);

/* May other machines use the store, too? */
LMI_CHECK bool lmi_settings_shared(const struct lmi_settings *settings);

/* Seconds since 1970: test_clock if set, else the server's clock. */
int64_t lmi_settings_now(const struct lmi_settings *settings);

#endif
