#include "smtp/inbox_session.h"

#include "server/base/arena.h"
#include "server/base/codec.h"
#include "server/base/mem.h"
#include "server/base/secret.h"
#include "smtp/inbox_body.h"
#include "smtp/inbox_path.h"

#include <stdlib.h>
#include <string.h>

enum {
    RCPT_MAX = 100, /* RFC 5321 section 4.5.3.1.8 wants as many */
    WORD_MAX = 255, /* of hello and username */
    ERRORS_MAX = 20,
};

/* What may come next. */
enum state {
    STATE_NEW,   /* no hello yet */
    STATE_READY, /* no transaction */
    STATE_MAIL,  /* a sender */
    STATE_RCPT,  /* and a recipient */
    STATE_DATA,  /* in a mail */
    STATE_DONE,  /* a mail waits for its answer */
    STATE_AUTH_PLAIN,
    STATE_AUTH_USERNAME,
    STATE_AUTH_PASSWORD,
};

struct inbox_session {
    const struct inbox_policy *policy;
    enum state state;
    struct inbox_body body; /* while in STATE_DATA */
    bool tls;
    unsigned errors;
    char hello[WORD_MAX + 1];
    char username[WORD_MAX + 1];
    bool authenticated;

    struct arena *arena; /* of the transaction */
    bool smtputf8;
    struct str mail_from;
    struct str *rcpt_to; /* RCPT_MAX of them */
    size_t rcpt_count;
    struct buf mail;
};

typedef enum inbox_event (*verb_fn)(struct inbox_session *session,
                                    struct str args, struct buf *out);

/* --- replies --- */

static enum inbox_event say(struct buf *out, const char *reply)
{
    buf_add_cstr(out, reply);
    buf_add(out, S("\r\n"));
    return INBOX_ON;
}

/* A client that errs on and on is none. */
static enum inbox_event refuse(struct inbox_session *session, struct buf *out,
                               const char *reply)
{
    say(out, reply);
    if (++session->errors < ERRORS_MAX)
        return INBOX_ON;
    say(out, "421 4.7.0 too many errors");
    return INBOX_CLOSE;
}

void inbox_session_greet(struct inbox_session *session, struct buf *out)
{
    buf_addf(out, "220 %.*s ESMTP captures mail, delivers none\r\n",
             STR_ARG(session->policy->name));
}

void inbox_session_time_out(struct buf *out)
{
    say(out, "421 4.4.2 silent for too long");
}

/* --- transactions --- */

static void transaction_end(struct inbox_session *session)
{
    arena_destroy(&session->arena);
    session->smtputf8 = false;
    session->mail_from = S("");
    session->rcpt_to = NULL;
    session->rcpt_count = 0;
    buf_finish(&session->mail);
    buf_init(&session->mail, session->policy->mail_max);
    if (session->state != STATE_NEW)
        session->state = STATE_READY;
}

static void transaction_begin(struct inbox_session *session, struct str from,
                              bool smtputf8)
{
    session->arena = arena_create();
    session->smtputf8 = smtputf8;
    session->mail_from = arena_copy(session->arena, from);
    session->rcpt_to = ARENA_ARRAY(session->arena, struct str, RCPT_MAX);
    session->state = STATE_MAIL;
}

struct inbox_session *inbox_session_create(const struct inbox_policy *policy,
                                           bool tls)
{
    struct inbox_session *session = xcalloc(1, sizeof *session);

    CHECK(policy->name.len <= WORD_MAX);
    session->policy = policy;
    session->tls = tls;
    buf_init(&session->mail, policy->mail_max);
    return session;
}

void inbox_session_destroy(struct inbox_session **session)
{
    if (*session == NULL)
        return;
    arena_destroy(&(*session)->arena);
    buf_finish(&(*session)->mail);
    free(*session);
    *session = NULL;
}

void inbox_session_secured(struct inbox_session *session)
{
    session->state = STATE_NEW;
    transaction_end(session);
    session->tls = true;
    session->authenticated = false;
    session->hello[0] = '\0';
    session->username[0] = '\0';
}

