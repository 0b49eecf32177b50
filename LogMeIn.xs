#define PERL_NO_GET_CONTEXT
#include "EXTERN.h"
#include "perl.h"
#include "XSUB.h"

#include "csrc/logmein.h"

/*
 * Glue, and nothing but: arguments in, one call of the core, results out.
 * Nothing that must be released is held while Perl may croak.
 */

typedef struct {
    struct lmi *core;
} my_cxt_t;
#define MY_CXT_KEY "Cpanel::LogMeIn::_guts" XS_VERSION
START_MY_CXT

#define DETAIL "Cpanel::LogMeIn::detail"

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
free_core(pTHX_ void *unused)
{
    dMY_CXT;

    PERL_UNUSED_VAR(unused);
    lmi_free(MY_CXT.core);
    MY_CXT.core = NULL;
}

static struct lmi *
new_core(pTHX)
{
    struct lmi_err err;
    struct lmi *core;

    if (lmi_new(&core, &err) != LMI_OK) {
        set_fault(aTHX_ &err);
        croak("Cpanel::LogMeIn can't start: %" SVf, SVfARG(get_sv(DETAIL, 0)));
    }
    return core;
}

/*
 * The library handle of this interpreter. It is gone only while the
 * interpreter is being taken apart, when objects' DESTROY may still call.
 */
static struct lmi *
core_of(pTHX)
{
    dMY_CXT;

    if (MY_CXT.core == NULL)
        MY_CXT.core = new_core(aTHX);
    return MY_CXT.core;
}

/*
 * Tied and otherwise magical arguments become plain ones before any pointer is
 * taken: their code may do what it likes to the other arguments.
 */
