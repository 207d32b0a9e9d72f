#include "smtp/message/part.h"

#include "server/base/codec.h"
#include "server/base/secret.h"
#include "smtp/message/content_type.h"
#include "smtp/message/fold.h"
#include "smtp/message/text.h"

#include <stdio.h>
#include <string.h>

enum {
    BOUNDARY_BYTES = 16,
    BOUNDARY_SIZE = 2 + 2 * BOUNDARY_BYTES + 1,
    /* A parameter and its blank and semicolon fill a line of 78. */
    PARAMETER_MAX = 76,
    FILENAME_QUOTED_MAX = 78,
    /* What qp_add may write beyond base64's length before it gives up. */
    QP_SLACK = 16,
    /* Bytes of a file that is encoded when it is read. */
    LATER_MIN = 32 << 10,
    /* Bytes of a name in one encoded word inside name="...". */
    FALLBACK_BYTES = 42,
};

enum part_kind {
    PART_TEXT,
    PART_FILE,
    PART_MULTI,
};

struct part {
    enum part_kind kind;
    const char *subtype; /* of texts and multiparts */
    struct part *next;
    struct part *first; /* children of a multipart, in their order */
    struct part *last;
    char boundary[BOUNDARY_SIZE];

    enum encoding encoding;
    struct str bytes; /* encoded already, unless it is a file in base64 */

    struct content_type type; /* of a file, as the rest */
    struct str name;
    struct str content_id;
    bool is_inline;
    bool adds_charset;
};

static struct part *part_new(struct part_maker *maker, enum part_kind kind)
{
    struct part *part = ARENA_NEW(maker->arena, struct part);

    part->kind = kind;
    return part;
}

/* Making parts */

struct part *part_text(struct part_maker *maker, const char *subtype,
                       struct str text)
{
    struct part *part = part_new(maker, PART_TEXT);
    struct str canonical = canonical_copy(maker->arena, text);
    struct buf encoded;

    part->subtype = subtype;
    buf_init(&encoded, base64_lines_len(canonical.len) + QP_SLACK);
    part->encoding = encode_text(&encoded, canonical);
    CHECK(!encoded.full);
    part->bytes = arena_copy(maker->arena, buf_str(&encoded));
    buf_finish(&encoded);
    return part;
}

/* A message in a message may not be encoded (RFC 2046 section 5.2.1), and
 * base64 ones are shown as empty by some readers. One that does not fit into
 * 7 bits goes as a file of no special type. */
static void choose_encoding(struct part_maker *maker, struct part *part)
{
    struct str canonical;

    part->encoding = ENCODING_BASE64;
    if (!content_type_is(part->type.essence, S("message")))
        return;
    canonical = canonical_copy(maker->arena, part->bytes);
    if (is_7bit(canonical)) {
        part->encoding = ENCODING_7BIT;
        part->bytes = canonical;
    } else {
        part->type =
            (struct content_type){.essence = S("application/octet-stream")};
    }
}

static bool has_param(const struct content_type *type, struct str name)
{
    for (size_t i = 0; i < type->param_count; i++)
        if (str_eq_nocase(type->params[i].name, name))
            return true;
    return false;
}

struct part *part_file(struct part_maker *maker,
                       const struct attachment *attachment, size_t index,
                       bool is_inline)
{
    struct part *part = part_new(maker, PART_FILE);
    struct str type = attachment->type;

    if (type.len == 0)
        type = content_type_guess(attachment->name);
    CHECK(content_type_check(type) == FLAW_NONE);
    CHECK(content_type_read(type, &part->type));
    part->name = filename_clean(maker->arena, attachment->name, index, type);
    part->content_id = content_id_bare(attachment->content_id);
    part->is_inline = is_inline;
    part->bytes = attachment->content;
    choose_encoding(maker, part);
    part->adds_charset = content_type_is(part->type.essence, S("text")) &&
                         !has_param(&part->type, S("charset")) &&
                         utf8_is_valid(part->bytes);
    return part;
}

/* =_ occurs in neither quoted-printable nor base64 (RFC 2045 section 6.7),
 * and what 7bit text holds cannot be foreseen but by who knows the seed. */
