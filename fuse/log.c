/* The log's target and level and the file for trouble. Set once before threads start, then only
 * read. */
#include "fuse/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "fuse/util.h"

static struct {
    enum dlf_log_target target;
    bool debug;
    int kmsg;    /* -1 when not open */
    int trouble; /* -1 when not open */
} state = {.target = DLF_LOG_STDERR, .kmsg = -1, .trouble = -1};

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

/* Milliseconds between two writes of the file for trouble. */
#define TROUBLE_AGAIN_MS 500

void dlf_trouble_open(const char *path)
{
    state.trouble = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (state.trouble < 0)
        dlf_warn("-o trouble=%s: %s", path, strerror(errno));
}

void dlf_trouble(enum dlf_trouble kind, const char *message)
{
    static const char *const words[] = {
        [DLF_TROUBLE_UNREACHABLE] = "unreachable",
        [DLF_TROUBLE_UNUSABLE] = "unusable",
        [DLF_TROUBLE_HERE] = "here",
    };
    static uint64_t written_ms[sizeof(words) / sizeof(words[0])];
    char line[TEXT_MAX];
    uint64_t now = dlf_now_ms();
    if (state.trouble < 0 || (written_ms[kind] && now - written_ms[kind] < TROUBLE_AGAIN_MS))
        return;
    written_ms[kind] = now;
    int n = snprintf(line, sizeof(line), "%s %s", words[kind], message);
    size_t length = (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1;
    memset(line + length, ' ', sizeof(line) - length);
    line[sizeof(line) - 1] = '\n';
    if (pwrite(state.trouble, line, sizeof(line), 0) != (ssize_t)sizeof(line))
        dlf_debug("the file for trouble: %s", strerror(errno));
}

void dlf_trouble_over(void)
{
    if (state.trouble >= 0 && ftruncate(state.trouble, 0) < 0)
        dlf_debug("the file for trouble: %s", strerror(errno));
}
