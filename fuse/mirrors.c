/* The header's rules, as arithmetic on times that the caller brings. */
#include "fuse/mirrors.h"

#include "fuse/util.h"

/*
 * A mirror that was listed later is preferred when its round trip is less than half that of the
 * mirror before it, and at least 5 ms shorter. It stays preferred while its round trip is less than
 * three quarters. In all other cases the first-listed wins: an operator's order means something
 * (cost, distance, the intended load), and on a local network nothing is gained by knowing better.
 */
#define CLEARLY_US 5000

/* A preferred mirror with a round trip above this is worth looking for a better one. */
#define FAR_US (2 * CLEARLY_US)

/* Milliseconds between two measurements of a mirror that is not in use. After it came up or lost
 * its place they begin with the first and double: one late answer must not cost a mirror its place
 * for long. */
#define MEASURE_FIRST_MS 1000
#define MEASURE_AGAIN_MS 60000

/* A mirror that is down while another works may be left alone for so long; when all are down,
 * dlf_backoff_ms has the bound. */
#define STANDBY_BACKOFF_MS 30000

/* A mirror that was silent is left alone for a second, and four times as long each time that it is
 * silent again without having brought anything. Pauses are short, mostly, and a second request
 * helps a reader that meets one. Where it is no pause, few readers meet it. */
#define SILENT_FIRST_MS 1000
#define SILENT_TIMES 4

/* An attempt that brought so much before it broke was worth making: the next need not wait longer.
 */
#define WORTHWHILE_BYTES ((uint64_t)64 << 10)

/* A longer round trip moves the smoothed one by this part. A shorter one takes its place: a busy
 * machine or network makes an answer late, never early. */
#define SMOOTH 4

