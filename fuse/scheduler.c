/*
 * The scheduler's thread, its queue, and the choice of the next request.
 *
 * The queue, the runs and every piece's private fields belong to the thread. Other threads reach it
 * through the inbox, which inbox_lock guards (a leaf lock: nothing is called under it but
 * dlf_source_wake). Counters are atomic.
 *
 * A piece: inbox -> queue -> run -> done; a failed one goes from the run back to the queue.
 */
#include "fuse/scheduler.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/scheduler_private.h"
#include "fuse/util.h"

void dlf_sched_enqueue(struct dlf_sched *s, struct dlf_fetch *f)
{
    f->next = NULL;
    *s->queue_end = f;
    s->queue_end = &f->next;
}

struct dlf_fetch *dlf_sched_unlink(struct dlf_sched *s, struct dlf_fetch **link)
{
    struct dlf_fetch *f = *link;
    *link = f->next;
    if (!*link)
        s->queue_end = link;
    f->next = NULL;
    return f;
}

void dlf_sched_take_inbox(struct dlf_sched *s)
{
    struct dlf_fetch *in_order = NULL;
    pthread_mutex_lock(&s->inbox_lock);
    struct dlf_fetch *f = s->inbox;
    s->inbox = NULL;
    pthread_mutex_unlock(&s->inbox_lock);
    while (f) {
        struct dlf_fetch *next = f->next;
        f->next = in_order;
        in_order = f;
        f = next;
    }
    while (in_order) {
        f = in_order;
        in_order = f->next;
        f->sequence = s->sequence++;
        f->not_before_ms = 0;
        f->tried = 0;
        f->avoid = 0;
        f->unreached = false;
        f->rounds = 0;
        f->taken = false;
        f->overtook = false;
        f->twin = false;
        f->hedged = false;
        f->hedge = NULL;
        if (!dlf_run_attach(s, f))
            dlf_sched_enqueue(s, f);
    }
}

static unsigned running_in(const struct dlf_sched *s, enum dlf_class class)
{
    unsigned n = 0;
    for (unsigned i = 0; i < DLF_SCHED_RUNS_MAX; i++)
        n += s->runs[i].busy && s->runs[i].class == class;
    return n;
}

static unsigned running(const struct dlf_sched *s)
{
    unsigned n = 0;
    for (unsigned i = 0; i < DLF_SCHED_RUNS_MAX; i++)
        n += s->runs[i].busy;
    return n;
}

/* May a run of this class begin now? Less urgent ones leave room and wait for more urgent ones. */
static bool class_may_run(const struct dlf_sched *s, enum dlf_class class)
{
    const struct limits *l = &s->limits;
    if (running(s) >= l->runs[class])
        return false;
    if (s->bulk || class != DLF_FILL)
        return true;
    return running_in(s, DLF_FILL) == 0 && running_in(s, DLF_PREFETCH) == 0 &&
           (l->fill_beside_demand || running_in(s, DLF_DEMAND) == 0);
}

/* Milliseconds before which the class may not run; 0: none. */
static uint64_t class_not_before_ms(const struct dlf_sched *s, enum dlf_class class)
{
    return class == DLF_FILL ? (s->fill_next_us + 999) / 1000 : 0;
}

/* As dlf_source_choose. */
static int choose_mirror(struct dlf_sched *s, const struct dlf_fetch *f, uint64_t *when)
{
    uint32_t down = dlf_source_down(s->source);
    if (dlf_source_all(s->source) & ~(f->tried | f->avoid | down))
        return dlf_source_choose(s->source, f->tried | f->avoid, when);
    return dlf_source_choose(s->source, f->tried, when);
}

/*
 * The most urgent piece that may go now, and the mirror for it; NULL when there is none.
 * *wait_until becomes the time at which looking again makes sense, if that is sooner.
 */
