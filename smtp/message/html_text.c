#include "smtp/message/html_text.h"

#include "server/base/codec.h"

#include <string.h>

enum {
    LIST_DEPTH_MAX = 4, /* deeper lists look like the fourth */
    PREFIX_SIZE = 32,
    RULE_LEN = 10,
    REPLACEMENT = 0xfffd,
    ENTITY_NAME_MAX = 10,  /* the longest that is decoded, &#x10ffff; too */
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

static const struct element {
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

static const struct entity {
    const char *name;
    uint32_t code;
} ENTITIES[] = {
#define ENTITY(name, code) {name, code},
#include "smtp/message/entities.def"
#undef ENTITY
};

struct tag {
    struct str name; /* as written */
    struct str attributes;
    const struct element *element; /* NULL: unknown, treated as inline */
    bool is_closing;
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
    struct str href; /* as written */
    size_t link_start;
    struct buf scratch;
};

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Writing */

static bool at_start(const struct text_state *state)
{
    return state->out->len == state->start;
}

static bool at_line_start(const struct text_state *state)
{
    return at_start(state) || state->out->data[state->out->len - 1] == '\n';
}

/* Writes what is owed before the next character. */
static void settle(struct text_state *state)
{
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
    char utf8[4];
    size_t len = 0;

    if (code < 0x80) {
        utf8[len++] = (char)code;
    } else if (code < 0x800) {
        utf8[len++] = (char)(0xc0 | code >> 6);
    } else if (code < 0x10000) {
        utf8[len++] = (char)(0xe0 | code >> 12);
        utf8[len++] = (char)(0x80 | (code >> 6 & 0x3f));
    } else {
        utf8[len++] = (char)(0xf0 | code >> 18);
        utf8[len++] = (char)(0x80 | (code >> 12 & 0x3f));
        utf8[len++] = (char)(0x80 | (code >> 6 & 0x3f));
    }
    if (code >= 0x80)
        utf8[len++] = (char)(0x80 | (code & 0x3f));
    settle(state);
    buf_add(state->out, str_make(utf8, len));
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
    if (code < 0x80 && is_space((char)code))
        put_space(state, (char)code);
    else if (code == 0xa0)
        put_space(state, ' ');
    else if (code >= 0x20 && code != 0x7f && !is_filler(code))
        put_code(state, code);
}

/* Character references */

static int entity_compare(const void *key, const void *row)
{
    const struct entity *entity = row;

    return strcmp(key, entity->name);
}

/* References to 0x80-0x9f are meant as Windows-1252 (HTML standard, 13.2.5.80
 * numeric character reference end state). */
static uint32_t repair_code(uint32_t code)
{
    static const uint16_t windows[32] = {
        0x20ac, 0x81,   0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021,
        0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8d,   0x017d, 0x8f,
        0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
        0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x9d,   0x017e, 0x0178,
    };

    if (code >= 0x80 && code <= 0x9f)
        return windows[code - 0x80];
    if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return REPLACEMENT;
    return code;
}

static bool digit_value(char c, unsigned base, uint32_t *value)
{
    char lower = ascii_lower(c);

    if (ascii_is_digit(c))
        *value = (uint32_t)(c - '0');
    else if (lower >= 'a' && lower <= 'f')
        *value = (uint32_t)(lower - 'a') + 10;
    else
        return false;
    return *value < base;
}

static bool numeric_reference(struct str digits, uint32_t *code)
{
    unsigned base = 10;
    uint32_t value = 0;

    if (digits.len > 0 && ascii_lower(digits.ptr[0]) == 'x') {
        base = 16;
        digits = str_from(digits, 1);
    }
    if (digits.len == 0 || digits.len > 8)
        return false;
    *code = 0;
    for (size_t i = 0; i < digits.len; i++) {
        if (!digit_value(digits.ptr[i], base, &value))
            return false;
        *code = *code * base + value;
    }
    *code = repair_code(*code);
    return true;
}

static bool named_reference(struct str text, uint32_t *code)
{
    char name[ENTITY_NAME_MAX + 1];
    const struct entity *hit;

    if (text.len > ENTITY_NAME_MAX)
        return false;
    memcpy(name, text.ptr, text.len);
    name[text.len] = '\0';
    hit = bsearch(name, ENTITIES, COUNT_OF(ENTITIES), sizeof ENTITIES[0],
                  entity_compare);
    if (hit != NULL)
        *code = hit->code;
    return hit != NULL;
}

/* Takes a character reference off the front of *rest, which begins with an
 * ampersand; false when it is just an ampersand. */
static bool take_reference(struct str *rest, uint32_t *code)
{
    ptrdiff_t end = str_index(str_slice(*rest, 0, ENTITY_NAME_MAX + 2), ';', 0);
    struct str name;

    if (end < 2)
        return false;
    name = str_slice(*rest, 1, (size_t)end - 1);
    if (name.ptr[0] == '#' ? !numeric_reference(str_from(name, 1), code)
                           : !named_reference(name, code))
        return false;
    *rest = str_from(*rest, (size_t)end + 1);
    return true;
}

/* Takes one character, a reference counting as one. Bytes that are not UTF-8
 * are passed over. */
static bool take_char(struct str *rest, uint32_t *code)
{
    while (rest->len > 0) {
        if (rest->ptr[0] == '&' && take_reference(rest, code))
            return true;
        if (utf8_next(rest, code))
            return true;
        *rest = str_from(*rest, 1);
    }
    return false;
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
        } else if (take_char(&text, &code)) {
            put_char(state, code);
        }
    }
}

