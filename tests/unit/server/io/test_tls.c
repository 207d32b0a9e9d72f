#include "server/io/tls.h"

#include "server/io/tls_context.h"

#include "certs.h"
#include "stream_probe.h"

#include <openssl/ssl.h>

#define DAY 86400L

static const struct cert_spec SPECS[] = {
    {"good", "DNS:mail.test,DNS:*.wild.test,IP:127.0.0.1", -DAY, DAY, 0},
    {"expired", "DNS:mail.test", -2 * DAY, -DAY, 0},
    {"early", "DNS:mail.test", DAY, 2 * DAY, 0},
    {"alone", "DNS:mail.test", -DAY, DAY, 1},
};

static struct certs certs;
static struct loop *loop;

static int group_setup(void **state)
{
    (void)state;
    certs_make(&certs, SPECS, COUNT_OF(SPECS));
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    certs_remove(&certs, SPECS, COUNT_OF(SPECS));
    return 0;
}

static int setup(void **state)
{
    (void)state;
    loop = loop_create();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    loop_turn(loop, 0);
    loop_destroy(&loop);
    return 0;
}

static struct tls_server *server_of(const char *name)
{
    struct error err;
    struct tls_server *server = tls_server_create(
        certs_path(&certs, name, "pem"), certs_path(&certs, name, "key"), &err);

    assert_non_null(server);
    return server;
}

static struct tls_client *client_of(enum tls_trust trust)
{
    struct error err;
    struct tls_client *client = tls_client_create(
        &(struct tls_client_options){
            .trust = trust,
            .ca_file = certs_path(&certs, "ca", "pem"),
        },
        &err);

    assert_non_null(client);
    return client;
}

/* A client and a server in one loop, both told to begin. */
struct talk {
    struct probe a; /* the client */
    struct probe b;
};

static void talk_begin(struct talk *talk, struct tls_client *client,
                       const char *host, struct tls_server *server)
{
    probe_pair(loop, &talk->a, &talk->b);
    assert_true(stream_start_tls_client(talk->a.stream, client, host, NULL));
    assert_true(stream_start_tls_server(talk->b.stream, server, NULL));
    assert_string_equal(talk->a.trace, "");
    turn_until(loop, probe_saw(&talk->a, "s") || probe_saw(&talk->a, "e"));
}

static void talk_finish(struct talk *talk)
{
    probe_finish(&talk->a);
    probe_finish(&talk->b);
    loop_turn(loop, 0);
}

static void say(struct probe *from, struct probe *to, const char *text)
{
    size_t had = to->got.len;

    assert_true(stream_write(from->stream, str_of(text)));
    turn_until(loop, to->got.len == had + strlen(text));
    assert_memory_equal(to->got.data + had, text, strlen(text));
}

static void secures_and_tells_the_facts(void **state)
{
    struct tls_client *client = client_of(TLS_TRUST_VERIFIED);
    struct tls_server *server = server_of("good");
    struct tls_facts facts;
    struct talk talk;

    (void)state;
    talk_begin(&talk, client, "mail.test", server);
    assert_true(probe_saw(&talk.a, "s"));
    say(&talk.a, &talk.b, "EHLO me\r\n");
    say(&talk.b, &talk.a, "250 you\r\n");
    assert_true(stream_tls_facts(talk.a.stream, &facts));
    assert_string_equal(facts.version, "TLSv1.3");
    assert_non_null(strstr(facts.cipher, "TLS_"));
    assert_string_equal(facts.subject, "CN=good");
    assert_true(facts.verified);
    assert_false(facts.resumed);
    assert_string_equal(facts.verify_reason, "");
    assert_true(facts.not_after_ms > 0 &&
                llabs(facts.not_after_ms / 1000 - time(NULL) - DAY) < 100);
    stream_close(&talk.a.stream);
    turn_until(loop, probe_saw(&talk.b, "e"));
    assert_int_equal(talk.b.end, STREAM_EOF); /* close_notify was said */
    talk_finish(&talk);
    tls_client_destroy(&client);
    tls_server_destroy(&server);
}

