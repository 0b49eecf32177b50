#define PERL_NO_GET_CONTEXT
#include "EXTERN.h"
#include "perl.h"
#include "XSUB.h"

#include "remote_login.h"
#include "csrc/logmein.h"

/*
 * Glue, and nothing but: arguments in, one call of the core, results out.
 * Nothing that must be released is held while Perl may croak.
 */

typedef struct {
    struct lmi *lmi; /* follows the settings file */
} my_cxt_t;
#define MY_CXT_KEY "Cpanel::LogMeIn::_guts" XS_VERSION
START_MY_CXT

#define DETAIL "Cpanel::LogMeIn::detail"

#define REASON "Cpanel::LogMeIn::reason"

static void
set_detail(pTHX_ const char *text)
{
    sv_setpv(get_sv(DETAIL, GV_ADD), text);
}

static void
set_fault(pTHX_ const struct lmi_err *err)
{
    char text[LMI_DETAIL_SIZE];

    lmi_err_format(err, text, sizeof text);
    set_detail(aTHX_ text);
}

/*
 * Runs at the end of each interpreter: a thread's list of what to do at its
 * end is a copy of its parent's, so that the handle to free must be looked up.
 */
static void
free_handle(pTHX_ void *unused)
{
    dMY_CXT;

    PERL_UNUSED_VAR(unused);
    lmi_free(MY_CXT.lmi);
    MY_CXT.lmi = NULL;
}

static struct lmi *
new_handle(pTHX_ const struct lmi *like)
{
    struct lmi_err err;
    struct lmi *lmi;

    if (lmi_new(like, &lmi, &err) != LMI_OK) {
        set_fault(aTHX_ &err);
        croak("Cpanel::LogMeIn can't start: %" SVf, SVfARG(get_sv(DETAIL, 0)));
    }
    return lmi;
}

/*
 * The handle of this interpreter. It is gone only while the interpreter is
 * being taken apart, when objects' DESTROY may still call.
 */
static struct lmi *
handle_of(pTHX)
{
    dMY_CXT;

    if (MY_CXT.lmi == NULL)
        MY_CXT.lmi = new_handle(aTHX_ NULL);
    return MY_CXT.lmi;
}

/*
 * Tied and otherwise magical arguments become plain ones before any pointer is
 * taken: their code may do what it likes to the other arguments. So may that
 * of overloaded objects; booleans and numbers are read before the first
 * pointer, and as strings such objects are refused. Where there is such code
 * the arguments are held until the call ends, for Perl's stack doesn't own
 * them, and it may free them.
 */
static void
settle(pTHX_ SV **list, I32 count)
{
    I32 i = 0;

    while (i < count && !SvGMAGICAL(list[i]) && !SvROK(list[i]))
        i++;
    if (i == count)
        return;
    for (i = 0; i < count; i++)
        sv_2mortal(SvREFCNT_inc_simple_NN(list[i]));
    for (i = 0; i < count; i++)
        if (SvGMAGICAL(list[i]))
            list[i] = sv_mortalcopy(list[i]);
}

/*
 * A settled argument as the core takes it: pointer and length, and how the
 * characters are coded. What is no string yet, a number, is made one in a
 * copy, so that the caller's scalar stays as it is.
 */
static struct lmi_text
text_of(pTHX_ SV *sv)
{
    struct lmi_text text = {LMI_TEXT_ABSENT, NULL, 0};
    STRLEN len;

    if (SvROK(sv)) {
        text.kind = LMI_TEXT_NOT_A_STRING;
        return text;
    }
    if (!SvOK(sv))
        return text;
    if (!SvPOK(sv))
        sv = sv_mortalcopy(sv);
    text.ptr = SvPV_nomg(sv, len);
    text.len = len;
    text.kind = SvUTF8(sv) ? LMI_TEXT_UTF8 : LMI_TEXT_LATIN1;
    return text;
}

/*
 * A settled argument as bytes, absent for undef. Wider characters than bytes
 * are taken as their UTF-8.
 */
static struct lmi_bytes
bytes_of(pTHX_ SV *sv)
{
    struct lmi_text text;

    if (SvUTF8(sv)) {
        sv = sv_mortalcopy(sv);
        sv_utf8_downgrade(sv, TRUE);
    }
    text = text_of(aTHX_ sv);
    if (text.kind == LMI_TEXT_NOT_A_STRING)
        croak("An argument must be a string, not a reference.");
    return (struct lmi_bytes){text.ptr, text.len};
}

/* Are there characters that are no bytes? */
static bool
is_wide(pTHX_ SV *sv)
{
    return SvUTF8(sv) && !sv_utf8_downgrade(sv_mortalcopy(sv), TRUE);
}

/* All arguments as bytes: so many that there are. */
static void
read_bytes(pTHX_ SV **list, I32 items, struct lmi_bytes *out, I32 count)
{
    I32 i;

    if (items != count)
        croak("The number of arguments must be %d.", (int)count);
    settle(aTHX_ list, count);
    for (i = 0; i < count; i++)
        out[i] = bytes_of(aTHX_ list[i]);
}

/* A new scalar, undef for what is absent. */
static SV *
scalar_of(pTHX_ struct lmi_bytes bytes)
{
    return bytes.ptr == NULL ? newSV(0) : newSVpvn(bytes.ptr, bytes.len);
}

static SV *
string_or_undef(pTHX_ const char *string)
{
    return string[0] == '\0' ? newSV(0) : newSVpv(string, 0);
}

/* Half a pair of a form, decoded. */
static SV *
decoded_scalar(pTHX_ struct lmi_bytes half)
{
    SV *sv = newSV(half.len + 1);

    SvPOK_only(sv);
    SvCUR_set(sv, lmi_http_decode(half, SvPVX(sv)));
    *SvEND(sv) = '\0';
    return sv;
}

/* A C string, or NULL for undef; an object is not asked for one. */
static const char *
string_of(pTHX_ SV *sv)
{
    struct lmi_text text = text_of(aTHX_ sv);

    if (text.kind == LMI_TEXT_NOT_A_STRING)
        croak("An argument must be a string, not a reference.");
    return text.ptr;
}

static enum lmi_service
service_of(pTHX_ SV *sv)
{
    struct lmi_text text = text_of(aTHX_ sv);
    enum lmi_service service;

    if (!lmi_service_parse(text, &service))
        croak("The service must be cpanel, whm or webmail.");
    return service;
}

/* Where the value of a named argument goes; a table ends with no name. */
struct argument {
    const char *name;
    struct lmi_text *text;
};

static struct lmi_text *
argument_of(const struct argument *arguments, struct lmi_text name)
{
    if (name.kind != LMI_TEXT_LATIN1 && name.kind != LMI_TEXT_UTF8)
        return NULL;
    for (; arguments->name != NULL; arguments++)
        if (strlen(arguments->name) == name.len &&
            memEQ(arguments->name, name.ptr, name.len))
            return arguments->text;
    return NULL;
}

/* An argument's name: an object that stands for a string is none. */
static bool
is_named(pTHX_ SV *sv, const char *name)
{
    struct lmi_text text = text_of(aTHX_ sv);

    return text.len == strlen(name) && memEQ(text.ptr, name, text.len);
}

/*
 * The parameters of a login. Of the documented call, which does as the
 * original, unknown ones are ignored; of a gateway's they are wrong.
 */
static void
read_login(pTHX_ struct lmi_login *ask, SV **list, I32 count, bool gateway)
{
    const struct argument arguments[] = {
        {"user", &ask->user},
        {"pass", &ask->pass},
        {"hostname", &ask->hostname},
        {"service", &ask->service},
        {"goto_uri", &ask->goto_uri},
        {"active_token_for_reuse", &ask->active_token_for_reuse},
        {"remote_addr", &ask->remote_addr},
        {"tfa_token", &ask->tfa_token},
        {NULL, NULL},
    };
    struct lmi_text *text;
    I32 i;

    for (i = 0; i < count; i += 2) {
        text = argument_of(arguments, text_of(aTHX_ list[i]));
        if (text != NULL)
            *text = text_of(aTHX_ list[i + 1]);
        else if (gateway && !is_named(aTHX_ list[i], "caller_uid"))
            croak("Unknown argument '%" SVf "'.", SVfARG(list[i]));
    }
}

/* A gateway says who asked it, if that is a process of this machine. */
static void
read_caller(pTHX_ struct lmi_login *ask, SV **list, I32 count)
{
    I32 i;

    for (i = 0; i < count; i += 2)
        if (is_named(aTHX_ list[i], "caller_uid")) {
            ask->has_caller = cBOOL(SvOK(list[i + 1]));
            ask->caller_uid = (uint32_t)SvUV_nomg(list[i + 1]);
        }
}

/* "Class->f(...)": the list is odd and begins with a class or an object. */
static bool
is_method_call(pTHX_ SV *first)
{
    return sv_isobject(first) ||
           (SvPOK(first) && strEQ(SvPV_nolen(first), "Cpanel::LogMeIn"));
}

