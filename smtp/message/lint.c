#include "smtp/message/lint.h"

#include "server/base/codec.h"
#include "smtp/message/lint_html.h"
#include "smtp/message/message.h"
#include "smtp/message/text.h"

#include <string.h>

enum {
    EXAMPLE_MAX = 120, /* bytes */
    SUBJECT_GOOD = 78, /* characters */
    CAPITALS_MIN = 8,  /* letters that make a subject loud */
    CODE_MIN = 4,
    CODE_MAX = 10,
    HTML_CLIPPED = 102 * 1024,
    RECEIVED_MAX = 25 * 1000 * 1000,
};

_Static_assert(LINT_CODES <= 64, "lint.found has a bit for each");

static const struct {
    const char *name;
    enum lint_level level;
    const char *text;
} ROWS[LINT_CODES] = {
#define LINT(name, code, level, text)                                          \
    [LINT_##name] = {code, LINT_##level, text},
#include "smtp/message/lint.def"
#undef LINT
};

const char *lint_code_name(enum lint_code code)
{
    CHECK(code < LINT_CODES);
    return ROWS[code].name;
}

enum lint_level lint_level_of(enum lint_code code)
{
    CHECK(code < LINT_CODES);
    return ROWS[code].level;
}

const char *lint_text(enum lint_code code)
{
    CHECK(code < LINT_CODES);
    return ROWS[code].text;
}

const char *lint_level_name(enum lint_level level)
{
    static const char *const names[] = {
        [LINT_ADVICE] = "advice",
        [LINT_WARNING] = "warning",
        [LINT_ERROR] = "error",
    };

    return names[level];
}

/* Fit to be shown: what it quotes may hold anything. */
static struct str cleaned(struct arena *arena, struct str text)
{
    struct buf clean;
    struct str copy;

    buf_init(&clean, EXAMPLE_MAX);
    utf8_clean_add(&clean, text, EXAMPLE_MAX);
    copy = arena_copy(arena, buf_str(&clean));
    buf_finish(&clean);
    return copy;
}

void lint_add(struct lint *lint, enum lint_code code, const char *where,
              struct str example)
{
    struct lint_finding *finding;

    if ((lint->found >> code & 1) != 0)
        return;
    lint->found |= (uint64_t)1 << code;
    finding = &lint->findings->rows[lint->findings->count++];
    *finding = (struct lint_finding){
        .code = code,
        .where = arena_copy(lint->arena, str_of(where)),
        .example = cleaned(lint->arena, example),
    };
}

static void note(struct lint *lint, enum lint_code code, const char *where)
{
    lint_add(lint, code, where, (struct str){0});
}

bool lint_is_key(const struct lint *lint)
{
    return lint->facts->mail_class == CLASS_VERIFICATION ||
           lint->facts->mail_class == CLASS_RESET;
}

/* --- names and subject --- */

/* What turns the text around it, or separates letters without being seen. */
static bool is_hidden(uint32_t code)
{
    return is_bidi_control(code) || code == 0xad || code == 0x200b ||
           code == 0x2060 || code == 0xfeff;
}

static bool has_hidden(struct str text)
{
    uint32_t code;

    while (utf8_next(&text, &code))
        if (is_hidden(code))
            return true;
    return false;
}

static void lint_name(struct lint *lint, const char *where,
                      const struct mailbox *box)
{
    if (str_index(box->name, '@', 0) >= 0 &&
        !str_eq_nocase(box->name, box->address))
        lint_add(lint, LINT_NAME_IS_ADDRESS, where, box->name);
    if (has_hidden(box->name))
        note(lint, LINT_NAME_BIDI, where);
}

static bool is_one_of(struct str word, const char *const *words)
{
    for (; *words != NULL; words++)
        if (str_eq_nocase(word, str_of(*words)))
            return true;
    return false;
}

static void lint_from(struct lint *lint)
{
    /* Their DMARC policy refuses what comes from elsewhere, or will. */
    static const char *const free_mail[] = {"gmail.com",   "googlemail.com",
                                            "yahoo.com",   "ymail.com",
                                            "aol.com",     "hotmail.com",
                                            "outlook.com", "live.com",
                                            "msn.com",     "icloud.com",
                                            "me.com",      "mail.ru",
                                            "gmx.de",      "gmx.net",
                                            "web.de",      "proton.me",
                                            "qq.com",      "foxmail.com",
                                            "163.com",     "126.com",
                                            "yeah.net",    "sina.com",
                                            "sohu.com",    "aliyun.com",
                                            "139.com",     NULL};
    static const char *const deaf[] = {"noreply",    "no-reply",     "no_reply",
                                       "donotreply", "do-not-reply", "no.reply",
                                       NULL};
    const struct message *message = lint->message;

    lint_name(lint, "/from", &message->from);
    for (size_t i = 0; i < message->reply_to_count; i++)
        lint_name(lint, "/reply_to", &message->reply_to[i]);
    if (is_one_of(message->from.domain, free_mail))
        lint_add(lint, LINT_FROM_FREE_MAIL, "/from", message->from.domain);
    if (is_one_of(message->from.local, deaf) && message->reply_to_count == 0)
        note(lint, LINT_NO_REPLY, "/from");
}

static size_t characters_of(struct str text)
{
    size_t count = 0;
    uint32_t code;

    while (utf8_next(&text, &code))
        count++;
    return count;
}

static bool is_loud(struct str text)
{
    size_t capitals = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] >= 'a' && text.ptr[i] <= 'z')
            return false;
        capitals += text.ptr[i] >= 'A' && text.ptr[i] <= 'Z';
    }
    return capitals >= CAPITALS_MIN;
}