static struct dlf_fetch *pick(struct dlf_sched *s, unsigned *mirror, uint64_t *wait_until)
{
    struct dlf_fetch *best = NULL;
    uint64_t now = dlf_now_ms();
    for (struct dlf_fetch *f = s->queue; f; f = f->next) {
        uint64_t when = class_not_before_ms(s, dlf_fetch_class(f));
        if (when < f->not_before_ms)
            when = f->not_before_ms;
        if (best && dlf_fetch_class(f) >= dlf_fetch_class(best))
            continue;
        /* A twin is there because requests are silent: these do not count. */
        if (!f->twin && !class_may_run(s, dlf_fetch_class(f))) {
            s->demand_waits |= dlf_fetch_class(f) == DLF_DEMAND;
            continue;
        }
        if (when <= now) {
            int m = choose_mirror(s, f, &when);
            if (m >= 0 && dlf_run_may_bring(s, f, (unsigned)m))
                continue; /* its first byte wakes us */
            if (m >= 0) {
                best = f;
                *mirror = (unsigned)m;
                continue;
            }
        }
        if (when < *wait_until)
            *wait_until = when;
    }
    return best;
}

static bool all_idle(const struct dlf_sched *s)
{
    return running(s) == 0 && s->queue == NULL;
}

/* The state that the thread follows; *inbox: pieces were accepted that it has not taken yet. */
static enum sched_state look_at_state(struct dlf_sched *s, bool *inbox)
{
    pthread_mutex_lock(&s->inbox_lock);
    enum sched_state state = s->state;
    *inbox = s->inbox != NULL;
    pthread_mutex_unlock(&s->inbox_lock);
    return state;
}

static void *scheduler_thread(void *cookie)
{
    struct dlf_sched *s = cookie;
    for (;;) {
        bool inbox;
        unsigned mirror = 0;
        struct dlf_fetch *f;
        /* A minute at most: nothing depends on it, submit and kick wake the poll. */
        uint64_t wait_until = dlf_now_ms() + 60000;

        dlf_sched_take_inbox(s);
        enum sched_state state = look_at_state(s, &inbox);
        if (state == SCHED_STOPPED)
            return NULL;
        if (state == SCHED_RETIRED && !inbox && all_idle(s)) {
            dlf_source_close(s->source);
            return NULL;
        }
        if (dlf_sched_reconsider(s))
            wait_until = dlf_now_ms() + 2;
        dlf_sched_set_limits(s);
        while (dlf_source_free_slot(s->source) && (f = pick(s, &mirror, &wait_until)))
            if (!dlf_run_begin(s, f, mirror)) {
                wait_until = dlf_now_ms() + 100; /* out of memory: it may pass */
                break;
            }
        dlf_sched_hedges(s, &wait_until);
        uint64_t now = dlf_now_ms();
        dlf_source_poll(s->source, wait_until > now ? (unsigned)(wait_until - now) : 0);
    }
}

struct dlf_sched *dlf_sched_new(struct dlf_source *source, uint32_t piece_max, bool bulk)
{
    struct dlf_sched *s = calloc(1, sizeof(*s));
    if (!s) {
        dlf_source_free(source);
        return NULL;
    }
    s->source = source;
    s->piece_max = piece_max;
    s->bulk = bulk;
    s->queue_end = &s->queue;
    pthread_mutex_init(&s->inbox_lock, NULL);
    if (pthread_create(&s->thread, NULL, scheduler_thread, s) != 0) {
        dlf_source_free(source);
        free(s);
        return NULL;
    }
    return s;
}

static void shut_down_piece(struct dlf_sched *s, struct dlf_fetch *f)
{
    struct dlf_err err;
    dlf_fail(&err, ESHUTDOWN, "the node is shutting down");
    dlf_fetch_end(s, f, -ESHUTDOWN, NULL, &err);
}

/* States only follow each other in their order. */
static void set_state(struct dlf_sched *s, enum sched_state state)
{
    pthread_mutex_lock(&s->inbox_lock);
    if (s->state < state)
        s->state = state;
    pthread_mutex_unlock(&s->inbox_lock);
    dlf_source_wake(s->source);
}

void dlf_sched_stop(struct dlf_sched *s)
{
    if (s->joined)
        return;
    set_state(s, SCHED_STOPPED);
    pthread_join(s->thread, NULL);
    s->joined = true;
}

