/*
 * The node's log: one line an event, to stderr, syslog or the kernel's log.
 *
 * Any thread. After dlf_log_start no call waits for the receiver of the lines: a log daemon, a
 * terminal or a pipe may itself wait for this node, if its root is here. A thread of the log's own
 * writes the lines then. While it waits, DLF_LOG_LINES are kept; further lines are lost, and the
 * log says how many.
 *
 * The only mutable file-scope state of the program.
 */
#ifndef DLFUSE_FUSE_LOG_H
#define DLFUSE_FUSE_LOG_H

#include <stdarg.h>
#include <stdbool.h>

enum dlf_log_target {
    DLF_LOG_STDERR,
    DLF_LOG_SYSLOG,
    DLF_LOG_KMSG, /* stderr when the kernel does not take the line */
};

/*
 * Opens the target and holds it open, so chroot does not cut it off. debug: dlf_debug lines are
 * written too. Falls back to stderr when the target cannot be opened.
 */
void dlf_log_open(enum dlf_log_target target, bool debug);

/* Lines that wait to be written, at most. */
#define DLF_LOG_LINES 64

/* Once, after the last fork. Without a thread for it, lines are written as before. */
void dlf_log_start(void);

/* Milliseconds for which dlf_log_open and dlf_log_close wait for the lines to be written. */
#define DLF_LOG_DRAIN_MS 1000

/* At the end of the process; later lines are written by the threads that log them. */
void dlf_log_close(void);

enum dlf_log_level {
    DLF_LOG_ERROR,
    DLF_LOG_WARNING,
    DLF_LOG_INFO,
    DLF_LOG_DEBUG,
};

void dlf_log(enum dlf_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void dlf_vlog(enum dlf_log_level level, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));

#define dlf_error(...) dlf_log(DLF_LOG_ERROR, __VA_ARGS__)
#define dlf_warn(...) dlf_log(DLF_LOG_WARNING, __VA_ARGS__)
#define dlf_info(...) dlf_log(DLF_LOG_INFO, __VA_ARGS__)
#define dlf_debug(...) dlf_log(DLF_LOG_DEBUG, __VA_ARGS__)

/* The obstacle between a node and its image, reported to the program that started the node. */
enum dlf_trouble {
    DLF_TROUBLE_UNREACHABLE, /* some mirror does not answer: it may have the missing data */
    DLF_TROUBLE_UNUSABLE,    /* every mirror answers, and their data cannot be used */
    DLF_TROUBLE_HERE,        /* this machine does not let the node serve */
};

/*
 * From now on dlf_trouble writes to the file path, which is made, emptied and held open: neither
 * chroot nor the filter of system calls cuts it off. Without it, trouble is only in the log.
 */
void dlf_trouble_open(const char *path);

/*
 * The file then says "unreachable MESSAGE", "unusable MESSAGE" or "here MESSAGE", in one line that
 * blanks always fill up to the same length, so that one write replaces the last. Lines of one kind
 * come at most once in half a second. One thread at a time.
 */
void dlf_trouble(enum dlf_trouble kind, const char *message);

/* The obstacle is gone: empties the file. One thread at a time. */
void dlf_trouble_over(void);

#endif
