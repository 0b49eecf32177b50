#include "answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DENIED "Access denied"
#define NO_PERMISSION "Permission denied"
#define FAULT "This is not possible at the moment. Please try again later."

static struct lmi_text
text_of(struct lmi_bytes bytes)
{
    return bytes.ptr != NULL
               ? (struct lmi_text){LMI_TEXT_LATIN1, bytes.ptr, bytes.len}
               : (struct lmi_text){.kind = LMI_TEXT_ABSENT};
}

static void
setting_read(const struct lmi_settings *settings, const char *name, char *out,
             size_t size)
{
    if (!lmi_settings_find(settings, name, out, size))
        out[0] = '\0';
}

void
rules_read(const struct lmi_settings *settings, struct rules *out)
{
    char prefix[32], port[16];

    memset(out, 0, sizeof *out);
    setting_read(settings, "trusted_proxies", out->proxies,
                 sizeof out->proxies);
    setting_read(settings, "cookie_prefix", prefix, sizeof prefix);
    for (int i = 1; i <= LMI_SERVICES; i++) {
        const struct lmi_service_info *info =
            lmi_service_info((enum lmi_service)i);
        setting_read(settings, info->port_setting, port, sizeof port);
        out->port[i] = (uint32_t)strtoul(port, NULL, 10);
        snprintf(out->cookie[i], sizeof out->cookie[i], "%s%s", prefix,
                 info->cookie);
    }
}

/* By the port that the browser connected to: a setting's, or a standard one. */
static enum lmi_service
service_at(const struct rules *rules, struct lmi_bytes port)
{
    char text[8];

    if (port.ptr == NULL || port.len == 0 || port.len >= sizeof text)
        return 0;
    memcpy(text, port.ptr, port.len);
    text[port.len] = '\0';
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    if (*end != '\0' || strspn(text, "0123456789") != port.len)
        return 0;
    for (int i = 1; i <= LMI_SERVICES; i++)
        if (rules->port[i] == number)
            return (enum lmi_service)i;
    for (int i = 1; i <= LMI_SERVICES; i++) {
        const struct lmi_service_info *info =
            lmi_service_info((enum lmi_service)i);
        if (info->port == number || info->clear_port == number)
            return (enum lmi_service)i;
    }
    return 0;
}

static void
add(struct answer *out, const char *name, const char *value)
{
    out->fields[out->count++] = (struct answer_field){name, value};
}

/* A refusal in the form that the client reads. json and xml: whole bodies. */
static void
refuse(struct answer *out, unsigned status, enum lmi_http_form form,
       const char *text, const char *json, const char *xml)
{
    out->status = status;
    out->body = form == LMI_HTTP_XML    ? xml
                : form == LMI_HTTP_JSON ? json
                                        : text;
    add(out, "Content-Type",
        form == LMI_HTTP_XML ? "text/xml; charset=utf-8"
                             : "text/plain; charset=\"utf-8\"");
    add(out, "Cache-Control", "no-cache, no-store, must-revalidate, private");
    if (status == 503)
        add(out, "Retry-After", "5");
}

#define REFUSE(out, status, form, word)                                        \
    refuse(out, status, form, word "\n",                                       \
           "{\"status\":0,\"error\":\"" word "\"}",                            \
           "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<cpanelresult>"        \
           "<status>0</status><error>" word "</error></cpanelresult>\n")

static void
fault(struct answer *out, enum lmi_http_form form)
{
    refuse(out, 503, form, FAULT "\n",
           "{\"status\":0,\"error\":\"" FAULT "\",\"reason\":\"fault\"}",
           "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<cpanelresult>"
           "<status>0</status><error>" FAULT
           "</error><reason>fault</reason></cpanelresult>\n");
}

/* Appends, with every byte encoded that is not unreserved. */
static size_t
append_encoded(char *out, size_t size, size_t at, const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrst"
                                "uvwxyz0123456789._~-";

    for (; *text != '\0' && at + 4 < size; text++)
        at += (size_t)snprintf(out + at, size - at,
                               strchr(plain, *text) != NULL ? "%c" : "%%%02X",
                               (unsigned char)*text);
    return at;
}

/* Where the browser is to go: to redeem its ticket, or to log in. */
static void
login_write(const struct lmi_http_target *target, const char *ticket,
            const char *page, struct answer *out)
{
    size_t size = sizeof out->login;
    size_t at = 0;

    if (ticket[0] != '\0')
        at = (size_t)snprintf(
            out->login, size, "%.*s/login/?session=%s", (int)target->token.len,
            target->token.len > 0 ? target->token.ptr : "", ticket);
    else
        at = (size_t)snprintf(out->login, size, "/login/");
    if (page[0] != '\0' && strcmp(page, "/") != 0) {
        at += (size_t)snprintf(out->login + at, size - at,
                               "%sgoto_uri=", ticket[0] != '\0' ? "&" : "?");
        append_encoded(out->login, size, at, page);
    }
    add(out, "X-LogMeIn-Login", out->login);
}