static const struct {
    const char *name;
    const char *cert;
    const char *host;
    const char *refusal; /* NULL: trusted */
} VERDICTS[] = {
    {"right name", "good", "mail.test", NULL},
    {"case does not matter", "good", "MAIL.Test", NULL},
    {"wildcard", "good", "a.wild.test", NULL},
    {"address", "good", "127.0.0.1", NULL},
    {"wildcard is one label", "good", "a.b.wild.test",
     "hostname mismatch (CN=good)"},
    {"wrong name", "good", "other.test", "hostname mismatch (CN=good)"},
    {"wrong address", "good", "127.0.0.2", "IP address mismatch (CN=good)"},
    {"expired", "expired", "mail.test", "certificate has expired (CN=expired)"},
    {"not yet", "early", "mail.test",
     "certificate is not yet valid (CN=early)"},
    {"self-signed", "alone", "mail.test", "self-signed certificate (CN=alone)"},
};

static void policy_verifies_unless_opportunistic(void **state)
{
    struct tls_client *strict = client_of(TLS_TRUST_VERIFIED);
    struct tls_client *loose = client_of(TLS_TRUST_ANY);
    struct tls_server *server;
    struct tls_facts facts;
    struct talk talk;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(VERDICTS); i++) {
        server = server_of(VERDICTS[i].cert);
        talk_begin(&talk, strict, VERDICTS[i].host, server);
        if (VERDICTS[i].refusal == NULL) {
            assert_string_equal(talk.a.trace, "s");
        } else {
            assert_string_equal(talk.a.trace, "e");
            assert_int_equal(talk.a.end, STREAM_TLS_UNTRUSTED);
            assert_string_equal(talk.a.reason, VERDICTS[i].refusal);
            turn_until(loop, probe_saw(&talk.b, "e"));
            assert_int_equal(talk.b.end, STREAM_TLS_FAILED);
        }
        talk_finish(&talk);

        talk_begin(&talk, loose, VERDICTS[i].host, server);
        assert_string_equal(talk.a.trace, "s");
        assert_true(stream_tls_facts(talk.a.stream, &facts));
        assert_int_equal(facts.verified, VERDICTS[i].refusal == NULL);
        if (VERDICTS[i].refusal != NULL)
            assert_memory_equal(facts.verify_reason, VERDICTS[i].refusal,
                                strlen(facts.verify_reason));
        talk_finish(&talk);
        tls_server_destroy(&server);
    }
    tls_client_destroy(&strict);
    tls_client_destroy(&loose);
}

static void an_unknown_authority_is_refused(void **state)
{
    struct error err;
    struct tls_client *client =
        tls_client_create(&(struct tls_client_options){0}, &err);
    struct tls_server *server = server_of("good");
    struct talk talk;

    (void)state;
    assert_non_null(client); /* the system's authorities */
    talk_begin(&talk, client, "mail.test", server);
    assert_int_equal(talk.a.end, STREAM_TLS_UNTRUSTED);
    talk_finish(&talk);
    tls_client_destroy(&client);
    tls_server_destroy(&server);
}

static void fingerprint_of(const char *name, char digest[SHA256_HEX_SIZE])
{
    FILE *file = fopen(certs_path(&certs, name, "pem"), "r");
    unsigned char *der = NULL;
    X509 *cert;
    int len;

    assert_non_null(file);
    cert = PEM_read_X509(file, NULL, NULL, NULL);
    len = i2d_X509(cert, &der);
    secret_sha256_hex(str_make(der, (size_t)len), digest);
    fclose(file);
    OPENSSL_free(der);
    X509_free(cert);
}

static void a_pin_is_all_that_counts(void **state)
{
    static const char *const CERTS[] = {"good", "expired", "alone"};
    char digests[2][SHA256_HEX_SIZE];
    const char *const pins[] = {digests[0], digests[1]};
    struct tls_client *client;
    struct tls_server *server;
    struct tls_facts facts;
    struct talk talk;
    struct error err;

    (void)state;
    fingerprint_of("expired", digests[0]);
    fingerprint_of("alone", digests[1]);
    client = tls_client_create(
        &(struct tls_client_options){.fingerprints = pins,
                                     .fingerprint_count = COUNT_OF(pins)},
        &err);
    assert_non_null(client);
    for (size_t i = 0; i < COUNT_OF(CERTS); i++) {
        server = server_of(CERTS[i]);
        talk_begin(&talk, client, "any.test", server);
        if (i == 0) {
            assert_string_equal(talk.a.trace, "e");
            assert_int_equal(talk.a.end, STREAM_TLS_UNTRUSTED);
            assert_non_null(strstr(talk.a.reason, "is not pinned"));
        } else {
            assert_string_equal(talk.a.trace, "s");
            assert_true(stream_tls_facts(talk.a.stream, &facts));
            assert_true(facts.verified);
        }
        talk_finish(&talk);
        tls_server_destroy(&server);
    }
    tls_client_destroy(&client);
}

