/*
 * The program's commands. Each gets the arguments after its name and returns an exit status: 0
 * done, 1 failed, 2 wrong usage (both after a line on stderr).
 */
#ifndef DLFUSE_FUSE_COMMANDS_H
#define DLFUSE_FUSE_COMMANDS_H

#include <stdio.h>

enum {
    DLF_EXIT_OK = 0,
    DLF_EXIT_FAILED = 1,
    DLF_EXIT_USAGE = 2,
};

/* name0: argv[0] of the process, which may have to change its first character. */
int dlf_cmd_mount(int argc, char **argv, char *name0);
int dlf_cmd_download(int argc, char **argv);
int dlf_cmd_fetch(int argc, char **argv);
int dlf_cmd_status(int argc, char **argv);
int dlf_cmd_trace(int argc, char **argv);

/*
 * FROM TO: TO, which exists, gets FROM's owner, mode, times and extended attributes (ACLs, security
 * labels), but overlayfs' own and security.evm. An attribute that TO cannot store is reported on
 * stderr, and the command fails; a user.* attribute that TO's file system does not support is
 * skipped silently.
 */
int dlf_cmd_copy_attributes(int argc, char **argv);

/*
 * For commands that print a file of a mount. open: NULL, with a line on stderr, when there is none.
 * end: closes it; rc is the result of copying it to stdout, and a negative errno is reported.
 * Returns the exit status.
 */
FILE *dlf_cmd_open(const char *command, const char *directory, const char *name);
int dlf_cmd_end(const char *command, const char *directory, const char *name, FILE *in, int rc);

/* The state of a mount, in words, from the errno of opening its file. */
const char *dlf_cmd_why_none(int code);

int dlf_cmd_handover(int argc, char **argv);

#endif
