/* shortage.h - whether an errno tells of this process or host alone: its
 * descriptors or memory ran out, and whoever it talks to may be well. */
#ifndef IO_SHORTAGE_H
#define IO_SHORTAGE_H

#include <errno.h>
#include <stdbool.h>

static inline bool is_shortage(int code)
{
    return code == EMFILE || code == ENFILE || code == ENOBUFS ||
           code == ENOMEM;
}

#endif
