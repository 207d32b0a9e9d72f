#include "server/http/microhttpd.h"

#include "server/base/library.h"

struct microhttpd microhttpd;

bool microhttpd_load(struct error *err)
{
    static const struct library_function FUNCTIONS[] = {
#define MICROHTTPD_FUNCTION(name) {"MHD_" #name, &microhttpd.name},
        MICROHTTPD_FUNCTIONS(MICROHTTPD_FUNCTION)
#undef MICROHTTPD_FUNCTION
    };
    static const struct library LIBRARY = {
        .file = "libmicrohttpd.so.12",
        .need = "the API needs libmicrohttpd (package libmicrohttpd12)",
        .functions = FUNCTIONS,
        .function_count = COUNT_OF(FUNCTIONS),
    };

    return library_load(&LIBRARY, err);
}
