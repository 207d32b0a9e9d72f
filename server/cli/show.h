/* show.h - JSON answers as text for people. Whatever came from outside is
 * cleaned of controls, so that no mail can steer a terminal. */
#ifndef CLI_SHOW_H
#define CLI_SHOW_H

#include "server/base/buf.h"
#include "server/base/json.h"
#include "server/base/str.h"

struct show_column {
    const char *title;
    /* "data/recipient": members, by slashes; of several with a bar between
     * them the first one that is there. */
    const char *pointer;
};

/* Begins a list as every verb prints it, in the shape of the API:
 * {"object":"list","data":[...]}. The items follow; who closes both may put
 * members of the whole list in between. */
void show_list_open(struct json_out *out);
void show_list_close(struct json_out *out);

/* Members and values as "name: value", what is nested below it, deeper;
 * without the empty ones. */
void show_value(const struct json *value, struct buf *out);

/* One line an item of list, as wide as needed; columns without any value are
 * left out. */
void show_table(const struct json *list, const struct show_column *columns,
                size_t count, struct buf *out);

/* Text of several lines, cleaned line by line. */
void show_text(struct str text, struct buf *out);

/* The findings of lint, a line each; those of a folder by file and line. */
void show_lint(const struct json *findings, struct buf *out);

/* Writes to standard output. */
void show_print(const struct buf *out);

#endif