static const char *
list_complaint(pTHX_ I32 items, SV *first)
{
    if (items % 2 == 0)
        return NULL;
    if (is_method_call(aTHX_ first))
        return "get_loggedin_url is a function: call it with ::, not with ->.";
    return "The parameters must be pairs of a name and a value.";
}

/* Why the module for remote logins could not be loaded: a mortal string. */
static SV *
load_remote(pTHX)
{
    SV *reason;
    dSP;

    PUSHMARK(SP);
    call_pv("Cpanel::LogMeIn::_load_remote", G_SCALAR | G_NOARGS);
    SPAGAIN;
    reason = POPs;
    PUTBACK;
    return reason;
}

/* The function for remote logins, or NULL with the reason. */
static const struct remote_login *
remote_login_of(pTHX_ SV **reason)
{
    SV **found = hv_fetchs(PL_modglobal, REMOTE_LOGIN_KEY, 0);
    const struct remote_login *remote;

    if (found == NULL) {
        *reason = load_remote(aTHX);
        found = hv_fetchs(PL_modglobal, REMOTE_LOGIN_KEY, 0);
    }
    if (found == NULL)
        return NULL;
    remote = (const struct remote_login *)SvPVX_const(*found);
    if (remote->size == sizeof(struct lmi_login_answer))
        return remote;
    *reason = sv_2mortal(newSVpvs("Remote.so is of another build"));
    return NULL;
}

/*
 * The second half of a login that leaves the process. Loading the module may
 * run any Perl code and move the stack, so that the arguments, from ax on, are
 * read again afterwards.
 */
static void
log_in_remotely(pTHX_ struct lmi_login *ask, I32 ax, I32 count,
                struct lmi_login_answer *answer)
{
    SV *reason = &PL_sv_no;
    const struct remote_login *remote = remote_login_of(aTHX_ &reason);
    const struct lmi_settings *settings;
    struct lmi_err err;

    read_login(aTHX_ ask, &ST(0), count, false);
    if (remote == NULL)
        lmi_login_fail(handle_of(aTHX), ask, SvPV_nolen(reason), answer);
    else if (lmi_settings_get(handle_of(aTHX), &settings, &err) == LMI_OK)
        remote->log_in(aTHX_ settings, ask, answer);
}

/* Sessions: a pointer held by magic, so that no Perl code can forge it. */
static int
free_sessions(pTHX_ SV *sv, MAGIC *mg)
{
    PERL_UNUSED_CONTEXT;
    PERL_UNUSED_VAR(sv);
    lmi_free((struct lmi *)mg->mg_ptr);
    mg->mg_ptr = NULL;
    return 0;
}

/* A clone in a new thread opens the store for itself, when it is first used. */
static int
dup_sessions(pTHX_ MAGIC *mg, CLONE_PARAMS *params)
{
    PERL_UNUSED_CONTEXT;
    PERL_UNUSED_VAR(params);
    mg->mg_ptr = NULL;
    return 0;
}

static const MGVTBL sessions_magic = {
    .svt_free = free_sessions,
    .svt_dup = dup_sessions,
};

static SV *
new_sessions(pTHX_ const char *class)
{
    SV *body = newSV(0);
    SV *object = sv_bless(sv_2mortal(newRV_noinc(body)),
                          gv_stashpv(class, GV_ADD));
    MAGIC *mg = sv_magicext(body, NULL, PERL_MAGIC_ext, &sessions_magic, NULL,
                            0);

    mg->mg_flags |= MGf_DUP;
    return object;
}

/*
 * An object's handle, which reads the settings once, when it is first needed;
 * of a class, the interpreter's, which follows them. NULL with err filled.
 */
static struct lmi *
sessions_of(pTHX_ SV *self, struct lmi_err *err)
{
    struct lmi *lmi;
    MAGIC *mg;

    if (!SvROK(self))
        return handle_of(aTHX);
    mg = mg_findext(SvRV(self), PERL_MAGIC_ext, &sessions_magic);
    if (mg == NULL)
        croak("This is not a Cpanel::LogMeIn::Session object.");
    if (mg->mg_ptr == NULL) {
        lmi = new_handle(aTHX_ handle_of(aTHX));
        if (lmi_pin(lmi, err) != LMI_OK) {
            lmi_free(lmi);
            return NULL;
        }
        mg->mg_ptr = (char *)lmi;
    }
    return (struct lmi *)mg->mg_ptr;
}

/* The booleans of redeem, check and end: reading one may run Perl code. */
static void
read_flags(pTHX_ struct lmi_access *access, SV **list, I32 count)
{
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {
        {"confirmed", &access->confirmed},
        {"uncounted", &access->uncounted},
        {"any_token", &access->any_token},
        {"foreign", &access->foreign},
    };
    size_t f;
    I32 i;

    for (i = 0; i < count; i += 2)
        for (f = 0; f < C_ARRAY_LENGTH(flags); f++)
            if (is_named(aTHX_ list[i], flags[f].name)) {
                *flags[f].flag = cBOOL(SvTRUE(list[i + 1]));
                list[i + 1] = &PL_sv_undef;
            }
}

/* The named arguments of redeem, check and end. */
static struct lmi_access
read_access(pTHX_ SV **list, I32 count)
{
    struct lmi_access access;
    struct lmi_text service = {LMI_TEXT_ABSENT, NULL, 0}, flag, *text;
    const struct argument arguments[] = {
        {"ticket", &access.ticket},   {"cookie", &access.cookie},
        {"token", &access.token},     {"service", &service},
        {"address", &access.address}, {"agent", &access.agent},
        {"method", &access.method},   {"purpose", &access.purpose},
        {"destination", &access.destination},
        {"confirmed", &flag},         {"uncounted", &flag},
        {"any_token", &flag},         {"foreign", &flag},
        {NULL, NULL},
    };
    SV *service_sv = NULL;
    I32 i;

    Zero(&access, 1, struct lmi_access);
    if (count % 2 != 0)
        croak("The arguments must be pairs of a name and a value.");
    read_flags(aTHX_ &access, list, count);
    for (i = 0; i < count; i += 2) {
        text = argument_of(arguments, text_of(aTHX_ list[i]));
        if (text == NULL)
            croak("Unknown argument '%" SVf "'.", SVfARG(list[i]));
        *text = text_of(aTHX_ list[i + 1]);
        if (text == &service)
            service_sv = list[i + 1];
    }
    if (service_sv == NULL)
        croak("The argument 'service' is missing.");
    access.service = service_of(aTHX_ service_sv);
    return access;
}

/*
 * What _next and _end_some look for: a cursor, user, service, ids, networks,
 * older_than, idle_for and until, of which the last ones may be missing. The
 * numbers are read before the first pointer.
 */
static struct lmi_session_list
read_list(pTHX_ SV **given, I32 count)
{
    struct lmi_session_list list;
    int64_t *numbers[] = {&list.older_than, &list.idle_for, &list.until};
    SV *all[8];
    STRLEN len;
    const char *bytes;
    I32 i;

    Zero(&list, 1, struct lmi_session_list);
    for (i = 0; i < 8; i++)
        all[i] = i < count ? given[i] : &PL_sv_undef;
    for (i = 0; i < 3; i++)
        if (SvOK(all[5 + i]))
            *numbers[i] = (int64_t)SvNV_nomg(all[5 + i]);
    if (SvROK(all[0]))
        croak("This is not a cursor of a list.");
    bytes = SvPVbyte(all[0], len);
    if (len > sizeof list.cursor)
        croak("This is not a cursor of a list.");
    Copy(bytes, list.cursor, len, char);
    list.cursor_len = len;
    if (SvOK(all[2]))
        list.service = service_of(aTHX_ all[2]);
    list.user = text_of(aTHX_ all[1]);
    list.ids = string_of(aTHX_ all[3]);
    list.networks = string_of(aTHX_ all[4]);
    return list;
}

static SV *
session_hash(pTHX_ const struct lmi_session *session, const char *cookie)
{
    HV *hash = newHV();
    SV *object = sv_2mortal(newRV_noinc((SV *)hash));

    (void)hv_stores(hash, "user", newSVpv(session->user, 0));
    (void)hv_stores(hash, "service",
                    newSVpv(lmi_service_info(session->service)->name, 0));
    (void)hv_stores(hash, "token", newSVpv(session->token, 0));
    (void)hv_stores(hash, "id", newSVpv(session->id, 0));
    (void)hv_stores(hash, "created", newSVnv((NV)session->created));
    (void)hv_stores(hash, "ends", newSVnv((NV)session->ends));
    (void)hv_stores(hash, "last_seen", newSVnv((NV)session->last_seen));
    (void)hv_stores(hash, "redeemed", newSViv(session->redeemed));
    (void)hv_stores(hash, "redeemed_at", newSVnv((NV)session->redeemed_at));
    (void)hv_stores(hash, "address", newSVpv(session->address, 0));
    if (cookie != NULL && cookie[0] != '\0')
        (void)hv_stores(hash, "cookie", newSVpv(cookie, 0));
    return object;
}

