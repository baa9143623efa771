/*
 * The program's commands. Each gets the arguments after its name and returns an exit status:
 * 0 done, 1 failed (a line on stderr has said what), 2 wrong usage (likewise).
 */
#ifndef DLFUSE_FUSE_COMMANDS_H
#define DLFUSE_FUSE_COMMANDS_H

enum {
    DLF_EXIT_OK = 0,
    DLF_EXIT_FAILED = 1,
    DLF_EXIT_USAGE = 2,
};

/* name0: argv[0] of the process, which may have to change its first character. */
int dlf_cmd_mount(int argc, char **argv, char *name0);
int dlf_cmd_download(int argc, char **argv);
int dlf_cmd_status(int argc, char **argv);
int dlf_cmd_trace(int argc, char **argv);
int dlf_cmd_handover(int argc, char **argv);

#endif
