/* index.h - how a mail is found in the list of all: marks that stand in the
 * index (scripts/history.lua), and whether a summary is what was asked for.
 * Pure.
 *
 * A mark is a letter and 8 letters of a hash: r and an address without its
 * name, in small letters; g and a tag, 4 letters of its name and 4 of its
 * value. Marks only narrow down where to look: two addresses may share one,
 * so the summary decides.
 */
#ifndef QUEUE_INDEX_H
#define QUEUE_INDEX_H

#include "queue/record.h"

enum { INDEX_MARK_LEN = 9, INDEX_TAG_NAME_LEN = 5, INDEX_MARK_SIZE = 10 };

/* NUL behind the mark. */
void index_recipient_mark(struct str address, char out[INDEX_MARK_SIZE]);
/* value.ptr NULL: of the name alone, INDEX_TAG_NAME_LEN letters that begin
 * the marks of all its values. */
void index_tag_mark(struct str name, struct str value,
                    char out[INDEX_MARK_SIZE]);
/* Of an address in full, by which it is told from all others. key: the
 * address as it is compared, ASCII lower case with A-labels. */
enum { ADDRESS_HASH_LEN = 16, ADDRESS_HASH_SIZE = 17 };
void address_hash(struct str key, char out[ADDRESS_HASH_SIZE]);
/* Those of a whole mail, each once. */
void index_add_marks(const struct summary *summary, struct buf *out);

bool index_has_recipient(const struct summary *summary, struct str address);
/* value.ptr NULL: any. */
bool index_has_tag(const struct summary *summary, struct str name,
                   struct str value);

#endif
