#include "smtp/message/message.h"

#include "check_cmocka.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    PART_MAX = 1 << 20,
    HTML_MAX = 6 << 10,
    MAIL_MAX = 8 << 10,
    SIGNATURES = 1400, /* two, of DKIM: what a mail gains on its way */
};

static const struct {
    const char *alias;
    const char *locale;
    const char *found; /* NULL: no such template */
} LOOK_UPS[] = {
    {"verification-code", "en", "en"},
    {"verification-link", "zh", "zh"},
    {"password-reset", "zh-Hant-TW", "zh"},
    {"alert", "ZH_cn", "zh"},
    {"alert", "zhx", "en"},
    {"alert", "en-GB", "en"},
    {"alert", "de-AT", "en"},
    {"alert", "", "en"},
    {"alert", "-", "en"},
    {"Alert", "en", NULL},
    {"", "en", NULL},
};

static void a_language_that_is_not_there_falls_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(LOOK_UPS); i++) {
        const struct builtin_template *found = builtin_template_find(
            str_of(LOOK_UPS[i].alias), str_of(LOOK_UPS[i].locale));

        assert_int_equal(found != NULL, LOOK_UPS[i].found != NULL);
        if (found == NULL)
            continue;
        assert_true(str_eq(found->alias, str_of(LOOK_UPS[i].alias)));
        assert_true(str_eq(found->locale, str_of(LOOK_UPS[i].found)));
    }
    assert_int_equal(BUILTIN_TEMPLATE_COUNT, 8);
    assert_int_equal(builtin_partial_find(S("layout")).len, 0);
}

/* --- rendering --- */

static const struct template *find_layout(void *ctx, struct str name)
{
    assert_true(str_eq(name, S("builtin-layout")));
    return ctx;
}

static struct template *compiled(struct str source)
{
    struct error err = {0};
    struct template *program = template_compile(source, true, &err);

    assert_string_equal(err.text, "");
    return program;
}

/* False and err as template_render. Out is to be finished. */
static bool render(struct str source, enum template_escape escape,
                   const struct json *data, struct buf *out, struct error *err)
{
    struct template *layout =
        compiled(builtin_partial_find(S("builtin-layout")));
    struct template *program = compiled(source);
    const struct template_options options = {
        .escape = escape, .find = find_layout, .find_ctx = layout};
    bool is_right;

    buf_init(out, PART_MAX);
    *err = (struct error){0};
    is_right = template_render(program, data, &options, out, NULL, err);
    template_destroy(&program);
    template_destroy(&layout);
    return is_right;
}

struct mail {
    struct buf subject;
    struct buf text;
    struct buf html;
};

static void mail_finish(struct mail *mail)
{
    buf_finish(&mail->subject);
    buf_finish(&mail->text);
    buf_finish(&mail->html);
}

/* The data that text gives, or the examples, with the defaults. */
static struct json *filled(const struct builtin_template *builtin,
                           const char *text, struct error *err)
{
    struct template_variables variables;
    struct template_flaws flaws;
    struct json *list = json_parse(builtin->variables, err);
    struct json *given = text == NULL ? NULL : json_parse(str_of(text), err);
    struct json *data = NULL;
    struct buf out;

    assert_true(template_variables_read(list, &variables, err));
    buf_init(&out, PART_MAX);
    if (text == NULL)
        template_variables_example(&variables, &out);
    if (text == NULL ||
        template_variables_fill(&variables, given, &out, &flaws, err))
        data = json_parse(buf_str(&out), err);
    buf_finish(&out);
    json_destroy(&given);
    json_destroy(&list);
    return data;
}

static void render_all(const struct builtin_template *builtin, const char *text,
                       struct mail *mail)
{
    struct error err = {0};
    struct json *data = filled(builtin, text, &err);

    assert_non_null(data);
    assert_true(
        render(builtin->subject, TEMPLATE_LINE, data, &mail->subject, &err));
    assert_true(render(builtin->text, TEMPLATE_TEXT, data, &mail->text, &err));
    assert_true(render(builtin->html, TEMPLATE_HTML, data, &mail->html, &err));
    json_destroy(&data);
}

static void find_and_render(const char *alias, const char *locale,
                            const char *text, struct mail *mail)
{
    render_all(builtin_template_find(str_of(alias), str_of(locale)), text,
               mail);
}

