/*
 * How long something usually takes: the 99th percentile of the last thousand or so times.
 *
 * Times are counted in steps, each a quarter of a doubling, so the answer is up to a quarter too
 * long. One thread's own.
 */
#ifndef DLFUSE_FUSE_WAITS_H
#define DLFUSE_FUSE_WAITS_H

#include <stdint.h>

#define DLF_WAITS_STEPS 128 /* up to 2^32 us, 71 minutes; longer ones count as that */

/* With fewer times nothing is said: it takes a hundred to see the longest of a hundred. */
#define DLF_WAITS_ENOUGH 100

/* All zero: none yet. */
struct dlf_waits {
    uint16_t counts[DLF_WAITS_STEPS];
    unsigned total;
};

/* Microseconds. */
void dlf_waits_note(struct dlf_waits *waits, uint64_t us);

/* Microseconds that 99 of a hundred do not exceed; 0: not known yet. */
uint64_t dlf_waits_p99(const struct dlf_waits *waits);

#endif
