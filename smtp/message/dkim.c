#include "smtp/message/dkim.h"

#include "server/base/codec.h"
#include "server/base/mem.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    LINE_MAX_SOFT = 78,
    CANONICAL_MAX = 2 << 20, /* bytes of all fields that are signed */
    FILE_PIECE = 64 << 10,
};

/* --- the body --- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Cuts off empty lines and blanks at the end; one CRLF is owed for them. */
static struct str without_tail(struct str body)
{
    while (true) {
        size_t len = body.len;

        while (body.len > 0 && is_blank(body.ptr[body.len - 1]))
            body.len--;
        if (str_ends(body, S("\r\n")))
            body.len -= 2;
        if (body.len == len)
            return body;
    }
}

static size_t skip_blanks(struct str text, size_t from)
{
    while (from < text.len && is_blank(text.ptr[from]))
        from++;
    return from;
}

static size_t skip_others(struct str text, size_t from)
{
    while (from < text.len && !is_blank(text.ptr[from]))
        from++;
    return from;
}

static bool ends_line(struct str text, size_t at)
{
    return at + 1 < text.len && text.ptr[at] == '\r' &&
           text.ptr[at + 1] == '\n';
}

static void hash_text(struct sha256 *hash, struct str body)
{
    size_t hashed = 0; /* what stands before it is dealt with */
    size_t at = 0;

    while (true) {
        size_t begin = skip_others(body, at);

        if (begin == body.len)
            break;
        at = skip_blanks(body, begin);
        if (at - begin == 1 && body.ptr[begin] == ' ' && !ends_line(body, at))
            continue; /* as it should be */
        sha256_add(hash, str_slice(body, hashed, begin - hashed));
        if (!ends_line(body, at))
            sha256_add(hash, S(" "));
        hashed = at;
    }
    sha256_add(hash, str_from(body, hashed));
}

/* Lines of base64 are relaxed as they are. */
static void hash_file(struct sha256 *hash, const struct octets_run *file)
{
    struct buf piece;

    buf_init(&piece, FILE_PIECE);
    for (size_t at = 0; at < file->len;) {
        buf_clear(&piece);
        at += octets_add_lines(file, at, FILE_PIECE, &piece);
        sha256_add(hash, buf_str(&piece));
    }
    buf_finish(&piece);
}

void dkim_body_hash(const struct octets *message, size_t body,
                    unsigned char out[SHA256_SIZE])
{
    struct sha256 *hash = sha256_begin();
    size_t len = octets_len(message);
    bool is_empty = true;

    for (size_t at = body; at < len;) {
        struct octets_run run = octets_run_at(message, at);
        struct str text = str_from(run.bytes, at - run.from);

        at = run.from + run.len;
        if (at == len)
            text = without_tail(text);
        if (run.is_file)
            hash_file(hash, &run);
        else
            hash_text(hash, text);
        is_empty = is_empty && text.len == 0;
    }
    if (!is_empty)
        sha256_add(hash, S("\r\n"));
    sha256_end(hash, out);
}

/* --- the header --- */

/* What is signed, and whether once more than it is there. */
static const struct {
    const char *name; /* as relaxed: lower case */
    bool is_guarded;
} SIGNED[] = {
    {"from", true},
    {"to", true},
    {"cc", true},
    {"reply-to", true},
    {"sender", false}, /* lists put one in */
    {"subject", true},
    {"date", true},
    {"message-id", true},
    {"in-reply-to", false},
    {"references", false},
    {"mime-version", true},
    {"content-type", true},
    {"content-transfer-encoding", true},
    {"list-id", false},
    {"list-unsubscribe", false},
    {"list-unsubscribe-post", false},
    {"feedback-id", false},
    {"otp-token", false},
    {"auto-submitted", false},
};

enum {
    SIGNED_COUNT = COUNT_OF(SIGNED),
    PRESENT_MAX = 64, /* of fields that are signed; ours has one of each */
    SELECTED_MAX = PRESENT_MAX + SIGNED_COUNT,
};