void inbox_session_envelope(const struct inbox_session *session,
                            struct inbox_envelope *envelope)
{
    CHECK(session->state == STATE_DONE);
    *envelope = (struct inbox_envelope){
        .hello = str_of(session->hello),
        .username = str_of(session->username),
        .tls = session->tls,
        .smtputf8 = session->smtputf8,
        .mail_from = session->mail_from,
        .rcpt_to = session->rcpt_to,
        .rcpt_count = session->rcpt_count,
    };
}

struct buf *inbox_session_mail(struct inbox_session *session)
{
    CHECK(session->state == STATE_DONE);
    return &session->mail;
}

void inbox_session_answer(struct inbox_session *session,
                          unsigned long long number, struct buf *out)
{
    CHECK(session->state == STATE_DONE);
    if (number == 0)
        say(out, "452 4.3.1 no room for it now");
    else
        buf_addf(out, "250 2.0.0 captured as %llu\r\n", number);
    transaction_end(session);
}

/* --- parameters --- */

/* "FROM:" or "TO:" off the front. */
static bool take_keyword(struct str *args, struct str keyword)
{
    if (!str_starts_nocase(*args, keyword))
        return false;
    *args = str_from(*args, keyword.len);
    return true;
}

/* NULL: fine; else the refusal. */
static const char *take_param(struct inbox_session *session, struct str keyword,
                              struct str value, bool *smtputf8)
{
    uint64_t size;

    if (str_eq_nocase(keyword, S("SIZE"))) {
        if (!str_to_u64(value, &size))
            return "501 5.5.4 SIZE wants a number";
        return size > session->policy->mail_max ? "552 5.3.4 mail too large"
                                                : NULL;
    }
    if (str_eq_nocase(keyword, S("BODY")))
        return str_eq_nocase(value, S("7BIT")) ||
                       str_eq_nocase(value, S("8BITMIME"))
                   ? NULL
                   : "501 5.5.4 BODY is 7BIT or 8BITMIME";
    if (str_eq_nocase(keyword, S("SMTPUTF8"))) {
        *smtputf8 = true;
        return value.len == 0 ? NULL : "501 5.5.4 SMTPUTF8 takes no value";
    }
    if (str_eq_nocase(keyword, S("AUTH")))
        return NULL; /* RFC 4954 section 5: may be ignored */
    return "555 5.5.4 parameter not supported";
}

static const char *take_params(struct inbox_session *session, struct str args,
                               bool *smtputf8)
{
    const char *refusal = NULL;
    struct str word;
    ptrdiff_t equals;

    while (refusal == NULL && str_cut(&args, ' ', &word)) {
        if (word.len == 0)
            continue;
        equals = str_index(word, '=', 0);
        if (equals < 0)
            equals = (ptrdiff_t)word.len;
        refusal = take_param(session, str_slice(word, 0, (size_t)equals),
                             str_from(word, (size_t)equals + 1), smtputf8);
    }
    return refusal;
}

static const char *judge_address(struct str address, bool smtputf8)
{
    if (!inbox_is_mailbox(address))
        return "501 5.1.3 not an address";
    if (utf8_is_ascii(address))
        return NULL;
    if (!smtputf8)
        return "553 5.6.7 address needs SMTPUTF8";
    return utf8_is_valid(address) ? NULL : "501 5.1.3 address is not UTF-8";
}

/* --- verbs --- */

/* Begins anew under that name. False: it is none. */
static bool hello(struct inbox_session *session, struct str args)
{
    args = str_trim(args);
    if (args.len == 0 || args.len > WORD_MAX)
        return false;
    session->state = STATE_READY;
    transaction_end(session);
    memcpy(session->hello, args.ptr, args.len);
    session->hello[args.len] = '\0';
    return true;
}

