#include "smtp/message/dkim.h"

#include "server/base/codec.h"
#include "smtp/message/encode.h"

#include "check_cmocka.h"

#include <stdio.h>
#include <string.h>

enum { OUT_MAX = 1 << 20 };

/* The private key of RFC 8463 appendix A.2, framed as PKCS#8 (RFC 8410). */
#define ED25519_FRAME   "302e020100300506032b657004220420"
#define ED25519_PRIVATE "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="

static struct dkim_key *key;
static struct buf out;

static int setup(void **state)
{
    struct buf der;

    (void)state;
    buf_init(&out, OUT_MAX);
    buf_init(&der, DKIM_PRIVATE_MAX);
    assert_true(codec_hex_decode(S(ED25519_FRAME), &der));
    assert_true(codec_base64_decode(S(ED25519_PRIVATE), &der));
    key = dkim_key_load(DKIM_ED25519, buf_str(&der));
    assert_non_null(key);
    buf_finish(&der);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    dkim_key_destroy(&key);
    buf_finish(&out);
    return 0;
}

/* --- the body --- */

/* RFC 6376 sections 3.4.4 and 3.4.5; what others had wrong: the empty body
 * (KumoMTA PR 575), a tail of white space (rspamd 5590, MimeKit 187). */
static const struct {
    struct str body;
    struct str relaxed;
} BODIES[] = {
    {STR(""), STR("")},
    {STR("\r\n"), STR("")},
    {STR("\r\n\r\n\r\n"), STR("")},
    {STR(" "), STR("")},
    {STR(" \r\n\t\r\n  \t"), STR("")},
    {STR("a"), STR("a\r\n")},
    {STR("a\r\n"), STR("a\r\n")},
    {STR("a\r\n\r\n"), STR("a\r\n")},
    {STR("a \t\r\n \r\n\t\r\n"), STR("a\r\n")},
    {STR("a\r\n "), STR("a\r\n")},
    {STR(" C \r\nD \t E\r\n\r\n\r\n"), STR(" C\r\nD E\r\n")},
    {STR("a\r\n\r\n \r\nb\r\n"), STR("a\r\n\r\n\r\nb\r\n")},
    {STR("\r\na\r\n"), STR("\r\na\r\n")},
    {STR("\ta\r\n"), STR(" a\r\n")},
    {STR("a  b\tc   d \r\n"), STR("a b c d\r\n")},
    {STR("-- \r\nme\r\n"), STR("--\r\nme\r\n")},
    {STR("a \nb \rc"), STR("a \nb \rc\r\n")}, /* no line ends */
    {STR("a\r"), STR("a\r\r\n")},
    {STR("a\0 \0\r\n"), STR("a\0 \0\r\n")},
};

static void bodies_are_hashed_relaxed(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(BODIES); i++) {
        const struct octets message = {.frame = BODIES[i].body};
        unsigned char hash[SHA256_SIZE];
        unsigned char want[SHA256_SIZE];

        dkim_body_hash(&message, 0, hash);
        secret_sha256(BODIES[i].relaxed, want);
        if (memcmp(hash, want, sizeof hash) != 0)
            fail_msg("body %zu", i);
    }
}

/* Whether a file is encoded already or not. */
static void a_file_is_hashed_as_it_goes_out(void **state)
{
    static const char bytes[100000] = {'x', [99999] = 'y'};
    const struct octets_file file = {.at = 11, .bytes = {bytes, sizeof bytes}};
    const struct octets message = {S("A: b\r\n\r\nC\r\n \r\n--b-- \r\n\r\n"),
                                   &file, 1};
    unsigned char hash[SHA256_SIZE];
    unsigned char want[SHA256_SIZE];
    struct buf relaxed;

    (void)state;
    buf_init(&relaxed, 2 * sizeof bytes);
    buf_add(&relaxed, S("C\r\n"));
    base64_lines_add(&relaxed, file.bytes);
    buf_add(&relaxed, S("\r\n--b--\r\n"));
    secret_sha256(buf_str(&relaxed), want);
    dkim_body_hash(&message, 8, hash);
    assert_memory_equal(hash, want, sizeof hash);
    buf_finish(&relaxed);
}

