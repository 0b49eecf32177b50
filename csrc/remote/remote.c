#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>
#include <openssl/ssl.h>

#include "base/error.h"
#include "base/log.h"
#include "base/crypto.h"
#include "login/answer.h"
#include "login/machine.h"
#include "login/url.h"
#include "remote/wire.h"

#define MAX_SOCKETS 16
#define MAX_KEPT 4

/* The sockets are known, so that a child can let go of them. */
struct lmi_remote {
    CURL *curl; /* NULL until first used */
    pid_t pid;  /* whose connections these are */
    struct open_socket {
        int fd;
        bool local; /* to a gateway */
    } sockets[MAX_SOCKETS];
    size_t socket_count;
};

/* One login: what is sent, and what comes back. Secret memory. */
struct exchange {
    struct lmi_remote *remote;
    const struct lmi_settings *settings;
    const struct lmi_request *request;
    enum lmi_route route;
    uid_t owner;        /* of the store */
    struct lmi_err err; /* why the socket is not to be used */
    char origin[300];   /* https://HOST:PORT, as a URL names it */
    char url[340];      /* where to */
    char error[CURL_ERROR_SIZE];
    char form[LMI_FORM_MAX];
    struct lmi_wire_reply reply;
    struct lmi_wire_said said;
};

/* libcurl copies the form, and frees the copies without wiping them. */
static void
wiping_free(void *ptr)
{
    if (ptr != NULL)
        lmi_wipe(ptr, malloc_usable_size(ptr));
    free(ptr);
}

static void *
wiping_realloc(void *ptr, size_t size)
{
    size_t old = ptr == NULL ? 0 : malloc_usable_size(ptr);
    void *bigger;

    if (ptr != NULL && size <= old)
        return ptr;
    bigger = malloc(size);
    if (bigger != NULL && ptr != NULL) {
        memcpy(bigger, ptr, old);
        wiping_free(ptr);
    }
    return bigger;
}

bool
lmi_remote_start(void)
{
    return curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wiping_free,
                                wiping_realloc, strdup, calloc) == CURLE_OK;
}

struct lmi_remote *
lmi_remote_new(void)
{
    return calloc(1, sizeof(struct lmi_remote));
}

/*
 * Closing a connection sends a farewell on it, and in a child it is the
 * parent's: each socket is replaced by /dev/null first. If that fails,
 * libcurl's handle is leaked.
 */
static void
let_go(struct lmi_remote *remote)
{
    int deaf = open("/dev/null", O_RDWR | O_CLOEXEC);
    bool done = deaf >= 0;

    for (size_t i = 0; i < remote->socket_count; i++)
        done = done && dup3(deaf, remote->sockets[i].fd, O_CLOEXEC) >= 0;
    if (deaf >= 0)
        close(deaf);
    if (!done)
        remote->curl = NULL;
}

static void
remote_close(struct lmi_remote *remote)
{
    if (remote->curl != NULL && remote->pid != getpid())
        let_go(remote);
    curl_easy_cleanup(remote->curl);
    remote->curl = NULL;
    remote->socket_count = 0;
}

void
lmi_remote_free(struct lmi_remote *remote)
{
    if (remote == NULL)
        return;
    remote_close(remote);
    free(remote);
}

/* A handle of this process, with its connections and no other option set. */
static bool
remote_open(struct lmi_remote *remote)
{
    if (remote->curl != NULL && remote->pid == getpid()) {
        curl_easy_reset(remote->curl);
        return true;
    }
    remote_close(remote);
    remote->curl = curl_easy_init();
    remote->pid = getpid();
    return remote->curl != NULL;
}

static bool
may_be_trusted(uid_t uid, uid_t owner)
{
    return uid == 0 || uid == owner;
}

static enum lmi_rc
socket_fail(struct exchange *exchange, int os_errno, const char *text,
            const char *remedy)
{
    return lmi_fail(&exchange->err, LMI_SOCKET, os_errno,
                    exchange->settings->gateway_socket, text, remedy);
}

