/* fault.h - named points at which a test may end the process.
 *
 * FAULT_POINT("smtp.dot_sent"); says that this step was reached. Only builds
 * with the option FAULT_POINTS have them (presets debug and asan); in others
 * nothing of this file is left, and CMake looks whether that is so.
 *
 *   POSTHASTE_FAULT_POINT=name:n[:times]
 *
 * ends the child of a role that passes that point for the n-th time by
 * _exit(137), as kill -9 would: nothing is flushed, no answer is waited for.
 * Passages are counted over all children of a supervisor, those that it
 * starts again included, so the point fires once in the life of the role, or
 * `times` times: at the passages n, 2n, 3n and so on. A count in each child
 * would fire for ever: with n = 1 no mail would get past it. Points named
 * "supervisor.…" end the supervisor, which its test starts again, all others
 * its children.
 *
 * The points find themselves: each stands in a section of its own of the
 * binary, so there is no list to keep. `posthaste version --fault-points`
 * prints them, tests/fault/crash_points.mjs tries them all.
 *
 * Names are "where.step". A step that hands bytes over has one point before
 * (what it was that led here), one when the bytes have left, "x.sent", and
 * one when the answer was read, "x.done".
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include "server/base/buf.h"
#include "server/base/check.h"
#include "server/base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum { FAULT_EXIT = 137 }; /* what a shell says of a kill -9 */

#ifdef FAULT_POINTS

struct fault_point {
    const char *name;
    bool is_armed;
};

#define FAULT_POINT_NEW(id, its_name)                                          \
    static struct fault_point id                                               \
        __attribute__((section("fault_points"), used)) = {its_name, false}

#define FAULT_POINT(its_name)                                                  \
    do {                                                                       \
        FAULT_POINT_NEW(fault_point_here, its_name);                           \
        FAULT_PASS(&fault_point_here);                                         \
    } while (0)

/* The same, for whoever keeps a pointer to it until the step is done. */
#define FAULT_POINT_KEEP(pointer, its_name)                                    \
    do {                                                                       \
        FAULT_POINT_NEW(fault_point_here, its_name);                           \
        (pointer) = &fault_point_here;                                         \
    } while (0)

#define FAULT_PASS(point)                                                      \
    do {                                                                       \
        if ((point) != NULL && (point)->is_armed)                              \
            fault_pass();                                                      \
    } while (0)

/* By a supervisor, before it forks: reads POSTHASTE_FAULT_POINT. False and
 * err: there is no such point, or n is no number. */
MUST_USE bool fault_prepare(struct error *err);
/* By its child: from here on its points fire, and not its parent's. */
void fault_arm(void);
/* The armed point is passed. */
void fault_pass(void);
/* A mail that is poison: the process aborts when it meets the text of
 * POSTHASTE_FAULT_POISON (empty: nothing is) in bytes. */
void fault_poison(struct str bytes);
/* The name servers to ask in place of the system's, as "127.0.0.1:5353": what
 * POSTHASTE_FAULT_NAME_SERVERS says; NULL: the system's. */
const char *fault_name_servers(void);
/* Where policies are fetched in place of port 443: what
 * POSTHASTE_FAULT_POLICY_PORT says; NULL: there. */
const char *fault_policy_port(void);
/* Whether a child ended by its point, from what waitpid said of it. */
bool fault_was_hit(int status);
/* Adds all names, sorted, one a line. */
void fault_list(struct buf *out);

#else

#define FAULT_POINT(its_name) ((void)0)

static inline bool fault_prepare(struct error *err)
{
    (void)err;
    return true;
}
static inline void fault_arm(void)
{
}
static inline void fault_poison(struct str bytes)
{
    (void)bytes;
}
static inline const char *fault_name_servers(void)
{
    return NULL;
}
static inline const char *fault_policy_port(void)
{
    return NULL;
}
static inline bool fault_was_hit(int status)
{
    (void)status;
    return false;
}

#endif

#endif