static void starttls_in_place(void **state)
{
    struct tls_client *client = client_of(TLS_TRUST_VERIFIED);
    struct tls_server *server = server_of("good");
    struct probe a;
    struct probe b;

    (void)state;
    probe_pair(loop, &a, &b);
    say(&a, &b, "STARTTLS\r\n");
    assert_true(stream_write(b.stream, S("220 go\r\n")));
    assert_true(stream_start_tls_server(b.stream, server, NULL));
    turn_until(loop, a.got.len == 8);
    assert_true(stream_start_tls_client(a.stream, client, "mail.test", NULL));
    turn_until(loop, probe_saw(&a, "s") && probe_saw(&b, "s"));
    say(&a, &b, "EHLO again\r\n");
    probe_finish(&a);
    probe_finish(&b);
    tls_client_destroy(&client);
    tls_server_destroy(&server);
}

static void refuses_bytes_that_came_in_the_clear(void **state)
{
    struct tls_client *client = client_of(TLS_TRUST_VERIFIED);
    struct error err;
    struct probe a;
    struct probe b;

    (void)state;
    probe_pair(loop, &a, &b);
    a.keep = true;
    assert_true(stream_write(b.stream, S("250 injected\r\n")));
    turn_until(loop, probe_saw(&a, "r"));
    assert_false(stream_start_tls_client(a.stream, client, "mail.test", &err));
    assert_string_equal(err.text, "14 bytes in the clear before TLS began");
    assert_int_equal(err.kind, ERR_REMOTE);
    probe_finish(&a);
    probe_finish(&b);
    tls_client_destroy(&client);
}

static void a_peer_without_tls_fails(void **state)
{
    struct tls_client *client = client_of(TLS_TRUST_VERIFIED);
    struct probe a;
    struct probe b;

    (void)state;
    probe_pair(loop, &a, &b);
    assert_true(stream_start_tls_client(a.stream, client, "mail.test", NULL));
    assert_true(stream_write(b.stream, S("500 what is that?\r\n")));
    turn_until(loop, probe_saw(&a, "e"));
    assert_int_equal(a.end, STREAM_TLS_FAILED);
    assert_string_equal(a.reason, "wrong version number");
    probe_finish(&a);
    probe_finish(&b);

    probe_pair(loop, &a, &b);
    assert_true(stream_start_tls_client(a.stream, client, "mail.test", NULL));
    turn_until(loop, b.got.len > 0);
    stream_close(&b.stream);
    turn_until(loop, probe_saw(&a, "e"));
    assert_int_equal(a.end, STREAM_TLS_FAILED);
    assert_string_equal(a.reason, "closed during the TLS handshake");
    probe_finish(&a);
    probe_finish(&b);
    tls_client_destroy(&client);
}

