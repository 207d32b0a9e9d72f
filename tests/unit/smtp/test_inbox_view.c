#include "smtp/inbox_view.h"

#include "smtp/inbox_code.h"
#include "smtp/inbox_decode.h"

#include "check_cmocka.h"

#include <stdlib.h>

static void assert_str(struct str got, const char *want, const char *name)
{
    if (!str_eq(got, str_of(want)))
        fail_msg("%s: \"%.*s\", want \"%s\"", name, STR_ARG(got), want);
}

static const struct {
    const char *value;
    const char *text;
} HEADERS[] = {
    {" plain ", "plain"},
    {" folded\r\n line", "folded line"},
    {"=?utf-8?B?w7w=?= and =?UTF-8?q?=C3=A4_=5F?=", "\xc3\xbc and \xc3\xa4 _"},
    {"=?utf-8?B?w7w=?=\r\n =?utf-8?B?w7w=?=  x", "\xc3\xbc\xc3\xbc  x"},
    {"=?utf-8*en?q?a?=", "a"},
    {"=?iso-8859-1?Q?=E4=80?=", "\xc3\xa4\xe2\x82\xac"},
    {"=?gb2312?B?xOM=?=", "\xef\xbf\xbd\xef\xbf\xbd"},
    {"\xff raw \xc3\xbc", "\xef\xbf\xbd raw \xc3\xbc"},
    {"=?utf-8?x?a?= =?utf-8?q?a b?= =?utf-8?q",
     "=?utf-8?x?a?= =?utf-8?q?a b?= =?utf-8?q"},
    {"=?", "=?"},
    {"=?=?utf-8?q?a?=", "=?a"},
    {"", ""},
};

static void headers_are_decoded(void **state)
{
    struct buf out;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(HEADERS); i++) {
        buf_init(&out, 1000);
        inbox_decode_header(&out, str_of(HEADERS[i].value));
        assert_str(buf_str(&out), HEADERS[i].text, HEADERS[i].value);
        buf_finish(&out);
    }
}

static const struct {
    const char *encoding;
    const char *charset;
    const char *body;
    const char *text;
} BODIES[] = {
    {"", "", "a\r\nb\nc", "a\nb\nc"},
    {"8bit", "utf-8", "\xc3\xbc", "\xc3\xbc"},
    {"Quoted-Printable", "utf-8", "a=3D=C3=BC=\r\nb = \r\nc=zz=\n=",
     "a=\xc3\xbc"
     "b c=zz"},
    {"BASE64", "", "aGV s\r\nbG8=ignored", "hello"},
    {"base64", "", "a", ""},
    {"7bit", "windows-1252", "\x93ok\x94", "\xe2\x80\x9cok\xe2\x80\x9d"},
    {"x-uue", "koi8-r", "\xc1z", "\xef\xbf\xbdz"},
    {"base64", "utf-8", "/w==", "\xef\xbf\xbd"},
};

static void bodies_are_decoded(void **state)
{
    struct buf out;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(BODIES); i++) {
        buf_init(&out, 1000);
        inbox_decode_body(&out, str_of(BODIES[i].body),
                          str_of(BODIES[i].encoding),
                          str_of(BODIES[i].charset));
        assert_str(buf_str(&out), BODIES[i].text, BODIES[i].body);
        buf_finish(&out);
    }
}

static const struct {
    const char *subject;
    const char *text;
    const char *code;
} CODES[] = {
    {"Your code is 482913", "", "482913"},
    {"482913 is your Acme code", "valid until 2026-11-24 12:30", "482913"},
    {"Sign in", "Your verification code:\n\n    A1B2C3\n", "A1B2C3"},
    {"Sign in", "Use 4829 as passcode. It ends in 1000000 seconds.", "4829"},
    {"Anmeldung", "Dein OTP: 00991", "00991"},
    {"\xe9\xaa\x8c\xe8\xaf\x81\xe7\xa0\x81",
     "\xe6\x82\xa8\xe7\x9a\x84\xe9\xaa\x8c\xe8\xaf\x81\xe7\xa0\x81\xe6\x98\xaf"
     "123456\xe3\x80\x82",
     "123456"},
    {"Hello", "PIN-free since 2019. Enter 55012.", "55012"},
    {"Hello", "decode 1234567890123 and 99887766", "99887766"},
    {"Bill 2026-0042", "12,345.00 or $4000 or #5566 or 10:3000, (c) 2026", ""},
    {"Order", "https://x.test/verify?code=123456 or mail 998877@x.test", ""},
    {"Order", "code: https://x.test/a1b2c3", ""},
    {"Welcome", "no digits here, code", ""},
    {"code",
     "far away ......................................................"
     "............................ 1234",
     "1234"},
    {"", "code code code abcdef 7777abc.", "7777abc"},
    {"", "", ""},
};

static void codes_are_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(CODES); i++)
        assert_str(
            inbox_code_find(str_of(CODES[i].subject), str_of(CODES[i].text)),
            CODES[i].code, CODES[i].text);
}

