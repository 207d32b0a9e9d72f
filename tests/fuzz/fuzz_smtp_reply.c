/* The client's side of a session against a server that says anything: the
 * reply parser, the greeting, transactions and verdicts, as conn.c moves them.
 *
 * Input: a byte of flags, a byte with the size of the pieces, then what the
 * server says. */
#include "smtp/greet.h"
#include "smtp/txn.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    FLAG_TLS = 3, /* two bits: an enum config_tls */
    FLAG_LOGIN = 4,
    FLAG_UTF8 = 8,    /* and no second token */
    FLAG_NO_DOT = 16, /* the mark is never answered */
    FLAG_AUTH = 96,   /* two bits */
    FLAG_PAIRS = 128, /* the next mail goes behind the dot */
};

enum { OUT_MAX = 8192, MAILS_MAX = 8, LARGE = TXN_ONE_CHUNK_MAX + 2 };

static const struct txn_envelope ENVELOPE = {
    .mail_from = STR("a@me.example"),
    .rcpt_to = STR("b@you.example"),
    .message = {.frame = STR("Subject: x\r\n\r\n.\r\nHi")},
};
/* By DATA and by BDAT. */
static const struct str STUFFED = STR("Subject: x\r\n\r\n..\r\nHi\r\n");
static const struct str PLAIN = STR("Subject: x\r\n\r\n.\r\nHi\r\n");

/* And with a file in it. */
static const struct octets_file FILE_OF_FIVE = {.at = 14,
                                                .bytes = STR("12345")};
static const struct str STUFFED_FILE =
    STR("Subject: x\r\n\r\nMTIzNDU=\r\n..\r\nHi\r\n");
static const struct str PLAIN_FILE =
    STR("Subject: x\r\n\r\nMTIzNDU=\r\n.\r\nHi\r\n");

/* Spaces, but for a line end. */
static struct str large_message(void)
{
    static char bytes[LARGE];

    if (bytes[0] == '\0') {
        memset(bytes, ' ', LARGE);
        memcpy(bytes + LARGE - 2, "\r\n", 2);
    }
    return (struct str){bytes, LARGE};
}

struct mail {
    struct txn txn;
    struct buf out;
};

struct client {
    unsigned flags;
    struct reply_parser parser;
    struct greet greet;
    struct buf greet_out;
    struct mail seats[2];
    struct mail *mail; /* whose replies come; NULL: greeting */
    struct mail *next; /* behind its dot; NULL: none */
    unsigned mails;
    bool is_over;
};

static struct txn_envelope next_envelope(const struct client *client)
{
    struct txn_envelope envelope = ENVELOPE;

    envelope.needs_smtputf8 = (client->flags & FLAG_UTF8) != 0;
    if (client->mails % 2 == 1)
        envelope.chunking = CHUNKING_ALWAYS;
    if (client->mails % 4 == 2)
        envelope.message = octets_of(large_message());
    if (client->mails % 4 > 2 || client->mails % 8 == 4)
        envelope.message = (struct octets){S("Subject: x\r\n\r\n\r\n.\r\nHi"),
                                           &FILE_OF_FIVE, 1};
    return envelope;
}

static struct mail *begin_mail(struct client *client)
{
    struct mail *mail =
        &client->seats[client->mail == &client->seats[0] ? 1 : 0];
    struct txn_envelope envelope = next_envelope(client);

    buf_clear(&mail->out);
    txn_init(&mail->txn, &envelope, &client->greet.offers);
    client->is_over = ++client->mails > MAILS_MAX;
    return mail;
}

static void follow(struct client *client)
{
    struct txn_envelope envelope = next_envelope(client);

    if ((client->flags & FLAG_PAIRS) == 0 ||
        !txn_may_be_followed(&client->mail->txn) ||
        txn_lack(&envelope, &client->greet.offers) != TROUBLE_NONE)
        return;
    client->next = begin_mail(client);
    txn_follow(&client->next->txn, &client->mail->txn);
    txn_write(&client->next->txn, &client->next->out, OUT_MAX / 2);
    CHECK(client->next->txn.mark_is_due || client->next->txn.way == TXN_CHUNKS);
}

static struct smtp_ruling judge(const struct mail *mail,
                                struct smtp_finding finding)
{
    finding.paired = txn_is_paired(&mail->txn);
    return smtp_judge(&finding);
}

static struct str wire_message(const struct txn *txn)
{
    if (octets_len(&txn->envelope.message) == LARGE)
        return large_message();
    if (txn->envelope.message.file_count > 0)
        return txn->way == TXN_DATA ? STUFFED_FILE : PLAIN_FILE;
    return txn->way == TXN_DATA ? STUFFED : PLAIN;
}

/* What holds for every mail that is told of, whatever the server said. */
static void check_outcome(const struct mail *mail)
{
    struct smtp_ruling ruling = judge(mail, mail->txn.finding);
    struct str wire = buf_str(&mail->out);

    if (ruling.verdict == SMTP_SENT || ruling.verdict == SMTP_UNKNOWN)
        CHECK(mail->txn.is_dotted);
    if (mail->txn.is_dotted) {
        CHECK(str_contains(wire, wire_message(&mail->txn)));
        CHECK(mail->txn.finding.stage != SMTP_STAGE_DOT ||
              (ruling.then & (THEN_NEXT | THEN_AGAIN)) == 0);
    }
    if (ruling.suppress)
        CHECK(ruling.verdict == SMTP_HARD);
    CHECK(!str_has_control(str_of(mail->txn.finding.text)));
}

