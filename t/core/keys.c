/*
 * The key that is to be the next one: accepted for reading as soon as it is
 * there as a whole, and noticed by who has the keys open.
 */
#include "scratch.h"
#include "sessions/record.h"

static struct lmi_err err;
static struct lmi_crypto *crypto;
static char path[128], next[128];

static struct lmi_keys *
load(const char *key, const char *next_path)
{
    struct lmi_keys *keys = NULL;
    bool found = false;

    if (lmi_keys_load(crypto, key, NULL, next_path, &found, &keys, &err) !=
            LMI_OK ||
        !found)
        printf("Bail out! %s %s\n", key, err.text);
    return keys;
}

/* Is what was made with the key in that file accepted, and as which one's? */
static bool
accepts(struct lmi_keys *keys, const char *file, enum lmi_key *which_out)
{
    struct lmi_keys *other = load(file, NULL);
    uint8_t mac[LMI_HASH];
    bool good = false;

    if (lmi_keys_mac(other, LMI_MAC_RECORD, "text", 4, mac, &err) != LMI_OK ||
        lmi_keys_verify(keys, LMI_MAC_RECORD, "text", 4, mac, LMI_HASH, &good,
                        which_out, &err) != LMI_OK)
        printf("Bail out! %s\n", err.text);
    lmi_keys_free(other);
    return good;
}

static bool
make(const char *file)
{
    return lmi_keys_make(crypto, file, &err) == LMI_OK;
}

int
main(void)
{
    struct lmi_keys *keys, *alone;
    enum lmi_key which = LMI_KEY_OLD;
    uint8_t mac[LMI_HASH], own[LMI_HASH];
    bool has = true;

    scratch_make();
    snprintf(path, sizeof path, "%s", scratch_path("key"));
    snprintf(next, sizeof next, "%s", scratch_path("key.next"));
    if (lmi_crypto_new(&crypto, &err) != LMI_OK || !make(path))
        printf("Bail out! %s\n", err.text);
    keys = load(path, next);
    alone = load(path, NULL);
    ok(lmi_keys_in_place(keys), "the key's file, and none of a next one");
    ok(lmi_keys_mac_of(keys, LMI_KEY_NEXT, 1, "", 0, &has, mac, &err) ==
               LMI_OK &&
           !has,
       "no next one makes a MAC");
    ok(make(next) && !lmi_keys_in_place(keys), "a next one is noticed");
    ok(lmi_keys_in_place(alone), "but not where none is looked for");
    ok(!accepts(keys, next, NULL), "nor accepted before it is read");
    lmi_keys_free(keys);
    lmi_keys_free(alone);

    keys = load(path, next);
    alone = load(path, NULL);
    ok(accepts(keys, next, &which) && which == LMI_KEY_NEXT,
       "then it is accepted, as the next one");
    ok(accepts(keys, path, &which) && which == LMI_KEY_PRESENT,
       "and the key as the present one");
    ok(!accepts(alone, next, NULL), "control: not where none is looked for");
    ok(lmi_keys_mac(keys, 1, "", 0, own, &err) == LMI_OK &&
           lmi_keys_mac_of(keys, LMI_KEY_NEXT, 1, "", 0, &has, mac, &err) ==
               LMI_OK &&
           has && memcmp(own, mac, LMI_HASH) != 0,
       "it is not written with");
    lmi_keys_free(keys);

    ok(truncate(next, 7) == 0 && (keys = load(path, next)) != NULL,
       "half a next key is no fault");
    ok(accepts(keys, path, NULL), "the key goes on");
    lmi_keys_free(keys);
    ok(unlink(next) == 0 && make(next) && chmod(next, 0644) == 0 &&
           (keys = load(path, next)) != NULL,
       "nor is one that all may read");
    lmi_keys_free(keys);

    ok(chmod(next, 0600) == 0 && lmi_keys_move(next, path, &err) == LMI_OK &&
           access(next, F_OK) != 0,
       "it is moved");
    keys = load(path, next);
    ok(!lmi_keys_in_place(alone), "which is noticed");
    ok(!accepts(alone, path, NULL) && accepts(keys, path, &which) &&
           which == LMI_KEY_PRESENT,
       "and is the present one");
    ok(lmi_keys_move(next, path, &err) == LMI_KEY, "control: there is none");
    lmi_keys_free(keys);
    lmi_keys_free(alone);
    lmi_crypto_free(crypto);
    return done();
}
