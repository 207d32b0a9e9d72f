/* template_program.h - what a template is compiled to. Inside of the room.
 *
 * A row of operations that run from the front to the back, with jumps for
 * sections. Text is not copied: it is a piece of the source. Names stand in
 * one pool, each ended by NUL, so that a look-up costs no copy.
 *
 * Indentation: a partial alone on its line prepends the blanks before it to
 * each line of the partial, so text knows where a line of the source begins
 * (AT_LINE), and a tag that begins one has a MARGIN before it. The body of a
 * block that replaces another is moved: it loses the blanks that all its
 * lines share, and gets those of the place where it goes.
 */
#ifndef SMTP_MESSAGE_TEMPLATE_PROGRAM_H
#define SMTP_MESSAGE_TEMPLATE_PROGRAM_H

#include "smtp/message/template.h"

#include <stdint.h>

enum template_op_kind {
    OP_TEXT,     /* source piece a, b */
    OP_MARGIN,   /* the blanks of the line that begins here */
    OP_VALUE,    /* path a; filters b to c */
    OP_SECTION,  /* path a; end: behind its OP_END */
    OP_INVERTED, /* path a; end: behind its body */
    OP_END,      /* of a section that began at a */
    OP_PARTIAL,  /* name or path a; indent b, c */
    OP_PARENT,   /* the same; its OP_ARGs follow, up to end */
    OP_ARG,      /* name a; the body up to end; c blanks to take off */
    OP_BLOCK,    /* name a; its default up to end; indent b, c */
    OP_KINDS,
};

enum template_op_flag {
    OP_AT_LINE = 1, /* text: begins a line. Block: its body begins one */
    OP_RAW = 2,     /* value: is not escaped */
    OP_DYNAMIC = 4, /* partial, parent: a is the path of the name */
};

struct template_op {
    uint8_t kind;
    uint8_t flags;
    uint32_t a;
    uint32_t b;
    uint32_t c;
    uint32_t end;
    uint32_t at; /* value, section: its name in the source; partial, parent:
                  * the tag, or when dynamic the name */
};

/* A dotted name, which any number of operations may share. No parts: the
 * implicit iterator. */
struct template_path {
    uint32_t name;  /* the whole, in the pool */
    uint32_t parts; /* first part in the pool; the others follow it */
    uint32_t count;
};

struct template_filter {
    uint32_t row; /* of the table of filters */
    uint32_t argument;
};

struct template
{
    struct str source; /* owned */
    struct template_op *ops;
    size_t op_count;
    struct template_path *paths;
    size_t path_count;
    struct template_filter *filters;
    size_t filter_count;
    struct buf pool;
};

/* A text of the pool. */
const char *template_word(const struct template *program, uint32_t at);

/* Line and column, both from 1, the column in characters. */
void template_place(struct str source, size_t at, unsigned *line,
                    unsigned *column);

#endif
