/* banned.h - functions that this house does without.
 *
 * Included before everything else by the build. Each has a bounded or
 * re-entrant replacement: buf.h, str.h, snprintf, memcpy, gmtime_r.
 */
#ifndef BASE_BANNED_H
#define BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BANNED(name) sorry_##name##_is_banned

#undef strcpy
#define strcpy(to, from) BANNED(strcpy)
#undef strcat
#define strcat(to, from) BANNED(strcat)
#undef strncpy
#define strncpy(to, from, n) BANNED(strncpy)
#undef strncat
#define strncat(to, from, n) BANNED(strncat)
#undef sprintf
#define sprintf(...) BANNED(sprintf)
#undef vsprintf
#define vsprintf(...) BANNED(vsprintf)
#undef strtok
#define strtok(text, set) BANNED(strtok)
#undef gmtime
#define gmtime(time) BANNED(gmtime)
#undef localtime
#define localtime(time) BANNED(localtime)
#undef atoi
#define atoi(text) BANNED(atoi)
#undef alloca
#define alloca(size) BANNED(alloca)
#undef gets
#define gets(text) BANNED(gets)

#endif