static void the_hash_of_no_body_is_that_of_no_bytes(void **state)
{
    const struct octets message = {.frame = S("\r\n")};
    unsigned char hash[SHA256_SIZE];

    (void)state;
    dkim_body_hash(&message, 0, hash);
    codec_base64_add(&out, str_make(hash, sizeof hash));
    assert_string_equal(out.data,
                        "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
}

/* --- the header --- */

static void fields_are_relaxed(void **state)
{
    static const struct {
        const char *field;
        const char *relaxed;
    } cases[] = {
        {"A: X\r\n", "a:X"}, /* RFC 6376 section 3.4.5 */
        {"B : Y\t\r\n\tZ  \r\n", "b:Y Z"},
        {"SUBJect:a  b\t c", "subject:a b c"},
        {"To:\r\n a,\r\n\tb\r\n", "to:a, b"},
        {"X:", "x:"},
        {"X: \r\n \r\n", "x:"},
        {"X: a:b\r\n", "x:a:b"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        buf_clear(&out);
        dkim_relax_field(str_of(cases[i].field), &out);
        assert_string_equal(out.data, cases[i].relaxed);
    }
}

/* RFC 8463 appendix A.3: bh= and b= come out as they stand there. */
static void the_example_of_rfc_8463_comes_out(void **state)
{
    static const char *const fields[] = {
        "From: Joe SixPack <joe@football.example.com>\r\n",
        "To: Suzie Q <suzie@shopping.example.net>\r\n",
        "Subject: Is dinner ready?\r\n",
        "Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n",
        "Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n",
    };
    const struct octets message = {
        .frame = S("Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n"
                   "\r\nJoe.\r\n")};
    unsigned char signature[DKIM_SIGNATURE_MAX];
    unsigned char hash[SHA256_SIZE];
    size_t len;

    (void)state;
    dkim_body_hash(&message, 0, hash);
    buf_clear(&out);
    codec_base64_add(&out, str_make(hash, sizeof hash));
    assert_string_equal(out.data,
                        "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=");
    buf_clear(&out);
    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        dkim_relax_field(str_of(fields[i]), &out);
        buf_add(&out, S("\r\n"));
    }
    dkim_relax_field(
        S("DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
          " d=football.example.com; i=@football.example.com;\r\n"
          " q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
          " subject : date : message-id : from : subject : date;\r\n"
          " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
          " b=\r\n"),
        &out);
    secret_sha256(buf_str(&out), hash);
    len = dkim_key_sign(key, hash, signature);
    buf_clear(&out);
    codec_base64_add(&out, str_make(signature, len));
    assert_string_equal(out.data,
                        "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11"
                        "BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==");
    buf_clear(&out);
    dkim_key_public(key, &out);
    assert_string_equal(out.data,
                        "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
}

/* --- the whole --- */

static const unsigned char BODY_HASH[SHA256_SIZE];

static void sign(struct str header, struct str domain, const char *selector)
{
    const struct dkim_signer signers[] = {{key, str_of(selector)}};

    buf_clear(&out);
    dkim_sign(header, BODY_HASH, domain, 1795530247, signers, 1, &out);
    assert_false(out.full);
}

/* What h= lists, without its folds. */
static const char *signed_names(void)
{
    static char names[1024];
    const char *at = strstr(out.data, " h=");
    size_t len = 0;

    assert_non_null(at);
    for (at += 3; *at != ';'; at++)
        if (*at != ' ' && *at != '\r' && *at != '\n')
            names[len++] = *at;
    names[len] = '\0';
    return names;
}

/* Verified by others in tests/integration/dkim.test.mjs. */
static void a_signature_is_written_like_this(void **state)
{
    (void)state;
    sign(S("From: a@example.com\r\nTo: b@example.net\r\nSubject: s\r\n"
           "Date: d\r\nMessage-ID: <m@example.com>\r\nX-Other: o\r\n"
           "MIME-Version: 1.0\r\n"),
         S("example.com"), "ph1e1");
    assert_string_equal(
        out.data,
        "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; "
        "d=example.com;\r\n"
        " s=ph1e1; t=1795530247; "
        "h=from:to:subject:date:message-id:mime-version:from:\r\n"
        " to:cc:reply-to:subject:date:message-id:mime-version:content-type:\r\n"
        " content-transfer-encoding; "
        "bh=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=;\r\n"
        " b=0kR2Gv8KFYJhTDe9My29baWisccBOto1Wdcxu0lYXpt/"
        "uGb5jmJLZjoeNlqH63eWcb7MNNavtoM\r\n"
        " LXaHMK6DvDA==\r\n");
}

#define GUARDED                                                                \
    "from:to:cc:reply-to:subject:date:message-id:mime-version:content-type:"   \
    "content-transfer-encoding"

/* Each of these may be there once: named once more, none can be added. */
static void fields_are_named_once_more_than_they_are_there(void **state)
{
    (void)state;
    sign(S("From: a\r\n"), S("example.com"), "s");
    assert_string_equal(signed_names(), "from:" GUARDED);
    sign(S("Subject: s\r\nFrom: a\r\nFROM: b\r\nTo: c\r\n"), S("example.com"),
         "s");
    assert_string_equal(signed_names(), "from:from:to:subject:" GUARDED);
}

static void what_may_come_on_the_way_is_not_signed(void **state)
{
    (void)state;
    sign(S("Return-Path: <>\r\nReceived: x\r\nBcc: x\r\nX-Mine: x\r\n"
           "Comments: x\r\nKeywords: x\r\nDKIM-Signature: x\r\nFrom: a\r\n"),
         S("example.com"), "s");
    assert_string_equal(signed_names(), "from:" GUARDED);
}

static void every_field_of_ours_is_signed(void **state)
{
    (void)state;
    sign(S("From: a\r\nTo: a\r\nCc: a\r\nReply-To: a\r\nSender: a\r\n"
           "Subject: a\r\nDate: a\r\nMessage-ID: a\r\nIn-Reply-To: a\r\n"
           "References: a\r\nMIME-Version: a\r\nContent-Type: a\r\n"
           "Content-Transfer-Encoding: a\r\nList-Id: a\r\n"
           "List-Unsubscribe: a\r\nList-Unsubscribe-Post: a\r\n"
           "Feedback-ID: a\r\nOTP-Token: a\r\nAuto-Submitted: a\r\n"),
         S("example.com"), "s");
    assert_string_equal(
        signed_names(),
        "from:to:cc:reply-to:sender:subject:date:message-id:in-reply-to:"
        "references:mime-version:content-type:content-transfer-encoding:"
        "list-id:list-unsubscribe:list-unsubscribe-post:feedback-id:"
        "otp-token:auto-submitted:" GUARDED);
}

/* Longest line, without its end. */
static size_t longest_line(void)
{
    struct str rest = buf_str(&out);
    size_t longest = 0;
    struct str line;

    assert_true(str_ends(rest, S("\r\n")));
    while (str_cut(&rest, '\n', &line)) {
        if (line.len > 0)
            assert_true(str_ends(line, S("\r")));
        if (line.len > longest + 1)
            longest = line.len - 1;
        if (line.len > 1)
            assert_false(str_eq(str_trim(str_slice(line, 0, line.len - 1)),
                                S(""))); /* no line of blanks */
    }
    return longest;
}

static void lines_have_78_bytes_at_most(void **state)
{
    char domain[254];

    (void)state;
    memset(domain, 'a', sizeof domain);
    for (size_t len = 1; len <= 73; len++) {
        sign(S("From: a\r\nTo: a\r\nSubject: a\r\n"), str_make(domain, len),
             "s");
        assert_in_range(longest_line(), 60, 78);
    }
    for (size_t len = 74; len <= 253; len++) {
        sign(S("From: a\r\n"), str_make(domain, len), "s");
        assert_int_equal(longest_line(), 1 + 2 + len + 1);
    }
}

/* A header longer than a list of names can be: the rest goes unsigned, from
 * the top, where fields are added on the way. */
static void a_header_of_many_fields_is_signed(void **state)
{
    struct buf header;

    (void)state;
    buf_init(&header, OUT_MAX);
    for (unsigned i = 0; i < 1000; i++)
        buf_addf(&header, "From: %u\r\n", i);
    sign(buf_str(&header), S("example.com"), "s");
    assert_in_range(longest_line(), 60, 78);
    buf_finish(&header);
}

static void several_signatures_stand_in_their_order(void **state)
{
    struct dkim_signer signers[] = {{key, S("one")}, {key, S("two")}};

    (void)state;
    buf_clear(&out);
    dkim_sign(S("From: a\r\n"), BODY_HASH, S("example.com"), 1795530247,
              signers, COUNT_OF(signers), &out);
    assert_true(str_find(buf_str(&out), S(" s=one; "), 0) <
                str_find(buf_str(&out), S(" s=two; "), 0));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_are_hashed_relaxed),
        cmocka_unit_test(a_file_is_hashed_as_it_goes_out),
        cmocka_unit_test(the_hash_of_no_body_is_that_of_no_bytes),
        cmocka_unit_test(fields_are_relaxed),
        cmocka_unit_test(the_example_of_rfc_8463_comes_out),
        cmocka_unit_test(a_signature_is_written_like_this),
        cmocka_unit_test(fields_are_named_once_more_than_they_are_there),
        cmocka_unit_test(what_may_come_on_the_way_is_not_signed),
        cmocka_unit_test(every_field_of_ours_is_signed),
        cmocka_unit_test(lines_have_78_bytes_at_most),
        cmocka_unit_test(a_header_of_many_fields_is_signed),
        cmocka_unit_test(several_signatures_stand_in_their_order),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
