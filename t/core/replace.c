/* Replacing a file: the whole new one, or the old one as it was. */
#include <dirent.h>
#include <errno.h>

#include "base/replace.h"
#include "scratch.h"

static struct lmi_crypto *crypto;
static struct lmi_file_rules rules = {.code = LMI_SITE, .max_size = 4096};
static int dir_fd;

static void
put(const char *name, const char *text)
{
    FILE *file = fopen(scratch_path(name), "w");

    if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0) {
        printf("Bail out! %s\n", name);
        exit(2);
    }
}

static bool
holds(const char *name, const char *text)
{
    char got[64] = "";
    FILE *file = fopen(scratch_path(name), "r");
    size_t len = file == NULL ? 0 : fread(got, 1, sizeof got - 1, file);

    if (file != NULL)
        fclose(file);
    return len == strlen(text) && memcmp(got, text, len) == 0;
}

static int
names(void)
{
    DIR *dir = opendir(scratch);
    int count = 0;

    while (dir != NULL && readdir(dir) != NULL)
        count++;
    if (dir != NULL)
        closedir(dir);
    return count - 2;
}

/* Reads the file, does something to it, and replaces it. */
static bool
replaces(const char *name, void (*meanwhile)(const char *name))
{
    struct lmi_replacement file = {.dir_fd = dir_fd,
                                   .name = name,
                                   .rules = &rules,
                                   .crypto = crypto,
                                   .mode = 0640};
    struct lmi_err err;
    char *old;
    size_t len;
    bool good = lmi_replace_begin(&file, &old, &len, &err) == LMI_OK;

    lmi_secret_free(old);
    if (good && meanwhile != NULL)
        meanwhile(name);
    return good &&
           lmi_replace_finish(&file, lmi_bytes_of("new"), &err) == LMI_OK;
}

static void
write_other(const char *name)
{
    put(name, "other");
}

static void
rename_other(const char *name)
{
    put("other", "other");
    rename(scratch_path("other"), scratch_path(name));
}

static void
link_other(const char *name)
{
    unlink(scratch_path(name));
    if (symlink("/etc/passwd", scratch_path(name)) != 0)
        perror(name);
}

static mode_t
mode_of(const char *name)
{
    struct stat st;

    return lstat(scratch_path(name), &st) == 0 ? st.st_mode : 0;
}

static void
replacing(void)
{
    put("a", "old");
    chmod(scratch_path("a"), 0604);
    ok(replaces("a", NULL) && holds("a", "new"), "replaced");
    ok((mode_of("a") & 07777) == 0604, "with the same permissions");
    ok(replaces("b", NULL) && holds("b", "new"), "a file that was not there");
    ok((mode_of("b") & 07777) == 0640, "with the permissions asked for");
    ok(names() == 2, "nothing is left beside them");
    ok(!replaces("a", write_other) && holds("a", "other"),
       "one that is changed meanwhile stays");
    ok(!replaces("a", rename_other) && holds("a", "other"),
       "one that is replaced meanwhile stays");
    ok(!replaces("c", write_other) && holds("c", "other"),
       "one that appears meanwhile stays");
    ok(!replaces("c", link_other) && S_ISLNK(mode_of("c")),
       "a link that appears meanwhile stays");
    ok(!replaces("c", NULL) && S_ISLNK(mode_of("c")), "a link is not replaced");
    link(scratch_path("a"), scratch_path("d"));
    ok(!replaces("d", NULL) && holds("a", "other"),
       "one with a second name is not replaced");
    ok(names() == 4, "nothing is left beside them");
}

/* Another process has the lock for a while, or for too long. */
static void
locking(void)
{
    struct lmi_err err;
    int pipes[2];
    char byte;
    time_t start;

    if (pipe(pipes) != 0)
        return;
    if (fork() == 0) {
        int own = open(scratch, O_RDONLY | O_DIRECTORY);
        bool locked = lmi_replace_lock(own, "x", &err) == LMI_OK;
        if (write(pipes[1], locked ? "y" : "n", 1) != 1)
            _exit(1);
        usleep(500000);
        _exit(0);
    }
    ok(read(pipes[0], &byte, 1) == 1 && byte == 'y', "a process locks");
    start = time(NULL);
    ok(lmi_replace_lock(dir_fd, "x", &err) == LMI_OK, "another one waits");
    ok(time(NULL) - start <= 5, "and goes on when the first has ended");
    ok(wait(NULL) > 0 && lmi_replace_lock(dir_fd, "x", &err) == LMI_OK,
       "control: it has the lock");
    int second = open(scratch, O_RDONLY | O_DIRECTORY);
    ok(lmi_replace_lock(second, "x", &err) == LMI_SITE,
       "but does not wait for ever");
    close(second);
}

int
main(void)
{
    scratch_make();
    crypto = crypto_make();
    rules.owner = geteuid();
    dir_fd = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    replacing();
    locking();
    close(dir_fd);
    lmi_crypto_free(crypto);
    return done();
}
