/*
 * Damages the data file of a real store in many ways, and lets the core, in
 * a child process, list its sessions and try all tickets and cookies:
 *
 *     images COUNT SEED CONF CONF..
 *
 * The first settings are for the sound store, each of the others for the
 * store of one child. Accepted is what the core takes for a session and what
 * it has never written: with another user, service or token.
 *
 * With BLIND defined the MAC of every record is taken for good: the control,
 * to be linked with --wrap=lmi_keys_verify.
 */
#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "logmein.h"

#define SESSIONS 60
#define ENDED 12 /* of these, before the damage */
#define PAGE 4096
#define SECTOR 512
#define WORKERS 8
#define LISTED_MAX 1000
#define TRIED 6 /* sessions tried under other names and tokens */

/* Of equal length, so that one can stand in the place of another. */
static const char *const users[] = {"alice", "carol", "david"};
#define USERS 3
#define FORGED_TOKEN "/cpsess0000000000"

static struct session {
    unsigned user;
    enum lmi_service service;
    char token[LMI_TOKEN_SIZE];
    char ticket[LMI_TICKET_SIZE];
    char cookie[LMI_COOKIE_SIZE];
    bool ended;
} sessions[SESSIONS];

static struct shared {
    struct progress {
        uint64_t next, opened, accepted, revived, crashes, hangs;
        bool finished;
    } progress[WORKERS];
} * shared;

static struct lmi_err err;
static struct lmi *spare; /* keeps OpenSSL's context */
static uint8_t *sound, *image;
static size_t size, image_size;
static char key[64];
static size_t key_len;
static uint64_t dice;

#ifdef BLIND
#include "sessions/record.h"

/* If the function's arguments change, these must not compile. */
__typeof__(lmi_keys_verify) __real_lmi_keys_verify, __wrap_lmi_keys_verify;

enum lmi_rc
__wrap_lmi_keys_verify(struct lmi_keys *keys, uint8_t purpose, const void *ptr,
                       size_t len, const uint8_t *mac, size_t mac_len,
                       bool *good_out, enum lmi_key *which_out,
                       struct lmi_err *error)
{
    enum lmi_rc rc = __real_lmi_keys_verify(
        keys, purpose, ptr, len, mac, mac_len, good_out, which_out, error);

    if (purpose == LMI_MAC_RECORD)
        *good_out = true;
    return rc;
}
#endif

static void
need(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "%s (%s)\n", what, err.text != NULL ? err.text : "-");
    exit(2);
}

/* splitmix64: a number below `limit`. */
static uint64_t
roll(uint64_t limit)
{
    uint64_t z = dice += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (z ^ z >> 31) % limit;
}

static struct lmi_text
text_of(const char *text)
{
    return (struct lmi_text){LMI_TEXT_LATIN1, text, strlen(text)};
}

static struct lmi_access
access_of(const struct session *session)
{
    return (struct lmi_access){.token = text_of(session->token),
                               .service = session->service,
                               .address = text_of("192.0.2.2"),
                               .agent = text_of("Browser")};
}

static void
log_in(struct lmi *lmi, struct session *session)
{
    static struct lmi_login_answer answer;
    const struct lmi_login ask = {
        .user = text_of(users[session->user]),
        .pass = text_of("secret"),
        .hostname = text_of("localhost"),
        .service = text_of(lmi_service_info(session->service)->name),
        .here = true};

    lmi_login(lmi, &ask, &answer);
    need(answer.reason == LMI_REASON_OK, answer.detail);
    snprintf(session->ticket, sizeof session->ticket, "%s",
             strstr(answer.url, "lmt_"));
    memcpy(session->token, answer.token, sizeof session->token);
}

static enum lmi_outcome
redeem(struct lmi *lmi, const struct session *session, const char *method,
       struct lmi_redeemed *out)
{
    struct lmi_access access = access_of(session);
    enum lmi_outcome outcome = LMI_UNKNOWN;

    access.ticket = text_of(session->ticket);
    access.method = text_of(method);
    if (lmi_session_redeem(lmi, &access, &outcome, out, &err) != LMI_OK)
        return LMI_UNKNOWN;
    return outcome;
}

/* A store with sessions of all kinds; some have been ended. */
static void
make_store(void)
{
    struct lmi *lmi;
    struct lmi_redeemed redeemed;
    struct lmi_session ended;
    enum lmi_outcome outcome;

    need(lmi_new(spare, &lmi, &err) == LMI_OK, "no handle");
    for (unsigned i = 0; i < SESSIONS; i++) {
        struct session *session = &sessions[i];
        session->user = i % USERS;
        session->service = 1 + i / USERS % 3;
        log_in(lmi, session);
        if (i % 4 == 0)
            continue;
        need(redeem(lmi, session, "GET", &redeemed) == LMI_GRANTED, "redeem");
        memcpy(session->cookie, redeemed.cookie, sizeof session->cookie);
    }
    for (unsigned i = 1; i < 4 * ENDED; i += 4) {
        struct lmi_access access = access_of(&sessions[i]);
        access.cookie = text_of(sessions[i].cookie);
        need(lmi_session_end(lmi, &access, &outcome, &ended, &err) == LMI_OK &&
                 outcome == LMI_GRANTED,
             "end");
        sessions[i].ended = true;
    }
    lmi_free(lmi);
}

