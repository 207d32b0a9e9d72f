#include "tests/bench/lib/args.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *find(int argc, char **argv, const char *name)
{
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return argv[i + 1];
    return NULL;
}

const char *arg_text(int argc, char **argv, const char *name,
                     const char *fallback)
{
    const char *text = find(argc, argv, name);

    if (text == NULL)
        text = fallback;
    if (text == NULL) {
        fprintf(stderr, "%s: %s is missing\n", argv[0], name);
        exit(2);
    }
    return text;
}

long arg_number(int argc, char **argv, const char *name, long fallback)
{
    const char *text = find(argc, argv, name);
    char *end;
    long value;

    if (text == NULL && fallback >= 0)
        return fallback;
    text = arg_text(argc, argv, name, NULL);
    errno = 0;
    value = strtol(text, &end, 10);
    if (errno != 0 || *end != '\0' || value < 0) {
        fprintf(stderr, "%s: %s %s: not a number\n", argv[0], name, text);
        exit(2);
    }
    return value;
}
