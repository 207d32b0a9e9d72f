/* journal.h - 250s on disk, from the reply until Redis has taken it.
 *
 * A worker that dies between the reply to its final dot and the turn that
 * reports it leaves a mail that was delivered and is not known to be. A line
 * in a file closes that window for all deaths but that of the machine: it is
 * written, not synced. What a dead worker left is replayed (replay.c).
 *
 * A worker has two files and writes to one; when that has grown, and Redis
 * has all that is in the other one, that is emptied and written to. So both
 * stay small however long the worker lives. It holds a lock on both
 * (flock(2)), which ends with the process: an unlocked file is a dead one's.
 *
 * A line: 8 hex digits, the CRC-32 of what stands behind the blank, and
 * ["email:number",partition,"token",final route,{detail}], detail as events.h
 * has it. The partition is the one that it was claimed in: its owner may have
 * moved since his mail got its id.
 */
#ifndef QUEUE_JOURNAL_H
#define QUEUE_JOURNAL_H

#include "queue/events.h"

#include <stddef.h>

enum { JOURNAL_LINE_MAX = 8192 };

/* --- lines: pure --- */

struct journal_entry {
    struct str id; /* "email:number" */
    unsigned partition;
    struct str token;
    bool final_route;
    struct event_detail detail;
};

/* Adds a line. Nothing if it would be longer than JOURNAL_LINE_MAX. */
void journal_write(const struct journal_entry *entry, struct buf *out);

/* Calls fn for each good line, texts in arena; how many were not. A last
 * line that was cut short is not one of ours. */
typedef void (*journal_fn)(void *ctx, const struct journal_entry *entry);
size_t journal_read(struct str bytes, struct arena *arena, journal_fn fn,
                    void *ctx);

/* --- the folder --- */

/* Makes it if it is not there. False and err (ERR_CONFIG): no folder, not
 * writable by us, or by others, too. */
MUST_USE bool journal_check_dir(const char *dir, struct error *err);

/* --- the files of a worker --- */

struct journal;

/* NULL and err (ERR_CONFIG): the folder is not fit, or full. */
MUST_USE struct journal *journal_open(const char *dir, struct error *err);
/* Removes the files, unless there is something in them that Redis has not. */
void journal_close(struct journal **journal);

/* One write. Which file it went to, for journal_taken; a failing disk is
 * logged and counted, and the worker goes on without that line. */
unsigned journal_append(struct journal *journal,
                        const struct journal_entry *entry);
/* Redis has taken a result that was appended to that file. */
void journal_taken(struct journal *journal, unsigned file);

#endif
