#include "smtp/greet.h"

#include "server/base/mask.h"
#include "server/base/secret.h"

#include <stdio.h>
#include <string.h>

enum {
    STEP_BANNER,
    STEP_EHLO,
    STEP_HELO,
    STEP_STARTTLS,
    STEP_HANDSHAKE,
    STEP_AUTH,
    STEP_CANCEL, /* of AUTH, whose challenge makes no sense */
    STEP_END,
    STEP_COUNT
};

struct step {
    enum smtp_stage stage;
    enum smtp_wait wait;
    void (*write)(struct greet *greet, struct buf *out);
    void (*reply)(struct greet *greet, const struct smtp_reply *reply);
};

/* Moves on; what the step says is written by greet_write. */
static void go(struct greet *greet, unsigned step)
{
    greet->step = step;
    greet->is_written = false;
    if (step == STEP_HANDSHAKE)
        greet->state = GREET_HANDSHAKE;
    else if (step == STEP_END)
        greet->state = GREET_READY;
    else
        greet->state = GREET_GOING;
}

static void fail(struct greet *greet, enum smtp_trouble trouble,
                 const char *words)
{
    finding_of_trouble(&greet->finding, greet_stage(greet), trouble, words);
    greet->state = GREET_FAILED;
}

static void fail_by(struct greet *greet, const struct smtp_reply *reply)
{
    if (reply->code < 400) {
        fail(greet, TROUBLE_PROTOCOL, "a code came that is none of this step");
        return;
    }
    finding_of_reply(&greet->finding, greet_stage(greet), reply);
    greet->state = GREET_FAILED;
}

static bool is_positive(const struct smtp_reply *reply)
{
    return reply->code < 300;
}

static void write_nothing(struct greet *greet, struct buf *out)
{
    (void)greet;
    (void)out;
}

static void reply_banner(struct greet *greet, const struct smtp_reply *reply)
{
    greet->has_banner = true;
    if (is_positive(reply))
        go(greet, STEP_EHLO);
    else
        fail_by(greet, reply);
}

static void write_ehlo(struct greet *greet, struct buf *out)
{
    buf_addf(out, "EHLO %s\r\n", greet->policy->hello_name);
}

static bool has_login(const struct auth_login *login)
{
    return login->username.len > 0 || login->has_token;
}

static void begin_auth(struct greet *greet)
{
    const struct greet_policy *policy = greet->policy;

    greet->step = STEP_AUTH;
    if (policy->auth == AUTH_NONE ||
        (policy->auth == AUTH_AUTO && !has_login(&policy->login))) {
        go(greet, STEP_END);
        return;
    }
    greet->terms = (struct auth_terms){
        .wanted = policy->auth,
        .offered = greet->offers.auth,
        .passed = policy->passed,
        .may_show = greet->is_secured || policy->auth_in_clear,
        .has_binding = greet->binding.len > 0,
    };
    greet->mechanism = auth_choose(&greet->terms, &policy->login);
    if (greet->mechanism == NULL) { /* what did not serve may do so now */
        greet->terms.passed = 0;
        greet->mechanism = auth_choose(&greet->terms, &policy->login);
    }
    if (greet->mechanism == NULL)
        fail(greet, TROUBLE_AUTH_MISSING,
             greet->offers.auth == 0
                 ? "the server offers no AUTH that is known here"
                 : "no AUTH mechanism is both offered and allowed");
    else if (auth_needs_token(greet->mechanism))
        greet->state = GREET_TOKEN;
    else
        go(greet, STEP_AUTH);
}

/* What the offers ask for next. */
static void proceed(struct greet *greet)
{
    bool wants_tls = greet->policy->tls == TLS_STARTTLS ||
                     (greet->policy->tls == TLS_OPPORTUNISTIC &&
                      greet->offers.starttls && !greet->tls_declined);

    if (greet->is_secured || !wants_tls) {
        begin_auth(greet);
        return;
    }
    go(greet, STEP_STARTTLS);
    if (!greet->offers.starttls)
        fail(greet, TROUBLE_TLS_MISSING, "the server offers no STARTTLS");
}

/* "Command unknown" in its four forms: an old server, which HELO suits. */
static bool knows_no_ehlo(const struct smtp_reply *reply)
{
    return reply->code >= 500 && reply->code <= 504;
}

static void reply_ehlo(struct greet *greet, const struct smtp_reply *reply)
{
    if (is_positive(reply)) {
        ehlo_read(reply, &greet->offers);
        proceed(greet);
    } else if (knows_no_ehlo(reply)) {
        go(greet, STEP_HELO);
    } else {
        fail_by(greet, reply);
    }
}

