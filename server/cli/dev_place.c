#include "server/cli/dev_place.h"

#include "server/base/buf.h"

#include <string.h>

void dev_path(const struct dev_place *place, const char *name,
              char out[PATH_MAX])
{
    struct buf path;

    buf_init(&path, PATH_MAX - 1);
    buf_addf(&path, "%s/%s", place->dir, name);
    CHECK(!path.full);
    memcpy(out, path.data, path.len + 1);
    buf_finish(&path);
}
