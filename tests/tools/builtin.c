/* builtin - writes every built-in template as a mail, for tests that judge
 * them with other programs.
 *
 *   tool_builtin SECONDS     the time of their Date, since 1970
 *
 * First a line with the keys that sign them, {"SELECTOR": "k=...; p=..."}. Then
 * for each template, each language and each set of data one line of JSON:
 * {"alias", "name", "locale", "subject", "text", "html", "mime"}.
 */
#include "server/base/json.h"
#include "smtp/message/message.h"

#include <stdio.h>
#include <stdlib.h>

enum { PART_MAX = 1 << 20 };

static struct dkim_signer signers[DKIM_ALGORITHMS]; /* RSA on top */
static int64_t now_s;

#define LOOK                                                                   \
    "\"product_name\":\"Acme\",\"brand_color\":\"#0b7a5c\","                   \
    "\"support_email\":\"help@example.com\","                                  \
    "\"logo_url\":\"https://static.example.com/logo.png\","                    \
    "\"footer\":\"Acme Ltd, 1 Main Street, Springfield\","                     \
    "\"details\":[{\"label\":\"Device\",\"value\":\"Firefox on Linux\"},"      \
    "{\"label\":\"Place\",\"value\":\"Berlin\"}]"

/* Beside the examples that the templates declare. */
static const struct {
    const char *name;
    const char *alias;
    const char *data;
} CASES[] = {
    {"plain", "verification-code", "{\"code\":\"483920\"}"},
    {"full", "verification-code",
     "{\"code\":\"K7M2QX9RTB\",\"expires_in\":1," LOOK "}"},
    {"plain", "verification-link",
     "{\"link\":\"https://app.example.com/v?t=3f9c1a70b2\"}"},
    {"full", "verification-link",
     "{\"link\":\"https://app.example.com/v?t=3f9c1a70b2&n=1\","
     "\"expires_in\":10,\"title\":\"Sign in to Acme\",\"button\":\"Sign "
     "in\"," LOOK "}"},
    {"code", "password-reset", "{\"code\":\"483920\",\"expires_in\":15}"},
    {"full", "password-reset",
     "{\"link\":\"https://app.example.com/r?t=3f9c1a70b2\","
     "\"expires_in\":60," LOOK "}"},
    {"plain", "alert", "{\"title\":\"Disk full\",\"message\":\"On db1.\"}"},
    {"critical", "alert",
     "{\"title\":\"Payments fail\",\"message\":\"42 of 50 payments failed "
     "since 09:30 UTC.\\nThe last error was: connection refused.\","
     "\"severity\":\"critical\","
     "\"link\":\"https://status.example.com/17\"," LOOK "}"},
    {"resolved", "alert",
     "{\"title\":\"Payments work again\",\"message\":\"No error since 09:48 "
     "UTC.\",\"severity\":\"critical\",\"resolved\":true}"},
};

static const struct template *find_layout(void *ctx, struct str name)
{
    (void)name;
    return ctx;
}

static struct template *compiled(struct str source)
{
    struct error err = {0};
    struct template *program = template_compile(source, true, &err);

    CHECK(program != NULL);
    return program;
}

static void render(const struct builtin_template *builtin, struct str source,
                   enum template_escape escape, const struct json *data,
                   struct buf *out)
{
    struct template *layout =
        compiled(builtin_partial_find(S("builtin-layout")));
    struct template *program = compiled(source);
    struct template_options options = {.escape = escape,
                                       .locale = builtin->locale,
                                       .find = find_layout,
                                       .find_ctx = layout};
    struct error err = {0};

    buf_init(out, PART_MAX);
    CHECK(template_render(program, data, &options, out, NULL, &err));
    template_destroy(&program);
    template_destroy(&layout);
}

/* Makes the keys, and writes what of them is published. */
static void make_keys(void)
{
    static const char *const selectors[DKIM_ALGORITHMS] = {"r1", "e1"};
    struct json_out json;
    struct buf line;

    buf_init(&line, PART_MAX);
    json_out_init(&json, &line);
    json_open_map(&json);
    for (int i = 0; i < DKIM_ALGORITHMS; i++) {
        enum dkim_algorithm algorithm = (enum dkim_algorithm)i;
        struct buf der;
        struct buf text;

        buf_init(&der, DKIM_PRIVATE_MAX);
        buf_init(&text, DKIM_PUBLIC_MAX + 64);
        buf_addf(&text, "v=DKIM1; k=%s; p=", dkim_algorithm_name(algorithm));
        dkim_key_make(algorithm, &der, &text);
        signers[i] = (struct dkim_signer){
            dkim_key_load(algorithm, buf_str(&der)), str_of(selectors[i])};
        CHECK(signers[i].key != NULL);
        json_add_str(&json, selectors[i], buf_str(&text));
        buf_finish(&text);
        buf_finish(&der);
    }
    json_close_map(&json);
    puts(line.data);
    buf_finish(&line);
}

