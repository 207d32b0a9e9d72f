#include "server/io/dns_message.h"

#include "server/base/buf.h"

#include "check_cmocka.h"

/* Messages in pieces: a head with the number of questions and answers, the
 * question a.test, then answers whose owner is a pointer to it. */
#define HEAD(questions, answers)                                               \
    "\x12\x34\x81\x80\0" questions "\0" answers "\0\0\0\0"
#define QUESTION      "\1a\4test\0\0\x10\0\1"
#define RECORD(t)     "\xc0\x0c\0" t "\0\1\0\0\0\x3c" /* 60 s */
#define RECORD_30S(t) "\xc0\x0c\0" t "\0\1\0\0\0\x1e"
#define TXT           "\x10"
#define MX            "\x0f"
#define A             "\x01"
#define AAAA          "\x1c"
#define CNAME         "\x05"
#define PTR           "\x0c"

static const struct {
    const char *name;
    struct str message;
    enum dns_type type;
    bool is_good;
    size_t count;
    struct str first;
    unsigned preference;
    uint32_t ttl_s;
    bool is_alias;
} CASES[] = {
    {"one string", STR(HEAD("\1", "\1") QUESTION RECORD(TXT) "\0\3\2hi"),
     DNS_TXT, true, 1, STR("hi"), 0, 60, false},
    {"strings are joined without blanks",
     STR(HEAD("\1", "\1") QUESTION RECORD(TXT) "\0\x0a\2v=\1 \0\3xyz"), DNS_TXT,
     true, 1, STR("v= xyz"), 0, 60, false},
    {"an empty string is a record",
     STR(HEAD("\1", "\1") QUESTION RECORD(TXT) "\0\1\0"), DNS_TXT, true, 1,
     STR(""), 0, 60, false},
    {"any byte may be in one",
     STR(HEAD("\1", "\1") QUESTION RECORD(TXT) "\0\4\3\0\xff\n"), DNS_TXT, true,
     1, STR("\0\xff\n"), 0, 60, false},
    {"the shortest lifetime counts",
     STR(HEAD("\1", "\2")
             QUESTION RECORD(TXT) "\0\2\1a" RECORD_30S(TXT) "\0\2\1b"),
     DNS_TXT, true, 2, STR("a"), 0, 30, false},
    {"others are passed by",
     STR(HEAD("\1", "\2")
             QUESTION RECORD(A) "\0\4\x7f\0\0\1" RECORD(TXT) "\0\2\1b"),
     DNS_TXT, true, 1, STR("b"), 0, 60, false},
    {"an alias is followed",
     STR(HEAD("\1", "\2") QUESTION RECORD(CNAME) "\0\4\1b\xc0\x0e" RECORD_30S(
         TXT) "\0\2\1b"),
     DNS_TXT, true, 1, STR("b"), 0, 30, true},
    {"an alias to nothing",
     STR(HEAD("\1", "\1") QUESTION RECORD(CNAME) "\0\4\1b\xc0\x0e"), DNS_TXT,
     true, 0, STR(""), 0, 0, true},
    {"the alias itself",
     STR(HEAD("\1", "\1") QUESTION RECORD(CNAME) "\0\4\1b\xc0\x0e"), DNS_CNAME,
     true, 1, STR("b.test"), 0, 60, false},
    {"a host of mail",
     STR(HEAD("\1", "\1") QUESTION RECORD(MX) "\0\6\1\2\1m\xc0\x0e"), DNS_MX,
     true, 1, STR("m.test"), 258, 60, false},
    {"no mail at all", STR(HEAD("\1", "\1") QUESTION RECORD(MX) "\0\3\0\0\0"),
     DNS_MX, true, 1, STR("."), 0, 60, false},
    {"a pointer of an address",
     STR(HEAD("\1", "\1") QUESTION RECORD(PTR) "\0\3\1p\0"), DNS_PTR, true, 1,
     STR("p"), 0, 60, false},
    {"odd bytes in a name",
     STR(HEAD("\1", "\1") QUESTION RECORD(PTR) "\0\6\4a.\n\xff\0"), DNS_PTR,
     true, 1, STR("a???"), 0, 60, false},
    {"IPv4", STR(HEAD("\1", "\1") QUESTION RECORD(A) "\0\4\xc0\0\2\1"), DNS_A,
     true, 1, STR("192.0.2.1"), 0, 60, false},
    {"IPv6",
     STR(HEAD("\1", "\1") QUESTION RECORD(
         AAAA) "\0\x10\x20\1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\1"),
     DNS_AAAA, true, 1, STR("2001:db8::1"), 0, 60, false},
    {"no question, no answer", STR(HEAD("\0", "\0")), DNS_TXT, true, 0, STR(""),
     0, 0, false},

    {"nothing", STR(""), DNS_TXT, false, 0, STR(""), 0, 0, false},
    {"half a head", STR("\x12\x34\x81\x80\0\1"), DNS_TXT, false, 0, STR(""), 0,
     0, false},
    {"fewer answers than said",
     STR(HEAD("\1", "\2") QUESTION RECORD(TXT) "\0\2\1a"), DNS_TXT, false, 0,
     STR(""), 0, 0, false},
    {"no question where one is said", STR(HEAD("\1", "\0")), DNS_TXT, false, 0,
     STR(""), 0, 0, false},
    {"data beyond the end",
     STR(HEAD("\1", "\1") QUESTION RECORD(TXT) "\0\x09\2hi"), DNS_TXT, false, 0,
     STR(""), 0, 0, false},
    {"a string beyond its record",
     STR(HEAD("\1", "\1") QUESTION RECORD(TXT) "\0\3\3hi!"), DNS_TXT, false, 0,
     STR(""), 0, 0, false},
    {"an address of three bytes",
     STR(HEAD("\1", "\1") QUESTION RECORD(A) "\0\3\x7f\0\0"), DNS_A, false, 0,
     STR(""), 0, 0, false},
    {"a name that points to itself",
     STR(HEAD("\1", "\1") QUESTION RECORD(PTR) "\0\2\xc0\x24"), DNS_PTR, false,
     0, STR(""), 0, 0, false},
    {"a name that points ahead",
     STR(HEAD("\1", "\1") QUESTION RECORD(PTR) "\0\2\xc0\x26\1a\0"), DNS_PTR,
     false, 0, STR(""), 0, 0, false},
    {"a label of an unknown kind",
     STR(HEAD("\1", "\1") QUESTION RECORD(PTR) "\0\2\x41\0"), DNS_PTR, false, 0,
     STR(""), 0, 0, false},
    {"bytes behind a name",
     STR(HEAD("\1", "\1") QUESTION RECORD(PTR) "\0\4\1p\0\0"), DNS_PTR, false,
     0, STR(""), 0, 0, false},
    {"MX without a host", STR(HEAD("\1", "\1") QUESTION RECORD(MX) "\0\2\0\1"),
     DNS_MX, false, 0, STR(""), 0, 0, false},
};

