#include "server/base/library.h"

#include <dlfcn.h>
#include <string.h>

bool library_load(const struct library *library, struct error *err)
{
    void *handle = dlopen(library->file, RTLD_LAZY | RTLD_LOCAL);

    if (handle == NULL) {
        error_set(err, ERR_SYSTEM, "%s: %s", library->need, dlerror());
        return false;
    }
    for (size_t i = 0; i < library->function_count; i++) {
        const struct library_function *wanted = &library->functions[i];
        void *function = dlsym(handle, wanted->symbol);

        if (function == NULL) {
            error_set(err, ERR_SYSTEM, "%s: %s", library->need, dlerror());
            return false;
        }
        /* ISO C knows no cast from an object to a function. */
        memcpy(wanted->place, &function, sizeof function);
    }
    return true;
}
