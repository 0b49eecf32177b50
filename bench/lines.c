/*
 * Row 6: one account among very many, against the least that a pass over the
 * file can be: the same reads, and a search for the ends of lines.
 *
 *     bin/lines SITE_ROOT USER DOMAIN
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "accounts/site.h"
#include "worker.h"

struct context {
    struct lmi_site *site;
    const char *root, *user, *domain;
};

static void
shadow(void *pointer)
{
    struct context *context = pointer;
    struct lmi_shadow_entry entry;
    struct lmi_histogram histogram;
    struct lmi_err err;
    enum lmi_rc rc =
        lmi_site_shadow(context->site, context->user, &entry, &histogram, &err);

    bench_need(rc == LMI_OK && entry.found, "finding the user");
}

static void
domain(void *pointer)
{
    struct context *context = pointer;
    struct lmi_domain found;
    struct lmi_err err;
    enum lmi_rc rc =
        lmi_site_domain(context->site, context->domain, &found, &err);

    bench_need(rc == LMI_OK && found.found, "finding the domain");
}

static size_t
count_lines(const char *bytes, size_t len)
{
    const char *end = bytes + len, *newline;
    size_t lines = 0;

    while (bytes < end &&
           (newline = memchr(bytes, '\n', (size_t)(end - bytes))) != NULL) {
        bytes = newline + 1;
        lines++;
    }
    return lines;
}

/* In pieces as large as lmi_file_each_line() reads at most. */
static void
pass(const struct context *context, const char *file)
{
    static char window[2 * LMI_LINE_MAX];
    char path[1024];
    size_t lines = 0;
    ssize_t got;

    snprintf(path, sizeof path, "%s/etc/%s", context->root, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    while ((got = read(fd, window, sizeof window)) > 0)
        lines += count_lines(window, (size_t)got);
    bench_need(got == 0 && lines > 0, path);
    close(fd);
}

static void
pass_shadow(void *pointer)
{
    pass(pointer, "shadow");
}

static void
pass_domains(void *pointer)
{
    pass(pointer, "userdomains");
}

int
main(int argc, char **argv)
{
    static const struct bench_job jobs[] = {{"shadow", shadow, 1},
                                            {"domain", domain, 1},
                                            {"pass_shadow", pass_shadow, 1},
                                            {"pass_domains", pass_domains, 1},
                                            {NULL, NULL, 0}};
    struct context context;
    struct lmi_err err;

    bench_need(argc == 4, "SITE_ROOT USER DOMAIN");
    context =
        (struct context){.root = argv[1], .user = argv[2], .domain = argv[3]};
    bench_need(lmi_site_open(argv[1], &context.site, &err) == LMI_OK,
               "opening the site");
    bench_serve(jobs, &context);
    return 0;
}