/* --- what they say --- */

static const struct {
    const char *alias;
    const char *locale;
    const char *data;
    const char *subject;
    const char *text;
} MAILS[] = {
    {"verification-code", "en", "{\"code\":\"483920\"}",
     "483920 is your verification code",
     "Your verification code\n\nEnter this code to confirm that it is "
     "you.\n\n483920\n\nDo not share it with anyone.\n\nNot you? If you did "
     "not ask for this code, you can safely ignore this email.\n"},
    {"verification-code", "en",
     "{\"code\":\"483920\",\"expires_in\":1,\"product_name\":\"Acme\","
     "\"message\":\"Hello.\",\"not_you\":\"Call us.\",\"support_email\":"
     "\"a@x.io\",\"footer\":\"Acme Ltd\",\"details\":[{\"label\":\"Place\","
     "\"value\":\"Bonn\"}]}",
     "483920 is your Acme verification code",
     "Acme\n\nYour verification code\n\nHello.\n\n483920\n\nThe code expires "
     "in 1 minute.\nDo not share it with anyone.\n\nPlace: Bonn\nCall us.\n"
     "Need help? Write to a@x.io\n\nAcme Ltd\n"},
    {"verification-code", "zh",
     "{\"code\":\"483920\",\"expires_in\":10,\"product_name\":\"Acme\"}",
     "483920 是您的验证码【Acme】",
     "Acme\n\n您的验证码\n\n请输入以下验证码，确认是您本人操作。\n\n483920\n\n"
     "验证码将在 10 分钟后失效。\n请勿将验证码告诉他人。\n\n不是您本人操作？"
     "如果您没有申请此验证码，请忽略本邮件。\n"},
    {"verification-link", "en",
     "{\"link\":\"https://x.io/v?a=1&b=2\",\"expires_in\":10,"
     "\"product_name\":\"Acme\"}",
     "Confirm your email address for Acme",
     "Acme\n\nConfirm your email address\n\nPlease confirm that this email "
     "address is yours. Open this link:\n\nhttps://x.io/v?a=1&b=2\n\nThe link "
     "expires in 10 minutes.\n\nNot you? If you did not ask for this email, "
     "you can safely ignore it.\n"},
    {"password-reset", "en",
     "{\"link\":\"https://x.io/r\",\"product_name\":\"Acme\"}",
     "Reset your Acme password",
     "Acme\n\nReset your password\n\nWe received a request to reset the "
     "password of your account. Open this link to choose a new one:\n\n"
     "https://x.io/r\n\nNot you? If you did not ask for this, ignore this "
     "email: your password stays as it is.\n"},
    {"password-reset", "zh", "{\"code\":\"483920\",\"expires_in\":15}",
     "483920 是您的密码重置验证码",
     "重置您的密码\n\n我们收到了重置您账户密码的请求。请输入以下验证码，设置新"
     "密码：\n\n483920\n\n验证码将在 15 分钟后失效。\n\n不是您本人操作？如果您"
     "没有申请重置密码，请忽略本邮件，您的密码不会改变。\n"},
    {"alert", "en",
     "{\"title\":\"Disk full\",\"message\":\"On db1.\\nSince 9.\","
     "\"severity\":\"critical\",\"link\":\"https://x.io/17\",\"details\":"
     "[{\"label\":\"Host\",\"value\":\"db1\"}]}",
     "[Critical] Disk full",
     "Critical: Disk full\n\nOn db1.\nSince 9.\nHost: db1\n\n"
     "https://x.io/17\n\nYou receive this email because alerts are sent to "
     "this address. Not you? Tell whoever runs the service.\n"},
    {"alert", "zh",
     "{\"title\":\"磁盘已满\",\"message\":\"db1\",\"severity\":\"info\","
     "\"resolved\":true}",
     "【已恢复】磁盘已满",
     "已恢复：磁盘已满\n\ndb1\n\n您收到本邮件，是因为此邮箱已设为告警通知的接"
     "收地址。如果不应由您接收，请联系服务的管理员。\n"},
};

static void subject_and_text_read_as_they_should(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(MAILS); i++) {
        struct mail mail;

        find_and_render(MAILS[i].alias, MAILS[i].locale, MAILS[i].data, &mail);
        assert_string_equal(mail.subject.data, MAILS[i].subject);
        assert_string_equal(mail.text.data, MAILS[i].text);
        mail_finish(&mail);
    }
}