static enum inbox_event verb_helo(struct inbox_session *session,
                                  struct str args, struct buf *out)
{
    if (!hello(session, args))
        return refuse(session, out, "501 5.5.4 say who you are");
    buf_addf(out, "250 %.*s\r\n", STR_ARG(session->policy->name));
    return INBOX_ON;
}

static enum inbox_event verb_ehlo(struct inbox_session *session,
                                  struct str args, struct buf *out)
{
    if (!hello(session, args))
        return refuse(session, out, "501 5.5.4 say who you are");
    buf_addf(out,
             "250-%.*s\r\n250-PIPELINING\r\n250-SIZE %zu\r\n250-8BITMIME\r\n",
             STR_ARG(session->policy->name), session->policy->mail_max);
    if (session->policy->offers_tls && !session->tls)
        say(out, "250-STARTTLS");
    if (!session->authenticated)
        say(out, "250-AUTH PLAIN LOGIN");
    say(out, "250-SMTPUTF8");
    return say(out, "250 ENHANCEDSTATUSCODES");
}

static enum inbox_event verb_starttls(struct inbox_session *session,
                                      struct str args, struct buf *out)
{
    (void)args;
    if (!session->policy->offers_tls)
        return refuse(session, out, "502 5.5.1 no TLS here");
    if (session->tls)
        return refuse(session, out, "503 5.5.1 TLS is active");
    say(out, "220 2.0.0 begin TLS");
    return INBOX_START_TLS;
}

static enum inbox_event verb_mail(struct inbox_session *session,
                                  struct str args, struct buf *out)
{
    const char *refusal;
    bool smtputf8 = false;
    struct str from;

    if (session->policy->demands_auth && !session->authenticated)
        return refuse(session, out, "530 5.7.0 authentication required");
    if (!take_keyword(&args, S("FROM:")) || !inbox_take_path(&args, &from))
        return refuse(session, out, "501 5.5.4 MAIL FROM:<address>");
    refusal = take_params(session, args, &smtputf8);
    if (refusal == NULL && from.len > 0)
        refusal = judge_address(from, smtputf8);
    if (refusal != NULL)
        return refuse(session, out, refusal);
    transaction_begin(session, from, smtputf8);
    return say(out, "250 2.1.0 sender noted");
}

static enum inbox_event verb_rcpt(struct inbox_session *session,
                                  struct str args, struct buf *out)
{
    const char *refusal;
    struct str to;

    if (!take_keyword(&args, S("TO:")) || !inbox_take_path(&args, &to))
        return refuse(session, out, "501 5.5.4 RCPT TO:<address>");
    if (str_trim(args).len > 0)
        return refuse(session, out, "555 5.5.4 parameter not supported");
    refusal = str_eq_nocase(to, S("postmaster"))
                  ? NULL /* RFC 5321 section 4.5.1 */
                  : judge_address(to, session->smtputf8);
    if (refusal != NULL)
        return refuse(session, out, refusal);
    if (session->rcpt_count == RCPT_MAX)
        return refuse(session, out, "452 4.5.3 too many recipients");
    session->rcpt_to[session->rcpt_count++] = arena_copy(session->arena, to);
    session->state = STATE_RCPT;
    return say(out, "250 2.1.5 recipient noted");
}

static enum inbox_event verb_data(struct inbox_session *session,
                                  struct str args, struct buf *out)
{
    (void)args;
    session->state = STATE_DATA;
    inbox_body_init(&session->body, &session->mail);
    return say(out, "354 go on, end with a dot");
}

static enum inbox_event verb_rset(struct inbox_session *session,
                                  struct str args, struct buf *out)
{
    (void)args;
    transaction_end(session);
    return say(out, "250 2.0.0 forgotten");
}

static enum inbox_event verb_noop(struct inbox_session *session,
                                  struct str args, struct buf *out)
{
    (void)session;
    (void)args;
    return say(out, "250 2.0.0 nothing done");
}

