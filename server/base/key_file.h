/* key_file.h - files of secret keys: lines "id base64-of-32-bytes" beside
 * blank lines and # comments. Ids are of [A-Za-z0-9_-]{1,32}. The first key is
 * the current one. What was read or written is wiped. */
#ifndef BASE_KEY_FILE_H
#define BASE_KEY_FILE_H

#include "server/base/check.h"
#include "server/base/error.h"
#include "server/base/str.h"

#include <stdbool.h>

enum { KEY_SIZE = 32, KEY_ID_SIZE = 33, KEY_FILE_KEYS_MAX = 64 };

bool is_key_id(struct str id);

/* Takes a key: at most KEY_FILE_KEYS_MAX, in the order of the file. id and
 * bytes live until it returns. NULL, or what is wrong: "the line ...". */
typedef const char *key_file_take_fn(void *ctx, struct str id,
                                     const unsigned char bytes[KEY_SIZE]);

/* False and err (ERR_CONFIG): unreadable, a bad line (with its number), no
 * key. Some keys may have been taken by then. */
MUST_USE bool key_file_read(const char *path, key_file_take_fn *take, void *ctx,
                            struct error *err);

/* A new file with a comment (lines with # and their ends) and one key, mode
 * 0600; refuses to overwrite. */
MUST_USE bool key_file_create(const char *path, const char *comment,
                              const char *id,
                              const unsigned char bytes[KEY_SIZE],
                              struct error *err);

#endif