/* Takes one field with its continuations and line end off the front. */
static bool next_field(struct str *rest, struct str *field)
{
    size_t end = 0;

    if (rest->len == 0)
        return false;
    do {
        ptrdiff_t at = str_find(*rest, S("\r\n"), end);

        end = at < 0 ? rest->len : (size_t)at + 2;
    } while (end < rest->len && is_blank(rest->ptr[end]));
    *field = str_slice(*rest, 0, end);
    *rest = str_from(*rest, end);
    return true;
}

static struct str name_of(struct str field)
{
    ptrdiff_t colon = str_index(field, ':', 0);

    return colon < 0 ? S("") : str_trim(str_slice(field, 0, (size_t)colon));
}

/* It never grows but by its colon, so it is written in place. */
void dkim_relax_field(struct str field, struct buf *out)
{
    struct str name = name_of(field);
    size_t at = (size_t)str_index(field, ':', 0) + 1;
    char *start = buf_space(out, field.len + 1);
    char *to = start;
    bool has_blank = false;
    char *value;

    if (start == NULL)
        return;
    for (size_t i = 0; i < name.len; i++)
        *to++ = ascii_lower(name.ptr[i]);
    *to++ = ':';
    value = to;
    for (; at < field.len; at++) {
        char c = field.ptr[at];

        if (is_blank(c) || c == '\r' || c == '\n') {
            has_blank = true;
            continue;
        }
        if (has_blank && to > value)
            *to++ = ' ';
        *to++ = c;
        has_blank = false;
    }
    buf_grown(out, (size_t)(to - start));
}

/* The fields that are signed: those of one name from the bottom up, as h=
 * names them (section 5.4.2). */
struct selection {
    struct buf canonical; /* relaxed, each with its CRLF */
    size_t present[SIGNED_COUNT];
    size_t total; /* of those; at most PRESENT_MAX, what is above is unsigned */
};

struct field {
    struct str name;
    struct str whole;
};

static void add_named(struct selection *selection, size_t nth,
                      const struct field *fields, size_t count)
{
    struct str name = str_of(SIGNED[nth].name);

    for (size_t i = count; i-- > 0;) {
        if (selection->total == PRESENT_MAX)
            return;
        if (!str_eq_nocase(fields[i].name, name))
            continue;
        dkim_relax_field(fields[i].whole, &selection->canonical);
        buf_add(&selection->canonical, S("\r\n"));
        selection->present[nth]++;
        selection->total++;
    }
}

static void select_fields(struct str header, struct selection *selection)
{
    struct field *fields;
    size_t count = 0;
    struct str field;

    *selection = (struct selection){0};
    buf_init(&selection->canonical, CANONICAL_MAX);
    for (struct str rest = header; next_field(&rest, &field);)
        count++;
    fields = xcalloc(count + 1, sizeof *fields);
    count = 0;
    while (next_field(&header, &field))
        fields[count++] = (struct field){name_of(field), field};
    for (size_t i = 0; i < SIGNED_COUNT; i++)
        add_named(selection, i, fields, count);
    free(fields);
    CHECK(!selection->canonical.full);
}

/* --- the field --- */

struct line {
    struct buf *out;
    size_t column;
};

static void break_line(struct line *line)
{
    buf_add(line->out, S("\r\n "));
    line->column = 1;
}

/* A word behind what is there, or on a line of its own. */
static void put(struct line *line, struct str word, struct str gap)
{
    if (line->column + gap.len + word.len > LINE_MAX_SOFT) {
        break_line(line);
        gap = S("");
    }
    buf_add(line->out, gap);
    buf_add(line->out, word);
    line->column += gap.len + word.len;
}

static void put_tag(struct line *line, const char *name, struct str value)
{
    char room[512];
    int len = snprintf(room, sizeof room, "%s=%.*s;", name, STR_ARG(value));

    CHECK(len > 0 && (size_t)len < sizeof room);
    put(line, str_make(room, (size_t)len), S(" "));
}