static size_t
read_whole(const char *folder, const char *name, void *out, size_t room)
{
    char path[512];
    int fd;
    ssize_t len;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    len = fd < 0 ? -1 : read(fd, out, room);
    need(len > 0 && (size_t)len < room, path);
    close(fd);
    return (size_t)len;
}

static void
write_whole(const char *folder, const char *name, const void *bytes, size_t len)
{
    char path[512];
    int fd;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    need(fd >= 0 && write(fd, bytes, len) == (ssize_t)len, path);
    close(fd);
}

/* Takes settings; the folder of their store. */
static void
use_settings(const char *conf, char folder[256])
{
    const struct lmi_settings *settings;
    char url[256];

    setenv("LOGMEIN_CONF", conf, 1);
    lmi_free(spare);
    need(lmi_new(NULL, &spare, &err) == LMI_OK &&
             lmi_settings_get(spare, &settings, &err) == LMI_OK &&
             lmi_settings_find(settings, "store", url, sizeof url) &&
             strncmp(url, "lmdb:", 5) == 0,
         conf);
    strcpy(folder, url + 5);
}

static uint8_t *
some_page(void)
{
    return image + roll(size / PAGE) * PAGE;
}

/* One of the places where a user's name stands, most of them in records. */
static uint8_t *
some_name(void)
{
    size_t start = roll(size);

    for (size_t i = 0; i < size; i++) {
        uint8_t *at = image + (start + i) % size;
        if (at < image + 256 || at > image + size - 64)
            continue;
        for (unsigned j = 0; j < USERS; j++)
            if (memcmp(at, users[j], 5) == 0)
                return at;
    }
    return image + 256;
}

/* The token of some session becomes the forged one, wherever it stands. */
static void
forge_token(void)
{
    const char *digits = sessions[roll(SESSIONS)].token + 7;

    for (size_t i = 0; i + 10 < size; i++)
        if (memcmp(image + i, digits, 10) == 0)
            memcpy(image + i, FORGED_TOKEN + 7, 10);
}

static void
damage(void)
{
    uint8_t *page = some_page(), *other = some_page(), *name;
    size_t at = roll(PAGE / SECTOR) * SECTOR, len;

    switch (roll(12)) {
    case 0:
        for (uint64_t i = 1 + roll(8); i > 0; i--)
            image[roll(size)] ^= (uint8_t)(1 << roll(8));
        break;
    case 1: /* where pages and their nodes are described */
        for (uint64_t i = 1 + roll(3); i > 0; i--)
            page[roll(64)] ^= (uint8_t)(1 << roll(8));
        break;
    case 2: /* what LMDB begins with */
        image[roll(2 * PAGE / 16)] ^= (uint8_t)(1 << roll(8));
        image[PAGE + roll(160)] ^= (uint8_t)(1 << roll(8));
        break;
    case 3:
        memset(page + at, 0, roll(2) == 0 ? SECTOR : PAGE - at);
        break;
    case 4:
        memmove(page, other, PAGE);
        break;
    case 5: /* torn */
        memmove(page + at, other + at, PAGE - at);
        break;
    case 6:
        image_size = roll(2) == 0 ? roll(size) : roll(size / PAGE) * PAGE;
        break;
    case 7:
        memcpy(some_name(), users[roll(USERS)], 5);
        break;
    case 8:
        forge_token();
        break;
    case 9: /* some field of a record */
        some_name()[(int64_t)roll(180) - 145] = (uint8_t)roll(256);
        break;
    case 10: /* a record in the place of another, with or without its MAC */
        name = some_name();
        other = some_name();
        len = 137 + (roll(2) == 0 ? 5 : 37);
        memmove(name - 137, other - 137, len);
        break;
    case 11:
        for (size_t i = 0; i < SECTOR; i++)
            page[at + i] = (uint8_t)roll(256);
        break;
    }
}

/* The core takes this for a session: was one ever written? */
static void
met(struct progress *progress, const struct lmi_session *found)
{
    for (unsigned i = 0; i < SESSIONS; i++) {
        const struct session *session = &sessions[i];
        if (strcmp(found->user, users[session->user]) != 0 ||
            found->service != session->service ||
            strcmp(found->token, session->token) != 0)
            continue;
        progress->revived += session->ended;
        return;
    }
    progress->accepted++;
}

static void
try_cookie(struct lmi *lmi, struct progress *progress,
           const struct session *session, unsigned user, const char *token)
{
    char cookie[LMI_COOKIE_SIZE];
    struct lmi_access access = access_of(session);
    enum lmi_outcome outcome;
    struct lmi_session found;

    if (session->cookie[0] == '\0')
        return;
    snprintf(cookie, sizeof cookie, "%s%s", users[user], session->cookie + 5);
    access.cookie = text_of(cookie);
    access.token = text_of(token);
    if (lmi_session_check(lmi, &access, &outcome, &found, &err) == LMI_OK &&
        outcome == LMI_GRANTED)
        met(progress, &found);
}

