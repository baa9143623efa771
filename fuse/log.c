/* The log's target and level. Set once before threads start, then only read. */
#include "fuse/log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

static struct {
    enum dlf_log_target target;
    bool debug;
    int kmsg; /* -1 when not open */
} state = {.target = DLF_LOG_STDERR, .kmsg = -1};

void dlf_log_open(enum dlf_log_target target, bool debug)
{
    state.target = target;
    state.debug = debug;
    if (target == DLF_LOG_SYSLOG)
        openlog("dlfuse", LOG_PID | LOG_NDELAY, LOG_DAEMON);
    if (target == DLF_LOG_KMSG)
        state.kmsg = open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NOCTTY);
}

static void write_line(int priority, const char *fmt, va_list ap)
{
    /* One write for each line: lines of several threads do not mix. kmsg takes at most 1 KiB. */
    char line[960];
    int prefix = 0;
    if (state.target == DLF_LOG_SYSLOG) {
        vsyslog(priority, fmt, ap);
        return;
    }
    if (state.kmsg >= 0)
        prefix = snprintf(line, sizeof(line), "<%d>", LOG_DAEMON | priority);
    int begin = prefix;
    prefix += snprintf(line + prefix, sizeof(line) - (size_t)prefix, "dlfuse: ");
    vsnprintf(line + prefix, sizeof(line) - (size_t)prefix - 1, fmt, ap);
    strcat(line, "\n");
    if (state.kmsg >= 0 && write(state.kmsg, line, strlen(line)) < 0)
        begin = prefix - (int)strlen("dlfuse: "); /* stderr is all that is left */
    if (write(STDERR_FILENO, line + begin, strlen(line + begin)) < 0)
        return; /* nobody to tell */
}

#define LOG_AT(priority)                                                                           \
    do {                                                                                           \
        va_list ap;                                                                                \
        va_start(ap, fmt);                                                                         \
        write_line(priority, fmt, ap);                                                             \
        va_end(ap);                                                                                \
    } while (0)

void dlf_error(const char *fmt, ...)
{
    LOG_AT(LOG_ERR);
}

void dlf_warn(const char *fmt, ...)
{
    LOG_AT(LOG_WARNING);
}

void dlf_info(const char *fmt, ...)
{
    LOG_AT(LOG_INFO);
}

void dlf_debug(const char *fmt, ...)
{
    if (state.debug)
        LOG_AT(LOG_DEBUG);
}