/* --- what every one of them keeps --- */

static size_t composed_size(const struct mail *mail)
{
    struct arena *arena = arena_create();
    struct mailbox to;
    struct message message = {
        .to = &to,
        .to_count = 1,
        .subject = buf_str(&mail->subject),
        .has_text = true,
        .text = buf_str(&mail->text),
        .html = buf_str(&mail->html),
        .message_id = S("<0193a7c2-5a00-7000-8000-000000000000@example.com>"),
        .seed = S("0193a7c2-5a00-7000-8000-000000000000"),
        .entity_ref = S("0193a7c2-5a00-7000-8000-000000000000"),
    };
    struct buf out;
    size_t size;

    assert_int_equal(
        mailbox_parse(arena, S("Acme <no-reply@example.com>"), &message.from),
        FLAW_NONE);
    assert_int_equal(mailbox_parse(arena, S("ada@example.net"), &to),
                     FLAW_NONE);
    buf_init(&out, PART_MAX);
    message_compose(&message, arena, &out, NULL);
    size = out.len;
    buf_finish(&out);
    arena_destroy(&arena);
    return size;
}

static void assert_in(const struct buf *where, const char *part)
{
    if (!str_contains(buf_str(where), str_of(part)))
        fail_msg("no %s in %s", part, where->data);
}

static void examples_keep_to_the_rules_of_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < BUILTIN_TEMPLATE_COUNT; i++) {
        const struct builtin_template *builtin = &BUILTIN_TEMPLATES[i];
        bool is_zh = str_eq(builtin->locale, S("zh"));
        struct mail mail;

        render_all(builtin, NULL, &mail);
        assert_true(mail.html.len < HTML_MAX);
        assert_true(composed_size(&mail) + SIGNATURES < MAIL_MAX);
        assert_in(&mail.html, is_zh ? "<html lang=\"zh-CN\" dir=\"ltr\">"
                                    : "<html lang=\"en\" dir=\"ltr\">");
        assert_in(&mail.html, "<meta charset=\"utf-8\">");
        assert_in(&mail.html, "name=\"color-scheme\" content=\"light dark\"");
        assert_in(&mail.html, "@media (prefers-color-scheme:dark)");
        assert_in(&mail.html, "max-width:560px");
        /* one long word, a path for instance, does not widen the card */
        assert_in(&mail.html, "padding:28px 28px 32px;word-break:break-word");
        assert_in(&mail.html, "'Noto Sans CJK SC'");
        assert_in(&mail.html,
                  "<div style=\"max-height:0;max-width:0;overflow:hidden;"
                  "opacity:0;mso-hide:all\">");
        assert_in(&mail.text, is_zh ? "。" : "Not you?");
        assert_null(strstr(mail.html.data, "<img"));
        assert_null(strstr(mail.html.data, "url("));
        assert_null(strstr(mail.html.data, "@import"));
        assert_null(strstr(mail.html.data, "<title></title>"));
        for (const char *at = mail.html.data;
             (at = strstr(at, "<table")) != NULL; at++)
            assert_int_equal(strncmp(at, "<table role=\"presentation\"", 26),
                             0);
        assert_null(strchr(mail.subject.data, '\n'));
        mail_finish(&mail);
    }
}

static void a_code_is_first_and_can_be_copied(void **state)
{
    static const char *const locales[] = {"en", "zh"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(locales); i++) {
        struct mail mail;

        find_and_render("verification-code", locales[i],
                        "{\"code\":\"483920\"}", &mail);
        assert_true(str_starts(buf_str(&mail.subject), S("483920 ")));
        assert_in(&mail.text, "\n483920\n");
        assert_in(&mail.html, "<bdi dir=\"ltr\" class=\"ink\" style=\"");
        assert_in(&mail.html, "monospace;font-size:32px;");
        assert_in(&mail.html, "\">483920</bdi>");
        mail_finish(&mail);
    }
}

