/* scripts.h - the Lua scripts, embedded in the binary.
 *
 * A script is queue/scripts/<name>.lua. Its first line is "#!lua" with its
 * flags, its second names the libraries that are put before it ("-- needs:
 * prelude deliveries"); files without a first line like that are libraries.
 * Behind it "-- function NAME: libraries" makes a function of them: the last
 * one is what it does, and none of them costs anything before it is called.
 * What a script takes and answers stands at its head. EVALSHA, not functions:
 * the hash is the version, so two releases work side by side.
 */
#ifndef QUEUE_SCRIPTS_H
#define QUEUE_SCRIPTS_H

#include "server/base/buf.h"

enum script {
#define SCRIPT(id, text) SCRIPT_##id,
#include "queue_scripts.inc"
#undef SCRIPT
    SCRIPT_COUNT
};

const char *script_name(enum script script); /* "ENQUEUE" */
/* The first script at or behind i; SCRIPT_COUNT: none. Libraries are none. */
unsigned script_next(unsigned i);
bool script_writes(enum script script); /* no "no-writes" among its flags */
/* Adds what SCRIPT LOAD takes: the libraries that it needs and the script. */
void script_add_text(enum script script, struct buf *out);

#endif