/* First what is there, then what must not be added. */
static void put_names(struct line *line, const struct selection *selection)
{
    const char *names[SELECTED_MAX];
    size_t count = 0;

    for (size_t i = 0; i < SIGNED_COUNT; i++)
        for (size_t n = 0; n < selection->present[i]; n++)
            names[count++] = SIGNED[i].name;
    for (size_t i = 0; i < SIGNED_COUNT; i++)
        if (SIGNED[i].is_guarded)
            names[count++] = SIGNED[i].name;
    put(line, S("h="), S(" "));
    for (size_t i = 0; i < count; i++) {
        char room[64];
        int len = snprintf(room, sizeof room, "%s%c", names[i],
                           i + 1 < count ? ':' : ';');

        CHECK(len > 0 && (size_t)len < sizeof room);
        put(line, str_make(room, (size_t)len), S(""));
    }
}

static void put_body_hash(struct line *line,
                          const unsigned char body_hash[SHA256_SIZE])
{
    struct buf text;

    buf_init(&text, DKIM_FIELD_MAX);
    codec_base64_add(&text, str_make(body_hash, SHA256_SIZE));
    put_tag(line, "bh", buf_str(&text));
    buf_finish(&text);
}

static void put_signature(struct line *line, struct str signature)
{
    struct buf text;
    struct str rest;

    buf_init(&text, DKIM_FIELD_MAX);
    codec_base64_add(&text, signature);
    rest = buf_str(&text);
    while (rest.len > 0) {
        struct str piece = str_slice(rest, 0, LINE_MAX_SOFT - line->column);

        buf_add(line->out, piece);
        rest = str_from(rest, piece.len);
        if (rest.len > 0)
            break_line(line);
    }
    buf_add(line->out, S("\r\n"));
    buf_finish(&text);
}

/* Of the chosen fields and this one, whose b= is empty as yet. */
static size_t sign_field(const struct dkim_key *key, struct str canonical,
                         struct str field,
                         unsigned char out[DKIM_SIGNATURE_MAX])
{
    struct sha256 *hash = sha256_begin();
    unsigned char digest[SHA256_SIZE];
    struct buf relaxed;

    buf_init(&relaxed, DKIM_FIELD_MAX);
    dkim_relax_field(field, &relaxed);
    sha256_add(hash, canonical);
    sha256_add(hash, buf_str(&relaxed));
    sha256_end(hash, digest);
    buf_finish(&relaxed);
    return dkim_key_sign(key, digest, out);
}

static void add_field(const struct selection *selection,
                      const unsigned char body_hash[SHA256_SIZE],
                      struct str domain, int64_t time_s,
                      const struct dkim_signer *signer, struct buf *out)
{
    struct line line = {.out = out};
    unsigned char signature[DKIM_SIGNATURE_MAX];
    size_t start = out->len;
    char number[DECIMAL_SIZE];
    size_t len;

    put(&line, S("DKIM-Signature: v=1;"), S(""));
    put_tag(&line, "a",
            dkim_key_algorithm(signer->key) == DKIM_RSA ? S("rsa-sha256")
                                                        : S("ed25519-sha256"));
    put_tag(&line, "c", S("relaxed/relaxed"));
    put_tag(&line, "d", domain);
    put_tag(&line, "s", signer->selector);
    put_tag(&line, "t", str_decimal(time_s, number));
    put_names(&line, selection);
    put_body_hash(&line, body_hash);
    break_line(&line);
    put(&line, S("b="), S(""));
    len = sign_field(signer->key, buf_str(&selection->canonical),
                     str_from(buf_str(out), start), signature);
    put_signature(&line, str_make(signature, len));
}

void dkim_sign(struct str header, const unsigned char body_hash[SHA256_SIZE],
               struct str domain, int64_t time_s,
               const struct dkim_signer *signers, size_t count, struct buf *out)
{
    struct selection selection;

    select_fields(header, &selection);
    for (size_t i = 0; i < count; i++)
        add_field(&selection, body_hash, domain, time_s, &signers[i], out);
    buf_finish(&selection.canonical);
}
