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
    char text[900]; /* with the rest of the line below the 1 KiB that kmsg takes */
    char line[960];
    if (state.target == DLF_LOG_SYSLOG) {
        vsyslog(priority, fmt, ap);
        return;
    }
    vsnprintf(text, sizeof(text), fmt, ap);
    /* One write for each line: those of several threads do not mix. */
    int n = snprintf(line, sizeof(line), "<%d>dlfuse: %s\n", LOG_DAEMON | priority, text);
    if (state.kmsg >= 0 && write(state.kmsg, line, (size_t)n) == n)
        return;
    const char *plain = strchr(line, '>') + 1;
    if (write(STDERR_FILENO, plain, strlen(plain)) < 0)
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
