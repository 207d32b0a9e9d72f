#include "smtp/message/html_text.h"

#include "server/base/codec.h"
#include "smtp/message/html.h"
#include "smtp/message/text.h"

#include <stdio.h>

enum {
    LIST_DEPTH_MAX = 4, /* deeper lists look like the fourth */
    PREFIX_SIZE = 32,
    RULE_LEN = 10,
    ELEMENT_NAME_MAX = 10, /* the longest in the table: blockquote */
};

/* What an element does to the text around it. */
enum element_kind {
    ELEMENT_INLINE,
    ELEMENT_BLOCK,     /* on lines of its own */
    ELEMENT_PARAGRAPH, /* with an empty line before and behind */
    ELEMENT_BREAK,
    ELEMENT_RULE,
    ELEMENT_LIST,
    ELEMENT_ITEM,
    ELEMENT_CELL,
    ELEMENT_LINK,
    ELEMENT_IMAGE,
    ELEMENT_PRE,
    ELEMENT_HIDDEN, /* its contents are markup that nobody sees */
    ELEMENT_RAW,    /* its contents are not markup, and not shown */
    ELEMENT_VOID,   /* nothing to show and never closed */
};

static const struct {
    struct str name;
    enum element_kind kind;
} ELEMENTS[] = {
    {STR("a"), ELEMENT_LINK},
    {STR("address"), ELEMENT_BLOCK},
    {STR("area"), ELEMENT_VOID},
    {STR("article"), ELEMENT_BLOCK},
    {STR("aside"), ELEMENT_BLOCK},
    {STR("base"), ELEMENT_VOID},
    {STR("blockquote"), ELEMENT_PARAGRAPH},
    {STR("br"), ELEMENT_BREAK},
    {STR("caption"), ELEMENT_BLOCK},
    {STR("center"), ELEMENT_BLOCK},
    {STR("col"), ELEMENT_VOID},
    {STR("dd"), ELEMENT_BLOCK},
    {STR("details"), ELEMENT_BLOCK},
    {STR("dialog"), ELEMENT_BLOCK},
    {STR("div"), ELEMENT_BLOCK},
    {STR("dl"), ELEMENT_PARAGRAPH},
    {STR("dt"), ELEMENT_BLOCK},
    {STR("embed"), ELEMENT_VOID},
    {STR("fieldset"), ELEMENT_BLOCK},
    {STR("figcaption"), ELEMENT_BLOCK},
    {STR("figure"), ELEMENT_BLOCK},
    {STR("footer"), ELEMENT_BLOCK},
    {STR("form"), ELEMENT_BLOCK},
    {STR("h1"), ELEMENT_PARAGRAPH},
    {STR("h2"), ELEMENT_PARAGRAPH},
    {STR("h3"), ELEMENT_PARAGRAPH},
    {STR("h4"), ELEMENT_PARAGRAPH},
    {STR("h5"), ELEMENT_PARAGRAPH},
    {STR("h6"), ELEMENT_PARAGRAPH},
    {STR("head"), ELEMENT_HIDDEN},
    {STR("header"), ELEMENT_BLOCK},
    {STR("hr"), ELEMENT_RULE},
    {STR("img"), ELEMENT_IMAGE},
    {STR("input"), ELEMENT_VOID},
    {STR("legend"), ELEMENT_BLOCK},
    {STR("li"), ELEMENT_ITEM},
    {STR("link"), ELEMENT_VOID},
    {STR("main"), ELEMENT_BLOCK},
    {STR("meta"), ELEMENT_VOID},
    {STR("nav"), ELEMENT_BLOCK},
    {STR("ol"), ELEMENT_LIST},
    {STR("option"), ELEMENT_BLOCK},
    {STR("p"), ELEMENT_PARAGRAPH},
    {STR("param"), ELEMENT_VOID},
    {STR("pre"), ELEMENT_PRE},
    {STR("script"), ELEMENT_RAW},
    {STR("section"), ELEMENT_BLOCK},
    {STR("source"), ELEMENT_VOID},
    {STR("style"), ELEMENT_RAW},
    {STR("summary"), ELEMENT_BLOCK},
    {STR("table"), ELEMENT_BLOCK},
    {STR("tbody"), ELEMENT_BLOCK},
    {STR("td"), ELEMENT_CELL},
    {STR("template"), ELEMENT_HIDDEN},
    {STR("tfoot"), ELEMENT_BLOCK},
    {STR("th"), ELEMENT_CELL},
    {STR("thead"), ELEMENT_BLOCK},
    {STR("title"), ELEMENT_RAW},
    {STR("tr"), ELEMENT_BLOCK},
    {STR("track"), ELEMENT_VOID},
    {STR("ul"), ELEMENT_LIST},
    {STR("wbr"), ELEMENT_VOID},
};

