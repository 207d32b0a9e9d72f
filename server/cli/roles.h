/* roles.h - the long-running roles: what a child of each does all its life. */
#ifndef CLI_ROLES_H
#define CLI_ROLES_H

#include "server/supervisor/supervisor.h"

extern const struct role ROLE_API;
extern const struct role ROLE_WORKER;
extern const struct role ROLE_HOOKS;

#endif
