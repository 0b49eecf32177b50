/* Any bytes as a line of a shadow file, and as the file's only hash. */
#include <stdlib.h>
#include <string.h>

#include "accounts/password.h"
#include "accounts/shadow.h"

static void
check_decoy(const struct lmi_histogram *histogram)
{
    char decoy[LMI_DECOY_SIZE];

    memset(decoy, 'x', sizeof decoy);
    lmi_histogram_setting(histogram, decoy);
    /* A setting is no hash: what it computes must match nothing. */
    if (memchr(decoy, '\0', sizeof decoy) == NULL || decoy[0] != '$' ||
        lmi_password_hash_ok(decoy, LMI_CEILING_SITE, 6))
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lmi_bytes line = {(const char *)data, size};
    struct lmi_shadow_entry entry;
    struct lmi_histogram histogram = {.used = 0};

    memset(&entry, 'x', sizeof entry);
    enum lmi_line fault = lmi_shadow_parse(line, &entry);
    if (memchr(entry.hash, '\0', sizeof entry.hash) == NULL)
        abort();
    if (fault != LMI_LINE_GOOD && entry.hash[0] != '\0')
        abort();
    if (lmi_password_hash_ok(entry.hash, LMI_CEILING_HOME, 6) &&
        !lmi_password_hash_ok(entry.hash, LMI_CEILING_SITE, 6))
        abort();
    lmi_histogram_line(&histogram, line);
    lmi_histogram_line(&histogram, line);
    check_decoy(&histogram);
    return 0;
}