/* The owner of the key or, if that can't be seen, of its folder; else root. */
static uid_t
store_owner(const struct lmi_settings *settings)
{
    char folder[PATH_MAX];
    struct stat st;

    lmi_file_folder(settings->key_file, folder);
    if (lstat(settings->key_file, &st) == 0 || lstat(folder, &st) == 0)
        return st.st_uid;
    return 0;
}

/*
 * Is this the gateway's socket? Others must not be able to change the folder:
 * they could put their own socket there, even under a sticky bit, before the
 * gateway starts.
 */
static enum lmi_rc
check_socket(struct exchange *exchange)
{
    const char *path = exchange->settings->gateway_socket;
    char folder[PATH_MAX];
    struct stat st;

    if (strlen(path) >= sizeof((struct sockaddr_un *)NULL)->sun_path)
        return socket_fail(exchange, 0, "is too long for a socket's path",
                           NULL);
    lmi_file_folder(path, folder);
    if (stat(folder, &st) != 0)
        return socket_fail(exchange, errno, "its folder can't be examined",
                           NULL);
    if (!may_be_trusted(st.st_uid, exchange->owner))
        return socket_fail(exchange, 0,
                           "its folder belongs to neither root nor the "
                           "store's owner",
                           "chown the folder");
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return socket_fail(exchange, 0,
                           "its folder can be changed by group or others",
                           "chmod go-w the folder");
    if (lstat(path, &st) != 0)
        return socket_fail(exchange, errno, "can't be examined",
                           "start the gateway");
    if (!S_ISSOCK(st.st_mode))
        return socket_fail(exchange, 0, "is not a socket", NULL);
    if (!may_be_trusted(st.st_uid, exchange->owner))
        return socket_fail(exchange, 0,
                           "belongs to neither root nor the store's owner",
                           "remove it, and start the gateway");
    return LMI_OK;
}

#if LIBCURL_VERSION_NUM >= 0x075000
static bool
peer_ok(int fd, uid_t owner)
{
    struct ucred peer;
    socklen_t size = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           may_be_trusted(peer.uid, owner);
}

/*
 * Called between connecting and sending: the kernel knows who listens. Older
 * versions of libcurl have no such call, and rely on check_socket().
 */
static int
check_peer(void *context, char *peer_address, char *own_address, int peer_port,
           int own_port)
{
    struct exchange *exchange = context;
    const struct lmi_remote *remote = exchange->remote;

    (void)peer_address;
    (void)own_address;
    (void)peer_port;
    (void)own_port;
    for (size_t i = 0; i < remote->socket_count; i++)
        if (remote->sockets[i].local &&
            !peer_ok(remote->sockets[i].fd, exchange->owner)) {
            socket_fail(exchange, 0,
                        "who listens there is neither root nor the store's "
                        "owner",
                        "stop that process, and start the gateway");
            return CURL_PREREQFUNC_ABORT;
        }
    return CURL_PREREQFUNC_OK;
}
#endif

static curl_socket_t
open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    const struct exchange *exchange = context;
    struct lmi_remote *remote = exchange->remote;
    bool local = exchange->route == LMI_ROUTE_GATEWAY;
    int fd;

    if (purpose != CURLSOCKTYPE_IPCXN || remote->socket_count == MAX_SOCKETS ||
        local != (address->family == AF_UNIX))
        return CURL_SOCKET_BAD;
    fd = socket(address->family, address->socktype | SOCK_CLOEXEC,
                address->protocol);
    if (fd >= 0)
        remote->sockets[remote->socket_count++] =
            (struct open_socket){.fd = fd, .local = local};
    return fd;
}

/* May be called long after the exchange that opened the socket. */
static int
close_socket(void *context, curl_socket_t fd)
{
    struct lmi_remote *remote = context;

    for (size_t i = 0; i < remote->socket_count; i++)
        if (remote->sockets[i].fd == fd) {
            remote->sockets[i] = remote->sockets[--remote->socket_count];
            break;
        }
    return close(fd);
}

static size_t
take_header(char *line, size_t size, size_t count, void *context)
{
    struct exchange *exchange = context;

    return lmi_wire_header(&exchange->reply, line, size * count) ? size * count
                                                                 : 0;
}

