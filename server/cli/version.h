/* version.h - what was built. */
#ifndef CLI_VERSION_H
#define CLI_VERSION_H

/* Of the source, as git names it in short; "unknown" without git. */
const char *version_commit(void);

#endif