static void make_boundary(struct part_maker *maker, struct part *part)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char mac[SHA256_SIZE];
    char label[32];

    snprintf(label, sizeof label, "boundary %u", maker->count++);
    secret_hmac_sha256(maker->seed, str_of(label), mac);
    part->boundary[0] = '=';
    part->boundary[1] = '_';
    for (size_t i = 0; i < BOUNDARY_BYTES; i++) {
        part->boundary[2 + 2 * i] = hex[mac[i] >> 4];
        part->boundary[3 + 2 * i] = hex[mac[i] & 0xf];
    }
}

struct part *part_multi(struct part_maker *maker, const char *subtype)
{
    struct part *part = part_new(maker, PART_MULTI);

    part->subtype = subtype;
    make_boundary(maker, part);
    return part;
}

void part_add(struct part *multi, struct part *child)
{
    CHECK(multi->kind == PART_MULTI && child->next == NULL);
    if (multi->last == NULL)
        multi->first = child;
    else
        multi->last->next = child;
    multi->last = child;
}

/* Parameters */

static bool is_attribute_char(char c)
{
    return ascii_is_alnum(c) || (c != '\0' && strchr("!#$&+-.^_`{|}~", c));
}

static size_t percent_len(struct str text)
{
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++)
        len += is_attribute_char(text.ptr[i]) ? 1 : 3;
    return len;
}

static void percent_add(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (is_attribute_char(text.ptr[i]))
            buf_add_char(out, text.ptr[i]);
        else
            buf_addf(out, "%%%02X", (unsigned char)text.ptr[i]);
    }
}

/* The bytes at the front that take at most room characters: whole code
 * points, one at least. */
static size_t segment_len(struct str text, size_t room)
{
    struct str rest = text;
    size_t len = 0;
    uint32_t code;

    while (rest.len > 0) {
        if (!utf8_next(&rest, &code))
            rest = str_from(rest, 1);
        if (len > 0 &&
            percent_len(str_slice(text, 0, text.len - rest.len)) > room)
            break;
        len = text.len - rest.len;
    }
    return len;
}

/* filename*=UTF-8''..., in numbered pieces when it is longer than a line
 * (RFC 2231 section 4.1). */
static void add_extended(struct fold *fold, const char *name, struct str value)
{
    struct buf word;
    char frame[64];
    bool is_whole;

    snprintf(frame, sizeof frame, "%s*=UTF-8''", name);
    is_whole = strlen(frame) + percent_len(value) <= PARAMETER_MAX;
    buf_init(&word, 2 * PARAMETER_MAX);
    for (unsigned i = 0; value.len > 0; i++) {
        size_t len = value.len;

        if (!is_whole) {
            snprintf(frame, sizeof frame, "%s*%u*=%s", name, i,
                     i == 0 ? "UTF-8''" : "");
            len = segment_len(value, PARAMETER_MAX - strlen(frame));
        }
        buf_clear(&word);
        buf_add_cstr(&word, frame);
        percent_add(&word, str_slice(value, 0, len));
        fold_glue(fold, ';');
        fold_word(fold, buf_str(&word));
        value = str_from(value, len);
    }
    CHECK(!word.full);
    buf_finish(&word);
}

static void add_quoted(struct fold *fold, struct str name, struct str value)
{
    struct buf word;

    buf_init(&word, CONTENT_TYPE_MAX + 8);
    buf_addf(&word, "%.*s=\"%.*s\"", STR_ARG(name), STR_ARG(value));
    CHECK(!word.full);
    fold_glue(fold, ';');
    fold_word(fold, buf_str(&word));
    buf_finish(&word);
}

/* Encoded words inside quotation marks: no RFC allows it, but it is what old
 * readers (QQ Mail, Outlook) understand, and readers of RFC 2231 do not look
 * at it. */
static void add_fallback(struct fold *fold, struct str value)
{
    struct buf word;

    buf_init(&word, 2 * PARAMETER_MAX);
    fold_glue(fold, ';');
    buf_add_cstr(&word, "name=\"");
    while (value.len > 0) {
        size_t len = utf8_cut(value, FALLBACK_BYTES);

        buf_add_cstr(&word, "=?UTF-8?B?");
        codec_base64_add(&word, str_slice(value, 0, len));
        buf_add_cstr(&word, value.len == len ? "?=\"" : "?=");
        fold_word(fold, buf_str(&word));
        buf_clear(&word);
        value = str_from(value, len);
    }
    CHECK(!word.full);
    buf_finish(&word);
}