static size_t
take_body(char *bytes, size_t size, size_t count, void *context)
{
    struct exchange *exchange = context;

    return lmi_wire_body(&exchange->reply, bytes, size * count) ? size * count
                                                                : 0;
}

/*
 * TLS 1.2 at least. The site's own policy is in force here and may ask for
 * more, which CURLOPT_SSLVERSION would take back.
 */
static CURLcode
raise_tls(CURL *curl, void *context, void *unused)
{
    SSL_CTX *tls = context;

    (void)curl;
    (void)unused;
    if (SSL_CTX_get_min_proto_version(tls) >= TLS1_2_VERSION ||
        SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) == 1)
        return CURLE_OK;
    return CURLE_SSL_CONNECT_ERROR;
}

/* Options in a row: the first that fails decides, and nothing is sent. */
#define SET(option, value)                                                     \
    do {                                                                       \
        if (rc == CURLE_OK)                                                    \
            rc = curl_easy_setopt(curl, option, value);                        \
    } while (0)

/* The options of both routes. */
static CURLcode
set_request(CURL *curl, struct exchange *exchange, struct curl_slist *headers)
{
    struct lmi_remote *remote = exchange->remote;
    long seconds = (long)exchange->settings->remote_timeout;
    CURLcode rc = CURLE_OK;

    SET(CURLOPT_URL, exchange->url);
    SET(CURLOPT_POSTFIELDS, exchange->form);
    SET(CURLOPT_HTTPHEADER, headers);
    SET(CURLOPT_USERAGENT, "Cpanel-LogMeIn");
    SET(CURLOPT_ERRORBUFFER, exchange->error);
    SET(CURLOPT_TIMEOUT_MS, seconds * 1000);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_HTTP09_ALLOWED, 0L);
    /* HTTP/2's library keeps what it sent, and gives it back unwiped. */
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_MAXCONNECTS, (long)MAX_KEPT);
    SET(CURLOPT_HEADERFUNCTION, take_header);
    SET(CURLOPT_HEADERDATA, exchange);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_WRITEDATA, exchange);
    SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    SET(CURLOPT_OPENSOCKETDATA, exchange);
    SET(CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    SET(CURLOPT_CLOSESOCKETDATA, remote);
    return rc;
}

static CURLcode
set_protocol(CURL *curl, bool secure)
{
#if LIBCURL_VERSION_NUM >= 0x075500
    return curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR,
                            secure ? "https" : "http");
#else
    return curl_easy_setopt(curl, CURLOPT_PROTOCOLS,
                            secure ? CURLPROTO_HTTPS : CURLPROTO_HTTP);
#endif
}

/* Has this folder certificates by the hash of their subject? */
static bool
is_hashed(const char *path)
{
    DIR *folder = opendir(path);
    const struct dirent *entry;
    bool found = false;

    if (folder == NULL)
        return false;
    while (!found && (entry = readdir(folder)) != NULL)
        found = strlen(entry->d_name) == 10 &&
                strspn(entry->d_name, "0123456789abcdef") == 8 &&
                strcmp(entry->d_name + 8, ".0") == 0;
    closedir(folder);
    return found;
}

/*
 * The system's certificates. Reading all of them from one file takes longer
 * than the rest of a login; where there is a folder, it is used instead.
 */
static CURLcode
set_system_certificates(CURL *curl)
{
    CURLcode rc = CURLE_OK;
#if LIBCURL_VERSION_NUM >= 0x074600
    const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);

    if (info->age >= CURLVERSION_SEVENTH && info->capath != NULL &&
        is_hashed(info->capath))
        SET(CURLOPT_CAINFO, NULL);
#endif
    return rc;
}

