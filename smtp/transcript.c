#include "smtp/transcript.h"

#include "server/base/clock.h"
#include "server/base/codec.h"
#include "server/base/mask.h"

#include <stdio.h>
#include <string.h>

/* In raw, before len bytes of text. */
struct entry {
    uint32_t ms;
    uint16_t code; /* of a server's reply */
    uint16_t len;
    char who; /* C, S or * */
    bool is_cut;
};

enum {
    SHOWN_MAX = 4 * TRANSCRIPT_LINE_MAX, /* a line whose codes became dots */
    MORE_MAX = sizeof "[...]\n",
};

void transcript_init(struct transcript *transcript)
{
    buf_init(&transcript->raw, TRANSCRIPT_RAW_MAX);
    transcript->since_ms = 0;
    transcript->is_full = false;
}

void transcript_finish(struct transcript *transcript)
{
    buf_finish(&transcript->raw);
}

void transcript_begin(struct transcript *transcript, int64_t now_ms)
{
    buf_clear(&transcript->raw);
    transcript->since_ms = now_ms;
    transcript->is_full = false;
}

static uint32_t since(const struct transcript *transcript)
{
    int64_t ms = clock_now_ms() - transcript->since_ms;

    return ms < 0 ? 0 : ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

static void add(struct transcript *transcript, char who, unsigned code,
                struct str text)
{
    size_t max = who == 'S' ? TRANSCRIPT_RAW_MAX / 2 : TRANSCRIPT_LINE_MAX;
    struct entry entry = {
        .ms = since(transcript),
        .code = (uint16_t)code,
        .len = (uint16_t)(text.len > max ? max : text.len),
        .who = who,
        .is_cut = text.len > max,
    };

    if (transcript->is_full ||
        transcript->raw.len + sizeof entry + entry.len > TRANSCRIPT_RAW_MAX) {
        transcript->is_full = true;
        return;
    }
    buf_add(&transcript->raw, str_make((const char *)&entry, sizeof entry));
    buf_add(&transcript->raw, str_slice(text, 0, entry.len));
}

void transcript_client(struct transcript *transcript, struct str line)
{
    if (transcript != NULL)
        add(transcript, 'C', 0, line);
}

void transcript_message(struct transcript *transcript, size_t size)
{
    char text[40];

    if (transcript == NULL)
        return;
    snprintf(text, sizeof text, "[%zu bytes]", size);
    add(transcript, 'C', 0, str_of(text));
}

void transcript_server(struct transcript *transcript, unsigned code,
                       struct str lines)
{
    if (transcript != NULL)
        add(transcript, 'S', code, lines);
}

void transcript_note(struct transcript *transcript, const char *what,
                     const char *more)
{
    char text[TRANSCRIPT_LINE_MAX];

    snprintf(text, sizeof text, "%s %s", what, more);
    add(transcript, '*', 0, str_of(text));
}

/* --- the opening --- */

static const char HIDDEN[] = "******";

/* What tells of a login no more than its mechanism. */
static struct str public_part(struct str line)
{
    ptrdiff_t end;

    if (!str_starts(line, S("AUTH ")))
        return line;
    end = str_index(line, ' ', strlen("AUTH "));
    return end < 0 ? line : str_slice(line, 0, (size_t)end);
}

/* Anything else is an answer of a login. */
static bool is_command(struct str line)
{
    return str_starts(line, S("EHLO ")) || str_starts(line, S("HELO ")) ||
           str_eq(line, S("STARTTLS")) || str_starts(line, S("AUTH "));
}

void transcript_greeting(struct transcript *transcript, struct str written)
{
    struct str line;

    while (written.len > 0 && str_cut(&written, '\n', &line)) {
        struct str shown;

        line = str_slice(line, 0, line.len - str_ends(line, S("\r")));
        shown = is_command(line) ? public_part(line) : S("");
        if (shown.len > 0)
            transcript_client(transcript, shown);
        if (shown.len < line.len || line.len == 0)
            transcript_client(transcript, str_of(HIDDEN));
    }
}

/* A challenge may hold what the login is made of. */
void transcript_greeting_reply(struct transcript *transcript, unsigned code,
                               struct str lines)
{
    transcript_server(transcript, code, code == 334 ? str_of(HIDDEN) : lines);
}

/* --- the text --- */

static void add_shown(struct buf *out, struct str text, struct str secret)
{
    struct buf shown;

    buf_init(&shown, SHOWN_MAX);
    if (secret.len > 0)
        mask_quotes(text, secret, &shown);
    utf8_clean_add(out, secret.len > 0 ? buf_str(&shown) : text,
                   TRANSCRIPT_LINE_MAX);
    buf_finish(&shown);
}

/* True: it fits, and leaves room to say that there was more. */
static bool add_line(struct buf *out, const char *head, struct str text,
                     struct str secret, bool is_cut)
{
    struct buf line;
    bool fits;

    buf_init(&line, 2 * SHOWN_MAX);
    buf_add_cstr(&line, head);
    add_shown(&line, text, secret);
    if (is_cut || text.len > TRANSCRIPT_LINE_MAX)
        buf_add_cstr(&line, "[...]");
    buf_add_char(&line, '\n');
    fits = out->len + line.len + MORE_MAX <= TRANSCRIPT_TEXT_MAX;
    if (fits)
        buf_add(out, buf_str(&line));
    buf_finish(&line);
    return fits;
}

/* A reply's lines, as they came: "250-SIZE". */
static bool add_reply(struct buf *out, const struct entry *entry,
                      struct str text, struct str secret)
{
    struct str line;
    bool has_more;
    char head[40];

    do {
        if (!str_cut(&text, '\n', &line))
            line = S(""); /* a code without text */
        has_more = text.len > 0;
        snprintf(head, sizeof head, "%6u S: %u%c", entry->ms, entry->code,
                 has_more ? '-' : ' ');
        if (!add_line(out, head, line, secret, !has_more && entry->is_cut))
            return false;
    } while (has_more);
    return true;
}

static bool add_entry(struct buf *out, const struct entry *entry,
                      struct str text, struct str secret)
{
    char head[40];

    if (entry->who == 'S')
        return add_reply(out, entry, text, secret);
    snprintf(head, sizeof head, "%6u %c: ", entry->ms, entry->who);
    return add_line(out, head, text, S(""), entry->is_cut);
}

void transcript_add(const struct transcript *transcript, struct str secret,
                    struct buf *out)
{
    struct str rest = buf_str(&transcript->raw);
    bool fits = true;
    struct entry entry;
    struct buf text;

    buf_init(&text, TRANSCRIPT_TEXT_MAX);
    while (rest.len > 0 && fits) {
        memcpy(&entry, rest.ptr, sizeof entry);
        rest = str_from(rest, sizeof entry);
        fits = add_entry(&text, &entry, str_slice(rest, 0, entry.len), secret);
        rest = str_from(rest, entry.len);
    }
    if (!fits || transcript->is_full)
        buf_add_cstr(&text, "[...]\n");
    buf_add(out, buf_str(&text));
    buf_finish(&text);
}
