#include "smtp/message/address.h"

#include "server/base/codec.h"
#include "smtp/message/text.h"

#include <idn2.h>
#include <string.h>

enum {
    LABEL_MAX = 63,
    /* Before UTS 46, which may shorten: full-width letters take 3 bytes. */
    DOMAIN_TEXT_MAX = 1024,
    WIDE_AT = 0xff20,
    SMALL_AT = 0xfe6b,
};

static bool has(struct str text, char c)
{
    return str_index(text, c, 0) >= 0;
}

static bool has_any(struct str text, const char *set)
{
    for (; *set != '\0'; set++)
        if (has(text, *set))
            return true;
    return false;
}

/* Domains */

static enum flaw label_check(struct str label)
{
    if (label.len == 0)
        return FLAW_DOMAIN_LABEL_EMPTY;
    if (label.len > LABEL_MAX)
        return FLAW_DOMAIN_TOO_LONG;
    for (size_t i = 0; i < label.len; i++)
        if (!ascii_is_alnum(label.ptr[i]) && label.ptr[i] != '-')
            return FLAW_DOMAIN_CHARACTER;
    if (label.ptr[0] == '-' || label.ptr[label.len - 1] == '-')
        return FLAW_DOMAIN_CHARACTER;
    return FLAW_NONE;
}

static bool is_digits(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_digit(text.ptr[i]))
            return false;
    return true;
}

/* Letters, digits, hyphens (RFC 5321 section 4.1.2). No top-level domain is a
 * number, so 127.0.0.1 is an address in disguise. */
static enum flaw ldh_check(struct str domain)
{
    struct str rest = domain;
    struct str label;
    enum flaw flaw;

    if (domain.len > ADDRESS_DOMAIN_MAX)
        return FLAW_DOMAIN_TOO_LONG;
    while (str_cut(&rest, '.', &label)) {
        flaw = label_check(label);
        if (flaw != FLAW_NONE)
            return flaw;
    }
    return is_digits(label) ? FLAW_ADDRESS_LITERAL : FLAW_NONE;
}

static bool needs_idn(struct str domain)
{
    return !utf8_is_ascii(domain) || str_contains_nocase(domain, S("xn--"));
}

static enum flaw to_a_labels(struct arena *arena, struct str text,
                             struct str *domain)
{
    const char *given = arena_cstr(arena, text);
    uint8_t *labels = NULL;
    int rc = idn2_lookup_u8((const uint8_t *)given, &labels,
                            IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);

    if (rc == IDN2_TOO_BIG_LABEL || rc == IDN2_TOO_BIG_DOMAIN)
        return FLAW_DOMAIN_TOO_LONG;
    if (rc != IDN2_OK)
        return FLAW_DOMAIN_IDN;
    *domain = arena_copy(arena, str_of((const char *)labels));
    idn2_free(labels);
    return FLAW_NONE;
}

enum flaw domain_parse(struct arena *arena, struct str text, struct str *domain)
{
    struct str labels = text;
    enum flaw flaw;
    char *lower;

    if (text.len == 0)
        return FLAW_DOMAIN_EMPTY;
    if (text.ptr[0] == '[')
        return FLAW_ADDRESS_LITERAL;
    if (text.len > DOMAIN_TEXT_MAX)
        return FLAW_DOMAIN_TOO_LONG;
    flaw = text_check(text);
    if (flaw == FLAW_NONE && needs_idn(text))
        flaw = to_a_labels(arena, text, &labels);
    if (flaw == FLAW_NONE)
        flaw = ldh_check(labels);
    if (flaw != FLAW_NONE)
        return flaw;
    lower = arena_alloc(arena, labels.len);
    ascii_lower_copy(labels, lower);
    *domain = str_make(lower, labels.len);
    return FLAW_NONE;
}

/* Local parts */

static enum flaw local_characters_check(struct str local)
{
    struct str rest = local;
    uint32_t code;

    while (utf8_next(&rest, &code)) {
        if (code == WIDE_AT || code == SMALL_AT)
            return FLAW_ADDRESS_WIDE_AT;
        if (code < 0x80 && code != '.' && !is_atext((char)code))
            return FLAW_LOCAL_CHARACTER;
        if (is_invisible(code))
            return FLAW_LOCAL_INVISIBLE;
    }
    return FLAW_NONE;
}

