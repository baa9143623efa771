/*
 * Smoothing of measurements: an estimate moves to a better value at once and away from it slowly.
 */
#include "fuse/meter.h"

#include "fuse/util.h"

/*
 * A stretch is judged after so long and so much. A pause ends it, and if it had less time but many
 * bytes, as a request of 1 MiB at 1 Gbit/s, it counts as well.
 */
#define SPAN_US 10000
#define SPAN_BYTES ((uint64_t)64 << 10)
#define SHORT_US 2000
#define SHORT_BYTES ((uint64_t)256 << 10)
#define PAUSE_US 3000

/* An estimate gives way by this part with each sample that is worse. */
#define FORGET 16

void dlf_meter_round_trip(struct dlf_meter *m, uint64_t us)
{
    uint64_t smoothed = atomic_load_explicit(&m->answer_us, memory_order_relaxed);
    smoothed = smoothed ? (3 * smoothed + us) / 4 : us;
    atomic_store_explicit(&m->answer_us, smoothed, memory_order_relaxed);
    uint64_t known = atomic_load_explicit(&m->rtt_us, memory_order_relaxed);
    if (known) {
        known += known / FORGET + 1;
        us = us < known ? us : known;
    }
    atomic_store_explicit(&m->rtt_us, us, memory_order_relaxed);
}

/* The stretch that came last is over, at last_us; the next one begins now. */
static void end_stretch(struct dlf_meter *m, uint64_t now, uint64_t span_us, uint64_t bytes)
{
    uint64_t span = m->last_us - m->begin_us;
    if (span >= span_us && m->bytes >= bytes) {
        uint64_t sample = m->bytes * 1000000 / span;
        uint64_t known = atomic_load_explicit(&m->bytes_per_s, memory_order_relaxed);
        known -= known / FORGET;
        atomic_store_explicit(&m->bytes_per_s, sample > known ? sample : known,
                              memory_order_relaxed);
    }
    m->begin_us = now;
    m->bytes = 0;
}

void dlf_meter_bytes(struct dlf_meter *m, size_t size)
{
    uint64_t now = dlf_now_us();
    if (now - m->last_us > PAUSE_US)
        end_stretch(m, now, SHORT_US, SHORT_BYTES);
    else
        m->bytes += size;
    m->last_us = now;
    if (now - m->begin_us >= SPAN_US && m->bytes >= SPAN_BYTES)
        end_stretch(m, now, SPAN_US, SPAN_BYTES);
}