struct text_list {
    bool is_numbered;
    unsigned count;
};

struct text_state {
    struct buf *out;
    size_t start;      /* of our text in out */
    unsigned newlines; /* wanted before the next character, two at most */
    bool blank;        /* likewise */
    bool cell_gap;     /* likewise, between two cells of a row */
    char prefix[PREFIX_SIZE]; /* likewise, of a list item; "" = none */

    struct str hidden; /* name of the element that hides; empty: none */
    unsigned hidden_depth;
    unsigned pre_depth;
    unsigned list_depth;
    struct text_list lists[LIST_DEPTH_MAX + 1]; /* 0: items outside any list */
    bool in_link;
    struct str href;   /* as written */
    size_t link_start; /* of its text in out */
    struct buf scratch;
};

/* Writing */

static bool at_start(const struct text_state *state)
{
    return state->out->len == state->start;
}

static bool at_line_start(const struct text_state *state)
{
    return at_start(state) || state->out->data[state->out->len - 1] == '\n';
}

/* Writes what is owed before the next character. That is not the text of a
 * link that has just begun. */
static void settle(struct text_state *state)
{
    bool begins_link = state->link_start == state->out->len;

    if (!at_start(state))
        for (unsigned i = 0; i < state->newlines; i++)
            buf_add_char(state->out, '\n');
    if (state->cell_gap && !at_line_start(state))
        buf_add(state->out, S("  "));
    else if (state->blank && !at_line_start(state))
        buf_add_char(state->out, ' ');
    buf_add_cstr(state->out, state->prefix);
    state->newlines = 0;
    state->cell_gap = false;
    state->blank = false;
    state->prefix[0] = '\0';
    if (begins_link)
        state->link_start = state->out->len;
}

/* An item whose text has not begun yet keeps its mark and the text together,
 * whatever blocks open between them. */
static void want_newlines(struct text_state *state, unsigned count)
{
    if (state->prefix[0] != '\0')
        return;
    if (state->newlines < count)
        state->newlines = count;
    state->blank = false;
    state->cell_gap = false;
}

static void want_break(struct text_state *state)
{
    if (state->prefix[0] == '\0' && state->newlines < 2)
        state->newlines++;
}

static void put_code(struct text_state *state, uint32_t code)
{
    settle(state);
    utf8_add(state->out, code);
}

static void put_space(struct text_state *state, char c)
{
    if (state->pre_depth == 0) {
        state->blank = true;
    } else if (c == '\n') {
        settle(state);
        buf_add_char(state->out, '\n');
    } else if (c == ' ' || c == '\t') {
        settle(state);
        buf_add_char(state->out, c);
    }
}

/* Soft hyphens and the like exist for line breaking, and preheaders are
 * padded with them. */
static bool is_filler(uint32_t code)
{
    return code == 0xad || code == 0x034f || code == 0x200b || code == 0xfeff;
}

static void put_char(struct text_state *state, uint32_t code)
{
    if (code < 0x80 && html_is_space((char)code))
        put_space(state, (char)code);
    else if (code == 0xa0)
        put_space(state, ' ');
    else if (code >= 0x20 && code != 0x7f && !is_filler(code))
        put_code(state, code);
}

/* The length of what stands at the front and is written as it is. */
static size_t plain_len(struct str text)
{
    size_t len = 0;

    while (len < text.len && text.ptr[len] > ' ' && text.ptr[len] < 0x7f &&
           text.ptr[len] != '&')
        len++;
    return len;
}

static void put_text(struct text_state *state, struct str text)
{
    uint32_t code;

    if (state->hidden.len > 0)
        return;
    while (text.len > 0) {
        size_t plain = plain_len(text);

        if (plain > 0) {
            settle(state);
            buf_add(state->out, str_slice(text, 0, plain));
            text = str_from(text, plain);
        } else if (html_take_char(&text, &code)) {
            put_char(state, code);
        }
    }
}

/* Tags */

static enum element_kind kind_of(const struct html_tag *tag)
{
    size_t low = 0;
    size_t high = COUNT_OF(ELEMENTS);
    char lower[ELEMENT_NAME_MAX];

    if (tag->name.len > sizeof lower)
        return ELEMENT_INLINE;
    ascii_lower_copy(tag->name, lower);
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order =
            str_compare(str_make(lower, tag->name.len), ELEMENTS[middle].name);

