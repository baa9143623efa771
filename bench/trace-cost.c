/*
 * What the recorder of boot profiles, which is always on (fuse/trace.h), adds to a read.
 *
 *     trace-cost [AT_MOST_NS]
 *
 * Nanoseconds a read, each the median of ROUNDS: of a chunk that was not read before, and of one
 * that was. In random order, so that a chunk's byte is not in a cache because of its neighbour.
 * Exit status 1 when one of them is above AT_MOST_NS.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "fuse/trace.h"
#include "fuse/util.h"

/* Of an image of 2 GiB, as many as a boot pack may name. */
#define CHUNKS 32768u
#define ROUNDS 21

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double touch_all_ns(struct dlf_trace *trace, const uint32_t *order)
{
    uint64_t begin = now_ns();
    for (unsigned i = 0; i < CHUNKS; i++)
        dlf_trace_touch(trace, order[i]);
    return (double)(now_ns() - begin) / CHUNKS;
}

static void draw_order(uint32_t *order)
{
    for (uint32_t i = 0; i < CHUNKS; i++) {
        uint32_t other = (uint32_t)random() % (i + 1);
        order[i] = order[other];
        order[other] = i;
    }
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    static uint32_t order[CHUNKS];
    double first[ROUNDS];
    double again[ROUNDS];
    double most = argc > 1 ? strtod(argv[1], NULL) : 0;
    if (argc > 2 || (argc == 2 && most <= 0)) {
        fprintf(stderr, "usage: trace-cost [AT_MOST_NS]\n");
        return 2;
    }
    draw_order(order);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct dlf_trace *trace = dlf_trace_new(CHUNKS, dlf_now_us());
        if (!trace) {
            fprintf(stderr, "trace-cost: out of memory\n");
            return 1;
        }
        first[i] = touch_all_ns(trace, order);
        again[i] = touch_all_ns(trace, order);
        dlf_trace_free(trace);
    }
    qsort(first, ROUNDS, sizeof(first[0]), by_size);
    qsort(again, ROUNDS, sizeof(again[0]), by_size);
    printf("a chunk's first read: %.1f ns, later ones: %.1f ns\n", first[ROUNDS / 2],
           again[ROUNDS / 2]);
    return most > 0 && (first[ROUNDS / 2] > most || again[ROUNDS / 2] > most);
}
