#include "api/page.h"

void page_open(struct json_out *out, bool has_more)
{
    json_open_map(out);
    json_add_cstr(out, "object", "list");
    json_add_bool(out, "has_more", has_more);
    json_name(out, "data");
    json_open_list(out);
}

void page_close(struct json_out *out)
{
    json_close_list(out);
    json_close_map(out);
}
