/*
 * The log's target and level and the file for trouble are set before threads start, and the target
 * once more when the mount serves. queue.lock guards the target and all of queue; it is a leaf, and
 * held over no call that writes.
 */
#include "fuse/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "fuse/util.h"

static struct {
    enum dlf_log_target target;
    atomic_bool debug;
    int kmsg;    /* -1 when not open */
    int trouble; /* -1 when not open */
} state = {.target = DLF_LOG_STDERR, .kmsg = -1, .trouble = -1};

/* Characters of a message; with the rest of the line below the 1 KiB that kmsg takes. */
#define TEXT_MAX 900

struct line {
    int priority;
    char text[TEXT_MAX];
};

/* NONE -> RUNNING (start) -> CLOSING (close) -> NONE, when the thread is not stuck in a write. */
enum writer { WRITER_NONE, WRITER_RUNNING, WRITER_CLOSING };

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum writer writer;
    pthread_t thread;
    bool writing; /* the thread has a line in hand */
    unsigned first;
    unsigned count;
    uint64_t lost; /* since the log has last said so */
    struct line lines[DLF_LOG_LINES];
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* May block, for as long as the reader of the log likes. */
static void write_line(enum dlf_log_target target, int kmsg, const struct line *l)
{
    char line[TEXT_MAX + 60];
    if (target == DLF_LOG_SYSLOG) {
        syslog(l->priority, "%s", l->text);
        return;
    }
    /* One write for each line: those of several threads do not mix. */
    int n = snprintf(line, sizeof(line), "<%d>dlfuse: %s\n", LOG_DAEMON | l->priority, l->text);
    if (kmsg >= 0 && write(kmsg, line, (size_t)n) == n)
        return;
    const char *plain = strchr(line, '>') + 1;
    if (write(STDERR_FILENO, plain, strlen(plain)) < 0)
        return; /* there is no other place to say it */
}

/* The next line, or one about the lost ones. False: there is none. */
static bool take_locked(struct line *l)
{
    if (queue.count) {
        *l = queue.lines[queue.first];
        queue.first = (queue.first + 1) % DLF_LOG_LINES;
        queue.count--;
        return true;
    }
    if (!queue.lost)
        return false;
    l->priority = LOG_WARNING;
    snprintf(l->text, sizeof(l->text),
             "%" PRIu64 " lines are missing here: nobody took them from the log", queue.lost);
    queue.lost = 0;
    return true;
}

static void *writer_thread(void *cookie)
{
    struct line l;
    (void)cookie;
    pthread_mutex_lock(&queue.lock);
    for (;;) {
        queue.writing = take_locked(&l);
        if (queue.writing) {
            enum dlf_log_target target = state.target;
            int kmsg = state.kmsg;
            pthread_mutex_unlock(&queue.lock);
            write_line(target, kmsg, &l);
            pthread_mutex_lock(&queue.lock);
            continue;
        }
        pthread_cond_broadcast(&queue.changed); /* a draining thread waits for that */
        if (queue.writer == WRITER_CLOSING)
            break;
        pthread_cond_wait(&queue.changed, &queue.lock);
    }
    pthread_mutex_unlock(&queue.lock);
    return NULL;
}

static bool drain_locked(void)
{
    uint64_t until_ms = dlf_now_ms() + DLF_LOG_DRAIN_MS;
    while ((queue.count || queue.lost || queue.writing) &&
           dlf_cond_wait(&queue.changed, &queue.lock, until_ms))
        continue;
    return !queue.count && !queue.lost && !queue.writing;
}

void dlf_log_open(enum dlf_log_target target, bool debug)
{
    if (target == DLF_LOG_SYSLOG)
        openlog("dlfuse", LOG_PID | LOG_NDELAY, LOG_DAEMON);
    pthread_mutex_lock(&queue.lock);
    if (queue.writer == WRITER_RUNNING)
        (void)drain_locked(); /* the lines left then go to the new target */
    state.target = target;
    state.debug = debug;
    if (target == DLF_LOG_KMSG && state.kmsg < 0)
        state.kmsg = open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NOCTTY);
    pthread_mutex_unlock(&queue.lock);
}

void dlf_log_start(void)
{
    pthread_mutex_lock(&queue.lock);
    dlf_cond_init(&queue.changed);
    if (queue.writer == WRITER_NONE &&
        pthread_create(&queue.thread, NULL, writer_thread, NULL) == 0)
        queue.writer = WRITER_RUNNING;
    pthread_mutex_unlock(&queue.lock);
}

void dlf_log_close(void)
{
    pthread_mutex_lock(&queue.lock);
    if (queue.writer != WRITER_RUNNING) {
        pthread_mutex_unlock(&queue.lock);
        return;
    }
    bool drained = drain_locked();
    queue.writer = WRITER_CLOSING;
    pthread_cond_broadcast(&queue.changed);
    pthread_mutex_unlock(&queue.lock);
    if (!drained) { /* it may come back from its write some day: the state stays as it is */
        pthread_detach(queue.thread);
        return;
    }
    pthread_join(queue.thread, NULL);
    pthread_mutex_lock(&queue.lock);
    queue.writer = WRITER_NONE;
    pthread_mutex_unlock(&queue.lock);
}

/* False: the caller must write it. */
static bool enqueue(const struct line *l)
{
    pthread_mutex_lock(&queue.lock);
    bool taken = queue.writer != WRITER_NONE;
    if (taken && queue.count == DLF_LOG_LINES) {
        queue.lost++;
    } else if (taken) {
        queue.lines[(queue.first + queue.count++) % DLF_LOG_LINES] = *l;
        pthread_cond_broadcast(&queue.changed);
    }
    pthread_mutex_unlock(&queue.lock);
    return taken;
}

void dlf_vlog(enum dlf_log_level level, const char *fmt, va_list ap)
{
    static const int priorities[] = {
        [DLF_LOG_ERROR] = LOG_ERR,
        [DLF_LOG_WARNING] = LOG_WARNING,
        [DLF_LOG_INFO] = LOG_INFO,
        [DLF_LOG_DEBUG] = LOG_DEBUG,
    };
    struct line l = {.priority = priorities[level]};
    if (level == DLF_LOG_DEBUG && !state.debug)
        return;
    /* clang-tidy 14 does not see the callers' va_start. NOLINTNEXTLINE(clang-analyzer-valist*) */
    vsnprintf(l.text, sizeof(l.text), fmt, ap);
    l.text[strcspn(l.text, "\n")] = 0;
    if (!enqueue(&l))
        write_line(state.target, state.kmsg, &l);
}

void dlf_log(enum dlf_log_level level, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    dlf_vlog(level, fmt, ap);
    va_end(ap);
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