static bool is_plain_name(struct str name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!is_ascii(name.ptr[i]) || name.ptr[i] == '"')
            return false;
    return name.len <= FILENAME_QUOTED_MAX && !str_contains(name, S("=?"));
}

/* Headers of parts */

static void add_file_type(const struct part *part, struct buf *out)
{
    struct fold fold;

    fold_begin(&fold, out, S("Content-Type"));
    fold_word(&fold, part->type.essence);
    for (size_t i = 0; i < part->type.param_count; i++)
        if (!str_eq_nocase(part->type.params[i].name, S("name")))
            add_quoted(&fold, part->type.params[i].name,
                       part->type.params[i].value);
    if (part->adds_charset)
        add_quoted(&fold, S("charset"), S("utf-8"));
    if (is_plain_name(part->name))
        add_quoted(&fold, S("name"), part->name);
    else
        add_fallback(&fold, part->name);
    fold_end(&fold);
}

static void add_disposition(const struct part *part, struct buf *out)
{
    struct fold fold;

    fold_begin(&fold, out, S("Content-Disposition"));
    fold_word(&fold, part->is_inline ? S("inline") : S("attachment"));
    if (is_plain_name(part->name))
        add_quoted(&fold, S("filename"), part->name);
    else
        add_extended(&fold, "filename", part->name);
    fold_end(&fold);
}

static void add_encoding(const struct part *part, struct buf *out)
{
    buf_addf(out, "Content-Transfer-Encoding: %s\r\n",
             encoding_name(part->encoding));
}

static void add_multi_header(const struct part *part, struct buf *out)
{
    struct fold fold;
    char type[32];

    snprintf(type, sizeof type, "multipart/%s", part->subtype);
    fold_begin(&fold, out, S("Content-Type"));
    fold_word(&fold, str_of(type));
    if (strcmp(part->subtype, "related") == 0)
        add_quoted(&fold, S("type"), S("text/html"));
    add_quoted(&fold, S("boundary"), str_of(part->boundary));
    fold_end(&fold);
}

void part_add_header(const struct part *part, struct buf *out)
{
    switch (part->kind) {
    case PART_TEXT:
        buf_addf(out, "Content-Type: text/%s; charset=utf-8\r\n",
                 part->subtype);
        add_encoding(part, out);
        break;
    case PART_FILE:
        add_file_type(part, out);
        add_encoding(part, out);
        add_disposition(part, out);
        if (part->content_id.len > 0)
            buf_addf(out, "Content-ID: <%.*s>\r\n", STR_ARG(part->content_id));
        break;
    case PART_MULTI:
        add_multi_header(part, out);
        break;
    }
}

/* Bodies of parts */

/* The line end before a boundary belongs to it (RFC 2046 section 5.1.1), so
 * bodies are given back exactly. */
static void add_children(const struct part *multi, struct buf *out,
                         struct octets_files *files)
{
    for (const struct part *child = multi->first; child != NULL;
         child = child->next) {
        buf_addf(out, "%s--%s\r\n", child == multi->first ? "" : "\r\n",
                 multi->boundary);
        part_add_header(child, out);
        buf_add(out, S("\r\n"));
        part_add_body(child, out, files);
    }
    buf_addf(out, "\r\n--%s--", multi->boundary);
}

static void add_file(const struct part *part, struct buf *out,
                     struct octets_files *files)
{
    if (files == NULL || part->bytes.len < LATER_MIN)
        base64_lines_add(out, part->bytes);
    else
        files->items[files->count++] =
            (struct octets_file){.at = out->len, .bytes = part->bytes};
}

void part_add_body(const struct part *part, struct buf *out,
                   struct octets_files *files)
{
    if (part->kind == PART_MULTI)
        add_children(part, out, files);
    else if (part->kind == PART_FILE && part->encoding == ENCODING_BASE64)
        add_file(part, out, files);
    else
        buf_add(out, part->bytes);
}
