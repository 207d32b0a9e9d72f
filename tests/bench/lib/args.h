/* args.h - a benchmark's options: --name value, in any order. */
#ifndef BENCH_ARGS_H
#define BENCH_ARGS_H

/* The value behind --name on the command line, else the fallback. Without a
 * fallback (NULL, or negative) the option must be there. */
const char *arg_text(int argc, char **argv, const char *name,
                     const char *fallback);
long arg_number(int argc, char **argv, const char *name, long fallback);

#endif
