#include "sessions/machines.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "sessions/record.h"

#define VERSION 1
#define FINGERPRINT 8
#define FILE_MAC 16
#define NAME_MAX_LEN (LMI_MACHINE_NAME - 1)
#define KEYS_AT (1 + 8 + 8)
#define LOOKED_AT (KEYS_AT + LMI_KEYS * FINGERPRINT)
#define FILES_AT (LOOKED_AT + 8 + FINGERPRINT)
#define NAME_AT (FILES_AT + LMI_SITE_FILES * FILE_MAC)

_Static_assert(NAME_AT + 1 + NAME_MAX_LEN + LMI_HASH <= LMI_STORE_VALUE,
               "the longest note fits the store");
_Static_assert(sizeof((struct lmi_machine_list *)0)->at == 1 + LMI_STORE_KEY,
               "a list keeps a whole id");
_Static_assert(sizeof((struct lmi_machine_list *)0)->sums ==
                   sizeof(struct lmi_digest),
               "and a whole digest");

static const uint8_t none[LMI_HASH];

/* What a note says. */
struct note {
    bool sound; /* its MAC is good */
    int64_t seen, rotated, looked;
    uint8_t keys[LMI_KEYS][FINGERPRINT];
    uint8_t with[FINGERPRINT];
    uint8_t files[LMI_SITE_FILES][FILE_MAC];
    char name[LMI_MACHINE_NAME];
};

/* What is shown of another machine's name is what a name may be. */
static bool
name_ok(const char *name)
{
    for (const char *c = name; *c != '\0'; c++)
        if (!lmi_is_alnum(*c) && strchr("._-", *c) == NULL)
            return false;
    return name[0] != '\0';
}

/* The machine's name, and where its note lies. */
static enum lmi_rc
own_place(struct lmi *lmi, char name[LMI_MACHINE_NAME],
          struct lmi_store_id *id_out, struct lmi_err *err)
{
    char text[256 + 64] = "", host[256] = "";
    FILE *file = fopen("/etc/machine-id", "re");
    size_t len;

    if (gethostname(host, sizeof host - 1) != 0)
        host[0] = '\0';
    len = strlen(host) + 1; /* and the NUL between both */
    memcpy(text, host, len);
    if (file != NULL) {
        len += fread(text + len, 1, 32, file);
        fclose(file);
    }
    snprintf(name, LMI_MACHINE_NAME, "%.*s", NAME_MAX_LEN, host);
    if (!name_ok(name))
        snprintf(name, LMI_MACHINE_NAME, "?");
    id_out->kind = LMI_KIND_MACHINE;
    return lmi_sha256(lmi_crypto_of(lmi), text, len, id_out->key, err);
}

static enum lmi_rc
encode(struct lmi *lmi, const struct lmi_store_id *id, const struct note *note,
       struct lmi_store_value *out, struct lmi_err *err)
{
    uint8_t maced[LMI_STORE_KEY + LMI_STORE_VALUE];
    size_t name_len = strlen(note->name);

    memset(out, 0, sizeof *out);
    out->bytes[0] = VERSION;
    lmi_put_time(out->bytes + 1, note->seen);
    lmi_put_time(out->bytes + 9, note->rotated);
    memcpy(out->bytes + KEYS_AT, note->keys, sizeof note->keys);
    lmi_put_time(out->bytes + LOOKED_AT, note->looked);
    memcpy(out->bytes + LOOKED_AT + 8, note->with, FINGERPRINT);
    memcpy(out->bytes + FILES_AT, note->files, sizeof note->files);
    out->bytes[NAME_AT] = (uint8_t)name_len;
    memcpy(out->bytes + NAME_AT + 1, note->name, name_len);
    size_t len = NAME_AT + 1 + name_len;
    out->len = len + LMI_HASH;
    return lmi_keys_mac(lmi_keys_of(lmi), LMI_MAC_MACHINE, maced,
                        lmi_record_maced(id, out->bytes, len, maced),
                        out->bytes + len, err);
}

/* Whatever it is, it is a note: of one that is not known as such nothing is
 * read, and of one under an unknown key the name and the time. */
static enum lmi_rc
decode(struct lmi *lmi, const struct lmi_store_id *id,
       const struct lmi_store_value *value, struct note *out,
       struct lmi_err *err)
{
    uint8_t maced[LMI_STORE_KEY + LMI_STORE_VALUE];
    const uint8_t *bytes = value->bytes;
    size_t len = value->len - LMI_HASH;
    enum lmi_rc rc;