        if (order == 0)
            return ELEMENTS[middle].kind;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return ELEMENT_INLINE;
}

/* Hidden elements */

static bool has_zero_height(struct str style)
{
    ptrdiff_t at = str_find(style, S("max-height:0"), 0);
    struct str behind;

    if (at < 0)
        return false;
    behind = str_from(style, (size_t)at + S("max-height:0").len);
    return behind.len == 0 ||
           (!ascii_is_digit(behind.ptr[0]) && behind.ptr[0] != '.');
}

static bool is_hiding_style(struct text_state *state, struct str style)
{
    struct str tight = {NULL, 0};
    char *space;

    buf_clear(&state->scratch);
    space = buf_space(&state->scratch, style.len);
    CHECK(space != NULL);
    for (size_t i = 0; i < style.len; i++)
        if (!html_is_space(style.ptr[i]))
            space[tight.len++] = ascii_lower(style.ptr[i]);
    tight.ptr = space;
    return str_contains(tight, S("display:none")) ||
           str_contains(tight, S("visibility:hidden")) ||
           has_zero_height(tight);
}

static bool is_hidden(struct text_state *state, const struct html_tag *tag,
                      enum element_kind kind)
{
    struct str value;

    if (kind == ELEMENT_HIDDEN)
        return true;
    return html_attribute(tag, S("hidden"), &value) ||
           (html_attribute(tag, S("style"), &value) &&
            is_hiding_style(state, value));
}

static bool is_never_closed(enum element_kind kind)
{
    return kind == ELEMENT_VOID || kind == ELEMENT_BREAK ||
           kind == ELEMENT_RULE || kind == ELEMENT_IMAGE;
}

/* Follows the tags inside a hidden element. */
static void inside_hidden(struct text_state *state, const struct html_tag *tag)
{
    if (str_eq_nocase(tag->name, state->hidden))
        state->hidden_depth += tag->is_closing ? -1U : 1U;
    if (state->hidden_depth == 0)
        state->hidden = S("");
}

static bool begins_block(enum element_kind kind)
{
    return kind == ELEMENT_BLOCK || kind == ELEMENT_PARAGRAPH ||
           kind == ELEMENT_RULE || kind == ELEMENT_LIST || kind == ELEMENT_PRE;
}

/* A head or a paragraph need not be closed: it ends where the body or a
 * block begins (HTML standard, section 13.1.2.4). */
static bool ends_hidden(const struct text_state *state,
                        const struct html_tag *tag, enum element_kind kind)
{
    if (tag->is_closing)
        return false;
    if (str_eq_nocase(state->hidden, S("head")))
        return begins_block(kind) || str_eq_nocase(tag->name, S("body"));
    return begins_block(kind) && str_eq_nocase(state->hidden, S("p"));
}

/* Links */

/* The address as a reader would type it, in scratch. */
static struct str shown_href(struct text_state *state)
{
    struct str rest = state->href;
    struct text_state writer = {.out = &state->scratch};
    uint32_t code;

    buf_clear(&state->scratch);
    while (html_take_char(&rest, &code))
        if (code > ' ' && code != 0x7f && code != 0xa0)
            put_code(&writer, code);
    return buf_str(&state->scratch);
}

static bool is_worth_showing(struct str href)
{
    static const struct str hidden[] = {STR("mailto:"), STR("tel:"),
                                        STR("sms:"),    STR("javascript:"),
                                        STR("cid:"),    STR("#")};

    for (size_t i = 0; i < COUNT_OF(hidden); i++)
        if (str_starts_nocase(href, hidden[i]))
            return false;
    return href.len > 0;
}

static void close_link(struct text_state *state)
{
    struct str href;
    struct str text;

    if (!state->in_link)
        return;
    state->in_link = false;
    href = shown_href(state);
    text = str_from(buf_str(state->out), state->link_start);
    if (!is_worth_showing(href) || str_eq(text, href))
        return;
    if (text.len == 0) {
        settle(state);
        buf_add(state->out, href);
        return;
    }
    /* Before line ends and blanks that the link itself asked for. */
    buf_add(state->out, S(" ("));
    buf_add(state->out, href);
    buf_add_char(state->out, ')');
}

static void open_link(struct text_state *state, const struct html_tag *tag)
{
    close_link(state);
    state->in_link = html_attribute(tag, S("href"), &state->href);
    state->link_start = state->out->len;
}

/* Lists */

static unsigned list_level(const struct text_state *state)
{
    return state->list_depth < LIST_DEPTH_MAX ? state->list_depth
                                              : LIST_DEPTH_MAX;
}