static enum inbox_event verb_vrfy(struct inbox_session *session,
                                  struct str args, struct buf *out)
{
    (void)session;
    (void)args;
    return say(out, "252 2.5.2 send it and see");
}

static enum inbox_event verb_quit(struct inbox_session *session,
                                  struct str args, struct buf *out)
{
    (void)session;
    (void)args;
    say(out, "221 2.0.0 bye");
    return INBOX_CLOSE;
}

/* --- AUTH --- */

static bool is_right_pair(const struct inbox_policy *policy,
                          struct str username, struct str password)
{
    bool name_fits;
    bool password_fits;

    if (policy->username.len == 0)
        return true;
    name_fits = secret_equal(username, policy->username);
    password_fits = secret_equal(password, policy->password);
    return name_fits && password_fits;
}

static enum inbox_event login(struct inbox_session *session,
                              struct str username, struct str password,
                              struct buf *out)
{
    session->state = STATE_READY;
    if (username.len == 0 || username.len > WORD_MAX ||
        str_has_control(username) ||
        !is_right_pair(session->policy, username, password)) {
        session->username[0] = '\0';
        return refuse(session, out, "535 5.7.8 wrong username or password");
    }
    session->authenticated = true;
    memmove(session->username, username.ptr, username.len);
    session->username[username.len] = '\0';
    return say(out, "235 2.7.0 welcome");
}

/* authzid NUL authcid NUL password (RFC 4616). */
static enum inbox_event auth_plain(struct inbox_session *session,
                                   struct str secret, struct buf *out)
{
    struct str username = S("");
    struct str authzid;

    str_cut(&secret, '\0', &authzid);
    str_cut(&secret, '\0', &username);
    return login(session, username, secret, out);
}

static enum inbox_event auth_username(struct inbox_session *session,
                                      struct str username, struct buf *out)
{
    if (username.len > WORD_MAX || str_has_control(username))
        username = S(""); /* refused behind the password */
    if (username.len > 0)
        memcpy(session->username, username.ptr, username.len);
    session->username[username.len] = '\0';
    session->state = STATE_AUTH_PASSWORD;
    return say(out, "334 UGFzc3dvcmQ6"); /* "Password:" */
}

/* A response in base64; "=" stands for an empty one (RFC 4954 section 4). */
static enum inbox_event auth_response(struct inbox_session *session,
                                      struct str line, struct buf *out)
{
    enum state state = session->state;
    enum inbox_event event;
    struct buf plain;

    session->state = STATE_READY;
    if (str_eq(line, S("*")))
        return refuse(session, out, "501 5.7.0 authentication canceled");
    buf_init(&plain, INBOX_LINE_MAX);
    if (!str_eq(line, S("=")) && !codec_base64_decode(line, &plain))
        event = refuse(session, out, "501 5.5.2 not base64");
    else if (state == STATE_AUTH_PLAIN)
        event = auth_plain(session, buf_str(&plain), out);
    else if (state == STATE_AUTH_USERNAME)
        event = auth_username(session, buf_str(&plain), out);
    else
        event = login(session, str_of(session->username), buf_str(&plain), out);
    if (plain.data != NULL)
        secret_wipe(plain.data, plain.cap);
    buf_finish(&plain);
    return event;
}

static enum inbox_event verb_auth(struct inbox_session *session,
                                  struct str args, struct buf *out)
{
    struct str mechanism = S("");

    str_cut(&args, ' ', &mechanism);
    args = str_trim(args);
    if (session->authenticated)
        return refuse(session, out, "503 5.5.1 authenticated already");
    if (str_eq_nocase(mechanism, S("PLAIN")))
        session->state = STATE_AUTH_PLAIN;
    else if (str_eq_nocase(mechanism, S("LOGIN")))
        session->state = STATE_AUTH_USERNAME;
    else
        return refuse(session, out, "504 5.5.4 PLAIN or LOGIN");
    if (args.len > 0)
        return auth_response(session, args, out);
    return say(out, session->state == STATE_AUTH_PLAIN
                        ? "334 "
                        : "334 VXNlcm5hbWU6"); /* "Username:" */
}