    *out = (struct note){.name = "?"};
    if (value->len <= NAME_AT + 1 + LMI_HASH || bytes[0] != VERSION ||
        bytes[NAME_AT] > NAME_MAX_LEN || len != NAME_AT + 1u + bytes[NAME_AT])
        return LMI_OK;
    rc = lmi_keys_verify(lmi_keys_of(lmi), LMI_MAC_MACHINE, maced,
                         lmi_record_maced(id, bytes, len, maced), bytes + len,
                         LMI_HASH, &out->sound, NULL, err);
    if (rc != LMI_OK)
        return rc;
    memcpy(out->name, bytes + NAME_AT + 1, bytes[NAME_AT]);
    out->name[bytes[NAME_AT]] = '\0';
    if (!name_ok(out->name))
        snprintf(out->name, sizeof out->name, "?");
    out->seen = lmi_get_time(bytes + 1);
    if (!out->sound)
        return LMI_OK;
    out->rotated = lmi_get_time(bytes + 9);
    memcpy(out->keys, bytes + KEYS_AT, sizeof out->keys);
    out->looked = lmi_get_time(bytes + LOOKED_AT);
    memcpy(out->with, bytes + LOOKED_AT + 8, FINGERPRINT);
    memcpy(out->files, bytes + FILES_AT, sizeof out->files);
    return LMI_OK;
}

/* The names of the keys that are in use here: what the key's own entry in the
 * store begins with. */
static enum lmi_rc
own_keys(struct lmi *lmi, uint8_t out[LMI_KEYS][FINGERPRINT],
         struct lmi_err *err)
{
    uint8_t mac[LMI_HASH];
    enum lmi_rc rc = LMI_OK;
    bool has;

    memset(out, 0, LMI_KEYS * FINGERPRINT);
    for (enum lmi_key i = 0; rc == LMI_OK && i < LMI_KEYS; i++) {
        rc = lmi_keys_mac_of(lmi_keys_of(lmi), i, LMI_MAC_META, "", 0, &has,
                             mac, err);
        if (rc == LMI_OK && has)
            memcpy(out[i], mac, FINGERPRINT);
    }
    /* Another name of the present one, in the middle of a rotation or because
     * the next one was copied once more, is nothing. */
    for (enum lmi_key i = LMI_KEY_NEXT; i < LMI_KEYS; i++)
        if (memcmp(out[i], out[LMI_KEY_PRESENT], FINGERPRINT) == 0)
            memset(out[i], 0, FINGERPRINT);
    return rc;
}

/* The MACs of what the files say, under one of the keys. */
static enum lmi_rc
file_macs(struct lmi *lmi, enum lmi_key which, const struct lmi_digest *digest,
          uint8_t out[LMI_SITE_FILES][FILE_MAC], struct lmi_err *err)
{
    uint8_t text[1 + LMI_HASH], mac[LMI_HASH];
    enum lmi_rc rc = LMI_OK;
    bool has;

    for (size_t i = 0; rc == LMI_OK && i < LMI_SITE_FILES; i++) {
        text[0] = (uint8_t)i;
        memcpy(text + 1, digest->sums[i], LMI_HASH);
        rc = lmi_keys_mac_of(lmi_keys_of(lmi), which, LMI_MAC_SITE, text,
                             sizeof text, &has, mac, err);
        memcpy(out[i], mac, FILE_MAC);
    }
    return rc;
}

/* What this machine's note should say; `there` is what it says. */
static enum lmi_rc
make_note(struct lmi *lmi, const struct note *there,
          const struct lmi_digest *digest, struct note *out,
          struct lmi_err *err)
{
    const struct lmi_settings *settings = lmi_settings_of(lmi);
    char old[PATH_MAX];
    enum lmi_rc rc = own_keys(lmi, out->keys, err);

    lmi_keys_old_path(settings->key_file, settings->key_file_old, old);
    out->rotated = lmi_keys_rotated(settings->key_file, old);
    out->seen = lmi_now(lmi);
    out->looked = there->looked;
    memcpy(out->with, there->with, FINGERPRINT);
    memcpy(out->files, there->files, sizeof out->files);
    if (rc == LMI_OK && digest != NULL) {
        out->looked = out->seen;
        memcpy(out->with, out->keys[LMI_KEY_PRESENT], FINGERPRINT);
        rc = file_macs(lmi, LMI_KEY_PRESENT, digest, out->files, err);
    }
    return rc;
}

/* Does the note that is there say as much? */
static bool
is_current(const struct note *there, const struct note *note)
{
    return there->sound && there->seen <= note->seen &&
           note->seen < there->seen + LMI_MACHINE_AGAIN &&
           there->looked == note->looked && there->rotated == note->rotated &&
           memcmp(there->keys, note->keys, sizeof note->keys) == 0;
}