/* Who the browser is, and who it would become. */
static SV *
confirm_hash(pTHX_ const struct lmi_redeemed *redeemed)
{
    HV *hash = newHV();

    (void)hv_stores(hash, "current", newSVpv(redeemed->current, 0));
    (void)hv_stores(hash, "current_token", newSVpv(redeemed->current_token, 0));
    (void)hv_stores(hash, "user", newSVpv(redeemed->session.user, 0));
    return sv_2mortal(newRV_noinc((SV *)hash));
}

static bool
is_good(const struct lmi_login_answer *answer)
{
    return answer->reason == LMI_REASON_OK;
}

/* What the last call has come to, in the package's variables. */
static void
set_outcome(pTHX_ const struct lmi_login_answer *answer)
{
    set_detail(aTHX_ answer->detail);
    sv_setpv(get_sv(REASON, GV_ADD), lmi_reason_name(answer->reason));
}

static SV *
answer_hash(pTHX_ const struct lmi_login_answer *answer)
{
    HV *hash = newHV();
    SV *object = sv_2mortal(newRV_noinc((SV *)hash));

    (void)hv_stores(hash, "login_ok", newSViv(is_good(answer)));
    (void)hv_stores(hash, "reason",
                    newSVpv(lmi_reason_name(answer->reason), 0));
    (void)hv_stores(hash, "message", newSVpv(answer->message, 0));
    (void)hv_stores(hash, "fault",
                    newSViv(answer->reason == LMI_REASON_FAULT));
    (void)hv_stores(hash, "wait", newSVuv(answer->wait));
    if (!is_good(answer))
        return object;
    (void)hv_stores(hash, "token", newSVpv(answer->token, 0));
    if (answer->cookie[0] != '\0')
        (void)hv_stores(hash, "cookie", newSVpv(answer->cookie, 0));
    else
        (void)hv_stores(hash, "url", newSVpv(answer->url, 0));
    return object;
}

/* What a Session call found out. */
struct verdict {
    enum lmi_rc rc;
    enum lmi_outcome outcome;
    struct lmi_redeemed redeemed;
    struct lmi_err err;
};

enum call { CALL_REDEEM, CALL_CHECK, CALL_END };

static void
run(struct lmi *lmi, enum call call,
    const struct lmi_access *access, struct verdict *out)
{
    if (call == CALL_REDEEM)
        out->rc = lmi_session_redeem(lmi, access, &out->outcome,
                                     &out->redeemed, &out->err);
    else if (call == CALL_CHECK)
        out->rc = lmi_session_check(lmi, access, &out->outcome,
                                    &out->redeemed.session, &out->err);
    else
        out->rc = lmi_session_end(lmi, access, &out->outcome,
                                  &out->redeemed.session, &out->err);
}

static SV *
service_hash(pTHX_ const struct lmi_service_info *info)
{
    HV *hash = newHV();

    (void)hv_stores(hash, "name", newSVpv(info->name, 0));
    (void)hv_stores(hash, "daemon", newSVpv(info->daemon, 0));
    (void)hv_stores(hash, "port", newSVuv(info->port));
    (void)hv_stores(hash, "clear_port", newSVuv(info->clear_port));
    (void)hv_stores(hash, "cookie", newSVpv(info->cookie, 0));
    (void)hv_stores(hash, "relogin", newSVpv(info->relogin, 0));
    (void)hv_stores(hash, "title", newSVpv(info->title, 0));
    return sv_2mortal(newRV_noinc((SV *)hash));
}

/* Pairs of a name and a value, onto Perl's stack. */
static void
push_settings(pTHX_ const struct lmi_settings *settings)
{
    const char *name;
    char value[LMI_URI_MAX];
    size_t number;
    dSP;

    for (number = 0;
         lmi_settings_show(settings, number, &name, value, sizeof value);
         number++) {
        EXTEND(SP, 2);
        mPUSHp(name, strlen(name));
        mPUSHp(value, strlen(value));
    }
    PUTBACK;
}

static SV *
health_hash(pTHX_ const struct lmi_log_health *health,
            const struct lmi_err *err)
{
    char text[LMI_DETAIL_SIZE] = "";
    HV *hash = newHV();

    if (!health->written)
        lmi_err_format(err, text, sizeof text);
    (void)hv_stores(hash, "written", newSViv(health->written));
    (void)hv_stores(hash, "lost", newSVnv((NV)health->lost));
    (void)hv_stores(hash, "since", newSVnv((NV)health->since));
    (void)hv_stores(hash, "detail", newSVpv(text, 0));
    return sv_2mortal(newRV_noinc((SV *)hash));
}

/* Figures by name, those of an array of a struct lmi_numbers. */
static void
store_figure(pTHX_ HV *hash, const char *name, uint64_t figure)
{
    (void)hv_store(hash, name, (I32)strlen(name), newSVnv((NV)figure), 0);
}

static HV *
store_hash(pTHX_ HV *hash, const char *name)
{
    HV *inner = newHV();

    (void)hv_store(hash, name, (I32)strlen(name), newRV_noinc((SV *)inner), 0);
    return inner;
}

static const char *
service_name(int number)
{
    return number == 0 ? "none"
                       : lmi_service_info((enum lmi_service)number)->name;
}

static void
store_logins(pTHX_ HV *hash, const struct lmi_numbers *numbers)
{
    HV *inner;
    int service, reason;

    for (service = 0; service <= LMI_SERVICES; service++) {
        inner = store_hash(aTHX_ hash, service_name(service));
        for (reason = 0; reason < LMI_REASONS; reason++)
            store_figure(aTHX_ inner,
                         lmi_reason_name((enum lmi_reason)reason),
                         numbers->logins[service][reason]);
        store_figure(aTHX_ inner, "busy", numbers->busy[service]);
    }
}

static void
store_outcomes(pTHX_ HV *hash, const uint64_t *outcomes, uint64_t faults)
{
    int outcome;

    for (outcome = 0; outcome < LMI_OUTCOMES; outcome++)
        store_figure(aTHX_ hash, lmi_outcome_name((enum lmi_outcome)outcome),
                     outcomes[outcome]);
    store_figure(aTHX_ hash, "fault", faults);
}

/* { sum => seconds, counts => [ [ bound in seconds, count ], ... ] }; the last
 * bound is undef. */
static void
store_durations(pTHX_ HV *hash, const struct lmi_numbers *numbers,
                enum lmi_duration which)
{
    const struct lmi_durations *durations = &numbers->durations[which];
    AV *counts = newAV(), *pair;
    size_t i;

    (void)hv_stores(hash, "counts", newRV_noinc((SV *)counts));
    (void)hv_stores(hash, "sum", newSVnv((NV)durations->sum / 1e6));
    for (i = 0; i <= LMI_BOUNDS; i++) {
        pair = newAV();
        av_push(counts, newRV_noinc((SV *)pair));
        av_push(pair, i < LMI_BOUNDS
                          ? newSVnv((NV)lmi_duration_bound(which, i) / 1e6)
                          : newSV(0));
        av_push(pair, newSVnv((NV)durations->count[i]));
    }
}

static SV *
numbers_hash(pTHX_ const struct lmi_numbers *numbers)
{
    HV *hash = newHV(), *faults;
    SV *object = sv_2mortal(newRV_noinc((SV *)hash));
    int rc;

    store_logins(aTHX_ store_hash(aTHX_ hash, "logins"), numbers);
    store_outcomes(aTHX_ store_hash(aTHX_ hash, "redemptions"),
                   numbers->redemptions, numbers->redemption_faults);
    store_outcomes(aTHX_ store_hash(aTHX_ hash, "checks"), numbers->checks,
                   numbers->check_faults);
    faults = store_hash(aTHX_ hash, "faults");
    for (rc = LMI_OK + 1; rc < LMI_RCS; rc++)
        store_figure(aTHX_ faults, lmi_rc_name((enum lmi_rc)rc),
                     numbers->faults[rc]);
    store_durations(aTHX_ store_hash(aTHX_ hash, "login_seconds"), numbers,
                    LMI_LOGIN_TIME);
    store_durations(aTHX_ store_hash(aTHX_ hash, "check_seconds"), numbers,
                    LMI_CHECK_TIME);
    store_durations(aTHX_ store_hash(aTHX_ hash, "wait_seconds"), numbers,
                    LMI_WAIT_TIME);
    return object;
}

/* What the doctor says of a fault: its place and words apart. */
static SV *
fault_hash(pTHX_ const char *name, const struct lmi_err *err)
{
    HV *hash = newHV();

    if (name != NULL)
        (void)hv_stores(hash, "name", newSVpv(name, 0));
    if (err->name != NULL)
        (void)hv_stores(hash, "fault", newSVpv(err->name, 0));
    (void)hv_stores(hash, "code", newSVpv(lmi_rc_name(err->code), 0));
    (void)hv_stores(hash, "place", newSVpv(err->location, 0));
    (void)hv_stores(hash, "text", newSVpv(err->text, 0));
    (void)hv_stores(hash, "errno", newSViv(err->os_errno));
    if (err->remedy != NULL)
        (void)hv_stores(hash, "remedy", newSVpv(err->remedy, 0));
    return sv_2mortal(newRV_noinc((SV *)hash));
}

