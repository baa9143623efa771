/* Smoothing of what was seen: an estimate moves to a better value at once and away from it slowly.
 */
#include "fuse/meter.h"

#include "fuse/util.h"

/* A stretch is judged after so long and so much; a longer pause ends it before. */
#define SPAN_US 10000
#define SPAN_BYTES ((uint64_t)64 << 10)
#define PAUSE_US 3000

/* An estimate gives way by this part with each sample that is worse. */
#define FORGET 16

void dlf_meter_round_trip(struct dlf_meter *m, uint64_t us)
{
    uint64_t known = atomic_load_explicit(&m->rtt_us, memory_order_relaxed);
    if (known) {
        known += known / FORGET + 1;
        us = us < known ? us : known;
    }
    atomic_store_explicit(&m->rtt_us, us, memory_order_relaxed);
}

void dlf_meter_bytes(struct dlf_meter *m, size_t size)
{
    uint64_t now = dlf_now_us();
    if (now - m->last_us > PAUSE_US) {
        m->begin_us = now;
        m->bytes = 0;
    } else {
        m->bytes += size;
    }
    m->last_us = now;
    uint64_t span = now - m->begin_us;
    if (span < SPAN_US || m->bytes < SPAN_BYTES)
        return;
    uint64_t sample = m->bytes * 1000000 / span;
    uint64_t known = atomic_load_explicit(&m->bytes_per_s, memory_order_relaxed);
    known -= known / FORGET;
    atomic_store_explicit(&m->bytes_per_s, sample > known ? sample : known, memory_order_relaxed);
    m->begin_us = now;
    m->bytes = 0;
}