static void write_helo(struct greet *greet, struct buf *out)
{
    buf_addf(out, "HELO %s\r\n", greet->policy->hello_name);
}

static void reply_helo(struct greet *greet, const struct smtp_reply *reply)
{
    greet->offers = (struct smtp_offers){0};
    if (is_positive(reply))
        proceed(greet);
    else
        fail_by(greet, reply);
}

static void write_starttls(struct greet *greet, struct buf *out)
{
    (void)greet;
    buf_add_cstr(out, "STARTTLS\r\n");
}

static void reply_starttls(struct greet *greet, const struct smtp_reply *reply)
{
    if (is_positive(reply)) {
        go(greet, STEP_HANDSHAKE);
    } else if (greet->policy->tls == TLS_OPPORTUNISTIC) {
        greet->tls_declined = true;
        begin_auth(greet);
    } else {
        fail_by(greet, reply);
    }
}

static void write_auth(struct greet *greet, struct buf *out)
{
    auth_begin(&greet->auth, greet->mechanism, &greet->terms, &greet->login,
               &greet->binding, greet->nonce, out);
}

static void fail_by_forgery(struct greet *greet)
{
    fail(greet, TROUBLE_AUTH_FORGED,
         "the server did not prove that it knows the password");
}

/* A star ends the exchange when there is no answer (RFC 4954 section 4). */
static void answer_challenge(struct greet *greet,
                             const struct smtp_reply *reply)
{
    switch (auth_answer(&greet->auth, reply->lines, greet->out)) {
    case AUTH_ANSWERED:
        break;
    case AUTH_NEEDS_KEYS:
        greet->state = GREET_KEYS;
        break;
    case AUTH_STUCK:
        go(greet, STEP_CANCEL);
        break;
    case AUTH_FORGED:
        fail_by_forgery(greet);
        break;
    }
}

static void drop_token(struct greet *greet)
{
    if (greet->token.data != NULL)
        secret_wipe(greet->token.data, greet->token.cap);
    buf_finish(&greet->token);
    greet->login.token = S("");
}

/* What the server said in the challenge before goes behind its words. */
static void add_status(struct greet *greet)
{
    char *text = greet->finding.text;
    size_t len = strlen(text);

    if (greet->auth.status[0] != '\0' &&
        len + sizeof " (status )" + AUTH_STATUS_SIZE <=
            sizeof greet->finding.text)
        snprintf(text + len, sizeof greet->finding.text - len, " (status %s)",
                 greet->auth.status);
}

/* What comes next may show the password: to a server whose certificate was
 * looked at, as a server that offers PLAIN alone would get it, too. */
static const struct auth_mechanism *next_best(struct greet *greet)
{
    const struct greet_policy *policy = greet->policy;

    if (policy->auth != AUTH_AUTO || !greet->is_secured ||
        policy->tls == TLS_OPPORTUNISTIC || !auth_is_unfit(&greet->auth))
        return NULL;
    greet->terms.passed |= auth_offer(greet->mechanism);
    return auth_choose(&greet->terms, &policy->login);
}

/* The first token that is refused may have been too old. */
static void fail_auth(struct greet *greet, const struct smtp_reply *reply)
{
    const struct auth_mechanism *next =
        reply->code == 535 ? next_best(greet) : NULL;

    if (next != NULL) {
        greet->mechanism = next;
        go(greet, STEP_AUTH);
        return;
    }
    fail_by(greet, reply);
    add_status(greet);
    if (reply->code != 535 || greet->is_refused ||
        !auth_needs_token(greet->mechanism))
        return;
    greet->is_refused = true;
    greet->state = GREET_TOKEN;
}

static void reply_auth(struct greet *greet, const struct smtp_reply *reply)
{
    if (reply->code == 235 && auth_may_end(&greet->auth)) {
        drop_token(greet);
        go(greet, STEP_END);
    } else if (reply->code == 235) {
        fail_by_forgery(greet);
    } else if (reply->code == 334) {
        answer_challenge(greet, reply);
    } else {
        fail_auth(greet, reply);
    }
}

static void write_cancel(struct greet *greet, struct buf *out)
{
    (void)greet;
    buf_add_cstr(out, "*\r\n");
}

static void reply_cancel(struct greet *greet, const struct smtp_reply *reply)
{
    (void)reply;
    fail(greet, TROUBLE_AUTH_CHALLENGE, greet->auth.why);
}

