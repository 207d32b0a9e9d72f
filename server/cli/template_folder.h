/* template_folder.h - a template as files, for a customer's git:
 *
 *     FOLDER/ALIAS/template.json   name, from, reply_to, variables, ...
 *     FOLDER/ALIAS/subject.txt     with a line end that is not part of it
 *     FOLDER/ALIAS/body.html       as they are
 *     FOLDER/ALIAS/body.txt
 *     FOLDER/ALIAS/LOCALE/         the last three, of another language
 *
 * What is written and read again is the same, to the byte.
 */
#ifndef CLI_TEMPLATE_FOLDER_H
#define CLI_TEMPLATE_FOLDER_H

#include "server/base/arena.h"
#include "server/base/buf.h"
#include "server/base/check.h"
#include "server/base/error.h"
#include "server/base/json.h"

#include <stdbool.h>

enum { TEMPLATE_FOLDER_MAX = 8 << 20 };

/* One that may be the name of a folder. */
MUST_USE bool template_folder_is_name(struct str name);

/* shown: as GET /templates/{id} has it. Files of before that it has not are
 * removed. False and err. */
MUST_USE bool template_folder_write(const char *folder,
                                    const struct json *shown,
                                    struct error *err);

/* Adds the body of a request that makes the template, or changes one to it
 * whatever it was: every member is there, null where there is no file. */
MUST_USE bool template_folder_read(const char *folder, const char *alias,
                                   struct buf *body, struct error *err);

/* The file, within the template's folder, of what a pointer into that body
 * names: of "/locales/zh/html" it is "zh/body.html". Added to out. */
void template_folder_file(struct str pointer, struct buf *out);

#endif
