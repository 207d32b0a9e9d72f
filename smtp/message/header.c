#include "smtp/message/header.h"

#include "server/base/codec.h"
#include "smtp/message/fold.h"
#include "smtp/message/text.h"

#include <stdio.h>
#include <time.h>

/* What callers may not set; a prefix stands for all that begin so. */
static const struct {
    struct str name;
    bool is_prefix;
} RESERVED[] = {
    {STR("From"), false},
    {STR("Sender"), false},
    {STR("Reply-To"), false},
    {STR("To"), false},
    {STR("Cc"), false},
    {STR("Bcc"), false},
    {STR("Subject"), false},
    {STR("Date"), false},
    {STR("MIME-Version"), false},
    {STR("Content-"), true},
    {STR("Return-Path"), false},
    {STR("Delivered-To"), false},
    {STR("Received"), true}, /* Received-SPF too */
    {STR("Resent-"), true},
    {STR("DKIM-Signature"), false},
    {STR("DomainKey-Signature"), false},
    {STR("ARC-"), true},
    {STR("Authentication-Results"), false},
    {STR("X-Posthaste-"), true},
};

/* Fields with a grammar, in which an encoded word is an error. */
static const struct {
    struct str name;
    bool is_prefix;
} STRUCTURED[] = {
    {STR("Message-ID"), false},
    {STR("In-Reply-To"), false},
    {STR("References"), false},
    {STR("List-"), true},
    {STR("Feedback-ID"), false},
    {STR("OTP-Token"), false}, /* draft-goto-otp-token: RFC 9651 */
    {STR("Auto-Submitted"), false},
    {STR("X-Auto-Response-Suppress"), false},
    {STR("Precedence"), false},
    {STR("Priority"), false},
    {STR("X-Priority"), false},
    {STR("Importance"), false},
    {STR("Disposition-Notification-To"), false},
    {STR("Return-Receipt-To"), false},
    {STR("Errors-To"), false},
};

static bool name_fits(struct str name, struct str wanted, bool is_prefix)
{
    return is_prefix ? str_starts_nocase(name, wanted)
                     : str_eq_nocase(name, wanted);
}

static bool is_reserved(struct str name)
{
    for (size_t i = 0; i < COUNT_OF(RESERVED); i++)
        if (name_fits(name, RESERVED[i].name, RESERVED[i].is_prefix))
            return true;
    return false;
}

static bool is_structured(struct str name)
{
    for (size_t i = 0; i < COUNT_OF(STRUCTURED); i++)
        if (name_fits(name, STRUCTURED[i].name, STRUCTURED[i].is_prefix))
            return true;
    return false;
}

/* Checks */

enum flaw header_name_check(const struct header *headers, size_t index)
{
    struct str name = headers[index].name;

    if (name.len > HEADER_NAME_MAX || !is_field_name(name))
        return FLAW_HEADER_NAME;
    if (is_reserved(name))
        return FLAW_HEADER_RESERVED;
    for (size_t i = 0; i < index; i++)
        if (str_eq_nocase(headers[i].name, name))
            return FLAW_HEADER_TWICE;
    return FLAW_NONE;
}

/* Takes the next word of a structured value: up to a blank that stands
 * outside quotation marks and angle brackets. */
static bool next_word(struct str *rest, struct str *word)
{
    char closing = '\0';
    size_t len = 0;

    *rest = str_trim(*rest);
    for (; len < rest->len; len++) {
        char c = rest->ptr[len];

        if (closing == '\0' && c == ' ')
            break;
        if (closing == '"' && c == '\\')
            len++;
        else if (closing != '\0')
            closing = c == closing ? '\0' : closing;
        else if (c == '"' || c == '<')
            closing = c == '"' ? '"' : '>';
    }
    *word = str_slice(*rest, 0, len);
    *rest = str_from(*rest, len);
    return word->len > 0;
}

static bool is_dot_atom(struct str text)
{
    bool was_dot = true;

    for (size_t i = 0; i < text.len; i++) {
        bool is_dot = text.ptr[i] == '.';

        if ((is_dot && was_dot) || (!is_dot && !is_atext(text.ptr[i])))
            return false;
        was_dot = is_dot;
    }
    return !was_dot;
}

