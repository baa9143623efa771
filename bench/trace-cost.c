/*
 * What the recorder of boot profiles, which is always on (fuse/trace.h), adds to a read.
 *
 *     trace-cost [AT_MOST_NS]
 *
 * Nanoseconds a read, each the median of ROUNDS: of a chunk that was not read before, and of one
 * that was. Far apart, so that a chunk's byte is not in a cache because of its neighbour.
 * Exit status 1 when one of them is above AT_MOST_NS.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuse/trace.h"
#include "fuse/util.h"

/* Of an image of 2 GiB. A power of two, so that steps of an odd number come to each. */
#define CHUNKS 32768u
#define STEP 20011u
#define ROUNDS 21

static double touch_all_ns(struct dlf_trace *trace)
{
    uint64_t begin = dlf_now_us();
    for (unsigned i = 0; i < CHUNKS; i++)
        dlf_trace_touch(trace, i * STEP % CHUNKS);
    return (double)(dlf_now_us() - begin) * 1000 / CHUNKS;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    double first[ROUNDS];
    double again[ROUNDS];
    double most = argc > 1 ? strtod(argv[1], NULL) : 0;
    if (argc > 2 || (argc == 2 && most <= 0)) {
        fprintf(stderr, "usage: trace-cost [AT_MOST_NS]\n");
        return 2;
    }
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct dlf_trace *trace = dlf_trace_new(CHUNKS, dlf_now_us());
        if (!trace) {
            fprintf(stderr, "trace-cost: out of memory\n");
            return 1;
        }
        first[i] = touch_all_ns(trace);
        again[i] = touch_all_ns(trace);
        dlf_trace_free(trace);
    }
    qsort(first, ROUNDS, sizeof(first[0]), by_size);
    qsort(again, ROUNDS, sizeof(again[0]), by_size);
    printf("a chunk's first read: %.1f ns, later ones: %.1f ns\n", first[ROUNDS / 2],
           again[ROUNDS / 2]);
    return most > 0 && (first[ROUNDS / 2] > most || again[ROUNDS / 2] > most);
}
