#include "smtp/message/message.h"

#include "server/base/codec.h"

#include "check_cmocka.h"

enum { OUT_MAX = 1 << 20 };

struct fixture {
    struct arena *arena;
    struct message message;
    struct mailbox to;
    struct buf out;
};

static int setup(void **state)
{
    struct fixture *fixture = test_calloc(1, sizeof *fixture);
    struct message *message = &fixture->message;

    fixture->arena = arena_create();
    buf_init(&fixture->out, OUT_MAX);
    assert_int_equal(mailbox_parse(fixture->arena,
                                   S("ACME <no-reply@acme.example>"),
                                   &message->from),
                     FLAW_NONE);
    assert_int_equal(
        mailbox_parse(fixture->arena, S("jane@example.com"), &fixture->to),
        FLAW_NONE);
    message->to = &fixture->to;
    message->to_count = 1;
    message->subject = S("Your code");
    message->message_id = S("<1@acme.example>");
    message->date_ms = 1795530247000;
    message->seed = S("job-1");
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    buf_finish(&fixture->out);
    arena_destroy(&fixture->arena);
    test_free(fixture);
    return 0;
}

#define TOP                                                                    \
    "From: ACME <no-reply@acme.example>\r\n"                                   \
    "To: jane@example.com\r\n"                                                 \
    "Subject: Your code\r\n"                                                   \
    "Date: Tue, 24 Nov 2026 14:24:07 +0000\r\n"                                \
    "Message-ID: <1@acme.example>\r\n"
#define AUTOMATIC                                                              \
    "Auto-Submitted: auto-generated\r\n"                                       \
    "X-Auto-Response-Suppress: OOF, AutoReply\r\n"
#define MIME "MIME-Version: 1.0\r\n"
#define PLAIN                                                                  \
    "Content-Type: text/plain; charset=utf-8\r\n"                              \
    "Content-Transfer-Encoding: 7bit\r\n\r\n"
#define HTML                                                                   \
    "Content-Type: text/html; charset=utf-8\r\n"                               \
    "Content-Transfer-Encoding: 7bit\r\n\r\n"
/* HMAC-SHA256("job-1", "boundary 0") and so on, cut to 128 bits */
#define B0 "=_2c4f3d8993fd45f7877bf9a6751c1f5d"
#define B1 "=_2a8caf99b1b9f8d914533e85cf56ea68"
#define B2 "=_94756f829ec3c657420b66406c8e17c7"

/* Without its files it is what it was, whoever encodes them. */
static void compose_apart(struct fixture *fixture, size_t header)
{
    struct octets_files files;
    struct octets octets;
    struct str whole = buf_str(&fixture->out);
    struct buf frame;

    buf_init(&frame, OUT_MAX);
    assert_int_equal(
        message_compose(&fixture->message, fixture->arena, &frame, &files),
        header);
    octets = (struct octets){buf_str(&frame), files.items, files.count};
    assert_int_equal(octets_len(&octets), whole.len);
    for (size_t at = 0; at < whole.len;) {
        struct octets_run run = octets_run_at(&octets, at);
        struct buf part;

        buf_init(&part, OUT_MAX);
        if (!run.is_file)
            buf_add(&part, run.bytes);
        while (run.is_file && part.len < run.len)
            octets_add_lines(&run, part.len, run.len, &part);
        assert_int_equal(part.len, run.len);
        assert_true(str_starts(str_from(whole, at), buf_str(&part)));
        buf_finish(&part);
        at += run.len;
    }
    buf_finish(&frame);
}

/* Composes and checks what holds for every message. */
static const char *compose(struct fixture *fixture)
{
    size_t bound = message_size_bound(&fixture->message);
    size_t header;
    struct str rest;
    struct str line;

    buf_clear(&fixture->out);
    header =
        message_compose(&fixture->message, fixture->arena, &fixture->out, NULL);
    assert_false(fixture->out.full);
    assert_true(fixture->out.len <= bound);
    assert_memory_equal(fixture->out.data + header - 4, "\r\n\r\n", 4);
    assert_true(utf8_is_ascii(buf_str(&fixture->out)));
    rest = buf_str(&fixture->out);
    while (str_cut(&rest, '\n', &line)) {
        if (rest.ptr == NULL)
            break;
        assert_true(line.len > 0 && line.len <= 999);
        assert_int_equal(str_index(line, '\r', 0), line.len - 1);
    }
    assert_int_equal(line.len, 0); /* the last line has its end */
    compose_apart(fixture, header);
    return fixture->out.data;
}