static SV *
store_report_hash(pTHX_ const struct lmi_store_report *report)
{
    HV *hash = newHV();

    (void)hv_stores(hash, "clock", newSVnv((NV)report->clock));
    (void)hv_stores(hash, "readers", newSVuv(report->readers));
    (void)hv_stores(hash, "readers_max", newSVuv(report->readers_max));
    (void)hv_stores(hash, "behind", newSVnv((NV)report->behind));
    (void)hv_stores(hash, "behind_pid", newSVnv((NV)report->behind_pid));
    (void)hv_stores(hash, "free", newSVnv((NV)report->free_bytes));
    (void)hv_stores(hash, "majority", newSViv(report->majority));
    (void)hv_stores(hash, "lease", newSVnv((NV)report->lease));
    return sv_2mortal(newRV_noinc((SV *)hash));
}

static SV *
attempts_row_hash(pTHX_ const struct lmi_attempts_row *row)
{
    HV *hash = newHV();

    (void)hv_stores(hash, "kind", newSVpv(row->kind, 0));
    if (row->user[0] != '\0')
        (void)hv_stores(hash, "user", newSVpv(row->user, 0));
    if (row->source[0] != '\0')
        (void)hv_stores(hash, "source", newSVpv(row->source, 0));
    (void)hv_stores(hash, "failures", newSVuv(row->failures));
    (void)hv_stores(hash, "wait", newSVuv(row->wait));
    return newRV_noinc((SV *)hash);
}

/* The rows that have a name, and the numbers of those that have none. */
static AV *
attempts_rows(pTHX_ const struct lmi_attempts *list)
{
    struct lmi_attempts_row row;
    size_t number;
    AV *rows = newAV();

    for (number = 0; lmi_attempts_get(list, number, &row); number++)
        av_push(rows, attempts_row_hash(aTHX_ &row));
    return rows;
}

static AV *
attempts_counts(pTHX_ const struct lmi_attempts *list)
{
    struct lmi_attempts_count count;
    size_t kind;
    AV *counts = newAV();
    HV *hash;

    for (kind = 0; kind < LMI_ATTEMPTS_KINDS; kind++) {
        lmi_attempts_unnamed(list, kind, &count);
        hash = newHV();
        (void)hv_stores(hash, "kind", newSVpv(count.kind, 0));
        (void)hv_stores(hash, "rows", newSVnv((NV)count.rows));
        (void)hv_stores(hash, "waiting", newSVnv((NV)count.waiting));
        av_push(counts, newRV_noinc((SV *)hash));
    }
    return counts;
}

/* The named arguments of a change of an account; numbers and flags are read
 * before any pointer. */
static struct lmi_account_change
read_change(pTHX_ SV **list, I32 count)
{
    struct lmi_account_change change;
    I32 i;

    Zero(&change, 1, struct lmi_account_change);
    if (count % 2 != 0)
        croak("The arguments must be pairs of a name and a value.");
    for (i = 0; i < count; i += 2)
        if (is_named(aTHX_ list[i], "uid"))
            change.uid = (uint32_t)SvUV_nomg(list[i + 1]);
        else if (is_named(aTHX_ list[i], "cost"))
            change.count = (unsigned long)SvUV_nomg(list[i + 1]);
        else if (is_named(aTHX_ list[i], "reseller"))
            change.reseller = cBOOL(SvTRUE(list[i + 1]));
        else if (is_named(aTHX_ list[i], "look"))
            change.look = cBOOL(SvTRUE(list[i + 1]));
    for (i = 0; i < count; i += 2)
        if (is_named(aTHX_ list[i], "user"))
            change.user = text_of(aTHX_ list[i + 1]);
        else if (is_named(aTHX_ list[i], "pass"))
            change.pass = text_of(aTHX_ list[i + 1]);
        else if (is_named(aTHX_ list[i], "prefix"))
            change.prefix = string_of(aTHX_ list[i + 1]);
        else if (is_named(aTHX_ list[i], "domain"))
            change.domain = string_of(aTHX_ list[i + 1]);
    return change;
}

static SV *
account_hash(pTHX_ const struct lmi_account_info *info)
{
    HV *hash = newHV(), *refusals;
    int service;

    (void)hv_stores(hash, "user", newSVpv(info->user, 0));
    (void)hv_stores(hash, "mailbox", newSViv(info->mailbox));
    (void)hv_stores(hash, "suspended", newSViv(info->suspended));
    (void)hv_stores(hash, "reseller", newSViv(info->reseller));
    (void)hv_stores(hash, "uid", newSVuv(info->uid));
    (void)hv_stores(hash, "home", newSVpv(info->home, 0));
    (void)hv_stores(hash, "owner",
                    info->mailbox ? newSVpv(info->owner, 0) : newSV(0));
    refusals = store_hash(aTHX_ hash, "refusals");
    for (service = 1; service <= LMI_SERVICES; service++)
        if (info->refusal[service] != NULL)
            (void)hv_store(refusals, service_name(service),
                           (I32)strlen(service_name(service)),
                           newSVpv(info->refusal[service], 0), 0);
    return newRV_noinc((SV *)hash);
}

/* For the operator's calls, where a fault must not look like an end. */
static void
die_of(pTHX_ enum lmi_rc rc, const struct lmi_err *err)
{
    if (rc == LMI_OK)
        return;
    set_fault(aTHX_ err);
    croak("The sessions can't be read: %" SVf, SVfARG(get_sv(DETAIL, 0)));
}

static struct lmi *
sessions_or_die(pTHX_ SV *self)
{
    struct lmi_err err = {.code = LMI_OK};
    struct lmi *lmi = sessions_of(aTHX_ self, &err);

    die_of(aTHX_ err.code, &err);
    return lmi;
}

/* What an operator's command has come to: a fault, or a hash to fill. */
static HV *
outcome_hash(pTHX_ enum lmi_rc rc, const struct lmi_err *err, SV **object_out)
{
    if (rc != LMI_OK) {
        set_fault(aTHX_ err);
        *object_out = fault_hash(aTHX_ NULL, err);
        return NULL;
    }
    *object_out = sv_2mortal(newRV_noinc((SV *)newHV()));
    return (HV *)SvRV(*object_out);
}

static void
store_key_report(pTHX_ HV *hash, const struct lmi_key_report *report)
{
    (void)hv_stores(hash, "path", newSVpv(report->path, 0));
    (void)hv_stores(hash, "old_path", newSVpv(report->old_path, 0));
    (void)hv_stores(hash, "has_old", newSViv(report->has_old));
    (void)hv_stores(hash, "next_path", newSVpv(report->next_path, 0));
    (void)hv_stores(hash, "shared", newSViv(report->shared));
    (void)hv_stores(hash, "has_next", newSViv(report->has_next));
    (void)hv_stores(hash, "next_made", newSVnv((NV)report->next_made));
    store_figure(aTHX_ hash, "behind", report->behind);
    (void)hv_stores(hash, "unfinished", newSViv(report->unfinished));
    (void)hv_stores(hash, "old_is_set", newSViv(report->old_is_set));
    (void)hv_stores(hash, "made", newSVnv((NV)report->made));
    (void)hv_stores(hash, "old_made", newSVnv((NV)report->old_made));
    (void)hv_stores(hash, "rotated", newSVnv((NV)report->rotated));
    store_figure(aTHX_ hash, "sessions", report->sessions);
    store_figure(aTHX_ hash, "known", report->known);
    (void)hv_stores(hash, "needed", newSViv(report->needed));
    (void)hv_stores(hash, "needed_until", newSVnv((NV)report->needed_until));
}

/* What a step of a rotation has come to. */
static void
store_step(pTHX_ HV *hash, enum lmi_key_step step)
{
    (void)hv_stores(hash, "done", newSViv(step > LMI_STEP_WAITS));
    (void)hv_stores(hash, "waits", newSViv(step == LMI_STEP_WAITS));
    (void)hv_stores(hash, "is_next", newSViv(step == LMI_STEP_NEXT));
}

static SV *
machine_hash(pTHX_ const struct lmi_machine *machine)
{
    HV *hash = newHV();
    AV *differs = newAV();
    unsigned i;

    for (i = 0; i < LMI_SITE_FILES; i++)
        if ((machine->differs & (UINT32_C(1) << i)) != 0)
            av_push(differs, newSVpv(lmi_site_file_path(i), 0));
    (void)hv_stores(hash, "name", newSVpv(machine->name, 0));
    (void)hv_stores(hash, "here", newSViv(machine->here));
    (void)hv_stores(hash, "sound", newSViv(machine->sound));
    (void)hv_stores(hash, "behind", newSViv(machine->behind));
    (void)hv_stores(hash, "seen", newSVnv((NV)machine->seen));
    (void)hv_stores(hash, "present", newSVpv(machine->present, 0));
    (void)hv_stores(hash, "next", newSVpv(machine->next, 0));
    (void)hv_stores(hash, "old", newSVpv(machine->old, 0));
    (void)hv_stores(hash, "looked", newSVnv((NV)machine->looked));
    (void)hv_stores(hash, "differs", newRV_noinc((SV *)differs));
    return sv_2mortal(newRV_noinc((SV *)hash));
}