static void
try_session(struct lmi *lmi, struct progress *progress,
            const struct session *session, bool forged)
{
    struct lmi_redeemed redeemed;

    try_cookie(lmi, progress, session, session->user, session->token);
    if (redeem(lmi, session, roll(8) == 0 ? "GET" : "HEAD", &redeemed) ==
        LMI_GRANTED)
        met(progress, &redeemed.session);
    for (unsigned i = 0; forged && i < USERS; i++) {
        try_cookie(lmi, progress, session, i, session->token);
        try_cookie(lmi, progress, session, i, FORGED_TOKEN);
    }
}

static void
judge(struct progress *progress)
{
    struct lmi_session_list list = {.service = 0};
    struct lmi_session listed;
    struct lmi *lmi;
    bool found = true;

    need(lmi_new(spare, &lmi, &err) == LMI_OK && lmi_pin(lmi, &err) == LMI_OK,
         "no handle");
    progress->opened += lmi_open(lmi, &err) == LMI_OK;
    for (int i = 0; found && i < LISTED_MAX; i++)
        if (lmi_session_next(lmi, &list, &found, &listed, &err) == LMI_OK &&
            found)
            met(progress, &listed);
    for (unsigned i = 0; i < SESSIONS; i++)
        try_session(lmi, progress, &sessions[i], roll(SESSIONS / TRIED) == 0);
    lmi_free(lmi);
}

static void
empty(const char *folder)
{
    DIR *dir;
    const struct dirent *entry;

    mkdir(folder, 0700);
    dir = opendir(folder);
    need(dir != NULL, folder);
    while ((entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
}

/* Processor time for one image; a tree in a circle has no end. */
static void
limit_time(void)
{
    const struct itimerval limit = {.it_value = {.tv_sec = 1}};

    setitimer(ITIMER_PROF, &limit, NULL);
}

static void
work(unsigned number, unsigned workers, uint64_t count, uint64_t seed,
     const char *conf)
{
    struct progress *progress = &shared->progress[number];
    const struct rlimit none = {0, 0};
    char folder[256];

    setrlimit(RLIMIT_CORE, &none);
    use_settings(conf, folder);
    for (uint64_t i = progress->next; i < count; i++) {
        progress->next = i + 1;
        if (i % workers != number)
            continue;
        limit_time();
        dice = seed + i * UINT64_C(1000003);
        memcpy(image, sound, size);
        image_size = size;
        for (uint64_t j = 1 + roll(2); i > 0 && j > 0; j--)
            damage();
        empty(folder);
        write_whole(folder, "data.mdb", image, image_size);
        write_whole(folder, "key", key, key_len);
        judge(progress);
    }
    progress->finished = true;
    exit(0);
}

/* A child that dies is counted, and another goes on behind that image. */
static void
run(unsigned workers, uint64_t count, uint64_t seed, char **confs)
{
    pid_t pid, pids[WORKERS] = {0};
    int status;

    for (unsigned i = 0; i < workers; i++)
        if ((pids[i] = fork()) == 0)
            work(i, workers, count, seed, confs[i]);
    while ((pid = wait(&status)) > 0)
        for (unsigned i = 0; i < workers; i++) {
            struct progress *progress = &shared->progress[i];
            if (pids[i] != pid || progress->finished)
                continue;
            need(WIFSIGNALED(status), "a fault");
            if (WTERMSIG(status) == SIGPROF)
                progress->hangs++;
            else
                progress->crashes++;
            if ((pids[i] = fork()) == 0)
                work(i, workers, count, seed, confs[i]);
        }
}

int
main(int argc, char **argv)
{
    const size_t room = (size_t)4 << 20;
    struct progress sum = {0};
    char folder[256];
    unsigned workers = argc >= 5 ? (unsigned)argc - 4 : 0;

    /* LMDB's two megabytes of zeros, anew for each image, come cheap so. */
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    need(workers > 0 && workers <= WORKERS, "arguments");
    use_settings(argv[3], folder);
    make_store();
    sound = malloc(2 * room);
    need(sound != NULL, "no memory");
    image = sound + room;
    size = read_whole(folder, "data.mdb", sound, room);
    key_len = read_whole(folder, "key", key, sizeof key);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    need(shared != MAP_FAILED, "no memory");
    run(workers, strtoull(argv[1], NULL, 10), strtoull(argv[2], NULL, 10),
        argv + 4);
    for (unsigned i = 0; i < workers; i++) {
        const struct progress *part = &shared->progress[i];
        sum.opened += part->opened;
        sum.accepted += part->accepted;
        sum.revived += part->revived;
        sum.crashes += part->crashes;
        sum.hangs += part->hangs;
    }
    printf("images=%s opened=%llu accepted=%llu revived=%llu crashes=%llu "
           "hangs=%llu\n",
           argv[1], (unsigned long long)sum.opened,
           (unsigned long long)sum.accepted, (unsigned long long)sum.revived,
           (unsigned long long)sum.crashes, (unsigned long long)sum.hangs);
    return 0;
}
