/*
 * Children draw tickets and tokens after a fork: no two of them, and none of
 * the parent's, are the same. LMI_CHILDREN says how many, 200 by default.
 */
#include <sys/mman.h>

#include "scratch.h"
#include "sessions/token.h"

#define DRAWS 100 /* by each child */

typedef char ticket[LMI_TICKET_SIZE];

static struct lmi_err err;

static void
draw(struct lmi_crypto *crypto, ticket *out, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (lmi_ticket_draw(crypto, out[i], &err) != LMI_OK)
            _exit(1);
}

static int
compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(ticket));
}

static size_t
doubles(ticket *drawn, size_t count)
{
    size_t twice = 0;

    qsort(drawn, count, sizeof *drawn, compare);
    for (size_t i = 1; i < count; i++)
        twice += compare(drawn[i - 1], drawn[i]) == 0;
    return twice;
}

int
main(void)
{
    const char *wanted = getenv("LMI_CHILDREN");
    size_t children = wanted != NULL ? (size_t)atol(wanted) : 200;
    size_t count = children * (DRAWS + 1), failed = 0;
    struct lmi_crypto *crypto = crypto_make();
    ticket *drawn = mmap(NULL, count * sizeof *drawn, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status;

    for (size_t i = 0; i < children; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            draw(crypto, drawn + i * DRAWS, DRAWS);
            _exit(0);
        }
        draw(crypto, drawn + children * DRAWS + i, 1);
        failed += waitpid(pid, &status, 0) != pid || status != 0;
    }
    ok(failed == 0, "%zu children draw %d tickets each", children, DRAWS);
    ok(doubles(drawn, count) == 0, "and none is drawn twice");
    printf("# 2: %zu forks of %d ids each, %zu twice\n", children, DRAWS,
           doubles(drawn, count));
    memcpy(drawn[1], drawn[0], sizeof *drawn);
    ok(doubles(drawn, count) == 1, "control: a double one is seen");
    munmap(drawn, count * sizeof *drawn);
    lmi_crypto_free(crypto);
    return done();
}
