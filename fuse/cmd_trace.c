/* dlfuse trace: prints the mount's trace. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

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
    char path[PATH_MAX];
    if (argc != 1 || argv[0][0] == '-') {
        fprintf(stderr, "dlfuse trace: %s; see dlfuse --help\n",
                argc < 1 ? "DIR is missing" : "one DIR and nothing else");
        return DLF_EXIT_USAGE;
    }
    snprintf(path, sizeof(path), "%s/" DLF_TRACE_FILE, argv[0]);
    FILE *in = fopen(path, "re");
    if (!in) {
        fprintf(stderr, "dlfuse trace: %s: %s\n", argv[0],
                errno == ENOENT ? "no dlfuse is mounted there" : strerror(errno));
        return DLF_EXIT_FAILED;
    }
    int rc = copy(in);
    fclose(in);
    if (rc < 0)
        fprintf(stderr, "dlfuse trace: %s: %s\n", path, strerror(-rc));
    return rc < 0 || fflush(stdout) != 0 ? DLF_EXIT_FAILED : DLF_EXIT_OK;
}
