/* What becomes of the text of an account file: bytes in, bytes out. No I/O. */
#ifndef LMI_EDIT_H
#define LMI_EDIT_H

#include "base/text.h"

/*
 * What to do with the lines that begin with the key and a colon. All others
 * stay as they are, byte for byte, whatever they hold.
 */
enum lmi_edit_kind {
    LMI_EDIT_ADD,    /* appends the line `value`, unless there is one */
    LMI_EDIT_PUT,    /* puts the line `value` in their place, or appends it */
    LMI_EDIT_REMOVE, /* removes all of them */
    LMI_EDIT_DISOWN, /* removes the lines "WORD: KEY" of etc/userdomains */
    LMI_EDIT_HASH,   /* `value` is the hash of the only one, changed `today`; a
                        lock in front of the old hash stays */
    LMI_EDIT_LOCK,   /* puts "!" before the hash of the only one */
    LMI_EDIT_UNLOCK, /* takes it away */
};

struct lmi_edit {
    enum lmi_edit_kind kind;
    const char *key;   /* without a colon, not empty */
    const char *value; /* without a newline */
    int64_t today;     /* days since 1970 */
};

enum lmi_edit_outcome {
    LMI_EDIT_MISSING = 0, /* there is no such line */
    LMI_EDIT_THERE,       /* there is one */
    LMI_EDIT_TWICE,       /* there are several, and one was meant */
    LMI_EDIT_FAULTY,      /* it is malformed, or would be */
    LMI_EDIT_SAME,        /* it is so already, or there is no hash to lock */
    LMI_EDIT_DONE,        /* the only one with a new text */
};

/* *out is the caller's, for lmi_secret_free(); NULL unless it is done. */
LMI_RC lmi_edit_text(struct lmi_bytes old, const struct lmi_edit *edit,
                     char **out, size_t *len_out,
                     enum lmi_edit_outcome *outcome_out, struct lmi_err *err);

#endif