static void answers_are_read_or_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        struct arena *arena = arena_create();
        struct dns_records got;
        bool is_good =
            dns_message_read(CASES[i].message, CASES[i].type, arena, &got);

        if (is_good != CASES[i].is_good ||
            (is_good &&
             (got.count != CASES[i].count || got.ttl_s != CASES[i].ttl_s ||
              got.is_alias != CASES[i].is_alias || got.has_more)))
            fail_msg("%s: %s, %zu records, %u s", CASES[i].name,
                     is_good ? "read" : "refused", got.count, got.ttl_s);
        if (is_good && got.count > 0 &&
            (!str_eq(got.records[0].data, CASES[i].first) ||
             got.records[0].preference != CASES[i].preference))
            fail_msg("%s: '%.*s' %u", CASES[i].name,
                     STR_ARG(got.records[0].data), got.records[0].preference);
        arena_destroy(&arena);
    }
}

/* Every beginning of a good answer is refused, and nothing beyond it read. */
static void no_answer_is_read_beyond_its_end(void **state)
{
    struct arena *arena = arena_create();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        for (size_t len = 0; CASES[i].is_good && len < CASES[i].message.len;
             len++) {
            struct str cut =
                arena_copy(arena, str_slice(CASES[i].message, 0, len));
            struct dns_records got;

            assert_false(dns_message_read(cut, CASES[i].type, arena, &got));
        }
    }
    arena_destroy(&arena);
}

static void many_records_are_bounded(void **state)
{
    struct arena *arena = arena_create();
    struct dns_records got;
    struct buf out;

    (void)state;
    buf_init(&out, 1 << 16);
    buf_add(&out, S(HEAD("\1", "\x28") QUESTION));
    for (int i = 0; i < 40; i++)
        buf_add(&out, S(RECORD(TXT) "\0\2\1a"));
    assert_true(dns_message_read(buf_str(&out), DNS_TXT, arena, &got));
    assert_int_equal(got.count, DNS_RECORDS_MAX);
    assert_true(got.has_more);
    buf_clear(&out);
    buf_add(&out, S(HEAD("\1", "\2") QUESTION));
    for (int i = 0; i < 2; i++) {
        buf_add(&out, S(RECORD(TXT) "\x27\x00"));
        for (int k = 0; k < 39; k++) {
            buf_add_char(&out, '\xff');
            for (int n = 0; n < 255; n++)
                buf_add_char(&out, 'x');
        }
    }
    assert_true(dns_message_read(buf_str(&out), DNS_TXT, arena, &got));
    assert_int_equal(got.count, 1);
    assert_int_equal(got.records[0].data.len, 39 * 255);
    assert_true(got.has_more);
    buf_finish(&out);
    arena_destroy(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_read_or_refused),
        cmocka_unit_test(no_answer_is_read_beyond_its_end),
        cmocka_unit_test(many_records_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
