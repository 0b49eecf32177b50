/*
 * Parent and child with the same process id, each the first of its own PID
 * namespace: OpenSSL does not notice that fork. What they draw must differ.
 */
#include <openssl/rand.h>
#include <sched.h>
#include <sys/mman.h>

#include "scratch.h"
#include "sessions/token.h"

struct drawn {
    pid_t pid;
    char ticket[LMI_TICKET_SIZE];
    unsigned char bare[16]; /* OpenSSL's own, for the control */
};

static OSSL_LIB_CTX *context;

static void
draw(struct lmi_crypto *crypto, struct drawn *out)
{
    struct lmi_err err;

    out->pid = getpid();
    if (lmi_ticket_draw(crypto, out->ticket, &err) != LMI_OK ||
        RAND_priv_bytes_ex(context, out->bare, sizeof out->bare, 0) != 1)
        _exit(1);
}

/* As the first process of a namespace: draws, and has a child that does. */
static int
be_first(struct drawn drawn[2])
{
    struct lmi_crypto *crypto = crypto_make();
    unsigned char first[16];
    int status = -1;

    context = OSSL_LIB_CTX_new();
    if (context == NULL ||
        RAND_priv_bytes_ex(context, first, sizeof first, 0) != 1 ||
        unshare(CLONE_NEWPID) != 0)
        return 1;
    pid_t pid = fork();
    if (pid == 0) {
        draw(crypto, &drawn[1]);
        lmi_crypto_free(crypto);
        _exit(0);
    }
    draw(crypto, &drawn[0]);
    lmi_crypto_free(crypto);
    return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 1;
}

/*
 * Starts the first process of a new namespace, and returns its status; 2 if
 * that is not allowed. In a process of its own: a process that unshares can't
 * be traced afterwards, as the sanitizer's search for leaks wants to.
 */
static int
in_namespace(struct drawn drawn[2])
{
    int status = -1;

    if (unshare(CLONE_NEWPID) != 0)
        return 2;
    pid_t pid = fork();
    if (pid == 0)
        _exit(be_first(drawn));
    return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 1;
}

int
main(void)
{
    struct drawn *drawn = mmap(NULL, 2 * sizeof *drawn, PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status = -1;

    pid_t pid = fork();
    if (pid == 0)
        _exit(in_namespace(drawn));
    bool ended = waitpid(pid, &status, 0) == pid;
    if (ended && WIFEXITED(status) && WEXITSTATUS(status) == 2) {
        puts("1..0 # SKIP PID namespaces need root");
        return 0;
    }
    ok(ended && status == 0, "two processes draw");
    ok(drawn[0].pid == 1 && drawn[1].pid == 1, "... both with the id 1");
    ok(strcmp(drawn[0].ticket, drawn[1].ticket) != 0, "... different tickets");
    ok(memcmp(drawn[0].bare, drawn[1].bare, sizeof drawn[0].bare) == 0,
       "control: OpenSSL alone draws the same");
    return done();
}
