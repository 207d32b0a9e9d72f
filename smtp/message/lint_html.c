#include "smtp/message/lint_html.h"

#include "server/base/codec.h"
#include "smtp/message/html.h"
#include "smtp/message/message.h"

#include <string.h>

enum {
    WORDS_MIN = 20,     /* characters that a mail of images should have */
    ANCHOR_MAX = 256,   /* bytes of a link's text that are looked at */
    LINK_MAX = 8 << 10, /* bytes; what is longer is cut */
};

struct walk {
    struct lint *lint;
    struct map *links;
    struct str rest;
    size_t characters; /* that a reader sees */
    size_t images;
    struct str href;   /* of the link that is open; empty: none is */
    struct buf anchor; /* its text */
};

/* --- addresses --- */

/* What stands before the colon, when that can be a scheme (RFC 3986). */
static struct str scheme_of(struct str link)
{
    size_t len = 0;

    while (len < link.len &&
           (ascii_is_alnum(link.ptr[len]) || link.ptr[len] == '+' ||
            link.ptr[len] == '-' || link.ptr[len] == '.'))
        len++;
    if (len == 0 || len == link.len || link.ptr[len] != ':' ||
        !ascii_is_alpha(link.ptr[0]))
        return (struct str){0};
    return str_slice(link, 0, len);
}

static bool is_web(struct str link)
{
    return str_starts_nocase(link, S("http://")) ||
           str_starts_nocase(link, S("https://"));
}

/* The host of an address of the web, or of a text that looks like one. */
static struct str host_of(struct str link)
{
    ptrdiff_t at = str_find(link, S("://"), 0);
    size_t len = 0;

    if (at >= 0)
        link = str_from(link, (size_t)at + 3);
    while (len < link.len && strchr("/?#\\", link.ptr[len]) == NULL)
        len++;
    link = str_slice(link, 0, len);
    while ((at = str_index(link, '@', 0)) >= 0)
        link = str_from(link, (size_t)at + 1);
    if (str_starts(link, S("[")))
        return link;
    at = str_index(link, ':', 0);
    return at < 0 ? link : str_slice(link, 0, (size_t)at);
}

static bool is_ip(struct str host)
{
    if (str_starts(host, S("[")))
        return true;
    for (size_t i = 0; i < host.len; i++)
        if (!ascii_is_digit(host.ptr[i]) && host.ptr[i] != '.')
            return false;
    return host.len > 0;
}

static bool is_here(struct str host)
{
    return str_eq_nocase(host, S("localhost")) || str_starts(host, S("127.")) ||
           str_eq(host, S("[::1]"));
}

static void judge_web(struct lint *lint, const char *where, struct str link)
{
    struct str host = host_of(link);

    if (is_here(host))
        return; /* somebody tries it out */
    if (str_starts_nocase(link, S("http://")))
        lint_add(lint, LINT_LINK_HTTP, where, link);
    if (is_ip(host))
        lint_add(lint, LINT_LINK_IP, where, link);
}

void lint_link(struct lint *lint, const char *where, struct str link)
{
    static const struct str fine[] = {STR("mailto"), STR("tel"), STR("sms"),
                                      STR("cid")};
    struct str scheme = scheme_of(link);

    if (str_starts(link, S("#")))
        return;
    if (is_web(link)) {
        judge_web(lint, where, link);
        return;
    }
    for (size_t i = 0; i < COUNT_OF(fine); i++)
        if (str_eq_nocase(scheme, fine[i]))
            return;
    lint_add(lint, scheme.len == 0 ? LINT_LINK_RELATIVE : LINT_LINK_SCHEME,
             where, link);
}

struct str lint_link_key(struct str link)
{
    ptrdiff_t host = str_find(link, S("://"), 0);
    bool is_bare = host >= 0 && str_index(link, '/', (size_t)host + 3) ==
                                    (ptrdiff_t)link.len - 1;

    return is_bare ? str_slice(link, 0, link.len - 1) : link;
}

/* --- what a link says --- */

/* A text like "www.example.com/path" or "https://example.com". */
static bool names_host(struct str text)
{
    struct str host;
    ptrdiff_t dot = -1;

    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] <= ' ' || text.ptr[i] == '@')
            return false;
    host = host_of(text);
    for (size_t i = 0; i < host.len; i++) {
        if (host.ptr[i] == '.')
            dot = (ptrdiff_t)i;
        else if (!ascii_is_alnum(host.ptr[i]) && host.ptr[i] != '-')
            return false;
    }
    if (dot <= 0 || host.len - (size_t)dot < 3)
        return false;
    for (size_t i = (size_t)dot + 1; i < host.len; i++)
        if (!ascii_is_alpha(host.ptr[i]))
            return false;
    /* "report.pdf" and "node.js" are no hosts; "acme.com/x" is one. */
    return is_web(text) || str_starts_nocase(text, S("www.")) ||
           str_contains(text, S("/"));
}

static bool is_within(struct str host, struct str domain)
{
    struct str tail;

    if (str_starts_nocase(domain, S("www.")))
        domain = str_from(domain, 4);
    if (host.len < domain.len)
        return false;
    tail = str_from(host, host.len - domain.len);
    return str_eq_nocase(tail, domain) &&
           (host.len == domain.len ||
            host.ptr[host.len - domain.len - 1] == '.');
}

static void judge_anchor(struct walk *walk)
{
    struct str text = str_trim(buf_str(&walk->anchor));
    struct str shown = host_of(text);
    struct str real = host_of(walk->href);

    if (is_web(walk->href) && names_host(text) && !is_within(real, shown) &&
        !is_within(shown, real))
        lint_add(walk->lint, LINT_LINK_MISMATCH, "/html",
                 arena_printf(walk->lint->arena, "%.*s leads to %.*s",
                              STR_ARG(shown), STR_ARG(real)));
}