/* Tags */

static const struct element *find_element(struct str name)
{
    size_t low = 0;
    size_t high = COUNT_OF(ELEMENTS);
    char lower[ELEMENT_NAME_MAX];

    if (name.len > sizeof lower)
        return NULL;
    for (size_t i = 0; i < name.len; i++)
        lower[i] = ascii_lower(name.ptr[i]);
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order =
            str_compare(str_make(lower, name.len), ELEMENTS[middle].name);

        if (order == 0)
            return &ELEMENTS[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* The length up to the > that ends a tag, quoted ones passed over. */
static size_t tag_len(struct str text)
{
    char quote = '\0';
    size_t len = 0;

    for (; len < text.len; len++) {
        char c = text.ptr[len];

        if (quote != '\0')
            quote = c == quote ? '\0' : quote;
        else if ((c == '"' || c == '\'') && len > 0 && text.ptr[len - 1] == '=')
            quote = c;
        else if (c == '>')
            break;
    }
    return len;
}

/* Takes a tag off *rest, which begins with <name or </name. */
static struct tag take_tag(struct str *rest)
{
    struct tag tag = {.is_closing = rest->ptr[1] == '/'};
    size_t at = tag.is_closing ? 2 : 1;
    size_t len = tag_len(*rest);
    struct str inner = str_slice(*rest, at, len - at);
    size_t name_len = 0;

    while (name_len < inner.len && !is_space(inner.ptr[name_len]) &&
           inner.ptr[name_len] != '/')
        name_len++;
    tag.name = str_slice(inner, 0, name_len);
    tag.attributes = str_from(inner, name_len);
    tag.element = find_element(tag.name);
    *rest = str_from(*rest, len + 1);
    return tag;
}

static struct str skip_spaces(struct str text)
{
    while (text.len > 0 && (is_space(text.ptr[0]) || text.ptr[0] == '/'))
        text = str_from(text, 1);
    return text;
}

static struct str take_value(struct str *rest)
{
    struct str value;
    size_t len = 0;
    ptrdiff_t end;

    if (rest->len > 0 && (rest->ptr[0] == '"' || rest->ptr[0] == '\'')) {
        end = str_index(*rest, rest->ptr[0], 1);
        len = end < 0 ? rest->len : (size_t)end;
        value = str_slice(*rest, 1, len - 1);
        *rest = str_from(*rest, len + 1);
        return value;
    }
    while (len < rest->len && !is_space(rest->ptr[len]))
        len++;
    value = str_slice(*rest, 0, len);
    *rest = str_from(*rest, len);
    return value;
}

static bool take_attribute(struct str *rest, struct str *name,
                           struct str *value)
{
    size_t len = 0;

    *rest = skip_spaces(*rest);
    while (len < rest->len && !is_space(rest->ptr[len]) &&
           rest->ptr[len] != '=' && rest->ptr[len] != '/')
        len++;
    *name = str_slice(*rest, 0, len);
    *value = S("");
    *rest = str_from(*rest, len);
    while (rest->len > 0 && is_space(rest->ptr[0]))
        *rest = str_from(*rest, 1);
    if (rest->len > 0 && rest->ptr[0] == '=') {
        *rest = str_from(*rest, 1);
        while (rest->len > 0 && is_space(rest->ptr[0]))
            *rest = str_from(*rest, 1);
        *value = take_value(rest);
        return true;
    }
    return len > 0;
}

static bool find_attribute(const struct tag *tag, struct str wanted,
                           struct str *value)
{
    struct str rest = tag->attributes;
    struct str name;

    while (take_attribute(&rest, &name, value))
        if (str_eq_nocase(name, wanted))
            return true;
    *value = S("");
    return false;
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
        if (!is_space(style.ptr[i]))
            space[tight.len++] = ascii_lower(style.ptr[i]);
    tight.ptr = space;
    return str_contains(tight, S("display:none")) ||
           str_contains(tight, S("visibility:hidden")) ||
           has_zero_height(tight);
}

static bool is_hidden(struct text_state *state, const struct tag *tag)
{
    struct str value;

    if (tag->element != NULL && tag->element->kind == ELEMENT_HIDDEN)
        return true;
    return find_attribute(tag, S("hidden"), &value) ||
           (find_attribute(tag, S("style"), &value) &&
            is_hiding_style(state, value));
}

static bool is_never_closed(const struct tag *tag)
{
    enum element_kind kind =
        tag->element == NULL ? ELEMENT_INLINE : tag->element->kind;

    return kind == ELEMENT_VOID || kind == ELEMENT_BREAK ||
           kind == ELEMENT_RULE || kind == ELEMENT_IMAGE;
}

/* Follows the tags inside a hidden element. A head that is never closed ends
 * where the body begins. */
static void inside_hidden(struct text_state *state, const struct tag *tag)
{
    if (str_eq_nocase(tag->name, state->hidden))
        state->hidden_depth += tag->is_closing ? -1U : 1U;
    else if (str_eq_nocase(state->hidden, S("head")) &&
             str_eq_nocase(tag->name, S("body")))
        state->hidden_depth = 0;
    if (state->hidden_depth == 0)
        state->hidden = S("");
}

/* Links */

/* The address as a reader would type it, in scratch. */
static struct str shown_href(struct text_state *state)
{
    struct str rest = state->href;
    struct text_state writer = {.out = &state->scratch};
    uint32_t code;

    buf_clear(&state->scratch);
    while (take_char(&rest, &code))
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

static struct str link_text(const struct text_state *state)
{
    struct str text = str_from(buf_str(state->out), state->link_start);

    while (text.len > 0 && is_space(text.ptr[0]))
        text = str_from(text, 1);
    return text;
}

static void close_link(struct text_state *state)
{
    struct str href;
    struct str text;

    if (!state->in_link)
        return;
    state->in_link = false;
    href = shown_href(state);
    text = link_text(state);
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

static void open_link(struct text_state *state, const struct tag *tag)
{
    close_link(state);
    state->in_link = find_attribute(tag, S("href"), &state->href);
    state->link_start = state->out->len;
}

/* Lists */

static unsigned list_level(const struct text_state *state)
{
    return state->list_depth < LIST_DEPTH_MAX ? state->list_depth
                                              : LIST_DEPTH_MAX;
}

static void list_tag(struct text_state *state, const struct tag *tag)
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

static void item_tag(struct text_state *state, const struct tag *tag)
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

static void put_image(struct text_state *state, const struct tag *tag)
{
    struct str alt;

    find_attribute(tag, S("alt"), &alt);
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

static void pre_tag(struct text_state *state, const struct tag *tag)
{
    want_newlines(state, 2);
    if (!tag->is_closing)
        state->pre_depth++;
    else if (state->pre_depth > 0)
        state->pre_depth--;
}

static void apply(struct text_state *state, const struct tag *tag)
{
    switch (tag->element == NULL ? ELEMENT_INLINE : tag->element->kind) {
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

/* Behind the end tag of a script or style, whose contents are no markup. */
static struct str skip_raw(struct str rest, struct str name)
{
    ptrdiff_t at = 0;

    while ((at = str_find(rest, S("</"), (size_t)at)) >= 0) {
        struct str behind = str_from(rest, (size_t)at + 2);

        if (str_starts_nocase(behind, name))
            return str_from(behind, tag_len(behind) + 1);
        at += 2;
    }
    return S("");
}

static void tag_seen(struct text_state *state, const struct tag *tag,
                     struct str *rest)
{
    bool is_raw = tag->element != NULL && tag->element->kind == ELEMENT_RAW;

    if (is_raw && !tag->is_closing)
        *rest = skip_raw(*rest, tag->name);
    else if (state->hidden.len > 0)
        inside_hidden(state, tag);
    else if (tag->is_closing || !is_hidden(state, tag))
        apply(state, tag);
    else if (!is_never_closed(tag)) {
        state->hidden = tag->name;
        state->hidden_depth = 1;
    }
}

/* Comments, declarations and processing instructions. */
static struct str skip_declaration(struct str rest)
{
    bool is_comment = str_starts(rest, S("<!--"));
    struct str end = is_comment ? S("-->") : S(">");
    ptrdiff_t at = str_find(rest, end, 2);

    return at < 0 ? S("") : str_from(rest, (size_t)at + end.len);
}

static bool begins_tag(struct str text)
{
    struct str behind = str_from(text, 1);

    if (str_starts(behind, S("/")))
        behind = str_from(behind, 1);
    return behind.len > 0 && ascii_is_alpha(behind.ptr[0]);
}

/* Takes what begins with < off *rest. */
static void take_markup(struct text_state *state, struct str *rest)
{
    struct tag tag;

    if (rest->len > 1 && (rest->ptr[1] == '!' || rest->ptr[1] == '?')) {
        *rest = skip_declaration(*rest);
    } else if (begins_tag(*rest)) {
        tag = take_tag(rest);
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
