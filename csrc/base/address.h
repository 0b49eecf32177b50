/* Addresses of browsers, as text and as networks. */
#ifndef LMI_ADDRESS_H
#define LMI_ADDRESS_H

#include "base/text.h"

/* An IPv6 address, or an IPv4 one mapped into IPv6. */
struct lmi_address {
    uint8_t bytes[16];
};

/* Reads the usual text form, without a port or brackets; else false. */
bool lmi_address_parse(const char *text, struct lmi_address *out);

/* The same for a caller's string, which may be absent. */
bool lmi_address_read(struct lmi_text text, struct lmi_address *out);

/* The canonical text; a mapped IPv4 address in its own form. */
void lmi_address_format(const struct lmi_address *address,
                        char out[LMI_ADDRESS_TEXT]);

/* A local user as a source: an address in 100::/8, which no host can have. */
void lmi_address_of_uid(uint32_t uid, struct lmi_address *out);
uint32_t lmi_address_uid(const struct lmi_address *address);
bool lmi_address_is_uid(const struct lmi_address *address);

/* 127.0.0.0/8 or ::1. */
bool lmi_address_is_loopback(const struct lmi_address *address);

/* As lmi_address_listed(); a word of the list that is neither is ignored. */
bool lmi_address_in(const struct lmi_address *address, const char *list);

/* Is any bit set? The address of zeros is no host's, and stands for none. */
bool lmi_address_is_known(const struct lmi_address *address);

bool lmi_address_is_ipv6(const struct lmi_address *address);

/*
 * What one customer has: an IPv4 address stays as it is, a translator's,
 * 64:ff9b::/96, becomes the IPv4 address in it, of any other IPv6 address the
 * first bits stay, a multiple of 8.
 */
void lmi_address_mask(struct lmi_address *address, unsigned bits);

#endif
