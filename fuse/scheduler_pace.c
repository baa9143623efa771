/*
 * How many requests at a time, how long, and which pieces overtake: decided from the round trip and
 * the bandwidth that the source has measured. Until it has, the values are those of a local
 * network. The scheduler's thread only.
 */
#include "fuse/scheduler_private.h"
#include "fuse/util.h"

/*
 * Requests at a time: enough for most networks, as few as a browser's. More only where so many
 * requests of the usual length do not fill bandwidth times delay; or, while bandwidth is not known
 * because all requests are short, where demand waits in line and answers come as quickly as ever.
 */
#define CONNECTIONS_MIN 4u
#define CONNECTIONS_MAX ((unsigned)DLF_SCHED_RUNS_MAX)

/* Bytes of a request: a round trip is small beside it, and the next one does not wait long. */
#define REQUEST_MIN ((uint64_t)2 << 20)
#define REQUEST_MAX ((uint64_t)8 << 20)

/* A fill that delays no reader may be long; one beside demand takes this long on the wire at most,
 * or a quarter of a round trip if that is more. */
#define FILL_IDLE ((uint64_t)1 << 20)
#define FILL_BESIDE_US 1000
#define FILL_MIN ((uint64_t)64 << 10)
#define FILL_UNKNOWN ((uint64_t)256 << 10) /* while nothing is measured */

/* After a demand, the machine is taken to be busy for so long. */
#define BUSY_US 1000000

/* Round trips below this are a local network: a request more costs less than bytes too many. */
#define FAR_US 2000

/* Bytes that may be fetched for nothing instead of a further request. */
#define GAP_MAX ((uint64_t)128 << 10)

/* A run's own speed is believed after so long, and is that of the last one or two MARK_US: the
 * bytes before a stall say nothing about it. */
#define RATE_AFTER_US 5000
#define MARK_US 1000000

/*
 * The least gain of overtaking: its bytes come twice, and delay all the rest of the stream. Without
 * a least gain, a boot at 100 Mbit/s and 0.2 ms took a third more bytes and waited longer.
 */
#define OVERTAKE_GAIN_US 100000

/* Milliseconds-long transfers need not be looked at more often than this. */
#define RECONSIDER_US 1000

static uint64_t clamp(uint64_t value, uint64_t low, uint64_t high)
{
    return value < low ? low : value > high ? high : value;
}

/*
 * Once in a round trip: doubles while demand waits and answers are not delayed by other requests
 * under way, which says that the network is not full. Gives way by one when they are.
 */
static unsigned grow(struct dlf_sched *s, const struct dlf_pace *pace)
{
    uint64_t now = dlf_now_us();
    unsigned n = s->grown ? s->grown : CONNECTIONS_MIN;
    if (pace->rtt_us >= FAR_US && now - s->grown_us >= pace->rtt_us) {
        if (pace->answer_us > pace->rtt_us + pace->rtt_us / 4)
            n--;
        else if (s->demand_waits)
            n *= 2;
        s->grown = (unsigned)clamp(n, CONNECTIONS_MIN, CONNECTIONS_MAX);
        s->grown_us = now;
        s->demand_waits = false;
    }
    return s->grown;
}

static unsigned connections(struct dlf_sched *s, const struct dlf_pace *pace, uint64_t in_flight)
{
    uint64_t mean = s->mean_bytes ? s->mean_bytes : REQUEST_MIN;
    unsigned grown = grow(s, pace);
    unsigned n = (unsigned)clamp(in_flight / mean + 1, CONNECTIONS_MIN, CONNECTIONS_MAX);
    return n > grown ? n : grown;
}

static uint64_t fill_bytes(const struct dlf_sched *s, const struct dlf_pace *pace)
{
    bool busy = s->demand_us && dlf_now_us() - s->demand_us < BUSY_US;
    /* Also before the first read: it would wait behind the fill. */
    if (!pace->bytes_per_s)
        return FILL_UNKNOWN;
    if (!busy)
        return clamp(4 * dlf_pace_under_way(pace), FILL_IDLE, REQUEST_MAX);
    uint64_t us = pace->rtt_us / 4 > FILL_BESIDE_US ? pace->rtt_us / 4 : FILL_BESIDE_US;
    return clamp(pace->bytes_per_s * us / 1000000, FILL_MIN, FILL_IDLE);
}

