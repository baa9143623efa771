/*
 * How fast a file can be read, and how long each read takes: past the page cache (O_DIRECT), or
 * with
 * --buffered through it, what it holds of the file thrown out first.
 *
 *     read-speed [OPTION...] sequential|random BLOCK DEPTH SECONDS FILE
 *
 * DEPTH threads, each with one read under way. Sequential: the threads take one block after the
 * other, from the start again at the end. Random: aligned blocks anywhere; with --once each at most
 * once. Prints bytes per second and reads per second, or with --json what JSON_FORMAT says.
 * It does not compare what it reads with anything: that is the cases' work.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
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
#define BLOCK_MAX (64u << 20)
/* As many reads have their time kept, for each thread; later ones are counted only. */
#define TIMES_MAX (1u << 20)

#define JSON_FORMAT                                                                                \
    "{\"bytes\": %" PRIu64 ", \"reads\": %" PRIu64 ", \"seconds\": %.6f, \"waited\": %zu, "        \
    "\"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f}\n"

struct run {
    _Atomic uint64_t next; /* how many blocks were taken */
    uint64_t *order;       /* with once and random: which block is taken when */
    uint64_t blocks;
    uint64_t block_bytes;
    uint64_t end_ns;
    uint64_t seed;
    uint64_t floor_ns; /* shorter reads are left out of the times */
    uint64_t think_ns; /* after each read */
    double wait_s;     /* how long FILE may take to appear */
    int fd;
    bool random;
    bool once; /* end with the last block */
    bool buffered;
    bool json;
};