static CURLcode
set_tls(CURL *curl, const struct lmi_settings *settings)
{
    bool verify = !settings->insecure_remote_skip_verify;
    CURLcode rc = set_protocol(curl, true);

    SET(CURLOPT_SSL_VERIFYPEER, verify ? 1L : 0L);
    SET(CURLOPT_SSL_VERIFYHOST, verify ? 2L : 0L);
    if (rc == CURLE_OK &&
        curl_easy_setopt(curl, CURLOPT_SSL_CTX_FUNCTION, raise_tls) != CURLE_OK)
        rc = curl_easy_setopt(curl, CURLOPT_SSLVERSION,
                              (long)CURL_SSLVERSION_TLSv1_2);
    if (settings->remote_ca_file[0] != '\0') {
        SET(CURLOPT_CAINFO, settings->remote_ca_file);
        /* These certificates, and not the system's besides. */
        SET(CURLOPT_CAPATH, NULL);
    } else if (rc == CURLE_OK) {
        rc = set_system_certificates(curl);
    }
    /* Empty strings: the environment's proxy settings do not count. */
    SET(CURLOPT_PROXY, settings->remote_proxy);
    SET(CURLOPT_NOPROXY, "");
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    return rc;
}

static CURLcode
set_gateway(CURL *curl, struct exchange *exchange)
{
    const struct lmi_settings *settings = exchange->settings;
    CURLcode rc = set_protocol(curl, false);

    SET(CURLOPT_UNIX_SOCKET_PATH, settings->gateway_socket);
    SET(CURLOPT_PROXY, "");
#if LIBCURL_VERSION_NUM >= 0x075000
    SET(CURLOPT_PREREQFUNCTION, check_peer);
    SET(CURLOPT_PREREQDATA, exchange);
#endif
    return rc;
}

/*
 * Writing to a connection that the other side has closed raises SIGPIPE, which
 * CURLOPT_NOSIGNAL leaves to the program. It is held back in this thread, and
 * if it was raised meanwhile, taken.
 */
static CURLcode
perform(CURL *curl)
{
    const struct timespec now = {0, 0};
    sigset_t pipe, before, pending;
    CURLcode rc;

    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    rc = curl_easy_perform(curl);
    if (sigismember(&pending, SIGPIPE) == 0)
        while (sigtimedwait(&pipe, NULL, &now) < 0 && errno == EINTR)
            continue;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

/* On failure exchange->error holds the reason. */
static CURLcode
send_login(struct exchange *exchange, long *status_out)
{
    CURL *curl = exchange->remote->curl;
    /* No "Expect: 100-continue": the form is sent without asking first. */
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    CURLcode rc = headers == NULL ? CURLE_OUT_OF_MEMORY
                                  : set_request(curl, exchange, headers);

    if (rc == CURLE_OK)
        rc = exchange->route == LMI_ROUTE_GATEWAY
                 ? set_gateway(curl, exchange)
                 : set_tls(curl, exchange->settings);
    if (rc == CURLE_OK)
        rc = perform(curl);
    if (rc != CURLE_OK && exchange->error[0] == '\0')
        snprintf(exchange->error, sizeof exchange->error, "%s",
                 curl_easy_strerror(rc));
    *status_out = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status_out);
    /* The handle stays; what it points to does not. */
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, NULL);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, NULL);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, NULL);
    curl_slist_free_all(headers);
    return rc;
}

#define TOO_LONG "The server's answer is too long."
#define STRANGE "The server does not answer as a cPanel server does."
#define UNREACHED "The server can't be reached."
#define INSECURE "There is no secure connection to the server."
#define ISSUER "The server's certificate is from an unknown issuer."

static void
say(struct lmi_login_answer *out, const char *sentence)
{
    lmi_answer_say(out, LMI_REASON_REMOTE, sentence);
}

/* A code of libcurl or OpenSSL, and the sentence for it. */
struct sentence {
    long code;
    const char *text;
};

static const char *
find_sentence(const struct sentence *list, long code, const char *otherwise)
{
    for (; list->text != NULL; list++)
        if (list->code == code)
            return list->text;
    return otherwise;
}

/* What is wrong with the certificate, as far as people can do something. */
static const char *
certificate_sentence(CURL *curl)
{
    static const char other[] = "The server's certificate is for another name.";
    static const struct sentence list[] = {
        /* The chain is good; the name, which libcurl looks at, is not. */
        {X509_V_OK, other},
        {X509_V_ERR_UNSPECIFIED, other},
        {X509_V_ERR_CERT_HAS_EXPIRED, "The server's certificate has expired."},
        {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, ISSUER},
        {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, ISSUER},
        {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, ISSUER},
        {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, ISSUER},
        {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, ISSUER},
        {0, NULL}};
    long reason = X509_V_ERR_APPLICATION_VERIFICATION;

    curl_easy_getinfo(curl, CURLINFO_SSL_VERIFYRESULT, &reason);
    return find_sentence(list, reason,
                         "The server's certificate is not valid.");
}