static void a_text_alone_is_one_part(void **state)
{
    struct fixture *fixture = *state;

    fixture->message.has_text = true;
    fixture->message.text = S("Code: 483920\nBye");
    assert_string_equal(compose(fixture),
                        TOP AUTOMATIC MIME PLAIN "Code: 483920\r\nBye\r\n");
    fixture->message.text = S("Code: 483920\r\n");
    assert_string_equal(compose(fixture),
                        TOP AUTOMATIC MIME PLAIN "Code: 483920\r\n");
    fixture->message.text = S("");
    assert_string_equal(compose(fixture), TOP AUTOMATIC MIME PLAIN);
}

static void bulk_mail_is_not_marked_automatic(void **state)
{
    struct fixture *fixture = *state;

    fixture->message.has_text = true;
    fixture->message.text = S("x");
    fixture->message.is_bulk = true;
    assert_string_equal(compose(fixture), TOP MIME PLAIN "x\r\n");
}

static void text_and_html_are_alternatives(void **state)
{
    struct fixture *fixture = *state;

    fixture->message.has_text = true;
    fixture->message.text = S("one\n");
    fixture->message.html = S("<p>one</p>");
    assert_string_equal(compose(fixture), TOP AUTOMATIC MIME
                        "Content-Type: multipart/alternative;\r\n"
                        " boundary=\"" B0 "\"\r\n\r\n"
                        "--" B0 "\r\n" PLAIN "one\r\n\r\n"
                        "--" B0 "\r\n" HTML "<p>one</p>\r\n"
                        "--" B0 "--\r\n");
}

static void html_alone_gets_a_text(void **state)
{
    struct fixture *fixture = *state;

    fixture->message.html = S("<p>one</p>");
    assert_string_equal(compose(fixture), TOP AUTOMATIC MIME
                        "Content-Type: multipart/alternative;\r\n"
                        " boundary=\"" B0 "\"\r\n\r\n"
                        "--" B0 "\r\n" PLAIN "one\r\n"
                        "--" B0 "\r\n" HTML "<p>one</p>\r\n"
                        "--" B0 "--\r\n");
}

static void an_empty_text_leaves_html_alone(void **state)
{
    struct fixture *fixture = *state;

    fixture->message.html = S("<p>one</p>");
    fixture->message.has_text = true;
    assert_string_equal(compose(fixture),
                        TOP AUTOMATIC MIME HTML "<p>one</p>\r\n");
    fixture->message.has_text = false;
    fixture->message.html = S("<p></p>"); /* of which no text can be made */
    assert_string_equal(compose(fixture),
                        TOP AUTOMATIC MIME HTML "<p></p>\r\n");
}

static void the_callers_headers_have_their_places(void **state)
{
    struct fixture *fixture = *state;
    struct header headers[] = {
        {S("X-Campaign"), S("spring")},
        {S("References"), S("<a@b> <c@d>")},
        {S("auto-submitted"), S("no")},
        {S("message-id"), S("<own@acme.example>")},
        {S("List-Unsubscribe"), S("<https://acme.example/u>")},
        {S("X-Entity-Ref-ID"), S("mine")},
    };

    fixture->message.has_text = true;
    fixture->message.text = S("x");
    fixture->message.entity_ref = S("ours");
    fixture->message.headers = headers;
    fixture->message.header_count = COUNT_OF(headers);
    assert_string_equal(compose(fixture),
                        "From: ACME <no-reply@acme.example>\r\n"
                        "To: jane@example.com\r\n"
                        "Subject: Your code\r\n"
                        "Date: Tue, 24 Nov 2026 14:24:07 +0000\r\n"
                        "Message-ID: <own@acme.example>\r\n"
                        "References: <a@b> <c@d>\r\n"
                        "List-Unsubscribe: <https://acme.example/u>\r\n"
                        "Auto-Submitted: no\r\n"
                        "X-Auto-Response-Suppress: OOF, AutoReply\r\n"
                        "X-Entity-Ref-ID: mine\r\n"
                        "X-Campaign: spring\r\n" MIME PLAIN "x\r\n");
}