static const struct {
    const char *text;
    const char *link;
} LINKS[] = {
    {"see https://x.test/a. And (http://y.test/verify?t=1)!",
     "http://y.test/verify?t=1"},
    {"see https://x.test/a, http://y.test/b", "https://x.test/a"},
    {"<HTTPS://x.test/a>", "HTTPS://x.test/a"},
    {"https://x.test/\xe3\x80\x82", "https://x.test/"},
    {"http:// https://. ftp://x", ""},
    {"", ""},
};

static void links_are_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(LINKS); i++)
        assert_str(inbox_link_find(str_of(LINKS[i].text)), LINKS[i].link,
                   LINKS[i].text);
}

static const struct {
    const char *name;
    const char *raw;
    const char *subject;
    const char *text;
    const char *html;
    const char *code;
    const char *link;
    size_t attachments;
} MAILS[] = {
    {
        .name = "plain, no MIME, LF lines",
        .raw = "Subject: Your code\nFrom: a@b.test\n\n123456\n",
        .subject = "Your code",
        .text = "123456\n",
        .code = "123456",
    },
    {
        .name = "alternatives in a mixed, quoted boundary, attachment",
        .raw =
            "subject: =?utf-8?q?S=C3=BC=C3=9F?=\r\n"
            "Content-Type: multipart/mixed;\r\n boundary=\"a; b\"\r\n\r\n"
            "preamble\r\n"
            "--a; b\r\nContent-Type: multipart/alternative; boundary=in\r\n\r\n"
            "--in\r\nContent-Type: text/plain; charset=\"utf-8\"\r\n"
            "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
            "code =\r\n4711x\r\n"
            "--in \r\nContent-Type: text/html\r\n\r\n<b>h</b>\r\n--in--\r\n"
            "--a; b\r\nContent-Type: text/plain\r\n"
            "Content-Disposition: attachment; filename=x\r\n\r\n999999\r\n"
            "--a; b--\r\nepilogue\r\n",
        .subject = "S\xc3\xbc\xc3\x9f",
        .text = "code 4711x",
        .html = "<b>h</b>",
        .code = "4711x",
        .attachments = 1,
    },
    {
        .name = "html alone",
        .raw = "Subject: Confirm\r\nContent-Type: text/html\r\n"
               "Content-Transfer-Encoding: base64\r\n\r\n"
               "PHA+WW91ciBjb2RlIGlzIDxiPjg4MTI8L2I+PC9wPjxhIGhyZWY9Imh0dHA6"
               "Ly94LnRlc3QvYz9hPTEmYW1wO2I9MiI+Z288L2E+\r\n",
        .subject = "Confirm",
        .html = "<p>Your code is <b>8812</b></p><a "
                "href=\"http://x.test/c?a=1&amp;b=2\">go</a>",
        .code = "8812",
        .link = "http://x.test/c?a=1&b=2",
    },
    {
        .name = "cut short",
        .raw = "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nab",
        .text = "ab",
    },
    {
        .name = "no boundary, no body",
        .raw = "Content-Type: multipart/mixed\r\nSubject: s",
        .subject = "s",
        .attachments = 1,
    },
    {.name = "nothing", .raw = ""},
};

static void mails_are_read(void **state)
{
    struct inbox_view view;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(MAILS); i++) {
        struct arena *arena = arena_create();

        inbox_view_read(&view, str_of(MAILS[i].raw), arena);
        assert_str(view.subject, MAILS[i].subject, MAILS[i].name);
        assert_str(view.text, MAILS[i].text, MAILS[i].name);
        assert_str(view.html, MAILS[i].html, MAILS[i].name);
        assert_str(view.code, MAILS[i].code, MAILS[i].name);
        assert_str(view.link, MAILS[i].link, MAILS[i].name);
        assert_int_equal(view.attachments, MAILS[i].attachments);
        arena_destroy(&arena);
    }
}

/* A mail that opens a part in a part in a part is given up, not followed. */
static void nesting_is_bounded(void **state)
{
    struct arena *arena = arena_create();
    struct inbox_view view;
    struct buf raw;

    (void)state;
    buf_init(&raw, 1 << 20);
    for (int i = 0; i < 1000; i++)
        buf_addf(&raw,
                 "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n",
                 i, i);
    buf_add_cstr(&raw, "\r\ndeep\r\n");
    inbox_view_read(&view, buf_str(&raw), arena);
    assert_int_equal(view.text.len, 0);
    buf_clear(&raw);
    buf_add_cstr(&raw, "Content-Type: multipart/mixed; boundary=b\r\n\r\n");
    for (int i = 0; i < 1000; i++)
        buf_add_cstr(&raw, "--b\r\nContent-Type: x/y\r\n\r\n\r\n");
    inbox_view_read(&view, buf_str(&raw), arena);
    assert_true(view.attachments < 200);
    buf_finish(&raw);
    arena_destroy(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_decoded),
        cmocka_unit_test(bodies_are_decoded),
        cmocka_unit_test(codes_are_found),
        cmocka_unit_test(links_are_found),
        cmocka_unit_test(mails_are_read),
        cmocka_unit_test(nesting_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