/* libcurl's errors, in people's words. */
static const char *
sentence_of(CURLcode rc, CURL *curl, const struct lmi_wire_reply *reply)
{
    static const struct sentence list[] = {
        {CURLE_COULDNT_RESOLVE_HOST, "The server's name is not known."},
        {CURLE_COULDNT_CONNECT, UNREACHED},
        {CURLE_COULDNT_RESOLVE_PROXY, UNREACHED},
        {CURLE_INTERFACE_FAILED, UNREACHED},
        {CURLE_OUT_OF_MEMORY, TOO_LONG}, /* also: headers beyond 100 KiB */
#if LIBCURL_VERSION_NUM >= 0x080600
        {CURLE_TOO_LARGE, TOO_LONG},
#endif
        {CURLE_OPERATION_TIMEDOUT, "The server takes too long."},
        {CURLE_SSL_CONNECT_ERROR, INSECURE},
        {CURLE_SSL_CIPHER, INSECURE},
        {CURLE_SSL_INVALIDCERTSTATUS, INSECURE},
        {0, NULL}
    };
    long os_errno = 0;

    if (reply->too_long)
        return TOO_LONG;
    if (rc == CURLE_PEER_FAILED_VERIFICATION)
        return certificate_sentence(curl);
    curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &os_errno);
    if (rc == CURLE_COULDNT_CONNECT && os_errno == ECONNREFUSED)
        return "The server refuses connections.";
    return find_sentence(list, (long)rc, STRANGE);
}

/* "at HOST: TEXT", in printable characters. */
static void
give_detail(const struct exchange *exchange, const char *text,
            struct lmi_login_answer *out)
{
    snprintf(out->detail, sizeof out->detail, "at %s%s%s%s", exchange->origin,
             exchange->settings->insecure_remote_skip_verify
                 ? ", which was not verified"
                 : "",
             text[0] != '\0' ? ": " : "", text);
    for (char *c = out->detail; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7E)
            *c = '?';
}

static void
give_url(struct exchange *exchange, struct lmi_login_answer *out)
{
    const struct lmi_request *request = exchange->request;
    const struct lmi_url_parts parts = {
        .hostname = request->hostname,
        .port = exchange->settings->ports[request->service],
        .token = exchange->said.token,
        .goto_uri = request->goto_plain,
        .ticket = exchange->reply.cookie};

    if (!lmi_url_build_remote(&parts, out->url)) {
        say(out, STRANGE);
        return;
    }
    memcpy(out->token, exchange->said.token, sizeof out->token);
    lmi_answer_give(out, LMI_REASON_OK);
}

/* Reason and sentence for what another server has said, but GOOD. */
static const struct {
    enum lmi_reason reason;
    const char *sentence;
} said_answers[] = {
    [LMI_WIRE_STRANGE] = {LMI_REASON_REMOTE, STRANGE},
    [LMI_WIRE_REFUSED] = {LMI_REASON_INVALID, "The login is invalid."},
    [LMI_WIRE_TFA_WANTED] = {LMI_REASON_TFA_NEEDED,
                             "A two-factor code is needed."},
    [LMI_WIRE_TFA_WRONG] = {LMI_REASON_TFA_WRONG,
                            "The two-factor code is wrong."},
    [LMI_WIRE_WAIT] = {LMI_REASON_WAIT,
                       "Too many failed logins. Please try again later."},
    [LMI_WIRE_AWAY] = {LMI_REASON_REMOTE,
                       "The server can't log anybody in at the moment."},
};

/* The status, and of an answer that is none what it says instead. */
static void
give_status(const struct exchange *exchange, long status,
            struct lmi_login_answer *out)
{
    const struct lmi_request *request = exchange->request;
    char text[LMI_LOCATION_SIZE + 128], location[LMI_LOCATION_SIZE];
    bool strange = exchange->said.verdict == LMI_WIRE_STRANGE;

