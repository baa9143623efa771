/* dlfuse status: prints the mount's status.json, as it is or one "key value" a line, or its
 * metrics.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "fuse/commands.h"
#include "fuse/control.h"

/* The text is the node's own (status.c), one pair a line: punctuation goes, the rest stays. */
static void print_plain(char *line)
{
    char *out = line;
    for (const char *p = line; *p; p++)
        if (!strchr("\"{}[]", *p) && !(*p == ',' && (p[1] == '\n' || p[1] == 0)) && *p != '\n')
            *out++ = *p;
    *out = 0;
    line += strspn(line, " ");
    char *colon = strstr(line, ": ");
    if (colon) {
        *colon = 0;
        printf("%-18s %s\n", line, colon + 2);
    }
}

static int print_file(FILE *in, bool as_it_is)
{
    char line[8192];
    while (fgets(line, sizeof(line), in)) {
        if (as_it_is)
            fputs(line, stdout);
        else
            print_plain(line);
    }
    return ferror(in) ? -errno : 0;
}

int dlf_cmd_status(int argc, char **argv)
{
    const char *directory = NULL;
    const char *file = DLF_STATUS_FILE;
    bool as_it_is = false;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            as_it_is = true;
        } else if (strcmp(argv[i], "--metrics") == 0) {
            as_it_is = true;
            file = DLF_METRICS_FILE;
        } else if (argv[i][0] == '-' || directory) {
            fprintf(stderr, "dlfuse status: %s: unexpected; see dlfuse --help\n", argv[i]);
            return DLF_EXIT_USAGE;
        } else {
            directory = argv[i];
        }
    }
    if (!directory) {
        fputs("dlfuse status: DIR is missing; see dlfuse --help\n", stderr);
        return DLF_EXIT_USAGE;
    }
    FILE *in = dlf_cmd_open("status", directory, file);
    return in ? dlf_cmd_end("status", directory, file, in, print_file(in, as_it_is))
              : DLF_EXIT_FAILED;
}
