/* config_text.h - from one text to one value of struct config. Inside of
 * config*.c only. Pure but for those that look at files.
 *
 * Each reader stores at to what config_keys.h says of its kind. False: why
 * tells what is wrong, and nothing was stored.
 */
#ifndef BASE_CONFIG_TEXT_H
#define BASE_CONFIG_TEXT_H

#include "server/base/config_value.h"
#include "server/base/str.h"

#include <stdbool.h>
#include <stdint.h>

/* Sets why. Always false, for the caller to pass on. */
PRINTF_LIKE(2, 3)
bool config_refuse(struct config_reading *r, const char *format, ...);

typedef bool config_text_fn(struct config_reading *r, struct str text,
                            void *to);

config_text_fn config_read_text;
config_text_fn config_read_name;
config_text_fn config_read_host;
config_text_fn config_read_domain;
config_text_fn config_read_endpoint;
config_text_fn config_read_network;
config_text_fn config_read_address;
config_text_fn config_read_fingerprint;
config_text_fn config_read_redis_url;
config_text_fn config_read_prefix;
config_text_fn config_read_class;
config_text_fn config_read_duration;
config_text_fn config_read_optional_duration;
config_text_fn config_read_size;
config_text_fn config_read_part;
config_text_fn config_read_rate;
config_text_fn config_read_tls;
config_text_fn config_read_auth;
config_text_fn config_read_chunking;
config_text_fn config_read_transcripts;
config_text_fn config_read_log_level;
config_text_fn config_read_log_format;

/* The secret itself; a line end behind it is not part of it. */
config_text_fn config_read_secret;
/* The path of the file that holds it; empty: no secret. */
config_text_fn config_read_secret_file;

/* The path of a file that can be read, or nothing. */
config_text_fn config_read_readable_file;
config_text_fn config_read_public_key;
/* The path of a program that can be run. */
bool config_check_program(struct config_reading *r, const char *path);

/* A number within the bounds of the key. */
bool config_read_int(struct config_reading *r, int64_t number, int64_t *to);

#endif