static void list_tag(struct text_state *state, const struct html_tag *tag)
{
    if (tag->is_closing && state->list_depth > 0)
        state->list_depth--;
    state->prefix[0] = '\0';
    want_newlines(state, state->list_depth == 0 ? 2 : 1);
    if (tag->is_closing)
        return;
    state->list_depth++;
    state->lists[list_level(state)] =
        (struct text_list){.is_numbered = str_eq_nocase(tag->name, S("ol"))};
}

static void item_tag(struct text_state *state, const struct html_tag *tag)
{
    unsigned level = list_level(state);
    struct text_list *list = &state->lists[level];
    int indent = level > 1 ? 2 * ((int)level - 1) : 0;

    state->prefix[0] = '\0';
    want_newlines(state, 1);
    if (tag->is_closing)
        return;
    if (list->is_numbered)
        snprintf(state->prefix, sizeof state->prefix, "%*s%u. ", indent, "",
                 ++list->count);
    else
        snprintf(state->prefix, sizeof state->prefix, "%*s- ", indent, "");
}

/* Elements */

static void put_image(struct text_state *state, const struct html_tag *tag)
{
    struct str alt;

    html_attribute(tag, S("alt"), &alt);
    put_text(state, alt);
}

static void put_rule(struct text_state *state)
{
    static const char dashes[] = "----------";

    want_newlines(state, 1);
    settle(state);
    buf_add(state->out, str_make(dashes, RULE_LEN));
    want_newlines(state, 1);
}

static void pre_tag(struct text_state *state, const struct html_tag *tag)
{
    want_newlines(state, 2);
    if (!tag->is_closing)
        state->pre_depth++;
    else if (state->pre_depth > 0)
        state->pre_depth--;
}

static void apply(struct text_state *state, const struct html_tag *tag,
                  enum element_kind kind)
{
    switch (kind) {
    case ELEMENT_BLOCK:
        want_newlines(state, 1);
        break;
    case ELEMENT_PARAGRAPH:
        want_newlines(state, state->list_depth > 0 ? 1 : 2);
        break;
    case ELEMENT_BREAK:
        want_break(state);
        break;
    case ELEMENT_RULE:
        put_rule(state);
        break;
    case ELEMENT_LIST:
        list_tag(state, tag);
        break;
    case ELEMENT_ITEM:
        item_tag(state, tag);
        break;
    case ELEMENT_CELL:
        state->cell_gap = true;
        break;
    case ELEMENT_LINK:
        if (tag->is_closing)
            close_link(state);
        else
            open_link(state, tag);
        break;
    case ELEMENT_IMAGE:
        put_image(state, tag);
        break;
    case ELEMENT_PRE:
        pre_tag(state, tag);
        break;
    case ELEMENT_INLINE:
    case ELEMENT_HIDDEN:
    case ELEMENT_RAW:
    case ELEMENT_VOID:
        break;
    }
}

static void tag_seen(struct text_state *state, const struct html_tag *tag,
                     struct str *rest)
{
    enum element_kind kind = kind_of(tag);

    if (ends_hidden(state, tag, kind))
        state->hidden = S("");
    if (kind == ELEMENT_RAW && !tag->is_closing) {
        html_skip_raw(rest, tag->name);
    } else if (state->hidden.len > 0) {
        inside_hidden(state, tag);
    } else if (tag->is_closing || !is_hidden(state, tag, kind)) {
        apply(state, tag, kind);
    } else if (!is_never_closed(kind)) {
        state->hidden = tag->name;
        state->hidden_depth = 1;
    }
}

/* Takes what begins with < off *rest. */
static void take_markup(struct text_state *state, struct str *rest)
{
    struct html_tag tag;

    if (html_begins_declaration(*rest)) {
        html_skip_declaration(rest);
    } else if (html_begins_tag(*rest)) {
        tag = html_take_tag(rest);
        tag_seen(state, &tag, rest);
    } else {
        put_text(state, S("<"));
        *rest = str_from(*rest, 1);
    }
}

void html_text_add(struct buf *out, struct str html)
{
    struct text_state state = {.out = out, .start = out->len};

    buf_init(&state.scratch, 4 * html.len + 1);
    while (html.len > 0) {
        ptrdiff_t at = str_index(html, '<', 0);
        size_t len = at < 0 ? html.len : (size_t)at;

        put_text(&state, str_slice(html, 0, len));
        html = str_from(html, len);
        if (html.len > 0)
            take_markup(&state, &html);
    }
    close_link(&state);
    buf_finish(&state.scratch);
}