static void
settle(pTHX_ SV **list, I32 count)
{
    I32 i;

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

static enum lmi_service
service_of(pTHX_ SV *sv)
{
    struct lmi_text text = text_of(aTHX_ sv);
    enum lmi_service service;

    if (!lmi_service_parse(&text, &service))
        croak("The service must be cpanel, whm or webmail.");
    return service;
}

/* Puts the value of a parameter where its name belongs; unknown ones pass. */
static void
set_parameter(pTHX_ struct lmi_login *ask, SV *name, SV *value)
{
    struct lmi_text key = text_of(aTHX_ name);
    struct {
        const char *name;
        struct lmi_text *place;
    } places[] = {
        {"user", &ask->user},
        {"pass", &ask->pass},
        {"hostname", &ask->hostname},
        {"service", &ask->service},
        {"goto_uri", &ask->goto_uri},
        {"active_token_for_reuse", &ask->active_token_for_reuse},
        {"remote_addr", &ask->remote_addr},
        {"tfa_token", &ask->tfa_token},
    };
    size_t i;

    if (key.kind != LMI_TEXT_LATIN1 && key.kind != LMI_TEXT_UTF8)
        return;
    for (i = 0; i < sizeof places / sizeof places[0]; i++)
        if (strlen(places[i].name) == key.len &&
            memEQ(places[i].name, key.ptr, key.len))
            *places[i].place = text_of(aTHX_ value);
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

/* Sessions: a pointer held by magic, so that no Perl code can forge it. */
static int
free_sessions(pTHX_ SV *sv, MAGIC *mg)
{
    PERL_UNUSED_CONTEXT;
    PERL_UNUSED_VAR(sv);
    lmi_sessions_close((struct lmi_sessions *)mg->mg_ptr);
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
 * The handle of an object, or, for a class, of one that lives until the call
 * is over. Opened when first needed; NULL, with err filled, if it can't be.
 */
static struct lmi_sessions *
sessions_of(pTHX_ SV *self, struct lmi_err *err)
{
    struct lmi_sessions *sessions;
    MAGIC *mg;

    if (!SvROK(self))
        self = new_sessions(aTHX_ "Cpanel::LogMeIn::Session");
    mg = mg_findext(SvRV(self), PERL_MAGIC_ext, &sessions_magic);
    if (mg == NULL)
        croak("This is no Cpanel::LogMeIn::Session object.");
    if (mg->mg_ptr == NULL) {
        if (lmi_sessions_open(core_of(aTHX), &sessions, err) != LMI_OK)
            return NULL;
        mg->mg_ptr = (char *)sessions;
    }
    return (struct lmi_sessions *)mg->mg_ptr;
}

/* The named arguments of the Session calls. */
struct arguments {
    struct lmi_text ticket, cookie, token;
    enum lmi_service service;
};

static struct arguments
arguments_of(pTHX_ SV **list, I32 count)
{
    struct arguments arguments;
    struct lmi_text key;
    bool has_service = FALSE;
    I32 i;

    Zero(&arguments, 1, struct arguments);
    if (count % 2 != 0)
        croak("The arguments must be pairs of a name and a value.");
    for (i = 0; i < count; i += 2) {
        key = text_of(aTHX_ list[i]);
        if (key.len == 6 && memEQ(key.ptr, "ticket", 6))
            arguments.ticket = text_of(aTHX_ list[i + 1]);
        else if (key.len == 6 && memEQ(key.ptr, "cookie", 6))
            arguments.cookie = text_of(aTHX_ list[i + 1]);
        else if (key.len == 5 && memEQ(key.ptr, "token", 5))
            arguments.token = text_of(aTHX_ list[i + 1]);
        else if (key.len == 7 && memEQ(key.ptr, "service", 7)) {
            arguments.service = service_of(aTHX_ list[i + 1]);
            has_service = TRUE;
        } else
            croak("There is no such argument; see the manual.");
    }
    if (!has_service)
        croak("The argument 'service' is missing.");
    return arguments;
}

static SV *
session_hash(pTHX_ const struct lmi_session *session, const char *cookie)
{
    HV *hash = newHV();
    SV *object = sv_2mortal(newRV_noinc((SV *)hash));

    (void)hv_stores(hash, "user", newSVpv(session->user, 0));
    (void)hv_stores(hash, "service",
                    newSVpv(lmi_service_name(session->service), 0));
    (void)hv_stores(hash, "token", newSVpv(session->token, 0));
    (void)hv_stores(hash, "id", newSVpv(session->id, 0));
    (void)hv_stores(hash, "created", newSVnv((NV)session->created));
    (void)hv_stores(hash, "ends", newSVnv((NV)session->ends));
    (void)hv_stores(hash, "last_seen", newSVnv((NV)session->last_seen));
    if (cookie != NULL)
        (void)hv_stores(hash, "cookie", newSVpv(cookie, 0));
    return object;
}

/* What a Session call found out. */
struct verdict {
    enum lmi_rc rc;
    enum lmi_outcome outcome;
    struct lmi_session session;
    char cookie[LMI_COOKIE_SIZE];
    struct lmi_err err;
};

enum call { CALL_REDEEM, CALL_CHECK, CALL_END };

static void
run(struct lmi_sessions *sessions, enum call call,
    const struct arguments *ask, struct verdict *out)
{
    if (call == CALL_REDEEM)
        out->rc = lmi_session_redeem(sessions, ask->ticket, ask->token,
                                     ask->service, &out->outcome, out->cookie,
                                     &out->session, &out->err);
    else if (call == CALL_CHECK)
        out->rc = lmi_session_check(sessions, ask->cookie, ask->token,
                                    ask->service, &out->outcome,
                                    &out->session, &out->err);
    else
        out->rc = lmi_session_end(sessions, ask->cookie, ask->token,
                                  ask->service, &out->outcome, &out->session,
                                  &out->err);
}

MODULE = Cpanel::LogMeIn    PACKAGE = Cpanel::LogMeIn

PROTOTYPES: DISABLE

BOOT:
{
    MY_CXT_INIT;
    MY_CXT.core = new_core(aTHX);
    call_atexit(free_core, NULL);
}

#ifdef USE_ITHREADS

void
CLONE(...)
CODE:
    MY_CXT_CLONE;
    PERL_UNUSED_VAR(items);
    MY_CXT.core = new_core(aTHX);

#endif

void
get_loggedin_url(...)
PREINIT:
    struct lmi_login ask;
    struct lmi_login_answer answer;
    const char *complaint;
    I32 i;
    bool in_list;
PPCODE:
    in_list = GIMME_V == G_ARRAY;
    settle(aTHX_ &ST(0), items);
    Zero(&ask, 1, struct lmi_login);
    complaint = list_complaint(aTHX_ items, items > 0 ? ST(0) : NULL);
    for (i = 0; complaint == NULL && i < items; i += 2)
        set_parameter(aTHX_ &ask, ST(i), ST(i + 1));
    if (complaint != NULL)
        lmi_login_answer_refuse(&answer, complaint);
    else
        lmi_login(core_of(aTHX), &ask, &answer);
    set_detail(aTHX_ answer.detail);
    EXTEND(SP, 4);
    mPUSHi(answer.login_ok ? 1 : 0);
    if (in_list) {
        mPUSHp(answer.message, strlen(answer.message));
        if (answer.login_ok) {
            mPUSHp(answer.url, strlen(answer.url));
            mPUSHp(answer.token, strlen(answer.token));
        } else {
            PUSHs(&PL_sv_undef);
            PUSHs(&PL_sv_undef);
        }
    }
    lmi_login_answer_wipe(&answer);

SV *
hash_password(pass, prefix = NULL, count = 0)
    struct lmi_text pass
    const char *prefix
    unsigned long count
PREINIT:
    char hash[LMI_HASH_SIZE];
    struct lmi_err err;
CODE:
    RETVAL = &PL_sv_undef;
    if (lmi_hash_password(core_of(aTHX), pass, prefix, count, hash, &err) ==
        LMI_OK)
        RETVAL = newSVpv(hash, 0);
    else
        set_fault(aTHX_ &err);
OUTPUT:
    RETVAL

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
    struct arguments ask;
    struct lmi_sessions *sessions;
    struct verdict verdict;
    const char *reason;
    SV *session;
PPCODE:
    settle(aTHX_ &ST(0), items);
    ask = arguments_of(aTHX_ &ST(1), items - 1);
    Zero(&verdict, 1, struct verdict);
    sessions = sessions_of(aTHX_ self, &verdict.err);
    verdict.rc = verdict.err.code;
    if (sessions != NULL)
        run(sessions, (enum call)ix, &ask, &verdict);
    if (verdict.rc != LMI_OK) {
        reason = "fault";
        set_fault(aTHX_ &verdict.err);
    } else {
        reason = lmi_outcome_name(verdict.outcome);
        set_detail(aTHX_ reason);
    }
    session = &PL_sv_undef;
    if (verdict.rc == LMI_OK && verdict.outcome == LMI_GRANTED)
        session = session_hash(aTHX_ &verdict.session,
                               ix == CALL_REDEEM ? verdict.cookie : NULL);
    lmi_wipe(&verdict, sizeof verdict);
    EXTEND(SP, 2);
    PUSHs(session);
    if (GIMME_V == G_ARRAY)
        mPUSHs(newSVpv(reason, 0));