/* A Message-ID of ours holds the domain of the sender, of any length. */
static void a_long_domain_is_no_trouble(void **state)
{
    struct fixture *fixture = *state;
    char id[295];

    memset(id, 'd', sizeof id);
    memcpy(id, "<1@", 3);
    id[sizeof id - 1] = '>';
    fixture->message.has_text = true;
    fixture->message.message_id = str_make(id, sizeof id);
    assert_int_equal(msg_id_check(fixture->message.message_id),
                     FLAW_HEADER_MSG_ID);
    assert_true(
        str_contains(str_of(compose(fixture)), fixture->message.message_id));
}

static void without_visible_recipients_to_says_so(void **state)
{
    struct fixture *fixture = *state;

    fixture->message.has_text = true;
    fixture->message.to_count = 0;
    assert_true(str_starts(str_of(compose(fixture)),
                           S("From: ACME <no-reply@acme.example>\r\n"
                             "To: undisclosed-recipients:;\r\n")));
}

static void cc_and_reply_to_are_written(void **state)
{
    struct fixture *fixture = *state;

    fixture->message.has_text = true;
    fixture->message.cc = &fixture->to;
    fixture->message.cc_count = 1;
    fixture->message.reply_to = &fixture->message.from;
    fixture->message.reply_to_count = 1;
    assert_true(str_starts(str_of(compose(fixture)),
                           S("From: ACME <no-reply@acme.example>\r\n"
                             "To: jane@example.com\r\n"
                             "Cc: jane@example.com\r\n"
                             "Reply-To: ACME <no-reply@acme.example>\r\n")));
}

static void images_that_the_html_shows_are_related(void **state)
{
    struct fixture *fixture = *state;
    struct attachment attachments[] = {
        {.content = S("PNG"), .name = S("a.png"), .content_id = S("<a@x>")},
        {.content = S("PDF"), .name = S("b.pdf"), .content_id = S("b")},
    };

    fixture->message.has_text = true;
    fixture->message.text = S("t");
    fixture->message.html = S("<img src=\"CID:a%40x\">");
    fixture->message.attachments = attachments;
    fixture->message.attachment_count = 2;
    assert_string_equal(
        compose(fixture), TOP AUTOMATIC MIME
        "Content-Type: multipart/mixed; boundary=\"" B2 "\"\r\n\r\n"
        "--" B2 "\r\n"
        "Content-Type: multipart/alternative;\r\n"
        " boundary=\"" B0 "\"\r\n\r\n"
        "--" B0 "\r\n" PLAIN "t\r\n"
        "--" B0 "\r\n"
        "Content-Type: multipart/related; type=\"text/html\";\r\n"
        " boundary=\"" B1 "\"\r\n\r\n"
        "--" B1 "\r\n" HTML "<img src=\"CID:a%40x\">\r\n"
        "--" B1 "\r\n"
        "Content-Type: image/png; name=\"a.png\"\r\n"
        "Content-Transfer-Encoding: base64\r\n"
        "Content-Disposition: inline; filename=\"a.png\"\r\n"
        "Content-ID: <a@x>\r\n\r\n"
        "UE5H\r\n"
        "--" B1 "--\r\n"
        "--" B0 "--\r\n"
        "--" B2 "\r\n"
        "Content-Type: application/pdf; name=\"b.pdf\"\r\n"
        "Content-Transfer-Encoding: base64\r\n"
        "Content-Disposition: attachment; filename=\"b.pdf\"\r\n"
        "Content-ID: <b>\r\n\r\n"
        "UERG\r\n"
        "--" B2 "--\r\n");
}

#define MIXED                                                                  \
    TOP AUTOMATIC MIME "Content-Type: multipart/mixed; boundary=\"" B0         \
                       "\"\r\n\r\n"                                            \
                       "--" B0 "\r\n" PLAIN "\r\n"                             \
                       "--" B0 "\r\n"

