#include "server/base/file.h"
#include "smtp/message/message.h"

#include "check_cmocka.h"

#include <stdlib.h>
#include <time.h>

enum { FOUND_MAX = 4096 };

/* What a row does not say is that of a mail without a finding. */
static const struct row {
    const char *found; /* "code where, code where", errors first */
    const char *subject;
    const char *text; /* NULL: none; "" switches it off */
    const char *html;
    const char *from;
    const char *to_two; /* a second recipient */
    const char *reply_to;
    const char *file;
    struct header header;
    struct header post;
    struct lint_facts facts;
    bool is_key; /* class verification, which is 0 */
} ROWS[] = {
    {.found = "", .text = "Hello Ada."},
    {.found = "", .html = "<p>Hello Ada.</p>"},

    /* nothing in it, or something left */
    {.found = "empty /text", .text = " \n"},
    {.found = "empty /html", .html = "<style>p{}</style><p>&nbsp;</p>"},
    {.found = "", .text = "", .file = "a.pdf"},
    {.found = "placeholder /text", .text = "Hello {{name}}."},
    {.found = "placeholder /subject", .subject = "Hi {{{NAME}}}"},
    {.found = "placeholder /html", .html = "<p>Hello {{a.b}}</p>"},
    {.found = "", .text = "a {{ b"},
    {.found = "no_text /text", .text = "", .html = "<p>Hello Ada.</p>"},

    /* links */
    {.found = "link_scheme /html",
     .html = "<p>Hello <a href=\"javascript:alert(1)\">here</a></p>"},
    {.found = "link_scheme /html",
     .html = "<p>Hello <a href=' java&#115;cript:x'>here</a></p>"},
    {.found = "link_relative /html",
     .html = "<p>Hello <a href=\"/verify?x\">here</a></p>"},
    {.found = "link_relative /html", .html = "<p>Hello <a href=\"\">x</a></p>"},
    {.found = "",
     .html = "<p>Hello <a href=\"mailto:a@x.io\">a</a> <a href=\"tel:+1\">b</a>"
             "<a href=\"#c\">c</a><a name=d>d</a></p>"},
    {.found = "link_http /html",
     .html = "<p>Hello <a href=\"http://x.io/\">here</a></p>"},
    {.found = "link_http /text", .text = "See http://x.io/."},
    {.found = "", .text = "See http://localhost:3000/ and http://127.0.0.1/"},
    {.found = "link_ip /html",
     .html = "<p>Hello <a href=\"https://192.0.2.7/\">here</a></p>"},
    {.found = "link_ip /text", .text = "See https://[2001:db8::7]/"},
    {.found = "link_mismatch /html",
     .html = "<p>Hello <a href=\"https://evil.io/x\">www.bank.com</a></p>"},
    {.found = "link_mismatch /html",
     .html = "<p><a href=\"https://bank.com.evil.io/\"> <b>https://bank.com/x"
             "</b></a></p>"},
    {.found = "link_mismatch /html",
     .html = "<p><a href=\"https://bank.com@evil.io/\">https://bank.com</a>"},
    {.found = "",
     .html = "<p><a href=\"https://click.bank.com/1\">www.bank.com</a>"
             "<a href=\"https://bank.com/a.pdf\">report.pdf</a>"
             "<a href=\"https://bank.com/\">Our bank: bank.com</a></p>"},
    {.found = "links_differ /html",
     .text = "Hello Ada.",
     .html = "<p>Hello <a href=\"https://x.io/\">here</a></p>"},
    {.found = "links_differ /text",
     .text = "See https://x.io/ and https://x.io/b.",
     .html = "<p>Hello <a href=\"https://x.io/\">here</a></p>"},
    {.found = "",
     .text = "See https://x.io/?a=1&b=2, or (https://x.io/c).",
     .html = "<p><a href=\"https://x.io/?a=1&amp;b=2\">here</a> <a "
             "href=\"https://x.io/?a=1&amp;b=2\">again</a><a "
             "href='https://x.io/c'>c</a></p>"},
    {.found = "",
     .text = "We are https://x.io, see also https://y.io/.",
     .html = "<p>We are <a href='https://x.io/'>here</a> and <a "
             "href='https://y.io'>there</a></p>"},

    /* html */
    {.found = "html_active /html",
     .html = "<p>Hello Ada.</p><script>x(\"<a href=/>\")</script>"},
    {.found = "html_active /html", .html = "<FORM action=x>Hello</FORM>"},
    {.found = "html_stylesheet /html",
     .html = "<link rel=stylesheet href=x.css><p>Hello Ada.</p>"},
    {.found = "html_stylesheet /html",
     .html = "<style>@import url(x)</style><p>Hello Ada.</p>"},
    {.found = "html_charset /html",
     .html = "<meta charset=\"gbk\"><p>Hello Ada.</p>"},
    {.found = "html_charset /html",
     .html = "<meta http-equiv=Content-Type content=\"text/html; "
             "charset=iso-8859-1\"><p>Hello Ada.</p>"},
    {.found = "", .html = "<meta charset=UTF-8><p>Hello Ada.</p>"},
    {.found = "images_only /html",
     .html = "<img alt=\"All of it\" src=\"https://x.io/a.png\"><p>Hi</p>"},
    {.found = "image_alt /html",
     .html = "<p>Hello Ada, this is our new logo.</p><img src=\"cid:a\">"},
    {.found = "image_remote /html",
     .html = "<p>Hello Ada, this is the link.</p><img alt='' "
             "src=\"https://x.io/a.png\">",
     .facts.mail_class = CLASS_RESET},

    /* codes */
    {.found = "",
     .subject = "483920 is your code",
     .text = "Your code:\r\n\r\n  483920\r\n",
     .html = "<p>Your code:</p><p><b>483920</b></p>",
     .is_key = true},
    {.found = "code_not_in_subject /subject",
     .subject = "Your code",
     .text = "Your code:\n\n483920\n",
     .is_key = true},
    {.found = "code_missing /html",
     .subject = "K7M2QX is your code",
     .text = "Your code:\n\nK7M2QX\n",
     .html = "<p>Your code is in the subject.</p>",
     .is_key = true},
    {.found = "code_missing /text",
     .subject = "ab12 is your code",
     .text = "Your code is in the subject.",
     .facts.code = STR("ab12"),
     .is_key = true},
    {.found = "code_split /text",
     .text = "Your code:\n\n483 920\n",
     .is_key = true},
    {.found = "code_split /html",
     .html = "<p>Your code:</p><p>4-8-3-9-2-0</p>",
     .is_key = true},
    {.found = "",
     .text = "Follow the link:\n\nhttps://x.io/v\n",
     .is_key = true},
    {.found = "", .text = "Order\n\n483920\n"},
    {.found = "recipients_share /to",
     .to_two = "bob@example.net",
     .is_key = true},

    /* names */
    {.found = "name_is_address /from", .from = "\"pay@bank.com\" <a@x.io>"},
    {.found = "", .from = "\"a@x.io\" <a@x.io>"},
    {.found = "name_bidi /from", .from = "Ada \u202eadA <a@x.io>"},
    {.found = "name_bidi /from", .from = "Ad\u200ba <a@x.io>"},
    {.found = "name_is_address /reply_to", .reply_to = "\"b@y\" <a@x.io>"},
    {.found = "from_free_mail /from", .from = "Acme <acme@gmail.com>"},
    {.found = "from_free_mail /from", .from = "Acme <acme@QQ.com>"},
    {.found = "no_reply /from", .from = "Acme <No-Reply@x.io>"},
    {.found = "", .from = "Acme <no-reply@x.io>", .reply_to = "help@x.io"},

    /* subject */
    {.found = "subject_empty /subject", .subject = " "},
    {.found = "subject_long /subject",
     .subject = "This subject goes on and on, and what it says is not seen by "
                "anybody at its end"},
    {.found = "subject_capitals /subject", .subject = "ACT NOW OR LOSE"},
    {.found = "", .subject = "ISO 9001: A"},
    {.found = "subject_reply /subject", .subject = "Re: your order"},
    {.found = "",
     .subject = "RE: your order",
     .header = {STR("In-Reply-To"), STR("<a@x.io>")}},
    {.found = "subject_hidden /subject", .subject = "Ord\u00ader"},
    {.found = "", .subject = "Family \U0001f468\u200d\U0001f469"},

    /* bulk, files, size, signature */
    {.found = "no_unsubscribe /headers", .facts.mail_class = CLASS_BULK},
    {.found = "no_one_click /headers",
     .header = {STR("List-Unsubscribe"), STR("<mailto:u@x.io>")},
     .facts.mail_class = CLASS_BULK},
    {.found = "no_one_click /headers",
     .header = {STR("List-Unsubscribe"), STR("<https://x.io/u>")},
     .facts.mail_class = CLASS_BULK},
    {.found = "",
     .header = {STR("List-Unsubscribe"), STR("<https://x.io/u>")},
     .post = {STR("List-Unsubscribe-Post"), STR("List-Unsubscribe=One-Click")},
     .facts.mail_class = CLASS_BULK},
    {.found = "attachment_kind /attachments/0/filename", .file = "a.pdf.EXE"},
    {.found = "too_large ", .facts.size = 25 * 1000 * 1000 + 1},
    {.found = "", .facts.size = 25 * 1000 * 1000},
    {.found = "dkim_none /from", .facts.dkim = LINT_DKIM_ABSENT},
    {.found = "dkim_unaligned /from", .facts.dkim = LINT_DKIM_OTHER},
    {.found = "", .facts.dkim = LINT_DKIM_ALIGNED},

    /* several: errors first, each code once */
    {.found = "link_relative /html, link_http /html, image_alt /html",
     .html = "<p>Hello Ada, look at this.</p><img src=cid:a><a "
             "href=\"http://x.io/\">1</a><a href=\"http://x.io/b\">2</a>"
             "<a href=x>3</a><img src=cid:b>"},
};

