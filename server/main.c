#include <stdio.h>

int main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    puts("posthaste " POSTHASTE_VERSION);
    return 0;
}
