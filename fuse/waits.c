/* Counts by step; when there are many, all are halved, so that old times fade. */
#include "fuse/waits.h"

#define TOTAL_MAX 1024u

/* Four steps to a doubling: the highest bit and the two below it. Below 4 each value is its own. */
static unsigned step_of(uint64_t us)
{
    unsigned high = 2;
    if (us < 4)
        return (unsigned)us;
    if (us >> 32)
        return DLF_WAITS_STEPS - 1;
    while (us >> (high + 1))
        high++;
    return high * 4 + (unsigned)(us >> (high - 2) & 3);
}

/* The first time that is beyond the step. */
static uint64_t end_of_step(unsigned step)
{
    if (step < 8)
        return step < 4 ? step + 1 : 4;
    return (uint64_t)(4 + step % 4 + 1) << (step / 4 - 2);
}

void dlf_waits_note(struct dlf_waits *w, uint64_t us)
{
    w->counts[step_of(us)]++;
    if (++w->total < TOTAL_MAX)
        return;
    w->total = 0;
    for (unsigned i = 0; i < DLF_WAITS_STEPS; i++) {
        w->counts[i] /= 2;
        w->total += w->counts[i];
    }
}

uint64_t dlf_waits_p99(const struct dlf_waits *w)
{
    unsigned beyond = 0;
    unsigned i = DLF_WAITS_STEPS;
    if (w->total < DLF_WAITS_ENOUGH)
        return 0;
    while (i > 0 && beyond + w->counts[i - 1] <= w->total / 100)
        beyond += w->counts[--i];
    return end_of_step(i ? i - 1 : 0);
}
