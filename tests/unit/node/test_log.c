/*
 * A log without a reader blocks no thread, and afterwards reports how many lines are missing. The
 * log is the state of a process: each test has a child of its own, with a pipe as stderr.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fuse/log.h"
#include "fuse/util.h"

#define LINES 1000
#define THREADS 4

/* No log call may take longer, even on a busy machine; a blocked call takes for ever. */
#define SOON_MS 5000

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("%s:%d: not so: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno);       \
            fflush(stdout);                                                                        \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static void in_child(void (*body)(int pipe_end))
{
    int ends[2];
    int status;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(60);
        dup2(ends[1], STDERR_FILENO);
        close(ends[1]);
        body(ends[0]);
        _exit(0);
    }
    close(ends[0]);
    close(ends[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* Writes until stderr takes nothing more. */
static void fill_stderr(void)
{
    static const char dots[256] = {[0 ... 255] = '.'};
    int flags = fcntl(STDERR_FILENO, F_GETFL);
    EXPECT(fcntl(STDERR_FILENO, F_SETFL, flags | O_NONBLOCK) == 0);
    for (size_t size = sizeof(dots); size; size /= 2)
        while (write(STDERR_FILENO, dots, size) > 0)
            continue;
    EXPECT(fcntl(STDERR_FILENO, F_SETFL, flags) == 0);
}

/* Reads the pipe up to and including the first line that contains end. */
static char *read_until(int fd, const char *end)
{
    static char text[1 << 20];
    size_t n = 0;
    memset(text, 0, sizeof(text));
    while (n < sizeof(text) - 1) {
        char *found = strstr(text, end);
        if (found && strchr(found, '\n'))
            break;
        ssize_t got = read(fd, text + n, sizeof(text) - 1 - n);
        EXPECT(got > 0);
        n += (size_t)got;
    }
    return text;
}

static void *log_lines(void *cookie)
{
    (void)cookie;
    for (int i = 0; i < LINES / THREADS; i++)
        dlf_info("number %d", i);
    return NULL;
}

static void log_from_threads(void)
{
    pthread_t threads[THREADS];
    uint64_t begin_ms = dlf_now_ms();
    for (int i = 0; i < THREADS; i++)
        EXPECT(pthread_create(&threads[i], NULL, log_lines, NULL) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    EXPECT(dlf_now_ms() - begin_ms < SOON_MS);
}

static void nobody_reads(int fd)
{
    uint64_t missing = 0;
    uint64_t there = 0;
    dlf_log_open(DLF_LOG_STDERR, false);
    fill_stderr();
    dlf_log_start();
    log_from_threads();
    const char *text = read_until(fd, "lines are missing here");
    for (const char *at = text; (at = strstr(at, "dlfuse: number ")); at++)
        there++;
    const char *at = strstr(text, "lines are missing here") - 1;
    while (at > text && at[-1] != ' ')
        at--;
    EXPECT(sscanf(at, "%" SCNu64, &missing) == 1);
    EXPECT(there >= DLF_LOG_LINES && there <= DLF_LOG_LINES + 1);
    EXPECT(missing == LINES - there);
    dlf_info("after it");
    EXPECT(strstr(read_until(fd, "after it"), "dlfuse: after it\n"));
    dlf_log_close();
}

/* Closing the log does not wait for a reader for long, nor does opening it anew. */
static void nobody_reads_at_the_end(int fd)
{
    (void)fd;
    dlf_log_open(DLF_LOG_STDERR, false);
    fill_stderr();
    dlf_log_start();
    uint64_t begin_ms = dlf_now_ms();
    dlf_info("one");
    dlf_log_open(DLF_LOG_STDERR, false);
    dlf_info("two");
    dlf_log_close();
    dlf_info("three");
    EXPECT(dlf_now_ms() - begin_ms >= DLF_LOG_DRAIN_MS);
    EXPECT(dlf_now_ms() - begin_ms < SOON_MS);
}

static void somebody_reads(int fd)
{
    dlf_log_open(DLF_LOG_STDERR, false);
    dlf_info("before\nsecond line");
    dlf_log_start();
    dlf_debug("not this");
    dlf_warn("meanwhile");
    dlf_log_open(DLF_LOG_STDERR, true); /* earlier lines are written by then */
    EXPECT(strcmp(read_until(fd, "meanwhile"), "dlfuse: before\ndlfuse: meanwhile\n") == 0);
    dlf_debug("this");
    dlf_log_close();
    EXPECT(strcmp(read_until(fd, "this"), "dlfuse: this\n") == 0);
    dlf_error("at last");
    EXPECT(strcmp(read_until(fd, "at last"), "dlfuse: at last\n") == 0);
}

/* A log daemon that has a socket but does not read it. */
static void syslog_hangs(int fd)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
    (void)fd;
    EXPECT(unshare(CLONE_NEWNS) == 0);
    EXPECT(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    EXPECT(mount("none", "/dev", "tmpfs", 0, NULL) == 0);
    int daemon = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    EXPECT(bind(daemon, (const struct sockaddr *)&name, sizeof(name)) == 0);
    dlf_log_open(DLF_LOG_SYSLOG, false);
    dlf_log_start();
    log_from_threads();
    char text[1024] = "";
    EXPECT(recv(daemon, text, sizeof(text) - 1, 0) > 0);
    EXPECT(strstr(text, "number 0"));
}

static void test_nobody_reads(void **state)
{
    (void)state;
    in_child(nobody_reads);
    in_child(nobody_reads_at_the_end);
}

static void test_somebody_reads(void **state)
{
    (void)state;
    in_child(somebody_reads);
}

static void test_syslog(void **state)
{
    (void)state;
    if (geteuid() == 0)
        in_child(syslog_hangs);
    else
        puts("SKIP: needs root");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_reads),
        cmocka_unit_test(test_somebody_reads),
        cmocka_unit_test(test_syslog),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