static const struct {
    const char *name;
    struct attachment attachment;
    const char *part;
} FILES[] = {
    {"its type's parameters are kept, a name among them is not",
     {.content = STR("a\nb"),
      .name = STR("a.txt"),
      .type = STR("text/plain; charset=us-ascii; name=evil; x=\"y z\"")},
     "Content-Type: text/plain; charset=\"us-ascii\"; x=\"y z\"; "
     "name=\"a.txt\"\r\n"
     "Content-Transfer-Encoding: base64\r\n"
     "Content-Disposition: attachment; filename=\"a.txt\"\r\n\r\n"
     "YQpi\r\n"},
    {"text that is UTF-8 says so",
     {.content = STR("\xc3\xa4"), .name = STR("a.csv")},
     "Content-Type: text/csv; charset=\"utf-8\"; name=\"a.csv\"\r\n"
     "Content-Transfer-Encoding: base64\r\n"
     "Content-Disposition: attachment; filename=\"a.csv\"\r\n\r\n"
     "w6Q=\r\n"},
    {"text that is not does not",
     {.content = STR("\xe4"), .name = STR("a.csv")},
     "Content-Type: text/csv; name=\"a.csv\"\r\n"
     "Content-Transfer-Encoding: base64\r\n"
     "Content-Disposition: attachment; filename=\"a.csv\"\r\n\r\n"
     "5A==\r\n"},
    {"an empty file without a name",
     {.type = STR("image/png")},
     "Content-Type: image/png; name=\"attachment-1.png\"\r\n"
     "Content-Transfer-Encoding: base64\r\n"
     "Content-Disposition: attachment; filename=\"attachment-1.png\"\r\n\r\n"
     "\r\n"},
    {"a name beyond ASCII is given in two ways",
     {.content = STR("x"), .name = STR("\xe5\x8f\x91\xe7\xa5\xa8.pdf")},
     "Content-Type: application/pdf; name=\"=?UTF-8?B?5Y+R56WoLnBkZg==?=\"\r\n"
     "Content-Transfer-Encoding: base64\r\n"
     "Content-Disposition: attachment; "
     "filename*=UTF-8''%E5%8F%91%E7%A5%A8.pdf\r\n\r\n"
     "eA==\r\n"},
    {"quotation marks in a name are never bare",
     {.content = STR("x"), .name = STR("a\"b.pdf")},
     "Content-Type: application/pdf; name=\"=?UTF-8?B?YSJiLnBkZg==?=\"\r\n"
     "Content-Transfer-Encoding: base64\r\n"
     "Content-Disposition: attachment; filename*=UTF-8''a%22b.pdf\r\n\r\n"
     "eA==\r\n"},
    {"a long name is numbered pieces, cut between characters",
     {.content = STR("x"),
      .name = STR("\xe5\x8f\x91\xe7\xa5\xa8\xe5\x8f\x91\xe7\xa5\xa8\xe5\x8f\x91"
                  "\xe7\xa5\xa8\xe5\x8f\x91\xe7\xa5\xa8\xe5\x8f\x91\xe7\xa5\xa8"
                  "\xe5\x8f\x91\xe7\xa5\xa8\xe5\x8f\x91\xe7\xa5\xa8\xe5\x8f\x91"
                  ".pdf")},
     "Content-Type: application/pdf;\r\n"
     " name=\"=?UTF-8?B?5Y+R56Wo5Y+R56Wo5Y+R56Wo5Y+R56Wo5Y+R56Wo5Y+R56Wo5Y+R"
     "56Wo?=\r\n"
     " =?UTF-8?B?5Y+RLnBkZg==?=\"\r\n"
     "Content-Transfer-Encoding: base64\r\n"
     "Content-Disposition: attachment;\r\n"
     " filename*0*=UTF-8''%E5%8F%91%E7%A5%A8%E5%8F%91%E7%A5%A8%E5%8F%91%E7%A5"
     "%A8;\r\n"
     " filename*1*=%E5%8F%91%E7%A5%A8%E5%8F%91%E7%A5%A8%E5%8F%91%E7%A5%A8"
     "%E5%8F%91;\r\n"
     " filename*2*=%E7%A5%A8%E5%8F%91.pdf\r\n\r\n"
     "eA==\r\n"},
    {"a message of 7 bits stays readable",
     {.content = STR("Subject: x\n\nbody"), .name = STR("m.eml")},
     "Content-Type: message/rfc822; name=\"m.eml\"\r\n"
     "Content-Transfer-Encoding: 7bit\r\n"
     "Content-Disposition: attachment; filename=\"m.eml\"\r\n\r\n"
     "Subject: x\r\n\r\nbody\r\n"},
    {"a message of 8 bits goes as a plain file",
     {.content = STR("Subject: \xc3\xa4"), .name = STR("m.eml")},
     "Content-Type: application/octet-stream; name=\"m.eml\"\r\n"
     "Content-Transfer-Encoding: base64\r\n"
     "Content-Disposition: attachment; filename=\"m.eml\"\r\n\r\n"
     "U3ViamVjdDogw6Q=\r\n"},
};