/* --- markup --- */

/* A value with its references resolved, without blanks around it. */
static struct str decoded(struct lint *lint, struct str value)
{
    struct buf text;
    struct str copy;
    uint32_t code;

    value = str_slice(value, 0, LINK_MAX);
    buf_init(&text, 4 * LINK_MAX);
    while (html_take_char(&value, &code))
        utf8_add(&text, code);
    copy = arena_copy(lint->arena, str_trim(buf_str(&text)));
    buf_finish(&text);
    return copy;
}

static void begin_link(struct walk *walk, const struct html_tag *tag)
{
    struct str value;

    walk->href = (struct str){0};
    buf_clear(&walk->anchor);
    if (!html_attribute(tag, S("href"), &value))
        return;
    walk->href = decoded(walk->lint, value);
    lint_link(walk->lint, "/html", walk->href);
    if (is_web(walk->href))
        map_put(walk->links, lint_link_key(walk->href), walk);
}

static void end_link(struct walk *walk)
{
    if (walk->href.len > 0)
        judge_anchor(walk);
    walk->href = (struct str){0};
}

static void take_image(struct walk *walk, const struct html_tag *tag)
{
    struct str source;
    struct str alt;

    walk->images++;
    if (!html_attribute(tag, S("alt"), &alt))
        lint_add(walk->lint, LINT_IMAGE_ALT, "/html", (struct str){0});
    if (html_attribute(tag, S("src"), &source) && is_web(source) &&
        lint_is_key(walk->lint))
        lint_add(walk->lint, LINT_IMAGE_REMOTE, "/html", source);
}

static void take_meta(struct walk *walk, const struct html_tag *tag)
{
    struct str charset;
    struct str content;
    ptrdiff_t at;

    if (!html_attribute(tag, S("charset"), &charset) &&
        html_attribute(tag, S("content"), &content)) {
        at = str_find(content, S("charset="), 0);
        charset = at < 0 ? S("") : str_from(content, (size_t)at + 8);
    }
    charset = str_trim(charset);
    if (charset.len > 0 && !str_eq_nocase(charset, S("utf-8")) &&
        !str_eq_nocase(charset, S("utf8")))
        lint_add(walk->lint, LINT_HTML_CHARSET, "/html", charset);
}

static void take_sheet(struct walk *walk, const struct html_tag *tag)
{
    struct str value;

    if (html_attribute(tag, S("rel"), &value) &&
        str_eq_nocase(value, S("stylesheet")))
        lint_add(walk->lint, LINT_HTML_STYLESHEET, "/html", (struct str){0});
}

static void take_raw(struct walk *walk, const struct html_tag *tag)
{
    struct str before = walk->rest;
    struct str inside;

    html_skip_raw(&walk->rest, tag->name);
    inside = str_slice(before, 0, before.len - walk->rest.len);
    if (str_eq_nocase(tag->name, S("style")) &&
        str_contains_nocase(inside, S("@import")))
        lint_add(walk->lint, LINT_HTML_STYLESHEET, "/html", S("@import"));
}

static bool is_one_of(struct str name, const char *const *names)
{
    for (; *names != NULL; names++)
        if (str_eq_nocase(name, str_of(*names)))
            return true;
    return false;
}

static void take_tag(struct walk *walk)
{
    static const char *const active[] = {"script", "form",   "iframe", "frame",
                                         "object", "embed",  "applet", "video",
                                         "audio",  "canvas", NULL};
    static const char *const raw[] = {"script", "style", "title", NULL};
    struct html_tag tag = html_take_tag(&walk->rest);

    if (tag.is_closing) {
        if (str_eq_nocase(tag.name, S("a")))
            end_link(walk);
        return;
    }
    if (is_one_of(tag.name, active))
        lint_add(walk->lint, LINT_HTML_ACTIVE, "/html", tag.name);
    if (str_eq_nocase(tag.name, S("a")))
        begin_link(walk, &tag);
    else if (str_eq_nocase(tag.name, S("img")))
        take_image(walk, &tag);
    else if (str_eq_nocase(tag.name, S("meta")))
        take_meta(walk, &tag);
    else if (str_eq_nocase(tag.name, S("link")))
        take_sheet(walk, &tag);
    else if (is_one_of(tag.name, raw))
        take_raw(walk, &tag);
}

static void take_text(struct walk *walk)
{
    uint32_t code;

    if (!html_take_char(&walk->rest, &code) || code <= ' ' || code == 0xa0)
        code = ' ';
    else
        walk->characters++;
    if (walk->href.len > 0)
        utf8_add(&walk->anchor, code);
}

void lint_html(struct lint *lint, struct map *links)
{
    struct walk walk = {
        .lint = lint, .links = links, .rest = lint->message->html};

    buf_init(&walk.anchor, ANCHOR_MAX);
    while (walk.rest.len > 0) {
        if (walk.rest.ptr[0] == '<' && html_begins_tag(walk.rest))
            take_tag(&walk);
        else if (walk.rest.ptr[0] == '<' && html_begins_declaration(walk.rest))
            html_skip_declaration(&walk.rest);
        else
            take_text(&walk);
    }
    buf_finish(&walk.anchor);
    if (walk.images > 0 && walk.characters < WORDS_MIN)
        lint_add(lint, LINT_IMAGES_ONLY, "/html", (struct str){0});
}