MODULE = Cpanel::LogMeIn    PACKAGE = Cpanel::LogMeIn

PROTOTYPES: DISABLE

BOOT:
{
    MY_CXT_INIT;
    MY_CXT.lmi = new_handle(aTHX_ NULL);
    call_atexit(free_handle, NULL);
}

#ifdef USE_ITHREADS

void
CLONE(...)
CODE:
    MY_CXT_CLONE;
    PERL_UNUSED_VAR(items);
    MY_CXT.lmi = new_handle(aTHX_ NULL);

#endif

void
get_loggedin_url(...)
PREINIT:
    struct lmi_login ask;
    struct lmi_login_answer answer;
    const char *complaint;
    bool in_list;
PPCODE:
    in_list = GIMME_V == G_ARRAY;
    settle(aTHX_ &ST(0), items);
    Zero(&ask, 1, struct lmi_login);
    complaint = list_complaint(aTHX_ items, items > 0 ? ST(0) : NULL);
    if (complaint != NULL) {
        lmi_login_answer_refuse(&answer, complaint);
    } else {
        read_login(aTHX_ &ask, &ST(0), items, false);
        ask.may_leave = true;
        lmi_login(handle_of(aTHX), &ask, &answer);
        if (answer.route == LMI_ROUTE_HOST ||
            answer.route == LMI_ROUTE_GATEWAY) {
            SP += items; /* the arguments stay on the stack */
            PUTBACK;
            log_in_remotely(aTHX_ &ask, ax, items, &answer);
            SP = PL_stack_base + ax - 1;
        }
    }
    set_outcome(aTHX_ &answer);
    EXTEND(SP, 4);
    mPUSHi(is_good(&answer) ? 1 : 0);
    if (in_list) {
        mPUSHp(answer.message, strlen(answer.message));
        if (is_good(&answer)) {
            mPUSHp(answer.url, strlen(answer.url));
            mPUSHp(answer.token, strlen(answer.token));
        } else {
            PUSHs(&PL_sv_undef);
            PUSHs(&PL_sv_undef);
        }
    }
    lmi_login_answer_wipe(&answer);

SV *
hash_password(pass, prefix = NULL, count = NULL)
    SV *pass
    SV *prefix
    SV *count
PREINIT:
    char hash[LMI_HASH_SIZE];
    struct lmi_err err;
    unsigned long cost;
CODE:
    settle(aTHX_ &ST(0), items);
    cost = items > 2 ? (unsigned long)SvUV_nomg(ST(2)) : 0;
    PERL_UNUSED_VAR(pass);
    PERL_UNUSED_VAR(prefix);
    PERL_UNUSED_VAR(count);
    RETVAL = &PL_sv_undef;
    if (lmi_hash_password(handle_of(aTHX), text_of(aTHX_ ST(0)),
                          items > 1 ? string_of(aTHX_ ST(1)) : NULL, cost, hash,
                          &err) == LMI_OK)
        RETVAL = newSVpv(hash, 0);
    else
        set_fault(aTHX_ &err);
OUTPUT:
    RETVAL

SV *
goto_uri(text)
    struct lmi_text text
PREINIT:
    char uri[LMI_URI_MAX + 1];
    const char *complaint;
CODE:
    complaint = lmi_uri_read(text, uri);
    RETVAL = &PL_sv_undef;
    if (complaint == NULL)
        RETVAL = newSVpv(uri, 0);
    set_detail(aTHX_ complaint == NULL ? "" : complaint);
OUTPUT:
    RETVAL

bool
address_in(address, list)
    SV *address
    SV *list
PREINIT:
    const char *networks;
CODE:
    settle(aTHX_ &ST(0), items);
    PERL_UNUSED_VAR(address);
    PERL_UNUSED_VAR(list);
    networks = string_of(aTHX_ ST(1));
    RETVAL = networks != NULL &&
             lmi_address_listed(text_of(aTHX_ ST(0)), networks);
OUTPUT:
    RETVAL

void
services()
PREINIT:
    int number;
PPCODE:
    EXTEND(SP, LMI_SERVICES);
    for (number = 1; number <= LMI_SERVICES; number++)
        PUSHs(service_hash(aTHX_ lmi_service_info((enum lmi_service)number)));

void
settings()
PREINIT:
    struct lmi_err err;
    const struct lmi_settings *settings;
PPCODE:
    if (lmi_settings_get(handle_of(aTHX), &settings, &err) != LMI_OK) {
        set_fault(aTHX_ &err);
        XSRETURN_EMPTY;
    }
    PUTBACK;
    push_settings(aTHX_ settings);
    SPAGAIN;

void
versions()
PREINIT:
    struct lmi_versions versions;
PPCODE:
    lmi_versions_get(&versions);
    EXTEND(SP, 6);
    mPUSHs(newSVpvs("libcrypt"));
    mPUSHp(versions.libcrypt, strlen(versions.libcrypt));
    mPUSHs(newSVpvs("openssl"));
    mPUSHp(versions.openssl, strlen(versions.openssl));
    mPUSHs(newSVpvs("lmdb"));
    mPUSHp(versions.lmdb, strlen(versions.lmdb));

MODULE = Cpanel::LogMeIn    PACKAGE = Cpanel::LogMeIn::Session

void
new(class)
    const char *class
PPCODE:
    XPUSHs(new_sessions(aTHX_ class));

void
redeem(self, ...)
    SV *self
ALIAS:
    check = CALL_CHECK
    end = CALL_END
PREINIT:
    struct lmi_access access;
    struct lmi *lmi;
    struct verdict verdict;
    const char *reason;
    bool yes;
PPCODE:
    settle(aTHX_ &ST(0), items);
    access = read_access(aTHX_ &ST(1), items - 1);
    Zero(&verdict, 1, struct verdict);
    lmi = sessions_of(aTHX_ self, &verdict.err);
    verdict.rc = verdict.err.code;
    if (lmi != NULL)
        run(lmi, (enum call)ix, &access, &verdict);
    if (verdict.rc != LMI_OK) {
        reason = "fault";
        set_fault(aTHX_ &verdict.err);
    } else {
        reason = lmi_outcome_name(verdict.outcome);
        set_detail(aTHX_ reason);
    }
    yes = verdict.rc == LMI_OK && (verdict.outcome == LMI_GRANTED ||
                                   verdict.outcome == LMI_AGAIN);
    EXTEND(SP, 3);
    PUSHs(yes ? session_hash(aTHX_ &verdict.redeemed.session,
                             verdict.redeemed.cookie)
              : &PL_sv_undef);
    if (GIMME_V == G_ARRAY) {
        mPUSHs(newSVpv(reason, 0));
        if (verdict.rc == LMI_OK && verdict.outcome == LMI_CONFIRM)
            PUSHs(confirm_hash(aTHX_ &verdict.redeemed));
    }
    lmi_wipe(&verdict, sizeof verdict);

void
log_in(self, ...)
    SV *self
ALIAS:
    log_in_by_url = 1
PREINIT:
    struct lmi_login ask;
    struct lmi_login_answer answer;
    struct lmi *lmi;
    struct lmi_err err = {.code = LMI_OK};
PPCODE:
    settle(aTHX_ &ST(0), items);
    if (items % 2 == 0)
        croak("The arguments must be pairs of a name and a value.");
    Zero(&ask, 1, struct lmi_login);
    read_caller(aTHX_ &ask, &ST(1), items - 1);
    read_login(aTHX_ &ask, &ST(1), items - 1, true);
    ask.here = true;
    ask.dual_use = ix == 0;
    lmi = sessions_of(aTHX_ self, &err);
    if (lmi != NULL)
        lmi_login(lmi, &ask, &answer);
    else
        lmi_login_answer_fault(&answer, &err);
    set_outcome(aTHX_ &answer);
    XPUSHs(answer_hash(aTHX_ &answer));
    lmi_login_answer_wipe(&answer);

void
settings(self)
    SV *self
PREINIT:
    const struct lmi_settings *settings;
    struct lmi *lmi;
    struct lmi_err err;
PPCODE:
    lmi = sessions_or_die(aTHX_ self);
    die_of(aTHX_ lmi_settings_get(lmi, &settings, &err), &err);
    PUTBACK;
    push_settings(aTHX_ settings);
    SPAGAIN;

SV *
setting(self, name)
    SV *self
    const char *name
PREINIT:
    const struct lmi_settings *settings;
    struct lmi *lmi;
    struct lmi_err err;
    char value[LMI_URI_MAX];
CODE:
    lmi = sessions_or_die(aTHX_ self);
    die_of(aTHX_ lmi_settings_get(lmi, &settings, &err), &err);
    if (!lmi_settings_find(settings, name, value, sizeof value))
        croak("There is no setting '%s'.", name);
    RETVAL = newSVpv(value, 0);
OUTPUT:
    RETVAL

void
open(self)
    SV *self
PREINIT:
    struct lmi *lmi;
    struct lmi_err err;