    lmi_wire_location(&exchange->reply,
                      (struct lmi_bytes){request->pass, request->pass_len},
                      location);
    bool points = strange && location[0] != '\0';
    snprintf(text, sizeof text, "status %ld%s%s%s%s", status,
             points ? ", Location " : "", points ? location : "",
             strange ? ": " : "", strange ? exchange->said.why : "");
    give_detail(exchange, text, out);
}

static void
give_said(struct exchange *exchange, long status, struct lmi_login_answer *out)
{
    struct lmi_wire_said *said = &exchange->said;
    uint32_t wait = exchange->reply.retry_after;

    lmi_wire_judge(&exchange->reply, status, said);
    if (said->verdict == LMI_WIRE_GOOD) {
        give_detail(exchange, "", out);
        give_url(exchange, out);
    } else if (said->verdict == LMI_WIRE_WAIT && wait > 0) {
        lmi_answer_wait(out, wait, exchange->origin);
    } else {
        give_status(exchange, status, out);
        lmi_answer_say(out, said_answers[said->verdict].reason,
                       said_answers[said->verdict].sentence);
    }
}

/* A list of names, of *.DOMAIN, and of "*" for all. */
static bool
is_listed(const char *list, const char *host)
{
    struct lmi_bytes rest = lmi_bytes_of(list), word;
    size_t len = strlen(host);

    while ((word = lmi_next_word(&rest)).len > 0) {
        bool wild = word.ptr[0] == '*';
        size_t tail = word.len - (wild ? 1 : 0);
        if (wild && tail > 0 && word.ptr[1] != '.')
            continue;
        if ((wild ? tail < len : tail == len) &&
            strncasecmp(word.ptr + word.len - tail, host + len - tail, tail) ==
                0)
            return true;
    }
    return false;
}

/* Logged every time. */
static void
warn_unverified(const struct exchange *exchange)
{
    const struct lmi_settings *settings = exchange->settings;
    char detail[500];

    if (!settings->insecure_remote_skip_verify)
        return;
    snprintf(detail, sizeof detail,
             "insecure_remote_skip_verify: a password goes to %s, whoever "
             "that is",
             exchange->origin);
    lmi_log_note(settings, "WARNING", true, detail);
}

/* A fault of this side, before anything was sent. */
static void
give_fault(enum lmi_rc code, const char *place, const char *text,
           struct lmi_login_answer *out)
{
    struct lmi_err err;

    lmi_fail(&err, code, 0, place, text, NULL);
    lmi_login_answer_fault(out, &err);
}

static void
ask_server(struct exchange *exchange, struct lmi_login_answer *out)
{
    const struct lmi_settings *settings = exchange->settings;
    long status;
    CURLcode rc;

    if (!is_listed(settings->remote_hosts, exchange->request->hostname)) {
        say(out, "Logins at this server are not allowed.");
        give_detail(exchange, "remote_hosts does not name it", out);
        return;
    }
    warn_unverified(exchange);
    rc = send_login(exchange, &status);
    if (rc == CURLE_OK) {
        give_said(exchange, status, out);
    } else if (rc == CURLE_SSL_CACERT_BADFILE) {
        give_fault(LMI_SETTINGS, settings->remote_ca_file,
                   "remote_ca_file can't be read", out);
    } else {
        say(out, sentence_of(rc, exchange->remote->curl, &exchange->reply));
        give_detail(exchange, exchange->error, out);
    }
}

/* The gateway is this machine's own: its sentences are passed on. */
static void
give_gateway(struct exchange *exchange, long status,
             struct lmi_login_answer *out)
{
    struct lmi_wire_said *said = &exchange->said;