static void tell(const struct lint_findings *findings, struct buf *out)
{
    buf_init(out, FOUND_MAX);
    buf_addf(out, "%s", "");
    for (size_t i = 0; i < findings->count; i++)
        buf_addf(out, "%s%s %.*s", i == 0 ? "" : ", ",
                 lint_code_name(findings->rows[i].code),
                 STR_ARG(findings->rows[i].where));
}

static struct mailbox box(struct arena *arena, const char *text)
{
    struct mailbox parsed;

    assert_int_equal(mailbox_parse(arena, str_of(text), &parsed), FLAW_NONE);
    return parsed;
}

static void judge(const struct row *row, struct arena *arena,
                  struct lint_findings *findings)
{
    struct header headers[] = {row->header, row->post};
    struct mailbox to[2] = {box(arena, "ada@example.net")};
    struct mailbox reply_to;
    struct attachment file = {.name = str_of(row->file)};
    bool has_body = row->text != NULL || row->html != NULL;
    struct message message = {
        .from = box(arena, row->from != NULL ? row->from : "Acme <a@x.io>"),
        .to = to,
        .to_count = 1,
        .subject = row->subject != NULL ? str_of(row->subject) : S("Hello"),
        .has_text = row->text != NULL || !has_body,
        .text = has_body ? str_of(row->text) : S("Hello Ada."),
        .html = str_of(row->html),
        .attachments = &file,
        .attachment_count = row->file != NULL,
        .headers = headers,
        .header_count = row->post.name.len > 0     ? 2U
                        : row->header.name.len > 0 ? 1U
                                                   : 0U,
    };
    struct lint_facts facts = row->facts;

