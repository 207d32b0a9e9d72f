/* walk_audit_text.h - the script that looks at all keys of a partition. */
#ifndef TESTS_WALK_AUDIT_TEXT_H
#define TESTS_WALK_AUDIT_TEXT_H

#include "server/base/buf.h"

#include "check_cmocka.h"

#include <stdio.h>

enum { AUDIT_MAX = 1 << 17 };

static inline void audit_add(struct buf *out, const char *path)
{
    char chunk[4096];
    size_t got;
    FILE *file = fopen(path, "r");

    if (file == NULL)
        fail_msg("%s: run it in the folder of the sources", path);
    while ((got = fread(chunk, 1, sizeof chunk, file)) > 0)
        buf_add(out, str_make(chunk, got));
    fclose(file);
}

/* The caller finishes it. */
static inline void audit_text(struct buf *out)
{
    buf_init(out, AUDIT_MAX);
    buf_add_cstr(out, "local FAULT_POINTS = true\n");
    audit_add(out, "queue/scripts/prelude.lua");
    audit_add(out, "queue/scripts/history.lua");
    audit_add(out, "queue/scripts/tasks.lua");
    audit_add(out, "tests/unit/queue/walk_audit.lua");
    assert_false(out->full);
}

#endif