    lmi_wire_judge_gateway(&exchange->reply, status, exchange->origin, said);
    snprintf(out->detail, sizeof out->detail, "the gateway at %s: status %ld",
             exchange->settings->gateway_socket, status);
    switch (said->verdict) {
    case LMI_WIRE_GOOD:
        memcpy(out->url, said->url, sizeof out->url);
        memcpy(out->token, said->token, sizeof out->token);
        lmi_answer_give(out, LMI_REASON_OK);
        break;
    case LMI_WIRE_REFUSED:
        if (said->reason == LMI_REASON_WAIT)
            out->wait = exchange->reply.retry_after;
        lmi_answer_say(out, said->reason, said->message);
        break;
    default:
        socket_fail(exchange, 0, said->why, NULL);
        lmi_login_answer_fault(out, &exchange->err);
        break;
    }
}

static void
ask_gateway(struct exchange *exchange, struct lmi_login_answer *out)
{
    long status;

    exchange->owner = store_owner(exchange->settings);
    if (check_socket(exchange) == LMI_OK) {
        if (send_login(exchange, &status) == CURLE_OK) {
            give_gateway(exchange, status, out);
            return;
        }
        if (exchange->err.code == LMI_OK) {
            socket_fail(exchange, 0, "the gateway does not answer", NULL);
            lmi_err_add_location(&exchange->err, ", %s", exchange->error);
        }
    }
    lmi_login_answer_fault(out, &exchange->err);
}

/* Where the form goes, and the form. */
static void
prepare(struct exchange *exchange)
{
    const struct lmi_request *request = exchange->request;
    const struct lmi_settings *settings = exchange->settings;
    unsigned port = settings->ports[request->service];
    bool local = exchange->route == LMI_ROUTE_GATEWAY;
    struct lmi_buffer form;

    exchange->reply.service = request->service;
    snprintf(exchange->origin, sizeof exchange->origin, "https://%s:%u",
             request->hostname, port);
    /* To a gateway the standard port names the service, whatever is set. */
    snprintf(exchange->url, sizeof exchange->url,
             "%s://%s:%u/login/?login_only=1", local ? "http" : "https",
             request->hostname,
             local ? lmi_service_info(request->service)->port : port);
    lmi_buffer_init(&form, exchange->form, sizeof exchange->form);
    lmi_wire_form(request,
                  local ||
                      is_listed(settings->remote_forward_to, request->hostname),
                  &form);
}

/* The route from the same settings, for the same request. */
static enum lmi_route
route_of(const struct lmi_settings *settings, const struct lmi_login *ask,
         const struct lmi_request *request, struct lmi_route_facts facts)
{
    facts.here = ask->here;
    facts.own_name = settings->backend == LMI_BACKEND_AUTO &&
                     lmi_machine_is(settings, request->hostname);
    return lmi_route_choose(settings, &facts);
}

void
lmi_remote_login(struct lmi_remote *remote, const struct lmi_settings *settings,
                 const struct lmi_login *ask, struct lmi_login_answer *answer)
{
    struct exchange *exchange = lmi_secret_alloc(sizeof *exchange);
    enum lmi_route route = answer->route;
    struct lmi_route_facts facts = answer->facts;
    struct lmi_request *request = NULL;
    const char *complaint = NULL;
    struct lmi_err err;
    enum lmi_rc rc = lmi_request_read(ask, &request, &complaint, &err);

    memset(answer, 0, sizeof *answer);
    if (complaint != NULL)
        lmi_login_answer_refuse(answer, complaint);
    else if (rc != LMI_OK || exchange == NULL || remote == NULL ||
             !remote_open(remote))
        give_fault(LMI_MEMORY, NULL, "no memory", answer);
    else if ((route != LMI_ROUTE_HOST && route != LMI_ROUTE_GATEWAY) ||
             route_of(settings, ask, request, facts) != route)
        give_fault(LMI_ELSEWHERE, NULL,
                   "the login would go another way than was reported", answer);
    else {
        exchange->settings = settings;
        exchange->request = request;
        exchange->route = route;
        exchange->remote = remote;
        prepare(exchange);
        if (route == LMI_ROUTE_GATEWAY)
            ask_gateway(exchange, answer);
        else
            ask_server(exchange, answer);
    }
    if (request != NULL)
        lmi_answer_log(answer, settings, request,
                       answer->reason == LMI_REASON_OK);
    lmi_request_free(request);
    lmi_secret_free(exchange);
}