static bool in_brackets(struct str text, struct str *inner)
{
    if (text.len < 2 || text.ptr[0] != '<' || text.ptr[text.len - 1] != '>')
        return false;
    *inner = str_slice(text, 1, text.len - 2);
    return true;
}

bool is_msg_id(struct str text)
{
    struct str rest;
    struct str left = S("");

    return text.len <= FOLD_WORD_MAX && in_brackets(text, &rest) &&
           str_cut(&rest, '@', &left) && is_dot_atom(left) && is_dot_atom(rest);
}

enum flaw msg_id_check(struct str text)
{
    return text.len <= MSG_ID_MAX && is_msg_id(text) ? FLAW_NONE
                                                     : FLAW_HEADER_MSG_ID;
}

/* The ids that others gave their messages are taken as they are, so long as
 * they cannot be mistaken for two. */
static bool is_foreign_msg_id(struct str text)
{
    struct str inner;

    return text.len <= FOLD_WORD_MAX && in_brackets(text, &inner) &&
           inner.len > 0 && str_index(inner, '<', 0) < 0 &&
           str_index(inner, '>', 0) < 0 && str_index(inner, ' ', 0) < 0;
}

static enum flaw references_check(struct str value)
{
    struct str word;
    size_t count = 0;

    for (; next_word(&value, &word); count++)
        if (!is_foreign_msg_id(word))
            return FLAW_HEADER_MSG_ID;
    return count > 0 ? FLAW_NONE : FLAW_HEADER_MSG_ID;
}

static enum flaw structured_check(const struct header *header)
{
    struct str rest = header->value;
    struct str word;

    if (!utf8_is_ascii(rest))
        return FLAW_NOT_ASCII;
    if (str_trim(rest).len == 0)
        return FLAW_EMPTY;
    if (str_eq_nocase(header->name, S("Message-ID")))
        return msg_id_check(rest);
    if (str_eq_nocase(header->name, S("In-Reply-To")) ||
        str_eq_nocase(header->name, S("References")))
        return references_check(rest);
    while (next_word(&rest, &word))
        if (word.len > FOLD_WORD_MAX)
            return FLAW_HEADER_UNFOLDABLE;
    return FLAW_NONE;
}

enum flaw header_value_check(const struct header *header)
{
    enum flaw flaw;

    if (header->value.len > HEADER_VALUE_MAX)
        return FLAW_HEADER_TOO_LONG;
    flaw = text_check(header->value);
    if (flaw == FLAW_NONE && is_structured(header->name))
        flaw = structured_check(header);
    return flaw;
}

bool header_find(const struct header *headers, size_t count, const char *name,
                 struct str *value)
{
    for (size_t i = 0; i < count; i++) {
        if (!str_eq_nocase(headers[i].name, str_of(name)))
            continue;
        *value = headers[i].value;
        return true;
    }
    return false;
}

enum flaw subject_check(struct str subject)
{
    if (subject.len > SUBJECT_MAX)
        return FLAW_SUBJECT_TOO_LONG;
    return text_check(subject);
}

enum flaw tag_check(struct str text)
{
    if (text.len == 0 || text.len > TAG_MAX)
        return FLAW_TAG;
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_alnum(text.ptr[i]) && text.ptr[i] != '_' &&
            text.ptr[i] != '-')
            return FLAW_TAG;
    return FLAW_NONE;
}

/* Writers */

static bool word_needs_encoding(struct str word)
{
    return word.len > FOLD_WORD_MAX || !utf8_is_ascii(word) ||
           str_contains(word, S("=?"));
}

/* Blanks that folding and unfolding would not leave as they are. */
static bool has_odd_blanks(struct str text)
{
    return text.len > 0 &&
           (text.ptr[0] == ' ' || text.ptr[text.len - 1] == ' ' ||
            str_contains(text, S("  ")));
}

/* The run from the first to the last word that needs encoding: some readers
 * drop the blank between an encoded and a plain word, so there are as few of
 * those places as can be. Empty when there is no such word. */
static struct str encoded_run(struct str text)
{
    struct str rest = text;
    struct str word;
    size_t start = 0;
    size_t end = 0;

