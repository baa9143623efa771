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

void dlf_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void dlf_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void dlf_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void dlf_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