    if (!row->is_key && facts.mail_class == CLASS_VERIFICATION)
        facts.mail_class = CLASS_TRANSACTIONAL;
    if (row->to_two != NULL)
        to[message.to_count++] = box(arena, row->to_two);
    if (row->reply_to != NULL) {
        reply_to = box(arena, row->reply_to);
        message.reply_to = &reply_to;
        message.reply_to_count = 1;
    }
    lint_message(&message, &facts, arena, findings);
}

static void each_row_is_found_where_it_is_and_nowhere_else(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        struct arena *arena = arena_create();
        struct lint_findings findings;
        struct buf told;

        judge(&ROWS[i], arena, &findings);
        tell(&findings, &told);
        assert_string_equal(told.data, ROWS[i].found);
        buf_finish(&told);
        arena_destroy(&arena);
    }
}

/* So that no row of lint.def is without a case. */
static void every_code_is_found_at_least_once(void **state)
{
    bool is_seen[LINT_CODES] = {false};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        struct arena *arena = arena_create();
        struct lint_findings findings;

        judge(&ROWS[i], arena, &findings);
        for (size_t k = 0; k < findings.count; k++)
            is_seen[findings.rows[k].code] = true;
        arena_destroy(&arena);
    }
    is_seen[LINT_HTML_CLIPPED] = true; /* below */
    for (int code = 0; code < LINT_CODES; code++)
        if (!is_seen[code])
            fail_msg("no case for %s", lint_code_name((enum lint_code)code));
}

