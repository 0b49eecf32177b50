/*
 * What a web server in front is told about one request. The same answers as
 * those of the gateway's /logmein/check. No I/O but that of the core.
 */
#ifndef LOGMEIND_ANSWER_H
#define LOGMEIND_ANSWER_H

#include "logmein.h"

#define ANSWER_FIELDS 6

/* A field of the answer; the value is static, or part of the answer. */
struct answer_field {
    const char *name, *value;
};

struct answer {
    unsigned status;
    const char *body; /* static; NULL: none */
    size_t count;
    struct answer_field fields[ANSWER_FIELDS];
    char login[3 * LMI_URI_MAX + 128]; /* X-LogMeIn-Login */
    struct lmi_session session;        /* if status is 204 */
};

/* What of the settings an answer depends on; made once for all threads. */
struct rules {
    char proxies[4096];                /* trusted_proxies */
    char cookie[LMI_SERVICES + 1][64]; /* the cookie's name, by service */
    uint32_t port[LMI_SERVICES + 1];   /* of the setting, by service */
};
void rules_read(const struct lmi_settings *settings, struct rules *out);

/*
 * head: of the request to be checked, its target and method those that the
 * browser has sent. Only status 204 allows it.
 */
void answer_check(struct lmi *lmi, const struct rules *rules,
                  const struct lmi_http_head *head, struct answer *out);

#endif
