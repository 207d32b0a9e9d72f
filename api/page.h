/* page.h - what stands around the items of every list:
 * {"object":"list","has_more":...,"data":[...]}. */
#ifndef API_PAGE_H
#define API_PAGE_H

#include "server/base/json.h"

#include <stdbool.h>

void page_open(struct json_out *out, bool has_more);
void page_close(struct json_out *out);

#endif