PPCODE:
    lmi = sessions_or_die(aTHX_ self);
    die_of(aTHX_ lmi_open(lmi, &err), &err);

void
try_log(self, text)
    SV *self
    SV *text
PREINIT:
    const char *notice;
    struct lmi *lmi;
    struct lmi_err err;
    bool good;
PPCODE:
    settle(aTHX_ &ST(0), items);
    PERL_UNUSED_VAR(text);
    notice = string_of(aTHX_ ST(1));
    lmi = sessions_or_die(aTHX_ self);
    good = lmi_log_try(lmi, notice != NULL ? notice : "", &err) == LMI_OK;
    if (!good)
        set_fault(aTHX_ &err);
    PUSHs(good ? &PL_sv_yes : &PL_sv_no);

void
log_state(self)
    SV *self
PREINIT:
    struct lmi_log_health health;
    struct lmi *lmi;
    struct lmi_err err;
PPCODE:
    lmi = sessions_or_die(aTHX_ self);
    die_of(aTHX_ lmi_log_look(lmi, &health, &err), &err);
    PUSHs(health_hash(aTHX_ &health, &err));

void
_look(self, part)
    SV *self
    int part
PREINIT:
    struct lmi *lmi;
    struct lmi_err err;
    char text[LMI_DETAIL_SIZE];
PPCODE:
    lmi = sessions_or_die(aTHX_ self);
    if (lmi_health_look(lmi, (enum lmi_part)part, &err) == LMI_OK)
        XSRETURN_EMPTY;
    lmi_err_format(&err, text, sizeof text);
    mXPUSHp(text, strlen(text));

void
numbers(self)
    SV *self
PREINIT:
    struct lmi_numbers numbers;
    struct lmi *lmi;
PPCODE:
    lmi = sessions_or_die(aTHX_ self);
    lmi_numbers_get(lmi, &numbers);
    XPUSHs(numbers_hash(aTHX_ &numbers));

SV *
_metrics(self)
    SV *self
PREINIT:
    struct lmi *lmi;
    struct lmi_err err;
    char *text;
    size_t len;
CODE:
    lmi = sessions_or_die(aTHX_ self);
    die_of(aTHX_ lmi_metrics_write(lmi, &text, &len, &err), &err);
    RETVAL = newSVpvn(text, len);
    lmi_metrics_free(text);
OUTPUT:
    RETVAL

void
_health_words(self)
    SV *self
PREINIT:
    char words[LMI_HEALTH_SIZE];
    struct lmi *lmi;
    bool well;
PPCODE:
    lmi = sessions_or_die(aTHX_ self);
    well = lmi_health_write(lmi, words);
    EXTEND(SP, 2);
    PUSHs(well ? &PL_sv_yes : &PL_sv_no);
    mPUSHp(words, strlen(words));

void
count_sessions(self)
    SV *self
PREINIT:
    uint64_t counts[LMI_SERVICES + 1];
    struct lmi *lmi;
    struct lmi_err err;
    int service;
PPCODE:
    lmi = sessions_or_die(aTHX_ self);
    die_of(aTHX_ lmi_session_count(lmi, counts, &err), &err);
    EXTEND(SP, 2 * LMI_SERVICES);
    for (service = 1; service <= LMI_SERVICES; service++) {
        mPUSHp(service_name(service), strlen(service_name(service)));
        mPUSHn((NV)counts[service]);
    }

void
count_refusal(self, service, reason)
    SV *self
    SV *service
    SV *reason
PREINIT:
    enum lmi_service which;
    enum lmi_reason why;
    struct lmi *lmi;
PPCODE:
    settle(aTHX_ &ST(0), items);
    PERL_UNUSED_VAR(service);
    PERL_UNUSED_VAR(reason);
    lmi = sessions_or_die(aTHX_ self);
    which = SvOK(ST(1)) ? service_of(aTHX_ ST(1)) : (enum lmi_service)0;
    if (is_named(aTHX_ ST(2), "busy"))
        lmi_count_busy(lmi, which);
    else if (string_of(aTHX_ ST(2)) != NULL &&
             lmi_reason_parse(SvPV_nolen(ST(2)), &why))
        lmi_count_login(lmi, which, why);
    else
        croak("There is no such reason of a refusal.");

void
_site_report(self)
    SV *self
PREINIT:
    struct lmi_site_report report;
    struct lmi *lmi;
    struct lmi_err err;
    size_t i;
PPCODE:
    lmi = sessions_or_die(aTHX_ self);
    die_of(aTHX_ lmi_site_report_get(lmi, &report, &err), &err);
    EXTEND(SP, LMI_NOTES + 1);
    mPUSHn((NV)report.left_out);
    for (i = 0; i < report.count; i++)
        PUSHs(fault_hash(aTHX_ report.notes[i].name, &report.notes[i].err));

void
_store_report(self)
    SV *self
PREINIT:
    struct lmi_store_report report;
    struct lmi *lmi;
    struct lmi_err err;
PPCODE:
    lmi = sessions_or_die(aTHX_ self);
    if (lmi_store_report_get(lmi, &report, &err) == LMI_OK) {
        XPUSHs(store_report_hash(aTHX_ &report));
    } else { /* no report, and why */
        EXTEND(SP, 2);
        PUSHs(&PL_sv_undef);
        PUSHs(fault_hash(aTHX_ err.name, &err));
    }

void
_next(self, ...)
    SV *self
PREINIT:
    struct lmi_session_list list;
    struct lmi_session session;
    struct lmi *lmi;
    struct lmi_err err;
    bool found;
PPCODE:
    settle(aTHX_ &ST(0), items);
    list = read_list(aTHX_ &ST(1), items - 1);
    lmi = sessions_or_die(aTHX_ self);
    die_of(aTHX_ lmi_session_next(lmi, &list, &found, &session, &err),
           &err);
    if (!found)
        XSRETURN_EMPTY;
    EXTEND(SP, 2);
    PUSHs(session_hash(aTHX_ &session, NULL));
    mPUSHp((const char *)list.cursor, list.cursor_len);

void
_revoke(self, id, user)
    SV *self
    SV *id
    SV *user
PREINIT:
    struct lmi_session session;
    struct lmi *lmi;
    struct lmi_err err;
    bool found;
PPCODE:
    settle(aTHX_ &ST(0), items);
    PERL_UNUSED_VAR(id);
    PERL_UNUSED_VAR(user);
    lmi = sessions_or_die(aTHX_ self);
    die_of(aTHX_ lmi_session_end_id(lmi, text_of(aTHX_ ST(1)),
                                    text_of(aTHX_ ST(2)), &found, &session,
                                    &err),
           &err);
    if (!found)
        XSRETURN_EMPTY;
    XPUSHs(session_hash(aTHX_ &session, NULL));

NV
purge(self)
    SV *self
PREINIT:
    struct lmi *lmi;
    struct lmi_err err;
    uint64_t removed;
CODE:
    lmi = sessions_or_die(aTHX_ self);
    die_of(aTHX_ lmi_session_purge(lmi, &removed, &err), &err);
    RETVAL = (NV)removed;
OUTPUT:
    RETVAL

bool
serves(self, host)
    SV *self
    struct lmi_text host
PREINIT:
    struct lmi *lmi;
    struct lmi_err err;
CODE:
    lmi = sessions_or_die(aTHX_ self);
    die_of(aTHX_ lmi_serves_host(lmi, host, &RETVAL, &err), &err);
OUTPUT:
    RETVAL

bool
_is_known(self, user, address)
    SV *self
    SV *user
    SV *address
PREINIT:
    struct lmi *lmi;
    struct lmi_err err;
CODE:
    settle(aTHX_ &ST(0), items);
    PERL_UNUSED_VAR(user);
    PERL_UNUSED_VAR(address);
    lmi = sessions_or_die(aTHX_ self);
    die_of(aTHX_ lmi_login_is_known(lmi, text_of(aTHX_ ST(1)),
                                    text_of(aTHX_ ST(2)), &RETVAL, &err),
           &err);
OUTPUT:
    RETVAL

bool
discard(self, ticket)
    SV *self
    struct lmi_text ticket
PREINIT:
    struct lmi *lmi;
    struct lmi_err err;
CODE:
    lmi = sessions_or_die(aTHX_ self);
    die_of(aTHX_ lmi_session_discard(lmi, ticket, &RETVAL, &err), &err);
OUTPUT:
    RETVAL

SV *
_key_report(self)
    SV *self
PREINIT:
    struct lmi_key_report report;
    struct lmi_err err;
    HV *hash;
CODE:
    hash = outcome_hash(aTHX_ lmi_key_report_get(sessions_or_die(aTHX_ self),
                                                 &report, &err),
                        &err, &RETVAL);
    if (hash != NULL)
        store_key_report(aTHX_ hash, &report);
    SvREFCNT_inc_simple_void(RETVAL);
OUTPUT:
    RETVAL

SV *
_key_rotate(self, force)
    SV *self
    bool force
PREINIT:
    enum lmi_key_step step;
    struct lmi_err err;
    HV *hash;
