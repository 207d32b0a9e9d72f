/* keys.h - making API keys without the API: the first one, and dev's. */
#ifndef CLI_KEYS_H
#define CLI_KEYS_H

#include "api/api.h"
#include "server/cli/tool.h"

struct key_wish {
    struct str owner;
    struct str name;
    enum key_permission permission;
    struct id domain_id; /* of the one it may send from; empty: from all */
    char domain[SENDER_NAME_MAX + 1];
};

/* Stores a new key and waits for it; token is the only copy there is. */
enum queue_status keys_make(struct tool *tool, const struct key_wish *wish,
                            char token[API_TOKEN_SIZE], struct id *id,
                            struct error *err);

#endif
