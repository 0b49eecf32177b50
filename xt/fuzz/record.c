/*
 * Any bytes as a record, and any changes to a good one: nothing is read that
 * was not written with this key. The key changes with each run.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sessions/record.h"

static struct lmi_keys *keys;
static struct lmi_store_id id = {.kind = LMI_KIND_COOKIE};
static struct lmi_store_value good_value;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char folder[] = "/tmp/lmi-fuzz-XXXXXX", path[64];
    struct lmi_record record = {.state = LMI_STATE_COOKIE,
                                .service = LMI_CPANEL,
                                .digits = "0123456789",
                                .user = "alice"};
    struct lmi_crypto *crypto;
    struct lmi_err err;
    bool found;

    (void)argc;
    (void)argv;
    if (mkdtemp(folder) == NULL)
        abort();
    snprintf(path, sizeof path, "%s/key", folder);
    if (lmi_crypto_new(&crypto, &err) != LMI_OK ||
        lmi_keys_make(crypto, path, &err) != LMI_OK ||
        lmi_keys_load(crypto, path, NULL, NULL, &found, &keys, &err) !=
            LMI_OK ||
        lmi_record_encode(keys, &id, &record, &good_value, &err) != LMI_OK)
        abort();
    unlink(path);
    rmdir(folder);
    return 0;
}

static bool
is_read(const struct lmi_store_value *value)
{
    struct lmi_record record;
    struct lmi_err err;
    bool good = true;

    if (lmi_record_decode(keys, &id, value, &good, &record, &err) != LMI_OK)
        abort();
    return good;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lmi_store_value value = {.len = size}, changed = good_value;
    bool differs = false;

    if (size > LMI_STORE_VALUE)
        return 0;
    memcpy(value.bytes, data, size);
    if (is_read(&value))
        abort();
    for (size_t i = 0; i < size && i < changed.len; i++) {
        changed.bytes[i] ^= data[i];
        differs = differs || data[i] != 0;
    }
    if (is_read(&changed) == differs)
        abort();
    return 0;
}