static void lint_subject(struct lint *lint)
{
    const struct message *message = lint->message;
    struct str subject = str_trim(message->subject);
    struct str parent;

    if (subject.len == 0)
        note(lint, LINT_SUBJECT_EMPTY, "/subject");
    if (characters_of(subject) > SUBJECT_GOOD)
        note(lint, LINT_SUBJECT_LONG, "/subject");
    if (is_loud(subject))
        note(lint, LINT_SUBJECT_CAPITALS, "/subject");
    if (has_hidden(subject))
        note(lint, LINT_SUBJECT_HIDDEN, "/subject");
    if ((str_starts_nocase(subject, S("re:")) ||
         str_starts_nocase(subject, S("fwd:")) ||
         str_starts_nocase(subject, S("fw:"))) &&
        !header_find(message->headers, message->header_count, "In-Reply-To",
                     &parent))
        note(lint, LINT_SUBJECT_REPLY, "/subject");
}

/* --- headers, recipients, files, size --- */

static void lint_bulk(struct lint *lint)
{
    const struct message *message = lint->message;
    struct str value;
    struct str post;

    if (lint->facts->mail_class != CLASS_BULK)
        return;
    if (!header_find(message->headers, message->header_count,
                     "List-Unsubscribe", &value))
        note(lint, LINT_NO_UNSUBSCRIBE, "/headers");
    else if (!str_contains_nocase(value, S("<https://")) ||
             !header_find(message->headers, message->header_count,
                          "List-Unsubscribe-Post", &post) ||
             !str_eq_nocase(str_trim(post), S("List-Unsubscribe=One-Click")))
        note(lint, LINT_NO_ONE_CLICK, "/headers");
}

static struct str extension_of(struct str name)
{
    size_t at = name.len;

    while (at > 0 && name.ptr[at - 1] != '.')
        at--;
    return at == 0 ? S("") : str_from(name, at);
}

/* What Gmail's help page on blocked files lists, the usual ones. */
static void lint_attachments(struct lint *lint)
{
    static const char *const refused[] = {
        "ade", "adp", "apk", "appx", "bat", "cab", "chm", "cmd", "com", "cpl",
        "dll", "dmg", "exe", "hta",  "ins", "iso", "jar", "js",  "jse", "lib",
        "lnk", "mde", "msc", "msi",  "msp", "mst", "pif", "ps1", "scr", "sct",
        "sys", "vb",  "vbe", "vbs",  "vhd", "vxd", "wsc", "wsf", "wsh", NULL};
    const struct message *message = lint->message;

    for (size_t i = 0; i < message->attachment_count; i++) {
        struct str name = message->attachments[i].name;
        struct str where =
            arena_printf(lint->arena, "/attachments/%zu/filename", i);

        if (is_one_of(extension_of(name), refused))
            lint_add(lint, LINT_ATTACHMENT_KIND, where.ptr, name);
    }
}