enum lmi_rc
lmi_machine_note(struct lmi *lmi, const struct lmi_digest *digest,
                 struct lmi_err *err)
{
    struct lmi_store_value there, value;
    struct lmi_store_op op = {.verb = LMI_STORE_ADD, .value = &value};
    struct note old = {.seen = 0}, note = {.seen = 0};
    bool found = false, done;
    enum lmi_rc rc;

    if (!lmi_settings_shared(lmi_settings_of(lmi)))
        return LMI_OK;
    rc = own_place(lmi, note.name, &op.id, err);
    if (rc == LMI_OK)
        rc = lmi_store_get(lmi_store_of(lmi), LMI_DURABLE, &op.id, &found,
                           &there, err);
    if (rc == LMI_OK && found)
        rc = decode(lmi, &op.id, &there, &old, err);
    if (rc == LMI_OK)
        rc = make_note(lmi, &old, digest, &note, err);
    if (rc != LMI_OK || (digest == NULL && is_current(&old, &note)))
        return rc;
    rc = encode(lmi, &op.id, &note, &value, err);
    op.expires = note.seen + LMI_MACHINE_SECONDS;
    if (found) {
        op.verb = LMI_STORE_SWAP;
        op.old = &there;
    }
    return rc != LMI_OK ? rc
                        : lmi_store_apply(lmi_store_of(lmi), LMI_DURABLE, &op,
                                          1, note.seen, &done, err);
}

static bool
same_key(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, FINGERPRINT) == 0;
}

static bool
has_key(const uint8_t keys[LMI_KEYS][FINGERPRINT], const uint8_t *key)
{
    for (size_t i = 0; i < LMI_KEYS; i++)
        if (same_key(keys[i], key))
            return true;
    return false;
}

/*
 * Does the next step on this machine wait for that one? Where there is an old
 * key, until that one writes with the present key; where there is a next one
 * only, until that one has it. Where a rotation may begin, until it writes with
 * the present key, and has no other next one. Pure.
 */
static bool
is_behind(const uint8_t own[LMI_KEYS][FINGERPRINT], const struct note *note)
{
    bool has_old = !same_key(own[LMI_KEY_OLD], none);

    if (!note->sound)
        return true;
    if (!has_old && !same_key(own[LMI_KEY_NEXT], none))
        return !has_key(note->keys, own[LMI_KEY_NEXT]);
    return !same_key(note->keys[LMI_KEY_PRESENT], own[LMI_KEY_PRESENT]) ||
           (!has_old && !same_key(note->keys[LMI_KEY_NEXT], none));
}

static void
show_key(const uint8_t *key, char out[LMI_KEY_NAME])
{
    out[0] = '\0';
    for (size_t i = 0; !same_key(key, none) && i < LMI_KEY_NAME / 2; i++)
        snprintf(out + 2 * i, 3, "%02x", key[i]);
}

/* Compares its files with ours, if their MACs are under a key of ours. */
static enum lmi_rc
compare(struct lmi *lmi, const uint8_t own[LMI_KEYS][FINGERPRINT],
        const struct lmi_machine_list *list, const struct note *note,
        struct lmi_machine *out, struct lmi_err *err)
{
    uint8_t macs[LMI_SITE_FILES][FILE_MAC];
    struct lmi_digest digest;
    enum lmi_key which = 0;
    enum lmi_rc rc;

    while (which < LMI_KEYS && !same_key(own[which], note->with))
        which++;
    if (note->looked == 0 || which == LMI_KEYS)
        return LMI_OK;
    memcpy(digest.sums, list->sums, sizeof digest.sums);
    rc = file_macs(lmi, which, &digest, macs, err);
    if (rc != LMI_OK)
        return rc;
    out->looked = note->looked;
    for (size_t i = 0; i < LMI_SITE_FILES; i++)
        if (memcmp(macs[i], note->files[i], FILE_MAC) != 0)
            out->differs |= UINT32_C(1) << i;
    return LMI_OK;
}

/* The next note of a machine that was seen lately. */
static enum lmi_rc
next_note(struct lmi *lmi, struct lmi_store_id *at, bool *found_out,
          struct note *out, struct lmi_err *err)
{
    struct lmi_store_entry entry;
    size_t count = 1;
    enum lmi_rc rc = LMI_OK;

    *found_out = false;
    while (rc == LMI_OK && count > 0 && !*found_out) {
        rc = lmi_store_walk(lmi_store_of(lmi), LMI_DURABLE, at, &entry, 1,
                            &count, err);
        if (rc != LMI_OK || count == 0 || entry.id.kind != LMI_KIND_MACHINE)
            return rc;
        *at = entry.id;
        if (entry.expires <= lmi_now(lmi))
            continue;
        rc = decode(lmi, &entry.id, &entry.value, out, err);
        *found_out = rc == LMI_OK;
    }
    return rc;
}