/* A dot-atom, of any script (RFC 6531 section 3.3). What looks like an
 * encoded word is refused although its characters are legal: some systems
 * decode it and send to the result. */
static enum flaw local_check(struct str local)
{
    if (local.len == 0)
        return FLAW_LOCAL_EMPTY;
    if (local.len > ADDRESS_LOCAL_MAX)
        return FLAW_LOCAL_TOO_LONG;
    if (local.ptr[0] == '.' || local.ptr[local.len - 1] == '.' ||
        str_contains(local, S("..")))
        return FLAW_LOCAL_DOTS;
    if (str_contains(local, S("=?")) && str_contains(local, S("?=")))
        return FLAW_LOCAL_ENCODED;
    return local_characters_check(local);
}

/* Addresses */

/* Why a text without an @ is no address. */
static enum flaw no_at(struct str text)
{
    if (str_contains(text, S("\xef\xbc\xa0")) ||
        str_contains(text, S("\xef\xb9\xab")))
        return FLAW_ADDRESS_WIDE_AT;
    return FLAW_ADDRESS_NO_AT;
}

/* Forms that the grammar knows and this house does not. */
static enum flaw form_check(struct str text)
{
    if (text.ptr[0] == '@' && has(text, ':'))
        return FLAW_ADDRESS_ROUTE;
    if (has_any(text, "()"))
        return FLAW_ADDRESS_COMMENT;
    if (has(text, ':') && text.ptr[text.len - 1] == ';')
        return FLAW_ADDRESS_GROUP;
    if (has(text, '@') && has_any(text, ",;"))
        return FLAW_ADDRESS_SEVERAL;
    if (has_any(text, "<>"))
        return FLAW_ADDRESS_BRACKETS;
    if (has(text, '@') && has(text, ' '))
        return FLAW_ADDRESS_BLANK;
    return FLAW_NONE;
}

/* "jane"@x means jane@x; what needs its quotation marks is refused: mail
 * systems have delivered such mail to other people. */
static enum flaw split_quoted(struct str text, struct str *local,
                              struct str *domain)
{
    ptrdiff_t end = str_index(text, '"', 1);

    if (end < 0)
        return FLAW_ADDRESS_QUOTE;
    *local = str_slice(text, 1, (size_t)end - 1);
    *domain = str_from(text, (size_t)end + 2);
    if (text.len < (size_t)end + 2 || text.ptr[end + 1] != '@' ||
        local_check(*local) != FLAW_NONE)
        return FLAW_LOCAL_QUOTED;
    return form_check(text);
}

static enum flaw split_at(struct str text, struct str *local,
                          struct str *domain)
{
    enum flaw flaw = form_check(text);
    ptrdiff_t at = str_index(text, '@', 0);

    if (flaw != FLAW_NONE)
        return flaw;
    if (at < 0)
        return no_at(text);
    if (str_index(text, '@', (size_t)at + 1) >= 0)
        return FLAW_ADDRESS_TWO_AT;
    *local = str_slice(text, 0, (size_t)at);
    *domain = str_from(text, (size_t)at + 1);
    return local_check(*local);
}

/* Beside a local part that needs SMTPUTF8 the domain is UTF-8 too: some
 * systems refuse the mix of both forms. */
static struct str shown_domain(struct arena *arena, struct str a_labels)
{
    const char *given = arena_cstr(arena, a_labels);
    struct str shown = a_labels;
    char *labels = NULL;

    if (idn2_to_unicode_8z8z(given, &labels, 0) == IDN2_OK)
        shown = arena_copy(arena, str_of(labels));
    idn2_free(labels);
    return shown;
}

static struct str lower_key(struct arena *arena, const struct mailbox *box)
{
    size_t len = box->local.len + 1 + box->domain.len;
    char *key = arena_alloc(arena, len);

    ascii_lower_copy(box->local, key);
    key[box->local.len] = '@';
    memcpy(key + box->local.len + 1, box->domain.ptr, box->domain.len);
    return str_make(key, len);
}

static enum flaw spec_parse(struct arena *arena, struct str text,
                            struct mailbox *box)
{
    struct str local = S("");
    struct str domain = S("");
    enum flaw flaw;