static void lint_facts(struct lint *lint)
{
    const struct message *message = lint->message;

    if (lint->facts->size > RECEIVED_MAX)
        note(lint, LINT_TOO_LARGE, "");
    if (lint->facts->dkim == LINT_DKIM_ABSENT)
        note(lint, LINT_DKIM_NONE, "/from");
    if (lint->facts->dkim == LINT_DKIM_OTHER)
        note(lint, LINT_DKIM_UNALIGNED, "/from");
    if (lint_is_key(lint) && message->to_count + message->cc_count > 1)
        note(lint, LINT_RECIPIENTS_SHARE,
             message->cc_count > 0 ? "/cc" : "/to");
}

/* --- codes --- */

static bool is_code(struct str word)
{
    size_t digits = 0;

    for (size_t i = 0; i < word.len; i++) {
        if (!ascii_is_digit(word.ptr[i]) &&
            (word.ptr[i] < 'A' || word.ptr[i] > 'Z'))
            return false;
        digits += ascii_is_digit(word.ptr[i]);
    }
    return digits > 0 && word.len >= CODE_MIN && word.len <= CODE_MAX;
}

/* "483 920", "4-8-3-9-2-0": digits, a single blank or dash between some. */
static bool is_split_code(struct str line)
{
    size_t digits = 0;
    bool is_split = false;

    for (size_t i = 0; i < line.len; i++) {
        if (ascii_is_digit(line.ptr[i])) {
            digits++;
            continue;
        }
        if ((line.ptr[i] != ' ' && line.ptr[i] != '-') || i == 0 ||
            !ascii_is_digit(line.ptr[i - 1]))
            return false;
        is_split = true;
    }
    return is_split && digits >= CODE_MIN && digits <= CODE_MAX &&
           ascii_is_digit(line.ptr[line.len - 1]);
}

/* A line that is nothing but a code. */
static struct str find_code(struct lint *lint, struct str text,
                            const char *where)
{
    struct str line;

    while (str_cut(&text, '\n', &line)) {
        if (str_ends(line, S("\r")))
            line.len--;
        line = str_trim(line);
        if (is_code(line))
            return line;
        if (line.len > 0 && is_split_code(line))
            lint_add(lint, LINT_CODE_SPLIT, where, line);
    }
    return (struct str){0};
}

static void lint_code(struct lint *lint, struct str text, struct str html_text)
{
    const struct message *message = lint->message;
    struct str code = lint->facts->code;

    if (lint->facts->mail_class != CLASS_VERIFICATION)
        return;
    if (code.len == 0)
        code = find_code(lint, text, "/text");
    if (code.len == 0)
        code = find_code(lint, html_text, "/html");
    if (code.len == 0)
        return; /* a link, or a code that is not known from its look */
    if (!str_contains(message->subject, code))
        note(lint, LINT_CODE_NOT_IN_SUBJECT, "/subject");
    if (text.len > 0 && !str_contains(text, code))
        note(lint, LINT_CODE_MISSING, "/text");
    if (message->html.len > 0 && !str_contains(html_text, code))
        note(lint, LINT_CODE_MISSING, "/html");
}

/* --- bodies --- */

static bool is_link_end(char c)
{
    return (unsigned char)c <= ' ' || strchr("<>\"`", c) != NULL;
}

/* The address at the front of text, without the marks that end a sentence. */
static struct str link_at(struct str text)
{
    size_t len = 0;

    while (len < text.len && !is_link_end(text.ptr[len]))
        len++;
    while (len > 0 && strchr(".,;:!?)'", text.ptr[len - 1]) != NULL)
        len--;
    return str_slice(text, 0, len);
}

/* The addresses of the web in a plain text, as keys. */
static void find_links(struct lint *lint, struct str text, struct map *links)
{
    ptrdiff_t at;

    while ((at = str_find(text, S("://"), 0)) >= 0) {
        size_t start = (size_t)at;
        struct str link;

        while (start > 0 && ascii_is_alpha(text.ptr[start - 1]))
            start--;
        text = str_from(text, start);
        link = link_at(text);
        if (str_starts_nocase(link, S("http"))) {
            lint_link(lint, "/text", link);
            map_put(links, lint_link_key(link), lint);
        }
        text = str_from(text, link.len > (size_t)at - start + 3
                                  ? link.len
                                  : (size_t)at - start + 3);
    }
}

