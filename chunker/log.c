/* Messages and the progress line. Owns the log's state: quiet, and the values of the line. */
#include "chunker/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define PROGRAM "dlfuse-chunker"
#define BAR_WIDTH 24
#define DRAW_INTERVAL_MS 100

static atomic_bool log_is_quiet;
static atomic_bool line_is_shown;

static struct {
    const char *what;
    uint64_t total_bytes;
    int64_t start_ms;
    int64_t drawn_ms;
} line;

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

__attribute__((format(printf, 2, 0))) static void print_line(const char *kind, const char *fmt,
                                                             va_list ap)
{
    char text[1024];
    vsnprintf(text, sizeof(text), fmt, ap);
    /* One call, so that lines of several threads do not mix. */
    fprintf(stderr, "%s%s: %s%s\n", atomic_load(&line_is_shown) ? "\r\033[K" : "", PROGRAM, kind,
            text);
}

void log_error(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    print_line("", fmt, ap);
    va_end(ap);
}

void log_warning(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    print_line("warning: ", fmt, ap);
    va_end(ap);
}

void log_note(const char *fmt, ...)
{
    va_list ap;
    if (atomic_load(&log_is_quiet))
        return;
    va_start(ap, fmt);
    print_line("", fmt, ap);
    va_end(ap);
}

void log_quiet(bool quiet)
{
    atomic_store(&log_is_quiet, quiet);
}

void log_progress_start(const char *what, uint64_t total_bytes)
{
    if (atomic_load(&log_is_quiet) || !isatty(STDERR_FILENO))
        return;
    line.what = what;
    line.total_bytes = total_bytes;
    line.start_ms = now_ms();
    line.drawn_ms = 0;
    atomic_store(&line_is_shown, true);
}

static void draw(uint64_t done_bytes, int64_t now)
{
    double seconds = (double)(now - line.start_ms) / 1000.0;
    double mb_s = seconds > 0 ? (double)done_bytes / 1e6 / seconds : 0;
    char bar[BAR_WIDTH + 1];

    if (line.total_bytes == 0) {
        fprintf(stderr, "\r\033[K%s %" PRIu64 " MB  %.0f MB/s", line.what, done_bytes / 1000000,
                mb_s);
        return;
    }
    double part = (double)done_bytes / (double)line.total_bytes;
    for (int i = 0; i < BAR_WIDTH; i++)
        bar[i] = part * BAR_WIDTH > i ? '#' : '.';
    bar[BAR_WIDTH] = 0;
    double left = part > 0 ? seconds / part - seconds : 0;
    fprintf(stderr, "\r\033[K%s [%s] %3.0f%%  %.0f MB/s  ETA %d:%02d", line.what, bar, part * 100,
            mb_s, (int)left / 60, (int)left % 60);
}

void log_progress(uint64_t done_bytes)
{
    if (!atomic_load(&line_is_shown))
        return;
    int64_t now = now_ms();
    if (now - line.drawn_ms < DRAW_INTERVAL_MS)
        return;
    line.drawn_ms = now;
    draw(done_bytes, now);
}

void log_progress_stop(void)
{
    if (atomic_exchange(&line_is_shown, false))
        fputs("\r\033[K", stderr);
}
