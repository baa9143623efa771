/* Opens one of a mount's small files for a command. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "fuse/commands.h"

const char *dlf_cmd_why_none(int code)
{
    switch (code) {
    case ENOENT:
        return "no dlfuse is mounted there";
    case ENOTCONN:
    case ECONNABORTED:
        return "its dlfuse was killed";
    default:
        return strerror(code);
    }
}

FILE *dlf_cmd_open(const char *command, const char *directory, const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *in = fopen(path, "re");
    if (!in)
        fprintf(stderr, "dlfuse %s: %s: %s\n", command, directory, dlf_cmd_why_none(errno));
    return in;
}

int dlf_cmd_end(const char *command, const char *directory, const char *name, FILE *in, int rc)
{
    fclose(in);
    if (rc < 0)
        fprintf(stderr, "dlfuse %s: %s/%s: %s\n", command, directory, name, strerror(-rc));
    return rc < 0 || fflush(stdout) != 0 ? DLF_EXIT_FAILED : DLF_EXIT_OK;
}