static void compare_links(struct lint *lint, const struct map *ours,
                          const struct map *theirs, const char *where)
{
    struct str link;
    void *value;
    size_t at = 0;

    while (map_next(ours, &at, &link, &value))
        if (map_get(theirs, link) == NULL) {
            lint_add(lint, LINT_LINKS_DIFFER, where, link);
            return;
        }
}

/* "{{name}}", "{{{name}}}", "%%name%%": what templates leave behind. */
static void find_placeholder(struct lint *lint, struct str text,
                             const char *where)
{
    ptrdiff_t at = str_find(text, S("{{"), 0);
    ptrdiff_t end = at < 0 ? -1 : str_find(text, S("}}"), (size_t)at);

    if (end >= 0)
        lint_add(lint, LINT_PLACEHOLDER, where,
                 str_slice(text, (size_t)at, (size_t)(end - at) + 2));
}

static bool is_blank(struct str text)
{
    uint32_t code;

    while (utf8_next(&text, &code))
        if (code > ' ' && !is_invisible(code))
            return false;
    return true;
}

static void lint_bodies(struct lint *lint, struct str html_text)
{
    const struct message *message = lint->message;
    struct map *in_html = map_create();
    struct map *in_text = map_create();

    find_placeholder(lint, message->subject, "/subject");
    find_placeholder(lint, message->text, "/text");
    find_placeholder(lint, message->html, "/html");
    lint_html(lint, in_html);
    find_links(lint, message->text, in_text);
    if (message->html.len > 0 && message->text.len > 0) {
        compare_links(lint, in_html, in_text, "/html");
        compare_links(lint, in_text, in_html, "/text");
    }
    if (message->html.len > HTML_CLIPPED)
        note(lint, LINT_HTML_CLIPPED, "/html");
    if (message->html.len > 0 && message->has_text && message->text.len == 0)
        note(lint, LINT_NO_TEXT, "/text");
    if (is_blank(message->text) && is_blank(html_text) &&
        message->attachment_count == 0)
        note(lint, LINT_EMPTY, message->html.len > 0 ? "/html" : "/text");
    map_destroy(&in_text);
    map_destroy(&in_html);
}

/* --- all of it --- */

static void sort_by_level(struct lint_findings *findings)
{
    struct lint_findings sorted = {.count = 0};

    for (int level = LINT_ERROR; level >= LINT_ADVICE; level--)
        for (size_t i = 0; i < findings->count; i++)
            if ((int)lint_level_of(findings->rows[i].code) == level)
                sorted.rows[sorted.count++] = findings->rows[i];
    *findings = sorted;
}

void lint_message(const struct message *message, const struct lint_facts *facts,
                  struct arena *arena, struct lint_findings *findings)
{
    struct lint lint = {.message = message,
                        .facts = facts,
                        .arena = arena,
                        .findings = findings};
    struct buf html_text;

    findings->count = 0;
    buf_init(&html_text, HTML_TEXT_GROWTH_MAX * message->html.len + 1);
    html_text_add(&html_text, message->html);
    lint_bodies(&lint, buf_str(&html_text));
    lint_code(&lint, message->text, buf_str(&html_text));
    lint_subject(&lint);
    lint_from(&lint);
    lint_bulk(&lint);
    lint_attachments(&lint);
    lint_facts(&lint);
    sort_by_level(findings);
    buf_finish(&html_text);
}

void lint_put(const struct lint_findings *findings, struct json_out *json)
{
    json_open_list(json);
    for (size_t i = 0; i < findings->count; i++) {
        const struct lint_finding *finding = &findings->rows[i];

        json_open_map(json);
        json_add_cstr(json, "code", lint_code_name(finding->code));
        json_add_cstr(json, "level",
                      lint_level_name(lint_level_of(finding->code)));
        json_add_str(json, "where", finding->where);
        json_add_cstr(json, "text", lint_text(finding->code));
        json_add_str_or_null(json, "example", finding->example);
        json_close_map(json);
    }
    json_close_list(json);
}
