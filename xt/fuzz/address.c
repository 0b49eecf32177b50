/*
 * Any text as an address, the first line, in any list of networks: as one that
 * looks at a word and a bit at a time would have it.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"

/* The 128 bits of an address, an IPv4 one behind ::ffff:. */
static bool
read_bits(const char *text, uint8_t bits[128])
{
    uint8_t bytes[16] = {[10] = 0xFF, [11] = 0xFF};

    if (inet_pton(AF_INET, text, bytes + 12) != 1 &&
        inet_pton(AF_INET6, text, bytes) != 1)
        return false;
    for (size_t i = 0; i < 128; i++)
        bits[i] = bytes[i / 8] >> (7 - i % 8) & 1;
    return true;
}

/* The number behind the slash, or -1. No number is one of more digits than
 * leading zeros and three. */
static int
read_number(const char *text, int max)
{
    int value = 0;

    if (*text == '\0' || strspn(text, "0123456789") != strlen(text))
        return -1;
    for (; *text != '\0'; text++) {
        value = 10 * value + *text - '0';
        if (value > max)
            return -1;
    }
    return value;
}

static bool
word_matches(const uint8_t own[128], char *word)
{
    char *slash = strchr(word, '/');
    uint8_t first[128];
    int count = 128;

    if (slash != NULL)
        *slash = '\0';
    if (!read_bits(word, first))
        return false;
    if (slash != NULL && slash[1] != '\0') {
        bool ipv4 = strchr(word, ':') == NULL;
        count = read_number(slash + 1, ipv4 ? 32 : 128);
        if (count < 0)
            return false;
        count += ipv4 ? 96 : 0;
    }
    return memcmp(own, first, (size_t)count) == 0;
}

static bool
expected(const char *address, char *list)
{
    uint8_t own[128];
    char *place = NULL;
    bool found = false;

    if (!read_bits(address, own))
        return false;
    for (char *word = strtok_r(list, " \t", &place); word != NULL;
         word = strtok_r(NULL, " \t", &place))
        found = word_matches(own, word) || found;
    return found;
}

/* The canonical text of an address is that address, and the only one in it. */
static void
check_text(const char *text)
{
    struct lmi_address address, again;
    char canonical[LMI_ADDRESS_TEXT];

    if (!lmi_address_parse(text, &address))
        return;
    lmi_address_format(&address, canonical);
    if (!lmi_address_parse(canonical, &again) ||
        memcmp(&address, &again, sizeof again) != 0 ||
        !lmi_address_in(&address, canonical))
        abort();
    again.bytes[15] ^= 1;
    if (lmi_address_in(&again, canonical))
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), *list;
    struct lmi_text address = {LMI_TEXT_LATIN1, text, 0};

    if (text == NULL)
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    list = memchr(text, '\n', size);
    address.len = list == NULL ? size : (size_t)(list - text);
    list = list == NULL ? text + size : list + 1;
    text[address.len] = '\0';
    check_text(text);
    bool listed = lmi_address_listed(address, list);
    if (strlen(text) != address.len ? listed : listed != expected(text, list))
        abort();
    free(text);
    return 0;
}
