/* What becomes of the text of an account file. */
#include "accounts/edit.h"
#include "base/crypto.h"
#include "base/file.h"
#include "tap.h"

#define TODAY 20000
#define FIELDS ":19000:0:99999:7:::"

static enum lmi_edit_outcome last;

/* The edit of a text of known length gives this text; NULL: none. */
static bool
gives_bytes(enum lmi_edit_kind kind, const char *key, const char *value,
            struct lmi_bytes old, struct lmi_bytes wanted)
{
    const struct lmi_edit edit = {kind, key, value, TODAY};
    struct lmi_err err;
    char *out;
    size_t len;
    bool good = lmi_edit_text(old, &edit, &out, &len, &last, &err) == LMI_OK;

    if (wanted.ptr == NULL)
        return good && out == NULL && last != LMI_EDIT_DONE;
    good = good && out != NULL && last == LMI_EDIT_DONE && len == wanted.len &&
           memcmp(out, wanted.ptr, len) == 0;
    if (!good && out != NULL)
        printf("# %.*s\n", (int)len, out);
    lmi_secret_free(out);
    return good;
}

static bool
gives(enum lmi_edit_kind kind, const char *key, const char *value,
      const char *old, const char *wanted)
{
    const struct lmi_bytes none = {NULL, 0};

    return gives_bytes(kind, key, value, lmi_bytes_of(old),
                       wanted == NULL ? none : lmi_bytes_of(wanted));
}

static bool
refuses(enum lmi_edit_kind kind, const char *key, const char *value,
        const char *old, enum lmi_edit_outcome outcome)
{
    return gives(kind, key, value, old, NULL) && last == outcome;
}

static void
adding(void)
{
    ok(gives(LMI_EDIT_ADD, "b", "b:x", "", "b:x\n"), "into an empty file");
    ok(gives(LMI_EDIT_ADD, "b", "b:x", "a:1\n", "a:1\nb:x\n"), "at the end");
    ok(gives(LMI_EDIT_ADD, "b", "b:x", "a:1", "a:1\nb:x\n"),
       "after a line without an end");
    ok(gives(LMI_EDIT_ADD, "b", "b:x", "bb:1\nb\n ab:\n",
             "bb:1\nb\n ab:\nb:x\n"),
       "other names, and a name without a colon, are not this one");
    ok(refuses(LMI_EDIT_ADD, "b", "b:x", "a:1\nb:2\n", LMI_EDIT_THERE),
       "not twice");
    ok(refuses(LMI_EDIT_ADD, "b", "b:x", "a:1\nb:2", LMI_EDIT_THERE),
       "not twice, without an end");
    ok(gives(LMI_EDIT_PUT, "b", "b:x", "a:1\nb:2\nc:3\nb:4\n",
             "a:1\nb:x\nc:3\n"),
       "put in the place of all of them");
    ok(gives(LMI_EDIT_PUT, "b", "b:x", "a:1\n", "a:1\nb:x\n"),
       "put where there is none");
}

static void
removing(void)
{
    ok(gives(LMI_EDIT_REMOVE, "b", NULL, "a:1\nb:2\nc:3\nb:4", "a:1\nc:3\n"),
       "all lines of the name are removed");
    ok(gives(LMI_EDIT_REMOVE, "b", NULL, "b:1", ""), "the only one");
    ok(refuses(LMI_EDIT_REMOVE, "b", NULL, "a:b\n", LMI_EDIT_MISSING),
       "a missing one");
    ok(gives(LMI_EDIT_DISOWN, "bob", NULL,
             "a.example: alice\nb.example: bob\nc.example:bob \n"
             "*: nobody\nd.example: bobby\ne.example: bob",
             "a.example: alice\n*: nobody\nd.example: bobby\n"),
       "the domains of one owner");
    ok(refuses(LMI_EDIT_DISOWN, "bob", NULL, "bob: alice\nbob\n",
               LMI_EDIT_MISSING),
       "a domain of an owner's name is not his");
}

