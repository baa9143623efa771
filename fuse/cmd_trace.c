/* dlfuse trace: prints the mount's trace. */
#include <errno.h>
#include <stdio.h>

#include "fuse/commands.h"
#include "fuse/control.h"

static int copy(FILE *in)
{
    char buffer[65536];
    size_t n;
    while ((n = fread(buffer, 1, sizeof(buffer), in)) > 0)
        if (fwrite(buffer, 1, n, stdout) != n)
            return -errno;
    return ferror(in) ? -errno : 0;
}

int dlf_cmd_trace(int argc, char **argv)
{
    if (argc != 1 || argv[0][0] == '-') {
        fprintf(stderr, "dlfuse trace: %s; see dlfuse --help\n",
                argc < 1 ? "DIR is missing" : "one DIR and nothing else");
        return DLF_EXIT_USAGE;
    }
    FILE *in = dlf_cmd_open("trace", argv[0], DLF_TRACE_FILE);
    return in ? dlf_cmd_end("trace", argv[0], DLF_TRACE_FILE, in, copy(in)) : DLF_EXIT_FAILED;
}
