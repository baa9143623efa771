/*
 * The node's log: one line an event, to stderr, syslog or the kernel's log.
 *
 * Any thread. The only mutable file-scope state of the program.
 */
#ifndef DLFUSE_FUSE_LOG_H
#define DLFUSE_FUSE_LOG_H

#include <stdbool.h>

enum dlf_log_target {
    DLF_LOG_STDERR,
    DLF_LOG_SYSLOG,
    DLF_LOG_KMSG, /* stderr when the kernel does not take the line */
};

/*
 * Opens the target; what it needs is held open from then on, so chroot does not cut it off. debug:
 * dlf_debug lines are written too. Falls back to stderr when the target cannot be opened.
 */
void dlf_log_open(enum dlf_log_target target, bool debug);

enum dlf_log_level {
    DLF_LOG_ERROR,
    DLF_LOG_WARNING,
    DLF_LOG_INFO,
    DLF_LOG_DEBUG,
};

void dlf_log(enum dlf_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define dlf_error(...) dlf_log(DLF_LOG_ERROR, __VA_ARGS__)
#define dlf_warn(...) dlf_log(DLF_LOG_WARNING, __VA_ARGS__)
#define dlf_info(...) dlf_log(DLF_LOG_INFO, __VA_ARGS__)
#define dlf_debug(...) dlf_log(DLF_LOG_DEBUG, __VA_ARGS__)

#endif