void dlf_sched_set_limits(struct dlf_sched *s)
{
    struct dlf_pace pace;
    dlf_source_pace(s->source, &pace);
    /* Not dlf_pace_under_way: more connections and gaps are for measured networks. */
    uint64_t in_flight = pace.bytes_per_s * pace.rtt_us / 1000000;
    unsigned n = connections(s, &pace, in_flight);
    struct limits *l = &s->limits;
    l->runs[DLF_DEMAND] = n;
    l->runs[DLF_PREFETCH] = n - 1;
    l->runs[DLF_FILL] = s->bulk ? n : n - 1;
    l->bytes[DLF_DEMAND] = clamp(in_flight, REQUEST_MIN, REQUEST_MAX);
    /* While one connection waits a round trip for its next answer, the others (two, where the usual
     * three prefetch) must fill the link with the rest of their requests: half of them, as they end
     * in turn. */
    l->bytes[DLF_PREFETCH] = clamp(2 * in_flight, REQUEST_MIN, REQUEST_MAX);
    l->bytes[DLF_FILL] = s->bulk ? l->bytes[DLF_DEMAND] : fill_bytes(s, &pace);
    l->gap = pace.rtt_us < FAR_US ? 0 : clamp(in_flight / 8, 0, GAP_MAX);
    l->fill_beside_demand = pace.rtt_us >= FAR_US;
    atomic_store_explicit(&s->connections, n, memory_order_relaxed);
}

void dlf_sched_note_run(struct dlf_sched *s, enum dlf_class class, uint64_t bytes, bool data)
{
    uint64_t now = dlf_now_us();
    uint64_t rate = atomic_load_explicit(&s->fill_rate, memory_order_relaxed);
    s->mean_bytes = s->mean_bytes ? (7 * s->mean_bytes + bytes) / 8 : bytes;
    if (class == DLF_DEMAND && data)
        s->demand_us = now;
    if (class == DLF_FILL && rate)
        s->fill_next_us = now + bytes * 1000000 / rate;
}

/* Bytes a second that the run brings of late, at least 1 when that is known, or that the network is
 * known to bring; 0: unknown. */
static uint64_t run_rate(struct run *run, const struct dlf_pace *pace, uint64_t now)
{
    if (!run->marks[0].us)
        return pace->bytes_per_s;
    if (now - run->marks[1].us >= MARK_US) {
        run->marks[0] = run->marks[1];
        run->marks[1] = (struct mark){now, run->position};
    }
    uint64_t span = now - run->marks[0].us;
    uint64_t bytes = run->position - run->marks[0].position;
    if (span >= MARK_US)
        return bytes * 1000000 / span + 1;
    return span > RATE_AFTER_US && bytes ? bytes * 1000000 / span : pace->bytes_per_s;
}

/* Microseconds until the run has brought the byte before end. */
static uint64_t run_eta_us(const struct run *run, const struct dlf_pace *pace, uint64_t rate,
                           uint64_t end, uint64_t now)
{
    uint64_t gone = now - run->begun_us;
    uint64_t wait = !run->marks[0].us && gone < pace->rtt_us ? pace->rtt_us - gone : 0;
    return wait + (end - run->position) * 1000000 / rate;
}

/* Microseconds for a request of a piece's own, which shares the wire with the running ones: it is
 * as fast as the run, or, where that stands still, has the smallest share of the bandwidth. */
static uint64_t fresh_us(const struct dlf_pace *pace, uint64_t rate, uint32_t length)
{
    if (rate < pace->bytes_per_s / CONNECTIONS_MAX)
        rate = pace->bytes_per_s / CONNECTIONS_MAX;
    return pace->rtt_us + pace->rtt_us / 2 + 2 * (uint64_t)length * 1000000 / rate +
           2 * RECONSIDER_US;
}

/*
 * Only streams that were asked for, and from a mirror that has ranges: a piece in an ordinary
 * request has a few MiB before it at most. And where several of these share a link that is full, a
 * further one brings nothing sooner and its bytes come twice.
 */
static bool reconsider_run(struct dlf_sched *s, struct run *run, const struct dlf_pace *pace,
                           uint64_t now)
{
    bool some_wait = false;
    uint64_t rate = run_rate(run, pace, now);
    if (!rate)
        return false; /* until bytes come, or the source calls it stalled */
    for (unsigned i = run->next; i < run->count; i++) {
        struct dlf_fetch *f = run->pieces[i];
        if (!f || f->hedge || dlf_fetch_class(f) != DLF_DEMAND)
            continue;
        if (run_eta_us(run, pace, rate, f->offset + f->length, now) <=
            fresh_us(pace, rate, f->length) + OVERTAKE_GAIN_US) {
            some_wait = true;
            continue;
        }
        dlf_run_drop(run, i);
        f->overtook = true;
        dlf_sched_enqueue(s, f);
        dlf_sched_count(&s->overtaken, 1);
    }
    return some_wait;
}

bool dlf_sched_reconsider(struct dlf_sched *s)
{
    struct dlf_pace pace;
    bool some_wait = false;
    uint64_t now = dlf_now_us();
    dlf_source_pace(s->source, &pace);
    if (now - s->reconsidered_us < RECONSIDER_US)
        return true;
    s->reconsidered_us = now;
    for (unsigned i = 0; i < DLF_SCHED_RUNS_MAX; i++)
        if (s->runs[i].busy && s->runs[i].stream && !s->runs[i].whole &&
            !dlf_source_sends_whole(s->source, s->runs[i].get.mirror))
            some_wait |= reconsider_run(s, &s->runs[i], &pace, now);
    return some_wait;
}
