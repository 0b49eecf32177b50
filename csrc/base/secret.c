#include "base/secret.h"

#include <openssl/crypto.h>
#include <stdlib.h>

/* The length stands before the memory, so that free needs no argument. */
union header {
    size_t size;
    max_align_t align;
};

void *
lmi_secret_alloc(size_t size)
{
    union header *header = calloc(1, sizeof *header + size);

    if (header == NULL)
        return NULL;
    header->size = size;
    return header + 1;
}

void
lmi_secret_free(void *secret)
{
    if (secret == NULL)
        return;
    union header *header = (union header *)secret - 1;
    OPENSSL_cleanse(secret, header->size);
    free(header);
}

bool
lmi_secret_equal(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}

void
lmi_wipe(void *ptr, size_t len)
{
    OPENSSL_cleanse(ptr, len);
}
