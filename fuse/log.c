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

/* Characters of a message; with the rest of the line below the 1 KiB that kmsg takes. */
#define TEXT_MAX 900

static void write_line(int priority, const char *text)
{
    char line[TEXT_MAX + 60];
    if (state.target == DLF_LOG_SYSLOG) {
        syslog(priority, "%s", text);
        return;
    }
    /* One write for each line: those of several threads do not mix. */
    int n = snprintf(line, sizeof(line), "<%d>dlfuse: %s\n", LOG_DAEMON | priority, text);
    if (state.kmsg >= 0 && write(state.kmsg, line, (size_t)n) == n)
        return;
    const char *plain = strchr(line, '>') + 1;
    if (write(STDERR_FILENO, plain, strlen(plain)) < 0)
        return; /* nobody to tell */
}

void dlf_log(enum dlf_log_level level, const char *fmt, ...)
{
    static const int priorities[] = {
        [DLF_LOG_ERROR] = LOG_ERR,
        [DLF_LOG_WARNING] = LOG_WARNING,
        [DLF_LOG_INFO] = LOG_INFO,
        [DLF_LOG_DEBUG] = LOG_DEBUG,
    };
    char text[TEXT_MAX];
    va_list ap;
    if (level == DLF_LOG_DEBUG && !state.debug)
        return;
    va_start(ap, fmt);
    /* clang-tidy 14 does not see the va_start above. NOLINTNEXTLINE(clang-analyzer-valist*) */
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    write_line(priorities[level], text);
}
