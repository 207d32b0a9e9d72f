#include "server/hooks/libcurl.h"

#include "server/base/library.h"

struct libcurl libcurl;

bool libcurl_load(struct error *err)
{
    static const struct library_function FUNCTIONS[] = {
#define LIBCURL_FUNCTION(name) {"curl_" #name, &libcurl.name},
        LIBCURL_FUNCTIONS(LIBCURL_FUNCTION)
#undef LIBCURL_FUNCTION
    };
    static const struct library LIBRARY = {
        .file = "libcurl.so.4",
        .need = "webhooks need libcurl (package libcurl4)",
        .functions = FUNCTIONS,
        .function_count = COUNT_OF(FUNCTIONS),
    };

    return library_load(&LIBRARY, err);
}