    if (has_odd_blanks(text))
        return text;
    while (str_cut(&rest, ' ', &word)) {
        if (!word_needs_encoding(word))
            continue;
        if (end == 0)
            start = (size_t)(word.ptr - text.ptr);
        end = (size_t)(word.ptr - text.ptr) + word.len;
    }
    return str_slice(text, start, end - start);
}

static void add_words(struct fold *fold, struct str text)
{
    struct str word;

    while (str_cut(&text, ' ', &word))
        if (word.len > 0)
            fold_word(fold, word);
}

static void add_text(struct buf *out, struct str name, struct str value)
{
    struct str run = encoded_run(value);
    struct fold fold;

    fold_begin(&fold, out, name);
    if (run.len == 0) {
        add_words(&fold, value);
    } else {
        size_t start = (size_t)(run.ptr - value.ptr);

        add_words(&fold, str_slice(value, 0, start));
        fold_encoded(&fold, run, FOLD_TEXT);
        add_words(&fold, str_from(value, start + run.len));
    }
    fold_end(&fold);
}

void header_add_text(struct buf *out, const char *name, struct str value)
{
    add_text(out, str_of(name), value);
}

static void add_structured(struct buf *out, struct str name, struct str value)
{
    struct fold fold;
    struct str word;

    CHECK(utf8_is_ascii(value));
    fold_begin(&fold, out, name);
    while (next_word(&value, &word))
        fold_word(&fold, word);
    fold_end(&fold);
}

void header_add_structured(struct buf *out, const char *name, struct str value)
{
    add_structured(out, str_of(name), value);
}

void header_add(struct buf *out, const struct header *header)
{
    if (is_structured(header->name))
        add_structured(out, header->name, header->value);
    else
        add_text(out, header->name, header->value);
}

/* Mailboxes */

static bool is_atoms(struct str name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] != ' ' && !is_atext(name.ptr[i]))
            return false;
    return true;
}

static void add_quoted(struct fold *fold, struct str name)
{
    char quoted[2 * ADDRESS_NAME_MAX + 2];
    size_t len = 0;

    CHECK(name.len <= ADDRESS_NAME_MAX);
    quoted[len++] = '"';
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '"' || name.ptr[i] == '\\')
            quoted[len++] = '\\';
        quoted[len++] = name.ptr[i];
    }
    quoted[len++] = '"';
    fold_word(fold, str_make(quoted, len));
}

/* A display name as a phrase (RFC 5322 section 3.2.5): bare, quoted, or
 * encoded; encoded words never stand inside quotation marks. */
static void add_name(struct fold *fold, struct str name)
{
    if (!utf8_is_ascii(name) || str_contains(name, S("=?")) ||
        has_odd_blanks(name))
        fold_encoded(fold, name, FOLD_PHRASE);
    else if (is_atoms(name))
        add_words(fold, name);
    else
        add_quoted(fold, name);
}

static void add_mailbox(struct fold *fold, const struct mailbox *box)
{
    char spec[ADDRESS_MAX + 3]; /* brackets and NUL */

    CHECK(box->address.len > 0 && box->address.len <= ADDRESS_MAX);
    if (box->name.len == 0) {
        fold_word(fold, box->address);
        return;
    }
    add_name(fold, box->name);
    snprintf(spec, sizeof spec, "<%.*s>", STR_ARG(box->address));
    fold_word(fold, str_of(spec));
}

void header_add_mailboxes(struct buf *out, const char *name,
                          const struct mailbox *boxes, size_t count)
{
    struct fold fold;

    fold_begin(&fold, out, str_of(name));
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            fold_glue(&fold, ',');
        add_mailbox(&fold, &boxes[i]);
    }
    fold_end(&fold);
}

/* Not by strftime: its names depend on the locale. */
void header_add_date(struct buf *out, int64_t wall_ms)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed",
                                       "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr",
                                         "May", "Jun", "Jul", "Aug",
                                         "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;

    CHECK(wall_ms >= 0 && gmtime_r(&seconds, &tm) != NULL);
    CHECK(tm.tm_year + 1900 <= 9999);
    buf_addf(out, "Date: %s, %d %s %d %02d:%02d:%02d +0000\r\n",
             days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900,
             tm.tm_hour, tm.tm_min, tm.tm_sec);
}
