/* dev_place.h - where everything of one `posthaste dev` is. */
#ifndef CLI_DEV_PLACE_H
#define CLI_DEV_PLACE_H

#include <limits.h>
#include <stdint.h>

enum { DEV_URL_SIZE = 64, DEV_ROLES = 3 };

struct dev_place {
    char dir[PATH_MAX]; /* absolute */
    char config_path[PATH_MAX];
    char api_url[DEV_URL_SIZE];
    char dev_url[DEV_URL_SIZE];               /* inbox and webhook receiver */
    char admin_urls[DEV_ROLES][DEV_URL_SIZE]; /* api, worker, hooks */
    char smtp_address[DEV_URL_SIZE];
    int64_t started_ms; /* monotonic: when dev began */
    int64_t redis_ms;   /* how long redis-server took */
};

/* dir/name; CHECKs that it fits, so dir is a little shorter than PATH_MAX. */
void dev_path(const struct dev_place *place, const char *name,
              char out[PATH_MAX]);

#endif