static void
hashing(void)
{
    ok(gives(LMI_EDIT_HASH, "b", "$6$x$y",
             "a:$1$1" FIELDS "\nb:$1$2" FIELDS "\nc:*" FIELDS "\n",
             "a:$1$1" FIELDS "\nb:$6$x$y:20000:0:99999:7:::\nc:*" FIELDS "\n"),
       "a new hash, and its day");
    ok(gives(LMI_EDIT_HASH, "b", "$6$", "b::::::::", "b:$6$:20000::::::"),
       "an empty one; a line without an end stays so");
    ok(gives(LMI_EDIT_HASH, "b", "$6$", "b:!$5$" FIELDS "\n",
             "b:!$6$:20000:0:99999:7:::\n"),
       "a locked one stays locked");
    ok(gives(LMI_EDIT_HASH, "b", "$6$", "b:!!" FIELDS "\n",
             "b:$6$:20000:0:99999:7:::\n"),
       "what never had a password is not locked");
    ok(refuses(LMI_EDIT_HASH, "b", "$6$", "a:x" FIELDS "\n", LMI_EDIT_MISSING),
       "a missing one");
    ok(refuses(LMI_EDIT_HASH, "b", "$6$", "b:x" FIELDS "\nb:x" FIELDS "\n",
               LMI_EDIT_TWICE),
       "one that is there twice");
    ok(refuses(LMI_EDIT_HASH, "b", "$6$", "b:x:1:2\n", LMI_EDIT_FAULTY),
       "a malformed one");
    ok(refuses(LMI_EDIT_HASH, "b", "$6$", "b:x" FIELDS "\r\n", LMI_EDIT_FAULTY),
       "one with a carriage return");
    ok(refuses(LMI_EDIT_HASH, "b", "$6:$", "b:x" FIELDS "\n", LMI_EDIT_FAULTY),
       "one that would be malformed");
}

static void
locking(void)
{
    char hash[LMI_HASH_SIZE], line[2 * LMI_HASH_SIZE];

    ok(gives(LMI_EDIT_LOCK, "b", NULL, "b:$6$" FIELDS "\n",
             "b:!$6$" FIELDS "\n"),
       "locked");
    ok(gives(LMI_EDIT_UNLOCK, "b", NULL, "b:!$6$" FIELDS "\n",
             "b:$6$" FIELDS "\n"),
       "unlocked");
    ok(refuses(LMI_EDIT_LOCK, "b", NULL, "b:!$6$" FIELDS "\n", LMI_EDIT_SAME),
       "locked already");
    ok(refuses(LMI_EDIT_LOCK, "b", NULL, "b:*" FIELDS "\n", LMI_EDIT_SAME),
       "no hash to lock");
    ok(refuses(LMI_EDIT_UNLOCK, "b", NULL, "b:$6$" FIELDS "\n", LMI_EDIT_SAME),
       "not locked");
    ok(refuses(LMI_EDIT_UNLOCK, "b", NULL, "b:!" FIELDS "\n", LMI_EDIT_SAME),
       "an empty password is never unlocked");
    memset(hash, 'x', sizeof hash - 1);
    hash[0] = '$';
    hash[sizeof hash - 1] = '\0';
    snprintf(line, sizeof line, "b:%s" FIELDS "\n", hash);
    ok(refuses(LMI_EDIT_LOCK, "b", NULL, line, LMI_EDIT_FAULTY),
       "a hash that would be too long");
}

/* Whatever other lines hold, they stay. */
static void
strangers(void)
{
    static const char before[] = "\0\n::\n\xFF\xFE:\n\n\n#b:x\na:\r\n";
    static char old[3 * LMI_LINE_MAX], wanted[sizeof old];
    size_t len = sizeof before - 1;

    memcpy(old, before, len);
    memset(old + len, ':', 2 * LMI_LINE_MAX);
    len += 2 * LMI_LINE_MAX;
    memcpy(wanted, old, len);
    memcpy(old + len, "\nb:1", 4);
    memcpy(wanted + len, "\nb:x\n", 5);
    ok(gives_bytes(LMI_EDIT_PUT, "b", "b:x", (struct lmi_bytes){old, len + 4},
                   (struct lmi_bytes){wanted, len + 5}),
       "malformed and long lines, and NUL, stay byte for byte");
    memcpy(old, "b:", 2);
    memset(old + 2, 'x', LMI_LINE_MAX);
    old[LMI_LINE_MAX + 2] = '\n';
    ok(gives_bytes(LMI_EDIT_HASH, "b", "$6$",
                   (struct lmi_bytes){old, LMI_LINE_MAX + 3},
                   (struct lmi_bytes){NULL, 0}) &&
           last == LMI_EDIT_FAULTY,
       "its own line is too long");
}

int
main(void)
{
    adding();
    removing();
    hashing();
    locking();
    strangers();
    return done();
}