    if (text.len == 0)
        return FLAW_ADDRESS_NO_AT;
    flaw = text.ptr[0] == '"' ? split_quoted(text, &local, &domain)
                              : split_at(text, &local, &domain);
    if (flaw != FLAW_NONE)
        return flaw;
    flaw = domain_parse(arena, domain, &box->domain);
    if (flaw != FLAW_NONE)
        return flaw;
    box->needs_utf8 = !utf8_is_ascii(local);
    domain = box->needs_utf8 ? shown_domain(arena, box->domain) : box->domain;
    box->address =
        arena_printf(arena, "%.*s@%.*s", STR_ARG(local), STR_ARG(domain));
    box->local = str_slice(box->address, 0, local.len);
    box->key = lower_key(arena, box);
    if (box->address.len > ADDRESS_MAX || box->key.len > ADDRESS_MAX)
        return FLAW_ADDRESS_TOO_LONG;
    return FLAW_NONE;
}

/* Display names */

struct name_reader {
    char *out;
    size_t len;
    bool in_quotes;
    bool has_at;      /* outside quotation marks */
    bool has_divider; /* a comma or semicolon outside quotation marks */
};

static void name_add(struct name_reader *reader, char c)
{
    reader->out[reader->len++] = c;
}

static enum flaw name_bare(struct name_reader *reader, char c)
{
    switch (c) {
    case '"':
        reader->in_quotes = true;
        return FLAW_NONE;
    case '(':
    case ')':
        return FLAW_ADDRESS_COMMENT;
    case '>':
        return FLAW_ADDRESS_BRACKETS;
    case ' ':
        if (reader->len > 0 && reader->out[reader->len - 1] != ' ')
            name_add(reader, c);
        return FLAW_NONE;
    default:
        reader->has_at |= c == '@';
        reader->has_divider |= c == ',' || c == ';';
        name_add(reader, c);
        return FLAW_NONE;
    }
}

/* Reads up to the angle bracket that opens the address; *at is its place. */
static enum flaw name_read(struct name_reader *reader, struct str text,
                           size_t *at)
{
    enum flaw flaw = FLAW_NONE;
    size_t i = 0;

    for (; i < text.len && (reader->in_quotes || text.ptr[i] != '<'); i++) {
        char c = text.ptr[i];

        if (!reader->in_quotes)
            flaw = name_bare(reader, c);
        else if (c == '"')
            reader->in_quotes = false;
        else if (c == '\\' && i + 1 < text.len)
            name_add(reader, text.ptr[++i]);
        else
            name_add(reader, c);
        if (flaw != FLAW_NONE)
            return flaw;
    }
    *at = i;
    if (reader->in_quotes)
        return FLAW_ADDRESS_QUOTE;
    return i < text.len ? FLAW_NONE : FLAW_ADDRESS_BRACKETS;
}

static enum flaw named_parse(struct arena *arena, struct str text,
                             struct mailbox *box)
{
    struct name_reader reader = {.out = arena_alloc(arena, text.len)};
    size_t at = 0;
    enum flaw flaw = name_read(&reader, text, &at);
    struct str spec;

    if (flaw != FLAW_NONE)
        return flaw;
    if (reader.has_at && reader.has_divider)
        return FLAW_ADDRESS_SEVERAL;
    box->name = str_trim(str_make(reader.out, reader.len));
    if (box->name.len > ADDRESS_NAME_MAX)
        return FLAW_NAME_TOO_LONG;
    spec = str_slice(text, at + 1, text.len - at - 2);
    return spec_parse(arena, spec, box);
}

static enum flaw outer_check(struct str text)
{
    if (text.len == 0)
        return FLAW_EMPTY;
    if (text.len > ADDRESS_TEXT_MAX)
        return FLAW_TOO_LONG;
    return text_check(text);
}

enum flaw mailbox_parse(struct arena *arena, struct str text,
                        struct mailbox *box)
{
    struct mailbox parsed = {.name = S("")};
    enum flaw flaw;

    text = str_trim(text);
    flaw = outer_check(text);
    if (flaw != FLAW_NONE)
        return flaw;
    if (text.ptr[text.len - 1] == '>')
        flaw = named_parse(arena, text, &parsed);
    else
        flaw = spec_parse(arena, text, &parsed);
    if (flaw == FLAW_NONE)
        *box = parsed;
    return flaw;
}