CODE:
    hash = outcome_hash(
        aTHX_ lmi_key_rotate(sessions_or_die(aTHX_ self), force, &step, &err),
        &err, &RETVAL);
    if (hash != NULL)
        store_step(aTHX_ hash, step);
    SvREFCNT_inc_simple_void(RETVAL);
OUTPUT:
    RETVAL

SV *
_key_retire(self, force)
    SV *self
    bool force
PREINIT:
    enum lmi_key_step step;
    struct lmi_err err;
    HV *hash;
CODE:
    hash = outcome_hash(
        aTHX_ lmi_key_retire(sessions_or_die(aTHX_ self), force, &step, &err),
        &err, &RETVAL);
    if (hash != NULL)
        store_step(aTHX_ hash, step);
    SvREFCNT_inc_simple_void(RETVAL);
OUTPUT:
    RETVAL

void
_machines(self, site)
    SV *self
    bool site
PREINIT:
    struct lmi_machine_list list;
    struct lmi_machine machine;
    struct lmi *lmi;
    struct lmi_err err;
    bool found;
PPCODE:
    lmi = sessions_or_die(aTHX_ self);
    Zero(&list, 1, struct lmi_machine_list);
    list.site = site;
    do {
        die_of(aTHX_ lmi_machine_next(lmi, &list, &found, &machine, &err),
               &err);
        if (found)
            XPUSHs(machine_hash(aTHX_ &machine));
    } while (found);

SV *
_backup_make(self, folder)
    SV *self
    const char *folder
PREINIT:
    struct lmi_err err;
    uint64_t known;
    HV *hash;
CODE:
    hash = outcome_hash(aTHX_ lmi_backup_make(sessions_or_die(aTHX_ self),
                                              folder, &known, &err),
                        &err, &RETVAL);
    if (hash != NULL)
        store_figure(aTHX_ hash, "known", known);
    SvREFCNT_inc_simple_void(RETVAL);
OUTPUT:
    RETVAL

SV *
_backup_restore(self, folder, force)
    SV *self
    const char *folder
    bool force
PREINIT:
    struct lmi_err err;
    uint64_t known;
    HV *hash;
CODE:
    hash = outcome_hash(aTHX_ lmi_backup_restore(sessions_or_die(aTHX_ self),
                                                 folder, force, &known, &err),
                        &err, &RETVAL);
    if (hash != NULL)
        store_figure(aTHX_ hash, "known", known);
    SvREFCNT_inc_simple_void(RETVAL);
OUTPUT:
    RETVAL

SV *
_store_init(self, admin)
    SV *self
    const char *admin
PREINIT:
    struct lmi_err err;
CODE:
    outcome_hash(aTHX_ lmi_store_init(sessions_or_die(aTHX_ self), admin, &err),
                 &err, &RETVAL);
    SvREFCNT_inc_simple_void(RETVAL);
OUTPUT:
    RETVAL

SV *
_store_copy(self, from, to)
    SV *self
    const char *from
    const char *to
PREINIT:
    struct lmi_copied copied;
    struct lmi_err err;
    HV *hash;
CODE:
    hash = outcome_hash(aTHX_ lmi_store_copy(sessions_or_die(aTHX_ self), from,
                                             to, &copied, &err),
                        &err, &RETVAL);
    if (hash != NULL) {
        store_figure(aTHX_ hash, "sessions", copied.sessions);
        store_figure(aTHX_ hash, "known", copied.known);
        store_figure(aTHX_ hash, "others", copied.others);
        (void)hv_stores(hash, "key", newSViv(copied.has_key));
        (void)hv_stores(hash, "held_seconds", newSVnv((NV)copied.held / 1e6));
    }
    SvREFCNT_inc_simple_void(RETVAL);
OUTPUT:
    RETVAL

void
_settings_lines(self)
    SV *self
PREINIT:
    const struct lmi_settings *settings;
    const char *name;
    char value[LMI_URI_MAX];
    struct lmi_err err;
    size_t i;
PPCODE:
    die_of(aTHX_ lmi_settings_get(sessions_or_die(aTHX_ self), &settings, &err),
           &err);
    for (i = 0; lmi_settings_show(settings, i, &name, value, sizeof value);
         i++) {
        EXTEND(SP, 2);
        mPUSHp(name, strlen(name));
        mPUSHu(lmi_settings_line(settings, i));
    }

void
_settings_errors(self, path)
    SV *self
    const char *path
PREINIT:
    struct lmi_settings_report *report;
    struct lmi_err err;
    size_t i;
PPCODE:
    PERL_UNUSED_VAR(self);
    report = (struct lmi_settings_report *)SvPVX(
        sv_2mortal(newSV(sizeof *report)));
    if (lmi_settings_survey(path, report, &err) != LMI_OK) {
        report->count = 1;
        report->errors[0] = err;
    }
    EXTEND(SP, LMI_NOTES);
    for (i = 0; i < report->count; i++)
        PUSHs(fault_hash(aTHX_ NULL, &report->errors[i]));

void
_end_some(self, ...)
    SV *self
PREINIT:
    struct lmi_session_list list;
    struct lmi *lmi;
    struct lmi_err err;
    uint32_t ended;
PPCODE:
    settle(aTHX_ &ST(0), items);
    list = read_list(aTHX_ &ST(1), items - 1);
    lmi = sessions_or_die(aTHX_ self);
    die_of(aTHX_ lmi_session_end_some(lmi, &list, &ended, &err), &err);
    EXTEND(SP, 2);
    mPUSHu(ended);
    mPUSHp((const char *)list.cursor, list.cursor_len);

void
_purge_some(self)
    SV *self
PREINIT:
    struct lmi *lmi;
    struct lmi_err err;
    uint64_t removed;
    bool more;
PPCODE:
    lmi = sessions_or_die(aTHX_ self);
    die_of(aTHX_ lmi_session_purge_some(lmi, &removed, &more, &err), &err);
    EXTEND(SP, 2);
    mPUSHn((NV)removed);
    PUSHs(more ? &PL_sv_yes : &PL_sv_no);

void
_attempts(self)
    SV *self
PREINIT:
    struct lmi_attempts *list;
    struct lmi *lmi;
    struct lmi_err err;
    AV *rows, *counts;
PPCODE:
    lmi = sessions_or_die(aTHX_ self);
    die_of(aTHX_ lmi_attempts_read(lmi, &list, &err), &err);
    rows = attempts_rows(aTHX_ list);
    counts = attempts_counts(aTHX_ list);
    lmi_attempts_free(list);
    EXTEND(SP, 2);
    mPUSHs(newRV_noinc((SV *)rows));
    mPUSHs(newRV_noinc((SV *)counts));

NV
_clear_attempts(self, user, source)
    SV *self
    SV *user
    SV *source
PREINIT:
    struct lmi *lmi;
    struct lmi_err err;
    uint64_t removed;
CODE:
    settle(aTHX_ &ST(0), items);
    PERL_UNUSED_VAR(user);
    PERL_UNUSED_VAR(source);
    lmi = sessions_or_die(aTHX_ self);
    die_of(aTHX_ lmi_attempts_clear(lmi, string_of(aTHX_ ST(1)),
                                    string_of(aTHX_ ST(2)), &removed, &err),
           &err);
    RETVAL = (NV)removed;
OUTPUT:
    RETVAL

bool
_is_attempts_source(self, source)
    SV *self
    const char *source
CODE:
    PERL_UNUSED_VAR(self);
    RETVAL = lmi_attempts_source_ok(source);
OUTPUT:
    RETVAL

void
_hash(self, pass, prefix, cost)
    SV *self
    SV *pass
    SV *prefix
    SV *cost
PREINIT:
    char hash[LMI_HASH_SIZE];
    unsigned long count;
    struct lmi *lmi;
    struct lmi_err err;
    const char *text;
PPCODE:
    settle(aTHX_ &ST(0), items);
    PERL_UNUSED_VAR(pass);
    PERL_UNUSED_VAR(prefix);
    PERL_UNUSED_VAR(cost);
    count = (unsigned long)SvUV_nomg(ST(3));
    lmi = sessions_or_die(aTHX_ self);
    if (lmi_hash_for_login(lmi, text_of(aTHX_ ST(1)), string_of(aTHX_ ST(2)),
                           count, false, hash, &err) == LMI_OK) {
        mXPUSHp(hash, strlen(hash));
    } else { /* no hash, and the name of the fault */
        set_fault(aTHX_ &err);
        text = err.name != NULL ? err.name : "";
        EXTEND(SP, 2);
        PUSHs(&PL_sv_undef);
        mPUSHp(text, strlen(text));
    }

void
_change_account(self, what, ...)
    SV *self
    int what
PREINIT:
    struct lmi_account_change change;
    enum lmi_changed changed;
    struct lmi *lmi;
    struct lmi_err err;
