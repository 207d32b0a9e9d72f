/* What servers offer, in the forms they write it. */
#include "smtp/ehlo.h"

#include "say.h"

static const struct fact {
    const char *name;
    const char *bytes;
    struct smtp_offers offers;
} FACTS[] = {
    {"nothing", "250 mx\r\n", {0}},
    {"the first line is a name, not an offer", "250 STARTTLS\r\n", {0}},
    {"a modern server",
     "250-mx\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n250-STARTTLS\r\n"
     "250-AUTH PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256\r\n250-8BITMIME\r\n"
     "250 SMTPUTF8\r\n",
     {.pipelining = true,
      .starttls = true,
      .eightbitmime = true,
      .smtputf8 = true,
      .size = true,
      .size_max = 10240000,
      .auth = OFFERS_PLAIN | OFFERS_LOGIN | OFFERS_CRAM_MD5 |
              OFFERS_SCRAM_SHA_256}},
    {"all of SCRAM",
     "250-mx\r\n250 AUTH scram-sha-1 SCRAM-SHA-1-PLUS SCRAM-SHA-256 "
     "SCRAM-SHA-256-PLUS SCRAM-SHA-512\r\n",
     {.auth = OFFERS_SCRAM_SHA_1 | OFFERS_SCRAM_SHA_1_PLUS |
              OFFERS_SCRAM_SHA_256 | OFFERS_SCRAM_SHA_256_PLUS}},
    {"lower case, and the old AUTH=",
     "250-mx\r\n250-pipelining\r\n250 auth=login\r\n",
     {.pipelining = true, .auth = OFFERS_LOGIN}},
    {"both AUTH lines",
     "250-mx\r\n250-AUTH PLAIN\r\n250 AUTH=LOGIN\r\n",
     {.auth = OFFERS_PLAIN | OFFERS_LOGIN}},
    {"blank keyword, odd blanks",
     "250-mx\r\n250-\r\n250- \r\n250-  STARTTLS \r\n250 AUTH  PLAIN \r\n",
     {.starttls = true, .auth = OFFERS_PLAIN}},
    {"a word that begins with an offer", "250-mx\r\n250 STARTTLSX\r\n", {0}},
    {"DSN", "250-mx\r\n250 dsn\r\n", {.dsn = true}},
    {"CHUNKING", "250-mx\r\n250 CHUNKING\r\n", {.chunking = true}},
    {"DELIVERBY, and its least time",
     "250-mx\r\n250 DELIVERBY 240\r\n",
     {.deliverby = true, .by_min_s = 240}},
    {"DELIVERBY, its least time, and extensions of it",
     "250-mx\r\n250 DELIVERBY 240,x-fast\r\n",
     {.deliverby = true, .by_min_s = 240}},
    {"DELIVERBY alone", "250-mx\r\n250 DELIVERBY\r\n", {.deliverby = true}},
    {"LIMITS, those to come too",
     "250-mx\r\n250 LIMITS RCPTMAX=1 mailmax=20 FUTURE=a\r\n",
     {.mail_max = 20}},
    {"LIMITS that are none",
     "250-mx\r\n250 LIMITS MAILMAX MAILMAX=x =\r\n",
     {0}},
    {"SIZE without a limit", "250-mx\r\n250 SIZE\r\n", {.size = true}},
    {"SIZE 0", "250-mx\r\n250 SIZE 0\r\n", {.size = true}},
    {"SIZE beyond 64 bits",
     "250-mx\r\n250 SIZE 99999999999999999999\r\n",
     {.size = true}},
    {"SIZE that is no number", "250-mx\r\n250 SIZE -1\r\n", {.size = true}},
};

static void facts(void **state)
{
    struct smtp_offers offers;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(FACTS); i++) {
        const struct smtp_offers *want = &FACTS[i].offers;

        print_message("  %s\n", FACTS[i].name);
        ehlo_read(say(FACTS[i].bytes), &offers);
        assert_int_equal(offers.pipelining, want->pipelining);
        assert_int_equal(offers.starttls, want->starttls);
        assert_int_equal(offers.eightbitmime, want->eightbitmime);
        assert_int_equal(offers.smtputf8, want->smtputf8);
        assert_int_equal(offers.dsn, want->dsn);
        assert_int_equal(offers.chunking, want->chunking);
        assert_int_equal(offers.size, want->size);
        assert_int_equal(offers.size_max, want->size_max);
        assert_int_equal(offers.auth, want->auth);
        assert_int_equal(offers.deliverby, want->deliverby);
        assert_int_equal(offers.by_min_s, want->by_min_s);
        assert_int_equal(offers.mail_max, want->mail_max);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(facts)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