static void files_are_parts_of_their_own(void **state)
{
    struct fixture *fixture = *state;

    for (size_t i = 0; i < COUNT_OF(FILES); i++) {
        struct str composed;
        struct str part;

        fixture->message.has_text = true;
        fixture->message.attachments = &FILES[i].attachment;
        fixture->message.attachment_count = 1;
        composed = str_of(compose(fixture));
        assert_true(str_starts(composed, S(MIXED)));
        assert_true(str_ends(composed, S("--" B0 "--\r\n")));
        part = str_slice(composed, sizeof MIXED - 1,
                         composed.len - (sizeof MIXED - 1) -
                             (sizeof "--" B0 "--\r\n" - 1));
        if (!str_eq(part, str_of(FILES[i].part)))
            fail_msg("%s:\n%.*s", FILES[i].name, STR_ARG(part));
    }
}

/* Small ones stand in the frame. */
static void large_files_stand_apart(void **state)
{
    static char bytes[100000];
    struct fixture *fixture = *state;
    struct attachment list[] = {
        {.content = {bytes, 100}, .name = S("small.bin")},
        {.content = {bytes, sizeof bytes}, .name = S("large.bin")},
        {.content = {bytes, 100}, .name = S("other.bin")},
        {.content = {bytes, sizeof bytes - 1},
         .name = S("image.png"),
         .content_id = S("a")},
        {.content = {bytes, sizeof bytes}, .name = S("mail.eml")},
    };
    struct octets_files files;
    struct buf frame;

    memset(bytes, 'x', sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i += 70)
        bytes[i] = '\n';
    fixture->message.html = S("<img src='cid:a'>");
    fixture->message.attachments = list;
    fixture->message.attachment_count = COUNT_OF(list);
    compose(fixture);
    buf_init(&frame, OUT_MAX);
    message_compose(&fixture->message, fixture->arena, &frame, &files);
    assert_int_equal(files.count, 2); /* no message is encoded */
    assert_ptr_equal(files.items[0].bytes.ptr, bytes);
    assert_int_equal(files.items[0].bytes.len, sizeof bytes - 1);
    assert_int_equal(files.items[1].bytes.len, sizeof bytes);
    assert_true(files.items[0].at < files.items[1].at);
    buf_finish(&frame);
}

static void equal_input_gives_equal_bytes(void **state)
{
    struct fixture *fixture = *state;
    struct str first;

    fixture->message.html = S("<p>one</p>");
    first = arena_copy(fixture->arena, str_of(compose(fixture)));
    assert_string_equal(compose(fixture), first.ptr);
    fixture->message.seed = S("job-2");
    assert_string_not_equal(compose(fixture), first.ptr);
}

static void what_does_not_fit_is_said(void **state)
{
    struct fixture *fixture = *state;
    struct buf small;

    fixture->message.has_text = true;
    fixture->message.text = S("x");
    buf_init(&small, 300);
    message_compose(&fixture->message, fixture->arena, &small, NULL);
    assert_true(small.full);
    buf_finish(&small);
}

static void utf8_addresses_are_announced(void **state)
{
    struct fixture *fixture = *state;

    assert_false(message_needs_utf8(&fixture->message));
    assert_int_equal(
        mailbox_parse(fixture->arena, S("j\xc3\xb6rg@x.io"), &fixture->to),
        FLAW_NONE);
    assert_true(message_needs_utf8(&fixture->message));
    fixture->message.to_count = 0;
    assert_false(message_needs_utf8(&fixture->message));
    fixture->message.cc = &fixture->to;
    fixture->message.cc_count = 1;
    assert_true(message_needs_utf8(&fixture->message));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(a_text_alone_is_one_part),
        TEST(bulk_mail_is_not_marked_automatic),
        TEST(text_and_html_are_alternatives),
        TEST(html_alone_gets_a_text),
        TEST(an_empty_text_leaves_html_alone),
        TEST(the_callers_headers_have_their_places),
        TEST(a_long_domain_is_no_trouble),
        TEST(without_visible_recipients_to_says_so),
        TEST(cc_and_reply_to_are_written),
        TEST(images_that_the_html_shows_are_related),
        TEST(files_are_parts_of_their_own),
        TEST(large_files_stand_apart),
        TEST(equal_input_gives_equal_bytes),
        TEST(what_does_not_fit_is_said),
        TEST(utf8_addresses_are_announced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
