/*
 * How fast a file can be read past the page cache (O_DIRECT).
 *
 *     read-speed sequential|random BLOCK DEPTH SECONDS FILE
 *
 * DEPTH threads, each with one read under way. Sequential: the threads take one block after the
 * other, from the start again at the end. Random: aligned blocks anywhere. Prints bytes per second
 * and reads per second.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DEPTH_MAX 256

struct run {
    _Atomic uint64_t next; /* block number, sequential */
    _Atomic uint64_t reads;
    uint64_t blocks;
    uint64_t block_bytes;
    uint64_t end_ns;
    int fd;
    bool random;
    atomic_bool failed;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *reader(void *argument)
{
    struct run *run = argument;
    void *buffer = NULL;
    uint64_t x = (uint64_t)(uintptr_t)&buffer | 1;
    uint64_t reads = 0;

    if (posix_memalign(&buffer, 4096, run->block_bytes) != 0) {
        atomic_store(&run->failed, true);
        return NULL;
    }
    while (now_ns() < run->end_ns) {
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        uint64_t block = run->random ? x * 0x2545f4914f6cdd1du : atomic_fetch_add(&run->next, 1);
        off_t offset = (off_t)(block % run->blocks * run->block_bytes);
        if (pread(run->fd, buffer, run->block_bytes, offset) != (ssize_t)run->block_bytes) {
            fprintf(stderr, "read-speed: at %jd: %s\n", (intmax_t)offset, strerror(errno));
            atomic_store(&run->failed, true);
            break;
        }
        reads++;
    }
    atomic_fetch_add(&run->reads, reads);
    free(buffer);
    return NULL;
}

static int measure(struct run *run, unsigned depth, double seconds)
{
    pthread_t threads[DEPTH_MAX];
    unsigned started = 0;
    uint64_t begin = now_ns();

    run->end_ns = begin + (uint64_t)(seconds * 1e9);
    while (started < depth && pthread_create(&threads[started], NULL, reader, run) == 0)
        started++;
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    double took = (double)(now_ns() - begin) / 1e9;
    if (started < depth || atomic_load(&run->failed))
        return 1;
    double reads = (double)atomic_load(&run->reads) / took;
    printf("%.0f %.0f\n", reads * (double)run->block_bytes, reads);
    return 0;
}

int main(int argc, char **argv)
{
    struct run run = {0};
    if (argc != 6 || (strcmp(argv[1], "sequential") != 0 && strcmp(argv[1], "random") != 0)) {
        fprintf(stderr, "usage: read-speed sequential|random BLOCK DEPTH SECONDS FILE\n");
        return 2;
    }
    run.random = strcmp(argv[1], "random") == 0;
    run.block_bytes = strtoull(argv[2], NULL, 10);
    unsigned long depth = strtoul(argv[3], NULL, 10);
    double seconds = strtod(argv[4], NULL);
    run.fd = open(argv[5], O_RDONLY | O_DIRECT | O_CLOEXEC);
    off_t size = run.fd < 0 ? -1 : lseek(run.fd, 0, SEEK_END);
    if (size < 0) {
        perror(argv[5]);
        return 1;
    }
    run.blocks = run.block_bytes ? (uint64_t)size / run.block_bytes : 0;
    if (run.blocks == 0 || run.block_bytes % 4096 || depth == 0 || depth > DEPTH_MAX) {
        fprintf(stderr, "read-speed: %s: block %s or depth %s is out of range\n", argv[5], argv[2],
                argv[3]);
        return 2;
    }
    return measure(&run, (unsigned)depth, seconds);
}
