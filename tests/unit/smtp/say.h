/* say.h - replies for tests, from the text that a server would send. */
#ifndef TESTS_SMTP_SAY_H
#define TESTS_SMTP_SAY_H

#include "smtp/reply.h"

#include "check_cmocka.h"

/* The reply lives until the next call. */
static inline const struct smtp_reply *say(const char *bytes)
{
    static struct reply_parser parser;
    static struct smtp_reply reply;
    struct str input = str_of(bytes);

    reply_parser_finish(&parser);
    reply_parser_init(&parser);
    assert_int_equal(reply_parse(&parser, &input, &reply), REPLY_WHOLE);
    assert_int_equal(input.len, 0);
    return &reply;
}

/* out holds exactly wire; it is empty afterwards. */
static inline void assert_said(struct buf *out, const char *wire)
{
    buf_add_char(out, '\0');
    assert_string_equal(out->data, wire);
    buf_clear(out);
}

#endif