static void a_link_is_a_button_and_a_text(void **state)
{
    struct mail mail;

    (void)state;
    find_and_render("verification-link", "en",
                    "{\"link\":\"https://x.io/v?a=1&b=2\","
                    "\"logo_url\":\"https://x.io/l.png\","
                    "\"product_name\":\"A \\\"<b>\"}",
                    &mail);
    assert_in(&mail.html, "href=\"https://x.io/v?a=1&amp;b=2\"");
    assert_in(&mail.html, ">https://x.io/v?a=1&amp;b=2</a>");
    assert_in(&mail.html, "<img src=\"https://x.io/l.png\" alt=\"A "
                          "&quot;&lt;b&gt;\" ");
    mail_finish(&mail);
}

static const struct {
    const char *alias;
    const char *data;
    const char *error;
} REFUSED[] = {
    {"verification-code", "{}", "code is missing"},
    {"verification-code", "{\"code\":483920}",
     "code has a wrong value (want a string)"},
    {"verification-code", "{\"code\":\"\"}",
     "code has a wrong value (want a text that is not blank)"},
    {"password-reset", "{\"code\":\" \"}",
     "code has a wrong value (want a text that is not blank)"},
    {"alert", "{\"title\":\"\",\"message\":\"b\"}",
     "title has a wrong value (want a text that is not blank)"},
    {"verification-link", "{\"link\":\"javascript:alert(1)\"}",
     "link has a wrong value (want an address that begins with https://, "
     "http:// or mailto:, without blanks and quotation marks)"},
    {"password-reset", "{}", "link is null"},
    {"verification-code",
     "{\"code\":\"1\",\"brand_color\":\"red;background:url(//x.io)\"}",
     "brand_color has a wrong value (want a color like #1f5fbf)"},
    {"verification-code", "{\"code\":\"1\",\"logo_url\":\"x\\\" onload=\\\"\"}",
     "logo_url has a wrong value (want an address that begins with https://, "
     "http:// or mailto:, without blanks and quotation marks)"},
    {"verification-code", "{\"code\":\"1\",\"support_email\":\"us\"}",
     "support_email has a wrong value (want an e-mail address like "
     "help@example.com)"},
    {"verification-code", "{\"code\":\"1\",\"details\":[{\"label\":\"x\"}]}",
     "value is missing"},
    {"alert", "{\"title\":\"a\",\"message\":\"b\",\"severity\":\"bad\"}",
     "severity has a wrong value (want one of the values that its filter "
     "choose lists)"},
};

static void what_is_not_fit_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(REFUSED); i++) {
        const struct builtin_template *builtin =
            builtin_template_find(str_of(REFUSED[i].alias), S("en"));
        struct error err = {0};
        struct json *data = filled(builtin, REFUSED[i].data, &err);
        struct buf out;

        if (data != NULL) {
            bool is_right =
                render(builtin->text, TEMPLATE_TEXT, data, &out, &err);

            buf_finish(&out);
            if (is_right)
                is_right =
                    render(builtin->html, TEMPLATE_HTML, data, &out, &err);
            buf_finish(&out);
            assert_false(is_right);
        }
        assert_string_equal(err.text, REFUSED[i].error);
        json_destroy(&data);
    }
}

/* --- as templates of whole mails --- */

static void tell_none(void *ctx, struct str pointer, const char *text)
{
    (void)ctx;
    fail_msg("%.*s %s", STR_ARG(pointer), text);
}

static struct mail_template *mail_of(struct str name)
{
    struct mail_template *mail;
    struct buf source;

    buf_init(&source, PART_MAX);
    assert_true(builtin_source_add(name, &source));
    mail = mail_template_compile(buf_str(&source), tell_none, NULL);
    buf_finish(&source);
    return mail;
}

static const struct mail_template *find_mail(void *ctx, struct str name)
{
    assert_true(str_eq(name, S("builtin-layout")));
    return ctx;
}