static const struct step STEPS[STEP_COUNT] = {
    [STEP_BANNER] = {SMTP_STAGE_BANNER, WAIT_BANNER, write_nothing,
                     reply_banner},
    [STEP_EHLO] = {SMTP_STAGE_EHLO, WAIT_COMMAND, write_ehlo, reply_ehlo},
    [STEP_HELO] = {SMTP_STAGE_EHLO, WAIT_COMMAND, write_helo, reply_helo},
    [STEP_STARTTLS] = {SMTP_STAGE_STARTTLS, WAIT_COMMAND, write_starttls,
                       reply_starttls},
    [STEP_HANDSHAKE] = {SMTP_STAGE_TLS, WAIT_HANDSHAKE, write_nothing, NULL},
    [STEP_AUTH] = {SMTP_STAGE_AUTH, WAIT_COMMAND, write_auth, reply_auth},
    [STEP_CANCEL] = {SMTP_STAGE_AUTH, WAIT_COMMAND, write_cancel, reply_cancel},
    [STEP_END] = {SMTP_STAGE_EHLO, WAIT_IDLE, write_nothing, NULL},
};

void greet_init(struct greet *greet, const struct greet_policy *policy,
                const char *nonce)
{
    *greet = (struct greet){.policy = policy, .login = policy->login};
    buf_init(&greet->token, TOKEN_MAX);
    snprintf(greet->nonce, sizeof greet->nonce, "%s", nonce);
    go(greet, policy->tls == TLS_IMPLICIT ? STEP_HANDSHAKE : STEP_BANNER);
}

void greet_finish(struct greet *greet)
{
    auth_finish(&greet->auth);
    drop_token(greet);
}

void greet_write(struct greet *greet, struct buf *out)
{
    if (greet->state != GREET_GOING || greet->is_written)
        return;
    greet->is_written = true;
    STEPS[greet->step].write(greet, out);
}

bool greet_reply(struct greet *greet, const struct smtp_reply *reply,
                 struct buf *out)
{
    CHECK(reply->code >= 200 && reply->code <= 599); /* reply.c saw to it */
    if (greet->state != GREET_GOING || !greet->is_written)
        return false;
    greet->out = out;
    STEPS[greet->step].reply(greet, reply);
    greet->out = NULL;
    greet_write(greet, out);
    return true;
}

void greet_hide_login(const struct greet *greet, struct smtp_reply *reply,
                      struct buf *masked)
{
    if (reply->code < 400 && reply->code != 235)
        return;
    if (auth_is_quoted(&greet->auth, reply->lines))
        reply->lines = S("the reply quotes the login, and is not shown");
    if (greet->login.token.len == 0)
        return;
    mask_tokens(reply->lines, masked);
    reply->lines = buf_str(masked);
}

void greet_secured(struct greet *greet, const struct tls_binding *binding)
{
    CHECK(greet->state == GREET_HANDSHAKE);
    greet->is_secured = true;
    if (binding != NULL)
        greet->binding = *binding;
    greet->offers = (struct smtp_offers){0}; /* RFC 3207 section 4.2 */
    go(greet, greet->has_banner ? STEP_EHLO : STEP_BANNER);
}

const struct scram_recipe *greet_recipe(const struct greet *greet)
{
    CHECK(greet->state == GREET_KEYS);
    return &greet->auth.scram.recipe;
}

void greet_take_keys(struct greet *greet, const struct scram_keys *keys,
                     struct buf *out)
{
    CHECK(greet->state == GREET_KEYS);
    greet->state = GREET_GOING;
    auth_take_keys(&greet->auth, keys, out);
}

struct str greet_refused_token(const struct greet *greet)
{
    CHECK(greet->state == GREET_TOKEN);
    return greet->is_refused ? buf_str(&greet->token) : S("");
}

void greet_take_token(struct greet *greet, struct str token, struct buf *out)
{
    CHECK(greet->state == GREET_TOKEN);
    if (greet->is_refused && str_eq(token, buf_str(&greet->token))) {
        greet->state = GREET_FAILED;
        return;
    }
    drop_token(greet);
    buf_add(&greet->token, token);
    CHECK(!greet->token.full); /* token.c saw to it */
    greet->login.token = buf_str(&greet->token);
    go(greet, STEP_AUTH);
    greet_write(greet, out);
}

/* After a refusal that is what the operator needs to know. */
void greet_lack_token(struct greet *greet, const char *why)
{
    CHECK(greet->state == GREET_TOKEN);
    if (greet->is_refused)
        greet->state = GREET_FAILED;
    else
        fail(greet, TROUBLE_AUTH_TOKEN, why);
}

enum smtp_stage greet_stage(const struct greet *greet)
{
    return STEPS[greet->step].stage;
}

enum smtp_wait greet_wait(const struct greet *greet)
{
    return STEPS[greet->step].wait;
}