/* Where the first note is behind. */
static struct lmi_store_id
before_notes(void)
{
    struct lmi_store_id id = {.kind = LMI_KIND_MACHINE - 1};

    memset(id.key, 0xff, sizeof id.key);
    return id;
}

/* Looks at the account files first, if it is to. */
static enum lmi_rc
begin(struct lmi *lmi, struct lmi_machine_list *list, struct lmi_err *err)
{
    const struct lmi_settings *settings = lmi_settings_of(lmi);
    struct lmi_store_id first = before_notes();
    struct lmi_digest digest;
    struct lmi_site *site;
    enum lmi_rc rc = LMI_OK;

    list->begun = true;
    list->at[0] = first.kind;
    memcpy(list->at + 1, first.key, LMI_STORE_KEY);
    if (!list->site || !lmi_settings_shared(settings))
        return LMI_OK;
    rc = lmi_enter_site(lmi, &site, err);
    if (rc == LMI_OK)
        rc = lmi_digest_make(lmi_crypto_of(lmi), site, settings->accounts,
                             &digest, err);
    if (rc == LMI_OK)
        memcpy(list->sums, digest.sums, sizeof digest.sums);
    if (rc == LMI_OK)
        rc = lmi_machine_note(lmi, &digest, err);
    lmi_wipe(&digest, sizeof digest);
    return rc;
}

static enum lmi_rc
describe(struct lmi *lmi, const struct lmi_machine_list *list,
         const struct lmi_store_id *id, const struct note *note,
         struct lmi_machine *out, struct lmi_err *err)
{
    uint8_t own[LMI_KEYS][FINGERPRINT];
    char name[LMI_MACHINE_NAME];
    struct lmi_store_id here;
    enum lmi_rc rc = own_keys(lmi, own, err);

    if (rc == LMI_OK)
        rc = own_place(lmi, name, &here, err);
    if (rc != LMI_OK)
        return rc;
    memcpy(out->name, note->name, sizeof out->name);
    out->here = memcmp(here.key, id->key, LMI_STORE_KEY) == 0;
    out->sound = note->sound;
    out->seen = note->seen;
    out->behind = !out->here && is_behind(own, note);
    show_key(note->keys[LMI_KEY_PRESENT], out->present);
    show_key(note->keys[LMI_KEY_NEXT], out->next);
    show_key(note->keys[LMI_KEY_OLD], out->old);
    return list->site ? compare(lmi, own, list, note, out, err) : LMI_OK;
}

enum lmi_rc
lmi_machine_next(struct lmi *lmi, struct lmi_machine_list *list,
                 bool *found_out, struct lmi_machine *out, struct lmi_err *err)
{
    struct lmi_store_id id;
    struct note note;
    enum lmi_rc rc = LMI_OK;

    *found_out = false;
    memset(out, 0, sizeof *out);
    if (!list->begun)
        rc = lmi_enter(lmi, err);
    if (rc == LMI_OK && !list->begun)
        rc = begin(lmi, list, err);
    if (rc != LMI_OK || !lmi_settings_shared(lmi_settings_of(lmi)))
        return rc;
    id.kind = list->at[0];
    memcpy(id.key, list->at + 1, LMI_STORE_KEY);
    rc = next_note(lmi, &id, found_out, &note, err);
    list->at[0] = id.kind;
    memcpy(list->at + 1, id.key, LMI_STORE_KEY);
    if (rc == LMI_OK && *found_out)
        rc = describe(lmi, list, &id, &note, out, err);
    if (rc != LMI_OK || !*found_out)
        lmi_wipe(list->sums, sizeof list->sums);
    return rc;
}

enum lmi_rc
lmi_machines_behind(struct lmi *lmi, uint64_t *behind_out, int64_t *rotated_out,
                    struct lmi_err *err)
{
    uint8_t own[LMI_KEYS][FINGERPRINT];
    char name[LMI_MACHINE_NAME];
    struct lmi_store_id at = before_notes(), here;
    struct note note;
    bool found = true;
    enum lmi_rc rc = own_keys(lmi, own, err);

    *behind_out = 0;
    *rotated_out = 0;
    if (rc == LMI_OK)
        rc = own_place(lmi, name, &here, err);
    while (rc == LMI_OK && found) {
        rc = next_note(lmi, &at, &found, &note, err);
        if (rc != LMI_OK || !found ||
            memcmp(at.key, here.key, LMI_STORE_KEY) == 0)
            continue;
        *behind_out += is_behind(own, &note);
        if (note.rotated > *rotated_out)
            *rotated_out = note.rotated;
    }
    return rc;
}