/* The same as by the look-up of its parts. */
static void each_is_a_template_of_a_whole_mail(void **state)
{
    struct mail_template *layout = mail_of(S("builtin-layout"));
    struct buf none;

    (void)state;
    buf_init(&none, PART_MAX);
    assert_false(builtin_source_add(S("layout"), &none));
    for (size_t i = 0; i < BUILTIN_TEMPLATE_COUNT; i++) {
        const struct builtin_template *builtin = &BUILTIN_TEMPLATES[i];
        struct mail_template *template = mail_of(builtin->alias);
        struct mail_rendering rendering;
        struct error err = {0};
        struct mail mail;

        assert_true(mail_template_render(
            &(struct mail_template_request){.mail = template,
                                            .locale = builtin->locale,
                                            .with_examples = true,
                                            .find = find_mail,
                                            .find_ctx = layout},
            &rendering, &err));
        render_all(builtin, NULL, &mail);
        assert_true(str_eq(rendering.locale, builtin->locale));
        assert_string_equal(rendering.subject.data, mail.subject.data);
        assert_string_equal(rendering.text.data, mail.text.data);
        assert_string_equal(rendering.html.data, mail.html.data);
        assert_int_equal(mail_template_is_sensitive(template),
                         !str_eq(builtin->alias, S("alert")));
        mail_finish(&mail);
        mail_rendering_finish(&rendering);
        mail_template_destroy(&template);
    }
    mail_template_destroy(&layout);
}

/* --- contrast, WCAG 2.2 --- */

static double luminance(const char *color)
{
    static const double weights[3] = {0.2126, 0.7152, 0.0722};
    unsigned long rgb = strtoul(color + 1, NULL, 16);
    double sum = 0;

    assert_int_equal(color[0], '#');
    for (int i = 0; i < 3; i++) {
        double part = (double)(rgb >> (16 - 8 * i) & 255) / 255;

        sum +=
            weights[i] *
            (part <= 0.04045 ? part / 12.92 : pow((part + 0.055) / 1.055, 2.4));
    }
    return sum;
}

static double contrast(const char *a, const char *b)
{
    double one = luminance(a) + 0.05;
    double other = luminance(b) + 0.05;

    return one > other ? one / other : other / one;
}

/* The first color of that property behind the mark. */
static const char *color_behind(const char *mark, const char *property)
{
    const char *at =
        strstr(builtin_partial_find(S("builtin-layout")).ptr, mark);

    assert_non_null(at);
    at = strstr(at, property);
    assert_non_null(at);
    return at + strlen(property);
}

static void texts_stand_out_from_their_ground_in_light_and_dark(void **state)
{
    static const struct {
        const char *text;
        const char *ground;
    } pairs[] = {{"ink", "card"},
                 {"dim", "card"},
                 {"url", "card"},
                 {"ink", "box"},
                 {"dim", "page"}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        char text[32];
        char ground[32];

        snprintf(text, sizeof text, "class=\"%s\"", pairs[i].text);
        snprintf(ground, sizeof ground, "class=\"%s\"", pairs[i].ground);
        assert_true(contrast(color_behind(text, ";color:"),
                             color_behind(ground, "background:")) >= 4.5);
        snprintf(text, sizeof text, ".%s{", pairs[i].text);
        snprintf(ground, sizeof ground, ".%s{", pairs[i].ground);
        assert_true(contrast(color_behind(text, "color:"),
                             color_behind(ground, "background:")) >= 4.5);
    }
}

/* Whatever the brand's color is. */
static void words_on_the_button_stand_out(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4096; i++) {
        char color[8];
        struct error err = {0};
        struct json *data;
        struct buf text;
        struct buf out;

        snprintf(color, sizeof color, "#%02x%02x%02x", (i >> 8) * 17,
                 (i >> 4 & 15) * 17, (i & 15) * 17);
        buf_init(&text, 64);
        buf_addf(&text, "{\"c\":\"%s\"}", color);
        data = json_parse(buf_str(&text), &err);
        assert_true(
            render(S("{{c|contrast}}"), TEMPLATE_TEXT, data, &out, &err));
        assert_true(contrast(color, out.data) >= 4.5);
        buf_finish(&out);
        json_destroy(&data);
        buf_finish(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_language_that_is_not_there_falls_back),
        cmocka_unit_test(subject_and_text_read_as_they_should),
        cmocka_unit_test(examples_keep_to_the_rules_of_all),
        cmocka_unit_test(a_code_is_first_and_can_be_copied),
        cmocka_unit_test(a_link_is_a_button_and_a_text),
        cmocka_unit_test(what_is_not_fit_is_refused),
        cmocka_unit_test(each_is_a_template_of_a_whole_mail),
        cmocka_unit_test(texts_stand_out_from_their_ground_in_light_and_dark),
        cmocka_unit_test(words_on_the_button_stand_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