/* One request, as its head is read. */
struct request {
    struct lmi_http_target target;
    struct lmi_http_client client;
    struct lmi_http_cause cause;
    struct lmi_http_program program;
    struct lmi_http_page page;
    struct lmi_http_ticket ticket;
    enum lmi_service service; /* 0: none at this port */
    bool good;                /* nothing in it must be refused */
};

static void
request_read(const struct rules *rules, const struct lmi_http_head *head,
             struct request *out)
{
    static const struct lmi_http_connection local = {.local = true};
    struct lmi_http_host host;
    bool twice = false;

    lmi_http_target_read(head->target, &out->target);
    lmi_http_client_read(head, &local, rules->proxies, &out->client);
    lmi_http_cause_read(head, &out->cause);
    lmi_http_program_read(head, &out->program);
    lmi_http_host_read(head, &host);
    lmi_http_ticket_find(out->target.query, &out->ticket);
    if (out->ticket.count > 0)
        lmi_http_ticket_page(&out->target, &out->page, &twice);
    else
        lmi_http_page(&out->target, &out->page);
    out->service = service_at(rules, out->client.port);
    out->good = out->target.clean && out->client.secure && out->service != 0 &&
                out->ticket.count <= 1 && !twice && host.good;
}

static enum lmi_rc
check(struct lmi *lmi, const struct rules *rules,
      const struct lmi_http_head *head, const struct request *request,
      enum lmi_service service, enum lmi_service cookie_of, bool counted,
      enum lmi_outcome *outcome, struct lmi_session *session)
{
    const char *name = rules->cookie[cookie_of];
    struct lmi_http_cookie cookie;
    struct lmi_err err;

    *outcome = LMI_UNKNOWN;
    lmi_http_cookie_find(head, (struct lmi_bytes){name, strlen(name)}, &cookie);
    if (cookie.value.ptr == NULL)
        return LMI_OK;
    const struct lmi_access access = {
        .cookie = text_of(cookie.value),
        .token = text_of(request->target.token),
        .service = service,
        .address = text_of(request->client.address),
        .foreign = counted && request->cause.cross_site,
        .uncounted = !counted || request->target.incidental};
    return lmi_session_check(lmi, &access, outcome, session, &err);
}

/* Would the request be allowed at another service's port? */
static bool
is_of_another(struct lmi *lmi, const struct rules *rules,
              const struct lmi_http_head *head, const struct request *request)
{
    enum lmi_outcome outcome;
    struct lmi_session session;

    for (int i = 1; i <= LMI_SERVICES; i++) {
        enum lmi_service service = (enum lmi_service)i;
        if (service == request->service)
            continue;
        if (check(lmi, rules, head, request, service, service, false, &outcome,
                  &session) == LMI_OK &&
            outcome == LMI_GRANTED)
            return true;
        if (check(lmi, rules, head, request, service, request->service, false,
                  &outcome, &session) == LMI_OK &&
            outcome == LMI_GRANTED)
            return true;
    }
    return false;
}

static void
allow(struct answer *out)
{
    out->status = 204;
    add(out, "Cache-Control", "no-cache, no-store, must-revalidate, private");
    add(out, "X-LogMeIn-User", out->session.user);
    add(out, "X-LogMeIn-Service", lmi_service_info(out->session.service)->name);
}

void
answer_check(struct lmi *lmi, const struct rules *rules,
             const struct lmi_http_head *head, struct answer *out)
{
    struct request request;
    enum lmi_outcome outcome;

    out->status = 503;
    out->body = NULL;
    out->count = 0;
    request_read(rules, head, &request);
    enum lmi_http_form form = request.program.form;
    if (!request.good || request.ticket.count > 0) {
        REFUSE(out, 401, form, "no");
        if (request.good)
            login_write(&request.target, request.ticket.ticket,
                        request.page.uri, out);
        return;
    }
    if (check(lmi, rules, head, &request, request.service, request.service,
              true, &outcome, &out->session) != LMI_OK)
        fault(out, form);
    else if (outcome == LMI_GRANTED)
        allow(out);
    else if (form != LMI_HTTP_PAGE && is_of_another(lmi, rules, head, &request))
        REFUSE(out, 403, form, NO_PERMISSION);
    else if (form != LMI_HTTP_PAGE)
        REFUSE(out, 403, form, DENIED);
    else {
        REFUSE(out, 401, form, "no");
        login_write(&request.target, "", request.page.uri, out);
    }
}