/* A connection cut below TLS: the fd is shut down behind the stream's back. */
static void a_cut_is_no_end_of_file(void **state)
{
    struct tls_client *client = client_of(TLS_TRUST_VERIFIED);
    struct tls_server *server = server_of("good");
    struct talk talk;
    int ends[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    probe_accept(&talk.a, loop, ends[0]);
    probe_accept(&talk.b, loop, ends[1]);
    assert_true(
        stream_start_tls_client(talk.a.stream, client, "mail.test", NULL));
    assert_true(stream_start_tls_server(talk.b.stream, server, NULL));
    turn_until(loop, probe_saw(&talk.a, "s") && probe_saw(&talk.b, "s"));
    shutdown(ends[1], SHUT_WR);
    turn_until(loop, probe_saw(&talk.a, "e"));
    assert_int_equal(talk.a.end, STREAM_TLS_CUT);
    assert_string_equal(talk.a.reason, "ended without a TLS close");
    talk_finish(&talk);
    tls_client_destroy(&client);
    tls_server_destroy(&server);
}

/* The peer refuses mid-body and closes at once, as servers do. */
static void last_words_survive_under_tls(void **state)
{
    struct tls_client *client = client_of(TLS_TRUST_VERIFIED);
    struct tls_server *server = server_of("good");
    struct talk talk;

    (void)state;
    talk_begin(&talk, client, "mail.test", server);
    say(&talk.a, &talk.b, "DATA\r\n"); /* tickets are read by now */
    say(&talk.b, &talk.a, "354 go\r\n");
    assert_true(stream_write(talk.b.stream, S("421 bye\r\n")));
    stream_flush(talk.b.stream);
    stream_close(&talk.b.stream);
    assert_true(stream_write(talk.a.stream, S("body body")));
    stream_flush(talk.a.stream);
    turn_until(loop, probe_saw(&talk.a, "e"));
    assert_string_equal(talk.a.got.data, "354 go\r\n421 bye\r\n");
    assert_int_equal(talk.a.end, STREAM_RESET);
    talk_finish(&talk);
    tls_client_destroy(&client);
    tls_server_destroy(&server);
}

static bool talk_resumes(struct tls_client *client, const char *host,
                         struct tls_server *server)
{
    struct tls_facts facts;
    struct talk talk;

    talk_begin(&talk, client, host, server);
    assert_true(probe_saw(&talk.a, "s"));
    say(&talk.a, &talk.b, "x"); /* tickets come before the answer */
    say(&talk.b, &talk.a, "y");
    assert_true(stream_tls_facts(talk.a.stream, &facts));
    assert_true(!facts.resumed || facts.subject[0] != '\0');
    talk_finish(&talk);
    return facts.resumed;
}

static void tickets_resume_and_are_used_once(void **state)
{
    struct tls_client *client = client_of(TLS_TRUST_VERIFIED);
    struct tls_client *other = client_of(TLS_TRUST_VERIFIED);
    struct tls_server *server = server_of("good");

    (void)state;
    assert_int_equal(tls_client_tickets(client), 0);
    assert_false(talk_resumes(client, "mail.test", server));
    assert_int_equal(tls_client_tickets(client), 2);
    assert_false(talk_resumes(client, "a.wild.test", server)); /* other host */
    assert_int_equal(tls_client_tickets(client), 4);
    assert_true(talk_resumes(client, "mail.test", server));
    assert_int_equal(tls_client_tickets(client), 4); /* one used, one new */
    assert_true(talk_resumes(client, "mail.test", server));
    assert_false(talk_resumes(other, "mail.test", server));
    for (int i = 0; i < 80; i++)
        talk_resumes(client, i % 2 ? "b.wild.test" : "mail.test", server);
    assert_true(tls_client_tickets(client) <= 64);
    tls_client_destroy(&client);
    tls_client_destroy(&other);
    tls_server_destroy(&server);
}

/* TLS 1.2 sessions serve again and again. */
static void older_sessions_resume_too(void **state)
{
    struct tls_client *client = client_of(TLS_TRUST_VERIFIED);
    struct tls_server *server = server_of("good");

    (void)state;
    SSL_CTX_set_max_proto_version(tls_server_ssl_ctx(server), TLS1_2_VERSION);
    assert_false(talk_resumes(client, "mail.test", server));
    for (int i = 0; i < 3; i++)
        assert_true(talk_resumes(client, "mail.test", server));
    tls_client_destroy(&client);
    tls_server_destroy(&server);
}

/* Both ends have the same one, and each session has its own. */
static void assert_bound(struct tls_client *client, struct tls_server *server,
                         const char *name, struct tls_binding *binding)
{
    struct tls_binding theirs;
    struct talk talk;

    talk_begin(&talk, client, "mail.test", server);
    assert_true(probe_saw(&talk.a, "s"));
    say(&talk.a, &talk.b, "x");
    say(&talk.b, &talk.a, "y");
    if (name == NULL) {
        assert_false(stream_tls_binding(talk.a.stream, binding));
    } else {
        assert_true(stream_tls_binding(talk.a.stream, binding));
        assert_true(stream_tls_binding(talk.b.stream, &theirs));
        assert_string_equal(binding->name, name);
        assert_string_equal(theirs.name, name);
        assert_int_equal(binding->len, theirs.len);
        assert_memory_equal(binding->bytes, theirs.bytes, theirs.len);
    }
    talk_finish(&talk);
}

static void a_channel_has_its_binding(void **state)
{
    static const char *const NAMES[] = {"tls-exporter", "tls-unique"};
    struct tls_client *client = client_of(TLS_TRUST_VERIFIED);
    struct tls_server *server = server_of("good");
    struct tls_binding first;
    struct tls_binding second;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(NAMES); i++) {
        assert_bound(client, server, NAMES[i], &first);
        assert_bound(client, server, NAMES[i], &second); /* it resumes */
        assert_int_equal(first.len, i == 0 ? 32 : 12);
        assert_memory_not_equal(first.bytes, second.bytes, first.len);
        tls_client_destroy(&client);
        client = client_of(TLS_TRUST_VERIFIED);
        SSL_CTX_set_max_proto_version(tls_server_ssl_ctx(server),
                                      TLS1_2_VERSION);
    }
    SSL_CTX_set_options(tls_server_ssl_ctx(server),
                        SSL_OP_NO_EXTENDED_MASTER_SECRET);
    assert_bound(client, server, NULL, &first);
    tls_client_destroy(&client);
    tls_server_destroy(&server);
}

