/*
 * Reads what a boot read, in the same order, without thinking in between.
 *
 *     replay-trace TRACE FILE
 *
 * FILE is the image as a node shows it; the program waits until it is there. Each touched chunk up
 * to the line "ready" is one read past the page cache (O_DIRECT), in the order of the trace. When
 * the clock has stopped everything is read once more and compared with the hashes in the trace.
 *
 * One reader, no threads: what it waits for is what a boot would wait for.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "format/trace.h"

#define BLOCK 4096u
#define BUFFER_BYTES (DLF_CHUNK_MAX + 2 * BLOCK)
#define WAIT_SECONDS 60
#define STALL_NS 10000000u

struct touch {
    uint64_t offset, xxh3;
    uint64_t took_ns;
    uint32_t length;
};

struct replay {
    struct touch *touches;
    size_t count, room;
    uint64_t bytes;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int add(struct replay *replay, const struct dlf_trace_event *event)
{
    if (replay->count == replay->room) {
        size_t room = replay->room ? 2 * replay->room : 1024;
        void *grown = realloc(replay->touches, room * sizeof(replay->touches[0]));
        if (!grown)
            return -ENOMEM;
        replay->touches = grown;
        replay->room = room;
    }
    replay->touches[replay->count++] =
        (struct touch){.offset = event->offset, .xxh3 = event->xxh3, .length = event->length};
    replay->bytes += event->length;
    return 0;
}

/* The touches up to "ready", or all of them in a trace without that line. */
static int parse(struct replay *replay, FILE *file, struct dlf_err *err)
{
    char text[DLF_TRACE_LINE_MAX];
    struct dlf_trace_head head;
    struct dlf_trace_event event;
    unsigned line = 0;
    int rc = 0;

    while (rc == 0 && fgets(text, sizeof(text), file)) {
        text[strcspn(text, "\n")] = '\0';
        line++;
        if (line <= 2) {
            rc = dlf_trace_parse_head(&head, line, text, err);
            continue;
        }
        rc = dlf_trace_parse_event(&event, line, text, err);
        if (rc == 0 && event.kind == DLF_TRACE_READY)
            break;
        if (rc == 0 && event.kind == DLF_TRACE_TOUCH && add(replay, &event) != 0)
            return dlf_fail(err, ENOMEM, "no memory for %zu reads", replay->count);
    }
    if (rc == 0 && !replay->touches)
        return dlf_fail(err, EBADMSG, "nothing was read in it");
    return rc;
}

static int load(struct replay *replay, const char *path)
{
    struct dlf_err err = {{0}};
    FILE *file = fopen(path, "re");
    int rc;

    if (!file) {
        fprintf(stderr, "replay-trace: %s: %s\n", path, strerror(errno));
        return -EIO;
    }
    rc = parse(replay, file, &err);
    fclose(file);
    if (rc != 0) {
        fprintf(stderr, "replay-trace: %s: %s\n", path, err.msg);
        return rc;
    }
    return 0;
}

static int wait_for(const char *path)
{
    const struct timespec pause = {.tv_nsec = 500000};
    uint64_t end_ns = now_ns() + WAIT_SECONDS * 1000000000ull;
    for (;;) {
        int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
        if (fd >= 0 || errno != ENOENT || now_ns() > end_ns)
            return fd;
        nanosleep(&pause, NULL);
    }
}

/* Blocks around the chunk; *at is where it begins in the buffer. The file may end inside the last.
 */
static int read_touch(int fd, uint8_t *buffer, const struct touch *touch, size_t *at)
{
    uint64_t begin = touch->offset / BLOCK * BLOCK;
    uint64_t end = (touch->offset + touch->length + BLOCK - 1) / BLOCK * BLOCK;
    size_t wanted = (size_t)(touch->offset + touch->length - begin);
    size_t done = 0;

    while (done < wanted) {
        ssize_t n = pread(fd, buffer + done, (size_t)(end - begin) - done, (off_t)(begin + done));
        if (n <= 0) {
            fprintf(stderr, "replay-trace: read at %" PRIu64 ": %s\n", begin + done,
                    n < 0 ? strerror(errno) : "the file ends");
            return -EIO;
        }
        done += (size_t)n;
    }
    *at = (size_t)(touch->offset - begin);
    return 0;
}