PPCODE:
    if (what < LMI_CHANGE_ADD || what > LMI_CHANGE_REMOVE)
        croak("There is no such change of an account.");
    settle(aTHX_ &ST(0), items);
    change = read_change(aTHX_ &ST(2), items - 2);
    change.what = (enum lmi_change)what;
    lmi = sessions_or_die(aTHX_ self);
    EXTEND(SP, 2);
    if (lmi_account_change(lmi, &change, &changed, &err) == LMI_OK) {
        mPUSHs(newSVpv(lmi_changed_name(changed), 0));
        mPUSHs(newSVpv(lmi_changed_text(changed), 0));
    } else { /* the name of the fault, or "fault" */
        set_fault(aTHX_ &err);
        mPUSHs(newSVpv(err.name != NULL ? err.name : "fault", 0));
        mPUSHs(newSVsv(get_sv(DETAIL, 0)));
    }

void
_accounts(self)
    SV *self
PREINIT:
    struct lmi_account_list *list = NULL;
    struct lmi_account_info info;
    struct lmi *lmi;
    struct lmi_err err;
    enum lmi_rc rc;
    bool found = true;
    AV *accounts;
PPCODE:
    lmi = sessions_or_die(aTHX_ self);
    accounts = (AV *)sv_2mortal((SV *)newAV());
    rc = lmi_account_list_new(lmi, &list, &err);
    while (rc == LMI_OK && found) {
        rc = lmi_account_list_next(list, &found, &info, &err);
        if (rc == LMI_OK && found)
            av_push(accounts, account_hash(aTHX_ &info));
    }
    lmi_account_list_free(list);
    die_of(aTHX_ rc, &err);
    XPUSHs(sv_2mortal(newRV_inc((SV *)accounts)));

MODULE = Cpanel::LogMeIn    PACKAGE = Plack::App::LogMeIn::Form

void
_pairs(...)
PREINIT:
    struct lmi_bytes in[1]; /* text */
    struct lmi_http_pair pair;
    AV *both;
PPCODE:
    read_bytes(aTHX_ &ST(0), items, in, C_ARRAY_LENGTH(in));
    while (lmi_http_pair_next(&in[0], &pair)) {
        both = newAV();
        mXPUSHs(newRV_noinc((SV *)both));
        av_push(both, decoded_scalar(aTHX_ pair.name));
        av_push(both, decoded_scalar(aTHX_ pair.value));
    }

MODULE = Cpanel::LogMeIn    PACKAGE = Plack::App::LogMeIn::Request

void
_read_target(...)
PREINIT:
    struct lmi_bytes in[1]; /* target */
    struct lmi_http_target out;
PPCODE:
    read_bytes(aTHX_ &ST(0), items, in, C_ARRAY_LENGTH(in));
    lmi_http_target_read(in[0], &out);
    EXTEND(SP, 6);
    PUSHs(boolSV(out.clean));
    PUSHs(boolSV(out.incidental));
    mPUSHs(scalar_of(aTHX_ out.path));
    mPUSHs(scalar_of(aTHX_ out.query));
    mPUSHs(scalar_of(aTHX_ out.token));
    mPUSHs(scalar_of(aTHX_ out.rest));

void
_slash_is_double(...)
PREINIT:
    struct lmi_bytes in[1]; /* target */
PPCODE:
    read_bytes(aTHX_ &ST(0), items, in, C_ARRAY_LENGTH(in));
    XPUSHs(boolSV(lmi_http_slash_is_double(in[0])));

void
_path_is(...)
PREINIT:
    struct lmi_bytes in[3]; /* path, first, second */
PPCODE:
    read_bytes(aTHX_ &ST(0), items, in, C_ARRAY_LENGTH(in));
    XPUSHs(boolSV(!is_wide(aTHX_ ST(1)) && !is_wide(aTHX_ ST(2)) &&
                  lmi_http_path_is(in[0], in[1], in[2])));

void
_parameter(...)
PREINIT:
    struct lmi_bytes in[2]; /* query, name */
    struct lmi_http_parameter out;
PPCODE:
    read_bytes(aTHX_ &ST(0), items, in, C_ARRAY_LENGTH(in));
    lmi_http_parameter_find(in[0], in[1], &out);
    EXTEND(SP, 2);
    mPUSHu(out.count);
    PUSHs(out.count == 1 ? sv_2mortal(decoded_scalar(aTHX_ out.value))
                         : &PL_sv_undef);

void
_ticket(...)
PREINIT:
    struct lmi_bytes in[1]; /* query */
    struct lmi_http_ticket out;
PPCODE:
    read_bytes(aTHX_ &ST(0), items, in, C_ARRAY_LENGTH(in));
    lmi_http_ticket_find(in[0], &out);
    EXTEND(SP, 2);
    mPUSHu(out.count);
    mPUSHs(string_or_undef(aTHX_ out.ticket));

void
_page(...)
ALIAS:
    _ticket_page = 1
PREINIT:
    struct lmi_bytes in[2]; /* rest, query */
    struct lmi_http_target target;
    struct lmi_http_page out;
    bool twice = false;
PPCODE:
    read_bytes(aTHX_ &ST(0), items, in, C_ARRAY_LENGTH(in));
    Zero(&target, 1, struct lmi_http_target);
    target.rest = in[0];
    target.query = in[1];
    if (ix == 0)
        lmi_http_page(&target, &out);
    else
        lmi_http_ticket_page(&target, &out, &twice);
    EXTEND(SP, 2);
    mPUSHs(string_or_undef(aTHX_ out.uri));
    PUSHs(boolSV(twice));

void
_cookie(...)
PREINIT:
    struct lmi_bytes in[2]; /* field, name */
    struct lmi_http_head head = {.host = {NULL, 0}};
    struct lmi_http_cookie out;
PPCODE:
    read_bytes(aTHX_ &ST(0), items, in, C_ARRAY_LENGTH(in));
    head.cookie = in[0];
    lmi_http_cookie_find(&head, in[1], &out);
    EXTEND(SP, 2);
    mPUSHs(scalar_of(aTHX_ out.value));
    PUSHs(boolSV(out.there));

void
_client(...)
PREINIT:
    /* address, socket's path, scheme, port; X-Forwarded-For, -Proto, -Port;
     * trusted_proxies */
    struct lmi_bytes in[8];
    struct lmi_http_head head = {.host = {NULL, 0}};
    struct lmi_http_connection connection;
    struct lmi_http_client out;
PPCODE:
    read_bytes(aTHX_ &ST(0), items, in, C_ARRAY_LENGTH(in));
    connection.address = in[0];
    connection.local = in[1].ptr != NULL;
    connection.scheme = in[2];
    connection.port = in[3];
    head.x_forwarded_for = in[4];
    head.x_forwarded_proto = in[5];
    head.x_forwarded_port = in[6];
    lmi_http_client_read(&head, &connection, in[7].ptr != NULL ? in[7].ptr : "",
                         &out);
    EXTEND(SP, 4);
    PUSHs(boolSV(out.at_front));
    PUSHs(boolSV(out.secure));
    mPUSHs(scalar_of(aTHX_ out.address));
    mPUSHs(scalar_of(aTHX_ out.port));

void
_host(...)
PREINIT:
    struct lmi_bytes in[1]; /* Host */
    struct lmi_http_head head = {.host = {NULL, 0}};
    struct lmi_http_host out;
PPCODE:
    read_bytes(aTHX_ &ST(0), items, in, C_ARRAY_LENGTH(in));
    head.host = in[0];
    lmi_http_host_read(&head, &out);
    EXTEND(SP, 3);
    PUSHs(boolSV(out.good));
    mPUSHs(scalar_of(aTHX_ out.name));
    mPUSHs(scalar_of(aTHX_ out.port));

void
_cause(...)
PREINIT:
    /* method, Host, Origin, Sec-Fetch-Site, Sec-Fetch-Dest, Sec-Purpose,
     * Purpose, X-Purpose, X-Moz */
    struct lmi_bytes in[9];
    struct lmi_http_head head = {.host = {NULL, 0}};
    struct lmi_http_cause out;
PPCODE:
    read_bytes(aTHX_ &ST(0), items, in, C_ARRAY_LENGTH(in));
    head.method = in[0];
    head.host = in[1];
    head.origin = in[2];
    head.sec_fetch_site = in[3];
    head.sec_fetch_dest = in[4];
    head.sec_purpose = in[5];
    head.purpose = in[6];
    head.x_purpose = in[7];
    head.x_moz = in[8];
    lmi_http_cause_read(&head, &out);
    EXTEND(SP, 4);
    PUSHs(boolSV(out.cross_site));
    PUSHs(boolSV(out.embedded));
    PUSHs(boolSV(out.passive));
    mPUSHs(scalar_of(aTHX_ out.purpose));

void
_program(...)
PREINIT:
    static const char *const forms[] = {"", "json", "xml"};
    struct lmi_bytes in[2]; /* target, Accept */
    struct lmi_http_head head = {.host = {NULL, 0}};
    struct lmi_http_program out;
PPCODE:
    read_bytes(aTHX_ &ST(0), items, in, C_ARRAY_LENGTH(in));
    head.target = in[0];
    head.accept = in[1];
    lmi_http_program_read(&head, &out);
    EXTEND(SP, 3);
    mPUSHs(string_or_undef(aTHX_ forms[out.form]));
    PUSHs(boolSV(out.login_only));
    PUSHs(boolSV(out.login));
