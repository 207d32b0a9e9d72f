/* template_variables.h - what a template says of its variables: name, type,
 * default, example; and whether data keep to it. Pure.
 */
#ifndef SMTP_MESSAGE_TEMPLATE_VARIABLES_H
#define SMTP_MESSAGE_TEMPLATE_VARIABLES_H

#include "server/base/json.h"
#include "smtp/message/template.h"

enum { TEMPLATE_VARIABLES_MAX = 50 };

struct template_variable {
    struct str name;
    uint32_t type;               /* row of the table of types */
    bool is_optional;            /* may be missing: it is null then */
    bool is_sensitive;           /* hidden where a subject is shown */
    const struct json *fallback; /* "default"; NULL: none */
    const struct json *example;  /* NULL: none */
};

struct template_variables {
    struct template_variable rows[TEMPLATE_VARIABLES_MAX];
    size_t count;
};

/* Reads a list of {"name", "type", "required", "sensitive", "default",
 * "example"}, with Resend's "key" and "fallback_value" for the first and the
 * fourth. Types: string, number, boolean, date, list, object. The result points
 * into list. False and err (ERR_INPUT: "variables[2]: ..."): what is wrong
 * first. */
MUST_USE bool template_variables_read(const struct json *list,
                                      struct template_variables *variables,
                                      struct error *err);

/* Adds data as JSON to out, with the defaults of what it lacks. False, flaws
 * and err (ERR_INPUT, naming them all): a variable without a default is
 * missing or null, or one has another type. What is not declared passes. */
MUST_USE bool template_variables_fill(const struct template_variables *wanted,
                                      const struct json *data, struct buf *out,
                                      struct template_flaws *flaws,
                                      struct error *err);

/* The same of the examples, for a preview: an example, else the default, else
 * null where the variable is optional, else one that fits the type. */
void template_variables_example(const struct template_variables *wanted,
                                struct buf *out);
/* The same, but for null: each has a value. */
void template_variables_sample(const struct template_variables *wanted,
                               struct buf *out);

#endif
