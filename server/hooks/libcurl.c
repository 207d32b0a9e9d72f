#include "server/hooks/libcurl.h"

#include <dlfcn.h>
#include <string.h>

struct libcurl libcurl;

static const struct {
    const char *symbol;
    void *place;
} FUNCTIONS[] = {
#define LIBCURL_PLACE(name) {"curl_" #name, &libcurl.name},
    LIBCURL_FUNCTIONS(LIBCURL_PLACE)
#undef LIBCURL_PLACE
};

bool libcurl_load(struct error *err)
{
    void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);

    if (library == NULL) {
        error_set(err, ERR_SYSTEM,
                  "webhooks need libcurl (package libcurl4): %s", dlerror());
        return false;
    }
    for (size_t i = 0; i < COUNT_OF(FUNCTIONS); i++) {
        void *function = dlsym(library, FUNCTIONS[i].symbol);

        if (function == NULL) {
            error_set(err, ERR_SYSTEM, "libcurl: %s", dlerror());
            return false;
        }
        /* ISO C knows no cast from an object to a function. */
        memcpy(FUNCTIONS[i].place, &function, sizeof function);
    }
    return true;
}