static int read_all(struct replay *replay, int fd, uint8_t *buffer)
{
    size_t at;
    for (size_t i = 0; i < replay->count; i++) {
        uint64_t begin_ns = now_ns();
        int rc = read_touch(fd, buffer, &replay->touches[i], &at);
        if (rc != 0)
            return rc;
        replay->touches[i].took_ns = now_ns() - begin_ns;
    }
    return 0;
}

static int verify(const struct replay *replay, int fd, uint8_t *buffer)
{
    size_t at;
    for (size_t i = 0; i < replay->count; i++) {
        const struct touch *touch = &replay->touches[i];
        int rc = read_touch(fd, buffer, touch, &at);
        if (rc != 0)
            return rc;
        if (dlf_xxh3(buffer + at, touch->length) != touch->xxh3) {
            fprintf(stderr, "replay-trace: at %" PRIu64 ": not the bytes that the trace saw\n",
                    touch->offset);
            return -EBADMSG;
        }
    }
    return 0;
}

static int by_time(const void *a, const void *b)
{
    const struct touch *x = a, *y = b;
    return x->took_ns < y->took_ns ? -1 : x->took_ns > y->took_ns;
}

static void report(struct replay *replay, uint64_t wait_ns, uint64_t read_ns)
{
    size_t stalls = 0, half = replay->count / 2, most = (replay->count - 1) * 99 / 100;

    qsort(replay->touches, replay->count, sizeof(replay->touches[0]), by_time);
    for (size_t i = 0; i < replay->count; i++)
        stalls += replay->touches[i].took_ns > STALL_NS;
    printf("{\"reads\": %zu, \"bytes\": %" PRIu64 ", \"mount_s\": %.6f, \"read_s\": %.6f, "
           "\"total_s\": %.6f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f, "
           "\"stalls\": %zu}\n",
           replay->count, replay->bytes, (double)wait_ns / 1e9, (double)read_ns / 1e9,
           (double)(wait_ns + read_ns) / 1e9, (double)replay->touches[half].took_ns / 1e6,
           (double)replay->touches[most].took_ns / 1e6,
           (double)replay->touches[replay->count - 1].took_ns / 1e6, stalls);
}

static int replay_file(struct replay *replay, const char *path, uint64_t start_ns)
{
    uint8_t *buffer = aligned_alloc(BLOCK, BUFFER_BYTES);
    int fd = wait_for(path);
    uint64_t open_ns = now_ns(), end_ns;
    int rc = -EIO;

    if (fd < 0 || !buffer) {
        fprintf(stderr, "replay-trace: %s: %s\n", path, strerror(errno));
    } else {
        rc = read_all(replay, fd, buffer);
        end_ns = now_ns();
        if (rc == 0)
            rc = verify(replay, fd, buffer);
        if (rc == 0)
            report(replay, open_ns - start_ns, end_ns - open_ns);
    }
    if (fd >= 0)
        close(fd);
    free(buffer);
    return rc;
}

static const char help[] =
    "Usage: replay-trace TRACE FILE\n"
    "\n"
    "Waits until FILE is there, then reads the chunks that TRACE (dlfuse trace) touched before it "
    "was\n"
    "ready, in order, past the page cache. Prints JSON: how long FILE took to appear since the "
    "program\n"
    "was started, and how long the reads took. Then checks the content by the hashes in TRACE.\n"
    "\n"
    "  --help, --version\n";

int main(int argc, char **argv)
{
    struct replay replay = {0};
    uint64_t start_ns = now_ns();
    int rc;

    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return fputs(help, stdout) < 0;
    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        return puts("replay-trace " DLFUSE_VERSION) < 0;
    if (argc != 3) {
        fprintf(stderr, "replay-trace: it wants TRACE and FILE; see replay-trace --help\n");
        return 2;
    }
    rc = load(&replay, argv[1]);
    if (rc == 0)
        rc = replay_file(&replay, argv[2], start_ns);
    free(replay.touches);
    return rc == 0 ? 0 : 1;
}