static void check_lines(const struct buf *out)
{
    CHECK(!out->full);
    CHECK(out->len == 0 || str_ends(buf_str(out), S("\r\n")));
}

static void write_all(struct mail *mail)
{
    do
        txn_write(&mail->txn, &mail->out, mail->out.len + OUT_MAX / 2);
    while (txn_has_more(&mail->txn));
}

static void write_dot(struct client *client)
{
    struct txn *txn = &client->mail->txn;

    if (!txn_awaits_dot(txn) || (client->flags & FLAG_NO_DOT) != 0)
        return;
    txn_allow_dot(txn);
    txn_write(txn, &client->mail->out, client->mail->out.len + OUT_MAX / 2);
    if (txn->is_dotted)
        follow(client);
}

static void end_mail(struct client *client)
{
    if (client->mail->txn.must_close) {
        CHECK(client->next == NULL || !client->next->txn.is_dotted);
        client->is_over = true;
    } else if (client->next != NULL) {
        client->mail = client->next;
        client->next = NULL;
    } else {
        client->mail = begin_mail(client);
    }
}

/* True: another mail has its turn now. */
static bool pump(struct client *client)
{
    struct mail *mail = client->mail;

    write_all(mail);
    write_dot(client);
    if (!mail->txn.data_open && !mail->txn.must_close)
        check_lines(&mail->out);
    if (txn_is_settled(&mail->txn))
        check_outcome(mail);
    if (!txn_is_over(&mail->txn))
        return false;
    end_mail(client);
    return !client->is_over;
}

/* Not derived: that would be most of the time. */
static const struct scram_keys KEYS = {"client key", "server key"};
static const struct tls_binding BINDING = {
    .name = "tls-exporter", .len = 4, .bytes = "bind"};

static void follow_greet(struct client *client)
{
    struct greet *greet = &client->greet;

    if (greet->state == GREET_HANDSHAKE) {
        greet_secured(greet, &BINDING);
        greet_write(greet, &client->greet_out);
    }
    if (greet->state == GREET_KEYS) {
        CHECK(greet_recipe(greet)->salt_len > 0);
        greet_take_keys(greet, &KEYS, &client->greet_out);
    }
    if (greet->state == GREET_TOKEN) {
        bool is_second = greet_refused_token(greet).len > 0;

        if (is_second && (client->flags & FLAG_UTF8) != 0)
            greet_lack_token(greet, "there is none");
        else
            greet_take_token(greet, is_second ? S("two") : S("one"),
                             &client->greet_out);
    }
    check_lines(&client->greet_out);
    if (greet->state == GREET_FAILED) {
        (void)smtp_judge(&greet->finding);
        client->is_over = true;
    } else if (greet->state == GREET_READY) {
        client->mail = begin_mail(client);
    }
}

static void take_reply(struct client *client, const struct smtp_reply *reply)
{
    if (client->mail == NULL) {
        client->is_over =
            !greet_reply(&client->greet, reply, &client->greet_out);
        follow_greet(client);
    } else {
        client->is_over = !txn_reply(&client->mail->txn, reply);
    }
    while (client->mail != NULL && !client->is_over && pump(client))
        continue;
}

/* All the server said and no more will come. */
static void lose(struct client *client)
{
    const struct mail *mail = client->mail;
    struct smtp_finding finding;
    enum smtp_verdict verdict;

    if (mail == NULL || mail->txn.is_decided)
        return;
    finding_of_trouble(&finding, txn_stage(&mail->txn), TROUBLE_LOST, "x");
    verdict = judge(mail, finding).verdict;
    if (mail->txn.is_dotted)
        CHECK(verdict == SMTP_UNKNOWN);
    else
        CHECK(verdict == SMTP_SOFT ||
              (verdict == SMTP_UNSENT && mail->txn.follows));
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
        policy.login = (struct auth_login){.username = S("joe"),
                                           .password = S("sesame"),
                                           .has_token = true,
                                           .host = S("mx"),
                                           .port = 587};
    buf_init(&client.greet_out, OUT_MAX);
    buf_init(&client.seats[0].out, LARGE + OUT_MAX);
    buf_init(&client.seats[1].out, LARGE + OUT_MAX);
    reply_parser_init(&client.parser);
    greet_init(&client.greet, &policy, "AAAABBBBCCCCDDDDEEEEFFFF");
    follow_greet(&client);
    greet_write(&client.greet, &client.greet_out);
    run(&client, str_make(data + 2, size - 2), (size_t)data[1] + 1);
    lose(&client);
    reply_parser_finish(&client.parser);
    greet_finish(&client.greet);
    buf_finish(&client.greet_out);
    buf_finish(&client.seats[0].out);
    buf_finish(&client.seats[1].out);
    return 0;
}