static void add_signed(struct json_out *json, struct str mime,
                       size_t header_len)
{
    const struct octets octets = {.frame = mime};
    unsigned char hash[SHA256_SIZE];
    struct buf whole;

    buf_init(&whole, 2 * PART_MAX);
    dkim_body_hash(&octets, header_len, hash);
    dkim_sign(str_slice(mime, 0, header_len - 2), hash, S("example.com"), now_s,
              signers, DKIM_ALGORITHMS, &whole);
    buf_add(&whole, mime);
    json_add_str(json, "mime", buf_str(&whole));
    buf_finish(&whole);
}

static void add_mime(struct json_out *json, struct str subject, struct str text,
                     struct str html)
{
    struct arena *arena = arena_create();
    struct mailbox to;
    struct message message = {
        .to = &to,
        .to_count = 1,
        .subject = subject,
        .has_text = true,
        .text = text,
        .html = html,
        .message_id = S("<0193a7c2-5a00-7000-8000-000000000000@example.com>"),
        .date_ms = now_s * 1000,
        .seed = S("0193a7c2-5a00-7000-8000-000000000000"),
        .entity_ref = S("0193a7c2-5a00-7000-8000-000000000000"),
    };
    struct buf mime;
    size_t header_len;

    CHECK(mailbox_parse(arena, S("Acme <hello@example.com>"), &message.from) ==
          FLAW_NONE);
    CHECK(mailbox_parse(arena, S("ada@example.net"), &to) == FLAW_NONE);
    buf_init(&mime, PART_MAX);
    header_len = message_compose(&message, arena, &mime, NULL);
    add_signed(json, buf_str(&mime), header_len);
    buf_finish(&mime);
    arena_destroy(&arena);
}

static void write_mail(const struct builtin_template *builtin, const char *name,
                       const struct json *data)
{
    struct buf subject;
    struct buf text;
    struct buf html;
    struct buf line;
    struct json_out json;

    render(builtin, builtin->subject, TEMPLATE_LINE, data, &subject);
    render(builtin, builtin->text, TEMPLATE_TEXT, data, &text);
    render(builtin, builtin->html, TEMPLATE_HTML, data, &html);
    buf_init(&line, 8 * PART_MAX);
    json_out_init(&json, &line);
    json_open_map(&json);
    json_add_str(&json, "alias", builtin->alias);
    json_add_cstr(&json, "name", name);
    json_add_str(&json, "locale", builtin->locale);
    json_add_str(&json, "subject", buf_str(&subject));
    json_add_str(&json, "text", buf_str(&text));
    json_add_str(&json, "html", buf_str(&html));
    add_mime(&json, buf_str(&subject), buf_str(&text), buf_str(&html));
    json_close_map(&json);
    puts(line.data);
    buf_finish(&line);
    buf_finish(&html);
    buf_finish(&text);
    buf_finish(&subject);
}

/* data NULL: the examples. */
static void write_case(const struct builtin_template *builtin, const char *name,
                       const char *text)
{
    struct error err = {0};
    struct template_variables variables;
    struct template_flaws flaws;
    struct json *list = json_parse(builtin->variables, &err);
    struct json *given;
    struct json *data;
    struct buf filled;

    CHECK(template_variables_read(list, &variables, &err));
    buf_init(&filled, PART_MAX);
    if (text == NULL) {
        template_variables_example(&variables, &filled);
    } else {
        given = json_parse(str_of(text), &err);
        CHECK(
            template_variables_fill(&variables, given, &filled, &flaws, &err));
        json_destroy(&given);
    }
    data = json_parse(buf_str(&filled), &err);
    write_mail(builtin, name, data);
    json_destroy(&data);
    buf_finish(&filled);
    json_destroy(&list);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    now_s = strtoll(argv[1], NULL, 10);
    make_keys();
    for (size_t i = 0; i < BUILTIN_TEMPLATE_COUNT; i++) {
        const struct builtin_template *builtin = &BUILTIN_TEMPLATES[i];

        write_case(builtin, "example", NULL);
        for (size_t k = 0; k < COUNT_OF(CASES); k++)
            if (str_eq(builtin->alias, str_of(CASES[k].alias)))
                write_case(builtin, CASES[k].name, CASES[k].data);
    }
    return 0;
}