static void what_is_older_still_is_refused(void **state)
{
    struct tls_client *client = client_of(TLS_TRUST_ANY);
    struct tls_server *server = server_of("good");
    SSL_CTX *ctx = tls_server_ssl_ctx(server);
    struct talk talk;

    (void)state;
    SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(ctx, TLS1_1_VERSION);
    SSL_CTX_set_security_level(ctx, 0);
    talk_begin(&talk, client, "mail.test", server);
    assert_string_equal(talk.a.trace, "e");
    assert_int_equal(talk.a.end, STREAM_TLS_UNSHARED);
    talk_finish(&talk);
    tls_client_destroy(&client);
    tls_server_destroy(&server);
}

static void contexts_may_go_before_their_streams(void **state)
{
    struct tls_client *client = client_of(TLS_TRUST_VERIFIED);
    struct tls_server *server = server_of("good");
    struct talk talk;

    (void)state;
    talk_begin(&talk, client, "mail.test", server);
    tls_client_destroy(&client);
    tls_server_destroy(&server);
    say(&talk.a, &talk.b, "still here");
    say(&talk.b, &talk.a, "so am I"); /* with tickets for nobody */
    talk_finish(&talk);
}

/* Many records each way, more than either side takes at once. */
static void large_transfers_both_ways(void **state)
{
    static char block[30 * 1000];
    const size_t goal = 100 * sizeof block;
    struct tls_client *client = client_of(TLS_TRUST_VERIFIED);
    struct tls_server *server = server_of("good");
    size_t sent[2] = {0, 0};
    struct talk talk;

    (void)state;
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = (char)(i * 7);
    talk_begin(&talk, client, "mail.test", server);
    turn_until(loop, probe_saw(&talk.b, "s"));
    while (talk.a.got.len < goal || talk.b.got.len < goal) {
        while (sent[0] < goal &&
               stream_write(talk.a.stream, str_make(block, sizeof block)))
            sent[0] += sizeof block;
        while (sent[1] < goal &&
               stream_write(talk.b.stream, str_make(block, sizeof block)))
            sent[1] += sizeof block;
        loop_turn(loop, 10000);
    }
    for (size_t i = 0; i < goal; i += sizeof block) {
        assert_memory_equal(talk.a.got.data + i, block, sizeof block);
        assert_memory_equal(talk.b.got.data + i, block, sizeof block);
    }
    talk_finish(&talk);
    tls_client_destroy(&client);
    tls_server_destroy(&server);
}

/* Passes a byte at a time from one socket to another. */
struct drip {
    struct watch *watch;
    int from;
    int to;
};

static void on_drip(void *ctx, int events)
{
    struct drip *drip = ctx;
    char byte;

    (void)events;
    if (read(drip->from, &byte, 1) == 1)
        assert_int_equal(write(drip->to, &byte, 1), 1);
    else
        watch_set(drip->watch, 0); /* end of file */
}

static void drip_open(struct drip *drip, int from, int to)
{
    *drip = (struct drip){.from = from, .to = to};
    drip->watch = watch_open(loop, from, on_drip, drip);
    watch_set(drip->watch, WATCH_READ);
}

