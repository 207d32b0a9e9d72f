/* The client's side of a session against a server that says anything: the
 * reply parser, the greeting, transactions and verdicts, as conn.c moves them.
 *
 * Input: a byte of flags, a byte with the size of the pieces, then what the
 * server says. */
#include "smtp/greet.h"
#include "smtp/txn.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    FLAG_TLS = 3, /* two bits: an enum config_tls */
    FLAG_LOGIN = 4,
    FLAG_UTF8 = 8,
    FLAG_NO_DOT = 16, /* the mark is never answered */
    FLAG_AUTH = 96,   /* two bits */
};

enum { OUT_MAX = 4096, MAILS_MAX = 8 };

static const struct txn_envelope ENVELOPE = {
    .mail_from = STR("a@me.example"),
    .rcpt_to = STR("b@you.example"),
    .message = STR("Subject: x\r\n\r\n.\r\nHi"),
};
static const struct str WIRE_MESSAGE = STR("Subject: x\r\n\r\n..\r\nHi\r\n");

struct client {
    unsigned flags;
    struct reply_parser parser;
    struct greet greet;
    struct txn txn;
    unsigned mails;
    bool is_carrying;
    bool is_over;
    struct buf out;
};

static void begin_mail(struct client *client)
{
    struct txn_envelope envelope = ENVELOPE;

    envelope.needs_smtputf8 = (client->flags & FLAG_UTF8) != 0;
    buf_clear(&client->out);
    txn_init(&client->txn, &envelope, &client->greet.offers);
    client->is_carrying = true;
    client->is_over = ++client->mails > MAILS_MAX;
}

/* What holds for every mail that is told of, whatever the server said. */
static void check_outcome(const struct client *client)
{
    struct smtp_ruling ruling = smtp_judge(&client->txn.finding);
    struct str wire = buf_str(&client->out);

    if (ruling.verdict == SMTP_SENT || ruling.verdict == SMTP_UNKNOWN)
        CHECK(client->txn.is_dotted);
    if (client->txn.is_dotted) {
        CHECK(str_contains(wire, WIRE_MESSAGE));
        CHECK((ruling.then & (THEN_NEXT | THEN_AGAIN)) == 0);
    }
    if (ruling.suppress)
        CHECK(ruling.verdict == SMTP_HARD);
    CHECK(!str_has_control(str_of(client->txn.finding.text)));
}

static void check_wire(const struct client *client)
{
    struct str wire = buf_str(&client->out);

    CHECK(!client->out.full);
    CHECK(wire.len == 0 || str_ends(wire, S("\r\n")) || client->txn.data_open);
}

static void pump(struct client *client)
{
    struct txn *txn = &client->txn;

    txn_write(txn, &client->out, OUT_MAX / 2);
    if (txn_awaits_dot(txn) && (client->flags & FLAG_NO_DOT) == 0) {
        txn_allow_dot(txn);
        txn_write(txn, &client->out, OUT_MAX / 2);
    }
    check_wire(client);
    if (txn_is_settled(txn))
        check_outcome(client);
    if (!txn_is_over(txn))
        return;
    if (txn->must_close)
        client->is_over = true;
    else
        begin_mail(client);
}

static void follow_greet(struct client *client)
{
    struct greet *greet = &client->greet;

    if (greet->state == GREET_HANDSHAKE) {
        greet_secured(greet);
        greet_write(greet, &client->out);
    }
    check_wire(client);
    if (greet->state == GREET_FAILED) {
        (void)smtp_judge(&greet->finding);
        client->is_over = true;
    } else if (greet->state == GREET_READY) {
        begin_mail(client);
    }
}

static void take_reply(struct client *client, const struct smtp_reply *reply)
{
    if (!client->is_carrying) {
        client->is_over = !greet_reply(&client->greet, reply, &client->out);
        follow_greet(client);
    } else {
        client->is_over = !txn_reply(&client->txn, reply);
    }
    while (client->is_carrying && !client->is_over) {
        unsigned mails = client->mails;

        pump(client);
        if (mails == client->mails)
            break;
    }
}

/* All the server said and no more will come. */
static void lose(struct client *client)
{
    struct smtp_finding finding;

    if (!client->is_carrying || client->txn.is_decided)
        return;
    finding_of_trouble(&finding, txn_stage(&client->txn), TROUBLE_LOST, "x");
    CHECK(smtp_judge(&finding).verdict ==
          (client->txn.is_dotted ? SMTP_UNKNOWN : SMTP_SOFT));
}

static void run(struct client *client, struct str said, size_t piece)
{
    struct smtp_reply reply;

    while (!client->is_over && said.len > 0) {
        struct str input = str_slice(said, 0, piece);
        enum reply_status status = REPLY_WHOLE;

        said = str_from(said, input.len);
        while (!client->is_over && status == REPLY_WHOLE && input.len > 0) {
            status = reply_parse(&client->parser, &input, &reply);
            if (status == REPLY_BAD)
                return;
            if (status == REPLY_WHOLE)
                take_reply(client, &reply);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum config_auth AUTHS[] = {AUTH_AUTO, AUTH_PLAIN, AUTH_LOGIN,
                                             AUTH_CRAM_MD5};
    struct greet_policy policy = {.hello_name = "me.example",
                                  .auth_in_clear = true};
    struct client client = {0};

    if (size < 2)
        return 0;
    client.flags = data[0];
    policy.tls = (enum config_tls)(data[0] & FLAG_TLS);
    policy.auth = AUTHS[(data[0] & FLAG_AUTH) / 32];
    if ((data[0] & FLAG_LOGIN) != 0)
        policy.login = (struct auth_login){S("joe"), S("sesame")};
    buf_init(&client.out, OUT_MAX);
    reply_parser_init(&client.parser);
    greet_init(&client.greet, &policy);
    follow_greet(&client);
    greet_write(&client.greet, &client.out);
    run(&client, str_make(data + 2, size - 2), (size_t)data[1] + 1);
    lose(&client);
    reply_parser_finish(&client.parser);
    buf_finish(&client.out);
    return 0;
}
