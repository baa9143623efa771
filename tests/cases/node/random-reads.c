/*
 * Reads a file at random places from several threads and compares each answer with a reference.
 *
 *     random-reads [--threads N] [--reads N] [--seed N] FILE REFERENCE
 *
 * Lengths are 1 B to 1 MiB, spread over the powers of two. A quarter of the reads begin or end at
 * a multiple of 4 KiB give or take a byte, where chunks end; some straddle the end of the file
 * and some lie past it, where a read must be short or empty. --reads is the sum over all threads.
 * Prints what was read; exit status 1 with the place of the first difference.
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
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_MAX ((uint64_t)1 << 20)
#define THREADS_MAX 256

struct job {
    pthread_t thread;
    const uint8_t *reference;
    uint64_t size;
    uint64_t reads;
    uint64_t seed;
    uint64_t bytes; /* out */
    uint64_t at_end;
    int fd;
    bool failed; /* out */
};

static atomic_bool found_difference;

static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * 0x2545f4914f6cdd1du;
}

static void choose(struct job *job, uint64_t *offset, uint64_t *length)
{
    uint64_t r = next_random(&job->seed);
    uint64_t magnitude = (uint64_t)1 << (r % 21);
    *length = magnitude + next_random(&job->seed) % magnitude;
    if (*length > READ_MAX)
        *length = READ_MAX;
    *offset = job->size ? next_random(&job->seed) % job->size : 0;
    switch (r >> 32 & 15) {
    case 0: /* over the end */
        *offset = job->size - (job->size < *length ? job->size : *length / 2);
        break;
    case 1: /* past the end */
        *offset = job->size + next_random(&job->seed) % READ_MAX;
        break;
    case 2:
    case 3: /* begins near a block's edge */
        *offset = (*offset & ~(uint64_t)4095) + r % 3;
        *offset -= *offset ? 1 : 0;
        break;
    case 4:
    case 5: /* ends near one */
        *length = ((*offset + *length) | 4095) - *offset + r % 3;
        break;
    default:
        break;
    }
    if (*length > READ_MAX)
        *length = READ_MAX;
}

/* One read as a program makes it: again while it is short and not at the end. */
static ssize_t read_fully(int fd, uint8_t *buffer, uint64_t length, uint64_t offset)
{
    uint64_t done = 0;
    while (done < length) {
        ssize_t n = pread(fd, buffer + done, length - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        done += (uint64_t)n;
    }
    return (ssize_t)done;
}

static void report(uint64_t offset, uint64_t length, const uint8_t *got, const uint8_t *expected,
                   uint64_t count)
{
    uint64_t i = 0;
    if (atomic_exchange(&found_difference, true))
        return;
    while (i < count && got[i] == expected[i])
        i++;
    printf("difference at offset %" PRIu64 " (read of %" PRIu64 " at %" PRIu64
           "): got 0x%02x, expected 0x%02x\n",
           offset + i, length, offset, got[i], expected[i]);
}

static bool one_read(struct job *job, uint8_t *buffer)
{
    uint64_t offset;
    uint64_t length;
    choose(job, &offset, &length);
    uint64_t expected = offset >= job->size           ? 0
                        : job->size - offset < length ? job->size - offset
                                                      : length;
    ssize_t n = read_fully(job->fd, buffer, length, offset);
    if (n < 0 || (uint64_t)n != expected) {
        if (!atomic_exchange(&found_difference, true))
            printf("read of %" PRIu64 " at %" PRIu64 ": got %zd, expected %" PRIu64 " bytes%s%s\n",
                   length, offset, n, expected, n < 0 ? ": " : "", n < 0 ? strerror(errno) : "");
        return false;
    }
    if (expected && memcmp(buffer, job->reference + offset, expected) != 0) {
        report(offset, length, buffer, job->reference + offset, expected);
        return false;
    }
    job->bytes += expected;
    job->at_end += expected < length;
    return true;
}

static void *run(void *argument)
{
    struct job *job = argument;
    uint8_t *buffer = malloc(READ_MAX);
    job->failed = !buffer;
    for (uint64_t i = 0; i < job->reads && !job->failed && !atomic_load(&found_difference); i++)
        job->failed = !one_read(job, buffer);
    free(buffer);
    return NULL;
}

/* Maps the reference; NULL for an empty one. */
static const uint8_t *map_reference(const char *path, uint64_t *size)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        perror(path);
        exit(2);
    }
    *size = (uint64_t)st.st_size;
    void *map = st.st_size ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0) : NULL;
    close(fd);
    if (map == MAP_FAILED) {
        perror(path);
        exit(2);
    }
    return map;
}

static int run_all(struct job *jobs, unsigned threads)
{
    uint64_t bytes = 0;
    uint64_t reads = 0;
    uint64_t at_end = 0;
    bool failed = false;
    for (unsigned i = 0; i < threads; i++)
        if (pthread_create(&jobs[i].thread, NULL, run, &jobs[i]) != 0) {
            fprintf(stderr, "random-reads: cannot start a thread\n");
            exit(2);
        }
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(jobs[i].thread, NULL);
        failed |= jobs[i].failed;
        bytes += jobs[i].bytes;
        reads += jobs[i].reads;
        at_end += jobs[i].at_end;
    }
    if (!failed)
        printf("%" PRIu64 " random reads from %u threads, %" PRIu64 " MiB, %" PRIu64
               " over the end, no difference\n",
               reads, threads, bytes >> 20, at_end);
    return failed ? 1 : 0;
}

int main(int argc, char **argv)
{
    static struct job jobs[THREADS_MAX];
    uint64_t threads = 16;
    uint64_t reads = 10000;
    uint64_t seed = 1;
    uint64_t size;
    int i = 1;

    for (; i + 1 < argc && strncmp(argv[i], "--", 2) == 0; i += 2) {
        uint64_t value = strtoull(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--threads") == 0)
            threads = value;
        else if (strcmp(argv[i], "--reads") == 0)
            reads = value;
        else if (strcmp(argv[i], "--seed") == 0)
            seed = value;
        else
            break;
    }
    if (argc - i != 2 || threads == 0 || threads > THREADS_MAX) {
        fprintf(stderr,
                "usage: random-reads [--threads N] [--reads N] [--seed N] FILE REFERENCE\n");
        return 2;
    }
    const uint8_t *reference = map_reference(argv[i + 1], &size);
    for (uint64_t t = 0; t < threads; t++) {
        jobs[t] = (struct job){.fd = open(argv[i], O_RDONLY | O_CLOEXEC),
                               .reference = reference,
                               .size = size,
                               .reads = reads / threads + (t < reads % threads),
                               .seed = (seed * THREADS_MAX + t + 1) * 0x9e3779b97f4a7c15u};
        if (jobs[t].fd < 0) {
            perror(argv[i]);
            return 2;
        }
    }
    return run_all(jobs, (unsigned)threads);
}
