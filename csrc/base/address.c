#include "base/address.h"

#include <arpa/inet.h>
#include <string.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
static const uint8_t translator[12] = {0, 0x64, 0xFF, 0x9B};

static bool
is_ipv4(const struct lmi_address *address)
{
    return memcmp(address->bytes, mapped, sizeof mapped) == 0;
}

bool
lmi_address_parse(const char *text, struct lmi_address *out)
{
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET6, text, out->bytes) == 1)
        return true;
    memcpy(out->bytes, mapped, sizeof mapped);
    if (inet_pton(AF_INET, text, out->bytes + sizeof mapped) == 1)
        return true;
    memset(out, 0, sizeof *out);
    return false;
}

bool
lmi_address_read(struct lmi_text text, struct lmi_address *out)
{
    char bytes[LMI_ADDRESS_TEXT];
    size_t len;

    memset(out, 0, sizeof *out);
    return lmi_text_read(text, bytes, sizeof bytes, &len) &&
           strlen(bytes) == len && lmi_address_parse(bytes, out);
}

void
lmi_address_format(const struct lmi_address *address,
                   char out[LMI_ADDRESS_TEXT])
{
    out[0] = '\0';
    if (is_ipv4(address))
        inet_ntop(AF_INET, address->bytes + sizeof mapped, out,
                  LMI_ADDRESS_TEXT);
    else
        inet_ntop(AF_INET6, address->bytes, out, LMI_ADDRESS_TEXT);
}

void
lmi_address_of_uid(uint32_t uid, struct lmi_address *out)
{
    memset(out, 0, sizeof *out);
    out->bytes[0] = 1;
    for (int i = 0; i < 4; i++)
        out->bytes[4 + i] = (uint8_t)(uid >> (24 - 8 * i));
}

uint32_t
lmi_address_uid(const struct lmi_address *address)
{
    uint32_t uid = 0;

    for (int i = 0; i < 4; i++)
        uid = uid << 8 | address->bytes[4 + i];
    return uid;
}

bool
lmi_address_is_uid(const struct lmi_address *address)
{
    return address->bytes[0] == 1;
}

bool
lmi_address_is_loopback(const struct lmi_address *address)
{
    static const uint8_t one[16] = {[15] = 1};

    if (is_ipv4(address))
        return address->bytes[sizeof mapped] == 127;
    return memcmp(address->bytes, one, sizeof one) == 0;
}

static bool
same_bits(const uint8_t *a, const uint8_t *b, uint64_t bits)
{
    if (memcmp(a, b, bits / 8) != 0)
        return false;
    return bits % 8 == 0 ||
           ((a[bits / 8] ^ b[bits / 8]) >> (8 - bits % 8)) == 0;
}

/* Is the address inside ADDRESS or ADDRESS/BITS? */
static bool
is_inside(const struct lmi_address *address, struct lmi_bytes network)
{
    struct lmi_bytes base = lmi_next_field(&network, '/');
    struct lmi_address first;
    char text[LMI_ADDRESS_TEXT];
    uint64_t bits = 128;

    if (!lmi_bytes_copy(base, text, sizeof text) ||
        !lmi_address_parse(text, &first))
        return false;
    if (network.len > 0) {
        bool ipv4 = strchr(text, ':') == NULL;
        if (!lmi_parse_number(network, ipv4 ? 32 : 128, &bits))
            return false;
        bits += ipv4 ? 8 * sizeof mapped : 0;
    }
    return same_bits(address->bytes, first.bytes, bits);
}

bool
lmi_address_in(const struct lmi_address *address, const char *list)
{
    struct lmi_bytes rest = lmi_bytes_of(list), word;

    while ((word = lmi_next_word(&rest)).len > 0)
        if (is_inside(address, word))
            return true;
    return false;
}

bool
lmi_address_listed(struct lmi_text address, const char *list)
{
    struct lmi_address own;

    return lmi_address_read(address, &own) && lmi_address_in(&own, list);
}

bool
lmi_address_is_known(const struct lmi_address *address)
{
    static const struct lmi_address none;

    return memcmp(address, &none, sizeof none) != 0;
}

bool
lmi_address_is_ipv6(const struct lmi_address *address)
{
    return !is_ipv4(address);
}

void
lmi_address_mask(struct lmi_address *address, unsigned bits)
{
    if (memcmp(address->bytes, translator, sizeof translator) == 0)
        memcpy(address->bytes, mapped, sizeof mapped);
    else if (!is_ipv4(address))
        memset(address->bytes + bits / 8, 0, sizeof address->bytes - bits / 8);
}