/* --- command lines --- */

#define IN(state) (1U << STATE_##state)
enum { ANYWHERE = IN(NEW) | IN(READY) | IN(MAIL) | IN(RCPT) };

static const struct verb {
    struct str name;
    unsigned states; /* in which it makes sense */
    bool bare;       /* takes no argument */
    verb_fn run;
} VERBS[] = {
    {STR("HELO"), ANYWHERE, false, verb_helo},
    {STR("EHLO"), ANYWHERE, false, verb_ehlo},
    {STR("STARTTLS"), IN(READY), true, verb_starttls},
    {STR("AUTH"), IN(READY), false, verb_auth},
    {STR("MAIL"), IN(READY), false, verb_mail},
    {STR("RCPT"), IN(MAIL) | IN(RCPT), false, verb_rcpt},
    {STR("DATA"), IN(RCPT), true, verb_data},
    {STR("RSET"), ANYWHERE, true, verb_rset},
    {STR("NOOP"), ANYWHERE, false, verb_noop},
    {STR("VRFY"), ANYWHERE, false, verb_vrfy},
    {STR("QUIT"), ANYWHERE, true, verb_quit},
};

static const struct verb *verb_find(struct str name)
{
    for (size_t i = 0; i < COUNT_OF(VERBS); i++)
        if (str_eq_nocase(name, VERBS[i].name))
            return &VERBS[i];
    return NULL;
}

static enum inbox_event command(struct inbox_session *session, struct str line,
                                struct buf *out)
{
    struct str args = line;
    struct str name = S("");
    const struct verb *verb;

    if (session->state >= STATE_AUTH_PLAIN)
        return auth_response(session, line, out);
    if (str_has_control(line))
        return refuse(session, out, "500 5.5.2 control character in a command");
    str_cut(&args, ' ', &name);
    verb = verb_find(name);
    if (verb == NULL)
        return refuse(session, out, "500 5.5.1 command not known");
    if (!(verb->states & (1U << session->state)))
        return refuse(session, out,
                      session->state == STATE_NEW ? "503 5.5.1 say EHLO first"
                                                  : "503 5.5.1 not now");
    if (verb->bare && str_trim(args).len > 0)
        return refuse(session, out, "501 5.5.4 takes no argument");
    return verb->run(session, args, out);
}

static enum inbox_event take_line(struct inbox_session *session,
                                  struct str *rest, struct buf *out)
{
    ptrdiff_t end = str_index(*rest, '\n', 0);
    struct str line;

    if (end >= INBOX_LINE_MAX || (end < 0 && rest->len >= INBOX_LINE_MAX)) {
        say(out, "500 5.5.2 line too long");
        return INBOX_CLOSE;
    }
    if (end < 0)
        return INBOX_HUNGRY;
    line = str_slice(*rest, 0, (size_t)end);
    *rest = str_from(*rest, (size_t)end + 1);
    if (!str_ends(line, S("\r"))) {
        if (session->state >= STATE_AUTH_PLAIN)
            session->state = STATE_READY;
        return refuse(session, out, "500 5.5.2 lines end in CRLF");
    }
    return command(session, str_slice(line, 0, line.len - 1), out);
}

/* --- mails --- */

static enum inbox_event take_mail(struct inbox_session *session,
                                  struct str *rest, struct buf *out)
{
    if (!inbox_body_take(&session->body, rest))
        return INBOX_HUNGRY;
    session->state = STATE_DONE;
    if (!session->mail.full)
        return INBOX_MAIL;
    transaction_end(session);
    return refuse(session, out, "552 5.3.4 mail too large");
}

enum inbox_event inbox_session_step(struct inbox_session *session,
                                    struct str *rest, struct buf *out)
{
    CHECK(session->state != STATE_DONE);
    if (session->state == STATE_DATA)
        return take_mail(session, rest, out);
    return take_line(session, rest, out);
}