void dlf_sched_free(struct dlf_sched *s)
{
    if (!s)
        return;
    dlf_sched_stop(s);
    dlf_source_close(s->source);
    for (unsigned i = 0; i < DLF_SCHED_RUNS_MAX; i++) {
        struct run *run = &s->runs[i];
        unsigned count = run->busy ? run->count : 0;
        run->busy = false; /* no more pieces are added to it */
        for (unsigned k = run->next; k < count; k++)
            if (run->pieces[k])
                shut_down_piece(s, run->pieces[k]);
        run->count = 0;
    }
    /* A piece that a done submits is refused, so this comes to an end. */
    dlf_sched_take_inbox(s);
    while (s->queue)
        shut_down_piece(s, dlf_sched_unlink(s, &s->queue));
    for (unsigned i = 0; i < DLF_SCHED_RUNS_MAX; i++) {
        free(s->runs[i].buffer);
        free(s->runs[i].pieces);
    }
    dlf_source_free(s->source);
    pthread_mutex_destroy(&s->inbox_lock);
    free(s);
}

int dlf_sched_submit(struct dlf_sched *s, struct dlf_fetch *fetch)
{
    pthread_mutex_lock(&s->inbox_lock);
    assert(s->state != SCHED_RETIRED);
    bool accepted = s->state == SCHED_RUNS;
    bool first = s->inbox == NULL;
    if (accepted) {
        fetch->next = s->inbox;
        s->inbox = fetch;
    }
    pthread_mutex_unlock(&s->inbox_lock);
    if (accepted && first)
        dlf_source_wake(s->source);
    return accepted ? 0 : -ESHUTDOWN;
}

void dlf_sched_fill_rate(struct dlf_sched *s, uint64_t bytes_per_s)
{
    atomic_store_explicit(&s->fill_rate, bytes_per_s, memory_order_relaxed);
}

void dlf_sched_hedge(struct dlf_sched *s, bool on)
{
    atomic_store_explicit(&s->hedging, on, memory_order_relaxed);
}

bool dlf_sched_expects_more(const struct dlf_sched *s)
{
    for (unsigned i = 0; i < DLF_SCHED_RUNS_MAX; i++)
        if (s->runs[i].busy && s->runs[i].next < s->runs[i].count)
            return true;
    return false;
}

void dlf_sched_kick(struct dlf_sched *s)
{
    dlf_source_wake(s->source);
}

void dlf_sched_retire(struct dlf_sched *s)
{
    set_state(s, SCHED_RETIRED);
}

void dlf_sched_announce(struct dlf_sched *s)
{
    atomic_store(&s->announces, true);
    dlf_source_announce(s->source);
}

void dlf_sched_last_failure(struct dlf_sched *s, struct dlf_err *err)
{
    pthread_mutex_lock(&s->inbox_lock);
    *err = s->last_failure;
    pthread_mutex_unlock(&s->inbox_lock);
    if (!err->msg[0])
        dlf_fail(err, EIO, "no answer yet");
}

void dlf_sched_pace(const struct dlf_sched *s, struct dlf_pace *pace)
{
    dlf_source_pace(s->source, pace);
}

void dlf_sched_stats(const struct dlf_sched *s, struct dlf_sched_stats *stats)
{
    uint32_t all = dlf_source_all(s->source);
    memset(stats, 0, sizeof(*stats));
    stats->index_bytes = atomic_load_explicit(&s->index_bytes, memory_order_relaxed);
    stats->boot_bytes = atomic_load_explicit(&s->boot_bytes, memory_order_relaxed);
    stats->overtaken = atomic_load_explicit(&s->overtaken, memory_order_relaxed);
    stats->hedged = atomic_load_explicit(&s->hedged, memory_order_relaxed);
    stats->hedges_won = atomic_load_explicit(&s->hedges_won, memory_order_relaxed);
    stats->connections = atomic_load_explicit(&s->connections, memory_order_relaxed);
    dlf_source_pace(s->source, &stats->pace);
    stats->failed_attempts = atomic_load_explicit(&s->failed_attempts, memory_order_relaxed);
    stats->bad_digests = atomic_load_explicit(&s->bad_digests, memory_order_relaxed);
    stats->recovered = atomic_load_explicit(&s->recovered, memory_order_relaxed);
    for (unsigned i = 0; i < DLF_CLASSES; i++)
        stats->class_bytes[i] = atomic_load_explicit(&s->class_bytes[i], memory_order_relaxed);
    for (unsigned i = 0; all >> i & 1; i++) {
        struct dlf_mirror_stats mirror;
        dlf_source_mirror_stats(s->source, i, &mirror);
        stats->fetched_bytes += mirror.bytes;
        stats->requests += mirror.requests;
    }
}

const struct dlf_source *dlf_sched_source(const struct dlf_sched *s)
{
    return s->source;
}