static void count(atomic_uint_fast64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static uint64_t get(const atomic_uint_fast64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void set(atomic_uint_fast64_t *value, uint64_t to)
{
    atomic_store_explicit(value, to, memory_order_relaxed);
}

static bool is_down(const struct dlf_mirror *m)
{
    return atomic_load_explicit(&m->down, memory_order_relaxed);
}

static bool is_among(uint32_t set_of, unsigned i)
{
    return set_of >> i & 1;
}

uint32_t dlf_mirrors_down(const struct dlf_mirrors *ms)
{
    uint32_t down = 0;
    for (unsigned i = 0; i < ms->count; i++)
        if (is_down(&ms->at[i]))
            down |= (uint32_t)1 << i;
    return down;
}

/* Is mirror later so much nearer than mirror first that it is asked in its place? */
static bool clearly_nearer(const struct dlf_mirrors *ms, unsigned later, unsigned first)
{
    uint64_t a = get(&ms->at[later].latency_us);
    uint64_t b = get(&ms->at[first].latency_us);
    if (!a || !b)
        return false;
    return later == ms->preferred ? a < b / 4 * 3 : a < b / 2 && a + CLEARLY_US < b;
}

bool dlf_mirrors_other_up(const struct dlf_mirrors *ms, unsigned i)
{
    for (unsigned k = 0; k < ms->count; k++)
        if (k != i && !is_down(&ms->at[k]))
            return true;
    return false;
}

/* The mirror to ask, up and not avoided; -1: there is none. */
static int prefer(const struct dlf_mirrors *ms, uint32_t avoid)
{
    int best = -1;
    for (unsigned i = 0; i < ms->count; i++) {
        if (is_among(avoid, i) || is_down(&ms->at[i]))
            continue;
        if (best < 0 || clearly_nearer(ms, i, (unsigned)best))
            best = (int)i;
    }
    return best;
}

/* Due for a trial, and none runs. */
static bool is_due(const struct dlf_mirror *m, uint64_t now_ms)
{
    return is_down(m) && !m->trials && get(&m->not_before_ms) <= now_ms;
}

/* Only a mirror that has had its place for a while begins anew with measuring: one with fast probes
 * and late objects would go back and forth each second. */
static void prefer_now(struct dlf_mirrors *ms, unsigned i, uint64_t now_ms)
{
    if (i == ms->preferred)
        return;
    if (!ms->preferred_ms || now_ms - ms->preferred_ms >= MEASURE_AGAIN_MS)
        ms->at[ms->preferred].moved_ms = now_ms;
    ms->preferred = i;
    ms->preferred_ms = now_ms;
}

int dlf_mirrors_choose(struct dlf_mirrors *ms, uint32_t avoid, uint64_t now_ms, uint64_t *when_ms)
{
    uint64_t first = UINT64_MAX;
    int up = prefer(ms, avoid);
    if (up >= 0) {
        if (!avoid)
            prefer_now(ms, (unsigned)up, now_ms);
        return up;
    }
    for (unsigned i = 0; i < ms->count; i++) {
        const struct dlf_mirror *m = &ms->at[i];
        if (is_among(avoid, i))
            continue;
        if (is_due(m, now_ms))
            return (int)i;
        if (!m->trials && get(&m->not_before_ms) < first)
            first = get(&m->not_before_ms);
    }
    *when_ms = first;
    return -1;
}

/* Is it worth measuring the round trip to m now? */
static bool should_measure(const struct dlf_mirror *m, uint64_t now_ms)
{
    if (is_down(m))
        return false;
    if (!m->last_probe_ms)
        return true;
    uint64_t last = m->last_probe_ms > m->moved_ms ? m->last_probe_ms : m->moved_ms;
    uint64_t wait = last - m->moved_ms;
    if (wait < MEASURE_FIRST_MS)
        wait = MEASURE_FIRST_MS;
    if (wait > MEASURE_AGAIN_MS || !m->moved_ms)
        wait = MEASURE_AGAIN_MS;
    return now_ms - last >= wait;
}

int dlf_mirrors_probe(struct dlf_mirrors *ms, uint64_t now_ms)
{
    int up = prefer(ms, 0);
    if (up < 0)
        return -1; /* the pieces themselves find out */
    bool far = get(&ms->at[up].latency_us) > FAR_US;
    for (unsigned i = 0; i < ms->count; i++) {
        struct dlf_mirror *m = &ms->at[i];
        if ((int)i == up || m->probing)
            continue;
        /* The first in the list is also looked at when a nearer one has its place. */
        if (!is_due(m, now_ms) && !((far || (int)i < up) && should_measure(m, now_ms)))
            continue;
        m->probing = true;
        m->last_probe_ms = now_ms;
        return (int)i;
    }
    return -1;
}

bool dlf_mirrors_began(struct dlf_mirrors *ms, unsigned i)
{
    struct dlf_mirror *m = &ms->at[i];
    count(&m->requests);
    if (!is_down(m))
        return false;
    m->trials++;
    return true;
}

void dlf_mirrors_ended(struct dlf_mirrors *ms, unsigned i, bool trial)
{
    struct dlf_mirror *m = &ms->at[i];
    if (trial)
        m->trials--;
}

bool dlf_mirrors_answered(struct dlf_mirrors *ms, unsigned i, uint64_t begun_ms, uint64_t rtt_us)
{
    struct dlf_mirror *m = &ms->at[i];
    if (rtt_us) {
        uint64_t known = get(&m->latency_us);
        bool later = known && rtt_us > known;
        set(&m->latency_us, later ? known - known / SMOOTH + rtt_us / SMOOTH : rtt_us);
    }
    m->probing = false;
    if (!is_down(m) || begun_ms <= m->marked_ms)
        return false;
    atomic_store_explicit(&m->down, false, memory_order_relaxed);
    m->told = false;
    m->moved_ms = begun_ms;
    count(&m->recoveries);
    return true;
}

void dlf_mirrors_succeeded(struct dlf_mirrors *ms, unsigned i, uint64_t begun_ms)
{
    struct dlf_mirror *m = &ms->at[i];
    if (!is_down(m) && begun_ms > m->marked_ms)
        m->failures_in_a_row = 0;
}

static uint64_t silent_wait_ms(unsigned in_a_row)
{
    uint64_t wait = SILENT_FIRST_MS;
    for (unsigned i = 0; i < in_a_row && wait < STANDBY_BACKOFF_MS; i++)
        wait *= SILENT_TIMES;
    if (wait > STANDBY_BACKOFF_MS)
        wait = STANDBY_BACKOFF_MS;
    return wait / 4 * 3 + dlf_random_below(wait / 4);
}

/* How long it is left alone. */
static uint64_t wait_ms(const struct dlf_mirrors *ms, unsigned i,
                        const struct dlf_attempt_failure *f)
{
    const struct dlf_mirror *m = &ms->at[i];
    uint64_t told =
        f->retry_after_ms < DLF_RETRY_AFTER_MAX_MS ? f->retry_after_ms : DLF_RETRY_AFTER_MAX_MS;
    uint64_t wait = dlf_backoff_ms(m->failures_in_a_row);
    if (told) /* never earlier than that, and not all at the same time */
        return told + dlf_random_below(told / 4 + 1000);
    /* A probe cannot tell that it is fast again, and a reader that finds out waits for seconds. */
    if (f->slow && dlf_mirrors_other_up(ms, i))
        return STANDBY_BACKOFF_MS / 4 * 3 + dlf_random_below(STANDBY_BACKOFF_MS / 4);
    if (f->silent && dlf_mirrors_other_up(ms, i))
        return silent_wait_ms(m->failures_in_a_row);
    /* No reader waits for it while another one is up: 10, 20, 30 s. */
    if (m->failures_in_a_row > 5 && dlf_mirrors_other_up(ms, i)) {
        wait *= m->failures_in_a_row - 4;
        if (wait > STANDBY_BACKOFF_MS)
            wait = STANDBY_BACKOFF_MS / 4 * 3 + dlf_random_below(STANDBY_BACKOFF_MS / 4);
    }
    return wait;
}

/* Now that none is up, none is left alone for longer than it would have been without the others. */
static void shorten_waits(struct dlf_mirrors *ms, uint64_t now_ms)
{
    for (unsigned i = 0; i < ms->count; i++) {
        struct dlf_mirror *m = &ms->at[i];
        uint64_t latest = now_ms + dlf_backoff_ms(m->failures_in_a_row);
        if (!m->told && get(&m->not_before_ms) > latest)
            set(&m->not_before_ms, latest);
    }
}

void dlf_mirrors_failed(struct dlf_mirrors *ms, unsigned i, const struct dlf_attempt_failure *f)
{
    struct dlf_mirror *m = &ms->at[i];
    m->probing = false;
    count(&m->failures);
    if (f->retry_after_ms)
        count(&m->told_waits);
    /* Also once it is up again: an attempt that hung since then says nothing new. */
    bool known = m->marked_ms && f->begun_ms <= m->marked_ms;
    if (!known || (f->retry_after_ms && is_down(m) && !m->told)) {
        if (!m->failures_in_a_row || f->bytes >= WORTHWHILE_BYTES) {
            m->failures_in_a_row = 0;
            m->down_since_ms = f->now_ms;
        }
        atomic_store_explicit(&m->down, true, memory_order_relaxed);
        set(&m->not_before_ms, f->now_ms + wait_ms(ms, i, f));
        m->marked_ms = f->now_ms;
        m->told = f->retry_after_ms != 0;
        m->failures_in_a_row++;
    }
    if (dlf_mirrors_other_up(ms, i))
        count(&m->failovers);
    else if (is_down(m))
        shorten_waits(ms, f->now_ms);
}

void dlf_mirrors_blame(struct dlf_mirrors *ms, unsigned i)
{
    struct dlf_mirror *m = &ms->at[i];
    count(&m->failures);
    if (dlf_mirrors_other_up(ms, i))
        count(&m->failovers);
}