/* One reader thread's own. */
struct reader {
    struct run *run;
    pthread_t thread;
    uint64_t x; /* xorshift, never 0 */
    uint64_t reads;
    uint64_t *times_ns;
    size_t times;
    bool failed;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t random_next(uint64_t *x)
{
    *x ^= *x >> 12;
    *x ^= *x << 25;
    *x ^= *x >> 27;
    return *x * 0x2545f4914f6cdd1du;
}

static void sleep_ns(uint64_t ns)
{
    struct timespec t = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    nanosleep(&t, NULL);
}

/* False when no block is left. */
static bool take_block(struct reader *reader, uint64_t *block)
{
    struct run *run = reader->run;

    if (run->random && !run->once) {
        *block = random_next(&reader->x) % run->blocks;
        return true;
    }
    uint64_t turn = atomic_fetch_add(&run->next, 1);
    if (run->once && turn >= run->blocks)
        return false;
    *block = run->order ? run->order[turn] : turn % run->blocks;
    return true;
}

static bool read_block(struct reader *reader, void *buffer, uint64_t block)
{
    struct run *run = reader->run;
    off_t offset = (off_t)(block * run->block_bytes);
    uint64_t begin = now_ns();
    ssize_t n = pread(run->fd, buffer, run->block_bytes, offset);
    uint64_t took = now_ns() - begin;

    if (n != (ssize_t)run->block_bytes) {
        fprintf(stderr, "read-speed: at %jd: %s\n", (intmax_t)offset,
                n < 0 ? strerror(errno) : "the file is shorter than it was");
        return false;
    }
    reader->reads++;
    if (took >= run->floor_ns && reader->times < TIMES_MAX)
        reader->times_ns[reader->times++] = took;
    return true;
}

static void *read_on(void *argument)
{
    struct reader *reader = argument;
    struct run *run = reader->run;
    void *buffer = NULL;
    uint64_t block;

    if (posix_memalign(&buffer, 4096, run->block_bytes) != 0) {
        reader->failed = true;
        return NULL;
    }
    while (now_ns() < run->end_ns && take_block(reader, &block)) {
        if (!read_block(reader, buffer, block)) {
            reader->failed = true;
            break;
        }
        if (run->think_ns)
            sleep_ns(run->think_ns);
    }
    free(buffer);
    return NULL;
}

/* Fisher and Yates. */
static bool draw_order(struct run *run)
{
    uint64_t x = run->seed;

    run->order = calloc(run->blocks, sizeof(*run->order));
    if (!run->order)
        return false;
    for (uint64_t i = 0; i < run->blocks; i++) {
        uint64_t other = random_next(&x) % (i + 1);
        run->order[i] = run->order[other];
        run->order[other] = i;
    }
    return true;
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* All times, sorted, in an array that the caller frees; NULL without memory. Returns how many. */
static size_t gather(struct reader *readers, unsigned count, uint64_t **times)
{
    size_t all = 0;
    for (unsigned i = 0; i < count; i++)
        all += readers[i].times;
    *times = malloc((all + 1) * sizeof(**times));
    if (!*times)
        return 0;
    (*times)[0] = 0;
    all = 0;
    for (unsigned i = 0; i < count; i++) {
        memcpy(*times + all, readers[i].times_ns, readers[i].times * sizeof(**times));
        all += readers[i].times;
    }
    qsort(*times, all, sizeof(**times), by_size);
    return all;
}

static int print(const struct run *run, struct reader *readers, unsigned depth, double seconds)
{
    uint64_t reads = 0, *times = NULL;

    for (unsigned i = 0; i < depth; i++)
        reads += readers[i].reads;
    if (!run->json) {
        printf("%.0f %.0f\n", (double)reads / seconds * (double)run->block_bytes,
               (double)reads / seconds);
        return 0;
    }
    size_t count = gather(readers, depth, &times);
    if (!times)
        return 1;
    size_t last = count ? count - 1 : 0;
    size_t middle = last / 2;
    printf(JSON_FORMAT, reads * run->block_bytes, reads, seconds, count,
           (double)times[middle] / 1e3, (double)times[(size_t)((double)last * 0.99)] / 1e3,
           (double)times[last] / 1e3);
    free(times);
    return 0;
}

static int measure(struct run *run, unsigned depth, double seconds)
{
    static struct reader readers[DEPTH_MAX];
    unsigned started = 0;
    bool failed = false;

    for (unsigned i = 0; i < depth; i++) {
        readers[i] = (struct reader){.run = run, .x = run->seed * 0x9e3779b97f4a7c15u + i + 1};
        readers[i].times_ns = malloc(TIMES_MAX * sizeof(uint64_t));
        failed |= !readers[i].times_ns;
    }
    uint64_t begin = now_ns();
    run->end_ns = begin + (uint64_t)(seconds * 1e9);
    while (!failed && started < depth &&
           pthread_create(&readers[started].thread, NULL, read_on, &readers[started]) == 0)
        started++;
    for (unsigned i = 0; i < started; i++) {
        pthread_join(readers[i].thread, NULL);
        failed |= readers[i].failed;
    }
    double took = (double)(now_ns() - begin) / 1e9;
    int rc = failed || started < depth ? 1 : print(run, readers, depth, took);
    for (unsigned i = 0; i < depth; i++)
        free(readers[i].times_ns);
    return rc;
}

static int open_file(struct run *run, const char *path)
{
    int flags = O_RDONLY | O_CLOEXEC | (run->buffered ? 0 : O_DIRECT);
    uint64_t end = now_ns() + (uint64_t)(run->wait_s * 1e9);

    while ((run->fd = open(path, flags)) < 0 && errno == ENOENT && now_ns() < end)
        sleep_ns(1000000);
    off_t size = run->fd < 0 ? -1 : lseek(run->fd, 0, SEEK_END);
    if (size < 0) {
        perror(path);
        return 1;
    }
    if (run->buffered)
        posix_fadvise(run->fd, 0, 0, POSIX_FADV_DONTNEED);
    run->blocks = (uint64_t)size / run->block_bytes;
    if (run->blocks == 0) {
        fprintf(stderr, "read-speed: %s: shorter than a block\n", path);
        return 2;
    }
    if (run->random && run->once && !draw_order(run)) {
        fprintf(stderr, "read-speed: out of memory\n");
        return 1;
    }
    return 0;
}

static void usage(FILE *to)
{
    fprintf(to, "usage: read-speed [--once] [--buffered] [--think MS] [--floor MS] [--seed N]\n"
                "                  [--wait SECONDS] [--json] sequential|random BLOCK DEPTH "
                "SECONDS FILE\n");
}

static const struct option long_options[] = {
    {"once", no_argument, NULL, 'o'},
    {"buffered", no_argument, NULL, 'b'},
    {"think", required_argument, NULL, 't'},
    {"floor", required_argument, NULL, 'f'},
    {"seed", required_argument, NULL, 's'},
    {"wait", required_argument, NULL, 'w'},
    {"json", no_argument, NULL, 'j'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/* -1 to go on, otherwise the exit status. */
static int parse_options(struct run *run, int argc, char **argv)
{
    int option;

    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        switch (option) {
        case 'o':
            run->once = true;
            break;
        case 'b':
            run->buffered = true;
            break;
        case 't':
            run->think_ns = (uint64_t)(strtod(optarg, NULL) * 1e6);
            break;
        case 'f':
            run->floor_ns = (uint64_t)(strtod(optarg, NULL) * 1e6);
            break;
        case 's':
            run->seed = strtoull(optarg, NULL, 10) + 1;
            break;
        case 'w':
            run->wait_s = strtod(optarg, NULL);
            break;
        case 'j':
            run->json = true;
            break;
        case 'h':
            usage(stdout);
            return 0;
        default:
            usage(stderr);
            return 2;
        }
    }
    return -1;
}

int main(int argc, char **argv)
{
    struct run run = {.seed = 1};
    int rc = parse_options(&run, argc, argv);
    if (rc >= 0)
        return rc;
    argv += optind - 1;
    if (argc - optind != 5 ||
        (strcmp(argv[1], "sequential") != 0 && strcmp(argv[1], "random") != 0)) {
        usage(stderr);
        return 2;
    }
    run.random = strcmp(argv[1], "random") == 0;
    run.block_bytes = strtoull(argv[2], NULL, 10);
    unsigned long depth = strtoul(argv[3], NULL, 10);
    double seconds = strtod(argv[4], NULL);
    if (run.block_bytes == 0 || run.block_bytes % 4096 || run.block_bytes > BLOCK_MAX ||
        depth == 0 || depth > DEPTH_MAX) {
        fprintf(stderr, "read-speed: block %s or depth %s is out of range\n", argv[2], argv[3]);
        return 2;
    }
    rc = open_file(&run, argv[5]);
    if (rc == 0)
        rc = measure(&run, (unsigned)depth, seconds);
    free(run.order);
    return rc;
}
