#include "accounts/edit.h"

#include <stdio.h>

#include "accounts/shadow.h"
#include "base/buffer.h"
#include "base/crypto.h"
#include "base/error.h"
#include "base/file.h"

struct editor {
    const struct lmi_edit *edit;
    struct lmi_buffer out;
    size_t matches;
    enum lmi_edit_outcome outcome; /* of the line, unless it is done */
};

/* Cuts the next line from *rest, with its newline. */
static struct lmi_bytes
next_line(struct lmi_bytes *rest)
{
    const char *newline = memchr(rest->ptr, '\n', rest->len);
    size_t len =
        newline == NULL ? rest->len : (size_t)(newline - rest->ptr) + 1;
    struct lmi_bytes line = {rest->ptr, len};

    rest->ptr += len;
    rest->len -= len;
    return line;
}

static bool
is_meant(const struct lmi_edit *edit, struct lmi_bytes line)
{
    struct lmi_bytes rest = line, first;
    size_t len = line.ptr[line.len - 1] == '\n' ? line.len - 1 : line.len;

    rest.len = len;
    first = lmi_next_field(&rest, ':');
    if (first.len == len)
        return false; /* no colon */
    return lmi_bytes_equal(
        edit->kind == LMI_EDIT_DISOWN ? lmi_trim(rest) : first, edit->key);
}

/* The second field from the old one: whether there is a lock, and the hash. */
static enum lmi_edit_outcome
new_hash(const struct lmi_edit *edit, const char *old, bool *lock_out,
         const char **hash_out)
{
    bool locked = old[0] == '!' && old[1] == '$';

    *lock_out =
        edit->kind == LMI_EDIT_HASH ? locked : edit->kind == LMI_EDIT_LOCK;
    *hash_out = edit->kind == LMI_EDIT_HASH     ? edit->value
                : edit->kind == LMI_EDIT_UNLOCK ? old + locked
                                                : old;
    if ((edit->kind == LMI_EDIT_LOCK && old[0] != '$') ||
        (edit->kind == LMI_EDIT_UNLOCK && !locked))
        return LMI_EDIT_SAME;
    return LMI_EDIT_DONE;
}

/* name:HASH:DAY:..., with another hash, and today as its day if it is new. */
static void
put_fields(struct editor *editor, struct lmi_bytes line, bool lock,
           const char *hash)
{
    struct lmi_buffer *out = &editor->out;
    struct lmi_bytes rest = line;
    struct lmi_bytes name = lmi_next_field(&rest, ':');
    char day[24];

    lmi_next_field(&rest, ':');
    lmi_buffer_put(out, name.ptr, name.len);
    lmi_buffer_put_text(out, lock ? ":!" : ":");
    lmi_buffer_put_text(out, hash);
    lmi_buffer_put_char(out, ':');
    if (editor->edit->kind == LMI_EDIT_HASH) {
        lmi_next_field(&rest, ':');
        snprintf(day, sizeof day, "%lld:", (long long)editor->edit->today);
        lmi_buffer_put_text(out, day);
    }
    lmi_buffer_put(out, rest.ptr, rest.len);
}

/* A line of a shadow file with another hash, if it was good and stays so. */
static void
change_hash(struct editor *editor, struct lmi_bytes line)
{
    struct lmi_shadow_entry entry;
    struct lmi_bytes bare = line;
    const char *hash = "";
    bool lock = false;
    size_t start = editor->out.len;

    if (bare.len > 0 && bare.ptr[bare.len - 1] == '\n')
        bare.len--;
    editor->outcome = LMI_EDIT_FAULTY;
    if (bare.len <= LMI_LINE_MAX &&
        lmi_shadow_parse(bare, &entry) == LMI_LINE_GOOD)
        editor->outcome = new_hash(editor->edit, entry.hash, &lock, &hash);
    if (editor->outcome == LMI_EDIT_DONE) {
        put_fields(editor, bare, lock, hash);
        bare = (struct lmi_bytes){editor->out.ptr + start,
                                  editor->out.len - start};
        if (bare.len > LMI_LINE_MAX ||
            lmi_shadow_parse(bare, &entry) != LMI_LINE_GOOD)
            editor->outcome = LMI_EDIT_FAULTY;
        if (line.ptr[line.len - 1] == '\n')
            lmi_buffer_put_char(&editor->out, '\n');
    }
    lmi_wipe(&entry, sizeof entry);
}

static void
put_value(struct editor *editor)
{
    struct lmi_buffer *out = &editor->out;

    if (out->len > 0 && out->ptr[out->len - 1] != '\n')
        lmi_buffer_put_char(out, '\n');
    lmi_buffer_put_text(out, editor->edit->value);
    lmi_buffer_put_char(out, '\n');
}

static void
edit_line(struct editor *editor, struct lmi_bytes line)
{
    editor->matches++;
    switch (editor->edit->kind) {
    case LMI_EDIT_PUT:
        if (editor->matches == 1)
            put_value(editor);
        break;
    case LMI_EDIT_HASH:
    case LMI_EDIT_LOCK:
    case LMI_EDIT_UNLOCK:
        change_hash(editor, line);
        break;
    case LMI_EDIT_ADD:
    case LMI_EDIT_REMOVE:
    case LMI_EDIT_DISOWN:
        break;
    }
}

static enum lmi_edit_outcome
outcome_of(const struct editor *editor)
{
    switch (editor->edit->kind) {
    case LMI_EDIT_ADD:
        return editor->matches > 0 ? LMI_EDIT_THERE : LMI_EDIT_DONE;
    case LMI_EDIT_PUT:
        return LMI_EDIT_DONE;
    case LMI_EDIT_REMOVE:
    case LMI_EDIT_DISOWN:
        return editor->matches > 0 ? LMI_EDIT_DONE : LMI_EDIT_MISSING;
    case LMI_EDIT_HASH:
    case LMI_EDIT_LOCK:
    case LMI_EDIT_UNLOCK:
        if (editor->matches > 1)
            return LMI_EDIT_TWICE;
        return editor->matches == 0 ? LMI_EDIT_MISSING : editor->outcome;
    }
    return LMI_EDIT_FAULTY;
}

enum lmi_rc
lmi_edit_text(struct lmi_bytes old, const struct lmi_edit *edit, char **out,
              size_t *len_out, enum lmi_edit_outcome *outcome_out,
              struct lmi_err *err)
{
    struct editor editor = {.edit = edit};
    size_t value_len = edit->value == NULL ? 0 : strlen(edit->value);
    size_t size = old.len + value_len + 64;
    char *text = lmi_secret_alloc(size);

    *out = NULL;
    *len_out = 0;
    *outcome_out = LMI_EDIT_FAULTY;
    if (text == NULL)
        return lmi_no_memory(err);
    lmi_buffer_init(&editor.out, text, size);
    while (old.len > 0) {
        struct lmi_bytes line = next_line(&old);
        if (is_meant(edit, line))
            edit_line(&editor, line);
        else
            lmi_buffer_put(&editor.out, line.ptr, line.len);
    }
    *outcome_out = outcome_of(&editor);
    if (*outcome_out == LMI_EDIT_DONE && editor.matches == 0)
        put_value(&editor);
    if (editor.out.full)
        *outcome_out = LMI_EDIT_FAULTY;
    if (*outcome_out != LMI_EDIT_DONE) {
        lmi_secret_free(text);
        return LMI_OK;
    }
    *out = text;
    *len_out = editor.out.len;
    return LMI_OK;
}