static struct lint_findings judge_html(struct arena *arena, const char *before,
                                       const char *piece, size_t size)
{
    struct lint_findings findings;
    struct message message = {.from = box(arena, "a@x.io"),
                              .subject = S("Hello")};
    struct lint_facts facts = {.mail_class = CLASS_VERIFICATION};
    struct buf html;

    buf_init(&html, size + 1024);
    buf_add_cstr(&html, before);
    while (html.len < size)
        buf_add_cstr(&html, piece);
    message.html = buf_str(&html);
    lint_message(&message, &facts, arena, &findings);
    buf_finish(&html);
    return findings;
}

static void html_is_clipped_behind_102_kb(void **state)
{
    struct arena *arena = arena_create();

    (void)state;
    assert_int_equal(judge_html(arena, "", "a", 102 * 1024).count, 0);
    assert_int_equal(judge_html(arena, "", "a", 102 * 1024 + 1).rows[0].code,
                     LINT_HTML_CLIPPED);
    arena_destroy(&arena);
}

/* The shapes that take long when something is looked for again and again. A
 * bound that only other than linear time would pass. */
static void a_megabyte_of_anything_takes_no_time(void **state)
{
    static const char *const pieces[] = {"<a href=http://x.io/>",
                                         "<",
                                         "<a ",
                                         "<!--",
                                         "</",
                                         "<style>",
                                         "{{",
                                         "://",
                                         "http://x",
                                         "&amp;",
                                         "<img src=x>",
                                         "4 8 ",
                                         "<a b",
                                         "\"",
                                         "1234\n"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(pieces); i++) {
        struct arena *arena = arena_create();
        clock_t start = clock();

        (void)judge_html(arena, "", pieces[i], 1 << 20);
        assert_true(clock() - start < 5 * CLOCKS_PER_SEC);
        arena_destroy(&arena);
    }
}

static void findings_are_written_as_json(void **state)
{
    struct arena *arena = arena_create();
    struct lint_findings findings;
    struct json_out json;
    struct buf out;

    (void)state;
    judge(&(struct row){.text = "See http://x.io/"}, arena, &findings);
    buf_init(&out, FOUND_MAX);
    json_out_init(&json, &out);
    lint_put(&findings, &json);
    assert_string_equal(
        out.data, "[{\"code\":\"link_http\",\"level\":\"warning\",\"where\":"
                  "\"/text\",\"text\":\"a link is http: and not https:\","
                  "\"example\":\"http://x.io/\"}]");
    buf_finish(&out);
    arena_destroy(&arena);
}

/* docs/lint.md has a row for each, in the same words. */
static void the_page_lists_each_code(void **state)
{
    struct error err = {0};
    struct buf page;

    (void)state;
    buf_init(&page, 1 << 20);
    assert_true(file_read("docs/lint.md", &page, &err));
    for (int i = 0; i < LINT_CODES; i++) {
        enum lint_code code = (enum lint_code)i;
        struct buf row;

        buf_init(&row, FOUND_MAX);
        buf_addf(&row, "| `%s` | %s | %s |", lint_code_name(code),
                 lint_level_name(lint_level_of(code)), lint_text(code));
        if (!str_contains(buf_str(&page), buf_str(&row)))
            fail_msg("docs/lint.md lacks %s", row.data);
        buf_finish(&row);
    }
    buf_finish(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_is_found_where_it_is_and_nowhere_else),
        cmocka_unit_test(every_code_is_found_at_least_once),
        cmocka_unit_test(html_is_clipped_behind_102_kb),
        cmocka_unit_test(a_megabyte_of_anything_takes_no_time),
        cmocka_unit_test(findings_are_written_as_json),
        cmocka_unit_test(the_page_lists_each_code),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