static void records_may_come_in_drips(void **state)
{
    struct tls_client *client = client_of(TLS_TRUST_VERIFIED);
    struct tls_server *server = server_of("good");
    struct drip there;
    struct drip back;
    struct talk talk;
    int a[2];
    int b[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, a), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, b), 0);
    probe_accept(&talk.a, loop, a[0]);
    probe_accept(&talk.b, loop, b[0]);
    drip_open(&there, a[1], b[1]);
    drip_open(&back, b[1], a[1]);
    assert_true(
        stream_start_tls_client(talk.a.stream, client, "mail.test", NULL));
    assert_true(stream_start_tls_server(talk.b.stream, server, NULL));
    turn_until(loop, probe_saw(&talk.a, "s") && probe_saw(&talk.b, "s"));
    say(&talk.a, &talk.b, "EHLO me\r\n");
    say(&talk.b, &talk.a, "250-you\r\n250 SIZE\r\n");
    assert_int_equal(tls_client_tickets(client), 2);
    watch_close(&there.watch);
    watch_close(&back.watch);
    close(a[1]);
    close(b[1]);
    talk_finish(&talk);
    tls_client_destroy(&client);
    tls_server_destroy(&server);
}

static void files_that_are_wrong_are_named(void **state)
{
    struct error err;
    struct tls_client *client;
    char good_pem[160];
    char early_key[160];

    (void)state;
    snprintf(good_pem, sizeof good_pem, "%s",
             certs_path(&certs, "good", "pem"));
    snprintf(early_key, sizeof early_key, "%s",
             certs_path(&certs, "early", "key"));
    assert_null(tls_server_create("/nonexistent.pem", NULL, &err));
    assert_int_equal(err.kind, ERR_CONFIG);
    assert_string_equal(
        err.text,
        "/nonexistent.pem: no certificate: No such file or directory");
    assert_null(tls_server_create(good_pem, early_key, &err));
    assert_non_null(strstr(err.text, "key values mismatch"));
    assert_null(tls_client_create(
        &(struct tls_client_options){.ca_file = early_key}, &err));
    assert_non_null(strstr(err.text, "no authorities"));
    client = tls_client_create(
        &(struct tls_client_options){.cert_file = good_pem}, &err);
    assert_null(client); /* no key in it */
}

static void self_signed_serves_development(void **state)
{
    struct error err;
    struct tls_client *loose = client_of(TLS_TRUST_ANY);
    struct tls_server *server =
        tls_server_create_self_signed("127.0.0.1", &err);
    struct tls_facts facts;
    struct talk talk;

    (void)state;
    assert_non_null(server);
    talk_begin(&talk, loose, "127.0.0.1", server);
    assert_true(stream_tls_facts(talk.a.stream, &facts));
    assert_string_equal(facts.subject, "CN=127.0.0.1");
    assert_string_equal(facts.verify_reason, "self-signed certificate");
    talk_finish(&talk);
    tls_server_destroy(&server);
    assert_null(tls_server_create_self_signed("a,DNS:b", &err));
    assert_int_equal(err.kind, ERR_CONFIG);
    tls_client_destroy(&loose);
}

static void a_host_that_cannot_be_is_refused(void **state)
{
    struct tls_client *client = client_of(TLS_TRUST_VERIFIED);
    struct error err;
    struct probe a;
    struct probe b;

    (void)state;
    probe_pair(loop, &a, &b);
    assert_false(stream_start_tls_client(a.stream, client, "", &err));
    assert_int_equal(err.kind, ERR_CONFIG);
    say(&a, &b, "still in the clear");
    probe_finish(&a);
    probe_finish(&b);
    tls_client_destroy(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(secures_and_tells_the_facts),
        TEST(policy_verifies_unless_opportunistic),
        TEST(an_unknown_authority_is_refused),
        TEST(a_pin_is_all_that_counts),
        TEST(starttls_in_place),
        TEST(refuses_bytes_that_came_in_the_clear),
        TEST(a_peer_without_tls_fails),
        TEST(a_cut_is_no_end_of_file),
        TEST(last_words_survive_under_tls),
        TEST(tickets_resume_and_are_used_once),
        TEST(older_sessions_resume_too),
        TEST(a_channel_has_its_binding),
        TEST(what_is_older_still_is_refused),
        TEST(contexts_may_go_before_their_streams),
        TEST(large_transfers_both_ways),
        TEST(records_may_come_in_drips),
        TEST(files_that_are_wrong_are_named),
        TEST(self_signed_serves_development),
        TEST(a_host_that_cannot_be_is_refused),
#undef TEST
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
