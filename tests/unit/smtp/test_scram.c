/* The examples of RFC 5802 and RFC 7677, and what servers may say instead. */
#include "smtp/scram.h"

#include "check_cmocka.h"

#define OURS "fyko+d2lbbFgONRv9qkxdawL"

static const struct tls_binding UNIQUE = {
    .name = "tls-unique", .len = 4, .bytes = {0, 1, ',', '='}};

static const struct exchange {
    const char *name;
    enum secret_hash hash;
    struct str username;
    const char *password;
    const char *nonce;
    enum scram_bound bound;
    const char *said[2];
    const char *heard[2];
} EXCHANGES[] = {
    {
        .name = "the example of RFC 5802 section 5",
        .hash = SECRET_SHA1,
        .username = STR("user"),
        .password = "pencil",
        .nonce = OURS,
        .said = {"n,,n=user,r=" OURS, "c=biws,r=" OURS "3rfcNHYJY1ZVvWVs7j,"
                                      "p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="},
        .heard = {"r=" OURS "3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
                  "v=rmF9pqV8S7suAoZWja4dJRkFsKQ="},
    },
    {
        .name = "the example of RFC 7677 section 3",
        .hash = SECRET_SHA256,
        .username = STR("user"),
        .password = "pencil",
        .nonce = "rOprNGfwEbeRWgbNEkqO",
        .said = {"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
                 "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                 "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="},
        .heard = {"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                  "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
                  "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
    },
    {
        .name = "a server that hides its -PLUS is told",
        .hash = SECRET_SHA256,
        .username = STR("joe"),
        .password = "sesame",
        .nonce = "AAAABBBBCCCCDDDDEEEEFFFF",
        .bound = SCRAM_UNOFFERED,
        .said = {"y,,n=joe,r=AAAABBBBCCCCDDDDEEEEFFFF",
                 "c=eSws,r=AAAABBBBCCCCDDDDEEEEFFFFxyz,"
                 "p=xo8cKvaCCvw0vbFW/CpN2yy8xmtNliqSp4xv71aeS4I="},
        .heard = {"r=AAAABBBBCCCCDDDDEEEEFFFFxyz,s=c2FsdHk=,i=4096",
                  "v=TRnrlj5SIFWsSuKedsCUXQ8fNQociAT75+OWkSeZlsM="},
    },
    {
        .name = "bound to the channel, by a name with a comma",
        .hash = SECRET_SHA1,
        .username = STR("j,o=e"),
        .password = "ses,ame",
        .nonce = OURS,
        .bound = SCRAM_BOUND,
        .said = {"p=tls-unique,,n=j=2Co=3De,r=" OURS,
                 "c=cD10bHMtdW5pcXVlLCwAASw9,r=" OURS "!,"
                 "p=5YFalD48qnr+x6I6Hb1yLuBcC24="},
        .heard = {"r=" OURS "!,s=c2FsdHk=,i=4097",
                  "v=KEnUgFjAtdVeLvVTB72RIWFjc7k="},
    },
};

static void begin(struct scram *scram, const struct exchange *exchange)
{
    scram_init(scram, &(struct scram_client){
                          .hash = exchange->hash,
                          .username = exchange->username,
                          .bound = exchange->bound,
                          .binding = &UNIQUE,
                          .nonce = exchange->nonce,
                      });
}

static void assert_text(struct buf *out, const char *text)
{
    buf_add_char(out, '\0');
    assert_string_equal(out->data, text);
    buf_clear(out);
}

static void prove(struct scram *scram, const struct exchange *exchange,
                  struct buf *out)
{
    struct scram_keys keys;

    assert_null(scram_read_first(scram, str_of(exchange->heard[0])));
    scram_derive(&scram->recipe, str_of(exchange->password), &keys);
    scram_add_proof(scram, &keys, out);
}

static void examples(void **state)
{
    struct scram scram;
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    for (size_t i = 0; i < COUNT_OF(EXCHANGES); i++) {
        const struct exchange *it = &EXCHANGES[i];

        print_message("  %s\n", it->name);
        begin(&scram, it);
        scram_add_first(&scram, &out);
        assert_text(&out, it->said[0]);
        prove(&scram, it, &out);
        assert_text(&out, it->said[1]);
        assert_int_equal(scram_read_last(&scram, str_of(it->heard[1])),
                         SCRAM_PROVED);
        scram_finish(&scram);
    }
    buf_finish(&out);
}

static void bad_challenges(void **state)
{
    static const char *const CHALLENGES[] = {
        "",
        "x",
        "r=" OURS "!",
        "r=" OURS "!,s=QSXC",
        "r=" OURS "!,i=4096,s=QSXC",
        "m=ext,r=" OURS "!,s=QSXC,i=4096",
        "r=another,s=QSXC,i=4096",
        "r=" OURS ",s=QSXC,i=4096",     /* nothing of the server's */
        "r=" OURS "\x01,s=QSXC,i=4096", /* not printable */
        "r=" OURS "!,s=,i=4096",
        "r=" OURS "!,s=???,i=4096",
        "r=" OURS "!,s=QSXC,i=",
        "r=" OURS "!,s=QSXC,i=4095",
        "r=" OURS "!,s=QSXC,i=1000001",
        "r=" OURS "!,s=QSXC,i=-4096",
        "r=" OURS "!,s=QSXC,i=99999999999999999999",
    };
    struct scram scram;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(CHALLENGES); i++) {
        begin(&scram, &EXCHANGES[0]);
        assert_non_null(scram_read_first(&scram, str_of(CHALLENGES[i])));
        scram_finish(&scram);
    }
}

static void good_challenges(void **state)
{
    static const char *const CHALLENGES[] = {
        "r=" OURS "!,s=QSXC,i=4096,x=later",
        "r=" OURS "!,s=QSXC,i=1000000",
    };
    struct scram scram;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(CHALLENGES); i++) {
        begin(&scram, &EXCHANGES[0]);
        assert_null(scram_read_first(&scram, str_of(CHALLENGES[i])));
        scram_finish(&scram);
    }
}

static void ends(void **state)
{
    static const struct {
        const char *message;
        enum scram_end end;
    } ENDS[] = {
        {"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=,x=later", SCRAM_PROVED},
        {"e=invalid-proof", SCRAM_REFUSED},
        {"v=rmF9pqV8S7suAoZWja4dJRkFsKR=", SCRAM_FORGED},
        {"v=sWF9pqV8S7suAoZWja4dJRkFsKQ=", SCRAM_FORGED},
        {"v=rmF9", SCRAM_FORGED},
        {"v=", SCRAM_FORGED},
        {"", SCRAM_FORGED},
        {"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", SCRAM_FORGED},
    };
    struct scram scram;
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    begin(&scram, &EXCHANGES[0]);
    prove(&scram, &EXCHANGES[0], &out);
    for (size_t i = 0; i < COUNT_OF(ENDS); i++)
        assert_int_equal(scram_read_last(&scram, str_of(ENDS[i].message)),
                         ENDS[i].end);
    scram_finish(&scram);
    buf_finish(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples),
        cmocka_unit_test(bad_challenges),
        cmocka_unit_test(good_challenges),
        cmocka_unit_test(ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
